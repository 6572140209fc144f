package slack

import (
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func parse(t *testing.T, contentType, body string) Message {
	t.Helper()
	m, err := Parse(contentType, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return m
}

func TestText(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"text", `{"text":"the build is green"}`, "the build is green"},
		{"a number", `{"text":5}`, "5"},
		{"a long number", `{"text":12345678901234567890.5}`, "12345678901234567890.5"},
		{"a boolean", `{"text":true}`, "true"},
		{"a list", `{"text":["a","b"]}`, "a, b"},
		{"an object", `{"text":{"type":"mrkdwn","text":"a"}}`, "a"},
		{"numbers in fields", `{"attachments":[{"fields":[{"title":"n","value":1},{"title":"ok","value":false},{"title":"none","value":null}]}]}`, "n: 1\nok: false\nnone"},
		{"a byte order mark", "\ufeff{\"text\":\"x\"}", "x"},
		{"colors and line ends", `{"text":"\u001b[1;31mFAILED\u001b[0m a\r\nb\rc\u0000\u0007"}`, "FAILED a\nb\nc"},
		{"a title of a terminal", `{"text":"\u001b]0;title\u0007a \u001b]8;;https://x.example\u001b\\b\u001b]8;;\u001b\\"}`, "a b"},
		{"a sequence without an end", `{"text":"\u001b]0;disk full on db1"}`, "0;disk full on db1"},
		{"colors next to markup", `{"text":"\u001b[31m*down*\u001b[0m"}`, "**down**"},
		{"unknown fields", `{"text":"x","icon_emoji":":tada:","channel":"#other","thread_ts":1,"y":[{"z":null}]}`, "x"},
		{"nothing", `{}`, ""},
		{"white space", `{"text":"  \n "}`, ""},
		{"signs only", `{"text":"!!!"}`, "!!!"},
		{"no markup", `{"mrkdwn":false,"text":"*a* ~b~ &lt;c&gt;"}`, "*a* ~b~ <c>"},
		{
			"a last resort", `{"alert":{"title":"disk full","severity":3,"labels":["a"]},"message":"on db1","mrkdwn_in":["text"]}`,
			"disk full\non db1",
		},
	} {
		if got := parse(t, "", test.body).Text; got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestMrkdwn(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"bold, italic, strike", "*bold* _italic_ ~strike~ `*code*`", "**bold** _italic_ ~~strike~~ `*code*`"},
		{"within words", "2*3*4 a_b_c 5*6=30, 7*8=56", "2*3*4 a_b_c 5*6=30, 7*8=56"},
		{"escapes", "a &lt;b&gt; &amp;lt; &quot;", "a <b> &lt; &quot;"},
		{
			"references", "<https://ci.example/1|build 1> <https://ci.example/2> <!here> <!channel|x> <@U1|ben> <@U2> <#C1|ops> <mailto:a@b.c|a@b.c> <tel:+49123|call>",
			"build 1 (https://ci.example/1) https://ci.example/2 @here @x @ben @U2 #ops a@b.c call (+49123)",
		},
		{"commands", "<!date^1392734382^{date} at {time}|Feb 18> <!subteam^S1|@ops> <!subteam^S2>", "Feb 18 @ops @subteam"},
		{"generics", "Map<String,List<Integer>> std::vector<std::string> a<b && c>d", "Map<String,List<Integer>> std::vector<std::string> a<b && c>d"},
		{"HTML", "<!DOCTYPE html> <!-- no --> <b>x</b> <#include> i <3 you", "<!DOCTYPE html> <!-- no --> <b>x</b> #include i <3 you"},
		{"a bold link", "*<https://x.example/a_b_c|label>*", "**label (https://x.example/a_b_c)**"},
		{"a list", "• one\n• two\n1. three\n- four", "• one\n• two\n1. three\n- four"},
		{"a quote", "&gt; said\nanswer", "> said\nanswer"},
		{"a quote to the end", "a\n&gt;&gt;&gt; b\nc", "a\n> b\n> c"},
		{"a block of code", "log: ```line 1\nline *2*``` end", "log:\n```\nline 1\nline *2*\n```\nend"},
	} {
		if got := fromMrkdwn(test.in); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestLayout(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{
			"attachments", `{"text":"t","attachments":[{"fallback":"no","pretext":"pre","author_name":"me","title":"title","title_link":"https://x.example/","text":"body","fields":[{"title":"a","value":"1"},{"value":"2"}],"image_url":"https://x.example/i.png","footer":"foot"},{"fallback":"instead"}]}`,
			"t\npre\nme\ntitle (https://x.example/)\nbody\na: 1\n2\nhttps://x.example/i.png\nfoot\ninstead",
		},
		{
			"attachments that are none", `{"attachments":{"text":"one","fields":{"title":"a","value":"b"}}}`, "one\na: b",
		},
		{
			"blocks", `{"blocks":[{"type":"header","text":{"type":"plain_text","text":"head &amp; *shoulders*"}},{"type":"divider"},{"type":"section","text":{"type":"mrkdwn","text":"*b*"},"fields":[{"type":"mrkdwn","text":"one"},{"type":"plain_text","text":"two"}],"accessory":{"type":"button","text":{"type":"plain_text","text":"Open"},"url":"https://x.example/"}}]}`,
			"head & *shoulders*\n**b**\none\ntwo\nOpen (https://x.example/)",
		},
		{
			"blocks in an attachment", `{"attachments":[{"color":"#f00","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"inside"}}]}]}`, "inside",
		},
		{
			"context", `{"blocks":[{"type":"context","elements":[{"type":"image","image_url":"https://x.example/i.png","alt_text":"logo"},{"type":"mrkdwn","text":"*env*: prod"}]}]}`,
			"logo (https://x.example/i.png) **env**: prod",
		},
		{
			"a picture", `{"blocks":[{"type":"image","title":{"type":"plain_text","text":"CPU"},"image_url":"https://x.example/cpu.png","alt_text":"graph"},{"type":"image","alt_text":"only words"}]}`,
			"CPU (https://x.example/cpu.png)\nonly words",
		},
		{
			"actions", `{"blocks":[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Runbook"},"url":"https://x.example/r"},{"type":"button","text":{"type":"plain_text","text":"Ack"},"action_id":"a"}]}]}`,
			"Runbook (https://x.example/r)",
		},
		{
			"rich text", `{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"deploy "},{"type":"text","text":"failed ","style":{"bold":true}},{"type":"emoji","name":"fire","unicode":"1f525"},{"type":"emoji","name":"party"},{"type":"user","user_id":"U1"},{"type":"link","url":"https://x.example/","text":"log"}]},{"type":"rich_text_list","style":"ordered","indent":1,"elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"a"}]},{"type":"rich_text_section","elements":[{"type":"text","text":"b","style":{"code":true,"bold":true}}]}]},{"type":"rich_text_quote","elements":[{"type":"text","text":"q\nr"}]},{"type":"rich_text_preformatted","elements":[{"type":"text","text":"x = 1\ny"}]}]}]}`,
			"deploy **failed** 🔥:party:@U1log (https://x.example/)\n  1. a\n  2. **`b`**\n> q\n> r\n```\nx = 1\ny\n```",
		},
		{
			"a table", `{"blocks":[{"type":"table","rows":[[{"type":"raw_text","text":"host"},{"type":"raw_text","text":"state"}],[{"type":"raw_text","text":"a|b"},{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"up","style":{"bold":true}}]}]}]]}]}`,
			"| host | state |\n|---|---|\n| a\\|b | **up** |",
		},
		{"markdown", `{"blocks":[{"type":"markdown","text":"**bold** and *it*"}]}`, "**bold** and *it*"},
		{"an unknown block", `{"blocks":[{"type":"hologram","beams":[{"title":"look"},{"text":{"type":"mrkdwn","text":"at me"}}],"id":"x1"}]}`, "look\nat me"},
		{"text that blocks repeat", `{"text":"Disk full","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*Disk full* on db1"}}]}`, "**Disk full** on db1"},
		{"text that says more than blocks", `{"text":"Disk full on db1","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*Disk full*"}}]}`, "Disk full on db1"},
		{"text that says something else", `{"text":"up","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"support"}}]}`, "up\nsupport"},
		{"arrays as text", `{"attachments":"[{\"text\":\"inner\"}]","blocks":"[]"}`, "inner"},
	} {
		if got := parse(t, "", test.body).Text; got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

// Shapes that programs send.
func TestRealPrograms(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{
			"Alertmanager", `{"channel":"#alerts","username":"Alertmanager","attachments":[{"title":"[FIRING:1] DiskFull (db1 critical)","title_link":"http://am.example/#/alerts?receiver=x","text":"disk <b>90%</b>","fallback":"[FIRING:1] DiskFull | http://am.example","callback_id":"","footer":"","color":"danger","mrkdwn_in":["fallback","pretext","text"]}]}`,
			"[FIRING:1] DiskFull (db1 critical) (http://am.example/#/alerts?receiver=x)\ndisk <b>90%</b>",
		},
		{
			"Grafana", `{"channel":"","attachments":[{"title":"[FIRING:1] CPU","title_link":"https://g.example/alerting/list","text":"**Firing**\n\nValue: A=95.5\nLabels:\n - host = a","fallback":"[FIRING:1] CPU","fields":[],"footer":"Grafana v11","footer_icon":"https://g.example/i.png","color":"#D63232","ts":1700000000}]}`,
			"[FIRING:1] CPU (https://g.example/alerting/list)\n**Firing**\n\nValue: A=95.5\nLabels:\n - host = a\nGrafana v11",
		},
		{
			"GitHub", `{"username":"GitHub","attachments":[{"color":"24292f","pretext":"1 new commit pushed to <https://github.example/a/b/tree/main|` + "`main`" + `> by <https://github.example/ann|ann>","text":"<https://github.example/a/b/commit/1|` + "`1234567`" + `> - fix &lt;b&gt; &amp; c","footer":"<https://github.example/a/b|a/b>"}]}`,
			"1 new commit pushed to `main` (https://github.example/a/b/tree/main) by ann (https://github.example/ann)\n`1234567` (https://github.example/a/b/commit/1) - fix <b> & c\na/b (https://github.example/a/b)",
		},
		{
			"Jenkins", `{"attachments":[{"fallback":"job #5 - FAILURE","color":"danger","mrkdwn_in":["pretext","text","fields"],"fields":[{"title":"","value":"job &raquo; main - #5 Failure after 3 min (<https://ci.example/job/5/|Open>)","short":false}]}]}`,
			"job &raquo; main - #5 Failure after 3 min (Open (https://ci.example/job/5/))",
		},
		{
			"Sentry", `{"text":"TypeError in app","blocks":[{"type":"section","text":{"type":"mrkdwn","text":":red_circle: <https://s.example/1|*TypeError*>"},"block_id":"{\"issue\":1}"},{"type":"rich_text","elements":[{"type":"rich_text_preformatted","border":0,"elements":[{"type":"text","text":"x is undefined"}]}]},{"type":"context","elements":[{"type":"mrkdwn","text":"State: *New*   First seen: *1 min*"}]}]}`,
			"TypeError in app\n:red_circle: **TypeError** (https://s.example/1)\n```\nx is undefined\n```\nState: **New**   First seen: **1 min**",
		},
	} {
		if got := parse(t, "application/json", test.body).Text; got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func TestForms(t *testing.T) {
	const urlencoded = "application/x-www-form-urlencoded"
	var multi strings.Builder
	w := multipart.NewWriter(&multi)
	if err := w.WriteField("payload", `{"text":"from curl -F","username":7}`); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for _, test := range []struct{ name, contentType, body, want, username string }{
		{"payload", urlencoded, "payload=" + url.QueryEscape(`{"text":"from a form & more"}`), "from a form & more", ""},
		{"payload without a type", "", "payload=" + url.QueryEscape(`{"text":"x"}`), "x", ""},
		{"JSON that is called a form", urlencoded, `{"text":"a=b&c"}`, "a=b&c", ""},
		{"multipart", w.FormDataContentType(), multi.String(), "from curl -F", "7"},
		{"fields", urlencoded, "text=*hi*&username=ci&attachments=" + url.QueryEscape(`[{"text":"x"}]`), "**hi**\nx", "ci"},
		{"plain text", "text/plain; charset=utf-8", "just \x1b[1mwords\n", "just words", ""},
	} {
		m := parse(t, test.contentType, test.body)
		if m.Text != test.want || m.Username != test.username {
			t.Errorf("%s: got %q from %q, want %q from %q", test.name, m.Text, m.Username, test.want, test.username)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, test := range []struct{ name, contentType, body, want string }{
		{"nothing", "application/json", "", "send JSON such as"},
		{"words", "application/json", "hello", "not a message"},
		{"words in a form", "", "hello", "send JSON such as"},
		{"cut JSON", "application/json", `{"text":"x`, "ends too early"},
		{"a list", "application/json", `["x"]`, "send JSON such as"},
		{"a name twice", "application/json", `{"text":"x","text":"y"}`, "duplicate"},
		{"a name twice within", "application/json", `{"text":"x","y":{"a":1,"a":2}}`, "duplicate"},
		{"a name twice too deep", "application/json", `{"text":"x","y":` + strings.Repeat("[", 60) + `{"a":1,"a":2}` + strings.Repeat("]", 60) + `}`, "duplicate"},
		{"a lone surrogate", "application/json", `{"text":"\ud800"}`, "surrogate"},
		{"no UTF-8", "application/json", "{\"text\":\"\xff\"}", "UTF-8"},
		{"no UTF-8 in a form", "", "text=%ff", "UTF-8"},
		{"no UTF-8 as text", "text/plain", "\xff", "UTF-8"},
		{"something behind", "application/json", `{"text":"x"}{"text":"y"}`, "follows"},
		{"deep nesting", "application/json", `{"text":"x","y":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}`, "depth"},
		{"no boundary", "multipart/form-data", "x", "boundary"},
		{"a cut form", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"payload\"\r\n\r\n{}", "cannot be read"},
	} {
		m, err := Parse(test.contentType, []byte(test.body))
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "jsontext") {
			t.Errorf("%s: got %+v, %v; want an error with %q", test.name, m, err, test.want)
		}
	}
}

// Whatever one message holds, its memory is bounded.
func TestManyValues(t *testing.T) {
	body := `{"text":"kept","blocks":[` + strings.Repeat(`{},`, 300_000) + `{}]}`
	if got := parse(t, "", body).Text; got != "kept" {
		t.Errorf("got %q", got)
	}
	n, err := decode([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if made := count(n); made > maxNodes+1 {
		t.Errorf("%d nodes were made, want at most %d", made, maxNodes+1)
	}
}

func count(n node) int {
	made := 1
	for _, item := range n.items {
		made += count(item)
	}
	return made
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		in    string
		limit int
		want  string
		was   int
	}{
		{"short", 5, "short", 0},
		{strings.Repeat("ä", 100), 100, strings.Repeat("ä", 100), 0},
		{strings.Repeat("ä", 101), 100, strings.Repeat("ä", 69) + "\n… [cut, 101 characters in all]", 101},
		{"longer", 5, "long…", 6},
		{"```\n" + strings.Repeat("x", 100) + "\n```", 60, "```\n" + strings.Repeat("x", 21) + "\n```\n… [cut, 108 characters in all]", 108},
	} {
		got, was := Cut(test.in, test.limit)
		if got != test.want || was != test.was {
			t.Errorf("Cut(%q, %d) = %q, %d, want %q, %d", test.in, test.limit, got, was, test.want, test.was)
		}
		if n := utf8.RuneCountInString(got); n > test.limit {
			t.Errorf("Cut(%q, %d) has %d code points", test.in, test.limit, n)
		}
	}
}

// FuzzParse sends anything: it is read or refused, and what is read can be a
// content once it is cut.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"text":"a <b|c> &amp; *b* ~c~ ` + "```x```" + `"}`, `{"attachments":[{"title":"x","fields":[{"title":"a"}]}]}`,
		`{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section"}]}]}`, "payload=%7B%7D", `{"username":"\u0000"}`,
	} {
		f.Add("application/json", seed)
		f.Add("multipart/form-data; boundary=x", seed)
	}
	f.Fuzz(func(t *testing.T, contentType, body string) {
		m, err := Parse(contentType, []byte(body))
		if err != nil {
			return
		}
		for _, s := range []string{m.Username, m.Text} {
			if !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) && c != '\n' && c != '\t' }) {
				t.Errorf("%q holds what no content may", s)
			}
		}
		if short, _ := Cut(m.Text, 100); utf8.RuneCountInString(short) > 100 {
			t.Errorf("%q is not cut", short)
		}
		if strings.HasPrefix(body, "{") && m.Text == "" {
			var fields struct{ Text string }
			if json.Unmarshal([]byte(body), &fields) == nil && strings.ContainsFunc(clean(fields.Text), unicode.IsLetter) && strings.Contains(body, `"text"`) {
				t.Errorf("the text of %q is lost", body)
			}
		}
	})
}

// Reading takes time in proportion to the length, whatever the signs.
func TestSignsAreReadOnce(t *testing.T) {
	for _, unit := range []string{"*a ", "<", "~", "<http://", "`", "&gt;", "\x1b]"} {
		body := fmt.Sprintf(`{"text":%q}`, strings.ReplaceAll(strings.Repeat(unit, 300_000/len(unit)), "\x1b", "!"))
		parse(t, "application/json", body)
		clean(strings.Repeat(unit, 300_000/len(unit)))
	}
}

package slack_test

import (
	"bytes"
	"flag"
	"mime/multipart"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kaban/internal/markup"
	"kaban/internal/slack"
)

var update = flag.Bool("update", false, "update the golden files in testdata; review the diff")

func TestParse(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		// Values that count as a text.
		{"a number", `{"text":5}`, "5"},
		{"a large number", `{"text":12345678901234567890.50}`, "12345678901234567890.50"},
		{"a boolean", `{"text":true}`, "true"},
		{"a list", `{"text":["a",1,null,["b"]]}`, "a\n1\nb"},
		{"an object with a text", `{"text":{"type":"mrkdwn","text":"*a*"}}`, "**a**"},
		{"nothing", `{"text":null,"attachments":null,"blocks":null}`, ""},
		{"a string alone", `"hello"`, "hello"},
		{"a list alone", `[{"text":"a","username":"x"},"b"]`, "a\nb"},
		{"a byte order mark", "\ufeff{\"text\":\"a\"}", "a"},
		{"unknown fields", `{"text":"x","icon_emoji":":tada:","thread_ts":1,"metadata":{"text":"no"}}`, "x"},
		{"a name in capitals", `{"Text":"disk full"}`, "disk full"},
		{"objects as a text", `{"text":{"a":{"b":"deep words"}}}`, "b: deep words"},
		{"no known field", `{"status":"DOWN","host":"web1","channel":"#x"}`, "status: DOWN\nhost: web1"},
		{"what lies too deep", `{"text":"x","y":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, "x"},
		{"a MessageCard", `{"@type":"MessageCard","summary":"s","sections":[{"activityTitle":"t","facts":[{"name":"host","value":"db1"}]}]}`, "s\nt\nhost: db1"},
		{"blocks as a string", `{"blocks":"[{\"type\":\"section\",\"text\":{\"type\":\"mrkdwn\",\"text\":\"*in*\"}}]"}`, "**in**"},
		{"an address with an entity", `{"attachments":[{"title":"t","title_link":"https://x.example/?a=1&amp;b=2"}]}`, "t (https://x.example/?a=1&b=2)"},
		{"a card with a text", `{"@type":"MessageCard","@context":"https://x.example","themeColor":"f00","summary":"s","text":"x","sections":[{"activityTitle":"t","activityImage":"https://x.example/i.png","facts":[{"name":"host","value":"db1"},{"name":"load","value":{"now":9}},{"name":"note","value":""}]}]}`, "s\nx\nt\nhost: db1\nload: now: 9\nnote"},
		{"more than a name and a value", `{"items":[{"name":"n","value":"v","description":"d"}]}`, "n: v\nd"},
		{"an object as a value", `{"attachments":[{"fields":[{"title":"T","value":{"a":"AV"}},{"title":"U","value":["x",{"b":{"c":2}}]}]}]}`, "T: a: AV\nU: x\nc: 2"},
		{"objects as a text with blocks", `{"text":{"a":{"b":"deep"}},"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"hi"}},{"type":"section","text":{"x":["*in*"]}}]}`, "b: deep\nhi\nx: **in**"},
		{"an object as a text of unknown shape", `{"alert":{"summary":"a","message":{"why":"full"}}}`, "a\nwhy: full"},
		{"texts without words", `{"attachments":[{"text":{"type":"mrkdwn","text":"","verbatim":false},"color":"danger","mrkdwn_in":["text"],"callback_id":"c","footer_icon":"https://x.example/i.png","ts":"1"}]}`, ""},
		{"an attachment without a known field", `{"text":"x","attachments":[{"color":"danger","status":"DOWN"}]}`, "x\nstatus: DOWN"},
		{"fields without words", `{"Type":"DOWN","Color":"#f00","Icon_URL":"https://x.example/i.png","host_id":"7","tags":["a","b"],"UserName":"u"}`, "Type: DOWN\ntags: a\nb"},
		{"attachments as a string", `{"text":"x","attachments":" {\"text\":\"in\"}"}`, "x\nin"},
		{"addresses with entities", `{"attachments":[{"author_name":"n","author_link":"https://x.example/?a&amp;b","image_url":"https://x.example/?c&amp;d"}],"blocks":[{"type":"actions","elements":[{"type":"button","text":"go","url":"https://x.example/?e&amp;f"}]},{"type":"image","alt_text":"i","image_url":"https://x.example/?g&amp;h"}]}`, "go (https://x.example/?e&f)\ni (https://x.example/?g&h)\nn (https://x.example/?a&b)\nhttps://x.example/?c&d"},
		{"what another service calls it", `{"content":"a","embeds":[{"title":"b","description":"c","fields":[{"name":"n","value":1}]}]}`, "a\nb\nc\nn: 1"},
		{"a message of unknown shape", `{"alert":{"summary":"disk is full","labels":{"x":"y"}},"message":["a","b"]}`, "disk is full\na\nb"},

		// Characters that are not allowed in contents.
		{"colours", `{"text":"\u001b[31;1mred\u001b[0m \u001b]8;;https://x.example\u0007link\u001b]8;;\u001b\\ \u009b1mx"}`, "red link x"},
		{"lines of other systems", `{"text":"a\r\nb\rc"}`, "a\nb\nc"},
		{"other control characters", `{"text":"a\u0000b\u0007c\u007fd\u0085e\tf\u000bg\u2028h"}`, "abcd\ne\tf\ng\nh"},
		{"a sequence without an end", `{"text":"a\u001b]0;title b"}`, "a]0;title b"},

		// References and entities.
		{"entities", `{"text":"a &lt;b&gt; &amp;lt; &quot;"}`, `a <b> &lt; &quot;`},
		{"addresses", `{"text":"<https://x.example/1|one> <https://x.example/2> <https://x.example|https://x.example> <mailto:a@b.example|a@b.example> <mailto:a@b.example|Ann> <tel:+123|call>"}`, "one (https://x.example/1) https://x.example/2 https://x.example a@b.example Ann (a@b.example) call (+123)"},
		{"people and rooms", `{"text":"<@U1|ben> <@U2> <#C1|ops> <#C2> <@ben>"}`, "@ben @U2 #ops #C2 @ben"},
		{"everybody", `{"text":"<!here> <!channel|channel> <!everyone> <!subteam^S1|@oncall> <!subteam^S2>"}`, "@here @channel @everyone @oncall @S2"},
		{"times", `{"text":"<!date^1392734382^Posted {date_num}|18 Feb 2014> <!date^1392734382^{date}> <!date^x^{date}>"}`, "18 Feb 2014 2014-02-18 14:39 UTC <!date^x^{date}>"},
		{"what only looks like references", `{"text":"Map<String,List<Integer>> a<b>c <div> <T> x<y && y>z <!DOCTYPE> <!-- a --> std::vector<std::string> <>"}`, "Map<String,List<Integer>> a<b>c <div> <T> x<y && y>z <!DOCTYPE> <!-- a --> std::vector<std::string> <>"},
		{"references that were escaped", `{"text":"&lt;@U1&gt; &lt;https://x.example|y&gt;"}`, "<@U1> <https://x.example|y>"},

		// Markup.
		{"emphasis", `{"text":"*bold* _italic_ ~strike~ *_both_* ` + "`*code*`" + `"}`, "**bold** _italic_ ~~strike~~ **_both_** `*code*`"},
		{"no emphasis", `{"text":"2*3*4 __init__ a * b * c ~5 **x** *.go *unclosed"}`, "2*3*4 __init__ a * b * c ~5 **x** *.go *unclosed"},
		{"emphasis and references", `{"text":"*<https://x.example/a_b|build 1>* *Status:* ok"}`, "**build 1 (https://x.example/a_b)** **Status:** ok"},
		{"lists", `{"text":"• a\n- b\n1. c\n3. d\n* e"}`, "• a\n- b\n1. c\n3. d\n* e"},
		{"quotes", `{"text":"&gt; a\n&gt;*b*\n>c\nd\n&gt;&gt;&gt; e\nf\n\ng"}`, "> a\n> **b**\n> c\nd\n> e\n> f\n>\n> g"},
		{"code", `{"text":"` + "```a *b*```" + ` x ` + "```" + `\nc *d*\ne` + "```" + ` *f*"}`, "```a *b*``` x\n```\nc *d*\ne\n```\n**f**"},
		{"code that begins in a line", `{"text":"log: ` + "```" + `a\nb` + "```" + `"}`, "log:\n```\na\nb\n```"},
		{"no markup", `{"text":"*a* <@U1>","mrkdwn":false}`, "*a* @U1"},

		// Attachments.
		{"a value that is a number", `{"attachments":[{"fields":[{"title":"n","value":1},{"title":"ok","value":false},{"title":"nothing","value":null},{"value":0}]}]}`, "n: 1\nok: false\nnothing\n0"},
		{"one attachment and one field", `{"attachments":{"title":"a","fields":{"title":"b","value":"c"}}}`, "a\nb: c"},
		{"fields by their names", `{"attachments":[{"fields":{"a":1,"b":"*x*"}}]}`, "a: 1\nb: **x**"},
		{"all of an attachment", `{"text":"t","attachments":[{"fallback":"no","pretext":"pre","author_name":"who","author_link":"https://x.example/who","title":"title","title_link":"https://x.example/","text":"body","fields":[{"title":"a","value":"1"}],"image_url":"https://x.example/i.png","actions":[{"type":"button","text":"Open","url":"https://x.example/o"}],"footer":"foot","ts":1}]}`, "t\npre\nwho (https://x.example/who)\ntitle (https://x.example/)\nbody\na: 1\nhttps://x.example/i.png\nOpen (https://x.example/o)\nfoot"},
		{"only a fallback", `{"attachments":[{"fallback":"instead","color":"danger"}]}`, "instead"},
		{"only a link", `{"attachments":[{"title_link":"https://x.example/"}]}`, "https://x.example/"},
		{"texts for attachments", `{"attachments":["a",1]}`, "a\n1"},
		{"a text that is a part of a word of its blocks", `{"text":"up","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"support"}}]}`, "up\nsupport"},
		{"a text of signs with blocks", `{"text":"🔥","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"db1"}}]}`, "🔥\ndb1"},
		{"blocks inside attachments", `{"attachments":[{"color":"#f00","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*a*"}}]}]}`, "**a**"},
		{"a field with a block of code", `{"attachments":[{"fields":[{"title":"log","value":"` + "```\\na\\nb\\n```" + `"}]}]}`, "log:\n```\na\nb\n```"},

		// Blocks.
		{"blocks", `{"blocks":[{"type":"header","text":{"type":"plain_text","text":"head &amp; x"}},{"type":"divider"},{"type":"section","fields":[{"type":"mrkdwn","text":"*one*"},{"type":"mrkdwn","text":"two"}],"accessory":{"type":"button","text":{"type":"plain_text","text":"Open"},"url":"https://x.example"}}]}`, "head & x\n**one**\ntwo\nOpen (https://x.example)"},
		{"context", `{"blocks":[{"type":"context","elements":[{"type":"image","image_url":"https://x.example/i.png","alt_text":"cat"},{"type":"mrkdwn","text":"by *ann*"},{"type":"plain_text","text":"now"}]}]}`, "cat by **ann** now"},
		{"an image", `{"blocks":[{"type":"image","title":{"type":"plain_text","text":"A graph"},"alt_text":"graph","image_url":"https://x.example/g.png"}]}`, "A graph\ngraph (https://x.example/g.png)"},
		{"actions", `{"blocks":[{"type":"actions","elements":[{"type":"button","text":{"type":"plain_text","text":"Yes"}},{"type":"button","text":{"type":"plain_text","text":"No"},"url":"https://x.example/n"},{"type":"static_select","placeholder":{"type":"plain_text","text":"Pick"},"options":[{"text":{"type":"plain_text","text":"One"},"value":"1"}]}]}]}`, "Yes No (https://x.example/n) Pick\nOne\n1"},
		{"a text that says what blocks say", `{"text":"Build 5 failed","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*Build 5* failed: <https://x.example|log>"}}]}`, "**Build 5** failed: log (https://x.example)"},
		{"a text that says more", `{"text":"short","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"long"}}]}`, "short\nlong"},
		{"markdown", `{"blocks":[{"type":"markdown","text":"**a** and *b*\n\n1. c"}]}`, "**a** and *b*\n\n1. c"},
		{"a table", `{"blocks":[{"type":"table","rows":[[{"type":"raw_text","text":"a"},{"type":"raw_text","text":"b|c"}],[{"type":"raw_number","value":1},{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"x","style":{"bold":true}}]}]}]]}]}`, "| a | b\\|c |\n|---|---|\n| 1 | **x** |"},
		{"a video", `{"blocks":[{"type":"video","title":{"type":"plain_text","text":"V"},"title_url":"https://x.example/v","description":{"type":"plain_text","text":"d"},"alt_text":"no"}]}`, "V (https://x.example/v)\nd"},
		{"a block that is not known", `{"blocks":[{"type":"new","thing":{"text":"x","more":[{"title":"y"}]}},{"type":"input","label":{"type":"plain_text","text":"L"}}]}`, "x\ny\nL"},

		// Rich text.
		{"rich text", `{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"Hi "},{"type":"user","user_id":"U1"},{"type":"text","text":" & "},{"type":"text","text":"bold ","style":{"bold":true}},{"type":"text","text":"both","style":{"bold":true,"italic":true}},{"type":"text","text":", "},{"type":"text","text":"gone","style":{"strike":true}},{"type":"text","text":" "},{"type":"text","text":"c*d","style":{"code":true}},{"type":"text","text":" "},{"type":"link","url":"https://x.example","text":"x"},{"type":"emoji","name":"wave","unicode":"1f44b-1f3fb"},{"type":"emoji","name":"custom"},{"type":"broadcast","range":"here"},{"type":"channel","channel_id":"C1"}]}]}]}`, "Hi @U1 & **bold** **_both_**, ~~gone~~ `c*d` x (https://x.example)👋🏻:custom:@here#C1"},
		{"a style within a word", `{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"un"},{"type":"text","text":"frigging","style":{"bold":true}},{"type":"text","text":"believable"}]}]}]}`, "unfriggingbelievable"},
		{"lists of rich text", `{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_list","style":"ordered","offset":2,"elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"three"}]},{"type":"rich_text_section","elements":[{"type":"text","text":"four"}]}]},{"type":"rich_text_list","style":"bullet","indent":1,"elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"sub"}]}]}]}]}`, "3. three\n4. four\n  • sub"},
		{"quote and code of rich text", `{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_quote","elements":[{"type":"text","text":"a\n\nb"}]},{"type":"rich_text_preformatted","elements":[{"type":"text","text":"x *y*\n` + "```" + `\nz"}]}]}]}`, "> a\n>\n> b\n````\nx *y*\n```\nz\n````"},
		{"text is no markup of Slack in rich text", `{"blocks":[{"type":"rich_text","elements":[{"type":"rich_text_section","elements":[{"type":"text","text":"<@U1> &amp; a<b>"}]}]}]}`, "<@U1> &amp; a<b>"},
	} {
		m, err := slack.Parse("application/json", []byte(test.body))
		if err != nil || m.Content != test.want {
			t.Errorf("%s: got %q, %v, want %q", test.name, m.Content, err, test.want)
		}
	}
}

func TestForms(t *testing.T) {
	payload := `{"text":"from a form & more; 100%","username":"x"}`
	var parts bytes.Buffer
	w := multipart.NewWriter(&parts)
	if err := w.WriteField("payload", payload); err != nil {
		t.Fatal(err)
	}
	w.Close()
	var file bytes.Buffer
	f := multipart.NewWriter(&file)
	if part, err := f.CreateFormFile("payload", "message.json"); err != nil {
		t.Fatal(err)
	} else if _, err := part.Write([]byte("\ufeff" + payload)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	const form = "application/x-www-form-urlencoded"
	for name, test := range map[string][2]string{
		"a form":                        {form, "payload=" + url.QueryEscape(payload)},
		"a form without its type":       {"", "payload=" + url.QueryEscape(payload)},
		"a payload that is not encoded": {form, "payload=" + payload},
		"JSON that says it is a form":   {form, payload},
		"JSON of another type":          {"text/plain; charset=utf-8", " \n" + payload + "\n"},
		"JSON without a type":           {"", payload},
		"JSON in a string":              {"application/json", `"{\"text\":\"from a form & more; 100%\",\"username\":\"x\"}"`},
		"parts":                         {w.FormDataContentType(), parts.String()},
		"parts with a file":             {f.FormDataContentType(), file.String()},
		"fields":                        {form, "text=from+a+form+%26+more%3B+100%25&username=x&other=y"},
		"fields with attachments":       {form, "username=x&attachments=" + url.QueryEscape(`[{"text":"from a form & more; 100%"}]`)},
	} {
		m, err := slack.Parse(test[0], []byte(test[1]))
		if want := (slack.Message{Username: "x", Content: "from a form & more; 100%"}); err != nil || m != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, m, err, want)
		}
	}
}

// A multipart form without its end is accepted if its payload is complete.
func TestFormWithoutEnd(t *testing.T) {
	const begin = "--x\r\nContent-Disposition: form-data; name=payload\r\n\r\n{\"text\":\"whole\""
	for body, want := range map[string]string{
		begin + "}":        "whole",
		begin + "}\r\n":    "whole",
		begin + "}\r\n--x": "whole",
		begin + "}\r\n--x\r\nContent-Disposition: form-data; name=text\r\n\r\nhal": "whole",
		begin: "",
	} {
		m, err := slack.Parse("multipart/form-data; boundary=x", []byte(body))
		if m.Content != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %+v, %v, want %q", body, m, err, want)
		}
	}
}

// A message never becomes much larger than its input.
func TestGrowth(t *testing.T) {
	name := strings.Repeat("n", 1000)
	for _, body := range []string{
		`{"` + name + `":["a"` + strings.Repeat(`,"a"`, 1000) + `]}`,
		`{"` + name + `":[["a"]` + strings.Repeat(`,["a"]`, 1000) + `]}`,
		`{"text":{"` + name + `":["a"` + strings.Repeat(`,"a"`, 1000) + `]}}`,
	} {
		m, err := slack.Parse("", []byte(body))
		if err != nil || len(m.Content) > 2*len(body) {
			t.Errorf("%d bytes become %d, %v", len(body), len(m.Content), err)
		}
	}
}

func TestRefused(t *testing.T) {
	for name, body := range map[string]string{
		"nothing":                    "",
		"no JSON":                    "hello",
		"cut JSON":                   `{"text":"x`,
		"two values":                 `{"text":"x"}{}`,
		"a number alone":             "payload=5",
		"a name twice":               `{"text":"x","text":"y"}`,
		"a name twice somewhere":     `{"text":"x","unknown":[{"a":1,"\u0061":2}]}`,
		"half a surrogate":           `{"text":"\ud83d"}`,
		"the other half":             `{"text":"\ude00\ud83d"}`,
		"half a surrogate in a name": `{"\udc00":1,"text":"x"}`,
		"two first halves":           `{"text":"\ud83d\ud83d\ude00"}`,
		"no UTF-8":                   "{\"text\":\"\xff\"}",
		"no UTF-8 in a form":         "payload=%7B%22text%22%3A%22%FF%22%7D",
		"no UTF-8 in a field":        "text=%FF",
		"a form of something else":   "a=b",
	} {
		if m, err := slack.Parse("application/x-www-form-urlencoded", []byte(body)); err == nil {
			t.Errorf("%s: got %+v", name, m)
		}
	}
	if _, err := slack.Parse("multipart/form-data; boundary=x", []byte("--x\r\nno part")); err == nil {
		t.Error("a malformed multipart form is accepted")
	}
	// Surrogate pairs, and text that only looks like an escape, are accepted.
	if m, err := slack.Parse("", []byte(`{"text":"\ud83d\ude00 \\ud83d"}`)); err != nil || m.Content != `😀 \ud83d` {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		content string
		limit   int
		want    string
	}{
		{"short", 5, "short"},
		{"жжжжж", 5, "жжжжж"},
		{strings.Repeat("ж", 20), 15, "жжжжжжжж… [cut]"},
		{"longer", 5, "longe"},
		{"a\n```\n" + strings.Repeat("x", 50) + "\n```", 30, "a\n```\n" + strings.Repeat("x", 12) + "\n```\n… [cut]"},
		{"```\nx\n```\n" + strings.Repeat("y", 50), 30, "```\nx\n```\n" + strings.Repeat("y", 13) + "… [cut]"},
	} {
		got, cut := slack.Cut(test.content, test.limit)
		if got != test.want || cut != (got != test.content) {
			t.Errorf("%q to %d: got %q, %t, want %q", test.content, test.limit, got, cut, test.want)
		}
	}
}

// Payloads in the formats of real programs, and the resulting texts.
func TestPrograms(t *testing.T) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d payloads, %v", len(files), err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := slack.Parse("application/json", body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := "from: " + m.Username + "\n" + m.Content + "\n"
		golden := strings.TrimSuffix(name, ".json") + ".txt"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil || got != string(want) {
			t.Errorf("%s: got\n%s\nwant\n%s\n%v", name, got, want, err)
		}
	}
}

// FuzzParse checks that any input is rejected or becomes a valid content.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{`{"text":"a <b|c> &amp; *x*"}`, `{"attachments":[{"title":"x","fields":[{"title":"a"}]}]}`, "payload=%7B%7D", `[{"text":1}]`} {
		f.Add("", seed)
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range files {
		if body, err := os.ReadFile(name); err == nil {
			f.Add("application/json", string(body))
		}
	}
	f.Add("multipart/form-data; boundary=x", "--x\r\nContent-Disposition: form-data; name=payload\r\n\r\n{\"text\":\"a\"}\r\n--x--")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		m, err := slack.Parse(contentType, []byte(body))
		if err != nil {
			return
		}
		if m.Content != "" && strings.TrimSpace(m.Content) == "" {
			t.Errorf("%q is blank", m.Content)
		}
		kept, _ := slack.Cut(m.Content, 100)
		for _, s := range []string{m.Username, m.Content, kept} {
			bad := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
			if !utf8.ValidString(s) || strings.ContainsFunc(s, bad) {
				t.Errorf("%q: got %q", body, s)
			}
		}
		if n := utf8.RuneCountInString(kept); n > 100 {
			t.Errorf("%d characters are kept", n)
		}
		markup.Parse(m.Content)
	})
}

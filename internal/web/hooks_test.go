package web_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"kaban"
	"kaban/internal/web"
)

// oneHook is the key "secret" for the room builds.
type oneHook struct{ err error }

func (h oneHook) Find(key string) (room kaban.RoomName, username kaban.Username, ok bool, err error) {
	if h.err != nil {
		return room, username, false, h.err
	}
	room, err = kaban.ParseRoomName("builds")
	if err != nil {
		return room, username, false, err
	}
	username, err = kaban.ParseUsername("webhook")
	return room, username, key == "secret", err
}

// last is the last message of the room.
func (f *fixture) last() (username, content string) {
	f.t.Helper()
	page := f.get("/v1/rooms/builds/messages?limit=1").has(f.t, 200)
	m := page.json["messages"].([]any)[0].(map[string]any)
	return m["username"].(string), m["content"].(string)
}

func TestHooks(t *testing.T) {
	f := start(t, web.Config{Hooks: oneHook{}}, nil)
	f.dial("ann")
	for _, test := range []struct{ name, body, username, content string }{
		{"text", `{"text":"the build is green"}`, "webhook", "the build is green"},
		{"a name", `{"text":"x","username":"Jenkins"}`, "Jenkins", "x"},
		{"a name with what names cannot have", `{"text":"x","username":" GitHub: Actions (beta) "}`, "GitHub-Actions-beta", "x"},
		{"a name of signs only", `{"text":"x","username":"!!!"}`, "webhook", "x"},
		{"a long name", `{"text":"x","username":"` + strings.Repeat("a", 40) + `"}`, strings.Repeat("a", 32), "x"},
		{"a name that is somebody's", `{"text":"x","username":"ANN"}`, "webhook", "x"},
		{"a reserved name", `{"text":"x","username":"server"}`, "webhook", "x"},
		{
			"escapes and links", `{"text":"a &lt;b&gt; &amp;lt; <https://ci.example/1|build 1> <https://ci.example/2> <!here> <@U1|ben> <@U2> <#C1|ops> <mailto:a@b.c|a@b.c>"}`,
			"webhook", "a <b> &lt; build 1 (https://ci.example/1) https://ci.example/2 @here @ben @U2 #ops a@b.c",
		},
		{"lines of another system", `{"text":"a\r\nb"}`, "webhook", "a\nb"},
		{
			"a layout", `{"text":"","attachments":[{"fields":[{"title":"n","value":1}],"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*down*"}}]}]}`,
			"webhook", "n: 1\n**down**",
		},
		{"colors", `{"text":"\u001b[31mred\u001b[0m"}`, "webhook", "red"},
		{"a number", `{"text":5,"username":7}`, "7", "5"},
		{"a form", "payload=" + url.QueryEscape(`{"text":"from a form & more"}`), "webhook", "from a form & more"},
		{"what is not known", `{"text":"x","icon_emoji":":tada:","channel":"#other","thread_ts":1}`, "webhook", "x"},
	} {
		got := f.do("POST", "/hooks/secret", test.body, "Content-Type", "application/x-www-form-urlencoded").has(t, 200)
		if got.body != "ok" {
			t.Errorf("%s: got %s", test.name, got)
		}
		if username, content := f.last(); username != test.username || content != test.content {
			t.Errorf("%s: got %s: %q, want %s: %q", test.name, username, content, test.username, test.content)
		}
	}
}

func TestBadHooks(t *testing.T) {
	f := start(t, web.Config{Hooks: oneHook{}}, nil)
	for _, test := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"a wrong key", "/hooks/wrong", `{"text":"x"}`, 404, "not_found"},
		{"no key", "/hooks/", `{"text":"x"}`, 404, ""},
		{"more than a key", "/hooks/secret/more", `{"text":"x"}`, 404, ""},
		{"nothing", "/hooks/secret", "", 400, "bad_json"},
		{"no JSON", "/hooks/secret", "hello", 400, "bad_json"},
		{"cut JSON", "/hooks/secret", `{"text":"x`, 400, "bad_json"},
		{"another form", "/hooks/secret", "other=x", 400, "bad_json"},
		{"a name twice", "/hooks/secret", `{"text":"x","text":"y"}`, 400, "bad_json"},
		{"a lone surrogate", "/hooks/secret", `{"text":"\ud800"}`, 400, "bad_json"},
		{"a form with no JSON in it", "/hooks/secret", "payload=x", 400, "bad_json"},
		{"no UTF-8", "/hooks/secret", "{\"text\":\"\xff\"}", 400, "bad_json"},
		{"no text", "/hooks/secret", `{}`, 400, "empty_content"},
		{"white space", "/hooks/secret", `{"text":"  \n "}`, 400, "empty_content"},
		{"a longer one", "/hooks/secret", strings.Repeat("x", 1<<20+1), 413, "frame_too_long"},
		{"deep nesting", "/hooks/secret", `{"text":"x","y":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}`, 400, "bad_json"},
	} {
		got := f.do("POST", test.path, test.body, "Content-Type", "application/json").has(t, test.status)
		if code, _ := got.json["code"].(string); code != test.code {
			t.Errorf("%s: got %s, want the code %q", test.name, got, test.code)
		}
	}
	f.do("GET", "/hooks/secret", "").has(t, 405)
	f.do("POST", "/hooks/secret", `{"text":"x"}`, "Origin", "https://evil.example").has(t, 403)
	f.get("/v1/rooms/builds").has(t, 404) // nothing was said
	for _, name := range []string{"webhook", "webhook-2", "webhook-3", "webhook-4", "webhook-5", "webhook-6", "webhook-7", "webhook-8", "webhook-9"} {
		f.dial(name)
	}
	f.do("POST", "/hooks/secret", `{"text":"x"}`).has(t, 409, "code", "username_taken")

	f = start(t, web.Config{Hooks: oneHook{err: errors.New("a path of the machine")}}, nil)
	if got := f.do("POST", "/hooks/secret", `{"text":"x"}`).has(t, 500, "code", "internal"); strings.Contains(got.body, "machine") {
		t.Errorf("it tells %s", got)
	}
	f = serve(t) // a server without hooks
	f.do("POST", "/hooks/secret", `{"text":"x"}`).has(t, 404, "code", "not_found")
}

// What is too long is stored as far as it goes, ends with a mark, and the answer
// says so in a header: the body stays what Slack's is.
func TestLongHooks(t *testing.T) {
	f := start(t, web.Config{Hooks: oneHook{}, MaxContent: 100}, nil)
	for _, n := range []int{100, 101, 400_000} {
		got := f.do("POST", "/hooks/secret", `{"text":"`+strings.Repeat("ä", n)+`"}`).has(t, 200)
		_, content := f.last()
		notice := got.header.Get("Kaban-Notice")
		if n <= 100 {
			if content != strings.Repeat("ä", n) || notice != "" {
				t.Errorf("%d: got %q with the notice %q", n, content, notice)
			}
			continue
		}
		mark := fmt.Sprintf("\n… [cut, %d characters in all]", n)
		if got.body != "ok" || !strings.HasSuffix(content, "ä"+mark) || utf8.RuneCountInString(content) != 100 {
			t.Errorf("%d: got %q for %q", n, got.body, content)
		}
		if want := fmt.Sprintf("the message was cut from %d to 100 characters", n); notice != want {
			t.Errorf("%d: got the notice %q, want %q", n, notice, want)
		}
	}
}

// FuzzAsUsername makes names of anything: each is a username, or nothing.
func FuzzAsUsername(f *testing.F) {
	for _, seed := range []string{"GitHub: Actions (beta)", "!!!", "\u0000", strings.Repeat("a", 40), "\u0301a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, wanted string) {
		name := web.AsUsername(wanted)
		if u, err := kaban.ParseUsername(name); err == nil && u.String() == "" {
			t.Errorf("%q gives an empty name", wanted)
		}
	})
}

// What did not come as a whole is not stored, and nobody is told that it was.
func TestHooksHalfABody(t *testing.T) {
	f := start(t, web.Config{Hooks: oneHook{}}, nil)
	for name, body := range map[string]string{
		"chunks that are none": "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
		"too short":            "Content-Length: 100\r\n\r\n{\"text\":\"x\"}",
	} {
		got := f.raw("POST /hooks/secret HTTP/1.1\r\nHost: " + f.host + "\r\n" + body)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "as a whole") {
			t.Errorf("%s: got %q", name, got)
		}
	}
	f.get("/v1/rooms/builds").has(t, 404)
}

package web_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

// withHook adds a hook with the key "secret" for the room builds to a store; nil is one
// in memory.
func withHook(t *testing.T, s store.Store) store.Store {
	t.Helper()
	if s == nil {
		s = teststore.New(t)
	}
	h := people.Hook{Hash: chat.HashHookKey("secret"), ID: "0123456789ab", Room: "builds", Username: "webhook"}
	if err := s.Update(t.Context(), func(tx store.Tx) error { return people.Hooks.Put(tx, &h) }); err != nil {
		t.Fatal(err)
	}
	return s
}

// brokenStore has documents that can be read until it breaks.
type brokenStore struct {
	store.Store
	broken atomic.Bool
}

func (s *brokenStore) View(ctx context.Context, run func(store.Tx) error) error {
	if s.broken.Load() {
		return errors.New("a path of the machine")
	}
	return s.Store.View(ctx, run)
}

// last is the last message of the room. The server has chosen its id.
func (f *fixture) last() (username, content string) {
	f.t.Helper()
	page := f.get("/v1/rooms/builds/messages?limit=1").has(f.t, 200)
	m := page.json["messages"].([]any)[0].(map[string]any)
	if id, err := uuid.Parse(m["id"].(string)); err != nil || id.Version() != 7 {
		f.t.Errorf("the id %v does not begin with time: %v", m["id"], err)
	}
	return m["username"].(string), m["content"].(string)
}

func TestHooks(t *testing.T) {
	f := start(t, web.Config{}, withHook(t, nil))
	f.dial("ann")
	for _, test := range []struct{ name, body, username, content string }{
		{"text", `{"text":"the build is green"}`, "webhook", "the build is green"},
		{"a name", `{"text":"x","username":"Jenkins"}`, "Jenkins", "x"},
		{"a name with what names cannot have", `{"text":"x","username":" GitHub: Actions (beta) "}`, "GitHub-Actions-beta", "x"},
		{"a name of signs only", `{"text":"x","username":"!!!"}`, "webhook", "x"},
		{"a long name", `{"text":"x","username":"` + strings.Repeat("a", 40) + `"}`, strings.Repeat("a", 32), "x"},
		{"a name that is somebody's", `{"text":"x","username":"ANN"}`, "ANN", "x"},
		{"a reserved name", `{"text":"x","username":"server"}`, "webhook", "x"},
		{
			"escapes and links", `{"text":"a &lt;b&gt; &amp;lt; <https://ci.example/1|build 1> <https://ci.example/2> <!here> <@U1|ben> <@U2> <#C1|ops> <mailto:a@b.c|a@b.c>"}`,
			"webhook", "a <b> &lt; build 1 (https://ci.example/1) https://ci.example/2 @here @ben @U2 #ops a@b.c",
		},
		{"lines of another system", `{"text":"a\r\nb"}`, "webhook", "a\nb"},
		{
			"attachments", `{"text":"t","attachments":[{"fallback":"no","pretext":"pre","author_name":"who","title":"title","title_link":"https://x.example/","text":"body","fields":[{"title":"a","value":"1"},{"value":"2"}],"image_url":"https://x.example/i.png","footer":"foot"},{"fallback":"instead"}]}`,
			"webhook", "t\npre\nwho\ntitle (https://x.example/)\nbody\na: 1\n2\nhttps://x.example/i.png\nfoot\ninstead",
		},
		{
			"blocks without a text", `{"blocks":[{"type":"header","text":{"type":"plain_text","text":"head"}},{"type":"divider"},{"type":"section","fields":[{"type":"mrkdwn","text":"one"},{"type":"mrkdwn","text":"two"}]}]}`,
			"webhook", "head\none\ntwo",
		},
		{"a text that says more than blocks", `{"text":"short","blocks":[{"type":"section","text":{"type":"mrkdwn","text":"long"}}]}`, "webhook", "short\nlong"},
		{"a number as text", `{"text":5,"username":7}`, "7", "5"},
		{"colours", `{"text":"\u001b[31mred\u001b[0m\r\nb\rc"}`, "webhook", "red\nb\nc"},
		{"a form without a payload", "text=x", "webhook", "x"},
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

// What is too long is cut, and the answer says so beside what Slack answers.
func TestHooksCut(t *testing.T) {
	f := start(t, web.Config{}, withHook(t, nil))
	got := f.do("POST", "/hooks/secret", `{"text":"`+strings.Repeat("ж", 5001)+`"}`, "Content-Type", "application/json").has(t, 200)
	if got.body != "ok" || got.header.Get("Kaban-Notice") != "cut: the message has 5001 characters, and the limit is 5000" {
		t.Errorf("got %s with %v", got, got.header)
	}
	if _, content := f.last(); content != strings.Repeat("ж", 4993)+"… [cut]" {
		t.Errorf("it ends with %q", content[len(content)-30:])
	}
	got = f.do("POST", "/hooks/secret", `{"text":"`+strings.Repeat("ж", 5000)+`"}`, "Content-Type", "application/json").has(t, 200)
	if got.header.Get("Kaban-Notice") != "" {
		t.Errorf("got %v", got.header)
	}
}

func TestBadHooks(t *testing.T) {
	f := start(t, web.Config{}, withHook(t, nil))
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
		{"a form with no JSON in it", "/hooks/secret", "payload=x", 400, "bad_json"},
		{"no UTF-8", "/hooks/secret", "{\"text\":\"\xff\"}", 400, "bad_json"},
		{"another form", "/hooks/secret", "payloads=x", 400, "bad_json"},
		{"only a colour", "/hooks/secret", `{"text":"\u001b[31m"}`, 400, "empty_content"},
		{"a name twice", "/hooks/secret", `{"text":"x","text":"y"}`, 400, "bad_json"},
		{"half a surrogate", "/hooks/secret", `{"text":"\ud83d"}`, 400, "bad_json"},
		{"no text", "/hooks/secret", `{}`, 400, "empty_content"},
		{"white space", "/hooks/secret", `{"text":"  \n "}`, 400, "empty_content"},
		{"a longer one", "/hooks/secret", strings.Repeat("x", 600_000), 413, "frame_too_long"},
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

	broken := &brokenStore{Store: withHook(t, nil)}
	f = start(t, web.Config{}, broken)
	broken.broken.Store(true)
	if got := f.do("POST", "/hooks/secret", `{"text":"x"}`).has(t, 500, "code", "internal"); strings.Contains(got.body, "machine") {
		t.Errorf("it tells %s", got)
	}
	f = serve(t) // a server without hooks
	f.do("POST", "/hooks/secret", `{"text":"x"}`).has(t, 404, "code", "not_found")
}

// What did not come as a whole is not stored, and nobody is told that it was.
func TestHooksHalfABody(t *testing.T) {
	f := start(t, web.Config{}, withHook(t, nil))
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

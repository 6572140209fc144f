package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What people have of a server still works after it was carried elsewhere, by a backup or an
// export: passwords, devices, tokens, invites and the rest. And whoever is kept out stays out.
// A server that keeps nothing can do the same while it runs.
func TestWhatPeopleHaveIsCarried(t *testing.T) {
	data, file := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "file")
	original := startHost(t, data)
	had := settle(t, original)
	kaban(t, file+".jsonl", "export", "--data", data)
	kaban(t, os.DevNull, "backup", "--data", data, file+".db")
	t.Run("where it was", func(t *testing.T) { had.isThere(t, original) })
	t.Run("by a backup", func(t *testing.T) {
		copied := filepath.Join(t.TempDir(), "data")
		kaban(t, os.DevNull, "restore", "--data", copied, file+".db")
		had.isThere(t, startHost(t, copied))
	})
	t.Run("by an export", func(t *testing.T) {
		copied := filepath.Join(t.TempDir(), "data")
		kaban(t, os.DevNull, "import", "--data", copied, file+".jsonl")
		had.isThere(t, startHost(t, copied))
	})
	t.Run("in memory", func(t *testing.T) {
		h := startHost(t, ":memory:")
		settle(t, h).isThere(t, h)
	})
}

// kaban runs a command that must succeed, and writes its standard output to a file.
func kaban(t *testing.T, out string, args ...string) {
	t.Helper()
	to, err := os.Create(out)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	var complaints bytes.Buffer
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Stdout, c.Stderr = to, &complaints
	if err := c.Run(); err != nil {
		t.Fatalf("kaban %v: %v\n%s", args, err, &complaints)
	}
}

// host is a server with kaban/1 and HTTP.
type host struct {
	log      *running
	tcp, web string
}

func startHost(t *testing.T, data string) *host {
	t.Helper()
	h := &host{log: command(t, "serve", "--data", data, "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0")}
	h.log.begin()
	h.log.await("msg=ready")
	h.tcp, h.web = h.after(t, "msg=listening url=tcp://"), h.after(t, "msg=listening url=http://")
	return h
}

// after returns what follows a text in the server's log, up to the end of the line.
func (h *host) after(t *testing.T, text string) string {
	t.Helper()
	_, rest, ok := strings.Cut(h.log.String(), text)
	if !ok {
		t.Fatalf("there is no %q in the log:\n%s", text, h.log)
	}
	rest, _, _ = strings.Cut(rest, "\n")
	rest, _, _ = strings.Cut(rest, " ")
	return rest
}

// fields are those of a JSON object.
type fields map[string]any

// request asks the HTTP API with a secret, "" is none, wants a status, and returns the body and
// the secret of the session that it has begun.
func (h *host) request(t *testing.T, secret, method, path string, body any, want int) (text, session string) {
	t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+h.web+path, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "http://"+h.web)
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := impatient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("%s %s: %d, want %d: %s", method, path, response.StatusCode, want, answer)
	}
	for _, c := range response.Cookies() {
		if strings.HasSuffix(c.Name, "kaban") {
			session = c.Value
		}
	}
	return string(answer), session
}

// field returns a text of a JSON object.
func field(t *testing.T, object, name string) string {
	t.Helper()
	var all fields
	if err := json.Unmarshal([]byte(object), &all); err != nil {
		t.Fatal(err)
	}
	text, ok := all[name].(string)
	if !ok {
		t.Fatalf("there is no text %s in %s", name, object)
	}
	return text
}

// caller is a connection that speaks kaban/1.
type caller struct {
	conn net.Conn
	in   *bufio.Reader
}

// hello says hello with some fields, and returns the answer.
func (h *host) hello(t *testing.T, hello fields) (*caller, string) {
	t.Helper()
	conn, err := net.Dial("tcp", h.tcp)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &caller{conn, bufio.NewReader(conn)}
	hello["type"], hello["version"] = "hello", 1
	return c, c.ask(t, hello)
}

// ask sends a request with a ref, and returns the answer to it.
func (c *caller) ask(t *testing.T, request fields) string {
	t.Helper()
	ref := fmt.Sprint("ref-", time.Now().UnixNano())
	if request["type"] != "hello" {
		request["ref"] = ref
	}
	line, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	c.conn.SetDeadline(time.Now().Add(patience))
	if _, err := c.conn.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	for {
		answer, err := c.in.ReadString('\n')
		if err != nil {
			t.Fatalf("%s: no answer: %v", line, err)
		}
		if request["type"] == "hello" || strings.Contains(answer, ref) {
			return answer
		}
	}
}

// must checks that an answer has a text.
func must(t *testing.T, what, answer, want string) {
	t.Helper()
	if !strings.Contains(answer, want) {
		t.Errorf("%s: got %s, want %s", what, answer, want)
	}
}

// had is what people have of a server.
type had struct {
	owner, device, session string // secrets of sign-ins: the owner's, and two of ann
	suspended, removed     string // of those that are
	token, reading, bot    string // of ann's programs
	hook, invite, code     string
	direct                 string // the name of a room
}

const passwordOf = "correct horse battery of "

// settle claims a server, and lets people live in it.
func settle(t *testing.T, h *host) *had {
	t.Helper()
	p := new(had)
	post := func(secret, path string, body fields, want int) string {
		t.Helper()
		text, _ := h.request(t, secret, http.MethodPost, path, body, want)
		return text
	}
	_, claim, _ := strings.Cut(h.after(t, "msg=claim url="), "#")
	_, p.owner = h.request(t, "", http.MethodPost, "/v1/claim", fields{"claim": claim, "username": "olga", "password": passwordOf + "olga"}, 201)
	secrets := make(map[string]string)
	for _, name := range []string{"ann", "bob", "mal", "gone"} {
		post(p.owner, "/v1/admin/users", fields{"username": name, "role": "member", "password": passwordOf + name}, 201)
		_, welcome := h.hello(t, fields{"username": name, "password": passwordOf + name})
		secrets[name] = field(t, welcome, "token")
	}
	p.device, p.suspended, p.removed = secrets["ann"], secrets["mal"], secrets["gone"]
	_, p.session = h.request(t, "", http.MethodPost, "/v1/session", fields{"username": "ann", "password": passwordOf + "ann"}, 200)

	p.token = field(t, post(p.session, "/v1/tokens", fields{"name": "a program"}, 201), "token")
	post(p.session, "/v1/bots", fields{"username": "ci"}, 201)
	p.bot = field(t, post(p.session, "/v1/tokens", fields{"username": "ci", "name": "a bot"}, 201), "token")
	_, p.invite, _ = strings.Cut(field(t, post(p.session, "/v1/invites", fields{"uses": 2}, 201), "link"), "#")
	post("", "/v1/invite/accept", fields{"invite": p.invite, "username": "first", "password": passwordOf + "first"}, 201)
	var codes struct {
		Codes []string `json:"recovery_codes"`
	}
	if err := json.Unmarshal([]byte(post(p.session, "/v1/account/recovery-codes", nil, 200)), &codes); err != nil || len(codes.Codes) == 0 {
		t.Fatal("no recovery codes", err)
	}
	p.code = codes.Codes[0]

	ann, welcome := h.hello(t, fields{"token": p.device})
	must(t, "ann", welcome, `"welcome"`)
	bob, _ := h.hello(t, fields{"token": secrets["bob"]})
	for _, step := range []struct {
		by      *caller
		request fields
	}{
		{ann, fields{"type": "create", "room": "plans", "kind": "private"}},
		{ann, fields{"type": "join", "room": "plans"}},
		{ann, fields{"type": "send", "room": "plans", "id": "1", "content": "ours alone"}},
		{ann, fields{"type": "invite", "room": "plans", "id": "2", "username": "bob"}},
		{ann, fields{"type": "kick", "room": "plans", "id": "3", "username": "bob"}},
		{ann, fields{"type": "create", "room": "hall", "kind": "public"}},
		{ann, fields{"type": "join", "room": "hall"}},
		{bob, fields{"type": "join", "room": "hall"}},
		{ann, fields{"type": "ban", "room": "hall", "id": "1", "username": "bob"}},
		{ann, fields{"type": "send", "room": "hall", "id": "2", "content": "to all"}},
		{ann, fields{"type": "notify", "room": "hall", "level": "none"}},
		{ann, fields{"type": "read", "room": "plans", "seq": 2}},
	} {
		if answer := step.by.ask(t, step.request); strings.Contains(answer, `"error"`) {
			t.Fatalf("%v: %s", step.request, answer)
		}
	}
	p.reading = field(t, post(p.session, "/v1/tokens", fields{"name": "a reader", "read_only": true, "rooms": []string{"hall"}}, 201), "token")
	p.direct = field(t, ann.ask(t, fields{"type": "direct", "usernames": []string{"olga"}}), "room")
	must(t, "the direct room", ann.ask(t, fields{"type": "join", "room": p.direct}), `"joined"`)
	must(t, "a direct message", ann.ask(t, fields{"type": "send", "room": p.direct, "id": "1", "content": "between us"}), `"ack"`)
	p.hook = field(t, post(p.session, "/v1/admin/hooks", fields{"room": "hall", "username": "builds"}, 201), "path")
	h.request(t, p.session, http.MethodPut, "/v1/account/notifications", fields{"keywords": []string{"lunch"}, "level": "mentions"}, 200)
	h.request(t, p.session, http.MethodPut, "/v1/blocks/bob", nil, 204)
	post(p.owner, "/v1/admin/users/mal/suspend", fields{"reason": "on leave"}, 204)
	h.request(t, p.owner, http.MethodDelete, "/v1/admin/users/gone", nil, 204)
	return p
}

// isThere checks that a server has all of it.
func (p *had) isThere(t *testing.T, h *host) {
	t.Helper()
	get := func(secret, path string, want int) string {
		t.Helper()
		text, _ := h.request(t, secret, http.MethodGet, path, nil, want)
		return text
	}
	post := func(secret, path string, body fields, want int) string {
		t.Helper()
		text, _ := h.request(t, secret, http.MethodPost, path, body, want)
		return text
	}
	// Those that come in, and those that do not.
	for _, c := range []struct {
		who   string
		hello fields
		want  string
	}{
		{"a visitor", fields{"username": "vic"}, `"auth_required"`},
		{"a password", fields{"username": "ann", "password": passwordOf + "ann"}, `"welcome"`},
		{"a wrong password", fields{"username": "ann", "password": passwordOf + "bob"}, `"auth_failed"`},
		{"an invited one", fields{"username": "first", "password": passwordOf + "first"}, `"welcome"`},
		{"a token", fields{"token": p.token}, `"username":"ann"`},
		{"a bot", fields{"token": p.bot}, `"bot":true`},
		{"a suspended device", fields{"token": p.suspended}, `"suspended"`},
		{"a suspended password", fields{"username": "mal", "password": passwordOf + "mal"}, `"suspended"`},
		{"a removed device", fields{"token": p.removed}, `"auth_failed"`},
		{"a removed password", fields{"username": "gone", "password": passwordOf + "gone"}, `"auth_failed"`},
	} {
		_, answer := h.hello(t, c.hello)
		must(t, c.who, answer, c.want)
	}
	must(t, "the session", get(p.session, "/v1/account", 200), `"username":"ann"`)
	must(t, "the owner", get(p.owner, "/v1/account", 200), `"role":"owner"`)
	must(t, "the suspended one", get(p.owner, "/v1/admin/users/mal", 200), `on leave`)
	if _, session := h.request(t, "", http.MethodPost, "/v1/session", fields{"username": "ann", "recovery_code": p.code}, 200); session == "" {
		t.Error("a recovery code begins no session")
	}
	post("", "/v1/session", fields{"username": "ann", "recovery_code": p.code}, 401)
	post("", "/v1/invite/accept", fields{"invite": p.invite, "username": "second", "password": passwordOf + "second"}, 201)
	post("", "/v1/invite/accept", fields{"invite": p.invite, "username": "third", "password": passwordOf + "third"}, 404)

	// What they have in rooms.
	ann, welcome := h.hello(t, fields{"token": p.device})
	must(t, "the device", welcome, `"username":"ann"`)
	me := ann.ask(t, fields{"type": "me"})
	for room, want := range map[string]string{"plans": `"read":2`, "hall": `"notify":"none"`} {
		_, of, _ := strings.Cut(me, `"room":"`+room+`"`)
		of, _, _ = strings.Cut(of, `"room":`)
		must(t, "ann in "+room, of, want)
		must(t, "ann in "+room, of, `"role":"op"`)
	}
	must(t, "ann's own room", ann.ask(t, fields{"type": "history", "room": "plans"}), "ours alone")
	must(t, "her keywords", get(p.session, "/v1/account/notifications", 200), `"lunch"`)
	must(t, "her blocks", get(p.session, "/v1/blocks", 200), `"bob"`)
	must(t, "her program", get(p.token, "/v1/rooms/plans/messages", 200), "ours alone")
	must(t, "her reader", get(p.reading, "/v1/rooms/hall/messages", 200), "to all")
	get(p.reading, "/v1/rooms/plans/messages", 404)
	post(p.reading, "/v1/rooms/hall/messages", fields{"id": "9", "content": "no"}, 403)
	post(p.token, "/v1/rooms/hall/messages", fields{"id": "10", "content": "by a program"}, 201)
	post("", p.hook, fields{"text": "by a hook"}, 200)
	must(t, "the hook", get(p.session, "/v1/rooms/hall/messages", 200), "by a hook")
	must(t, "the direct room", get(p.owner, "/v1/rooms/"+p.direct+"/messages", 200), "between us")

	// Whoever is out stays out, and nobody else gets in.
	bob, welcome := h.hello(t, fields{"username": "bob", "password": passwordOf + "bob"})
	must(t, "bob", welcome, `"welcome"`)
	olga, _ := h.hello(t, fields{"token": p.owner})
	for _, c := range []struct {
		who     string
		by      *caller
		request fields
		want    string
	}{
		{"bob was kicked", bob, fields{"type": "watch", "room": "plans"}, `"not_found"`},
		{"bob was kicked", bob, fields{"type": "join", "room": "plans"}, `"room_taken"`},
		{"bob was kicked", bob, fields{"type": "history", "room": "plans"}, `"not_found"`},
		{"bob was banned", bob, fields{"type": "join", "room": "hall"}, `"forbidden"`},
		{"bob was banned", bob, fields{"type": "send", "room": "hall", "id": "11", "content": "no"}, `"not_joined"`},
		{"bob is a third", bob, fields{"type": "history", "room": p.direct}, `"not_found"`},
		{"bob is blocked", bob, fields{"type": "direct", "usernames": []string{"ann"}}, `"forbidden"`},
		{"an owner outside", olga, fields{"type": "history", "room": "plans"}, `"forbidden"`},
		{"an owner outside", olga, fields{"type": "join", "room": "plans"}, `"forbidden"`},
	} {
		must(t, c.who, c.by.ask(t, c.request), c.want)
	}
	if list := bob.ask(t, fields{"type": "rooms"}); strings.Contains(list, `"plans"`) || !strings.Contains(list, `"hall"`) {
		t.Errorf("bob knows of %s", list)
	}
}

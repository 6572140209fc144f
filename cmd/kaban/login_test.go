package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
	talk "kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/credentials"
	"kaban/internal/dispatch"
	"kaban/internal/index"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/store/memory"
	"kaban/internal/tui"
	"kaban/internal/web"
	"kaban/wire"
)

const password = "correct horse battery"

// town is a server with the members ann and ben, in an empty home.
type town struct {
	t        *testing.T
	addr     string
	accounts *account.Service
	rooms    *talk.Chat
	lines    *server.Server
	web      string // what the server says of its page
	page     string // the host and port of servePage
}

func newTown(t *testing.T) *town {
	t.Helper()
	return newTownWith(t, account.Options{})
}

// newTownWith is newTown with some of the options of the accounts.
func newTownWith(t *testing.T, options account.Options) *town {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(home, "config"))
	for _, name := range []string{"KABAN_SERVER", "KABAN_USERNAME", "KABAN_TOKEN_FILE", "KABAN_WEB", "KABAN_CA", "KABAN_PIN", "KABAN_INSECURE"} {
		t.Setenv(name, "")
	}
	s := memory.New(0)
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := talk.New(t.Context(), d, talk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	x := index.Open(s, "", index.Options{Eager: true})
	d.SetOnGrown(x.Grew)
	rooms.SetIndex(x)
	m, err := conn.New(conn.Config{Loops: 1, Submit: rooms.Submit})
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &town{t: t, addr: l.Addr().String(), rooms: rooms}
	options.Hashes, options.OnRevoked, options.OnChanged, options.OnSettings = 1, rooms.Revoke, rooms.AccountChanged, rooms.SettingChanged
	w.accounts = account.New(s, options)
	served := make(chan error, 1)
	front := server.New(server.Config{Accounts: w.accounts, Web: func() string { return w.web }}, rooms, m)
	w.lines = front
	go func() { served <- front.Serve(l, peer.Loopback()) }()
	t.Cleanup(func() {
		m.Close()
		<-served
		x.Close()
		d.Close()
		s.Close()
	})
	if _, err := w.accounts.MakeOwner(t.Context(), "olga", password); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "ben"} {
		person := account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: kaban.RoleMember}
		if _, _, err := w.accounts.AddAccount(t.Context(), account.Operator(), person); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

func (w *town) token(name string) string {
	w.t.Helper()
	_, secret, err := w.accounts.MakeToken(w.t.Context(), account.Operator(), account.NewToken{Username: name, Name: "test", Expires: time.Hour})
	if err != nil {
		w.t.Fatal(err)
	}
	return secret
}

// client returns a client of an account, which ends with the test.
func (w *town) client(ctx context.Context, name string) *client.Client {
	w.t.Helper()
	c, err := client.Dial(ctx, w.addr, client.Options{}.WithToken(w.token(name)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// webPage is what the server's page does of the device grant and of signing out.
type webPage struct {
	*httptest.Server
	polls   atomic.Int64
	denied  bool
	revoked atomic.Value
}

func newPage(t *testing.T, token string) *webPage {
	p := new(webPage)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/device", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"device_code":"DEVICE-CODE","user_code":"BCDF-GHJK","verification_uri":"http://page/device","verification_uri_complete":"http://page/device#BCDF-GHJK","expires_in":600,"interval":1}`)
	})
	mux.HandleFunc("POST /v1/device/token", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case p.polls.Add(1) == 1:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"authorization_pending"}`)
		case p.denied:
			w.WriteHeader(http.StatusBadRequest)
			io.WriteString(w, `{"error":"access_denied"}`)
		default:
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","username":"ann"}`, token)
		}
	})
	mux.HandleFunc("DELETE /v1/session", func(w http.ResponseWriter, r *http.Request) {
		p.revoked.Store(r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusNoContent)
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

// kabanRuns runs a command and returns its exit code and output.
func kabanRuns(input string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, streams{in: strings.NewReader(input), out: &out, err: &errs})
	return code, out.String(), errs.String()
}

// expect runs a command that must end with a code and print some texts.
func expect(t *testing.T, code int, input string, args []string, texts ...string) string {
	t.Helper()
	got, stdout, stderr := kabanRuns(input, args...)
	all := stdout + stderr
	if got != code {
		t.Errorf("%q: exit code %d, want %d:\n%s", args, got, code, all)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Errorf("%q: no %q in\n%s", args, text, all)
		}
	}
	if strings.Contains(all, password) {
		t.Errorf("%q: the password is printed", args)
	}
	return stdout
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A person signs in with a code, is who they are in every command, and signs out.
func TestLoginWithACode(t *testing.T) {
	w := newTown(t)
	token := w.token("ann")
	p := newPage(t, token)
	at := []string{"--server", strings.ToUpper(w.addr)}
	expect(t, exitFailed, "", append([]string{"whoami"}, at...), "not signed in", "kaban login --server "+w.addr)
	expect(t, exitFailed, "", append([]string{"send", "lobby", "hello"}, at...), "kaban login --server "+w.addr, "auth_required")
	out := expect(t, exitDone, "", append([]string{"login", "--web", p.URL}, at...), "open http://page/device", "BCDF-GHJK", "http://page/device#BCDF-GHJK", "signed in to "+w.addr+" as ann")
	if strings.Contains(out, token) || strings.Contains(out, "DEVICE-CODE") || p.polls.Load() != 2 {
		t.Errorf("after %d polls: %s", p.polls.Load(), out)
	}
	saved := savedCredentials()
	if c, ok, err := saved.Of(w.addr); !ok || err != nil || string(c.Token) != token || c.Username != "ann" || c.Web != p.URL {
		t.Errorf("saved is %+v, %v, %v", c, ok, err)
	}
	if info, err := os.Stat(saved.Path()); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	expect(t, exitDone, "", append([]string{"whoami"}, at...), "ann, member at "+w.addr)
	var who map[string]any
	if err := json.Unmarshal([]byte(expect(t, exitDone, "", append([]string{"whoami", "--json"}, at...))), &who); err != nil || who["username"] != "ann" || who["role"] != "member" || who["bot"] != false {
		t.Errorf("whoami --json: %v, %v", who, err)
	}
	expect(t, exitDone, "", append([]string{"logout"}, at...), "signed out of "+w.addr)
	if p.revoked.Load() != "Bearer "+token {
		t.Errorf("revoked is %v", p.revoked.Load())
	}
	expect(t, exitFailed, "", append([]string{"logout"}, at...), "not signed in")

	p.denied = true
	expect(t, exitFailed, "", append([]string{"login", "--web", p.URL}, at...), "the sign-in was refused")
	p.Close()
	expect(t, exitFailed, "", append([]string{"login", "--web", p.URL}, at...), "no code from "+p.URL, "--web")
}

// Passwords and tokens come from files or standard input.
func TestLoginWithASecret(t *testing.T) {
	w := newTown(t)
	at := func(args ...string) []string { return append(args, "--server", w.addr) }
	expect(t, exitDone, "", at("login", "--username", "ann", "--password-file", file(t, password+"\r\n")), "as ann")
	c, _, err := savedCredentials().Of(w.addr)
	if err != nil || !c.Device || c.Web != "" {
		t.Errorf("saved is %+v, %v", c, err)
	}
	if _, err := w.accounts.Authenticate(t.Context(), string(c.Token), ""); err != nil {
		t.Errorf("the saved token: %v", err)
	}
	expect(t, exitDone, password+"\n", at("login", "--username", "ben", "--password-file", "-"), "as ben")
	expect(t, exitDone, w.token("ann"), at("login", "--token-file", "-"), "as ann")
	expect(t, exitDone, "", at("logout"), "forgot the token of ann")
	expect(t, exitFailed, "wrong\n", at("login", "--username", "ann", "--password-file", "-"), "the username ann with this password", "auth_failed")
	bad := file(t, "a-token-nobody-made\n")
	expect(t, exitFailed, "", at("login", "--token-file", bad), "the token in "+bad, "auth_failed")
	expect(t, exitFailed, "", at("send", "--token-file", bad, "lobby", "x"), "the token in "+bad, "auth_failed")
	expect(t, exitFailed, "\n", at("login", "--token-file", "-"), "empty")
	expect(t, exitFailed, "", at("login", "--token-file", "/nowhere"), "read the token")
	expect(t, exitUsage, "", at("login", "--password", "--username", "ann"), "--password-file FILE")
	expect(t, exitUsage, "", at("login", "--password", "--token-file", "x"), "--token-file")
	if err := w.accounts.Set(t.Context(), account.Operator(), account.SettingAccess, "open"); err != nil {
		t.Fatal(err)
	}
	expect(t, exitFailed, "", at("send", "lobby", "x", "--username", "server"), "--username server at "+w.addr, "or one that looks like it, is reserved; choose another")
	if err := w.accounts.Set(t.Context(), account.Operator(), account.SettingAccess, "invite"); err != nil {
		t.Fatal(err)
	}
	if _, ok, _ := savedCredentials().Of(w.addr); ok {
		t.Error("a sign-in that failed is saved")
	}
	if err := savedCredentials().Put(w.addr, credentials.Credential{Username: "ann", Token: "revoked"}); err != nil {
		t.Fatal(err)
	}
	expect(t, exitFailed, "", at("whoami"), "signs in again", "auth_failed")
	expect(t, exitFailed, "", at("send", "lobby", "x", "--username", "server"), "leave it out")
	expect(t, exitFailed, "", at("send", "lobby", "x", "--username", "olga"), "you are signed in to", "as ann, and --username olga makes you a visitor; leave it out")
}

// A stranger at the same address that guesses all the time keeps nobody out that signs in
// with a password at a terminal where they have signed in before, signed out or not. Another
// terminal of theirs waits, and is told what helps.
func TestAStrangerGuessesAllTheTime(t *testing.T) {
	// The time stands still, so whoever has to wait waits for ever.
	w := newTownWith(t, account.Options{SignIns: limit.NewSignIns(10, func() time.Duration { return 0 })})
	login := []string{"login", "--username", "ann", "--password-file", file(t, password), "--server", w.addr}
	expect(t, exitDone, "", login, "as ann")

	refused, stop := make(chan error, 1), make(chan struct{})
	var guessing sync.WaitGroup
	guessing.Go(func() {
		for guessed := false; ; {
			_, err := client.Dial(t.Context(), w.addr, client.Options{}.WithPassword("ann", "wrong horse battery"))
			if e, ok := errors.AsType[*client.Error](err); !guessed && (!ok || e.Code != wire.CodeAuthFailed) {
				refused <- err
				guessed = true
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	defer guessing.Wait()
	defer close(stop)
	if e, ok := errors.AsType[*client.Error](<-refused); !ok || e.Code != wire.CodeRateLimited {
		t.Fatalf("the stranger is not slowed down: %v", e)
	}
	expect(t, exitDone, "", login, "as ann")
	expect(t, exitFailed, "", []string{"logout", "--server", w.addr}, "the token is deleted here")
	if saved, ok, err := savedCredentials().Of(w.addr); ok || err != nil || saved.Token != "" || saved.Username != "" {
		t.Errorf("after signing out: %+v, %v, %v", saved, ok, err)
	}
	expect(t, exitFailed, "", []string{"whoami", "--server", w.addr}, "not signed in")
	expect(t, exitDone, "", login, "as ann")

	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	expect(t, exitFailed, "", login, "rate_limited", "kaban login --server "+w.addr)
}

// An account reads without joining, and sends only where it is a member.
func TestAnAccountJoinsOnlyWhenTold(t *testing.T) {
	w := newTown(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ben := w.client(ctx, "ben")
	if _, err := ben.Create(ctx, client.NewRoom{Name: "square", Kind: kaban.RoomPublic}); err != nil {
		t.Fatal(err)
	}
	members := func(want string) {
		t.Helper()
		list, _, err := ben.Members(ctx, "square", "", 0)
		var names []string
		for _, m := range list {
			names = append(names, m.Username)
		}
		if got := strings.Join(names, " "); err != nil || got != want {
			t.Errorf("the members are %q, want %q: %v", got, want, err)
		}
	}
	at := func(args ...string) []string {
		return append(args, "--server", w.addr, "--token-file", file(t, w.token("ann")))
	}
	expect(t, exitFailed, "", at("send", "square", "hello"), "not_joined", "--join")
	members("ben")
	expect(t, exitDone, "", at("send", "--join", "Square", "hello"))
	members("ann ben")
	expect(t, exitDone, "", at("send", "SQUARE", "again"))
	if _, err := ben.Kick(ctx, client.Moderation{Room: "square", Username: "ann"}); err != nil {
		t.Fatal(err)
	}
	expect(t, exitFailed, "", at("send", "square", "once more"), "not_joined")
	cursor := filepath.Join(t.TempDir(), "cursor")
	expect(t, exitDone, "", at("tail", "square", "--since", "0", "--cursor", cursor), "ann:> hello", "ann:> again")
	members("ben")
	expect(t, exitFailed, "", at("send", "nowhere", "hello"), "there is no room nowhere that you may read; --join makes it if the name is free", "/msg nowhere", "not_joined")
	expect(t, exitDone, "", at("send", "--join", "New", "hello"), "kaban: made the room New\n")
	if _, err := ben.Create(ctx, client.NewRoom{Name: "hush", Kind: kaban.RoomPrivate}); err != nil {
		t.Fatal(err)
	}
	expect(t, exitFailed, "", at("send", "--join", "hush", "hello"), "you cannot join hush; somebody in it must invite you (room_taken)")
	if _, _, stderr := kabanRuns("", at("send", "--join", "square", "hello")...); stderr != "" {
		t.Errorf("joining a room that there is: %q", stderr)
	}
	if _, err := ben.Kick(ctx, client.Moderation{Room: "square", Username: "ann"}); err != nil {
		t.Fatal(err)
	}
	expect(t, exitUsage, "", at("send", "#square", "hello"), "leave out the #; the room is square")
	expect(t, exitUsage, "", at("send", "@ben", "hello"), "/msg ben in \"kaban chat\"")
	expect(t, exitUsage, "", at("tail", "@ben"), "/msg ben in \"kaban chat\"")
	expect(t, exitUsage, "", at("send", "square", "-x"), "unknown flag -x", "kaban send lobby -- -x")
	expect(t, exitUsage, "", at("tail", "square", "-x"), "unknown flag -x")
	expect(t, exitFailed, "a\xffb", at("send", "new"), "it is not UTF-8 at position 1")
	expect(t, exitFailed, "", at("tail", "nowhere"), "there is no room nowhere that you may read", "not_found")
	expect(t, exitFailed, "", at("tail", "nowhere", "--follow"), "not_found")
	expect(t, exitUsage, "", append(at("send", "square"), "--token-file", "-"), "--token-file -")
	expect(t, exitUsage, "", append(at("send", "square", "-"), "--token-file", "-"), "--token-file -")
	expect(t, exitUsage, "", []string{"room", "retention", "lobby"}, "the usage is: kaban room retention <room> <value>")
	expect(t, exitUsage, "", at("send"), "the usage is: kaban send <room>")
}

// A dash is standard input, as for other programs.
func TestSendADash(t *testing.T) {
	w := newTown(t)
	at := func(args ...string) []string {
		return append(args, "--server", w.addr, "--token-file", file(t, w.token("ann")))
	}
	expect(t, exitDone, "one\ntwo\n", at("send", "lobby", "-"))
	expect(t, exitDone, "", at("send", "lobby", "-", "is a dash"))
	expect(t, exitDone, "", at("tail", "lobby", "--since", "0"), `ann:> one\ntwo`, "ann:> - is a dash\n")
}

// A search in a room that is not there says so, and says the same of one that is hidden.
func TestSearchInNoRoom(t *testing.T) {
	w := newTown(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ben := w.client(ctx, "ben")
	if _, err := ben.Create(ctx, client.NewRoom{Name: "hush", Kind: kaban.RoomPrivate}); err != nil {
		t.Fatal(err)
	}
	secret := file(t, w.token("ann"))
	said := func(query ...string) string {
		code, stdout, stderr := kabanRuns("", append(append([]string{"search"}, query...), "--server", w.addr, "--token-file", secret)...)
		if code != exitDone || stdout != "" {
			t.Errorf("%q: exit code %d, %q", query, code, stdout)
		}
		return stderr
	}
	hidden, absent := said("in:hush"), said("in:nosuch")
	if want := "there is no room nosuch that you may read"; !strings.Contains(absent, want) || strings.ReplaceAll(hidden, "hush", "nosuch") != absent {
		t.Errorf("absent: %q; hidden: %q; want %q for both", absent, hidden, want)
	}
	if got, want := said("in:lobby", "nothing"), "nothing found; a message of the last few seconds may not be indexed yet"; !strings.Contains(got, want) || strings.Contains(got, "no room") {
		t.Errorf("a room that is there: %q, want %q", got, want)
	}
}

// The username of another makes a visitor; on a server with accounts there are none.
func TestAnotherNameIsAVisitor(t *testing.T) {
	for name, c := range map[string]struct {
		flags connectFlags
		token string
	}{
		"nothing said":     {connectFlags{}, "saved"},
		"the own name":     {connectFlags{Username: "ANN"}, "saved"},
		"another name":     {connectFlags{Username: "ben"}, ""},
		"a name and token": {connectFlags{Username: "ben", TokenFile: "-"}, "given"},
		"a bad name":       {connectFlags{Username: "a b"}, ""},
	} {
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		if err := savedCredentials().Put("h:1", credentials.Credential{Username: "ann", Token: "saved"}); err != nil {
			t.Fatal(err)
		}
		got, err := c.flags.signIn("h:1", client.Options{}, strings.NewReader("given\n"))
		if err != nil || string(got.Token) != c.token {
			t.Errorf("%s: got %q, %v; want %q", name, string(got.Token), err, c.token)
		}
		if got, err := c.flags.signIn("h:2", client.Options{}, strings.NewReader("given\n")); err != nil || c.flags.TokenFile == "" && got.Token != "" {
			t.Errorf("%s: another server gets %q, %v", name, string(got.Token), err)
		}
	}
}

// Where people sign in with a code, the page has its usual address unless they name it.
func TestUsualWebOf(t *testing.T) {
	for server, want := range map[string]string{
		"127.0.0.1:6440": "http://127.0.0.1:6480", "localhost:7000": "http://localhost:6480", "[::1]:6440": "http://[::1]:6480",
		"chat.example.com:6440": "https://chat.example.com", "tcp://192.0.2.1": "https://192.0.2.1", "tls://[2001:db8::1]:6440": "https://[2001:db8::1]",
	} {
		if got := usualWebOf(server); got != want {
			t.Errorf("%s: got %s, want %s", server, got, want)
		}
	}
}

// servePage serves the page and the API until the test ends.
func (w *town) servePage(origins ...string) {
	w.t.Helper()
	pages, err := web.New(web.Config{Accounts: w.accounts, Origins: origins, Log: slog.New(slog.DiscardHandler)}, w.rooms, w.lines)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(w.t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- pages.Serve(l, peer.Loopback()) }()
	w.t.Cleanup(func() {
		pages.Close()
		<-served
	})
	w.page = l.Addr().String()
}

// A code of a real server works: a person approves the device, signs in with it, and
// revokes it.
func TestLoginAtARealPage(t *testing.T) {
	w := newTown(t)
	w.servePage()
	ann, err := w.accounts.SignInWithPassword(t.Context(), "ann", password, account.Device{Name: "browser"})
	if err != nil {
		t.Fatal(err)
	}
	by := ann.Principal.As("127.0.0.1")
	devices := func() (n int) {
		t.Helper()
		all, err := w.accounts.Devices(t.Context(), by)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			if d.Name == "laptop" {
				n++
			}
		}
		return n
	}
	reader, writer := io.Pipe()
	done := make(chan int, 1)
	go func() {
		args := []string{"login", "--server", w.addr, "--web", "http://" + w.page, "--name", "laptop"}
		done <- run(args, streams{in: strings.NewReader(""), out: io.Discard, err: writer})
		writer.Close()
	}()
	for lines := bufio.NewScanner(reader); lines.Scan(); {
		if _, code, ok := strings.Cut(lines.Text(), "enter the code "); ok {
			if err := w.accounts.DecideGrant(t.Context(), by, code, true); err != nil {
				t.Errorf("the code %q: %v", code, err)
			}
		}
	}
	if code := <-done; code != exitDone {
		t.Fatalf("exit code %d", code)
	}
	if n := devices(); n != 1 {
		t.Errorf("%d devices, want 1", n)
	}
	expect(t, exitDone, "", []string{"whoami", "--server", w.addr}, "ann, member")
	var flags connectFlags
	lines, err := flags.devices(t.Context(), w.addr)
	if err != nil || len(lines) != 2 || !strings.Contains(strings.Join(lines, "\n"), "laptop") || !strings.Contains(strings.Join(lines, "\n"), "(this one)") {
		t.Errorf("the devices are %q, %v", lines, err)
	}
	if err := flags.setName(t.Context(), w.addr, "Ann B."); err != nil {
		t.Error(err)
	}
	expect(t, exitDone, "", []string{"whoami", "--server", w.addr}, "ann (Ann B.), member")
	found, ok, err := flags.person(t.Context(), w.addr, "ANN")
	found.Online = false // the server may not have noticed the end of the connections above
	if want := (tui.Person{Account: wire.Account{Username: "ann", Name: "Ann B.", Role: kaban.RoleMember}}); err != nil || !ok || found != want {
		t.Errorf("ann is %+v, %t, %v; want %+v", found, ok, err, want)
	}
	if found, ok, err := flags.person(t.Context(), w.addr, "an"); err != nil || ok {
		t.Errorf("the name of nobody: %+v, %v", found, err)
	}
	expect(t, exitDone, "", []string{"logout", "--server", w.addr}, "signed out")
	if _, err := flags.devices(t.Context(), w.addr); err == nil {
		t.Error("devices are listed after signing out")
	}
	if n := devices(); n != 0 {
		t.Errorf("%d devices after signing out", n)
	}
}

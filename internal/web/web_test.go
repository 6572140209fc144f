package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"

	"kaban/client"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/files/disk"
	"kaban/internal/files/keep"
	"kaban/internal/files/upload"
	"kaban/internal/logs/logstest"
	"kaban/internal/nodetest"
	"kaban/internal/peer"
	"kaban/internal/push"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

func TestMain(m *testing.M) {
	servePicture()
	// After a bad request net/http waits half a second for the client to read the
	// answer, longer than goleak waits.
	goleak.VerifyTestMain(teststore.Main{M: m}, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

var update = flag.Bool("update", false, "write the golden files anew")

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// cheapKey is argon2.IDKey with as little work as it can have. What a password costs is tested
// in package account; here a hundred people sign up at once.
func cheapKey(password, salt []byte, _, _ uint32, _ uint8, length uint32) []byte {
	return argon2.IDKey(password, salt, 1, 8, 1, length)
}

// fixture is a server with both front ends on free ports.
type fixture struct {
	t          testing.TB
	url        string // http://HOST:PORT
	host       string
	tcp        string
	dispatcher *dispatch.Dispatcher // this and those below are of the first node
	manager    *conn.Manager
	web        *web.Server
	chat       *chat.Chat
	accounts   *account.Service
	nodes      []*nodetest.Node
	acts       atomic.Int64 // acts so far
	log        *logstest.Buffer
	clock      clock // of the accounts
	client     *http.Client
}

// clock is the time of day, and more if a test lets time pass.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time         { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) elapsed() time.Duration { return time.Since(started) + time.Duration(c.ahead.Load()) }
func (c *clock) pass(d time.Duration)   { c.ahead.Add(int64(d)) }

var started = time.Now()

func start(t testing.TB, config web.Config, s store.Store, settings ...chat.Options) *fixture {
	t.Helper()
	settings = append(settings, chat.Options{})
	if s == nil {
		s = teststore.New(t)
	}
	f := &fixture{t: t, log: new(logstest.Buffer), nodes: nodetest.On(t, s)}
	config.Log = slog.New(slog.NewTextHandler(f.log, nil))
	listen := func() (net.Listener, string) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l, l.Addr().String()
	}
	var tcp, host net.Listener
	tcp, f.tcp = listen()
	host, f.host = listen()
	f.url = "http://" + f.host
	lines, pages := nodetest.Share(tcp, len(f.nodes)), nodetest.Share(host, len(f.nodes))
	keeps, blobs := config.Files == nil, t.TempDir() // which nodes have in common
	if config.Files == none {
		config.Files = nil
	}
	for i, n := range slices.Backward(f.nodes) { // the first one stays in the fixture
		if keeps {
			config.Files = keeperOver(t, blobs, config.Log, nil)
		}
		f.run(n, lines[i], pages[i], config, settings[0])
	}
	transport := new(http.Transport)
	f.client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(transport.CloseIdleConnections)
	return f
}

// settle waits until all nodes know what was changed at one.
func (f *fixture) settle() { f.nodes[0].Settle(f.t) }

// run runs a node that ends with the test.
func (f *fixture) run(node *nodetest.Node, tcp, pages net.Listener, config web.Config, settings chat.Options) {
	t, s := f.t, node.Store
	t.Helper()
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(context.Background(), d, settings)
	if err != nil {
		t.Fatal(err)
	}
	leave := node.Join(t, d, rooms)
	manager, err := conn.New(conn.Config{Submit: rooms.Submit})
	if err != nil {
		t.Fatal(err)
	}
	f.dispatcher, f.chat, f.manager = d, rooms, manager
	f.accounts = account.New(s, account.Options{
		Now: f.clock.now, Elapsed: f.clock.elapsed, Argon2id: cheapKey,
		Log: config.Log, OnRevoked: rooms.Revoke, OnChanged: rooms.AccountChanged, OnSettings: rooms.SettingChanged, OnNotifications: rooms.NotificationsChanged,
	})
	config.Accounts, config.PushKey = f.accounts, "BDd3_hVL9fZi9Ybo2UUzA284WG5FZR30_95YeZJsiApwXKpNcF1rRPF3foIiBHXRdJI2Qhumhf6_LFTeZaNndIo"
	config.CheckPush = func(_ context.Context, endpoint string) error {
		if strings.Contains(endpoint, "nowhere.example") {
			return &push.SubscriptionError{Field: "endpoint", Problem: "cannot be used"}
		}
		return nil
	}
	lines := server.New(server.Config{Accounts: f.accounts}, rooms, manager)
	served, err := web.New(config, rooms, lines)
	if err != nil {
		t.Fatal(err)
	}
	f.web = served
	begin := func(l net.Listener, serve func(net.Listener, peer.Rules) error, closed error) {
		done := make(chan error, 1)
		go func() { done <- serve(l, peer.Loopback()) }()
		t.Cleanup(func() {
			if err := <-done; !errors.Is(err, closed) {
				t.Errorf("Serve: got %v, want %v", err, closed)
			}
		})
	}
	begin(tcp, lines.Serve, conn.ErrClosed)
	begin(pages, served.Serve, web.ErrClosed)
	t.Cleanup(func() {
		served.Close()
		manager.Close()
		leave(func() {
			rooms.Close()
			d.Close()
		})
		s.Close()
		if n := manager.Panics(); n != 0 {
			t.Errorf("%d panics:\n%s", n, f.log)
		}
	})
}

// keeper returns one over a directory of the test.
func keeper(t testing.TB, log *slog.Logger, pictures keep.Pictures) *keep.Keeper {
	t.Helper()
	return keeperOver(t, t.TempDir(), log, pictures)
}

// keeperOver returns one with files in a directory that others may have as well.
func keeperOver(t testing.TB, blobs string, log *slog.Logger, pictures keep.Pictures) *keep.Keeper {
	t.Helper()
	store, err := disk.Open(blobs)
	if err != nil {
		t.Fatal(err)
	}
	staging, err := upload.Open(upload.Config{Dir: filepath.Join(t.TempDir(), "uploads"), Limits: upload.DefaultLimits(), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	return keep.New(keep.Config{Staging: staging, Store: store, Pictures: pictures, Log: log})
}

func serve(t *testing.T) *fixture { return start(t, web.Config{}, nil) }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (a *answer) String() string { return fmt.Sprint(a.status, " ", a.body) }

// has compares fields of the body: name, value, name, value …
func (a *answer) has(t testing.TB, status int, fields ...any) *answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("got %s, want the status %d", a, status)
	}
	for i := 0; i < len(fields); i += 2 {
		if got := fmt.Sprint(a.json[fields[i].(string)]); got != fmt.Sprint(fields[i+1]) {
			t.Fatalf("%s: got %s, want %v in %s", fields[i], got, fields[i+1], a)
		}
	}
	return a
}

// do makes a request, to a node that knows what was changed before. headers are name, value, name, value … What comes back must
// be as the OpenAPI document says.
func (f *fixture) do(method, path, body string, headers ...string) *answer {
	f.t.Helper()
	f.settle()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, f.url+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			request.Host = headers[i+1]
		}
		request.Header.Set(headers[i], headers[i+1])
	}
	got, err := f.client.Do(request)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	if err != nil {
		f.t.Fatalf("%s %s: %v", method, path, err)
	}
	a := &answer{status: got.StatusCode, header: got.Header, body: string(text)}
	if strings.Contains(got.Header.Get("Content-Type"), "json") && method != http.MethodHead {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&a.json); err != nil {
			f.t.Fatalf("%s %s: got %q: %v", method, path, text, err)
		}
	}
	f.check(method, path, a)
	return a
}

func (f *fixture) get(path string, headers ...string) *answer {
	f.t.Helper()
	return f.do(http.MethodGet, path, "", headers...)
}

func (f *fixture) post(room, body string, headers ...string) *answer {
	f.t.Helper()
	return f.do(http.MethodPost, "/v1/rooms/"+room+"/messages", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// say posts a message, which must be stored.
func (f *fixture) say(room, id, username, content string) *answer {
	f.t.Helper()
	body, err := json.Marshal(map[string]string{"id": id, "username": username, "content": content})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.post(room, string(body)).has(f.t, http.StatusCreated, "id", id)
}

const golden = "testdata/openapi.json"

// A start makes neither the handlers for programs nor the OpenAPI document: they would be
// most of it. The document is made when somebody asks for it.
func TestMadeWhenAskedFor(t *testing.T) {
	f := start(t, web.Config{Page: http.NotFoundHandler()}, nil)
	for _, step := range []struct {
		path               string
		handlers, document bool
	}{{"", false, false}, {"/", false, false}, {"/readyz", true, false}, {"/openapi.json", true, true}} {
		if step.path != "" {
			response, err := f.client.Get(f.url + step.path)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		if handlers, document := f.web.Made(); handlers != step.handlers || document != step.document {
			t.Errorf("after %q: handlers are made: %t, want %t; the document: %t, want %t", step.path, handlers, step.handlers, document, step.document)
		}
	}
}

// If the handlers for programs cannot be made, each request learns why, not the first only.
func TestMakingPanics(t *testing.T) {
	f := start(t, web.Config{}, nil)
	f.web.BreakMaking("no schema")
	for i := range 2 {
		func() {
			defer func() {
				if cause := recover(); cause != "no schema" {
					t.Errorf("request %d panicked with %v", i, cause)
				}
			}()
			request := httptest.NewRequest(http.MethodGet, "http://localhost/healthz", nil)
			request.RemoteAddr = "127.0.0.1:1"
			f.web.Answer(httptest.NewRecorder(), request, peer.Loopback())
		}()
	}
}

// document is the OpenAPI document as it is committed.
var document = sync.OnceValues(func() (map[string]any, error) {
	text, err := os.ReadFile(filepath.FromSlash(golden))
	if err != nil {
		return nil, err
	}
	found, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return found.(map[string]any), nil
})

// operation finds what the document says of a request, nil if it says nothing.
func operation(document map[string]any, method, path string) (pattern string, operation map[string]any) {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for pattern, item := range document["paths"].(map[string]any) {
		names := strings.Split(pattern, "/")
		same := len(names) == len(parts)
		for i := 0; same && i < len(names); i++ {
			same = names[i] == parts[i] || strings.HasPrefix(names[i], "{")
		}
		if same {
			if found, ok := item.(map[string]any)[strings.ToLower(method)]; ok {
				return pattern, found.(map[string]any)
			}
		}
	}
	return "", nil
}

// check holds an answer against the document, by means of another library than
// the one that has written it.
func (f *fixture) check(method, path string, a *answer) {
	f.t.Helper()
	all, err := document()
	if err != nil {
		f.t.Fatal(err)
	}
	pattern, op := operation(all, method, path)
	if op == nil || a.status == http.StatusMisdirectedRequest || a.status == http.StatusUpgradeRequired {
		return
	}
	response, ok := op["responses"].(map[string]any)[fmt.Sprint(a.status)].(map[string]any)
	if !ok {
		f.t.Errorf("%s %s answers %s, which the document does not mention", method, path, a)
		return
	}
	media, _, _ := strings.Cut(a.header.Get("Content-Type"), ";")
	content, _ := response["content"].(map[string]any)
	if media == "" && a.body == "" && (content == nil || op["operationId"] == "upload-file") { // with tus
		return
	}
	if _, any := content["*/*"]; any { // the bytes of a file
		return
	}
	if _, ok := content[media]; !ok {
		f.t.Errorf("%s %s: the type of the answer is %s, which the document does not mention", method, path, media)
		return
	}
	if a.json == nil {
		return
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", all); err != nil {
		f.t.Fatal(err)
	}
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	schema, err := compiler.Compile(fmt.Sprintf("openapi.json#/paths/%s/%s/responses/%d/content/%s/schema",
		strings.NewReplacer("{", "%7B", "}", "%7D").Replace(escape.Replace(pattern)), strings.ToLower(method), a.status, escape.Replace(media)))
	if err != nil {
		f.t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(a.body))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := schema.Validate(value); err != nil {
		f.t.Errorf("%s %s: %s is not what the document says: %v", method, path, a, err)
	}
}

// until waits for what must come true.
func (f *fixture) until(what string, is func() bool) {
	f.t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			f.t.Fatalf("it did not come true that %s", what)
		}
	}
}

// dial connects a client over TCP.
func (f *fixture) dial(name string) *client.Client {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	c, err := client.Dial(ctx, f.tcp, client.Options{Username: name})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// The document that is served is the one that is committed.
func TestTheDocument(t *testing.T) {
	if *update {
		f := serve(t)
		got, err := http.Get(f.url + "/openapi.json")
		if err != nil {
			t.Fatal(err)
		}
		defer got.Body.Close()
		text, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f := serve(t)
	got := f.get("/openapi.json")
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.body != string(want) {
		t.Error("the document has changed; go test ./internal/web -run TheDocument -update writes it anew")
	}
	if got.json["openapi"] != "3.1.0" {
		t.Errorf("it is OpenAPI %v", got.json["openapi"])
	}
}

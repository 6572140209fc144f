package server_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/logs/logstest"
	"kaban/internal/nodetest"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
)

// patience is how long a test waits for what must come. It is no measure of
// anything: what has not come by then does not come.
const patience = 2 * time.Minute

// fixture is a server on a free port: one, or with the flag -nodes the nodes behind it.
type fixture struct {
	t       testing.TB
	addr    string
	manager *conn.Manager // of the first node
	server  *server.Server
	log     *logstest.Buffer // of all nodes
	served  chan error
	web     *httptest.Server // nil until somebody dials it

	nodes []*nodetest.Node
	all   []*running
	turn  atomic.Uint64 // of WebSockets
}

// running is a node that serves.
type running struct {
	manager  *conn.Manager
	server   *server.Server
	rooms    *chat.Chat
	accounts *account.Service // nil: it has none
}

// settle waits until all nodes know what was changed at one.
func (f *fixture) settle() {
	f.t.Helper()
	if len(f.nodes) > 0 {
		f.nodes[0].Settle(f.t)
	}
}

// clients returns the number of connections.
func (f *fixture) clients() (n int) {
	for _, r := range f.all {
		n += r.manager.Clients()
	}
	return n
}

// shutdown drains all nodes at once.
func (f *fixture) shutdown(ctx context.Context) error {
	ended := make(chan error)
	for _, r := range f.all {
		go func() { ended <- r.manager.Shutdown(ctx) }()
	}
	var errs []error
	for range f.all {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// next returns the node for the next WebSocket.
func (f *fixture) next() *server.Server {
	if len(f.all) == 0 {
		return f.server
	}
	return f.all[f.turn.Add(1)%uint64(len(f.all))].server
}

// start runs a server that ends with the test, which fails if a handler
// panicked.
func start(t testing.TB, config conn.Config, s store.Store, options dispatch.Options) *fixture {
	t.Helper()
	return startWith(t, chat.Options{}, config, s, options)
}

// startWith is start with options of the chat.
func startWith(t testing.TB, settings chat.Options, config conn.Config, s store.Store, options dispatch.Options) *fixture {
	t.Helper()
	return startAll(t, settings, config, s, options, nil)
}

// startAll is startWith for a server with accounts, if use is not nil, which gets the
// service.
func startAll(t testing.TB, settings chat.Options, config conn.Config, s store.Store, options dispatch.Options, use func(*account.Service)) *fixture {
	t.Helper()
	if s == nil {
		s = teststore.New(t)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if config.Loops == 0 {
		config.Loops = 2 // so that members of a room have different ones
	}
	if config.Heartbeat == 0 {
		config.Heartbeat = time.Hour // within patience no ping moves on what has got stuck
	}
	f := &fixture{t: t, addr: l.Addr().String(), log: new(logstest.Buffer), nodes: nodetest.On(t, s)}
	config.Log = slog.New(slog.NewTextHandler(f.log, nil))
	for i, l := range nodetest.Share(l, len(f.nodes)) {
		f.all = append(f.all, run(t, f.nodes[i], l, settings, config, options, use != nil, f.log))
	}
	if use != nil {
		use(f.all[0].accounts)
	}
	f.manager, f.server = f.all[0].manager, f.all[0].server
	return f
}

// run runs a node that ends with the test.
func run(t testing.TB, node *nodetest.Node, l net.Listener, settings chat.Options, config conn.Config, options dispatch.Options, people bool, log *logstest.Buffer) *running {
	t.Helper()
	s := node.Store
	d, err := dispatch.New(t.Context(), s, options)
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(t.Context(), d, settings)
	if err != nil {
		t.Fatal(err)
	}
	config.Submit = rooms.Submit
	leave := node.Join(t, d, rooms)
	m, err := conn.New(config)
	if err != nil {
		t.Fatal(err)
	}
	var front server.Config
	if people {
		front.Accounts = account.New(s, account.Options{Hashes: 1, OnRevoked: rooms.Revoke, OnChanged: rooms.AccountChanged, OnSettings: rooms.SettingChanged, OnNotifications: rooms.NotificationsChanged})
	}
	r := &running{m, server.New(front, rooms, m), rooms, front.Accounts}
	served := make(chan error, 1)
	go func() { served <- serveLines(r.server, l) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-served; !errors.Is(err, conn.ErrClosed) {
			t.Errorf("Serve: got %v, want ErrClosed", err)
		}
		leave(func() {
			rooms.Close()
			d.Close()
		})
		s.Close()
		if n := m.Panics(); n != 0 {
			t.Errorf("%d handlers panicked:\n%s", n, log)
		}
		if n := m.Clients(); n != 0 {
			t.Errorf("%d tokens were not redeemed", n)
		}
	})
	return r
}

// serve runs a server with defaults.
func serve(t testing.TB) *fixture {
	return start(t, conn.Config{}, nil, dispatch.Options{})
}

// frame is what came over the wire, decoded by other means than our own.
type frame map[string]any

func (f frame) String() string {
	line, err := json.Marshal(map[string]any(f))
	if err != nil {
		return err.Error()
	}
	return string(line)
}

// peer is a raw connection.
type peer struct {
	t       testing.TB
	conn    net.Conn
	decoder *json.Decoder
}

// dial connects and says nothing. What was changed before is known where it connects to.
func (f *fixture) dial() *peer {
	f.t.Helper()
	if len(f.all) > 0 && f.all[0].accounts != nil {
		f.settle()
	}
	conn := f.dialConn()
	f.t.Cleanup(func() { conn.Close() })
	p := &peer{t: f.t, conn: conn, decoder: json.NewDecoder(conn)}
	p.decoder.UseNumber()
	return p
}

// hello connects under a name.
func (f *fixture) hello(name string) *peer {
	f.t.Helper()
	p := f.dial()
	p.say(`{"type":"hello","version":1,"username":%q}`, name)
	p.expect("welcome")
	return p
}

// join connects under a name and joins the lobby.
func (f *fixture) join(name string) *peer {
	f.t.Helper()
	p := f.hello(name)
	p.say(`{"type":"join","room":"lobby"}`)
	p.expect("joined")
	return p
}

// say sends a line.
func (p *peer) say(format string, args ...any) {
	p.t.Helper()
	p.send(fmt.Sprintf(format, args...) + "\n")
}

// send sends bytes as they are.
func (p *peer) send(raw string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, raw); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// next returns the next frame, presence and pings left out.
func (p *peer) next() (frame, error) {
	for {
		p.conn.SetReadDeadline(time.Now().Add(patience))
		var f frame
		if err := p.decoder.Decode(&f); err != nil {
			return nil, err
		}
		if f["type"] != "presence" && f["type"] != "ping" {
			return f, nil
		}
	}
}

// expect reads the next frame, which must be of a type and have the given
// fields: name, value, name, value … States come when they like.
func (p *peer) expect(kind string, fields ...any) frame {
	p.t.Helper()
	f, err := p.next()
	for err == nil && f["type"] == "state" && kind != "state" {
		f, err = p.next()
	}
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", kind, err)
	}
	if f["type"] != kind {
		p.t.Fatalf("got %s, want a frame of type %s %v", f, kind, fields)
	}
	for i := 0; i < len(fields); i += 2 {
		got, want := fmt.Sprint(f[fields[i].(string)]), fmt.Sprint(fields[i+1])
		if got != want {
			p.t.Fatalf("%s: got %s, want %s in %s", fields[i], got, want, f)
		}
	}
	return f
}

// expectEnd reads a goodbye of a reason and then the end of the connection.
func (p *peer) expectEnd(reason string) frame {
	p.t.Helper()
	f := p.expect("goodbye", "reason", reason)
	p.expectEOF()
	return f
}

func (p *peer) expectEOF() {
	p.t.Helper()
	if f, err := p.next(); !errors.Is(err, io.EOF) {
		p.t.Fatalf("got %v %v, want the end of the connection", f, err)
	}
}

// alive checks that the connection is there and owes nothing.
func (p *peer) alive() {
	p.t.Helper()
	p.say(`{"type":"ping","ref":"alive"}`)
	p.expect("pong", "ref", "alive")
}

// converse has two members of the lobby exchange a message, to see that all is
// well with others.
func converse(a, b *peer, id string) {
	a.t.Helper()
	a.say(`{"type":"send","room":"lobby","id":%q,"content":"are you there?"}`, id)
	a.expect("ack", "id", id)
	b.expect("message", "id", id)
}

func TestTwoTalk(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	ann.say(`{"type":"send","room":"lobby","id":"a1","content":"hello","ref":"r1"}`)
	ack := ann.expect("ack", "room", "lobby", "id", "a1", "seq", 1, "duplicate", false, "ref", "r1")
	got := bob.expect("message", "room", "lobby", "id", "a1", "seq", 1, "username", "ann", "content", "hello")
	if got["time"] != ack["time"] {
		t.Errorf("time: the message says %v, the ack %v", got["time"], ack["time"])
	}
	bob.say(`{"type":"send","room":"lobby","id":"b1","content":"hi\nthere"}`)
	bob.expect("ack", "seq", 2)
	ann.expect("message", "seq", 2, "username", "bob", "content", "hi\nthere")
	ann.alive() // and nothing of their own came by
	bob.alive()
}

// A name's other connections get what one of them sends.
func TestOwnWordsReachOtherConnections(t *testing.T) {
	f := serve(t)
	old := f.dial()
	old.say(`{"type":"hello","version":1,"username":"ann"}`)
	session := old.expect("welcome")["session"].(string)
	old.say(`{"type":"join","room":"lobby"}`)
	old.expect("joined")
	old.say(`{"type":"send","room":"lobby","id":"1","content":"from the old one"}`)
	old.expect("ack", "seq", 1)

	again := f.dial()
	again.say(`{"type":"hello","version":1,"username":"ANN","resume":%q}`, session)
	again.expect("welcome", "username", "ANN")
	old.expectEnd("replaced")
	again.say(`{"type":"join","room":"lobby","after":0}`)
	again.expect("joined", "head", 1)
	again.expect("message", "seq", 1, "content", "from the old one")
}

func TestEmoji(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	content := strings.Repeat("😀", 5000)
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"%s"}`, content)
	ann.expect("ack", "seq", 1)
	bob.expect("message", "content", content)
	ann.say(`{"type":"send","room":"lobby","id":"2","content":"%s😀","ref":"x"}`, content)
	ann.expect("error", "code", "too_long_content", "max", 5000, "actual", 5001, "ref", "x")
	converse(ann, bob, "3")
}

// A server that had nothing to do for longer than the time for a hello takes the
// next connection as it took the first.
func TestAConnectionAfterALongQuiet(t *testing.T) {
	t.Parallel()
	const helloTimeout = 1500 * time.Millisecond
	f := start(t, conn.Config{HelloTimeout: helloTimeout}, nil, dispatch.Options{})
	for i := range 2 { // each loop
		time.Sleep(helloTimeout + helloTimeout/2)
		p := f.dial()
		time.Sleep(helloTimeout / 10) // a sweep falls into it
		p.say(`{"type":"hello","version":1,"username":"late-%d"}`, i)
		p.expect("welcome")
		p.conn.Close()
		for f.clients() > 0 { // so that there is nothing to look after
			time.Sleep(time.Millisecond)
		}
	}
}

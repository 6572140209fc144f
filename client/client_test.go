package client_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/childtest"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
	"kaban/wire"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(teststore.Main{M: m})
}

// patience is how long a test waits.
const patience = 2 * time.Minute

// host is a server whose process can be replaced under the same address.
type host struct {
	maxContent int // of messages; 0: the default
	people     bool
	accounts   *account.Service // if people
	t          *testing.T
	addr       string
	store      store.Store
	options    server.Config
	conns      conn.Config
	nodes      []*nodetest.Node // that serve it
	served     store.Store      // what they have
	stop       func()
}

func newHost(t *testing.T, config server.Config, s store.Store) *host {
	t.Helper()
	return newHostWith(t, config, conn.Config{}, s)
}

func newHostWith(t *testing.T, config server.Config, conns conn.Config, s store.Store) *host {
	t.Helper()
	h := &host{t: t, addr: childtest.Address(t), store: s, options: config, conns: conns}
	if h.store == nil {
		h.store = teststore.New(t)
	}
	h.start()
	t.Cleanup(func() { h.stop() })
	return h
}

func (h *host) start() {
	h.t.Helper()
	if h.served != h.store {
		h.nodes, h.served = nodetest.On(h.t, h.store), h.store
	}
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	var ends []func()
	for i, l := range nodetest.Share(l, len(h.nodes)) {
		end, accounts := h.run(h.nodes[i], l)
		ends = append(ends, end)
		if i == 0 {
			h.accounts = accounts
		}
	}
	h.stop = func() {
		var ending sync.WaitGroup
		for _, end := range ends {
			ending.Go(end)
		}
		ending.Wait()
		h.stop = func() {}
	}
}

// settle waits until all nodes know what was changed at one.
func (h *host) settle() { h.nodes[0].Settle(h.t) }

// run runs a node, and returns what ends it.
func (h *host) run(node *nodetest.Node, l net.Listener) (end func(), accounts *account.Service) {
	h.t.Helper()
	d, err := dispatch.New(context.Background(), node.Store, dispatch.Options{})
	if err != nil {
		h.t.Fatal(err)
	}
	rooms, err := chat.New(context.Background(), d, chat.Options{MaxContent: h.maxContent})
	if err != nil {
		h.t.Fatal(err)
	}
	leave := node.Join(h.t, d, rooms)
	conns, options := h.conns, h.options
	conns.Loops, conns.Submit = 2, rooms.Submit
	m, err := conn.New(conns)
	if err != nil {
		h.t.Fatal(err)
	}
	if h.people {
		accounts = account.New(node.Store, account.Options{Hashes: 1, OnRevoked: rooms.Revoke, OnChanged: rooms.AccountChanged, OnSettings: rooms.SettingChanged})
		options.Accounts = accounts
	}
	done := make(chan struct{})
	serve := serveOver(h.t, server.New(options, rooms, m), l)
	go func() { defer close(done); serve() }()
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience) // clients that are told go
		defer cancel()
		m.Shutdown(ctx)
		<-done
		leave(func() {
			rooms.Close()
			d.Close()
		})
		if n := m.Panics(); n > 0 {
			h.t.Errorf("%d handlers panicked", n)
		}
	}, accounts
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func dial(t *testing.T, addr, name string) *client.Client {
	t.Helper()
	return dialWith(t, addr, client.Options{Username: name, MaxBackoff: 50 * time.Millisecond})
}

func dialWith(t *testing.T, addr string, options client.Options) *client.Client {
	t.Helper()
	c, err := client.Dial(within(t), addr, over(addr, options))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func join(t *testing.T, c *client.Client, from client.From) *client.Room {
	t.Helper()
	r, err := c.Join(within(t), "lobby", from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// read returns the next n messages.
func read(t *testing.T, r *client.Room, n int) (contents []string) {
	t.Helper()
	for m, err := range r.Messages(within(t)) {
		if err != nil {
			t.Fatalf("after %d messages: %v", len(contents), err)
		}
		if contents = append(contents, m.Content); len(contents) == n {
			return contents
		}
	}
	t.Fatalf("got %d messages, want %d", len(contents), n)
	return nil
}

func TestTalk(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann, bob := join(t, dial(t, h.addr, "ann"), client.From{}), join(t, dial(t, h.addr, "bob"), client.From{})
	for i := range 3 {
		receipt, err := ann.Send(within(t), fmt.Sprint("a", i))
		if err != nil || receipt.Seq != uint64(2*i+1) || receipt.Duplicate || receipt.Time.IsZero() {
			t.Fatalf("send: got %+v, %v", receipt, err)
		}
		if _, err := bob.Send(within(t), fmt.Sprint("b", i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(read(t, bob, 3)); got != "[a0 a1 a2]" {
		t.Errorf("bob read %s", got)
	}
	if got := fmt.Sprint(read(t, ann, 3)); got != "[b0 b1 b2]" {
		t.Errorf("ann read %s", got)
	}
	if got := ann.Cursor(); got.Seq != 6 || got.Epoch == "" {
		t.Errorf("cursor: got %+v, want seq 6", got)
	}
}

func TestLastAndAfter(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann := join(t, dial(t, h.addr, "ann"), client.From{})
	for i := range 1200 {
		if _, err := ann.Post(within(t), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := dialFlush(t, ann); err != nil {
		t.Fatal(err)
	}
	bob := dial(t, h.addr, "bob")
	last := join(t, bob, client.Last(701))
	if got := read(t, last, 701); got[0] != "500" || got[700] != "the last" {
		t.Errorf("last 701: got %s to %s", got[0], got[700])
	}
	if err := last.Part(within(t)); err != nil {
		t.Fatal(err)
	}
	after := join(t, bob, client.After(client.Cursor{Epoch: last.Cursor().Epoch, Seq: 1190}))
	if got := fmt.Sprint(read(t, after, 10)); got != "[1190 1191 1192 1193 1194 1195 1196 1197 1198 1199]" {
		t.Errorf("after 1190: got %s", got)
	}
	_, err := dial(t, h.addr, "cid").Join(within(t), "lobby", client.After(client.Cursor{Epoch: "foreign", Seq: 1}))
	if resync, ok := errors.AsType[*client.ResyncError](err); !ok || resync.Head != 1201 || resync.Oldest != 1 {
		t.Errorf("foreign epoch: got %v, want a ResyncError of 1 to 1201", err)
	}
}

func dialFlush(t *testing.T, r *client.Room) error {
	t.Helper()
	p, err := r.Post(within(t), "the last")
	if err != nil {
		return err
	}
	_, err = p.Wait(within(t))
	return err
}

func TestErrors(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	h.stop()
	h.maxContent = 10
	h.start()
	ann := dial(t, h.addr, "ann")
	r := join(t, ann, client.From{})
	if _, err := r.Send(within(t), strings.Repeat("é", 11)); !errors.Is(err, kaban.TooLongContent) {
		t.Errorf("11 characters: got %v, want TooLongContent", err)
	}
	if _, err := r.Send(within(t), strings.Repeat("é", 10)); err != nil {
		t.Errorf("10 characters: got %v", err)
	}
	if _, err := ann.Join(within(t), "LOBBY", client.From{}); !errors.Is(err, client.ErrJoined) {
		t.Errorf("join twice: got %v, want ErrJoined", err)
	}
	if _, err := ann.Join(within(t), "no room", client.From{}); !errors.Is(err, kaban.InvalidCharsRoom) {
		t.Errorf("bad room: got %v", err)
	}
	if _, err := ann.History(within(t), "nowhere", client.HistoryQuery{}); !isCode(err, wire.CodeNotFound) {
		t.Errorf("history of nowhere: got %v", err)
	}
	for name, check := range map[string]func(error) bool{
		"ann":    func(err error) bool { return isCode(err, wire.CodeUsernameTaken) },
		"":       func(err error) bool { return errors.Is(err, kaban.EmptyUsername) },
		"server": func(err error) bool { return isCode(err, wire.CodeUsernameTaken) },
	} {
		if c, err := client.Dial(within(t), h.addr, over(h.addr, client.Options{Username: name})); !check(err) {
			t.Errorf("dial as %q: got %v, %v", name, c, err)
		}
	}
	if err := r.Part(within(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Send(within(t), "late"); !errors.Is(err, client.ErrParted) {
		t.Errorf("send after part: got %v, want ErrParted", err)
	}
	ann.Close()
	if _, _, err := ann.Rooms(within(t), "", 0); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after close: got %v, want ErrClosed", err)
	}
}

func isCode(err error, code wire.Code) bool {
	refused, ok := errors.AsType[*client.Error](err)
	return ok && refused.Code == code
}

func TestLists(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann, bob := dial(t, h.addr, "ann"), dial(t, h.addr, "bob")
	join(t, ann, client.From{})
	join(t, bob, client.From{})
	for { // another node learns of it a moment later
		if members, _, err := ann.Members(within(t), "lobby", "", 0); err != nil || len(members) == 2 {
			break
		}
	}
	members, more, err := ann.Members(within(t), "lobby", "", 1)
	if err != nil || !more || len(members) != 1 || members[0].Username != "ann" || !members[0].Online {
		t.Errorf("members: got %v %v %v", members, more, err)
	}
	members, more, err = ann.Members(within(t), "lobby", "ann", 1)
	if err != nil || more || len(members) != 1 || members[0].Username != "bob" {
		t.Errorf("members after ann: got %v %v %v", members, more, err)
	}
	rooms, more, err := ann.Rooms(within(t), "", 0)
	if err != nil || more || len(rooms) != 1 || rooms[0] != (wire.RoomInfo{Room: "lobby", Members: 2}) {
		t.Errorf("rooms: got %v %v %v", rooms, more, err)
	}
}

func TestPresence(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	seen := make(chan client.Presence, 16)
	ann := dialWith(t, h.addr, client.Options{Username: "ann", OnPresence: func(p client.Presence) { seen <- p }})
	join(t, ann, client.From{})
	join(t, dial(t, h.addr, "bob"), client.From{})
	select {
	case p := <-seen:
		if p.Room != "lobby" || p.Members != 2 {
			t.Errorf("got %+v, want 2 members of lobby", p)
		}
	case <-time.After(patience):
		t.Error("no presence arrived")
	}
}

// proxy passes bytes to a server and cuts connections at random offsets.
type proxy struct {
	l     net.Listener
	group sync.WaitGroup
	cuts  int
	least int // bytes before a cut
	mu    sync.Mutex
	conns map[net.Conn]struct{}
}

func newProxy(t *testing.T, target string, meanBytes int) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{l: l, least: 300, conns: make(map[net.Conn]struct{})}
	if _, ok := encrypted.Load(target); ok {
		encrypt(t, l.Addr().String())
		p.least += 4096 // the handshake, so that a first attempt gets through
	}
	p.group.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns[in], p.conns[out] = struct{}{}, struct{}{}
			p.mu.Unlock()
			p.group.Go(func() { p.pass(out, in, meanBytes) })
			p.group.Go(func() { p.pass(in, out, meanBytes) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for conn := range p.conns {
			conn.Close()
		}
		p.mu.Unlock()
		p.group.Wait()
	})
	return p
}

func (p *proxy) pass(dst, src net.Conn, mean int) {
	defer src.Close()
	defer dst.Close()
	if _, err := io.CopyN(dst, src, int64(p.least+rand.N(2*mean))); err == nil {
		p.mu.Lock()
		p.cuts++
		p.mu.Unlock()
	}
}

// However often connections are cut, each message is stored once and read once.
func TestCuts(t *testing.T) {
	const n = 3000
	h := newHost(t, server.Config{}, nil)
	p := newProxy(t, h.addr, 20_000)
	ann, bob := dial(t, p.l.Addr().String(), "ann"), dial(t, p.l.Addr().String(), "bob")
	writes, reads := join(t, ann, client.From{}), join(t, bob, client.From{})
	go func() {
		for i := range n {
			if _, err := writes.Post(t.Context(), fmt.Sprint(i)); err != nil {
				t.Errorf("post %d: %v", i, err)
				return
			}
		}
	}()
	for i, got := range read(t, reads, n) {
		if want := fmt.Sprint(i); got != want {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	if err := ann.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for m, err := range reads.Messages(ctx) {
		t.Errorf("one too many: %v %v", m, err)
	}
	for m, err := range writes.Messages(ctx) {
		t.Errorf("own message came back: %v %v", m, err)
	}
	state, err := h.store.Rooms(t.Context())
	if err != nil || state[0].Head != n {
		t.Errorf("the log has %v, %v; want %d entries", state, err, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts < 10 {
		t.Errorf("only %d cuts: the test has not tested much", p.cuts)
	}
}

// A server that goes down and comes back with its data loses nothing.
func TestRestart(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	var mu sync.Mutex
	var offline []error
	ann := dialWith(t, h.addr, client.Options{Username: "ann", MaxBackoff: 50 * time.Millisecond, OnState: func(s client.State) {
		mu.Lock()
		defer mu.Unlock()
		if s.Status == client.Offline {
			offline = append(offline, s.Err)
		}
	}})
	r := join(t, ann, client.From{})
	reads := join(t, dial(t, h.addr, "bob"), client.From{})
	if _, err := r.Send(within(t), "before"); err != nil {
		t.Fatal(err)
	}
	h.stop()
	p, err := r.Post(within(t), "while it was down")
	if err != nil {
		t.Fatal(err)
	}
	h.start()
	if _, err := p.Wait(within(t)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(read(t, reads, 2)); got != "[before while it was down]" {
		t.Errorf("got %s", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if bye, ok := errors.AsType[*client.Goodbye](offline[0]); !ok || bye.Reason != wire.ReasonDraining {
		t.Errorf("first offline: got %v, want goodbye draining", offline[0])
	}
}

// When what a reader lacks is no longer kept, the reader gets a resync with what there is, in the
// same epoch, and goes on at the head. What is left of it is in the history.
func TestResyncBehindRetention(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	bob := dial(t, h.addr, "bob")
	ann, reads := join(t, dial(t, h.addr, "ann"), client.From{}), join(t, bob, client.From{})
	for range 5 {
		if _, err := ann.Send(within(t), "old"); err != nil {
			t.Fatal(err)
		}
	}
	read(t, reads, 3)
	before := reads.Cursor()
	h.stop()
	for i := range 4 {
		storetest.Append(t, h.store, storetest.Draft(t, "lobby", "cat", fmt.Sprint("c", i), fmt.Sprint("missed ", i)))
	}
	lobby, old := storetest.RoomName(t, "lobby"), store.Age{Before: math.MaxInt64, Now: math.MaxInt64}
	if n, err := h.store.Cut(t.Context(), lobby, old, 7); n != 7 || err != nil {
		t.Fatalf("cut %d, %v", n, err)
	}
	h.start()
	var got []string
	sent := make(chan error, 1)
	for m, err := range reads.Messages(within(t)) {
		if resync, ok := errors.AsType[*client.ResyncError](err); ok {
			if resync.Room != "lobby" || resync.Epoch != before.Epoch || resync.Oldest != 8 || resync.Head != 9 {
				t.Errorf("resync: got %+v, want 8 to 9 in %s", resync, before.Epoch)
			}
			got = append(got, "resync")
			page, err := bob.History(within(t), "lobby", client.HistoryQuery{After: before.Seq, HasAfter: true})
			if err != nil || page.First != 8 || page.Last != 9 || len(page.Entries) != 2 {
				t.Errorf("the history: %+v, %v", page, err)
			}
			go func() {
				_, err := ann.Send(within(t), "new")
				sent <- err
			}()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, m.Content); m.Content == "new" {
			break
		}
	}
	if fmt.Sprint(got) != "[old old resync new]" {
		t.Errorf("got %q: two that were there already, the resync, and what is new", got)
	}
	if cursor := reads.Cursor(); cursor.Seq != 10 || cursor.Epoch != before.Epoch {
		t.Errorf("the cursor is %+v", cursor)
	}
	if err := <-sent; err != nil {
		t.Errorf("send: %v", err)
	}
}

// When the data was replaced, the reader gets a resync and goes on.
func TestResync(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann, reads := join(t, dial(t, h.addr, "ann"), client.From{}), join(t, dial(t, h.addr, "bob"), client.From{})
	for range 5 {
		if _, err := ann.Send(within(t), "old"); err != nil {
			t.Fatal(err)
		}
	}
	read(t, reads, 5)
	before := reads.Cursor()
	h.stop()
	h.store = teststore.New(t)
	h.start()
	told, got := false, ""
	sent := make(chan error, 1)
	for m, err := range reads.Messages(within(t)) {
		if resync, ok := errors.AsType[*client.ResyncError](err); ok {
			told = true
			if resync.Room != "lobby" || resync.Epoch == before.Epoch {
				t.Errorf("resync: got %+v", resync)
			}
			// Only now: the reader goes on at the head.
			go func() {
				_, err := ann.Send(within(t), "new")
				sent <- err
			}()
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		got = m.Content
		break
	}
	if !told || got != "new" {
		t.Fatalf("told of the resync: %v; got %q, want the new message", told, got)
	}
	if err := <-sent; err != nil {
		t.Errorf("send: %v", err)
	}
	if after := reads.Cursor(); after.Epoch == before.Epoch {
		t.Errorf("the cursor is still of epoch %s", after.Epoch)
	}
}

// A reader that does not read delays nothing and loses nothing.
func TestSlowReader(t *testing.T) {
	const n = 10_000
	h := newHost(t, server.Config{}, nil)
	bob := dial(t, h.addr, "bob")
	slow := join(t, bob, client.From{})
	ann := join(t, dial(t, h.addr, "ann"), client.From{})
	for i := range n {
		if _, err := ann.Post(within(t), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := dialFlush(t, ann); err != nil {
		t.Fatal(err)
	}
	if _, err := slow.Send(within(t), "I am here"); err != nil { // acks come through
		t.Fatal(err)
	}
	for i, got := range read(t, slow, n) {
		if got != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, got)
		}
	}
	if got := read(t, slow, 1)[0]; got != "the last" {
		t.Errorf("at the end: got %q", got)
	}
	ctx, cancel := context.WithCancel(within(t))
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range slow.Messages(ctx) {
			t.Errorf("one too many: %v %v", m, err)
		}
	})
	if err := slow.Sync(within(t)); err != nil {
		t.Error(err)
	}
	if got := slow.Cursor().Seq; got != n+2 {
		t.Errorf("cursor: got %d, want %d", got, n+2)
	}
	cancel()
	reading.Wait()
}

// Another process with the session's secret ends this one for good.
func TestReplaced(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann := dial(t, h.addr, "ann")
	conn, err := reach(within(t), h.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, `{"type":"hello","version":1,"username":"ann","resume":%q}`+"\n", ann.Welcome().Session)
	select {
	case <-ann.Done():
	case <-time.After(patience):
		t.Fatal("the session goes on")
	}
	if bye, ok := errors.AsType[*client.Goodbye](ann.Err()); !ok || bye.Reason != wire.ReasonReplaced {
		t.Errorf("got %v, want goodbye replaced", ann.Err())
	}
}

func TestServerFull(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	h := newHostWith(t, server.Config{}, conn.Config{MaxClients: 1}, nil)
	dial(t, h.addr, "ann")
	_, err := client.Dial(within(t), h.addr, over(h.addr, client.Options{Username: "bob"}))
	if refused, ok := errors.AsType[*client.Error](err); !ok || refused.Code != wire.CodeServerFull || refused.RetryAfter <= 0 {
		t.Errorf("got %v, want server_full with a time to come back", err)
	}
}

// fullStore has no space for the first few appends.
type fullStore struct {
	store.Store
	mu    sync.Mutex
	fails int
}

func (s *fullStore) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return store.ErrFull
	}
	return s.Store.Append(ctx, batch, results)
}

// A message that the server cannot store now is sent again.
func TestStorageFull(t *testing.T) {
	h := newHost(t, server.Config{}, &fullStore{Store: teststore.New(t), fails: 2})
	ann := join(t, dial(t, h.addr, "ann"), client.From{})
	if receipt, err := ann.Send(within(t), "hello"); err != nil || receipt.Seq != 1 {
		t.Errorf("got %+v, %v", receipt, err)
	}
}

// closingStore does not know its rooms for a few calls.
type closingStore struct {
	store.Store
	mu    sync.Mutex
	fails int
}

func (s *closingStore) Room(ctx context.Context, name kaban.RoomName) (store.Room, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails > 0 {
		s.fails--
		return store.Room{}, store.ErrClosed
	}
	return s.Store.Room(ctx, name)
}

// A client that reconnects while the server does not know the room yet asks again, and
// does not lose the room.
func TestComingBackTooEarly(t *testing.T) {
	s := &closingStore{Store: teststore.New(t)}
	h := newHost(t, server.Config{}, s)
	ann := join(t, dial(t, h.addr, "ann"), client.From{})
	bob := join(t, dial(t, h.addr, "bob"), client.From{})
	if _, err := ann.Send(within(t), "before"); err != nil {
		t.Fatal(err)
	}
	h.stop()
	s.mu.Lock()
	s.fails = 4
	s.mu.Unlock()
	h.start()
	if receipt, err := ann.Send(within(t), "after"); err != nil || receipt.Seq != 2 {
		t.Errorf("got %+v, %v", receipt, err)
	}
	if got := read(t, bob, 2); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("bob got %q", got)
	}
}

// A server that sends nothing any more is abandoned, although TCP is alive.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	greeted := make(chan net.Conn, 4)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(greeted)
				return
			}
			io.WriteString(conn, `{"type":"welcome","version":1,"session":"s","username":"ann","server":"x","limits":{"username":32,"content":5000,"frame":65536},"heartbeat":1,"later":[{"x":null}]}`+"\n")
			greeted <- conn
		}
	}()
	ann := dialWith(t, l.Addr().String(), client.Options{Username: "ann", MaxBackoff: time.Millisecond, Patience: time.Second})
	first := <-greeted
	defer first.Close()
	select {
	case second := <-greeted:
		second.Close()
	case <-time.After(patience):
		t.Error("the client does not notice the silence")
	}
	ann.Close()
	l.Close()
	for conn := range greeted {
		conn.Close()
	}
}

func TestCursorsAsText(t *testing.T) {
	for _, want := range []client.Cursor{{Epoch: "E", Seq: 0}, {Epoch: "QD765QKJTBCFYCYKCMILQCVNAG", Seq: 1<<53 - 1}} {
		if got, err := client.ParseCursor(want.String()); err != nil || got != want {
			t.Errorf("%s came back as %+v, %v", want, got, err)
		}
	}
	for _, bad := range []string{"", "42", "@E", "42@", "-1@E", "x@E", "42@E F", "9007199254740992@E"} {
		if got, err := client.ParseCursor(bad); err == nil {
			t.Errorf("%q was taken for %+v", bad, got)
		}
	}
}

func TestPing(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	offline := make(chan struct{}, 100)
	ann := dialWith(t, h.addr, client.Options{Username: "ann", MaxBackoff: 50 * time.Millisecond, OnState: func(s client.State) {
		if s.Status == client.Offline {
			offline <- struct{}{}
		}
	}})
	if took, err := ann.Ping(within(t)); err != nil || took <= 0 {
		t.Errorf("got %v, %v", took, err)
	}
	h.stop()
	select {
	case <-offline:
	case <-time.After(patience):
		t.Fatal("the client does not notice that the server is gone")
	}
	if _, err := ann.Ping(within(t)); !errors.Is(err, client.ErrOffline) {
		t.Errorf("offline: got %v, want %v", err, client.ErrOffline)
	}
	ann.Close()
	if _, err := ann.Ping(within(t)); !errors.Is(err, client.ErrClosed) {
		t.Errorf("closed: got %v, want %v", err, client.ErrClosed)
	}
}

// A ping that is under way when the connection breaks measures nothing.
func TestPingIntoABrokenConnection(t *testing.T) {
	ours, theirs := net.Pipe()
	dialed := false
	ann := dialing(t, client.Options{Username: "ann", Dial: func(context.Context) (net.Conn, error) {
		if dialed {
			return nil, errors.New("no more")
		}
		dialed = true
		return ours, nil
	}}, theirs)
	result := make(chan error, 1)
	go func() {
		_, err := ann.Ping(within(t))
		result <- err
	}()
	if line, err := bufio.NewReader(theirs).ReadString('\n'); !strings.Contains(line, `"ping"`) {
		t.Errorf("got %q, %v, want a ping", line, err)
	}
	theirs.Close()
	if err := <-result; !errors.Is(err, client.ErrOffline) {
		t.Errorf("got %v, want %v", err, client.ErrOffline)
	}
}

// dialing dials a server that only sends a welcome.
func dialing(t *testing.T, options client.Options, theirs net.Conn) *client.Client {
	t.Helper()
	greeted := make(chan struct{})
	go func() {
		defer close(greeted)
		hello := make([]byte, 4096)
		theirs.Read(hello)
		fmt.Fprintln(theirs, `{"type":"welcome","version":1,"session":"s","username":"ann","server":"test","limits":{"username":32,"content":5000,"frame":65536},"heartbeat":30}`)
	}()
	c := dialWith(t, "", options)
	<-greeted
	return c
}

// Reconnect ends a healthy connection, and a long wait.
func TestReconnect(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	states := make(chan client.State, 100)
	refused := make(chan struct{}, 1)
	var down atomic.Bool
	ann := dialWith(t, h.addr, client.Options{Username: "ann", MaxBackoff: time.Hour, OnState: func(s client.State) { states <- s }, Dial: func(ctx context.Context) (net.Conn, error) {
		if down.Load() {
			select {
			case refused <- struct{}{}:
			default:
			}
			// It asks for another attempt in an hour, which no test waits for.
			return nil, &client.Goodbye{Reason: wire.ReasonDraining, HasReconnect: true, ReconnectAfter: time.Hour}
		}
		return reach(ctx, h.addr)
	}})
	r := join(t, ann, client.From{})
	await := func(want client.Status) {
		t.Helper()
		for {
			select {
			case s := <-states:
				if s.Status == want {
					return
				}
			case <-within(t).Done():
				t.Fatalf("status %d does not come", want)
			}
		}
	}
	await(client.Online)
	ann.Reconnect()
	await(client.Offline)
	await(client.Online)
	if _, err := r.Send(within(t), "after the first"); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	ann.Reconnect()
	select {
	case <-refused:
	case <-time.After(patience):
		t.Fatal("the client does not dial again")
	}
	for long := false; !long; {
		select {
		case s := <-states:
			long = s.RetryIn > time.Minute
		case <-time.After(patience):
			t.Fatal("the client does not begin the long wait")
		}
	}
	down.Store(false)
	ann.Reconnect()
	await(client.Online)
	if receipt, err := r.Send(within(t), "after the second"); err != nil || receipt.Seq != 2 {
		t.Errorf("got %+v, %v, want seq 2", receipt, err)
	}
}

// Head is ahead of the cursor by the unread entries.
func TestHead(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann, bob := join(t, dial(t, h.addr, "ann"), client.From{}), join(t, dial(t, h.addr, "bob"), client.From{})
	for i := range 5 {
		if _, err := ann.Send(within(t), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := ann.Head(); got != 5 {
		t.Errorf("of the sender: got %d, want 5", got)
	}
	read(t, bob, 3)
	for ctx := within(t); bob.Head() != 5; {
		if ctx.Err() != nil {
			t.Fatalf("got %d, want 5", bob.Head())
		}
		time.Sleep(time.Millisecond)
	}
	if got := bob.Cursor().Seq; got != 2 && got != 3 {
		t.Errorf("cursor: got %d, want it where reading stopped", got)
	}
	late, err := dial(t, h.addr, "cid").Join(within(t), "lobby", client.After(client.Cursor{Seq: 1}))
	if err != nil || late.Head() != 5 || late.Cursor().Seq != 1 {
		t.Errorf("joined after 1: head %d, cursor %d, %v", late.Head(), late.Cursor().Seq, err)
	}
}

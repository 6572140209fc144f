package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/teststore"
)

// loadUntilDrained sends and reads until the server says goodbye. It returns
// the ids that were acked with their seqs, and whether the goodbye came with a
// time to come back.
func loadUntilDrained(conn net.Conn, name string, begun *sync.WaitGroup) (acked map[string]uint64, last uint64, told bool, err error) {
	acked = make(map[string]uint64)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, `{"type":"hello","version":1,"username":%q}`+"\n"+`{"type":"join","room":"lobby"}`+"\n", name)
	var sending sync.WaitGroup
	defer sending.Wait()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	first := true
	window := make(chan struct{}, 64)
	defer func() { // a sender that waits sees that the connection is closed
		conn.Close()
		for len(window) > 0 {
			<-window
		}
	}()
	for lines.Scan() {
		var f struct {
			Type, Code, Reason, ID string
			Seq, Head              uint64
			After                  *int64 `json:"reconnect_after_ms"`
		}
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			return acked, last, told, err
		}
		switch f.Type {
		case "joined":
			last = f.Head
			sending.Go(func() { // until the connection ends
				for i := 0; ; i++ {
					window <- struct{}{}
					if _, err := fmt.Fprintf(conn, `{"type":"send","room":"lobby","id":"%s-%d","content":"x"}`+"\n", name, i); err != nil {
						return
					}
				}
			})
		case "ack", "message":
			if f.Seq != last+1 {
				return acked, last, told, fmt.Errorf("%s: seq %d comes after %d", name, f.Seq, last)
			}
			if last = f.Seq; f.Type == "ack" {
				acked[f.ID] = f.Seq
				<-window
			}
			if first {
				first = false
				begun.Done()
			}
		case "error":
			return acked, last, told, errors.New(lines.Text())
		case "goodbye":
			told = f.Reason == "draining" && f.After != nil && *f.After >= 100 && *f.After < 900 // within a second
		}
	}
	conn.Close()
	return acked, last, told, nil
}

// A hundred drains in a row under load, a quarter of that in the further runs: each is clean, and
// nothing that was acked is missing for a reader that comes back.
func TestDrains(t *testing.T) {
	const clients = 4
	drains := 100
	if *overTLS || *overWebSocket || teststore.IsDatabase() {
		drains = 25
	}
	others := goleak.IgnoreCurrent()
	for n := range drains {
		s := teststore.New(t)
		d, f, l := open(t, s)
		var group, begun sync.WaitGroup
		group.Go(func() { serveLines(f.server, l) })
		begun.Add(clients)
		all := make(chan map[string]uint64, clients)
		for i := range clients {
			conn := f.dialConn()
			group.Go(func() {
				acked, _, told, err := loadUntilDrained(conn, fmt.Sprint("client-", i), &begun)
				if err != nil || !told {
					t.Errorf("drain %d: client %d: told to come back: %v, %v", n, i, told, err)
				}
				all <- acked
			})
		}
		begun.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if err := f.manager.Shutdown(ctx); err != nil {
			t.Errorf("drain %d: %v", n, err)
		}
		cancel()
		group.Wait()
		close(all)
		if f.manager.Clients() != 0 || f.manager.Panics() != 0 {
			t.Errorf("drain %d: %d tokens are out, %d panics", n, f.manager.Clients(), f.manager.Panics())
		}
		f.closeWeb()
		d.Close()
		comeBack(t, n, s, all)
		s.Close()
		if err := goleak.Find(others); err != nil {
			t.Fatalf("drain %d: %v", n, err)
		}
	}
}

// open makes a server that the caller runs and ends itself.
func open(t *testing.T, s store.Store) (*dispatch.Dispatcher, *fixture, net.Listener) {
	t.Helper()
	nodetest.One(t, "it begins and ends a server of its own")
	d, err := dispatch.New(t.Context(), s, dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	// On a busy machine clients read late, and must not be hurried for that.
	m, err := conn.New(conn.Config{Submit: d.Submit, Clock: func() time.Duration { return 0 }})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rooms, err := chat.New(t.Context(), d, chat.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d, &fixture{t: t, addr: l.Addr().String(), manager: m, server: server.New(server.Config{}, rooms, m)}, l
}

// comeBack reads the log through a new server over the same store.
func comeBack(t *testing.T, n int, s store.Store, all <-chan map[string]uint64) {
	t.Helper()
	d, f, l := open(t, s)
	var serving sync.WaitGroup
	serving.Go(func() { serveLines(f.server, l) })
	defer func() { f.manager.Close(); d.Close(); serving.Wait() }()
	defer f.closeWeb()
	reader := f.hello("reader")
	reader.say(`{"type":"join","room":"lobby","after":0}`)
	head, err := reader.expect("joined")["head"].(json.Number).Int64()
	if err != nil {
		t.Fatal(err)
	}
	stored := make(map[string]uint64)
	for seq := int64(1); seq <= head; seq++ {
		id := reader.expect("message", "seq", seq)["id"].(string)
		if stored[id] != 0 {
			t.Errorf("drain %d: %s is stored twice", n, id)
		}
		stored[id] = uint64(seq)
	}
	for acked := range all {
		for id, seq := range acked {
			if stored[id] != seq {
				t.Errorf("drain %d: %s was acked as %d and is stored as %d", n, id, seq, stored[id])
			}
			delete(stored, id)
		}
	}
	if len(stored) > 0 {
		t.Errorf("drain %d: what was read is acked, but these were stored and not acked: %v", n, stored)
	}
}

// A peer that does not read cannot hold up a drain for long.
func TestDrainWithDeafPeer(t *testing.T) {
	t.Parallel()
	f := serve(t)
	ann := f.join("ann")
	deaf := f.hello("deaf")
	deaf.conn.(interface{ SetReadBuffer(int) error }).SetReadBuffer(4 << 10)
	deaf.say(`{"type":"join","room":"lobby"}`)
	deaf.expect("joined")
	go func() {
		for i := range 2000 {
			fmt.Fprintf(ann.conn, `{"type":"send","room":"lobby","id":"%d","content":"%s"}`+"\n", i, strings.Repeat("x", 4000))
		}
	}()
	for i := range 2000 {
		ann.expect("ack", "id", i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.shutdown(ctx); err != nil {
		t.Error(err)
	}
	ann.expectEnd("draining")
}

// Who has no patience ends at once, and learns why.
func TestShutdownOutOfTime(t *testing.T) {
	f := serve(t)
	f.join("ann")
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("a second signal")
	cancel(why)
	if err := f.shutdown(ctx); err != nil && !errors.Is(err, why) {
		t.Errorf("got %v, want the cause", err)
	}
	if n := f.clients(); n != 0 {
		t.Errorf("%d tokens are out", n)
	}
}

// late is a listener that has just accepted a connection when it is closed.
type late struct {
	net.Listener
	accepted, closed chan struct{}
	once             sync.Once
}

func (l *late) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		close(l.accepted)
		<-l.closed
		time.Sleep(50 * time.Millisecond) // a shutdown that does not wait goes on
	}
	return c, err
}

func (l *late) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// Whoever is accepted when the drain begins is told to come back, too.
func TestADrainWaitsForTheLastAccept(t *testing.T) {
	onlyLines(t)
	onlyPlain(t) // the handshake would wait for the drain
	d, f, l := open(t, teststore.New(t))
	defer d.Close()
	defer f.closeWeb()
	at := &late{Listener: l, accepted: make(chan struct{}), closed: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() { serveLines(f.server, at) })
	defer serving.Wait()
	p := f.dial()
	p.say(`{"type":"hello","version":1,"username":"ann"}`)
	<-at.accepted
	serving.Go(func() {
		if err := f.manager.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	defer p.conn.Close()
	got, err := p.next()
	for err == nil && got["type"] != "goodbye" {
		got, err = p.next()
	}
	if err != nil || got["reason"] != "draining" {
		t.Errorf("got %s, %v", got, err)
	}
}

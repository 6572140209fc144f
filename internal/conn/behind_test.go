package conn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// unreadable is a store that fails to read entries for a while.
type unreadable struct {
	store.Store
	fails atomic.Bool
}

func (s *unreadable) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	if s.fails.Load() {
		return nil, errors.New("the disk is elsewhere")
	}
	return s.Store.Read(ctx, room, p)
}

// shortTailed returns a model with rooms that keep hardly anything in memory.
func shortTailed(t *testing.T, s store.Store) *model {
	t.Helper()
	d, err := dispatch.New(context.Background(), s, dispatch.Options{TailBytes: 1, PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	manager, front := newServer(t, conn.Config{}, d)
	t.Cleanup(func() { manager.Close() })
	m := &model{t: t, manager: manager, server: front, loop: conn.NewTestLoop(manager)}
	t.Cleanup(m.loop.CloseAll)
	return m
}

// lagging has a peer take nothing while its room grows by more than the tail holds.
// Before that it takes room bytes.
func lagging(t *testing.T, s store.Store, room int, ask bool) (*model, *modelPeer) {
	t.Helper()
	m := shortTailed(t, s)
	speaker, slow := m.enter(), m.enter()
	for _, p := range m.peers {
		p.socket.room = 1 << 30
		p.say(`{"type":"join","room":"lobby"}`)
	}
	m.settle()
	slow.socket.room = room
	if ask {
		slow.say(`{"type":"rooms"}`)
		m.settle()
	}
	for i := range 100 {
		speaker.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, i, strings.Repeat("x", 1000))
		m.settle()
	}
	if !slow.handler.IsBlocked() {
		t.Fatal("the peer is not blocked")
	}
	slow.socket.out = nil
	return m, slow
}

func (m *model) settleBehind(p *modelPeer) string {
	p.take(1 << 30)
	for range 1000 {
		m.settle()
		if p.socket.gone || strings.Contains(string(p.socket.out), `"type":"goodbye"`) {
			break
		}
	}
	return string(p.socket.out)
}

// A cursor gets a resync when the log no longer has its next entry, and goes on
// at the head.
func TestALiveCursorThatLostItsPlace(t *testing.T) {
	m, slow := lagging(t, memory.New(64<<10), 10, true)
	out := m.settleBehind(slow)
	if strings.Count(out, `"code":"resync"`) != 1 || !strings.Contains(out, `"head":100`) || strings.Contains(out, `"type":"message"`) {
		t.Errorf("got %.600s, want one resync with head 100 and no message", out)
	}
	slow.socket.out = nil
	m.peers[0].say(`{"type":"send","room":"lobby","id":"next","content":"x"}`)
	m.settle()
	if got := string(slow.socket.out); !strings.Contains(got, `"seq":101`) {
		t.Errorf("then it got %q, want message 101", got)
	}
}

// A cut entry that is gone closes the connection without a word: nothing may follow
// half an entry.
func TestACutEntryThatIsForgotten(t *testing.T) {
	m, slow := lagging(t, memory.New(64<<10), 1500, false)
	if !slow.handler.IsCut() {
		t.Fatal("no entry is cut")
	}
	if out := m.settleBehind(slow); out != "" || !slow.socket.gone {
		t.Errorf("got %.200q, closed: %v; want nothing and the end", out, slow.socket.gone)
	}
}

// A cut entry that is kept is delivered to its end, whatever comes in between.
func TestACutEntryIsReadAgain(t *testing.T) {
	for _, room := range []int{1, 500, 1500, 1999, 2500, 3001} {
		m, slow := lagging(t, memory.New(0), room, false)
		slow.say(`{"type":"ping","ref":"later"}`)
		out := m.settleBehind(slow)
		for seq := 5; seq <= 100; seq++ {
			if !strings.Contains(out, fmt.Sprintf("\n{\"type\":\"message\",\"room\":\"lobby\",\"seq\":%d,", seq)) {
				t.Fatalf("with room for %d bytes message %d is not there", room, seq)
			}
		}
		if strings.Count(out, `"seq"`) > 100 || strings.Count(out, "pong") != 1 || !strings.HasSuffix(out, "}\n") {
			t.Fatalf("with room for %d bytes something is there twice or not whole", room)
		}
	}
}

// A connection whose history cannot be read ends, and may come back.
func TestAReaderOfABrokenStore(t *testing.T) {
	s := &unreadable{Store: memory.New(0)}
	m, slow := lagging(t, s, 10, true)
	s.fails.Store(true)
	out := m.settleBehind(slow)
	if !strings.Contains(out, `"reason":"internal"`) || !strings.Contains(out, "reconnect_after_ms") || strings.Contains(out, `"type":"message"`) {
		t.Errorf("got %.300q, want goodbye internal with a time to come back", out)
	}
}

// The same in the middle of an entry closes it without a word, and the store is not
// asked over and over.
func TestACutEntryThatCannotBeRead(t *testing.T) {
	s := &unreadable{Store: memory.New(0)}
	m, slow := lagging(t, s, 1500, false)
	s.fails.Store(true)
	slow.take(1 << 30)
	for deadline := time.Now().Add(patience); !slow.socket.gone && time.Now().Before(deadline); {
		m.turn()
	}
	if out := string(slow.socket.out); out != "" || !slow.socket.gone {
		t.Errorf("got %.200q, closed: %v; want nothing and the end", out, slow.socket.gone)
	}
}

// crowded is a store that holds up reads and counts how many there are at once.
type crowded struct {
	store.Store
	hold      chan struct{} // closed: reads are not held up
	now, most atomic.Int32
}

func (s *crowded) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	<-s.hold
	return s.Store.Read(ctx, room, p)
}

// A connection that is behind in one room, and is cut and falls behind in
// another while a worker reads for it, waits for that worker.
func TestOneReadAtATime(t *testing.T) {
	s := &crowded{Store: memory.New(0), hold: make(chan struct{})}
	m := shortTailed(t, s)
	release := sync.OnceFunc(func() { close(s.hold) })
	t.Cleanup(release)
	speaker, slow := m.enter(), m.enter()
	say := func(room, id string) {
		speaker.say(`{"type":"send","room":%q,"id":%q,"content":"%s"}`, room, id, strings.Repeat("x", 1000))
		for m.turn(); speaker.handler.InFlight() > 0; {
			m.turn()
		}
	}
	for _, p := range m.peers {
		p.socket.room = 1 << 30
	}
	speaker.say(`{"type":"join","room":"lobby"}`)
	speaker.say(`{"type":"join","room":"attic"}`)
	m.settle()
	for i := range 100 {
		say("attic", fmt.Sprint(i))
	}
	slow.say(`{"type":"join","room":"lobby"}`)
	slow.say(`{"type":"join","room":"attic","after":0,"epoch":%q}`, s.Epoch())
	for deadline := time.Now().Add(patience); s.now.Load() == 0 && time.Now().Before(deadline); {
		m.turn()
	}
	if s.now.Load() == 0 {
		waiting, running := m.loop.Fetches()
		t.Fatalf("nothing is read: %d bytes, asking %v, fetching %v, %d wait, %d under way", len(slow.socket.out), slow.handler.IsAsking(), slow.handler.IsFetching(), waiting, running)
	}
	slow.socket.room = 100 // of the next message of the lobby
	for i := range 100 {
		say("lobby", fmt.Sprint("lobby-", i))
	}
	if !slow.handler.IsCut() || !slow.handler.IsBlocked() {
		t.Fatal("the lobby's message was not cut")
	}
	slow.take(1 << 30)
	for range 100 {
		m.turn()
		time.Sleep(time.Microsecond)
	}
	if most := s.most.Load(); most != 1 {
		t.Errorf("%d reads at a time for one connection, want 1", most)
	}
	release()
	m.settle()
	out := string(slow.socket.out)
	for _, want := range []struct {
		room string
		n    int
	}{{"attic", 100}, {"lobby", 100}} {
		for seq := 1; seq <= want.n; seq++ {
			if n := strings.Count(out, fmt.Sprintf(`"room":%q,"seq":%d,`, want.room, seq)); n != 1 {
				t.Errorf("message %d of %s came %d times", seq, want.room, n)
			}
		}
	}
}

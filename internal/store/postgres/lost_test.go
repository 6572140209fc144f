//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// What happens to the next request that a proxy is armed for.
type mishap int

const (
	requestLost mishap = iota // the connection ends before the server has it
	answerLost                // the connection ends when the server has answered
	doubtNoted                // the answer comes with a warning that the standby has not confirmed it
	allLost                   // as answerLost, and nothing gets through any more
)

// proxy is a way to a server on which connections get lost.
type proxy struct {
	address string
	to      string

	mu      sync.Mutex
	needle  []byte // in the request; nil is unarmed
	oneIn   int    // so many requests that commit meet with some mishap; 0 for none
	mishap  mishap
	struck  int // requests that have met with it
	clients map[net.Conn]struct{}
	// watched are requests that have some bytes, with how many had them.
	watched map[string]int
	cancels int                   // requests to cancel a statement
	silent  bool                  // nothing gets through, and no connection ends
	dead    map[net.Conn]struct{} // nothing gets through these any more
}

// newProxy starts a proxy for the length of a test. Nobody may cancel a statement over it.
func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), to: to, clients: make(map[net.Conn]struct{})}
	var serving sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		p.cut()
		serving.Wait()
		if p.cancels != 0 {
			t.Errorf("%d statements were cancelled", p.cancels)
		}
	})
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(c) })
		}
	})
	return p
}

// arm has the next request with some bytes meet with a mishap.
func (p *proxy) arm(needle string, m mishap) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.needle, p.mishap = []byte(needle), m
}

// strike has one in n requests that commit, of those that have needles, meet with some mishap.
func (p *proxy) strike(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.oneIn = n
}

// cut ends all connections, at their ends on this side: the server may notice late.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.clients {
		c.Close()
	}
}

// silence has nothing get through any more, or again. What is sent meanwhile is lost.
func (p *proxy) silence(silent bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silent = silent
}

// deafen has nothing get through the connections that there are.
func (p *proxy) deafen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = maps.Clone(p.clients)
}

func (p *proxy) isSilent(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, dead := p.dead[c]
	return p.silent || dead
}

func (p *proxy) strikes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// watch counts requests with some bytes from now on.
func (p *proxy) watch(needle string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watched = map[string]int{needle: 0}
}

// seen returns how many there were.
func (p *proxy) seen(needle string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.watched[needle]
}

// strikesAt reports whether a request meets with a mishap, and with which one.
func (p *proxy) strikesAt(request []byte) (mishap, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(request) == 16 && bytes.Equal(request[4:8], []byte{0x04, 0xd2, 0x16, 0x2e}) {
		p.cancels++
	}
	for needle := range p.watched {
		if bytes.Contains(request, []byte(needle)) {
			p.watched[needle]++
		}
	}
	if p.oneIn > 0 && (bytes.Contains(request, []byte("needle")) || bytes.Contains(request, []byte(commit))) && rand.IntN(p.oneIn) == 0 {
		p.struck++
		return mishap(rand.IntN(len(mishaps))), true
	}
	if p.needle == nil || !bytes.Contains(request, p.needle) {
		return 0, false
	}
	p.needle = nil
	p.struck++
	return p.mishap, true
}

// notice is a NoticeResponse of the protocol: PostgreSQL's warning that a wait for the standby was
// cancelled.
func notice() []byte {
	fields := "SWARNING\x00VWARNING\x00C01000\x00Mcanceling wait for synchronous replication due to user request\x00Fsyncrep.c\x00RSyncRepWaitForLSN\x00\x00"
	return append([]byte{'N', 0, 0, 0, byte(4 + len(fields))}, fields...)
}

func (p *proxy) serve(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	p.clients[c] = struct{}{}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.clients, c)
	}()
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	defer server.Close()
	// met carries the mishap of a request that is sent to the server to the one that reads its answer.
	met := make(chan mishap, 1)
	var answering sync.WaitGroup
	answering.Go(func() {
		defer c.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if p.isSilent(c) {
				continue
			}
			select {
			case m := <-met:
				if m == allLost {
					p.silence(true)
				}
				if m == answerLost || m == allLost {
					return
				}
				if _, err := c.Write(notice()); err != nil {
					return
				}
			default:
			}
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
	})
	defer answering.Wait()
	defer server.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		if p.isSilent(c) {
			continue
		}
		if m, strikes := p.strikesAt(buffer[:n]); strikes {
			if m == requestLost {
				return
			}
			met <- m
		}
		if _, err := io.Copy(server, bytes.NewReader(buffer[:n])); err != nil {
			return
		}
	}
}

// commit is a request that commits; the name of a setting ends like that, too.
const commit = "commit\x00"

// mishaps are those after which a call succeeds, by name.
var mishaps = map[string]mishap{"the request is lost": requestLost, "the answer is lost": answerLost, "the standby is in doubt": doubtNoted}

// lossy returns a store behind a proxy, and one that is not.
func lossy(t *testing.T) (p *proxy, s, direct *Store) {
	t.Helper()
	server := postgrestest.Start(t)
	url := server.Database(t)
	p = newProxy(t, server.Address)
	s = open(t, server.Via(p.address, postgrestest.Name(url)), Options{Patience: waiting})
	return p, s, open(t, url, Options{Patience: waiting})
}

// Whatever is lost on the way, an append is stored once, and its result is the one of its entry.
func TestLostAppends(t *testing.T) {
	t.Parallel()
	for name, m := range mishaps {
		t.Run(name, func(t *testing.T) {
			p, s, direct := lossy(t)
			storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
			const rounds = 20
			for i := range rounds {
				text := fmt.Sprintf("needle-%d-", i)
				batch := storetest.Writes(storetest.Draft(t, "lobby", "ann", fmt.Sprint("a", i), text), storetest.Draft(t, "lobby", "ann", fmt.Sprint("b", i), "hello"))
				if i%2 == 1 { // the general way, which commits by itself
					batch[1].Decide = func(tx store.Tx) error { return tx.Put(fmt.Sprint("document-", i), []byte(text)) }
					text = commit
				}
				p.arm(text, m)
				results := make([]store.Result, 2)
				if err := s.Append(context.Background(), batch, results); err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
				for j, got := range results {
					if want := uint64(2*i + j + 2); got.Seq != want || got.Duplicate || got.Err != nil {
						t.Errorf("round %d: %+v, want seq %d", i, got, want)
					}
				}
			}
			if got := p.strikes(); got != rounds {
				t.Errorf("%d requests were lost, want %d", got, rounds)
			}
			wantOnce(t, direct, 2*rounds+1)
		})
	}
}

// wantOnce checks that the lobby has so many entries, each id once.
func wantOnce(t *testing.T, s *Store, want int) {
	t.Helper()
	entries, err := s.Read(context.Background(), storetest.RoomName(t, "lobby"), store.Page{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for i, e := range entries {
		if e.Seq != uint64(i+1) || ids[e.ID] {
			t.Errorf("entry %d has seq %d and the id %s", i, e.Seq, e.ID)
		}
		ids[e.ID] = true
	}
	if len(entries) != want {
		t.Errorf("%d entries, want %d", len(entries), want)
	}
}

// Whatever is lost on the way, an update is made once.
func TestLostUpdates(t *testing.T) {
	t.Parallel()
	for name, m := range mishaps {
		t.Run(name, func(t *testing.T) {
			p, s, direct := lossy(t)
			const rounds = 20
			for i := range rounds {
				p.arm(commit, m)
				err := s.Update(context.Background(), func(tx store.Tx) error {
					value, err := tx.Get("n")
					if err != nil {
						return err
					}
					return tx.Put("n", append(value, 'x'))
				})
				if err != nil {
					t.Fatalf("round %d: %v", i, err)
				}
			}
			if got := p.strikes(); got != rounds {
				t.Errorf("%d requests were lost, want %d", got, rounds)
			}
			err := direct.View(context.Background(), func(tx store.Tx) error {
				value, err := tx.Get("n")
				if len(value) != rounds {
					t.Errorf("%d updates were made, want %d", len(value), rounds)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// What may be stored is not called unavailable, although no later attempt has reached the server.
func TestLostForGood(t *testing.T) {
	server := postgrestest.Start(t)
	url := server.Database(t)
	p := newProxy(t, server.Address)
	s := open(t, server.Via(p.address, postgrestest.Name(url)), Options{Patience: 2 * time.Second})
	general := storetest.Writes(storetest.Draft(t, "lobby", "ann", "b", "hello"))
	general[0].Decide = func(store.Tx) error { return nil }
	for needle, call := range map[string]func() error{
		"needle": func() error {
			return s.Append(context.Background(), storetest.Writes(storetest.Draft(t, "lobby", "ann", "a", "needle")), make([]store.Result, 1))
		},
		commit: func() error { return s.Append(context.Background(), general, make([]store.Result, 1)) },
		"COMMIT\x00": func() error {
			return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("a", []byte("b")) })
		},
	} {
		p.silence(false)
		for id := 0; ; id++ { // until there are connections again
			if s.Append(t.Context(), storetest.Writes(storetest.Draft(t, "lobby", "ann", fmt.Sprint("first-", id), "hello")), make([]store.Result, 1)) == nil {
				break
			}
		}
		p.arm(strings.ToLower(needle), allLost)
		if err := call(); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%q: %v, want %v", needle, err, store.ErrUnknown)
		}
	}
	p.silence(false)
}

// A COMMIT that the standby has not confirmed counts only when a later one was confirmed.
func TestDoubt(t *testing.T) {
	p, s, _ := lossy(t)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
	p.watch("needle")
	p.arm("needle", doubtNoted)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "a", "needle"))
	if got := p.seen("needle"); got < 2 {
		t.Errorf("the entry was sent %d times, want again", got)
	}
	p.watch(findNote)
	p.arm(commit, doubtNoted)
	if err := s.Update(t.Context(), func(tx store.Tx) error { return tx.Put("a", []byte("b")) }); err != nil {
		t.Error(err)
	}
	if got := p.seen(findNote); got != 1 {
		t.Errorf("%d commits were made to confirm the update, want 1", got)
	}
}

// An attempt that is abandoned while it waits for its lock is not missed by the one that follows.
func TestAbandonedAppends(t *testing.T) {
	for _, general := range []bool{false, true} {
		p, s, direct := lossy(t)
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
		batch := storetest.Writes(storetest.Draft(t, "lobby", "ann", "a", "needle"))
		if general {
			batch[0].Decide = func(store.Tx) error { return nil }
		}
		holder, err := pgx.ConnectConfig(t.Context(), direct.writers.Config().ConnConfig)
		if err != nil {
			t.Fatal(err)
		}
		defer holder.Close(context.Background())
		if _, err := holder.Exec(t.Context(), "BEGIN; SELECT FROM rooms FOR UPDATE"); err != nil {
			t.Fatal(err)
		}
		done := make(chan store.Result, 1)
		go func() {
			results := make([]store.Result, 1)
			if err := s.Append(context.Background(), batch, results); err != nil {
				t.Error(err)
			}
			done <- results[0]
		}()
		waitFor(t, direct, 1)
		p.cut()
		waitFor(t, direct, 2) // the abandoned one and the next
		if _, err := holder.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.Seq != 2 || got.Duplicate || got.Err != nil {
			t.Errorf("general %t: %+v, want seq 2", general, got)
		}
		wantOnce(t, direct, 2)
	}
}

// waitFor waits until so many sessions of the database wait for a lock.
func waitFor(t *testing.T, s *Store, want int) {
	t.Helper()
	if !waitUnless(t, s, want, nil) {
		t.Fatal("it has ended")
	}
}

// waitUnless waits until so many sessions of the database wait for a lock, and reports that, or until
// something is done.
func waitUnless(t *testing.T, s *Store, want int, done <-chan struct{}) (waits bool) {
	t.Helper()
	for until := time.Now().Add(waiting); ; time.Sleep(5 * time.Millisecond) {
		select {
		case <-done:
			return false
		default:
		}
		var n int
		err := s.readers.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n >= want {
			return true
		}
		if time.Now().After(until) {
			t.Fatalf("%d sessions wait, want %d", n, want)
		}
	}
}

// Between a read and a write of a transaction no other one comes in, not even on another node.
func TestUpdatesOfTwoNodes(t *testing.T) {
	url := postgrestest.Database(t)
	a, b := open(t, url, Options{Careless: true, Patience: waiting}), open(t, url, Options{Careless: true, Patience: waiting})
	add := func(tx store.Tx) error {
		value, err := tx.Get("n")
		if err != nil {
			return err
		}
		return tx.Put("n", append(value, 'x'))
	}
	batch := storetest.Writes(storetest.Draft(t, "lobby", "ann", "a", "hello"))
	batch[0].Decide = add
	for name, other := range map[string]func() error{
		"Update": func() error { return b.Update(context.Background(), add) },
		"Append": func() error { return b.Append(context.Background(), batch, make([]store.Result, 1)) },
	} {
		done := make(chan struct{})
		err := a.Update(t.Context(), func(tx store.Tx) error {
			value, err := tx.Get("n")
			go func() {
				defer close(done)
				if err := other(); err != nil {
					t.Error(err)
				}
			}()
			if !waitUnless(t, a, 1, done) {
				t.Errorf("%s has come in between", name)
			}
			return errors.Join(err, tx.Put("n", append(value, 'x')))
		})
		if <-done; err != nil {
			t.Error(err)
		}
	}
	err := a.View(t.Context(), func(tx store.Tx) error {
		value, err := tx.Get("n")
		if len(value) != 4 {
			t.Errorf("%d additions were made, want 4", len(value))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// A repeat that another attempt has stored is a duplicate.
func TestLostDuplicates(t *testing.T) {
	p, s, direct := lossy(t)
	draft := storetest.Draft(t, "lobby", "ann", "a", "needle")
	storetest.Append(t, direct, draft)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "b", "hello")) // so that it knows the room
	for range 3 {
		p.arm("needle", answerLost)
		if got := storetest.Append(t, s, draft)[0]; got.Seq != 1 || !got.Duplicate {
			t.Errorf("got %+v, want a duplicate of 1", got)
		}
	}
	if got := p.strikes(); got != 3 {
		t.Errorf("%d requests were lost, want 3", got)
	}
	if got := storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "c", "hello"))[0]; got.Seq != 3 {
		t.Errorf("afterwards: %+v, want seq 3", got)
	}
	wantOnce(t, direct, 3)
}

// Of writes with one id in a batch the first one stores it, whatever was lost on the way.
func TestLostTwice(t *testing.T) {
	for name, m := range mishaps {
		p, s, _ := lossy(t)
		storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
		draft := storetest.Draft(t, "lobby", "ann", "a", "hello")
		p.arm(commit, m)
		got := storetest.Append(t, s, draft, draft)
		for i, r := range got {
			if r.Seq != 2 || r.Duplicate != (i == 1) || r.Err != nil {
				t.Errorf("%s: result %d is %+v, want seq 2", name, i, r)
			}
		}
		if p.strikes() != 1 {
			t.Errorf("%s: %d requests were lost, want 1", name, p.strikes())
		}
	}
}

//go:build unix

package postgres

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/internal/logs/logstest"
	"kaban/internal/store"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// The lengths of campaigns; make cluster has longer ones.
var (
	losses    = flag.Int("losses", 100, "answers to commits that get lost")
	crashes   = flag.Int("crashes", 2, "crashes and restarts of a server")
	failovers = flag.Int("failovers", 3, "failovers to a standby")
)

// crowd appends to some rooms and changes documents, all the time, until it is told to stop. Each of
// its people repeats what is not acknowledged, as clients do.
type crowd struct {
	s     *Store
	acks  atomic.Int64
	rooms [3]string

	mu     sync.Mutex
	acked  map[string]map[uint64]string // by room and seq, the ids
	counts map[string]*counted          // changes of documents, by key
	wrong  []string

	ended   atomic.Bool
	working sync.WaitGroup
}

// counted are changes of a document.
type counted struct{ acked, unknown int }

// newCrowd starts people that use a store.
func newCrowd(t *testing.T, s *Store, people int) *crowd {
	c := &crowd{s: s, rooms: [3]string{"lobby", "kitchen", "garden"}, acked: make(map[string]map[uint64]string), counts: make(map[string]*counted)}
	for i := range people {
		c.working.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for n := 0; !c.ended.Load(); n++ {
				if random.IntN(4) == 0 {
					c.count(fmt.Sprint("person-", i))
				} else {
					c.append(t, fmt.Sprint("person", i), n, random)
				}
			}
		})
	}
	return c
}

// try repeats a call until it is acknowledged.
func (c *crowd) try(what string, call func() error) bool {
	for {
		err := call()
		if err == nil {
			c.acks.Add(1)
			return true
		}
		if !errors.Is(err, store.ErrUnknown) && !errors.Is(err, store.ErrUnavailable) {
			c.note(fmt.Sprintf("%s: %v", what, err))
			return false
		}
		if c.ended.Load() {
			return false
		}
	}
}

func (c *crowd) note(wrong string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = append(c.wrong, wrong)
	c.ended.Store(true)
}

// append appends to all rooms, in some order and one way or the other.
func (c *crowd) append(t *testing.T, author string, n int, random *rand.Rand) {
	var drafts []kaban.Draft
	for _, i := range random.Perm(len(c.rooms)) {
		drafts = append(drafts, storetest.Draft(t, c.rooms[i], author, fmt.Sprint("id-", n), "needle"))
	}
	batch, results := storetest.Writes(drafts...), make([]store.Result, len(drafts))
	if random.IntN(3) == 0 {
		batch[0].Decide = func(store.Tx) error { return nil }
	}
	if !c.try("append", func() error { return c.s.Append(context.Background(), batch, results) }) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, r := range results {
		room := drafts[i].Room.Key()
		if c.acked[room] == nil {
			c.acked[room] = make(map[uint64]string)
		}
		id := author + " " + drafts[i].ID.String()
		if before, twice := c.acked[room][r.Seq]; r.Err != nil || r.Seq == 0 || twice {
			c.wrong = append(c.wrong, fmt.Sprintf("%s in %s: %+v, and before %s", id, room, r, before))
		}
		c.acked[room][r.Seq] = id
	}
}

// count adds one to a document. An update whose outcome is unknown is not made again.
func (c *crowd) count(key string) {
	err := c.s.Update(context.Background(), func(tx store.Tx) error {
		value, err := tx.Get(key)
		if err != nil {
			return err
		}
		return tx.Put(key, append(value, 'x'))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts[key] == nil {
		c.counts[key] = new(counted)
	}
	switch {
	case err == nil:
		c.acks.Add(1)
		c.counts[key].acked++
	case errors.Is(err, store.ErrUnknown):
		c.counts[key].unknown++
	case !errors.Is(err, store.ErrUnavailable):
		c.wrong = append(c.wrong, fmt.Sprintf("update: %v", err))
	}
}

// await waits until the crowd has got some more acks.
func (c *crowd) await(t *testing.T, more int64) {
	t.Helper()
	want := c.acks.Load() + more
	for until := time.Now().Add(2 * waiting); c.acks.Load() < want; time.Sleep(5 * time.Millisecond) {
		if c.ended.Load() || time.Now().After(until) {
			c.ended.Store(true)
			c.working.Wait()
			t.Fatalf("no acks any more: %q", c.wrong)
		}
	}
}

// end stops the crowd, and checks that what it was told is true: no ack is lost, no entry is there
// twice, and no number is missing.
func (c *crowd) end(t *testing.T, s *Store) {
	t.Helper()
	c.ended.Store(true)
	c.working.Wait()
	for _, wrong := range c.wrong {
		t.Error(wrong)
	}
	for _, room := range c.rooms {
		c.check(t, s, room)
	}
	err := s.View(context.Background(), func(tx store.Tx) error {
		for key, n := range c.counts {
			value, err := tx.Get(key)
			if err != nil {
				return err
			}
			if len(value) < n.acked || len(value) > n.acked+n.unknown {
				t.Errorf("%s was changed %d times; %d were acknowledged, and %d are unknown", key, len(value), n.acked, n.unknown)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func (c *crowd) check(t *testing.T, s *Store, room string) {
	t.Helper()
	ids := make(map[string]uint64)
	for after := uint64(0); ; {
		entries, err := s.Read(context.Background(), storetest.RoomName(t, room), store.Page{After: after, Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		for i := range entries {
			e := &entries[i]
			if after++; e.Seq != after {
				t.Fatalf("%s has %d behind %d", room, e.Seq, after-1)
			}
			id := e.Username + " " + e.ID
			if before := ids[id]; before != 0 {
				t.Errorf("%s has %s twice, as %d and %d", room, id, before, e.Seq)
			}
			ids[id] = e.Seq
			if acked, ok := c.acked[room][e.Seq]; ok && acked != id {
				t.Errorf("%d of %s is %s, and was acknowledged as %s", e.Seq, room, id, acked)
			}
		}
		if len(entries) == 0 {
			break
		}
	}
	for seq, id := range c.acked[room] {
		if ids[id] != seq {
			t.Errorf("%s in %s was acknowledged as %d and is %d", id, room, seq, ids[id])
		}
	}
	t.Logf("%s: %d entries, %d acks", room, len(ids), len(c.acked[room]))
}

// Answers to commits get lost all the time, and no ack, no entry and no number.
func TestManyLosses(t *testing.T) {
	t.Parallel()
	p, s, direct := lossy(t)
	c := newCrowd(t, s, 4)
	c.await(t, 20)
	p.strike(3)
	for until := time.Now().Add(time.Duration(*losses) * waiting / 50); p.strikes() < *losses && !c.ended.Load(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Errorf("%d requests were lost, want %d", p.strikes(), *losses)
			break
		}
	}
	p.strike(0)
	c.end(t, direct)
	t.Logf("%d requests were lost", p.strikes())
}

// Crashes and restarts in the middle of appends lose nothing that was acknowledged.
func TestManyCrashes(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	s := open(t, server.Database(t), Options{Patience: DefaultPatience})
	c := newCrowd(t, s, 4)
	for i := range *crashes {
		c.await(t, 40)
		if i%2 == 0 {
			server.Crash(t)
		}
		server.Restart(t)
	}
	c.await(t, 40)
	c.end(t, s)
}

// pair are a primary and its standby, which confirms each commit.
type pair struct{ primary, standby *postgrestest.Server }

const database = "cluster"

func newPair(t *testing.T) *pair {
	t.Helper()
	a := postgrestest.Start(t)
	if err := a.Exec(t.Context(), "postgres", "CREATE DATABASE "+database); err != nil {
		t.Fatal(err)
	}
	p := &pair{a, postgrestest.StartStandby(t, a)}
	a.Confirm(t)
	return p
}

// both is the URL of a database with both servers.
func (p *pair) both() string {
	u := url.URL{Scheme: "postgres", User: url.User("kaban"), Host: p.primary.Address + "," + p.standby.Address, Path: "/" + database, RawQuery: "sslmode=disable"}
	return u.String()
}

// failover has the standby take over.
func (p *pair) failover(t *testing.T) {
	t.Helper()
	p.standby.Promote(t)
	p.primary, p.standby = p.standby, p.primary
}

// follow makes a standby of the server that was the primary.
func (p *pair) follow(t *testing.T) {
	t.Helper()
	p.standby.Follow(t, p.primary)
	p.primary.Confirm(t)
}

// After any number of failovers everything is there that was acknowledged, and nobody uses a server
// that was the primary before.
func TestFailovers(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := open(t, p.both(), Options{Patience: DefaultPatience})
	c := newCrowd(t, s, 4)
	for i := range *failovers {
		c.await(t, 40)
		if err := KeepEpoch(t.Context(), (&pair{p.standby, p.primary}).both()); err != nil { // it passes over the standby
			t.Fatal(err)
		}
		crash := i%4 == 0 || i%4 == 3 // or the primary is cut off from its standby only, also if its host comes first
		if crash {
			p.primary.Crash(t)
		}
		p.failover(t)
		c.await(t, 40)
		if crash { // the primary before comes back as it was, and connections are made anew
			p.standby.Restart(t)
			if err := p.primary.Exec(t.Context(), database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kaban'"); err != nil {
				t.Fatal(err)
			}
			c.await(t, 40)
		}
		p.follow(t)
	}
	c.await(t, 40)
	c.end(t, open(t, p.primary.URL(database), Options{Patience: waiting}))
	if err := s.broken.Load(); err != nil {
		t.Error(*err)
	}
}

// With the standby away nothing is acknowledged, nothing that is not confirmed becomes visible, and
// calls end in time. When it is back, what was sent is stored, once.
func TestStandbyAway(t *testing.T) {
	p := newPair(t)
	s, reader := open(t, p.primary.URL(database), Options{Patience: 2 * time.Second}), open(t, p.primary.URL(database), Options{Patience: waiting})
	rooms := []string{"lobby", "kitchen", "garden"}
	for _, room := range rooms {
		storetest.Append(t, s, storetest.Draft(t, room, "ann", "first", "hello"))
	}
	p.standby.Crash(t)
	batches := make([][]store.Write, len(rooms))
	var calling sync.WaitGroup
	for i, room := range rooms {
		batches[i] = storetest.Writes(storetest.Draft(t, room, "ann", "second", "hello"))
		if i == 1 {
			batches[i][0].Decide = func(tx store.Tx) error { return tx.Put("a", []byte("b")) }
		}
		calling.Go(func() {
			began := time.Now()
			err := s.Append(context.Background(), batches[i], make([]store.Result, 1))
			if took := time.Since(began); !errors.Is(err, store.ErrUnknown) || took > s.patience+lateness {
				t.Errorf("Append to %s: %v, after %v; want %v", room, err, took, store.ErrUnknown)
			}
		})
	}
	calling.Wait()
	p.wantHeads(t, reader, rooms, 1)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	time.Sleep(3 * time.Second) // longer than connectionCheck
	p.wantHeads(t, reader, rooms, 1)
	if log := p.primary.Log(); strings.Contains(log, "synchronous replication") {
		t.Errorf("a wait for the standby was cancelled:\n%s", log)
	}
	p.standby.Restart(t)
	p.primary.AwaitStandby(t)
	again := open(t, p.primary.URL(database), Options{Patience: waiting})
	for i := range batches {
		if got := appended(t, again, batches[i]); got.Seq != 2 || got.Err != nil {
			t.Errorf("again: %+v, want seq 2", got)
		}
	}
	p.wantHeads(t, reader, rooms, 2)
}

// With the standby away a store that has to write before it is open says so in time, and so does the next
// attempt, which finds the first one in its way. When the standby is back, it opens.
func TestOpenWithoutTheStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	old, empty := p.primary.URL(database), p.primary.Database(t)
	if err := open(t, old, Options{Patience: waiting}).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, old, "UPDATE store SET timeline = 0") // as if there had been a failover, after which there is another epoch
	p.standby.Crash(t)
	for i := range 2 {
		for name, url := range map[string]string{"after a failover": old, "an empty database": empty} {
			const patience = time.Second
			ctx, cancel := context.WithTimeout(t.Context(), waiting)
			began := time.Now()
			s, err := Open(ctx, url, Options{Patience: patience})
			took := time.Since(began)
			cancel()
			if !errors.Is(err, store.ErrUnavailable) || took > 5*time.Second+patience+lateness {
				t.Errorf("%s, attempt %d: %v, %v, after %v; want %v", name, i, s, err, took, store.ErrUnavailable)
			}
		}
	}
	if err := KeepEpoch(t.Context(), old); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("KeepEpoch: %v, want %v", err, store.ErrUnavailable)
	}
	p.standby.Restart(t)
	p.primary.AwaitStandby(t)
	for _, url := range []string{old, empty} {
		storetest.Append(t, open(t, url, Options{Patience: waiting}), storetest.Draft(t, "lobby", "ann", "a", "hello"))
	}
}

// A COMMIT whose connection is lost while it waits for the standby is still in progress when the next
// attempt looks, and nobody sees it. It is not missed, and nothing is made twice.
func TestAbandonedCommits(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	way := newProxy(t, p.primary.Address)
	s := open(t, p.primary.Via(way.address, database), Options{Patience: waiting})
	direct := open(t, p.primary.URL(database), Options{Patience: waiting})
	for _, room := range []string{"lobby", "kitchen"} {
		storetest.Append(t, s, storetest.Draft(t, room, "ann", "first", "hello"))
	}
	fast := storetest.Writes(storetest.Draft(t, "lobby", "ann", "second", "hello"))
	general := storetest.Writes(storetest.Draft(t, "kitchen", "ann", "second", "hello"), storetest.Draft(t, "kitchen", "ann", "third", "hello"))
	general[1].Refusal = errors.New("no")
	p.standby.Crash(t)
	var calling sync.WaitGroup
	for name, batch := range map[string][]store.Write{"fast": fast, "general": general} {
		calling.Go(func() {
			results := make([]store.Result, len(batch))
			if err := s.Append(context.Background(), batch, results); err != nil || results[0].Seq != 2 || results[0].Duplicate || results[0].Err != nil {
				t.Errorf("%s: %+v, %v", name, results, err)
			}
		})
	}
	calling.Go(func() {
		err := s.Update(context.Background(), func(tx store.Tx) error {
			value, err := tx.Get("n")
			return errors.Join(err, tx.Put("n", append(value, 'x')))
		})
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	})
	p.awaitWaits(t, direct, "wait_event = 'SyncRep'", 3)
	way.cut()
	p.awaitWaits(t, direct, "wait_event_type = 'Lock'", 3) // the next attempts
	p.standby.Restart(t)
	calling.Wait()
	p.wantHeads(t, direct, []string{"lobby", "kitchen"}, 2)
	err := direct.View(t.Context(), func(tx store.Tx) error {
		value, err := tx.Get("n")
		if string(value) != "x" {
			t.Errorf("the updates have made %q", value)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// awaitWaits waits until so many sessions wait for something.
func (p *pair) awaitWaits(t *testing.T, s *Store, what string, want int) {
	t.Helper()
	for until := time.Now().Add(waiting); ; time.Sleep(5 * time.Millisecond) {
		var n int
		err := s.readers.QueryRow(context.Background(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'kaban' AND "+what).Scan(&n)
		if err != nil {
			t.Fatal(err)
		}
		if n >= want {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("%d sessions have %s, want %d", n, what, want)
		}
	}
}

// A wait for the standby that somebody cancels is no ack.
func TestCancelledWait(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := open(t, p.primary.URL(database), Options{Patience: 3 * time.Second})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "first", "hello"))
	p.standby.Crash(t)
	var ended atomic.Bool
	var cancelling sync.WaitGroup
	cancelling.Go(func() {
		for !ended.Load() {
			const sql = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
			if err := p.primary.Exec(context.Background(), "postgres", sql); err != nil {
				t.Error(err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
	general := storetest.Writes(storetest.Draft(t, "lobby", "ann", "general", "hello"))
	general[0].Decide = func(store.Tx) error { return nil }
	for name, call := range map[string]func() error{
		"Append": func() error {
			return s.Append(context.Background(), storetest.Writes(storetest.Draft(t, "lobby", "ann", "fast", "hello")), make([]store.Result, 1))
		},
		"Append with a decision": func() error { return s.Append(context.Background(), general, make([]store.Result, 1)) },
		"Update": func() error {
			return s.Update(context.Background(), func(tx store.Tx) error { return tx.Put("a", []byte("b")) })
		},
	} {
		if err := call(); !errors.Is(err, store.ErrUnknown) {
			t.Errorf("%s: %v, want %v", name, err, store.ErrUnknown)
		}
	}
	ended.Store(true)
	cancelling.Wait()
}

// wantHeads checks the heads of rooms.
func (p *pair) wantHeads(t *testing.T, s *Store, rooms []string, want uint64) {
	t.Helper()
	for _, name := range rooms {
		if r, err := s.Room(t.Context(), storetest.RoomName(t, name)); err != nil || r.Head != want {
			t.Errorf("the head of %s is %d, %v; want %d", name, r.Head, err, want)
		}
	}
}

// A server that was restored from a snapshot has other data, although its timeline is the same. One
// that has crashed has the same.
func TestRestoredSnapshot(t *testing.T) {
	t.Parallel()
	server := postgrestest.Start(t)
	url := server.Database(t)
	s := open(t, url, Options{Patience: waiting})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "a", "hello"))
	server.Snapshot(t)
	server.Restart(t)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "b", "hello"))
	server.Crash(t)
	server.Restart(t)
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "c", "hello"))
	server.Restore(t)
	server.Restart(t)
	if _, err := s.Rooms(t.Context()); !errors.Is(err, store.ErrBroken) || !errors.Is(err, ErrEpoch) {
		t.Errorf("after a restore: %v, want %v", err, ErrEpoch)
	}
	if again := open(t, url, Options{Patience: waiting}); again.Epoch() == s.Epoch() {
		t.Error("after a restore the epoch is the same")
	}
}

// When a newer timeline is seen, connections to a server of an older one end at once, and what they
// still say does not count.
func TestOlderTimeline(t *testing.T) {
	url := postgrestest.Database(t)
	var log logstest.Buffer
	s := open(t, url, Options{Careless: true, Patience: 3 * time.Second, Log: slog.New(slog.NewTextHandler(&log, nil))})
	draft := storetest.Draft(t, "lobby", "ann", "a", "hello")
	storetest.Append(t, s, draft)
	if strings.Contains(log.String(), "failed over") {
		t.Errorf("the first timeline is one of a failover:\n%s", log.String())
	}
	err := s.Update(t.Context(), func(tx store.Tx) error {
		s.turn(s.timeline.Load() + 1)
		return tx.Put("a", []byte("b"))
	})
	if !errors.Is(err, store.ErrUnknown) {
		t.Errorf("an Update meanwhile: %v, want %v", err, store.ErrUnknown)
	}
	if n := s.writers.Stat().IdleConns() + s.readers.Stat().IdleConns() + s.makers.Stat().IdleConns(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if err := s.Append(t.Context(), storetest.Writes(draft), make([]store.Result, 1)); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, ErrFenced) {
		t.Errorf("Append: %v, want %v", err, ErrFenced)
	}
	if n := strings.Count(log.String(), "the database has failed over"); n != 1 {
		t.Errorf("a failover is logged %d times:\n%s", n, log.String())
	}
}

// appended returns the result of a batch of one write.
func appended(t *testing.T, s *Store, batch []store.Write) store.Result {
	t.Helper()
	results := make([]store.Result, 1)
	if err := s.Append(t.Context(), batch, results); err != nil {
		t.Fatal(err)
	}
	return results[0]
}

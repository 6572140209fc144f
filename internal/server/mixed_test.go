package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban/internal/store/teststore"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
)

// TestReadersOfAllKinds has readers that are quick, slow, stalled, that hang up
// and resume, and that take their name over from a connection that is still
// open, all in the same rooms while others talk. Each must get every number of
// every room once and in order, over however many connections.
func TestReadersOfAllKinds(t *testing.T) {
	const speakers, messages = 4, 250
	s := teststore.New(t)
	f := start(t, conn.Config{StallTimeout: 10 * time.Minute}, s, dispatch.Options{TailBytes: 16 << 10, PageEntries: 50})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := &mixed{fixture: f, epoch: s.Epoch(), rooms: []string{"lobby", "attic", "cellar"}, all: speakers * messages}
	random := func(i int) *rand.Rand { return rand.New(rand.NewPCG(seed, uint64(i))) }
	var group sync.WaitGroup
	run := func(name string, i int, kind func(*mixedReader)) {
		r := &mixedReader{mixed: m, random: random(i), name: fmt.Sprint(name, "-", i), session: "none", narrow: i < 30, seen: make(map[string]uint64)}
		group.Go(func() {
			defer r.hangUp()
			if err := r.connect(); err != nil {
				r.failed("connect: %v", err)
				return
			}
			kind(r)
			r.readAll()
		})
	}
	run("quick", 1, func(*mixedReader) {})
	for i := range 2 {
		run("slow", 10+i, (*mixedReader).readSlowly)
		run("stalled", 20+i, func(r *mixedReader) { m.waitUntilSaid() })
		run("closing", 30+i, (*mixedReader).comeAndGo)
		run("replaced", 40+i, (*mixedReader).takeOver)
	}
	for i := range speakers {
		run("speaker", 50+i, func(r *mixedReader) { r.talk(messages) })
	}
	group.Wait()
}

type mixed struct {
	*fixture
	epoch string
	rooms []string
	all   int // messages, of all speakers
	said  atomic.Int64
}

func (m *mixed) waitUntilSaid() {
	for deadline := time.Now().Add(3 * patience); m.said.Load() < int64(m.all) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

// mixedReader is a reader of all rooms over one connection after another. Only
// its goroutine uses it.
type mixedReader struct {
	*mixed
	random  *rand.Rand
	name    string
	narrow  bool // has little room for what it has not read
	conn    dialed
	input   *bufio.Reader
	session string
	seen    map[string]uint64 // by room
	acked   int
	bad     bool
}

func (r *mixedReader) failed(format string, args ...any) {
	r.bad = true
	r.t.Errorf("%s: %s", r.name, fmt.Sprintf(format, args...))
}

// connect greets, takes the name over if it had one, and joins all rooms where it
// was.
func (r *mixedReader) connect() error {
	var err error
	if r.conn, err = dialTo(r.addr, ""); err != nil {
		return err
	}
	if r.narrow {
		r.conn.SetReadBuffer(32 << 10)
	}
	r.input = bufio.NewReader(r.conn)
	if _, err := fmt.Fprintf(r.conn, `{"type":"hello","version":1,"username":%q,"resume":%q}`+"\n", r.name, r.session); err != nil {
		return err
	}
	for _, room := range r.rooms {
		if _, err := fmt.Fprintf(r.conn, `{"type":"join","room":%q,"after":%d,"epoch":%q}`+"\n", room, r.seen[room], r.epoch); err != nil {
			return err
		}
	}
	return nil
}

func (r *mixedReader) hangUp() { r.conn.Close() }

// read reads a frame and looks whether it is the next of its room.
func (r *mixedReader) read() bool {
	r.conn.SetReadDeadline(time.Now().Add(patience))
	line, err := r.input.ReadBytes('\n')
	if err != nil {
		r.failed("after %v: %v", r.seen, err)
		return false
	}
	var f struct {
		Type, Room, Session, Code string
		Seq                       uint64
	}
	if err := json.Unmarshal(line, &f); err != nil {
		r.failed("%v in %.200q", err, line)
		return false
	}
	switch f.Type {
	case "welcome":
		r.session = f.Session
	case "message", "ack":
		if f.Seq != r.seen[f.Room]+1 {
			r.failed("%s of %s has the number %d after %d", f.Type, f.Room, f.Seq, r.seen[f.Room])
			return false
		}
		r.seen[f.Room] = f.Seq
		if f.Type == "ack" {
			r.acked++
			r.said.Add(1)
		}
	case "error", "goodbye":
		if f.Code == "username_taken" && len(r.fixture.all) > 1 && r.session != "none" {
			// A node does not know yet that another one has replaced the session there.
			r.conn.Close()
			r.reconnect()
			return !r.bad
		}
		r.failed("got %s", line)
		return false
	}
	return true
}

func (r *mixedReader) count() (n int) {
	for _, seq := range r.seen {
		n += int(seq)
	}
	return n
}

// readAll reads until it has everything.
func (r *mixedReader) readAll() {
	for !r.bad && r.count() < r.all && r.read() {
	}
}

func (r *mixedReader) readSlowly() {
	for r.said.Load() < int64(r.all) && r.count() < r.all && r.read() {
		if r.random.IntN(4) == 0 {
			time.Sleep(time.Duration(r.random.IntN(3000)) * time.Microsecond)
		}
	}
}

// comeAndGo hangs up again and again, also in the middle of a frame or a replay.
func (r *mixedReader) comeAndGo() {
	for range 20 {
		for range 1 + r.random.IntN(100) { // the first has the session
			if r.count() >= r.all || !r.read() {
				return
			}
		}
		if r.random.IntN(2) == 0 {
			r.conn.SetLinger(0) // as a crash does
		}
		r.conn.Close()
		r.reconnect()
	}
}

// takeOver comes back while the connection before is open and reads nothing.
func (r *mixedReader) takeOver() {
	for range 10 {
		for range 5 + r.random.IntN(100) {
			if r.count() >= r.all || !r.read() {
				return
			}
		}
		old := r.conn
		defer old.Close()
		r.reconnect()
	}
}

// reconnect comes back under its name as soon as it is free.
func (r *mixedReader) reconnect() {
	if err := r.connect(); err != nil {
		r.failed("come back: %v", err)
	}
}

// talk sends with a bounded number under way, and reads what others say.
func (r *mixedReader) talk(messages int) {
	for sent := 0; sent < messages || r.acked < messages; {
		if sent < messages && sent-r.acked < 40 {
			content := strings.Repeat("x", 1+r.random.IntN(150))
			if r.random.IntN(3) == 0 { // in all more than the kernel takes for a reader
				content = strings.Repeat("🐢", 5000)
			}
			room := r.rooms[r.random.IntN(len(r.rooms))]
			if _, err := fmt.Fprintf(r.conn, `{"type":"send","room":%q,"id":"%d","content":%q}`+"\n", room, sent, content); err != nil {
				r.failed("send: %v", err)
				return
			}
			sent++
			continue
		}
		if !r.read() {
			return
		}
	}
}

package tui

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kaban/client"
)

// tally is what became of the posts of a run.
type tally struct {
	posted map[string][]string // contents by room, in order
	answer map[uint64]error
	byID   map[uint64]string
}

// take notes the answers among some events.
func (y *tally) take(t *testing.T, events batch) {
	for _, e := range events {
		if e, ok := e.(sentEvent); ok {
			if _, twice := y.answer[e.number]; twice {
				t.Errorf("%s is answered twice", y.byID[e.number])
			}
			y.answer[e.number] = e.err
		}
	}
}

// /part, /join, /nick, /reconnect and /quit at any moment beside posts under way
// lose no message, double none and keep their order.
func TestAnyMomentBesidePosts(t *testing.T) {
	addr := host(t)
	for run := range 60 {
		random := rand.New(rand.NewPCG(uint64(run), 1))
		rooms := []string{fmt.Sprintf("a-%d", run), fmt.Sprintf("b-%d", run)}
		y := tally{posted: make(map[string][]string), answer: make(map[uint64]error), byID: make(map[uint64]string)}
		s := newSession(Options{})
		start := random.IntN(20)
		joined := make(map[string]bool)
		for step := range 120 {
			if step == start {
				s.connect(addr, []string{fmt.Sprintf("ann-%d", run)})
			}
			room := rooms[random.IntN(len(rooms))]
			switch random.IntN(24) {
			case 0:
				s.part(room)
				joined[room] = false
			case 1:
				s.rename(fmt.Sprintf("ann-%d-%d", run, step))
			case 2:
				s.reconnect()
			case 3:
				time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
			case 4, 5:
				s.mu.Lock()
				events := s.events
				s.events, s.bytes = nil, 0
				s.space.Broadcast()
				s.mu.Unlock()
				y.take(t, events)
			default:
				if !joined[room] {
					s.join(room)
					joined[room] = true
				}
				number := uint64(step)
				content := fmt.Sprintf("%s: %d", room, step)
				y.byID[number] = content
				y.posted[room] = append(y.posted[room], content)
				s.post(room, number, 0, content)
			}
		}
		flushed := random.IntN(2) == 0
		if flushed {
			s.Flush(t.Context())
		}
		s.Close()
		y.take(t, s.events)
		for _, room := range rooms {
			y.check(t, room, flushed, contentsIn(t, addr, room))
		}
		if t.Failed() {
			t.Fatalf("in run %d", run)
		}
	}
}

func (y *tally) check(t *testing.T, room string, flushed bool, stored []string) {
	t.Helper()
	var want []string // in their order, without those that were refused
	for _, content := range y.posted[room] {
		var number uint64
		for n, c := range y.byID {
			if c == content {
				number = n
			}
		}
		err, answered := y.answer[number]
		is := slices.Contains(stored, content)
		switch {
		case !answered:
			t.Errorf("%q has no answer", content)
		case err == nil && !is:
			t.Errorf("%q is lost", content)
		case err != nil && flushed:
			t.Errorf("%q was not sent: %v", content, err)
		case errors.Is(err, client.ErrParted) && is:
			t.Errorf("%q is stored and was reported as not sent", content)
		}
		if is {
			want = append(want, content)
		}
	}
	if !slices.Equal(stored, want) {
		t.Errorf("stored in %s is %q, want %q", room, stored, want)
	}
}

// contentsIn returns the contents that are stored in a room; none if there is no
// such room.
func contentsIn(t *testing.T, addr, room string) (contents []string) {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, client.Options{Username: "reader-of-" + room})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Join(t.Context(), room, client.After(client.Cursor{}))
	if err != nil {
		t.Fatal(err)
	}
	page, err := c.History(t.Context(), r.Name(), client.HistoryQuery{HasAfter: true, Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages() {
		contents = append(contents, m.Content)
	}
	return contents
}

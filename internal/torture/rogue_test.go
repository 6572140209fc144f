package torture

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"kaban/internal/bus"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/postgres"
)

// rogue is somebody on the bus that repeats hints, late and out of order, and makes some up: without the seal of
// the cluster all that they can say, with it only what a node may say that is behind or wrong. A node believes
// entries under the seal that follow what it has, so it makes up none of those.
type rogue struct {
	t        *testing.T
	conn     *nats.Conn
	key      *bus.Key // of the cluster
	stranger *bus.Key
	group    sync.WaitGroup
	ending   chan struct{}

	mu    sync.Mutex // guards all below
	heard []*nats.Msg
	said  map[string]int
}

// remembered is how many hints a rogue repeats.
const remembered = 512

// far is how far beyond the head a lie is.
const far = 1 << 30

func newRogue(t *testing.T, c *nodes) *rogue {
	t.Helper()
	kept, err := postgres.Open(t.Context(), c.primary.URL(databaseName), postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := people.Common(t.Context(), kept, "secret", func() ([]byte, error) { return nil, errors.New("there is no secret") })
	if err = errors.Join(err, kept.Close()); err != nil {
		t.Fatal(err)
	}
	r := &rogue{t: t, ending: make(chan struct{}), said: make(map[string]int)}
	for _, k := range []struct {
		key    **bus.Key
		secret string
	}{{&r.key, string(secret)}, {&r.stranger, "the secret of somebody else, long enough"}} {
		if *k.key, err = bus.NewKey(k.secret); err != nil {
			t.Fatal(err)
		}
	}
	r.conn, err = nats.Connect("nats://"+c.busAddress, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.NoEcho())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.conn.Subscribe("kaban.*.hint.*", r.hear); err != nil {
		t.Fatal(err)
	}
	r.group.Go(r.talk)
	t.Cleanup(func() {
		close(r.ending)
		r.group.Wait()
		r.conn.Close()
		t.Logf("hints of the rogue: %v", r.said)
	})
	return r
}

// hear keeps the last hints.
func (r *rogue) hear(m *nats.Msg) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.heard = append(r.heard, m); len(r.heard) > remembered {
		r.heard = slices.Delete(r.heard, 0, remembered/2)
	}
}

// talk says something every few milliseconds, until the end.
func (r *rogue) talk() {
	for {
		select {
		case <-r.ending:
			return
		case <-time.After(rand.N(6 * time.Millisecond)):
		}
		r.mu.Lock()
		var heard *nats.Msg
		if n := len(r.heard); n > 0 {
			heard = r.heard[n-1-min(rand.IntN(n), rand.IntN(n), rand.IntN(n))] // often a new one
		}
		r.mu.Unlock()
		if heard != nil {
			r.say(heard)
		}
	}
}

// say repeats something that was heard, or what is made of it.
func (r *rogue) say(heard *nats.Msg) {
	what, data := "repeated", heard.Data
	if encoded, err := r.key.Open(heard.Data); err == nil && rand.IntN(3) > 0 {
		if h, err := bus.Decode(encoded); err == nil {
			what, data = r.lie(h)
		}
	}
	if r.conn.Publish(heard.Subject, data) == nil {
		r.mu.Lock()
		r.said[what]++
		r.mu.Unlock()
	}
}

// lie makes a lie of a hint.
func (r *rogue) lie(h *bus.Hint) (what string, data []byte) {
	switch rand.IntN(8) {
	case 0, 1:
		h.Entries = invented(h, h.Head+1)
		h.Head += uint64(len(h.Entries))
		return "made up without the seal", r.stranger.Seal(h.Append(nil))
	case 2:
		sealed := r.key.Seal(h.Append(nil))
		sealed = bytes.Clone(sealed)
		sealed[rand.IntN(len(sealed))] ^= 1 << rand.IntN(8)
		return "changed under the seal", sealed
	case 3:
		h.Entries, h.Head = nil, h.Head+far
		return "of a far head", r.key.Seal(h.Append(nil))
	case 4:
		h.Entries, h.Head = nil, rand.Uint64N(h.Head+1)
		return "of an old head", r.key.Seal(h.Append(nil))
	case 5:
		h.Entries = invented(h, h.Head+far)
		h.Head += far + uint64(len(h.Entries)) - 1
		return "with a gap", r.key.Seal(h.Append(nil))
	case 6:
		h.Entries = invented(h, h.Head+1)
		h.Head += uint64(len(h.Entries))
		h.Epoch = "ANOTHER"
		return "of another epoch", r.key.Seal(h.Append(nil))
	default:
		h.Entries = invented(h, h.Head+1)
		h.Head += uint64(len(h.Entries))
		h.Timeline += far + rand.Uint64N(3) // never one that failovers lead to: then it would be right
		return "of another timeline", r.key.Seal(h.Append(nil))
	}
}

// invented returns some entries from a seq on that no store has.
func invented(h *bus.Hint, first uint64) []store.Entry {
	entries := make([]store.Entry, 1+rand.IntN(3))
	for i := range entries {
		entries[i] = store.Entry{
			Seq: first + uint64(i), Kind: 1, Time: time.Now().UnixMilli(), ID: fmt.Sprint("invented-", first, "-", i),
			Author: "n:rogue", Username: "rogue", Content: "invented in " + h.Room.String(),
		}
	}
	return entries
}

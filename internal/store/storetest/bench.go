package storetest

import (
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store"
)

// BenchmarkDocuments measures transactions on an empty store, which then has 100,000
// documents of 200 bytes.
func BenchmarkDocuments(b *testing.B, s store.Store) {
	const n = 100_000
	key := func(i int) string { return fmt.Sprintf("member/%06d", i*7919%n) }
	value := make([]byte, 200)
	err := s.Update(b.Context(), func(tx store.Tx) error {
		for i := range n {
			if err := tx.Put(key(i), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	i := 0
	next := func() string { i++; return key(i) }
	get := func(tx store.Tx) error { _, err := tx.Get(next()); return err }
	put := func(tx store.Tx) error { return tx.Put(next(), value) }
	scan := func(tx store.Tx) error { _, err := tx.Scan(next(), "member0", 100); return err }
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"view get", func() error { return s.View(b.Context(), get) }},
		{"view scan of 100", func() error { return s.View(b.Context(), scan) }},
		{"update get and put", func() error {
			return s.Update(b.Context(), func(tx store.Tx) error {
				if err := get(tx); err != nil {
					return err
				}
				return put(tx)
			})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for name, decide := range map[string]func(store.Tx) error{"none": nil, "get": get, "put": put} {
		b.Run("append 256 decided by/"+name, func(b *testing.B) { i = benchmarkDecided(b, s, name, i, decide) })
	}
}

// benchmarkDecided measures appends to a room from the message i on, and returns the
// next one.
func benchmarkDecided(b *testing.B, s store.Store, room string, i int, decide func(store.Tx) error) int {
	const size = 256
	results := make([]store.Result, size)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch := Writes(many(b, "room-"+room, i, size)...)
		i += size
		for j := range batch {
			batch[j].Decide = decide
		}
		b.StartTimer()
		if err := s.Append(b.Context(), batch, results); err != nil {
			b.Fatal(err)
		}
	}
	return i
}

// BenchmarkStates measures appends of messages and of reactions to them, and history. The
// store must be empty, and then has a room with 120,000 messages.
func BenchmarkStates(b *testing.B, s store.Store) {
	const old, head, size = 20_000, 120_000, 256
	for i := 0; i < head; i += 1000 {
		Append(b, s, many(b, "lobby", i, 1000)...)
	}
	n := 0 // the drafts so far
	id := func(d kaban.Draft) kaban.Draft {
		n++
		d.ID = Draft(b, "lobby", "ann", fmt.Sprint("n", n), "x").ID
		return d
	}
	batches := func(next func() kaban.Draft) func(b *testing.B) {
		return func(b *testing.B) {
			batch, results := make([]store.Write, size), make([]store.Result, size)
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				for i := range batch {
					batch[i].Draft = id(next())
				}
				b.StartTimer()
				if err := s.Append(b.Context(), batch, results); err != nil {
					b.Fatal(err)
				}
				for i := range results {
					if results[i].Err != nil || results[i].Duplicate {
						b.Fatalf("%+v: %+v", batch[i].Draft, results[i])
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*size), "ns/entry")
		}
	}
	// reactions react to messages of the lobby, one after the other. In every second round
	// they take back what they did in the one before, so that a message has one at most.
	reactions := func(first, messages int) func() kaban.Draft {
		i := -1
		return func() kaban.Draft {
			i++
			return react(b, fmt.Sprint("user-", i/messages/2%50), "x", uint64(first+i%messages), i/messages%2 == 0, "👍")
		}
	}
	b.Run("append 256 reactions to/old messages", batches(reactions(1, old)))
	b.Run("append 256 reactions to/recent messages", batches(reactions(head-size+1, size)))
	b.Run("append 256 messages", batches(func() kaban.Draft { return message(b, "ann", "x", "hello world") }))
	for name, edits := range map[string]int{"no": 0, "10000": 10_000} {
		benchmarkHistory(b, s, name, edits)
	}
}

// benchmarkHistory measures a page of 100 messages, with edits of one of them in the middle. Enough
// follows in another room that a store with a journal has merged them.
func benchmarkHistory(b *testing.B, s store.Store, name string, edits int) {
	const limit = 100
	room := "history-" + name
	roomName := RoomName(b, room)
	Append(b, s, many(b, room, 0, limit*3/2)...)
	for i := 0; i < edits; i += 1000 {
		var batch []kaban.Draft
		for j := range 1000 {
			d := edit(b, "ann", fmt.Sprint("edit-", i+j), limit+1, fmt.Sprint("edit ", i+j))
			d.Room = roomName
			batch = append(batch, d)
		}
		Append(b, s, batch...)
	}
	Append(b, s, many(b, room, limit*3/2, limit/2)...)
	for i := 0; i < 20_000; i += 1000 {
		Append(b, s, many(b, "elsewhere-"+name, i, 1000)...)
	}
	b.Run("history of 100 entries with edits/"+name, func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			h, err := s.History(b.Context(), roomName, store.Page{Last: true, Limit: limit})
			if err != nil || len(h.Entries) != limit || h.Last-h.First != uint64(limit+edits-1) {
				b.Fatalf("%d entries, %d to %d, %v", len(h.Entries), h.First, h.Last, err)
			}
		}
	})
}

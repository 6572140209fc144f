package storetest

import (
	"fmt"
	"testing"

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

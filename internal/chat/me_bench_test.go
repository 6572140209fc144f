package chat

import (
	"context"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"testing"

	"kaban"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// BenchmarkMe measures the rooms of an account that is in a thousand: a room has ten thousand
// unread messages, of ten authors, in the store that is warm, and in one that was just opened.
func BenchmarkMe(b *testing.B) {
	const rooms, perRoom = 1000, 100
	dir := filepath.Join(b.TempDir(), "data")
	open := func() *sqlite.Store {
		s, err := sqlite.Open(b.Context(), dir, sqlite.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	s := open()
	w := newTown(b, s)
	for i := range rooms {
		room := people.Room{Key: fmt.Sprint("room-", i), Name: fmt.Sprint("room-", i), Kind: kaban.RoomPublic, Topic: "a topic"}
		if err := s.Update(b.Context(), func(tx store.Tx) error {
			return people.Enter(tx, s.Epoch(), &room, &people.Member{Room: room.Key, Account: "id-ann", Role: kaban.RoomRoleMember, From: 1})
		}); err != nil {
			b.Fatal(err)
		}
	}
	prefix := rand.Text()[:16]
	results := make([]store.Result, perRoom)
	for i := range rooms {
		batch := make([]store.Write, perRoom)
		for j := range batch {
			batch[j].Draft = storetest.Draft(b, fmt.Sprint("room-", i), fmt.Sprint("user-", j%10), fmt.Sprintf("%s-%d", prefix, j), "hello")
		}
		if err := s.Append(context.Background(), batch, results); err != nil {
			b.Fatal(err)
		}
	}
	me := func(b *testing.B, w *town) {
		got, err := w.user("ann").Me(b.Context(), "", rooms)
		if err != nil || len(got.Rooms) != rooms || got.Rooms[7].Unread != perRoom {
			b.Fatalf("%d rooms, %v: %+v", len(got.Rooms), err, got.Rooms[7])
		}
	}
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			me(b, w)
		}
	})
	b.Run("badge", func(b *testing.B) { // of each push
		for b.Loop() {
			if n, err := w.user("ann").badge(b.Context()); err != nil || n != 0 { // nothing mentions her
				b.Fatal(n, err)
			}
		}
	})
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			s = open()
			w = newTown(b, s)
			b.StartTimer()
			me(b, w)
		}
	})
	s.Close()
}

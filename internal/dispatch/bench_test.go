package dispatch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// sleeper is a waker that ignores every call.
type sleeper struct{}

func (sleeper) Wake(*Audience)        {}
func (sleeper) WakeOne(*Subscription) {}

// busyRoom returns a room, its members, which share a waker, and a function that
// publishes a batch of entries there.
func busyRoom(b *testing.B, members, batch int) (*Room, []*Subscription, func()) {
	b.Helper()
	d := newDispatcher(b, memory.New(0), Options{PresenceDelay: time.Hour})
	name := storetest.RoomName(b, "lobby")
	var all []*Subscription
	for i := range members {
		s, _, err := tryJoin(d, sleeper{}, plain, storetest.Username(b, fmt.Sprint("user-", i)), name, Start{})
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, s)
	}
	r := d.Peek(name)
	entries := make([]store.Entry, batch)
	content := strings.Repeat("x", 100)
	return r, all, func() {
		head := r.Head()
		for i := range entries {
			entries[i] = store.Entry{Seq: head + 1 + uint64(i), Time: 1, Kind: kaban.KindMessage, ID: "id", Username: "user-0", Content: content}
		}
		r.publish(entries)
	}
}

// BenchmarkPublish is the cost of a message in the committer, which does not grow
// with the number of members: encoding and waking.
func BenchmarkPublish(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprint("batch-", batch), func(b *testing.B) {
			_, _, publish := busyRoom(b, 1000, batch)
			b.ReportAllocs()
			for b.Loop() {
				publish()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/message")
		})
	}
}

// BenchmarkNext is the cost of a delivery without the write: finding the new
// entries, with one new message for each reader.
func BenchmarkNext(b *testing.B) {
	const members = 1000
	r, all, publish := busyRoom(b, members, 1)
	b.ReportAllocs()
	for b.Loop() {
		publish()
		for _, s := range r.audiences[0].Members() {
			segment := s.Next()
			s.Advance(&segment, len(segment.Frames))
			s.Next() // nothing more
		}
	}
	if all[0].Seq() != r.Head() {
		b.Errorf("the cursor is at %d, want %d", all[0].Seq(), r.Head())
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/delivery")
}

// BenchmarkSubmit takes a message from a read step to its receipt, over a store
// that does not block.
func BenchmarkSubmit(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprint("batch-", batch), func(b *testing.B) {
			d := newDispatcher(b, memory.New(1<<20), Options{PresenceDelay: time.Hour})
			author := storetest.Username(b, "ann")
			s, _, err := tryJoin(d, sleeper{}, plain, author, storetest.RoomName(b, "lobby"), Start{})
			if err != nil {
				b.Fatal(err)
			}
			message, err := kaban.NewMessage(author, strings.Repeat("x", 100), 1000)
			if err != nil {
				b.Fatal(err)
			}
			sends := make([]Send, batch)
			b.ReportAllocs()
			for n := 0; b.Loop(); {
				for i := range sends {
					n++
					id, err := kaban.ParseMessageID(fmt.Sprint(n))
					if err != nil {
						b.Fatal(err)
					}
					sends[i] = Send{Draft: message.Draft(kaban.Visitor(message.Username()), s.Room().Name(), id), Subscription: s}
				}
				d.Submit(sends)
				for s.Outstanding() > 0 {
					if segment := s.Next(); segment.Frames != nil {
						s.Advance(&segment, len(segment.Frames))
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/message")
		})
	}
}

// BenchmarkPages is the cost of a page of a list. It does not grow with the list.
func BenchmarkPages(b *testing.B) {
	for _, many := range []int{1000, 100_000} {
		s := memory.New(1 << 30)
		batch := make([]kaban.Draft, many)
		for i := range batch {
			batch[i] = storetest.Draft(b, fmt.Sprint("room-", i), "ann", fmt.Sprint("id-", i), "x")
		}
		if err := s.Append(b.Context(), storetest.Writes(batch...), make([]store.Result, many)); err != nil {
			b.Fatal(err)
		}
		d := newDispatcher(b, s, Options{PresenceDelay: time.Hour})
		name := storetest.RoomName(b, "lobby")
		for i := range many {
			if _, _, err := tryJoin(d, sleeper{}, plain, storetest.Username(b, fmt.Sprint("user-", i)), name, Start{}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprint("rooms-", many), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				d.Rooms(fmt.Sprint("room-", i*7919%many), 500)
			}
		})
		b.Run(fmt.Sprint("members-", many), func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if _, _, _, err := d.Members(b.Context(), name, fmt.Sprint("user-", i*7919%many), 500); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package conn_test

import (
	"fmt"
	"testing"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
)

// BenchmarkLongestRound measures how long everybody else waits at most while
// something is done with 100,000 rooms or 100,000 members of a room: the longest
// round of the loop without the sockets, garbage collection included.
func BenchmarkLongestRound(b *testing.B) {
	const many = 100_000
	const request = 500 // requests of one connection in a row
	pages := func(line string) func(*turned, []*turnedPeer) {
		return func(_ *turned, crowd []*turnedPeer) {
			for range request {
				crowd[0].say("%s", line)
			}
		}
	}
	for _, c := range []struct {
		name           string
		rooms, members int
		do             func(l *turned, crowd []*turnedPeer)
	}{
		{"rooms", many, 1, pages(`{"type":"rooms","after":"room-5"}`)},
		{"members", 0, many, pages(`{"type":"members","room":"lobby","after":"peer-5"}`)},
		{"join-and-part", 0, many, func(_ *turned, crowd []*turnedPeer) {
			for range request {
				crowd[0].say(`{"type":"part","room":"lobby"}` + "\n" + `{"type":"join","room":"lobby"}`)
			}
		}},
		{"send", 0, many, func(_ *turned, crowd []*turnedPeer) {
			crowd[0].say(`{"type":"send","room":"lobby","id":"1","content":"x"}`)
		}},
		{"sweep", 0, many, func(l *turned, _ []*turnedPeer) {
			l.loop.Later(l.manager.Config().Heartbeat + time.Second)
			l.loop.Sweep()
		}},
		{"leave-1000-rooms", many, 1, func(l *turned, crowd []*turnedPeer) {
			for i := range 1000 - 1 {
				crowd[0].say(`{"type":"join","room":"room-%d"}`, i)
			}
			crowd[0].ended = true
		}},
		{"all-leave", 0, many, func(_ *turned, crowd []*turnedPeer) {
			for _, p := range crowd {
				p.ended = true
				p.l.loop.Readable(p.h)
			}
		}},
		{"drain", 0, many, func(l *turned, _ []*turnedPeer) { l.loop.Drain(time.Second) }},
	} {
		b.Run(fmt.Sprintf("%s/%d-rooms/%d-members", c.name, c.rooms, c.members), func(b *testing.B) {
			var longest time.Duration
			for b.Loop() {
				b.StopTimer()
				s := roomsStore(b, c.rooms)
				if c.rooms == 0 {
					s = memory.New(0)
				}
				l := turnOver(b, s, dispatch.Options{PresenceDelay: time.Hour})
				crowd := l.inLobby(c.members)
				b.StartTimer()
				began := time.Now()
				c.do(l, crowd)
				for first := true; first || l.loop.Posted() || l.loop.Busy() || l.loop.ToCheck() > 0; first = false {
					if l.loop.ToCheck() > 0 {
						l.loop.Sweep()
					}
					l.round()
					for _, p := range crowd[:1] {
						p.out = p.out[:0]
					}
					longest = max(longest, time.Since(began))
					began = time.Now()
				}
				b.StopTimer()
				l.loop.CloseAll()
				b.StartTimer()
			}
			b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest")
		})
	}
}

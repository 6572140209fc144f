package conn_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
)

// BenchmarkRound measures everything that Kaban does for a delivery except system
// calls: a member of a room of 1,000 sends a message, and a loop over sockets that
// cost nothing delivers it to the others.
func BenchmarkRound(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprint("batch-", batch), func(b *testing.B) {
			const members = 1000
			d, err := dispatch.New(context.Background(), memory.New(1<<20), dispatch.Options{PresenceDelay: time.Hour})
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			manager, front := newServer(b, conn.Config{MaxClients: 2 * members}, d)
			defer manager.Close()
			m := &model{t: b, manager: manager, server: front, loop: conn.NewTestLoop(manager)}
			defer m.loop.CloseAll()
			for range members {
				p := m.enter()
				p.socket.room = 1 << 62
				p.say(`{"type":"join","room":"lobby"}`)
			}
			m.settle()
			speaker, content := m.peers[0], strings.Repeat("x", 100)
			b.ReportAllocs()
			for n := 0; b.Loop(); {
				b.StopTimer()
				for _, p := range m.peers {
					p.socket.out = p.socket.out[:0]
				}
				for range batch {
					n++
					speaker.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, n, content)
				}
				b.StartTimer()
				for m.loop.Posted() || m.loop.Busy() {
					m.turn()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch*(members-1)), "ns/delivery")
		})
	}
}

// BenchmarkTalk is BenchmarkRound with 20 rooms of 10 members, and everybody talks: 16
// messages each at a time.
func BenchmarkTalk(b *testing.B) {
	const rooms, members, batch = 20, 10, 16
	d, err := dispatch.New(context.Background(), memory.New(1<<20), dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	manager, front := newServer(b, conn.Config{MaxClients: rooms * members}, d)
	defer manager.Close()
	m := &model{t: b, manager: manager, server: front, loop: conn.NewTestLoop(manager)}
	defer m.loop.CloseAll()
	for i := range rooms * members {
		p := m.enter()
		p.socket.room = 1 << 62
		p.say(`{"type":"join","room":"room%d"}`, i%rooms)
	}
	m.settle()
	content := strings.Repeat("x", 100)
	b.ReportAllocs()
	for n := 0; b.Loop(); {
		b.StopTimer()
		for i, p := range m.peers {
			p.socket.out = p.socket.out[:0]
			for range batch {
				n++
				p.say(`{"type":"send","room":"room%d","id":"%d","content":"%s"}`, i%rooms, n, content)
			}
		}
		b.StartTimer()
		for m.loop.Posted() || m.loop.Busy() {
			m.turn()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rooms*members*batch*(members-1)), "ns/delivery")
}

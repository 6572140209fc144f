//go:build unix

package sqlite

import (
	"fmt"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
)

// BenchmarkReact compares what messages and reactions cost: ten people in each of 100 rooms
// write messages of 100 bytes, or react to 64 messages in turn and then take their reactions back. It
// reports the processor time of an entry, with merges and checkpoints.
func BenchmarkReact(b *testing.B) {
	for _, kind := range []kaban.Kind{kaban.KindMessage, kaban.KindReact} {
		b.Run(map[kaban.Kind]string{kaban.KindMessage: "messages", kaban.KindReact: "reactions"}[kind], func(b *testing.B) {
			benchmarkReact(b, kind)
		})
	}
}

func benchmarkReact(b *testing.B, kind kaban.Kind) {
	const rooms, people, targets, atOnce = 100, 10, 64, 250
	s := open(b, b.TempDir(), Options{})
	drafts := make([]kaban.Draft, rooms*people)
	for i := range drafts {
		drafts[i] = storetest.Draft(b, fmt.Sprint("room-", i/people), fmt.Sprint("user-", i), "first", strings.Repeat("hello world ", 8))
	}
	n := 0
	batch, results := make([]store.Write, atOnce), make([]store.Result, atOnce)
	next := func(kind kaban.Kind) {
		for i := range batch {
			who, turn := n%len(drafts), n/len(drafts)
			d := drafts[(who%rooms)*people+who/rooms]
			d.ID, n = kaban.NewMessageID(), n+1
			if kind == kaban.KindReact {
				d.Kind, d.Target, d.Body = kind, uint64(1+turn%targets), kaban.Switch(turn/targets%2 == 0, "👍")
			}
			batch[i] = store.Write{Draft: d}
		}
		if err := s.Append(b.Context(), batch, results); err != nil {
			b.Fatal(err)
		}
		for i := range results {
			if results[i].Err != nil {
				b.Fatal(results[i].Err)
			}
		}
	}
	for range 2 * targets * len(drafts) / atOnce { // messages to react to, of all people
		next(kaban.KindMessage)
	}
	n = 0
	b.ReportAllocs()
	rows, begun := 0, processorTime(b)
	for b.Loop() {
		next(kind)
		rows += atOnce
	}
	b.ReportMetric(float64((processorTime(b)-begun).Nanoseconds())/float64(rows), "cpu-ns/entry")
}

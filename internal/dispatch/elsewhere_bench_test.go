package dispatch

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"kaban/internal/bus"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// BenchmarkSnapshot measures what a snapshot of another node costs, with 40 names in each of 1,000 rooms: to
// encode it, to decode and take it, and the memory of what is known of the node then.
func BenchmarkSnapshot(b *testing.B) {
	const rooms, names, part = 1000, 40, 40 // rooms in a message
	s := memory.New(0)
	d := newDispatcher(b, s, Options{PresenceDelay: time.Hour})
	if err := d.Connect(new(ear), func() uint64 { return timeline }); err != nil {
		b.Fatal(err)
	}
	var snapshot [rooms / part]bus.Presence
	for i := range rooms {
		a := bus.Attendance{Room: storetest.RoomName(b, fmt.Sprint("room-", i)), Named: true}
		for j := range names {
			a.Names = append(a.Names, bus.Attendant{Name: fmt.Sprintf("somebody-%06d", (i*7919+j)%50_000), Account: true})
		}
		m := &snapshot[i/part]
		m.Epoch, m.Node, m.First, m.Last = "E", "node", i/part == 0, i/part == len(snapshot)-1
		m.Rooms = append(m.Rooms, a)
		storetest.Append(b, s, storetest.Draft(b, a.Room.String(), "ann", "first", "hello"))
		if _, err := d.Lookup(b.Context(), a.Room); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("encode", func(b *testing.B) {
		var encoded []byte
		size := 0
		for b.Loop() {
			size = 0
			for i := range snapshot {
				encoded = snapshot[i].Append(encoded[:0])
				size += len(encoded)
			}
		}
		b.ReportMetric(float64(size)/rooms/names, "bytes/name")
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rooms/names, "ns/name")
	})
	b.Run("take", func(b *testing.B) {
		before, number := heapInUse(), uint64(0)
		for b.Loop() {
			for i := range snapshot {
				number++
				snapshot[i].Number = number
				m, err := bus.DecodeMessage(snapshot[i].Append(nil))
				if err != nil {
					b.Fatal(err)
				}
				d.peers.others.heard(m.(*bus.Presence), 0)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rooms/names, "ns/name")
		b.ReportMetric(float64(heapInUse()-before)/rooms/names, "heap-bytes/name")
		runtime.KeepAlive(d)
	})
}

func heapInUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

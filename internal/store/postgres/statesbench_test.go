//go:build unix

package postgres

import (
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/store/postgres/postgrestest"
	"kaban/internal/store/storetest"
)

// BenchmarkStates measures what the comparison of each second costs a node with readers in 10,000
// rooms: processor time of all processes of the server, for a room.
func BenchmarkStates(b *testing.B) {
	const count = 10_000
	server := postgrestest.Start(b)
	s := open(b, server.Database(b), Options{Careless: true, Patience: waiting})
	names := make([]kaban.RoomName, count)
	for i := range names {
		names[i] = storetest.RoomName(b, fmt.Sprint("room-", i))
		storetest.Append(b, s, storetest.Draft(b, fmt.Sprint("room-", i), "ann", "first", "hello"))
	}
	before, err := server.CPU()
	if err != nil {
		b.Skip(err)
	}
	asked := 0
	for b.Loop() {
		states, err := s.States(b.Context(), names)
		if err != nil || len(states) != count {
			b.Fatalf("%d states, %v", len(states), err)
		}
		asked += count
	}
	after, err := server.CPU()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((after-before).Nanoseconds())/1000/float64(asked), "server-cpu-µs/room")
}

package dispatch

import (
	"fmt"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// BenchmarkJoin is the cost of a join while a room fills, and of leaving it again. It
// does not grow with the number of members.
func BenchmarkJoin(b *testing.B) {
	for _, members := range []int{500, 5000} {
		b.Run(fmt.Sprint("members-", members), func(b *testing.B) {
			d := newDispatcher(b, memory.New(0), Options{PresenceDelay: time.Hour})
			name := storetest.RoomName(b, "lobby")
			users := make([]kaban.Username, members)
			for i := range users {
				users[i] = storetest.Username(b, fmt.Sprint("user-", i))
			}
			all := make([]*Subscription, members)
			b.ReportAllocs()
			for b.Loop() {
				for i := range users {
					s, _, err := tryJoin(d, sleeper{}, plain, users[i], name, Start{})
					if err != nil {
						b.Fatal(err)
					}
					all[i] = s
				}
				for _, s := range all {
					d.Leave(s)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*members), "ns/join")
		})
	}
}

package conn

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"kaban/internal/dispatch"
)

// BenchmarkAccept is everything that Delegate and the end of a newcomer share with
// other connections, from the token to its return, on every processor at once: its
// cost per connection must not grow with the processors.
func BenchmarkAccept(b *testing.B) {
	for _, addresses := range []int{0, 100} {
		b.Run(fmt.Sprint(addresses, "-addresses"), func(b *testing.B) {
			m, err := New(Config{Submit: func([]dispatch.Send) {}})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			var workers atomic.Int32
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				l := newLoop(m, new(testPoller)) // each has its own, as many as there are processors
				worker := int(workers.Add(1))
				for i := 0; pb.Next(); i++ {
					token, err := m.acquire()
					if err != nil {
						b.Error(err)
						return
					}
					var source netip.Prefix
					if addresses > 0 {
						source = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(worker), byte(i % addresses)}), 32)
					}
					h := &Handler{loop: l, token: token}
					m.newcomers.enter(h, source, m.arrivals.Add(1), func() {})
					l.wake()
					l.posts.calls = l.posts.calls[:0]
					m.newcomers.leave(h)
					if err := token.Redeem(); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}

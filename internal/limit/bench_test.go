package limit

import (
	"fmt"
	"testing"
	"time"
)

func stopwatch() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func BenchmarkTake(b *testing.B) {
	var h hand
	for _, test := range []struct {
		name  string
		clock func() time.Duration
		keys  int
	}{
		{"one key", h.clock, 1},
		{"one key, real clock", stopwatch(), 1},
		{"10000 keys", h.clock, 10_000},
	} {
		b.Run(test.name, func(b *testing.B) {
			l := NewLimiter("", Rate{Count: 1000, Per: time.Second, Burst: 1000}, test.clock)
			keys := make([]Key, test.keys)
			for i := range keys {
				keys[i] = NameKey(fmt.Sprint(i))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l.Take(keys[i], 1)
				if i++; i == len(keys) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkTakeParallel(b *testing.B) {
	l := NewLimiter("", Rate{Count: 1000, Per: time.Second, Burst: 1000}, stopwatch())
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		keys := make([]Key, 64)
		for i := range keys {
			keys[i] = NameKey(fmt.Sprint(i))
		}
		for i := 0; p.Next(); i++ {
			l.Take(keys[i%len(keys)], 1)
		}
	})
}

func BenchmarkKey(b *testing.B) {
	addr := address("2001:db8::1")
	b.Run("address", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			AddressKey(addr)
		}
	})
	b.Run("name", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			NameKey("account:0192f1d0")
		}
	})
}

func BenchmarkBegin(b *testing.B) {
	s := NewSignIns(10, stopwatch())
	addr := address("2001:db8::1")
	b.ReportAllocs()
	for b.Loop() {
		if a, wait := s.Begin(addr, "alice"); wait == 0 {
			a.Succeed()
		}
	}
}

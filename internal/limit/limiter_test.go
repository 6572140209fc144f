package limit

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// hand is a clock that tests move.
type hand struct{ shown atomic.Int64 }

func (h *hand) clock() time.Duration    { return time.Duration(h.shown.Load()) }
func (h *hand) advance(d time.Duration) { h.shown.Add(int64(d)) }

func address(text string) netip.Addr { return netip.MustParseAddr(text) }

// addressNumber returns a different IPv6 network for each number.
func addressNumber(n int) netip.Addr {
	bytes := [16]byte{0x20, 0x01, 15: 1}
	binary.BigEndian.PutUint32(bytes[4:], uint32(n))
	return netip.AddrFrom16(bytes)
}

func TestAddressKey(t *testing.T) {
	for _, test := range []struct {
		one, other string
		same       bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"192.0.2.1", "::192.0.2.1", false},
		{"2001:db8::1", "2001:db8::ffff:1", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::1", true},
		{"::ffff:192.0.2.1%eth0", "192.0.2.1", true},
		{"::1", "127.0.0.1", false},
	} {
		if same := AddressKey(address(test.one)) == AddressKey(address(test.other)); same != test.same {
			t.Errorf("%s and %s have the same key: %v, want %v", test.one, test.other, same, test.same)
		}
	}
	if key := AddressKey(netip.Addr{}); key != 0 {
		t.Errorf("the zero Addr has the key %d, want 0", key)
	}
	if AddressKey(address("127.0.0.1")) == 0 || NameKey("a") == 0 || NameKey("") != 0 || NameKey("a") == NameKey("b") {
		t.Error("loopback and names must have keys of their own, the empty name the zero key")
	}
}

func TestTake(t *testing.T) {
	var h hand
	l := NewLimiter("account_messages_per_second", Rate{Count: 10, Per: time.Second, Burst: 3}, h.clock)
	a, b := NameKey("a"), NameKey("b")
	for i := range 3 {
		if wait := l.Take(a, 1); wait != 0 {
			t.Fatalf("take %d of a burst of 3 waits %s", i+1, wait)
		}
	}
	if wait := l.Take(a, 1); wait != 100*time.Millisecond {
		t.Errorf("take after the burst waits %s, want 100ms", wait)
	}
	if wait := l.Take(a, 2); wait != 200*time.Millisecond {
		t.Errorf("two after the burst wait %s, want 200ms", wait)
	}
	if wait := l.Take(b, 3); wait != 0 {
		t.Errorf("another key waits %s", wait)
	}
	h.advance(100*time.Millisecond - 1)
	if wait := l.Take(a, 1); wait != 1 {
		t.Errorf("1 ns too early waits %s, want 1ns", wait)
	}
	h.advance(1)
	if wait := l.Take(a, 1); wait != 0 {
		t.Errorf("after the wait that was asked for, take waits %s", wait)
	}
	if wait := l.Take(a, 1000); wait != 300*time.Millisecond {
		t.Errorf("more than a bucket holds waits %s, want the time to fill it, 300ms", wait)
	}
	h.advance(300 * time.Millisecond)
	if wait := l.Take(a, 1000); wait != 0 {
		t.Errorf("more than a bucket holds waits %s with a full bucket", wait)
	}
	l.Give(a, 1)
	if wait := l.Take(a, 1); wait != 0 {
		t.Errorf("a token that was given back is not there: wait %s", wait)
	}
	l.Give(b, 1000)
	for range 3 {
		l.Take(b, 1)
	}
	if wait := l.Take(b, 1); wait == 0 {
		t.Error("giving back made a bucket more than full")
	}
	if wait := l.Take(a, 0) + l.Take(a, -1); wait != 0 {
		t.Errorf("no tokens wait %s", wait)
	}
	exceeded, ok := errors.AsType[*ExceededError](l.Check(a, 1))
	if !ok || exceeded.Limit != "account_messages_per_second" || exceeded.RetryAfter != 100*time.Millisecond {
		t.Errorf("Check = %+v, want the name of the limit and 100ms", exceeded)
	}
	if err := l.Check(0, 1); err != nil {
		t.Errorf("the zero key is limited: %v", err)
	}
	for _, rate := range []Rate{{}, {Count: -1, Per: time.Second}, {Count: 1}, {Count: 1, Per: -1}} {
		if l := NewLimiter("", rate, h.clock); l.Take(a, 1e9) != 0 || l.Reserve(a, 1e9) != 0 || l.Keys() != 0 {
			t.Errorf("%+v limits something", rate)
		}
	}
	fast := NewLimiter("", Rate{Count: 1 << 60, Per: 1, Burst: 5}, h.clock) // at most one a nanosecond
	if fast.Take(a, 5) != 0 || fast.Take(a, 1) != 1 {
		t.Error("a rate that is too fast is not limited to one a nanosecond")
	}
	huge := NewLimiter("", Rate{Count: 1, Per: time.Hour, Burst: 1 << 60}, h.clock)
	if huge.Reserve(a, 1<<60) <= 0 || huge.Take(a, 1) <= 0 {
		t.Error("a burst that is too large overflows")
	}
}

func TestReserve(t *testing.T) {
	var h hand
	l := NewLimiter("", Rate{Count: 10, Per: time.Second, Burst: 100}, h.clock)
	key := NameKey("a")
	read := 0
	for start := h.clock(); h.clock()-start < 10*time.Second; {
		read++
		h.advance(l.Reserve(key, 1))
	}
	if read != 199 {
		t.Errorf("a reader that waits as it is asked to read %d messages in 10 s, want 100 at once and 99 more", read)
	}
	var longest time.Duration
	for range 100 {
		longest = max(longest, l.Reserve(key, 1000))
	}
	if longest > 10*time.Second {
		t.Errorf("a hundred greedy readers wait for %s, want at most the time to fill a bucket, 10s", longest)
	}
	if wait := l.Take(key, 1); wait <= 0 {
		t.Error("Take ignores what was reserved")
	}
	h.advance(20 * time.Second)
	if wait := l.Take(key, 100); wait != 0 {
		t.Errorf("after 20 s the bucket is not full: wait %s", wait)
	}
}

func TestReserveSharesAmongConnections(t *testing.T) {
	var h hand
	l := NewLimiter("", Rate{Count: 10, Per: time.Second, Burst: 100}, h.clock)
	key := NameKey("a")
	var next [20]time.Duration // when each connection may read
	var read [20]int
	for h.clock() < 60*time.Second {
		for i := range next {
			if h.clock() >= next[i] {
				read[i]++
				next[i] = h.clock() + l.Reserve(key, 1)
			}
		}
		h.advance(10 * time.Millisecond)
	}
	all := 0
	for i, n := range read {
		all += n
		if n < 20 {
			t.Errorf("connection %d of one account has read %d messages of a fair share of 35", i, n)
		}
	}
	if most := 100 + 600 + len(read); all > most || all < 600 {
		t.Errorf("all connections have read %d, want 600 to %d", all, most)
	}
}

func TestClockThatJumps(t *testing.T) {
	for _, start := range []time.Duration{0, -time.Hour, 24 * 365 * time.Hour} {
		var h hand
		h.advance(start)
		l := NewLimiter("", Rate{Count: 1, Per: time.Second, Burst: 5}, h.clock)
		key := NameKey("a")
		l.Take(key, 5)
		h.advance(-time.Hour)
		if wait := l.Take(key, 1); wait != time.Second {
			t.Errorf("start %s: after a jump back take waits %s, want 1s", start, wait)
		}
		h.advance(time.Second)
		if wait := l.Take(key, 1); wait != 0 {
			t.Errorf("start %s: a second after a jump back take waits %s", start, wait)
		}
		h.advance(time.Hour) // the machine was suspended
		for i := range 5 {
			if wait := l.Take(key, 1); wait != 0 {
				t.Errorf("start %s: take %d after an hour waits %s", start, i+1, wait)
			}
		}
		if wait := l.Take(key, 1); wait != time.Second {
			t.Errorf("start %s: an hour filled more than the bucket: wait %s, want 1s", start, wait)
		}
		if keys := l.Keys(); keys > 2 {
			t.Errorf("start %s: %d keys are remembered, want at most 2", start, keys)
		}
	}
}

func TestKeysAreForgotten(t *testing.T) {
	const keys = 10_000
	var h hand
	l := NewLimiter("", Rate{Count: 10, Per: time.Second}, h.clock)
	for i := range keys {
		l.Take(AddressKey(addressNumber(i)), 10)
	}
	if got := l.Keys(); got != keys {
		t.Errorf("%d keys are remembered, want %d", got, keys)
	}
	h.advance(2 * time.Second) // buckets are full after one
	l.Keys()
	h.advance(2 * time.Second)
	if got := l.Keys(); got != 0 {
		t.Errorf("%d keys are remembered after all are full", got)
	}
	l.Take(NameKey("a"), 1)
	h.advance(time.Hour)
	if got := l.Keys(); got != 0 {
		t.Errorf("%d keys are remembered after an hour in which nothing happened", got)
	}
	for i := range 100_000 { // a thousand a second, each full after one
		l.Take(AddressKey(addressNumber(i)), 10)
		h.advance(time.Millisecond)
	}
	if got := l.Keys(); got > 4000 {
		t.Errorf("%d keys are remembered of a thousand a second, want at most those of two periods of 2 s", got)
	}
}

// A bucket that owes all it can is remembered until it is full, whatever else
// happens in its shard.
func TestDebtsAreNotForgotten(t *testing.T) {
	var h hand
	l := NewLimiter("", Rate{Count: 10, Per: time.Second, Burst: 10}, h.clock)
	key, other := NameKey("a"), Key(0)
	for i := 0; other == 0 || other%shards != key%shards; i++ {
		other = AddressKey(addressNumber(i))
	}
	for range 5 {
		for range 10 {
			l.Reserve(key, 10)
		}
		for range 18 {
			h.advance(100 * time.Millisecond)
			l.Take(other, 1)
		}
		if wait := l.Take(key, 10); wait != 100*time.Millisecond {
			t.Fatalf("a bucket that owes a second fills in %s after 1.8 s, want 100ms", wait)
		}
	}
}

// A key that is used all the time is never forgotten, and no refill is lost, as the
// generations turn.
func TestTurningKeepsState(t *testing.T) {
	var h hand
	l := NewLimiter("", Rate{Count: 10, Per: time.Second, Burst: 10}, h.clock)
	key, taken := NameKey("a"), 0
	for range 60_000 {
		if l.Take(key, 1) == 0 {
			taken++
		}
		h.advance(time.Millisecond)
	}
	if taken != 10+600-1 && taken != 10+600 {
		t.Errorf("%d tokens were taken in a minute, want 10 and 10 a second", taken)
	}
}

func TestFloodOfAddresses(t *testing.T) {
	var h hand
	l := NewLimiter("", Rate{Count: 60, Per: time.Minute}, h.clock)
	known := AddressKey(address("192.0.2.1"))
	for range 60 {
		l.Take(known, 1)
	}
	for i := range 100_000 {
		l.Take(AddressKey(addressNumber(i)), 1)
		if i%1000 == 0 && l.Take(known, 1) == 0 {
			t.Fatalf("a key in use was forgotten after %d others", i)
		}
	}
	for i := range 100_000 { // in any order: each has taken one
		if i >= 100_000-MaxKeys/4 && l.Take(AddressKey(addressNumber(i)), 60) == 0 {
			t.Fatalf("address %d of 100,000 was forgotten", i)
		}
	}
	for i := range 1_000_000 {
		key := AddressKey(addressNumber(1_000_000 + i))
		if wait := l.Take(key, 60); wait != 0 {
			t.Fatalf("a new address waits %s because of others", wait)
		}
	}
	if keys := l.Keys(); keys > MaxKeys {
		t.Errorf("%d keys are remembered, want at most %d", keys, MaxKeys)
	}
}

func TestMemoryOfKeys(t *testing.T) {
	const keys = 100_000
	heap := func() uint64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc
	}
	var h hand
	for _, test := range []struct {
		name string
		fill func() any
	}{
		{"Limiter", func() any {
			l := NewLimiter("", Rate{Count: 60, Per: time.Minute}, h.clock)
			for i := range keys {
				l.Take(AddressKey(addressNumber(i)), 1)
			}
			return l
		}},
		{"backoff", func() any {
			b := newBackoff(growth{pairFree, pairEvery, pairFirst, maxPairDelay, forgetStrike}, h.clock)
			for i := range keys {
				b.take(AddressKey(addressNumber(i)), 0)
			}
			return b
		}},
		{"Connections", func() any {
			c := NewConnections("", 20)
			for i := range keys {
				c.Enter(AddressKey(addressNumber(i)))
			}
			return c
		}},
	} {
		before := heap()
		filled := test.fill()
		perKey := float64(heap()-before) / keys
		runtime.KeepAlive(filled)
		t.Logf("%s: %.0f bytes a key", test.name, perKey)
		if perKey >= 150 {
			t.Errorf("%s: a key takes %.0f bytes, want less than 150", test.name, perKey)
		}
	}
}

func TestTakeAllocatesNothing(t *testing.T) {
	var h hand
	l := NewLimiter("", Rate{Count: 10, Per: time.Second, Burst: 100}, h.clock)
	addr, id := address("2001:db8::1"), "account:17"
	if n := testing.AllocsPerRun(10_000, func() {
		l.Take(AddressKey(addr), 1)
		l.Take(NameKey(id), 1)
		l.Reserve(NameKey(id), 1)
		l.Give(NameKey(id), 1)
	}); n != 0 {
		t.Errorf("%v allocations for known keys, want 0", n)
	}
	key := NameKey(id)
	if n := testing.AllocsPerRun(100, func() {
		for range 1000 {
			h.advance(time.Second) // the generations turn every 20
			l.Take(key, 1)
		}
	}); n != 0 {
		t.Errorf("%v allocations as generations turn, want 0", n)
	}
}

func TestLimiterIsSafeForConcurrentUse(t *testing.T) {
	clock := time.Now()
	l := NewLimiter("", Rate{Count: 1, Per: time.Hour, Burst: 1000}, func() time.Duration { return time.Since(clock) })
	var taken atomic.Int64
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 1000 {
				if l.Take(NameKey("shared"), 1) == 0 {
					taken.Add(1)
				}
				l.Reserve(AddressKey(addressNumber(worker*1000+i)), 1)
				if i%100 == 0 {
					l.Keys()
				}
			}
		})
	}
	group.Wait()
	if taken.Load() != 1000 {
		t.Errorf("%d tokens were taken of 1000", taken.Load())
	}
}

// modelBucket counts tokens in the obvious way.
type modelBucket struct {
	tokens float64
	at     time.Duration
}

func TestLimiterAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := Rate{
			Count: rapid.IntRange(1, 50).Draw(t, "count"),
			Per:   rapid.SampledFrom([]time.Duration{time.Second, time.Minute, time.Hour}).Draw(t, "per"),
			Burst: rapid.IntRange(1, 60).Draw(t, "burst"),
		}
		var h hand
		l := NewLimiter("", rate, h.clock)
		every := rate.Per / time.Duration(rate.Count)
		var shown, now time.Duration // the clock, and the time that its jumps back do not count for
		model := make(map[Key]*modelBucket)
		of := func(key Key) *modelBucket {
			b := model[key]
			if b == nil {
				b = &modelBucket{tokens: float64(rate.Burst), at: now}
				model[key] = b
			}
			b.tokens = min(b.tokens+float64(now-b.at)/float64(every), float64(rate.Burst))
			b.at = now
			return b
		}
		// near reports whether a number of tokens is so close to another that rounding
		// may decide.
		near := func(a, b float64) bool { return a-b < 1e-3 && b-a < 1e-3 }
		keys := rapid.SliceOfNDistinct(rapid.StringN(1, 8, -1), 1, 4, rapid.ID[string]).Draw(t, "keys")
		key := rapid.Map(rapid.SampledFrom(keys), NameKey)
		t.Repeat(map[string]func(*rapid.T){
			"take": func(t *rapid.T) {
				k, n := key.Draw(t, "key"), rapid.IntRange(1, 80).Draw(t, "n")
				b, cost := of(k), float64(min(n, rate.Burst))
				if near(b.tokens, cost) {
					t.Skip("rounding decides")
				}
				wait := l.Take(k, n)
				want := time.Duration((cost - b.tokens) * float64(every))
				switch {
				case b.tokens > cost && wait != 0:
					t.Fatalf("Take(%d) waits %s with %v tokens", n, wait, b.tokens)
				case b.tokens > cost:
					b.tokens -= cost
				case wait <= 0 || wait-want > every/100+1 || want-wait > every/100+1:
					t.Fatalf("Take(%d) waits %s with %v tokens, want %s", n, wait, b.tokens, want)
				}
			},
			"reserve": func(t *rapid.T) {
				k, n := key.Draw(t, "key"), rapid.IntRange(0, 80).Draw(t, "n")
				b := of(k)
				b.tokens = max(b.tokens-float64(min(n, rate.Burst)), 1-float64(rate.Burst))
				want := max(time.Duration((1-b.tokens)*float64(every)), 0)
				if wait := l.Reserve(k, n); wait-want > every/100+1 || want-wait > every/100+1 {
					t.Fatalf("Reserve(%d) = %s, want %s", n, wait, want)
				}
			},
			"give": func(t *rapid.T) {
				k, n := key.Draw(t, "key"), rapid.IntRange(1, 80).Draw(t, "n")
				b := of(k)
				b.tokens = min(b.tokens+float64(min(n, rate.Burst)), float64(rate.Burst))
				l.Give(k, n)
			},
			"flood": func(t *rapid.T) {
				for i := range rapid.IntRange(1, 5000).Draw(t, "others") {
					l.Take(AddressKey(addressNumber(i)), 1)
				}
			},
			"time": func(t *rapid.T) {
				passed := time.Duration(rapid.Int64Range(-int64(rate.Per), 3*int64(rate.Per)).Draw(t, "passed"))
				h.advance(passed)
				shown += passed
				now += max(passed, 0)
				for _, k := range keys { // each shard sees every jump of the clock
					l.Give(NameKey(k), 0)
				}
			},
		})
	})
}

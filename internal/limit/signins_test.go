package limit

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fail makes an attempt with a wrong secret, and returns how long it has to wait
// instead.
func fail(s *SignIns, addr netip.Addr, account string) time.Duration {
	_, wait := s.Begin(addr, account)
	return wait
}

// delays returns the waits between failed attempts in a row.
func delays(h *hand, n int, attempt func() time.Duration) (waits []time.Duration) {
	for range n {
		var waited time.Duration
		for wait := attempt(); wait > 0; wait = attempt() {
			h.advance(wait)
			waited += wait
		}
		waits = append(waits, waited)
	}
	return waits
}

func seconds(numbers ...int) (durations []time.Duration) {
	for _, n := range numbers {
		durations = append(durations, time.Duration(n)*time.Second)
	}
	return durations
}

func TestDelayOfAccountAtAddressGrows(t *testing.T) {
	var h hand
	s := NewSignIns(0, h.clock)
	home := address("192.0.2.1")
	got := delays(&h, 15, func() time.Duration { return fail(s, home, "alice") })
	if want := seconds(0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60); !slices.Equal(got, want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	if wait := fail(s, home, "bob"); wait != 0 {
		t.Errorf("another account waits %s", wait)
	}
	if wait := fail(s, address("192.0.2.2"), "alice"); wait != 0 {
		t.Errorf("another address waits %s", wait)
	}
	h.advance(17 * time.Minute) // five are free again, and three doublings are forgotten
	if got := delays(&h, 7, func() time.Duration { return fail(s, home, "alice") }); !slices.Equal(got, seconds(0, 0, 0, 0, 0, 16, 32)) {
		t.Errorf("delays after 17 minutes %v", got)
	}
	h.advance(time.Hour)
	if got := delays(&h, 6, func() time.Duration { return fail(s, home, "alice") }); !slices.Equal(got, seconds(0, 0, 0, 0, 0, 1)) {
		t.Errorf("delays an hour later %v", got)
	}
	delays(&h, 15, func() time.Duration { return fail(s, home, "carol") })
	h.advance(5 * time.Minute)
	if got := delays(&h, 5, func() time.Duration { return fail(s, home, "carol") }); !slices.Equal(got, seconds(0, 0, 0, 0, 0)) {
		t.Errorf("delays after five minutes %v, want none", got)
	}
}

func TestDelayOfAddressGrows(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	home, n := address("2001:db8::1"), 0
	attempt := func() time.Duration {
		_, wait := s.Begin(home, fmt.Sprint("name", n))
		if wait == 0 {
			n++
		}
		return wait
	}
	got := delays(&h, 12, attempt)
	if want := seconds(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 12); !slices.Equal(got, want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	for i := range 1000 {
		if got := delays(&h, 1, attempt); got[0] > maxAddressDelay {
			t.Fatalf("attempt %d waits %s, want at most %s", i, got[0], maxAddressDelay)
		}
	}
	start, before := h.clock(), n
	delays(&h, 200, attempt)
	if perMinute := float64(n-before) / (h.clock() - start).Minutes(); perMinute > 2.2 {
		t.Errorf("an address that goes on may try %.1f times a minute, want about 2", perMinute)
	}
	waits := false
	for range 11 {
		waits = waits || fail(s, address("2001:db8::ffff"), "x") > 0
	}
	if !waits {
		t.Error("another address of the /64 does not wait")
	}
	if wait := fail(s, address("2001:db8:0:1::1"), "x"); wait != 0 {
		t.Errorf("another /64 waits %s", wait)
	}
}

func TestTenFailuresAMinuteHaveNoDelay(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	for i := range 600 {
		if wait := fail(s, address("192.0.2.1"), fmt.Sprint(i)); wait != 0 {
			t.Fatalf("failure %d of 10 a minute waits %s", i, wait)
		}
		h.advance(6*time.Second + 1)
	}
}

func TestGuessesFromManyAddressesAreSlowed(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	for i := range accountFree {
		if wait := fail(s, addressNumber(i), "alice"); wait != 0 {
			t.Fatalf("guess %d from an address of its own waits %s", i, wait)
		}
	}
	for i := range 1000 {
		got := delays(&h, 1, func() time.Duration { return fail(s, addressNumber(1000+i), "alice") })
		if got[0] <= 0 || got[0] > maxAccountDelay {
			t.Fatalf("guess %d waits %s, want up to %s", i, got[0], maxAccountDelay)
		}
	}
	if wait := fail(s, addressNumber(5000), "alice"); wait != maxAccountDelay {
		t.Errorf("the delay has grown to %s, want %s", wait, maxAccountDelay)
	}
	if wait := fail(s, addressNumber(1999), "alice"); wait <= 0 {
		t.Error("whoever has waited once need not wait again")
	}
	if wait := fail(s, addressNumber(5000), "bob"); wait != 0 {
		t.Errorf("another account waits %s", wait)
	}
}

// The right person gets in whatever others try, from a new address and from a usual
// one; only who shares the address and the name waits, for a minute at most.
func TestRightPersonGetsIn(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	office, home := address("192.0.2.1"), address("198.51.100.7")
	s.Remember(office, "alice")
	stranger := func() { // guesses from everywhere, and everything from the office
		for i := range 3000 {
			fail(s, addressNumber(i%200), "alice")
			fail(s, office, fmt.Sprint("name", i))
			h.advance(100 * time.Millisecond)
		}
	}
	stranger()
	a, wait := s.Begin(office, "alice")
	if wait != 0 {
		t.Fatalf("alice waits %s at the office, whatever is guessed", wait)
	}
	a.Succeed()
	_, wait = s.Begin(home, "alice")
	if wait <= 0 || wait > maxAccountDelay {
		t.Fatalf("alice waits %s at a new address, want up to %s", wait, maxAccountDelay)
	}
	for range wait / (50 * time.Millisecond) { // guesses go on meanwhile
		fail(s, addressNumber(rand.IntN(1e6)), "alice")
		h.advance(50 * time.Millisecond)
	}
	h.advance(50 * time.Millisecond)
	a, wait = s.Begin(home, "alice")
	if wait != 0 {
		t.Fatalf("alice waits again, %s", wait)
	}
	a.Succeed()
	if _, wait := s.Begin(home, "alice"); wait != 0 {
		t.Errorf("alice waits %s where she has just signed in", wait)
	}
}

// One address cannot slow an account down elsewhere.
func TestOneAddressConcernsNoOther(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	for range 10_000 {
		fail(s, address("192.0.2.1"), "alice")
		h.advance(time.Second)
		if slow := s.accounts.slowness(NameKey("alice")); slow != 0 {
			t.Fatalf("guesses from one address slow the account down everywhere, by %s", slow)
		}
	}
}

func TestSuccessCountsForNothing(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	for i := range 500 { // a whole company in the morning, each with a slip
		account := fmt.Sprint("account", i)
		for _, right := range []bool{true, true} {
			a, wait := s.Begin(address("192.0.2.1"), account)
			if wait != 0 {
				t.Fatalf("account %d waits %s", i, wait)
			}
			if right {
				a.Succeed()
			}
		}
	}
	for range 1000 {
		a, wait := s.Begin(address("192.0.2.2"), "bob")
		if wait != 0 {
			t.Fatalf("bob waits %s after attempts that were canceled", wait)
		}
		a.Cancel()
	}
}

// Attempts at the same time count before it is known how they end, and success
// takes back its own only.
func TestAttemptsAtTheSameTime(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	var begun []Attempt
	for range 1000 {
		if a, wait := s.Begin(address("192.0.2.1"), "alice"); wait == 0 {
			begun = append(begun, a)
		}
	}
	if len(begun) != pairFree {
		t.Fatalf("%d attempts of 1000 at the same time were let in, want %d", len(begun), pairFree)
	}
	begun[4].Cancel()
	if _, wait := s.Begin(address("192.0.2.1"), "alice"); wait != 0 {
		t.Errorf("after the last was canceled the next waits %s", wait)
	}
	if _, wait := s.Begin(address("192.0.2.1"), "alice"); wait == 0 {
		t.Error("canceling one attempt made two free")
	}
	begun[1].Cancel()
	if _, wait := s.Begin(address("192.0.2.1"), "alice"); wait == 0 {
		t.Error("canceling an attempt that came before the delay ended the delay")
	}
	begun[0].Succeed()
	if _, wait := s.Begin(address("192.0.2.1"), "alice"); wait != 0 {
		t.Errorf("after success the next waits %s", wait)
	}
}

// A refusal for one reason counts for nothing else, and does not make anybody wait
// again for another reason.
func TestRefusalsDoNotCount(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	for i := range accountFree + 200 {
		delays(&h, 1, func() time.Duration { return fail(s, addressNumber(1000+i), "alice") })
	}
	from := address("192.0.2.1")
	slow := fail(s, from, "alice")
	if slow != maxAccountDelay {
		t.Fatalf("alice waits %s from a new address, want %s", slow, maxAccountDelay)
	}
	h.advance(slow)
	a, wait := s.Begin(from, "alice")
	if wait != 0 {
		t.Fatalf("alice waits again, %s", wait)
	}
	a.Cancel()
	delays(&h, 1, func() time.Duration { return fail(s, addressNumber(5000), "alice") })
	for i := range 10 {
		fail(s, from, fmt.Sprint(i))
	}
	for range 20 { // the address is refused now
		if wait = fail(s, from, "alice"); wait != 6*time.Second {
			t.Fatalf("alice waits %s for the address, want 6s", wait)
		}
	}
	if slow := s.pairs.slowness(pairKey(NameKey("alice"), AddressKey(from))); slow != 0 {
		t.Errorf("refusals of the address count for the account: %s", slow)
	}
	h.advance(wait)
	if wait := fail(s, from, "alice"); wait != 0 {
		t.Errorf("after waiting for the account and the address alice waits %s", wait)
	}
}

func TestSuccessIsRemembered(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	home := address("192.0.2.1")
	a, _ := s.Begin(home, "alice")
	a.Succeed()
	for i := range 100 {
		fail(s, home, fmt.Sprint(i))
	}
	for range 3 {
		a, wait := s.Begin(home, "alice")
		if wait != 0 {
			t.Fatalf("alice waits %s for what others do at her address", wait)
		}
		a.Succeed()
		h.advance(20 * 24 * time.Hour)
		for i := range 100 {
			fail(s, home, fmt.Sprint(i))
		}
	}
	h.advance(100 * 24 * time.Hour)
	for i := range 100 {
		fail(s, home, fmt.Sprint(i))
	}
	if wait := fail(s, home, "alice"); wait == 0 {
		t.Error("an account is remembered at an address for longer than 60 days")
	}
}

// An attacker with an account of his own wins nothing by signing in with it.
func TestOwnAccountDoesNotResetAddress(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	from, failed := address("192.0.2.1"), 0
	for i := range 100 {
		if fail(s, from, fmt.Sprint("victim", i)) == 0 {
			failed++
		}
		if a, wait := s.Begin(from, "mallory"); wait == 0 {
			a.Succeed()
		}
	}
	if failed != 10 {
		t.Errorf("%d failures were let in within a minute, want 10", failed)
	}
}

func TestWrongTokensCountForAddress(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	for range 10 {
		if wait := fail(s, address("192.0.2.1"), ""); wait != 0 {
			t.Fatalf("waits %s", wait)
		}
	}
	if wait := fail(s, address("192.0.2.1"), ""); wait != 6*time.Second {
		t.Errorf("the 11th wrong token in a minute waits %s, want 6s", wait)
	}
	for range 1000 {
		if wait := fail(s, netip.Addr{}, "alice"); wait != 0 {
			t.Fatalf("the zero Addr is not exempt: %s", wait)
		}
	}
}

// Every attempt that waits as it is asked to is let in in the end, and no wait is
// longer than the longest delay, whatever happens.
func TestDelaysAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h hand
		s := NewSignIns(rapid.IntRange(0, 20).Draw(t, "per minute"), h.clock)
		addr := rapid.Map(rapid.IntRange(0, 40), addressNumber)
		account := rapid.SampledFrom([]string{"alice", "bob", ""})
		var begun []Attempt
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				where, who := addr.Draw(t, "address"), account.Draw(t, "account")
				for tries := 0; ; tries++ {
					a, wait := s.Begin(where, who)
					if wait == 0 {
						begun = append(begun, a)
						break
					}
					if wait < 0 || wait > max(maxAddressDelay, maxPairDelay) || tries == 3 {
						t.Fatalf("try %d waits %s", tries, wait)
					}
					h.advance(wait)
				}
			},
			"end": func(t *rapid.T) {
				if len(begun) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(begun)-1).Draw(t, "attempt")
				if rapid.Bool().Draw(t, "succeeds") {
					begun[i].Succeed()
				} else {
					begun[i].Cancel()
				}
				begun = slices.Delete(begun, i, i+1)
			},
			"time": func(t *rapid.T) {
				h.advance(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "passed")))
			},
		})
	})
}

func TestSignInsAreSafeForConcurrentUse(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	var letIn atomic.Int64
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for i := range 500 {
				if _, wait := s.Begin(address("192.0.2.1"), "alice"); wait == 0 {
					letIn.Add(1)
				}
				if a, wait := s.Begin(addressNumber(i), fmt.Sprint(worker)); wait == 0 {
					a.Succeed()
				}
			}
		})
	}
	group.Wait()
	if letIn.Load() != pairFree {
		t.Errorf("%d attempts were let in, want %d", letIn.Load(), pairFree)
	}
}

// Only those that have the secret of a place make guesses there, and a place is known for
// the accounts that have signed in there.
func TestPlacesAreSlowedByThemselves(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	if _, _, known := s.BeginAt("cookie", "alice"); known {
		t.Error("a place is known where nobody has signed in")
	}
	s.RememberAt("cookie", "alice")
	s.RememberAt("", "alice")
	for _, other := range [][2]string{{"cookie", "bob"}, {"other", "alice"}, {"", "alice"}, {"cookie", ""}} {
		if _, _, known := s.BeginAt(other[0], other[1]); known {
			t.Errorf("%q is known", other)
		}
	}
	for range 20 {
		fail(s, address("192.0.2.1"), "alice")
	}
	got := delays(&h, 8, func() time.Duration { _, wait, _ := s.BeginAt("cookie", "alice"); return wait })
	if want := seconds(0, 0, 0, 0, 0, 1, 2, 4); !slices.Equal(got, want) {
		t.Errorf("delays %v, want %v", got, want)
	}
	h.advance(time.Minute)
	a, wait, known := s.BeginAt("cookie", "alice")
	if !known || wait != 0 {
		t.Fatalf("waits %s, known %v", wait, known)
	}
	a.Succeed()
	if got := delays(&h, 6, func() time.Duration { _, wait, _ := s.BeginAt("cookie", "alice"); return wait }); !slices.Equal(got, seconds(0, 0, 0, 0, 0, 1)) {
		t.Errorf("delays after the right secret %v", got)
	}
}

// An account has so many places. A new one makes room of the account's own places only, of
// that used longest ago.
func TestPlacesAreFew(t *testing.T) {
	var h hand
	s := NewSignIns(10, h.clock)
	knows := func(place, account string) bool {
		_, _, known := s.BeginAt(place, account)
		return known
	}
	s.RememberAt("cookie", "bob")
	for i := range maxPlaces {
		s.RememberAt(fmt.Sprint("place ", i), "alice")
	}
	s.RememberAt("place 0", "alice")
	for i := range 3 {
		s.RememberAt(fmt.Sprint("new ", i), "alice")
	}
	for place, want := range map[string]bool{"place 0": true, "place 1": false, "place 2": false, "place 3": false, "place 4": true, "new 2": true} {
		if got := knows(place, "alice"); got != want {
			t.Errorf("%s: known is %v, want %v", place, got, want)
		}
	}
	if !knows("cookie", "bob") {
		t.Error("another account's place is forgotten")
	}
	h.advance(3 * knownFor)
	if knows("place 0", "alice") {
		t.Error("a place is known for ever")
	}
}

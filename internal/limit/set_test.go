package limit

import (
	"errors"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"
)

// fakeClock is a clock that tests move. Safe for concurrent use while it stands.
type fakeClock struct{ at time.Duration }

func (c *fakeClock) now() time.Duration      { return c.at }
func (c *fakeClock) advance(d time.Duration) { c.at += d }

// A changed rate is that of everybody at once, and begins with full buckets.
func TestRateChanges(t *testing.T) {
	clock := new(fakeClock)
	l := NewLimiter("x", Rate{Count: 1, Per: time.Hour}, clock.now)
	key := NameKey("a")
	take := func(step string, want int) {
		t.Helper()
		n := 0
		for n < 100 && l.Check(key, 1) == nil {
			n++
		}
		if n != want {
			t.Errorf("%s: %d were let through, want %d", step, n, want)
		}
	}
	take("at first", 1)
	l.Set(Rate{Count: 1, Per: time.Hour})
	take("the same rate", 0)
	l.Set(Rate{Count: 5, Per: time.Second})
	take("a higher rate", 5)
	clock.advance(time.Second)
	take("a second later", 5)
	l.Set(Rate{})
	take("no limit", 100)
	l.Give(key, 5)
	if wait := l.Reserve(key, 5); wait != 0 || l.Keys() != 0 {
		t.Errorf("without a limit, wait %v and %d keys", wait, l.Keys())
	}
	l.Set(Rate{Count: 2, Per: time.Second, Burst: 3})
	take("a lower rate", 3)
	clock.advance(time.Second)
	take("a second later", 2)
}

// A limiter that began without a limit is like one that had it from the start.
func TestRateFromNone(t *testing.T) {
	clock := new(fakeClock)
	l := NewLimiter("x", Rate{}, clock.now)
	l.Set(Rate{Count: 1, Per: time.Minute})
	key := NameKey("a")
	var exceeded *ExceededError
	if err := l.Check(key, 1); err != nil {
		t.Error(err)
	}
	if err := l.Check(key, 1); !errors.As(err, &exceeded) || exceeded.RetryAfter != time.Minute || exceeded.Limit != "x" {
		t.Errorf("got %v", err)
	}
	clock.advance(time.Minute)
	if err := l.Check(key, 1); err != nil {
		t.Error(err)
	}
}

// Places that are taken stay taken, and a lower number ends no connection.
func TestConnectionsChange(t *testing.T) {
	c := NewConnections("x", 2)
	key := NameKey("a")
	enter := func(step string, want bool) Place {
		t.Helper()
		p, err := c.Enter(key)
		if (err == nil) != want {
			t.Errorf("%s: %v", step, err)
		}
		return p
	}
	first, second := enter("first", true), enter("second", true)
	enter("third", false)
	c.Set(3)
	third := enter("third of three", true)
	c.Set(1)
	enter("fourth of one", false)
	first.Leave()
	second.Leave()
	enter("still one", false)
	third.Leave()
	last := enter("none is left", true)
	c.Set(0)
	free := enter("no limit", true)
	c.Set(1)
	enter("one is there", false)
	last.Leave()
	free.Leave()
	if n := c.Count(key); n != 0 {
		t.Errorf("%d are left", n)
	}
	enter("none is left again", true)
}

// The number of failures a minute changes, and attempts that began before end as they
// would have.
func TestFailuresChange(t *testing.T) {
	clock := new(fakeClock)
	s := NewSignIns(2, clock.now)
	at := netip.MustParseAddr("192.0.2.1")
	fail := func() (n int) {
		for n < 50 {
			if _, wait := s.Begin(at, ""); wait > 0 {
				break
			}
			n++
		}
		return n
	}
	if n := fail(); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	s.Set(2)
	if n := fail(); n != 0 {
		t.Errorf("%d attempts more with the same number", n)
	}
	s.Set(4)
	before, _ := s.Begin(at, "")
	s.Set(5)
	if n := fail(); n != 5 {
		t.Errorf("%d attempts, want 5", n)
	}
	before.Cancel() // is not counted any more, so it gives nothing back
	if n := fail(); n != 0 {
		t.Errorf("%d attempts more", n)
	}
	s.Set(0)
	if n := fail(); n != 50 {
		t.Errorf("%d attempts without a limit", n)
	}
}

// Every number of the configuration is one that Set changes, and a number that is out of
// range changes none.
func TestSetIsNew(t *testing.T) {
	clock := new(fakeClock)
	changed, err := New(Config{}, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := New(Defaults(), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	if err := changed.Set(Defaults()); err != nil {
		t.Fatal(err)
	}
	bad := Defaults()
	bad.AccountConnections, bad.AccountRoomsPerHour = 1, -1
	if err := changed.Set(bad); err == nil {
		t.Error("a number out of range was accepted")
	}
	a, b := reflect.ValueOf(changed).Elem(), reflect.ValueOf(fresh).Elem()
	for i := range a.NumField() {
		name := a.Type().Field(i).Name
		switch x := a.Field(i).Interface().(type) {
		case *Limiter:
			if y := b.Field(i).Interface().(*Limiter); *x.pace.Load() != *y.pace.Load() || x.pace.Load().every == 0 || x.table.shards[0].period != y.table.shards[0].period {
				t.Errorf("%s is %+v, want %+v", name, x.pace.Load(), y.pace.Load())
			}
		case *Connections:
			if y := b.Field(i).Interface().(*Connections); x.most.Load() != y.most.Load() || x.most.Load() == 0 {
				t.Errorf("%s is %d, want %d", name, x.most.Load(), y.most.Load())
			}
		case *SignIns:
			if x.addresses.Load() == nil {
				t.Errorf("%s is not limited", name)
			}
		default:
			t.Errorf("%s is a %T, which this test does not know", name, x)
		}
	}
}

// Limits change while they are asked.
func TestSetWhileTaking(t *testing.T) {
	var clock fakeClock
	l, err := New(Defaults(), clock.now)
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddr("192.0.2.1")
	stop := make(chan struct{})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				place, _ := l.EnterVisitor(AddressKey(at))
				l.Messages.Reserve(NameKey("a"), 3)
				l.Messages.Give(NameKey("a"), 1)
				attempt, _ := l.SignIns.Begin(at, "a")
				attempt.Cancel()
				place.Leave()
			}
		})
	}
	for i := range 200 {
		c := Config{}
		if i%2 == 0 {
			c = Defaults()
		}
		if err := l.Set(c); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	all.Wait()
	if n := l.AddressConnections.Count(AddressKey(at)); n != 0 {
		t.Errorf("%d places are left", n)
	}
}

func TestGet(t *testing.T) {
	for _, s := range Settings() {
		if got := Defaults().Get(s.Key); got != s.Default {
			t.Errorf("%s: got %d, want %d", s.Key, got, s.Default)
		}
	}
	if got := Defaults().Get("other"); got != 0 {
		t.Errorf("an unknown key is %d", got)
	}
}

package limit

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func newLimits(t *testing.T, clock func() time.Duration) *Limits {
	t.Helper()
	l, err := New(Defaults(), clock)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// office is an address with people and a stranger behind it, and a server with its
// limits. Its newcomers are bounded as in package conn.
type office struct {
	h         hand
	limits    *Limits
	at        netip.Addr
	random    *rand.Rand
	events    []event
	newcomers []*visit
	in        map[string]time.Duration // accounts that are in, and since when
}

type event struct {
	at   time.Duration
	then func()
}

// newcomersAtOnce is how many connections from one address that have not said hello
// there is room for. Of more, a random one makes room. If the first to come made
// room, each would have newcomersAtOnce divided by the rate of connections as time
// for its hello, and at a high rate nobody would get in.
const newcomersAtOnce = 100

type visit struct{ gone func() }

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{at: address("192.0.2.1"), random: rand.New(rand.NewPCG(1, 2)), in: make(map[string]time.Duration)}
	o.limits = newLimits(t, o.h.clock)
	return o
}

func (o *office) after(d time.Duration, then func()) {
	o.events = append(o.events, event{o.h.clock() + d, then})
}

// run lets the events happen until a time.
func (o *office) run(end time.Duration) {
	for len(o.events) > 0 {
		i := 0
		for j := range o.events {
			if cmp.Less(o.events[j].at, o.events[i].at) {
				i = j
			}
		}
		next := o.events[i]
		if next.at > end {
			return
		}
		o.events = slices.Delete(o.events, i, i+1)
		o.h.advance(next.at - o.h.clock())
		next.then()
	}
}

// arrive is a connection. gone is called when it has to make room.
func (o *office) arrive(gone func()) *visit {
	v := &visit{gone}
	o.newcomers = append(o.newcomers, v)
	if len(o.newcomers) > newcomersAtOnce {
		i := o.random.IntN(len(o.newcomers) - 1) // not the new one
		evicted := o.newcomers[i]
		o.newcomers = slices.Delete(o.newcomers, i, i+1)
		o.limits.AddressArrivals.Reserve(AddressKey(o.at), 1)
		evicted.gone()
	}
	return v
}

func (o *office) hello(v *visit) bool {
	i := slices.Index(o.newcomers, v)
	if i >= 0 {
		o.newcomers = slices.Delete(o.newcomers, i, i+1)
	}
	return i >= 0
}

// comeBack has an account sign in with the secret of a device, again and again
// until it is in. Its hello comes a fifth of a second after its connection.
func (o *office) comeBack(account string) {
	again := func() {
		o.after(time.Second+time.Duration(o.random.Int64N(int64(4*time.Second))), func() { o.comeBack(account) })
	}
	v := o.arrive(again)
	o.after(200*time.Millisecond, func() {
		if !o.hello(v) {
			return
		}
		if _, err := o.limits.EnterAccount(NameKey(account)); err != nil {
			again()
			return
		}
		o.limits.SignIns.Remember(o.at, account)
		o.in[account] = o.h.clock()
	})
}

func (o *office) checkAllIn(t *testing.T, people int) {
	t.Helper()
	var last time.Duration
	for _, at := range o.in {
		last = max(last, at)
	}
	t.Logf("the last of %d is in after %s", people, last)
	if len(o.in) != people {
		t.Errorf("%d of %d people behind one address are in a minute after a restart", len(o.in), people)
	}
}

func TestPeopleBehindOneAddressComeBack(t *testing.T) {
	o := newOffice(t)
	for i := range 500 {
		o.comeBack(fmt.Sprint("account", i))
	}
	o.run(time.Minute)
	o.checkAllIn(t, 500)
}

// A stranger behind the same address uses up whatever counts by address.
func TestStrangerKeepsNobodyOut(t *testing.T) {
	o := newOffice(t)
	key := AddressKey(o.at)
	var strange func()
	strange = func() {
		o.arrive(func() {}) // says nothing
		o.limits.EnterVisitor(key)
		o.limits.SignIns.Begin(o.at, "account0")
		o.limits.SignIns.Begin(o.at, fmt.Sprint("guess", o.random.Int()))
		o.limits.AddressArrivals.Reserve(key, 1)
		o.after(10*time.Millisecond, strange)
	}
	strange()
	o.run(10 * time.Minute)
	if err := o.limits.AddressArrivals.Check(key, 1); err == nil {
		t.Error("the stranger has not used up the connections of the address")
	}
	if _, err := o.limits.EnterVisitor(key); err == nil {
		t.Error("the stranger is not limited")
	}
	start := o.h.clock()
	for i := range 500 {
		o.comeBack(fmt.Sprint("account", i))
	}
	o.run(start + time.Minute)
	o.checkAllIn(t, 500)

	// Those that are known at the address sign in anew with a password, too.
	for i := 1; i < 500; i++ { // the stranger guesses at account 0, from the same address
		a, wait := o.limits.SignIns.Begin(o.at, fmt.Sprint("account", i))
		if wait != 0 {
			t.Fatalf("account %d waits %s for what a stranger does", i, wait)
		}
		a.Succeed()
	}
}

func TestEnterVisitor(t *testing.T) {
	var h hand
	l := newLimits(t, h.clock)
	key := AddressKey(address("192.0.2.1"))
	var places []Place
	for range 20 {
		place, err := l.EnterVisitor(key)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, place)
	}
	if _, err := l.EnterVisitor(key); err == nil || err.(*ExceededError).Limit != "address_connections" {
		t.Errorf("the 21st visitor of an address: %v", err)
	}
	for range 40 { // those that come and go
		places[0].Leave()
		place, err := l.EnterVisitor(key)
		if err != nil {
			t.Fatalf("a visitor that was refused counts: %v", err)
		}
		places[0] = place
	}
	places[0].Leave()
	if _, err := l.EnterVisitor(key); err == nil || err.(*ExceededError).Limit != "address_connections_per_minute" {
		t.Errorf("the 61st visitor in a minute: %v", err)
	}
	if got := l.AddressConnections.Count(key); got != 19 {
		t.Errorf("a visitor that was refused has a place: %d, want 19", got)
	}
	if _, err := l.EnterVisitor(AddressKey(address("192.0.2.2"))); err != nil {
		t.Errorf("a visitor from elsewhere: %v", err)
	}
}

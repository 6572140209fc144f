package session

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"kaban"
)

// counter is an owner that may be told by another goroutine.
type counter struct{ revoked atomic.Int32 }

func (*counter) Replace()               {}
func (*counter) Changed(kaban.RoomName) {}
func (c *counter) Revoke()              { c.revoked.Add(1) }

// clocks are those of a bubble of synctest, with a time of day that can be set.
type clocks struct {
	r     Registry
	begin time.Time
	set   atomic.Int64 // milliseconds that the time of day was set forward

	mu    sync.Mutex
	later map[*Session]int64
}

func newClocks(t testing.TB) *clocks {
	c := &clocks{begin: time.Now(), later: make(map[*Session]int64)}
	c.r.Expire(Expiry{
		Day:     func() int64 { return time.Now().UnixMilli() + c.set.Load() },
		Elapsed: func() time.Duration { return time.Since(c.begin) },
		Renewed: func(s *Session, _ int64) (int64, bool) {
			c.mu.Lock()
			defer c.mu.Unlock()
			until, ok := c.later[s]
			delete(c.later, s)
			return until, ok
		},
	})
	t.Cleanup(c.r.Close)
	return c
}

// enter notes a session whose credential expires after a time; 0 is never.
func (c *clocks) enter(t interface{ Fatal(...any) }, after time.Duration) (*Session, *counter) {
	name, err := kaban.ParseUsername("ann")
	if err != nil {
		t.Fatal(err)
	}
	credential := &Credential{ID: "device"}
	if after > 0 {
		credential.Expires = c.r.expiries.Day() + after.Milliseconds()
	}
	o := new(counter)
	return c.r.enter(o, kaban.Account("id", name), netip.Addr{}, credential), o
}

// pass lets time pass, and a second in which timers are served.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestACredentialExpires(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(c *clocks, s *Session)
		want int32 // ends within an hour and two seconds
	}{
		{"in time", func(*clocks, *Session) { pass(time.Hour) }, 1},
		{"not before", func(*clocks, *Session) { pass(time.Hour - time.Millisecond) }, 0},
		{"the time of day is set forward", func(c *clocks, _ *Session) { c.set.Add(time.Hour.Milliseconds()); pass(2 * time.Second) }, 1},
		{"it is set forward, but not that far", func(c *clocks, _ *Session) { c.set.Add(time.Hour.Milliseconds() / 2); pass(2 * time.Second) }, 0},
		{"it creeps forward", func(c *clocks, _ *Session) {
			for range 40 {
				c.set.Add(time.Minute.Milliseconds())
				pass(time.Minute / 2)
			}
			pass(time.Second)
		}, 1},
		{"it is set back", func(c *clocks, _ *Session) { c.set.Add(-24 * time.Hour.Milliseconds()); pass(time.Hour) }, 1},
		{"it is set forth and back", func(c *clocks, _ *Session) {
			c.set.Add(time.Hour.Milliseconds() / 2)
			pass(2 * time.Second)
			c.set.Add(-time.Hour.Milliseconds())
			pass(time.Hour / 2)
		}, 1},
		{"it was renewed", func(c *clocks, s *Session) {
			c.later[s] = c.r.expiries.Day() + (3 * time.Hour).Milliseconds()
			pass(2 * time.Hour)
		}, 0},
		{"it was renewed once", func(c *clocks, s *Session) {
			c.later[s] = c.r.expiries.Day() + (3 * time.Hour).Milliseconds()
			pass(3 * time.Hour)
		}, 1},
		{"it was renewed for good", func(c *clocks, s *Session) { c.later[s] = 0; pass(2 * time.Hour) }, 0},
		{"the session has ended", func(c *clocks, s *Session) { c.r.Release(s); pass(2 * time.Hour) }, 0},
		{"the registry is closed", func(c *clocks, _ *Session) { c.r.Close(); pass(2 * time.Hour) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clocks := newClocks(t)
				_, never := clocks.enter(t, 0)
				_, far := clocks.enter(t, 5*24*time.Hour)
				s, o := clocks.enter(t, time.Hour)
				c.do(clocks, s)
				if got := o.revoked.Load(); got != c.want {
					t.Errorf("ended %d times, want %d", got, c.want)
				}
				if never.revoked.Load()+far.revoked.Load() > 0 {
					t.Error("another session ended")
				}
			})
		})
	}
}

// A credential that has expired already ends its session at once.
func TestACredentialThatHasExpired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClocks(t)
		o := new(counter)
		name := named(t, "ann")
		c.r.enter(o, kaban.Account("id", name), netip.Addr{}, &Credential{ID: "device", Expires: 1})
		pass(0)
		if o.revoked.Load() != 1 {
			t.Error("it goes on")
		}
	})
}

// Sessions that come, go and are renewed, with clocks that are set, end once, and no
// later than a second after both clocks would have had them end.
func TestExpiryOfManySessions(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			c := newClocks(t)
			type one struct {
				s     *Session
				o     *counter
				at    time.Duration // by the clock that nobody sets
				until int64
				over  bool // released
			}
			var all []*one
			for range rapid.IntRange(1, 60).Draw(rt, "steps") {
				switch rapid.IntRange(0, 4).Draw(rt, "step") {
				case 0, 1:
					after := time.Duration(rapid.IntRange(1, 100).Draw(rt, "after")) * time.Second
					s, o := c.enter(rt, after)
					all = append(all, &one{s: s, o: o, at: time.Since(c.begin) + after, until: s.Credential.Expires})
				case 2:
					if len(all) > 0 {
						which := all[rapid.IntRange(0, len(all)-1).Draw(rt, "which")]
						which.over = which.over || which.o.revoked.Load() == 0
						c.r.Release(which.s)
					}
				case 3:
					c.set.Add(int64(rapid.IntRange(-50, 50).Draw(rt, "set")) * 1000)
				case 4:
					pass(time.Duration(rapid.IntRange(1, 30_000).Draw(rt, "pass")) * time.Millisecond)
				}
				now, day := time.Since(c.begin), c.r.expiries.Day()
				for i, x := range all {
					got := x.o.revoked.Load()
					late := now > x.at+expiryTick
					if got > 1 || x.over && got > 0 || late && !x.over && got == 0 {
						rt.Fatalf("session %d ended %d times, %v after its time and %d ms by the time of day", i, got, now-x.at, day-x.until)
					}
				}
			}
			pass(200 * time.Second)
			for i, x := range all {
				if (x.o.revoked.Load() == 1) == x.over {
					rt.Fatalf("in the end session %d ended %d times", i, x.o.revoked.Load())
				}
			}
			if len(c.r.expiries.deadlines)+len(c.r.expiries.of) > 0 {
				rt.Fatal("something is left")
			}
		})
	})
}

// Sessions without an end, and those of visitors, cost nothing here.
func TestSessionsWithoutAnEndAreNotInTheHeap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClocks(t)
		c.enter(t, 0)
		if _, err := c.r.claim(new(counter), kaban.Visitor(named(t, "vic")), netip.Addr{}, ""); err != nil {
			t.Fatal(err)
		}
		if len(c.r.expiries.deadlines) > 0 || c.r.expiries.timer != nil {
			t.Error("they are")
		}
	})
}

func TestVisitorsAreRevoked(t *testing.T) {
	var r Registry
	owners := make(map[string]*owner)
	for _, name := range []string{"ann", "bob", "cat"} {
		owners[name] = new(owner)
		if _, err := r.claim(owners[name], kaban.Visitor(named(t, name)), netip.Addr{}, ""); err != nil {
			t.Fatal(err)
		}
	}
	account := new(owner)
	r.enter(account, kaban.Account("id", named(t, "dan")), netip.Addr{}, &Credential{})
	r.RevokeLike(named(t, "BoB"))
	r.RevokeLike(named(t, "\u0441at")) // begins with a Cyrillic letter
	r.RevokeLike(named(t, "dan"))
	r.RevokeLike(named(t, "nobody"))
	if owners["ann"].revoked+account.revoked > 0 || owners["bob"].revoked != 1 || owners["cat"].revoked != 1 {
		t.Errorf("by their names: %+v", owners)
	}
	r.RevokeVisitors()
	if owners["ann"].revoked != 1 || owners["bob"].revoked != 2 || account.revoked > 0 {
		t.Errorf("all: %+v, the account %+v", owners, account)
	}
}

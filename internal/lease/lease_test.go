package lease

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
)

// link is the way of one node to the store, which can be cut.
type link struct {
	store.Documents
	mu    sync.Mutex
	cut   bool
	delay time.Duration // of the next change
}

func (l *link) Update(ctx context.Context, run func(store.Tx) error) error {
	l.mu.Lock()
	cut, delay := l.cut, l.delay
	l.delay = 0
	l.mu.Unlock()
	time.Sleep(delay)
	if cut {
		return store.ErrUnavailable
	}
	return l.Documents.Update(ctx, run)
}

func (l *link) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

// node is a node of a test.
type node struct {
	*Keeper
	link *link
	lost int
	end  func() // of its jobs
}

// cluster are nodes, and which of them does the job "sweep" now.
type cluster struct {
	t       *testing.T
	store   store.Documents
	mu      sync.Mutex
	working []string // the names of nodes
}

func (c *cluster) add(name string) *node {
	c.t.Helper()
	n := &node{link: &link{Documents: c.store}}
	var err error
	if n.Keeper, err = Open(c.t.Context(), n.link, Options{OnLost: func() { n.lost++ }}); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		n.Lead(ctx, "sweep", func(ctx context.Context) {
			c.note(name, true)
			<-ctx.Done()
			c.note(name, false)
		})
	})
	n.end = func() {
		cancel()
		group.Wait()
	}
	c.t.Cleanup(func() {
		n.end()
		n.Close()
	})
	return n
}

func (c *cluster) note(name string, begins bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if begins {
		c.working = append(c.working, name)
	} else {
		c.working = slices.DeleteFunc(c.working, func(other string) bool { return other == name })
	}
	if len(c.working) > 1 {
		c.t.Errorf("%v work at the same time", c.working)
	}
}

// after lets a time pass and compares who works then.
func (c *cluster) after(d time.Duration, want ...string) {
	c.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Equal(c.working, want) {
		c.t.Errorf("after %v %v work, want %v", d, c.working, want)
	}
}

func inCluster(t *testing.T, test func(t *testing.T, c *cluster)) {
	synctest.Test(t, func(t *testing.T) { test(t, &cluster{t: t, store: memory.New(0)}) })
}

// One node at a time does a job. Another takes over at once when it ends, and within a minute when it
// is cut off or dies; it stops before that by itself.
func TestOneNodeAtATime(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		one := c.add("one")
		c.after(6*time.Second, "one")
		two := c.add("two")
		c.after(time.Minute, "one")

		one.link.set(true)
		c.after(trusted-renewInterval-time.Second, "one")
		c.after(renewInterval + 2*time.Second)
		if _, holds := one.Node(); holds || one.lost != 1 {
			t.Errorf("it holds its lease: %v, and was told of its loss %d times", holds, one.lost)
		}
		c.after(time.Minute-trusted, "two")
		one.link.set(false)
		c.after(time.Minute, "two")
		if _, holds := one.Node(); !holds {
			t.Error("it has no lease again")
		}
		if two.lost > 0 {
			t.Error("another node is told that it has lost its lease")
		}

		two.end()
		two.Close()
		c.after(2*renewInterval, "one")
	})
}

// A short cut changes nothing, and a longer one ends the lease, but takes it from nobody else.
func TestCuts(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		one := c.add("one")
		c.after(6*time.Second, "one")
		before, _ := one.Node()
		one.link.set(true)
		time.Sleep(renewInterval + time.Second)
		one.link.set(false)
		c.after(renewInterval, "one")
		if now, holds := one.Node(); now != before || !holds || one.lost > 0 {
			t.Errorf("%s, %v, lost %d times", now, holds, one.lost)
		}
		one.link.set(true)
		time.Sleep(trusted + time.Second)
		one.link.set(false)
		c.after(renewInterval+time.Second, "one")
		if now, holds := one.Node(); now != before || !holds || one.lost != 1 {
			t.Errorf("%s, %v, lost %d times", now, holds, one.lost)
		}
	})
}

// A renewal that is stored at the moment in which the lease ends renews it, whether the timer comes before it
// or after.
func TestALateRenewal(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		one := c.add("one")
		c.after(renewInterval+time.Second, "one")
		for range 20 {
			one.link.mu.Lock()
			one.link.delay = trusted - renewInterval // of the next renewal
			one.link.mu.Unlock()
			time.Sleep(trusted - time.Second) // both are due now
			synctest.Wait()
			if _, holds := one.Node(); !holds {
				t.Fatal("it has lost its lease")
			}
			c.after(2*renewInterval+time.Second, "one")
		}
	})
}

// What a node held is gone with its lease, and the node that comes back is another one.
func TestTheEndOfALease(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		one := c.add("one")
		before, _ := one.Node()
		if err := c.store.Update(t.Context(), func(tx store.Tx) error {
			for i := range maxBuried + 10 {
				if err := people.Visits.Put(tx, &people.Visit{Key: fmt.Sprint("v", i), Name: fmt.Sprint("v", i), Node: before}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		two := c.add("two")
		over := func(node string) (is bool, visits int) {
			t.Helper()
			if err := c.store.View(t.Context(), func(tx store.Tx) (err error) {
				if is, err = IsOver(tx, node); err != nil {
					return err
				}
				visits = 0
				return people.Visits.All(tx, func(v *people.Visit) bool {
					if v.Node == node {
						visits++
					}
					return true
				})
			}); err != nil {
				t.Fatal(err)
			}
			return is, visits
		}
		one.link.set(true)
		time.Sleep(silence - time.Second)
		if is, visits := over(before); is || visits != maxBuried+10 {
			t.Errorf("over: %v, and %d visitors are left", is, visits)
		}
		time.Sleep(2*renewInterval + time.Second)
		if is, visits := over(before); !is || visits != 0 {
			t.Errorf("over: %v, and %d visitors are left", is, visits)
		}
		one.link.set(false)
		time.Sleep(3 * renewInterval)
		now, holds := one.Node()
		if is, _ := over(now); now == before || !holds || is {
			t.Errorf("the same: %v, holds: %v, over: %v", now == before, holds, is)
		}
		if name, _ := two.Node(); name == now {
			t.Error("two nodes are one")
		}
	})
}

// A server that is alone does everything.
func TestNoKeeper(t *testing.T) {
	var k *Keeper
	ran := false
	k.Lead(t.Context(), "sweep", func(context.Context) { ran = true })
	if node, holds := k.Node(); node != "" || !holds || !ran {
		t.Errorf("%q, %v, ran: %v", node, holds, ran)
	}
	k.Close()
}

// A job that ends by itself is not run again.
func TestJobsThatEnd(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		one := c.add("one")
		runs := 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		one.Lead(ctx, "once", func(context.Context) { runs++ })
		if runs != 1 {
			t.Errorf("it ran %d times", runs)
		}
	})
}

// Damage holds up neither leases nor jobs: whatever is damaged goes, as if it were of a node that has ended.
func TestDamage(t *testing.T) {
	inCluster(t, func(t *testing.T, c *cluster) {
		damage := func(key ...string) {
			t.Helper()
			if err := c.store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(store.Key(key...), []byte("{")) }); err != nil {
				t.Fatal(err)
			}
		}
		damage("node", "gone")
		if err := c.store.Update(t.Context(), func(tx store.Tx) error {
			return people.Visits.Put(tx, &people.Visit{Key: "ann", Name: "ann", Node: "gone"})
		}); err != nil {
			t.Fatal(err)
		}
		damage("visit", "ann")
		one := c.add("one")
		c.after(renewInterval+time.Second, "one")
		two := c.add("two")
		damage("job", "sweep")
		c.after(time.Minute, "one")
		var left []store.Document
		if err := c.store.View(t.Context(), func(tx store.Tx) (err error) {
			left, err = tx.Scan("visit", "visiu", 10)
			if over, err := IsOver(tx, "gone"); err != nil || !over {
				t.Errorf("the lease of the damaged node is over: %v, %v", over, err)
			}
			return err
		}); err != nil || len(left) != 1 { // the look of the name, which leads nowhere
			t.Errorf("%q are left, %v", left, err)
		}
		for _, n := range []*node{one, two} {
			before, _ := n.Node()
			damage("node", before)
			time.Sleep(3 * renewInterval)
			if now, holds := n.Node(); now == before || !holds {
				t.Errorf("after damage to its lease it is the same: %v, holds it: %v", now == before, holds)
			}
			time.Sleep(time.Minute)
		}
		if one.lost != 1 || two.lost != 1 {
			t.Errorf("they have lost their leases %d and %d times", one.lost, two.lost)
		}
	})
}

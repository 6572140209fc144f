package limit

import (
	"errors"
	"sync"
	"testing"
	"time"
)

func TestConnections(t *testing.T) {
	c := NewConnections("account_connections", 2)
	a, b := NameKey("a"), NameKey("b")
	enter := func(key Key) Place {
		t.Helper()
		place, err := c.Enter(key)
		if err != nil {
			t.Fatalf("Enter: %v", err)
		}
		return place
	}
	first, _ := enter(a), enter(a)
	_, err := c.Enter(a)
	if exceeded, ok := errors.AsType[*ExceededError](err); !ok || exceeded.Limit != "account_connections" || exceeded.RetryAfter != 5*time.Second {
		t.Errorf("the third of two enters: %v", err)
	}
	enter(b)
	first.Leave()
	first.Leave()
	if got := c.Count(a); got != 1 {
		t.Errorf("leaving twice leaves %d connections of 2, want 1", got)
	}
	enter(a)
	if _, err := c.Enter(a); err == nil {
		t.Error("leaving one place twice made two free")
	}
	for range 100 {
		enter(0)
	}
	unlimited := NewConnections("", 0)
	for range 100 {
		if _, err := unlimited.Enter(a); err != nil {
			t.Errorf("0 is a limit: %v", err)
		}
	}
}

func TestConnectionsForgetKeys(t *testing.T) {
	c := NewConnections("", 20)
	var places []Place
	for i := range 10_000 {
		place, _ := c.Enter(AddressKey(addressNumber(i)))
		places = append(places, place)
	}
	for i := range places {
		places[i].Leave()
	}
	for i := range c.shards {
		if c.shards[i].taken != nil {
			t.Fatalf("shard %d remembers %d keys without connections", i, len(c.shards[i].taken))
		}
	}
}

func TestConnectionsAreSafeForConcurrentUse(t *testing.T) {
	c := NewConnections("", 10)
	key := NameKey("a")
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 1000 {
				place, err := c.Enter(key)
				if n := c.Count(key); n > 10 {
					t.Errorf("%d connections at once, want at most 10", n)
				}
				if err == nil {
					place.Leave()
				}
			}
		})
	}
	group.Wait()
	if n := c.Count(key); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

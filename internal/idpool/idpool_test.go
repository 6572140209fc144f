package idpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"kaban"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func acquire(t testing.TB, p *Pool) Token {
	t.Helper()
	token, err := p.Acquire()
	if err != nil {
		t.Fatalf("Acquire: %v", err)
	}
	return token
}

func TestEveryIDOnceUpToTheCapacity(t *testing.T) {
	for _, capacity := range []int{1, 2, 3, 7, 8, 9, 100, 1000} {
		for _, shards := range []int{1, 2, 8, 64} {
			t.Run(fmt.Sprintf("%d in %d shards", capacity, shards), func(t *testing.T) {
				p := newSharded(capacity, shards)
				ids := make(map[uint32]bool)
				for range capacity {
					token := acquire(t, p)
					if id := token.ID(); id < 1 || int(id) > capacity || ids[id] {
						t.Fatalf("id %d is out of range or was given out twice", id)
					}
					ids[token.ID()] = true
				}
				if _, err := p.Acquire(); !errors.Is(err, ErrFull) {
					t.Errorf("one more: %v, want ErrFull", err)
				}
				if p.InUse() != capacity || p.Capacity() != capacity {
					t.Errorf("in use %d of %d, want %d", p.InUse(), p.Capacity(), capacity)
				}
			})
		}
	}
}

func TestAPoolHoldsAtLeastOne(t *testing.T) {
	for _, capacity := range []int{0, -5} {
		if got := New(capacity).Capacity(); got != 1 {
			t.Errorf("New(%d) has capacity %d, want 1", capacity, got)
		}
	}
}

func TestARedeemedIDIsUsedAgainWithAnotherOrigin(t *testing.T) {
	p := New(1)
	origins := make(map[kaban.Origin]bool)
	for range 1000 {
		token := acquire(t, p)
		if token.ID() != 1 {
			t.Fatalf("id %d, want 1: the only one", token.ID())
		}
		if token.Origin() == 0 || origins[token.Origin()] {
			t.Fatalf("origin %d is none or was used before", token.Origin())
		}
		origins[token.Origin()] = true
		if err := token.Redeem(); err != nil {
			t.Fatalf("Redeem: %v", err)
		}
	}
}

func TestRedeemingTwiceIsAnErrorAndChangesNothing(t *testing.T) {
	p := New(1)
	first := acquire(t, p)
	if err := first.Redeem(); err != nil {
		t.Fatalf("Redeem: %v", err)
	}
	if err := first.Redeem(); !errors.Is(err, ErrRedeemed) {
		t.Errorf("again: %v, want ErrRedeemed", err)
	}
	second := acquire(t, p) // the same id
	if err := first.Redeem(); !errors.Is(err, ErrRedeemed) {
		t.Errorf("while another holds the id: %v, want ErrRedeemed", err)
	}
	if _, err := p.Acquire(); !errors.Is(err, ErrFull) {
		t.Errorf("the id of a live token was given out: %v", err)
	}
	if err := second.Redeem(); err != nil || p.InUse() != 0 {
		t.Errorf("Redeem: %v with %d in use, want none", err, p.InUse())
	}
}

func TestRedeemingAtOnceSucceedsOnce(t *testing.T) {
	p := New(10)
	for range 200 {
		token := acquire(t, p)
		var wins, losses int
		var mu sync.Mutex
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				err := token.Redeem()
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					wins++
				} else if errors.Is(err, ErrRedeemed) {
					losses++
				}
			})
		}
		group.Wait()
		if wins != 1 || losses != 3 || p.InUse() != 0 {
			t.Fatalf("%d succeeded, %d were refused, %d in use; want 1, 3, 0", wins, losses, p.InUse())
		}
	}
}

func TestDrainWaitsForTheLastToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(10)
		tokens := []Token{acquire(t, p), acquire(t, p), acquire(t, p)}
		drained := make(chan error, 2)
		var group sync.WaitGroup
		for range 2 {
			group.Go(func() { drained <- p.Drain(context.Background()) })
		}
		synctest.Wait()
		if _, err := p.Acquire(); !errors.Is(err, ErrDraining) {
			t.Errorf("Acquire while draining: %v, want ErrDraining", err)
		}
		for i, token := range tokens {
			select {
			case err := <-drained:
				t.Fatalf("Drain returned %v with %d tokens out", err, len(tokens)-i)
			default:
			}
			if err := token.Redeem(); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		group.Wait()
		for range 2 {
			if err := <-drained; err != nil {
				t.Errorf("Drain: %v", err)
			}
		}
		if err := p.Drain(context.Background()); err != nil {
			t.Errorf("Drain of a drained pool: %v", err)
		}
	})
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(10)
		token := acquire(t, p)
		ctx, cancel := context.WithTimeoutCause(context.Background(), time.Second, errors.New("patience is over"))
		defer cancel()
		err := p.Drain(ctx)
		if err == nil || err.Error() != "1 connections are still open: patience is over" {
			t.Errorf("Drain: %v", err)
		}
		if err := token.Redeem(); err != nil {
			t.Fatal(err)
		}
		if err := p.Drain(ctx); err != nil {
			t.Errorf("Drain with an ended context, but nothing out: %v", err)
		}
	})
}

func TestDrainOfAnUnusedPool(t *testing.T) {
	if err := New(5).Drain(t.Context()); err != nil {
		t.Errorf("Drain: %v", err)
	}
}

// TestStorm acquires and redeems tokens in many goroutines while the pool drains:
// no id is held twice and the drain ends.
func TestStorm(t *testing.T) {
	for range 20 {
		p := New(50)
		var holders [51]sync.Mutex
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for {
					token, err := p.Acquire()
					switch {
					case errors.Is(err, ErrDraining):
						return
					case errors.Is(err, ErrFull):
						runtime.Gosched()
						continue
					}
					if !holders[token.ID()].TryLock() {
						t.Errorf("id %d is held twice", token.ID())
						return
					}
					if rand.N(4) == 0 {
						runtime.Gosched()
					}
					holders[token.ID()].Unlock()
					if err := token.Redeem(); err != nil {
						t.Errorf("Redeem: %v", err)
					}
				}
			})
		}
		time.Sleep(time.Millisecond)
		if err := p.Drain(t.Context()); err != nil {
			t.Errorf("Drain: %v", err)
		}
		group.Wait()
		if p.InUse() != 0 {
			t.Errorf("%d in use after the drain", p.InUse())
		}
	}
}

func TestAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		capacity := rapid.IntRange(1, 12).Draw(t, "capacity")
		p := newSharded(capacity, rapid.IntRange(1, 8).Draw(t, "shards"))
		held := map[uint32]Token{}
		var spent []Token
		origins := map[kaban.Origin]bool{}
		t.Repeat(map[string]func(*rapid.T){
			"acquire": func(t *rapid.T) {
				token, err := p.Acquire()
				if len(held) == capacity {
					if !errors.Is(err, ErrFull) {
						t.Fatalf("Acquire of a full pool: %v", err)
					}
					return
				}
				if err != nil {
					t.Fatalf("Acquire with %d of %d held: %v", len(held), capacity, err)
				}
				if id := token.ID(); held[id] != (Token{}) || id < 1 || int(id) > capacity || origins[token.Origin()] {
					t.Fatalf("id %d, origin %d: held, out of range or used before", id, token.Origin())
				}
				held[token.ID()], origins[token.Origin()] = token, true
			},
			"redeem": func(t *rapid.T) {
				for id, token := range held {
					if err := token.Redeem(); err != nil {
						t.Fatalf("Redeem: %v", err)
					}
					delete(held, id)
					spent = append(spent, token)
					return
				}
			},
			"redeem again": func(t *rapid.T) {
				if len(spent) > 0 {
					token := rapid.SampledFrom(spent).Draw(t, "token")
					if err := token.Redeem(); !errors.Is(err, ErrRedeemed) {
						t.Fatalf("Redeem of a spent token: %v", err)
					}
				}
			},
			"": func(t *rapid.T) {
				if p.InUse() != len(held) {
					t.Fatalf("InUse is %d, want %d", p.InUse(), len(held))
				}
			},
		})
	})
}

func TestALargePoolCostsNothingWhileEmpty(t *testing.T) {
	if size := testing.AllocsPerRun(10, func() { New(1 << 20) }); size > 5 {
		t.Errorf("New makes %v allocations", size)
	}
}

// onePool is the baseline of the benchmark: a pool with a single lock.
type onePool struct {
	mu     sync.Mutex
	free   []uint32
	issued uint32
}

func (p *onePool) acquire() uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		id := p.free[last]
		p.free = p.free[:last]
		return id
	}
	p.issued++
	return p.issued
}

func (p *onePool) redeem(id uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, id)
}

func BenchmarkAcquireRedeem(b *testing.B) {
	b.Run("sharded", func(b *testing.B) {
		p := New(1 << 20)
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if token, err := p.Acquire(); err == nil {
					token.Redeem()
				}
			}
		})
	})
	b.Run("one mutex", func(b *testing.B) {
		var p onePool
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p.redeem(p.acquire())
			}
		})
	})
}

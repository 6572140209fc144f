// Package lease says which of the servers on one store are alive, and which of them does what
// only one may do at a time.
//
// A node has a document with a number, which it raises every renewInterval. Another node that has
// seen the same number for silence removes the document; from then on the lease is over, for
// everybody at once, and whatever refers to the node is free. A node trusts its own lease for
// trusted only, counted from before its last renewal that was stored, which is less. So the two
// never overlap.
//
// Nothing depends on the time of day, nor on clocks that agree: each node measures durations by
// its own monotonic clock, and only the rates of two clocks may not differ by more than half. A
// machine that sleeps may not notice that its lease is over before its next renewal.
package lease

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"kaban/internal/people"
	"kaban/internal/store"
)

const (
	// renewInterval is how often a lease is renewed, and renewTimeout how long that may take.
	renewInterval = 5 * time.Second
	renewTimeout  = 4 * time.Second
	// trusted is how long a node relies on its lease after it began to renew it.
	trusted = 15 * time.Second
	// silence is how long another node must have seen no renewal to take the lease for over.
	silence = 25 * time.Second
	// maxNodes bounds the nodes of a store, and maxBuried the names of visitors that are
	// removed at a time after the end of a node.
	maxNodes  = 1000
	maxBuried = 500
)

// Options configure a Keeper. The zero value is fine.
type Options struct {
	// OnLost is called when the node does not hold its lease any more, because the store could not
	// be reached or the node was away: what depends on it must end within seconds. It must
	// not block.
	OnLost func()
	// Log gets one line when the lease is lost and one when there is another. Default: discarded.
	Log *slog.Logger
}

// Keeper keeps the lease of this node. All methods are safe for concurrent use. A nil Keeper is
// that of a server that is alone on its store: it holds everything, at no cost.
type Keeper struct {
	documents store.Documents
	options   Options
	cancel    context.CancelFunc
	group     sync.WaitGroup
	seen      map[string]sight // of the goroutine that renews
	looked    time.Time        // when it was brought up to date

	mu     sync.Mutex // guards all below
	node   string     // the incarnation
	tries  uint64     // of renewals, under all incarnations
	beat   uint64     // of the last one that was stored; 0 before the first
	holds  bool
	until  time.Time   // when the lease is not trusted any more
	timer  *time.Timer // ends the trust at until; nil before the first renewal
	jobs   map[string]*job
	closed bool
}

// sight is what was seen of another node.
type sight struct {
	beat  uint64
	since time.Time
}

// Open gets a lease for this node, or begins to try, and keeps it until Close.
func Open(ctx context.Context, documents store.Documents, options Options) (*Keeper, error) {
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	running, cancel := context.WithCancel(context.Background())
	k := &Keeper{
		documents: documents, options: options, cancel: cancel, seen: make(map[string]sight),
		node: rand.Text(), jobs: make(map[string]*job),
	}
	if err := k.renew(ctx); err != nil {
		cancel()
		k.shut()
		return nil, fmt.Errorf("join the nodes on the store: %w", err)
	}
	k.group.Go(func() { k.run(running) })
	return k, nil
}

// Node returns the incarnation of this node, by which IsOver knows it, and whether it holds
// its lease. Of a nil Keeper it is "".
func (k *Keeper) Node() (incarnation string, holds bool) {
	if k == nil {
		return "", true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.node, k.holds
}

// IsOver reports whether the lease of a node is over. That of a damaged one is not, until others remove it.
func IsOver(tx store.Tx, node string) (bool, error) {
	_, err := people.Nodes.Find(tx, node)
	if errors.Is(err, people.ErrNotFound) {
		return true, nil
	}
	return false, err
}

// Close ends the lease, so that others need not wait. It is called after the jobs have ended: once
// each Lead has returned.
func (k *Keeper) Close() {
	if k == nil {
		return
	}
	k.cancel()
	k.shut()
	k.group.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), renewTimeout)
	defer cancel()
	node, _ := k.Node()
	if err := k.bury(ctx, people.Node{ID: node}, true); err != nil {
		k.options.Log.Warn("this node could not say that it has ended; others go on with its work within a minute", "error", err)
	}
}

func (k *Keeper) run(ctx context.Context) {
	ticker := time.NewTicker(renewInterval)
	defer ticker.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		limited, cancel := context.WithTimeout(ctx, renewTimeout)
		err := k.renew(limited)
		if err != nil && !failing && ctx.Err() == nil {
			k.options.Log.Warn("the lease of this node could not be renewed", "error", err)
		}
		failing = err != nil
		cancel()
	}
}

// errOver means that others have taken this node for dead.
var errOver = errors.New("the lease of this node was over")

// renew renews the lease, takes jobs that nobody does, and ends the leases of others that are silent.
func (k *Keeper) renew(ctx context.Context) error {
	start := time.Now()
	k.mu.Lock()
	k.tries++ // also one whose end is unknown has a number of its own
	node, first, wanted := people.Node{ID: k.node, Beat: k.tries}, k.beat == 0, k.wantedLocked()
	k.mu.Unlock()
	var nodes []people.Node
	var held map[string]bool
	err := k.documents.Update(ctx, func(tx store.Tx) (err error) {
		switch own, err := people.Nodes.Find(tx, node.ID); {
		case err != nil && !errors.Is(err, people.ErrNotFound):
			return err
		case !first && own.Beat == 0: // it is gone, or damaged
			return errOver
		}
		if err := people.Nodes.Put(tx, &node); err != nil {
			return err
		}
		if nodes, err = people.Nodes.Known(tx, maxNodes); err != nil {
			return err
		}
		held, err = take(tx, node.ID, wanted, nodes)
		return err
	})
	if errors.Is(err, errOver) {
		k.lose()
		k.anew()
		return nil // the next one makes a new lease
	}
	if err != nil {
		return err
	}
	k.renewed(node, start, held)
	return k.watch(ctx, nodes, node.ID)
}

// renewed notes that the lease is stored.
func (k *Keeper) renewed(node people.Node, start time.Time, held map[string]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	left := trusted - time.Since(start)
	if k.node != node.ID || k.closed || left <= 0 {
		return
	}
	if !k.holds && k.beat > 0 {
		k.options.Log.Info("this node has its lease again")
	}
	k.beat, k.holds = node.Beat, true
	k.until = start.Add(trusted)
	if k.timer == nil {
		k.timer = time.AfterFunc(left, k.expire)
	} else {
		k.timer.Reset(left)
	}
	k.leadLocked(held)
}

// anew has the next renewal make a lease for another incarnation.
func (k *Keeper) anew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.node, k.beat = rand.Text(), 0
}

// expire ends what depends on the lease once it is not trusted any more. The timer runs it, perhaps late: a
// lease that was renewed after the timer has fired goes on.
func (k *Keeper) expire() {
	k.mu.Lock()
	held := time.Until(k.until) <= 0 && k.loseLocked()
	k.mu.Unlock()
	if held {
		k.tellLost()
	}
}

// lose ends what depends on the lease, which is over.
func (k *Keeper) lose() {
	k.mu.Lock()
	held := k.loseLocked()
	k.mu.Unlock()
	if held {
		k.tellLost()
	}
}

// loseLocked notes that the lease is not held, and reports whether it was.
func (k *Keeper) loseLocked() (held bool) {
	held, k.holds = k.holds, false
	if k.timer != nil {
		k.timer.Stop()
	}
	k.leadLocked(nil)
	return held
}

func (k *Keeper) tellLost() {
	k.options.Log.Error("this node has not been able to renew its lease; visitors are disconnected, and other nodes go on with its work")
	if k.options.OnLost != nil {
		k.options.OnLost()
	}
}

// shut has the lease never be held again, and nobody told.
func (k *Keeper) shut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	k.loseLocked()
}

// watch ends the leases of nodes that are silent.
func (k *Keeper) watch(ctx context.Context, nodes []people.Node, own string) error {
	now := time.Now()
	away := now.Sub(k.looked) > 2*renewInterval // perhaps so was the store, for everybody
	k.looked = now
	seen := make(map[string]sight, len(nodes))
	var failed error
	for _, n := range nodes {
		last, known := k.seen[n.ID]
		if !known || last.beat != n.Beat || away {
			last = sight{n.Beat, now}
		}
		seen[n.ID] = last
		if n.ID != own && now.Sub(last.since) >= silence {
			failed = errors.Join(failed, k.bury(ctx, n, false))
		}
	}
	k.seen = seen
	return failed
}

// bury ends the lease of a node, if it was not renewed meanwhile, and then removes what is left of
// it.
func (k *Keeper) bury(ctx context.Context, n people.Node, own bool) error {
	for more := true; more; {
		err := k.documents.Update(ctx, func(tx store.Tx) (err error) {
			more = false
			switch now, err := people.Nodes.Find(tx, n.ID); {
			case errors.Is(err, people.ErrNotFound):
			case err != nil:
				return err
			case !own && now.Beat != n.Beat:
				return nil
			}
			more, err = people.Nodes.Remove(tx, n.ID, maxBuried)
			return err
		})
		if err != nil {
			return fmt.Errorf("end the lease of a node: %w", err)
		}
	}
	return nil
}

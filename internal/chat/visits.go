package chat

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/lease"
	"kaban/internal/news"
	"kaban/internal/people"
	"kaban/internal/session"
	"kaban/internal/store"
)

// This file holds the names of visitors in the store where other nodes use it as well. A name is
// first claimed on this node, as where there is no other, and then held for all of them. A node that
// cannot renew its lease drops its visitors, whose names are free for others a while later.

const (
	// maxVisitBatch bounds what is held and given back in one transaction.
	maxVisitBatch = 256
	// maxFailedVisits bounds the names that wait to be given back because the store has failed. Others
	// are free when this node has ended.
	maxFailedVisits = 1 << 16
	// maxPausing bounds the clients that wait for a name which another node holds. They keep workers.
	maxPausing = 4
)

// holdPauses are before a name that another node holds is tried again.
var holdPauses = []time.Duration{50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond}

// visits holds the names of this node's visitors. A nil one is of a server that is alone.
type visits struct {
	chat  *Chat
	lease *lease.Keeper

	pausing atomic.Int64 // calls of HoldAgain

	mu     sync.Mutex // guards all below
	queue  []*visit
	failed []*visit          // names that could not be given back
	busy   bool              // a goroutine works off the queue
	held   map[string]string // by the key of a name: the secret of its session, hashed
	closed bool
	group  sync.WaitGroup
}

// visit is something to be done with a name, in the order of the queue.
type visit struct {
	what    visitStep
	session *Session
	name    kaban.Username
	address netip.Addr
	secret  string   // hashed, as all secrets here
	earlier []string // those that the session resumes, as far as this node knows
	done    chan error
	err     error    // the result of the transaction
	resumes []string // earlier, and those that the store knows as well
	taken   bool     // from another node
}

type visitStep uint8

const (
	holdName visitStep = iota
	confirmSecret
	giveNameBack
)

// HasNodes reports whether other nodes use the store, so that a name that Claim finds taken may be another node's by
// now; see GiveTaken.
func (c *Chat) HasNodes() bool { return c.visits != nil }

// GiveTaken gives up a name here, and those that look like it, as far as another node has taken them over, or they were
// given back there: what their news say in a moment. Then whoever claims the name gets the answer that all nodes give.
// It blocks while the store is asked.
func (c *Chat) GiveTaken(ctx context.Context, name kaban.Username) error {
	keys := make(map[string]bool)
	for _, key := range c.names.Alike(name) {
		keys[key] = true
	}
	return c.visits.takenElsewhere(ctx, keys)
}

// speak borrows a name for an author without a connection; see session.Registry.
func (c *Chat) speak(ctx context.Context, name kaban.Username) (done func(), err error) {
	done, err = c.names.Speak(name)
	if errors.Is(err, ErrTaken) && c.HasNodes() {
		if err := c.GiveTaken(ctx, name); err != nil {
			return nil, err
		}
		done, err = c.names.Speak(name)
	}
	return done, err
}

// ChecksVisitors reports whether AdmitVisitor and Hold are to be called after Claim.
func (c *Chat) ChecksVisitors() bool { return c.IsClaimed() || c.HasNodes() }

// Hold holds the name of a visitor's session, which Claim has given it here, on all nodes. If the
// session resumes one on another node, that one is replaced. It blocks until that is stored. It
// returns ErrTaken, after which HoldAgain may succeed, and errors of the store.
func (c *Chat) Hold(ctx context.Context, s *Session) error {
	if !c.HasNodes() {
		return nil
	}
	err := c.visits.hold(ctx, s)
	if errors.Is(err, ErrTaken) {
		return err
	}
	return c.count(err)
}

// HoldAgain tries Hold again, because a client that goes on at another node, such as with its next command, comes there
// before the first node has given its name back. It takes up to a second, unless too many try.
func (c *Chat) HoldAgain(ctx context.Context, s *Session) error {
	err := ErrTaken
	if n := c.visits.pausing.Add(1); n <= maxPausing {
		for _, pause := range holdPauses {
			select {
			case <-time.After(pause):
				err = c.visits.hold(ctx, s)
			case <-ctx.Done():
				err = context.Cause(ctx)
			}
			if !errors.Is(err, ErrTaken) || !c.names.Holds(s) {
				break
			}
		}
	}
	c.visits.pausing.Add(-1)
	return c.count(err)
}

// hold tries once to hold the name of a session.
func (v *visits) hold(ctx context.Context, s *Session) error {
	next := v.put(holdName, s)
	if next == nil {
		return ErrClosed
	}
	select {
	case err := <-next.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx) // once the session has ended, nothing is held for it
	}
}

// put queues something. It returns nil if it is too late for that.
func (v *visits) put(what visitStep, s *Session) *visit {
	own, earlier := v.chat.names.Secrets(s)
	next := &visit{what: what, session: s, name: s.Identity.Name(), address: s.Address, secret: own, earlier: earlier, done: make(chan error, 1)}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return nil
	}
	v.queue = append(v.queue, next)
	v.beginLocked()
	return next
}

// confirmed notes that a client has received the secret of its session.
func (v *visits) confirmed(s *Session) {
	if v == nil || s.Credential != nil {
		return
	}
	if _, earlier := v.chat.names.Secrets(s); len(earlier) > 0 {
		v.put(confirmSecret, s)
	}
}

// released notes that a session has ended.
func (v *visits) released(s *Session) {
	if v != nil && s.Credential == nil {
		v.put(giveNameBack, s)
	}
}

// close waits for what was queued.
func (v *visits) close() {
	if v == nil {
		return
	}
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.group.Wait()
}

// retry tries again what has failed.
func (v *visits) retry() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.failed) == 0 || v.closed {
		return
	}
	v.queue, v.failed = append(v.queue, v.failed...), nil
	v.beginLocked()
}

// beginLocked has the queue worked off.
func (v *visits) beginLocked() {
	if !v.busy {
		v.busy = true
		v.group.Go(v.work)
	}
}

func (v *visits) take() (batch []*visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := min(len(v.queue), maxVisitBatch)
	if v.busy = n > 0; !v.busy {
		v.queue = nil
		return nil
	}
	batch, v.queue = v.queue[:n:n], v.queue[n:]
	return batch
}

func (v *visits) work() {
	for {
		batch := v.take()
		if len(batch) == 0 {
			return
		}
		err := v.store(context.Background(), batch)
		for _, next := range batch {
			if err != nil {
				next.err = err
			}
			v.finish(next)
		}
	}
}

// store does what a batch wants in one transaction. It fails if the lease of this node is over, whether
// the node has noticed or not: what is held under it then would never be given back.
func (v *visits) store(ctx context.Context, batch []*visit) error {
	node, holds := v.lease.Node()
	if !holds {
		return ErrNoLease
	}
	return v.chat.dispatcher.Update(ctx, func(tx store.Tx) error {
		if over, err := lease.IsOver(tx, node); err != nil || over {
			return cmp.Or(err, ErrNoLease)
		}
		for _, next := range batch {
			next.err, next.resumes, next.taken = nil, next.earlier, false
			// The name may be another session's here by now, which holds it after this.
			if next.what == holdName && !v.chat.names.Holds(next.session) {
				next.err = ErrTaken
				continue
			}
			err := next.run(tx, node)
			if errors.Is(err, store.ErrDamaged) { // of this name alone, unless the transaction fails by it
				next.err, err = err, nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// finish tells whoever waits. A name that was held for a session which has ended meanwhile is given
// back.
func (v *visits) finish(next *visit) {
	if next.what == giveNameBack {
		v.gaveBack(next)
	}
	if next.what != holdName {
		return
	}
	if next.err == nil {
		if !slices.Equal(next.resumes, next.earlier) {
			v.chat.names.Follow(next.session, next.resumes)
		}
		v.mu.Lock()
		v.held[next.name.Key()] = next.secret
		v.mu.Unlock()
		if !v.chat.names.Holds(next.session) {
			v.put(giveNameBack, next.session)
		}
	}
	next.done <- next.err
}

// gaveBack notes that a name was given back, or that it has to be tried again.
func (v *visits) gaveBack(gone *visit) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if gone.err != nil && !errors.Is(gone.err, store.ErrDamaged) && len(v.failed) < maxFailedVisits {
		v.failed = append(v.failed, gone)
	}
	if v.held[gone.name.Key()] == gone.secret {
		delete(v.held, gone.name.Key())
	}
}

// run does one thing. The error makes the whole transaction fail; that of the one thing is in err.
func (next *visit) run(tx store.Tx, node string) error {
	if next.what == holdName {
		return next.hold(tx, node)
	}
	kept, err := people.Visits.Get(tx, next.name.Key())
	switch {
	case errors.Is(err, people.ErrNotFound):
		return nil
	case err != nil:
		return err
	case kept.Node != node || kept.Secret != next.secret: // somebody else's by now
		return nil
	case next.what == giveNameBack:
		return people.Visits.Delete(tx, kept.Key)
	}
	kept.Earlier = nil
	return people.Visits.Put(tx, &kept)
}

func (next *visit) hold(tx store.Tx, node string) error {
	key := next.name.Key()
	alike, err := people.Visits.Like(tx, next.name)
	if err != nil {
		return err
	}
	for i := range alike {
		other := &alike[i]
		free, err := next.mayTake(tx, node, other)
		switch {
		case err != nil:
			return err
		case !free:
			next.err = ErrTaken
			return nil
		case other.Key != key && other.Node != node:
			if err := people.Visits.Delete(tx, other.Key); err != nil {
				return err
			}
		}
	}
	if next.taken {
		news.Note(tx, people.TakenKey(key))
	}
	return people.Visits.Put(tx, &people.Visit{
		Key: key, Name: next.name.String(), Node: node, Address: addressText(next.address), Secret: next.secret, Earlier: next.resumes,
	})
}

// mayTake reports whether a visitor may have a name although another one holds it, or one that
// looks like it. On this node that was decided before.
func (next *visit) mayTake(tx store.Tx, node string, other *people.Visit) (bool, error) {
	resumes := other.Key == next.name.Key() && next.resume(other)
	if other.Node == node {
		return true, nil
	}
	if over, err := lease.IsOver(tx, other.Node); err != nil || over {
		return over, err
	}
	next.taken = next.taken || resumes
	return resumes, nil
}

// resume reports whether the session resumes one that is known by the store. Its client may know any secret
// since the one that it has presented, whichever node gave it that.
func (next *visit) resume(other *people.Visit) bool {
	known := append(slices.Clip(other.Earlier), other.Secret)
	for _, secret := range next.earlier {
		if at := slices.Index(known, secret); at >= 0 {
			next.resumes = session.From(known, at)
			return true
		}
	}
	return false
}

// takenElsewhere replaces the sessions here that have names with some keys, if another node has these by now,
// and takes the keys out.
func (v *visits) takenElsewhere(ctx context.Context, keys map[string]bool) error {
	if v == nil || len(keys) == 0 {
		return nil
	}
	held := make(map[string]string)
	v.mu.Lock()
	for key := range keys {
		if secret, is := v.held[key]; is {
			held[key] = secret
		}
	}
	v.mu.Unlock()
	for batch := range slices.Chunk(slices.Collect(maps.Keys(held)), maxVisitBatch) {
		taken, err := v.taken(ctx, batch)
		if err != nil {
			return err
		}
		for _, key := range taken {
			v.chat.names.ReplaceVisitor(key, func(secret string) bool { return session.HashOf(secret) == held[key] })
		}
	}
	clear(keys)
	return nil
}

// taken returns those of some names that this node does not hold in the store, as far as that can be read.
func (v *visits) taken(ctx context.Context, keys []string) (taken []string, err error) {
	node, _ := v.lease.Node()
	damaged, err := severally(keys, func(some []string) error {
		var kept []people.Visit
		err := v.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
			kept, err = people.Visits.FindAll(tx, some)
			return err
		})
		for i := range kept {
			if err == nil && kept[i].Node != node {
				taken = append(taken, some[i])
			}
		}
		return err
	})
	return append(taken, damaged...), err
}

// takenAll is takenElsewhere for all names.
func (v *visits) takenAll(ctx context.Context) error {
	if v == nil {
		return nil
	}
	keys := make(map[string]bool)
	v.mu.Lock()
	for key := range v.held {
		keys[key] = true
	}
	v.mu.Unlock()
	return v.takenElsewhere(ctx, keys)
}

// isElsewhere reports whether a visitor on another node has a name, or one that looks like it.
func (v *visits) isElsewhere(tx store.Tx, name kaban.Username) (bool, error) {
	if v == nil {
		return false, nil
	}
	node, _ := v.lease.Node()
	alike, err := people.Visits.Like(tx, name)
	for i := range alike {
		if alike[i].Node == node {
			continue
		}
		if over, err := lease.IsOver(tx, alike[i].Node); err != nil || !over {
			return err == nil, err
		}
	}
	return false, err
}

// LeaseLost drops the visitors of this node, because its lease is not trusted any more; see
// lease.Options. They may come back at once, to this node or another.
func (c *Chat) LeaseLost() { c.names.DropVisitors() }

// visiting returns where the connection of a visitor with a name comes from, whichever node it is
// on, and whether there is one.
func (c *Chat) visiting(tx store.Tx, name kaban.Username) (at netip.Addr, here bool, err error) {
	if at, here = c.names.Visiting(name); here || c.visits == nil {
		return at, here, nil
	}
	kept, err := people.Visits.Get(tx, name.Key())
	if errors.Is(err, people.ErrNotFound) {
		return at, false, nil
	}
	if err != nil {
		return at, false, err
	}
	at, _ = netip.ParseAddr(kept.Address) // not valid where there is none
	return at, true, nil
}

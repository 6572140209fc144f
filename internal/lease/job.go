package lease

import (
	"context"
	"errors"
	"slices"
	"sync"

	"kaban/internal/people"
	"kaban/internal/store"
)

// job is something that this node does while it holds it.
type job struct {
	change chan struct{} // has room for one: held has changed
	held   bool          // guarded by Keeper.mu
}

// Lead runs a function while this node is the one that does a job, until ctx ends. The context of
// the function ends when it is not any more, and then the function must return within seconds. One
// that returns before is not run again until ctx ends. Other nodes take over within a minute
// after this one has died, and at once after Close. A name belongs to one call at a time.
//
// What a job does may have been done by another node a moment ago, or be done again by the next.
func (k *Keeper) Lead(ctx context.Context, name string, run func(ctx context.Context)) {
	if k == nil {
		run(ctx)
		return
	}
	j := k.want(name)
	defer k.unwant(name, j)
	for {
		select {
		case <-ctx.Done():
			return
		case <-j.change:
		}
		if k.isHeld(j) && ctx.Err() == nil {
			k.runWhileHeld(ctx, j, run)
		}
	}
}

// runWhileHeld runs a function until it returns by itself, or because this node does not hold the
// job any more.
func (k *Keeper) runWhileHeld(ctx context.Context, j *job, run func(ctx context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer close(done)
		run(ctx)
	})
	defer group.Wait()
	defer cancel()
	for {
		select {
		case <-j.change:
			if !k.isHeld(j) {
				cancel()
				<-done
				k.signal(j) // it may be held again by now
				return
			}
		case <-done:
			<-ctx.Done()
			return
		}
	}
}

// want has the next renewal take a job.
func (k *Keeper) want(name string) *job {
	k.mu.Lock()
	defer k.mu.Unlock()
	j := &job{change: make(chan struct{}, 1)}
	k.jobs[name] = j
	return j
}

func (k *Keeper) unwant(name string, j *job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.jobs[name] == j {
		delete(k.jobs, name)
	}
}

func (k *Keeper) isHeld(j *job) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return j.held
}

func (k *Keeper) signal(j *job) {
	select {
	case j.change <- struct{}{}:
	default:
	}
}

func (k *Keeper) wantedLocked() (names []string) {
	for name := range k.jobs {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// leadLocked notes which jobs this node holds.
func (k *Keeper) leadLocked(held map[string]bool) {
	for name, j := range k.jobs {
		if j.held != held[name] {
			j.held = held[name]
			k.signal(j)
		}
	}
}

// take takes those of some jobs that no living node does, and those whose documents are damaged. It returns those that
// this node holds.
func take(tx store.Tx, node string, wanted []string, nodes []people.Node) (held map[string]bool, err error) {
	held = make(map[string]bool)
	for _, name := range wanted {
		j, err := people.Jobs.Get(tx, name)
		if err != nil && !errors.Is(err, people.ErrNotFound) && !errors.Is(err, store.ErrDamaged) {
			return nil, err
		}
		isHolder := func(n people.Node) bool { return n.ID == j.Node }
		if j.Node != node {
			if slices.ContainsFunc(nodes, isHolder) {
				continue
			}
			if err := people.Jobs.Put(tx, &people.Job{Name: name, Node: node}); err != nil {
				return nil, err
			}
		}
		held[name] = true
	}
	return held, nil
}

package dispatch

import (
	"slices"
	"sync"
	"time"
)

// presenceNames is the size of a room up to which presence frames name those who
// joined and left. In a larger room they have the count alone.
const presenceNames = 256

// presence gathers the rooms that somebody joined or left and sends their members
// one frame after a delay, so that many changes share it.
type presence struct {
	mu     sync.Mutex // guards all below; taken after Room.mu
	due    []*Room
	timer  *time.Timer
	closed bool

	group sync.WaitGroup // one while the timer runs, until publish has returned
}

// note puts a room on the list. The caller holds Room.mu.
func (p *presence) note(d *Dispatcher, r *Room) {
	if r.presenceDue {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	r.presenceDue = true
	p.due = append(p.due, r)
	if len(p.due) > 1 { // the timer runs
		return
	}
	p.group.Add(1)
	if p.timer == nil {
		p.timer = time.AfterFunc(d.options.PresenceDelay, p.publish)
	} else {
		p.timer.Reset(d.options.PresenceDelay)
	}
}

// publish runs on the timer's goroutine.
func (p *presence) publish() {
	defer p.group.Done()
	p.mu.Lock()
	due := p.due
	p.due = nil
	p.mu.Unlock()
	for _, r := range due {
		r.publishPresence()
	}
}

// close stops the timer and waits for what it started.
func (p *presence) close() {
	p.mu.Lock()
	p.closed = true
	p.due = nil
	if p.timer != nil && p.timer.Stop() {
		p.group.Done()
	}
	p.mu.Unlock()
	p.group.Wait()
}

// publishPresence sends the members the changes since the last time. The frame
// lies in the tail between entries and is shared like one, but is not part of the
// log.
func (r *Room) publishPresence() {
	defer r.budget.shrink() // without the lock
	r.mu.Lock()
	defer r.mu.Unlock()
	joined, left := r.joined, r.left
	r.joined, r.left, r.presenceDue = nil, nil, false
	members := r.membersLocked()
	if members == r.told && len(left) == 0 && (len(joined) == 0 || r.readers == 1 && r.watchers == 0 && r.there == nil) {
		return // nothing changed, or the only reader already knows
	}
	r.told = members
	if members > presenceNames || len(joined) > presenceNames || len(left) > presenceNames {
		joined, left = nil, nil
	}
	for _, t := range r.tails {
		t.append(0, 0, func(dst []byte) []byte {
			return t.format.AppendPresence(dst, r.name.String(), members, joined, left)
		})
	}
	r.wakeLocked()
}

// noteChange adds a name to the changes of one direction, unless it reverts a
// change of the other. Names beyond what a presence frame lists are dropped.
func noteChange(changes, opposite []string, name string) (newChanges, newOpposite []string) {
	if i := slices.Index(opposite, name); i >= 0 {
		return changes, slices.Delete(opposite, i, i+1)
	}
	if len(changes) <= presenceNames {
		changes = append(changes, name)
	}
	return changes, opposite
}

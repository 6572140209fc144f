package dispatch

import (
	"sync"
	"time"
)

// presence gathers the rooms in which somebody came or went and tells their
// members after a delay, so that many changes are one frame.
type presence struct {
	mu     sync.Mutex // guards all below; taken after Room.mu
	due    []*Room
	timer  *time.Timer
	closed bool

	group sync.WaitGroup // one while the timer runs, until tell has returned
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
		p.timer = time.AfterFunc(d.options.PresenceDelay, p.tell)
	} else {
		p.timer.Reset(d.options.PresenceDelay)
	}
}

// tell runs on the timer's goroutine.
func (p *presence) tell() {
	defer p.group.Done()
	p.mu.Lock()
	due := p.due
	p.due = nil
	p.mu.Unlock()
	for _, r := range due {
		r.publishPresence()
	}
}

// close ends the timer and waits for what it started.
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

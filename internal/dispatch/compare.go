package dispatch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"kaban"
	"kaban/internal/store"
)

// compareInterval is how often the heads here are compared with those of the store. It bounds
// how late the news of other nodes are without a bus.
const compareInterval = time.Second

// maxResting bounds the rooms without readers that are compared at a time. Nothing depends on them but the search index and
// what is listed, so they take turns.
const maxResting = 1000

// Stating is a Store that returns the states of some rooms in one query. Of any other Store the
// states of all rooms are read.
type Stating interface {
	// States returns the states of those rooms that have ever had an entry or a Bump, in no
	// particular order, under the names that they are asked for by.
	States(ctx context.Context, rooms []kaban.RoomName) ([]store.Room, error)
}

// compareLoop compares until the dispatcher is closed.
func (p *peers) compareLoop() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var ending sync.WaitGroup
	ending.Go(func() {
		select {
		case <-p.dispatcher.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	defer ending.Wait()
	defer cancel()
	ticker := time.NewTicker(compareInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-p.lost:
		}
		p.noteComparison(p.compare(ctx), ctx.Err() != nil)
	}
}

// noteComparison logs that comparisons fail, once until one works.
func (p *peers) noteComparison(err error, ending bool) {
	switch {
	case ending:
	case err != nil && !p.failing:
		p.failing = true
		p.dispatcher.options.Log.Error("cannot compare rooms with the store; messages of other nodes may be missing", "err", err)
	case err == nil && p.failing:
		p.failing = false
		p.dispatcher.options.Log.Info("rooms are compared with the store again")
	}
}

// compare meets the rooms of other nodes, and compares those here with the store. Neither waits for
// the other to succeed.
func (p *peers) compare(ctx context.Context) error {
	return errors.Join(p.meetUnknown(ctx), p.compareRooms(ctx))
}

// compareRooms asks the store once for all rooms with readers, and for some without, and has those followed that have grown.
func (p *peers) compareRooms(ctx context.Context) error {
	d := p.dispatcher
	rooms, resting := d.InUse(), p.nextResting()
	if len(rooms)+len(resting) == 0 {
		return nil
	}
	before := make(map[string]uint64, len(rooms)) // the heads, before those of the store
	names := make([]kaban.RoomName, len(rooms), len(rooms)+len(resting))
	for i, r := range rooms {
		before[r.name.Key()], names[i] = r.Head(), r.name
	}
	states, err := d.states(ctx, append(names, resting...))
	if err != nil {
		return err
	}
	p.resting = p.resting[len(resting):]
	d.counts.compared.Add(1)
	for i := range states {
		if head, ok := before[states[i].Name.Key()]; ok {
			p.compareRoom(&states[i], head)
		} else {
			p.compareResting(&states[i])
		}
	}
	return nil
}

// nextResting returns rooms without readers whose turn it is to be compared. Where nobody wants to know that they have
// grown there are none.
func (p *peers) nextResting() []kaban.RoomName {
	d := p.dispatcher
	if len(p.resting) == 0 && d.onGrown != nil {
		p.resting = nil
		d.mu.Lock()
		for _, r := range d.rooms {
			if _, inUse := d.inUse[r]; !inUse {
				p.resting = append(p.resting, r.name)
			}
		}
		d.mu.Unlock()
	}
	return p.resting[:min(len(p.resting), maxResting)]
}

// compareResting notes how far a room without readers has grown.
func (p *peers) compareResting(state *store.Room) {
	d := p.dispatcher
	r := d.Peek(state.Name)
	if r == nil || state.Head == 0 {
		return
	}
	if state.Head > r.Head() {
		d.counts.behind.Add(1)
	}
	if !r.raise(state.Head) { // it has readers by now
		d.Grown(r.name, state.Head)
	}
	d.grown(r.name, state.Head)
}

// states returns the states of some rooms, and perhaps of others.
func (d *Dispatcher) states(ctx context.Context, names []kaban.RoomName) (states []store.Room, err error) {
	if s, ok := d.store.Store.(Stating); ok {
		states, err = s.States(ctx, names)
	} else {
		states, err = d.store.Rooms(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("states of %d rooms: %w", len(names), err)
	}
	return states, nil
}

// compareRoom compares a room with the state of it that the store had after the room had a head.
func (p *peers) compareRoom(state *store.Room, before uint64) {
	d := p.dispatcher
	r := d.Peek(state.Name)
	if r == nil {
		return
	}
	if r.compared.Swap(state.Oldest) != state.Oldest { // another node has cut the front
		r.doomBefore(state.Oldest)
	}
	if state.Head < before {
		d.counts.ahead.Add(1)
		d.options.Log.Error("readers were given messages that the store does not have: a node or the database has lost some, or a hint lied",
			"room", r.name, "given", before, "stored", state.Head)
		return
	}
	if state.Revision > r.Revision() || r.unrevised.Load() {
		d.counts.behind.Add(1)
		if d.revised(r, state.Revision) != nil {
			return // what comes behind it waits for the next comparison
		}
	}
	if state.Head > r.Head() {
		d.counts.behind.Add(1)
		d.putHint(hint{room: r.name, seq: state.Head, state: state})
	}
}

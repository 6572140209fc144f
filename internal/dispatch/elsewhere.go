package dispatch

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
)

// Bounds of what is known of other nodes.
const (
	// maxNodes bounds the other nodes, those that were forgotten lately included.
	maxNodes = 256
	// maxThere bounds the names that are known of a node, and maxOnline the accounts. Of rooms beyond
	// there are counts only.
	maxThere  = 1 << 20
	maxOnline = 1 << 20
	// maxUnknown bounds the rooms that wait to be looked up.
	maxUnknown = 1024
)

// otherNodes is who is on other nodes, as they have said. Nothing but what is shown depends on it.
type otherNodes struct {
	dispatcher *Dispatcher

	mu     sync.Mutex // guards all below; taken before Dispatcher.mu
	nodes  map[string]*otherNode
	online map[string]int // how many nodes an identity of an account is connected to
	// unknown are rooms that nobody has heard of here, by key.
	unknown map[string]kaban.RoomName
}

// otherNode is what is known of another node.
type otherNode struct {
	number uint64        // of its last message
	heard  time.Duration // when that came, by Dispatcher.clock
	// whole is set if nothing is missing since the last snapshot.
	whole  bool
	there  whereabouts
	coming *whereabouts // of a snapshot that has begun; nil: none has
}

// whereabouts are who is on a node.
type whereabouts struct {
	rooms  map[string]*bus.Attendance // by key; only those with somebody in them
	online map[string]struct{}
	names  int // in rooms
}

func newWhereabouts() *whereabouts {
	return &whereabouts{rooms: make(map[string]*bus.Attendance), online: make(map[string]struct{})}
}

// put notes who is in a room. It reports whether it was taken.
func (w *whereabouts) put(a *bus.Attendance, maxRooms int) bool {
	key := a.Room.Key()
	if old := w.rooms[key]; old != nil {
		w.names -= len(old.Names)
		delete(w.rooms, key)
	}
	if a.Visitors == 0 && a.Named && len(a.Names) == 0 {
		return true
	}
	if len(w.rooms) >= maxRooms {
		return false
	}
	if w.names+len(a.Names) > maxThere {
		a.Named, a.Names = false, nil
	}
	w.rooms[key] = a
	w.names += len(a.Names)
	return true
}

// set notes whether an account is online.
func (w *whereabouts) set(o *bus.Online) {
	if !o.Online {
		delete(w.online, o.Identity)
	} else if len(w.online) < maxOnline {
		w.online[o.Identity] = struct{}{}
	}
}

// heard takes a message of another node. It reports whether a snapshot is to be asked for.
func (e *otherNodes) heard(m *bus.Presence, now time.Duration) (ask bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.nodeLocked(m.Node)
	if m.Number <= n.number {
		return false // late, or doubled
	}
	follows := m.Number == n.number+1
	n.number, n.heard = m.Number, now
	switch {
	case m.First:
		n.coming = newWhereabouts()
	case !follows:
		n.whole, n.coming = false, nil
		return true
	case n.coming == nil && !n.whole:
		return true
	}
	if n.coming == nil {
		e.changeLocked(m.Node, n, m)
		return false
	}
	for i := range m.Rooms {
		n.coming.put(&m.Rooms[i], e.dispatcher.options.MaxRooms)
	}
	for i := range m.Online {
		n.coming.set(&m.Online[i])
	}
	if m.Last {
		e.replaceLocked(m.Node, n, n.coming)
		n.whole, n.coming = true, nil
	}
	return false
}

// nodeLocked returns what is known of a node, which may be nothing.
func (e *otherNodes) nodeLocked(name string) *otherNode {
	if n := e.nodes[name]; n != nil {
		return n
	}
	if e.nodes == nil {
		e.nodes, e.online = make(map[string]*otherNode), make(map[string]int)
	}
	if len(e.nodes) >= maxNodes {
		oldest := ""
		for other, n := range e.nodes {
			if oldest == "" || n.heard < e.nodes[oldest].heard {
				oldest = other
			}
		}
		e.replaceLocked(oldest, e.nodes[oldest], newWhereabouts())
		delete(e.nodes, oldest)
	}
	n := &otherNode{there: *newWhereabouts()}
	e.nodes[name] = n
	return n
}

// changeLocked takes over changes.
func (e *otherNodes) changeLocked(node string, n *otherNode, m *bus.Presence) {
	for i := range m.Rooms {
		if a := &m.Rooms[i]; n.there.put(a, e.dispatcher.options.MaxRooms) {
			e.tellRoomLocked(node, a.Room, n.there.rooms[a.Room.Key()])
		}
	}
	for i := range m.Online {
		o := &m.Online[i]
		_, before := n.there.online[o.Identity]
		n.there.set(o)
		if _, now := n.there.online[o.Identity]; before != now {
			e.countLocked(o.Identity, now)
		}
	}
}

// countLocked notes that an identity of an account is online on one node more, or less.
func (e *otherNodes) countLocked(identity string, more bool) {
	if more {
		e.online[identity]++
	} else if e.online[identity]--; e.online[identity] <= 0 {
		delete(e.online, identity)
	}
}

// replaceLocked takes over a snapshot.
func (e *otherNodes) replaceLocked(node string, n *otherNode, now *whereabouts) {
	before := n.there
	n.there = *now
	for key, a := range before.rooms {
		if now.rooms[key] == nil {
			e.tellRoomLocked(node, a.Room, nil)
		}
	}
	for _, a := range now.rooms {
		e.tellRoomLocked(node, a.Room, a)
	}
	for identity := range before.online {
		e.countLocked(identity, false)
	}
	for identity := range now.online {
		e.countLocked(identity, true)
	}
}

// tellRoomLocked notes in a room who is there on a node; nil is nobody.
func (e *otherNodes) tellRoomLocked(node string, name kaban.RoomName, a *bus.Attendance) {
	d := e.dispatcher
	r := d.Peek(name)
	if r != nil && r.setThere(d, node, a) {
		d.forgetUnused(name)
	}
	if a != nil && (r == nil || d.Peek(name) != r) { // it was forgotten meanwhile
		e.waitLocked(name)
	}
}

// waitLocked has a room looked up that nobody has heard of here.
func (e *otherNodes) waitLocked(name kaban.RoomName) {
	if len(e.unknown) >= maxUnknown {
		return // the next snapshot names it again
	}
	if e.unknown == nil {
		e.unknown = make(map[string]kaban.RoomName)
	}
	e.unknown[name.Key()] = name
}

// waitAgain has rooms looked up later, those that somebody is still in.
func (e *otherNodes) waitAgain(rooms []kaban.RoomName) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, name := range rooms {
		for _, n := range e.nodes {
			if n.there.rooms[name.Key()] != nil {
				e.waitLocked(name)
				break
			}
		}
	}
}

// attach notes in a room that has just become known who is in it on other nodes.
func (e *otherNodes) attach(r *Room) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for node, n := range e.nodes {
		if a := n.there.rooms[r.name.Key()]; a != nil {
			r.setThere(e.dispatcher, node, a)
		}
	}
}

// forgetSilent forgets who is on nodes that have said nothing for maxSilence. Their numbers stay,
// so that nothing old is believed.
func (e *otherNodes) forgetSilent(now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, n := range e.nodes {
		if now-n.heard > maxSilence && (n.whole || n.coming != nil) {
			e.replaceLocked(name, n, newWhereabouts())
			n.whole, n.coming = false, nil
		}
	}
}

// takeUnknown returns rooms that other nodes have somebody in, and this one does not know.
func (e *otherNodes) takeUnknown() []kaban.RoomName {
	e.mu.Lock()
	defer e.mu.Unlock()
	rooms := slices.Collect(maps.Values(e.unknown))
	e.unknown = nil
	return rooms
}

// meetUnknown makes rooms known that somebody is in on another node. One that the store does not
// have has visitors only, and goes with the last of them. One that has become known meanwhile, because
// somebody has joined it here, learns who is there as well: to note it twice changes nothing. One that
// cannot be read holds none of the others up, and is tried again with the next comparison. The error is that of
// a store that does not answer, for any room.
func (p *peers) meetUnknown(ctx context.Context) error {
	rooms := p.others.takeUnknown()
	unreadable := make(map[string]bool)
	defer func() { p.unreadable = unreadable }()
	for i, name := range rooms {
		err := p.meet(ctx, name)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, store.ErrDamaged):
			p.others.waitAgain(rooms[i:])
			maps.Copy(unreadable, p.unreadable)
			return err
		case !p.unreadable[name.Key()]:
			p.dispatcher.options.Log.Error("cannot read a room that somebody is in on another node; it is tried again", "room", name, "err", err)
		}
		unreadable[name.Key()] = true
		p.others.waitAgain(rooms[i : i+1])
	}
	return nil
}

// meet is meetUnknown for one room.
func (p *peers) meet(ctx context.Context, name kaban.RoomName) error {
	d := p.dispatcher
	r, err := d.Lookup(ctx, name)
	if errors.Is(err, ErrNotFound) {
		r, err = d.addVisited(name), nil
	}
	if r != nil {
		p.others.attach(r)
		d.forgetUnused(name)
	}
	return err
}

// addVisited adds a room that has visitors on another node and no entry, or returns nil if it may
// not be made.
func (d *Dispatcher) addVisited(name kaban.RoomName) *Room {
	looks := name.Looks()
	d.mu.Lock()
	defer d.mu.Unlock()
	r, err := d.openLocked(store.Room{Name: name, Oldest: 1}, name, looks)
	if err != nil {
		return nil
	}
	return r
}

// IsOnlineElsewhere reports whether an identity of an account has a connection to another node.
func (d *Dispatcher) IsOnlineElsewhere(identity string) bool {
	if d.peers == nil {
		return false
	}
	e := &d.peers.others
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.online[identity] > 0
}

// OnlineElsewhere returns the identities of accounts that have a connection to another node.
func (d *Dispatcher) OnlineElsewhere() []string {
	if d.peers == nil {
		return nil
	}
	e := &d.peers.others
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.online))
}

// there is who is in a room on other nodes. It is guarded by Room.mu.
type there struct {
	nodes    map[string]*bus.Attendance
	visitors int
	names    map[string]attendance // on how many nodes a name is
}

// setThere notes who is in the room on a node; nil is nobody. It reports whether nobody is there
// any more.
func (r *Room) setThere(d *Dispatcher, node string, now *bus.Attendance) (none bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.there == nil {
		if now == nil {
			return true
		}
		r.there = &there{nodes: make(map[string]*bus.Attendance), names: make(map[string]attendance)}
	}
	before := r.there.nodes[node]
	if before != nil {
		r.countThereLocked(before, -1)
		delete(r.there.nodes, node)
	}
	if now != nil {
		r.countThereLocked(now, 1)
		r.there.nodes[node] = now
	}
	r.noteThereLocked(before, now)
	if len(r.there.nodes) == 0 {
		r.there = nil
	}
	if r.readers > 0 {
		d.presence.note(d, r)
	}
	return r.there == nil
}

func (r *Room) countThereLocked(a *bus.Attendance, change int32) {
	r.there.visitors += int(change) * a.Visitors
	for _, n := range a.Names {
		count := r.there.names[n.Name]
		if n.Account {
			count.accounts += change
		}
		if n.Visitor {
			count.visitors += change
		}
		if count == (attendance{}) {
			delete(r.there.names, n.Name)
		} else {
			r.there.names[n.Name] = count
		}
	}
}

// noteThereLocked notes which names have joined and left the room, as far as they are known: those
// that are nowhere else.
func (r *Room) noteThereLocked(before, now *bus.Attendance) {
	if r.readers == 0 || before != nil && !before.Named || now != nil && !now.Named {
		return
	}
	for _, name := range missingNames(before, now) {
		if !r.isHereLocked(name) && !r.isThereLocked(name) {
			r.left, r.joined = noteChange(r.left, r.joined, name)
		}
	}
	for _, name := range missingNames(now, before) {
		if !r.isHereLocked(name) && r.there.names[name].total() == 1 {
			r.joined, r.left = noteChange(r.joined, r.left, name)
		}
	}
}

// total returns the number of uses of a name.
func (a attendance) total() int32 { return max(a.accounts, a.visitors) }

// missingNames returns the names that are in one and not in another.
func missingNames(one, other *bus.Attendance) (names []string) {
	if one == nil {
		return nil
	}
	for _, n := range one.Names {
		if other == nil || !other.Has(n.Name) {
			names = append(names, n.Name)
		}
	}
	return names
}

func (r *Room) isHereLocked(name string) bool {
	if r.names == nil {
		return false
	}
	_, here := r.names.Get(name)
	return here
}

func (r *Room) isThereLocked(name string) bool {
	return r.there != nil && r.there.names[name] != attendance{}
}

// visitorsThereLocked returns the number of visitors on other nodes.
func (r *Room) visitorsThereLocked() int {
	if r.there == nil {
		return 0
	}
	return r.there.visitors
}

// hasVisitorThereLocked reports whether a visitor is in the room on another node.
func (r *Room) hasVisitorThereLocked(identity string) bool {
	if r.there == nil {
		return false
	}
	for name, n := range r.there.names {
		if parsed, err := kaban.ParseUsername(name); n.visitors > 0 && err == nil && kaban.Visitor(parsed).ID() == identity {
			return true
		}
	}
	return false
}

// addVisitorsThereLocked adds the visitors on other nodes to a page of names behind one; see Visitors.
func (r *Room) addVisitorsThereLocked(names []string, more bool, after string, limit int) ([]string, bool) {
	if r.there == nil {
		return names, more
	}
	for name, n := range r.there.names {
		if n.visitors > 0 && name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > limit {
		return names[:limit], true
	}
	return names, more
}

// heardTyping shows that somebody is typing on another node.
func (d *Dispatcher) heardTyping(m *bus.Typing) {
	r := d.Peek(m.Room)
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isUnreadLocked() {
		r.noteTypingLocked(d, typist{identity: m.Identity, name: m.Name})
	}
}

package dispatch

import (
	"sync"
	"time"

	"kaban"
	"kaban/internal/bus"
)

// Times of presence between nodes.
const (
	// beaconInterval is how often changes of who is here are told.
	beaconInterval = 250 * time.Millisecond
	// beatInterval is how often something is told at least. A node from which nothing has come for
	// maxSilence, three times as long, is taken for dead: whoever is there does not count.
	beatInterval = time.Second
	maxSilence   = 3 * beatInterval
	// snapshotPause is the time between two snapshots at least, however many ask for one.
	snapshotPause = time.Second
	// refreshInterval is how often a snapshot is told that nobody has asked for.
	refreshInterval = 10 * time.Second
)

// beacon gathers what has changed of who is on this node, for other nodes.
type beacon struct {
	mu     sync.Mutex                // guards all below; a leaf
	rooms  map[string]kaban.RoomName // by key
	online map[string]bool           // identities of accounts, as they are now
	asked  bool                      // somebody wants a snapshot

	// The rest belongs to the goroutine of the loop.
	number         uint64        // of the last message
	said, snapshot time.Duration // when the last of them were
}

// note notes that others have entered or left a room. The caller holds Room.mu.
func (b *beacon) note(r *Room) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rooms == nil {
		b.rooms = make(map[string]kaban.RoomName)
	}
	b.rooms[r.name.Key()] = r.name
}

func (b *beacon) noteOnline(identity string, online bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.online == nil {
		b.online = make(map[string]bool)
	}
	b.online[identity] = online
}

func (b *beacon) ask() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = true
}

// take returns what has changed since the last call.
func (b *beacon) take() (rooms map[string]kaban.RoomName, online map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	rooms, online = b.rooms, b.online
	b.rooms, b.online = nil, nil
	return rooms, online
}

// takeAsked reports whether a snapshot is due.
func (b *beacon) takeAsked(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := b.asked && now-b.snapshot >= snapshotPause || now-b.snapshot >= refreshInterval
	b.asked = b.asked && !due
	return due
}

// attended notes that others are in a room than before. The caller holds Room.mu.
func (d *Dispatcher) attended(r *Room) {
	if p := d.peers; p != nil {
		p.beacon.note(r)
	}
	d.presence.note(d, r)
}

// SetOnline sets what returns the identities of accounts that have a connection to this node, for
// other nodes. It is set before Connect, and NoteOnline called when one gets its first connection
// or loses its last.
func (d *Dispatcher) SetOnline(list func() []string) { d.online = list }

// NoteOnline tells other nodes, if there are any, whether an identity of an account has a
// connection to this one. It never waits.
func (d *Dispatcher) NoteOnline(identity string, online bool) {
	if p := d.peers; p != nil {
		p.beacon.noteOnline(identity, online)
	}
}

// presenceLoop tells others who is here, and forgets nodes that say nothing, until the dispatcher
// is closed.
func (p *peers) presenceLoop() {
	ticker := time.NewTicker(beaconInterval)
	defer ticker.Stop()
	p.beacon.snapshot = -refreshInterval // others know nothing of this node
	p.bus.Say(&bus.Ask{Epoch: p.dispatcher.Epoch()})
	for {
		select {
		case <-p.dispatcher.closing:
			return
		case <-ticker.C:
		}
		p.tellPresence(p.dispatcher.clock())
		p.others.forgetSilent(p.dispatcher.clock())
	}
}

// tellPresence tells what is due.
func (p *peers) tellPresence(now time.Duration) {
	b := &p.beacon
	changed, online := b.take()
	if b.takeAsked(now) {
		b.snapshot = now
		p.tellSnapshot(now)
		return
	}
	if len(changed)+len(online) == 0 && now-b.said < beatInterval {
		return
	}
	s := sayer{peers: p, now: now}
	for _, name := range changed {
		if r := p.dispatcher.Peek(name); r != nil {
			s.room(r.attendance())
		} else { // it is gone
			s.room(bus.Attendance{Room: name, Named: true})
		}
	}
	for identity, is := range online {
		s.online(bus.Online{Identity: identity, Online: is})
	}
	s.end(false)
}

// tellSnapshot tells everything.
func (p *peers) tellSnapshot(now time.Duration) {
	d := p.dispatcher
	s := sayer{peers: p, now: now}
	s.first = true
	for _, r := range d.InUse() {
		if a := r.attendance(); a.Visitors > 0 || !a.Named || len(a.Names) > 0 {
			s.room(a)
		}
	}
	if d.online != nil {
		for _, identity := range d.online() {
			s.online(bus.Online{Identity: identity, Online: true})
		}
	}
	s.end(true)
}

// sayer says what is one message, or several if it is too long.
type sayer struct {
	peers *peers
	now   time.Duration
	first bool
	size  int
	next  bus.Presence
}

// messageParts bounds the parts of a message, in bytes, besides its beginning.
const messageParts = bus.MaxMessage - 1<<10

func (s *sayer) room(a bus.Attendance) {
	s.reserve(a.Size())
	s.next.Rooms = append(s.next.Rooms, a)
}

func (s *sayer) online(o bus.Online) {
	s.reserve(o.Size())
	s.next.Online = append(s.next.Online, o)
}

// reserve says what there is if a part of a size does not fit any more.
func (s *sayer) reserve(size int) {
	if s.size+size > messageParts {
		s.say()
	}
	s.size += size
}

func (s *sayer) end(last bool) {
	s.next.Last = last
	s.say()
}

func (s *sayer) say() {
	b := &s.peers.beacon
	b.number++
	b.said = s.now
	s.next.Epoch, s.next.Node, s.next.Number, s.next.First = s.peers.dispatcher.Epoch(), s.peers.node, b.number, s.first
	s.peers.bus.Say(&s.next)
	s.next, s.size, s.first = bus.Presence{}, 0, false
}

// attendance returns who is in the room on this node.
func (r *Room) attendance() bus.Attendance {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := bus.Attendance{Room: r.name, Visitors: r.visitors, Named: true}
	if r.names == nil {
		return a
	}
	bytes := 0
	r.names.Scan(func(name string, n attendance) bool {
		bytes += len(name)
		if a.Named = len(a.Names) < bus.MaxNames && bytes <= bus.MaxNameBytes; a.Named {
			a.Names = append(a.Names, bus.Attendant{Name: name, Account: n.accounts > 0, Visitor: n.visitors > 0})
		}
		return a.Named
	})
	if !a.Named {
		a.Names = nil
	}
	return a
}

// sayTyping tells other nodes, if there are any, that somebody is typing in a room.
func (d *Dispatcher) sayTyping(room kaban.RoomName, user *kaban.Peer) {
	if p := d.peers; p != nil {
		p.bus.Say(&bus.Typing{Epoch: d.Epoch(), Room: room, Identity: user.ID(), Name: user.Name().String()})
	}
}

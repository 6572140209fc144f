package dispatch

import (
	"crypto/rand"

	"kaban"
	"kaban/internal/bus"
	"kaban/internal/store"
)

// maxAnnounced bounds the hints with entries about one room and batch. Of a batch that needs
// more, others read what is left from the store.
const maxAnnounced = 16

// peers are the other nodes: dispatchers over the same store, in other processes.
type peers struct {
	dispatcher *Dispatcher
	bus        bus.Bus
	timeline   func() uint64
	node       string // the incarnation of this one, a random text
	beacon     beacon
	others     otherNodes
	lost       chan struct{}    // hints may have been lost
	failing    bool             // the last comparison failed; logged
	unreadable map[string]bool  // unknown rooms that could not be read; logged
	resting    []kaban.RoomName // without readers, which have yet to be compared
}

// Connect has the dispatcher tell other nodes what it appends, after it is stored, and follow
// what they say. timeline returns that of the database; nil stands for 0. It is called before the first
// send. The caller closes the bus before the dispatcher. Connect returns the errors of
// bus.Bus.Subscribe.
//
// A hint of this epoch and timeline whose entries follow the head is published as it is; what
// it has already is skipped; and where entries are missing, and for any other epoch, the store
// is asked. So hints may be late, doubled, lost or out of order. But their entries are
// believed: the bus gives the dispatcher only hints of nodes.
//
// Each second, and when hints may have been lost, the heads and revisions of rooms with readers
// are compared with those of the store; and those of rooms without, where SetOnGrown was called, in turns.
func (d *Dispatcher) Connect(b bus.Bus, timeline func() uint64) error {
	if timeline == nil {
		timeline = func() uint64 { return 0 }
	}
	p := &peers{dispatcher: d, bus: b, timeline: timeline, node: rand.Text(), lost: make(chan struct{}, 1)}
	p.others.dispatcher = d
	d.peers = p
	if err := b.Subscribe(p); err != nil {
		return err
	}
	d.group.Go(p.compareLoop)
	d.group.Go(p.presenceLoop)
	return nil
}

// Hint implements bus.Receiver.
func (p *peers) Hint(h *bus.Hint) {
	d := p.dispatcher
	d.counts.heard.Add(1)
	if h.Epoch != d.Epoch() || h.Timeline != p.timeline() {
		d.counts.foreign.Add(1)
		d.putHint(hint{room: h.Room, ask: true}) // its numbers mean nothing here
		return
	}
	r := d.Peek(h.Room)
	revised := r != nil && !r.isUnread() && (h.Revision > r.Revision() || mayRevise(h.Entries))
	if r != nil && !r.noteHint(h.Head) && !revised {
		if h.Head > r.Head() {
			d.grown(h.Room, h.Head)
		}
		return
	}
	d.putHint(hint{room: h.Room, seq: h.Head, entries: h.Entries, ask: revised})
}

// Lost implements bus.Receiver.
func (p *peers) Lost(bus.Loss) {
	if p.dispatcher.onNews != nil {
		p.dispatcher.onNews()
	}
	p.bus.Say(&bus.Ask{Epoch: p.dispatcher.Epoch()})
	select {
	case p.lost <- struct{}{}:
	default: // a comparison is about to begin
	}
}

// announceRights tells the other nodes that the rights in a room have changed.
func (p *peers) announceRights(r *Room) {
	p.bus.Publish(&bus.Hint{Epoch: p.dispatcher.Epoch(), Timeline: p.timeline(), Room: r.name, Head: r.Head(), Revision: r.Revision()})
}

// announce tells the other nodes that a room has grown. It never waits.
func (p *peers) announce(g *grownRoom) {
	h := bus.Hint{Epoch: p.dispatcher.Epoch(), Timeline: p.timeline(), Room: g.name}
	if r := p.dispatcher.Peek(g.name); r != nil {
		h.Revision = r.Revision()
	}
	rest := g.entries
	for range maxAnnounced {
		h.Entries, rest = firstRun(rest)
		if len(rest) == 0 {
			break
		}
		h.Head = h.Entries[len(h.Entries)-1].Seq
		p.bus.Publish(&h)
	}
	if len(rest) > 0 {
		h.Entries = nil
	}
	h.Head = g.head
	p.bus.Publish(&h)
}

// firstRun splits entries behind those that fit into one hint: they are consecutive, and at
// least one, if there is any.
func firstRun(entries []store.Entry) (run, rest []store.Entry) {
	size := 0
	for i := range entries {
		size += bus.EntrySize(&entries[i])
		if i > 0 && (i == bus.MaxEntries || size > bus.MaxEntryBytes || entries[i].Seq != entries[i-1].Seq+1) {
			return entries[:i], entries[i:]
		}
	}
	return entries, nil
}

package dispatch

import (
	"kaban"
	"kaban/internal/bus"
)

// This file is what nodes tell each other of documents. It says that there is something, and
// the store what it is.

// Appearance is what the documents say of a room that another node has made.
type Appearance struct {
	Unlisted bool // it is not for Rooms
	Accounts int  // see SetAccounts
	Turnover uint64
}

// SetOnFound sets what says how a room is to be kept that the store was found to have, because
// another node has made it. It may ask the store, and any goroutine may call it. It is set before
// the first send.
func (d *Dispatcher) SetOnFound(call func(name kaban.RoomName) Appearance) { d.onFound = call }

// found returns what the documents say of a room.
func (d *Dispatcher) found(name kaban.RoomName) Appearance {
	if d.onFound == nil {
		return Appearance{}
	}
	return d.onFound(name)
}

// SetOnNews sets a function that is called when another node says that it has changed documents,
// or may have said so. It must not block. It is set before Connect.
func (d *Dispatcher) SetOnNews(call func()) { d.onNews = call }

// AnnounceNews tells the other nodes, if there are any, that this one has changed documents. It
// never waits.
func (d *Dispatcher) AnnounceNews() {
	if p := d.peers; p != nil {
		p.bus.Say(&bus.News{Epoch: d.Epoch()})
	}
}

// SetOnMentioned sets a function that is called when another node says that a message mentions
// accounts, or does not any more: all members, or some of them. It must not block. It is set
// before Connect.
func (d *Dispatcher) SetOnMentioned(call func(room kaban.RoomName, everyone bool, accounts []string)) {
	d.onMentioned = call
}

// AnnounceMentioned tells the other nodes, if there are any, whom a message mentions, or does not
// any more. It never waits.
func (d *Dispatcher) AnnounceMentioned(room kaban.RoomName, everyone bool, accounts []string) {
	p := d.peers
	if p == nil || !everyone && len(accounts) == 0 {
		return
	}
	if everyone = everyone || len(accounts) > bus.MaxAccounts; everyone {
		accounts = nil
	}
	p.bus.Say(&bus.Mention{Epoch: d.Epoch(), Room: room, Everyone: everyone, Accounts: accounts})
}

// Said implements bus.Receiver.
func (p *peers) Said(m bus.Message) {
	d := p.dispatcher
	d.counts.heard.Add(1)
	switch m := m.(type) {
	case *bus.News:
		p.toldNews(m.Epoch)
	case *bus.Mention:
		if d.onMentioned != nil && p.isOwn(m.Epoch) {
			d.onMentioned(m.Room, m.Everyone, m.Accounts)
		}
	case *bus.Presence:
		if p.isOwn(m.Epoch) && p.others.heard(m, d.clock()) {
			p.bus.Say(&bus.Ask{Epoch: d.Epoch()})
		}
	case *bus.Ask:
		if p.isOwn(m.Epoch) {
			p.beacon.ask()
		}
	case *bus.Typing:
		if p.isOwn(m.Epoch) {
			d.heardTyping(m)
		}
	}
}

// isOwn reports whether a message is about the epoch of this node. Others are counted.
func (p *peers) isOwn(epoch string) bool {
	own := epoch == p.dispatcher.Epoch()
	if !own {
		p.dispatcher.counts.foreign.Add(1)
	}
	return own
}

// toldNews passes on that there are news, or may be. The store is asked whatever the epoch is.
func (p *peers) toldNews(epoch string) {
	p.isOwn(epoch)
	if p.dispatcher.onNews != nil {
		p.dispatcher.onNews()
	}
}

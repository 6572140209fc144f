package tui

import (
	"context"
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban/internal/display"
	"kaban/wire"
)

// The inbox is a listing of unread mentions, and of the rooms with what is new below them.

// mentionsEvent has a page of unread mentions, newest first.
type mentionsEvent struct {
	number uint64
	hits   []wire.Hit
	next   uint64 // of the next page; 0 if there is none
	err    error
}

// inbox asks for a page of unread mentions; 0 is the newest.
func (s *Session) inbox(number, before uint64) {
	s.ask(func(ctx context.Context) {
		e := mentionsEvent{number: number}
		page, err := s.client.Inbox(ctx, before, hitsPerPage)
		for _, m := range page.Mentions {
			e.hits = append(e.hits, wire.Hit{Room: m.Room, Seq: m.Seq, Username: m.Username, Time: m.Time, Snippet: m.Content, Files: m.Files})
		}
		e.next, e.err = page.Next, err
		s.put(e)
	})
}

// openInbox is /inbox.
func (m *Model) openInbox(string) tea.Cmd {
	m.closeSearch()
	m.mode, m.listing = listingHits, listing{catching: true, title: "inbox", query: draft{column: -1}}
	for _, r := range m.rooms {
		if m.news(r) > 0 && r != m.active {
			m.listing.rooms = append(m.listing.rooms, r.name)
		}
	}
	m.lookFurther()
	return nil
}

func (m *Model) takeMentions(e mentionsEvent) {
	l := &m.listing
	if m.mode != listingHits || e.number != l.number {
		return
	}
	l.loading = false
	if e.err != nil {
		l.fault = reasonOf(e.err)
		return
	}
	before := len(l.hits)
	l.hits = append(l.hits, e.hits...)
	if l.at >= before && before > 0 { // a room is chosen
		l.at += len(e.hits)
	}
	l.fault, l.next = "", e.next
	l.more = e.next > 0 && len(l.hits) < maxHits
}

// pressInbox handles a key in the inbox. It reports whether the key was one of its own.
func (m *Model) pressInbox(stroke string) bool {
	l := &m.listing
	switch stroke {
	case "r", "space", " ":
		m.readChosen()
	case "enter":
		if l.fault != "" {
			l.fault = ""
			m.lookFurther()
			return true
		}
		if l.at < len(l.hits) || l.at >= l.total() {
			return false
		}
		m.mode = chatting
		m.open(l.rooms[l.at-len(l.hits)])
		if m.active.marked {
			m.toUnread()
		}
	default:
		return false
	}
	return true
}

// readChosen marks what is chosen as read: a room, or a room up to a mention. It goes on with
// the next.
func (m *Model) readChosen() {
	l := &m.listing
	if l.at >= l.total() {
		return
	}
	var room string
	var seq uint64
	if l.at < len(l.hits) {
		room, seq = l.hits[l.at].Room, l.hits[l.at].Seq
	} else {
		room = l.rooms[l.at-len(l.hits)]
		seq = m.room(room).head
	}
	above := 0
	l.hits = slices.DeleteFunc(l.hits, func(h wire.Hit) bool { return h.Room == room && h.Seq <= seq })
	r := m.room(room)
	if r != nil {
		above = r.mention
		r.read = max(r.read, min(seq, r.head))
		if r.passUnknown(); r.read >= r.head {
			r.mention, r.marked = 0, false
		} else {
			r.mention = max(above-1, 0)
		}
		if seq >= r.flag {
			r.flag = 0
		}
		r.reported = max(r.reported, r.read)
	}
	m.backend.markRead(room, seq)
	l.rooms = slices.DeleteFunc(l.rooms, func(name string) bool {
		other := m.room(name)
		return other == nil || m.news(other) == 0
	})
	l.at = max(min(l.at, l.total()-1), 0)
}

// roomLines is a room with what is new, in the inbox.
func (m *Model) roomLines(name string, chosen bool, width int) []line {
	base, marker := look{}, "  "
	if chosen {
		base, marker = look{role: roleChoice, attrs: bold}, "▸ "
	}
	l := line{
		{text: marker, look: base},
		{text: m.meter.clean(m.labelOf(name)), look: look{role: roleAccent, attrs: bold}},
		{text: "  " + short(m.news(m.room(name))) + " new"},
	}
	return m.meter.wrap(l, width, 4)
}

// inboxStatus describes the inbox and its keys.
func (m *Model) inboxStatus() string {
	l := &m.listing
	switch {
	case l.fault != "":
		return l.fault + "; Enter tries again; Esc closes"
	case l.loading && l.total() == 0:
		return "asking for your mentions …; Esc closes"
	case l.total() == 0:
		return "nothing is unread; Esc closes"
	}
	var has []string
	if n := len(l.hits); n > 0 {
		more := ""
		if l.more {
			more = " and more"
		}
		has = append(has, display.Count(n, "mention")+more)
	}
	if n := len(l.rooms); n > 0 {
		has = append(has, fmt.Sprintf("%s with news", display.Count(n, "room")))
	}
	return strings.Join(has, ", ") + "; r reads and goes on, Enter opens, Esc closes"
}

// inboxKey opens the inbox, if the person has one.
func (m *Model) inboxKey() tea.Cmd {
	if !m.may(accounts) {
		m.complain(accounts.whose())
		return nil
	}
	return m.openInbox("")
}

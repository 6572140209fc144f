package tui

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client"
	"kaban/internal/attention"
	"kaban/internal/display"
	"kaban/wire"
)

// listing is a list of messages that are somewhere: what a search of all rooms has found, or
// the pins of a room. It is shown in the place of the conversation.
type listing struct {
	room string // of pins; "" for a search
	// catching means that it is the inbox: hits are mentions, and rooms with what is new
	// follow them.
	catching bool
	rooms    []string
	title    string
	query    draft  // of a search
	asked    string // the query that the hits are of; "" before the first
	hits     []wire.Hit
	at       int // the hit that is chosen

	number  uint64 // of the request; others are over
	loading bool
	more    bool
	next    uint64
	partial bool
	fault   string
}

// total is the number of rows.
func (l *listing) total() int { return len(l.hits) + len(l.rooms) }

// isFixed reports whether nothing can be typed.
func (l *listing) isFixed() bool { return l.room != "" || l.catching }

// hitsPerPage is how many hits are asked for at once.
const hitsPerPage = 50

// maxHits bounds the hits that are kept.
const maxHits = 2000

// lookup asks for messages of all rooms, or of one.
type lookup struct {
	number      uint64 // comes back with the foundEvent
	query, room string
	before      uint64 // 0 for the newest
}

// foundEvent has what a lookup found.
type foundEvent struct {
	number uint64
	found  client.Hits
	err    error
}

func (s *Session) lookUp(q lookup) {
	s.ask(func(ctx context.Context) {
		found, err := s.client.Search(ctx, client.Search{
			Query: q.query, Room: q.room, Before: q.before, HasBefore: q.before > 0, Limit: hitsPerPage, Zone: s.options.Zone,
		})
		s.put(foundEvent{number: q.number, found: found, err: err})
	})
}

// searchAll is /search: it looks in all rooms.
func (m *Model) searchAll(query string) tea.Cmd {
	m.closeSearch()
	m.mode, m.listing = listingHits, listing{title: "search of all rooms", query: draft{column: -1}}
	m.listing.query.set(strings.TrimSpace(query))
	m.lookAgain()
	return nil
}

// listPins is /pins.
func (m *Model) listPins(string) tea.Cmd {
	r := m.active
	if r == nil {
		m.complain("no room is open; /join ROOM")
		return nil
	}
	m.mode, m.listing = listingHits, listing{room: r.name, title: "pinned in " + m.labelOf(r.name), query: draft{column: -1}}
	m.listing.query.set("is:pinned")
	m.lookAgain()
	return nil
}

// lookAgain asks for the newest hits of the query.
func (m *Model) lookAgain() {
	l := &m.listing
	l.asked = strings.TrimSpace(l.query.text)
	l.hits, l.at, l.more, l.next, l.partial, l.fault = nil, 0, false, 0, false, ""
	if l.asked != "" {
		m.lookFurther()
	}
}

// lookFurther asks for the next page of hits.
func (m *Model) lookFurther() {
	l := &m.listing
	m.searches++
	if l.number, l.loading = m.searches, true; l.catching {
		m.backend.inbox(l.number, l.next)
		return
	}
	m.backend.lookUp(lookup{number: l.number, query: l.asked, room: l.room, before: l.next})
}

func (m *Model) takeFound(e foundEvent) {
	l := &m.listing
	if m.mode != listingHits || e.number != l.number {
		return
	}
	l.loading = false
	if e.err != nil {
		l.fault = reasonOf(e.err)
		return
	}
	l.fault = ""
	l.hits = append(l.hits, e.found.Hits...)
	l.more, l.next, l.partial = e.found.More && len(l.hits) < maxHits, e.found.Next, e.found.Partial
}

func (m *Model) pressListing(stroke, text string) tea.Cmd {
	l := &m.listing
	if l.catching && m.pressInbox(stroke) {
		return nil
	}
	switch stroke {
	case "esc", "ctrl+c":
		m.mode = chatting
	case "up", "ctrl+p":
		l.at = max(l.at-1, 0)
	case "down", "ctrl+n":
		m.moveListing(1)
	case "enter":
		switch {
		case strings.TrimSpace(l.query.text) != l.asked || l.fault != "":
			m.lookAgain()
		case l.at < len(l.hits):
			m.mode = chatting
			m.jump(l.hits[l.at].Room, l.hits[l.at].Seq)
		}
	default:
		switch m.bindings.action(stroke) {
		case "page_up":
			l.at = max(l.at-m.page()/2, 0)
		case "page_down":
			m.moveListing(m.page() / 2)
		case "search": // back to that of the room
			if !l.isFixed() {
				m.mode = chatting
				m.openSearch()
			}
		default:
			if !l.isFixed() {
				m.pressLine(stroke, text)
			}
		}
	}
	return nil
}

// moveListing chooses a hit further down, and asks for more near the end.
func (m *Model) moveListing(by int) {
	l := &m.listing
	l.at = max(min(l.at+by, l.total()-1), 0)
	if l.more && !l.loading && l.at >= len(l.hits)-hitsPerPage/2 {
		m.lookFurther()
	}
}

// jump opens a room at a message, and selects that.
func (m *Model) jump(room string, seq uint64) {
	m.open(room)
	r := m.room(room)
	m.closeThread()
	if r.target = seq; r.joined {
		m.goToTarget(r)
	}
}

// goToTarget shows the message to which a room is to be opened.
func (m *Model) goToTarget(r *room) {
	if r.message(r.target) == nil {
		m.around(r, r.target)
		return
	}
	seq := r.target
	r.target = 0
	k := r.search(seq)
	m.reveal(r, k)
	if i := r.message(seq); r == m.active && m.thread == nil && m.mode == chatting && m.isTarget(i) {
		m.mode, m.selected = selecting, seq
	}
}

// arriveAtTarget takes the page that was loaded for a target.
func (m *Model) arriveAtTarget(r *room, p page) {
	if r.target == 0 || p.Target != r.target {
		return
	}
	if r.message(r.target) != nil {
		m.goToTarget(r)
		return
	}
	r.target = 0
	if r == m.active {
		m.hint = "the message is not there any more"
	}
}

// listingView shows the hits.
func (m *Model) listingView(width, height int) []line {
	l := &m.listing
	if l.total() == 0 {
		text := ""
		switch {
		case l.loading:
			text = "searching …"
		case l.fault != "":
		case l.catching:
			text = "nothing is unread"
		case l.asked == "":
		case l.room != "":
			text = "nothing is pinned here"
		default:
			text = "nothing is found"
		}
		rows := m.aside(text, width, height)
		return append(rows, make([]line, height-len(rows))...)
	}
	var rows []line
	first := 0 // the first line of the chosen hit
	last := 0
	from := max(0, l.at-height) // each takes a line at least
	for n := from; n < l.total() && (n <= l.at || len(rows) < height+last); n++ {
		if n == l.at {
			first = len(rows)
		}
		if n < len(l.hits) {
			rows = append(rows, m.hitLines(&l.hits[n], n == l.at, width)...)
		} else {
			rows = append(rows, m.roomLines(l.rooms[n-len(l.hits)], n == l.at, width)...)
		}
		if n == l.at {
			last = len(rows)
		}
	}
	begin := max(0, min(first, last-height))
	rows = rows[begin:min(len(rows), begin+height)]
	return append(rows, make([]line, height-len(rows))...)
}

// maxHitLines is how many lines a hit takes.
const maxHitLines = 4

// hitLines are the lines of a hit.
func (m *Model) hitLines(h *wire.Hit, chosen bool, width int) []line {
	base, marker := look{}, "  "
	if chosen {
		base, marker = look{role: roleChoice, attrs: bold}, "▸ "
	}
	where := m.meter.clean(m.labelOf(h.Room)) + "  "
	if m.listing.room != "" {
		where = ""
	}
	head := line{
		{text: marker, look: base},
		{text: m.when(h.Time) + "  ", look: look{role: roleDim}},
		{text: where, look: look{role: roleAccent}},
		{text: m.meter.clean(authorOf(h.Username, h.Bot)), look: m.looks.of(h.Username).with(bold)},
		{text: ": "},
	}
	lines := m.meter.wrap(append(head, m.snippet(h)...), width, 4)
	if len(lines) > maxHitLines {
		lines = lines[:maxHitLines]
		end := &lines[maxHitLines-1]
		*end = m.meter.cutLine(append(slices.Clone(*end), span{text: " …"}), width)
	}
	return lines
}

// when is the date and time of a message in a list.
func (m *Model) when(t time.Time) string {
	t = m.local(t)
	if t.Year() == m.local(m.now()).Year() {
		return t.Format("_2 Jan 15:04")
	}
	return t.Format("2006-01-02")
}

// snippet returns the text of a hit with what was found marked, and its files.
func (m *Model) snippet(h *wire.Hit) (l line) {
	text := []rune(strings.NewReplacer("\n", " ", "\t", " ").Replace(h.Snippet))
	add := func(to int, at look, from int) {
		if from < to {
			l = append(l, span{text: m.meter.clean(string(text[from:to])), look: at})
		}
	}
	at := 0
	for _, mark := range h.Marks {
		begin := min(max(mark.Start, at), len(text))
		end := min(max(mark.Start+mark.Length, begin), len(text))
		add(begin, look{}, at)
		add(end, look{role: roleMatch, attrs: bold | underlined}, begin)
		at = end
	}
	add(len(text), look{}, at)
	if files := display.WithFiles("", h.Files); files != "" {
		if len(l) > 0 {
			l = append(l, span{text: " "})
		}
		l = append(l, span{text: m.meter.clean(files), look: look{role: roleDim}})
	}
	return l
}

// listingStatus describes the list and its keys.
func (m *Model) listingStatus() string {
	l := &m.listing
	if l.catching {
		return m.inboxStatus()
	}
	closes := "; Esc closes"
	switch {
	case strings.TrimSpace(l.query.text) != l.asked:
		return "Enter searches all rooms: words, word*, \"two words\", from:NAME, in:ROOM, before:DATE, has:link, has:file, is:pinned, -word" + closes
	case l.asked == "":
		return "type what to look for" + closes
	case l.fault != "":
		return l.fault + "; Enter tries again" + closes
	case l.loading:
		return "searching …" + closes
	case len(l.hits) == 0 && l.partial:
		return "nothing found yet: the server is still indexing the newest messages; try again in a moment" + closes
	case len(l.hits) == 0:
		return strings.TrimPrefix(closes, "; ")
	}
	text := fmt.Sprintf("%d of %d", l.at+1, len(l.hits))
	if l.more {
		text += " and more"
	}
	if l.partial {
		text += ", perhaps not all"
	}
	opens := "; Enter opens"
	if m.room(l.hits[l.at].Room) == nil {
		opens = "; Enter joins " + m.labelOf(l.hits[l.at].Room) + " and opens"
	}
	return text + opens + closes
}

// markUnread marks the open room as unread from a message on.
func (m *Model) markUnread(i *item) {
	r := m.active
	if _, ok := m.states[r.name]; !ok {
		m.complain(accounts.whose())
		return
	}
	r.flag = i.seq
	m.hint = "unread from here, until you come back to the room"
	m.backend.markUnread(r.name, i.seq)
}

func (s *Session) markUnread(room string, seq uint64) {
	s.ask(func(ctx context.Context) {
		if err := s.client.MarkUnread(ctx, room, seq); err != nil {
			s.put(noticeEvent{room: room, err: err})
		}
	})
}

// comeBack goes to the message from which a room was marked as unread, and takes the mark
// back.
func (m *Model) comeBack(r *room) {
	if r.flag == 0 || !r.joined {
		return
	}
	r.mark, r.marked = r.flag-1, r.flag <= r.head
	r.flag = 0
	m.backend.markRead(r.name, max(r.read, r.reported))
	if r.marked {
		m.toUnread()
	}
}

// level returns which messages of a room notify the person.
func (m *Model) level(r *room) kaban.NotifyLevel {
	return cmp.Or(m.states[r.name].Notify, kaban.NotifyMentions)
}

// isQuietRoom reports whether what is new in a room is not shown, unless it mentions the
// person.
func (m *Model) isQuietRoom(r *room) bool { return m.level(r) == kaban.NotifyNone }

// news returns the number of unread messages of a room that are shown.
func (m *Model) news(r *room) uint64 {
	if m.isQuietRoom(r) && r.flag == 0 {
		return 0
	}
	return r.unread()
}

// rings reports whether a message notifies the person as soon as it is there, as far as the
// room's level says. If the server counts mentions, they do when it has.
func (m *Model) rings(r *room, i *item) bool {
	switch m.level(r) {
	case kaban.NotifyNone:
		return false
	case kaban.NotifyAll:
		return !i.own
	}
	if !i.own && attention.HasKeyword(i.content, m.notifications.Keywords) {
		return true
	}
	return i.mention && !m.serverCounts(r)
}

package tui

import (
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban/internal/display"
)

// finder is the search in a room. Loaded messages are searched with each key. For
// the rest the session scans the log, and the room loads the page of a match.
type finder struct {
	query draft
	found uint64 // the seq of the shown match, 0 for none
	// looking is the direction of the scan, 0 while there is none.
	looking int
	number  uint64 // of that scan; others are over
	looked  scanEvent
	// end is the direction without further matches, 0 for none.
	end   int
	fault string // why the scan failed
}

// scan is a search of messages that are not loaded.
type scan struct {
	number    uint64 // comes back with its events
	query     string // folded
	ignored   []string
	direction int    // -1 for older messages, 1 for newer ones
	from      uint64 // start next to this seq
	scanned   int    // messages of earlier scans
}

// scanEvent reports the progress of a scan. The last one has done, found or err.
type scanEvent struct {
	room    string
	number  uint64
	found   uint64    // the seq of the first match
	scanned int       // messages so far
	at      uint64    // the seq of the last of them
	time    time.Time // and its time
	done    bool      // nothing is left in that direction
	err     error
}

// query returns the search text, folded, or "".
func (m *Model) query() string {
	if m.mode != searching {
		return ""
	}
	return fold(m.finder.query.text)
}

func (m *Model) openSearch() tea.Cmd {
	if m.closeThread(); m.active != nil {
		m.mode, m.finder = searching, finder{query: draft{column: -1}}
	}
	return nil
}

// closeSearch ends the search, if there is one.
func (m *Model) closeSearch() {
	if m.mode == searching {
		m.stopLooking()
		m.mode = chatting
	}
}

// stopLooking ends the scan.
func (m *Model) stopLooking() {
	if m.finder.looking != 0 {
		m.finder.looking = 0
		m.backend.stopSearch()
	}
}

func (m *Model) pressSearch(stroke, text string) tea.Cmd {
	before := m.finder.query.text
	switch stroke {
	case "esc", "ctrl+c":
		if m.finder.looking != 0 {
			m.stopLooking()
			return nil
		}
		m.closeSearch()
	case "enter", "up", "ctrl+p":
		m.find(-1, true)
	case "down", "ctrl+n":
		m.find(1, true)
	default:
		switch m.bindings.action(stroke) {
		case "page_up", "page_down", "line_up", "line_down":
			return m.bindings[stroke].do(m)
		case "search": // on to all rooms
			return m.searchAll(m.finder.query.text)
		case "select":
			return m.openSelection()
		}
		m.pressLine(stroke, text)
	}
	if m.finder.query.text != before {
		m.stopLooking()
		m.finder = finder{query: m.finder.query}
		m.find(-1, false)
	}
	return nil
}

// find goes to the next match above (-1) or below (1). If no loaded message
// matches and deeper is set, it starts a scan.
func (m *Model) find(direction int, deeper bool) {
	f, r, query := &m.finder, m.active, m.query()
	if query == "" || f.looking == direction {
		return
	}
	m.stopLooking()
	if f.found == 0 && r.attached { // nothing is newer
		direction = -1
	}
	k := len(r.items)
	if f.found > 0 {
		if k = r.search(f.found); direction > 0 {
			k = r.search(f.found+1) - 1
		}
	}
	for k += direction; k >= 0 && k < len(r.items); k += direction {
		if r.items[k].matches(query) && !m.ignores(r.items[k]) {
			*f = finder{query: f.query, found: r.items[k].seq}
			m.reveal(r, k)
			return
		}
	}
	if deeper {
		m.lookOn(r, query, direction)
	}
}

// lookOn scans the messages that are not loaded.
func (m *Model) lookOn(r *room, query string, direction int) {
	f := &m.finder
	from := r.last()
	if direction < 0 {
		if from = r.first(); from == 0 {
			from = r.head + 1
		}
	}
	if direction < 0 && (r.complete || from <= 1) || direction > 0 && r.attached {
		f.end, f.fault = direction, ""
		return
	}
	if at := f.looked.at; at > 0 && (direction < 0) == (at < from) { // continues where it was stopped
		from = at
	} else {
		f.looked = scanEvent{}
	}
	m.searches++
	f.looking, f.number, f.end, f.fault = direction, m.searches, 0, ""
	m.backend.search(r.name, scan{number: f.number, query: query, ignored: slices.Clone(m.config.Ignore), direction: direction, from: from, scanned: f.looked.scanned})
}

// takeScan takes the progress of a scan.
func (m *Model) takeScan(e scanEvent) {
	f := &m.finder
	if m.mode != searching || m.active == nil || e.room != m.active.name || f.looking == 0 || e.number != f.number {
		return
	}
	switch {
	case e.err != nil:
		f.looking, f.fault = 0, reasonOf(e.err)
	case e.found > 0: // and is looking until that is shown
		f.found = e.found
		m.around(m.active, e.found)
	case e.done:
		f.end, f.looking = f.looking, 0
	default:
		f.looked = e
	}
}

// showFound shows the match on a page that was loaded for it.
func (m *Model) showFound(e pageEvent) {
	f := &m.finder
	if m.mode != searching || e.page.Target == 0 || e.page.Target != f.found {
		return
	}
	f.looking, f.looked = 0, scanEvent{}
	if e.err != nil {
		f.fault = reasonOf(e.err)
		return
	}
	if k := m.active.search(f.found); k < len(m.active.items) {
		m.reveal(m.active, k)
	}
}

// reveal scrolls so that an item is in the middle of the screen.
func (m *Model) reveal(r *room, k int) {
	width, height := m.conversationSize()
	above := max(0, (height-len(m.block(r, k, width)))/2)
	at := 0
	for above > 0 && k > 0 {
		k--
		lines := len(m.block(r, k, width))
		if lines > above {
			at = lines - above
			break
		}
		above -= lines
	}
	m.show(r, k, at, width, height)
}

// finderStatus describes the state of the search.
func (m *Model) finderStatus() string {
	f, r, query := &m.finder, m.active, m.query()
	if query == "" {
		return "type a search text; Enter finds older messages, " + m.keyOf("search") + " searches all rooms, Esc closes"
	}
	total, nth := 0, 0
	foundAt := time.Time{}
	for k := len(r.items) - 1; k >= 0; k-- {
		i := r.items[k]
		if f.found > 0 && i.seq == f.found && i.kind == itemMessage {
			foundAt = i.time
		}
		if i.matches(query) && !m.ignores(i) {
			total++
			if f.found > 0 && i.seq >= f.found {
				nth = total
			}
		}
	}
	all := r.complete && r.attached
	moment := func(t time.Time) string { return m.local(t).Format("2 Jan 2006 15:04") }
	switch {
	case f.looking != 0:
		where := map[int]string{-1: "back", 1: "forward"}[f.looking]
		if f.looked.scanned == 0 {
			return "searching further " + where + " …; Esc stops"
		}
		return fmt.Sprintf("searching %s: %s, to %s …; Esc stops", where, display.Count(f.looked.scanned, "message"), moment(f.looked.time))
	case f.fault != "":
		return "the search was interrupted: " + f.fault + "; Enter continues, Esc closes"
	case f.end < 0 && f.found > 0:
		return "no more matches before " + moment(foundAt) + "; Down newer, Esc closes"
	case f.end > 0 && f.found > 0:
		return "no more matches after " + moment(foundAt) + "; Enter older, Esc closes"
	case f.found == 0 && (all || f.end < 0 && r.attached || f.end > 0):
		return "not found in this room; " + m.keyOf("search") + " searches all rooms, Esc closes"
	case f.found == 0 && f.end < 0:
		return "not found before " + moment(r.items[len(r.items)-1].time) + "; Down searches forward, Esc closes"
	case f.found == 0 && f.looked.scanned > 0:
		return fmt.Sprintf("not found back to %s; Enter continues, Esc closes", moment(f.looked.time))
	case f.found == 0 && total == 0:
		return "not found in the loaded messages; Enter searches further back, Esc closes"
	}
	found, where := fmt.Sprintf("%d of %d", nth, total), " in the loaded messages"
	if nth == 0 { // the found message is newer
		found = fmt.Sprintf("%d found", total)
	}
	if all {
		where = ""
	}
	return found + where + "; Enter older, Down newer, Esc closes"
}

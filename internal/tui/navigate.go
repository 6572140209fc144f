package tui

import (
	"fmt"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
)

// look marks as read what the person sees.
func (m *Model) look() {
	if m.sees(m.active) {
		m.active.see()
	}
}

// sees reports whether the person sees what is new in a room.
func (m *Model) sees(r *room) bool {
	return r != nil && r == m.active && m.thread == nil && r.following && m.focused
}

// room returns the room that was joined under a name, or nil.
func (m *Model) room(name string) *room {
	for _, r := range m.rooms {
		if r.name == name {
			return r
		}
	}
	return nil
}

// open goes to a room, joining it if necessary.
func (m *Model) open(name string) {
	r := m.room(name)
	if r == nil {
		r = m.addRoom(name)
	} else if r.failed != "" {
		r.failed = ""
		m.backend.join(name)
	}
	m.enter(r)
}

// addRoom joins a room without going there.
func (m *Model) addRoom(name string) *room {
	r := newRoom(name)
	r.draft.column = -1
	m.rooms = append(m.rooms, r)
	m.backend.join(name)
	return r
}

// enter goes to a room.
func (m *Model) enter(r *room) {
	if old := m.active; old != nil && old != r {
		if old.unread() == 0 {
			old.marked = false
		}
		m.previous = old
	}
	if m.active != r {
		m.closeThread()
		m.closeSearch()
		if m.mode == selecting || m.mode == reacting {
			m.mode = chatting
		}
	}
	came := m.active != r
	m.active = r
	m.completing = completing{}
	m.look()
	if came && r.target == 0 {
		m.comeBack(r)
	}
}

// remove drops a room from the list.
func (m *Model) remove(r *room) {
	at := slices.Index(m.rooms, r)
	m.rooms = slices.Delete(m.rooms, at, at+1)
	if m.previous == r {
		m.previous = nil
	}
	if m.active != r {
		return
	}
	m.closeThread()
	m.closeSearch()
	if m.mode == selecting || m.mode == reacting {
		m.mode = chatting
	}
	m.active = nil
	if next := min(at, len(m.rooms)-1); m.previous != nil {
		m.enter(m.previous)
	} else if next >= 0 {
		m.enter(m.rooms[next])
	}
	m.previous = nil
}

func (m *Model) step(direction int) tea.Cmd {
	if n := len(m.rooms); n > 0 {
		at := slices.Index(m.rooms, m.active)
		m.enter(m.rooms[(at+direction+n)%n])
	}
	return nil
}

func (m *Model) goTo(n int) tea.Cmd {
	if n < len(m.rooms) {
		m.enter(m.rooms[n])
	}
	return nil
}

func (m *Model) lastRoom() tea.Cmd {
	if m.previous != nil {
		m.enter(m.previous)
	}
	return nil
}

// nextActive goes to the next room with unread messages; mentions come first.
func (m *Model) nextActive() tea.Cmd {
	at := slices.Index(m.rooms, m.active)
	for _, wanted := range []func(*room) bool{
		func(r *room) bool { return r.mention > 0 },
		func(r *room) bool { return m.news(r) > 0 },
	} {
		for k := 1; k < len(m.rooms); k++ {
			if r := m.rooms[(at+k+len(m.rooms))%len(m.rooms)]; wanted(r) {
				m.enter(r)
				return nil
			}
		}
	}
	m.hint = "nothing is unread in other rooms"
	return nil
}

// toDate is /date.
func (m *Model) toDate(rest string) tea.Cmd {
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02"} {
		if moment, err := time.ParseInLocation(layout, rest, m.zone); err == nil {
			m.closeThread()
			if r := m.active; r != nil && r.joined {
				r.loading = true
				m.backend.find(r.name, moment)
			}
			return nil
		}
	}
	m.complain(fmt.Sprintf("%q is not a date such as %s", rest, m.now().In(m.zone).Format("2006-01-02 15:04")))
	return nil
}

func (m *Model) askDate() tea.Cmd {
	if d := m.draft(); d.text == "" {
		d.set("/date " + m.now().In(m.zone).Format("2006-01-02"))
		m.hint = "change the date and press Enter"
	} else {
		m.hint = "send or clear your draft first, then type /date YYYY-MM-DD"
	}
	return nil
}

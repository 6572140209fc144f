package tui

import "strings"

// maxTypists is how many of those that are typing are kept. More than namedTypists have
// no names.
const maxTypists, namedTypists = 16, 3

// writing returns the message that is being written, and its room. It is "" for a command,
// and where something else is edited. A line of the history is nobody's typing before it
// is changed.
func (m *Model) writing() (r *room, text string) {
	if m.mode != chatting || m.active == nil || m.here().editing > 0 {
		return nil, ""
	}
	d := &m.here().draft
	if d.recalled != 0 || strings.TrimSpace(d.text) == "" || strings.HasPrefix(d.text, "/") && !strings.HasPrefix(d.text, "//") {
		return m.here(), ""
	}
	return m.here(), d.text
}

// reportTyping reports that the person is typing if the message has changed since it was
// as given.
func (m *Model) reportTyping(before *room, text string) {
	r, now := m.writing()
	if now != "" && r == before && now != text && r.joined && !m.config.HideTyping {
		m.backend.typing(r.name)
	}
}

func (m *Model) takeTyping(e typingEvent) {
	r := m.room(e.Room)
	if r == nil {
		return
	}
	r.typists = e.Usernames
}

// forgetTyping forgets who was typing when the connection was lost.
func (m *Model) forgetTyping() {
	for _, r := range m.rooms {
		r.typists = nil
	}
}

// whoTypes says who is typing in a room, or nothing.
func (m *Model) whoTypes(r *room) string {
	var names []string
	for _, name := range r.typists {
		if isName(name) && !isIgnored(m.config.Ignore, name) {
			names = append(names, name)
		}
	}
	switch n := len(names); {
	case n == 0:
		return ""
	case n == 1:
		return names[0] + " is typing …"
	case n <= namedTypists:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1] + " are typing …"
	}
	return "several people are typing …"
}

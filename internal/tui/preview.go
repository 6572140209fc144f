package tui

import (
	"strings"

	"kaban/internal/display"
)

// askPreviews asks what the pages are about that a message links to.
func (m *Model) askPreviews(i *item) {
	switch {
	case !strings.Contains(i.content, "://"):
		m.complain("the message has no links")
	case m.options.Previews == nil || m.account == nil:
		m.complain("previews of links take an account: quit, and sign in with \"kaban login\"")
	case m.previewing:
		m.hint = "the previews of another message are on their way"
	case m.active != nil:
		m.previewing = true
		m.hint = askingPreviews
		m.backend.previews(m.config.Server, m.active.name, i.seq)
	}
}

// askingPreviews is the hint about previews on their way.
const askingPreviews = "asking what its links are about"

// takePreviews says what the pages of a message are about.
func (m *Model) takePreviews(e previewsEvent) {
	m.previewing = false
	if m.hint == askingPreviews {
		m.hint = ""
	}
	lines := e.lines
	switch {
	case e.err != nil:
		lines = []string{"there are no previews: " + reasonOf(e.err)}
	case len(lines) == 0:
		lines = []string{"its links have no previews, or the server shows none"}
	}
	for _, text := range lines {
		text = display.Line(text)
		if r := m.room(e.room); r != nil {
			m.sayIn(r, text)
		} else {
			m.say(text)
		}
	}
}

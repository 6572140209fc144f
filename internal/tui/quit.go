package tui

import (
	"fmt"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban/internal/display"
)

// quitMemory is how long a first Ctrl-C counts.
const quitMemory = 5 * time.Second

// forgetQuit lets a first Ctrl-C expire.
func (m *Model) forgetQuit() {
	if !m.quitAsked.IsZero() && m.now().Sub(m.quitAsked) >= quitMemory {
		m.quitAsked, m.hint = time.Time{}, ""
	}
}

// quitPatience is how many seconds quitting waits for acks.
const quitPatience = 3

// quit waits a moment for acks, and asks if a message would be lost.
func (m *Model) quit() tea.Cmd {
	switch n := m.unsent(); {
	case n == 0:
		return tea.Quit
	case m.status.link == online && m.quitting == 0:
		m.quitting = quitPatience
		m.hint = "quitting when everything is sent"
	default:
		m.quitting = 0
		m.ask(fmt.Sprintf("%s not sent yet. Quit anyway?", display.Count(n, "message is", "messages are")), func(*Model) tea.Cmd { return tea.Quit })
	}
	return nil
}

// goOnQuitting quits when everything is sent, or asks when that takes too long.
func (m *Model) goOnQuitting(second bool) tea.Cmd {
	switch {
	case m.quitting == 0:
	case m.unsent() == 0:
		return tea.Quit
	case second:
		if m.quitting--; m.quitting == 0 {
			m.quitting = -1 // waited already
			return m.quit()
		}
	}
	return nil
}

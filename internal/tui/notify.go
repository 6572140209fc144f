package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"kaban/internal/attention"
)

// maxNotice is how much of a message a desktop notification shows, in columns.
const maxNotice = 120

// ring announces a mention in the configured way, unless the account does not want to be
// disturbed now.
func (m *Model) ring(r *room, i *item) tea.Cmd {
	if (*attention.Quiet)(m.notifications.Quiet).Covers(m.now()) {
		return nil
	}
	title := m.meter.clean(i.username) + " in " + m.meter.clean(m.labelOf(r.name))
	text := m.meter.cut(m.meter.clean(i.text()), maxNotice)
	switch m.config.Notify {
	case "off":
		return nil
	case "osc9":
		return tea.Raw(ansi.Notify(title + ": " + text))
	case "osc777":
		field := strings.NewReplacer(";", ",")
		return tea.Raw("\x1b]777;notify;" + field.Replace(title) + ";" + field.Replace(text) + "\x1b\\")
	}
	return tea.Raw("\a")
}

// wheel scrolls.
func (m *Model) wheel(mouse tea.Mouse) tea.Cmd {
	if m.mode != chatting && m.mode != searching {
		return nil
	}
	switch mouse.Button {
	case tea.MouseWheelUp:
		return m.scroll(-3)
	case tea.MouseWheelDown:
		return m.scroll(3)
	}
	return nil
}

// click opens the room that was clicked.
func (m *Model) click(mouse tea.Mouse) tea.Cmd {
	l := m.shows()
	row := mouse.Y
	if l.title {
		row--
	}
	if m.mode != chatting || !l.rooms || mouse.Button != tea.MouseLeft || mouse.X >= l.roomsWidth || row < 0 || row >= l.height {
		return nil
	}
	first, visible := m.roomWindow(l.height)
	if row >= visible && len(m.rooms) > visible { // the row that counts the others
		return m.openSwitcher()
	}
	return m.goTo(first + row)
}

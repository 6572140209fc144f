package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// action is something that a key does. The table of them is what the
// configuration, the help and docs/terminal.md are made of.
type action struct {
	name  string   // in the configuration: key_<name>
	keys  []string // by default; as Bubble Tea names them
	help  string
	group string
	do    func(*Model) tea.Cmd
}

// Groups of actions, in the order in which the help shows them.
const (
	groupWriting = "Writing"
	groupReading = "Reading"
	groupRooms   = "Moving between rooms"
	groupScreen  = "The screen"
)

var groups = []string{groupWriting, groupReading, groupRooms, groupScreen}

// actions returns the table. Which key does what can be configured.
func actions() []action {
	table := []action{
		{"send", []string{"enter"}, "Send what was typed", groupWriting, (*Model).send},
		{"newline", []string{"alt+enter", "shift+enter", "ctrl+j"}, "Begin a new line in the message", groupWriting, edit(func(m *Model, d *draft) { m.editor.insert(d, "\n") })},
		{"complete", []string{"tab"}, "Complete a name, a room, a command or an :emoji:; again for the next one", groupWriting, func(m *Model) tea.Cmd { return m.complete(1) }},
		{"complete_back", []string{"shift+tab"}, "The completion before", groupWriting, func(m *Model) tea.Cmd { return m.complete(-1) }},
		{"up", []string{"up"}, "The line above, or what was sent before", groupWriting, func(m *Model) tea.Cmd { return m.vertical(-1) }},
		{"down", []string{"down"}, "The line below, or what was sent after", groupWriting, func(m *Model) tea.Cmd { return m.vertical(1) }},
		{"left", []string{"left", "ctrl+b"}, "One character back", groupWriting, edit(func(m *Model, d *draft) { d.move(m.editor.previous(d, d.at)) })},
		{"right", []string{"right"}, "One character forward", groupWriting, edit(func(m *Model, d *draft) { d.move(m.editor.next(d, d.at)) })},
		{"word_left", []string{"alt+b", "ctrl+left"}, "One word back", groupWriting, edit(func(m *Model, d *draft) { d.move(d.wordLeft()) })},
		{"word_right", []string{"alt+f", "ctrl+right"}, "One word forward", groupWriting, edit(func(m *Model, d *draft) { d.move(d.wordRight()) })},
		{"line_start", []string{"ctrl+a", "home"}, "To the start of the line", groupWriting, edit(func(m *Model, d *draft) { d.move(d.lineStart()) })},
		{"line_end", []string{"ctrl+e", "end"}, "To the end of the line", groupWriting, edit(func(m *Model, d *draft) { d.move(d.lineEnd()) })},
		{"delete_back", []string{"backspace", "ctrl+h"}, "Delete the character before", groupWriting, edit(func(m *Model, d *draft) { m.editor.remove(d, m.editor.previous(d, d.at), d.at) })},
		{"delete", []string{"delete", "ctrl+d"}, "Delete the character after; Ctrl-D on an empty line quits", groupWriting, (*Model).deleteOrQuit},
		{"delete_word_back", []string{"ctrl+w", "alt+backspace"}, "Cut the word before", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.wordLeft()) })},
		{"delete_word", []string{"alt+d"}, "Cut the word after", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.wordRight()) })},
		{"kill_start", []string{"ctrl+u"}, "Cut to the start of the line", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.lineStart()) })},
		{"kill_end", []string{"alt+k"}, "Cut to the end of the line (elsewhere Ctrl-K, which is the switcher here)", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.lineEnd()) })},
		{"yank", []string{"ctrl+y"}, "Put back what was cut", groupWriting, edit(func(m *Model, d *draft) { m.editor.insert(d, m.editor.killed) })},
		{"transpose", []string{"ctrl+t"}, "Swap two characters", groupWriting, edit(func(m *Model, d *draft) { m.editor.transpose(d) })},

		{"page_up", []string{"pgup", "alt+v"}, "A page up; older messages are loaded by themselves", groupReading, func(m *Model) tea.Cmd { return m.scroll(-m.page()) }},
		{"page_down", []string{"pgdown", "ctrl+v"}, "A page down", groupReading, func(m *Model) tea.Cmd { return m.scroll(m.page()) }},
		{"line_up", []string{"shift+up", "ctrl+up"}, "A line up", groupReading, func(m *Model) tea.Cmd { return m.scroll(-1) }},
		{"line_down", []string{"shift+down", "ctrl+down"}, "A line down", groupReading, func(m *Model) tea.Cmd { return m.scroll(1) }},
		{"top", []string{"ctrl+home", "alt+<"}, "To the room's first message", groupReading, (*Model).toTop},
		{"bottom", []string{"esc", "ctrl+end", "alt+>"}, "To the newest message; closes what is open first", groupReading, (*Model).escape},
		{"unread", []string{"alt+u"}, "To the first unread message", groupReading, (*Model).toUnread},
		{"date", []string{"alt+g"}, "To a date", groupReading, (*Model).askDate},
		{"search", []string{"ctrl+f"}, "Search in what is loaded", groupReading, (*Model).openSearch},

		{"next_room", []string{"ctrl+n", "alt+down"}, "The next room", groupRooms, func(m *Model) tea.Cmd { return m.step(1) }},
		{"previous_room", []string{"ctrl+p", "alt+up"}, "The room before", groupRooms, func(m *Model) tea.Cmd { return m.step(-1) }},
		{"active_room", []string{"alt+a"}, "The next room with something new, mentions first", groupRooms, (*Model).nextActive},
		{"last_room", []string{"alt+/"}, "The room where you were before", groupRooms, (*Model).lastRoom},
		{"switcher", []string{"ctrl+k"}, "Go to a room by a few letters of its name", groupRooms, (*Model).openSwitcher},
	}
	for n := 1; n <= 9; n++ {
		table = append(table, action{
			fmt.Sprintf("room_%d", n),
			[]string{fmt.Sprintf("alt+%d", n)},
			fmt.Sprintf("Room %d of the list", n), groupRooms,
			func(m *Model) tea.Cmd { return m.goTo(n - 1) },
		})
	}
	return append(table, []action{
		{"help", []string{"f1", "?"}, "All keys and commands (? only on an empty line)", groupScreen, (*Model).openHelp},
		{"rooms_panel", []string{"f7"}, "Fold the list of rooms away, or back", groupScreen, func(m *Model) tea.Cmd { m.roomsPanel = m.roomsPanel.toggle(m.shows().rooms); return nil }},
		{"members_panel", []string{"f8"}, "Fold the list of members away, or back", groupScreen, func(m *Model) tea.Cmd { m.membersPanel = m.membersPanel.toggle(m.shows().members); return nil }},
		{"redraw", []string{"ctrl+l"}, "Draw the screen anew", groupScreen, func(m *Model) tea.Cmd { return tea.ClearScreen }},
		{"suspend", []string{"ctrl+z"}, "Suspend; the shell's fg comes back", groupScreen, func(m *Model) tea.Cmd { return tea.Suspend }},
		{"quit", []string{"ctrl+c"}, "Clear what was typed; on an empty line, twice, quit", groupScreen, (*Model).interrupt},
	}...)
}

// edit makes an action of a change to the draft.
func edit(change func(*Model, *draft)) func(*Model) tea.Cmd {
	return func(m *Model) tea.Cmd {
		d := m.draft()
		at := d.text
		change(m, d)
		if d.text != at {
			d.recalled = 0
		}
		return nil
	}
}

// textKeys are keys that are bound and also text: they act only where nothing
// was typed.
func isTextKey(key string) bool { return len([]rune(key)) == 1 }

// bindings is which key does what.
type bindings map[string]*action

// bind makes the bindings of the table and what the configuration says. Keys
// that are given to an action are taken from others.
func bind(configured map[string][]string) bindings {
	table := actions()
	b := make(bindings)
	for i := range table {
		if _, changed := configured[table[i].name]; !changed {
			for _, key := range table[i].keys {
				b[key] = &table[i]
			}
		}
	}
	for i := range table {
		for _, key := range configured[table[i].name] {
			b[key] = &table[i]
		}
	}
	return b
}

// keysOf returns the keys of an action, those of the table first.
func (b bindings) keysOf(a action) []string {
	var keys []string
	for key, bound := range b {
		if bound.name == a.name {
			keys = append(keys, key)
		}
	}
	place := func(key string) int {
		if at := slices.Index(a.keys, key); at >= 0 {
			return at
		}
		return len(a.keys)
	}
	slices.SortFunc(keys, func(x, y string) int {
		if d := place(x) - place(y); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	return keys
}

// keyLabels are how people write keys.
var keyLabels = map[string]string{
	"ctrl": "Ctrl", "alt": "Alt", "shift": "Shift", "pgup": "PgUp", "pgdown": "PgDn", "esc": "Esc",
	"up": "Up", "down": "Down", "left": "Left", "right": "Right", "home": "Home", "end": "End", "tab": "Tab",
	"enter": "Enter", "backspace": "Backspace", "delete": "Del", "insert": "Ins", "space": "Space",
}

// label returns how people write a key: "ctrl+k" is Ctrl-K.
func label(key string) string {
	parts := strings.Split(key, "+")
	for i, part := range parts {
		switch known, ok := keyLabels[part]; {
		case ok:
			parts[i] = known
		case len(parts) > 1 || len(part) > 1:
			parts[i] = strings.ToUpper(part)
		}
	}
	return strings.Join(parts, "-")
}

func labels(keys []string) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = label(key)
	}
	return strings.Join(all, ", ")
}

// checkKey reports whether a key is written as Bubble Tea names it.
func checkKey(key string) error {
	parts := strings.Split(key, "+")
	for _, modifier := range parts[:len(parts)-1] {
		if modifier != "ctrl" && modifier != "alt" && modifier != "shift" {
			return fmt.Errorf("%q is no key: before the + may be ctrl, alt and shift, such as in alt+a", key)
		}
	}
	name := parts[len(parts)-1]
	isFunction := len(name) > 1 && name[0] == 'f' && strings.Trim(name[1:], "0123456789") == ""
	if _, known := keyLabels[name]; !known && !isFunction && len([]rune(name)) != 1 {
		return fmt.Errorf("%q is no key; keys are written like a, ctrl+k, alt+enter, pgup, f7", key)
	}
	return nil
}

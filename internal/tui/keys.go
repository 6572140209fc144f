package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
)

// action is something that a key does. The configuration, the help and
// docs/terminal.md are made from the table of actions.
type action struct {
	name  string   // in the configuration: key_<name>
	keys  []string // the defaults, as Bubble Tea names them
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

// actions returns the table of actions. Their keys can be configured.
func actions() []action {
	table := []action{
		{"send", []string{"enter"}, "Send the message", groupWriting, (*Model).send},
		{"newline", []string{"alt+enter", "shift+enter", "ctrl+j"}, "Start a new line in the message", groupWriting, edit(func(m *Model, d *draft) { m.editor.insert(d, "\n") })},
		{"complete", []string{"tab"}, "Complete a name, a room, a command or an :emoji:; again for the next one", groupWriting, func(m *Model) tea.Cmd { return m.complete(1) }},
		{"complete_back", []string{"shift+tab"}, "The previous completion", groupWriting, func(m *Model) tea.Cmd { return m.complete(-1) }},
		{"up", []string{"up"}, "The line above, or the previous message from the history", groupWriting, func(m *Model) tea.Cmd { return m.vertical(-1) }},
		{"down", []string{"down"}, "The line below, or the next message from the history", groupWriting, func(m *Model) tea.Cmd { return m.vertical(1) }},
		{"left", []string{"left", "ctrl+b"}, "One character back", groupWriting, edit(func(m *Model, d *draft) { d.move(m.editor.previous(d, d.at)) })},
		{"right", []string{"right"}, "One character forward", groupWriting, edit(func(m *Model, d *draft) { d.move(m.editor.next(d, d.at)) })},
		{"word_left", []string{"alt+b", "ctrl+left"}, "One word back", groupWriting, edit(func(m *Model, d *draft) { d.move(d.wordLeft()) })},
		{"word_right", []string{"alt+f", "ctrl+right"}, "One word forward", groupWriting, edit(func(m *Model, d *draft) { d.move(d.wordRight()) })},
		{"line_start", []string{"ctrl+a", "home"}, "To the start of the line", groupWriting, edit(func(m *Model, d *draft) { d.move(d.lineStart()) })},
		{"line_end", []string{"ctrl+e", "end"}, "To the end of the line", groupWriting, edit(func(m *Model, d *draft) { d.move(d.lineEnd()) })},
		{"delete_back", []string{"backspace", "ctrl+h"}, "Delete the character before the cursor", groupWriting, edit(func(m *Model, d *draft) { m.editor.remove(d, m.editor.previous(d, d.at), d.at) })},
		{"delete", []string{"delete", "ctrl+d"}, "Delete the character after the cursor; Ctrl-D on an empty line quits", groupWriting, (*Model).deleteOrQuit},
		{"delete_word_back", []string{"ctrl+w", "alt+backspace"}, "Cut the word before the cursor", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.wordLeft()) })},
		{"delete_word", []string{"alt+d"}, "Cut the word after the cursor", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.wordRight()) })},
		{"kill_start", []string{"ctrl+u"}, "Cut to the start of the line", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.lineStart()) })},
		{"kill_end", []string{"alt+k"}, "Cut to the end of the line (Ctrl-K is the room switcher here)", groupWriting, edit(func(m *Model, d *draft) { m.editor.kill(d, d.lineEnd()) })},
		{"yank", []string{"ctrl+y"}, "Paste the text that was cut", groupWriting, edit(func(m *Model, d *draft) { m.editor.insert(d, m.editor.killed) })},
		{"transpose", []string{"ctrl+t"}, "Swap two characters", groupWriting, edit(func(m *Model, d *draft) { m.editor.transpose(d) })},

		{"page_up", []string{"pgup", "alt+v"}, "A page up; older messages load automatically", groupReading, func(m *Model) tea.Cmd { return m.scroll(-m.page()) }},
		{"page_down", []string{"pgdown", "ctrl+v"}, "A page down", groupReading, func(m *Model) tea.Cmd { return m.scroll(m.page()) }},
		{"line_up", []string{"shift+up", "ctrl+up"}, "A line up", groupReading, func(m *Model) tea.Cmd { return m.scroll(-1) }},
		{"line_down", []string{"shift+down", "ctrl+down"}, "A line down", groupReading, func(m *Model) tea.Cmd { return m.scroll(1) }},
		{"top", []string{"ctrl+home", "alt+<"}, "To the room's first message", groupReading, (*Model).toTop},
		{"close", []string{"esc"}, "Close what is open, end an edit or a reply, or go to the newest message", groupReading, (*Model).escape},
		{"bottom", []string{"ctrl+end", "alt+>"}, "To the newest message", groupReading, func(m *Model) tea.Cmd { m.toBottom(); return nil }},
		{"unread", []string{"alt+u"}, "To the first unread message", groupReading, (*Model).toUnread},
		{"date", []string{"alt+g"}, "To a date", groupReading, (*Model).askDate},
		{"select", []string{"alt+s"}, "Select a message, to reply to it, edit it, react to it and so on", groupReading, (*Model).openSelection},
		{"thread", []string{"alt+t"}, "Show only the last message with replies, and these; again for the room", groupReading, (*Model).toggleThread},
		{"search", []string{"ctrl+f"}, "Search this room, back to its first message; again for all rooms", groupReading, (*Model).openSearch},

		{"next_room", []string{"ctrl+n", "alt+down"}, "The next room", groupRooms, func(m *Model) tea.Cmd { return m.step(1) }},
		{"previous_room", []string{"ctrl+p", "alt+up"}, "The previous room", groupRooms, func(m *Model) tea.Cmd { return m.step(-1) }},
		{"active_room", []string{"alt+a"}, "The next room with unread messages, mentions first", groupRooms, (*Model).nextActive},
		{"inbox", []string{"alt+i"}, "Unread mentions, then the rooms with what is new", groupRooms, (*Model).inboxKey},
		{"last_room", []string{"alt+/"}, "Back to the last room", groupRooms, (*Model).lastRoom},
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
		{"rooms_panel", []string{"f7"}, "Hide or show the list of rooms", groupScreen, func(m *Model) tea.Cmd { m.roomsPanel = m.roomsPanel.toggle(m.shows().rooms); return nil }},
		{"members_panel", []string{"f8"}, "Hide or show the list of members", groupScreen, func(m *Model) tea.Cmd { m.membersPanel = m.membersPanel.toggle(m.shows().members); return nil }},
		{"redraw", []string{"ctrl+l"}, "Redraw the screen", groupScreen, func(m *Model) tea.Cmd { return tea.ClearScreen }},
		{"suspend", []string{"ctrl+z"}, "Suspend; fg in the shell resumes", groupScreen, func(m *Model) tea.Cmd { return tea.Suspend }},
		{"quit", []string{"ctrl+c"}, "Clear the draft; on an empty line, cancel an upload, or twice, quit", groupScreen, (*Model).interrupt},
	}...)
}

// edit returns an action that changes the draft.
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

// isTextKey reports whether a key is also text: it acts only on an empty line.
func isTextKey(key string) bool { return len([]rune(key)) == 1 }

// bindings are the actions by key.
type bindings map[string]*action

// bind combines the table with the configuration. A key that is given to an action
// is taken from the others.
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

// action returns the name of a key's action, or "".
func (b bindings) action(key string) string {
	if a := b[key]; a != nil {
		return a.name
	}
	return ""
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

// keyLabels are the names of keys for people.
var keyLabels = map[string]string{
	"ctrl": "Ctrl", "alt": "Alt", "shift": "Shift", "pgup": "PgUp", "pgdown": "PgDn", "esc": "Esc",
	"up": "Up", "down": "Down", "left": "Left", "right": "Right", "home": "Home", "end": "End", "tab": "Tab",
	"enter": "Enter", "backspace": "Backspace", "delete": "Del", "insert": "Ins", "space": "Space",
}

// label returns the name of a key for people: "ctrl+k" is Ctrl-K.
func label(key string) string {
	var before strings.Builder
	for _, modifier := range []string{"ctrl", "alt", "shift"} {
		if rest, ok := strings.CutPrefix(key, modifier+"+"); ok {
			before.WriteString(keyLabels[modifier] + "-")
			key = rest
		}
	}
	known, ok := keyLabels[key]
	switch {
	case ok:
	case key == " ":
		known = keyLabels["space"]
	case before.Len() > 0 || utf8.RuneCountInString(key) > 1:
		known = strings.ToUpper(key)
	default:
		known = key
	}
	return before.String() + known
}

func labels(keys []string) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		all[i] = label(key)
	}
	return strings.Join(all, ", ")
}

// keyAliases are other names of keys.
var keyAliases = map[string]string{
	"escape": "esc", "return": "enter", "pageup": "pgup", "pagedown": "pgdown", "pgdn": "pgdown", "del": "delete", "ins": "insert",
}

// maxFunctionKey is the highest F key that has a code.
const maxFunctionKey = 63

// parseKey returns a key as Bubble Tea names it. It accepts the spelling of the help
// (Ctrl-K) and that of the manual (ctrl+k).
func parseKey(key string) (string, error) {
	bad := fmt.Errorf("%q is not a key; keys are written like a, ctrl+k, alt+enter, pgup, f7", key)
	has := make(map[string]bool)
	name := key
	for {
		at := strings.IndexAny(name, "+-")
		if at < 1 || at == len(name)-1 {
			break
		}
		modifier := strings.ToLower(name[:at])
		if modifier != "ctrl" && modifier != "alt" && modifier != "shift" {
			return "", fmt.Errorf("%q is not a key: before the + may be ctrl, alt and shift, such as in alt+a", key)
		}
		has[modifier], name = true, name[at+1:]
	}
	switch letters := []rune(name); {
	case len(letters) == 1 && !has["ctrl"] && !has["alt"]: // a text
		if has["shift"] {
			name = strings.ToUpper(name)
		}
		if !unicode.IsGraphic(letters[0]) {
			return "", bad
		}
		return name, nil
	case len(letters) == 1:
		name = strings.ToLower(name)
		if same := map[string]string{"i": "tab", "m": "enter", "[": "esc"}[name]; same != "" && has["ctrl"] && !has["alt"] {
			return "", fmt.Errorf("%q is the same as %q for most terminals; choose another key", key, same)
		}
	default:
		name = strings.ToLower(name)
		name = cmp.Or(keyAliases[name], name)
		number, err := strconv.Atoi(strings.TrimPrefix(name, "f"))
		isFunction := name[:min(1, len(name))] == "f" && err == nil && number >= 1 && number <= maxFunctionKey
		if _, known := keyLabels[name]; !isFunction && (!known || name == "ctrl" || name == "alt" || name == "shift") {
			return "", bad
		}
		if name == "space" && !has["ctrl"] && !has["alt"] {
			return " ", nil
		}
	}
	for _, modifier := range []string{"shift", "alt", "ctrl"} {
		if has[modifier] {
			name = modifier + "+" + name
		}
	}
	return name, nil
}

// checkBindings reports conflicts between the keys of a configuration: each key does
// one thing, and an action loses its last key only if the configuration says so.
func checkBindings(configured map[string][]string) error {
	owner := make(map[string]string)
	for _, a := range actions() {
		keys, changed := configured[a.name]
		if changed && len(keys) == 0 && (a.name == "send" || a.name == "quit") {
			return fmt.Errorf("key_%s must have a key: without one, nobody can %s", a.name, a.name)
		}
		for _, key := range keys {
			if other := owner[key]; other == a.name {
				return fmt.Errorf("key_%s has %q twice", a.name, key)
			} else if other != "" {
				return fmt.Errorf("key_%s and key_%s both have %q; a key does one thing", other, a.name, key)
			}
			owner[key] = a.name
		}
	}
	for _, a := range actions() {
		_, changed := configured[a.name]
		isTaken := func(key string) bool { return owner[key] != "" }
		if !changed && !slices.ContainsFunc(a.keys, func(key string) bool { return !isTaken(key) }) {
			return fmt.Errorf("key_%s takes %q from %s, which has no other key; give it one with key_%s, or none with key_%s = []",
				owner[a.keys[0]], a.keys[0], a.name, a.name, a.name)
		}
	}
	return nil
}

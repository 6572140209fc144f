package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/wire"
)

// settable are the words of /set. Those after a minus take a flag away.
var settable = []string{"announce", "locked", "archived", "history", "private", "-announce", "-locked", "-archived"}

// histories are the values of the word history.
var histories = []string{wire.HistoryAll, wire.HistoryJoined}

// set changes the kind, the flags, the history or the archive of the open room; without
// arguments it shows them, as far as the client knows.
func (m *Model) set(rest string) tea.Cmd {
	state, _ := m.activeState() // its ops are in it
	if rest == "" {
		m.say(describeSettings(&state))
		return nil
	}
	c, err := parseSet(strings.Fields(rest), state.Flags)
	if err != nil {
		m.complain(err.Error())
		return nil
	}
	c.Username = m.username
	m.backend.change(m.active.name, c)
	return nil
}

// parseSet returns what words change of a room with flags.
func parseSet(words []string, flags kaban.RoomFlags) (wire.Change, error) {
	c := wire.Change{Type: wire.TypeRoom, Change: "set", Flags: flags &^ kaban.FlagArchived}
	for len(words) > 0 {
		word := strings.ToLower(words[0])
		words = words[1:]
		name, takeAway := strings.CutPrefix(word, "-")
		switch {
		case !slices.Contains(settable, word):
			return c, fmt.Errorf("/set does not know %q; it takes %s", word, strings.Join(settable, ", "))
		case name == "private":
			c.Kind = kaban.RoomPrivate
		case name == "history":
			if len(words) == 0 || !slices.Contains(histories, words[0]) {
				return c, fmt.Errorf("/set history takes %s", strings.Join(histories, " or "))
			}
			c.History, words = words[0], words[1:]
		case name == "archived":
			c.Archived, c.HasArchived = !takeAway, true
		default:
			flag, err := kaban.ParseRoomFlags([]string{name})
			if err != nil {
				return c, err
			}
			c.HasFlags = true
			if c.Flags |= flag; takeAway {
				c.Flags &^= flag
			}
		}
	}
	return c, nil
}

// describeSettings returns the settings of a room in words.
func describeSettings(state *wire.RoomState) string {
	words := append([]string{state.Kind.String()}, state.Flags.Texts()...)
	return "this room is " + strings.Join(words, ", ") + "; /help set"
}

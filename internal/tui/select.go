package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban/internal/emoji"
)

// pick is something that a key does with the selected message. The help and
// docs/terminal.md are made from the table of picks.
type pick struct {
	keys []string
	help string
	do   func(*Model, *item) tea.Cmd
}

// picks returns the table. These keys cannot be configured.
func picks() []pick {
	end := func(do func(*Model, *item)) func(*Model, *item) tea.Cmd {
		return func(m *Model, i *item) tea.Cmd {
			m.mode = chatting
			do(m, i)
			return nil
		}
	}
	move := func(by int) func(*Model, *item) tea.Cmd {
		return func(m *Model, _ *item) tea.Cmd { m.moveSelection(by); return nil }
	}
	return []pick{
		{[]string{"up", "k", "ctrl+p"}, "The message above", move(-1)},
		{[]string{"down", "j", "ctrl+n"}, "The message below", move(1)},
		{[]string{"r", "enter"}, "Reply to it", end((*Model).startReply)},
		{[]string{"e"}, "Edit it in the input, if it is yours", end((*Model).startEdit)},
		{[]string{"+"}, "React to it with an emoji, or take that back", (*Model).openReacting},
		{[]string{"d", "delete"}, "Delete it, after a question", end(func(m *Model, i *item) { m.askDelete(i, "") })},
		{[]string{"p"}, "Pin it, or take that back", end((*Model).pin)},
		{[]string{"t"}, "Show only it and its replies; of a reply without any, those of the message that it answers", end(func(m *Model, i *item) { m.openThread(i.threadRoot()) })},
		{[]string{"u"}, "Mark the room as unread from it on, until you come back", end((*Model).markUnread)},
		{[]string{"o"}, "Download its file and open it, unless it could run; of several, it asks for the number", end((*Model).openFile)},
		{[]string{"v"}, "Show its picture in the terminal, if pictures are on and the terminal can; any key closes it", end((*Model).viewPicture)},
		{[]string{"l"}, "Say what the pages are about that it links to, if the server shows that", end((*Model).askPreviews)},
		{[]string{"y"}, "Copy it to the clipboard (OSC 52)", func(m *Model, i *item) tea.Cmd { m.mode = chatting; return m.copyItems(i) }},
		{[]string{"esc", "q", "ctrl+c"}, "Select nothing", end(func(*Model, *item) {})},
	}
}

// openSelection selects a message: the one that the search has found, or the last one on
// the screen.
func (m *Model) openSelection() tea.Cmd {
	r := m.here()
	if r == nil {
		return nil
	}
	from := m.lastOnScreen(r)
	if found := m.finder.found; m.mode == searching && found > 0 {
		from = r.search(found)
	}
	m.closeSearch()
	for k := min(from, len(r.items)-1); k >= 0; k-- {
		if m.isTarget(r.items[k]) {
			m.mode, m.selected = selecting, r.items[k].seq
			m.keepOnScreen(r, k)
			return nil
		}
	}
	m.hint = "there is no message to select"
	return nil
}

// lastOnScreen returns the index of the last item that is on the screen.
func (m *Model) lastOnScreen(r *room) int {
	width, height := m.conversationSize()
	k, skip := m.topView(r, width, height)
	for used := -skip; k < r.all(); k++ {
		if used += len(m.block(r, k, width)); used >= height {
			return k
		}
	}
	return r.all() - 1
}

// moveSelection selects the next message above (-1) or below (1).
func (m *Model) moveSelection(by int) {
	r := m.here()
	for k := r.search(m.selected) + by; k >= 0 && k < len(r.items); k += by {
		if i := r.items[k]; m.isTarget(i) && i.seq != m.selected {
			m.selected = i.seq
			m.keepOnScreen(r, k)
			return
		}
	}
	if by < 0 {
		m.loadOlder(r)
	} else {
		m.loadNewer(r)
	}
}

// keepOnScreen scrolls as little as shows an item.
func (m *Model) keepOnScreen(r *room, at int) {
	width, height := m.conversationSize()
	k, skip := m.topView(r, width, height)
	if at < k || at == k && skip > 0 {
		m.show(r, at, 0, width, height)
		return
	}
	used := -skip
	for ; k <= at; k++ {
		used += len(m.block(r, k, width))
	}
	if used > height {
		m.move(r, used-height, width, height)
	}
}

// pressSelection handles a key while a message is selected.
func (m *Model) pressSelection(stroke string) tea.Cmd {
	i := m.here().message(m.selected)
	if i == nil || !m.isTarget(i) { // deleted, or no longer loaded
		m.mode, m.hint = chatting, "the selected message is gone"
		return nil
	}
	for _, p := range picks() {
		for _, key := range p.keys {
			if key == stroke {
				return p.do(m, i)
			}
		}
	}
	switch a := m.bindings.action(stroke); a {
	case "select":
		m.mode = chatting
	case "page_up", "page_down", "line_up", "line_down":
		return m.bindings[stroke].do(m)
	case "send", "newline", "complete", "complete_back":
	default:
		if m.bindings[stroke] != nil && !isTextKey(stroke) { // such as the next room
			m.mode = chatting
			return m.bindings[stroke].do(m)
		}
	}
	return nil
}

// selectionStatus lists the keys while a message is selected.
func (m *Model) selectionStatus() string {
	text := fmt.Sprintf("#%d: r reply", m.selected)
	i := m.here().message(m.selected)
	if i != nil && i.own {
		text += ", e edit"
	}
	text += ", + react"
	if i != nil && (i.own || m.may(ops)) {
		text += ", d delete"
	}
	if m.may(pinRight) {
		text += ", p pin"
	}
	if i != nil && !i.files.IsZero() {
		text += ", o open"
	}
	return text + ", t thread, y copy, Esc ends"
}

// openReacting asks for an emoji.
func (m *Model) openReacting(*item) tea.Cmd {
	m.mode, m.reaction = reacting, draft{column: -1}
	return nil
}

// maxOffered is how many emoji are offered for the beginning of a name.
const maxOffered = 8

// pressReacting handles a key while an emoji is asked for.
func (m *Model) pressReacting(stroke, text string) tea.Cmd {
	d := &m.reaction
	offered := emoji.Complete(strings.TrimSpace(d.text), maxOffered)
	switch stroke {
	case "esc", "ctrl+c":
		m.mode = selecting
	case "tab":
		if len(offered) > 0 {
			d.set(offered[0].Emoji)
		}
	case "enter":
		picture, err := emojiOf(strings.TrimSpace(d.text))
		if err != nil && len(offered) > 0 {
			picture, err = offered[0].Emoji, nil
		}
		if err != nil {
			m.complain(err.Error())
			return nil
		}
		m.mode = chatting
		if i := m.here().message(m.selected); i != nil && m.isTarget(i) {
			m.react(i, picture)
		} else {
			m.complain("the selected message is gone")
		}
	default:
		m.pressLine(stroke, text)
	}
	return nil
}

// reactingStatus offers emoji.
func (m *Model) reactingStatus() string {
	text := strings.TrimSpace(m.reaction.text)
	if text == "" {
		return "type an emoji, or the beginning of its name; Esc closes"
	}
	var names []string
	for _, n := range emoji.Complete(text, maxOffered) {
		names = append(names, n.Emoji+" "+n.Name)
	}
	if len(names) == 0 {
		return "Enter reacts, or takes that back; Esc closes"
	}
	return strings.Join(names, "  ") + "; Enter takes the first, Esc closes"
}

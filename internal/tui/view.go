package tui

import (
	"fmt"
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"kaban/internal/display"
)

const (
	// roomsFrom and membersFrom are the widths from which the panels are shown by
	// default.
	roomsFrom, membersFrom = 64, 88
	// maxInputRows bounds the height of the input.
	maxInputRows = 6
	// minRead is how many rows of the conversation a hint leaves.
	minRead = 4
)

// layout is the size of the parts of the screen.
type layout struct {
	rooms, members           bool
	roomsWidth, membersWidth int
	width, height            int // of the conversation
	inputRows                int
	statusRows               int
	title                    bool
}

// shows returns the layout for the present size. Without enough space the least
// important parts are left out.
func (m *Model) shows() layout {
	l := layout{width: m.width}
	l.roomsWidth, l.membersWidth = m.roomsWidth(), min(20, max(12, m.width/7))
	fits := func(p panel, from, width int) bool {
		switch p {
		case shown:
			return m.width-width >= 10
		case hidden:
			return false
		}
		return m.width >= from
	}
	if l.rooms = fits(m.roomsPanel, roomsFrom, l.roomsWidth+1); l.rooms {
		l.width -= l.roomsWidth + 1
	}
	if l.members = fits(m.membersPanel, membersFrom, m.width-l.width+l.membersWidth+1) && m.active != nil; l.members {
		l.width -= l.membersWidth + 1
	}
	rows, _, _ := m.input()
	l.inputRows = min(len(rows), maxInputRows, max(1, m.height/3))
	l.height = m.height - l.inputRows
	needed := m.statusNeeds()
	switch {
	case m.height == 1 && needed > 0 && (m.hint != "" || m.mode == asking): // until the next key
		l.inputRows, l.statusRows = 0, 1
	case m.mode == asking:
		l.statusRows = min(needed, l.height)
	case needed > 0 && l.height > 0:
		l.statusRows = min(needed, max(1, l.height/2, l.height-minRead))
	case l.height >= 2:
		l.statusRows = 1
	}
	l.height = max(m.height-l.inputRows-l.statusRows, 0)
	if l.title = l.height >= 3; l.title {
		l.height--
	}
	return l
}

// roomsWidth is the width of the longest name, within bounds.
func (m *Model) roomsWidth() int {
	longest := 8
	for _, r := range m.rooms {
		longest = max(longest, m.meter.width(m.meter.clean(m.labelOf(r.name))))
	}
	return min(longest+7, max(14, m.width/5), 26)
}

func (m *Model) conversationSize() (width, height int) {
	l := m.shows()
	return l.width, max(l.height, 1)
}

// page is the number of lines that a page scrolls.
func (m *Model) page() int {
	_, height := m.conversationSize()
	return max(height-2, 1)
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	content, x, y := m.render()
	v := tea.NewView(content)
	v.AltScreen, v.ReportFocus = true, true
	v.WindowTitle = m.title()
	if m.config.Mouse {
		v.MouseMode = tea.MouseModeCellMotion
	}
	if x >= 0 {
		v.Cursor = tea.NewCursor(x, y)
		v.Cursor.Shape = tea.CursorBar
	}
	return v
}

// title is the title of the window, in ASCII: terminals differ in the rest.
func (m *Model) title() string {
	title := "kaban"
	if m.active != nil {
		title += " " + m.labelOf(m.active.name)
	}
	if n := m.unreadElsewhere(); n > 0 {
		title = fmt.Sprintf("(%d) %s", n, title)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, title)
}

// unreadElsewhere returns how many other rooms have unread messages.
func (m *Model) unreadElsewhere() (n int) {
	for _, r := range m.rooms {
		if m.news(r) > 0 && r != m.active {
			n++
		}
	}
	return n
}

// render returns the lines of the screen and the position of the cursor (-1 for
// none).
func (m *Model) render() (screen string, x, y int) {
	l := m.shows()
	var rows []line
	if l.title {
		rows = append(rows, m.titleBar())
	}
	rows = append(rows, m.middle(l)...)
	rows = append(rows, m.statusBar(l.statusRows)...)
	input, row, column := m.input()
	first := max(0, min(row-l.inputRows+1, len(input)-l.inputRows))
	rows = append(rows, input[first:first+l.inputRows]...)
	x, y = column, len(rows)-l.inputRows+row-first
	switch m.mode {
	case greeting:
		x, y = m.formCursor(l)
	case helping, asking, selecting, viewing:
		x, y = -1, -1
	case listingHits:
		if m.listing.isFixed() {
			x, y = -1, -1
		}
	}
	if l.inputRows == 0 {
		x, y = -1, -1
	}
	var b strings.Builder
	for n, r := range rows[:min(len(rows), m.height)] {
		if n > 0 {
			b.WriteByte('\n')
		}
		m.theme.write(&b, m.meter.cutLine(r, m.width))
	}
	if x >= m.width {
		x = m.width - 1
	}
	return b.String(), x, min(y, m.height-1)
}

// middle is the conversation between its panels, or the overlay.
func (m *Model) middle(l layout) []line {
	switch m.mode {
	case helping:
		return m.helpView(m.width, l.height)
	case greeting:
		return m.formView(m.width, l.height)
	case viewing:
		return m.viewerView(m.width, l.height)
	}
	var conversation []line
	switch {
	case m.mode == switching:
		conversation = m.switcherView(l.width, l.height)
	case m.mode == listingHits:
		conversation = m.listingView(l.width, l.height)
	case m.active != nil:
		conversation = m.conversation(m.here(), l.width, l.height)
	default:
		conversation = m.nowhere(l.width, l.height)
	}
	var rooms, members []line
	if l.rooms {
		rooms = m.roomList(l.roomsWidth, l.height)
	}
	if l.members {
		members = m.memberList(l.membersWidth, l.height)
	}
	edge := span{text: "│", look: look{role: roleDim}}
	rows := make([]line, l.height)
	for n := range rows {
		var row line
		if l.rooms {
			row = append(append(row, rooms[n]...), edge)
		}
		if l.members {
			row = append(append(row, m.meter.pad(conversation[n], l.width, look{})...), edge)
			row = append(row, members[n]...)
		} else {
			row = append(row, m.meter.cutLine(conversation[n], l.width)...)
		}
		rows[n] = row
	}
	return rows
}

// nowhere is shown while no room is open.
func (m *Model) nowhere(width, height int) []line {
	text := "no room is open; /join ROOM"
	if !m.status.ever {
		text = "connecting to " + m.meter.clean(m.config.Server) + " …"
	}
	rows := m.aside(text, width, height)
	return append(make([]line, height-len(rows)), rows...)
}

// aside is a text in the place of the messages.
func (m *Model) aside(text string, width, height int) []line {
	rows := m.meter.wrap(plain(text, look{role: roleDim, attrs: italic}), max(width-2, 1), 0)
	for n := range rows {
		if width > 2 {
			rows[n] = append(line{{text: " "}}, rows[n]...)
		}
	}
	return rows[:min(len(rows), height)]
}

func (m *Model) titleBar() line {
	bar := look{role: roleBar}
	switch {
	case m.mode == helping:
		return m.meter.pad(line{{text: " Kaban: keys and commands", look: bar.with(bold)}}, m.width, bar)
	case m.mode != listingHits && m.active == nil || m.mode == greeting:
		return m.meter.pad(line{{text: " Kaban", look: bar.with(bold)}}, m.width, bar)
	}
	if m.mode == listingHits {
		return m.meter.pad(line{{text: " " + m.meter.clean(m.listing.title), look: bar.with(bold)}}, m.width, bar)
	}
	l := line{{text: " " + m.meter.clean(m.labelOf(m.active.name)), look: bar.with(bold)}}
	if m.thread != nil {
		l = append(l, span{text: "  " + m.threadTitle(), look: bar})
		return m.meter.pad(l, m.width, bar)
	}
	if m.active.count > 0 {
		l = append(l, span{text: "  " + m.members(m.active), look: bar})
	}
	if state, ok := m.activeState(); ok && state.Topic != "" {
		if space := m.width - m.meter.lineWidth(l) - 2; space > 0 {
			l = append(l, span{text: "  " + m.meter.cut(m.meter.clean(state.Topic), space), look: bar})
		}
	}
	right := m.meter.clean(m.config.Server) + " "
	if space := m.width - m.meter.lineWidth(l) - m.meter.width(right); space > 0 {
		l = append(l, span{text: strings.Repeat(" ", space) + right, look: bar})
	}
	return m.meter.pad(l, m.width, bar)
}

func (m *Model) members(r *room) string { return display.Count(r.count, "member") }

// input returns the lines of the input and the position of the cursor.
func (m *Model) input() (rows []line, row, column int) {
	prompt := m.prompt()
	width := m.meter.lineWidth(prompt)
	if width > m.width/2 {
		prompt, width = nil, 0
	}
	d := m.draft()
	if m.mode == greeting || m.mode == helping || m.mode == viewing || m.mode == listingHits && m.listing.isFixed() {
		d = &draft{}
	}
	lines, row, column := m.editor.layout(d, m.width-width)
	for n, text := range lines {
		lead := prompt
		if n > 0 {
			lead = line{{text: strings.Repeat(" ", width)}}
		}
		rows = append(rows, append(slices.Clone(lead), span{text: text}))
	}
	if d.text == "" && m.mode == chatting && m.active != nil && m.number == 0 {
		hint := placeholder
		if width+m.meter.width(hint) > m.width {
			hint = m.keyOf("help") + " help"
		}
		if width+m.meter.width(hint) > m.width {
			hint = ""
		}
		rows[0] = append(rows[0], span{text: hint, look: look{role: roleDim, attrs: italic}})
	}
	return rows, row, column + width
}

// placeholder is shown in the empty input until the first message.
const placeholder = "type a message and press Enter; F1 shows all keys"

func (m *Model) prompt() line {
	switch m.mode {
	case switching:
		return line{{text: "go to room: ", look: look{role: roleAccent, attrs: bold}}}
	case listingHits:
		if m.listing.isFixed() {
			return nil
		}
		return line{{text: "search all: ", look: look{role: roleAccent, attrs: bold}}}
	case searching:
		return line{{text: "search: ", look: look{role: roleAccent, attrs: bold}}}
	case reacting:
		return line{{text: "react: ", look: look{role: roleAccent, attrs: bold}}}
	case greeting, helping, viewing:
		return nil
	}
	if r := m.here(); r != nil && r.editing > 0 {
		return line{{text: "edit> ", look: look{role: roleAccent, attrs: bold}}}
	} else if r != nil && r.replying > 0 {
		return line{{text: "reply> ", look: look{role: roleAccent, attrs: bold}}}
	}
	if m.thread != nil {
		return line{{text: "thread> ", look: look{role: roleAccent, attrs: bold}}}
	}
	if m.username == "" {
		return line{{text: "> "}}
	}
	return line{{text: m.meter.clean(m.username), look: m.looks.of(m.username).with(bold)}, {text: "> ", look: look{role: roleDim}}}
}

// roomWindow returns the first room of the panel and how many it shows. If these are
// not all, its last row counts the others.
func (m *Model) roomWindow(height int) (first, shown int) {
	if len(m.rooms) <= height {
		return 0, len(m.rooms)
	}
	shown = max(height-1, 0)
	return max(0, slices.Index(m.rooms, m.active)-shown+1), shown
}

// roomList is the panel of rooms.
func (m *Model) roomList(width, height int) []line {
	rows := make([]line, 0, height)
	first, shown := m.roomWindow(height)
	var news, mentions uint64
	for n, r := range m.rooms {
		if n >= first && n < first+shown {
			rows = append(rows, m.roomLine(r, n, width))
		} else if m.news(r) > 0 {
			news++
			mentions += uint64(r.mention)
		}
	}
	if hidden := len(m.rooms) - shown; hidden > 0 && len(rows) < height {
		text, l := fmt.Sprintf("  %d more", hidden), look{role: roleDim}
		if news > 0 {
			text, l = text+fmt.Sprintf(", %d new", news), look{role: roleAccent, attrs: bold}
		}
		if mentions > 0 {
			text, l = fmt.Sprintf("  %d more, @%s", hidden, short(mentions)), look{role: roleMention, attrs: bold}
		}
		rows = append(rows, m.meter.pad(plain(text, l), width, look{}))
	}
	for len(rows) < height {
		rows = append(rows, m.meter.pad(nil, width, look{}))
	}
	return rows
}

func (m *Model) roomLine(r *room, n, width int) line {
	l := look{}
	badge := ""
	unread := m.news(r)
	switch {
	case unread > 0 && (r != m.active || !r.following || r.flag > 0):
		badge, l = short(unread), l.with(bold)
	}
	if r.mention > 0 {
		badge, l = "@"+badge, look{role: roleMention, attrs: bold}
	}
	if r.failed != "" {
		badge, l = "!", look{role: roleAlert}
	}
	if len(r.pending) == 0 && r.draft.text != "" && r != m.active {
		badge = "✎" + badge
	}
	if r == m.active {
		l = look{role: roleChoice, attrs: l.attrs | bold}
	}
	number := " "
	switch {
	case r == m.active:
		number = "▸"
	case n < 9:
		number = fmt.Sprint(n + 1)
	}
	name := m.meter.cut(m.meter.clean(m.labelOf(r.name)), width-4-m.meter.width(badge))
	cells := line{{text: number + " ", look: look{role: l.role, attrs: l.attrs &^ bold}}, {text: name, look: l}}
	if r != m.active {
		cells[0].look = look{role: roleDim}
	}
	if space := width - 1 - m.meter.lineWidth(cells) - m.meter.width(badge); space > 0 {
		cells = append(cells, span{text: strings.Repeat(" ", space), look: look{role: l.role}})
	}
	if badge != "" && r != m.active {
		badgeLook := look{role: roleAccent, attrs: bold}
		if r.mention > 0 || r.failed != "" {
			badgeLook = l
		}
		cells = append(cells, span{text: badge, look: badgeLook})
	} else {
		cells = append(cells, span{text: badge, look: l})
	}
	return m.meter.pad(cells, width, look{role: l.role})
}

// short formats a count in at most four columns.
func short(n uint64) string {
	switch {
	case n < 1000:
		return fmt.Sprint(n)
	case n < 100_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return "99k+"
}

// memberList is the panel of members.
func (m *Model) memberList(width, height int) []line {
	var rows []line
	names := m.active.sorted()
	add := func(text string, l look) {
		rows = append(rows, m.meter.pad(plain(" "+m.meter.cut(text, width-1), l), width, look{}))
	}
	fits := height
	if len(names) < m.active.count || len(names) > height {
		fits = height - 1
	}
	for _, name := range names[:max(0, min(len(names), fits))] {
		add(m.meter.clean(name), m.looks.of(name))
	}
	if more := m.active.count - len(rows); more > 0 && len(rows) < height {
		add(fmt.Sprintf("and %d more", more), look{role: roleDim})
	}
	for len(rows) < height {
		rows = append(rows, m.meter.pad(nil, width, look{}))
	}
	return rows[:height]
}

// lookCache remembers the looks of names.
type lookCache map[string]look

const maxLooks = 10_000

func (c *lookCache) of(username string) look {
	if l, ok := (*c)[username]; ok {
		return l
	}
	if *c == nil || len(*c) >= maxLooks {
		*c = make(lookCache)
	}
	l := nameLook(username)
	(*c)[username] = l
	return l
}

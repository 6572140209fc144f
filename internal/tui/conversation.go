package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
)

const (
	// wide is the width from which times and names have columns of their own.
	wide = 50
	// minEdge is the width from which a column marks mentions and the found message.
	minEdge = 3
	// groupGap is how long the messages of one author form a group, which shows the
	// name once. The clock is cut into slots of this length; each slot starts a group.
	groupGap = 5 * time.Minute
)

// column is the width of the column of names.
func column(width int) int { return min(14, max(8, width/6)) }

// textWidth is the width that is left for the text of a message.
func textWidth(width int) int {
	switch {
	case width < minEdge:
		return max(width, 1)
	case width < wide:
		return width - 1
	}
	return max(width-1-len("15:04 ")-column(width)-2-1, 1) // a column stays free at the right
}

// ignores reports whether an item is hidden: an entry of an unknown kind, or the
// message of an ignored author, under every spelling of the name.
func (m *Model) ignores(i *item) bool {
	return i.kind == itemUnknown || i.kind == itemMessage && !i.own && isIgnored(m.config.Ignore, i.username)
}

func isIgnored(ignored []string, username string) bool {
	if len(ignored) == 0 {
		return false
	}
	key := nameKey(username)
	return slices.ContainsFunc(ignored, func(name string) bool { return name == username || nameKey(name) == key })
}

// before returns the item that is shown above, or nil.
func (m *Model) before(r *room, k int) *item {
	for k--; k >= 0; k-- {
		if i := r.at(k); !m.ignores(i) {
			return i
		}
	}
	return nil
}

// block returns the lines of an item: those that separate it from the item above,
// and its own.
func (m *Model) block(r *room, k, width int) []line { return m.blockFrom(r, k, width, -1) }

// blockFrom is block for an item whose line top is the first on the screen. That
// line names the author even if the name itself has scrolled away.
func (m *Model) blockFrom(r *room, k, width, top int) []line {
	i := r.at(k)
	if m.ignores(i) {
		return nil
	}
	above := m.before(r, k)
	var lines []line
	if above == nil && r.complete && r.of == nil {
		begins := "the beginning of " + m.meter.clean(m.titleOf(r.name))
		if r.origin > 1 {
			begins = "older messages are no longer kept"
		}
		lines = append(lines, m.rule(begins, width, look{role: roleDim})...)
	}
	begins := r.marked && i.sending == stored && i.seq > r.mark && (above == nil || above.seq <= r.mark)
	if i.kind != itemNotice && (above == nil || !m.sameDay(above.time, i.time)) {
		lines = append(lines, m.rule(m.local(i.time).Format("Monday, 2 January 2006"), width, look{role: roleDim})...)
		above = nil
	}
	if begins {
		lines = append(lines, m.rule("new", width, look{role: roleAccent, attrs: bold})...)
		above = nil
	}
	grouped := above != nil && i.kind == itemMessage && above.kind == itemMessage && above.author() == i.author() &&
		i.time.Truncate(groupGap).Equal(above.time.Truncate(groupGap))
	answers := i.replyTo > 0 && i.replyTo != r.root
	if answers {
		lines = append(lines, m.quote(r, i, width))
	}
	grouped = grouped && !answers && !i.deleted
	space := textWidth(width)
	if i.isQuiet() && width < wide {
		space = max(space-len(noticeMark(width)), 1)
	}
	body := i.body(shape{width: space, meter: m.meter, query: m.query()})
	if quiet := m.become(i, space); len(quiet) > 0 {
		body = slices.Concat(body, quiet)
	}
	if width < wide {
		return m.narrowBlock(lines, i, body, grouped, width)
	}
	return m.wideBlock(lines, i, above, body, grouped, width, top)
}

// wideBlock puts time and name into columns before the text, and also before the
// top line of the screen.
func (m *Model) wideBlock(lines []line, i, above *item, body []line, grouped bool, width, top int) []line {
	when := m.local(i.time).Format("15:04")
	full := m.meter.clean(i.author())
	_, does := i.action()
	isMessage := !i.isQuiet() && !does
	if grouped && above.sending == i.sending && m.local(above.time).Format("15:04") == when {
		when = ""
	}
	name := line{}
	nameWidth := column(width)
	switch {
	case i.isQuiet():
		name = plain("--", look{role: roleDim})
	case does:
		name = plain("*", m.nameLook(i).with(bold))
	case !grouped && m.meter.width(full) <= nameWidth:
		name = plain(full, m.nameLook(i).with(bold))
	}
	whenLook := look{role: roleDim}
	switch {
	case i.sending == pending:
		when = "…"
	case i.kind == itemRefused:
		when, whenLook = "✗", look{role: roleAlert, attrs: bold}
	}
	shown := when
	if isMessage && !grouped && len(name) == 0 { // long names are not cut: they may begin alike
		head := line{m.edge(i), {text: fmt.Sprintf("%5s ", when), look: whenLook}, {text: full, look: m.nameLook(i).with(bold)}}
		lines = append(lines, m.meter.wrap(head, width, 0)...)
		shown = ""
	}
	for n, text := range body {
		if n > 0 {
			shown, name = "", nil
		}
		if isMessage && len(lines) == top {
			shown, name = cmp.Or(when, m.local(i.time).Format("15:04")), plain(m.meter.cut(full, nameWidth), m.nameLook(i).with(bold))
		}
		if shown == "" && len(name) == 0 {
			lines = append(lines, append(line{m.edge(i), {text: strings.Repeat(" ", width-textWidth(width)-2)}}, text...))
			continue
		}
		l := line{m.edge(i), {text: fmt.Sprintf("%5s ", shown), look: whenLook}}
		if missing := nameWidth - m.meter.lineWidth(name); missing > 0 {
			l = append(l, span{text: strings.Repeat(" ", missing)})
		}
		l = append(append(l, name...), span{text: "  "})
		lines = append(lines, append(l, text...))
	}
	return lines
}

// narrowBlock puts time and name on a line of their own.
func (m *Model) narrowBlock(lines []line, i *item, body []line, grouped bool, width int) []line {
	var edge line
	if width >= minEdge {
		edge = line{m.edge(i)}
	}
	if _, does := i.action(); !grouped && !does && !i.isQuiet() {
		when := " " + m.local(i.time).Format("15:04")
		switch {
		case i.sending == pending:
			when = " …"
		case i.kind == itemRefused:
			when = " ✗"
		}
		head := line{{text: m.meter.clean(i.author()), look: m.nameLook(i).with(bold)}, {text: when, look: look{role: roleDim}}}
		for _, l := range m.meter.wrap(head, textWidth(width), 0) {
			lines = append(lines, slices.Concat(edge, l))
		}
	}
	lead := ""
	if i.isQuiet() {
		lead = noticeMark(width)
	}
	for _, text := range body {
		if lead != "" {
			text = slices.Concat(plain(lead, look{role: roleDim}), text)
			lead = strings.Repeat(" ", len(lead))
		}
		lines = append(lines, slices.Concat(edge, text))
	}
	return lines
}

// noticeMark starts a notice where names have no column, so that it does not look
// like a part of the message above.
func noticeMark(width int) string {
	if width < 4*len("-- ") {
		return ""
	}
	return "-- "
}

// edge is the first column, which marks mentions and the message that was found or that
// something is done with.
func (m *Model) edge(i *item) span {
	if m.mode == searching && m.finder.found == i.seq && i.kind == itemMessage && i.sending == stored {
		return span{text: "▸", look: look{role: roleAccent, attrs: bold}}
	}
	if i.kind == itemMessage && i.sending == stored && m.isMarked(i.seq) {
		return span{text: "▸", look: look{role: roleAccent, attrs: bold}}
	}
	if i.mention {
		return span{text: "▌", look: look{role: roleMention, attrs: bold}}
	}
	return span{text: " "}
}

// isMarked reports whether a message of the open room is selected, edited or answered.
func (m *Model) isMarked(seq uint64) bool {
	if m.mode == selecting || m.mode == reacting {
		return seq == m.selected
	}
	r := m.here()
	return r != nil && (seq == r.editing || seq == r.replying)
}

func (m *Model) nameLook(i *item) look { return m.looks.of(i.username) }

// rule is a horizontal line with a text in it, or the text alone if there is no
// space for a line.
func (m *Model) rule(text string, width int, l look) []line {
	rest := width - m.meter.width(text) - 2
	if rest < 4 {
		return m.meter.wrap(plain(text, l), width, 0)
	}
	return []line{plain(strings.Repeat("─", rest/2)+" "+text+" "+strings.Repeat("─", rest-rest/2), l)}
}

func (m *Model) local(t time.Time) time.Time { return t.In(m.zone) }

func (m *Model) sameDay(a, b time.Time) bool {
	y1, m1, d1 := m.local(a).Date()
	y2, m2, d2 := m.local(b).Date()
	return y1 == y2 && m1 == m2 && d1 == d2
}

// bottomView returns the item, and its line, at the top of the screen when the
// newest item is at the bottom.
func (m *Model) bottomView(r *room, width, height int) (k, skip int) {
	for k = r.all(); k > 0 && height > 0; {
		k--
		lines := len(m.block(r, k, width))
		if lines > height {
			return k, lines - height
		}
		height -= lines
	}
	return k, 0
}

// topView returns the item, and its line, at the top of the screen.
func (m *Model) topView(r *room, width, height int) (k, skip int) {
	if r.following || r.top == nil {
		return m.bottomView(r, width, height)
	}
	return r.indexOf(r.top), r.topLine
}

// conversation returns the lines of a room that are on the screen, height of them.
func (m *Model) conversation(r *room, width, height int) []line {
	lines := make([]line, 0, height)
	if r.following && r.all() > 0 || r.all() == 0 {
		lines = m.tail(r, width, height)
		empty := make([]line, height-len(lines))
		return append(empty, lines...)
	}
	k, skip := m.topView(r, width, height)
	for ; k < r.all() && len(lines) < height; k++ {
		block := m.blockFrom(r, k, width, topOf(lines, skip))
		lines = append(lines, block[min(skip, len(block)):]...)
		skip = 0
	}
	if len(lines) > height {
		lines = lines[:height]
	}
	return append(lines, make([]line, height-len(lines))...)
}

// tail returns the newest lines.
func (m *Model) tail(r *room, width, height int) []line {
	var lines []line
	k, skip := m.bottomView(r, width, height)
	for ; k < r.all(); k++ {
		block := m.blockFrom(r, k, width, topOf(lines, skip))
		lines = append(lines, block[min(skip, len(block)):]...)
		skip = 0
	}
	if len(lines) == 0 {
		return m.emptyRoom(r, width, height)
	}
	return lines[max(0, len(lines)-height):]
}

// topOf returns which line of the next block is at the top of the screen, or -1.
func topOf(lines []line, skip int) int {
	if len(lines) > 0 {
		return -1
	}
	return skip
}

// emptyRoom is the text of a room that has nothing to show.
func (m *Model) emptyRoom(r *room, width, height int) []line {
	text := "nobody has said anything here yet: be the first"
	switch {
	case r.failed != "":
		text = m.meter.clean(r.failed)
	case !r.joined:
		text = "joining " + m.meter.clean(m.titleOf(r.name)) + " …"
	case r.loading:
		text = "loading …"
	case r.of != nil:
		text = fmt.Sprintf("there is no message #%d that you may read, and no reply to it; %s goes back", r.root, m.keyOf("close"))
	case r.all() > 0:
		text = "there is nothing to show here yet"
	case r.head > 0:
		text = "the screen was cleared; scroll up to see the messages"
	}
	return m.aside(text, width, height)
}

// scroll moves the view by lines and loads older messages near the top.
func (m *Model) scroll(by int) tea.Cmd {
	r := m.here()
	if r == nil {
		return nil
	}
	width, height := m.conversationSize()
	if r.all() > 0 {
		m.move(r, by, width, height)
	}
	if by < 0 && m.nearTop(r, width, height) {
		m.loadOlder(r)
	}
	m.look()
	return nil
}

// move moves the view of a room.
func (m *Model) move(r *room, by, width, height int) {
	if by > 0 && r.following {
		return
	}
	k, at := m.topView(r, width, height)
	at += by
	for at < 0 && k > 0 {
		k--
		at += len(m.block(r, k, width))
	}
	at = max(at, 0)
	for k < r.all()-1 {
		lines := len(m.block(r, k, width))
		if at < lines {
			break
		}
		at -= lines
		k++
	}
	m.show(r, k, at, width, height)
}

// show puts a line of an item at the top, or follows if that is the end.
func (m *Model) show(r *room, k, at, width, height int) {
	endK, endAt := m.bottomView(r, width, height)
	if k > endK || k == endK && at >= endAt {
		if r.attached {
			r.follow()
			return
		}
		k, at = endK, endAt
		m.loadNewer(r)
	}
	r.following, r.top, r.topLine = false, r.at(k), at
}

func (r *room) follow() { r.following, r.top, r.topLine = true, nil, 0 }

// nearTop reports whether the view is within a screen of the top of the window.
func (m *Model) nearTop(r *room, width, height int) bool {
	k, at := m.topView(r, width, height)
	above := at
	for k > 0 && above < height {
		k--
		above += len(m.block(r, k, width))
	}
	return above < height
}

func (m *Model) loadOlder(r *room) {
	if r.loading || r.complete || !r.joined {
		return
	}
	before := r.first()
	if r.of != nil {
		before = r.oldest
	}
	if before == 0 {
		before = r.head + 1
	}
	r.loading = true
	m.backend.load(r.name, page{Before: before, HasBefore: true, Thread: r.root})
}

func (m *Model) loadNewer(r *room) {
	if r.loading || r.attached || !r.joined {
		return
	}
	r.loading = true
	m.backend.load(r.name, page{After: r.last(), HasAfter: true})
}

// toBottom goes to the newest message.
func (m *Model) toBottom() {
	r := m.here()
	if r == nil {
		return
	}
	if !r.attached && !r.loading {
		r.loading = true
		m.backend.load(r.name, page{Around: true})
	}
	if r.attached {
		r.follow()
	}
	m.look()
}

func (m *Model) toTop() tea.Cmd {
	r := m.here()
	switch {
	case r == nil || r.loading || !r.joined:
	case (r.complete || r.of != nil) && r.all() > 0:
		width, height := m.conversationSize()
		m.show(r, 0, 0, width, height)
		m.loadOlder(r)
	case r.head > 0:
		m.around(r, 1)
	}
	return nil
}

// around loads the messages around a seq and shows that one.
func (m *Model) around(r *room, seq uint64) {
	r.loading = true
	m.backend.load(r.name, page{Around: true, HasAfter: true, After: seq - min(seq, 1+pageSize/4), Target: seq})
}

// toUnread shows the first message that was unread when the room was opened.
func (m *Model) toUnread() tea.Cmd {
	m.closeThread()
	r := m.active
	if r == nil || !r.marked {
		m.hint = "nothing is unread here"
		return nil
	}
	k := r.search(r.mark + 1)
	if first := r.first(); first > r.mark+1 && !r.complete || k == len(r.items) {
		if !r.loading && r.joined {
			m.around(r, r.mark+1)
		}
		return nil
	}
	width, height := m.conversationSize()
	m.show(r, k, 0, width, height)
	return nil
}

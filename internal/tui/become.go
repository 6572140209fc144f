package tui

import (
	"fmt"
	"strings"

	"kaban/internal/display"
)

// How quotes, pins and reactions are shown.

const (
	// maxQuote is how much of a message is looked at for a quote, in bytes.
	maxQuote = 600
	// maxChips is how many reactions are shown. The server allows no more.
	maxChips = 50
	// maxEmoji is the widest emoji that is shown, in columns.
	maxEmoji = 12
)

// quote is the line above an answer: the author and the first words of what it answers.
func (m *Model) quote(r *room, i *item, width int) line {
	text := fmt.Sprintf("#%d", i.replyTo)
	if to := r.message(i.replyTo); to != nil && !m.ignores(to) {
		text = m.firstWords(to)
	}
	l := plain(m.meter.cut("┌ "+text, textWidth(width)), look{role: roleDim})
	switch {
	case width < minEdge:
		return l
	case width < wide:
		return append(line{m.edge(i)}, l...)
	}
	return append(line{m.edge(i), {text: strings.Repeat(" ", width-textWidth(width)-2)}}, l...)
}

// firstWords returns the author and the first words of a message, as one clean line.
func (m *Model) firstWords(i *item) string {
	name := m.meter.clean(i.username)
	if i.deleted {
		return name + ": (deleted)"
	}
	content, does := i.action()
	between := " "
	if !does {
		content, between = i.text(), ": "
	}
	if len(content) > maxQuote {
		content = strings.ToValidUTF8(content[:maxQuote], "") + " …"
	}
	return name + between + m.meter.clean(strings.Join(strings.Fields(content), " "))
}

// become returns the quiet lines below a message: whether it is pinned, and the reactions,
// with the own ones in brackets.
func (m *Model) become(i *item, width int) []line {
	var lines []line
	used := 0
	add := func(text string, l look) {
		columns := m.meter.width(text)
		if n := len(lines); n > 0 && used+2+columns <= width {
			lines[n-1] = append(lines[n-1], span{text: "  "}, span{text: text, look: l})
			used += 2 + columns
			return
		}
		lines = append(lines, m.meter.wrap(plain(text, l), width, 0)...)
		used = m.meter.lineWidth(lines[len(lines)-1])
	}
	quiet := look{role: roleDim}
	if i.pinned {
		add("pinned", quiet)
	}
	for n, r := range i.reactions {
		if n == maxChips {
			add("…", quiet)
			break
		}
		text := m.meter.cut(m.meter.clean(r.Emoji), maxEmoji) + " " + short(uint64(max(r.Count, 0)))
		if r.Me {
			add("["+text+"]", look{role: roleAccent})
		} else {
			add(text, quiet)
		}
	}
	if i.replies > 0 && !m.isThread(i.seq) {
		add(display.Count(i.replies, "reply", "replies"), quiet)
	}
	if i.altering {
		add("…", quiet)
	}
	return lines
}

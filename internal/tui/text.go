package tui

import (
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"kaban/internal/display"
)

// span is a text of one look. It is clean and has no newline.
type span struct {
	text string
	look look
	link string // an address, or ""
}

// line is a line of the screen or of a text.
type line []span

// plain returns a line of one look.
func plain(text string, l look) line { return line{{text: text, look: l}} }

// text returns the text of a line.
func (l line) text() string {
	if len(l) == 1 {
		return l[0].text
	}
	var b strings.Builder
	for _, s := range l {
		b.WriteString(s.text)
	}
	return b.String()
}

// meter measures text as the terminal does. Terminals differ in the width of an
// emoji that is joined from several characters.
type meter struct{ method ansi.Method }

// width returns how many columns a text takes.
func (m meter) width(s string) int {
	if isPrintable(s) {
		return len(s)
	}
	return m.method.StringWidth(s)
}

func (m meter) lineWidth(l line) (width int) {
	for _, s := range l {
		width += m.width(s.text)
	}
	return width
}

// first returns the first grapheme cluster of a text and its columns.
func (m meter) first(s string) (cluster string, width int) {
	if len(s) == 1 || len(s) > 1 && s[0] >= ' ' && s[0] <= '~' && s[1] < utf8.RuneSelf {
		return s[:1], 1
	}
	return ansi.FirstGraphemeCluster(s, m.method)
}

// cut shortens a text to a width, with an ellipsis if something is left out.
func (m meter) cut(s string, width int) string {
	if m.width(s) <= width {
		return s
	}
	if width < 1 {
		return ""
	}
	used, rest := 0, s
	for rest != "" {
		cluster, w := m.first(rest)
		if used+w > width-1 {
			break
		}
		used += w
		rest = rest[len(cluster):]
	}
	return s[:len(s)-len(rest)] + "…"
}

// cutLine is cut for a line.
func (m meter) cutLine(l line, width int) line {
	used := 0
	for i, s := range l {
		w := m.width(s.text)
		if used+w > width {
			s.text = m.cut(s.text, width-used)
			return append(l[:i:i], s)
		}
		used += w
	}
	return l
}

// pad returns a line of exactly a width.
func (m meter) pad(l line, width int, l2 look) line {
	l = m.cutLine(l, width)
	if missing := width - m.lineWidth(l); missing > 0 {
		l = append(l[:len(l):len(l)], span{text: strings.Repeat(" ", missing), look: l2})
	}
	return l
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

const tab = "    "

// clean makes one line of text from others safe and measurable: it has neither
// newlines nor tabs.
func (m meter) clean(s string) string {
	s = display.Line(s)
	if strings.Contains(s, "\t") {
		s = strings.ReplaceAll(s, "\t", tab)
	}
	if m.method == ansi.WcWidth && !isPrintable(s) {
		s = simpleEmoji(s)
	}
	return s
}

// cleanLines is clean for a text of several lines.
func (m meter) cleanLines(s string) []string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = m.clean(lines[i])
	}
	return lines
}

// simpleEmoji splits joined emoji. A terminal that does not announce support for
// grapheme clusters may show them in any width, and misplace the rest of the line.
func simpleEmoji(s string) string {
	const joiner, emoji, text = '\u200d', '\ufe0f', '\ufe0e'
	before := rune(-1)
	return strings.Map(func(r rune) rune {
		previous := before
		before = r
		switch {
		case r == emoji, r == text:
			before = previous
			return -1
		case r == joiner && isPictograph(previous):
			return -1
		case r >= 0x1f3fb && r <= 0x1f3ff && isPictograph(previous): // skin tones
			before = previous
			return -1
		case r >= 0xe0020 && r <= 0xe007f: // tags
			before = previous
			return -1
		}
		return r
	}, s)
}

func isPictograph(r rune) bool { return r >= 0x2190 && r <= 0x2bff || r >= 0x1f000 && r <= 0x1faff }

// wrap breaks a line into lines of at most a width: at spaces, else after a wide
// character, else anywhere between characters. Lines after the first are indented,
// which makes them narrower.
func (m meter) wrap(l line, width, indent int) []line {
	width = max(width, 1)
	if indent > width/2 {
		indent = 0
	}
	if m.lineWidth(l) <= width {
		return []line{l}
	}
	w := wrapper{meter: m, limit: width, indent: indent}
	for _, s := range l {
		for rest := s.text; rest != ""; {
			cluster, columns := m.first(rest)
			rest = rest[len(cluster):]
			w.add(cluster, columns, s)
		}
	}
	if len(w.cells) > 0 || len(w.lines) == 0 { // not a space that hangs over the edge
		w.end(len(w.cells))
	}
	return w.lines
}

// wrapper collects characters until a line is full.
type wrapper struct {
	meter
	limit, indent int

	lines []line
	cells []cell // of the present line
	width int    // of cells
	at    int    // where the line may be broken: before this cell; 0 for nowhere
}

type cell struct {
	text  string
	width int
	span  span
}

func (w *wrapper) add(text string, columns int, s span) {
	if columns > w.limit { // does not fit anywhere
		if _, first := utf8.DecodeRuneInString(text); first < len(text) { // as where it counts in columns
			for _, r := range text {
				w.add(string(r), w.meter.width(string(r)), s)
			}
			return
		}
		text, columns = "?", 1
	}
	if n := len(w.cells); n > 0 && (w.cells[n-1].text == " " && text != " " || w.cells[n-1].width > 1 || columns > 1) {
		w.at = n
	}
	if w.width+columns > w.limit && len(w.cells) > 0 {
		if text == " " { // hangs over the edge
			w.end(len(w.cells))
			return
		}
		if w.at == 0 {
			w.at = len(w.cells)
		}
		w.end(w.at)
	}
	if text == " " && len(w.cells) == 0 && len(w.lines) > 0 {
		return // of a break
	}
	w.cells = append(w.cells, cell{text, columns, s})
	w.width += columns
}

// end makes a line of the first n cells and continues with the rest.
func (w *wrapper) end(n int) {
	var l line
	if len(w.lines) > 0 && w.indent > 0 {
		l = append(l, span{text: strings.Repeat(" ", w.indent)})
	}
	l = append(l, join(w.cells[:n])...)
	if len(w.lines) == 0 {
		w.limit -= w.indent
	}
	w.lines = append(w.lines, l)
	w.cells = append([]cell(nil), w.cells[n:]...)
	w.width, w.at = 0, 0
	for _, c := range w.cells {
		w.width += c.width
	}
}

// join makes spans of cells again.
func join(cells []cell) (l line) {
	for begin := 0; begin < len(cells); {
		end := begin + 1
		for end < len(cells) && cells[end].span.look == cells[begin].span.look && cells[end].span.link == cells[begin].span.link {
			end++
		}
		var b strings.Builder
		for _, c := range cells[begin:end] {
			b.WriteString(c.text)
		}
		l = append(l, span{text: b.String(), look: cells[begin].span.look, link: cells[begin].span.link})
		begin = end
	}
	return l
}

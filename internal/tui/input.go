package tui

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// draft is the text that is being edited, with its cursor.
type draft struct {
	text string
	at   int // in bytes, between characters

	// recalled is the position in the history of the room, counted back; 0 is the
	// draft itself, which typed keeps meanwhile.
	recalled int
	typed    string
	column   int // the column that moving up and down aims for; -1: the present one
}

// editor changes a draft. It moves by grapheme clusters.
type editor struct {
	meter
	killed string // what Ctrl-Y brings back
}

func (e *editor) insert(d *draft, text string) {
	d.text = d.text[:d.at] + text + d.text[d.at:]
	d.at += len(text)
	d.column = -1
}

func (d *draft) set(text string) { d.text, d.at, d.column = text, len(text), -1 }

// next returns the offset after the character at an offset.
func (e *editor) next(d *draft, at int) int {
	if at >= len(d.text) {
		return len(d.text)
	}
	cluster, _ := e.first(d.text[at:])
	return at + len(cluster)
}

// previous returns the offset of the character before an offset. It segments from
// the start of the line: clusters cannot be found backwards.
func (e *editor) previous(d *draft, at int) int {
	if at == 0 {
		return 0
	}
	from := strings.LastIndexByte(d.text[:at-1], '\n') + 1
	for {
		next := e.next(d, from)
		if next >= at {
			return from
		}
		from = next
	}
}

func (d *draft) lineStart() int { return strings.LastIndexByte(d.text[:d.at], '\n') + 1 }

func (d *draft) lineEnd() int {
	if n := strings.IndexByte(d.text[d.at:], '\n'); n >= 0 {
		return d.at + n
	}
	return len(d.text)
}

func (d *draft) wordLeft() int {
	at := d.at
	skip := func(want bool) {
		for at > 0 {
			r, size := utf8.DecodeLastRuneInString(d.text[:at])
			if isLetter(r) != want {
				return
			}
			at -= size
		}
	}
	skip(false)
	skip(true)
	return at
}

func (d *draft) wordRight() int {
	at := d.at
	skip := func(want bool) {
		for at < len(d.text) {
			r, size := utf8.DecodeRuneInString(d.text[at:])
			if isLetter(r) != want {
				return
			}
			at += size
		}
	}
	skip(false)
	skip(true)
	return at
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// move puts the cursor at an offset.
func (d *draft) move(at int) { d.at, d.column = at, -1 }

// kill cuts the text between an offset and the cursor, for yank.
func (e *editor) kill(d *draft, at int) {
	from, to := min(at, d.at), max(at, d.at)
	if from == to {
		return
	}
	e.killed = d.text[from:to]
	e.remove(d, from, to)
}

func (e *editor) remove(d *draft, from, to int) {
	d.text = d.text[:from] + d.text[to:]
	d.at, d.column = from, -1
}

// transpose swaps the two characters around the cursor.
func (e *editor) transpose(d *draft) {
	if d.at == len(d.text) {
		d.at = e.previous(d, d.at)
	}
	before, after := e.previous(d, d.at), e.next(d, d.at)
	if before == d.at || after == d.at {
		return
	}
	d.text = d.text[:before] + d.text[d.at:after] + d.text[before:d.at] + d.text[after:]
	d.move(after)
}

// vertical moves to the line above (-1) or below (1); false if there is none.
func (e *editor) vertical(d *draft, direction int) bool {
	start := d.lineStart()
	if d.column < 0 {
		d.column = e.width(d.text[start:d.at])
	}
	column := d.column
	switch {
	case direction < 0 && start == 0, direction > 0 && d.lineEnd() == len(d.text):
		return false
	case direction < 0:
		d.at = start - 1
		d.at = d.lineStart()
	default:
		d.at = d.lineEnd() + 1
	}
	for used := 0; d.at < d.lineEnd(); {
		cluster, width := e.first(d.text[d.at:])
		if used += width; used > column {
			break
		}
		d.at += len(cluster)
	}
	d.column = column
	return true
}

// recall goes back (1) or forward (-1) in the history.
func (d *draft) recall(history []string, direction int) {
	to := d.recalled + direction
	if to < 0 || to > len(history) {
		return
	}
	if d.recalled == 0 {
		d.typed = d.text
	}
	d.recalled = to
	if to == 0 {
		d.set(d.typed)
		return
	}
	d.set(history[len(history)-to])
}

// layout breaks a draft into clean lines of a width. It returns the position of the
// cursor too.
func (e *editor) layout(d *draft, width int) (lines []string, row, column int) {
	width = max(width, 2)
	var b strings.Builder
	used := 0
	end := func() {
		lines = append(lines, b.String())
		b.Reset()
		used = 0
	}
	for at := 0; at < len(d.text); {
		cluster, _ := e.first(d.text[at:])
		if cluster == "\n" {
			if at == d.at {
				row, column = len(lines), used
			}
			end()
			at++
			continue
		}
		shown := e.clean(cluster)
		w := e.width(shown)
		if used+w > width && used > 0 {
			end()
		}
		if at == d.at {
			row, column = len(lines), used
		}
		b.WriteString(shown)
		used += w
		at += len(cluster)
	}
	if d.at == len(d.text) {
		if used >= width { // after the last column
			end()
		}
		row, column = len(lines), used
	}
	lines = append(lines, b.String())
	return lines, row, min(column, width-1)
}

// fit cleans pasted text: line ends become newlines and control characters are
// dropped. It reports whether any were.
func fit(text string) (fitted string, dropped bool) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	fitted = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			dropped = true
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	return fitted, dropped
}

// names of things to complete, those that are tried first come first.
func completions(candidates []string, prefix string) []string {
	folded := fold(prefix)
	var found []string
	for _, c := range candidates {
		if strings.HasPrefix(fold(c), folded) && !slices.Contains(found, c) {
			found = append(found, c)
		}
	}
	return found
}

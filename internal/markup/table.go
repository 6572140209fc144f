package markup

import "strings"

// tableAt returns the number of lines of the table that begins with the first
// line, or 0. A table is a header, a line of dashes with as many cells, and rows.
func tableAt(texts []string) int {
	if len(texts) < 2 || !isRow(texts[0]) || !isRule(texts[1]) {
		return 0
	}
	if len(bars(texts[0])) != len(bars(texts[1])) || isBlank(strings.ReplaceAll(texts[0], "|", " ")) {
		return 0
	}
	n := 2
	for n < len(texts) && isRow(texts[n]) {
		n++
	}
	return n
}

// isRow reports whether a line begins and ends with a bar.
func isRow(s string) bool {
	if !strings.HasPrefix(s, "|") {
		return false
	}
	s = strings.TrimRight(s, blanks)
	at := bars(s)
	return len(at) > 1 && at[len(at)-1] == len(s)-1
}

// isRule reports whether a row contains only dashes and aligning colons.
func isRule(s string) bool {
	if !isRow(s) {
		return false
	}
	s = strings.TrimRight(s, blanks)
	for _, cell := range strings.Split(s[1:len(s)-1], "|") {
		dashes := strings.TrimSuffix(strings.TrimPrefix(strings.Trim(cell, blanks), ":"), ":")
		if dashes == "" || strings.Trim(dashes, "-") != "" {
			return false
		}
	}
	return true
}

// bars returns the positions of the bars of a row. A bar after a backslash is
// text.
func bars(s string) (at []int) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '|':
			at = append(at, i)
		}
	}
	return at
}

func appendTable(lines []Line, texts []string) []Line {
	for i, s := range texts {
		switch i {
		case 0:
			lines = append(lines, row(Head, s))
		case 1:
			lines = append(lines, Line{Kind: Rule, Spans: []Span{{Text: s, Mark: true}}})
		default:
			lines = append(lines, row(Row, s))
		}
	}
	return lines
}

// row parses a line of a table. The bars, with the blanks around them, are marks.
func row(kind Kind, s string) Line {
	l := Line{Kind: kind}
	at := bars(s)
	mark := 0 // start of the current mark
	for n := range len(at) - 1 {
		cell := s[at[n]+1 : at[n+1]]
		text := strings.Trim(cell, blanks)
		if text == "" {
			// Each cell has a mark before it.
			l.Spans = append(l.Spans, Span{Text: s[mark:at[n+1]], Mark: true})
			mark = at[n+1]
			continue
		}
		begin := at[n] + 1 + strings.Index(cell, text)
		l.Spans = append(l.Spans, Span{Text: s[mark:begin], Mark: true})
		l.Spans = appendInline(l.Spans, text, kaban)
		mark = begin + len(text)
	}
	l.Spans = append(l.Spans, Span{Text: s[mark:], Mark: true})
	return l
}

// Cells returns the spans of each cell of a header or a row, without the bars.
func (l Line) Cells() [][]Span {
	var cells [][]Span
	for i, s := range l.Spans {
		if s.Mark && strings.Contains(s.Text, "|") {
			if i < len(l.Spans)-1 {
				cells = append(cells, nil)
			}
			continue
		}
		cells[len(cells)-1] = append(cells[len(cells)-1], s)
	}
	return cells
}

// Align is the alignment of a column.
type Align uint8

// The alignments.
const (
	Left Align = iota
	Center
	Right
)

// Aligns returns the alignment of each column from a rule.
func (l Line) Aligns() []Align {
	s := strings.TrimRight(l.Spans[0].Text, blanks)
	var aligns []Align
	for _, cell := range strings.Split(s[1:len(s)-1], "|") {
		cell = strings.Trim(cell, blanks)
		switch {
		case !strings.HasSuffix(cell, ":"):
			aligns = append(aligns, Left)
		case strings.HasPrefix(cell, ":"):
			aligns = append(aligns, Center)
		default:
			aligns = append(aligns, Right)
		}
	}
	return aligns
}

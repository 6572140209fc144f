package tui

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"kaban/internal/markup"
)

// drawn returns the lines of a content, without the delimiters of emphasis. Those of
// code and quotes stay, so that they are recognised without colours too, as do the
// bars of tables. Everything else is as it was written.
func drawn(content string, base look, m meter, width int) []line {
	parsed := markup.Parse(content)
	out := make([]line, 0, len(parsed))
	for i := 0; i < len(parsed); i++ {
		if parsed[i].Kind != markup.Head {
			out = append(out, m.drawLine(parsed[i], base))
			continue
		}
		end := i + 1
		for end < len(parsed) && (parsed[end].Kind == markup.Rule || parsed[end].Kind == markup.Row) {
			end++
		}
		out = append(out, m.drawTable(parsed[i:end], base, width)...)
		i = end - 1
	}
	return out
}

// drawLine draws a line as it was typed, without the delimiters of emphasis.
func (m meter) drawLine(l markup.Line, base look) line {
	out := make(line, 0, len(l.Spans))
	for n, s := range l.Spans {
		switch {
		case !s.Mark:
			out = append(out, m.drawSpan(s, base))
		case l.Kind == markup.Block, l.Kind == markup.Rule, strings.Contains(s.Text, "|"), s.Style&markup.Code != 0, l.Quote > 0 && n == 0:
			out = append(out, span{text: m.clean(s.Text), look: base.as(roleDim)})
		}
	}
	return out
}

// drawSpan draws a span that is not a mark.
func (m meter) drawSpan(s markup.Span, base look) span {
	out := span{text: m.clean(s.Text), look: base}
	for _, a := range []struct {
		style markup.Style
		attrs attributes
	}{{markup.Bold, bold}, {markup.Italic, italic}, {markup.Struck, struck}, {markup.Mention, bold}} {
		if s.Style&a.style != 0 {
			out.look = out.look.with(a.attrs)
		}
	}
	switch {
	case s.Style&markup.Code != 0:
		out.look = out.look.as(roleCode)
	case s.Style&markup.Language != 0:
		out.look = out.look.as(roleDim)
	case s.Style&markup.Address != 0:
		out.look, out.link = out.look.as(roleLink).with(underlined), target(s.Text)
	}
	return out
}

// drawTable aligns the bars of a table. A table that is wider than the screen is
// drawn as it was typed, since wrapped bars align nothing.
func (m meter) drawTable(table []markup.Line, base look, width int) []line {
	cells := make([][]line, len(table))
	var widths []int
	for n, l := range table {
		if l.Kind == markup.Rule {
			continue
		}
		for c, spans := range l.Cells() {
			cell := m.drawLine(markup.Line{Spans: spans}, base)
			cells[n] = append(cells[n], cell)
			if c == len(widths) {
				widths = append(widths, 1)
			}
			widths[c] = max(widths[c], m.lineWidth(cell))
		}
	}
	whole := 1
	for _, w := range widths {
		whole += w + 3
	}
	out := make([]line, len(table))
	for n, l := range table {
		switch {
		case whole > width:
			out[n] = m.drawLine(l, base)
		case l.Kind == markup.Rule:
			out[n] = drawRule(l.Aligns(), widths, base)
		default:
			out[n] = m.drawRow(cells[n], table[1].Aligns(), widths, base)
		}
	}
	return out
}

func (m meter) drawRow(cells []line, aligns []markup.Align, widths []int, base look) line {
	var out line
	for c, cell := range cells {
		left, right := 0, widths[c]-m.lineWidth(cell)
		if c < len(aligns) && aligns[c] == markup.Right {
			left, right = right, 0
		} else if c < len(aligns) && aligns[c] == markup.Center {
			left, right = right/2, right-right/2
		}
		out = append(out, span{text: "|", look: base.as(roleDim)}, span{text: strings.Repeat(" ", left+1), look: base})
		out = append(out, cell...)
		out = append(out, span{text: strings.Repeat(" ", right+1), look: base})
	}
	return append(out, span{text: "|", look: base.as(roleDim)})
}

// drawRule draws the line below the head, as long as the columns are wide.
func drawRule(aligns []markup.Align, widths []int, base look) line {
	var b strings.Builder
	for c, a := range aligns {
		dashes := []byte(strings.Repeat("-", widths[c]+2))
		if a == markup.Center {
			dashes[0] = ':'
		}
		if a != markup.Left {
			dashes[len(dashes)-1] = ':'
		}
		b.WriteByte('|')
		b.Write(dashes)
	}
	b.WriteByte('|')
	return plain(b.String(), base.as(roleDim))
}

// as gives a look another role.
func (l look) as(r role) look { l.role = r; return l }

// target returns the address that a terminal may open, in ASCII, or "".
func target(address string) string {
	var b strings.Builder
	for i := range len(address) {
		if c := address[i]; c < utf8.RuneSelf {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	encoded := b.String()
	for _, scheme := range []string{"http://", "https://", "mailto:"} {
		if len(encoded) > len(scheme) && strings.EqualFold(encoded[:len(scheme)], scheme) && isPrintable(encoded) && !strings.Contains(encoded, " ") {
			return encoded
		}
	}
	return ""
}

package markup

import "strings"

// slack is Slack's markup, with one character per delimiter.
func slack(c byte, n int) Style {
	switch {
	case n != 1:
		return 0
	case c == '*':
		return Bold
	case c == '_':
		return Italic
	}
	return Struck
}

// FromSlack converts a text to one that looks here as it does in Slack, with its
// emphasis, quotes and blocks of code. References and entities must already be
// replaced. Text that is not markup in Slack does not change.
func FromSlack(text string) string {
	var out strings.Builder
	from := 0 // start of the text that is not written yet
	for at := 0; ; {
		begin := strings.Index(text[at:], fence)
		if begin < 0 {
			break
		}
		begin += at
		code, _, closed := strings.Cut(text[begin+len(fence):], fence)
		if !closed {
			break
		}
		at = begin + len(fence) + len(code) + len(fence)
		if !strings.Contains(code, "\n") || isBlank(code) { // inline code may have any number of backticks here
			continue
		}
		if prose := strings.TrimRight(text[from:begin], blanks); prose != "" {
			proseFromSlack(&out, prose)
			if !strings.HasSuffix(prose, "\n") {
				out.WriteByte('\n')
			}
		}
		out.WriteString(fence + "\n" + strings.TrimSuffix(strings.TrimPrefix(code, "\n"), "\n") + "\n" + fence)
		at = len(text) - len(strings.TrimLeft(text[at:], blanks))
		if from = at; from < len(text) && text[from] != '\n' {
			out.WriteByte('\n')
		}
	}
	proseFromSlack(&out, text[from:])
	return out.String()
}

// proseFromSlack converts a text outside of blocks of code.
func proseFromSlack(out *strings.Builder, text string) {
	all := false // everything that follows is quoted
	for n, l := range strings.Split(text, "\n") {
		if n > 0 {
			out.WriteByte('\n')
		}
		rest, quoted := strings.CutPrefix(l, ">>>")
		all = all || quoted
		if !quoted {
			rest, quoted = strings.CutPrefix(l, ">")
		}
		if quoted {
			l = strings.TrimPrefix(rest, " ")
		}
		switch {
		case !quoted && !all:
		case strings.Trim(l, blanks) == "":
			out.WriteString(">")
			continue
		default:
			out.WriteString("> ")
		}
		for _, s := range appendInline(nil, l, slack) {
			out.WriteString(s.Text)
			if s.Mark && s.Style&Code == 0 && s.Text != "_" {
				out.WriteString(s.Text)
			}
		}
	}
}

// Emphasise adds the delimiters of a style to a text between two others, if they
// are recognized at that position. Otherwise it returns the text unchanged. It
// emphasises each line separately, without the blanks at its edges.
func Emphasise(before, text, after string, style Style) string {
	delimiters := delimitersOf(text, style)
	if delimiters == "" {
		return text
	}
	lines := strings.Split(text, "\n")
	for n, l := range lines {
		inner := strings.Trim(l, blanks)
		at := strings.Index(l, inner)
		if inner == "" {
			continue
		}
		left, right := l[:at], l[at+len(inner):]
		around, behind := left, right
		if n == 0 {
			around = edge(before, true) + left
		}
		if n == len(lines)-1 {
			behind = right + edge(after, false)
		}
		marked := delimiters + inner + reversed(delimiters)
		if encloses(around, marked, behind, len(delimiters)) {
			lines[n] = left + marked + right
		}
	}
	return strings.Join(lines, "\n")
}

// delimitersOf returns the opening delimiters of a style, or "".
func delimitersOf(text string, style Style) string {
	if style&Code != 0 {
		return FenceFor(text, 1)
	}
	all := ""
	if style&Struck != 0 {
		all += "~~"
	}
	if style&Bold != 0 {
		all += "**"
	}
	if style&Italic != 0 {
		all += "_"
	}
	return all
}

// FenceFor returns a run of at least n backticks that does not occur in a text.
func FenceFor(text string, n int) string {
	run := 0
	for i := range len(text) {
		if text[i] != '`' {
			run = 0
			continue
		}
		run++
		n = max(n, run+1)
	}
	return strings.Repeat("`", n)
}

func reversed(delimiters string) string {
	b := []byte(delimiters)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// edge returns the character of a text next to another text.
func edge(text string, end bool) string {
	r := first(text)
	if end {
		r = last(text)
	}
	if r == none || r == '\n' {
		return ""
	}
	return string(r)
}

// encloses reports whether the first and the last n bytes of marked are recognized
// as delimiters between two texts.
func encloses(before, marked, after string, n int) bool {
	from, to, at := len(before), len(before)+len(marked), 0
	read := 0 // bytes of delimiters at the edges
	for _, s := range appendInline(nil, before+marked+after, kaban) {
		begin, end := at, at+len(s.Text)
		at = end
		if s.Mark && (begin >= from && end <= from+n || begin >= to-n && end <= to) {
			read += len(s.Text)
		}
	}
	return read == 2*n
}

package markup

import "strings"

// slack is the markup of Slack: one character where ours has two.
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

// FromSlack returns a text that looks here as it does in Slack: with its
// emphasis, its quotes and its blocks of code. References and entities must have
// been replaced before. What is no markup in Slack stays as it is.
func FromSlack(text string) string {
	var out strings.Builder
	from, at := 0, 0 // where prose begins that is not written yet, and the rest
	for {
		begin := strings.Index(text[at:], fence)
		if begin < 0 {
			break
		}
		begin += at
		code, rest, closed := strings.Cut(text[begin+len(fence):], fence)
		if !closed {
			break
		}
		at = len(text) - len(rest)
		if !strings.Contains(code, "\n") || isBlank(code) { // our code within a line has any number of backticks
			continue
		}
		if prose := strings.TrimRight(text[from:begin], blanks); prose != "" {
			proseFromSlack(&out, prose)
			if !strings.HasSuffix(prose, "\n") {
				out.WriteByte('\n')
			}
		}
		out.WriteString(fence + "\n" + strings.TrimSuffix(strings.TrimPrefix(code, "\n"), "\n") + "\n" + fence)
		for at < len(text) && strings.IndexByte(blanks, text[at]) >= 0 {
			at++
		}
		if from = at; at < len(text) && text[at] != '\n' {
			out.WriteByte('\n')
		}
	}
	proseFromSlack(&out, text[from:])
	return out.String()
}

// proseFromSlack writes a text that is in no block of code.
func proseFromSlack(out *strings.Builder, text string) {
	all := false // all that follows is quoted
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
		case isBlank(l):
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

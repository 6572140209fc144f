// Package markup parses the markup of messages: emphasis, code, quotes, tables,
// addresses and mentions. docs/markup.md specifies it.
//
// It guarantees that nothing is lost: the texts of the spans of a line,
// concatenated, are the line as it was typed. Only delimiters of recognized markup
// are marks, which a display may hide. Time and memory grow linearly with the
// content. The web page has the same rules in TypeScript
// (internal/web/page/src/markup.ts), and both pass the table in markuptest.
//
// The package neither renders nor sanitizes; a display does both.
package markup

import "strings"

// Style is a set of styles of a span.
type Style uint8

// The styles. Bold, Italic and Struck combine with each other and with the rest.
const (
	Bold Style = 1 << iota
	Italic
	Struck
	Code
	Address  // of a web page or an e-mail, as it was sent
	Mention  // of a person or of everyone, with its "@"
	Language // of a block of code
)

// Span is a part of a line.
type Span struct {
	Text  string
	Style Style
	// Mark is set if the text is a delimiter of markup.
	Mark bool
	// tail is the text after a mention that may be part of the name: both names
	// and sentences can end in "-" and "_".
	tail string
}

// Kind is the structure that a line is part of.
type Kind uint8

// The kinds of lines.
const (
	Text Kind = iota
	// Block is a line of a block of code. Its first and last line contain the
	// fences, which are marks, and possibly nothing else.
	Block
	// Head, Rule and Row are the lines of a table: the first, the line of dashes
	// below it, and all others.
	Head
	Rule
	Row
)

// Line is a line of a content.
type Line struct {
	Kind  Kind
	Quote int // depth of quotes, at most MaxQuote
	Spans []Span
}

// MaxQuote is the maximum nesting of quotes; further ">" are text.
const MaxQuote = 3

const fence = "```"

// Parse parses a content.
func Parse(content string) []Line {
	texts := strings.Split(content, "\n")
	lines := make([]Line, 0, len(texts))
	closers := closersOf(texts)
	for i := 0; i < len(texts); {
		if n := blockAt(texts, closers, i); n > 0 {
			lines = appendBlock(lines, texts[i:i+n])
			i += n
			continue
		}
		if n := tableAt(texts[i:]); n > 0 {
			lines = appendTable(lines, texts[i:i+n])
			i += n
			continue
		}
		quoted := i > 0 && lines[i-1].Quote > 0
		lines = append(lines, textLine(texts[i], quoted, kaban))
		i++
	}
	return lines
}

// textLine parses a line outside of blocks. If the previous line is quoted, a lone
// ">" is an empty line of that quote.
func textLine(s string, quoted bool, d dialect) Line {
	if quoted && isLoneQuote(s) {
		return Line{Quote: 1, Spans: []Span{{Text: s, Mark: true}}}
	}
	depth := quoteDepth(s)
	var l Line
	if depth > 0 {
		l = Line{Quote: depth, Spans: []Span{{Text: s[:2*depth], Mark: true}}}
	}
	l.Spans = appendInline(l.Spans, s[2*depth:], d)
	return l
}

// quoteDepth returns the number of "> " at the beginning of a line that are
// followed by something visible.
func quoteDepth(s string) (depth int) {
	for depth < MaxQuote && strings.HasPrefix(s, "> ") && !isBlank(s[2:]) {
		depth++
		s = s[2:]
	}
	return depth
}

func isLoneQuote(s string) bool { return strings.TrimRight(s, blanks) == ">" }

// closer is the fence at the end of a line that may close a block of code.
type closer struct {
	n    int
	most int // maximum of this line and all below
}

// closersOf returns the closers of all lines, or nil if there are no fences.
func closersOf(texts []string) []closer {
	var closers []closer
	most := 0
	for i := len(texts) - 1; i >= 0; i-- {
		if !strings.Contains(texts[i], fence) {
			if closers != nil {
				closers[i].most = most
			}
			continue
		}
		if closers == nil {
			closers = make([]closer, len(texts))
		}
		s := strings.TrimRight(texts[i], blanks)
		before := strings.TrimRight(s, "`")
		if n := len(s) - len(before); n >= len(fence) && !strings.Contains(before, fence) {
			closers[i].n = n
			most = max(most, n)
		}
		closers[i].most = most
	}
	return closers
}

// blockAt returns the number of lines of the block of code that begins at a line,
// or 0. A fence that is never closed, or has nothing in it, is text.
func blockAt(texts []string, closers []closer, i int) int {
	if closers == nil {
		return 0
	}
	n, rest := cutFence(texts[i])
	if n == 0 || i+1 == len(texts) || closers[i+1].most < n {
		return 0
	}
	j := i + 1
	something := !isBlank(rest) && !isLanguage(strings.Trim(rest, blanks))
	for ; closers[j].n < n; j++ {
		something = something || !isBlank(texts[j])
	}
	if last := texts[j]; !something && isBlank(strings.TrimRight(strings.TrimRight(last, blanks), "`")) {
		return 0
	}
	return j - i + 1
}

// cutFence returns the length of the fence at the beginning of a line and the rest
// of the line. The length is 0 if there is none, or if the line has more
// backticks.
func cutFence(s string) (n int, rest string) {
	s = strings.TrimLeft(s, blanks)
	rest = strings.TrimLeft(s, "`")
	if n = len(s) - len(rest); n < len(fence) || strings.Contains(rest, "`") {
		return 0, ""
	}
	return n, rest
}

// maxLanguage is the length of the longest language name, in bytes.
const maxLanguage = 24

func isLanguage(s string) bool {
	if s == "" || len(s) > maxLanguage {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isASCIIWord(c) && !strings.ContainsRune("+#._-", rune(c)) {
			return false
		}
	}
	return true
}

// appendBlock appends the lines of a block of code, including the fences.
func appendBlock(lines []Line, texts []string) []Line {
	add := func(spans ...Span) {
		l := Line{Kind: Block}
		for _, s := range spans {
			if s.Text != "" {
				l.Spans = append(l.Spans, s)
			}
		}
		lines = append(lines, l)
	}
	first, last := texts[0], texts[len(texts)-1]
	_, rest := cutFence(first)
	fence := first[:len(first)-len(rest)]
	if name := strings.Trim(rest, blanks); name == "" {
		add(Span{Text: first, Mark: true})
	} else if isLanguage(name) {
		at := len(fence) + strings.Index(rest, name)
		add(Span{Text: first[:at], Mark: true}, Span{Text: name, Style: Language}, Span{Text: first[at+len(name):], Mark: true})
	} else {
		add(Span{Text: fence, Mark: true}, Span{Text: rest, Style: Code})
	}
	for _, s := range texts[1 : len(texts)-1] {
		add(Span{Text: s, Style: Code})
	}
	code := strings.TrimRight(strings.TrimRight(last, blanks), "`")
	if strings.Trim(code, blanks) == "" {
		code = ""
	}
	add(Span{Text: code, Style: Code}, Span{Text: last[len(code):], Mark: true})
	return lines
}

package markup

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// dialect maps a run of n delimiters to its style; 0 is none.
type dialect func(c byte, n int) Style

func kaban(c byte, n int) Style {
	switch {
	case c == '*' && n == 1, c == '_' && n == 1:
		return Italic
	case c == '*' && n == 2:
		return Bold
	case c == '*' && n == 3:
		return Bold | Italic
	case c == '~' && n == 2:
		return Struck
	}
	return 0
}

// token is a span before delimiters are matched.
type token struct {
	Span
	delimiter   byte // 0 for text
	opens       bool
	closes      bool
	begin, ends Style // style that a matched delimiter begins or ends
}

// appendInline appends the spans of a single line of text.
func appendInline(spans []Span, s string, d dialect) []Span {
	if s == "" {
		return spans
	}
	if !strings.ContainsAny(s, "*_~`@:") {
		return append(spans, Span{Text: s})
	}
	sc := scanner{s: s, dialect: d, partner: backticks(s)}
	sc.scan()
	match(sc.tokens, d)
	return appendTokens(spans, s, sc.tokens)
}

// scanner splits a text into tokens.
type scanner struct {
	s       string
	dialect dialect
	partner map[int]int // of a run of backticks: start of the next run of its length
	tokens  []token
	from    int // start of the text that is in no token yet
}

func (sc *scanner) scan() {
	for i := 0; i < len(sc.s); {
		switch c := sc.s[i]; c {
		case '`':
			i = sc.code(i)
		case '*', '_', '~':
			i = sc.delimiters(i)
		case '@':
			i = sc.mention(i)
		case 'h', 'H', 'm', 'M':
			i = sc.address(i)
		default:
			i++
		}
	}
	sc.text(len(sc.s))
}

// text makes a token of the text before i.
func (sc *scanner) text(i int) {
	if i > sc.from {
		sc.tokens = append(sc.tokens, token{Span: Span{Text: sc.s[sc.from:i]}})
	}
	sc.from = i
}

// take makes a token of s[i:j], and one of the text before it.
func (sc *scanner) take(i, j int, t token) {
	sc.text(i)
	t.Text = sc.s[i:j]
	sc.tokens = append(sc.tokens, t)
	sc.from = j
}

// backticks returns the partner of each run of backticks: the start of the next
// run of the same length.
func backticks(s string) map[int]int {
	var partner, last map[int]int // last: by length
	for end := strings.LastIndexByte(s, '`') + 1; end > 0; end = strings.LastIndexByte(s[:end], '`') + 1 {
		begin := len(strings.TrimRight(s[:end], "`"))
		if partner == nil {
			partner, last = make(map[int]int), make(map[int]int)
		}
		if next, ok := last[end-begin]; ok {
			partner[begin] = next
		}
		last[end-begin] = begin
		end = begin
	}
	return partner
}

// code reads a run of backticks and, if it has a partner, the code in between.
func (sc *scanner) code(i int) int {
	j := i
	for j < len(sc.s) && sc.s[j] == '`' {
		j++
	}
	k, ok := sc.partner[i]
	if !ok || !beginsCode(sc.s[j:k]) {
		return j
	}
	end := k + j - i
	sc.take(i, j, token{Span: Span{Mark: true, Style: Code}})
	sc.take(j, k, token{Span: Span{Style: Code}})
	sc.take(k, end, token{Span: Span{Mark: true, Style: Code}})
	return end
}

// beginsCode reports whether a code is visible and does not begin with a combining
// mark.
func beginsCode(s string) bool {
	first, _ := utf8.DecodeRuneInString(s)
	return !unicode.IsMark(first) && !isBlank(s)
}

// delimiters reads adjacent runs of delimiters. The characters around all of them
// decide whether they open or close.
func (sc *scanner) delimiters(i int) int {
	end := i
	for end < len(sc.s) && isDelimiter(sc.s[end]) {
		end++
	}
	before, after := sc.s[:i], sc.s[end:]
	opens := beforeOpening(last(before)) && beginsEmphasis(after)
	closes := endsEmphasis(before) && afterClosing(after)
	if !opens && !closes {
		return end
	}
	for i < end {
		j := i + 1
		for j < end && sc.s[j] == sc.s[i] {
			j++
		}
		if sc.dialect(sc.s[i], j-i) != 0 {
			sc.take(i, j, token{delimiter: sc.s[i], opens: opens, closes: closes})
		}
		i = j
	}
	return end
}

const delimiters = "*_~"

func isDelimiter(c byte) bool { return c == '*' || c == '_' || c == '~' }

// none is the character before the beginning or after the end of a text.
const none rune = -1

func last(s string) rune {
	if s == "" {
		return none
	}
	r, _ := utf8.DecodeLastRuneInString(s)
	return r
}

func first(s string) rune {
	if s == "" {
		return none
	}
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

// beforeOpening reports whether emphasis may begin after r.
func beforeOpening(r rune) bool {
	if r < utf8.RuneSelf {
		return r == none || strings.ContainsRune(" \t([{\"'", r)
	}
	return !isWord(r)
}

// beginsEmphasis reports whether emphasis may begin before a text.
func beginsEmphasis(s string) bool {
	r := first(s)
	if r < utf8.RuneSelf {
		return r != none && (isASCIIWord(byte(r)) || strings.ContainsRune("([{@#$&`", r))
	}
	return !isInvisible(r) && !unicode.IsMark(r)
}

// endsEmphasis reports whether emphasis may end after a text.
func endsEmphasis(s string) bool {
	r := last(s)
	switch {
	case r == '.': // excludes *.*
		r := last(strings.TrimRight(s[:len(s)-1], delimiters))
		return r != none && !isInvisible(r)
	case r < utf8.RuneSelf:
		return r > ' ' && r != 0x7f && !strings.ContainsRune(`([{</\=|^-`, r)
	}
	return !isInvisible(r)
}

// afterClosing reports whether emphasis may end before a text.
func afterClosing(s string) bool {
	r := first(s)
	switch {
	case r == '.': // *a*.txt is not emphasis
		return !isWord(first(s[1:]))
	case r < utf8.RuneSelf:
		return r == none || strings.ContainsRune(" \t)]}\"',;:!?", r)
	}
	return !isWord(r)
}

// match pairs the delimiters: a delimiter closes the nearest equal one that is
// still open; the delimiters in between are text.
func match(tokens []token, d dialect) {
	type key struct {
		delimiter byte
		n         int
	}
	var open []int // tokens
	count := make(map[key]int)
	for i := range tokens {
		t := &tokens[i]
		if t.delimiter == 0 {
			continue
		}
		k := key{t.delimiter, len(t.Text)}
		switch {
		case t.closes && count[k] > 0:
			for {
				partner := &tokens[open[len(open)-1]]
				open = open[:len(open)-1]
				found := key{partner.delimiter, len(partner.Text)}
				count[found]--
				if found == k {
					partner.begin = d(k.delimiter, k.n)
					t.ends = partner.begin
					break
				}
			}
		case t.opens:
			open = append(open, i)
			count[k]++
		}
	}
}

// appendTokens converts the tokens of a text to spans. It merges adjacent ones of
// the same style.
func appendTokens(spans []Span, text string, tokens []token) []Span {
	depth := [3]int{} // of Bold, Italic and Struck
	change := func(s Style, by int) {
		for n := range depth {
			if s&(1<<n) != 0 {
				depth[n] += by
			}
		}
	}
	begun := len(spans)
	from, end := 0, 0 // of the last span, in text
	for _, t := range tokens {
		change(t.ends, -1)
		s := t.Span
		for n := range depth {
			if depth[n] > 0 {
				s.Style |= 1 << n
			}
		}
		change(t.begin, 1)
		s.Mark = s.Mark || t.begin|t.ends != 0
		end += len(s.Text)
		if n := len(spans); n > begun && !s.Mark && s.Style&^(Bold|Italic|Struck) == 0 {
			if last := &spans[n-1]; !last.Mark && last.Style == s.Style {
				last.Text = text[from:end]
				continue
			}
		}
		from = end - len(s.Text)
		spans = append(spans, s)
	}
	return spans
}

// isASCIIWord reports whether c is an ASCII letter or digit.
func isASCIIWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// isWord reports whether r is part of a word.
func isWord(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 0 && isASCIIWord(byte(r))
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r)
}

// blanks may surround the parts of markup.
const blanks = " \t"

// isInvisible reports whether r is invisible by itself.
func isInvisible(r rune) bool {
	return unicode.In(r, unicode.White_Space, unicode.Cc, unicode.Cf)
}

// isBlank reports whether nothing in a text is visible.
func isBlank(s string) bool {
	for _, r := range s {
		if !isInvisible(r) {
			return false
		}
	}
	return true
}

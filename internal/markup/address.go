package markup

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// schemes are the beginnings of addresses.
var schemes = []string{"https://", "http://", "mailto:"}

// HasAddress reports whether a content has an address outside of code.
func HasAddress(content string) bool {
	if !strings.Contains(content, ":") {
		return false
	}
	for _, l := range Parse(content) {
		for _, s := range l.Spans {
			if s.Style&Address != 0 {
				return true
			}
		}
	}
	return false
}

// address reads an address that begins at i, if any.
func (sc *scanner) address(i int) int {
	n := 0
	for _, scheme := range schemes {
		if len(sc.s)-i > len(scheme) && strings.EqualFold(sc.s[i:i+len(scheme)], scheme) {
			n = len(scheme)
		}
	}
	if r := last(sc.s[:i]); n == 0 || r >= 0 && r < utf8.RuneSelf && isWord(r) {
		return i + 1
	}
	end := i + n
	if r := first(sc.s[end:]); r == '[' || isWord(r) {
		end += addressEnd(sc.s[end:])
	}
	if end > i+n {
		sc.take(i, end, token{Span: Span{Style: Address}})
	}
	return end
}

// addressEnd returns the end of an address after its scheme: before a character
// that is not allowed in addresses, before a bracket that closes an earlier one,
// and before trailing punctuation that belongs to the sentence.
func addressEnd(s string) int {
	var open [3]int
	end := strings.IndexFunc(s, func(r rune) bool {
		if n := strings.IndexRune("([{", r); n >= 0 {
			open[n]++
		} else if n := strings.IndexRune(")]}", r); n >= 0 {
			open[n]--
			return open[n] < 0
		}
		return endsAddress(r)
	})
	if end < 0 {
		end = len(s)
	}
	return len(strings.TrimRight(s[:end], ".,:;!?'*_~…([{"))
}

// endsAddress reports whether r ends an address: white space, invisible
// characters, quotes and brackets around addresses, and the punctuation of scripts
// without spaces.
func endsAddress(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return r <= ' ' || r == 0x7f || strings.ContainsRune("<>\"`|\\^", r)
	case r >= 0x3000 && r <= 0x303f: // 、。「」
		return true
	case r >= 0xff01 && r <= 0xff5e: // full-width ，．！？
		return !isWord(r)
	case strings.ContainsRune("“”„‘’«»‹›", r):
		return true
	}
	return isInvisible(r)
}

// The rules of names are in package kaban; a mention needs to know their
// characters only.
const maxName = 32

// mention reads a mention, if one begins at i. A mention is "@" and a name; it
// does not stand behind a word, as in an address of mail, nor before another
// "@".
func (sc *scanner) mention(i int) int {
	b := last(strings.TrimRight(sc.s[:i], delimiters))
	if b != '.' && isNameRune(b) || strings.ContainsRune(`@/\+%`, b) {
		return i + 1
	}
	run := sc.s[i+1:]
	if n := strings.IndexFunc(run, func(r rune) bool { return !isNameRune(r) }); n >= 0 {
		run = run[:n]
	}
	end := i + 1 + len(run)
	name := strings.TrimRight(run, "._-")
	if name == "" || first(sc.s[end:]) == '@' || unicode.IsMark(first(name)) || utf8.RuneCountInString(name) > maxName {
		return end
	}
	sc.take(i, i+1+len(name), token{Span: Span{Style: Mention, tail: run[len(name):]}})
	return i + 1 + len(name)
}

// isNameRune reports whether names have r.
func isNameRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 0 && isASCIIWord(byte(r)) || r == '_' || r == '-' || r == '.'
	}
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.Is(unicode.Nd, r)
}

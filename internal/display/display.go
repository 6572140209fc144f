// Package display makes text from other people safe to print. Whatever arrives
// is cleaned at the moment of display, also what a server should have refused:
// no escape sequence, no control character, no trick with the direction of
// text, and no invisible character but where letters and emoji need it gets
// through to a terminal.
package display

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxMarks is how many characters in a row are shown that take no room of their
// own, such as combining marks; no script needs more, and hundreds of them paint
// over the lines around.
const maxMarks = 8

// Line returns text as one line: a newline becomes the two characters \n, and
// what must not reach a terminal becomes its code point in angle brackets, such
// as <U+202E>. Tabs stay. It returns the same string where nothing changes.
func Line(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	base, before := rune(-1), rune(-1) // the last character with room of its own, and the last of all
	marks := 0                         // how many without have come since
	endMarks := func() {
		if marks > maxMarks {
			fmt.Fprintf(&b, "<%d marks>", marks-maxMarks)
		}
		marks = 0
	}
	for i, r := range s {
		shown := true
		if isMark(r) {
			if marks++; marks <= maxMarks {
				next, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
				shown = belongs(r, base, before, next)
			}
		} else {
			endMarks()
			base, shown = r, !isUnsafe(r)
		}
		switch {
		case marks > maxMarks:
		case r == '\n':
			b.WriteString(`\n`)
		case !shown:
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
		before = r
	}
	endMarks()
	return b.String()
}

// JSON returns a JSON text with escapes for the characters that are invisible
// or control a terminal or the direction of text. It means the same.
func JSON(text string) string {
	if isPlain(strings.TrimSuffix(text, "\n")) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case r < 0x7f || !unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}

const (
	joiner         = '\u200d' // makes one emoji of several, and letters join
	nonJoiner      = '\u200c'
	variationText  = '\ufe0e'
	variationEmoji = '\ufe0f'
	blackFlag      = '\U0001f3f4' // begins the flags that are made of tags, such as Scotland's
)

// isMark reports whether a character takes no room of its own.
func isMark(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u3164', '\uffa0': // letters that are blank
		return true
	}
	return unicode.In(r, unicode.M, unicode.Cf)
}

// belongs reports whether a mark has a meaning where it stands: behind a base
// and perhaps other marks, the last of which is before.
func belongs(mark, base, before, next rune) bool {
	switch {
	case mark == joiner, mark == nonJoiner:
		return joins(base) && joins(next) && before != joiner && before != nonJoiner
	case mark == variationText, mark == variationEmoji:
		return before == base && base > ' '
	case mark >= 0xe0020 && mark <= 0xe007f:
		return base == blackFlag
	case mark == '\u034f', mark == '\u17b4', mark == '\u17b5': // blank
		return false
	}
	return unicode.Is(unicode.M, mark) && !unicode.Is(unicode.Variation_Selector, mark)
}

// joins reports whether a character is a letter, or may be part of an emoji.
func joins(r rune) bool { return unicode.IsLetter(r) || unicode.IsSymbol(r) && r != utf8.RuneError }

// isUnsafe reports whether a character with room of its own must not reach a
// terminal: it controls it, breaks the line, or is none.
func isUnsafe(r rune) bool {
	return r != '\t' && unicode.In(r, unicode.Cc, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp) ||
		r >= 0xfff0 && r <= 0xfff8 || r&0xfffe == 0xfffe
}

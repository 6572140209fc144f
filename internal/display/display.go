// Package display makes text from other people safe to print. It sanitizes all text
// right before printing, including text that a server should have rejected.
// Escape sequences, control characters and direction marks never reach the
// terminal; invisible characters do only where letters and emoji need them.
package display

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// maxMarks is the maximum number of consecutive zero-width characters, such as
// combining marks. No script needs more, and hundreds of them paint over other
// lines.
const maxMarks = 8

// Line returns text as one line. It replaces a newline with the two characters \n,
// and an unsafe character with its code point in angle brackets, such as <U+202E>.
// Tabs stay. It returns s itself if nothing changes.
func Line(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	base, before := rune(-1), rune(-1) // the last character with a width, and the last of all
	marks := 0                         // zero-width characters since base
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

// JSON escapes the characters in a JSON text that are invisible or that control
// a terminal or the direction of text. The result is equivalent JSON.
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
	joiner         = '\u200d' // joins emoji into one, and letters
	nonJoiner      = '\u200c'
	variationText  = '\ufe0e'
	variationEmoji = '\ufe0f'
	blackFlag      = '\U0001f3f4' // begins flags with tags, such as Scotland's
)

// isMark reports whether a character has no width.
func isMark(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u3164', '\uffa0': // letters that are blank
		return true
	}
	return unicode.In(r, unicode.M, unicode.Cf)
}

// belongs reports whether a mark has a meaning after its base, where before is the
// character directly before it and next the one after it.
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

// isUnsafe reports whether a character with a width must not reach a terminal: it
// is a control character, breaks the line, or is not a valid character.
func isUnsafe(r rune) bool {
	return r != '\t' && unicode.In(r, unicode.Cc, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp) ||
		r >= 0xfff0 && r <= 0xfff8 || r&0xfffe == 0xfffe
}

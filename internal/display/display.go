// Package display makes text from other people safe to print. Whatever arrives
// is cleaned at the moment of display, also what a server should have refused:
// no escape sequence, no control character, no trick with the direction of
// text and no invisible character gets through to a terminal.
package display

import (
	"fmt"
	"strings"
	"unicode"
)

// maxMarks is how many combining marks in a row are shown; no script needs
// more, and hundreds of them paint over the lines around.
const maxMarks = 8

// Line returns text as one line: a newline becomes the two characters \n, and
// what must not reach a terminal becomes its code point in angle brackets, such
// as <U+202E>. Tabs stay. It returns the same string where nothing changes.
func Line(s string) string {
	if isPlain(s) {
		return s
	}
	var b strings.Builder
	marks, hidden := 0, 0
	flush := func() {
		if hidden > 0 {
			fmt.Fprintf(&b, "<%d marks>", hidden)
			hidden = 0
		}
	}
	for _, r := range s {
		if unicode.Is(unicode.M, r) && r != variationText && r != variationEmoji {
			if marks++; marks > maxMarks {
				hidden++
				continue
			}
		} else {
			flush()
			marks = 0
		}
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteByte('\t')
		case isUnsafe(r):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
	}
	flush()
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
)

// isUnsafe reports whether a character must not reach a terminal: it is
// invisible, controls the terminal or the direction of the text, or is none.
func isUnsafe(r rune) bool {
	switch {
	case r == joiner, r == nonJoiner:
		return false
	case r == '\u2028', r == '\u2029': // line and paragraph separator
		return true
	case r == '\u034f', r == '\u115f', r == '\u1160', r == '\u17b4', r == '\u17b5', r == '\u3164', r == '\uffa0': // blank letters
		return true
	case unicode.Is(unicode.Variation_Selector, r):
		return r != variationText && r != variationEmoji
	case r >= 0xe0020 && r <= 0xe007f: // the tags of flags such as Scotland's
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co) || r >= 0xfff0 && r <= 0xfff8 || r&0xfffe == 0xfffe
}

package preview

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// maxMarks is the maximum number of consecutive combining marks. No script needs more, and
// hundreds of them paint over other lines.
const maxMarks = 8

// clean returns a text as one line of at most so many code points, "…" included if it was
// longer. It removes control characters, those that direct or hide text, and all that is
// invisible but joins no letters or emoji. White space becomes single spaces.
func clean(s string, most int) string {
	var (
		b      strings.Builder
		before = ' ' // the last character in b
		joiner rune  // that belongs into b if a letter or symbol follows
		marks  int   // consecutive ones
	)
	for _, r := range s {
		if unicode.IsSpace(r) {
			r = ' '
		}
		isMark := unicode.Is(unicode.M, r)
		switch {
		case isUnsafe(r), r == ' ' && before == ' ':
			continue
		case isJoiner(r):
			joiner = r
			continue
		case !isMark:
			marks = 0
		case before == ' ' || marks == maxMarks:
			continue
		default:
			marks++
		}
		if joiner != 0 && !isMark && r != ' ' && before != ' ' {
			b.WriteRune(joiner)
		}
		joiner = 0
		b.WriteRune(r)
		before = r
	}
	return cut(strings.TrimRight(b.String(), " "), most)
}

// cut shortens a text to so many code points, if possible between characters as people see
// them.
func cut(s string, most int) string {
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	const ellipsis = "…"
	end, n := 0, 1 // the ellipsis
	for g := graphemes.FromString(s); g.Next(); {
		if n += utf8.RuneCountInString(g.Value()); n > most {
			break
		}
		end += len(g.Value())
	}
	if end == 0 { // it is one character
		end = len(string([]rune(s)[:most-1]))
	}
	return strings.TrimRight(s[:end], " \u200c\u200d") + ellipsis
}

func isJoiner(r rune) bool { return r == '\u200c' || r == '\u200d' }

// isUnsafe reports whether a character must not be in a text: it controls something, is
// invisible or is no character. Joiners are not unsafe.
func isUnsafe(r rune) bool {
	switch r {
	case '\u115f', '\u1160', '\u3164', '\uffa0', '\u2800': // letters that are blank
		return true
	case '\u034f', '\u17b4', '\u17b5', '\u180b', '\u180c', '\u180d', '\u180f': // marks that are blank
		return true
	}
	return !isJoiner(r) && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp) ||
		unicode.Is(unicode.Variation_Selector, r) && r != '\ufe0e' && r != '\ufe0f' ||
		r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
}

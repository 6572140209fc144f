package search

import (
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// folded is a text without the differences that a search ignores.
type folded struct {
	text string
	// from and to map each byte of text to the bytes of the original that it stands for. They
	// are nil if the text was not tracked, and for ASCII, in which nothing moves.
	from, to []int32
}

// fold folds a text. Folding twice is folding once. With track it keeps where everything
// came from.
func fold(text string, track bool) folded {
	if isASCII(text) {
		return folded{text: strings.ToLower(text)}
	}
	var f folded
	w := folder{foldings: foldings(), out: make([]byte, 0, len(text)+len(text)/8)}
	for at := 0; at < len(text); {
		end := at + segment(text[at:])
		n := len(w.out)
		w.add(text[at:end])
		if track {
			for range len(w.out) - n {
				f.from, f.to = append(f.from, int32(at)), append(f.to, int32(end))
			}
		}
		at = end
	}
	f.text = string(w.out)
	return f
}

// origin returns the bytes of the original that a part of the folded text stands for.
func (f *folded) origin(start, end int) (int, int) {
	if f.from == nil || start >= end {
		return start, end
	}
	return int(f.from[start]), int(f.to[end-1])
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// segment returns the length of the shortest start of a text that normalizes by itself.
func segment(text string) int {
	_, size := utf8.DecodeRuneInString(text)
	if size == len(text) {
		return size
	}
	if next, _ := utf8.DecodeRuneInString(text[size:]); isStarter(next) {
		return size
	}
	return max(norm.NFKC.NextBoundaryInString(text, true), 1)
}

// isSettled reports whether a code point is one of the many that fold to themselves: kana,
// ideographs, and Hangul.
func isSettled(r rune) bool {
	return r >= 0x3041 && r <= 0x3096 || r >= 0x30A1 && r <= 0x30FE || r >= 0x4E00 && r <= 0x9FFF || r >= 0xAC00 && r <= 0xD7A3
}

// common are ranges of code points of which each folds by itself to something else: Latin,
// Greek and Cyrillic, and typographic and full-width punctuation.
var common = [...]struct{ first, last rune }{{0, 0x2FF}, {0x370, 0x482}, {0x2010, 0x205E}, {0x3000, 0x301F}, {0xFF01, 0xFF60}}

// foldings has what the code points of the common ranges fold to.
var foldings = sync.OnceValue(func() (all [len(common)][]string) {
	var w folder
	for i, c := range common {
		for r := c.first; r <= c.last; r++ {
			all[i] = append(all[i], w.fold(string(r)))
		}
	}
	return all
})

// isStarter reports whether a code point is one of the many that never combine with what
// precedes them.
func isStarter(r rune) bool {
	if isSettled(r) {
		return true
	}
	for i := range common {
		if r >= common[i].first && r <= common[i].last {
			return true
		}
	}
	return false
}

// folder folds segments one after the other.
type folder struct {
	out      []byte
	foldings [len(common)][]string
	caser    *cases.Caser
}

func (w *folder) add(segment string) {
	r, size := utf8.DecodeRuneInString(segment)
	switch {
	case r == utf8.RuneError && size == 1: // no UTF-8: it separates
		w.out = append(w.out, ' ')
	case size < len(segment):
		w.out = append(w.out, w.fold(segment)...)
	case r < utf8.RuneSelf:
		w.out = append(w.out, byte(unicode.ToLower(r)))
	case isSettled(r):
		w.out = append(w.out, segment...)
	default:
		w.out = append(w.out, w.foldOne(r, segment)...)
	}
}

// foldOne folds a segment of one code point.
func (w *folder) foldOne(r rune, segment string) string {
	for i, c := range common {
		if r >= c.first && r <= c.last {
			return w.foldings[i][r-c.first]
		}
	}
	if unicode.SimpleFold(r) == r && norm.NFKD.QuickSpanString(segment) == len(segment) { // it has no case
		if isDropped(r) {
			return ""
		}
		return segment
	}
	return w.fold(segment)
}

func (w *folder) fold(s string) string {
	if w.caser == nil {
		c := cases.Fold()
		w.caser = &c
	}
	s = norm.NFKD.String(w.caser.String(norm.NFKC.String(s)))
	var b strings.Builder
	for _, r := range s {
		r = unicode.ToLower(r) // cases folds Cherokee back and forth
		switch {
		case isDropped(r):
		case plain[r] != "":
			b.WriteString(plain[r])
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// plain are the letters with a form that people without them on their keyboard type
// instead, and that Unicode does not decompose.
var plain = map[rune]string{
	'æ': "ae", 'œ': "oe", 'ð': "d", 'đ': "d", 'ħ': "h", 'ı': "i", 'ł': "l", 'ø': "o", 'þ': "th", 'ŧ': "t",
}

// isDropped reports whether a code point makes no difference: accents, the vowel signs
// of Arabic and Hebrew, which few people type, the Arabic tatweel, and invisible
// characters. The voicing marks of kana and the vowel signs of Indic scripts are letters to
// those that read them.
func isDropped(r rune) bool {
	switch {
	case r < 0x300:
		return r == 0xAD // the soft hyphen
	case r == 0x3099 || r == 0x309A:
		return false
	case unicode.In(r, unicode.Mn, unicode.Me):
		return unicode.In(r, unicode.Inherited, unicode.Arabic, unicode.Hebrew)
	}
	return r == 0x640 || unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point)
}

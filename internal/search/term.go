package search

import (
	"unicode"
	"unicode/utf8"
)

// Terms returns the terms of a text in order, each as often as it occurs, at most MaxTerms
// of at most MaxTerm bytes. They contain only letters, combining marks and numbers.
func Terms(text string) []string {
	f := fold(text, false)
	return texts(f.text, tokens(f.text))
}

// texts returns the terms themselves, which share the memory of the text.
func texts(text string, all []token) []string {
	terms := make([]string, len(all))
	for i, t := range all {
		terms[i] = text[t.start:t.end]
	}
	return terms
}

// token is a term and its place in the folded text.
type token struct {
	start, end int
	kind       kind
}

// kind is how a term came to be.
type kind uint8

const (
	word kind = iota
	pair      // two characters of a run
	tail      // the last character of a run, after a pair
	lone      // the only character of a run
)

// tokens returns the terms of a folded text.
func tokens(text string) []token {
	s := scanner{text: text, all: make([]token, 0, min(len(text)/6+4, MaxTerms)), word: none}
	for at, r := range text {
		switch classOf(r) {
		case letter:
			s.endRun(at)
			if s.word == none {
				s.word = at
			}
		case dense:
			s.endWord(at)
			s.character(at)
		case mark: // belongs to what it follows
		default:
			s.end(at)
		}
	}
	s.end(len(text))
	return s.all
}

const none = -1

// scanner collects tokens. It is inside a word, inside a run, or between them.
type scanner struct {
	text string
	all  []token
	word int // where the word began, or none
	// run counts the characters of the run. The last two began at before and last.
	run, before, last int
}

func (s *scanner) end(at int) {
	s.endWord(at)
	s.endRun(at)
}

func (s *scanner) endWord(at int) {
	if s.word != none {
		s.add(s.word, at, word)
		s.word = none
	}
}

// character begins the next character of a run, which makes a pair of the two before it.
func (s *scanner) character(at int) {
	if s.run >= 2 {
		s.add(s.before, at, pair)
	}
	s.run, s.before, s.last = s.run+1, s.last, at
}

func (s *scanner) endRun(at int) {
	switch {
	case s.run == 1:
		s.add(s.last, at, lone)
	case s.run > 1:
		s.add(s.before, at, pair)
		s.add(s.last, at, tail)
	}
	s.run = 0
}

// add adds a term, within the limits.
func (s *scanner) add(start, end int, k kind) {
	if len(s.all) == MaxTerms {
		return
	}
	if end-start > MaxTerm {
		end = start + MaxTerm
		for !utf8.RuneStart(s.text[end]) {
			end--
		}
	}
	s.all = append(s.all, token{start, end, k})
}

// IsOfRun reports whether a term is of a script that is indexed in pairs: one or two
// characters of a run, as opposed to a word.
func IsOfRun(term string) bool {
	r, _ := utf8.DecodeRuneInString(term)
	return classOf(r) == dense
}

// class is what a code point is to the scanner.
type class uint8

const (
	separator class = iota
	letter          // of a word, or a number
	dense           // a letter of a script that is indexed in pairs
	mark
)

// pairs are the scripts that are indexed in pairs: those in which UAX #29 without a
// dictionary takes every letter for a word, and Katakana and Hangul.
var pairs = []*unicode.RangeTable{
	unicode.Han, unicode.Hangul, unicode.Hiragana, unicode.Katakana,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
	unicode.Tai_Le, unicode.New_Tai_Lue, unicode.Tai_Tham, unicode.Tai_Viet, unicode.Ahom,
	unicode.Tangut, unicode.Nushu, unicode.Khitan_Small_Script,
}

func classOf(r rune) class {
	switch {
	case r < utf8.RuneSelf:
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return letter
		}
		return separator
	case r < 0xE00: // below all scripts that are indexed in pairs
	case r >= 0x4E00 && r <= 0x9FFF, r >= 0xAC00 && r <= 0xD7A3: // most of them
		return dense
	case r == 'ー', r == '〆': // of no one script
		return dense
	case unicode.In(r, pairs...) && (unicode.IsLetter(r) || unicode.Is(unicode.Nl, r)):
		return dense
	}
	switch {
	case unicode.IsLetter(r) || unicode.IsNumber(r):
		return letter
	case unicode.IsMark(r):
		return mark
	}
	return separator
}

// Package attention decides what an account wants to be notified of: its keywords, and when it
// does not want to be disturbed. The page does the same (quiet.ts). All functions are pure and
// safe for concurrent use.
package attention

import (
	"slices"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Quiet is when an account does not want to be disturbed: in some hours, until a moment, or both.
type Quiet struct {
	From, To string   // times of day such as "22:00"; To is on the next day if it is not later. Or ""
	Zone     string   // of the hours, by its IANA name
	Days     []string // "mon" to "sun", on which it begins; none is every day
	Until    int64    // in milliseconds since 1970 UTC, or 0
}

// weekdays are the days of Quiet, in the order of time.Weekday.
var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Covers reports whether a time is quiet. Hours in a zone that this machine does not know never are.
func (q *Quiet) Covers(at time.Time) bool {
	switch {
	case q == nil:
		return false
	case q.Until > at.UnixMilli():
		return true
	case q.From == "" || q.To == "":
		return false
	}
	zone, err := time.LoadLocation(q.Zone)
	if err != nil {
		return false
	}
	at = at.In(zone)
	clock, today := at.Format("15:04"), int(at.Weekday())
	on := func(day int) bool {
		return len(q.Days) == 0 || slices.Contains(q.Days, weekdays[(day+7)%7])
	}
	if q.From < q.To {
		return q.From <= clock && clock < q.To && on(today)
	}
	// The part after midnight belongs to the day before.
	return q.From <= clock && on(today) || clock < q.To && on(today-1)
}

// HasKeyword reports whether a text has one of some keywords, as whole words in any case.
func HasKeyword(text string, keywords []string) bool {
	if len(keywords) == 0 {
		return false
	}
	folded := fold(text)
	return slices.ContainsFunc(keywords, func(word string) bool { return hasWord(folded, fold(word)) })
}

// hasWord reports whether a text has a word. Where the word begins or ends with a letter, no
// letter comes before or after it.
func hasWord(text, word []rune) bool {
	if len(word) == 0 {
		return false
	}
	for i := 0; i+len(word) <= len(text); i++ {
		end := i + len(word)
		switch {
		case !slices.Equal(text[i:end], word):
		case i > 0 && isLetter(word[0]) && isLetter(text[i-1]):
		case end < len(text) && isLetter(word[len(word)-1]) && isLetter(text[end]):
		default:
			return true
		}
	}
	return false
}

// isLetter reports whether a character continues a word. In scripts without spaces between words
// none does.
func isLetter(r rune) bool {
	if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai) {
		return false
	}
	return r == '_' || unicode.In(r, unicode.L, unicode.N, unicode.M)
}

// fold returns a text for comparison: in NFKC, without case, all white space alike.
func fold(text string) []rune {
	folded := []rune(norm.NFKC.String(text))
	for i, r := range folded {
		if unicode.IsSpace(r) {
			folded[i] = ' '
			continue
		}
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		folded[i] = least
	}
	return folded
}

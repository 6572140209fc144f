package chat

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"kaban"
	"kaban/internal/markup"
	"kaban/internal/people"
	"kaban/internal/push"
)

// This file decides what notifies an account, as the page does for the notifications that it shows
// itself (quiet.ts, notify.ts).

// causeOf returns why a message of somebody else notifies an account, "" if it does not. level is
// that of the account in the room.
func causeOf(level kaban.NotifyLevel, direct, mentioned, keyword bool) push.Cause {
	switch {
	case level == kaban.NotifyNone:
		return ""
	case mentioned:
		return push.CauseMention
	case keyword:
		return push.CauseKeyword
	case level != kaban.NotifyAll:
		return ""
	case direct:
		return push.CauseDirect
	}
	return push.CauseRoom
}

// isUrgent reports whether a message with a cause is meant for the account, rather than for
// everybody in the room.
func isUrgent(c push.Cause) bool { return c != push.CauseRoom }

// weekdays are the days of people.Quiet, in the order of time.Weekday.
var weekdays = [...]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// isQuiet reports whether an account does not want to be disturbed at a time. Hours in a zone that
// this machine does not know are no reason.
func isQuiet(q *people.Quiet, at time.Time) bool {
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
	clock := at.Format("15:04")
	on := func(day int) bool { return len(q.Days) == 0 || slices.Contains(q.Days, weekdays[(day+7)%7]) }
	today := int(at.Weekday())
	if q.From < q.To {
		return q.From <= clock && clock < q.To && on(today)
	}
	// The part after midnight belongs to the day before.
	return q.From <= clock && on(today) || clock < q.To && on(today-1)
}

// hasKeyword reports whether a content has one of some keywords, as whole words in any case.
func hasKeyword(content string, keywords []string) bool {
	if len(keywords) == 0 {
		return false
	}
	text := foldText(content)
	return slices.ContainsFunc(keywords, func(word string) bool { return hasWord(text, foldText(word)) })
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

// foldText returns a text for comparison: normalised, without case, all white space alike.
func foldText(text string) []rune {
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

// plainText returns a content without the marks of its markup.
func plainText(content string) string {
	var text strings.Builder
	for i, line := range markup.Parse(content) {
		if i > 0 {
			text.WriteByte('\n')
		}
		for _, span := range line.Spans {
			if !span.Mark {
				text.WriteString(span.Text)
			}
		}
	}
	return strings.TrimSpace(text.String())
}

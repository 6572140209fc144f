package search

import (
	"strings"
	"time"

	"kaban"
)

// Query is what somebody looks for. A message is a hit if all of this holds. The values
// are for reading only; Parse makes them.
type Query struct {
	// Texts are in the order in which they were typed, without repetitions.
	Texts []Text
	// From are the possible authors, In the possible rooms; empty is any. NotFrom and
	// NotIn are excluded.
	From, NotFrom []kaban.Username
	In, NotIn     []kaban.RoomName
	// Must are the properties that a message has, MustNot those that it lacks.
	Must, MustNot Property
	// Since is the earliest time, Until the first one that is too late; zero is open.
	Since, Until time.Time

	since, until date // the days of Since and Until, for String
}

// Text is a word or a phrase.
type Text struct {
	// Terms follow each other without other terms between them. There is at least one.
	Terms []string
	// Prefix reports whether the last term only has to begin with the last of Terms.
	Prefix bool
	// Not reports whether the message must not contain the text.
	Not bool

	typed string // folded; its words are separated by blanks
	star  bool   // Prefix because a star was typed
}

// Property is a set of properties of a message.
type Property uint8

// The properties, and how they are typed.
const (
	HasFile    Property = 1 << iota // has:file
	HasLink                         // has:link
	MentionsMe                      // mentions:me
	IsPinned                        // is:pinned
)

// properties are in the order in which String writes them.
var properties = []struct {
	operator, value string
	property        Property
}{
	{"has", "file", HasFile},
	{"has", "link", HasLink},
	{"mentions", "me", MentionsMe},
	{"is", "pinned", IsPinned},
}

// String returns the query in canonical form: texts, authors, rooms, properties, dates.
// Parsed at any time in the same time zone, it gives an equal query.
func (q *Query) String() string {
	var parts []string
	add := func(not bool, part string) {
		if not {
			part = "-" + part
		}
		parts = append(parts, part)
	}
	for _, t := range q.Texts {
		add(t.Not, t.String())
	}
	for _, name := range q.From {
		add(false, "from:"+name.String())
	}
	for _, name := range q.NotFrom {
		add(true, "from:"+name.String())
	}
	for _, name := range q.In {
		add(false, "in:"+name.String())
	}
	for _, name := range q.NotIn {
		add(true, "in:"+name.String())
	}
	for _, p := range properties {
		if set := (q.Must | q.MustNot) & p.property; set != 0 {
			if q.Must&set != 0 {
				add(false, p.operator+":"+p.value)
			}
			if q.MustNot&set != 0 {
				add(true, p.operator+":"+p.value)
			}
		}
	}
	switch {
	case q.since != (date{}) && q.until == q.since.next():
		add(false, "on:"+q.since.String())
	default:
		if q.since != (date{}) {
			add(false, "after:"+q.since.previous().String())
		}
		if q.until != (date{}) {
			add(false, "before:"+q.until.String())
		}
	}
	return strings.Join(parts, " ")
}

// String returns the text as it is typed, without the sign of an exclusion.
func (t Text) String() string {
	text := t.typed
	if strings.Contains(text, " ") {
		text = `"` + text + `"`
	}
	if t.star {
		text += "*"
	}
	return text
}

func (t Text) equal(other Text) bool {
	return t.typed == other.typed && t.star == other.star && t.Not == other.Not
}

// newText returns the text that finds a typed word or phrase, and false if that has no
// terms.
func newText(typed string, star, not bool) (Text, bool) {
	f := fold(typed, false)
	all := tokens(f.text)
	if len(all) == 0 {
		return Text{}, false
	}
	t := Text{Not: not, typed: spelled(f.text, all)}
	switch last := len(all) - 1; all[last].kind {
	case word:
		t.Prefix, t.star = star, star
	case lone: // a term that begins with it: each character of a run begins one
		t.Prefix = true
	case tail: // the run that is found may go on
		all = all[:last]
	}
	t.Terms = texts(strings.Clone(f.text), all)
	return t, true
}

// spelled returns the words and runs of a folded text, separated by blanks. It has the
// terms of that text.
func spelled(text string, all []token) string {
	var b strings.Builder
	end := 0
	for _, t := range all {
		if b.Len() > 0 && t.start >= end {
			b.WriteByte(' ')
		}
		b.WriteString(text[min(max(t.start, end), t.end):t.end]) // pairs overlap
		end = max(end, t.end)
	}
	return b.String()
}

package search

import (
	"cmp"
	"slices"
	"strings"
)

// Matches reports whether a content has all texts of the query, and none of the excluded
// ones. It does not look at anything else.
func (q *Query) Matches(content string) bool {
	f := fold(content, false)
	all := tokens(f.text)
	for i := range q.Texts {
		t := &q.Texts[i]
		if found := t.in(f.text, all, 0) >= 0; found == t.Not {
			return false
		}
	}
	return true
}

// in returns where the text occurs first among the terms from a place on, or -1.
func (t *Text) in(text string, all []token, from int) int {
	last := len(t.Terms) - 1
	for at := from; at+last < len(all); at++ {
		if t.at(text, all[at:at+last+1]) {
			return at
		}
	}
	return -1
}

// at reports whether as many terms as the text has are the text.
func (t *Text) at(text string, all []token) bool {
	for i, want := range t.Terms {
		got := text[all[i].start:all[i].end]
		if got != want && (!t.Prefix || i < len(t.Terms)-1 || !strings.HasPrefix(got, want)) {
			return false
		}
	}
	return true
}

// hit is an occurrence of a text of the query: bytes of the content.
type hit struct {
	start, end int
	text       int // its index in Texts
}

// hits returns the occurrences of the texts that are not excluded, by their start.
func (q *Query) hits(content string) []hit {
	f := fold(content, true)
	all := tokens(f.text)
	var found []hit
	for i := range q.Texts {
		t := &q.Texts[i]
		if t.Not {
			continue
		}
		last := len(t.Terms) - 1
		for at := t.in(f.text, all, 0); at >= 0; at = t.in(f.text, all, at+1) {
			// Of a prefix, only what was looked for counts.
			end := all[at+last].start + len(t.Terms[last])
			from, to := f.origin(all[at].start, end)
			found = append(found, hit{from, to, i})
		}
	}
	slices.SortFunc(found, func(x, y hit) int { return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.end, y.end)) })
	return found
}

package markup

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// everybody are the names that mention everyone in the room. They are reserved.
var everybody = map[string]bool{"all": true, "channel": true, "everyone": true, "here": true}

// Everybody returns the names that mention everyone in the room.
func Everybody() []string { return slices.Sorted(maps.Keys(everybody)) }

// Mentions reports whether a content mentions a name, or everyone. It ignores case
// and width. Code and addresses do not contain mentions.
func Mentions(content, name string) bool {
	if !strings.Contains(content, "@") {
		return false
	}
	for _, l := range Parse(content) {
		for _, s := range l.Spans {
			if s.Mentions(name) {
				return true
			}
		}
	}
	return false
}

// Mentions reports whether a span mentions a name, or everyone.
func (s Span) Mentions(name string) bool {
	if s.Style&Mention == 0 {
		return false
	}
	mentioned, name := fold(s.Text[1:]), fold(name)
	if everybody[mentioned] {
		return true
	}
	for tail := fold(s.tail); ; tail = tail[:len(tail)-1] {
		if mentioned+tail == name {
			return true
		}
		if tail == "" {
			return false
		}
	}
}

// fold maps names that differ only in case or width to the same string.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == 'ς' {
			return 'σ'
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(name))
}

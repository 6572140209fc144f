package markup

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// everybody are the names that mention all who are in the room. Nobody can have
// one of them as a name.
var everybody = map[string]bool{"all": true, "channel": true, "everyone": true, "here": true}

// Mentions reports whether a content mentions a name, or everybody. Case and
// width do not matter; what is in code or in an address mentions nobody.
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

// Mentions reports whether a span mentions a name, or everybody.
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

// fold returns the form in which names that differ in case or width are equal.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r == 'ς' {
			return 'σ'
		}
		return unicode.ToLower(r)
	}, norm.NFKC.String(name))
}

package markup

import (
	"maps"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// everybody are the names that mention everyone in the room. They are reserved.
var everybody = map[string]bool{"all": true, "channel": true, "everyone": true, here: true}

// here is the one of them that is about those that are online.
const here = "here"

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

// Mentioned are whom a content mentions, outside of code and quotes.
type Mentioned struct {
	// Names are the names that it may mean, as they are written, each once: of a mention with
	// "-" and "_" behind it there are several.
	Names []string
	// Everyone and Here are set if it mentions everybody, or those that are here.
	Everyone, Here bool
}

// FindMentions returns whom a content mentions, with up to most names: the first ones.
func FindMentions(content string, most int) (found Mentioned) {
	for _, l := range Parse(content) {
		if l.Quote > 0 {
			continue
		}
		for _, s := range l.Spans {
			if s.Style&Mention != 0 {
				found.add(s.Text[1:], s.tail, most)
			}
		}
	}
	return found
}

func (m *Mentioned) add(name, tail string, most int) {
	if folded := fold(name); everybody[folded] {
		m.Here = m.Here || folded == here
		m.Everyone = m.Everyone || folded != here
		return
	}
	for n := range len(tail) + 1 {
		if candidate := name + tail[:n]; len(m.Names) < most && !slices.Contains(m.Names, candidate) {
			m.Names = append(m.Names, candidate)
		}
	}
}

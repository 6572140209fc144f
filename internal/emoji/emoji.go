// Package emoji knows the emoji that may be reactions, and their short names.
//
// They are the emoji that Unicode recommends for general interchange (RGI in UTS #51), with
// and without skin tones, in a list that is kept in the program; newer ones are refused.
// Each has one normal form, which displays as a picture everywhere: ❤ becomes ❤️ (with
// U+FE0F), and unneeded or missing variation selectors make no difference. A skin tone
// does: 👍 and 👍🏽 are two emoji.
//
// The list is generated from emojibase-data (MIT license, which is in the list) by
// internal/web/page/build. It is read on first use. All functions may be called
// concurrently.
package emoji

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// MaxBytes is the longest emoji that is looked at. The longest normal form has 35 bytes.
const MaxBytes = 64

// Error reports a text that is not an emoji of the list.
type Error struct {
	// Text is the refused text, cut to MaxBytes.
	Text string
	// Problem says what is wrong and what to do.
	Problem string
}

// Error returns a sentence that is safe to print on a terminal.
func (e *Error) Error() string { return fmt.Sprintf("%q is not an emoji: %s", e.Text, e.Problem) }

// Normalize returns the normal form of an emoji. The error is an *Error.
func Normalize(text string) (string, error) {
	if len(text) > MaxBytes {
		return "", &Error{strings.ToValidUTF8(text[:MaxBytes], ""), fmt.Sprintf("it has %d bytes, the limit is %d", len(text), MaxBytes)}
	}
	plain, tones := split(text)
	t := all()
	if at, ok := t.sequences[plain]; ok {
		if found, ok := t.emoji[at].with(tones); ok && strip(found) == strip(text) {
			return found, nil
		}
	}
	return "", &Error{text, problem(text)}
}

// problem says why a text is not an emoji.
func problem(text string) string {
	plain, tones := split(text)
	t := all()
	at, known := t.sequences[plain]
	switch {
	case text == "":
		return "it is empty; " + example
	case plain == "":
		return "it is only part of one; " + example
	case known && tones != "" && t.emoji[at].same == "":
		return t.emoji[at].text + " has no skin tones; leave them out"
	case known && tones != "":
		return "these skin tones do not fit " + t.emoji[at].text
	case len(text) > 2 && text[0] == ':' && text[len(text)-1] == ':':
		if found, ok := ByName(text); ok {
			return "it is the name of " + found + "; send that"
		}
		return "there is none of this name; " + example
	}
	first := graphemes.FromString(text)
	if first.Next() && first.End() < len(text) {
		if _, err := Normalize(first.Value()); err == nil {
			return "there is more than one; send them one by one, without text"
		}
	}
	return "it is not in the list of this server; " + example
}

const example = "send one such as 👍"

// ByName returns the emoji with a short name, such as thumbs_up, and +1, and with skin
// tones thumbs_up_tone3, and handshake_tone1-5. The colons around the name may be there.
// Case does not matter. It reports whether there is one.
func ByName(name string) (string, bool) {
	name = bare(name)
	t := all()
	if at, ok := t.byName(name); ok {
		return t.emoji[at].text, true
	}
	name, suffix, _ := strings.Cut(name, toneSuffix)
	at, ok := t.byName(name)
	if !ok {
		return "", false
	}
	first, second, isPair := strings.Cut(suffix, "-")
	tones := tone(first)
	if isPair {
		tones += tone(second)
		if tone(first) == "" || tone(second) == "" || first == second {
			return "", false
		}
	}
	if tones == "" {
		return "", false
	}
	return t.emoji[at].with(tones)
}

// Name returns the first short name of an emoji, without colons, for which ByName
// returns its normal form. It reports whether the text is an emoji.
func Name(text string) (string, bool) {
	text, err := Normalize(text)
	if err != nil {
		return "", false
	}
	plain, tones := split(text)
	e := all().emoji[all().sequences[plain]]
	name, _, _ := strings.Cut(e.names, ",")
	switch n := len(allTones[0]); {
	case tones == "":
		return name, true
	case len(tones) == n || tones[:n] == tones[n:]:
		return name + toneSuffix + number(tones[:n]), true
	default:
		return name + toneSuffix + number(tones[:n]) + "-" + number(tones[n:]), true
	}
}

// Named is an emoji with one of its short names, without colons.
type Named struct{ Name, Emoji string }

// Complete returns the emoji with names that begin with a prefix, each with the shortest of
// these names. The shortest come first. There are at most limit, and none for an empty
// prefix. The prefix may begin with a colon. Case does not matter.
func Complete(prefix string, limit int) []Named {
	prefix = bare(prefix)
	if prefix == "" {
		return nil
	}
	t := all()
	from, _ := slices.BinarySearchFunc(t.names, prefix, named.compare)
	found := t.names[from:]
	for i, n := range found {
		if !strings.HasPrefix(n.name, prefix) {
			found = found[:i]
			break
		}
	}
	found = slices.Clone(found)
	slices.SortStableFunc(found, func(x, y named) int { return len(x.name) - len(y.name) })
	var list []Named
	seen := make(map[int]bool)
	for _, n := range found {
		if len(list) >= limit {
			break
		}
		if !seen[n.at] {
			seen[n.at] = true
			list = append(list, Named{n.name, t.emoji[n.at].text})
		}
	}
	return list
}

// bare returns a name without colons, in lower case.
func bare(name string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(name, ":"), ":"))
}

const toneSuffix = "_tone"

// allTones are the skin tones, lightest first.
var allTones = [...]string{"\U0001F3FB", "\U0001F3FC", "\U0001F3FD", "\U0001F3FE", "\U0001F3FF"}

// tone returns the skin tone with a number, or "".
func tone(number string) string {
	if len(number) != 1 || number[0] < '1' || number[0] > '5' {
		return ""
	}
	return allTones[number[0]-'1']
}

// number returns the number of a skin tone.
func number(tone string) string { return string(rune('1' + slices.Index(allTones[:], tone))) }

func isSelector(r rune) bool { return r == 0xFE0E || r == 0xFE0F }

// split separates the skin tones of a text from the rest, without variation selectors.
func split(text string) (plain, tones string) {
	var p, t strings.Builder
	for _, r := range text {
		switch {
		case isSelector(r):
		case r >= 0x1F3FB && r <= 0x1F3FF:
			t.WriteRune(r)
		default:
			p.WriteRune(r)
		}
	}
	return p.String(), t.String()
}

// strip returns a text without variation selectors.
func strip(text string) string {
	return strings.Map(func(r rune) rune {
		if isSelector(r) {
			return -1
		}
		return r
	}, text)
}

// entry is an emoji of the list. Its strings are parts of the list.
type entry struct {
	text  string // in normal form, without skin tones
	names string // separated by commas
	// same and mixed are the emoji with one skin tone, and with two that differ: the digits
	// 1 and 2 stand for them. They are empty if there are none.
	same, mixed string
}

// with returns the emoji with skin tones.
func (e *entry) with(tones string) (string, bool) {
	n := len(allTones[0])
	switch {
	case tones == "":
		return e.text, true
	case e.same != "" && (len(tones) == n || len(tones) == 2*n && tones[:n] == tones[n:]):
		return strings.ReplaceAll(e.same, "1", tones[:n]), true
	case e.mixed != "" && len(tones) == 2*n:
		return strings.ReplaceAll(strings.ReplaceAll(e.mixed, "1", tones[:n]), "2", tones[n:]), true
	}
	return "", false
}

// named is a short name and the index of its emoji.
type named struct {
	name string
	at   int
}

func (n named) compare(name string) int { return strings.Compare(n.name, name) }

// table is the list, ready to be looked up.
type table struct {
	emoji     []entry        // in the order of Unicode
	names     []named        // sorted
	sequences map[string]int // without variation selectors and skin tones
}

func (t *table) byName(name string) (int, bool) {
	i, ok := slices.BinarySearchFunc(t.names, name, named.compare)
	if !ok {
		return 0, false
	}
	return t.names[i].at, true
}

// list has the license of the data, a line "--", and then a line for each emoji: the fields
// of entry in their order, separated by blanks. The build program writes it, and the
// tests read all of it.
//
//go:embed list.txt
var list string

var all = sync.OnceValue(func() *table { return read(list) })

func read(list string) *table {
	_, lines, _ := strings.Cut(list, "\n--\n")
	count := strings.Count(lines, "\n")
	t := &table{
		emoji:     make([]entry, 0, count),
		names:     make([]named, 0, strings.Count(lines, ",")+count),
		sequences: make(map[string]int, count),
	}
	for line := range strings.Lines(lines) {
		at := len(t.emoji)
		var e entry
		e.text, line, _ = strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		e.names, line, _ = strings.Cut(line, " ")
		e.same, e.mixed, _ = strings.Cut(line, " ")
		t.emoji = append(t.emoji, e)
		for name := range strings.SplitSeq(e.names, ",") {
			t.names = append(t.names, named{name, at})
		}
		t.sequences[strip(e.text)] = at
		if e.mixed != "" {
			t.sequences[strip(strings.NewReplacer("1", "", "2", "").Replace(e.mixed))] = at
		}
	}
	slices.SortFunc(t.names, func(x, y named) int { return strings.Compare(x.name, y.name) })
	return t
}

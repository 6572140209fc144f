package search

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kaban"
)

// Error reports the part of a query that is wrong.
type Error struct {
	// At and End are the bytes of the part.
	At, End int
	// Position is the index of its first code point.
	Position int
	// Problem says what is wrong and what to do.
	Problem string
}

// Error returns a sentence that is safe to print on a terminal.
func (e *Error) Error() string { return fmt.Sprintf("character %d: %s", e.Position+1, e.Problem) }

// Parse reads a query: words, word*, "phrases", and the operators from: in: has: is: mentions:
// before: after: on:. A "-" in front of anything but a date excludes it. Quotes and colons may
// be typographic or full-width.
//
// Words, phrases, properties and dates narrow the search; several from:, and several in:,
// widen it. Punctuation alone is ignored. A name before a colon that is no operator is a
// word, unless it is an operator with a typing error.
//
// Dates are in the time zone of now, which "today" and "yesterday" refer to. before: and
// after: do not include their day, month or year; on: does.
//
// The error is an *Error.
func Parse(query string, now time.Time) (*Query, error) {
	p := parser{query: query, now: now}
	if err := p.parse(); err != nil {
		err.Position = utf8.RuneCountInString(query[:err.At])
		return nil, err
	}
	if q := &p.q; q.since != (date{}) {
		q.Since = q.since.start(now.Location())
	}
	if q := &p.q; q.until != (date{}) {
		q.Until = q.until.start(now.Location())
	}
	return &p.q, nil
}

// parser reads a query from front to back.
type parser struct {
	query string
	now   time.Time
	at    int
	parts int
	q     Query
}

// part is one word, phrase or operator, with its sign.
type part struct {
	at, end  int
	not      bool
	operator string // or "" for a word or phrase
	value    string // without quotes and star
	star     bool
}

func (p *part) error(format string, args ...any) *Error {
	return &Error{At: p.at, End: p.end, Problem: fmt.Sprintf(format, args...)}
}

func (p *parser) parse() *Error {
	all := part{end: len(p.query)}
	if len(p.query) > MaxQuery {
		return all.error("the query has %d bytes, the limit is %d: shorten it", len(p.query), MaxQuery)
	}
	for i, r := range p.query {
		if r == utf8.RuneError && !strings.HasPrefix(p.query[i:], "\uFFFD") {
			return &Error{At: i, End: i + 1, Problem: "the query is not UTF-8: type it again"}
		}
	}
	for {
		next, err := p.next()
		if err != nil {
			return err
		}
		if next == nil {
			break
		}
		if err := p.add(next); err != nil {
			return err
		}
	}
	q := &p.q
	hasText := slices.ContainsFunc(q.Texts, func(t Text) bool { return !t.Not })
	switch {
	case hasText || len(q.From) > 0 || len(q.In) > 0 || q.Must != 0 || q.since != (date{}) || q.until != (date{}):
		return nil
	case p.parts > 0:
		return all.error("the query only excludes: add a word, or what else to look for")
	}
	return all.error("there is nothing to look for: type at least one letter or digit, or an operator such as from:ann")
}

// next returns the next part, or nil at the end.
func (p *parser) next() (*part, *Error) {
	p.skip(unicode.IsSpace)
	next := &part{at: p.at}
	p.skip(isMinus)
	dashes := utf8.RuneCountInString(p.query[next.at:p.at])
	r := p.peek()
	if r == end && dashes == 0 {
		return nil, nil
	}
	next.not = dashes == 1 && r != end && !unicode.IsSpace(r) // neither a dash nor an option such as --verbose
	if isQuote(r) {
		return next, p.phrase(next)
	}
	begin := p.at
	p.skip(func(r rune) bool { return !unicode.IsSpace(r) })
	next.end = p.at
	next.value = p.query[begin:p.at]
	name, value, ok := cutColon(next.value)
	if !ok {
		return next, p.wildcard(next)
	}
	if slices.Contains(operators, name) {
		next.operator, next.value = name, unquote(value)
		return next, nil
	}
	if meant := misspelled(name); meant != "" {
		return nil, next.error("there is no operator %s: (is it %s:?); to look for the text, put it in quotes", name, meant)
	}
	return next, p.wildcard(next)
}

// phrase reads a phrase, and the star after it.
func (p *parser) phrase(next *part) *Error {
	open := p.at
	p.advance()
	begin := p.at
	p.skip(func(r rune) bool { return !isQuote(r) })
	if p.peek() == end {
		return &Error{At: open, End: p.at, Problem: `the phrase that begins here does not end: add a " at its end`}
	}
	next.value = p.query[begin:p.at]
	p.advance()
	if isStar(p.peek()) {
		next.star = true
		p.advance()
	}
	next.end = p.at
	return nil
}

// wildcard takes the star off the end of a word.
func (p *parser) wildcard(next *part) *Error {
	at := strings.IndexFunc(next.value, isStar)
	if at < 0 || len(Terms(next.value)) == 0 {
		return nil
	}
	if at == 0 || utf8.RuneCountInString(next.value[at:]) > 1 {
		star := next.end - len(next.value) + at
		return &Error{At: star, End: next.end, Problem: "a * can only end a word, as in deploy*: leave it out, or put the text in quotes"}
	}
	next.value = next.value[:at]
	last, _ := utf8.DecodeLastRuneInString(next.value)
	next.star = unicode.In(last, unicode.L, unicode.M, unicode.N) // after punctuation there is no word to go on
	return nil
}

// end is what peek returns at the end of the query.
const end rune = -1

func (p *parser) peek() rune {
	if p.at == len(p.query) {
		return end
	}
	r, _ := utf8.DecodeRuneInString(p.query[p.at:])
	return r
}

func (p *parser) advance() { p.at += utf8.RuneLen(p.peek()) }

func (p *parser) skip(while func(rune) bool) {
	for p.at < len(p.query) && while(p.peek()) {
		p.advance()
	}
}

// The characters of the syntax, as keyboards and input methods give them.
func isQuote(r rune) bool { return strings.ContainsRune(`"“”„‟＂`, r) }
func isMinus(r rune) bool { return strings.ContainsRune("-－−", r) }
func isStar(r rune) bool  { return r == '*' || r == '＊' }

// unquote returns a value without the quotes around it.
func unquote(value string) string {
	first, size := utf8.DecodeRuneInString(value)
	last, lastSize := utf8.DecodeLastRuneInString(value)
	if len(value) < size+lastSize || !isQuote(first) || !isQuote(last) {
		return value
	}
	return value[size : len(value)-lastSize]
}

// cutColon cuts a word at its first colon, if only ASCII letters precede it. The name is
// in lower case.
func cutColon(word string) (name, value string, ok bool) {
	at := strings.IndexFunc(word, func(r rune) bool { return r == ':' || r == '：' })
	if at <= 0 {
		return "", "", false
	}
	for _, c := range []byte(word[:at]) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return "", "", false
		}
	}
	_, size := utf8.DecodeRuneInString(word[at:])
	return strings.ToLower(word[:at]), word[at+size:], true
}

var operators = []string{"from", "in", "has", "mentions", "is", "before", "after", "on"}

// Unknown returns the names before a colon in a query that are no operators, such as "foo" in foo:bar, and so are
// looked for as text. Names of addresses, such as https, are none.
func Unknown(query string) (names []string) {
	p := parser{query: query}
	for {
		next, err := p.next()
		if err != nil || next == nil {
			return names
		}
		name, value, ok := cutColon(strings.TrimLeftFunc(query[next.at:next.end], isMinus))
		if ok && next.operator == "" && !strings.HasPrefix(value, "//") && value != "" {
			names = append(names, name)
		}
	}
}

// Operators returns the names of the operators, for people.
func Operators() string { return strings.Join(operators, ":, ") + ":" }

// misspelled returns the operator that differs from a name by one letter more, less or
// other, or by two that are swapped. Short operators are too similar to other words.
func misspelled(name string) string {
	for _, o := range operators {
		if len(o) >= 4 && isOneEdit(name, o) {
			return o
		}
	}
	return ""
}

func isOneEdit(x, y string) bool {
	if len(x) > len(y) {
		x, y = y, x
	}
	same := 0
	for same < len(x) && x[same] == y[same] {
		same++
	}
	x, y = x[same:], y[same:]
	switch {
	case len(y) == 0:
		return false // equal
	case len(x)+1 == len(y):
		return x == y[1:]
	case len(x) != len(y):
		return false
	}
	return x[1:] == y[1:] || len(x) > 1 && x[0] == y[1] && x[1] == y[0] && x[2:] == y[2:]
}

// add makes a part a condition of the query.
func (p *parser) add(next *part) *Error {
	if next.operator == "" {
		return p.addText(next)
	}
	if err := p.count(next); err != nil {
		return err
	}
	if next.value == "" {
		return next.error("%s: needs its value right after the colon, as in %s; to look for the text, put it in quotes", next.operator, example(next.operator))
	}
	switch next.operator {
	case "from":
		return p.addAuthor(next)
	case "in":
		return p.addRoom(next)
	case "before", "after", "on":
		return p.addDates(next)
	}
	return p.addProperty(next)
}

// example returns how an operator is used.
func example(operator string) string {
	switch operator {
	case "from":
		return "from:ann"
	case "in":
		return "in:lobby"
	case "before", "after", "on":
		return operator + ":2026-01-31"
	}
	var all []string
	for _, p := range properties {
		if p.operator == operator {
			all = append(all, p.operator+":"+p.value)
		}
	}
	return strings.Join(all, " or ")
}

// count counts a part that is not ignored.
func (p *parser) count(next *part) *Error {
	if p.parts++; p.parts > MaxParts {
		return next.error("the query has more than %d words and operators: leave some out", MaxParts)
	}
	return nil
}

func (p *parser) addText(next *part) *Error {
	t, ok := newText(next.value, next.star, next.not)
	if !ok {
		return nil // punctuation
	}
	if err := p.count(next); err != nil {
		return err
	}
	if last := t.Terms[len(t.Terms)-1]; t.star && utf8.RuneCountInString(last) < MinPrefix {
		return next.error("%s* finds too much: put at least %d letters or digits before the *", last, MinPrefix)
	}
	if !slices.ContainsFunc(p.q.Texts, t.equal) {
		p.q.Texts = append(p.q.Texts, t)
	}
	return nil
}

func (p *parser) addAuthor(next *part) *Error {
	name, err := kaban.ParseUsername(strings.TrimPrefix(next.value, "@"))
	if err != nil {
		return next.error("from: takes a username, as in from:ann: %v", err)
	}
	list := &p.q.From
	if next.not {
		list = &p.q.NotFrom
	}
	if !slices.ContainsFunc(*list, func(other kaban.Username) bool { return other.Key() == name.Key() }) {
		*list = append(*list, name)
	}
	return nil
}

func (p *parser) addRoom(next *part) *Error {
	room, err := kaban.ParseAnyRoom(strings.TrimPrefix(next.value, "#"))
	if err != nil {
		return next.error("in: takes the name of a room, as in in:lobby: %v", err)
	}
	list := &p.q.In
	if next.not {
		list = &p.q.NotIn
	}
	if !slices.ContainsFunc(*list, func(other kaban.RoomName) bool { return other.Key() == room.Key() }) {
		*list = append(*list, room)
	}
	return nil
}

func (p *parser) addProperty(next *part) *Error {
	for _, known := range properties {
		if known.operator == next.operator && strings.EqualFold(known.value, next.value) {
			if next.not {
				p.q.MustNot |= known.property
			} else {
				p.q.Must |= known.property
			}
			return nil
		}
	}
	return next.error("%s: does not take %q: write %s", next.operator, next.value, example(next.operator))
}

func (p *parser) addDates(next *part) *Error {
	if next.not {
		return next.error("dates cannot be excluded: leave out the -, or turn before: and after: around")
	}
	first, after, problem := parseDates(next.value, p.now)
	if problem != "" {
		return next.error("%s", problem)
	}
	since, until := first, after
	switch next.operator {
	case "before":
		since, until = date{}, first
	case "after":
		since, until = after, date{}
	}
	q := &p.q
	if since != (date{}) && since != firstDay && q.since.isBefore(since) {
		q.since = since
	}
	if until != (date{}) && until.year <= lastYear && (q.until == (date{}) || until.isBefore(q.until)) {
		q.until = until
	}
	if q.since != (date{}) && q.until != (date{}) && !q.since.isBefore(q.until) {
		return next.error("no day is %s %s and in the dates before it: change one of them", next.operator, next.value)
	}
	return nil
}

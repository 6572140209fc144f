package tui

import (
	"strings"
	"time"
	"unicode"

	"kaban/client"
	"kaban/internal/markup"
)

// itemKind is the kind of an item.
type itemKind uint8

const (
	itemMessage itemKind = iota
	itemNotice           // from the program, for this person only
	itemRefused          // an own message that was refused
	itemUnknown          // an entry of a kind that this client does not know; never shown
	itemChange           // an entry that is no message: a quiet line
)

// sending is the progress of an own message.
type sending uint8

const (
	stored  sending = iota
	pending         // under way
)

// item is an entry or a notice in a conversation.
type item struct {
	kind itemKind
	// seq is the entry's; a notice comes after the entry with its seq.
	seq      uint64
	username string
	content  string
	time     time.Time
	own      bool
	mention  bool
	sending  sending
	number   uint64 // of an own message, while it is not stored
	reason   string // why it was refused

	// wrapped is the content laid out for a shape, made on demand.
	wrapped []line
	shape   shape

	searched string // the last argument of matches
	isMatch  bool   // and its result
}

// shape has everything that the layout of a content depends on.
type shape struct {
	width int
	meter meter
	query string // the search text
	state sending
}

// isEntry reports whether the item is an entry of the room's log.
func (i *item) isEntry() bool {
	return i.kind == itemMessage || i.kind == itemUnknown || i.kind == itemChange
}

// isQuiet reports whether the item is a line that nobody says.
func (i *item) isQuiet() bool { return i.kind == itemNotice || i.kind == itemChange }

// isCounted reports whether the item is unread news.
func (i *item) isCounted() bool { return i.kind != itemUnknown && i.kind != itemChange && !i.own }

// size is the number of bytes that the item takes beyond its fixed part.
func (i *item) size() int { return len(i.username) + len(i.content) + len(i.reason) }

// me starts a message that describes an action.
const me = "/me "

// action returns the action that a message describes, if it does.
func (i *item) action() (string, bool) {
	does, ok := strings.CutPrefix(i.content, me)
	return does, ok && !i.isQuiet()
}

// body returns the content, cleaned, styled and wrapped.
func (i *item) body(s shape) []line {
	s.state = i.sending
	if i.wrapped != nil && i.shape == s {
		return i.wrapped
	}
	var lines []line
	for _, l := range mark(i.styled(s.meter, s.width), s.query) {
		lines = append(lines, s.meter.wrap(l, s.width, 0)...)
	}
	i.wrapped, i.shape = lines, s
	return lines
}

// styled returns the content's lines, cleaned and styled.
func (i *item) styled(m meter, width int) []line {
	base := look{}
	switch {
	case i.isQuiet():
		base = look{role: roleDim}
	case i.sending == pending:
		base = look{role: roleDim}
	case i.kind == itemRefused:
		base = look{role: roleAlert}
	case i.mention:
		base = look{role: roleMention}
	}
	if i.isQuiet() {
		var lines []line
		for _, l := range m.cleanLines(i.content) {
			lines = append(lines, plain(l, base))
		}
		return lines
	}
	var lines []line
	if does, ok := i.action(); ok {
		base = base.with(italic)
		lines = drawn(does, base, m, width)
		lines[0] = append(plain(m.clean(i.username)+" ", base), lines[0]...)
	} else {
		lines = drawn(i.content, base, m, width)
	}
	if i.kind == itemRefused {
		lines = append(lines, plain("not sent: "+m.clean(i.reason), look{role: roleAlert, attrs: italic}))
	}
	return lines
}

// matches reports whether a message contains the search text.
func (i *item) matches(query string) bool {
	if query == "" || i.kind != itemMessage {
		return false
	}
	if i.searched != query {
		i.searched, i.isMatch = query, matches(i.content, i.username, query)
	}
	return i.isMatch
}

// matches reports whether a content or its author contains a folded query.
func matches(content, username, query string) bool {
	return strings.Contains(fold(content), query) || strings.Contains(fold(username), query)
}

// fold maps letters to lower case, one character to one.
func fold(s string) string { return strings.Map(unicode.ToLower, s) }

// mark highlights the search text.
func mark(lines []line, query string) []line {
	if query == "" {
		return lines
	}
	marked := make([]line, len(lines))
	for n, l := range lines {
		marked[n] = markLine(l, []rune(query))
	}
	return marked
}

func markLine(l line, query []rune) line {
	text := []rune(l.text())
	found := make([]bool, len(text))
	any := false
	for begin := 0; begin+len(query) <= len(text); begin++ {
		if !startsWith(text[begin:], query) {
			continue
		}
		any = true
		for k := range query {
			found[begin+k] = true
		}
	}
	if !any {
		return l
	}
	var out line
	at := 0
	for _, s := range l {
		runes := []rune(s.text)
		for begin := 0; begin < len(runes); {
			end := begin + 1
			for end < len(runes) && found[at+end] == found[at+begin] {
				end++
			}
			piece := s
			piece.text = string(runes[begin:end])
			if found[at+begin] {
				piece.look = look{role: roleMatch, attrs: bold | underlined}
			}
			out = append(out, piece)
			begin = end
		}
		at += len(runes)
	}
	return out
}

func startsWith(text, query []rune) bool {
	for k, r := range query {
		if unicode.ToLower(text[k]) != r {
			return false
		}
	}
	return true
}

// itemOf returns the item of an entry; own is the person's name.
func itemOf(e client.Entry, own string) *item {
	m := e.Message
	if c := e.Change; c != nil {
		if text := Describe(c); text != "" {
			return &item{kind: itemChange, seq: e.Seq, username: c.Username, content: text, time: c.Time, own: c.Username == own}
		}
	}
	if m == nil {
		return &item{kind: itemUnknown, seq: e.Seq}
	}
	return &item{
		seq: m.Seq, username: m.Username, content: m.Content, time: m.Time,
		own: m.Username == own, mention: m.Username != own && markup.Mentions(m.Content, own),
	}
}

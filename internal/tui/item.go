package tui

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"kaban"
	"kaban/client"
	"kaban/internal/display"
	"kaban/internal/markup"
	"kaban/wire"
)

// itemKind is the kind of an item.
type itemKind uint8

const (
	itemMessage itemKind = iota
	itemNotice           // from the program, for this person only
	itemRefused          // an own message that was refused
	itemUnknown          // an entry that is never shown, or a run of them
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
	seq uint64
	// from is the first seq of a run of entries that are never shown; seq is the
	// last; 0: there is only one.
	from     uint64
	username string
	bot      bool // a program has written it; a webhook may show the name of anybody
	content  string
	files    kaban.Files
	time     time.Time
	own      bool
	mention  bool
	sending  sending
	number   uint64 // of an own message, while it is not stored
	reason   string // why it was refused
	typed    string // what comes back into the input then, if it is not the content

	// What has become of a message; see become.
	replyTo   uint64 // the seq of the message that it answers, or 0
	edited    bool
	deleted   bool
	pinned    bool
	reactions []wire.Reaction
	reacted   int // bytes of the reactions
	replies   uint64
	// rewriting and altering mean that own changes of the text, or others, are under way.
	rewriting, altering bool

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

// begin is the seq of the first entry of the item.
func (i *item) begin() uint64 {
	if i.from > 0 {
		return i.from
	}
	return i.seq
}

// beyond returns how many entries of the item come after a seq.
func (i *item) beyond(seq uint64) uint64 { return i.seq - min(i.seq, max(seq, i.begin()-1)) }

// size is the number of bytes that the item takes beyond its fixed part.
func (i *item) size() int {
	return len(i.username) + len(i.content) + len(i.files.String()) + len(i.reason) + i.reacted
}

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
	marked := mark(i.styled(s.meter, s.width), s.query)
	if i.edited && !i.deleted {
		last := len(marked) - 1
		marked[last] = slices.Concat(marked[last], plain(" (edited"+i.underWay()+")", look{role: roleDim}))
	}
	var lines []line
	for _, l := range marked {
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
	if i.deleted {
		return []line{plain("(deleted"+i.underWay()+")", look{role: roleDim, attrs: italic})}
	}
	var lines []line
	if does, ok := i.action(); ok {
		base = base.with(italic)
		lines = drawn(does, base, m, width)
		lines[0] = append(plain(m.clean(i.author())+" ", base), lines[0]...)
	} else {
		lines = drawn(i.content, base, m, width)
	}
	if !i.files.IsZero() {
		lines = i.withFiles(lines, m)
	}
	if i.kind == itemRefused {
		lines = append(lines, plain("not sent: "+m.clean(i.reason), look{role: roleAlert, attrs: italic}))
	}
	return lines
}

// withFiles adds a line for each file.
func (i *item) withFiles(lines []line, m meter) []line {
	if i.content == "" {
		lines = nil
	}
	list := i.files.List()
	for k := range list {
		lines = append(lines, plain(m.clean(display.File(&list[k])), look{role: roleDim}))
	}
	return lines
}

// text returns the content and the files, for a line or for the clipboard.
func (i *item) text() string { return display.WithFiles(i.content, i.files) }

// underWay marks a text that an own change under way has made.
func (i *item) underWay() string {
	if i.rewriting {
		return " …"
	}
	return ""
}

// matches reports whether a message contains the search text.
func (i *item) matches(query string) bool {
	if query == "" || i.kind != itemMessage || i.deleted {
		return false
	}
	if i.searched != query {
		i.searched, i.isMatch = query, matches(i.text(), i.username, query)
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

// author returns the name to show, with a mark if it is a program's.
func (i *item) author() string { return authorOf(i.username, i.bot) }

func authorOf(username string, bot bool) string {
	if bot {
		return username + " (bot)"
	}
	return username
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
	i := &item{seq: m.Seq, username: m.Username, bot: m.Bot, time: m.Time, own: m.Username == own && !m.Bot}
	i.become(m, own)
	return i
}

// itemsOf returns the items of a page. The changes of messages, which a page leaves out,
// are runs that are never shown.
func itemsOf(page *client.HistoryPage, own string) (items []*item) {
	next := page.First
	pass := func(to uint64) {
		if next > 0 && next <= to && to <= page.Last {
			items = append(items, &item{kind: itemUnknown, from: next, seq: to})
		}
	}
	for _, e := range page.Entries {
		pass(e.Seq - 1)
		items = append(items, itemOf(e, own))
		next = e.Seq + 1
	}
	pass(page.Last)
	return items
}

// become takes what has become of a message. The person's name is own.
func (i *item) become(m *wire.Message, own string) {
	i.content, i.files, i.replyTo = m.Content, m.Files, m.ReplyTo
	i.edited, i.deleted, i.pinned, i.reactions = m.Edited.Seq > 0, m.Deleted, m.Pinned, m.Reactions
	i.replies = m.Replies
	i.mention = !i.own && markup.Mentions(m.Content, own)
	i.reacted = 0
	for _, r := range m.Reactions {
		i.reacted += len(r.Emoji) + reactionBytes
		for _, name := range r.Usernames {
			i.reacted += len(name) + nameBytes
		}
	}
	i.wrapped, i.searched = nil, ""
}

// reactionBytes and nameBytes are what a reaction and a name take beside their texts.
const reactionBytes, nameBytes = 64, 16

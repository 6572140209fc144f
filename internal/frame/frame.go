// Package frame writes entries of logs as frames of kaban/1, for all front ends
// whose clients read those.
package frame

import (
	"time"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/wire"
)

// AppendEntry appends an entry as a frame. One that this version cannot show, since
// it does not know its kind or cannot decode its body, becomes a void frame: every
// entry moves the cursors of its readers.
func AppendEntry(dst []byte, room string, e *chat.Entry) []byte {
	if e.Kind == kaban.KindMessage {
		return wire.AppendMessage(dst, room, message(e))
	}
	if c := Change(e); c != nil {
		return wire.AppendChange(dst, room, c)
	}
	return wire.AppendVoid(dst, room, e.Seq, timeOf(e.Time))
}

// Name returns the type of the frame that AppendEntry appends.
func Name(e *chat.Entry) string {
	if e.Kind == kaban.KindMessage {
		return wire.TypeMessage.String()
	}
	if c := Change(e); c != nil {
		return c.Type.String()
	}
	return Void
}

// Void is the type of an entry that this version cannot show.
const Void = "void"

// Page puts entries, which are folded up to AsOf of the answer, into the answer to a request
// for history. The author me (kaban.Identity.ID) has asked for it; "" is nobody.
func Page(answer *wire.Event, entries []chat.Entry, me string) {
	answer.Entries = make([]wire.Entry, len(entries))
	for i := range entries {
		answer.Entries[i] = element(&entries[i], me)
		answer.Entries[i].AsOf = answer.AsOf
	}
}

// Size returns how many bytes an entry takes in a page; see Page.
func Size(e *chat.Entry, me string) int {
	in := element(e, me)
	return len(in.Append(nil)) + len(",")
}

// maxElement is how long an element may be because of its reactions. It leaves room in the
// line for what a page has beside its elements.
const maxElement = wire.MaxFrame - 1024

// element returns an entry as an element of a page. A message that would not fit a line
// with all of its reactions has fewer.
func element(e *chat.Entry, me string) wire.Entry {
	in := wire.Entry{Seq: e.Seq, Time: timeOf(e.Time)}
	if e.Kind != kaban.KindMessage {
		in.Change = Change(e)
		return in
	}
	m := Message(e, me)
	in.Message = &m
	if len(m.Reactions) == 0 || len(in.Append(nil)) <= maxElement {
		return in
	}
	for i := range m.Reactions {
		m.Reactions[i].Usernames = nil
	}
	for len(m.Reactions) > 0 && len(in.Append(nil)) > maxElement {
		m.Reactions = m.Reactions[:len(m.Reactions)-1]
	}
	return in
}

// Message returns a message with all that has become of it, as the author me sees it; see
// Page.
func Message(e *chat.Entry, me string) wire.Message {
	m := message(e)
	if e.State != nil {
		m.Replies, m.Pinned, m.PinnedAt, m.Reactions = e.State.Replies, e.State.Pinned.Seq != 0, e.State.Pinned.Seq, reactions(e, me)
	}
	return m
}

// reactions returns the reactions to a message as somebody sees them.
func reactions(e *chat.Entry, me string) []wire.Reaction {
	var all []wire.Reaction
	for i := range e.State.Reactions {
		people := e.State.Reactions[i].People
		r := wire.Reaction{Emoji: e.State.Reactions[i].Emoji, Count: len(people)}
		for k := range people {
			if k < wire.MaxReactors {
				r.Usernames = append(r.Usernames, people[k].Username)
			}
			r.Me = r.Me || me != "" && people[k].Author == me
		}
		all = append(all, r)
	}
	return all
}

// message returns a message as its frame has it.
func message(e *chat.Entry) wire.Message {
	account, bot := kaban.AuthorOf(e.Author)
	m := wire.Message{
		Seq: e.Seq, ID: e.ID, Username: e.Username, Account: account, Bot: bot, ReplyTo: e.Target, Content: e.Content, Time: timeOf(e.Time),
	}
	if e.Files != "" {
		m.Files = files(e)
	}
	if s := e.State; s != nil {
		if m.Deleted = e.IsDeleted(); s.Edited.Seq != 0 {
			m.Edited = wire.Edited{Seq: s.Edited.Seq, Time: timeOf(s.Edited.Time)}
		}
	}
	return m
}

// files returns the files of a message. A message that would not fit a line with all of them has
// fewer. A list that was damaged is none.
func files(e *chat.Entry) kaban.Files {
	all := kaban.StoredFiles(e.Files)
	const most = maxElement - maxRest
	if len(all.String())+2*len(e.Content) <= most {
		return all
	}
	taken := 0
	for i := range len(e.Content) {
		if taken++; e.Content[i] < ' ' || e.Content[i] == '"' || e.Content[i] == '\\' {
			taken++ // it is escaped
		}
	}
	for list := all.List(); len(list) > 0 && taken+len(all.String()) > most; {
		list = list[:len(list)-1]
		all, _ = kaban.NewFiles(list...) // they are of a valid list
	}
	return all
}

// maxRest is how much a message takes beside its content, its files and its reactions, in bytes.
const maxRest = 1024

// timeOf returns the time of an entry.
func timeOf(milliseconds int64) time.Time { return time.UnixMilli(milliseconds) }

// Change returns an entry that is no message as a change of the room, or nil if this
// version cannot show it.
func Change(e *chat.Entry) *wire.Change {
	account, bot := kaban.AuthorOf(e.Author)
	c := &wire.Change{
		Seq: e.Seq, ID: e.ID, Username: e.Username, Account: account, Bot: bot, Time: timeOf(e.Time),
	}
	if e.Kind.IsChange() {
		return ofMessage(c, e)
	}
	var err error
	switch e.Kind {
	case kaban.KindMember:
		c.Type = wire.TypeMember
		var body people.MemberChange
		body, err = people.DecodeChange[people.MemberChange](e.Content)
		c.Subject, c.Change, c.Role, c.Reason, c.Until = body.Subject, body.Change, body.Role, body.Reason, body.Until
	case kaban.KindTopic:
		c.Type = wire.TypeTopic
		var body people.TopicChange
		body, err = people.DecodeChange[people.TopicChange](e.Content)
		c.Topic = body.Topic
	case kaban.KindRoom:
		c.Type = wire.TypeRoom
		err = settings(c, e.Content)
	default:
		return nil
	}
	if err != nil {
		return nil
	}
	return c
}

// ofMessage makes of c a change of a message, or nil.
func ofMessage(c *wire.Change, e *chat.Entry) *wire.Change {
	c.Target = e.Target
	switch e.Kind {
	case kaban.KindEdit:
		if c.Type, c.Content = wire.TypeEdit, e.Content; c.Content == kaban.NoText {
			c.Content, c.NoText = "", true
		}
	case kaban.KindDelete:
		c.Type, c.Reason = wire.TypeDelete, e.Content
	case kaban.KindReact:
		c.Type = wire.TypeReact
		if c.On, c.Emoji = kaban.ParseSwitch(e.Content); c.Emoji == "" {
			return nil
		}
	case kaban.KindPin:
		c.Type = wire.TypePin
		c.On, _ = kaban.ParseSwitch(e.Content)
	}
	if c.Target == 0 {
		return nil
	}
	return c
}

// settings decodes the body of an entry of kind room.
func settings(c *wire.Change, content string) error {
	body, err := people.DecodeChange[people.RoomChange](content)
	if err != nil {
		return err
	}
	c.Change, c.Kind, c.History = body.Change, body.Kind, string(body.History)
	if body.Flags != nil {
		c.HasFlags = true
		if c.Flags, err = kaban.ParseRoomFlags(*body.Flags); err != nil {
			return err
		}
	}
	if body.Archived != nil {
		c.Archived, c.HasArchived = *body.Archived, true
	}
	return nil
}

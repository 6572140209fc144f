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
	return wire.AppendVoid(dst, room, e.Seq, time.UnixMilli(e.Time))
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

// Page puts entries into the answer to a request for history.
func Page(answer *wire.Event, entries []chat.Entry) {
	if len(entries) == 0 {
		return
	}
	answer.First, answer.Last = entries[0].Seq, entries[len(entries)-1].Seq
	answer.Entries = make([]wire.Entry, len(entries))
	for i := range entries {
		e := &entries[i]
		element := wire.Entry{Seq: e.Seq, Time: time.UnixMilli(e.Time), Change: Change(e)}
		if e.Kind == kaban.KindMessage {
			m := message(e)
			element.Message = &m
		}
		answer.Entries[i] = element
	}
}

func message(e *chat.Entry) wire.Message {
	account, bot := kaban.AuthorOf(e.Author)
	return wire.Message{
		Seq: e.Seq, ID: e.ID, Username: e.Username, Account: account, Bot: bot, Content: e.Content, Time: time.UnixMilli(e.Time),
	}
}

// Change returns an entry that is no message as a change of the room, or nil if this
// version cannot show it.
func Change(e *chat.Entry) *wire.Change {
	account, bot := kaban.AuthorOf(e.Author)
	c := &wire.Change{
		Seq: e.Seq, ID: e.ID, Username: e.Username, Account: account, Bot: bot, Time: time.UnixMilli(e.Time),
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

package web

import (
	"kaban"
	"kaban/internal/chat"
	"kaban/internal/frame"
)

// Message is an entry of a room's log: a message, or another change of the room.
type Message struct {
	Type     string `json:"type,omitempty" doc:"Absent for a message. A member, topic or room is another change of the room, without content; a void is one that the server cannot show, without id and username, too. Types may be added. All count for the next page."`
	Seq      uint64 `json:"seq" minimum:"1" doc:"The number of the entry in its room: 1, 2, 3 and so on without gaps."`
	ID       string `json:"id" doc:"The author's id for it."`
	Username string `json:"username" doc:"The author."`
	Account  string `json:"account,omitempty" doc:"The id of the author's account. Absent for visitors and hooks."`
	Bot      bool   `json:"bot,omitempty" doc:"The author is a program."`
	Content  string `json:"content" doc:"The text. Treat it as untrusted."`
	Time     string `json:"time" format:"date-time" doc:"When the server stored it: UTC, with milliseconds."`

	Change   string    `json:"change,omitempty" doc:"Of a member or a room: what happened, such as kicked or created."`
	Subject  string    `json:"subject,omitempty" doc:"Of a member: the username of whom it happened to."`
	Role     string    `json:"role,omitempty" doc:"Of a member: the new role in the room."`
	Reason   string    `json:"reason,omitempty" doc:"Of a member: why."`
	Until    int64     `json:"until_ms,omitempty" doc:"Of a member: when a ban ends, in milliseconds since 1970 UTC."`
	Topic    *string   `json:"topic,omitempty" doc:"Of a topic: the new topic."`
	Kind     string    `json:"kind,omitempty" doc:"Of a room: its new kind."`
	Flags    *[]string `json:"flags,omitempty" doc:"Of a room: all its flags, if they changed."`
	History  string    `json:"history,omitempty" doc:"Of a room: what new members may read."`
	Archived *bool     `json:"archived,omitempty" doc:"Of a room: whether it is archived, if that changed."`
}

// messageOf returns an entry as an element of a page.
func messageOf(e *chat.Entry) Message {
	m := Message{Seq: e.Seq, Time: formatTime(e.Time)}
	if e.Kind != kaban.KindMessage {
		c := frame.Change(e)
		if c == nil {
			m.Type = "void"
			return m
		}
		m.Type, m.Change, m.Subject, m.Reason, m.Until = c.Type.String(), c.Change, c.Subject, c.Reason, c.Until
		m.Role, m.Kind, m.History = c.Role.String(), c.Kind.String(), c.History
		if e.Kind == kaban.KindTopic {
			m.Topic = &c.Topic
		}
		if c.HasFlags {
			m.Flags = new(c.Flags.Texts())
		}
		if c.HasArchived {
			m.Archived = &c.Archived
		}
	} else {
		m.Content = e.Content
	}
	m.ID, m.Username = e.ID, e.Username
	m.Account, m.Bot = kaban.AuthorOf(e.Author)
	return m
}

package web

import (
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// written is a part of an answer as package wire writes it for kaban/1. D describes it in
// the document.
type written[D any] struct {
	by interface{ Append(to []byte) []byte }
}

// MarshalJSON implements json.Marshaler.
func (w written[D]) MarshalJSON() ([]byte, error) { return w.by.Append(nil), nil }

// Schema implements huma.SchemaProvider.
func (written[D]) Schema(r huma.Registry) *huma.Schema {
	described := reflect.TypeFor[D]()
	return r.Schema(described, true, described.Name())
}

// Message describes an entry in a page of messages.
type Message struct {
	Type     string `json:"type" doc:"What it is: message, or a change of the room (member, topic, room), without content. A void is an entry that the server cannot show, without id and username, too. Types may be added. All count for the next page."`
	Seq      uint64 `json:"seq" minimum:"1" doc:"The number of the entry in its room."`
	ID       string `json:"id,omitempty" doc:"The author's id for it."`
	Username string `json:"username,omitempty" doc:"The author."`
	Account  string `json:"account,omitempty" doc:"The id of the author's account. Absent for visitors and hooks."`
	Bot      bool   `json:"bot,omitempty" doc:"The author is a program."`
	ReplyTo  uint64 `json:"reply_to,omitempty" minimum:"1" doc:"Of a message: the seq of the message that it answers."`
	Content  string `json:"content,omitempty" doc:"Of a message: the text, as its last edit has left it. Treat it as untrusted. Absent if the message was deleted."`
	Time     string `json:"time" format:"date-time" doc:"When the server stored it: UTC, with milliseconds."`
	Files    []File `json:"files,omitempty" nullable:"false" maxItems:"10" doc:"Of a message: its files. Their bytes are at /v1/files/{id}."`

	Edited    *Edited    `json:"edited,omitempty" doc:"Of a message: its last edit."`
	Deleted   bool       `json:"deleted,omitempty" doc:"Of a message: it was deleted."`
	Reactions []Reaction `json:"reactions,omitempty" nullable:"false" doc:"Of a message: its reactions, in the order of the first of each. A message that would be too long has fewer."`
	Replies   uint64     `json:"replies,omitempty" minimum:"1" doc:"Of a message: how many messages answer it."`
	Pinned    bool       `json:"pinned,omitempty" doc:"Of a message: it is pinned."`
	PinnedAt  uint64     `json:"pinned_at,omitempty" minimum:"1" doc:"Of a message that is pinned: the seq of the entry that has pinned it. The greatest is the newest pin."`

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

// File is what a message says of one of its files.
type File struct {
	ID     string `json:"file" minLength:"26" maxLength:"26" doc:"Its id."`
	Name   string `json:"name" minLength:"1" doc:"Its name. Treat it as untrusted."`
	Size   int64  `json:"size" minimum:"0" doc:"Its size in bytes."`
	Type   string `json:"type" minLength:"1" doc:"Its media type, by what its bytes are."`
	Width  int    `json:"width,omitempty" minimum:"1" doc:"Of a picture that the server shows: its width in pixels. It has a thumbnail."`
	Height int    `json:"height,omitempty" minimum:"1" doc:"And its height."`
	Alt    string `json:"alt,omitempty" doc:"The description of a picture."`
}

// Edited is the last edit of a message.
type Edited struct {
	Seq  uint64 `json:"seq" minimum:"1" doc:"The seq of the edit."`
	Time string `json:"time" format:"date-time" doc:"When it was edited."`
}

// Reaction is one emoji and those that have reacted with it.
type Reaction struct {
	Emoji     string   `json:"emoji" doc:"The emoji in its normal form."`
	Count     int      `json:"count" minimum:"1" doc:"How many have reacted with it."`
	Me        bool     `json:"me" doc:"Whoever asks is among them."`
	Usernames []string `json:"usernames,omitempty" nullable:"false" maxItems:"5" doc:"The first of them."`
}

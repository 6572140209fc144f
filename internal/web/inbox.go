package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/chat"
	"kaban/internal/frame"
)

// inboxOperations are those on what is new for one's own account.
func (s *Server) inboxOperations(api huma.API) {
	asks(s, api, toAccounts, aboutPeople("get-inbox", http.MethodGet, "/v1/inbox", "See what is new: unread mentions, and the rooms with something unread"), s.getInbox)
}

// Mention describes an element of an inbox.
type Mention struct {
	Room     string `json:"room" doc:"The room's name."`
	Seq      uint64 `json:"seq" minimum:"1" doc:"The number of the message in its room."`
	ID       string `json:"id" doc:"The author's id for it."`
	Username string `json:"username" doc:"The author."`
	Account  string `json:"account,omitempty" doc:"The id of the author's account. Absent for visitors and hooks."`
	Bot      bool   `json:"bot,omitempty" doc:"The author is a program."`
	Content  string `json:"content" doc:"The text, as its last edit has left it; empty if there are only files. Treat it as untrusted."`
	Files    []File `json:"files,omitempty" nullable:"false" maxItems:"10" doc:"The files of the message. Their bytes are at /v1/files/{id}."`
	Time     string `json:"time" format:"date-time" doc:"Since when it mentions you: when the message was stored, or the edit that added the mention. UTC, with milliseconds."`
	Cause    string `json:"cause" enum:"name,everyone,here" doc:"Why: it has your name, or everyone, or it is for those that were online."`
}

// RoomNews is a room with something unread.
type RoomNews struct {
	Room     string   `json:"room" doc:"The room's name."`
	Kind     string   `json:"kind" enum:"public,private,direct" doc:"The kind of room."`
	Title    string   `json:"title,omitempty" doc:"Of a direct room: what to display instead of its name."`
	Topic    string   `json:"topic" doc:"The topic; may be empty."`
	Role     string   `json:"role" enum:"member,speaker,op" doc:"Your role there."`
	Flags    []string `json:"flags" nullable:"false" doc:"The flags that are set."`
	History  string   `json:"history,omitempty" enum:"all,joined" doc:"Of a private room: how much of it new members see."`
	Head     uint64   `json:"head" doc:"The last seq."`
	Read     uint64   `json:"read" doc:"The seq up to which you have read."`
	Unread   uint64   `json:"unread" doc:"Messages of others after it; 0 if notify is none."`
	Mentions uint64   `json:"mentions" doc:"Messages of others after it that mention you, 1000 at most; only by your name if notify is none."`
	Notify   string   `json:"notify" enum:"all,mentions,none" doc:"Which messages notify you."`
}

// Inbox is what is new for an account.
type Inbox struct {
	Mentions []written[Mention] `json:"mentions" nullable:"false" doc:"Unread messages that mention you, newest first."`
	More     bool               `json:"more" doc:"There are more mentions."`
	Next     uint64             `json:"next,omitempty" minimum:"1" doc:"The before of the next page. Absent on the last."`
	Rooms    []RoomNews         `json:"rooms" nullable:"false" maxItems:"500" doc:"Rooms with something unread, sorted by name; the first 500."`
}

type inboxInput struct {
	Before seqParam   `query:"before" doc:"The next of an earlier page."`
	Limit  limitParam `query:"limit" doc:"The most mentions to return; 20 if absent. A page has at most 100."`
}

func (s *Server) getInbox(ctx context.Context, by *who, in *inboxInput) (Inbox, error) {
	limit, err := in.Limit.limit()
	if err == nil {
		err = in.Before.check("before")
	}
	if err != nil {
		return Inbox{}, err
	}
	found, err := by.user().Inbox(ctx, in.Before.Value, limit, pageBytes)
	if err != nil {
		return Inbox{}, err
	}
	rooms, err := by.user().News(ctx)
	if err != nil {
		return Inbox{}, err
	}
	inbox := Inbox{Mentions: []written[Mention]{}, More: found.More, Next: found.Next(), Rooms: make([]RoomNews, len(rooms))}
	bytes := 0
	mentions := frame.Mentions(found.Mentions)
	for i := range mentions {
		inbox.Mentions = append(inbox.Mentions, written[Mention]{&mentions[i]})
		bytes += len(mentions[i].Content) + len(mentions[i].Files.String())
	}
	for i := range rooms {
		inbox.Rooms[i] = newsOf(&rooms[i])
	}
	if hold(ctx, bytes) != nil {
		return Inbox{}, heldProblem()
	}
	return inbox, nil
}

func newsOf(s *chat.RoomState) RoomNews {
	return RoomNews{
		Room: s.Room.String(), Kind: s.Kind.String(), Title: s.Title, Topic: s.Topic, Role: s.Role.String(), Flags: orEmpty(s.Flags.Texts()),
		History: string(s.History), Head: s.Head, Read: s.Read, Unread: s.Unread, Mentions: s.Mentions, Notify: s.Notify.String(),
	}
}

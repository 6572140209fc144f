package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/chat"
)

// markOperations are those on what an account has read.
func (s *Server) markOperations(api huma.API) {
	does(s, api, toAccounts, aboutPeople("mark-read", http.MethodPut, "/v1/rooms/{room}/read", "Note how far you have read a room; the greatest seq counts"), s.markWith(chat.User.Read))
	does(s, api, toAccounts, aboutPeople("mark-unread", http.MethodPut, "/v1/rooms/{room}/unread", "Mark a room as unread from an entry on, until you read up to there; 0 takes that back"), s.markWith(chat.User.MarkUnread))
}

type markBody struct {
	Seq uint64 `json:"seq" doc:"The seq of an entry of the room."`
}

// MarkInput is a mark in a room.
type MarkInput struct {
	RoomPath
	JSON[markBody]
}

// markWith returns a handler that sets a mark.
func (s *Server) markWith(set func(u chat.User, ctx context.Context, room kaban.RoomName, seq uint64) error) func(context.Context, *who, *MarkInput) error {
	return func(ctx context.Context, by *who, in *MarkInput) error {
		room, err := s.parseRoom(in.RoomPath)
		if err != nil {
			return err
		}
		body, err := in.read(s)
		if err != nil {
			return err
		}
		return set(by.user(), ctx, room, body.Seq)
	}
}

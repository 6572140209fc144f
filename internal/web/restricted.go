package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban/internal/chat"
)

// restrictionOperations are those about what moderation left in a room.
func (s *Server) restrictionOperations(api huma.API) {
	asks(s, api, toAccounts, aboutPeople("list-restricted", http.MethodGet, "/v1/rooms/{room}/restricted", "List who is banned from a room or muted in it, for its ops"), s.listRestricted)
}

// Restricted is somebody banned from a room or muted in it.
type Restricted struct {
	Username string `json:"username" doc:"A visitor's is folded."`
	Visitor  bool   `json:"visitor" doc:"It is the name of a visitor. Its ban also holds where the visitor was connected from."`
	Banned   bool   `json:"banned"`
	Muted    bool   `json:"muted"`
	Until    string `json:"until,omitempty" format:"date-time" doc:"When the ban ends. Absent if it does not."`
	Since    string `json:"since" format:"date-time"`
	Reason   string `json:"reason,omitempty"`
}

// RestrictedList is who is banned from a room or muted in it.
type RestrictedList struct {
	Restricted []Restricted `json:"restricted" nullable:"false" doc:"Sorted by username; the first 1,000."`
	More       bool         `json:"more" doc:"There are more."`
}

func (s *Server) listRestricted(ctx context.Context, by *who, in *RoomPath) (RestrictedList, error) {
	name, err := s.parseRoom(*in)
	if err != nil {
		return RestrictedList{}, err
	}
	found, more, err := by.user().Restricted(ctx, name)
	list := RestrictedList{Restricted: make([]Restricted, len(found)), More: more}
	for i := range found {
		list.Restricted[i] = restrictedOf(&found[i])
	}
	return list, err
}

func restrictedOf(r *chat.Restricted) Restricted {
	return Restricted{
		Username: r.Username, Visitor: r.Visitor, Banned: r.Banned, Muted: r.Muted,
		Until: timeOrNone(r.Until), Since: formatTime(r.Since), Reason: r.Reason,
	}
}

package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/hook"
	"kaban/internal/people"
	"kaban/wire"
)

// hookOperations are those of ops and admins on incoming webhooks.
func (s *Server) hookOperations(api huma.API) {
	asks(s, api, toActors, aboutPeople("list-hooks", http.MethodGet, "/v1/admin/hooks", "List the incoming webhooks of rooms in which one is op; of all rooms, as an admin"), s.listHooks)
	asks(s, api, toActors|secret, made(aboutPeople("make-hook", http.MethodPost, "/v1/admin/hooks", "Make an incoming webhook for a room, as its op; the room sees it")), s.makeHook)
	does(s, api, toActors, aboutPeople("remove-hook", http.MethodDelete, "/v1/admin/hooks/{id}", "Remove an incoming webhook, as an op of its room or an admin; its key stops working at once"), s.removeHook)
}

// Hook is an incoming webhook without its key.
type Hook struct {
	ID       string `json:"id" doc:"The id. It is not a secret."`
	Room     string `json:"room" doc:"The room that it posts to."`
	Username string `json:"username" doc:"The author of messages that name no other."`
	Speaker  bool   `json:"speaker" doc:"It also posts where only ops and speakers do."`
	Paused   bool   `json:"paused" doc:"It does not post for now."`
	Why      string `json:"paused_because,omitempty" enum:"maker_suspended,maker_outside" doc:"Why it is paused: the account that made it is suspended, or may not read the room any more."`
	Created  string `json:"created" format:"date-time" doc:"When it was made."`
}

func hookOf(h *people.Hook) Hook {
	return Hook{ID: h.ID, Room: h.Room, Username: h.Username, Speaker: h.Speaker, Created: formatTime(h.Created)}
}

// HookList are incoming webhooks.
type HookList struct {
	Hooks []Hook `json:"hooks" nullable:"false" doc:"The oldest first."`
}

func (s *Server) listHooks(ctx context.Context, by *who, _ *nothing) (HookList, error) {
	hooks, err := hook.New(s.config.Accounts).List(ctx, by.moderator())
	list := HookList{Hooks: make([]Hook, len(hooks))}
	for i := range hooks {
		list.Hooks[i] = hookOf(&hooks[i].Hook)
		if paused := hooks[i].Paused; paused != nil {
			list.Hooks[i].Paused, list.Hooks[i].Why = true, "maker_suspended"
			if errors.Is(paused, chat.ErrMakerOutside) {
				list.Hooks[i].Why = "maker_outside"
			}
		}
	}
	return list, err
}

type newHookBody struct {
	Room     string `json:"room" doc:"The room. If there is none, an admin makes it."`
	Username string `json:"username,omitempty" doc:"The author of messages that name no other. Default: webhook."`
	Speaker  bool   `json:"speaker,omitempty" doc:"Whether it also posts where only ops and speakers do."`
}

// MadeHook is a new incoming webhook.
type MadeHook struct {
	Hook
	Path string `json:"path" doc:"The path to send messages to, with the key. It is a secret, and cannot be had again."`
}

func (s *Server) makeHook(ctx context.Context, by *who, in *JSON[newHookBody]) (MadeHook, error) {
	body, err := in.read(s)
	if err != nil {
		return MadeHook{}, err
	}
	n := hook.NewHook{Speaker: body.Speaker}
	if n.Room, err = kaban.ParseRoomName(body.Room); err != nil {
		return MadeHook{}, err
	}
	if body.Username != "" {
		if n.Username, err = kaban.ParseUsername(body.Username); err != nil {
			return MadeHook{}, err
		}
	}
	key, made, err := hook.New(s.config.Accounts).Add(ctx, hook.By{User: by.moderator(), Actor: by.actor()}, n)
	switch {
	case errors.Is(err, chat.ErrNotFresh), errors.Is(err, chat.ErrProgram):
		return MadeHook{}, err
	case errors.Is(err, chat.ErrForbidden):
		return MadeHook{}, problem(wire.CodeForbidden, "only ops of a room make hooks for it, and none while it is archived; ask one of them")
	case err != nil:
		return MadeHook{}, err
	}
	return MadeHook{hookOf(&made), "/hooks/" + key}, nil
}

func (s *Server) removeHook(ctx context.Context, by *who, in *IDPath) error {
	_, err := hook.New(s.config.Accounts).Remove(ctx, hook.By{User: by.moderator(), Actor: by.actor()}, in.ID)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		return problem(wire.CodeNotFound, "there is no hook "+shortName(in.ID)+"; \"kaban hook list\" shows all")
	case errors.Is(err, hook.ErrAmbiguous):
		return problem(wire.CodeBadField, "the ids of several hooks begin with "+shortName(in.ID)+"; use a longer prefix")
	}
	return err
}

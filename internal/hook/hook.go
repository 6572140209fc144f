// Package hook manages incoming webhooks. The holder of a hook's key may post to one
// room, and do nothing else; see chat.Chat.Hook.
//
// A hook is a document. Adding or removing one is one transaction with its row of the
// audit and the entry that its room's members see, so that a removed key stops working
// at once, and nothing needs to be notified.
//
// Older versions kept each hook as a file; Import moves those into the database.
package hook

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/people"
	"kaban/internal/session"
	"kaban/internal/store"
)

// Errors of this package.
var (
	// ErrNotFound means that the hook does not exist.
	ErrNotFound = errors.New("there is no such hook")
	// ErrAmbiguous means that the ids of several hooks have the given prefix.
	ErrAmbiguous = errors.New("the ids of several hooks begin like this")
)

// idLength is the number of digits of the hash that are the id. It is not a secret:
// the key has more random bits than the id shows of its hash.
const idLength = 12

// Service manages the hooks of a server. All methods are safe for concurrent use.
type Service struct{ accounts *account.Service }

// New returns the hooks of a server.
func New(accounts *account.Service) *Service { return &Service{accounts} }

// By is somebody that changes hooks: User decides what it may do in a room, Actor what
// its credential is for, and how the audit names it.
type By struct {
	User  chat.User
	Actor account.Actor
}

// NewHook describes a hook to be made.
type NewHook struct {
	Room kaban.RoomName // it is made if there is none
	// Username is the author of messages that name no other; the zero value is
	// "webhook".
	Username kaban.Username
	// Speaker is set if the hook also posts where only ops and speakers do.
	Speaker bool
}

// defaultUsername is the username of a hook that has no other.
const defaultUsername = "webhook"

// Add makes a hook, and returns its key of 130 random bits, which cannot be had again.
// Errors are those of account.Service.KeepHook and chat.User.AddHook, and
// session.ErrReserved.
func (s *Service) Add(ctx context.Context, by By, n NewHook) (key string, h people.Hook, err error) {
	if n.Username.IsZero() {
		if n.Username, err = kaban.ParseUsername(defaultUsername); err != nil {
			return "", h, err
		}
	}
	if kaban.IsReserved(n.Username) {
		return "", h, session.ErrReserved
	}
	key = rand.Text()
	hash := chat.HashHookKey(key)
	h = people.Hook{
		Hash: hash, ID: hash[:idLength], Room: n.Room.String(), Username: n.Username.String(), Speaker: n.Speaker,
	}
	err = by.User.AddHook(ctx, &h, func(tx store.Tx) error { return s.accounts.KeepHook(tx, by.Actor, &h) })
	if err != nil {
		return "", people.Hook{}, fmt.Errorf("add a hook: %w", err)
	}
	return key, h, nil
}

// List returns the hooks that a user may see, the oldest first. Errors are those of
// chat.User.Hooks.
func (s *Service) List(ctx context.Context, by chat.User) ([]chat.SeenHook, error) {
	hooks, err := by.Hooks(ctx)
	slices.SortFunc(hooks, func(a, b chat.SeenHook) int {
		return cmp.Or(cmp.Compare(a.Created, b.Created), strings.Compare(a.ID, b.ID))
	})
	return hooks, err
}

// Remove removes the hook whose id begins with a text, of those that the user may see.
// Its key stops working at once. Errors are ErrNotFound, ErrAmbiguous, and those of
// account.Service.DropHook, chat.User.Hooks and chat.User.RemoveHook.
func (s *Service) Remove(ctx context.Context, by By, id string) (people.Hook, error) {
	hooks, err := by.User.Hooks(ctx)
	if err != nil {
		return people.Hook{}, err
	}
	hooks = slices.DeleteFunc(hooks, func(h chat.SeenHook) bool { return id == "" || !strings.HasPrefix(h.ID, id) })
	switch len(hooks) {
	case 0:
		return people.Hook{}, ErrNotFound
	case 1:
	default:
		return people.Hook{}, ErrAmbiguous
	}
	h := hooks[0].Hook
	err = by.User.RemoveHook(ctx, &h, func(tx store.Tx) error { return s.accounts.DropHook(tx, by.Actor, &h) })
	switch {
	case errors.Is(err, account.ErrNotFound): // somebody else has just removed it
		return people.Hook{}, ErrNotFound
	case err != nil:
		return people.Hook{}, fmt.Errorf("remove a hook: %w", err)
	}
	return h, nil
}

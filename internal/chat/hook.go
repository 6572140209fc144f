package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Hook is an incoming webhook: an identity of its own that posts in one room.
type Hook struct {
	ID       string
	Room     kaban.RoomName
	Username kaban.Username // of messages that name no other
	hash     string         // of the key
}

// maxHookKey is the length of the longest key that is looked up, in bytes.
const maxHookKey = 128

// HashHookKey returns the hash by which a key is found. A key has 130 random bits, so
// a fast hash suffices.
func HashHookKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// NewHook returns what is kept of a hook as it is used.
func NewHook(kept *people.Hook) (Hook, error) {
	h := Hook{ID: kept.ID, hash: kept.Hash}
	var err error
	if h.Room, err = kaban.ParseRoomName(kept.Room); err != nil {
		return Hook{}, fmt.Errorf("room of a hook: %w", err)
	}
	if h.Username, err = kaban.ParseUsername(kept.Username); err != nil {
		return Hook{}, fmt.Errorf("username of a hook: %w", err)
	}
	return h, nil
}

// FindHook returns the hook with a key, or ErrNotFound. The lookup is by the hash of
// the key, so its duration says nothing about other keys.
func (c *Chat) FindHook(ctx context.Context, key string) (h Hook, err error) {
	if key == "" || len(key) > maxHookKey {
		return Hook{}, c.count(ErrNotFound)
	}
	err = c.dispatcher.View(ctx, func(tx store.Tx) error {
		kept, err := people.Hooks.Get(tx, HashHookKey(key))
		switch {
		case errors.Is(err, people.ErrNotFound):
			return ErrNotFound
		case err != nil:
			return err
		}
		h, err = NewHook(&kept)
		return err
	})
	return h, c.count(err)
}

// Hook returns what an incoming webhook may do, under the name of one message. Whatever
// that is, the message says that it is a program's. Whether the hook still exists is
// decided in the commit of each message: ErrNotFound means that it was removed.
func (c *Chat) Hook(h Hook, name kaban.Username) User {
	return User{
		chat: c, peer: &kaban.Peer{Identity: kaban.Hook(h.ID, name)},
		credential: &Credential{ID: h.ID, Rooms: []string{h.Room.Key()}}, hook: h.hash,
	}
}

// hookRole returns the role of a hook in its room, as of a transaction.
func (u User) hookRole(tx store.Tx) (kaban.RoomRole, error) {
	kept, err := people.Hooks.Get(tx, u.hook)
	switch {
	case errors.Is(err, people.ErrNotFound):
		return 0, ErrNotFound
	case err != nil:
		return 0, err
	case kept.Speaker:
		return kaban.RoomRoleSpeaker, nil
	}
	return kaban.RoomRoleMember, nil
}

// EnterHook stores the entry by which a hook becomes a member of its room, which is
// made if there is none. keep stores the hook in the same transaction, or returns why
// it is refused. It may run more than once. EnterHook returns what keep does,
// ErrForbidden for an archived room, ErrTooManyRooms and a *LookalikeError.
func (c *Chat) EnterHook(ctx context.Context, h *people.Hook, keep func(store.Tx) error) error {
	return c.hookChange(ctx, h, people.ChangeJoined, func(tx store.Tx) error {
		room, err := kaban.ParseRoomName(h.Room)
		if err != nil {
			return err
		}
		known, _, err := people.Rooms.Known(tx, room)
		if err != nil {
			return err
		}
		if known.Flags.Has(kaban.FlagArchived) {
			return ErrForbidden
		}
		return keep(tx)
	})
}

// LeaveHook stores the entry by which a hook leaves its room, unless there is no such
// room yet. drop removes the hook in the same transaction.
func (c *Chat) LeaveHook(ctx context.Context, h *people.Hook, drop func(store.Tx) error) error {
	room, err := kaban.ParseRoomName(h.Room)
	if err != nil {
		return err
	}
	if _, err := c.dispatcher.Lookup(ctx, room); errors.Is(err, ErrNotFound) {
		return c.count(c.dispatcher.Update(ctx, drop))
	}
	return c.hookChange(ctx, h, people.ChangeLeft, drop)
}

func (c *Chat) hookChange(ctx context.Context, h *people.Hook, change string, decide func(store.Tx) error) error {
	author, err := h.Identity()
	if err != nil {
		return err
	}
	room, err := kaban.ParseRoomName(h.Room)
	if err != nil {
		return err
	}
	body, err := people.EncodeChange(people.MemberChange{Subject: h.Username, Change: change})
	if err != nil {
		return err
	}
	id, err := kaban.ParseMessageID(change + "-" + rand.Text())
	if err != nil {
		return err
	}
	known, err := c.dispatcher.Lookup(ctx, room)
	switch {
	case err == nil:
		room = known.Name()
	case !errors.Is(err, ErrNotFound):
		return c.count(err)
	}
	_, err = c.dispatcher.Post(ctx, Send{
		Draft: kaban.Draft{Author: author, Room: room, ID: id, Kind: kaban.KindMember, Body: body},
		Terms: &dispatch.Terms{Decide: decide},
	}, func() {})
	return c.count(err)
}

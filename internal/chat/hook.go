package chat

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/access"
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

// FindHook returns the hook with a key, ErrNotFound or ErrPaused. The lookup is by the hash of
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
		if err := c.hookStanding(tx, &kept); err != nil {
			return err
		}
		h, err = NewHook(&kept)
		return err
	})
	return h, c.count(err)
}

// Hook returns what an incoming webhook may do, under the name of one message. Whatever
// that is, the message says that it is a program's. Whether the hook still exists is
// decided in the commit of each message: ErrNotFound means that it was removed, ErrPaused
// that whoever made it is suspended or may not read the room any more.
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
	}
	if err := u.chat.hookStanding(tx, &kept); err != nil {
		return 0, err
	}
	if kept.Speaker {
		return kaban.RoomRoleSpeaker, nil
	}
	return kaban.RoomRoleMember, nil
}

// hookStanding returns nil if a hook works, as of a transaction. Its maker knows the key, so
// one ends with the account that made it (ErrNotFound), and pauses while that is suspended
// (ErrMakerSuspended) or may not read the room (ErrMakerOutside). One of the operator has no
// account.
func (c *Chat) hookStanding(tx store.Tx, h *people.Hook) (err error) {
	if h.Creator == "" {
		return nil
	}
	var maker scene
	switch maker.account, err = people.Accounts.Get(tx, h.Creator); {
	case errors.Is(err, people.ErrNotFound):
		return ErrNotFound
	case err != nil:
		return err
	case maker.account.Status == people.StatusRemoved:
		return ErrNotFound
	case maker.account.Status == people.StatusSuspended:
		return ErrMakerSuspended
	}
	room, err := kaban.ParseAnyRoom(h.Room)
	if err != nil {
		return err
	}
	if maker.Server, err = readServer(tx); err != nil {
		return err
	}
	maker.Server.Local = true
	if err := readRoom(tx, &maker, room, true); err != nil {
		return err
	}
	if err := c.accountFacts(tx, &maker); err != nil {
		return err
	}
	if access.Can(access.Read, maker.Facts) != access.Allowed {
		return ErrMakerOutside
	}
	return nil
}

// SeenHook is a hook as people see it.
type SeenHook struct {
	people.Hook
	Paused error // an ErrPaused; nil if it posts
}

// Hooks returns the hooks of rooms whose hooks the user may see, in no particular order.
// It returns ErrForbidden or ErrAuthRequired for somebody that sees those of no room.
func (u User) Hooks(ctx context.Context) (seen []SeenHook, err error) {
	err = u.chat.dispatcher.View(ctx, func(tx store.Tx) (err error) {
		seen, err = u.hooks(tx)
		return err
	})
	return seen, u.chat.count(err)
}

func (u User) hooks(tx store.Tx) (seen []SeenHook, err error) {
	all, _, err := people.Hooks.Readable(tx)
	if err != nil {
		return nil, err
	}
	rooms := make(map[string]bool)
	for i := range all {
		sees, known := rooms[all[i].Room]
		if !known {
			err := u.mayHook(tx, access.SeeHooks, all[i].Room, true)
			if sees = err == nil; !sees && !isFinal(err) {
				return nil, err
			}
			rooms[all[i].Room] = sees
		}
		if !sees {
			continue
		}
		switch err := u.chat.hookStanding(tx, &all[i]); {
		case err == nil, errors.Is(err, ErrPaused):
			seen = append(seen, SeenHook{all[i], err})
		case !errors.Is(err, ErrNotFound):
			return nil, err
		}
	}
	if len(seen) > 0 {
		return seen, nil
	}
	return nil, u.manages(tx)
}

// manages returns nil if the user may see the hooks of any room, if it had some.
func (u User) manages(tx store.Tx) error {
	s, err := u.scene(tx, kaban.RoomName{}, false, false)
	if err != nil {
		return err
	}
	s.Room, s.Membership = access.NewRoom(kaban.RoomPublic, 0, false), access.Membership{Standing: access.Good}
	verdict := access.Can(access.SeeHooks, s.Facts)
	if verdict == access.Allowed || verdict == access.AuthRequired || u.account() == "" {
		return refusalOf(verdict, access.SeeHooks)
	}
	var failed error
	err = people.Members.AllOf(tx, u.account(), func(m *people.Member) bool {
		if m.Role != kaban.RoomRoleOp {
			return true
		}
		if failed = u.mayHook(tx, access.SeeHooks, m.Name, true); failed == nil {
			verdict = access.Allowed
		}
		return isFinal(failed)
	})
	if err = errors.Join(err, settled(failed)); err != nil || verdict == access.Allowed {
		return err
	}
	return refusalOf(access.Forbidden, access.SeeHooks) // by any answer there are hooks, or there are none
}

// mayHook decides about the hooks of a room in a transaction. Those of a room that there
// is not yet are as those of a public one.
func (u User) mayHook(tx store.Tx, action access.Action, room string, exists bool) error {
	name, err := kaban.ParseAnyRoom(room)
	if err != nil {
		return err
	}
	s, err := u.scene(tx, name, exists, false)
	if err != nil {
		return err
	}
	return refusalOf(access.Can(action, s.Facts), action)
}

// AddHook stores the entry by which a hook becomes a member of its room, which is made
// if there is none. keep stores the hook in the same transaction, or returns why it is
// refused. It may run more than once. AddHook returns what keep does, ErrNotFound and
// ErrForbidden where the user may add none, ErrTooManyRooms and a *LookalikeError.
func (u User) AddHook(ctx context.Context, h *people.Hook, keep func(store.Tx) error) error {
	name, err := kaban.ParseAnyRoom(h.Room)
	if err != nil {
		return err
	}
	// Whether the name can be that of a new room is for those to learn that may make it.
	known, err := u.chat.dispatcher.Lookup(ctx, name)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return u.chat.count(err)
	}
	if _, err := u.rule(ctx, access.AddHook, name, known != nil); err != nil {
		return err
	}
	if known == nil {
		if err := u.makeForHook(ctx, name); err != nil {
			return err
		}
	}
	return u.chat.hookChange(ctx, h, people.ChangeJoined, func(tx store.Tx) error {
		exists, err := roomExists(tx, name)
		if err != nil {
			return err
		}
		if err := u.mayHook(tx, access.AddHook, h.Room, exists); err != nil {
			return err
		}
		return keep(tx)
	})
}

// makeForHook makes the room of a new hook. An admin is its op, or an owner if the operator asks for
// it. On a server without an owner no room has an op, and the entry of the hook makes it.
func (u User) makeForHook(ctx context.Context, name kaban.RoomName) error {
	var err error
	if u.account() != "" {
		err = u.Create(ctx, name, NewRoom{Kind: kaban.RoomPublic})
	} else {
		err = u.chat.makeFirst(ctx, name)
	}
	if errors.Is(err, ErrRoomTaken) || errors.Is(err, errDone) { // just now; there is no owner
		return nil
	}
	return err
}

// RemoveHook stores the entry by which a hook leaves its room, unless there is no such
// room yet. drop removes the hook in the same transaction. It returns ErrNotFound and
// ErrForbidden where the user may remove none.
func (u User) RemoveHook(ctx context.Context, h *people.Hook, drop func(store.Tx) error) error {
	return u.chat.endHook(ctx, h, func(tx store.Tx) error {
		if err := u.mayHook(tx, access.RemoveHook, h.Room, true); err != nil {
			return err
		}
		return drop(tx)
	})
}

// endHook stores the entry by which a hook leaves its room, if there is such a room. drop
// removes the hook in the same transaction.
func (c *Chat) endHook(ctx context.Context, h *people.Hook, drop func(store.Tx) error) error {
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

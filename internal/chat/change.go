package chat

import (
	"context"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/emoji"
	"kaban/internal/people"
	"kaban/internal/store"
)

// Change is what somebody does to a message. It becomes an entry of the room's log.
type Change struct {
	Kind    kaban.Kind // KindEdit, KindDelete, KindReact or KindPin
	Target  uint64     // the message
	Content string     // of KindEdit; "" takes the text of a message with files away
	Base    uint64     // of KindEdit: the version that it replaces, as kaban.Draft has it
	Reason  string     // of KindDelete: one line, or ""
	Emoji   string     // of KindReact
	On      bool       // of KindReact and KindPin; false takes it back
}

// draft returns the draft of a change, but for where it comes from and goes to. It depends
// on the change alone, so that a repeat is recognised.
func (c *Chat) draft(change *Change) (kaban.Draft, error) {
	d := kaban.Draft{Kind: change.Kind, Target: change.Target}
	switch change.Kind {
	case kaban.KindEdit:
		d.Body, d.Base = change.Content, change.Base
		if d.Body == "" {
			d.Body = kaban.NoText
		} else if err := kaban.CheckContent(d.Body, c.maxContent); err != nil {
			return kaban.Draft{}, err
		}
	case kaban.KindDelete:
		d.Body = change.Reason
	case kaban.KindReact:
		normal, err := emoji.Normalize(change.Emoji)
		if err != nil {
			return kaban.Draft{}, err
		}
		d.Body = kaban.Switch(change.On, normal)
	case kaban.KindPin:
		d.Body = kaban.Switch(change.On, "")
	default:
		return kaban.Draft{}, fmt.Errorf("entries of kind %d change no message", change.Kind)
	}
	return d, nil
}

// DraftChange returns a change as a send, to be submitted. The subscription is the member's;
// nil if there is none, then Commit takes the send. Whether it is allowed is decided when it
// is committed, by the message as it is then: the receipt has ErrNoMessage, ErrGone,
// ErrEditConflict, ErrNoText, ErrTooManyReactions, or that it is not allowed. DraftChange returns a
// *kaban.MessageError and an *EmojiError.
func (u User) DraftChange(s *Subscription, origin kaban.Origin, room kaban.RoomName, id kaban.MessageID, change Change) (Send, error) {
	d, err := u.chat.draft(&change)
	if err != nil {
		return Send{}, u.chat.count(err)
	}
	d.Origin, d.Author, d.Room, d.ID = origin, u.peer.Identity, room, id
	if s != nil {
		d.Room = s.Room().Name()
		return Send{Draft: d, Subscription: s}, nil
	}
	by := &changer{user: u, draft: d}
	return Send{Draft: d, Terms: &dispatch.Terms{Decide: by.decide, Allow: by.allow}}, nil
}

// Change changes a message by a user without a connection. A visitor's name is borrowed
// until it is done. Change returns when the change is stored and published, with the name of
// the room. When ctx ends first it returns its cause, and the change may be stored all the
// same: the same one again with the same id shows. Its errors are those of Post for a room
// that there is, and those of DraftChange and its receipt.
func (u User) Change(ctx context.Context, room kaban.RoomName, id kaban.MessageID, change Change) (Receipt, kaban.RoomName, error) {
	c := u.chat
	if known := c.dispatcher.Peek(room); known != nil {
		room = known.Name()
	}
	send, err := u.DraftChange(nil, 0, room, id, change)
	if err != nil {
		return Receipt{}, room, err
	}
	release := func() {}
	if u.isVisitor() && !u.peer.IsZero() {
		if release, err = c.speak(ctx, u.Identity().Name()); err != nil {
			return Receipt{}, room, c.count(err)
		}
	}
	receipt, err := u.commit(ctx, send, release)
	if err != nil {
		return Receipt{}, room, err
	}
	c.counters.posts.Add(1)
	return receipt, room, nil
}

// changer is a change by a user without a subscription on its way through the commit.
type changer struct {
	user  User
	draft kaban.Draft
	from  uint64 // the first entry that the user may see
	may   changes
}

// decide gathers what allow needs, in the transaction of the append. Somebody that may
// change no message at all is refused whether there is such a message or not.
func (c *changer) decide(tx store.Tx) error {
	u, room := c.user, c.draft.Room
	exists, err := roomExists(tx, room)
	if err != nil {
		return err
	}
	s, err := u.scene(tx, room, exists, false)
	if err != nil {
		return err
	}
	if err := u.seekReach(tx, &s); err != nil {
		return err
	}
	c.from, c.may = s.from, changesOf(s.Facts)
	if err := u.chat.refusal(&c.may, &c.draft, nil); err != nil || !u.isVisitor() {
		return err
	}
	return u.isNobodyElse(tx)
}

// allow decides about the message.
func (c *changer) allow(target *store.Entry) error {
	if target.Seq < c.from {
		return ErrNoMessage
	}
	return c.user.chat.refusal(&c.may, &c.draft, target)
}

// changes are verdicts about changes of messages, as dispatch.Rights keeps them.
type changes [6]uint8

// changeKinds are what the verdicts are about.
var changeKinds = [len(changes{})]struct {
	kind   kaban.Kind
	action access.Action
	own    bool // the message is the identity's own
}{
	{kaban.KindEdit, access.Edit, true},
	{kaban.KindEdit, access.Edit, false},
	{kaban.KindDelete, access.Delete, true},
	{kaban.KindDelete, access.Delete, false},
	{kaban.KindReact, access.React, false},
	{kaban.KindPin, access.Pin, false},
}

// changesOf decides about all changes.
func changesOf(f access.Facts) (all changes) {
	for i, c := range changeKinds {
		f.Target.Author = c.own
		all[i] = uint8(access.Can(c.action, f))
	}
	return all
}

// refusal returns why a change of a message is not allowed. Without a target, it is why no
// such change is. The author of a message is the one that the log has; a message that is
// shown as an account's is nobody's own: whoever has the visitor's name now is somebody else.
func (c *Chat) refusal(all *changes, d *kaban.Draft, target *store.Entry) error {
	own := true
	if target != nil {
		own = c.isOf(target, d.Author.ID())
	}
	action, verdict := access.Edit, access.Forbidden
	for i, c := range changeKinds {
		if c.kind != d.Kind || c.own && !own {
			continue
		}
		action, verdict = c.action, access.Verdict(all[i])
		if verdict == access.Allowed || target != nil { // an own message is in front of others
			break
		}
	}
	if verdict == access.Allowed && d.Kind == kaban.KindDelete && target != nil && target.Files != "" {
		c.releasing()
	}
	return refusalOf(verdict, action)
}

// about decides about changes by members; see dispatch.About.
func (c *Chat) about(rights *dispatch.Rights, change *kaban.Draft, target *store.Entry) error {
	return c.refusal((*changes)(&rights.Changes), change, target)
}

// seekReach notes whether somebody in a direct room can be reached.
func (u User) seekReach(tx store.Tx, s *scene) (err error) {
	if s.room.Kind == kaban.RoomDirect && u.account() != "" {
		s.Target.Reachable, err = u.reaches(tx, &s.room)
	}
	return err
}

// isNobodyElse returns ErrTaken if the name of a visitor is that of an account, or of a visitor that
// is connected to another node, or like one.
func (u User) isNobodyElse(tx store.Tx) error {
	if alike, err := people.Accounts.Like(tx, u.Identity().Name(), 1); err != nil || len(alike) > 0 {
		return errors.Join(err, ErrTaken)
	}
	if elsewhere, err := u.chat.visits.isElsewhere(tx, u.Identity().Name()); err != nil || elsewhere {
		return errors.Join(err, ErrTaken)
	}
	return nil
}

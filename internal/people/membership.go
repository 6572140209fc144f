package people

import (
	"errors"

	"kaban"
	"kaban/internal/store"
)

// Known returns what is stored about a room, or, if that is nothing, a public room
// without any restriction. stored reports which. Whether there is such a room at
// all is for its log to say.
func (t *rooms) Known(tx store.Tx, name kaban.RoomName) (r Room, stored bool, err error) {
	r, err = t.Get(tx, name.Key())
	switch {
	case errors.Is(err, ErrNotFound):
		return Room{Key: name.Key(), Name: name.String(), Kind: kaban.RoomPublic}, false, nil
	case err != nil:
		return Room{}, false, err
	}
	return r, true, nil
}

// Find returns the membership of an account in a room, if there is one.
func (t *members) Find(tx store.Tx, room, account string) (m Member, ok bool, err error) {
	m, err = t.Get(tx, room, account)
	switch {
	case errors.Is(err, ErrNotFound):
		return Member{}, false, nil
	case err != nil:
		return Member{}, false, err
	}
	return m, true, nil
}

// FindAll returns the memberships that some subjects mean, in their order: the zero value where there is none, or
// one that is damaged. It asks the store once.
func (t *members) FindAll(tx store.Tx, of []Subject) ([]Member, error) {
	keys := make([][]string, len(of))
	for i, s := range of {
		keys[i] = []string{s.Room, s.Account}
	}
	return t.readable(tx, keys)
}

// Share reports whether two accounts are in a room together. An account without an id is
// in none.
func (t *members) Share(tx store.Tx, a, b string) (share bool, err error) {
	if a == "" {
		return false, nil
	}
	var failed error
	err = t.AllOf(tx, a, func(m *Member) bool {
		_, share, failed = t.Find(tx, m.Room, b)
		return failed == nil && !share
	})
	return share, errors.Join(err, failed)
}

// Enter adds or replaces a membership, which gets the name of the room, and keeps the
// room's count of them. Who comes in has nothing unread: a new membership has read the
// log, which is in an epoch, up to its head. Enter stores the room.
func Enter(tx store.Tx, epoch string, r *Room, m *Member) error {
	m.Name = r.Name
	_, known, err := Members.Find(tx, r.Key, m.Account)
	if err != nil {
		return err
	}
	if !known {
		r.Members++
		r.Turnover++
		if err := m.markHead(tx, epoch, r); err != nil {
			return err
		}
	}
	if err := Rooms.Put(tx, r); err != nil {
		return err
	}
	return Members.Put(tx, m)
}

// markHead marks that the member has read the log of a room up to its head.
func (m *Member) markHead(tx store.Tx, epoch string, r *Room) error {
	name, err := kaban.ParseAnyRoom(r.Name)
	if err != nil {
		return err
	}
	var mark store.Mark
	if mark.Seq, err = tx.Head(name); err != nil {
		return err
	}
	a, err := Accounts.Get(tx, m.Account)
	if errors.Is(err, ErrNotFound) { // then it is counted when somebody asks
		m.Read = mark.Seq
		return nil
	}
	if err != nil {
		return err
	}
	id, err := a.Identity()
	if err != nil {
		return err
	}
	if mark.Counts, err = tx.Counts(name, id.ID()); err != nil {
		return err
	}
	m.SetMark(mark, epoch)
	return nil
}

// Leave removes a membership and keeps the room's count of them.
func Leave(tx store.Tx, r *Room, account string) error {
	_, known, err := Members.Find(tx, r.Key, account)
	if err != nil || !known {
		return err
	}
	r.Members--
	r.Turnover++
	if err := Rooms.Put(tx, r); err != nil {
		return err
	}
	return Members.Delete(tx, r.Key, account)
}

// AddressSubject is the subject of a restriction for a network.
func AddressSubject(network string) string { return "address:" + network }

// Restricted returns what moderation left an identity in a room at a time. A ban
// that is over is none.
func Restricted(tx store.Tx, room, subject string, now int64) (banned, muted bool, err error) {
	r, err := Restrictions.Get(tx, room, subject)
	switch {
	case errors.Is(err, ErrNotFound):
		return false, false, nil
	case err != nil:
		return false, false, err
	}
	return r.Ban && (r.Until == 0 || now < r.Until), r.Mute, nil
}

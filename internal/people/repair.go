package people

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/store"
)

// Repaired is what Repair has done.
type Repaired struct {
	Accounts  []string // usernames of those that were made anew from what the indexes say
	Suspended []string // of those that were made anew, and are suspended because their role is lost
	Rooms     []string // names of those that were made anew, as private rooms
	Lost      []string // ids of accounts that are lost; what belonged to them is left out
	Left      int      // documents that were left out
	Indexed   int      // values that can be found again
}

// IsZero reports whether nothing was wrong.
func (r *Repaired) IsZero() bool {
	return len(r.Accounts)+len(r.Suspended)+len(r.Rooms)+len(r.Lost)+r.Left+r.Indexed == 0
}

// Repair mends documents some of which were lost. An account whose name and role the indexes still have is made anew with them,
// so that its person signs in as before. If only the name is left, it is suspended, until somebody says what it may do. A room of which only memberships are left becomes a private one. What refers to
// anything else that is missing is left out. names are those by which accounts have written, by id; now is when
// anew is. It reads all documents, so it is for a store that nobody else uses.
func Repair(tx store.Tx, names map[string]string, now int64) (done Repaired, err error) {
	r := repair{tx: tx, done: &done, accounts: make(map[string]*Account), rooms: make(map[string]*Room)}
	for _, step := range []func() error{
		func() error { return r.survey(r.remember) }, func() error { return r.putAccounts(names, now) }, func() error { return r.putRooms(now) },
		func() error { return r.survey(r.mend) }, r.recount,
	} {
		if err := step(); err != nil {
			return done, err
		}
	}
	slices.Sort(done.Accounts)
	slices.Sort(done.Suspended)
	slices.Sort(done.Rooms)
	slices.Sort(done.Lost)
	return done, nil
}

// repair is one run of Repair.
type repair struct {
	tx       store.Tx
	done     *Repaired
	accounts map[string]*Account // that are missing, by id
	rooms    map[string]*Room    // that are missing, by key
}

// Faults returns the documents that do not fit the others. It reads all of them.
func Faults(tx store.Tx) (faults []Fault, err error) {
	r := repair{tx: tx}
	err = r.survey(func(f *Fault, _ *store.Document) error { faults = append(faults, *f); return nil })
	return faults, err
}

// repairPage is how many documents are read at a time.
const repairPage = 1000

// each calls visit with every document.
func (r *repair) each(visit func(*store.Document) error) error {
	for from := ""; ; {
		found, err := r.tx.Scan(from, "\xff", repairPage)
		if err != nil {
			return err
		}
		for i := range found {
			if err := visit(&found[i]); err != nil {
				return err
			}
		}
		if len(found) < repairPage {
			return nil
		}
		from = found[len(found)-1].Key + "\x00"
	}
}

// survey calls visit with each fault and its document.
func (r *repair) survey(visit func(*Fault, *store.Document) error) error {
	s := NewSurvey()
	if err := r.each(func(d *store.Document) error { s.Note(d); return nil }); err != nil {
		return err
	}
	type found struct {
		Fault
		store.Document
	}
	var all []found
	err := r.each(func(d *store.Document) error {
		for _, f := range s.Faults(d) {
			all = append(all, found{f, *d})
		}
		return nil
	})
	for i := range all {
		err = cmp.Or(err, visit(&all[i].Fault, &all[i].Document))
	}
	return err
}

// remember collects what is left of accounts and rooms that are missing.
func (r *repair) remember(f *Fault, d *store.Document) error {
	parts := store.KeyParts(f.Missing)
	id := parts[len(parts)-1]
	switch {
	case f.Kind == FaultAccount, f.Kind == FaultEntry && parts[0] == Accounts.name:
		a := r.accounts[id]
		if a == nil {
			a = &Account{ID: id}
			r.accounts[id] = a
		}
		if f.Kind == FaultEntry {
			return a.learn(store.KeyParts(f.Key))
		}
	case f.Kind == FaultEntry && parts[0] == Rooms.name:
		if people := store.KeyParts(f.Key); people[0] == Rooms.name+".people" {
			r.room(id).People = people[1:]
		}
	case f.Kind == FaultRoom:
		m, err := Members.decode(d.Value)
		if err != nil {
			return err
		}
		room := r.room(id)
		room.Name = cmp.Or(room.Name, m.name())
		room.Members++
	}
	return nil
}

func (r *repair) room(key string) *Room {
	room := r.rooms[key]
	if room == nil {
		room = &Room{Key: key}
		r.rooms[key] = room
	}
	return room
}

// learn takes over what an entry of an index says about an account.
func (a *Account) learn(entry []string) (err error) {
	switch _, index, _ := strings.Cut(entry[0], "."); {
	case index == "name" && len(entry) > 1:
		a.Username = entry[1]
	case index == "role" && len(entry) > 2:
		if a.Role, err = kaban.ParseRole(entry[1]); err != nil {
			return fmt.Errorf("the role of account %s: %w", a.ID, err)
		}
		a.Status = Status(entry[2])
	case index == "owner" && len(entry) > 1:
		a.Owner, a.Bot = entry[1], true
	}
	return nil
}

// putAccounts makes accounts anew of which enough is known: the name at least. One of whose role nothing is known is suspended.
func (r *repair) putAccounts(names map[string]string, now int64) error {
	for id, a := range r.accounts {
		name, err := kaban.ParseUsername(names[id])
		if err != nil || a.Username != "" && name.Key() != a.Username {
			name, err = kaban.ParseUsername(a.Username)
		}
		if err != nil || a.Username != "" && name.Key() != a.Username {
			r.done.Lost = append(r.done.Lost, id)
			continue
		}
		a.Username, a.Created = name.String(), now
		unknown := a.Role == 0 || a.Status == ""
		if unknown {
			a.Role, a.Status, a.Reason = kaban.RoleMember, StatusSuspended, "its role was lost to damage"
		}
		switch err := Accounts.Put(r.tx, a); {
		case errors.Is(err, ErrExists):
			r.done.Lost = append(r.done.Lost, id)
		case err != nil:
			return err
		case unknown:
			r.done.Suspended = append(r.done.Suspended, a.Username)
		default:
			r.done.Accounts = append(r.done.Accounts, a.Username)
		}
	}
	return nil
}

// putRooms makes rooms anew that have members.
func (r *repair) putRooms(now int64) error {
	for key, room := range r.rooms {
		name, err := kaban.ParseAnyRoom(room.Name)
		if err != nil || name.Key() != key || room.Members == 0 {
			continue
		}
		room.Kind, room.Created = kaban.RoomPrivate, now
		if len(room.People) > 0 {
			room.Kind = kaban.RoomDirect
		}
		if err := Rooms.Put(r.tx, room); err != nil && !errors.Is(err, ErrExists) {
			return err
		}
		r.done.Rooms = append(r.done.Rooms, room.Name)
	}
	return nil
}

// mend leaves out what refers to nothing, and has values found again.
func (r *repair) mend(f *Fault, d *store.Document) error {
	name, _, _ := strings.Cut(d.Key, "/")
	t := tableNamed(name)
	switch there, err := r.tx.Get(d.Key); {
	case err != nil:
		return err
	case there == nil: // by another fault
		return nil
	}
	switch f.Kind {
	case FaultEntry:
		r.done.Left++
		return r.tx.Delete(d.Key)
	case FaultUnindexed:
		if err := t.replace(r.tx, d); !errors.Is(err, ErrExists) {
			r.done.Indexed++
			return err
		}
	}
	r.done.Left++
	return t.drop(r.tx, d)
}

// recount has rooms count the members that they have.
func (r *repair) recount() error {
	if r.done.IsZero() {
		return nil
	}
	counts := make(map[string]int)
	var rooms []Room
	err := errors.Join(
		Members.Table.All(r.tx, func(m *Member) bool { counts[m.Room]++; return true }),
		Rooms.Table.All(r.tx, func(room *Room) bool { rooms = append(rooms, *room); return true }),
	)
	for i := range rooms {
		if n := counts[rooms[i].Key]; err == nil && n != rooms[i].Members {
			rooms[i].Members = n
			err = Rooms.Put(r.tx, &rooms[i])
		}
	}
	return err
}

package people

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kaban"
	"kaban/internal/store"
)

// Repaired is what Repair has done.
type Repaired struct {
	Accounts  []string // usernames of those that were made anew from what the indexes say
	Suspended []string // of those that were made anew, and are suspended because their role or owner is lost
	Rooms     []string // names of those that were made anew, as private rooms and direct ones
	Closed    []string // of rooms that have only a log, which does not say that they are public; they are private now
	Public    []string // of those that were made anew, as their logs say
	Announce  []string // of all of those, the ones whose flags are lost; nobody but ops and speakers writes there
	Lost      []string // ids of accounts that are lost; what belonged to them is left out
	Unfound   []string // ids of accounts that another one's name hides
	Left      int      // documents that were left out
	Indexed   int      // values that can be found again
	Access    bool     // the setting of access is lost, or was never made: nobody comes in but by an admin
	Unowned   bool     // no owner is left
}

// IsZero reports whether nothing was wrong.
func (r *Repaired) IsZero() bool {
	return len(r.Accounts)+len(r.Suspended)+len(r.Rooms)+len(r.Closed)+len(r.Public)+len(r.Lost)+len(r.Unfound)+r.Left+r.Indexed == 0
}

// Repair mends documents after some were lost. An account is made anew if its name is left. If its role is
// left, too, its person signs in as before; otherwise it is a guest, and suspended until somebody says what it may
// do, as is a bot without an owner. A room is made anew as its log says, or as a private one. Nobody gets a right
// that they did not have: what is not known becomes the narrower thing. What refers to anything else that is missing
// is left out. now is when anew is. It reads all documents, so it is for a store that nobody else uses.
func Repair(tx store.Tx, logs *Logged, now int64) (done Repaired, err error) {
	r := repair{tx: tx, logs: logs, now: now, done: &done, accounts: make(map[string]*remains), rooms: make(map[string]*Room)}
	for _, step := range []func() error{
		func() error { return r.survey(r.remember) }, r.putAccounts, r.putRooms,
		func() error { return r.survey(r.mend) }, r.recount, r.closeDoor,
	} {
		if err := step(); err != nil {
			return done, err
		}
	}
	for _, names := range [][]string{done.Accounts, done.Suspended, done.Rooms, done.Closed, done.Public, done.Announce, done.Lost, done.Unfound} {
		slices.Sort(names)
	}
	return done, nil
}

// repair is one run of Repair.
type repair struct {
	tx       store.Tx
	logs     *Logged
	now      int64
	done     *Repaired
	accounts map[string]*remains // that are missing, by id
	rooms    map[string]*Room    // that are missing, by key
	indexed  string              // the key of the last value that can be found again
}

// remains is what is left of an account.
type remains struct {
	Account
	signsIn bool // with a credential or a device, as a person does
	tokens  bool
}

// Faults returns the documents that do not fit the others. It reads all of them.
func Faults(tx store.Tx) (faults []Fault, err error) {
	r := repair{tx: tx}
	err = r.survey(func(f *Fault) error { faults = append(faults, *f); return nil })
	return faults, err
}

// each calls visit with every document.
func (r *repair) each(visit func(*store.Document) error) error {
	for from := ""; ; {
		found, err := r.tx.Scan(from, "\xff", maxPage)
		if err != nil {
			return err
		}
		for i := range found {
			if err := visit(&found[i]); err != nil {
				return err
			}
		}
		if len(found) < maxPage {
			return nil
		}
		from = found[len(found)-1].Key + "\x00"
	}
}

// survey calls visit with each fault.
func (r *repair) survey(visit func(*Fault) error) error {
	s := NewSurvey()
	if err := r.each(func(d *store.Document) error { s.Note(d); return nil }); err != nil {
		return err
	}
	var all []Fault
	if err := r.each(func(d *store.Document) error { all = append(all, s.Faults(d)...); return nil }); err != nil {
		return err
	}
	for i := range all {
		if err := visit(&all[i]); err != nil {
			return err
		}
	}
	return nil
}

// remember collects what is left of accounts and rooms that are missing.
func (r *repair) remember(f *Fault) error {
	parts, key := store.KeyParts(f.Missing), store.KeyParts(f.Key)
	id := parts[len(parts)-1]
	switch {
	case f.Kind == FaultAccount:
		return r.account(id).hold(r.tx, key)
	case f.Kind == FaultEntry && parts[0] == Accounts.name:
		return r.account(id).learn(key)
	case f.Kind == FaultEntry && parts[0] == Rooms.name:
		if key[0] == Rooms.name+".people" {
			r.room(id).People = key[1:]
		}
	case f.Kind == FaultEntry && parts[0] == Members.name && len(parts) == 3:
		r.person(parts[1], parts[2])
	case f.Kind == FaultRoom:
		m, err := Members.Get(r.tx, key[1:]...)
		if err != nil {
			return err
		}
		room := r.person(id, m.Account)
		room.Name = cmp.Or(room.Name, m.name())
		room.Members++
	}
	return nil
}

func (r *repair) account(id string) *remains {
	a := r.accounts[id]
	if a == nil {
		a = &remains{Account: Account{ID: id}}
		r.accounts[id] = a
	}
	return a
}

func (r *repair) room(key string) *Room {
	room := r.rooms[key]
	if room == nil {
		room = &Room{Key: key}
		r.rooms[key] = room
	}
	return room
}

// person notes that an account is in a room.
func (r *repair) person(key, account string) *Room {
	room := r.room(key)
	if strings.HasPrefix(key, "@") && !slices.Contains(room.People, account) {
		room.People = append(room.People, account)
	}
	return room
}

// hold takes over that a document belongs to an account.
func (a *remains) hold(tx store.Tx, key []string) error {
	switch key[0] {
	case Credentials.name:
		a.signsIn = true
	case Secrets.name:
		s, err := Secrets.Get(tx, key[1:]...)
		a.signsIn, a.tokens = a.signsIn || s.Kind == SecretDevice, a.tokens || s.Kind == SecretToken
		return err
	}
	return nil
}

// learn takes over what an entry of an index says about an account.
func (a *remains) learn(entry []string) (err error) {
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

// putAccounts makes accounts anew as far as their names are known. First come those whose names the index has.
func (r *repair) putAccounts() error {
	if len(r.accounts) == 0 {
		return nil
	}
	taken := make(map[string]bool) // folded names; the index may lack some
	if err := Accounts.All(r.tx, func(a *Account) bool { taken[a.looks()[0]] = true; return true }); err != nil {
		return err
	}
	ids := slices.SortedFunc(maps.Keys(r.accounts), func(a, b string) int {
		return cmp.Or(cmp.Compare(min(1, len(r.accounts[b].Username)), min(1, len(r.accounts[a].Username))), cmp.Compare(a, b))
	})
	for _, id := range ids {
		a := r.accounts[id]
		name, ok := r.nameOf(a)
		if !ok || taken[name.Key()] {
			r.done.Lost = append(r.done.Lost, id)
			continue
		}
		taken[name.Key()] = true
		a.Username, a.Created = name.String(), r.now
		known := a.settle(r.logs.authors[id])
		if err := Accounts.Put(r.tx, &a.Account); err != nil {
			return err
		}
		if known {
			r.done.Accounts = append(r.done.Accounts, a.Username)
		} else {
			r.done.Suspended = append(r.done.Suspended, a.Username)
		}
	}
	return nil
}

// nameOf returns the name of an account: that by which it wrote last if the index has the same, and otherwise
// what the index has.
func (r *repair) nameOf(a *remains) (kaban.Username, bool) {
	name, err := kaban.ParseUsername(r.logs.authors[a.ID].name)
	if err != nil || a.Username != "" && name.Key() != a.Username {
		name, err = kaban.ParseUsername(a.Username)
	}
	return name, err == nil && (a.Username == "" || name.Key() == a.Username)
}

// settle suspends an account if it is not known what it may do, and reports whether it is.
func (a *remains) settle(wrote author) (known bool) {
	if a.Role == 0 || a.Status == "" {
		a.Role, a.Status, a.Reason = kaban.RoleGuest, StatusSuspended, "its role was lost to damage"
		known = false
	} else {
		known = true
	}
	// A bot is a bot for life, and its messages say so. One that never wrote has tokens and nothing else.
	a.Bot = a.Bot || wrote.bot || wrote.name == "" && a.tokens && !a.signsIn
	if a.Bot && a.Owner == "" && a.Status != StatusRemoved {
		a.Status, a.Reason = StatusSuspended, "its owner was lost to damage"
		return false
	}
	return known
}

// putRooms makes rooms anew: those that have left more than a log, and those whose logs do not say that they need no
// document.
func (r *repair) putRooms() error {
	direct := make(map[string]bool) // people of direct rooms; the index may lack some
	there := make(map[string]bool)
	if err := Rooms.All(r.tx, func(room *Room) bool {
		there[room.Key], direct[store.Key(room.People...)] = true, true
		return true
	}); err != nil {
		return err
	}
	for key, log := range r.logs.rooms {
		if r.rooms[key] == nil && !there[key] && !strings.HasPrefix(key, "@") && !log.needsNone() {
			r.room(key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(r.rooms)) {
		room, log := r.rooms[key], r.logs.rooms[key]
		if log == nil {
			log = &logged{}
		}
		name, err := kaban.ParseAnyRoom(cmp.Or(log.name, room.Name, key))
		if err != nil || name.Key() != key || there[key] {
			continue
		}
		room.Name, room.Created = name.String(), r.now
		room.settle(name, log)
		if n := len(room.People); n < kaban.MinDirect || n > kaban.MaxDirect || direct[store.Key(room.People...)] {
			room.People = nil // nobody finds it by them, and it keeps its members
		}
		direct[store.Key(room.People...)] = true
		if err := Rooms.Put(r.tx, room); err != nil {
			return err
		}
		r.list(room, log.whole)
	}
	return nil
}

// settle decides what a room is. What its log does not say is the narrower thing. A room that may have been archived
// is not, since no admin could make anybody its op then; ops and speakers write there, and ops might end an archive.
func (r *Room) settle(name kaban.RoomName, log *logged) {
	r.Kind, r.Flags, r.History = kaban.RoomPrivate, kaban.FlagAnnounce|kaban.FlagLocked, HistoryJoined
	if log.whole {
		r.Flags, r.History = log.flags, log.history
	}
	switch {
	case name.IsDirect():
		r.Kind, r.Flags, r.History = kaban.RoomDirect, 0, ""
		slices.Sort(r.People)
	case log.kind == kaban.RoomPublic:
		r.Kind = kaban.RoomPublic
	}
	if !name.IsDirect() {
		r.People = nil
	}
}

// list notes a room that was made anew.
func (r *repair) list(room *Room, whole bool) {
	to := &r.done.Rooms
	switch {
	case room.Kind == kaban.RoomPublic:
		to = &r.done.Public
	case room.Members == 0 && room.Kind == kaban.RoomPrivate:
		to = &r.done.Closed
	}
	*to = append(*to, room.Name)
	if !whole && room.Kind != kaban.RoomDirect {
		r.done.Announce = append(r.done.Announce, room.Name)
	}
}

// mend leaves out what refers to nothing, and has values found again.
func (r *repair) mend(f *Fault) error {
	name, _, _ := strings.Cut(f.Key, "/")
	t := tableNamed(name)
	value, err := r.tx.Get(f.Key)
	if err != nil || value == nil { // by another fault
		return err
	}
	d := &store.Document{Key: f.Key, Value: value}
	switch f.Kind {
	case FaultEntry:
		r.done.Left++
		return r.tx.Delete(f.Key)
	case FaultUnindexed:
		if f.Key == r.indexed {
			return nil // with the entry before
		}
		switch err := t.replace(r.tx, d); {
		case err == nil:
			r.done.Indexed++
			r.indexed = f.Key
			return nil
		case !errors.Is(err, ErrExists):
			return err
		case name == Accounts.name: // never for the sake of a name
			if id := store.KeyParts(f.Key)[1]; !slices.Contains(r.done.Unfound, id) {
				r.done.Unfound = append(r.done.Unfound, id)
			}
			return nil
		}
	}
	r.done.Left++
	return t.drop(r.tx, d)
}

// closeDoor keeps everybody out who has no account if documents were lost and no setting says who comes in: that
// setting may be among them. It also notes that no owner is left.
func (r *repair) closeDoor() error {
	if r.done.IsZero() {
		return nil
	}
	has, err := Accounts.HasOwner(r.tx)
	if err != nil {
		return err
	}
	r.done.Unowned = !has
	_, err = Settings.Get(r.tx, SettingAccess)
	if !errors.Is(err, ErrNotFound) {
		return err
	}
	r.done.Access = true
	return Settings.Put(r.tx, &Setting{Key: SettingAccess, Value: accessClosed})
}

// accessClosed is the value of SettingAccess with which nobody comes in but by an admin.
const accessClosed = "closed"

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

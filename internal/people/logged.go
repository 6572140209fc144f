package people

import (
	"kaban"
	"kaban/internal/store"
)

// Logged is what logs say about accounts and rooms, for Repair. It is for one goroutine.
type Logged struct {
	authors map[string]author  // by id of the account
	rooms   map[string]*logged // by key
}

// author is how an account wrote last.
type author struct {
	name string
	bot  bool
	time int64
}

// logged is what the log of a room says about its document.
type logged struct {
	name    string
	last    uint64         // seq
	made    bool           // it says that the room was created, so there was a document
	kind    kaban.RoomKind // 0 is unknown
	visited bool           // visitors wrote last, as they do in public rooms alone
	whole   bool           // flags and history are known
	flags   kaban.RoomFlags
	history History
}

// NewLogged returns a Logged of nothing.
func NewLogged() *Logged { return &Logged{make(map[string]author), make(map[string]*logged)} }

// Front notes that a room has a log, with entries or without.
func (l *Logged) Front(name kaban.RoomName) { l.room(name) }

// Note notes an entry. Those of a room must be in the order of their numbers; what an entry says
// that is missing is not known.
func (l *Logged) Note(r *store.Record) {
	if account, bot := kaban.AuthorOf(r.Author.ID()); account != "" && r.Time >= l.authors[account].time {
		l.authors[account] = author{r.Author.Name().String(), bot, r.Time}
	}
	room := l.room(r.Room)
	switch {
	case r.Seq != room.last+1 || r.Kind == kaban.KindLost:
		room.forget()
	case r.Seq == 1 && r.Room.String() == kaban.Lobby: // nobody creates it
		room.kind, room.whole = kaban.RoomPublic, true
	}
	room.last = r.Seq
	switch account, program := kaban.AuthorOf(r.Author.ID()); {
	case r.Kind == kaban.KindRoom:
		room.apply(r.Body)
	case r.Kind == kaban.KindMessage && account == "" && !program:
		room.visited = true
	}
}

func (l *Logged) room(name kaban.RoomName) *logged {
	room := l.rooms[name.Key()]
	if room == nil {
		room = &logged{name: name.String()}
		l.rooms[name.Key()] = room
	}
	return room
}

// forget is for entries that are missing: they may have changed everything.
func (r *logged) forget() { *r = logged{name: r.name, last: r.last, made: r.made} }

// apply takes over a change of the room.
func (r *logged) apply(body string) {
	change, err := DecodeChange[RoomChange](body)
	if err != nil {
		r.forget()
		return
	}
	if change.Change == ChangeCreated {
		*r = logged{name: r.name, last: r.last, made: true, whole: true}
	}
	if change.Kind != 0 {
		r.kind = change.Kind
	}
	if change.History != "" {
		r.history = change.History
	}
	if change.Flags != nil {
		flags, err := kaban.ParseRoomFlags(*change.Flags)
		r.flags, r.whole = flags|r.flags&kaban.FlagArchived, r.whole && err == nil
	}
	if change.Archived != nil {
		r.flags &^= kaban.FlagArchived
		if *change.Archived {
			r.flags |= kaban.FlagArchived
		}
	}
}

// needsNone reports whether a room that has left only its log may do without a document: it is public and has no
// restriction.
func (r *logged) needsNone() bool {
	if r.made || r.flags != 0 || r.kind != kaban.RoomPublic && r.kind != 0 {
		return false
	}
	return r.kind == kaban.RoomPublic || r.visited || r.name == kaban.Lobby
}

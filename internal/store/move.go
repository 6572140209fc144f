package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"kaban"
)

// Errors of stores that are moved.
var (
	// ErrMoved means that all of a store was taken to another one, or is being taken there or
	// from there, so nobody may use it.
	ErrMoved = errors.New("the data has moved")
	// ErrOlder means that a store has the schema of an older version, which a move does not update.
	ErrOlder = errors.New("the data has the schema of an older version")
)

// Kept is a record with all that a store keeps of it. An export has less.
type Kept struct {
	Record
	// Original tells whether a text is the one that was appended (Proves), for a message that was
	// edited and for an edit. Nil if that is not known, or does not matter because the message was deleted.
	Original []byte
	Mentions []Occurrence // of a message, by cause and account
	Noops    []Noop       // changes of the message that made no difference, by author and id
	// State is what has become of a message, with the reactions. Who takes the record over makes it
	// from the records, so this is to compare.
	State *State
}

// Noop is a change that made no difference. Its Base is 0.
type Noop struct {
	kaban.Draft
	Answer Change // what a repeat of it is answered with
}

// Identity is what a store is, beside what it has.
type Identity struct {
	Epoch   string
	Created int64 // milliseconds since 1970 UTC
}

// Role is what a store is in a move.
type Role string

// The roles.
const (
	RoleNone   Role = ""
	RoleSource Role = "source" // all of it is being taken to another store
	RoleTarget Role = "target" // all of another store is being taken here
	RoleLeft   Role = "left"   // all of it is elsewhere
)

// Move is what a store notes about a move. A store with such a note is opened for nothing else.
type Move struct {
	Role  Role
	ID    string // the same on both sides
	Other string // the other side, for people
}

// ErrInUse returns the ErrMoved of a store with a note, which is called name. give says how to give
// an unfinished move up.
func (m *Move) ErrInUse(name, give string) error {
	switch m.Role {
	case RoleLeft:
		return fmt.Errorf("%w: what was in %s is in %s since \"kaban migrate\"; serve that. To go back to what was here before, %s", ErrMoved, name, m.Other, give)
	case RoleSource:
		return fmt.Errorf("%w: \"kaban migrate\" from %s to %s has not finished; run it again. To give it up and go on here, %s", ErrMoved, name, m.Other, give)
	case RoleTarget:
		return fmt.Errorf("%w: \"kaban migrate\" from %s to %s has not finished; run it again, or delete what it has made", ErrMoved, m.Other, name)
	}
	return nil
}

// Movable is a Store all of which can be taken to another one, while nobody else uses either.
type Movable interface {
	Importer

	// Place names the store for people, without what is secret.
	Place() string
	// GiveUp says to people how to remove the note of a move, which is not finished or has gone elsewhere.
	GiveUp() string

	// Move returns the note about a move, which has RoleNone if there is none.
	Move(ctx context.Context) (Move, error)
	// NoteMove replaces the note, durably. RoleNone removes it. Of what was appended before, nothing
	// changes by itself afterwards.
	NoteMove(ctx context.Context, m Move) error

	// Identity returns what the store is, and Become makes it another one: clients of that go on here.
	Identity(ctx context.Context) (Identity, error)
	Become(ctx context.Context, i Identity) error

	// Fronts passes on the fronts of all rooms, by name of the room, in parts.
	Fronts(ctx context.Context, pass func(*Front) error) error
	// ReadKept returns up to limit entries of a room behind one, with all that is kept of them. It
	// ends early, after at least one, rather than exceed so many bytes of texts. Damage is an error.
	ReadKept(ctx context.Context, room kaban.RoomName, after uint64, limit, bytes int) ([]Kept, error)

	// ImportRooms makes rooms with their names and revisions. Those that are there get the revisions.
	ImportRooms(ctx context.Context, rooms []Room) error
	// ImportKept is Import with all that another store keeps.
	ImportKept(ctx context.Context, kept []Kept) (added int, err error)
}

// RecordOf returns an entry of a room as a record.
func RecordOf(room kaban.RoomName, e *Entry) (*Record, error) {
	name, err := kaban.ParseUsername(e.Username)
	if err != nil {
		return nil, fmt.Errorf("its author: %w", err)
	}
	id, err := kaban.ParseMessageID(e.ID)
	if err != nil {
		return nil, fmt.Errorf("its id: %w", err)
	}
	identity, err := kaban.ParseIdentity(e.Author, name)
	if err != nil {
		return nil, fmt.Errorf("its author: %w", err)
	}
	files, err := kaban.ParseFiles(e.Files)
	if err != nil {
		return nil, err
	}
	return &Record{
		Draft: kaban.Draft{Author: identity, Room: room, ID: id, Kind: e.Kind, Target: e.Target, Body: e.Content, Files: files},
		Seq:   e.Seq, Time: e.Time,
	}, nil
}

// Sum adds up records with all that is kept of them. Equal sums mean equal records, whatever keeps
// them. The zero value is the sum of none.
type Sum struct {
	hash   hash.Hash
	buffer []byte
}

func (s *Sum) number(n uint64) { s.buffer = binary.LittleEndian.AppendUint64(s.buffer, n) }

// text adds a text after its length, so that no other texts have the same bytes.
func (s *Sum) text(t string) {
	s.number(uint64(len(t)))
	s.buffer = append(s.buffer, t...)
}

func (s *Sum) change(c Change) {
	s.number(c.Seq)
	s.number(uint64(c.Time))
}

// end adds what is in the buffer, after the number of its parts.
func (s *Sum) end() {
	if s.hash == nil {
		s.hash = sha256.New()
	}
	s.hash.Write(s.buffer)
	clear(s.buffer) // texts that are erased must not be here
	s.buffer = s.buffer[:0]
}

// Kept adds a record.
func (s *Sum) Kept(k *Kept) {
	s.number(k.Seq)
	s.number(uint64(k.Time))
	s.draft(&k.Draft)
	s.text(k.Author.Name().String())
	s.text(string(k.Original))
	s.number(uint64(len(k.Mentions)))
	for i := range k.Mentions {
		o := &k.Mentions[i]
		s.number(uint64(o.Cause))
		s.number(uint64(o.Time))
		s.text(o.Account)
		s.number(uint64(len(o.Online)))
		for _, id := range o.Online {
			s.text(id)
		}
	}
	s.number(uint64(len(k.Noops)))
	for i := range k.Noops {
		s.draft(&k.Noops[i].Draft)
		s.change(k.Noops[i].Answer)
	}
	s.state(k.State)
	s.end()
}

// draft adds what every store keeps of a draft, which is not the name of the author.
func (s *Sum) draft(d *kaban.Draft) {
	s.number(uint64(d.Kind))
	s.number(d.Target)
	s.text(d.Author.ID())
	s.text(d.ID.String())
	s.text(d.Body)
	s.text(d.Files.String())
}

func (s *Sum) state(state *State) {
	var zero State
	if state == nil {
		state = &zero
	}
	s.change(state.Edited)
	s.change(state.Deleted)
	s.change(state.Pinned)
	s.number(state.Replies)
	s.number(uint64(len(state.Reactions)))
	for i := range state.Reactions {
		r := &state.Reactions[i]
		s.text(r.Emoji)
		s.number(uint64(len(r.People)))
		for _, p := range r.People {
			s.change(p.Change)
			s.text(p.Author)
			s.text(p.Username)
		}
	}
}

// Front adds a part of a front.
func (s *Sum) Front(f *Front) {
	s.text(f.Room.String())
	s.number(f.Seq)
	s.number(f.Messages)
	s.number(uint64(len(f.Written)))
	for _, w := range f.Written {
		s.text(w.Author.ID())
		s.text(w.Author.Name().String())
		s.number(w.Messages)
	}
	s.end()
}

// Room adds a room.
func (s *Sum) Room(r *Room) {
	s.text(r.Name.String())
	s.number(r.Head)
	s.number(r.Oldest)
	s.number(r.Revision)
	s.end()
}

// Document adds a document.
func (s *Sum) Document(d *Document) {
	s.text(d.Key)
	s.text(string(d.Value))
	s.end()
}

// Add adds another sum.
func (s *Sum) Add(other *Sum) {
	value := other.Value()
	s.text(string(value[:]))
	s.end()
}

// Value returns the sum.
func (s *Sum) Value() (value [sha256.Size]byte) {
	if s.hash != nil {
		s.hash.Sum(value[:0])
	}
	return value
}

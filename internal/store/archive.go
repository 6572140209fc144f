package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"kaban"
)

// ErrDiffers means that the store has something else than the imported records.
var ErrDiffers = errors.New("the database differs")

// Record is an entry outside of a store: the draft that it was, with the number and
// time that it got. Origin is 0. A record carries any kind of entry, known or not.
type Record struct {
	kaban.Draft
	Seq  uint64
	Time int64 // milliseconds since 1970 UTC
}

// Label names the record in errors.
func (r *Record) Label() string { return fmt.Sprintf("message %d of %s", r.Seq, r.Room) }

// Compare returns an ErrDiffers if the entry with the seq of the record is another one. The case of
// the author's name does not matter.
func (r *Record) Compare(e *Entry) error {
	name, err := kaban.ParseUsername(e.Username)
	same := func(e *Entry) bool {
		return err == nil && name.Key() == r.Author.Name().Key() && e.Author == r.Author.ID() && e.ID == r.ID.String() && e.Time == r.Time && e.IsOf(&r.Draft)
	}
	if same(e) {
		return nil
	}
	then := *e
	if then.Content = r.Body; e.Files == "" || r.Files.IsZero() { // a deletion takes them away
		then.Files = r.Files.String()
	}
	if r.Kind == kaban.KindMessage && same(&then) { // an export has only the last text, so neither can be made of the other
		return fmt.Errorf("%w: %s has another text there: it was edited or deleted after one of the two was written", ErrDiffers, r.Label())
	}
	return fmt.Errorf("%w: %s is another message there", ErrDiffers, r.Label())
}

// Front says what was cut from the front of a room's log (Store.Cut). One with many authors may
// be passed on in parts, each with all but the other authors.
type Front struct {
	Room     kaban.RoomName
	Seq      uint64 // the entries up to this one are not kept
	Messages uint64 // how many of them were messages
	Written  []FrontAuthor
}

// FrontAuthor is how many of the messages of a Front somebody had written.
type FrontAuthor struct {
	Author   kaban.Identity
	Messages uint64
}

// Parts passes on the front in parts of up to MaxFrontAuthors authors, and at least one. A part is
// valid during the call.
func (f *Front) Parts(pass func(*Front) error) error {
	part := *f
	for written := f.Written; ; {
		n := min(len(written), MaxFrontAuthors)
		part.Written, written = written[:n], written[n:]
		if err := pass(&part); err != nil || len(written) == 0 {
			return err
		}
	}
}

// IsLike reports whether a room has the same name and is in the same state.
func (r *Room) IsLike(other *Room) bool {
	return r.Name.String() == other.Name.String() && r.Head == other.Head && r.Oldest == other.Oldest && r.Revision == other.Revision
}

// SortRooms sorts rooms by name, as archives have them.
func SortRooms(rooms []Room) {
	slices.SortFunc(rooms, func(a, b Room) int { return strings.Compare(a.Name.String(), b.Name.String()) })
}

// MaxFrontAuthors is the largest number of authors in one part of a Front.
const MaxFrontAuthors = 1000

// Health is the result of checking one room.
type Health struct {
	Room    Room
	Entries uint64 // the entries found
	Lost    uint64 // of them, those that stand in for entries that were lost (kaban.KindLost)
	Trouble string // "" if the room is sound
}

// Report is the result of checking a store.
type Report struct {
	Rooms     []Health // by name
	Documents uint64   // those found, damaged ones included
	Problems  []string // those that concern no single room
	// Lost is an ErrDamaged if a backup lacks newest acknowledged entries, because they
	// cannot be read. They are no problem of the backup itself.
	Lost error
}

// Err returns all problems as one error, nil if everything is sound.
func (r *Report) Err() error {
	problems := r.Problems[:len(r.Problems):len(r.Problems)]
	for _, room := range r.Rooms {
		if room.Trouble != "" {
			problems = append(problems, fmt.Sprintf("room %s: %s", room.Room.Name, room.Trouble))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrDamaged, strings.Join(problems, "; "))
}

// Receiver gets what an export finds. Each function ends the export by returning an
// error, which Export returns. What they get is valid only during the call.
type Receiver struct {
	Document func(*Document) error // if nil, documents are left out
	// Front gets the fronts that were cut, each before the records of its room. If nil, they
	// are left out.
	Front  func(*Front) error
	Record func(*Record) error
	// Damaged gets the damage instead of damaged data: as a *DamagedError if it is an
	// entry, as a *DocumentError if it is a document, and otherwise as an ErrDamaged that names what is
	// lost. Damage costs what it is in, and nothing beside it.
	Damaged func(error) error
}

// Archive reads the data of a store that keeps everything, even while a server uses
// it, and changes nothing. Every call sees the data as it is at one moment. One
// goroutine at a time may use an archive.
type Archive interface {
	// Rooms lists the rooms by name, without those whose name cannot be read.
	Rooms(ctx context.Context) ([]Room, error)

	// Export passes on every record of the given rooms: room by room, by name, and in
	// ascending order of seq. If no rooms are given, it passes on every document, by
	// key, and then the records of all rooms.
	Export(ctx context.Context, rooms []kaban.RoomName, to Receiver) error

	// Check reads everything and reports whether it is sound. An error means that
	// the check could not be made.
	Check(ctx context.Context) (*Report, error)

	// Backup writes a copy to a new file, checks the copy and makes it durable. The
	// file is there completely or not at all. The copy has no epoch: whatever is
	// appended after it is restored is not what was appended here. If progress is
	// not nil, it is called from another goroutine from time to time, with bytes.
	Backup(ctx context.Context, file string, progress func(done, total int64)) (*Report, error)

	// Lost returns an ErrDamaged if the newest acknowledged entries cannot be read,
	// so that Export and Backup lack them.
	Lost(ctx context.Context) error

	Close() error
}

// Importer is a Store that can take entries over from another one.
type Importer interface {
	Store

	// Import adds records with their numbers and times as one transaction and
	// returns how many of them are new. Records of a room must be in ascending
	// order. A record that is there already is skipped, so that an import can be
	// repeated. One that differs from the stored entry (also by an edit since), uses
	// the id of another entry or would leave a gap is ErrDiffers. With an error nothing
	// of the batch is stored.
	Import(ctx context.Context, records []Record) (added int, err error)

	// ImportFront has a room's log begin behind a front, and reports whether that is new. It
	// is for a room without entries. A room that begins there or later, or has entries up to
	// there, stays as it is, so that an import can be repeated. One that ends before, or
	// with other counts, is ErrDiffers.
	ImportFront(ctx context.Context, front *Front) (added bool, err error)

	// ImportDocuments adds documents as one transaction and returns how many of them
	// are new. A document that is there already is skipped. One with another value is
	// ErrDiffers. With an error nothing is stored.
	ImportDocuments(ctx context.Context, documents []Document) (added int, err error)
}

// Package store is the contract of what must be kept: the logs of all rooms.
//
// A log is append-only. Append gives every entry the next sequence number of
// its room (1, 2, 3 … without a gap) in the same transaction that makes the
// entry durable; an entry that a Store has returned a sequence number for is
// never lost, changed or renumbered, except that a Store may keep a window
// only and forget the oldest entries.
//
// A Store may have other writers beside this process. All methods are safe for
// concurrent use. The package knows no wire format and no connection; drivers
// live in folders of their own and prove themselves with package storetest.
package store

import (
	"context"
	"errors"
	"fmt"

	"kaban"
)

// Facts that callers tell apart with errors.Is.
var (
	// ErrIDConflict says that the author already used the message id for other
	// content or in another room.
	ErrIDConflict = errors.New("message id already used for another message")
	// ErrFull says that there is no space left for the batch. Nothing of it was
	// stored; the same append may succeed later.
	ErrFull = errors.New("no space left in the store")
	// ErrBroken says that the disk or the database failed, so that nobody knows
	// what of the last append is stored; what had been acknowledged before is.
	// The store must not be used any more: every later call returns ErrBroken
	// too, nothing is tried again, and the process must end. Starting anew reads
	// back what is really there, and an id sent again is recognised.
	ErrBroken = errors.New("the store is broken")
	// ErrDamaged says that what is stored cannot be read back as it was written.
	// It concerns this call only; what is not damaged can be read as before. A
	// *DamagedError is one.
	ErrDamaged = errors.New("what is stored is damaged")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// DamagedError says which entry cannot be read back as it was written.
type DamagedError struct {
	Room kaban.RoomName
	Seq  uint64
	Err  error // what was found; may be nil
}

func (e *DamagedError) Error() string {
	text := fmt.Sprintf("message %d of %s is damaged", e.Seq, e.Room)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap makes it an ErrDamaged.
func (e *DamagedError) Unwrap() error { return ErrDamaged }

// Entry is one entry of a room's log. It never changes.
type Entry struct {
	// Seq is the sequence number in its room, from 1.
	Seq uint64
	// Time is when the entry was appended, in milliseconds since 1970 UTC. It
	// follows the clock of the machine and may go backwards between entries.
	Time int64
	Kind kaban.Kind
	ID   string
	// Username is the author's name when the entry was appended.
	Username string
	// Target is the sequence number of the entry that this one is about; 0 if it
	// is about none.
	Target  uint64
	Content string
}

// NewEntry returns the entry that a draft has become.
func NewEntry(d *kaban.Draft, seq uint64, time int64) Entry {
	return Entry{
		Seq: seq, Time: time, Kind: d.Kind, ID: d.ID.String(),
		Username: d.Author.Name().String(), Target: d.Target, Content: d.Body,
	}
}

// IsOf reports whether an entry is what a draft with the same author, id and room
// becomes: if not, the draft is a conflict.
func (e *Entry) IsOf(d *kaban.Draft) bool {
	return e.Kind == d.Kind && e.Target == d.Target && e.Content == d.Body
}

// Room is the state of one room's log. The entries that can be read are those
// from Oldest to Head; when there are none, Oldest is Head+1.
type Room struct {
	Name   kaban.RoomName
	Head   uint64
	Oldest uint64
}

// Result is what became of one draft of a batch.
type Result struct {
	Seq  uint64
	Time int64
	// Duplicate says that the author had sent this id before: Seq and Time are
	// the first one's and nothing was stored.
	Duplicate bool
	// Err is nil, ErrIDConflict, or ErrDamaged if what is known of the author or
	// of the first use of the id cannot be read: then nothing was stored.
	Err error
}

// Page asks for a run of entries of one room.
type Page struct {
	// After and Before bound the sequence numbers, both exclusive. A Before of
	// 0 means no upper bound.
	After, Before uint64
	// Last asks for the newest entries within the bounds instead of the oldest.
	Last bool
	// Limit is the number of entries at most; it must be positive.
	Limit int
	// Bytes bounds the content that is read: the page ends early, after at
	// least one entry, rather than exceed it. 0 means no bound.
	Bytes int
}

// Store keeps the logs of all rooms.
type Store interface {
	// Epoch names this incarnation of the data. A cursor is only meaningful
	// together with the epoch it was given in.
	Epoch() string

	// Rooms lists every room that has ever had an entry, in no order.
	Rooms(ctx context.Context) ([]Room, error)

	// Room returns the state of one room. A room that never had an entry has
	// Head 0 and Oldest 1.
	Room(ctx context.Context, name kaban.RoomName) (Room, error)

	// Append stores a batch as one transaction and fills results, which must be
	// as long as the batch. When it returns an error nothing of the batch is
	// stored, except that after ErrBroken nobody knows. An id is unique per author
	// (kaban.Identity.ID) for as long as its entry is kept: the same id with the
	// same room, kind, target and body is a duplicate, with others a conflict;
	// neither affects the rest of the batch. The first append to a
	// room makes the room, under the name it was given.
	Append(ctx context.Context, batch []kaban.Draft, results []Result) error

	// Read returns entries in ascending order without a gap between them. What
	// is no longer kept is left out at the front: a caller that needs the entry
	// After+1 compares the first Seq. An unknown room has no entries.
	//
	// An entry that cannot be read back as it was written is never returned. It
	// ends the page early, at what was read before it in the direction of reading;
	// if that is nothing, the error is a *DamagedError, and a page that begins
	// behind the entry it names goes on.
	Read(ctx context.Context, room kaban.RoomName, page Page) ([]Entry, error)

	// Close makes every later call return ErrClosed. It waits for calls that
	// are under way.
	Close() error
}

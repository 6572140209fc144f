// Package store is the contract for durable state: the logs of all rooms, and the
// documents beside them (Documents).
//
// A log is append-only. Append gives every entry the next sequence number of
// its room (1, 2, 3 … without a gap) in the same transaction that makes the
// entry durable. An entry whose sequence number was returned is never lost,
// changed or renumbered, except that the oldest entries of a log are cut (Cut), and that
// a Store may keep only a window and forget the oldest entries by itself.
//
// A Store is one handle on its data, and other handles may write to the same
// data, in this process or in another. Whatever one handle has appended, every
// handle sees as soon as Append has returned: in Rooms, Room and Read, and when
// an id is used again. No handle ever sees part of a batch.
//
// All methods are safe for concurrent use. The package knows no wire format and
// no connection. Drivers live in folders of their own and prove themselves with
// package storetest.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"kaban"
)

// Errors that callers distinguish with errors.Is.
var (
	// ErrIDConflict means that the author has already used the message id for
	// something else in the room.
	ErrIDConflict = errors.New("message id already used for another message")
	// ErrFull means that there is no space left for the batch. Nothing of it was
	// stored, and the same append may succeed later.
	ErrFull = errors.New("no space left in the store")
	// ErrBroken means that the disk or the database failed, so it is unknown
	// whether the last append is stored; everything acknowledged before is. The
	// store is unusable from then on: every later call returns ErrBroken, nothing
	// is retried, and the process must exit. A restart reads back whatever is
	// stored, and recognises an id that is sent again.
	ErrBroken = errors.New("the store is broken")
	// ErrDamaged means that stored data cannot be read back as it was written. It
	// concerns one call; undamaged data stays readable. A *DamagedError is one.
	ErrDamaged = errors.New("stored data is damaged")
	// ErrUnavailable means that the database cannot be reached for now. Nothing of the call is
	// stored, and the same call may succeed later.
	ErrUnavailable = errors.New("the database cannot be reached")
	// ErrUnknown means that the connection to the database was lost, and it could not be found out
	// in time whether the call is stored. An append of the same drafts finds out.
	ErrUnknown = errors.New("the connection to the database was lost, so it is unknown whether this is stored")
	// ErrClosed means that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// DamagedError names an entry that cannot be read back as it was written.
type DamagedError struct {
	Room kaban.RoomName
	Seq  uint64
	Err  error // the cause; may be nil
}

func (e *DamagedError) Error() string {
	text := fmt.Sprintf("message %d of %s is damaged", e.Seq, e.Room)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap makes every DamagedError an ErrDamaged.
func (e *DamagedError) Unwrap() error { return ErrDamaged }

// Entry is one entry of a room's log. It never changes, except that edits replace the
// content of a message, and a deletion empties its content and its files.
type Entry struct {
	// Seq is the sequence number within the room, from 1.
	Seq uint64
	// Time is when the entry was appended, in milliseconds since 1970 UTC. It
	// follows the machine's clock and may go backwards between entries.
	Time int64
	Kind kaban.Kind
	ID   string
	// Author is the id of the author's identity (kaban.Identity.ID).
	Author string
	// Username is the author's name when the entry was appended.
	Username string
	// Target is the sequence number of the entry that this one refers to; 0 if
	// there is none.
	Target  uint64
	Content string
	// Files are those of a message, as kaban.Files.String returns them; "" for none. A store
	// keeps the text and does not read it.
	Files string
	// State is what has become of a message; nil if nothing has changed it.
	State *State
}

// NewEntry returns the entry that a draft becomes.
func NewEntry(d *kaban.Draft, seq uint64, time int64) Entry {
	return Entry{
		Seq: seq, Time: time, Kind: d.Kind, ID: d.ID.String(),
		Author: d.Author.ID(), Username: d.Author.Name().String(), Target: d.Target, Content: d.Body,
		Files: d.Files.String(),
	}
}

// IsOf reports whether a draft with the same author, id and room would become
// this entry. If not, the draft is a conflict.
func (e *Entry) IsOf(d *kaban.Draft) bool {
	return e.Kind == d.Kind && e.Target == d.Target && e.Content == d.Body && e.Files == d.Files.String()
}

// Size returns how many bytes of texts the entry has, for a Page and for whoever bounds memory.
func (e *Entry) Size() int { return len(e.Content) + len(e.Files) }

// Room is the state of one room's log. Entries Oldest to Head can be read; if
// there are none, Oldest is Head+1.
type Room struct {
	Name   kaban.RoomName
	Head   uint64
	Oldest uint64
	// Revision is the revision of the room's rights: 0 until the first Tx.Bump.
	Revision uint64
}

// Result is the outcome for one write of a batch.
type Result struct {
	Seq  uint64
	Time int64
	// Duplicate means that the author has sent this id to the room before, or that a
	// message already is what the write would make of it: Seq and Time are those of the
	// first use, or of the entry since which it is (of a message that is not pinned, or has no
	// such reaction, its own), and nothing was appended. The id of a change that makes no
	// difference is used as long as the message is kept, so a repeat has the same result.
	Duplicate bool
	// Err is nil, ErrIDConflict, ErrStale, Write.Refusal, the error of Write.Decide or
	// Write.Allow, ErrNoTarget, ErrGone, ErrEditConflict, ErrNoText, ErrTooManyReactions, or ErrDamaged
	// if the record of the author, of the first use of the id, of the target, or of a
	// document that Decide reads cannot be read. With an error nothing was stored.
	Err error
}

// Page asks for a run of entries of one room.
type Page struct {
	// After and Before bound the sequence numbers, both exclusive. A Before of 0
	// means no upper bound.
	After, Before uint64
	// Last asks for the newest entries within the bounds instead of the oldest.
	Last bool
	// Limit is the maximum number of entries; it must be positive.
	Limit int
	// Bytes limits the total of Entry.Size: the page ends early, after at least one
	// entry, rather than exceed it. 0 means no limit.
	Bytes int
	// RepliesTo, if not 0, asks History only for the messages that answer one.
	RepliesTo uint64
	// NoReactions leaves reactions out of what Read returns. They count for Limit, so a page of
	// nothing else is empty. What is missing from the log is not noticed where they are.
	NoReactions bool
}

// Skips reports whether Read leaves an entry out.
func (p *Page) Skips(e *Entry) bool { return p.NoReactions && e.Kind == kaban.KindReact }

// Run is the entries of a room behind one seq, up to another.
type Run struct {
	Room        kaban.RoomName
	After, Last uint64
}

// Redaction is what an entry is to say from now on.
type Redaction struct {
	Seq     uint64
	Content string
}

// IsRedactable reports whether entries of a kind may be redacted; see Store.Redact. The contents
// of the others are parts of messages.
func IsRedactable(kind kaban.Kind) bool {
	return kind == kaban.KindDelete || kind != kaban.KindMessage && !kind.IsChange()
}

// Store keeps the logs of all rooms, and documents.
type Store interface {
	Documents

	// Epoch names this incarnation of the data. A cursor is meaningful only
	// together with the epoch that it comes from.
	Epoch() string

	// Rooms lists every room that has ever had an entry or a Bump, in no particular
	// order.
	Rooms(ctx context.Context) ([]Room, error)

	// Room returns the state of one room. A room that never had an entry has
	// Head 0 and Oldest 1.
	Room(ctx context.Context, name kaban.RoomName) (Room, error)

	// Append stores a batch as one transaction and fills results, which must be
	// as long as the batch. If it returns an error, nothing of the batch is
	// stored, except that after ErrBroken and ErrUnknown the outcome is unknown. An id is unique
	// per room and author (kaban.Identity.ID) for as long as its entry is kept: the same
	// id with the same kind, target, body and files is a duplicate, with any other a conflict;
	// neither affects the rest of the batch. The first append to a room
	// creates the room, under the name it was given.
	//
	// The same content is the one that was appended, whatever has become of the message
	// since; once that is deleted or not kept, any content is the same. The same holds for files.
	//
	// The writes take effect in their order. Each is compared with earlier uses of
	// its id first, then with the room's revision, and then it is decided. A write that is
	// about a message (HasTarget) is compared with it last: the target must be a kept
	// message of the room (ErrNoTarget) that Write.Allow allows and that is not deleted
	// (ErrGone). An edit must be of the version it names (ErrEditConflict). A reaction or
	// pin that changes nothing is a duplicate of what made it so.
	//
	// A message with files that is deleted, cut (Cut) or forgotten releases them: the transaction that
	// takes their text away adds the document ReleasedKey. That may be a little later than the append
	// of the deletion, but not later than Eraser.Erase.
	//
	// A context that has ended before the transaction begins prevents it. From
	// then on the context is ignored.
	Append(ctx context.Context, batch []Write, results []Result) error

	// Read returns entries in ascending order without a gap between them. Entries
	// that are no longer kept are missing at the front: a caller that needs entry
	// After+1 compares the first Seq. An unknown room has no entries.
	//
	// An entry that cannot be read back as it was written is never returned. It
	// ends the page early, in the direction of reading. If nothing was read before
	// it, the error is a *DamagedError, and a page that begins behind the entry it
	// names goes on.
	//
	// A message has the content and the files that it has now, and its State, but for the reactions. An
	// edit has content only if it is the last of a message that is kept and not deleted, so
	// that whoever reads on from any entry ends with the same text.
	Read(ctx context.Context, room kaban.RoomName, page Page) ([]Entry, error)

	// History is Read without the changes of messages, but with all reactions. Only what
	// is returned counts for the limit of the page, which covers MaxRun entries at most: it
	// may be empty although there are more beyond its end.
	History(ctx context.Context, room kaban.RoomName, page Page) (History, error)

	// Tallies returns the states of some rooms with counts of messages, for an author
	// (kaban.Identity.ID), in the order of the names. A room costs the same however long
	// its log is. A room that never had an entry has Head 0.
	Tallies(ctx context.Context, author string, rooms []kaban.RoomName) ([]Tally, error)

	// CountTo returns the counts of a room up to a seq, for an author. A seq that is not of
	// Oldest-1 to Head becomes the nearest that is. It costs as much as the shortest run of
	// entries from there to what is counted already: the head, the front, or a mark, which may be
	// zero. Up to a seq that is kept, the counts are the same for ever. It does not read what
	// entries say, so damage to one may count wrongly.
	CountTo(ctx context.Context, room kaban.RoomName, author string, seq uint64, known Mark) (Mark, error)

	// Mentions returns the messages behind one seq, up to another, that mention an account
	// (Write.Mentions), ascending, without those that it has written itself and those that
	// were deleted. What an edit has taken out is not there any more. An occurrence that
	// cannot be read is left out. Of more than MaxMentions it returns the last ones, and
	// perhaps fewer where there are many more that it leaves out.
	Mentions(ctx context.Context, room kaban.RoomName, account string, after, last uint64) ([]Mention, error)

	// MayMention reports for each of some runs, in their order, whether Mentions may find
	// anything there: false is certain. It costs less than as many calls of Mentions.
	MayMention(ctx context.Context, account string, runs []Run) ([]bool, error)

	// ForgetMentions forgets up to limit occurrences with an earlier time, and returns how many.
	ForgetMentions(ctx context.Context, before int64, limit int) (int, error)

	// Cut takes up to limit entries from the front of a log, in one short transaction: those
	// before the first young one, up to the last old one of them (Search). An entry that is
	// damaged says nothing of its age. It returns how many it has taken, less than limit if
	// the next one is to stay. What was known of the entries goes with them:
	// states, reactions, mentions and ids; they stay counted (Tally.Front). The texts are then
	// erased like those that were deleted; see Eraser.
	Cut(ctx context.Context, room kaban.RoomName, age Age, limit int) (n int, err error)

	// Old returns about how many entries Cut would take if it had no limit, and how many of
	// them are messages: damage may make a difference. It looks at each of them.
	Old(ctx context.Context, room kaban.RoomName, age Age) (entries, messages uint64, err error)

	// Redact gives entries of a room contents that say less, in one short transaction: those
	// that are no messages, and deletions, whose reasons are contents. Others, and what is not
	// kept, stay as they are, and so does an entry that is damaged. The old contents are then
	// erased like those that were deleted; see Eraser. A repeat of such an entry with its first
	// content is a conflict.
	Redact(ctx context.Context, room kaban.RoomName, redactions []Redaction) error

	// Close makes every later call on this handle return ErrClosed. It waits for
	// calls in progress. Other handles on the same data stay open.
	Close() error
}

// Instant is an optional interface of a Store.
type Instant interface {
	// Instant reports whether no call ever waits for a disk, a network or another
	// process, so that a caller that must not block may append by itself. Since
	// there is nothing to wait for, an instant store ignores contexts. The value
	// never changes.
	//
	// A type that wraps a Store does not inherit this, because it may wait.
	Instant() bool
}

// Eraser is a Store whose files keep a text for a while after it was deleted or replaced. It
// erases such texts by itself, soon.
type Eraser interface {
	// Erase hurries, and waits until everything is erased that was deleted or replaced
	// before the call: no file of the store has any byte of it. If something is in the way,
	// such as a full disk or another reader, that may take as long as it stays.
	Erase(ctx context.Context) error
	// Erased returns how far the store is. Both numbers grow, and survive a restart: due with
	// everything that takes a text away, and nothing up to done is in any file.
	Erased() (done, due uint64)
}

// Alarming is a Store that may break while nobody calls it.
type Alarming interface {
	// Alarm sets the function that is called once when the store breaks, from any
	// goroutine. It must not call the store.
	Alarm(call func(error))
}

// Breakable is a Store that its owner can break, because it knows that what is stored would be
// lost.
type Breakable interface {
	// Break makes the store unusable for good, as a failed disk does: every later call returns
	// ErrBroken with this reason, and Close touches no file.
	Break(reason error)
}

// Displaceable is a Store whose files somebody may take away while it has them open.
type Displaceable interface {
	// Displaced returns an error if a file that the store writes to is not where the next start
	// looks for it. It returns nil if that cannot be found out, and once the store is closed or
	// broken. It waits for no transaction.
	Displaced() error
}

// Refusing is a Store that says whether it refuses messages.
type Refusing interface {
	// Refusing returns since when the store has had no room for messages, with ErrFull. The error
	// is nil once it has stored some again, or has seen that there is room. It waits for no
	// transaction.
	Refusing() (since time.Time, err error)
}

// Watched is a Store that says how large it is.
type Watched interface {
	// Size returns how large the store is now. It waits for no transaction.
	Size() Size
}

// Size is how large a store is.
type Size struct {
	// JournalEntries and JournalBytes are what is in the journal only: entries, and
	// bytes of their content.
	JournalEntries, JournalBytes int64
	// Files are the sizes of the files in bytes, by what they are.
	Files map[string]int64
}

// IsInstant reports whether s is instant. A Store without the interface is not.
func IsInstant(s Store) bool {
	instant, ok := s.(Instant)
	return ok && instant.Instant()
}

// Parallel is a Store that is faster if it has several appends to do at a time.
type Parallel interface {
	// Appends returns how many there should be. The value never changes.
	Appends() int
}

// Appends returns how many appends of different rooms a caller should have under way at a time. It
// never has two of one room. A Store without the interface has one.
func Appends(s Store) int {
	if p, ok := s.(Parallel); ok {
		return p.Appends()
	}
	return 1
}

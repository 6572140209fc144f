package store

import (
	"crypto/sha256"
	"encoding/binary"
	"iter"

	"kaban"
)

// Erased names a message that was deleted, without any of its text.
type Erased struct {
	Epoch string // that of the store in which it was deleted
	Room  string // the key of its name
	Seq   uint64
	Time  int64 // of the deletion, in milliseconds since 1970 UTC
	// Fingerprint is FingerprintOf the message. In a store with another history the number may be that of
	// another message.
	Fingerprint uint64
}

// ErasedAccount names an account that was erased. Its id is random, so it means the same one in
// every store.
type ErasedAccount struct {
	ID   string
	Time int64 // of the erasing, in milliseconds since 1970 UTC
}

// FingerprintOf returns what tells a message apart from any other with the same number in a room of
// the same name. It depends on nothing that ever changes, and says nothing about the text.
func FingerprintOf(e *Entry) uint64 {
	text := make([]byte, 0, 128)
	text = binary.LittleEndian.AppendUint64(text, e.Seq)
	text = binary.LittleEndian.AppendUint64(text, uint64(e.Time))
	text = append(append(text, e.Author...), 0)
	sum := sha256.Sum256(append(text, e.ID...))
	return binary.LittleEndian.Uint64(sum[:])
}

// Ledger keeps elsewhere which messages were deleted, so that a backup from before that can be
// restored without them.
type Ledger interface {
	// IsWhole reports whether it has everything that was ever recorded. If not, everything
	// that is known is to be recorded again.
	IsWhole() (bool, error)
	// Record makes messages durable in the ledger. To record one again is harmless. After an
	// error some of them may be in it.
	Record(messages []Erased) error
}

// Replay is what a ledger has, for a store that is restored.
type Replay struct {
	Messages iter.Seq2[Erased, error] // ends with the first error
	By       kaban.Identity           // in whose name they are deleted
	// Documents erases accounts, in one transaction. Nil erases none.
	Documents func(Tx) error
}

// Replayed counts what became of the lines of a ledger. The sum of all but Lines is Lines.
type Replayed struct {
	Lines   int
	Deleted int // messages that the ledger has deleted
	Known   int // deleted there already, no longer kept, or named before
	Newer   int // the store is older than they
	Other   int // the number is that of another message, so the line is not about this store
}

package bus

import (
	"encoding/binary"
	"hash/fnv"

	"kaban"
	"kaban/internal/store"
)

// Bounds of a hint.
const (
	// MaxEntryBytes bounds the entries in a hint, in bytes of their encoding. With more, a
	// hint has only the head.
	MaxEntryBytes = 32 << 10
	// MaxEntries bounds the number of entries in a hint.
	MaxEntries = 1024
	// MaxHint bounds a whole hint, in bytes: its entries, and less than 1 KiB before them.
	MaxHint = MaxEntryBytes + 1<<10

	maxEpoch    = 64
	maxRoom     = 4 * kaban.MaxRoomName
	maxID       = 64
	maxAuthor   = 255
	maxUsername = 4 * kaban.MaxUsername
)

// Hint says that a room has grown, or that the rights in it have changed. It is made after
// the transaction that did it.
type Hint struct {
	Epoch    string // of the store; see store.Store
	Timeline uint64 // of the database, or 0
	Room     kaban.RoomName
	Revision uint64 // of the room's rights, as far as the sender knows it
	// Head is the highest entry of the room that the sender knows.
	Head uint64
	// Entries, if any, are consecutive and as they were appended. None is beyond Head.
	Entries []store.Entry
}

// First returns the sequence number of the first entry in the hint, or Head+1 if there is
// none.
func (h *Hint) First() uint64 {
	if len(h.Entries) == 0 {
		return h.Head + 1
	}
	return h.Entries[0].Seq
}

// version is the first byte of a hint. A node that meets another version reads nothing of
// the hint and relies on the comparison of heads, so that nodes can be updated one by one.
const version = 1

// Append appends the encoding of a hint to dst. If its entries are not consecutive, or more
// than fit, the encoded hint has only the head.
//
// The encoding is: the version; the epoch; the timeline; the name of the room; the
// revision, the head and the first seq; the number of entries; then for each entry its kind (a byte), its
// time, its id, author, username, its target, its content and its files. Numbers are
// unsigned varints (encoding/binary) in their shortest form, the time is a signed one, and
// texts are UTF-8 after their length in bytes.
func (h *Hint) Append(dst []byte) []byte {
	dst = append(dst, version)
	dst = appendText(dst, h.Epoch)
	dst = binary.AppendUvarint(dst, h.Timeline)
	dst = appendText(dst, h.Room.String())
	dst = binary.AppendUvarint(dst, h.Revision)
	dst = binary.AppendUvarint(dst, h.Head)
	start := len(dst)
	if !h.fits() {
		return appendNone(dst, h.Head)
	}
	dst = binary.AppendUvarint(dst, h.First())
	dst = binary.AppendUvarint(dst, uint64(len(h.Entries)))
	entries := len(dst)
	for i := range h.Entries {
		dst = appendEntry(dst, &h.Entries[i])
		if len(dst)-entries > MaxEntryBytes {
			return appendNone(dst[:start], h.Head)
		}
	}
	return dst
}

// appendNone appends that there are no entries.
func appendNone(dst []byte, head uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, head+1), 0)
}

// fits reports whether the entries may be in a hint, as far as that is known before they
// are encoded.
func (h *Hint) fits() bool {
	if len(h.Entries) > MaxEntries {
		return false
	}
	first := h.First()
	for i := range h.Entries {
		if h.Entries[i].Seq != first+uint64(i) || h.Entries[i].Seq > h.Head {
			return false
		}
	}
	return true
}

func appendEntry(dst []byte, e *store.Entry) []byte {
	dst = append(dst, byte(e.Kind))
	dst = binary.AppendVarint(dst, e.Time)
	dst = appendText(dst, e.ID)
	dst = appendText(dst, e.Author)
	dst = appendText(dst, e.Username)
	dst = binary.AppendUvarint(dst, e.Target)
	dst = appendText(dst, e.Content)
	return appendText(dst, e.Files)
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// EntrySize bounds from above how many bytes an entry takes in a hint.
func EntrySize(e *store.Entry) int {
	const numbers = 1 + 2*binary.MaxVarintLen64 + 5*3 // kind, time and target, and lengths below 2 MiB
	return numbers + len(e.ID) + len(e.Author) + len(e.Username) + len(e.Content) + len(e.Files)
}

// Shards is the number of shards of rooms. Each has a subject of its own on the network.
const Shards = 64

// Shard returns the shard of a room, from 0. It is the same on all nodes and in all
// versions: FNV-1a, 64 bits, of the room's key, modulo Shards.
func Shard(room kaban.RoomName) int {
	sum := fnv.New64a()
	_, _ = sum.Write([]byte(room.Key())) // a hash never fails
	return int(sum.Sum64() % Shards)
}

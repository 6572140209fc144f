package store

import (
	"fmt"
	"strconv"

	"kaban"
)

// A message that had files and is deleted, cut or forgotten releases them: the transaction that
// takes their text away adds a document that names the message. Whoever keeps the files finds it
// there after any crash, and removes it when it has let go of them.

// released is the first part of the keys of these documents.
const released = "released"

// ReleasedKey returns the key of the document that a store adds for a message.
func ReleasedKey(room kaban.RoomName, seq uint64) string {
	return Key(released, room.Key(), strconv.FormatUint(seq, 10))
}

// ReleasedKeys returns the bounds of a Scan over all of them.
func ReleasedKeys() (from, to string) { return KeysUnder(released) }

// ReleasedValue is the value of these documents: an object of JSON without fields.
const ReleasedValue = "{}"

// ParseReleased returns the key of the room's name and the message that a key of ReleasedKey
// names.
func ParseReleased(key string) (room string, seq uint64, err error) {
	parts := KeyParts(key)
	if len(parts) != 3 || parts[0] != released {
		return "", 0, fmt.Errorf("%.100q does not name a message that had files", key)
	}
	if seq, err = strconv.ParseUint(parts[2], 10, 64); err != nil {
		return "", 0, fmt.Errorf("%.100q does not name a message that had files: %w", key, err)
	}
	return parts[1], seq, nil
}

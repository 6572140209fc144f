package sqlite

import (
	"kaban"
	"kaban/internal/store"
)

// release notes that this transaction takes the files of a message away; see store.ReleasedKey.
func (b *batch) release(room kaban.RoomName, seq uint64) error {
	key, value := store.ReleasedKey(room, seq), []byte(store.ReleasedValue)
	b.changes.add(key)
	b.released++
	return b.stmts.putDocument.exec(b.ctx, key, value, b.sum.document(key, value))
}

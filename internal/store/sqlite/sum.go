package sqlite

import (
	"encoding/binary"
	"hash/crc32"

	"kaban/internal/store"
)

// castagnoli is a polynomial for which processors have an instruction. Its checksum
// detects every flip of up to three bits in rows as long as ours, every burst of up to
// 32 bits, and all but one in four billion other changes.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summer computes the checksums of rows. They are stored, so the input of each must
// never change. The zero value is ready to use. One goroutine at a time may use it.
type summer struct{ buffer []byte }

// begin starts a row.
func (s *summer) begin() { s.buffer = s.buffer[:0] }

// number adds a number to the row.
func (s *summer) number(n int64) { s.buffer = binary.LittleEndian.AppendUint64(s.buffer, uint64(n)) }

// text adds a text to the row, after its length, so that no other pair of texts has the
// same bytes.
func (s *summer) text(t string) {
	s.number(int64(len(t)))
	s.buffer = append(s.buffer, t...)
}

// sum ends the row. It is signed because SQLite keeps that in four bytes. The buffer stays,
// so the row is cleared from it: a text that is erased must not be here.
func (s *summer) sum() int64 {
	sum := crc32.Checksum(s.buffer, castagnoli)
	clear(s.buffer)
	return int64(int32(sum))
}

// entry sums an entry at a place, with the username that readers get.
func (s *summer) entry(place, user int64, e *store.Entry) int64 {
	s.begin()
	s.number(place)
	s.number(e.Time)
	s.number(int64(e.Kind))
	s.number(user)
	s.text(e.Username)
	s.text(e.ID)
	s.text(e.Content)
	// Checksums are older than targets, and these than files.
	if e.Target != 0 || e.Files != "" {
		s.number(int64(e.Target))
	}
	if e.Files != "" {
		s.text(e.Files)
	}
	return s.sum()
}

// progress sums the row of progress.
func (s *summer) progress(p *progressRow) int64 {
	s.begin()
	s.text(string(p.Salt[:]))
	closed := int64(0)
	if p.Closed {
		closed = 1
	}
	s.number(closed)
	s.number(int64(p.Merged))
	s.number(int64(p.batch))
	s.number(int64(p.Last))
	return s.sum()
}

// erasing sums the row of erasing.
func (s *summer) erasing(e *erasingRow) int64 {
	s.begin()
	s.number(e.due)
	s.number(e.done)
	if e.swept {
		s.number(1)
	}
	return s.sum()
}

// unledgered sums a row of unledgered.
func (s *summer) unledgered(place int64) int64 {
	s.begin()
	s.number(place)
	return s.sum()
}

// run sums a row of runs.
func (s *summer) run(r changeRun) int64 {
	s.begin()
	s.number(r.place)
	s.number(r.last)
	return s.sum()
}

// batch sums a row of unmerged.
func (s *summer) batch(batch, time int64, entries []byte) int64 {
	s.begin()
	s.number(batch)
	s.number(time)
	s.number(int64(len(entries)))
	s.buffer = append(s.buffer, entries...)
	return s.sum()
}

// room sums a row of rooms.
func (s *summer) room(id int64, key, name string, r roomRow) int64 {
	s.begin()
	s.number(id)
	s.text(key)
	s.text(name)
	s.number(int64(r.head))
	// Checksums are older than revisions, these than counts, and these than cuts.
	if r.revision != 0 || r.messages != 0 || r.cut != 0 {
		s.number(int64(r.revision))
	}
	if r.messages != 0 || r.cut != 0 {
		s.number(int64(r.messages))
	}
	if r.cut != 0 {
		s.number(int64(r.cut))
		s.number(int64(r.cutMessages))
	}
	return s.sum()
}

// written sums a row of written.
func (s *summer) written(of authorIn, w written) int64 {
	s.begin()
	s.number(of.room)
	s.number(of.user)
	s.number(int64(w.messages))
	s.number(int64(w.last))
	if w.cut != 0 {
		s.number(int64(w.cutMessages))
		s.number(int64(w.cut))
	}
	return s.sum()
}

// document sums a row of documents.
func (s *summer) document(key string, value []byte) int64 {
	s.begin()
	s.text(key)
	s.number(int64(len(value)))
	s.buffer = append(s.buffer, value...)
	return s.sum()
}

// user sums a row of users.
func (s *summer) user(id int64, key, name string) int64 {
	s.begin()
	s.number(id)
	s.text(key)
	s.text(name)
	return s.sum()
}

// store sums the row of store.
func (s *summer) store(id int64, epoch string, created int64) int64 {
	s.begin()
	s.number(id)
	s.text(epoch)
	s.number(created)
	return s.sum()
}

// state sums a row of states.
func (s *summer) state(place int64, state *store.State) int64 {
	s.begin()
	s.number(place)
	for _, c := range [...]store.Change{state.Edited, state.Deleted, state.Pinned} {
		s.number(int64(c.Seq))
		s.number(c.Time)
	}
	s.number(int64(state.Replies))
	return s.sum()
}

// reaction sums a row of reactions, with the people as they are written.
func (s *summer) reaction(r *reaction, people []byte) int64 {
	s.begin()
	s.number(r.place)
	s.text(r.emoji)
	s.number(int64(r.first))
	s.number(int64(len(people)))
	s.buffer = append(s.buffer, people...)
	return s.sum()
}

// singleReaction sums a row of single_reactions, with the username that readers got.
func (s *summer) singleReaction(place int64, emoji string, p *reactor, username string) int64 {
	s.begin()
	s.number(place)
	s.text(emoji)
	s.number(p.user)
	s.text(username)
	s.number(int64(p.Seq))
	s.number(p.Time)
	return s.sum()
}

// noop sums a row of noops.
func (s *summer) noop(in authorIn, e *store.Entry) int64 {
	s.begin()
	s.number(in.room)
	s.number(in.user)
	s.text(e.ID)
	s.number(int64(e.Seq))
	s.number(e.Time)
	s.number(int64(e.Kind))
	s.number(int64(e.Target))
	s.text(e.Content)
	return s.sum()
}

// mention sums a row of mentions.
func (s *summer) mention(m *mention) int64 {
	s.begin()
	s.text(m.Account)
	s.number(m.place)
	s.number(int64(m.Cause))
	s.number(m.user)
	s.number(m.Time)
	s.number(int64(len(m.Online)))
	for _, id := range m.Online {
		s.text(id)
	}
	return s.sum()
}

// original sums a row of originals.
func (s *summer) original(place int64, o *original) int64 {
	s.begin()
	s.number(place)
	s.number(int64(len(o.hash)))
	s.buffer = append(s.buffer, o.hash...)
	s.number(int64(o.older))
	return s.sum()
}

package sqlite

import (
	"database/sql"
	"errors"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// foldStmts write what becomes of messages.
type foldStmts struct {
	setTexts, setState, dropState *sql.Stmt
	setOriginal, dropOriginal     *sql.Stmt
	reactionsOf                   *sql.Stmt // of a list
	setReaction, setReactions     *sql.Stmt
	dropReaction, dropReactions   *sql.Stmt // one row; all of a message
}

func (f *foldStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&f.setTexts: "UPDATE entries SET content = ?, files = ?, sum = ? WHERE place = ?",
		&f.setState: "INSERT OR REPLACE INTO states (place, edited, edited_time, deleted, deleted_time, pinned, pinned_time, replies, sum)" +
			" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		&f.dropState:     "DELETE FROM states WHERE place = ?",
		&f.setOriginal:   "INSERT OR REPLACE INTO originals (place, hash, older, sum) VALUES (?, ?, ?, ?)",
		&f.dropOriginal:  "DELETE FROM originals WHERE place = ?",
		&f.reactionsOf:   listedReactions,
		&f.setReaction:   setReactionQuery + setReactionRow,
		&f.setReactions:  setReactionQuery + times(setReactionRow, insertRows),
		&f.dropReaction:  "DELETE FROM reactions WHERE place = ? AND emoji = ? AND first = ?",
		&f.dropReactions: "DELETE FROM reactions WHERE place = ?",
	}
}

// folding is what entries that are being merged make of messages.
type folding struct {
	// texts are those of entries that differ from what was appended, by their place.
	texts    map[int64]texts
	messages map[int64]*foldedMessage  // by their place
	mentions map[int64]*foldedMentions // by the places of their messages
	reacted
}

// texts are those of an entry.
type texts struct{ content, files string }

// foldedMessage is a message that some of the entries are about.
type foldedMessage struct {
	*store.Entry       // without reactions; nil if there is no such message, or it cannot be read
	merged       bool  // it is in the table entries
	user         int64 // of the author
	changed      bool  // its texts
	stated       bool  // it has a row in states
}

// fold folds the entries of one room, which are not in the table yet.
func (f *folding) fold(b *batch, r *merging) error {
	for i := range r.entries {
		e := &r.entries[i]
		if e.Kind == kaban.KindMessage && e.mentions != nil {
			if err := f.mention(b, e, r.place(e.Seq), e.user, false); err != nil {
				return err
			}
		}
		if !store.HasTarget(e.Kind, e.Target) {
			continue
		}
		if f.messages == nil {
			f.messages, f.texts = make(map[int64]*foldedMessage), make(map[int64]texts)
		}
		place := r.place(e.Seq)
		if e.Kind == kaban.KindEdit {
			f.texts[place] = texts{} // also if there is nothing to edit
		}
		if e.Target <= r.cut {
			continue
		}
		if e.Kind == kaban.KindReact && !b.importing { // there is such a message, or it was not stored
			f.react(e, r.place(e.Target))
			continue
		}
		m, err := f.message(b, r, e.Target)
		if err != nil {
			return err
		}
		if m.Entry == nil || m.IsDeleted() && e.Kind != kaban.KindMessage {
			continue
		}
		at := r.place(m.Seq)
		switch e.Kind {
		case kaban.KindReact: // is in a table of its own, and not in the state here
			if e.Target < e.Seq { // an import may have anything
				f.react(e, at)
			}
			continue
		case kaban.KindDelete:
			f.forget(at)
		}
		if e.tells() && e.Kind != kaban.KindMessage && !b.importing {
			if err := f.mention(b, e, at, m.user, m.merged); err != nil {
				return err
			}
		}
		if e.Kind == kaban.KindDelete && m.Files != "" {
			if err := b.release(r.name, m.Seq); err != nil {
				return err
			}
		}
		if err := m.apply(b, e, at, place); err != nil {
			return err
		}
		if m.changed && !m.merged {
			f.texts[at] = texts{m.Content, m.Files}
		}
	}
	return nil
}

// message returns a message of the room, from the entries that are being merged or from the
// table.
func (f *folding) message(b *batch, r *merging, seq uint64) (*foldedMessage, error) {
	place := r.place(seq)
	if m := f.messages[place]; m != nil {
		return m, nil
	}
	m := new(foldedMessage)
	f.messages[place] = m
	first := r.entries[0].Seq
	if seq >= first {
		if seq-first < uint64(len(r.entries)) && r.entries[seq-first].Kind == kaban.KindMessage {
			e := r.entries[seq-first]
			m.Entry, m.user = &e.Entry, e.user
		}
		return m, nil
	}
	e, user, err := b.stmts.readRow(b.ctx, &b.sum, place)
	if err == nil && e != nil && e.Kind == kaban.KindMessage {
		e.State, err = b.stmts.readState(b.ctx, &b.sum, place)
		m.Entry, m.user, m.merged, m.stated = e, user, true, e.State != nil
	}
	if errors.Is(err, store.ErrDamaged) { // it stays as it is, and whoever reads it learns that
		*m, err = foldedMessage{}, nil
	}
	return m, err
}

// apply makes of the message, which is at one place, what an entry at another place says.
func (m *foldedMessage) apply(b *batch, e *unmergedEntry, at, place int64) (err error) {
	var before store.Change
	if m.State != nil {
		before = m.State.Edited
	}
	switch e.Kind {
	case kaban.KindEdit:
		if e.Content == "" { // from an export: the message has the text already
			break
		}
		if before == (store.Change{}) {
			err = b.setOriginal(at, m.Content, 0)
		}
		if err == nil {
			err = b.setOriginal(place, e.Content, before.Seq)
		}
		m.changed = true
	case kaban.KindDelete:
		if err = b.dropOriginals(at, before.Seq); err == nil {
			_, err = b.stmts.dropReactions.ExecContext(b.ctx, at)
		}
		if err == nil {
			_, err = b.stmts.addUnledgered.ExecContext(b.ctx, at, b.sum.unledgered(at))
		}
		m.changed = true
	}
	if err == nil {
		m.Apply(&e.Entry)
	}
	return err
}

// setOriginal keeps the hash of a content.
func (b *batch) setOriginal(place int64, content string, older uint64) error {
	o := original{hashOf(content), older}
	_, err := b.stmts.setOriginal.ExecContext(b.ctx, place, o.hash, o.older, b.sum.original(place, &o))
	return err
}

// dropOriginals forgets the hashes of a message and of its edits, the last of which is
// given.
func (b *batch) dropOriginals(message int64, edit uint64) error {
	if edit == 0 {
		return nil
	}
	room := message >> seqBits << seqBits
	for place := message; ; place = room | int64(edit) {
		if place != message {
			o, err := b.stmts.readOriginal(b.ctx, &b.sum, place)
			switch {
			case errors.Is(err, store.ErrDamaged), err == nil && o == nil:
				edit = 0
			case err != nil:
				return err
			default:
				edit = o.older
			}
		}
		if _, err := b.stmts.dropOriginal.ExecContext(b.ctx, place); err != nil {
			return err
		}
		if edit == 0 || room|int64(edit) == place {
			return nil
		}
	}
}

// save writes the states of the messages, and the texts of those that were merged before.
// Those of the others are in texts.
func (f *folding) save(b *batch) error {
	if err := f.saveMentions(b); err != nil {
		return err
	}
	if err := f.reacted.save(b); err != nil {
		return err
	}
	places := make([]int64, 0, len(f.messages))
	for place, m := range f.messages {
		if m.Entry != nil {
			places = append(places, place)
		}
	}
	slices.Sort(places)
	for _, place := range places {
		m := f.messages[place]
		if m.changed && m.merged {
			if _, err := b.stmts.setTexts.ExecContext(b.ctx, m.Content, orNull(m.Files), b.sum.entry(place, m.user, m.Entry), place); err != nil {
				return err
			}
		}
		s := m.State
		if s == nil {
			if m.stated {
				if _, err := b.stmts.dropState.ExecContext(b.ctx, place); err != nil {
					return err
				}
			}
			continue
		}
		_, err := b.stmts.setState.ExecContext(b.ctx, place, s.Edited.Seq, s.Edited.Time, s.Deleted.Seq, s.Deleted.Time, s.Pinned.Seq, s.Pinned.Time, s.Replies, b.sum.state(place, s))
		if err != nil {
			return err
		}
	}
	return nil
}

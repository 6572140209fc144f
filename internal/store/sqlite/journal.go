package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// journaled is an entry in a row of the journal, which has its time. People can
// take the rows apart with the views recent and log of the schema; this package
// always uses journaled.
type journaled struct {
	Place    int64      `json:"place"`
	Kind     kaban.Kind `json:"kind"`
	User     int64      `json:"user"`
	Username string     `json:"username,omitempty"` // "" is the one in users
	ID       string     `json:"id"`
	Target   uint64     `json:"target,omitempty"`
	Content  string     `json:"content"`
}

// journaled returns the entry of a room as the journal stores it.
func (e *unmergedEntry) journaled(r *room) journaled {
	j := journaled{Place: r.place(e.Seq), Kind: e.Kind, User: e.user, ID: e.ID, Target: e.Target, Content: e.Content}
	if e.ownName {
		j.Username = e.Username
	}
	return j
}

// unmerged is the reverse, except for a username that is in users.
func (j *journaled) unmerged(batch, time int64) unmergedEntry {
	return unmergedEntry{
		Entry: store.Entry{Seq: uint64(j.Place & maxSeq), Time: time, Kind: j.Kind, ID: j.ID, Username: j.Username, Target: j.Target, Content: j.Content},
		batch: batch, user: j.User, ownName: j.Username != "",
	}
}

// journal writes the entries of the batch as a row of the journal.
func (b *batch) journal() error {
	if len(b.entries) == 0 {
		return nil
	}
	return b.addJournal(b.entries)
}

// journalNothing writes a row without entries, with which readers recognise that a
// revision in the memory has changed. It replaces the one before.
func (b *batch) journalNothing() error {
	if b.unmerged.empty > 0 {
		if _, err := b.stmts.deleteJournal.ExecContext(b.ctx, b.unmerged.empty); err != nil {
			return err
		}
	}
	err := b.addJournal([]journaled{})
	b.empty = b.row
	return err
}

func (b *batch) addJournal(entries []journaled) error {
	text, err := json.Marshal(entries)
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	b.row = b.unmerged.batch + 1
	_, err = b.stmts.addJournal.ExecContext(b.ctx, b.row, b.now, string(text), b.sum.batch(b.row, b.now, text))
	return err
}

// loadJournal reads the unmerged entries. The rooms must be there.
func (l *loader) loadJournal() error {
	rows, err := l.conn.QueryContext(l.ctx, "SELECT batch, time, entries, sum FROM journal ORDER BY batch")
	if err != nil {
		return err
	}
	defer rows.Close()
	var all []unmergedEntry
	var rooms []int64
	for rows.Next() {
		var batch, time, value int64
		var text []byte
		var entries []journaled
		err := rows.Scan(&batch, &time, &text, &value)
		if err == nil && l.contents.sum.batch(batch, time, text) != value {
			err = errSum
		}
		if err == nil {
			err = json.Unmarshal(text, &entries)
		}
		if err != nil {
			if err = l.bad(damaged(fmt.Sprintf("batch %d of the journal", batch), err)); err != nil {
				return err
			}
			continue
		}
		l.unmerged.batch = batch // also if all of it is merged
		for _, j := range entries {
			room := j.Place >> seqBits
			if e := j.unmerged(batch, time); e.Seq > l.merged[room] {
				rooms, all = append(rooms, room), append(all, e)
			}
		}
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	return l.addUnmerged(all, rooms)
}

// addUnmerged adds entries of the journal to their rooms.
func (l *loader) addUnmerged(entries []unmergedEntry, rooms []int64) error {
	users := make([]int64, len(entries))
	for i := range entries {
		users[i] = entries[i].user
	}
	slices.Sort(users)
	if err := l.readAll(l.ctx, l.conn, slices.Compact(users)); err != nil {
		return err
	}
	for i := range entries {
		e, r := &entries[i], l.rooms[rooms[i]]
		author, err := l.author(l.ctx, e.user)
		if err != nil {
			return err
		}
		if e.Author = author.key; e.Username == "" {
			e.Username = author.name
		}
		_, twice := l.unmerged.keys[key{rooms[i], e.user, e.ID}]
		switch {
		case r == nil:
			err = l.bad(fmt.Errorf("entry %d of the journal is of room %d, which does not exist", e.Seq, rooms[i]))
		case author.err != nil:
			err = l.bad(damaged(fmt.Sprintf("message %d of %s is of user %d", e.Seq, r.name, e.user), author.err))
		case twice || e.Seq != r.head+1:
			err = l.bad(damaged(fmt.Sprintf("message %d of %s", e.Seq, r.name), errors.New("it does not follow the one before it")))
		}
		if err != nil {
			return err
		}
		if r != nil && e.Seq > r.head && e.Username != "" {
			r.head = e.Seq
			l.unmerged.add(r, entries[i:i+1])
		}
	}
	return nil
}

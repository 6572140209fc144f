package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"kaban"
	"kaban/internal/store"
)

// journaled is an entry in a row of the table unmerged, which has its time.
type journaled struct {
	Place    int64           `json:"place"`
	Kind     kaban.Kind      `json:"kind"`
	User     int64           `json:"user"`
	Username string          `json:"username,omitempty"` // "" is the one in users
	ID       string          `json:"id"`
	Target   uint64          `json:"target,omitempty"`
	Content  string          `json:"content"`
	Files    string          `json:"files,omitempty"`
	Mentions *store.Mentions `json:"mentions,omitempty"`
}

// journaled returns the entry of a room as the table stores it.
func (e *unmergedEntry) journaled(r *room) journaled {
	j := journaled{Place: r.place(e.Seq), Kind: e.Kind, User: e.user, ID: e.ID, Target: e.Target, Content: e.Content, Files: e.Files, Mentions: e.mentions}
	if e.ownName {
		j.Username = e.Username
	}
	return j
}

// unmerged is the reverse, except for a username that is in users.
func (j *journaled) unmerged(batch, time int64) unmergedEntry {
	return unmergedEntry{
		Entry: store.Entry{Seq: uint64(j.Place & maxSeq), Time: time, Kind: j.Kind, ID: j.ID, Username: j.Username, Target: j.Target, Content: j.Content, Files: j.Files},
		batch: batch, user: j.User, ownName: j.Username != "", mentions: j.Mentions,
	}
}

// note writes the entries of the batch as a row of unmerged, and that there is a batch.
func (b *batch) note() error {
	b.number = b.unmerged.batch + 1
	if len(b.entries) > 0 {
		text, err := json.Marshal(b.entries)
		if err != nil {
			return fmt.Errorf("write the batch: %w", err)
		}
		if _, err := b.stmts.addUnmerged.ExecContext(b.ctx, b.number, b.now, string(text), b.sum.batch(b.number, b.now, text)); err != nil {
			return err
		}
	}
	b.progress.batch = uint64(b.number)
	return b.saveProgress()
}

// saveProgress writes the progress as this transaction changes it.
func (b *batch) saveProgress() error {
	if b.begun.Load() {
		b.progress.Salt, b.progress.Last = b.journal.Salt()
	}
	_, err := b.stmts.setProgress.ExecContext(b.ctx, b.progress.columns(&b.sum)...)
	return err
}

// found are unmerged entries that were read, and their rooms.
type found struct {
	entries []unmergedEntry
	rooms   []int64
}

// loadUnmerged reads the unmerged entries. The rooms must be there.
func (l *loader) loadUnmerged() error {
	frames, damage := l.read(l.progress)
	if damage != nil && !errors.Is(damage, store.ErrDamaged) {
		return damage
	}
	batches := make(map[int64]found)
	if err := l.readRows(batches); err != nil {
		return err
	}
	l.unmerged.batch = max(l.unmerged.batch, int64(l.progress.batch))
	for _, f := range frames {
		entries, rooms, err := parseFrame(f.Batch, f.Payload)
		if err != nil {
			if err = l.bad(damaged(fmt.Sprintf("batch %d of the journal", f.Batch), err)); err != nil {
				return err
			}
		}
		batches[int64(f.Batch)] = found{entries, rooms}
		l.unmerged.batch = max(l.unmerged.batch, int64(f.Batch))
	}
	var all found
	for _, batch := range slices.Sorted(maps.Keys(batches)) {
		one := batches[batch]
		for i := range one.entries {
			if e := &one.entries[i]; e.Seq > l.merged[one.rooms[i]] {
				all.entries, all.rooms = append(all.entries, *e), append(all.rooms, one.rooms[i])
			}
		}
	}
	if damage != nil { // it says more than what does not follow because of it
		if err := l.bad(damage); err != nil {
			return err
		}
	}
	return l.addUnmerged(all.entries, all.rooms)
}

// readRows reads the batches in the table unmerged.
func (l *loader) readRows(into map[int64]found) error {
	rows, err := l.conn.QueryContext(l.ctx, "SELECT batch, time, entries, sum FROM unmerged")
	if err != nil {
		return err
	}
	defer rows.Close()
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
			if err = l.bad(damaged(fmt.Sprintf("batch %d of unmerged", batch), err)); err != nil {
				return err
			}
			continue
		}
		l.unmerged.batch = max(l.unmerged.batch, batch)
		var one found
		for i := range entries {
			one.entries = append(one.entries, entries[i].unmerged(batch, time))
			one.rooms = append(one.rooms, entries[i].Place>>seqBits)
		}
		into[batch] = one
	}
	return closeRows(rows)
}

var (
	errGap  = errors.New("it does not follow the one before it")
	errSkip = errors.New("to be left out")
)

// addUnmerged adds unmerged entries to their rooms.
func (l *loader) addUnmerged(entries []unmergedEntry, rooms []int64) error {
	users := make([]int64, len(entries))
	for i := range entries {
		users[i] = entries[i].user
	}
	slices.Sort(users)
	if err := l.readAll(l.ctx, l.conn, slices.Compact(users)); err != nil && (l.saved == nil || !isDamage(err)) {
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
			err = l.bad(fmt.Errorf("the unmerged entry %d is of room %d, which does not exist", e.Seq, rooms[i]))
		case author.err != nil:
			err = l.bad(damaged(fmt.Sprintf("message %d of %s is of user %d", e.Seq, r.name, e.user), author.err))
		case twice || e.Seq != r.head+1:
			err = l.bad(damaged(fmt.Sprintf("message %d of %s", e.Seq, r.name), errGap))
		}
		if errors.Is(err, errSkip) {
			continue
		}
		if err != nil {
			return err
		}
		if r != nil && e.Seq > r.head && e.Username != "" {
			l.unmerged.add(r, entries[i:i+1])
			r.publish()
		}
	}
	return nil
}

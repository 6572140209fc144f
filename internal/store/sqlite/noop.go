package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// A change of a message that makes no difference, such as a reaction that is there already,
// becomes no entry, but its id is used: if the change is sent again after somebody has taken
// the reaction back, it must not come back. There are few of them, so each makes its batch a
// slow one.

const (
	addNoopQuery = "INSERT INTO noops (room, user, id, seq, time, kind, target, content, sum) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9" +
		" WHERE (SELECT count(*) FROM noops WHERE room = ?1 AND target = ?7) < ?10"
	noopColumns = "id, seq, time, kind, target, content, sum"
	noopQuery   = "SELECT " + noopColumns + " FROM noops WHERE room = ? AND user = ? AND id = ?"
	// lastNoopQuery has the one with the highest id of an author in a room.
	lastNoopQuery = "SELECT " + noopColumns + " FROM noops WHERE room = ? AND user = ? ORDER BY id DESC LIMIT 1"
	dropNoopQuery = "DELETE FROM noops WHERE room = ? AND user = ? AND id = ?"
	cutNoopsQuery = "DELETE FROM noops WHERE room = ? AND target <= ?"
)

// scanNoop reads what a change of an author in a room was, as an entry with the seq and the
// time of its answer.
func scanNoop(row scanner, sum *summer, in authorIn) (e store.Entry, err error) {
	var value int64
	err = row.Scan(&e.ID, &e.Seq, &e.Time, &e.Kind, &e.Target, &e.Content, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return e, err
	}
	return e, checked(err, sum.noop(in, &e), value, "the id of a change of message", e.Target)
}

// noteNoop keeps the id of a draft that makes no difference since a change, unless the message has
// store.MaxNoops of them.
func (b *batch) noteNoop(r *room, author user, d *kaban.Draft, known store.Change) error {
	if err := b.saveUser(author); err != nil {
		return err
	}
	e := store.NewEntry(d, known.Seq, known.Time)
	k := key{r.id, author.id, e.ID}
	added, err := b.addNoop(k, &e)
	if added {
		b.keys[k] = earlier{Entry: e, place: r.place(e.Seq)}
	}
	return err
}

// addNoop writes a row, unless the message has store.MaxNoops.
func (b *batch) addNoop(k key, e *store.Entry) (added bool, err error) {
	in := authorIn{k.room, k.user}
	result, err := b.stmts.addNoop.ExecContext(b.ctx, in.room, in.user, e.ID, e.Seq, e.Time, int64(e.Kind), e.Target, e.Content, b.sum.noop(in, e), store.MaxNoops)
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	if err != nil || rows == 0 {
		return false, err
	}
	b.noops = append(b.noops, k)
	return true, nil
}

// findNoop finds a change that made no difference.
func (f *finder) findNoop(ctx context.Context, k key) (e earlier, found bool, err error) {
	e.Entry, err = scanNoop(f.noop.QueryRowContext(ctx, k.room, k.user, k.id), &f.sum, authorIn{k.room, k.user})
	e.place = k.room<<seqBits | int64(e.Seq)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return e, false, nil
	case errors.Is(err, store.ErrDamaged):
		e.damage, err = damaged(fmt.Sprintf("the change with the id %s", k.id), err), nil
	}
	return e, err == nil, err
}

// lastNoop returns the highest id of an author in a room that made no difference, "" if
// there is none.
func (f *finder) lastNoop(ctx context.Context, in authorIn) (string, error) {
	e, err := scanNoop(f.newestNoop.QueryRowContext(ctx, in.room, in.user), &f.sum, in)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case errors.Is(err, store.ErrDamaged):
		return unsure, nil
	}
	return e.ID, err
}

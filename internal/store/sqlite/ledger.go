package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"

	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// The transaction that merges the deletion of a message adds the message to the table
// unledgered. The eraser writes what is there to the ledger, and removes it when that is
// durable, before it notes that anything is erased. So a message that was deleted is in the
// table or in the ledger at any moment, perhaps in both. A cut, which takes the message away,
// has it written to the ledger first.

// ledgerStep is how many messages are written to the ledger at once.
const ledgerStep = 1000

// ledgerStmts are those of the table unledgered.
type ledgerStmts struct {
	addUnledgered, dropUnledgered  *sql.Stmt
	someUnledgered                 *sql.Stmt
	deletedPlaces, clearUnledgered *sql.Stmt
}

func (l *ledgerStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&l.addUnledgered:   "INSERT OR REPLACE INTO unledgered (place, sum) VALUES (?, ?)",
		&l.dropUnledgered:  "DELETE FROM unledgered WHERE place = ?",
		&l.someUnledgered:  "SELECT place, sum FROM unledgered WHERE place BETWEEN ? AND ? ORDER BY place LIMIT ?",
		&l.deletedPlaces:   "SELECT place FROM states WHERE deleted > 0 AND place > ? ORDER BY place LIMIT ?",
		&l.clearUnledgered: "DELETE FROM unledgered",
	}
}

// record has the ledger name every message that was merged as deleted. Only the eraser calls
// it.
func (d *database) record(ctx context.Context) error {
	if d.ledger == nil {
		return nil
	}
	if !d.eraser.opened {
		whole, err := d.ledger.IsWhole()
		if err == nil && !whole {
			err = d.recordAgain()
		}
		if err == nil {
			err = d.ledger.Record(nil) // also if there is nothing, what is wrong with it is found now
		}
		if err != nil {
			return err
		}
		d.eraser.opened = true
	}
	for {
		if d.eraser.isStopped() {
			return errStopped
		}
		places, err := d.recordSome(ctx, 0, math.MaxInt64)
		if err != nil || len(places) == 0 {
			return err
		}
		err = d.transaction("note what the ledger has", func(b *batch) error {
			for _, place := range places {
				if _, err := b.stmts.dropUnledgered.ExecContext(b.ctx, place); err != nil {
					return err
				}
			}
			failpoint.Point("ledger.before-commit")
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// recordSome has the ledger name the next messages in a run of places that it lacks, and returns
// their places, none if it lacks none.
func (d *database) recordSome(ctx context.Context, first, last int64) (places []int64, err error) {
	messages, places, err := d.unledgered(ctx, first, last)
	if errors.Is(err, store.ErrDamaged) {
		d.log.Error("what the ledger lacks is damaged; everything that was ever deleted is written to it again", "path", d.path, "error", err)
		if err = d.recordAgain(); err == nil {
			messages, places, err = d.unledgered(ctx, first, last)
		}
	}
	if err == nil && len(messages) > 0 {
		err = d.ledger.Record(messages)
	}
	return places, err
}

// unledgered returns the next messages in a run of places that the ledger lacks, and their
// places. One that cannot be read is left out.
func (d *database) unledgered(ctx context.Context, first, last int64) (messages []store.Erased, places []int64, err error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.closed {
		return nil, nil, store.ErrClosed
	}
	rows, err := d.stmts.someUnledgered.QueryContext(ctx, first, last, ledgerStep)
	if err != nil {
		return nil, nil, d.failed("read what the ledger lacks", err)
	}
	defer rows.Close()
	for rows.Next() {
		var place, value int64
		if err := rows.Scan(&place, &value); err != nil {
			return nil, nil, d.failed("read what the ledger lacks", err)
		}
		if d.sum.unledgered(place) != value {
			return nil, nil, damaged("a row of unledgered", errSum)
		}
		places = append(places, place)
	}
	if err := closeRows(rows); err != nil {
		return nil, nil, d.failed("read what the ledger lacks", err)
	}
	if len(places) == 0 {
		return nil, nil, nil
	}
	keys := make(map[int64]string)
	d.mu.RLock()
	for _, r := range d.rooms {
		keys[r.id] = r.key
	}
	d.mu.RUnlock()
	for _, place := range places {
		e, err := d.stmts.readErased(ctx, &d.sum, d.authors, place)
		switch {
		case errors.Is(err, store.ErrDamaged):
			d.log.Error("a message that was deleted is damaged, so the ledger cannot name it: it comes back when an older backup is restored", "path", d.path, "room", keys[place>>seqBits], "seq", place&maxSeq, "error", err)
			continue
		case err != nil:
			return nil, nil, d.failed("read a message that was deleted", err)
		case e == nil || !e.IsDeleted() || keys[place>>seqBits] == "":
			continue
		}
		room := keys[place>>seqBits]
		messages = append(messages, store.Erased{Epoch: d.epoch, Room: room, Seq: e.Seq, Time: e.State.Deleted.Time, Fingerprint: store.FingerprintOf(e)})
	}
	return messages, places, nil
}

// readErased returns a merged entry with its author and its state; nil if there is none.
func (s *stateStmts) readErased(ctx context.Context, sum *summer, authors *authors, place int64) (*store.Entry, error) {
	e, user, err := s.readRow(ctx, sum, place)
	if err != nil || e == nil {
		return nil, err
	}
	if err := authors.sign(ctx, e, user); err != nil {
		return nil, err
	}
	e.State, err = s.readState(ctx, sum, place)
	return e, err
}

// recordAgain has everything written to the ledger that was ever deleted.
func (d *database) recordAgain() error {
	return d.transaction("note what was deleted", func(b *batch) error {
		if _, err := b.stmts.clearUnledgered.ExecContext(b.ctx); err != nil {
			return err
		}
		after := int64(0)
		for {
			places, err := numbersOf(b.stmts.deletedPlaces.QueryContext(b.ctx, after, ledgerStep))
			if err != nil || len(places) == 0 {
				return err
			}
			for _, place := range places {
				if _, err := b.stmts.addUnledgered.ExecContext(b.ctx, place, b.sum.unledgered(place)); err != nil {
					return err
				}
			}
			after = places[len(places)-1]
		}
	})
}

// numbersOf returns a column of numbers.
func numbersOf(rows *sql.Rows, err error) (numbers []int64, _ error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, closeRows(rows)
}

package sqlite

import (
	"context"
	"database/sql"
	sqldriver "database/sql/driver"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// journalName is the name of the journal's directory in the data directory.
const journalName = "journal"

// journalOf returns the directory of a database's journal, also of one that a restore has
// moved aside.
func journalOf(path string) string {
	_, moment, aside := strings.Cut(filepath.Base(path), asideMark)
	if aside {
		return filepath.Join(filepath.Dir(path), journalName+asideMark+moment)
	}
	return filepath.Join(filepath.Dir(path), journalName)
}

// asideMark comes in the names of a database and a journal that a restore has replaced,
// before the time.
const asideMark = ".before-"

// progressRow is the row of the table of that name.
type progressRow struct {
	journal.Mark
	batch uint64 // the newest one, in the journal or not
}

// progressID is the id of the one row.
const progressID = 1

// columns returns the values of the row, in the order of its columns from salt on.
func (p *progressRow) columns(sum *summer) []any {
	salt := []byte{}
	if !p.Salt.IsZero() {
		salt = p.Salt[:]
	}
	closed := 0
	if p.Closed {
		closed = 1
	}
	return []any{salt, closed, int64(p.Merged), int64(p.batch), int64(p.Last), sum.progress(p)}
}

const (
	progressQuery  = "SELECT salt, closed, merged, batch, last, sum FROM progress"
	updateProgress = "UPDATE progress SET salt = ?, closed = ?, merged = ?, batch = ?, last = ?, sum = ?"
)

// setProgress writes the row.
func setProgress(ctx context.Context, c *conn, p progressRow) error {
	if err := c.exec(ctx, updateProgress, p.columns(new(summer))...); err != nil {
		return fmt.Errorf("write the progress: %w", err)
	}
	return nil
}

// beginProgress adds the row to a database that has no journal, but may have something
// unmerged.
func beginProgress(ctx context.Context, c *conn) error {
	p := progressRow{Mark: journal.Mark{Closed: true}}
	row := c.QueryRowContext(ctx, "SELECT coalesce(max(batch), 0), coalesce(min(batch) - 1, 0) FROM unmerged")
	if err := row.Scan(&p.batch, &p.Merged); err != nil {
		return err
	}
	args := append([]any{progressID}, p.columns(new(summer))...)
	return c.exec(ctx, "INSERT INTO progress (id, salt, closed, merged, batch, last, sum) VALUES (?, ?, ?, ?, ?, ?, ?)", args...)
}

// scanProgress reads the row. If it is not as it was written, the error is damage.
func scanProgress(row *sql.Row, sum *summer) (p progressRow, err error) {
	var salt []byte
	var value int64
	err = row.Scan(&salt, &p.Closed, &p.Merged, &p.batch, &p.Last, &value)
	copy(p.Salt[:], salt)
	if err == nil && sum.progress(&p) != value {
		err = errSum
	}
	if err != nil && codeOf(err) == 0 {
		err = damaged("the row of the progress", err)
	}
	if err != nil {
		return progressRow{}, err
	}
	return p, nil
}

// readProgress is scanProgress by a statement of progressQuery.
func readProgress(ctx context.Context, stmt *direct, sum *summer) (p progressRow, err error) {
	there := false
	err = stmt.query(ctx, func(row []sqldriver.Value) error {
		there = true
		salt, _ := row[0].([]byte)
		closed, isClosed := row[1].(int64)
		merged, isMerged := row[2].(int64)
		batch, isBatch := row[3].(int64)
		last, isLast := row[4].(int64)
		value, isSum := row[5].(int64)
		copy(p.Salt[:], salt)
		p.Closed, p.Merged, p.batch, p.Last = closed != 0, uint64(merged), uint64(batch), uint64(last)
		if !isClosed || !isMerged || !isBatch || !isLast || !isSum || sum.progress(&p) != value {
			return damaged("the row of the progress", errSum)
		}
		return nil
	})
	if err == nil && !there {
		err = damaged("the row of the progress", errMissing)
	}
	return p, err
}

// frames are those of the journal that belong to a database. After a store.ErrDamaged they
// are those before the damage.
type frames func(p progressRow) ([]journal.Frame, error)

// framesIn reads them from a directory while a server may append there.
func framesIn(dir string) frames {
	return func(p progressRow) ([]journal.Frame, error) {
		found, err := journal.Read(dir, p.Mark)
		return until(p.batch, found), explainJournal(err)
	}
}

// wholeIn reads them from a directory where nobody appends.
func wholeIn(dir, path string) frames {
	return whole(path, func(m journal.Mark) ([]journal.Frame, error) { return journal.Read(dir, m) })
}

// whole reads them with a function. Nothing may be missing that was there when any of them
// was appended.
func whole(path string, read func(journal.Mark) ([]journal.Frame, error)) frames {
	return func(p progressRow) ([]journal.Frame, error) {
		found, err := read(p.Mark)
		if err != nil {
			return nil, explainJournal(err)
		}
		if _, err := complete(path, p.batch, found); err != nil {
			return nil, err
		}
		return found, nil
	}
}

// errBatch means that the database lacks a batch that it had when a later one came into the journal: it is older
// than its journal, such as after the WAL was removed.
var errBatch = errors.New("it is missing")

// complete returns the frames that follow the newest batch of a database without a gap, and an errBatch if there are
// more.
func complete(path string, batch uint64, found []journal.Frame) ([]journal.Frame, error) {
	whole := until(batch, found)
	if len(whole) < len(found) {
		return whole, damaged(fmt.Sprintf("%s, which has batch %d of the journal, but not the one before it", path, found[len(whole)].Batch), errBatch)
	}
	return whole, nil
}

// until returns the frames up to the first that follows a batch which the database did not
// have yet when it had one. Those were there at one moment.
func until(batch uint64, found []journal.Frame) []journal.Frame {
	for i := range found {
		if found[i].Batch <= batch {
			continue
		}
		if batch++; found[i].Batch != batch {
			return found[:i]
		}
	}
	return found
}

// explainJournal adds advice to an error of reading the journal.
func explainJournal(err error) error {
	switch {
	case errors.Is(err, journal.ErrForeign):
		return fmt.Errorf("%w: %w; put the right database beside them, or move that directory away, which has the newest messages of the database that was here before", store.ErrDamaged, err)
	case errors.Is(err, journal.ErrDamaged):
		return fmt.Errorf("%w: %w; restore a backup, or continue without the messages that are only there: \"kaban backup\" saves everything before them, \"kaban restore\" restores it, and clients are told", store.ErrDamaged, err)
	}
	return err
}

// classifyJournal turns an error of appending to the journal into one of the contract.
func classifyJournal(err error) error {
	switch {
	case errors.Is(err, journal.ErrSync):
	case isNoSpace(err):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM):
		return err // nothing was written, and it may pass
	}
	return fmt.Errorf("%w: %w", store.ErrBroken, err)
}

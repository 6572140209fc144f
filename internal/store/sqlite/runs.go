package sqlite

import (
	"context"
	"database/sql"
	"math"
)

// Runs of changes let a page of history pass over thousands of edits or reactions in one step. They
// are an addition to what entries say: without a row of runs, or with a damaged one, the page
// reads what is there.

// shortestRun is how many changes in a row become a run. Fewer are passed over as fast one
// by one, and in a busy room they are between most messages.
const shortestRun = 64

// longestStretch is how many entries a page of history reads at once at most, unless its limit is
// higher, before it looks for a run.
const longestStretch = 1024

// changeRun is a row of runs.
type changeRun struct{ place, last int64 }

// runStmts keep the runs, on one connection.
type runStmts struct{ runBefore, changesIn, setRun *sql.Stmt }

const (
	// runBeforeQuery has the last run that begins up to a place.
	runBeforeQuery = "SELECT place, last, sum FROM runs WHERE place <= ? ORDER BY place DESC LIMIT 1"
	// changesQuery has the changes in a run of places.
	changesQuery = "SELECT place FROM entries INDEXED BY no_messages WHERE place BETWEEN ? AND ? AND kind <> 1 AND kind BETWEEN 2 AND 5 ORDER BY place"
	setRunQuery  = "INSERT OR REPLACE INTO runs (place, last, sum) VALUES (?, ?, ?)"
)

func (s *runStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{&s.runBefore: runBeforeQuery, &s.changesIn: changesQuery + " DESC", &s.setRun: setRunQuery}
}

// readChangeRun returns the last run that begins up to a place, in any room; the zero run if there is none or
// it is damaged.
func readChangeRun(ctx context.Context, before *sql.Stmt, sum *summer, place int64) (r changeRun, err error) {
	var value int64
	err = before.QueryRowContext(ctx, place).Scan(&r.place, &r.last, &value)
	switch {
	case codeOf(err) != 0 && !isDamage(err):
		return changeRun{}, err
	case err != nil, sum.run(r) != value:
		return changeRun{}, nil
	}
	return r, nil
}

// noteRuns keeps the runs of changes in entries of a room that are being merged.
func (b *batch) noteRuns(r *merging) error {
	for first := 0; first < len(r.entries); first++ {
		end := first
		for end < len(r.entries) && r.entries[end].Kind.IsChange() {
			end++
		}
		if end == first {
			continue
		}
		run := changeRun{r.place(r.entries[first].Seq), r.place(r.entries[end-1].Seq)}
		if first == 0 {
			var err error
			if run.place, err = b.beginOf(run.place); err != nil {
				return err
			}
		}
		if uint64(run.last-run.place) >= b.shortestRun-1 {
			if _, err := b.stmts.setRun.ExecContext(b.ctx, run.place, run.last, b.sum.run(run)); err != nil {
				return err
			}
		}
		first = end // it is no change
	}
	return nil
}

// beginOf returns the place where the run of merged changes right before a place begins; the place itself
// if there are none. What is too short for a run is counted.
func (b *batch) beginOf(place int64) (int64, error) {
	before, err := readChangeRun(b.ctx, b.stmts.runBefore, &b.sum, place-1)
	if err != nil {
		return 0, err
	}
	if before.last == place-1 {
		return before.place, nil
	}
	first := max(place-int64(b.shortestRun)+1, place>>seqBits<<seqBits)
	changes, err := numbersOf(b.stmts.changesIn.QueryContext(b.ctx, first, place-1))
	if err != nil {
		return place, unlessDamaged(err)
	}
	for _, change := range changes {
		if change != place-1 {
			break
		}
		place = change
	}
	return place, nil
}

// readShown adds merged entries of a run to a page. Damage ends the page. It reads one stretch after the
// other; the first one is enough for most pages. From then on it passes over the runs of changes.
func (m *moment) readShown(p *shownRun, first, last uint64) (damage, _ error) {
	if p.page.RepliesTo != 0 { // an index finds them
		return m.readStretch(p, first, last)
	}
	size := uint64(p.page.Limit) + shortestRun
	for begun := false; first <= last && !p.full; begun = true {
		if begun {
			var err error
			if first, last, err = m.passRun(p, first, last); err != nil || first > last {
				return nil, err
			}
			size = max(size, min(2*size, longestStretch))
		}
		from, to := first, min(last, first+size-1)
		if p.page.Last {
			from, to = max(first, last-min(last, size)+1), last
		}
		if damage, err := m.readStretch(p, from, to); damage != nil || err != nil {
			return damage, err
		}
		if p.page.Last {
			last = from - 1
		} else {
			first = to + 1
		}
	}
	return nil, nil
}

// passRun returns what is left of a run of entries behind the run of changes that it begins with, in the
// direction of reading.
func (m *moment) passRun(p *shownRun, first, last uint64) (_, _ uint64, err error) {
	next := first
	if p.page.Last {
		next = last
	}
	run, err := readChangeRun(context.Background(), m.runBefore, &m.authors.sum, m.place(next))
	switch {
	case err != nil, run.last < m.place(next):
		return first, last, err
	case p.page.Last:
		return first, uint64(max(run.place, m.place(first))&maxSeq) - 1, nil
	}
	return uint64(run.last&maxSeq) + 1, last, nil
}

// fillRuns finds the runs of a database of an older version, in the transaction in progress.
func fillRuns(ctx context.Context, c *conn) error {
	rows, err := c.QueryContext(ctx, changesQuery, int64(0), int64(math.MaxInt64))
	if err != nil {
		return err
	}
	defer rows.Close()
	var runs []changeRun
	var run changeRun
	end := func() {
		if run.place > 0 && run.last-run.place >= shortestRun-1 {
			runs = append(runs, run)
		}
	}
	for rows.Next() {
		var place int64
		if err := rows.Scan(&place); err != nil {
			return err
		}
		if place != run.last+1 {
			end()
			run.place = place
		}
		run.last = place
	}
	if err := closeRows(rows); err != nil {
		return err
	}
	end()
	var sum summer
	for _, run := range runs {
		if _, err := c.ExecContext(ctx, setRunQuery, run.place, run.last, sum.run(run)); err != nil {
			return err
		}
	}
	return nil
}

// scanRun reads a row of runs.
func scanRun(rows scanner, sum *summer) (r changeRun, err error) {
	var value int64
	err = rows.Scan(&r.place, &r.last, &value)
	return r, checked(err, sum.run(r), value, "the run of changes from entry", uint64(r.place&maxSeq))
}

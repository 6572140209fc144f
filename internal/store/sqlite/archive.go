package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// Archive implements store.Archive on a database that a server may be using. It
// takes no lock that the server needs.
type Archive struct {
	path    string
	conn    *conn
	authors *authors
	pause   time.Duration // between two looks at the WAL

	// From begin to end.
	*contents
	problems []error // of the contents
	lost     error   // of the journal
	hold     *journal.Hold
	runs     int // of entries, that were asked for; a test bounds them
}

// OpenArchive opens the database in a data directory. Its errors say what to do.
func OpenArchive(ctx context.Context, dir string) (*Archive, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, databaseName)
	found, err := exists(path)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return nil, fmt.Errorf("there is no database %s; name the server's data directory", path)
	}
	return openArchive(ctx, path)
}

// OpenBackup opens a backup. Its errors say what to do.
func OpenBackup(ctx context.Context, file string) (*Archive, error) {
	file, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	return openArchive(ctx, file)
}

func openArchive(ctx context.Context, path string) (*Archive, error) {
	scripts, err := migrations()
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	version, err := inspect(ctx, path, len(scripts))
	switch {
	case err != nil:
		return nil, err
	case version < len(scripts):
		return nil, fmt.Errorf("the database %s has schema %d of an older version of kaban; start the server with it once to update it to %d", path, version, len(scripts))
	}
	c, err := connect(ctx, path, "ro", []pragma{{"busy_timeout", busyMillis}, {"temp_store", "2"}})
	if err != nil {
		return nil, explainBeginning(path, err)
	}
	authors, err := c.newAuthors(ctx)
	if err != nil {
		return nil, errors.Join(explainBeginning(path, err), c.close())
	}
	return &Archive{path: path, conn: c, authors: authors, pause: walPause}, nil
}

// Close implements store.Archive.
func (a *Archive) Close() error { return a.conn.close() }

// begin starts a read transaction, which sees the database and its journal at one moment.
func (a *Archive) begin(ctx context.Context) error {
	var err error
	if a.hold, err = journal.Take(journalOf(a.path)); err != nil {
		return err
	}
	if err := a.conn.exec(ctx, "BEGIN"); err != nil {
		return errors.Join(explainBeginning(a.path, err), a.hold.Release())
	}
	a.problems, a.lost = nil, nil
	a.authors.saved = &salvage{conn: a.conn}
	a.contents, err = load(ctx, a.conn, a.authors, a.frames, func(err error) error {
		a.problems = append(a.problems, err)
		return nil
	})
	if err != nil {
		return errors.Join(explainRead(a.path, err), a.end(ctx))
	}
	if a.hold == nil && !a.progress.Closed {
		if _, err := os.Stat(journalOf(a.path)); err == nil { // a server has just begun it
			return errors.Join(a.end(ctx), a.begin(ctx))
		}
	}
	return nil
}

// end ends the transaction and drops the contents.
func (a *Archive) end(ctx context.Context) error {
	a.contents = nil
	saved := a.authors.saved
	a.authors.saved = nil
	return errors.Join(saved.close(), a.conn.rollback(context.WithoutCancel(ctx)), a.hold.Release())
}

// frames reads the journal. What looks damaged may be half written, so it looks again.
func (a *Archive) frames(p progressRow) (found []journal.Frame, err error) {
	for look := range walLooks {
		last := err
		all, readErr := journal.Read(journalOf(a.path), p.Mark)
		if found, err = until(p.batch, all), explainJournal(readErr); err == nil {
			err = a.behind(p, all)
		}
		switch {
		case !errors.Is(err, store.ErrDamaged):
			return found, err
		case look > 0 && last.Error() != err.Error(): // it is being written
			return found, nil
		}
		time.Sleep(a.pause)
	}
	a.lost = err
	return found, err
}

// behind returns an errBatch if the database is older than its journal, as a start would refuse it. A server may have
// written both since this transaction began, so a database that is newer by now is not meant.
func (a *Archive) behind(p progressRow, found []journal.Frame) error {
	if _, err := complete(a.path, p.batch, found); err == nil {
		return nil
	}
	ctx := context.Background()
	c, err := connect(ctx, a.path, "ro", []pragma{{"busy_timeout", busyMillis}})
	if err != nil {
		return explainRead(a.path, err)
	}
	now, err := scanProgress(c.QueryRowContext(ctx, progressQuery), new(summer))
	if err = errors.Join(err, c.close()); err != nil {
		return explainRead(a.path, err)
	}
	_, err = complete(a.path, max(p.batch, now.batch), found) // these were read before
	return err
}

// Rooms implements store.Archive.
func (a *Archive) Rooms(ctx context.Context) (rooms []store.Room, err error) {
	if err := a.begin(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.end(ctx)) }()
	for _, r := range a.sorted() {
		rooms = append(rooms, r.state())
	}
	return rooms, nil
}

func (a *Archive) sorted() []*room {
	return slices.SortedFunc(maps.Values(a.rooms), func(a, b *room) int { return cmp.Compare(a.name.String(), b.name.String()) })
}

// Export implements store.Archive.
func (a *Archive) Export(ctx context.Context, only []kaban.RoomName, to store.Receiver) (err error) {
	if err := a.begin(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.end(ctx)) }()
	for _, problem := range a.problems {
		if err := to.Damaged(problem); err != nil {
			return err
		}
	}
	if len(only) == 0 && to.Document != nil {
		if err := a.exportDocuments(ctx, to); err != nil {
			return err
		}
	}
	for _, r := range a.sorted() {
		if len(only) > 0 && !slices.ContainsFunc(only, func(name kaban.RoomName) bool { return name.Key() == r.name.Key() }) {
			continue
		}
		if r.cut > 0 && to.Front != nil {
			if err := a.front(ctx, r, to); err != nil {
				return err
			}
		}
		err := a.eachOf(ctx, r, func(e *store.Entry) error {
			record, err := store.RecordOf(r.name, e)
			if err != nil {
				return to.Damaged(&store.DamagedError{Room: r.name, Seq: e.Seq, Err: err})
			}
			return to.Record(record)
		}, to.Damaged, func(first, last uint64) error {
			for seq := first; seq <= last; seq++ {
				if err := to.Damaged(&store.DamagedError{Room: r.name, Seq: seq, Err: errMissing}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// exportDocuments passes on the documents, and in their place those that the merge of the journal is going to add:
// the entries are passed on as if it was merged.
func (a *Archive) exportDocuments(ctx context.Context, to store.Receiver) error {
	keys, err := a.releasing(ctx)
	if err != nil {
		return err
	}
	before := func(key string) error {
		for len(keys) > 0 && keys[0] < key {
			if err := to.Document(&store.Document{Key: keys[0], Value: []byte(store.ReleasedValue)}); err != nil {
				return err
			}
			keys = keys[1:]
		}
		return nil
	}
	err = a.eachDocument(ctx, func(d *store.Document) error {
		if err := before(d.Key); err != nil {
			return err
		}
		if len(keys) > 0 && keys[0] == d.Key {
			keys = keys[1:]
		}
		return to.Document(d)
	}, to.Damaged)
	if err != nil {
		return err
	}
	return before("\xff")
}

// releasing returns the keys of store.ReleasedKey for the messages with files that deletions in the journal
// are going to release.
func (a *Archive) releasing(ctx context.Context) (keys []string, err error) {
	for _, r := range a.rooms {
		files := make(map[uint64]bool) // of messages in the journal
		for i := range r.unmerged {
			e := &r.unmerged[i]
			if e.Kind == kaban.KindMessage && e.Files != "" {
				files[e.Seq] = true
			}
			if e.Kind != kaban.KindDelete || e.Target <= r.cut {
				continue
			}
			has := files[e.Target]
			if !has && e.Target <= a.merged[r.id] {
				n, err := a.conn.number(ctx, fmt.Sprintf("SELECT count(*) FROM entries WHERE place = %d AND files IS NOT NULL", r.place(e.Target)))
				if err != nil && !isDamage(err) { // the export reports damage
					return nil, explainRead(a.path, err)
				}
				has = n > 0
			}
			if has {
				keys = append(keys, store.ReleasedKey(r.name, e.Target))
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// eachDocument calls visit with every document, and damaged with the damage of each that
// cannot be read, until either returns an error.
func (a *Archive) eachDocument(ctx context.Context, visit func(*store.Document) error, damaged func(error) error) error {
	rows, err := a.conn.QueryContext(ctx, "SELECT key, value, sum FROM documents ORDER BY key")
	if err != nil && !isDamage(err) {
		return explainRead(a.path, err)
	}
	last := ""            // the documents up to here were visited
	var reported []string // as damaged, since then
	if err == nil {
		defer rows.Close()
		for rows.Next() {
			d, err := scanDocument(rows, &a.sum)
			if err == nil {
				err = checkRead(&d)
			}
			if err != nil {
				if bad, ok := errors.AsType[*store.DocumentError](err); ok {
					reported = append(reported, bad.Key)
				}
				err = damaged(err)
			} else {
				last, reported = max(last, d.Key), nil
				err = visit(&d)
			}
			if err != nil {
				return err
			}
		}
		err = closeRows(rows)
	}
	switch {
	case isDamage(err):
		return a.authors.saved.documentsAfter(ctx, last, reported, visit, damaged)
	case err != nil:
		return explainRead(a.path, err)
	}
	return nil
}

// front passes on what was cut from a room. Authors are ordered by what does not depend on the
// database, so that an import exports the same.
func (a *Archive) front(ctx context.Context, r *room, to store.Receiver) error {
	written, err := a.writtenIn(ctx, r, to.Damaged)
	if err != nil {
		return err
	}
	slices.SortFunc(written, func(a, b store.FrontAuthor) int { return cmp.Compare(a.Author.ID(), b.Author.ID()) })
	whole := store.Front{Room: r.name, Seq: r.cut, Messages: r.cutMessages, Written: written}
	return whole.Parts(to.Front)
}

// writtenIn returns the authors of what was cut from a room. An author without a name or an id is damage.
func (a *Archive) writtenIn(ctx context.Context, r *room, bad func(error) error) (found []store.FrontAuthor, _ error) {
	counts := make(map[int64]uint64)
	rows, err := a.conn.QueryContext(ctx, "SELECT user, messages, last, cut_messages, cut, sum FROM written WHERE room = ? AND cut_messages > 0", r.id)
	if err == nil { // SQLite reads the first row at once
		defer rows.Close()
		for rows.Next() {
			of, w := authorIn{room: r.id}, written{}
			var value int64
			err := rows.Scan(&of.user, &w.messages, &w.last, &w.cutMessages, &w.cut, &value)
			if err == nil && a.sum.written(of, w) != value {
				err = errSum
			}
			if err == nil {
				counts[of.user] = w.cutMessages
			} else if err := bad(damaged(fmt.Sprintf("the count of user %d in %s", of.user, r.name), err)); err != nil {
				return nil, err
			}
		}
		err = closeRows(rows)
	}
	switch {
	case isDamage(err):
		if err := bad(damaged("the counts of "+r.name.String(), err)); err != nil {
			return nil, err
		}
	case err != nil:
		return nil, explainRead(a.path, err)
	}
	for user, messages := range counts {
		by, err := a.authors.author(ctx, user)
		if err != nil && !isDamage(err) {
			return nil, explainRead(a.path, err)
		}
		one := store.FrontAuthor{Messages: messages}
		if err = cmp.Or(err, by.err); err == nil {
			one.Author, err = by.identity()
		}
		if err == nil {
			found = append(found, one)
		} else if err := bad(damaged(fmt.Sprintf("the author of a count, user %d in %s", user, r.name), err)); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// identity returns the author of a row of users.
func (a *author) identity() (kaban.Identity, error) {
	name, err := kaban.ParseUsername(a.name)
	if err != nil {
		return kaban.Identity{}, err
	}
	return kaban.ParseIdentity(a.key, name)
}

// eachOf calls visit with every entry of a room, damaged with every entry that cannot be
// read, and missing with every run of entries that are not there, until one of them returns
// an error.
func (a *Archive) eachOf(ctx context.Context, r *room, visit func(*store.Entry) error, damaged func(error) error, missing func(first, last uint64) error) error {
	last := a.merged[r.id]
	now := func(e *store.Entry) error { return visit(r.now(e)) }
	for next := r.cut + 1; next <= last; {
		var visited error
		a.runs++
		rows, err := a.conn.QueryContext(ctx, pageQuery, r.place(next), r.place(last))
		bad, damage, err := readRun(rows, err, a.authors, r.id, next, last, func(e *store.Entry, _ int64) bool {
			visited = now(e)
			return visited == nil
		})
		switch {
		case visited != nil:
			return visited
		case err != nil:
			return explainRead(a.path, err)
		case damage == nil:
			next = last + 1
			continue
		case errors.Is(damage, errMissing):
			if next, err = a.nextOf(ctx, r, bad, last); err != nil {
				return err
			}
			if err := missing(bad, next-1); err != nil {
				return err
			}
			continue
		}
		if next, err = a.around(ctx, r, bad, last, damage, now, damaged); err != nil {
			return err
		}
	}
	for i := range r.unmerged { // they follow the merged ones
		e := &r.unmerged[i]
		if last++; last < e.Seq {
			if err := missing(last, e.Seq-1); err != nil {
				return err
			}
			last = e.Seq
		}
		if err := now(&e.Entry); err != nil {
			return err
		}
	}
	return nil
}

// around calls visit or damaged with each entry of a room from the damage to where SQLite can read on, and returns the
// seq of that.
func (a *Archive) around(ctx context.Context, r *room, from, last uint64, damage error, visit func(*store.Entry) error, damaged func(error) error) (next uint64, err error) {
	end := from
	if isDamage(damage) {
		if end, err = a.lostUntil(ctx, r, from, last); err != nil {
			return 0, explainRead(a.path, err)
		}
	}
	for seq := from; seq <= end; seq++ {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		var found *store.Entry
		if isDamage(damage) {
			if found, err = a.authors.saved.entry(ctx, a.authors, r.place(seq)); err != nil {
				return 0, explainRead(a.path, err)
			}
		}
		if found != nil {
			err = visit(found)
		} else {
			err = damaged(&store.DamagedError{Room: r.name, Seq: seq, Err: damage})
		}
		if err != nil {
			return 0, err
		}
	}
	return end + 1, nil
}

// lostUntil returns the last seq of a room that is below the same lost page as one that SQLite cannot reach: none of
// them needs a query. It is the seq itself where SQLite goes another way than the page above says.
func (a *Archive) lostUntil(ctx context.Context, r *room, seq, last uint64) (uint64, error) {
	gap, err := a.authors.saved.gapAt(ctx, r.place(seq))
	if err != nil {
		return 0, err
	}
	end := min(gap.last, r.place(last))
	_, err = a.conn.number(ctx, fmt.Sprintf("SELECT count(*) FROM entries WHERE place = %d", end))
	switch {
	case isDamage(err):
		return uint64(end & maxSeq), nil
	case err != nil:
		return 0, err
	}
	return seq, nil
}

// nextOf returns the seq of the next merged entry of a room from one on, or last+1. Where the
// file is so damaged that nobody can tell, it is the next one.
func (a *Archive) nextOf(ctx context.Context, r *room, from, last uint64) (uint64, error) {
	next, err := a.conn.number(ctx, fmt.Sprintf("SELECT coalesce(min(place), %[2]d + 1) & %[3]d FROM entries WHERE place BETWEEN %[1]d AND %[2]d", r.place(from), r.place(last), int64(maxSeq)))
	switch {
	case isDamage(err):
		return from + 1, nil
	case err != nil:
		return 0, explainRead(a.path, err)
	}
	return max(uint64(next), from+1), nil
}

// now returns an entry of the room as all that is unmerged makes it. An edit has no content:
// the message has it.
func (r *room) now(e *store.Entry) *store.Entry {
	switch {
	case e.Kind == kaban.KindEdit && e.Content != "":
		changed := *e
		changed.Content = ""
		return &changed
	case e.Kind == kaban.KindMessage && len(r.about) > 0:
		changed := *e
		fold(&changed, r.unmerged, r.about, 0)
		return &changed
	}
	return e
}

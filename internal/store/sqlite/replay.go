package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"sync"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// A restore deletes what a ledger names: it appends the entries that delete the messages, merges
// them, has accounts erased and overwrites what is left of the texts, all in the draft, before
// that becomes the database. The draft is of no use until it is complete, so its transactions
// need no journal. SQLite would leave the texts in its file.

// replay deletes the messages in the file of a database that nobody uses. After an error the
// file is of no use.
func (r *Restored) replay(ctx context.Context, file string, replay *store.Replay) (err error) {
	c, err := connectWriter(ctx, file, []pragma{{"journal_mode", "off"}, {"synchronous", "2"}, {"secure_delete", "1"}})
	if err != nil {
		return err
	}
	defer func() {
		if c != nil {
			err = errors.Join(err, c.close())
		}
	}()
	authors, err := c.newAuthors(ctx)
	if err != nil {
		return err
	}
	nothing := func(progressRow) ([]journal.Frame, error) { return nil, nil }
	contents, err := load(ctx, c, authors, nothing, func(err error) error { return err })
	if err != nil {
		return err
	}
	d := &database{writer: c, now: clock, unmerged: contents.unmerged, progress: contents.progress, erasing: contents.erasing, rooms: make(map[string]*room), users: make(map[string]user)}
	d.published = sync.NewCond(d.mu.RLocker())
	for _, room := range contents.rooms {
		d.rooms[room.key] = room
	}
	if err := c.QueryRowContext(ctx, "SELECT coalesce(max(id), 0) FROM users").Scan(&d.lastUser); err != nil {
		return fmt.Errorf("read the users: %w", err)
	}
	if err := d.stmts.prepare(ctx, c); err != nil {
		return err
	}
	found, err := d.replayable(ctx, authors, replay, &r.Replayed)
	if err != nil {
		return err
	}
	if r.Deleted > 0 {
		if err := c.transact(ctx, func() error { return d.replay(ctx, found, replay.By) }); err != nil {
			return err
		}
	}
	writes, err := d.replayDocuments(ctx, replay)
	if err != nil || r.Deleted == 0 && writes == 0 {
		return err
	}
	if err := d.sweep(ctx); err != nil {
		return err
	}
	err, c = c.close(), nil
	if err != nil {
		return err
	}
	r.Report, err = checkBackup(ctx, file)
	return err
}

// replayable returns the seqs of the messages that are there, by the keys of their rooms, and
// counts the lines.
func (d *database) replayable(ctx context.Context, authors *authors, replay *store.Replay, count *store.Replayed) (map[string][]uint64, error) {
	found, named := make(map[string][]uint64), make(map[int64]bool)
	for line, err := range replay.Messages {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		count.Lines++
		r := d.rooms[line.Room]
		if r == nil || line.Seq > r.head {
			count.Newer++
			continue
		}
		place := r.place(line.Seq)
		e, err := d.stmts.readErased(ctx, &d.sum, authors, place)
		switch {
		case err != nil:
			return nil, err
		case e != nil && (e.Kind != kaban.KindMessage || store.FingerprintOf(e) != line.Fingerprint):
			count.Other++
		case e == nil || e.IsDeleted() || named[place]:
			count.Known++
		default:
			count.Deleted++
			named[place] = true
			found[line.Room] = append(found[line.Room], line.Seq)
		}
	}
	return found, nil
}

// replay deletes messages in the transaction in progress.
func (d *database) replay(ctx context.Context, found map[string][]uint64, by kaban.Identity) error {
	author, err := d.replayer(ctx, by)
	if err != nil {
		return err
	}
	b := d.newBatch(ctx)
	number := d.unmerged.batch + 1
	for key, seqs := range found {
		r := d.rooms[key]
		slices.Sort(seqs)
		entries := make([]unmergedEntry, len(seqs))
		for i, seq := range seqs {
			id, err := kaban.ParseMessageID("erased-" + strconv.FormatUint(seq, 10))
			if err != nil {
				return err
			}
			draft := kaban.Draft{Author: by, Room: r.name, ID: id, Kind: kaban.KindDelete, Target: seq}
			if r.head+uint64(i) >= maxSeq {
				return fmt.Errorf("%w of entries in %s", errTooMany, r.name)
			}
			entries[i] = unmergedEntry{Entry: store.NewEntry(&draft, r.head+uint64(i)+1, b.now), batch: number, user: author.id}
			entries[i].ownName = entries[i].Username != author.name
		}
		d.unmerged.add(r, entries)
		r.publish()
	}
	d.unmerged.batch = number
	if err := b.mergeAll(); err != nil {
		return err
	}
	if err := setProgress(ctx, d.writer, progressRow{Mark: journal.Mark{Closed: true, Merged: uint64(number)}, batch: uint64(number)}); err != nil {
		return err
	}
	b.erasing.swept = false
	d.erasing = b.erasing // the next transaction goes on from here
	return b.saveErasing()
}

// replayDocuments has accounts erased, and returns how many documents were written.
func (d *database) replayDocuments(ctx context.Context, replay *store.Replay) (writes int, err error) {
	if replay.Documents == nil {
		return 0, nil
	}
	err = d.writer.transact(ctx, func() error {
		b := d.newBatch(ctx)
		defer d.cache.forget(nil, 0) // nothing is published
		t := b.tx(true)
		if err := t.run(replay.Documents); err != nil {
			return err
		}
		writes = t.writes
		b.erasing.swept = b.erasing.swept && writes == 0
		return b.saveErasing()
	})
	return writes, err
}

// replayer returns the author of the deletions, which it adds if it is new.
func (d *database) replayer(ctx context.Context, by kaban.Identity) (u user, err error) {
	var value int64
	key := by.ID()
	err = d.writer.QueryRowContext(ctx, "SELECT id, name, sum FROM users WHERE key = ?", key).Scan(&u.id, &u.name, &value)
	switch {
	case err == nil && d.sum.user(u.id, key, u.name) != value:
		return user{}, damaged(fmt.Sprintf("the user %s", by.Name()), errSum)
	case !errors.Is(err, sql.ErrNoRows):
		return u, err
	}
	if d.lastUser == math.MaxInt64 {
		return user{}, fmt.Errorf("%w of users", errTooMany)
	}
	d.lastUser++
	u = user{d.lastUser, by.Name().String()}
	return u, d.writer.exec(ctx, "INSERT INTO users (id, key, name, sum) VALUES (?, ?, ?, ?)", u.id, key, u.name, d.sum.user(u.id, key, u.name))
}

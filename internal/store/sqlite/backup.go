package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
	"kaban/internal/store"
	"kaban/internal/store/journal"
)

// Backup implements store.Archive.
func (a *Archive) Backup(ctx context.Context, file string, progress func(done, total int64)) (report *store.Report, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(file); err == nil {
		return nil, fmt.Errorf("%s already exists; choose another name", file)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, adviseFolder(err)
	}
	if err := refuseForeignFolder(os.Geteuid(), a.path, filepath.Dir(file), ownerOfNew); err != nil {
		return nil, err
	}
	draft := file + ".partial"
	if err := os.Remove(draft); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.Remove(draft)
		}
	}()
	// SQLite would make it readable for everybody.
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, adviseFolder(err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	if report, err = a.write(ctx, draft, progress); err != nil {
		return nil, explainBackup(a.path, draft, err)
	}
	if err := syncFile(draft); err != nil {
		return nil, err
	}
	if err := publish(draft, file); err != nil {
		return nil, err
	}
	return report, disk.SyncDirectory(filepath.Dir(file))
}

// adviseFolder adds what to do about a folder that a backup cannot be written to.
func adviseFolder(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; name a file in a directory that the user of this command can write to", err)
	}
	return err
}

// write writes a backup to a file that is empty.
func (a *Archive) write(ctx context.Context, draft string, progress func(done, total int64)) (report *store.Report, err error) {
	for range backupTries {
		if err := os.Truncate(draft, 0); err != nil {
			return nil, err
		}
		var again bool
		if report, again, err = a.writeOnce(ctx, draft, progress); err != nil || !again {
			break
		}
	}
	return report, err
}

// backupTries is how often a copy is made of a database whose journal began meanwhile.
const backupTries = 3

// writeOnce writes a backup. It reports whether a journal began meanwhile, so that nothing
// has held it.
func (a *Archive) writeOnce(ctx context.Context, draft string, progress func(done, total int64)) (report *store.Report, again bool, err error) {
	hold, err := journal.Take(journalOf(a.path))
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, hold.Release()) }()
	if err := a.copyTo(ctx, draft, progress); err != nil {
		return nil, false, err
	}
	var lost error
	report, err = seal(ctx, draft, func(p progressRow) ([]journal.Frame, error) {
		_, missing := os.Stat(journalOf(a.path))
		again = hold == nil && (!p.Closed || missing == nil)
		return a.frames(p)
	}, &lost)
	if report != nil {
		report.Lost = lost
	}
	return report, again, err
}

// publish gives a finished backup its name. Unlike a rename, a link never replaces a
// file; some file systems, such as those of network shares, have none.
func publish(draft, file string) error {
	if err := os.Link(draft, file); err == nil || errors.Is(err, fs.ErrExist) {
		return errors.Join(err, os.Remove(draft))
	}
	return os.Rename(draft, file)
}

// explainBackup explains an error of copying a database to a path. Damage is that of the database.
func explainBackup(from, path string, err error) error {
	if isDamage(err) && !errors.Is(err, store.ErrDamaged) {
		return fmt.Errorf("%w: a page of %s cannot be read: %w", store.ErrDamaged, from, err)
	}
	if codeOf(err)&0xff == codeFull {
		return fmt.Errorf("there is no space left for %s: %w", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}

// copyTo makes SQLite write a compact copy of one moment.
func (a *Archive) copyTo(ctx context.Context, file string, progress func(done, total int64)) error {
	pages, err := a.conn.number(ctx, "PRAGMA page_count")
	if err != nil {
		return err
	}
	size, err := a.conn.number(ctx, "PRAGMA page_size")
	if err != nil {
		return err
	}
	total := int64(pages) * int64(size)
	ended := make(chan struct{})
	var watching sync.WaitGroup
	if progress != nil {
		watching.Go(func() {
			ticker := time.NewTicker(200 * time.Millisecond)
			defer ticker.Stop()
			for {
				select {
				case <-ticker.C:
					if info, err := os.Stat(file); err == nil {
						progress(min(info.Size(), total), total)
					}
				case <-ended:
					progress(total, total)
					return
				}
			}
		})
	}
	err = a.conn.exec(ctx, "VACUUM INTO ?", file)
	close(ended)
	watching.Wait()
	return err
}

// seal turns a copy of a database into a backup and checks it. A backup has the
// newest schema, no epoch, nothing unmerged, and no other file beside it. The copy's
// journal is elsewhere.
func seal(ctx context.Context, file string, read frames, lost *error) (*store.Report, error) {
	pragmas := []pragma{{"journal_mode", "delete"}, {"synchronous", "2"}, {"secure_delete", "1"}}
	c, err := connect(ctx, file, "rw", pragmas)
	if err != nil {
		return nil, err
	}
	if err := c.close(); err != nil {
		return nil, err
	}
	scripts, err := migrations()
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	version, err := inspect(ctx, file, len(scripts))
	if err != nil {
		return nil, err
	}
	if c, err = connect(ctx, file, "rw", pragmas); err != nil {
		return nil, err
	}
	err = migrate(ctx, c, version, scripts, read, nil)
	if err == nil {
		err = c.transact(ctx, func() error { return finish(ctx, c, read, lost) })
	}
	if err := errors.Join(err, c.close()); err != nil {
		return nil, err
	}
	return checkBackup(ctx, file)
}

// finish merges everything and removes the epoch, in the transaction in progress,
// on a database that no Store uses. If the journal is damaged and lost is not nil, that is
// the damage, and entries behind those that are lost are left out.
func finish(ctx context.Context, c *conn, read frames, lost *error) error {
	authors, err := c.newAuthors(ctx)
	if err != nil {
		return err
	}
	contents, err := load(ctx, c, authors, read, func(err error) error {
		switch {
		case lost != nil && (errors.Is(err, journal.ErrDamaged) || errors.Is(err, errBatch)):
			*lost = err
			return nil
		case lost != nil && *lost != nil && errors.Is(err, errGap):
			return errSkip
		}
		return err
	})
	if err != nil {
		return err
	}
	d := &database{writer: c, now: clock, unmerged: contents.unmerged, erasing: contents.erasing}
	if err := d.stmts.prepare(ctx, c); err != nil {
		return err
	}
	b := d.newBatch(ctx)
	if err := b.mergeAll(); err != nil {
		return err
	}
	newest := uint64(d.unmerged.batch)
	if err := setProgress(ctx, c, progressRow{Mark: journal.Mark{Closed: true, Merged: newest}, batch: newest}); err != nil {
		return err
	}
	b.erasing.swept = false // what was merged has moved rows
	if err := b.saveErasing(); err != nil {
		return err
	}
	return setEpoch(ctx, c, "", contents.created)
}

// checkBackup checks a backup. Any problem is an error.
func checkBackup(ctx context.Context, file string) (report *store.Report, err error) {
	file, err = filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	a, err := openArchive(ctx, file)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	if report, err = a.Check(ctx); err != nil {
		return nil, err
	}
	if err := report.Err(); err != nil {
		return report, fmt.Errorf("%s: %w", file, err)
	}
	return report, nil
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ErrOccupied means that a data directory has a database already.
var ErrOccupied = errors.New("there is a database already")

// Restored says what Restore has done.
type Restored struct {
	Kept   string        // where the former database is; "" if there was none
	Report *store.Report // of the restored data
	store.Replayed
}

// Restore puts a backup, which it checks, into a data directory that no server is using,
// without the messages that a ledger says were deleted since: the replay may be nil.
// A database that is there already is an ErrOccupied unless it is to be replaced; then
// it is kept under another name. Until Restore returns without an error, either the old
// or the new database is in place.
func Restore(ctx context.Context, dir, file string, replace bool, replay *store.Replay) (done Restored, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return done, err
	}
	if err := disk.MakeDirectory(dir); err != nil {
		return done, fmt.Errorf("create the data directory: %w", err)
	}
	lock, err := lockDirectory(dir)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, unlockDirectory(lock)) }()
	path := filepath.Join(dir, databaseName)
	occupied, err := isOccupied(path)
	switch {
	case err != nil:
		return done, err
	case occupied && !replace:
		return done, fmt.Errorf("%s: %w", path, ErrOccupied)
	}
	if err := refuseOther(file); err != nil {
		return done, err
	}
	if wal, err := os.Stat(file + "-wal"); err == nil && wal.Size() > 0 {
		return done, fmt.Errorf("%s cannot be restored: its newest messages are in %s-wal; %s, and restore what it writes", file, filepath.Base(file), adviseWAL(file))
	}
	draft := path + draftSuffix
	for _, suffix := range []string{"-journal", "-wal", "-shm", ""} { // of a restore that was interrupted; SQLite would replay them
		if err := removeIfThere(draft + suffix); err != nil {
			return done, err
		}
	}
	if err := copyFile(draft, file); err != nil {
		return done, errors.Join(fmt.Errorf("copy the backup: %w", err), removeIfThere(draft))
	}
	// A backup that somebody has opened may have an epoch again.
	if done.Report, err = seal(ctx, draft, wholeIn(journalOf(file), file), nil); err != nil {
		return done, errors.Join(fmt.Errorf("%s cannot be restored: %w", file, adviseRestore(err)), removeIfThere(draft))
	}
	if replay != nil {
		if err := done.replay(ctx, draft, replay); err != nil {
			return done, errors.Join(fmt.Errorf("delete what the erasure ledger names: %w", err), removeIfThere(draft))
		}
	}
	if err := syncFile(draft); err != nil {
		return done, err
	}
	failpoint.Point("restore.replayed")
	aside := path + asideMark + time.Now().UTC().Format("20060102T150405.000")
	for _, m := range moves(path, aside) {
		err := os.Rename(m.from, m.to)
		if err != nil && (m.from == draft || !errors.Is(err, fs.ErrNotExist)) {
			return done, err
		}
		if err == nil && strings.HasPrefix(m.to, aside) {
			done.Kept = aside
		}
	}
	if err := removeIfThere(filepath.Join(dir, moveName)); err != nil { // it is of the former database
		return done, err
	}
	return done, disk.SyncDirectory(dir)
}

// draftSuffix ends the name of the database that a restore makes.
const draftSuffix = ".restored"

// adviseWAL says how to restore a database whose newest messages are in a WAL.
func adviseWAL(file string) string {
	if strings.Contains(filepath.Base(file), asideMark) {
		return "copy it, the -wal and the journal of the same time into a directory of their own, without that time in their names, use \"kaban backup\" there"
	}
	return "use \"kaban backup\" on that directory"
}

// companions are the ends of the names of a database's files. The WAL comes first when
// they are moved: without its database it is never mistaken for another one's.
var companions = []string{"-wal", "-shm", ""}

// isOccupied reports whether any file of a database is there. A WAL alone counts: SQLite
// would replay it into whatever database is put beside it.
func isOccupied(path string) (bool, error) {
	for _, suffix := range companions {
		if _, err := os.Lstat(path + suffix); err == nil {
			return true, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	return journal.Exists(journalOf(path))
}

// move is a rename of a restore.
type move struct{ from, to string }

// moves returns the renames that replace a database, in order. After each of them either
// the server starts or a restore that is repeated does the rest. The journal goes last:
// beside another database it is refused and not forgotten.
func moves(path, aside string) (list []move) {
	for _, suffix := range companions {
		list = append(list, move{path + suffix, aside + suffix})
	}
	return append(list, move{path + draftSuffix, path}, move{journalOf(path), journalOf(aside)})
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// adviseRestore adds what to do if a backup is damaged.
func adviseRestore(err error) error {
	if errors.Is(err, store.ErrDamaged) || isDamage(err) {
		return fmt.Errorf("%w; name an older backup", err)
	}
	return err
}

// The header of the database files of SQLite (https://www.sqlite.org/fileformat2.html,
// section 1.3), which begin with magic.
const (
	magic    = "SQLite format 3\x00"
	idOffset = 68 // of the application id, 4 bytes with the highest first
)

// refuseOther refuses a file that is an export or no database at all.
func refuseOther(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	var start [headerSize]byte
	n, err := f.ReadAt(start[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the backup: %w", err)
	}
	text := bytes.TrimPrefix(start[:n], []byte("\ufeff"))
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return fmt.Errorf("%s is an export and not a backup; use \"kaban import\"", file)
	}
	what := ""
	switch {
	case !bytes.HasPrefix(start[:n], []byte(magic)):
		what = "no database of kaban"
	case n == headerSize && binary.BigEndian.Uint32(start[idOffset:]) != applicationID:
		what = "the database of another program"
	}
	if what != "" {
		return fmt.Errorf("%s cannot be restored: it is %s; name a file that \"kaban backup\" has written, or a directory of scheduled backups", file, what)
	}
	return nil
}

func copyFile(to, from string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = out.ReadFrom(in)
	return errors.Join(err, out.Close())
}

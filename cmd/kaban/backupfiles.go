package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/store"
)

// Files beside backups. They are those of all backups in a directory, each once, in the folder
// blobsFolder. Beside each backup a list has those that it needs.

const (
	// blobsFolder is the name of the folder, beside backups.
	blobsFolder = "kaban-files"
	// listSuffix ends the name of the list of a backup, behind that of the backup.
	listSuffix = ".files"
	// listDraft ends the name of a list that is being written.
	listDraft = listSuffix + ".partial"
	// staleList is how old the list of a backup that does not exist is before it is removed: that
	// backup may be just being made.
	staleList = 24 * time.Hour
	// fileTries is how often a database is copied from which files are deleted meanwhile.
	fileTries = 3
)

// errDeleted means that a copy of a database needs files that have been deleted since.
var errDeleted = errors.New("files were deleted while the backup was made; make it again")

// write copies the database and, if it is to, the files that the copy needs.
//
// Files may be deleted meanwhile. So those that the database has now are copied first, and after
// the database those that were added since. If one of these is gone already, the copy refers to a
// file that nobody has any more, and is made again.
func (c *backupCommand) write(ctx context.Context, archive store.Archive, progress func(done, total int64)) (report *store.Report, needs []blob, err error) {
	if c.Files {
		if err := c.beforeDatabase(ctx, archive); err != nil {
			return nil, nil, err
		}
	}
	for try := 1; ; try++ {
		if report, err = archive.Backup(ctx, c.File, progress); err != nil {
			return nil, nil, err
		}
		needs, err = c.afterDatabase(ctx, archive)
		if err == nil {
			return report, needs, nil
		}
		err = errors.Join(err, os.Remove(c.File), removeList(c.File))
		if !errors.Is(err, errDeleted) || try == fileTries {
			return nil, nil, err
		}
	}
}

// beforeDatabase copies the files that the database has now.
func (c *backupCommand) beforeDatabase(ctx context.Context, archive store.Archive) error {
	now, err := blobsOf(ctx, archive)
	if err != nil {
		return err
	}
	_, err = c.copyFiles(ctx, now) // those that are missing may be none of the copy's
	return err
}

// copyFiles copies files, and returns those that are missing. Without any it makes no folder.
func (c *backupCommand) copyFiles(ctx context.Context, blobs []blob) (missing []blob, err error) {
	if len(blobs) == 0 {
		return nil, nil
	}
	beside, err := disk.Open(besideBackup(c.File))
	if err != nil {
		return nil, err
	}
	from, err := blobsOfData(c.Data)
	if err != nil {
		return nil, err
	}
	bar := progress(c.said, -1, "copying files", " files")
	defer bar.Finish()
	return copyBlobs(ctx, from, beside, blobs, bar)
}

// besideBackup returns the folder with the files of a backup.
func besideBackup(file string) string { return filepath.Join(filepath.Dir(file), blobsFolder) }

// afterDatabase writes the list of the files that the copy of the database needs, and copies those that
// were added since beforeDatabase.
func (c *backupCommand) afterDatabase(ctx context.Context, archive store.Archive) (needs []blob, err error) {
	copied, err := openBackup(ctx, c.File)
	if err != nil {
		return nil, err
	}
	needs, err = blobsOf(ctx, copied)
	if err := errors.Join(err, copied.Close()); err != nil {
		return nil, err
	}
	if err := writeList(c.File, needs); err != nil || !c.Files {
		return needs, err
	}
	missing, err := absent(ctx, onDisk(besideBackup(c.File)), needs)
	if err != nil {
		return nil, err
	}
	if missing, err = c.copyFiles(ctx, missing); err != nil {
		return nil, err
	}
	if len(missing) == 0 {
		return needs, nil
	}
	now, err := blobsOf(ctx, archive)
	if err != nil {
		return nil, err
	}
	still := make(map[blob]bool, len(now))
	for _, b := range now {
		still[b] = true
	}
	for _, b := range missing {
		if !still[b] {
			return nil, errDeleted
		}
	}
	c.missing = missing // from the data directory, too: no other try finds them
	return needs, nil
}

// place returns where the files are that are backed up, for people.
func (c *backupCommand) place() string {
	from, err := blobsOfData(c.Data)
	if err != nil { // the copying has reported it
		return c.Data
	}
	return from.name
}

// aboutFiles says which files a backup has, or needs.
func (c *backupCommand) aboutFiles(std streams, needs []blob) error {
	switch {
	case len(needs) == 0:
		return nil
	case !c.Files:
		fmt.Fprintf(std.err, "kaban: it needs %s of %s, not in it: %s has the names, and --files copies files, too\n", blobCount(needs), c.place(), c.File+listSuffix)
		return nil
	}
	fmt.Fprintf(std.err, "kaban: its %s %s in %s, checked\n", blobCount(needs), areOf(needs), besideBackup(c.File))
	if len(c.missing) == 0 {
		return nil
	}
	err := fmt.Errorf("%s %s missing or damaged in %s, and so in the backup, such as %s; \"kaban check --files\" has all names", blobCount(c.missing), areOf(c.missing), c.place(), c.missing[0].key(files.Content))
	if c.Whole { // on a schedule: a backup of all the rest is good, and counts
		fmt.Fprintln(std.err, backupWarning+err.Error())
		return nil
	}
	return fmt.Errorf("the backup has everything else: %w", err)
}

// writeList writes which files a backup needs, as sha256sum reads it in the folder with them. Without
// any there is no list.
func writeList(file string, blobs []blob) (err error) {
	if len(blobs) == 0 {
		return removeList(file)
	}
	draft := file + listDraft
	defer func() {
		if err != nil {
			err = errors.Join(err, ignore(os.Remove(draft), fs.ErrNotExist))
		}
	}()
	f, err := os.OpenFile(draft, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	for _, b := range blobs {
		fmt.Fprintf(w, "%s  %s\n", b.hash, b.key(files.Content))
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(draft, file+listSuffix)
}

func removeList(file string) error { return ignore(os.Remove(file+listSuffix), fs.ErrNotExist) }

// ignore returns an error, unless it is a harmless one.
func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

// readList adds the files of a list to those that are needed.
func readList(path string, needed map[files.Hash]bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		text, name, _ := strings.Cut(lines.Text(), "  ")
		hash, err := files.ParseHash(text)
		if err != nil || name != (files.Key{Kind: files.Content, Hash: hash}).Path() {
			return fmt.Errorf("%s: %q is no line of a list of files", path, lines.Text())
		}
		needed[hash] = true
	}
	return lines.Err()
}

// tidyBackupFiles removes the files beside backups that no backup in the directory needs any more. It is
// for a directory of scheduled backups, where nobody else makes any.
func tidyBackupFiles(ctx context.Context, dir string, now time.Time) error {
	root := filepath.Join(dir, blobsFolder)
	if _, err := os.Stat(root); err != nil {
		return ignore(err, fs.ErrNotExist)
	}
	if err := completeLists(ctx, dir); err != nil {
		return err
	}
	needed, err := neededIn(dir, now)
	if err != nil {
		return err
	}
	beside, err := disk.Open(root)
	if err != nil {
		return err
	}
	if _, err := beside.Tidy(ctx); err != nil {
		return err
	}
	for _, kind := range files.Kinds {
		for info, err := range beside.All(ctx, kind) {
			if err == nil && !needed[info.Key.Hash] {
				err = beside.Remove(ctx, info.Key)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// completeLists writes the lists that backups in a directory lack: a process that is killed between a
// backup and its list leaves none.
func completeLists(ctx context.Context, dir string) error {
	backups, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil {
		return err
	}
	for _, file := range backups {
		if _, err := os.Lstat(file + listSuffix); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		copied, err := openBackup(ctx, file)
		if err != nil {
			return fmt.Errorf("%s has no list of its files, so none is removed: %w", file, err)
		}
		needs, err := blobsOf(ctx, copied)
		if err := errors.Join(err, copied.Close()); err != nil {
			return err
		}
		if err := writeList(file, needs); err != nil {
			return err
		}
	}
	return nil
}

// neededIn returns the files that the backups in a directory need, and removes the lists of those that do
// not exist.
func neededIn(dir string, now time.Time) (needed map[files.Hash]bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	needed = make(map[files.Hash]bool)
	for _, entry := range entries {
		name, isDraft := strings.CutSuffix(entry.Name(), listDraft)
		name, isList := strings.CutSuffix(name, listSuffix)
		if !isDraft && !isList {
			continue
		}
		list := filepath.Join(dir, entry.Name())
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		_, err = os.Lstat(filepath.Join(dir, name))
		gone := isDraft || errors.Is(err, fs.ErrNotExist)
		switch {
		case gone && now.Sub(info.ModTime()) > staleList:
			err = os.Remove(list)
		case isDraft: // which becomes a list when it is whole
			err = nil
		default:
			err = readList(list, needed)
		}
		if err != nil {
			return nil, err
		}
	}
	return needed, nil
}

// bringFiles copies the files that a database needs to where its files are kept. Those that are there already
// stay, and those that are only where they were kept until now are copied from there. The others are missing. name
// says where they are to be; the data directory is told last.
func bringFiles(ctx context.Context, data dataFlags, keep *placeFlags, from string, bar *progressbar.ProgressBar) (needs, missing []blob, name string, err error) {
	archive, err := data.open(ctx, databaseBackups)
	if err != nil {
		return nil, nil, "", err
	}
	needs, err = blobsOf(ctx, archive)
	if err := errors.Join(err, archive.Close()); err != nil {
		return nil, nil, "", err
	}
	if len(needs) == 0 && !keep.isSet() && !keep.S3TakeOver {
		return nil, nil, "", nil
	}
	m, err := keep.open(ctx, data.Data)
	if err != nil {
		return nil, nil, "", err
	}
	if len(needs) == 0 {
		return nil, nil, m.to.name, m.note(nil)
	}
	store, err := m.to.opened()
	if err != nil {
		return nil, nil, "", err
	}
	err = spin(bar, func() (err error) {
		if missing, err = copyBlobs(ctx, onDisk(from), store, needs, bar); err == nil {
			missing, err = m.rest(ctx, store, missing, bar)
		}
		return err
	})
	if err == nil {
		err = m.note(missing)
	}
	return needs, missing, m.to.name, err
}

// restoreFiles brings the files back that a restored database needs, from beside the backup.
func (c *restoreCommand) restoreFiles(ctx context.Context, std streams, file string) error {
	from := besideBackup(file)
	needs, missing, place, err := bringFiles(ctx, c.dataFlags, &c.placeFlags, from, progress(std.err, -1, "restoring files", " files"))
	switch {
	case err != nil:
		return fmt.Errorf("the database is restored and may be used, but not all of its files: %w", err)
	case len(missing) > 0:
		return fmt.Errorf("the database is restored and may be used, but %s of its %s %s neither in %s nor in %s; copy that folder from where the backup was made, and restore again with --replace", blobCount(missing), blobCount(needs), areOf(missing), from, place)
	case len(needs) > 0:
		fmt.Fprintf(std.err, "kaban: restored %s, checked\n", blobCount(needs))
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"kaban"
	"kaban/internal/export"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/people"
	"kaban/internal/store"
)

// copyFiles copies the files of what is exported. All files are called as on the server, for an import. Those
// of rooms or a person are called by their ids, which messages have, and by their names, for people.
func (c *exportCommand) copyFiles(ctx context.Context, archive store.Archive, only []kaban.RoomName, person *export.Person, std streams) error {
	if c.Files == "" {
		return nil
	}
	if person == nil && len(only) == 0 {
		return c.copyAll(ctx, archive, std)
	}
	wanted, err := filesWith(ctx, archive, func(f *people.File) bool {
		in := func(name kaban.RoomName) bool { return name.Key() == f.Room }
		return (person == nil || person.Owns(f)) && (len(only) == 0 || slices.ContainsFunc(only, in))
	})
	if err != nil {
		return err
	}
	from, err := blobsOfData(c.dir())
	if err != nil {
		return err
	}
	var copied, missing []blob
	for i := range wanted {
		b, err := c.copyNamed(ctx, from, &wanted[i])
		switch copied = append(copied, b); {
		case isMissing(err):
			missing = append(missing, b)
		case err != nil:
			return err
		}
	}
	return c.aboutFiles(from, copied, missing, std)
}

// copyAll copies all files that the database has.
func (c *exportCommand) copyAll(ctx context.Context, archive store.Archive, std streams) error {
	wanted, err := blobsOf(ctx, archive)
	if err != nil || len(wanted) == 0 {
		return err
	}
	to, err := disk.OpenCopies(c.Files) // somebody may change them
	if err != nil {
		return err
	}
	from, err := blobsOfData(c.dir())
	if err != nil {
		return err
	}
	bar := progress(std.err, -1, "copying files", " files")
	missing, err := copyBlobs(ctx, from, to, wanted, bar)
	bar.Finish()
	if err != nil {
		return err
	}
	return c.aboutFiles(from, wanted, missing, std)
}

func (c *exportCommand) aboutFiles(from blobPlace, wanted, missing []blob, std streams) error {
	if len(missing) > 0 {
		return fmt.Errorf("%s of %s %s missing or damaged in %s, such as %s; everything else is exported", blobCount(missing), blobCount(wanted), areOf(missing), from.name, missing[0].key(files.Content))
	}
	if len(wanted) > 0 {
		fmt.Fprintf(std.err, "kaban: %s %s in %s, checked\n", blobCount(wanted), areOf(wanted), c.Files)
	}
	return nil
}

// filesWith returns the files for which a function reports true.
func filesWith(ctx context.Context, archive store.Archive, is func(*people.File) bool) (found []people.File, err error) {
	err = eachDocument(ctx, archive, func(d *store.Document) error {
		f, ok, err := people.ParseFile(d)
		if err == nil && ok && is(&f) {
			found = append(found, f)
		}
		return err
	})
	return found, err
}

// copyNamed copies a file to DIR/ID/NAME, in place of one that an export has left there.
func (c *exportCommand) copyNamed(ctx context.Context, place blobPlace, f *people.File) (b blob, err error) {
	b.size = f.Size
	if b.hash, err = files.ParseHash(f.Hash); err != nil {
		return b, err
	}
	// Ids and names that the server gives are harmless. An import may have brought others.
	folder := filepath.Join(c.Files, files.CleanName(f.ID))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return b, err
	}
	from, _, err := place.open(ctx, b.key(files.Content))
	if err != nil {
		_ = os.Remove(folder) // unless it has something from before
		return b, err
	}
	defer from.Close()
	path := filepath.Join(folder, files.CleanName(f.Name))
	to, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return b, err
	}
	size, sum, err := files.Sum(ctx, io.TeeReader(from, to))
	if err = errors.Join(err, to.Close()); err == nil {
		err = files.Staged{Size: b.size, Sum: b.hash}.Verify(size, sum)
	}
	if err != nil {
		return b, errors.Join(err, os.Remove(path))
	}
	return b, nil
}

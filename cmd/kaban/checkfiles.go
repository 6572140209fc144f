package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"kaban/internal/display"
	"kaban/internal/files"
	"kaban/internal/people"
	"kaban/internal/picture"
	"kaban/internal/store"
)

// recentBlob is how old a file that nothing refers to is, so that it is none that the server is just adding.
const recentBlob = time.Hour

// filesOf is what the documents of an archive say of files.
type filesOf struct {
	files      int
	blobs      []blob
	known      map[files.Hash]bool  // also those that the server is just removing
	references map[files.Hash]int64 // that blobs count, less those that there are
	large      map[files.Hash]bool  // pictures that are to have a thumbnail
}

// readFiles reads the documents about files of an archive.
func readFiles(ctx context.Context, archive store.Archive) (*filesOf, error) {
	all := &filesOf{known: make(map[files.Hash]bool), references: make(map[files.Hash]int64), large: make(map[files.Hash]bool)}
	return all, eachDocument(ctx, archive, all.add)
}

func (all *filesOf) add(d *store.Document) error {
	if f, ok, err := people.ParseFile(d); err != nil || ok {
		if err != nil {
			return err
		}
		hash, err := files.ParseHash(f.Hash)
		all.files++
		all.references[hash]--
		if picture.HasThumbnail(f.Width, f.Height) {
			all.large[hash] = true
		}
		return err
	}
	b, ok, err := people.ParseBlob(d)
	if err != nil || !ok {
		return err
	}
	hash, err := files.ParseHash(b.Hash)
	all.known[hash] = true
	all.references[hash] += b.References
	if b.References > 0 {
		all.blobs = append(all.blobs, blob{hash, b.Size})
	}
	return err
}

// checkFiles looks for files that are missing or damaged, and counts those that nothing needs.
func (c *checkCommand) checkFiles(ctx context.Context, archive store.Archive, std streams) error {
	all, err := readFiles(ctx, archive)
	if err != nil {
		return err
	}
	place, err := readPlace(c.dir())
	if err != nil {
		return err
	}
	if c.home().isDatabase() && !place.isSet() {
		if all.files > 0 {
			fmt.Fprintf(std.err, "kaban: %s needs %s, not checked: nothing in %s says where they are; name the directory of a node with --state\n", c.Data, display.Count(all.files, "file"), c.dir())
		}
		return nil
	}
	from, err := blobsOfData(c.dir())
	if err != nil {
		return err
	}
	sizeOf, err := from.contents(ctx)
	if err != nil {
		return err
	}
	bad := make(map[blob]files.State)
	for _, b := range all.blobs {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		state, err := c.stateOf(ctx, from, sizeOf, b)
		if err != nil {
			return err
		}
		if state != files.Good {
			bad[b] = state
		}
	}
	if missing := slices.Collect(maps.Values(bad)); from.isShared() && len(bad) > 0 && len(bad) == len(all.blobs) && !slices.ContainsFunc(missing, func(s files.State) bool { return s != files.Missing }) {
		return fmt.Errorf("none of the %s that messages offer is in %s: is that directory mounted here, and is it the one that the nodes have? %s in %s says where they are", blobCount(all.blobs), from.name, placeName, c.dir())
	}
	faults, err := c.reportBad(ctx, archive, from, bad, std)
	if err != nil {
		return err
	}
	for hash, n := range all.references {
		if n != 0 {
			faults++
			fmt.Fprintf(std.err, "kaban: %s: its references are counted wrong, by %d\n", files.Key{Kind: files.Content, Hash: hash}, n)
		}
	}
	if err := errors.Join(c.countOrphans(ctx, from, all, std), c.countThumbnails(ctx, from, all, bad, std)); err != nil {
		return err
	}
	how := "; --files reads them, too"
	if c.Files {
		how = ", all of them read"
	}
	switch {
	case faults > 0 && c.home().isDatabase():
		return fmt.Errorf("%s in %s; no message is damaged, but some offer what is not there: put those files back from a backup of %[2]s", display.Count(faults, "bad file"), from.name)
	case faults > 0:
		return fmt.Errorf("%s in %s; no message is damaged, but some offer what is not there: \"kaban restore\" brings files back from a backup", display.Count(faults, "bad file"), from.name)
	case all.files > 0:
		fmt.Fprintf(std.err, "kaban: %s: %s in messages or on the way there; without repeats %s %s%s\n", c.Data, display.Count(all.files, "file"), blobCount(all.blobs), from.where(), how)
	}
	return nil
}

// reportBad names the files that are missing or damaged, without those that a server has let go of since
// the check began.
func (c *checkCommand) reportBad(ctx context.Context, archive store.Archive, from blobPlace, bad map[blob]files.State, std streams) (faults int, err error) {
	if len(bad) == 0 {
		return 0, nil
	}
	now, err := blobsOf(ctx, archive)
	if err != nil {
		return 0, err
	}
	for _, b := range now {
		if state, ok := bad[b]; ok {
			faults++
			fmt.Fprintf(std.err, "kaban: %s: %s\n", b.key(files.Content), state)
		}
	}
	return faults, nil
}

// stateOf returns how a blob is: by its length, or with --files by its bytes.
func (c *checkCommand) stateOf(ctx context.Context, from blobPlace, sizeOf func(blob) (int64, bool, error), b blob) (files.State, error) {
	size, there, err := sizeOf(b)
	switch {
	case err != nil:
		return files.Good, err
	case !there:
		return files.Missing, nil
	case size < b.size:
		return files.Partial, nil
	case size > b.size:
		return files.Wrong, nil
	case !c.Files:
		return files.Good, nil
	}
	f, _, err := from.open(ctx, b.key(files.Content))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrNotFound) {
		return files.Missing, nil
	}
	if err != nil {
		return files.Good, err
	}
	_, sum, err := files.Sum(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return files.Good, fmt.Errorf("read %s: %w", b.key(files.Content), err)
	}
	if sum != b.hash {
		return files.Wrong, nil
	}
	return files.Good, nil
}

// countOrphans counts what nothing refers to, and how much room it takes. A server that was killed while it
// added a file leaves such bytes.
func (c *checkCommand) countOrphans(ctx context.Context, from blobPlace, all *filesOf, std streams) error {
	if from.store == nil {
		for _, kind := range files.Kinds {
			// A check makes no directories.
			if _, err := os.Stat(filepath.Join(from.dir, kind.Folder())); err != nil {
				return ignore(err, fs.ErrNotExist)
			}
		}
	}
	opened, err := from.opened()
	if err != nil {
		return err
	}
	var orphans int
	var size int64
	for _, kind := range files.Kinds {
		for info, err := range opened.All(ctx, kind) {
			if err != nil {
				return err
			}
			if !all.known[info.Key.Hash] && time.Since(info.Time) > recentBlob {
				orphans++
				size += info.Size
			}
		}
	}
	if orphans > 0 {
		fmt.Fprintf(std.err, "kaban: %s in %s and %s are needed by nothing, and take %s; they do no harm\n", display.Count(orphans, "file"), files.Content.Folder(), files.Thumbnail.Folder(), byteSize(size))
	}
	return nil
}

// countThumbnails counts the pictures whose thumbnails are missing, without those that are bad themselves: nothing
// could be made of them. It is no damage.
func (c *checkCommand) countThumbnails(ctx context.Context, from blobPlace, all *filesOf, bad map[blob]files.State, std streams) error {
	if len(all.large) == 0 {
		return nil
	}
	there, err := c.thumbnails(ctx, from)
	if err != nil {
		return err
	}
	for b := range bad {
		delete(all.large, b.hash)
	}
	missing := 0
	for hash := range all.large {
		if _, ok := there[hash]; !ok {
			missing++
		}
	}
	if missing > 0 {
		fmt.Fprintf(std.err, "kaban: %s without a thumbnail; the server makes each when somebody looks at it\n", display.Count(missing, "picture"))
	}
	return nil
}

// thumbnails returns the thumbnails that a place has. Where their folder is missing it has none: a check makes no
// directories.
func (c *checkCommand) thumbnails(ctx context.Context, from blobPlace) (map[files.Hash]int64, error) {
	if from.store == nil {
		for _, kind := range files.Kinds {
			if _, err := os.Stat(filepath.Join(from.dir, kind.Folder())); err != nil {
				return nil, ignore(err, fs.ErrNotExist)
			}
		}
	}
	opened, err := from.opened()
	if err != nil {
		return nil, err
	}
	place := blobPlace{store: opened}
	return place.sizes(ctx, files.Thumbnail)
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/display"
	"kaban/internal/files"
	"kaban/internal/files/disk"
	"kaban/internal/people"
	"kaban/internal/store"
)

// blob is the bytes of a file that a database refers to.
type blob struct {
	hash files.Hash
	size int64 // in bytes
}

func (b blob) key(kind files.Kind) files.Key { return files.Key{Kind: kind, Hash: b.hash} }

// pathOf returns where a blob is in a data directory, or beside backups in their blobsFolder.
func (b blob) pathOf(root string, kind files.Kind) string {
	return filepath.Join(root, filepath.FromSlash(b.key(kind).Path()))
}

// blobsOf returns the blobs that files of an archive have, at one moment. It takes 40 bytes of memory for each.
func blobsOf(ctx context.Context, archive store.Archive) (found []blob, err error) {
	err = eachDocument(ctx, archive, func(d *store.Document) error {
		b, ok, err := people.ParseBlob(d)
		if err != nil || !ok || b.References == 0 { // without any, the server is just removing it
			return err
		}
		hash, err := files.ParseHash(b.Hash)
		found = append(found, blob{hash, b.Size})
		return err
	})
	return found, err
}

// eachDocument calls a function for each document of an archive.
func eachDocument(ctx context.Context, archive store.Archive, visit func(*store.Document) error) error {
	err := archive.Export(ctx, nil, store.Receiver{
		Document: visit,
		Record:   func(*store.Record) error { return errEnough },
		Damaged:  func(error) error { return nil }, // for a check
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// blobCount says how many files there are, and how long they are.
func blobCount(blobs []blob) string {
	var size int64
	for _, b := range blobs {
		size += b.size
	}
	return fmt.Sprintf("%s (%s)", display.Count(len(blobs), "file"), byteSize(size))
}

// areOf is the verb for some blobs.
func areOf(blobs []blob) string { return display.Noun(len(blobs), "is", "are") }

// copying copies blobs from one place to another.
type copying struct {
	from   blobPlace
	to     files.Store
	thumbs map[files.Hash]int64 // the thumbnails in a store that is no directory, by their contents
}

// copyBlobs copies blobs to a store, and their thumbnails: from one directory to another as second names of
// the same bytes, where the file system can. Each is read and compared with its hash, also one that is on a
// disk already. Those that the source does not have as they should be are returned as missing. A bar counts the files.
func copyBlobs(ctx context.Context, from blobPlace, to files.Store, blobs []blob, bar *progressbar.ProgressBar) (missing []blob, err error) {
	c := copying{from: from, to: to}
	if from.store != nil {
		if c.thumbs, err = from.sizes(ctx, files.Thumbnail); err != nil {
			return nil, err
		}
	}
	bar.ChangeMax(len(blobs))
	for i, b := range blobs {
		if ctx.Err() != nil {
			return missing, context.Cause(ctx)
		}
		bar.Set(i) // an error is one of the display
		switch err := c.copy(ctx, b); {
		case isMissing(err) && c.isThere(ctx, b):
		case isMissing(err):
			missing = append(missing, b)
		case err != nil:
			return missing, err
		}
	}
	return missing, nil
}

// isMissing reports whether a copy has failed because of the source.
func isMissing(err error) bool {
	if _, ok := errors.AsType[*files.UnreachableError](err); ok {
		return false
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrNotFound) || errors.Is(err, files.ErrMismatch)
}

// isThere reports whether a blob that the source does not have is in the service that it is copied to. Its
// length has to do: "kaban check --files" reads it.
func (c *copying) isThere(ctx context.Context, b blob) bool {
	if _, ok := c.to.(*disk.Store); ok { // which has looked at the bytes itself
		return false
	}
	f, info, err := c.to.Open(ctx, b.key(files.Content))
	return err == nil && f.Close() == nil && info.Size == b.size
}

func (c *copying) copy(ctx context.Context, b blob) error {
	if c.from.store == nil {
		return copyFromDisk(ctx, c.from.dir, c.to, b)
	}
	to, ok := c.to.(*disk.Store)
	if !ok {
		return errors.New("files are copied from one service to another by way of a backup only")
	}
	err := to.AddFrom(ctx, b.key(files.Content), files.Staged{Size: b.size, Sum: b.hash}, func() (io.ReadCloser, error) {
		f, _, err := c.from.open(ctx, b.key(files.Content))
		return f, err
	})
	if err != nil {
		return err
	}
	return c.fetchThumbnail(ctx, to, b)
}

// maxThumbnail is longer than any thumbnail, in bytes: 720 by 720 pixels without compression take 2 MiB.
const maxThumbnail = 8 << 20

// fetchThumbnail copies a thumbnail from a service. It is not read again for each backup.
func (c *copying) fetchThumbnail(ctx context.Context, to *disk.Store, b blob) error {
	key := b.key(files.Thumbnail)
	size, ok := c.thumbs[b.hash]
	if !ok {
		return nil
	}
	if state, err := files.Check(ctx, to, key, size); err != nil || state == files.Good {
		return err
	}
	f, _, err := c.from.open(ctx, key)
	if errors.Is(err, files.ErrNotFound) { // it has just been removed, with its file
		return nil
	}
	if err != nil {
		return err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxThumbnail))
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	staged := files.Staged{Size: int64(len(text)), Sum: sha256.Sum256(text)}
	return to.AddFrom(ctx, key, staged, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil })
}

func copyFromDisk(ctx context.Context, from string, to files.Store, b blob) error {
	staged := files.Staged{Path: b.pathOf(from, files.Content), Size: b.size, Sum: b.hash}
	if err := to.Add(ctx, b.key(files.Content), staged); err != nil {
		return err
	}
	// A thumbnail has no name of its own, and not every picture has one.
	small := b.pathOf(from, files.Thumbnail)
	f, err := os.Open(small)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	size, sum, err := files.Sum(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	err = to.Add(ctx, b.key(files.Thumbnail), files.Staged{Path: small, Size: size, Sum: sum})
	if isMissing(err) { // it has just been removed, with its file
		return nil
	}
	return err
}

// absent returns the blobs that a place does not have in their full length.
func absent(ctx context.Context, in blobPlace, blobs []blob) (missing []blob, err error) {
	sizeOf, err := in.contents(ctx)
	if err != nil {
		return nil, err
	}
	for _, b := range blobs {
		size, there, err := sizeOf(b)
		if err != nil {
			return nil, err
		}
		if !there || size != b.size {
			missing = append(missing, b)
		}
	}
	return missing, nil
}

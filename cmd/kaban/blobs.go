package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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

// copyBlobs copies blobs from a directory to a store, and their thumbnails: as second names of the same
// bytes where the file system can. Each is read and compared with its hash, also one that is there
// already. Those that the directory does not have as they should be are returned as missing.
func copyBlobs(ctx context.Context, from string, to *disk.Store, blobs []blob) (missing []blob, err error) {
	for _, b := range blobs {
		if ctx.Err() != nil {
			return missing, context.Cause(ctx)
		}
		switch err := copyBlob(ctx, from, to, b); {
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
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, files.ErrMismatch)
}

func copyBlob(ctx context.Context, from string, to *disk.Store, b blob) error {
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

// absent returns the blobs that a directory does not have in their full length.
func absent(root string, blobs []blob) (missing []blob, err error) {
	for _, b := range blobs {
		info, err := os.Stat(b.pathOf(root, files.Content))
		switch {
		case errors.Is(err, fs.ErrNotExist), err == nil && info.Size() != b.size:
			missing = append(missing, b)
		case err != nil:
			return nil, err
		}
	}
	return missing, nil
}

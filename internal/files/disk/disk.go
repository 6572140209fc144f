// Package disk keeps blobs as files in a directory: files/ab/abcd… and thumbs/ab/abcd….
// Directories have mode 0700, files 0600.
//
// A blob is durable when Add returns: its bytes, its name and its directory have been
// synced. It appears whole under its name or not at all, also after a loss of power. Until
// then its file is a draft, in the same directory, whose name begins with a dot.
//
// One process at a time may use a directory, unless all open it with OpenShared.
package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
	"kaban/internal/files"
)

// draftPrefix begins the names of files that are not blobs yet.
const draftPrefix = ".draft-"

// shards is the number of directories of a kind, one for each first byte of a hash.
const shards = 256

// Store is a files.Store in a directory.
type Store struct {
	root   string
	shared bool // other processes may have drafts there
	link   func(from, to string) error

	made [2][shards]atomic.Bool // directories that exist and are durable

	mu     sync.Mutex
	drafts map[string]struct{} // by path, of calls of Add that run; guarded by mu
}

// Open returns the store in a directory, and makes what is missing of it.
func Open(root string) (*Store, error) {
	s := &Store{root: root, link: os.Link, drafts: make(map[string]struct{})}
	if err := disk.MakeDirectory(root); err != nil {
		return nil, s.explain("open the file store", err)
	}
	for _, kind := range files.Kinds {
		if err := os.MkdirAll(filepath.Join(root, kind.Folder()), 0o700); err != nil {
			return nil, s.explain("open the file store", err)
		}
	}
	if err := disk.SyncDirectory(root); err != nil {
		return nil, s.explain("open the file store", err)
	}
	return s, nil
}

// youngDraft is how old a draft may be that may be another process's.
const youngDraft = 24 * time.Hour

// OpenShared is Open for a directory that several processes use, perhaps on several machines.
func OpenShared(root string) (*Store, error) {
	s, err := Open(root)
	if err == nil {
		s.shared = true
	}
	return s, err
}

// OpenCopies is Open for a store whose blobs share no bytes with the files that they are made of: somebody may
// write to them.
func OpenCopies(root string) (*Store, error) {
	s, err := Open(root)
	if err == nil {
		s.link = func(string, string) error { return errors.ErrUnsupported }
	}
	return s, err
}

func (s *Store) path(key files.Key) string {
	return filepath.Join(s.root, filepath.FromSlash(key.Path()))
}

// Add is that of files.Store. It makes a second name for the staged file where the file
// system can, and copies it where not.
func (s *Store) Add(ctx context.Context, key files.Key, staged files.Staged) error {
	if err := staged.Matches(key); err != nil {
		return err
	}
	return s.add(ctx, key, staged, func(draft string) error {
		switch err := s.link(staged.Path, draft); {
		case err == nil:
			return os.Chmod(draft, 0o600)
		case errors.Is(err, fs.ErrNotExist):
			return err
		}
		return copyFile(ctx, draft, staged.Path)
	})
}

// AddFrom is Add for bytes that are no file here. It calls open if the blob is not there yet, reads to the
// end, and compares what it has read with the size and the sum.
func (s *Store) AddFrom(ctx context.Context, key files.Key, staged files.Staged, open func() (io.ReadCloser, error)) error {
	if err := staged.Matches(key); err != nil {
		return err
	}
	return s.add(ctx, key, staged, func(draft string) error {
		from, err := open()
		if err != nil {
			return err
		}
		// A source without an end is no reason to fill the disk.
		err = copyTo(ctx, draft, io.LimitReader(from, staged.Size+1))
		return errors.Join(err, from.Close())
	})
}

// add adds a blob, if it is not there yet, whose draft a function fills.
func (s *Store) add(ctx context.Context, key files.Key, staged files.Staged, fill func(draft string) error) error {
	if err := s.addDraft(ctx, key, staged, fill); err != nil {
		return s.explain("add "+key.String(), err)
	}
	return nil
}

func (s *Store) addDraft(ctx context.Context, key files.Key, staged files.Staged, fill func(draft string) error) (err error) {
	final := s.path(key)
	dir := filepath.Dir(final)
	if err := s.makeShard(key); err != nil {
		return err
	}
	if there, err := s.has(ctx, final, staged); err != nil || there {
		return err
	}
	draft := filepath.Join(dir, draftPrefix+rand.Text())
	s.hold(draft, true)
	defer s.hold(draft, false)
	defer func() {
		if err != nil {
			err = errors.Join(err, ignore(os.Remove(draft), fs.ErrNotExist))
		}
	}()
	if err := s.fill(ctx, draft, staged, fill); err != nil {
		return err
	}
	failpoint.Point("blob.filled")
	if err := disk.Rename(draft, final); err != nil {
		return err
	}
	failpoint.Point("blob.renamed")
	// A draft that is the same file as the blob, which another Add has just made of it, stays.
	if err := ignore(os.Remove(draft), fs.ErrNotExist); err != nil {
		return err
	}
	return disk.SyncDirectory(dir)
}

// makeShard makes the directory of a key.
func (s *Store) makeShard(key files.Key) error {
	made := &s.made[key.Kind][key.Hash[0]]
	if made.Load() {
		return nil
	}
	dir := filepath.Dir(s.path(key))
	if err := ignore(os.Mkdir(dir, 0o700), fs.ErrExist); err != nil {
		return err
	}
	if err := disk.SyncDirectory(filepath.Dir(dir)); err != nil {
		return err
	}
	made.Store(true)
	return nil
}

// has reports whether a blob is there with the bytes of a staged file, and makes its name
// durable: another Add may have just renamed it.
func (s *Store) has(ctx context.Context, final string, staged files.Staged) (bool, error) {
	err := verify(ctx, final, staged)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, files.ErrMismatch):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, disk.SyncDirectory(filepath.Dir(final))
}

// fill makes a draft with the bytes that a blob should have, durable but for its name.
func (s *Store) fill(ctx context.Context, draft string, staged files.Staged, fill func(draft string) error) error {
	if err := fill(draft); err != nil {
		return err
	}
	failpoint.Point("blob.linked")
	if err := verify(ctx, draft, staged); err != nil {
		return err
	}
	f, err := disk.OpenFile(draft, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// verify compares a file with what it should be.
func verify(ctx context.Context, path string, staged files.Staged) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	size, sum, err := files.Sum(ctx, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return staged.Verify(size, sum)
}

// copyFile copies a file to a new one.
func copyFile(ctx context.Context, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return copyTo(ctx, to, in)
}

// copyTo writes a new file.
func copyTo(ctx context.Context, to string, from io.Reader) error {
	out, err := disk.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = files.Copy(ctx, &writer{out, 0}, from)
	return errors.Join(err, out.Close())
}

// writer writes to a file from its beginning.
type writer struct {
	file *disk.File
	at   int64
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.file.WriteAt(p, w.at)
	w.at += int64(n)
	return n, err
}

// hold notes that a draft is in use, or no longer.
func (s *Store) hold(draft string, used bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if used {
		s.drafts[draft] = struct{}{}
	} else {
		delete(s.drafts, draft)
	}
}

func (s *Store) holds(draft string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, used := s.drafts[draft]
	return used
}

// Open is that of files.Store. It returns an *os.File, so that the system can send it to a
// connection without copying it.
func (s *Store) Open(_ context.Context, key files.Key) (io.ReadSeekCloser, files.Info, error) {
	f, err := os.Open(s.path(key))
	if err != nil {
		return nil, files.Info{}, s.missing("open "+key.String(), err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", f.Name())
	}
	if err != nil {
		return nil, files.Info{}, s.explain("open "+key.String(), errors.Join(err, f.Close()))
	}
	return f, files.Info{Key: key, Size: info.Size(), Time: info.ModTime()}, nil
}

// Remove is that of files.Store. On Windows a blob that somebody reads cannot be removed.
func (s *Store) Remove(_ context.Context, key files.Key) error {
	final := s.path(key)
	err := disk.Remove(final)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
		if _, missing := os.Stat(filepath.Dir(final)); errors.Is(missing, fs.ErrNotExist) {
			return s.missing("remove "+key.String(), nil)
		}
	}
	failpoint.Point("blob.removed")
	if err == nil {
		err = disk.SyncDirectory(filepath.Dir(final))
	}
	if err != nil {
		return s.explain("remove "+key.String(), err)
	}
	return nil
}

// All is that of files.Store. It has the names of one directory in memory, about a 256th of
// all.
func (s *Store) All(ctx context.Context, kind files.Kind) iter.Seq2[files.Info, error] {
	return func(yield func(files.Info, error) bool) {
		for entry, err := range s.each(ctx, kind) {
			if err != nil {
				yield(files.Info{}, err)
				return
			}
			key, ok := files.ParsePath(kind.Folder() + "/" + filepath.Base(entry.dir) + "/" + entry.Name())
			if !ok || !entry.Type().IsRegular() {
				continue
			}
			info, err := entry.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				yield(files.Info{}, s.explain("list files", err))
				return
			}
			if !yield(files.Info{Key: key, Size: info.Size(), Time: info.ModTime()}, nil) {
				return
			}
		}
	}
}

// isYoung reports whether a draft may be of an Add that runs in another process.
func isYoung(draft string) bool {
	info, err := os.Stat(draft)
	return err == nil && time.Since(info.ModTime()) < youngDraft
}

// Tidy is that of files.Store.
func (s *Store) Tidy(ctx context.Context) (removed int, err error) {
	for _, kind := range files.Kinds {
		for entry, err := range s.each(ctx, kind) {
			if err != nil {
				return removed, err
			}
			path := filepath.Join(entry.dir, entry.Name())
			if !strings.HasPrefix(entry.Name(), draftPrefix) || s.holds(path) || s.shared && isYoung(path) {
				continue
			}
			if err := os.Remove(path); errors.Is(err, fs.ErrNotExist) {
				continue // of an Add that has ended since
			} else if err != nil {
				return removed, s.explain("remove a draft", err)
			}
			removed++
		}
	}
	return removed, nil
}

type dirEntry struct {
	fs.DirEntry
	dir string
}

// each returns what is in the directories of a kind.
func (s *Store) each(ctx context.Context, kind files.Kind) iter.Seq2[dirEntry, error] {
	return func(yield func(dirEntry, error) bool) {
		parent := filepath.Join(s.root, kind.Folder())
		if _, err := os.Stat(parent); err != nil {
			yield(dirEntry{}, s.missing("list files", err))
			return
		}
		for shard := range shards {
			if ctx.Err() != nil {
				yield(dirEntry{}, context.Cause(ctx))
				return
			}
			dir := filepath.Join(parent, fmt.Sprintf("%02x", shard))
			entries, err := os.ReadDir(dir)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				yield(dirEntry{}, s.explain("list files", err))
				return
			}
			for _, entry := range entries {
				if !yield(dirEntry{entry, dir}, nil) {
					return
				}
			}
		}
	}
}

// missing returns the error for a blob that is not there. Without the directory of its kind
// that says nothing about the blob: a volume may not be mounted.
func (s *Store) missing(what string, err error) error {
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return s.explain(what, err)
	}
	for _, kind := range files.Kinds {
		if _, gone := os.Stat(filepath.Join(s.root, kind.Folder())); gone != nil {
			return s.explain(what, gone)
		}
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, files.ErrNotFound)
}

// explain returns what an error of the system means.
func (s *Store) explain(what string, err error) error {
	advice := ""
	switch {
	case files.IsNoSpace(err):
		return fmt.Errorf("%s: %w: %w", what, files.ErrNoSpace, err)
	case errors.Is(err, fs.ErrPermission):
		advice = "the user that runs the server must be able to read and write it"
	case isDeviceError(err):
		advice = "see that the disk or volume is mounted, writable and healthy"
	case errors.Is(err, fs.ErrNotExist):
		if _, gone := os.Stat(filepath.Join(s.root, files.Content.Folder())); gone == nil {
			break
		}
		advice = "the directory has gone while the server runs: see that its volume is mounted"
	}
	if advice == "" {
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, &files.UnreachableError{Store: s.root, Advice: advice, Err: err})
}

func ignore(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

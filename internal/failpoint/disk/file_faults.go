//go:build failpoint

package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"kaban/internal/failpoint"
)

// File is a file whose operations fail as configured. Like those below SQLite they
// wait forever once the power is lost.
type File struct {
	disk *state
	open *os.File
	file *file // nil if losses are not tracked
}

// OpenFile is os.OpenFile.
func OpenFile(path string, flag int, mode os.FileMode) (*File, error) {
	return disk.openFile(filepath.Clean(path), flag, mode)
}

func (d *state) openFile(path string, flag int, mode os.FileMode) (*File, error) {
	d.Lock()
	defer d.Unlock()
	_, err := os.Lstat(path)
	created := errors.Is(err, fs.ErrNotExist) && flag&os.O_CREATE != 0
	if created {
		if d.create == 0 {
			return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.ENOSPC}
		}
		d.create-- // below zero it never ends
	}
	open, err := os.OpenFile(path, flag&^os.O_TRUNC, mode)
	if err != nil {
		return nil, err
	}
	f := &File{disk: d, open: open}
	if d.lose {
		if f.file, err = d.fileAt(path); err != nil {
			return nil, errors.Join(err, open.Close())
		}
		if created {
			d.rename(&renaming{to: path, file: f.file})
		}
	}
	if flag&os.O_TRUNC != 0 {
		if err := f.truncate(0); err != nil {
			return nil, errors.Join(err, open.Close())
		}
	}
	return f, nil
}

// Name is that of os.File.
func (f *File) Name() string { return f.open.Name() }

// Close is that of os.File.
func (f *File) Close() error { return f.open.Close() }

// Stat is that of os.File.
func (f *File) Stat() (os.FileInfo, error) {
	f.disk.Lock()
	defer f.disk.Unlock()
	return f.open.Stat()
}

// ReadAt is that of os.File.
func (f *File) ReadAt(p []byte, offset int64) (int, error) {
	f.disk.Lock()
	defer f.disk.Unlock()
	return f.open.ReadAt(p, offset)
}

// WriteAt is that of os.File.
func (f *File) WriteAt(p []byte, offset int64) (int, error) {
	f.disk.Lock()
	defer f.disk.Unlock()
	info, err := f.open.Stat()
	if err != nil {
		return 0, err
	}
	size := info.Size()
	fits := f.disk.fits(size, offset, int64(len(p)))
	if f.file != nil && fits > 0 {
		before := make([]byte, max(0, min(fits, size-offset)))
		if _, err := f.file.handle.ReadAt(before, offset); err != nil {
			return 0, err
		}
		f.file.change(change{Offset: offset, Size: size, Before: before, After: append([]byte{}, p[:fits]...)})
	}
	n, err := f.open.WriteAt(p[:fits], offset)
	if err == nil && fits < int64(len(p)) {
		err = &fs.PathError{Op: "write", Path: f.open.Name(), Err: syscall.ENOSPC}
	}
	return n, err
}

// fits returns how many of n bytes can be written, and takes their space.
func (d *state) fits(size, offset, n int64) int64 {
	limit := offset + n
	if d.full > 0 {
		limit = min(limit, max(size, d.full))
	}
	if d.space >= 0 {
		limit = min(limit, size+d.space)
		d.space -= max(0, limit-size)
	}
	return max(0, limit-offset)
}

// Truncate is that of os.File.
func (f *File) Truncate(size int64) error {
	f.disk.Lock()
	defer f.disk.Unlock()
	return f.truncate(size)
}

func (f *File) truncate(size int64) error {
	info, err := f.open.Stat()
	if err != nil {
		return err
	}
	if f.file != nil {
		before := make([]byte, max(0, info.Size()-size))
		if _, err := f.file.handle.ReadAt(before, size); err != nil && len(before) > 0 {
			return err
		}
		f.file.changes = append(f.file.changes, change{Offset: size, Size: info.Size(), Before: before, NewSize: size})
	}
	return f.open.Truncate(size)
}

// Sync is that of os.File.
func (f *File) Sync() error { return f.sync((*os.File).Sync) }

// SyncData makes the contents of the file durable, and its size. Its times may be lost.
func (f *File) SyncData() error { return f.sync(syncData) }

func (f *File) sync(flush func(*os.File) error) error {
	d, until := f.disk, 0
	d.Lock()
	failed, skipped, dies := d.syncFails(f.open.Name()), d.noSync, d.keep != ""
	if f.file != nil {
		until = len(f.file.changes)
	}
	if failed && f.file != nil {
		for i := range f.file.changes {
			f.file.changes[i].Dropped = true
		}
	}
	d.Unlock()
	if failed && dies {
		failpoint.Die()
	}
	if failed {
		return &fs.PathError{Op: "sync", Path: f.open.Name(), Err: syscall.EIO}
	}
	if skipped {
		return nil
	}
	if err := flush(f.open); err != nil {
		return err
	}
	d.Lock()
	defer d.Unlock()
	if f.file != nil {
		f.file.synced(until)
	}
	return nil
}

// change records a write. It writes again what it covers.
func (f *file) change(c change) {
	for i := range f.changes {
		before := &f.changes[i]
		if c.Offset <= before.Offset && c.Offset+int64(len(c.After)) >= before.Offset+int64(len(before.After)) {
			before.Dropped = false
		}
	}
	f.changes = append(f.changes, c)
}

// synced makes the first changes durable, except for those that were dropped.
func (f *file) synced(until int) {
	var left []change
	for i, c := range f.changes {
		if i >= until || c.Dropped {
			left = append(left, c)
		}
	}
	f.changes = left
}

// Rename is os.Rename in one directory. The new name is durable after SyncDirectory.
func Rename(from, to string) error { return disk.move(filepath.Clean(from), filepath.Clean(to)) }

// Remove is os.Remove. It is durable after SyncDirectory.
func Remove(path string) error { return disk.move(filepath.Clean(path), "") }

// move renames a file, or removes it if there is no new name.
func (d *state) move(from, to string) error {
	d.Lock()
	defer d.Unlock()
	if to != "" && filepath.Dir(from) != filepath.Dir(to) {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: syscall.EXDEV}
	}
	r := &renaming{from: from, to: to}
	if d.lose {
		var err error
		if r.file, err = d.fileAt(from); err != nil {
			return err
		}
		if to != "" {
			if r.replaced, err = d.fileAt(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	if to == "" {
		if err := os.Remove(from); err != nil {
			return err
		}
	} else if err := os.Rename(from, to); err != nil {
		return err
	}
	if d.lose {
		if r.file.path = to; r.replaced != nil {
			r.replaced.path = ""
		}
		d.rename(r)
	}
	return nil
}

// SyncDirectory makes the names in a directory durable.
func SyncDirectory(path string) error { return disk.syncDirectory(filepath.Clean(path)) }

func (d *state) syncDirectory(path string) error {
	d.Lock()
	failed, skipped, until := d.syncFails(path), d.noSync, len(d.names[path])
	d.Unlock()
	if failed {
		return &fs.PathError{Op: "sync", Path: path, Err: syscall.EIO}
	}
	if skipped {
		return nil
	}
	if err := syncDirectory(path); err != nil {
		return err
	}
	d.Lock()
	defer d.Unlock()
	if until == 0 {
		return nil
	}
	for _, r := range d.names[path][:until] {
		if r.to == "" {
			d.forget(r.file)
		} else if r.replaced != nil {
			d.forget(r.replaced)
		}
	}
	d.names[path] = d.names[path][until:]
	return nil
}

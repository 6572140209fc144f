//go:build failpoint

package disk

import (
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// sector is the size in bytes of what a disk writes whole or not at all.
const sector = 512

// change is an unsynced write or truncation.
type change struct {
	Offset  int64
	Before  []byte // the overwritten data, up to the old end of the file
	Size    int64  // of the file before
	After   []byte // empty for a truncation
	NewSize int64  // of the file, after a truncation
	Dropped bool   // a sync of Go code failed: the system takes it for written, so no later sync writes it
}

// file is a file of Go code, whatever its names are.
type file struct {
	path    string   // its name; "" if it was removed
	handle  *os.File // reads and restores it, even without a name
	info    os.FileInfo
	changes []change // unsynced
}

// renaming is an unsynced change of the names in a directory.
type renaming struct {
	from, to string // without from it is a creation, without to a removal
	file     *file
	replaced *file // had the name before; nil if none
}

// losePower undoes unsynced changes and keeps the lock forever.
func losePower() {
	disk.Lock()
	if disk.keep != "" {
		disk.save(disk.keep)
		return
	}
	disk.loseChanges()
}

// loseChanges leaves what a loss of power may leave. It must be called with the lock
// held. Errors end the process, because a loss that does not happen proves nothing.
func (d *state) loseChanges() {
	random := rand.New(rand.NewPCG(d.seed, 1))
	for _, path := range slices.Sorted(maps.Keys(d.changes)) {
		handle, err := os.OpenFile(path, os.O_RDWR, 0)
		if errors.Is(err, os.ErrNotExist) { // deleted in the meantime
			continue
		}
		must(err)
		tear(handle, d.changes[path], random)
	}
	for _, f := range d.files {
		tear(f.handle, f.changes, random)
	}
	for _, dir := range slices.Sorted(maps.Keys(d.names)) {
		names := d.names[dir]
		kept := 0
		switch random.IntN(3) {
		case 1:
			kept = len(names)
		case 2:
			kept = random.IntN(len(names) + 1)
		}
		for _, r := range slices.Backward(names[kept:]) {
			r.undo()
		}
	}
}

// tear undoes the changes of a file, and then repeats none of them, all, or some: of
// those in each sector the first few, independently of other sectors.
func tear(handle *os.File, changes []change, random *rand.Rand) {
	if len(changes) == 0 {
		return
	}
	for _, c := range slices.Backward(changes) {
		write(handle, c.Before, c.Offset)
		must(handle.Truncate(c.Size))
	}
	likely := []float64{0, 0.1, 0.5, 0.95, 1}[random.IntN(5)] // that a sector is written
	if likely == 0 {
		return
	}
	kept := make(map[int64]int) // by sector: the number of changes to repeat
	keeps := func(at int64) int {
		n, ok := kept[at]
		if !ok {
			if n = len(changes); random.Float64() >= likely {
				n = random.IntN(len(changes) + 1)
				if random.IntN(2) == 0 {
					n = 0
				}
			}
			kept[at] = n
		}
		return n
	}
	size := changes[0].Size
	for i, c := range changes {
		if len(c.After) == 0 {
			if size = c.NewSize; likely == 1 || random.Float64() < likely {
				must(handle.Truncate(c.NewSize))
			}
			continue
		}
		size = max(size, c.Offset+int64(len(c.After)))
		for offset, rest := c.Offset, c.After; len(rest) > 0; {
			n := min(int64(len(rest)), sector-offset%sector)
			if i < keeps(offset/sector) {
				write(handle, rest[:n], offset)
			}
			offset, rest = offset+n, rest[n:]
		}
	}
	info, err := handle.Stat()
	must(err)
	if info.Size() < size && random.IntN(2) == 0 { // the size is known, the data is not
		must(handle.Truncate(size))
	}
}

func (r *renaming) undo() {
	switch {
	case r.from == "":
		must(os.Remove(r.to))
	case r.to == "":
		r.file.restore(r.from)
	default:
		must(os.Rename(r.to, r.from))
		if r.replaced != nil {
			r.replaced.restore(r.to)
		}
	}
}

// restore gives a removed file a name again, which takes a copy.
func (f *file) restore(path string) {
	again, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.info.Mode().Perm())
	must(err)
	info, err := f.handle.Stat()
	must(err)
	_, err = io.Copy(again, io.NewSectionReader(f.handle, 0, info.Size()))
	must(errors.Join(err, again.Close()))
}

// forget ends the tracking of a file without a name.
func (d *state) forget(f *file) {
	if i := slices.Index(d.files, f); i >= 0 {
		d.files = slices.Delete(d.files, i, i+1)
		f.handle.Close()
	}
}

// fileAt returns the file with a name.
func (d *state) fileAt(path string) (*file, error) {
	handle, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := handle.Stat()
	if err != nil {
		return nil, errors.Join(err, handle.Close())
	}
	if i := slices.IndexFunc(d.files, func(f *file) bool { return os.SameFile(f.info, info) }); i >= 0 {
		return d.files[i], handle.Close()
	}
	f := &file{path: path, handle: handle, info: info}
	d.files = append(d.files, f)
	return f, nil
}

// rename records a change of names.
func (d *state) rename(r *renaming) {
	dir := filepath.Dir(r.from)
	if r.from == "" {
		dir = filepath.Dir(r.to)
	}
	d.names[dir] = append(d.names[dir], r)
}

func write(handle *os.File, p []byte, offset int64) {
	_, err := handle.WriteAt(p, offset)
	must(err)
}

func must(err error) {
	if err != nil {
		panic("the loss of power fails: " + err.Error())
	}
}

// Package journal keeps the newest batches of a store in files: what is in none of its
// tables yet. A batch is one frame, written and synced at once.
//
// The files are segments of 2 MiB, filled with zeros and synced before their first use, so
// that a sync writes data only. A segment whose batches are all merged is used again. None
// is removed before it is overwritten, and Erase overwrites what is kept.
//
// At most one frame is unsynced at any time, so a crash leaves at most one broken frame,
// the last one. A broken frame with a valid one behind it, or that one flipped bit makes
// valid, is damage, and so is a segment that is missing. ErrDamaged reports it; nothing is
// ever repaired.
//
// The package does not know what a batch is.
package journal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
)

// SegmentSize is the size of a segment in bytes, unless a single frame needs more.
const SegmentSize = 2 << 20

// maxSpares is how many segments are kept for their next use.
const maxSpares = 2

// Errors that callers distinguish with errors.Is.
var (
	// ErrDamaged means that the files are not as they were written.
	ErrDamaged = errors.New("the journal is damaged")
	// ErrForeign means that the files are those of another database, or that the one is
	// missing which its database knows.
	ErrForeign = errors.New("the journal is that of another database, or its newest file is missing")
	// ErrSync means that a sync failed, so that it is unknown what is on the disk. The
	// journal must not be used any more.
	ErrSync = errors.New("the journal cannot be synced")
)

// Frame is a batch as it was appended.
type Frame struct {
	Batch   uint64
	Payload []byte
}

// Mark is what the owner of a journal notes elsewhere, durably, in the same transaction as
// what it merges.
type Mark struct {
	// Salt is that of a segment: the newest one at that time. It is zero if there was no
	// journal.
	Salt Salt
	// Closed means that everything was merged and the journal was closed for good.
	Closed bool
	// Merged is a batch: it and all before it are merged.
	Merged uint64
	// Last is the batch of the newest frame at that time; 0 if there was none.
	Last uint64
}

// Journal is an open journal. One goroutine at a time may call Append; all other methods
// are safe for concurrent use.
type Journal struct {
	system
	dir    string
	size   int64 // of a segment
	bytes  atomic.Int64
	buffer []byte
	file   file  // the current segment; nil if the next frame begins one
	end    int64 // of its last frame
	coder  coder
	large  bool // the current segment is for one frame only
	clean  bool // behind its last frame there are only zeros
	// failed is the first ErrSync of Append, Turn or Begin. A frame whose sync has failed may
	// be there, so nothing may follow the one before it.
	failed error

	tending sync.Mutex // held by Trim and Prepare; before mu

	mu       sync.Mutex  // guards all below
	segments []header    // the current one is the last; those before may have a number only
	current  *disk.Place // of the current one; nil if there is none
	last     uint64      // batch of the newest frame
	spares   []spare
	lost     []string // names of spare files that could not be removed
	made     uint64   // the number of the newest spare
}

// spare is a file of the size of a segment that has no use.
type spare struct {
	name  string
	clean bool // there are only zeros in it
}

// Salt returns that of the current segment, and the batch of the newest frame. There must
// be a segment.
func (j *Journal) Salt() (Salt, uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1].salt, j.last
}

// Size returns the size of all files in bytes.
func (j *Journal) Size() int64 { return j.bytes.Load() }

// Append writes a batch, whose number is higher than all before it, and makes it durable.
// The payload must not be empty. After an error the batch is not there, except after
// ErrSync, when it may be; then this and all later calls of Append, Turn and Begin fail.
func (j *Journal) Append(batch uint64, payload []byte) (err error) {
	if j.failed != nil {
		return j.failed
	}
	defer j.noteFailed(&err)
	if len(payload) == 0 || len(payload) > maxPayload {
		return fmt.Errorf("a batch of %d bytes does not fit into the journal", len(payload))
	}
	if batch <= j.last { // only this method changes it
		return fmt.Errorf("batch %d cannot follow batch %d in the journal", batch, j.last)
	}
	if size := frameSize(int64(len(payload))); j.file == nil || j.large || j.end+size > j.size {
		if err := j.turn(size, false); err != nil {
			return fmt.Errorf("begin a segment: %w", err)
		}
	}
	frame := j.coder.appendFrame(j.buffer[:0], j.end, batch, payload)
	defer clear(frame) // the buffer stays, and a text that is erased must not be in it
	if j.buffer = frame; cap(frame) > SegmentSize {
		j.buffer = nil
	}
	if _, err := j.file.WriteAt(frame, j.end); err != nil {
		return err
	}
	failpoint.Point("journal.written")
	if err := j.file.SyncData(); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	failpoint.Point("journal.synced")
	j.end += int64(len(frame))
	j.mu.Lock()
	j.last = batch
	j.mu.Unlock()
	return nil
}

// Turn ends the current segment, so that it can be erased once it is merged, and returns
// the salt of the one that is current then. It does nothing if nothing was ever in this
// one. The goroutine that appends calls it.
func (j *Journal) Turn() (Salt, error) {
	if j.file == nil || j.end > headerSize || !j.clean {
		if err := j.turn(0, true); err != nil {
			return Salt{}, fmt.Errorf("begin a segment: %w", err)
		}
	}
	salt, _ := j.Salt()
	return salt, nil
}

// noteFailed notes that a sync has failed.
func (j *Journal) noteFailed(err *error) {
	if errors.Is(*err, ErrSync) {
		j.failed = *err
	}
}

// turn begins a new segment with room for a frame. It may have to be clean.
func (j *Journal) turn(frame int64, clean bool) (err error) {
	if j.failed != nil {
		return j.failed
	}
	defer j.noteFailed(&err)
	size := max(j.size, headerSize+frame)
	spare, err := j.spare(size, clean)
	if err != nil {
		return err
	}
	j.mu.Lock()
	h := header{number: 1, after: j.last, size: size}
	if n := len(j.segments); n > 0 {
		h.number, h.before = j.segments[n-1].number+1, j.segments[n-1].salt
	}
	j.mu.Unlock()
	rand.Read(h.salt[:]) // never fails
	from, to := filepath.Join(j.dir, spare.name), j.path(h.number)
	if err = j.begin(from, &h); err == nil {
		err = j.rename(from, to)
	}
	if err != nil {
		spare.clean = false
		return errors.Join(err, j.putBack(spare, size))
	}
	j.Close() // synced long ago; nothing is current until the new one is open
	j.mu.Lock()
	j.segments = append(j.segments, h)
	j.mu.Unlock()
	if err := j.syncNames(j.dir); err != nil {
		return err
	}
	failpoint.Point("journal.segment")
	if j.file, err = j.open(to, os.O_RDWR); err != nil {
		j.file = nil
		return err
	}
	j.end, j.coder, j.large, j.clean = headerSize, newCoder(h.salt), size > j.size, spare.clean
	if place, err := disk.PlaceOf(to); err == nil { // or else nobody watches it
		j.mu.Lock()
		j.current = place
		j.mu.Unlock()
	}
	return nil
}

// Displaced returns an error if a name of a segment does not lead to its file any more: somebody
// has removed or exchanged it, and the next start would not find what it has. It returns nil if it
// cannot find out. Nothing is wrong with segments that the journal itself renames or removes; while
// it does so, only the current one is looked at.
func (j *Journal) Displaced() error {
	look := func() *disk.Place {
		j.mu.Lock()
		defer j.mu.Unlock()
		return j.current
	}
	if was := look(); was != nil {
		if err := was.Displaced(); err != nil && look() == was { // or else the journal has gone on to another one
			return err
		}
	}
	if !j.tending.TryLock() {
		return nil
	}
	defer j.tending.Unlock()
	j.mu.Lock()
	older := slices.Clone(j.segments[:max(len(j.segments)-1, 0)])
	j.mu.Unlock()
	for _, h := range older {
		if _, err := os.Lstat(j.path(h.number)); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s was removed or moved", j.path(h.number))
		}
	}
	return nil
}

// begin writes the header of a segment to a spare file. It is closed then, because Windows
// does not rename open files.
func (j *Journal) begin(path string, h *header) (err error) {
	f, err := j.open(path, os.O_RDWR)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(h.append(nil), 0); err != nil {
		return err
	}
	if err := f.SyncData(); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	return nil
}

// spare returns a spare file of a size that others do not use any more, which may have to
// be clean.
func (j *Journal) spare(size int64, clean bool) (spare, error) {
	j.mu.Lock()
	if at := j.findSpare(clean); at >= 0 && size == j.size {
		defer j.mu.Unlock()
		found := j.spares[at]
		j.spares = slices.Delete(j.spares, at, at+1)
		return found, nil
	}
	j.mu.Unlock()
	name := j.spareName()
	return spare{name, true}, j.fill(name, size)
}

// findSpare returns the index of a spare file, of a clean one if there is any or it must
// be; -1 if there is none. The caller holds mu.
func (j *Journal) findSpare(clean bool) int {
	at := slices.IndexFunc(j.spares, func(s spare) bool { return s.clean })
	if at < 0 && !clean {
		at = len(j.spares) - 1
	}
	return at
}

// putBack keeps a spare file that was not used.
func (j *Journal) putBack(s spare, size int64) error {
	j.mu.Lock()
	keep := size == j.size && len(j.spares) < maxSpares
	if keep {
		j.spares = append(j.spares, s)
	}
	j.mu.Unlock()
	if keep {
		return nil
	}
	return j.discard(s.name, size)
}

// discard overwrites and removes a spare file. If that fails, cleanSpares tries it again.
func (j *Journal) discard(name string, size int64) error {
	path := filepath.Join(j.dir, name)
	err := j.overwrite(path, size)
	if err == nil {
		err = j.remove(path)
	}
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.lost = append(j.lost, name)
		return err
	}
	j.bytes.Add(-size)
	return nil
}

// discardLost discards the spare files that could not be removed.
func (j *Journal) discardLost() error {
	j.mu.Lock()
	lost := j.lost
	j.lost = nil
	j.mu.Unlock()
	var errs []error
	for _, name := range lost {
		info, err := os.Stat(filepath.Join(j.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = j.discard(name, info.Size())
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// fill makes a file of zeros.
func (j *Journal) fill(name string, size int64) (err error) {
	path := filepath.Join(j.dir, name)
	if err := j.zero(path, size, os.O_RDWR|os.O_CREATE|os.O_TRUNC); err != nil {
		if _, there := os.Lstat(path); there == nil {
			j.remove(path)
		}
		return err
	}
	j.bytes.Add(size)
	return nil
}

// overwrite overwrites a file with zeros, durably.
func (sys *system) overwrite(path string, size int64) error {
	err := sys.zero(path, size, os.O_RDWR)
	if err == nil {
		failpoint.Point("journal.overwritten")
	}
	return err
}

func (sys *system) zero(path string, size int64, flag int) (err error) {
	f, err := sys.open(path, flag)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	if err := f.SyncData(); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	return nil
}

// Trim gives the segments before the one with a salt back whose batches are all merged. The
// owner has noted the mark.
func (j *Journal) Trim(m Mark) error {
	j.tending.Lock()
	defer j.tending.Unlock()
	return j.trim(m)
}

func (j *Journal) trim(m Mark) error {
	j.mu.Lock()
	n := 0
	for n+1 < len(j.segments) && j.segments[n].salt != m.Salt && j.segments[n+1].after <= m.Merged {
		n++
	}
	done := j.segments[:n:n]
	j.mu.Unlock()
	if n == 0 || isHeld(j.dir) {
		return nil
	}
	n, err := j.recycle(done)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = append([]header{}, j.segments[n:]...)
	return err
}

// Erase is Trim, and overwrites the files that have become free, by it or before. It reports
// whether nothing is left of the segments before the one with the salt, which Turn has
// returned.
func (j *Journal) Erase(m Mark, from Salt) (done bool, err error) {
	j.tending.Lock()
	defer j.tending.Unlock()
	if err := j.trim(m); err != nil {
		return false, err
	}
	if err := j.cleanSpares(); err != nil {
		return false, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.IndexFunc(j.segments, func(h header) bool { return h.salt == from }) <= 0, nil
}

// PrepareTurn makes a spare file that Turn can use, so that it need not.
func (j *Journal) PrepareTurn() error {
	j.tending.Lock()
	defer j.tending.Unlock()
	if err := j.cleanSpares(); err != nil {
		return err
	}
	return j.prepare()
}

// cleanSpares overwrites the spare files. The caller holds tending.
func (j *Journal) cleanSpares() error {
	if err := j.discardLost(); err != nil {
		return err
	}
	for {
		j.mu.Lock()
		at := slices.IndexFunc(j.spares, func(s spare) bool { return !s.clean })
		if at < 0 {
			j.mu.Unlock()
			return nil
		}
		s := j.spares[at]
		j.spares = slices.Delete(j.spares, at, at+1)
		j.mu.Unlock()
		err := j.overwrite(filepath.Join(j.dir, s.name), j.size)
		s.clean = err == nil
		if err := errors.Join(err, j.putBack(s, j.size)); err != nil {
			return err
		}
	}
}

// recycle turns segments into spares, and removes those that are too many or of another
// size. It returns the number of segments that are gone.
func (j *Journal) recycle(done []header) (n int, err error) {
	type free struct {
		spare
		size int64
	}
	var freed []free
	for _, h := range done {
		path := j.path(h.number)
		var info os.FileInfo
		if info, err = os.Stat(path); err != nil {
			break
		}
		f := free{spare{name: j.spareName()}, info.Size()}
		if err = j.rename(path, filepath.Join(j.dir, f.name)); err != nil {
			break
		}
		freed = append(freed, f)
		failpoint.Point("journal.recycled")
	}
	n = len(freed)
	// A segment that is still there after a crash must not have the contents of a new one.
	if err := j.syncNames(j.dir); err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		for _, f := range freed {
			j.lost = append(j.lost, f.name)
		}
		return n, err
	}
	for _, f := range freed {
		err = errors.Join(err, j.putBack(f.spare, f.size))
	}
	return n, err
}

// spareName returns a new name of a spare file.
func (j *Journal) spareName() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.made++
	return spareName(j.made)
}

// Prepare makes a spare file if there is none, so that Append need not.
func (j *Journal) Prepare() error {
	j.tending.Lock()
	defer j.tending.Unlock()
	return j.prepare()
}

func (j *Journal) prepare() error {
	j.mu.Lock()
	n := len(j.spares)
	j.mu.Unlock()
	if n > 0 {
		return nil
	}
	name := j.spareName()
	if err := j.fill(name, j.size); err != nil {
		return err
	}
	return j.putBack(spare{name, true}, j.size)
}

// Close closes the files and leaves them. Append must not be called any more.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	j.mu.Lock()
	j.current = nil
	j.mu.Unlock()
	return err
}

func (j *Journal) path(number uint64) string {
	return filepath.Join(j.dir, segmentName(number))
}

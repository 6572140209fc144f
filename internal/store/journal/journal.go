// Package journal keeps the newest batches of a store in files: what is in none of its
// tables yet. A batch is one frame, written and synced at once.
//
// The files are segments of 2 MiB, filled with zeros and synced before their first use, so
// that a sync writes data only. A segment whose batches are all merged is used again.
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
	"os"
	"path/filepath"
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
	dir    string
	size   int64 // of a segment
	bytes  atomic.Int64
	buffer []byte
	file   *disk.File // the current segment
	end    int64      // of its last frame
	sums   summer
	large  bool // the current segment is larger than size

	mu       sync.Mutex // guards all below
	segments []header   // the current one is the last
	last     uint64     // batch of the newest frame
	spares   []string   // names
	made     uint64     // the number of the newest spare
}

// Salt returns that of the current segment, and the batch of the newest frame.
func (j *Journal) Salt() (Salt, uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.segments[len(j.segments)-1].salt, j.last
}

// Size returns the size of all files in bytes.
func (j *Journal) Size() int64 { return j.bytes.Load() }

// Append writes a batch, whose number is higher than all before it, and makes it durable.
// The payload must not be empty. After an error the batch is not there, except after
// ErrSync, when it may be.
func (j *Journal) Append(batch uint64, payload []byte) error {
	if len(payload) == 0 || len(payload) > maxPayload {
		return fmt.Errorf("a batch of %d bytes does not fit into the journal", len(payload))
	}
	if size := int64(frameHeader + len(payload)); j.end+size > j.capacity() {
		if err := j.turn(size); err != nil {
			return fmt.Errorf("begin a segment: %w", err)
		}
	}
	frame := j.sums.appendFrame(j.buffer[:0], j.end, batch, payload)
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

// capacity returns the size of the current segment.
func (j *Journal) capacity() int64 {
	if j.large {
		return j.end // for one frame only
	}
	return j.size
}

// turn begins a new segment with room for a frame.
func (j *Journal) turn(frame int64) error {
	spare, err := j.spare(frame)
	if err != nil {
		return err
	}
	j.mu.Lock()
	h := header{number: 1, after: j.last}
	if n := len(j.segments); n > 0 {
		h.number, h.before = j.segments[n-1].number+1, j.segments[n-1].salt
	}
	j.mu.Unlock()
	rand.Read(h.salt[:]) // never fails
	file, err := j.name(spare, &h)
	if err != nil {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.spares = append(j.spares, spare)
		return err
	}
	failpoint.Point("journal.segment")
	if j.file != nil {
		j.file.Close() // synced long ago
	}
	j.file, j.end, j.sums, j.large = file, headerSize, newSummer(h.salt), headerSize+frame > j.size
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = append(j.segments, h)
	return nil
}

// name turns a spare file into a segment.
func (j *Journal) name(spare string, h *header) (file *disk.File, err error) {
	if file, err = disk.OpenFile(filepath.Join(j.dir, spare), os.O_RDWR, 0); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	if _, err = file.WriteAt(h.append(nil), 0); err != nil {
		return nil, err
	}
	if err = file.SyncData(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSync, err)
	}
	if err = disk.Rename(filepath.Join(j.dir, spare), j.path(h.number)); err != nil {
		return nil, err
	}
	if err = disk.SyncDirectory(j.dir); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSync, err)
	}
	return file, nil
}

// spare returns the name of a file that has room for a frame. It is still a spare: if it is
// not used now, it is later.
func (j *Journal) spare(frame int64) (string, error) {
	j.mu.Lock()
	if n := len(j.spares); n > 0 && headerSize+frame <= j.size {
		defer j.mu.Unlock()
		spare := j.spares[n-1]
		j.spares = j.spares[:n-1]
		return spare, nil
	}
	j.made++
	name := spareName(j.made)
	j.mu.Unlock()
	return name, j.fill(name, max(j.size, headerSize+frame))
}

// fill makes a file of zeros.
func (j *Journal) fill(name string, size int64) (err error) {
	path := filepath.Join(j.dir, name)
	file, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err = errors.Join(err, file.Close()); err != nil {
			disk.Remove(path)
		}
	}()
	zeros := make([]byte, 64<<10)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	if err := file.SyncData(); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	j.bytes.Add(size)
	return nil
}

// Trim gives the segments before the one with a salt back whose batches are all merged. The
// owner has noted the mark.
func (j *Journal) Trim(m Mark) error {
	j.mu.Lock()
	n := 0
	for n+1 < len(j.segments) && j.segments[n].salt != m.Salt && j.segments[n+1].after <= m.Merged {
		n++
	}
	done := j.segments[:n:n]
	spares := len(j.spares)
	j.mu.Unlock()
	if n == 0 || isHeld(j.dir) {
		return nil
	}
	var kept []string
	for _, h := range done {
		path := j.path(h.number)
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if spares+len(kept) >= maxSpares || info.Size() != j.size {
			if err := disk.Remove(path); err != nil {
				return err
			}
			j.bytes.Add(-info.Size())
			continue
		}
		name := spareName(j.nextSpare())
		if err := disk.Rename(path, filepath.Join(j.dir, name)); err != nil {
			return err
		}
		kept = append(kept, name)
		failpoint.Point("journal.recycled")
	}
	if err := disk.SyncDirectory(j.dir); err != nil {
		return fmt.Errorf("%w: %w", ErrSync, err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = append([]header{}, j.segments[n:]...)
	j.spares = append(j.spares, kept...)
	return nil
}

func (j *Journal) nextSpare() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.made++
	return j.made
}

// Prepare makes a spare file if there is none, so that Append need not.
func (j *Journal) Prepare() error {
	j.mu.Lock()
	n := len(j.spares)
	j.mu.Unlock()
	if n > 0 {
		return nil
	}
	name := spareName(j.nextSpare())
	if err := j.fill(name, j.size); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.spares = append(j.spares, name)
	return nil
}

// Close closes the files and leaves them. Append must not be called any more.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

func (j *Journal) path(number uint64) string {
	return filepath.Join(j.dir, segmentName(number))
}

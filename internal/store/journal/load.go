package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"kaban/internal/failpoint/disk"
)

// loaded is what is in a directory.
type loaded struct {
	files
	headers []header // of the segments that hold what is not merged, and of all later ones
	frames  []Frame  // that are not merged
	last    uint64   // batch of the newest frame
	newest  []byte   // that frame, if it is in the last segment, to be written again
	at      int64    // its offset there
}

// Read returns the frames that are not merged, in order. It changes nothing. While a server
// appends, its newest frames may be missing, or look damaged: then a later call differs.
// After an ErrDamaged the frames are those before the damage.
func Read(dir string, m Mark) ([]Frame, error) {
	if m.Closed {
		return nil, nil
	}
	l, err := load(dir, m)
	return l.frames, err
}

// Open opens the journal in a directory, which it makes, and returns the frames that are
// not merged. What they say is durable by then. It begins a new segment: the owner notes
// its salt before it appends. The caller makes sure that nobody else opens it.
func Open(dir string, m Mark) (j *Journal, frames []Frame, err error) {
	return open(dir, m, SegmentSize)
}

func open(dir string, m Mark, size int64) (j *Journal, frames []Frame, err error) {
	if err := makeDirectory(dir); err != nil {
		return nil, nil, err
	}
	var l loaded
	if m.Closed {
		l, err = leftOver(dir, m)
	} else {
		l, err = load(dir, m)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := l.settle(dir); err != nil {
		return nil, nil, err
	}
	if err := l.removeMerged(dir); err != nil {
		return nil, nil, err
	}
	j = &Journal{dir: dir, size: size, segments: l.headers, last: l.last}
	j.bytes.Store(l.bytes)
	if err := j.adopt(l.spares); err != nil {
		return nil, nil, err
	}
	if err := j.turn(0); err != nil {
		return nil, nil, fmt.Errorf("begin a segment: %w", err)
	}
	return j, l.frames, nil
}

// makeDirectory makes the directory of a journal.
func makeDirectory(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return disk.SyncDirectory(filepath.Dir(dir))
}

// adopt takes over the spares of an earlier use, and removes those that are too many or
// were not finished.
func (j *Journal) adopt(spares []uint64) error {
	for _, n := range spares {
		j.made = max(j.made, n)
		path := filepath.Join(j.dir, spareName(n))
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if info.Size() == j.size && len(j.spares) < maxSpares {
			j.spares = append(j.spares, spareName(n))
			continue
		}
		if err := disk.Remove(path); err != nil {
			return err
		}
		j.bytes.Add(-info.Size())
	}
	return nil
}

// settle makes durable what was read: a server that was killed, or whose sync failed, may
// have left it to the system only, and what is appended now relies on it. After a sync that
// failed the system takes what it has for written, so the newest frame is written again.
func (l *loaded) settle(dir string) error {
	for i := range l.headers {
		path := filepath.Join(dir, segmentName(l.headers[i].number))
		if err := os.Chmod(path, 0o600); err != nil { // it may have been copied here
			return err
		}
		f, err := disk.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if i == len(l.headers)-1 {
			_, err = f.WriteAt(l.newest, l.at)
		}
		if err == nil {
			err = f.SyncData()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return disk.SyncDirectory(dir)
}

// removeMerged removes the segments before the first that is needed. They are there if the
// server died before it trimmed them.
func (l *loaded) removeMerged(dir string) error {
	for len(l.segments) > len(l.headers) && !isHeld(dir) {
		path := filepath.Join(dir, segmentName(l.segments[0]))
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		if err := disk.Remove(path); err != nil {
			return err
		}
		l.segments, l.bytes = l.segments[1:], l.bytes-info.Size()
	}
	return nil
}

// damaged returns the error for what is wrong with a segment.
func damaged(dir string, number uint64, trouble string) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, filepath.Join(dir, segmentName(number)), trouble)
}

// segment is one that was read.
type segment struct {
	header
	data    []byte
	trouble string // "" if the header is as it was written
}

// readSegment reads a segment. If one flipped bit is all that is wrong with its header, it
// knows what the header was.
func readSegment(dir string, number uint64) (s segment, err error) {
	if s.data, err = os.ReadFile(filepath.Join(dir, segmentName(number))); err != nil {
		return s, err
	}
	valid := false
	if s.header, valid = parseHeader(s.data); !valid {
		s.header, s.trouble = mendHeader(s.data), "its header is damaged"
	}
	if valid && s.number != number {
		s.trouble = fmt.Sprintf("it is segment %d", s.number)
	}
	return s, nil
}

// readAll lists the files in a directory and reads all segments. One that is gone by then
// was merged before.
func (l *loaded) readAll(dir string) (all []segment, err error) {
	if l.files, err = list(dir); err != nil {
		return nil, err
	}
	var there []uint64
	for _, n := range l.segments {
		s, err := readSegment(dir, n)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return nil, err
		}
		all, there = append(all, s), append(there, n)
	}
	l.segments = there
	return all, nil
}

// indexOf returns the index of the segment with a salt, -1 if it is not there.
func indexOf(all []segment, salt Salt) int {
	if salt.IsZero() {
		return -1
	}
	return slices.IndexFunc(all, func(s segment) bool { return s.salt == salt })
}

// leftOver removes the segments of a journal that was closed. They are there if the server
// died before it removed them, or after it had begun the first one of the next use, or if
// an archive held them. While one still does, they stay, and are trimmed later.
func leftOver(dir string, m Mark) (l loaded, err error) {
	if isHeld(dir) {
		if l, err := load(dir, m); err == nil {
			return l, nil
		}
	}
	all, err := l.readAll(dir)
	if err != nil {
		return l, err
	}
	ours := indexOf(all, m.Salt) >= 0
	for _, s := range all {
		if frames, _, _ := scan(s.data, s.salt, 0); !ours && (len(frames) > 0 || s.salt.IsZero()) {
			return l, foreign(dir)
		}
	}
	for i, n := range l.segments {
		if err := disk.Remove(filepath.Join(dir, segmentName(n))); err != nil {
			return l, err
		}
		l.bytes -= int64(len(all[i].data))
	}
	l.segments, l.last = nil, max(m.Merged, m.Last)
	return l, nil
}

func foreign(dir string) error {
	return fmt.Errorf("%w: %s", ErrForeign, dir)
}

// load reads the segments that have what is not merged.
func load(dir string, m Mark) (l loaded, err error) {
	all, err := l.readAll(dir)
	if err != nil {
		return l, err
	}
	first := indexOf(all, m.Salt)
	switch {
	case first < 0 && len(all) == 0:
		return l, fmt.Errorf("%w: its files are missing in %s, and they have the newest messages of the database", ErrDamaged, dir)
	case first < 0:
		return l, foreign(dir)
	}
	for first > 0 && all[first].after > m.Merged {
		first--
	}
	if all[first].after > m.Merged {
		return l, fmt.Errorf("%w: in %s the segment before %s is missing", ErrDamaged, dir, segmentName(l.segments[first]))
	}
	l.last = all[first].after
	for i := first; i < len(all); i++ {
		if err := l.add(dir, m, l.segments[i], all[i]); err != nil {
			return l, err
		}
	}
	if l.last < m.Last {
		return l, damaged(dir, l.segments[len(all)-1], fmt.Sprintf("it ends with batch %d, but had batch %d", l.last, m.Last))
	}
	return l, nil
}

// add adds the frames of the next segment.
func (l *loaded) add(dir string, m Mark, number uint64, s segment) error {
	if s.trouble != "" {
		return damaged(dir, number, s.trouble)
	}
	if n := len(l.headers); n > 0 && (s.number != l.headers[n-1].number+1 || s.before != l.headers[n-1].salt) {
		return fmt.Errorf("%w: in %s the segment before %s is missing", ErrDamaged, dir, segmentName(number))
	}
	if s.after != l.last {
		return damaged(dir, number, fmt.Sprintf("it follows batch %d, but the segment before it ends with batch %d", s.after, l.last))
	}
	frames, end, trouble := scan(s.data, s.salt, s.after)
	l.newest, l.at = nil, 0
	if n := len(frames); n > 0 {
		l.at = end - int64(frameHeader+len(frames[n-1].Payload))
		l.newest = s.data[l.at:end]
	}
	for _, f := range frames {
		if f.Batch > m.Merged {
			l.frames = append(l.frames, f)
		}
		l.last = f.Batch
	}
	if trouble != "" {
		return damaged(dir, number, fmt.Sprintf("at byte %d: %s", end, trouble))
	}
	l.headers = append(l.headers, s.header)
	return nil
}

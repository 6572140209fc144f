package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// loaded is what is in a directory.
type loaded struct {
	files
	merged  []header // of the segments before
	headers []header // of the segments that hold what is not merged, and of all later ones
	empty   int      // how many of the last ones have no frames, and no Mark names them
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

// Loaded is what the only user of a journal has read of it.
type Loaded struct {
	Frames []Frame // that are not merged, in order

	dir string
	loaded
}

// Load reads the journal in a directory, which may not exist, and changes nothing. The
// caller makes sure that nobody else uses it.
func Load(dir string, m Mark) (*Loaded, error) {
	read := load
	if m.Closed {
		read = leftOver
	}
	l, err := read(dir, m)
	if err != nil {
		return nil, err
	}
	return &Loaded{l.frames, dir, l}, nil
}

// Open opens the journal, whose directory it makes. What was read is durable by then.
func (l *Loaded) Open() (*Journal, error) { return l.open(&realSystem, SegmentSize) }

func (l *Loaded) open(sys *system, size int64) (*Journal, error) {
	if err := sys.makeDirectory(l.dir); err != nil {
		return nil, err
	}
	if err := l.settle(sys, l.dir); err != nil {
		return nil, err
	}
	j := &Journal{system: *sys, dir: l.dir, size: size, last: l.last}
	for _, n := range l.spares {
		j.made = max(j.made, n)
	}
	// The mark may be lost yet, so what is merged stays until the owner has noted another.
	j.segments = append(l.merged, l.headers...)
	j.bytes.Store(l.bytes)
	if err := j.dropSpares(l.spares); err != nil {
		return nil, err
	}
	if err := j.dropEmpty(l.empty); err != nil {
		return nil, err
	}
	return j, nil
}

// Begin begins a segment, which must come before the first Append: the owner notes its salt
// in between.
func (j *Journal) Begin() error {
	if err := j.turn(0, false); err != nil {
		return fmt.Errorf("begin a segment: %w", err)
	}
	return nil
}

// dropEmpty gives the last segments back, the newest first so that none is missing between
// two others. Each start that fails later leaves one.
func (j *Journal) dropEmpty(n int) error {
	if n == 0 || isHeld(j.dir) {
		return nil
	}
	done := slices.Clone(j.segments[len(j.segments)-n:])
	slices.Reverse(done)
	n, err := j.recycle(done)
	j.segments = j.segments[:len(j.segments)-n]
	return err
}

// makeDirectory makes the directory of a journal, durably: a killed server may have made it.
func (sys *system) makeDirectory(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return sys.syncDirectory(filepath.Dir(dir))
}

// dropSpares removes the spares of an earlier use: how much of them is on the disk is
// unknown.
func (j *Journal) dropSpares(spares []uint64) error {
	for _, n := range spares {
		info, err := os.Stat(filepath.Join(j.dir, spareName(n)))
		if err != nil {
			return err
		}
		// Without room, as some file systems need it to overwrite, that is left to Erase.
		if err := j.discard(spareName(n), info.Size()); errors.Is(err, ErrSync) {
			return err
		}
	}
	return nil
}

// settle makes durable what was read: a server that was killed, or whose sync failed, may
// have left it to the system only, and what is appended now relies on it. After a sync that
// failed the system takes what it has for written, so the newest frame is written again.
func (l *loaded) settle(sys *system, dir string) error {
	for i := range l.headers {
		path := filepath.Join(dir, segmentName(l.headers[i].number))
		if err := os.Chmod(path, 0o600); err != nil { // it may have been copied here
			return err
		}
		f, err := sys.open(path, os.O_RDWR)
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
	return sys.syncDirectory(dir)
}

// damaged returns the error for what is wrong with a segment.
func damaged(dir string, number uint64, trouble string) error {
	return fmt.Errorf("%w: %s: %s", ErrDamaged, filepath.Join(dir, segmentName(number)), trouble)
}

// segment is a file.
type segment struct {
	header
	name    uint64 // its number by its name
	trouble string // "" if the header is as it was written
}

// readSegment reads the header of a segment. If one flipped bit is all that is wrong with
// it, it knows what the header was.
func readSegment(dir string, number uint64) (segment, error) {
	s := segment{name: number}
	f, err := os.Open(filepath.Join(dir, segmentName(number)))
	if err != nil {
		return s, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, headerSize))
	if err != nil {
		return s, err
	}
	valid := false
	if s.header, valid = parseHeader(data); !valid {
		s.header, s.trouble = mendHeader(data), "its header is damaged"
	} else if s.number != number {
		s.trouble = fmt.Sprintf("it is segment %d", s.number)
	}
	return s, nil
}

// readSegments reads the headers of all segments in a directory.
func (l *loaded) readSegments(dir string) (all []segment, err error) {
	if l.files, err = list(dir); err != nil {
		return nil, err
	}
	for _, n := range l.segments {
		s, err := readSegment(dir, n)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the server has just merged it
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// indexOf returns the index of the segment with a salt, -1 if it is not there.
func indexOf(all []segment, salt Salt) int {
	if salt.IsZero() {
		return -1
	}
	return slices.IndexFunc(all, func(s segment) bool { return s.salt == salt })
}

// leftOver looks at the segments of a journal that was closed. They are there if the server
// died before it removed them, or an archive held them, or the server died after it had
// begun the first one of the next use.
func leftOver(dir string, m Mark) (l loaded, err error) {
	all, err := l.readSegments(dir)
	if err != nil {
		return l, err
	}
	ours := indexOf(all, m.Salt) >= 0
	for _, s := range all {
		if s.trouble != "" && !ours {
			return l, damaged(dir, s.name, s.trouble)
		}
		data, err := os.ReadFile(filepath.Join(dir, segmentName(s.name)))
		if err != nil {
			return l, err
		}
		frames, _, _ := scan(data, s.salt, 0)
		l.empty++
		if s.trouble == "" {
			l.last = s.after
		}
		if n := len(frames); n > 0 {
			if l.last, l.empty = frames[n-1].Batch, 0; !ours || l.last > m.Merged {
				return l, foreign(dir)
			}
		}
		if s.salt == m.Salt {
			l.empty = 0
		}
		l.merged = append(l.merged, header{number: s.name, salt: s.salt})
	}
	return l, nil
}

func foreign(dir string) error {
	return fmt.Errorf("%w: %w: %s", ErrDamaged, ErrForeign, dir)
}

// load reads the segments that have what is not merged.
func load(dir string, m Mark) (l loaded, err error) {
	all, err := l.readSegments(dir)
	if err != nil {
		return l, err
	}
	if len(all) == 0 {
		return l, fmt.Errorf("%w: its files are missing in %s, and they have the newest messages of the database", ErrDamaged, dir)
	}
	first := indexOf(all, m.Salt)
	if first < 0 {
		for _, s := range all {
			if s.trouble != "" {
				return l, damaged(dir, s.name, s.trouble)
			}
		}
		return l, foreign(dir)
	}
	for first > 0 && (all[first].after > m.Merged || all[first].salt.IsZero()) {
		first--
	}
	if all[first].after > m.Merged {
		return l, missingBefore(dir, all[first].name)
	}
	for _, s := range all[:first] {
		l.merged = append(l.merged, header{number: s.name})
	}
	l.last = all[first].after
	for _, s := range all[first:] {
		if err := l.add(dir, m, s); err != nil {
			return l, err
		}
	}
	if l.last < m.Last {
		return l, damaged(dir, all[len(all)-1].name, fmt.Sprintf("it ends with batch %d, but had batch %d", l.last, m.Last))
	}
	return l, nil
}

func missingBefore(dir string, number uint64) error {
	return fmt.Errorf("%w: in %s the segment before %s is missing", ErrDamaged, dir, segmentName(number))
}

// add adds the frames of the next segment.
func (l *loaded) add(dir string, m Mark, s segment) error {
	if s.trouble != "" {
		return damaged(dir, s.name, s.trouble)
	}
	if n := len(l.headers); n > 0 && (s.number != l.headers[n-1].number+1 || s.before != l.headers[n-1].salt) {
		return missingBefore(dir, s.name)
	}
	if s.after != l.last {
		return damaged(dir, s.name, fmt.Sprintf("it follows batch %d, but the segment before it ends with batch %d", s.after, l.last))
	}
	data, err := os.ReadFile(filepath.Join(dir, segmentName(s.name)))
	if err != nil {
		return err
	}
	frames, end, trouble := scan(data, s.salt, s.after)
	if trouble == "" && int64(len(data)) < s.size {
		trouble = "it is truncated"
	}
	l.newest, l.at = nil, 0
	if n := len(frames); n > 0 {
		l.at = end - frameSize(int64(len(frames[n-1].Payload)))
		l.newest = bytes.Clone(data[l.at:end])
	}
	for _, f := range frames {
		if f.Batch > m.Merged {
			l.frames = append(l.frames, f)
		}
		l.last = f.Batch
	}
	if trouble != "" {
		return damaged(dir, s.name, fmt.Sprintf("at byte %d: %s", end, trouble))
	}
	l.empty++
	if len(frames) > 0 || s.salt == m.Salt {
		l.empty = 0
	}
	l.headers = append(l.headers, s.header)
	return nil
}

package journal

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"kaban/internal/failpoint/disk"
)

// The package works with the real system, and what it wrote is there after each end.
func TestRealSystem(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "journal")
	if hold, err := Take(dir); hold != nil || err != nil {
		t.Errorf("Take without a journal = %v, %v; want nothing", hold, err)
	}
	if there, err := Exists(dir); there || err != nil {
		t.Errorf("Exists = %t, %v; want none", there, err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("Remove without a journal: %v", err)
	}
	m := Mark{Closed: true}
	j, frames, err := openReal(dir, m)
	if err != nil || len(frames) > 0 {
		t.Fatal(frames, err)
	}
	m.Closed = false
	m.Salt, m.Last = j.Salt()
	var want []Frame
	for b := range uint64(5) {
		f := Frame{b + 1, payload(b, 1_000_000)}
		if err := j.Append(f.Batch, f.Payload); err != nil {
			t.Fatal(err)
		}
		want = append(want, f)
	}
	if err := j.Prepare(); err != nil {
		t.Fatal(err)
	}
	if got := j.Size(); got != 4*SegmentSize {
		t.Errorf("Size = %d; want %d", got, 4*SegmentSize)
	}
	j.Close()
	frames, err = Read(dir, m)
	if err != nil {
		t.Fatal(err)
	}
	same(t, frames, want)
	if j, frames, err = openReal(dir, m); err != nil {
		t.Fatal(err)
	}
	same(t, frames, want)
	m.Salt, m.Last = j.Salt()
	m.Merged = m.Last
	if err := errors.Join(j.Trim(m), j.Close()); err != nil {
		t.Fatal(err)
	}
	m.Closed = true
	if frames, err := Read(dir, m); frames != nil || err != nil {
		t.Errorf("Read of a closed journal = %v, %v; want nothing", frames, err)
	}
	if err := Remove(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Stat after Remove: %v; want no directory", err)
	}
}

func TestRoundTrips(t *testing.T) {
	t.Parallel()
	for _, trim := range []bool{false, true} {
		t.Run(fmt.Sprintf("trim %t", trim), func(t *testing.T) {
			t.Parallel()
			o := start(t)
			for i := range 20 {
				for n := range 30 {
					o.add(1 + (n*n*n+i)%700)
				}
				o.intact()
				if trim {
					o.merge(i % 8)
				}
				if i%2 == 0 {
					o.Close()
				}
				o.reopen()
			}
			o.end()
			o.reopen()
			o.add(1)
			o.intact()
		})
	}
}

// What is erased later must not stay in the buffer of a quiet journal.
func TestBufferForgetsBatch(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(700)
	if kept := o.buffer[:cap(o.buffer)]; len(kept) == 0 || slices.ContainsFunc(kept, func(b byte) bool { return b != 0 }) {
		t.Errorf("the buffer has %q", kept)
	}
}

func TestSizesOfFrames(t *testing.T) {
	t.Parallel()
	const most = testSize - headerSize - frameHeader
	o := start(t)
	for _, n := range []int{1, 7, 8, 9, most, most + 1, 1, most - 1, 3 * testSize, 3 * testSize, 10, 10, 70_000, most - 7, most - 8} {
		o.add(n)
	}
	o.intact()
	var total int64
	for _, s := range o.segments {
		info, err := os.Stat(o.Journal.path(s.number))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() != s.size {
			t.Errorf("segment %d has %d bytes; want %d", s.number, info.Size(), s.size)
		}
		total += s.size
	}
	if got := o.Size(); got != total {
		t.Errorf("Size = %d; want %d", got, total)
	}
	o.reopen()
	o.merge(0)
	for name, data := range contents(t, o.dir) {
		if len(data) != testSize {
			t.Errorf("%s has %d bytes after the merge; want %d", name, len(data), testSize)
		}
	}
	if got, want := o.Size(), int64(testSize*len(contents(t, o.dir))); got != want {
		t.Errorf("Size = %d; want %d", got, want)
	}
}

// A segment for a large frame takes no other one.
func TestLargeFrameIsAlone(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(10, testSize, 1, 1)
	var want []int
	for _, s := range o.segments {
		frames, _, _ := scan(read(t, o.Journal.path(s.number)), s.salt, s.after)
		want = append(want, len(frames))
	}
	if got := fmt.Sprint(want); got != "[1 1 2]" {
		t.Errorf("the segments have %s frames; want [1 1 2]", got)
	}
}

func TestAppendRefuses(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(5, 5, 5)
	for name, err := range map[string]error{
		"empty":        o.Append(4, nil),
		"too large":    o.Append(4, make([]byte, maxPayload+1)),
		"the same":     o.Append(3, []byte{1}),
		"a former one": o.Append(1, []byte{1}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	o.intact()
	f := Frame{math.MaxUint64, []byte{1}}
	if err := o.Append(f.Batch, f.Payload); err != nil {
		t.Fatal(err)
	}
	o.frames = append(o.frames, f)
	o.intact()
	o.reopen()
}

// Batches that are not in the journal may be merged after its last frame.
func TestMergedIsNewerThanFrames(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(5, 5)
	o.merge(0)
	o.mark.Merged = 9
	before := o.mark
	o.reopen()
	o.Close()
	o.mark = before // the server died before it noted the new segment
	o.reopen()
	if err := o.Append(10, []byte("ten")); err != nil {
		t.Fatal(err)
	}
	o.frames = append(o.frames, Frame{10, []byte("ten")})
	o.intact()
	o.mark = before // an archive sees the database as it was before
	o.intact()
	o.reopen()
}

func TestSparesAreUsed(t *testing.T) {
	t.Parallel()
	o := start(t)
	most := 0
	for i := range 100 { // a segment each
		o.add(2000, 2000)
		if i%3 == 0 {
			o.merge(0)
		}
		if err := o.Prepare(); err != nil {
			t.Fatal(err)
		}
		all := o.list()
		if len(all.spares) > maxSpares {
			t.Fatalf("there are %d spares", len(all.spares))
		}
		if want := int64(testSize * (len(all.spares) + len(all.segments))); all.bytes != want || o.Size() != want {
			t.Fatalf("%d bytes, and Size is %d; want %d", all.bytes, o.Size(), want)
		}
		most = max(most, len(all.spares)+len(all.segments))
	}
	if o.segments[len(o.segments)-1].number < 50 {
		t.Fatalf("there were only %d segments", o.segments[len(o.segments)-1].number)
	}
	if most > 6 {
		t.Errorf("there were %d files at once", most)
	}
}

// A recycled file has the frames of its earlier use behind the new ones.
func TestRecycledSegment(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(1000, 1000, 1000, 1000)
	o.merge(0)
	if n := len(o.list().spares); n != 1 {
		t.Fatalf("%d spares; want 1", n)
	}
	old := read(t, filepath.Join(o.dir, spareName(o.list().spares[0])))
	o.add(1000, 1000, 1000, 1000)
	now := read(t, o.path(-1))
	if string(old[3000:]) != string(now[3000:]) {
		t.Fatal("the file is not used again")
	}
	o.intact()
	o.reopen()
}

func TestPrepareMakesOne(t *testing.T) {
	t.Parallel()
	o := start(t)
	for range 3 {
		if err := o.Prepare(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(o.list().spares); n != 1 {
		t.Errorf("%d spares; want 1", n)
	}
}

// Spares of an earlier use go at the start. Files with other names stay.
func TestForeignSpares(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(5)
	o.Close()
	for i, size := range []int{testSize, 0, testSize - 1, testSize + 1, testSize, testSize, testSize} {
		write(t, filepath.Join(o.dir, spareName(uint64(i+70))), make([]byte, size))
	}
	write(t, filepath.Join(o.dir, spareName(math.MaxUint64)), nil)
	for _, name := range []string{"1.spare", "0000000000000001.sparex", "x.segment", "+000000000000001.segment", "-000000000000001.segment", ".segment", "99999999999999999999.segment"} {
		write(t, filepath.Join(o.dir, name), []byte("not ours"))
	}
	o.reopen()
	if all := o.list(); len(all.spares) != 0 || len(all.segments) != 2 {
		t.Errorf("spares %d, segments %d", all.spares, all.segments)
	}
	if got, want := o.Size(), int64(2*testSize); got != want {
		t.Errorf("Size = %d; want %d", got, want)
	}
	for range 5 {
		o.add(3000)
	}
	o.intact()
	o.merge(0)
	o.reopen()
}

// A number may have more digits than usual.
func TestNumbersAtTheirLimits(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.Close()
	const number = 9_999_999_999_999_999
	h := header{number: number, after: math.MaxUint64 - 10, salt: Salt{1}, size: testSize}
	if err := os.Remove(o.path(0)); err != nil {
		t.Fatal(err)
	}
	data := make([]byte, testSize)
	c := newCoder(h.salt)
	copy(data, c.appendFrame(h.append(nil), headerSize, math.MaxUint64-9, []byte("first")))
	write(t, filepath.Join(o.dir, segmentName(number)), data)
	write(t, filepath.Join(o.dir, spareName(number)), make([]byte, testSize))
	o.mark.Salt, o.mark.Merged, o.mark.Last = h.salt, h.after, 0
	o.frames = []Frame{{math.MaxUint64 - 9, []byte("first")}}
	for range 3 {
		o.reopen()
		o.add(3000)
		o.intact()
	}
	if got := o.list().segments; len(got) != 4 || got[3] != number+3 {
		t.Errorf("segments %d", got)
	}
	o.merge(0)
	if got := o.list().segments; len(got) != 1 {
		t.Errorf("segments %d after the merge", got)
	}
}

// Starts that fail later leave no files behind.
func TestFailingStarts(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]*owner{"new": start(t), "closed": start(t), "used": start(t), "merged": start(t)} {
		switch name {
		case "closed":
			o.add(3000, 3000)
			o.end()
		case "used":
			o.add(3000, 3000)
		case "merged":
			o.add(3000, 3000)
			o.merge(0)
		}
		o.Close()
		before := o.mark
		o.reopen()
		o.mark = before
		n := len(contents(t, o.dir))
		for range 10 {
			o.reopen()
			o.Close()
			o.mark = before // it noted nothing
		}
		if now := len(contents(t, o.dir)); now > n {
			t.Errorf("%s: %d files were there after the first start, %d after ten more", name, n, now)
		}
	}
}

// Many of those segments can be there after a hold. A crash while they go leaves no gap.
func TestEmptySegmentsGoInOrder(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(3000, 3000)
	before := o.mark
	h := take(t, o.dir)
	for range 4 {
		o.reopen()
		o.mark = before
	}
	if err := h.Release(); err != nil {
		t.Fatal(err)
	}
	looks := 0
	look := func() error {
		looks++
		o.intact()
		return nil
	}
	sys := unsynced
	sys.rename = func(from, to string) error { return errors.Join(unsynced.rename(from, to), look()) }
	sys.remove = func(path string) error { return errors.Join(unsynced.remove(path), look()) }
	j, _, err := open(&sys, o.dir, o.mark, testSize)
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
	if n := len(o.list().segments); n != 3 || looks < 4 {
		t.Errorf("%d segments and %d looks; want 3 and 4 or more", n, looks)
	}
}

// A segment that cannot be begun is tried again, and leaves no files that nothing uses.
func TestTurnFails(t *testing.T) {
	t.Parallel()
	failure := errors.New("no more files")
	for _, size := range []int{3000, 3 * testSize} {
		for _, operation := range []string{"fill", "begin", "use", "write", "rename"} {
			t.Run(fmt.Sprintf("%s, %d bytes", operation, size), func(t *testing.T) {
				t.Parallel()
				o := start(t)
				o.add(3000)
				opened, broken := 0, true
				o.Journal.open = func(path string, flag int) (file, error) {
					opened++
					if broken && operation == map[int]string{1: "fill", 2: "begin", 3: "use"}[opened] {
						return nil, failure
					}
					f, err := unsynced.open(path, flag)
					if broken && operation == "write" && opened == 1 {
						f = fullFile{f, failure}
					}
					return f, err
				}
				o.Journal.rename = func(from, to string) error {
					if broken && operation == "rename" {
						return failure
					}
					return unsynced.rename(from, to)
				}
				for range 5 {
					opened = 0
					if err := o.Append(2, payload(2, size)); !errors.Is(err, failure) {
						// With a spare at hand, an operation may not be needed.
						if operation == "fill" || operation == "write" || err != nil {
							t.Fatalf("Append returns %v; want the failure", err)
						}
						break
					}
					all := o.list()
					if len(all.spares) > 1 || all.bytes != o.Size() {
						t.Fatalf("%d spares, %d bytes, and Size is %d", len(all.spares), all.bytes, o.Size())
					}
					o.intact()
				}
				broken = false
				if o.last == 1 {
					o.add(size)
				} else {
					o.frames = append(o.frames, Frame{2, payload(2, size)})
				}
				o.add(5)
				o.intact()
				o.reopen()
			})
		}
	}
}

// fullFile stores nothing.
type fullFile struct {
	file
	err error
}

func (f fullFile) WriteAt([]byte, int64) (int, error) { return 0, f.err }

// Segments that a crash has left although they are merged are given back later.
func TestMergedSegmentsAfterCrash(t *testing.T) {
	t.Parallel()
	o := start(t)
	o.add(3000, 3000, 3000, 3000)
	o.note()
	o.mark.Merged, o.frames = 4, nil // the server died before Trim
	o.reopen()
	if n := len(o.list().segments); n != 5 {
		t.Fatalf("%d segments; want 5", n)
	}
	before := o.mark
	o.add(5)
	o.merge(0)
	if all := o.list(); len(all.segments) != 1 || len(all.spares) != maxSpares {
		t.Errorf("segments %d, spares %d; want 1 and %d of them", all.segments, all.spares, maxSpares)
	}
	o.mark = before
	o.frames = []Frame{{5, payload(5, 5)}}
	o.intact()
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := Mark{Closed: true}
	if _, _, err := openReal(filepath.Join(dir, "none", "journal"), m); err == nil {
		t.Error("no error in a directory that is missing")
	}
	write(t, filepath.Join(dir, "file"), nil)
	if _, _, err := openReal(filepath.Join(dir, "file"), m); err == nil {
		t.Error("no error for a file")
	}
	if _, err := Exists(filepath.Join(dir, "file")); err == nil {
		t.Error("Exists: no error for a file")
	}
	if err := Remove(filepath.Join(dir, "file")); err == nil {
		t.Error("Remove: no error for a file")
	}
	if err := os.MkdirAll(filepath.Join(dir, "journal", segmentName(1)), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, _, err := openReal(filepath.Join(dir, "journal"), m); err == nil || errors.Is(err, ErrDamaged) {
		t.Errorf("Open with a directory as a segment: %v", err)
	}
}

// failingFile is a file whose syncs fail while failing is set.
type failingFile struct {
	*disk.File
	failing *bool
}

func (f failingFile) SyncData() error {
	if *f.failing {
		return syscall.EIO
	}
	return nil
}

// A frame whose sync has failed may be there, so no segment begins behind the frame before it.
func TestNothingFollowsAFailedSync(t *testing.T) {
	failing, dir := false, filepath.Join(t.TempDir(), "journal")
	sys := unsynced
	sys.open = func(path string, flag int) (file, error) {
		f, err := disk.OpenFile(path, flag, 0o600)
		return failingFile{f, &failing}, err
	}
	j, _, err := open(&sys, dir, Mark{Closed: true}, testSize)
	if err != nil {
		t.Fatal(err)
	}
	salt, _ := j.Salt()
	if err := j.Append(1, payload(1, 100)); err != nil {
		t.Fatal(err)
	}
	failing = true
	if err := j.Append(2, payload(2, 100)); !errors.Is(err, ErrSync) {
		t.Fatalf("got %v, want ErrSync", err)
	}
	failing = false // the system takes what it has for written
	if _, err := j.Turn(); !errors.Is(err, ErrSync) {
		t.Errorf("Turn: got %v, want ErrSync", err)
	}
	if err := j.Begin(); !errors.Is(err, ErrSync) {
		t.Errorf("Begin: got %v, want ErrSync", err)
	}
	if err := j.Append(3, payload(3, 100)); !errors.Is(err, ErrSync) {
		t.Errorf("Append: got %v, want ErrSync", err)
	}
	j.Close()
	found, err := Read(dir, Mark{Salt: salt})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(found); n != 2 || found[n-1].Batch != 2 {
		t.Errorf("got %d frames", n)
	}
}

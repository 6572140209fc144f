package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kaban/internal/failpoint/disk"
)

// testSize is the size of a segment in most tests.
const testSize = 4096

// unsynced is the real system without syncs, which tests need not wait for.
var unsynced = system{
	func(path string, flag int) (file, error) {
		f, err := disk.OpenFile(path, flag, 0o600)
		return unsyncedFile{f}, err
	},
	disk.Rename, disk.Remove, func(string) error { return nil },
}

type unsyncedFile struct{ *disk.File }

func (unsyncedFile) SyncData() error { return nil }

// payload returns n bytes that depend on the batch.
func payload(batch uint64, n int) []byte {
	p := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(batch), byte(batch >> 8), byte(n)}).Read(p)
	return p
}

// owner is what a store does with a journal. It notes its mark at once.
type owner struct {
	*Journal
	t      testing.TB
	dir    string
	mark   Mark
	frames []Frame // that are not merged
}

// start begins a journal in a new directory.
func start(t testing.TB) *owner {
	t.Helper()
	o := &owner{t: t, dir: filepath.Join(t.TempDir(), "journal"), mark: Mark{Closed: true}}
	o.reopen()
	return o
}

// reopen opens the journal as after a crash, and checks what is found.
func (o *owner) reopen() {
	o.t.Helper()
	j, frames, err := open(&unsynced, o.dir, o.mark, testSize)
	if err != nil {
		o.t.Fatal(err)
	}
	o.t.Cleanup(func() { j.Close() })
	same(o.t, frames, o.frames)
	o.Journal, o.mark.Closed = j, false
	o.note()
}

// note notes the current segment.
func (o *owner) note() { o.mark.Salt, o.mark.Last = o.Salt() }

// add appends batches with payloads of these sizes.
func (o *owner) add(sizes ...int) {
	o.t.Helper()
	for _, n := range sizes {
		_, last := o.Salt()
		batch := max(last, o.mark.Merged) + 1
		f := Frame{batch, payload(batch, n)}
		if err := o.Append(f.Batch, f.Payload); err != nil {
			o.t.Fatal(err)
		}
		o.frames = append(o.frames, f)
	}
}

// merge merges all but some frames and trims the journal.
func (o *owner) merge(left int) {
	o.t.Helper()
	if n := len(o.frames) - left; n > 0 {
		o.mark.Merged = o.frames[n-1].Batch
		o.frames = slices.Clone(o.frames[n:])
	}
	o.note()
	if err := o.Trim(o.mark); err != nil {
		o.t.Fatal(err)
	}
}

// end merges everything and notes that the journal is closed.
func (o *owner) end() {
	o.t.Helper()
	o.merge(0)
	if err := o.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.mark.Closed = true
}

// path returns that of the segment with an index; negative ones count from the end.
func (o *owner) path(i int) string {
	all := o.list()
	if i < 0 {
		i += len(all.segments)
	}
	return filepath.Join(o.dir, segmentName(all.segments[i]))
}

func (o *owner) list() files {
	o.t.Helper()
	all, err := list(o.dir)
	if err != nil {
		o.t.Fatal(err)
	}
	return all
}

// damaged checks that the journal is refused, and that Read returns the first n frames.
func (o *owner) damaged(n int) {
	o.t.Helper()
	frames, err := Read(o.dir, o.mark)
	if !errors.Is(err, ErrDamaged) {
		o.t.Errorf("Read returns %v; want ErrDamaged", err)
	}
	same(o.t, frames, o.frames[:n])
	before := contents(o.t, o.dir)
	if j, _, err := open(&unsynced, o.dir, o.mark, testSize); !errors.Is(err, ErrDamaged) {
		o.t.Errorf("open returns %v; want ErrDamaged", err)
		j.Close()
	}
	if !equalContents(before, contents(o.t, o.dir)) {
		o.t.Error("opening a damaged journal has changed it")
	}
}

// intact checks that Read returns all frames.
func (o *owner) intact() {
	o.t.Helper()
	frames, err := Read(o.dir, o.mark)
	if err != nil {
		o.t.Error(err)
	}
	same(o.t, frames, o.frames)
}

func same(t testing.TB, got, want []Frame) {
	t.Helper()
	if !equalFrames(got, want) {
		t.Errorf("got %s; want %s", describe(got), describe(want))
	}
}

func equalFrames(a, b []Frame) bool {
	return slices.EqualFunc(a, b, func(a, b Frame) bool { return a.Batch == b.Batch && bytes.Equal(a.Payload, b.Payload) })
}

func describe(frames []Frame) string {
	s := fmt.Sprintf("%d frames:", len(frames))
	for _, f := range frames {
		s += fmt.Sprintf(" %d (%d bytes)", f.Batch, len(f.Payload))
	}
	return s
}

// contents returns the files in a directory by their names.
func contents(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][]byte)
	for _, e := range entries {
		all[e.Name()] = read(t, filepath.Join(dir, e.Name()))
	}
	return all
}

func equalContents(a, b map[string][]byte) bool {
	if len(a) != len(b) {
		return false
	}
	for name := range a {
		if other, ok := b[name]; !ok || !bytes.Equal(a[name], other) {
			return false
		}
	}
	return true
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// open loads and opens a journal.
func open(sys *system, dir string, m Mark, size int64) (*Journal, []Frame, error) {
	l, err := Load(dir, m)
	if err != nil {
		return nil, nil, err
	}
	j, err := l.open(sys, size)
	if err == nil {
		err = j.Begin()
	}
	return j, l.Frames, err
}

// openReal opens a journal on the disk, with segments of the usual size.
func openReal(dir string, m Mark) (*Journal, []Frame, error) {
	return open(&realSystem, dir, m, SegmentSize)
}

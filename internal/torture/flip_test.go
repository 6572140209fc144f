package torture

import (
	"bytes"
	encoding "encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kaban/internal/store"
	"kaban/internal/store/sqlite"
)

// The format of a segment, as package journal describes it.
const (
	segmentHeader = 64
	frameHeader   = 24
	sector        = 512
)

// extent is a part of a file.
type extent struct {
	name     string
	from, to int
}

var (
	headerParts = []extent{{"magic", 0, 8}, {"number", 8, 16}, {"batch before", 16, 24}, {"salt", 24, 40}, {"salt before", 40, 56}, {"zero", 56, 60}, {"checksum", 60, 64}}
	frameParts  = []extent{{"mark", 0, 8}, {"length", 8, 12}, {"checksum", 12, 16}, {"batch", 16, 24}}
)

// segment is a file of a journal.
type segment struct {
	path   string // in the data directory
	frames []extent
	size   int
}

// segmentsOf finds the frames in the journal of a data directory.
func segmentsOf(t *testing.T, data string) (all []segment) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(data, "journal", "*.segment"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		s := segment{path: filepath.Join("journal", filepath.Base(path)), size: len(content)}
		mark := content[24:32] // the beginning of the salt
		for at := segmentHeader; at+frameHeader < len(content) && bytes.Equal(content[at:at+8], mark); {
			end := at + frameHeader + int(encoding.LittleEndian.Uint32(content[at+8:]))
			s.frames = append(s.frames, extent{fmt.Sprint("frame ", len(s.frames)+1), at, end})
			at = end
		}
		all = append(all, s)
	}
	return all
}

// part returns the nth part of a segment: a part of its header, of its first frame, of its
// last, of any, or what is behind them.
func (s *segment) part(n int, random *rand.Rand) extent {
	last := len(s.frames) - 1
	index := 0
	switch n % 5 {
	case 0:
		part := headerParts[random.IntN(len(headerParts))]
		return extent{"header: " + part.name, part.from, part.to}
	case 2:
		index = last
	case 3:
		index = random.IntN(last + 1)
	case 4:
		return extent{"unused", s.frames[last].to, s.size}
	}
	frame := s.frames[index]
	parts := slices.Concat(frameParts, []extent{{"payload", frameHeader, frame.to - frame.from}})
	part := parts[random.IntN(len(parts))]
	return extent{frame.name + ": " + part.name, frame.from + part.from, frame.from + part.to}
}

// killedData returns the data directory of a server that was killed several times with
// messages in its journal, and their history.
func killedData(t *testing.T) (*host, *History) {
	t.Helper()
	h := newHost(t)
	h.start()
	c := newCrowd(t, h.address)
	for i := range 2 { // that send few messages before the next death, so that none is merged
		c.send(fmt.Sprint("sender-", i), 8)
	}
	for life := range 4 {
		if life > 0 {
			h.start()
		}
		before := c.history.Acks()
		h.wait("nothing is acknowledged", func() bool { return c.history.Acks() >= before+300 })
		h.kill()
	}
	c.end()
	return h, c.history
}

// opened returns what a server has of a data directory, and whether it refuses it. What an
// archive reads must be the same.
func opened(t *testing.T, data string) (stored []Message, refused error) {
	t.Helper()
	read, unread := (&host{data: data}).stored()
	s, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		if unread == nil {
			t.Errorf("a server finds %v, and an archive nothing", err)
		}
		return nil, err
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if stored, err = (&host{data: data}).stored(); err != nil {
		t.Fatal(err)
	}
	if unread != nil || !slices.Equal(read, stored) {
		t.Errorf("a server has %d messages, an archive %d, %v", len(stored), len(read), unread)
	}
	return stored, nil
}

// changed returns a copy of a data directory with a change of a file.
func changed(t *testing.T, data, path string, change func(content []byte)) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Remove(filepath.Join(data, "admin.sock")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.CopyFS(dir, os.DirFS(data)); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	change(content)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// damage counts what became of changed copies.
type damage struct{ refused, harmless int }

// try opens a changed copy. It may be refused or have all messages, or those that remain
// if the change may be that of a crash.
func (d *damage) try(t *testing.T, what, dir string, allowed ...[]Message) {
	t.Helper()
	defer os.RemoveAll(dir)
	stored, err := opened(t, dir)
	switch {
	case err == nil && slices.ContainsFunc(allowed, func(all []Message) bool { return slices.Equal(all, stored) }):
		d.harmless++
	case err == nil:
		t.Errorf("%s: %d messages are left of %d, and nobody says so", what, len(stored), len(allowed[0]))
	case !errors.Is(err, store.ErrDamaged) || !strings.Contains(err.Error(), "the journal is damaged"):
		t.Errorf("%s: refused with %v", what, err)
	default:
		d.refused++
	}
}

// A flipped bit in the journal, or a lost sector, is never a silent loss: the server
// refuses to start, or everything is there. Only what looks like the unfinished end of the
// last write is taken for that.
func TestJournalFlips(t *testing.T) {
	onlyDirectory(t, "a PostgreSQL has no journal")
	random := random(t)
	h, history := killedData(t)
	segments := segmentsOf(t, h.data)
	all, err := opened(t, changed(t, h.data, segments[0].path, func([]byte) {}))
	if err != nil {
		t.Fatal(err)
	}
	if problems := history.Check(all); len(problems) > 0 {
		t.Fatalf("%d violations without a change, the first is %s", len(problems), problems[0])
	}
	segments = slices.DeleteFunc(segments, func(s segment) bool { return len(s.frames) == 0 })
	if len(segments) < 3 {
		t.Fatalf("only %d segments have frames", len(segments))
	}
	var flipped, torn damage
	for n := range *flips {
		s := &segments[random.IntN(len(segments))]
		part := s.part(n, random)
		bit := part.from*8 + random.IntN((part.to-part.from)*8)
		what := fmt.Sprintf("flip %d: bit %d of byte %d of %s (%s)", n+1, bit%8, bit/8, s.path, part.name)
		flipped.try(t, what, changed(t, h.data, s.path, func(content []byte) { content[bit/8] ^= 1 << (bit % 8) }), all)
	}
	newest := &segments[len(segments)-1]
	last := newest.frames[len(newest.frames)-1]
	unfinished, err := opened(t, changed(t, h.data, newest.path, func(content []byte) { clear(content[last.from:last.to]) }))
	if err == nil && len(unfinished) >= len(all) {
		t.Errorf("%d messages are left without the last frame, %d with it", len(unfinished), len(all))
	}
	for n := range *flips / 2 {
		s := &segments[random.IntN(len(segments))]
		from := 0 // with the header
		if random.IntN(8) > 0 {
			frame := s.frames[random.IntN(len(s.frames))]
			from = (frame.from + random.IntN(frame.to-frame.from)) / sector * sector
		}
		if s == newest && from < last.from && from+sector > last.from {
			from += sector // a crash loses no part of two frames
		}
		allowed := [][]Message{all}
		if s == newest && from >= last.from/sector*sector && unfinished != nil {
			allowed = append(allowed, unfinished)
		}
		torn.try(t, fmt.Sprintf("tear %d: the sector at %d of %s", n+1, from, s.path), changed(t, h.data, s.path, func(content []byte) { clear(content[from:min(from+sector, len(content))]) }), allowed...)
	}
	t.Logf("of %d flipped bits %d were found, the others harmless; of %d torn sectors %d", *flips, flipped.refused, *flips/2, torn.refused)
	if flipped.refused < *flips/4 || flipped.harmless == 0 || torn.refused < *flips/4 {
		t.Errorf("%+v flips, %+v tears: the test proves nothing", flipped, torn)
	}
}

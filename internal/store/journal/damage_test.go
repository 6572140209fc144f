package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// used returns a journal whose segments were other ones before. The first one begins with
// frames that are merged.
func used(t testing.TB) *owner {
	t.Helper()
	o := start(t)
	for range 3 {
		o.add(3000, 1000, 2000)
		o.merge(0)
	}
	o.add(200, 500, 1, 900)
	o.add(3900, 1000, 1500, 3, 2000, 40)
	o.reopen()
	o.add(600, 30, 200)
	return o
}

// ends returns the end of the last frame of each segment, by its path, and the number of
// frames before each segment that are not merged.
func (o *owner) ends() (ends map[string]int64, before map[string]int) {
	o.t.Helper()
	ends, before = make(map[string]int64), make(map[string]int)
	n := 0
	for _, s := range o.segments {
		path := o.Journal.path(s.number)
		frames, end, trouble := scan(read(o.t, path), s.salt, s.after)
		if trouble != "" {
			o.t.Fatal(trouble)
		}
		ends[path], before[path] = end, n
		for _, f := range frames {
			if f.Batch > o.mark.Merged {
				n++
			}
		}
	}
	return ends, before
}

// Every flipped bit is noticed, or is in unused space. The frames before it are returned.
func TestFlippedBits(t *testing.T) {
	t.Parallel()
	o := used(t)
	ends, before := o.ends()
	for path, end := range ends {
		data := read(t, path)
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		flip := func(bit int64) {
			data[bit/8] ^= 1 << (bit % 8)
			if _, err := f.WriteAt(data[bit/8:bit/8+1], bit/8); err != nil {
				t.Fatal(err)
			}
		}
		for bit := range int64(8 * len(data)) {
			if at := bit / 8; at > headerSize+frameHeader && at < end-frameHeader && bit%13 > 0 {
				continue // one of many in the middle
			}
			if at := bit / 8; at > end+frameHeader && bit%101 > 0 {
				continue
			}
			flip(bit)
			frames, err := Read(o.dir, o.mark)
			switch at := bit / 8; {
			case at < end && !errors.Is(err, ErrDamaged):
				t.Errorf("%s, byte %d of %d used: Read returns %v", filepath.Base(path), at, end, err)
			case at < end && (len(frames) < before[path] || !equalFrames(frames, o.frames[:len(frames)])):
				t.Errorf("%s, byte %d: %s; want %d or more", filepath.Base(path), at, describe(frames), before[path])
			case at >= end && (err != nil || !equalFrames(frames, o.frames)):
				t.Errorf("%s, unused byte %d: %s, %v", filepath.Base(path), at, describe(frames), err)
			}
			flip(bit)
		}
	}
	o.intact()
}

// A frame that is damaged in a worse way is noticed unless it is the very last one.
func TestLostFrames(t *testing.T) {
	t.Parallel()
	o := used(t)
	for i, s := range o.segments {
		path := o.Journal.path(s.number)
		whole := read(t, path)
		frames, _, _ := scan(whole, s.salt, s.after)
		end := int64(headerSize)
		var places [][2]int64
		for _, f := range frames {
			size := frameSize(int64(len(f.Payload)))
			places = append(places, [2]int64{end, end + size})
			end += size
		}
		for n, at := range places {
			for name, change := range map[string]func([]byte){
				"zeros":   func(b []byte) { clear(b) },
				"noise":   func(b []byte) { rand.NewChaCha8([32]byte{byte(n)}).Read(b) },
				"8 bytes": func(b []byte) { clear(b[16:24]) },
			} {
				data := slices.Clone(whole)
				change(data[at[0]:at[1]])
				write(t, path, data)
				if i == len(o.segments)-1 && n == len(frames)-1 {
					got, err := Read(o.dir, o.mark)
					if err != nil || !equalFrames(got, o.frames[:len(o.frames)-1]) {
						t.Errorf("%s in the last frame: %s, %v", name, describe(got), err)
					}
					// It was there when something else was committed.
					then := o.mark
					o.note()
					o.damaged(len(o.frames) - 1)
					o.mark = then
				} else {
					o.damaged(max(0, int(frames[n].Batch)-int(o.frames[0].Batch)))
				}
			}
		}
		for n := range len(places) - 1 { // swap two, remove one, double one
			a, b := whole[places[n][0]:places[n][1]], whole[places[n+1][0]:places[n+1][1]]
			rest := whole[places[n+1][1]:]
			for name, change := range map[string][][]byte{"swapped": {b, a, rest}, "removed": {b, rest, a}, "doubled": {a, a, b, rest}} {
				data := append(slices.Clone(whole[:places[n][0]]), bytes.Join(change, nil)...)[:len(whole)]
				write(t, path, data)
				got, err := Read(o.dir, o.mark)
				isLast := i == len(o.segments)-1
				if !errors.Is(err, ErrDamaged) && !isLast || !equalFrames(got, o.frames[:len(got)]) {
					t.Errorf("segment %d, frame %d %s: %s, %v", s.number, n, name, describe(got), err)
				}
				if then := o.mark; isLast { // no frame is valid at another place, so they look torn
					o.note()
					if _, err := Read(o.dir, o.mark); !errors.Is(err, ErrDamaged) {
						t.Errorf("the last frames %s: %v", name, err)
					}
					o.mark = then
				}
			}
		}
		write(t, path, whole)
	}
	o.intact()
}

// Segments are refused unless they are those of the journal, at their places.
func TestDamagedFiles(t *testing.T) {
	t.Parallel()
	const whole = 99
	last := func(o *owner) int { return len(o.list().segments) - 1 }
	swap := func(o *owner, a, b int) {
		one, other := read(o.t, o.path(a)), read(o.t, o.path(b))
		write(o.t, o.path(a), other)
		write(o.t, o.path(b), one)
	}
	number := func(o *owner, i int) uint64 { return o.list().segments[i] }
	for name, test := range map[string]struct {
		change func(o *owner)
		remain int // the segments before this one remain
	}{
		"first missing":  {func(o *owner) { os.Remove(o.path(0)) }, 0},
		"second missing": {func(o *owner) { os.Remove(o.path(1)) }, 1},
		"noted missing":  {func(o *owner) { os.Remove(o.path(-1)) }, 0},
		"all missing": {func(o *owner) {
			for range o.list().segments {
				os.Remove(o.path(0))
			}
		}, 0},
		"directory missing": {func(o *owner) { os.RemoveAll(o.dir); os.Mkdir(o.dir, 0o700) }, 0},
		"two swapped":       {func(o *owner) { swap(o, 1, 2) }, 1},
		"first swapped":     {func(o *owner) { swap(o, 0, 1) }, 0},
		"last swapped":      {func(o *owner) { swap(o, 0, last(o)) }, 0},
		"one doubled":       {func(o *owner) { write(o.t, o.path(2), read(o.t, o.path(1))) }, 2},
		"another number": {func(o *owner) {
			os.Rename(o.path(-1), filepath.Join(o.dir, segmentName(number(o, last(o))+1)))
		}, -1},
		"a copy behind": {func(o *owner) {
			write(o.t, filepath.Join(o.dir, segmentName(number(o, last(o))+1)), read(o.t, o.path(-1)))
		}, whole},
		"a copy behind of the first": {func(o *owner) {
			write(o.t, filepath.Join(o.dir, segmentName(number(o, last(o))+1)), read(o.t, o.path(0)))
		}, whole},
		"one of another journal": {func(o *owner) {
			other := used(o.t)
			write(o.t, o.path(2), read(o.t, other.path(2)))
		}, 2},
		"one of another journal behind": {func(o *owner) {
			other := used(o.t)
			other.add(3000, 3000)
			data := read(o.t, other.path(-1))
			h, _ := parseHeader(data)
			write(o.t, filepath.Join(o.dir, segmentName(h.number)), data)
		}, whole},
		"another journal": {func(o *owner) {
			other := used(o.t)
			for name, data := range contents(o.t, other.dir) {
				write(o.t, filepath.Join(o.dir, name), data)
			}
		}, 0},
		"the noted one is empty": {func(o *owner) { write(o.t, o.path(-1), nil) }, 0},
		"the first one is empty": {func(o *owner) { write(o.t, o.path(0), nil) }, 0},
		"a header of zeros":      {func(o *owner) { write(o.t, o.path(1), make([]byte, testSize)) }, 1},
		"a half header":          {func(o *owner) { write(o.t, o.path(1), read(o.t, o.path(1))[:headerSize/2]) }, 1},
		"a header only":          {func(o *owner) { write(o.t, o.path(1), read(o.t, o.path(1))[:headerSize]) }, 1},
		"truncated":              {func(o *owner) { os.Truncate(o.path(-1), testSize-1) }, whole},
		"truncated at its end":   {func(o *owner) { ends, _ := o.ends(); os.Truncate(o.path(-1), ends[o.path(-1)]) }, whole},
		"an unknown segment":     {func(o *owner) { write(o.t, filepath.Join(o.dir, segmentName(9999)), []byte("other")) }, whole},
		"text instead": {func(o *owner) {
			write(o.t, o.path(2), bytes.Repeat([]byte("text "), testSize/5))
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := used(t)
			o.note()
			_, before := o.ends()
			want := len(o.frames)
			if test.remain != whole {
				want = before[o.path(test.remain)]
			}
			test.change(o)
			o.damaged(want)
		})
	}
}

// What is merged may be damaged or missing.
func TestDamageOfMergedSegments(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(o *owner){
		"missing": func(o *owner) { os.Remove(o.path(1)) },
		"zeros":   func(o *owner) { write(o.t, o.path(1), make([]byte, testSize)) },
		"empty":   func(o *owner) { write(o.t, o.path(0), nil) },
		"swapped": func(o *owner) {
			write(o.t, o.path(0), read(o.t, o.path(1)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t)
			o.add(3000, 3000, 3000, 3000)
			o.mark.Merged, o.frames = 3, o.frames[3:]
			o.note()
			change(o)
			o.intact()
			o.reopen()
			o.add(3000)
			o.merge(0)
			if n := len(o.list().segments); n != 1 {
				t.Errorf("%d segments; want 1", n)
			}
			o.intact()
			o.reopen()
		})
	}
}

// Files beside a closed journal are its own rest, or refused.
func TestLeftOver(t *testing.T) {
	t.Parallel()
	closed := func(t *testing.T) *owner {
		o := start(t)
		o.add(3000, 3000, 3000, 100)
		o.end()
		o.frames = nil
		return o
	}
	t.Run("every state of Remove", func(t *testing.T) {
		t.Parallel()
		o := closed(t)
		hold := take(t, o.dir)
		o.reopen()
		o.add(3000, 3000)
		o.end()
		hold.Release()
		var states []map[string][]byte
		sys := unsynced
		sys.remove = func(path string) error {
			states = append(states, contents(t, o.dir))
			return unsynced.remove(path)
		}
		if err := sys.removeAll(o.dir); err != nil {
			t.Fatal(err)
		}
		if len(states) < 3 {
			t.Fatalf("%d files were removed", len(states))
		}
		for i, files := range append(states, nil) {
			again := &owner{t: t, dir: t.TempDir(), mark: o.mark}
			for name, data := range files {
				write(t, filepath.Join(again.dir, name), data)
			}
			again.reopen()
			again.add(3000, 5)
			again.intact()
			again.merge(0)
			if n := len(again.list().segments); n > 1 {
				t.Errorf("state %d: %d segments are left", i, n)
			}
			again.reopen()
		}
	})
	for name, change := range map[string]func(o *owner){
		"another database":      func(o *owner) { o.mark.Salt = Salt{1} },
		"a restored backup":     func(o *owner) { o.mark = Mark{Closed: true} },
		"an older database":     func(o *owner) { o.mark.Merged = 2 },
		"an unknown segment":    func(o *owner) { o.mark.Salt = Salt{1}; write(o.t, o.path(0), []byte("unknown")) },
		"a header is of zeros":  func(o *owner) { o.mark.Salt = Salt{}; write(o.t, o.path(0), make([]byte, testSize)) },
		"another's is the last": func(o *owner) { o.mark.Salt = Salt{2}; os.Remove(o.path(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := start(t)
			o.add(3000, 3000, 3000, 100)
			o.mark.Merged, o.mark.Closed, o.frames = 4, true, nil
			o.note()
			change(o)
			before := contents(t, o.dir)
			j, _, err := open(&unsynced, o.dir, o.mark, testSize)
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("open returns %v; want ErrDamaged", err)
				j.Close()
			}
			if !equalContents(before, contents(t, o.dir)) {
				t.Error("the files have changed")
			}
		})
	}
	t.Run("damage does not matter", func(t *testing.T) {
		t.Parallel()
		o := start(t)
		o.add(3000, 3000, 3000)
		o.mark.Merged, o.mark.Closed, o.frames = 3, true, nil
		o.note()
		write(t, o.path(0), []byte("damaged"))
		o.reopen()
		o.add(5)
		o.intact()
	})
}

// torn returns the segment before and after a frame of some sectors was written there.
func torn(recycled bool, size int, seed uint64) (c coder, before, after []byte, at, end int) {
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	var salt, old Salt
	random.Read(salt[:])
	random.Read(old[:])
	before = make([]byte, testSize)
	text := bytes.Repeat([]byte("the same text "), testSize)
	first := 100 + int(8*seed%300)
	if seed%2 == 0 { // the last sector has as little of the frame as possible
		size = 2048 + 1 - headerSize - int(frameSize(int64(first))) - frameHeader
	}
	if recycled { // almost the same frames at the same places
		o := newCoder(old)
		data := (&header{number: 3, salt: old, size: testSize}).append(nil)
		data = o.appendFrame(data, headerSize, 1, text[:first])
		copy(before, o.appendFrame(data, int64(len(data)), 2, text[:size]))
		text[700+seed] ^= 1 // one bit is another one
	}
	c = newCoder(salt)
	data := (&header{number: 7, salt: salt, size: testSize}).append(nil)
	data = c.appendFrame(data, headerSize, 11, text[:first])
	at = len(data)
	copy(before, data)
	data = c.appendFrame(data, int64(at), 12, text[:size])
	after = slices.Clone(before)
	copy(after, data)
	return c, before, after, at, len(data)
}

// After a crash the sectors of the last frame are old or new. The journal ends before it.
func TestTornSectors(t *testing.T) {
	t.Parallel()
	for _, recycled := range []bool{false, true} {
		for seed := range uint64(150) {
			c, before, after, at, end := torn(recycled, 1500+int(seed), seed)
			first, last := at/512, (end-1)/512
			for kept := range 1 << (last - first + 1) {
				data := slices.Clone(before)
				for i := range last - first + 1 {
					if kept>>i&1 == 1 {
						from := 512 * (first + i)
						copy(data[from:from+512], after[from:])
					}
				}
				frames, got, trouble := scan(data, c.salt, 0)
				want, wantEnd := 1, at
				if bytes.Equal(data, after) {
					want, wantEnd = 2, end
				}
				if len(frames) != want || got != int64(wantEnd) || trouble != "" {
					t.Errorf("recycled %t, seed %d, sectors %b: %d frames, end %d, %q; want %d, %d", recycled, seed, kept, len(frames), got, trouble, want, wantEnd)
				}
			}
		}
	}
}

// Every prefix of the last frame ends the journal, unless a single bit of it is missing.
func TestTornPrefixes(t *testing.T) {
	t.Parallel()
	for _, recycled := range []bool{false, true} {
		c, before, after, at, end := torn(recycled, 700, 1)
		for n := range end - at {
			data := slices.Clone(before)
			copy(data[at:], after[at:at+n])
			missing := 0
			for i := range data {
				missing += bits.OnesCount8(data[i] ^ after[i])
			}
			frames, got, trouble := scan(data, c.salt, 0)
			switch {
			case missing == 0 && (len(frames) != 2 || trouble != ""),
				missing == 1 && trouble == "",
				missing > 1 && (len(frames) != 1 || got != int64(at) || trouble != ""):
				t.Errorf("recycled %t, %d of %d bytes, %d bits missing: %d frames, end %d, %q", recycled, n, end-at, missing, len(frames), got, trouble)
			}
		}
	}
}

// A torn frame at the end of a segment stays there when the journal goes on.
func TestTornFrameStays(t *testing.T) {
	t.Parallel()
	o := start(t)
	for range 4 {
		o.add(300, 1200)
		path := o.path(-1)
		data := read(t, path)
		_, end, _ := scan(data, o.segments[len(o.segments)-1].salt, 0)
		copy(data[end:], o.coder.appendFrame(nil, end, 1<<40, payload(1, 600))[:512])
		write(t, path, data)
		o.intact()
		o.reopen()
		o.intact()
	}
}

func TestScanRefusesOrder(t *testing.T) {
	t.Parallel()
	c := newCoder(Salt{5})
	data := (&header{number: 1, salt: c.salt, size: testSize}).append(nil)
	data = c.appendFrame(data, headerSize, 9, []byte("nine"))
	data = c.appendFrame(data, int64(len(data)), 9, []byte("nine again"))
	for after, want := range map[uint64]int{8: 1, 9: 0, 10: 0} {
		if frames, _, trouble := scan(data, c.salt, after); len(frames) != want || trouble == "" {
			t.Errorf("after %d: %d frames, %q; want %d and trouble", after, len(frames), trouble, want)
		}
	}
}

// Lengths at their limits neither panic nor take frames that are not there.
func TestLengths(t *testing.T) {
	t.Parallel()
	c := newCoder(Salt{5})
	for _, length := range []uint32{0, 1, 7, 8, 9, 1 << 20, 1<<30 - 1, 1 << 30, 1<<31 - 1, 1 << 31, 1<<32 - 25, 1<<32 - 8, 1<<32 - 1} {
		for _, room := range []int{0, 1, frameHeader - 1, frameHeader, frameHeader + 1, frameHeader + 8, 1000} {
			data := (&header{number: 1, salt: c.salt, size: testSize}).append(nil)
			data = append(data, c.salt[:8]...)
			data = append(data, byte(length), byte(length>>8), byte(length>>16), byte(length>>24))
			data = append(data, make([]byte, 1000)...)[:headerSize+room]
			if frames, _, trouble := scan(data, c.salt, 0); len(frames) > 0 || trouble != "" {
				t.Errorf("length %d, room %d: %s, %q", length, room, describe(frames), trouble)
			}
		}
	}
	for n := range headerSize {
		if frames, _, trouble := scan(make([]byte, n), c.salt, 0); len(frames) > 0 || trouble != "" {
			t.Errorf("%d bytes: %s, %q", n, describe(frames), trouble)
		}
	}
	// A wrong length with a right checksum is none that was written.
	data := c.appendFrame(make([]byte, headerSize), headerSize, 1, nil)
	if frames, _, _ := scan(data, c.salt, 0); len(frames) > 0 {
		t.Error("a frame without a payload is valid")
	}
}

func ExampleSalt() {
	fmt.Println(Salt{}.IsZero(), Salt{1}.IsZero())
	// Output: true false
}

package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad puts arbitrary bytes into a segment: after a change at an offset, or instead of
// it. Whatever they are, no frame is returned that was not written.
func FuzzLoad(f *testing.F) {
	o := used(f)
	o.note()
	files := contents(f, o.dir)
	f.Add([]byte("text"), uint16(70), byte(1), false)
	f.Add([]byte{}, uint16(0), byte(0), true)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff}, uint16(headerSize+8), byte(2), false)
	for i := range o.list().segments {
		f.Add(read(f, o.path(i)), uint16(0), byte(i+1), true)
		f.Add(read(f, o.path(i))[:700], uint16(headerSize), byte(i), false)
	}
	mark, written := o.mark, make(map[uint64]Frame)
	for _, frame := range o.frames {
		written[frame.Batch] = frame
	}
	segments := o.list().segments
	f.Fuzz(func(t *testing.T, data []byte, at uint16, index byte, whole bool) {
		dir := t.TempDir()
		for name, data := range files {
			write(t, filepath.Join(dir, name), data)
		}
		path := filepath.Join(dir, segmentName(segments[int(index)%len(segments)]))
		if !whole {
			changed := read(t, path)
			copy(changed[min(int(at), len(changed)):], data)
			data = changed
		}
		write(t, path, data)
		for _, m := range []Mark{mark, {Salt: mark.Salt}, {Salt: mark.Salt, Merged: mark.Last}} {
			frames, err := Read(dir, m)
			for i, got := range frames {
				want, ok := written[got.Batch]
				if got.Batch > 9 && (!ok || !equalFrames([]Frame{got}, []Frame{want})) || i > 0 && got.Batch <= frames[i-1].Batch {
					t.Errorf("got %s", describe(frames))
				}
			}
			if err == nil && m == mark && len(frames) != len(o.frames) {
				t.Errorf("got %s and no error; want %s", describe(frames), describe(o.frames))
			}
		}
		m := mark
		m.Closed = true
		if j, frames, err := open(&unsynced, dir, m, testSize); err == nil {
			if len(frames) > 0 {
				t.Errorf("got %s of a closed journal", describe(frames))
			}
			j.Close()
		}
		os.RemoveAll(dir)
	})
}

// FuzzScan scans arbitrary bytes with the salt that they name.
func FuzzScan(f *testing.F) {
	o := used(f)
	for i := range o.list().segments {
		f.Add(read(f, o.path(i)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, valid := parseHeader(data)
		if !valid {
			if h = mendHeader(data); h.salt.IsZero() && len(data) >= 40 {
				copy(h.salt[:], data[24:])
			}
		}
		frames, end, _ := scan(data, h.salt, h.after)
		if end > int64(len(data)) {
			t.Fatalf("the end is %d of %d bytes", end, len(data))
		}
		if len(data) < headerSize {
			return
		}
		// The frames are those that these bytes are written for.
		c := newCoder(h.salt)
		again := append([]byte{}, data[:headerSize]...)
		for _, frame := range frames {
			again = c.appendFrame(again, int64(len(again)), frame.Batch, frame.Payload)
		}
		if string(again[:headerSize]) != string(data[:headerSize]) || int64(len(again)) != end {
			t.Fatalf("%s end at %d, but at %d when they are written again", describe(frames), end, len(again))
		}
		rest, _, _ := scan(again, h.salt, h.after)
		if !equalFrames(rest, frames) {
			t.Fatalf("got %s; want %s", describe(rest), describe(frames))
		}
	})
}

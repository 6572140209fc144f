package journal

import (
	"fmt"
	"path/filepath"
	"testing"
)

func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		for name, sys := range map[string]*system{"sync": &realSystem, "no sync": &unsynced} {
			b.Run(fmt.Sprintf("%d bytes, %s", size, name), func(b *testing.B) {
				j, _, err := open(sys, filepath.Join(b.TempDir(), "journal"), Mark{Closed: true}, SegmentSize)
				if err != nil {
					b.Fatal(err)
				}
				defer j.Close()
				text := payload(1, size)
				batch := uint64(0)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					batch++
					if err := j.Append(batch, text); err != nil {
						b.Fatal(err)
					}
					if batch%1000 == 0 {
						salt, last := j.Salt()
						if err := j.Trim(Mark{Salt: salt, Merged: last, Last: last}); err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// full returns a segment full of frames.
func full(size int) (data []byte, salt Salt) {
	c := newCoder(Salt{1, 2, 3, 4, 5, 6, 7, 8})
	data = (&header{number: 1, salt: c.salt, size: SegmentSize}).append(nil)
	for batch := uint64(1); int64(len(data))+frameSize(int64(size)) <= SegmentSize; batch++ {
		data = c.appendFrame(data, int64(len(data)), batch, payload(1, size))
	}
	return append(data, make([]byte, SegmentSize-len(data))...), c.salt
}

func BenchmarkScan(b *testing.B) {
	for _, size := range []int{200, 20_000} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			data, salt := full(size)
			b.SetBytes(SegmentSize)
			for b.Loop() {
				if frames, _, trouble := scan(data, salt, 0); len(frames) == 0 || trouble != "" {
					b.Fatal(trouble)
				}
			}
		})
	}
	b.Run("torn at the begin", func(b *testing.B) { // looks for one flipped bit, and for another frame
		c := newCoder(Salt{1, 2, 3, 4, 5, 6, 7, 8})
		data := (&header{number: 1, salt: c.salt, size: SegmentSize}).append(nil)
		data = c.appendFrame(data, headerSize, 1, payload(1, SegmentSize-headerSize-frameHeader))
		clear(data[1<<20:][:512])
		b.SetBytes(SegmentSize)
		for b.Loop() {
			if frames, _, trouble := scan(data, c.salt, 0); len(frames) > 0 || trouble != "" {
				b.Fatal(trouble)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	j, _, err := open(&unsynced, filepath.Join(b.TempDir(), "journal"), Mark{Closed: true}, SegmentSize)
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	m := Mark{}
	m.Salt, _ = j.Salt()
	for batch := range uint64(8 * SegmentSize / 1100) {
		if err := j.Append(batch+1, payload(batch, 1000)); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(j.Size())
	for b.Loop() {
		if _, err := Read(j.dir, m); err != nil {
			b.Fatal(err)
		}
	}
}

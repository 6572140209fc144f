package picture

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// Strip copies a picture that is kept as it came, without what it says beside its pixels: where and
// when it was taken, with what, and by whom. It returns how many bytes it has written.
//
//   - Of JPEG, PNG, GIF and WebP it keeps what makes the pixels, the colour profile, the density,
//     and the orientation, which it writes anew. Everything else goes: Exif, XMP, IPTC, comments,
//     thumbnails, what it does not know, and whatever is behind the end, such as the film of a
//     moving photo.
//   - Pixels are not decoded: they stay what they are, byte for byte. Somebody who wants to hide a
//     text there can.
//   - A picture that has been cut short is kept as far as it goes.
//   - In HEIC, AVIF, CR3, MP4 and MOV it overwrites Exif, XMP and boxes with a place, and moves
//     nothing. What is among the samples of a film stays.
//
// The error is a *RefusedError if the file is not copied: with Unknown it has another format,
// such as TIFF, or says nothing of this, and may be kept as it is; with Broken it is one of these formats,
// but its structure makes no sense, so nobody knows what it says. Any other error wraps what reading or writing returned.
// After an error the output is of no use.
//
// It reads the file once or twice, in order, and takes under 300 KiB of memory. Calls do not
// depend on each other.
func Strip(to io.Writer, source io.ReaderAt, size int64) (written int64, err error) {
	in := &input{source: source, size: size}
	o := &output{to: to, max: math.MaxInt64}
	s := &stripper{source: in, in: in.reader(), out: bufio.NewWriterSize(o, bufferSize)}
	f, err := in.format()
	switch {
	case err == nil:
		err = f.strip(s)
	case in.isBoxes():
		err = stripBoxes(s)
	}
	if s.begun {
		err = nil // it ends where its structure does
	}
	if err == nil {
		err = s.out.Flush()
	}
	switch {
	case in.err != nil:
		return 0, fmt.Errorf("read the picture: %w", in.err)
	case o.err != nil:
		return 0, fmt.Errorf("write a picture: %w", o.err)
	case err != nil:
		return 0, refusal(err)
	}
	return o.size, nil
}

// stripper copies a picture. Whatever ends it after its pixels have begun is the end of the picture:
// errors of reading and writing are kept by the input and the output.
type stripper struct {
	source *input
	in     *bufio.Reader
	out    *bufio.Writer
	begun  bool   // pixels have
	exif   bool   // there was one; the first counts
	body   []byte // of a segment of JPEG; reused
}

// errNoPixels means that a picture ends before its pixels.
var errNoPixels = errors.New("it has no pixels")

// put writes bytes.
func (s *stripper) put(b ...byte) error {
	_, err := s.out.Write(b)
	return err
}

// copy copies bytes. It writes all that there are, also if these are fewer.
func (s *stripper) copy(n int64) error {
	_, err := io.CopyN(s.out, s.in, n)
	return err
}

// discard skips bytes.
func (s *stripper) discard(n int64) error {
	for n > 0 {
		skipped, err := s.in.Discard(int(min(n, 1<<30)))
		if err != nil {
			return err
		}
		n -= int64(skipped)
	}
	return nil
}

// turned returns Exif with nothing but the orientation of the given one. It is nil if a picture
// with it is upright, or had Exif before, which counts.
func (s *stripper) turned(exif []byte) []byte {
	o := exifOrientation(exif)
	if s.exif || o == upright {
		s.exif = true
		return nil
	}
	s.exif = true
	b := []byte("MM\x00*\x00\x00\x00\x08\x00\x01") // a directory at 8 with one entry
	b = binary.BigEndian.AppendUint16(b, orientationTag)
	b = binary.BigEndian.AppendUint16(b, shortType)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint16(b, uint16(o))
	return append(b, 0, 0, 0, 0, 0, 0) // of the entry, and no other directory
}

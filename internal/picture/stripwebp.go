package picture

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
)

// More of WebP, RFC 9649.
const (
	webpExif = 8 // flags of a chunk VP8X, 2.7.1
	webpXMP  = 4
	vp8xSize = 10 // of its chunk, in bytes
	anmfSize = 16 // of a frame of an animation, before its own chunks, in bytes
)

// maxChunks bounds the chunks of a WebP, each of which is a read.
const maxChunks = 100_000

// framed are the chunks with pixels, of a picture or of a frame.
var framed = []string{"VP8 ", "VP8L", "ALPH"}

// webpStripper copies a WebP.
type webpStripper struct {
	*stripper
	extended bool   // it has a chunk VP8X
	pixels   bool   // it has some
	exif     []byte // that is written; nil for none
	left     int    // chunks
}

// stripWebP keeps the chunks that make pixels, of frames, too, and the colour profile. It goes over
// them several times, since lengths are in front.
func stripWebP(s *stripper) error {
	begin := make([]byte, riffHeader)
	if _, err := s.source.ReadAt(begin, 0); err != nil {
		return err
	}
	end := min(s.source.size, 8+int64(binary.LittleEndian.Uint32(begin[4:])))
	all := io.NewSectionReader(s.source, riffHeader, max(end-riffHeader, 0))
	w := &webpStripper{stripper: s, left: maxChunks}
	if err := w.chunks(all, w.look); err != nil {
		return err
	}
	if !w.pixels {
		return errNoPixels
	}
	if !w.extended {
		w.exif = nil
	}
	length, err := w.size(all, false)
	if err != nil {
		return err
	}
	length += 4 // "WEBP"
	if w.exif != nil {
		length += riffChunk + int64(len(w.exif))
	}
	binary.LittleEndian.PutUint32(begin[4:], uint32(length))
	if err := s.put(begin...); err != nil {
		return err
	}
	if err := w.write(all, false); err != nil || w.exif == nil {
		return err
	}
	if err := w.header("EXIF", int64(len(w.exif))); err != nil {
		return err
	}
	return s.put(w.exif...) // of an even length
}

// chunks calls a function for each chunk. The last one may be cut.
func (w *webpStripper) chunks(of *io.SectionReader, visit func(kind string, body *io.SectionReader) error) error {
	begin := make([]byte, riffChunk)
	for at := int64(0); at+riffChunk <= of.Size(); {
		if w.left--; w.left < 0 {
			return refuse(Broken, "a WebP of over %d chunks", maxChunks)
		}
		if _, err := of.ReadAt(begin, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		length := int64(binary.LittleEndian.Uint32(begin[4:]))
		at += riffChunk
		body := io.NewSectionReader(of, at, min(length, of.Size()-at))
		if err := visit(string(begin[:4]), body); err != nil {
			return err
		}
		at += length + length&1
	}
	return nil
}

// look learns what there is.
func (w *webpStripper) look(kind string, body *io.SectionReader) error {
	switch kind {
	case "VP8X":
		w.extended = w.extended || keeps(kind, body, false)
	case "VP8 ", "VP8L", "ANMF":
		w.pixels = w.pixels || keeps(kind, body, false)
	case "EXIF":
		if w.stripper.exif || body.Size() > maxExif {
			return nil
		}
		exif, err := io.ReadAll(body)
		if err != nil {
			return err
		}
		w.exif = w.turned(exif)
	}
	return nil
}

// keeps reports whether a chunk is kept.
func keeps(kind string, body *io.SectionReader, inFrame bool) bool {
	switch {
	case slices.Contains(framed, kind):
		return true
	case inFrame:
		return false
	case kind == "VP8X":
		return body.Size() >= vp8xSize
	case kind == "ANMF":
		return body.Size() >= anmfSize
	}
	return kind == "ICCP" || kind == "ANIM"
}

// size returns the length of the chunks that are kept, in bytes.
func (w *webpStripper) size(of *io.SectionReader, inFrame bool) (length int64, err error) {
	err = w.chunks(of, func(kind string, body *io.SectionReader) error {
		if !keeps(kind, body, inFrame) {
			return nil
		}
		n, err := w.bodySize(kind, body)
		length += riffChunk + n + n&1
		return err
	})
	return length, err
}

// bodySize returns the length of what is kept of a chunk.
func (w *webpStripper) bodySize(kind string, body *io.SectionReader) (int64, error) {
	switch kind {
	case "VP8X":
		return vp8xSize, nil
	case "ANMF":
		n, err := w.size(ownChunks(body), true)
		return anmfSize + n, err
	}
	return body.Size(), nil
}

// ownChunks are those of a frame.
func ownChunks(frame *io.SectionReader) *io.SectionReader {
	return io.NewSectionReader(frame, anmfSize, frame.Size()-anmfSize)
}

// write writes the chunks that are kept.
func (w *webpStripper) write(of *io.SectionReader, inFrame bool) error {
	return w.chunks(of, func(kind string, body *io.SectionReader) error {
		if !keeps(kind, body, inFrame) {
			return nil
		}
		n, err := w.bodySize(kind, body)
		if err != nil {
			return err
		}
		if err := w.header(kind, n); err != nil {
			return err
		}
		switch kind {
		case "VP8X":
			err = w.flags(body)
		case "ANMF":
			if _, err = io.CopyN(w.out, body, anmfSize); err == nil {
				err = w.write(ownChunks(body), true)
			}
		default:
			_, err = io.CopyN(w.out, body, n)
		}
		if err == nil && n&1 != 0 {
			err = w.put(0)
		}
		return err
	})
}

// header writes the beginning of a chunk.
func (w *webpStripper) header(kind string, n int64) error {
	return w.put(binary.LittleEndian.AppendUint32([]byte(kind), uint32(n))...)
}

// flags writes the body of a chunk VP8X, with the flags of what there is.
func (w *webpStripper) flags(body *io.SectionReader) error {
	b := make([]byte, vp8xSize)
	if _, err := io.ReadFull(body, b); err != nil {
		return err
	}
	b[0] &^= webpExif | webpXMP
	if w.exif != nil {
		b[0] |= webpExif
	}
	return w.put(b...)
}

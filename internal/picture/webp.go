package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"io"

	"golang.org/x/image/webp"
)

const (
	riffHeader = 12 // bytes
	riffChunk  = 8  // bytes before a chunk's own
	// webpAnimated is the flag of a chunk VP8X, RFC 9649, 2.7.1.
	webpAnimated = 2
	// webpPixel is what decoding takes for a pixel, in bytes, without and with alpha. A
	// picture without losses, and the alpha of one with them, are decoded to 4 bytes and
	// changed as often.
	webpPixel, webpAlphaPixel = 2, 8
	// webpQuality is the quality of the JPEG that is made from a picture with losses. Its
	// own one is not comparable.
	webpQuality = 90
)

// inspectWebP looks at the header of the frame itself: the decoder trusts that of the
// container only for its own purposes.
func inspectWebP(in *input, _ limits) (header, error) {
	var c webpChunks
	if err := c.read(in); err != nil {
		return header{}, err
	}
	if c.animated {
		return header{}, refuse(Unknown, "a WebP that moves")
	}
	if c.frame == (image.Point{}) || c.canvas != (image.Point{}) && c.canvas != c.frame {
		return header{}, refuse(Broken, "a frame of %v on a canvas of %v", c.frame, c.canvas)
	}
	h := header{
		width: c.frame.X, height: c.frame.Y, frames: 1, quality: webpQuality, lossy: c.lossy,
		orientation: exifOrientation(c.exif), profile: parseProfile(c.profile),
	}
	size := int64(webpPixel)
	if c.alpha || !c.lossy {
		size = webpAlphaPixel
	}
	h.memory = size * int64(h.width) * int64(h.height)
	return h, nil
}

func decodeWebP(in *input, h header) (decoded, error) {
	img, err := webp.Decode(in.reader())
	if err != nil {
		return decoded{}, err
	}
	return still(img, h)
}

// webpChunks is what the chunks of RFC 9649 say beside the pixels.
type webpChunks struct {
	canvas, frame          image.Point // zero if there is none
	animated, lossy, alpha bool
	exif, profile          []byte
}

// read reads all chunks: Exif is behind the pixels.
func (c *webpChunks) read(in *input) error {
	begin := make([]byte, riffChunk)
	for at := int64(riffHeader); at+riffChunk <= in.size; {
		if _, err := in.ReadAt(begin, at); err != nil {
			return err
		}
		kind, length := string(begin[:4]), int64(binary.LittleEndian.Uint32(begin[4:]))
		body := io.NewSectionReader(in, at+riffChunk, min(length, in.size-at-riffChunk))
		if err := c.chunk(kind, body); err != nil {
			return err
		}
		at += riffChunk + length + length&1
	}
	return nil
}

func (c *webpChunks) chunk(kind string, body *io.SectionReader) error {
	begin := make([]byte, min(body.Size(), 10))
	if _, err := io.ReadFull(body, begin); err != nil {
		return err
	}
	known := c.frame != image.Point{} // the first frame counts, as for the decoder
	switch kind {
	case "VP8X":
		if len(begin) == 10 {
			c.animated = c.animated || begin[0]&webpAnimated != 0
			c.canvas = image.Pt(1+uint24(begin[4:]), 1+uint24(begin[7:]))
		}
	case "ANIM", "ANMF":
		c.animated = true
	case "ALPH":
		c.alpha = true
	case "VP8 ": // RFC 6386, 9.1
		if !known && len(begin) == 10 {
			c.lossy = true
			c.frame = image.Pt(int(binary.LittleEndian.Uint16(begin[6:]))&0x3fff, int(binary.LittleEndian.Uint16(begin[8:]))&0x3fff)
		}
	case "VP8L": // RFC 9649, 3.4
		if !known && len(begin) >= 5 {
			bits := binary.LittleEndian.Uint32(begin[1:])
			c.frame = image.Pt(1+int(bits&0x3fff), 1+int(bits>>14&0x3fff))
		}
	case "EXIF", "ICCP":
		return c.metadata(kind, begin, body)
	}
	return nil
}

// metadata takes the body of a chunk, if it is not too long. It has begun.
func (c *webpChunks) metadata(kind string, begin []byte, body *io.SectionReader) error {
	if body.Size() > maxProfile {
		return nil
	}
	rest, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	text := bytes.Join([][]byte{begin, rest}, nil)
	switch {
	case kind == "EXIF" && c.exif == nil:
		c.exif = text
	case kind == "ICCP" && c.profile == nil:
		c.profile = text
	}
	return nil
}

func uint24(b []byte) int { return int(b[0]) | int(b[1])<<8 | int(b[2])<<16 }

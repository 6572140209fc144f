package picture

import (
	"bufio"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"io"
)

// Blocks of GIF89a, appendix A.
const (
	gifExtension = 0x21
	gifText      = 0x01
	gifImage     = 0x2c
	gifTrailer   = 0x3b
)

const (
	gifScreen     = 13 // the header and the logical screen descriptor, in bytes
	gifDescriptor = 9
	// gifTextHeader is what the decoder skips of an extension with a text, whatever its
	// length says.
	gifTextHeader = 13
	gifTable      = 0x80 // the flag for a table of colours
)

// inspectGIF counts the frames and their pixels: the decoder keeps all of them, with a
// byte for each pixel.
func inspectGIF(in *input, l limits) (header, error) {
	r := in.reader()
	screen := make([]byte, gifScreen)
	if _, err := io.ReadFull(r, screen); err != nil {
		return header{}, err
	}
	h := header{
		width:  int(binary.LittleEndian.Uint16(screen[6:])),
		height: int(binary.LittleEndian.Uint16(screen[8:])), orientation: upright,
	}
	if err := skipTable(r, screen[10]); err != nil {
		return header{}, err
	}
	for l.allow(h) == nil {
		kind, err := r.ReadByte()
		if err != nil {
			return header{}, err
		}
		switch kind {
		case gifTrailer:
			return h, nil
		case gifExtension:
			err = skipExtension(r)
		case gifImage:
			var pixels int64
			pixels, err = skipImage(r)
			h.frames++
			h.memory += pixels
		default:
			err = refuse(Broken, "GIF has no block %#x", kind)
		}
		if err != nil {
			return header{}, err
		}
	}
	return h, nil
}

func skipTable(r *bufio.Reader, flags byte) (err error) {
	if flags&gifTable != 0 {
		_, err = r.Discard(3 << (1 + flags&7))
	}
	return err
}

func skipExtension(r *bufio.Reader) error {
	label, err := r.ReadByte()
	if err != nil {
		return err
	}
	if label == gifText {
		if _, err := r.Discard(gifTextHeader); err != nil {
			return err
		}
	}
	return skipBlocks(r)
}

// skipImage returns how many pixels the frame has.
func skipImage(r *bufio.Reader) (pixels int64, err error) {
	d := make([]byte, gifDescriptor)
	if _, err := io.ReadFull(r, d); err != nil {
		return 0, err
	}
	if err := skipTable(r, d[8]); err != nil {
		return 0, err
	}
	if _, err := r.ReadByte(); err != nil { // the size of codes
		return 0, err
	}
	return int64(binary.LittleEndian.Uint16(d[4:])) * int64(binary.LittleEndian.Uint16(d[6:])), skipBlocks(r)
}

// skipBlocks skips up to and including an empty block.
func skipBlocks(r *bufio.Reader) error {
	for {
		n, err := r.ReadByte()
		if n == 0 || err != nil {
			return err
		}
		if _, err := r.Discard(int(n)); err != nil {
			return err
		}
	}
}

func decodeGIF(in *input, h header) (decoded, error) {
	all, err := gif.DecodeAll(in.reader())
	if err != nil {
		return decoded{}, err
	}
	if len(all.Image) != h.frames || all.Config.Width != h.width || all.Config.Height != h.height {
		return decoded{}, refuse(Broken, "%d frames of %d x %d, announced as %d of %d x %d",
			len(all.Image), all.Config.Width, all.Config.Height, h.frames, h.width, h.height)
	}
	for _, frame := range all.Image {
		oneTransparent(frame)
	}
	return decoded{header: h, still: all.Image[0], animation: all}, nil
}

// oneTransparent has all transparent pixels of a frame use one colour. The decoder may
// make several, and the encoder lets only the first be transparent.
func oneTransparent(frame *image.Paletted) {
	first := -1
	var to [256]byte
	several := false
	for i, c := range frame.Palette {
		to[i] = byte(i)
		if c != (color.RGBA{}) {
			continue
		}
		if first < 0 {
			first = i
		}
		several = several || i != first
		to[i] = byte(first)
	}
	if !several {
		return
	}
	for i, v := range frame.Pix {
		frame.Pix[i] = to[v]
	}
}

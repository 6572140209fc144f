package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"
)

// The samples are made here, so that nothing in them is unknown.

// corners returns a picture of four colours, one in each quarter: red and green above,
// blue and white below.
func corners(width, height int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			m.SetRGBA(x, y, cornerColours[x*2/width+y*2/height*2])
		}
	}
	return m
}

var cornerColours = [4]color.RGBA{{230, 20, 20, 255}, {20, 200, 20, 255}, {20, 20, 220, 255}, {250, 250, 250, 255}}

func jpegOf(t testing.TB, m image.Image, quality int, segments ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return withSegments(b.Bytes(), segments...)
}

// withSegments puts segments behind the beginning of a JPEG.
func withSegments(file []byte, segments ...[]byte) []byte {
	return bytes.Join([][]byte{file[:2], bytes.Join(segments, nil), file[2:]}, nil)
}

func segment(marker byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(all)+2)), all...)
}

func pngOf(t testing.TB, m image.Image, chunks ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return withChunks(b.Bytes(), chunks...)
}

// withChunks puts chunks behind the header of a PNG.
func withChunks(file []byte, chunks ...[]byte) []byte {
	const header = 8 + 25
	return bytes.Join([][]byte{file[:header], bytes.Join(chunks, nil), file[header:]}, nil)
}

func chunk(kind string, body []byte) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	c = append(append(c, kind...), body...)
	return binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
}

// emptyPNG is the beginning of a PNG of some size, with pixels that are missing.
func emptyPNG(width, height uint32, depth, colour, interlace byte) []byte {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, width), height)
	header = append(header, depth, colour, 0, 0, interlace)
	return bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), chunk("IHDR", header), chunk("IDAT", nil), chunk("IEND", nil)}, nil)
}

// gifOf returns an animation whose frames are squares of a colour that wander over a canvas.
func gifOf(t testing.TB, width, height, frames int) []byte {
	t.Helper()
	palette := color.Palette{color.RGBA{}, color.RGBA{200, 30, 30, 255}, color.RGBA{30, 160, 30, 255}, color.RGBA{30, 30, 200, 255}}
	g := &gif.GIF{LoopCount: 0, Config: image.Config{Width: width, Height: height, ColorModel: palette}}
	for i := range frames {
		side := min(width, height) / 2
		at := image.Pt(i%(width-side+1), i%(height-side+1))
		m := image.NewPaletted(image.Rect(at.X, at.Y, at.X+side, at.Y+side), palette)
		for j := range m.Pix {
			m.Pix[j] = byte(1 + i%3)
		}
		g.Image, g.Delay, g.Disposal = append(g.Image, m), append(g.Delay, 10+i), append(g.Disposal, byte(1+i%3))
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withBlocks puts blocks behind the table of colours of a GIF from gifOf.
func withBlocks(file []byte, blocks ...[]byte) []byte {
	const header = gifScreen + 3*4
	return bytes.Join([][]byte{file[:header], bytes.Join(blocks, nil), file[header:]}, nil)
}

// extension returns an extension of GIF whose data is in blocks of at most 255 bytes.
func extension(label byte, begin, data []byte) []byte {
	b := append([]byte{gifExtension, label}, begin...)
	for len(data) > 0 {
		n := min(len(data), 255)
		b = append(append(b, byte(n)), data[:n]...)
		data = data[n:]
	}
	return append(b, 0)
}

// riff returns a WebP of some chunks.
func riff(chunks ...[]byte) []byte {
	body := append([]byte("WEBP"), bytes.Join(chunks, nil)...)
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

func riffChunkOf(kind string, body []byte) []byte {
	c := append(binary.LittleEndian.AppendUint32([]byte(kind), uint32(len(body))), body...)
	if len(body)%2 == 1 {
		c = append(c, 0)
	}
	return c
}

func vp8x(flags byte, width, height int) []byte {
	body := []byte{flags, 0, 0, 0}
	for _, n := range []int{width - 1, height - 1} {
		body = append(body, byte(n), byte(n>>8), byte(n>>16))
	}
	return riffChunkOf("VP8X", body)
}

// vp8l returns a chunk with a picture of one colour, without losses. Each Huffman code has
// one symbol, so that a pixel takes no bits.
func vp8l(width, height int, c color.NRGBA) []byte {
	var w bitWriter
	w.put(0x2f, 8)
	w.put(uint64(width-1), 14)
	w.put(uint64(height-1), 14)
	w.put(1, 1) // alpha
	w.put(0, 3) // version
	w.put(0, 3) // no transform, no cache, no groups
	for _, symbol := range []uint8{c.G, c.R, c.B, c.A, 0} {
		w.put(1, 1) // a simple code
		w.put(0, 1) // of one symbol
		w.put(1, 1) // of 8 bits
		w.put(uint64(symbol), 8)
	}
	return riffChunkOf("VP8L", append(w.done(), 0))
}

// bitWriter writes the lowest bit first.
type bitWriter struct {
	bytes []byte
	n     int
}

func (w *bitWriter) put(v uint64, bits int) {
	for i := range bits {
		if w.n%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.n/8] |= byte(v>>i&1) << (w.n % 8)
		w.n++
	}
}

func (w *bitWriter) done() []byte { return w.bytes }

func unbase64(text string) []byte {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return b
}

// A pixel each, of WebP with losses, with losses and alpha, and one that moves.
var (
	webpLossy    = unbase64("UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA")
	webpAlpha    = unbase64("UklGRkoAAABXRUJQVlA4WAoAAAAQAAAAAAAAAAAAQUxQSAwAAAARBxAR/Q9ERP8DAABWUDggGAAAABQBAJ0BKgEAAQAAAP4AAA3AAP7mtQAAAA==")
	webpMoving   = unbase64("UklGRlIAAABXRUJQVlA4WAoAAAASAAAAAAAAAAAAQU5JTQYAAAD/////AABBTk1GJgAAAAAAAAAAAAAAAAAAAGQAAABWUDhMDQAAAC8AAAAQBxAREYiI/gcA")
	webpLossless = riff(vp8l(40, 30, color.NRGBA{200, 100, 50, 255}))
)

// flat describes a JPEG of one colour, which is short however large it is.
type flat struct {
	width, height int
	progressive   bool
	adobe         int // the transformation of a segment of Adobe, or -1
	components    []flatComponent
}

type flatComponent struct {
	sampling byte // horizontal and vertical factor
	value    uint8
}

func ycbcr(sampling byte, y, cb, cr uint8) []flatComponent {
	return []flatComponent{{sampling, y}, {0x11, cb}, {0x11, cr}}
}

// file writes it: twelve codes of 4 bits for DC, one of 1 bit for the end of a block. All
// blocks after the first ones are bits of zero.
func (f flat) file() []byte {
	b := []byte{0xff, 0xd8}
	if f.adobe >= 0 {
		b = append(b, segment(0xee, []byte("Adobe"), []byte{0, 100, 0, 0, 0, 0, byte(f.adobe)})...)
	}
	table := append([]byte{0, 8}, bytes.Repeat([]byte{1}, 63)...) // so that DC is the value less 128
	b = append(b, segment(markDQT, table)...)
	sof, scan := byte(markSOF0), []byte{0, 63, 0}
	if f.progressive {
		sof, scan = markSOF2, []byte{0, 0, 0}
	}
	frame := []byte{8, byte(f.height >> 8), byte(f.height), byte(f.width >> 8), byte(f.width), byte(len(f.components))}
	begin := []byte{byte(len(f.components))}
	across, down, blocks := 1, 1, 0
	for i, c := range f.components {
		frame = append(frame, byte(i+1), c.sampling, 0)
		begin = append(begin, byte(i+1), 0)
		across, down = max(across, int(c.sampling>>4)), max(down, int(c.sampling&15))
		blocks += int(c.sampling>>4) * int(c.sampling&15)
	}
	b = append(b, segment(sof, frame)...)
	b = append(b, segment(0xc4, []byte{0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})...)
	b = append(b, segment(0xc4, []byte{0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, []byte{0})...)
	b = append(b, segment(markSOS, begin, scan)...)
	var bits []byte
	put := func(v, n int) {
		for i := n - 1; i >= 0; i-- {
			bits = append(bits, byte(v>>i&1))
		}
	}
	block := 5
	if f.progressive {
		block = 4
	}
	for _, c := range f.components {
		for i := range int(c.sampling>>4) * int(c.sampling&15) {
			v := int(c.value) - 128
			size := 0
			for v>>size != 0 && -v>>size != 0 {
				size++
			}
			if i > 0 {
				v, size = 0, 0 // as the block before
			}
			put(size, 4)
			if v < 0 {
				v += 1<<size - 1
			}
			put(v, size)
			put(0, block-4)
		}
	}
	units := ((f.width + 8*across - 1) / (8 * across)) * ((f.height + 8*down - 1) / (8 * down))
	data := make([]byte, (len(bits)+(units-1)*blocks*block)/8+2)
	for i, bit := range bits {
		data[i/8] |= bit << (7 - i%8)
	}
	b = append(b, bytes.ReplaceAll(data, []byte{0xff}, []byte{0xff, 0})...)
	return append(b, 0xff, markEOI)
}

// resized returns a JPEG whose frame says another size.
func resized(file []byte, width, height int) []byte {
	file = bytes.Clone(file)
	at := max(bytes.Index(file, []byte{0xff, markSOF0, 0}), bytes.Index(file, []byte{0xff, markSOF2, 0})) + 5
	binary.BigEndian.PutUint16(file[at:], uint16(height))
	binary.BigEndian.PutUint16(file[at+2:], uint16(width))
	return file
}

// exifWith returns Exif with an orientation, a place and a secret.
func exifWith(order binary.AppendByteOrder, o uint16, secret string) []byte {
	b := []byte("II*\x00")
	if order == binary.AppendByteOrder(binary.BigEndian) {
		b = []byte("MM\x00*")
	}
	b = order.AppendUint32(b, 8)
	entry := func(tag, kind uint16, count, value uint32) {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, tag), kind), count)
		if kind == shortType {
			b = order.AppendUint16(order.AppendUint16(b, uint16(value)), 0)
		} else {
			b = order.AppendUint32(b, value)
		}
	}
	b = order.AppendUint16(b, 3)
	entry(0x010f, 2, uint32(len(secret)), 8+2+3*ifdEntry+4+2+ifdEntry+4) // the maker
	entry(orientationTag, shortType, 1, uint32(o))
	entry(0x8825, 4, 1, 8+2+3*ifdEntry+4) // where the place is
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, 1)
	entry(0x0001, 2, 2, uint32('N'))
	b = order.AppendUint32(b, 0)
	return append(b, secret...)
}

package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"testing"
)

var orders = []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}

func TestExifOrientation(t *testing.T) {
	for _, order := range orders {
		for o := range uint16(11) {
			want := orientation(o)
			if o < 1 || o > 8 {
				want = upright
			}
			exif := exifWith(order, o, "a maker")
			if got := exifOrientation(exif); got != want {
				t.Errorf("%v, %d: got %d", order, o, got)
			}
			if got := exifOrientation(append(exifMark, exif...)); got != want {
				t.Errorf("%v, %d, with the mark of JPEG: got %d", order, o, got)
			}
		}
	}
}

// What is broken is upright, and nothing beyond the end is read.
func TestBrokenExif(t *testing.T) {
	for _, order := range orders {
		good := exifWith(order, 6, "a maker")
		tag := 8 + 2 + ifdEntry // of the orientation
		for _, c := range []struct {
			name   string
			change func(b []byte)
		}{
			{"another byte order", func(b []byte) { b[0] = 'X' }},
			{"another number", func(b []byte) { b[2], b[3] = 43, 43 }},
			{"a directory beyond the end", func(b []byte) { order.AppendUint32(b[:4], 1<<32-1) }},
			{"a directory at the end", func(b []byte) { order.AppendUint32(b[:4], uint32(len(b))) }},
			{"no entries", func(b []byte) { order.AppendUint16(b[:8], 0) }},
			{"one entry less", func(b []byte) { order.AppendUint16(b[:8], 1) }},
			{"another tag", func(b []byte) { order.AppendUint16(b[:tag], 0x0113) }},
			{"a long", func(b []byte) { order.AppendUint16(b[:tag+2], 4) }},
			{"two values", func(b []byte) { order.AppendUint32(b[:tag+4], 2) }},
			{"over 8", func(b []byte) { order.AppendUint16(b[:tag+8], 9) }},
		} {
			b := bytes.Clone(good)
			c.change(b)
			if bytes.Equal(b, good) {
				t.Fatalf("%v, %s: nothing has changed", order, c.name)
			}
			if got := exifOrientation(b); got != upright {
				t.Errorf("%v, %s: got %d, want %d", order, c.name, got, upright)
			}
		}
		for n := range len(good) {
			want := upright
			if n >= tag+ifdEntry {
				want = 6
			}
			if got := exifOrientation(good[:n:n]); got != want {
				t.Errorf("%v, %d bytes: got %d, want %d", order, n, got, want)
			}
		}
		many := bytes.Clone(good)
		order.AppendUint16(many[:8], 1<<16-1) // entries, most of them beyond the end
		if got := exifOrientation(many); got != 6 {
			t.Errorf("%v, too many entries: got %d, want 6", order, got)
		}
	}
}

func FuzzExifOrientation(f *testing.F) {
	for _, order := range orders {
		f.Add(exifWith(order, 6, "a maker"))
	}
	f.Fuzz(func(t *testing.T, exif []byte) {
		if o := exifOrientation(exif); o < 1 || o > 8 {
			t.Errorf("got %d", o)
		}
	})
}

// seen is where a pixel of the upright picture is in the stored one, by the words of the
// specification: what the row and the column 0 are in the scene.
func seen(o orientation, x, y, width, height int) (int, int) {
	switch o {
	case 2: // top, right
		return width - 1 - x, y
	case 3: // bottom, right
		return width - 1 - x, height - 1 - y
	case 4: // bottom, left
		return x, height - 1 - y
	case 5: // left, top
		return y, x
	case 6: // right, top
		return y, height - 1 - x
	case 7: // right, bottom
		return width - 1 - y, height - 1 - x
	case 8: // left, bottom
		return width - 1 - y, x
	}
	return x, y
}

// Every kind of picture is turned exactly, also where it is a part of a larger one.
func TestUpright(t *testing.T) {
	const width, height = 72, 40 // of 4 samples and more than a tile
	fill := func(pix []byte, step int) {
		for i := range pix {
			pix[i] = byte(i*step + i/251)
		}
	}
	kinds := map[string]func() image.Image{
		"gray": func() image.Image {
			m := image.NewGray(image.Rect(0, 0, width+3, height+3))
			fill(m.Pix, 7)
			return m.SubImage(image.Rect(0, 0, width, height))
		},
		"paletted": func() image.Image {
			m := image.NewPaletted(image.Rect(0, 0, width, height), make(color.Palette, 256))
			for i := range m.Palette {
				m.Palette[i] = color.RGBA{byte(i), byte(255 - i), byte(i * 3), 255}
			}
			fill(m.Pix, 5)
			return m
		},
		"RGBA": func() image.Image {
			m := image.NewRGBA(image.Rect(0, 0, width, height))
			fill(m.Pix, 3)
			for i := 3; i < len(m.Pix); i += 4 {
				m.Pix[i] = 255
			}
			return m
		},
		"NRGBA": func() image.Image {
			m := image.NewNRGBA(image.Rect(0, 0, width, height))
			fill(m.Pix, 11)
			return m
		},
	}
	for ratio := image.YCbCrSubsampleRatio444; ratio <= image.YCbCrSubsampleRatio410; ratio++ {
		kinds[ratio.String()] = func() image.Image {
			m := image.NewYCbCr(image.Rect(0, 0, width+16, height+16), ratio)
			fill(m.Y, 3)
			fill(m.Cb, 5)
			fill(m.Cr, 7)
			return m.SubImage(image.Rect(0, 0, width, height))
		}
	}
	for name, kind := range kinds {
		for o := orientation(1); o <= 8; o++ {
			stored, got := kind(), o.upright(kind())
			want := image.Rect(0, 0, width, height)
			if o >= 5 {
				want = image.Rect(0, 0, height, width)
			}
			if got.Bounds() != want {
				t.Fatalf("%s, %d: it is %v, want %v", name, o, got.Bounds(), want)
			}
			for y := range want.Dy() {
				for x := range want.Dx() {
					sx, sy := seen(o, x, y, width, height)
					if g, w := rgba(got, x, y), rgba(stored, sx, sy); g != w {
						t.Fatalf("%s, %d: the pixel %d, %d is %v, want %v", name, o, x, y, g, w)
					}
				}
			}
		}
	}
}

func rgba(m image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
}

// An odd number of columns and rows is no problem, and every pixel is near its own.
func TestUprightOdd(t *testing.T) {
	m := image.NewYCbCr(image.Rect(0, 0, 13, 7), image.YCbCrSubsampleRatio420)
	for o := orientation(1); o <= 8; o++ {
		for i := range m.Cb {
			m.Cb[i], m.Cr[i] = byte(100+i), byte(150-i)
		}
		for i := range m.Y {
			m.Y[i] = byte(i)
		}
		stored := &image.YCbCr{
			Y: bytes.Clone(m.Y), Cb: bytes.Clone(m.Cb), Cr: bytes.Clone(m.Cr),
			YStride: m.YStride, CStride: m.CStride, SubsampleRatio: m.SubsampleRatio, Rect: m.Rect,
		}
		got := o.upright(stored).(*image.YCbCr)
		for y := range got.Rect.Dy() {
			for x := range got.Rect.Dx() {
				sx, sy := seen(o, x, y, 13, 7)
				if got.Y[got.YOffset(x, y)] != m.Y[m.YOffset(sx, sy)] {
					t.Fatalf("%d: the luma of %d, %d is another one", o, x, y)
				}
			}
		}
	}
}

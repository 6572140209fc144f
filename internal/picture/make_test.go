package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"
)

// made is a picture that has been made.
type made struct {
	Made
	picture, thumbnail []byte
}

func (l limits) try(file []byte) (made, error) {
	var picture, thumbnail bytes.Buffer
	m, err := l.make(bytes.NewReader(file), int64(len(file)), &picture, &thumbnail)
	return made{m, picture.Bytes(), thumbnail.Bytes()}, err
}

// mustMake makes a picture, and checks what is said of it and what else is in it.
func mustMake(t testing.TB, name string, file []byte) made {
	t.Helper()
	m, err := usual.try(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	checkMade(t, name, m)
	return m
}

// checkMade checks that outputs are what is said of them, and have nothing but pixels.
func checkMade(t testing.TB, name string, m made) {
	t.Helper()
	for _, o := range []struct {
		Rendition
		data []byte
		name string
	}{{m.Picture, m.picture, "picture"}, {m.Thumbnail, m.thumbnail, "thumbnail"}} {
		if (o.Rendition == Rendition{}) && len(o.data) == 0 && o.name == "thumbnail" {
			continue
		}
		config, format, err := image.DecodeConfig(bytes.NewReader(o.data))
		if err != nil {
			t.Fatalf("%s: the %s: %v", name, o.name, err)
		}
		if "image/"+format != o.Type.String() || config.Width != o.Width || config.Height != o.Height || int64(len(o.data)) != o.Size {
			t.Errorf("%s: the %s is %s of %d x %d in %d bytes, and not %+v", name, o.name, format, config.Width, config.Height, len(o.data), o.Rendition)
		}
		if _, _, err := image.Decode(bytes.NewReader(o.data)); err != nil {
			t.Errorf("%s: the %s: %v", name, o.name, err)
		}
		if err := onlyPixels(o.Type, o.data); err != nil {
			t.Errorf("%s: the %s: %v", name, o.name, err)
		}
	}
}

// onlyPixels reads the structure of an output by means of its own. Nothing may be there that
// does not make pixels, nor behind the end.
func onlyPixels(kind Type, data []byte) error {
	switch kind {
	case JPEG:
		return onlyPixelsJPEG(data)
	case PNG:
		return onlyPixelsPNG(data)
	}
	return onlyPixelsGIF(data)
}

func onlyPixelsJPEG(data []byte) error {
	if !bytes.HasPrefix(data, []byte{0xff, 0xd8}) {
		return errors.New("no beginning")
	}
	for data = data[2:]; ; {
		if len(data) < 4 || data[0] != 0xff {
			return errors.New("no marker")
		}
		n := 2 + int(binary.BigEndian.Uint16(data[2:]))
		switch data[1] {
		case 0xdb, 0xc0, 0xc4: // tables and a frame
			data = data[n:]
		case 0xda: // the scan, in which 0xff has a zero behind it
			data = data[n:]
			for i := 0; i+1 < len(data); i++ {
				if data[i] == 0xff && data[i+1] != 0 {
					if data[i+1] != 0xd9 || len(data) != i+2 {
						return fmt.Errorf("a marker %#x and %d bytes behind the scan", data[i+1], len(data)-i-2)
					}
					return nil
				}
			}
			return errors.New("no end")
		default:
			return fmt.Errorf("a marker %#x", data[1])
		}
	}
}

func onlyPixelsPNG(data []byte) error {
	for data = data[8:]; len(data) >= 12; {
		kind := string(data[4:8])
		if !slices.Contains([]string{"IHDR", "PLTE", "tRNS", "IDAT", "IEND"}, kind) {
			return fmt.Errorf("a chunk %q", kind)
		}
		data = data[12+binary.BigEndian.Uint32(data):]
		if kind == "IEND" && len(data) == 0 {
			return nil
		}
	}
	return fmt.Errorf("%d bytes at the end", len(data))
}

func onlyPixelsGIF(data []byte) error {
	table := func(flags byte) int {
		if flags&0x80 == 0 {
			return 0
		}
		return 3 << (1 + flags&7)
	}
	blocks := func() {
		for data[0] != 0 {
			data = data[1+int(data[0]):]
		}
		data = data[1:]
	}
	for data = data[13+table(data[10]):]; data[0] != 0x3b; {
		switch {
		case data[0] == 0x2c:
			data = data[10+table(data[9])+1:]
		case data[0] == 0x21 && data[1] == 0xf9:
			data = data[2:]
		case data[0] == 0x21 && data[1] == 0xff && string(data[3:14]) == "NETSCAPE2.0":
			data = data[2:]
		default:
			return fmt.Errorf("a block % x", data[:2])
		}
		blocks()
	}
	if len(data) != 1 {
		return fmt.Errorf("%d bytes behind the end", len(data)-1)
	}
	return nil
}

// pixel returns a pixel of a picture that has been encoded.
func pixel(t testing.TB, data []byte, x, y int) color.NRGBA {
	t.Helper()
	m, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
}

// near reports whether colours look the same.
func near(a, b color.NRGBA, by int) bool {
	for _, d := range []int{int(a.R) - int(b.R), int(a.G) - int(b.G), int(a.B) - int(b.B), int(a.A) - int(b.A)} {
		if d > by || d < -by {
			return false
		}
	}
	return true
}

func TestTypes(t *testing.T) {
	photo := corners(64, 48)
	transparent := image.NewNRGBA(image.Rect(0, 0, 20, 10))
	transparent.SetNRGBA(1, 1, color.NRGBA{200, 100, 50, 128})
	gray := image.NewGray16(image.Rect(0, 0, 30, 20))
	for i := range gray.Pix {
		gray.Pix[i] = byte(i)
	}
	for _, c := range []struct {
		name          string
		file          []byte
		want          Type
		width, height int
		frames        int
	}{
		{"JPEG", jpegOf(t, photo, 85), JPEG, 64, 48, 1},
		{"a gray JPEG", jpegOf(t, image.NewGray(image.Rect(0, 0, 9, 9)), 85), JPEG, 9, 9, 1},
		{"a progressive JPEG", flat{50, 40, true, -1, ycbcr(0x22, 90, 150, 120)}.file(), JPEG, 50, 40, 1},
		{"PNG", pngOf(t, photo), PNG, 64, 48, 1},
		{"PNG with alpha", pngOf(t, transparent), PNG, 20, 10, 1},
		{"PNG of 16 bits", pngOf(t, gray), PNG, 30, 20, 1},
		{"GIF", gifOf(t, 30, 20, 1), GIF, 30, 20, 1},
		{"an animated GIF", gifOf(t, 30, 20, 7), GIF, 30, 20, 7},
		{"WebP with losses", webpLossy, JPEG, 1, 1, 1},
		{"WebP with losses and alpha", webpAlpha, PNG, 1, 1, 1},
		{"WebP without losses", webpLossless, PNG, 40, 30, 1},
	} {
		m := mustMake(t, c.name, c.file)
		if got := m.Picture; got.Type != c.want || got.Width != c.width || got.Height != c.height || m.Frames != c.frames {
			t.Errorf("%s: got %+v with %d frames, want %s of %d x %d with %d", c.name, got, m.Frames, c.want, c.width, c.height, c.frames)
		}
	}
}

// Without losses every pixel stays what it was, and so does each frame of an animation.
func TestPixelsStay(t *testing.T) {
	photo := corners(64, 48)
	for i := range photo.Pix {
		if i%4 != 3 {
			photo.Pix[i] += byte(i * i)
		}
	}
	alpha := &image.NRGBA{Pix: bytes.Clone(photo.Pix), Stride: photo.Stride, Rect: photo.Rect}
	for i := 3; i < len(alpha.Pix); i += 4 {
		alpha.Pix[i] = byte(i / 4)
	}
	for name, want := range map[string]image.Image{"opaque": photo, "with alpha": alpha} {
		m := mustMake(t, name, pngOf(t, want))
		got, err := png.Decode(bytes.NewReader(m.picture))
		if err != nil {
			t.Fatal(err)
		}
		for y := range 48 {
			for x := range 64 {
				if g, w := color.NRGBAModel.Convert(got.At(x, y)), color.NRGBAModel.Convert(want.At(x, y)); g != w {
					t.Fatalf("%s: the pixel %d, %d is %v, want %v", name, x, y, g, w)
				}
			}
		}
	}
	file := gifOf(t, 30, 20, 7)
	m := mustMake(t, "GIF", file)
	want, err := gif.DecodeAll(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	got, err := gif.DecodeAll(bytes.NewReader(m.picture))
	if err != nil {
		t.Fatal(err)
	}
	if got.LoopCount != want.LoopCount || !slices.Equal(got.Delay, want.Delay) || !slices.Equal(got.Disposal, want.Disposal) || len(got.Image) != 7 {
		t.Errorf("the animation has changed: %d frames, %d loops, %v, %v", len(got.Image), got.LoopCount, got.Delay, got.Disposal)
	}
	for i := range got.Image {
		if got.Image[i].Rect != want.Image[i].Rect || !bytes.Equal(got.Image[i].Pix, want.Image[i].Pix) {
			t.Errorf("frame %d has changed", i)
		}
	}
}

// A phone's photo comes upright, whatever has the orientation, and the size is that of the
// upright one.
func TestOrientation(t *testing.T) {
	photo := corners(64, 48)
	for _, order := range orders {
		for o := orientation(1); o <= 8; o++ {
			exif := exifWith(order, uint16(o), "a maker")
			files := map[string][]byte{
				"JPEG": jpegOf(t, photo, 95, segment(markAPP1, exifMark, exif)),
				"JPEG with two": jpegOf(t, photo, 95, segment(markAPP1, []byte("http://ns.adobe.com/xap/1.0/\x00x")),
					segment(markAPP1, exifMark, exif), segment(markAPP1, exifMark, exifWith(order, 3, "another"))),
				"PNG": pngOf(t, photo, chunk("eXIf", exif)),
			}
			for name, file := range files {
				m := mustMake(t, name, file)
				width, height := 64, 48
				if o >= 5 {
					width, height = 48, 64
				}
				if m.Picture.Width != width || m.Picture.Height != height {
					t.Fatalf("%s, %d: %d x %d, want %d x %d", name, o, m.Picture.Width, m.Picture.Height, width, height)
				}
				for _, at := range []image.Point{{5, 5}, {width - 6, 5}, {5, height - 6}, {width - 6, height - 6}} {
					x, y := seen(o, at.X, at.Y, 64, 48)
					c := photo.RGBAAt(x, y)
					if got := pixel(t, m.picture, at.X, at.Y); !near(got, color.NRGBA(c), 12) {
						t.Errorf("%s, %d: the pixel %v is %v, want %v", name, o, at, got, c)
					}
				}
			}
		}
	}
	webp := riff(vp8x(8, 40, 30), vp8l(40, 30, color.NRGBA{1, 2, 3, 255}), riffChunkOf("EXIF", exifWith(binary.LittleEndian, 6, "a maker")))
	if m := mustMake(t, "WebP", webp); m.Picture.Width != 30 || m.Picture.Height != 40 {
		t.Errorf("WebP: %+v, want 30 x 40", m.Picture)
	}
	end := pngOf(t, photo)
	end = append(end[:len(end)-12:len(end)-12], append(chunk("eXIf", exifWith(binary.BigEndian, 6, "")), chunk("IEND", nil)...)...)
	if m := mustMake(t, "PNG", end); m.Picture.Width != 48 {
		t.Errorf("PNG with Exif behind the pixels: %+v, want 48 x 64", m.Picture)
	}
}

const secret = "51.4778N 0.0014W <script>alert('secret')</script>"

// html and zip make of a file something else as well.
var (
	html = []byte("<!DOCTYPE html><html><script>alert('" + secret + "')</script></html>")
	zip  = []byte("PK\x03\x04\x14\x00\x00\x00\x00\x00" + secret + "PK\x05\x06" + strings.Repeat("\x00", 18))
)

// hiding returns files that have a secret wherever a format has a place for it.
func hiding(t testing.TB) map[string][]byte {
	photo := corners(724, 40) // with a thumbnail
	exif := exifWith(binary.LittleEndian, 6, secret)
	files := make(map[string][]byte)
	j := jpegOf(t, photo, 85)
	for name, s := range map[string][]byte{
		"Exif": segment(markAPP1, exifMark, exif), "XMP": segment(markAPP1, []byte("http://ns.adobe.com/xap/1.0/\x00"+secret)),
		"a profile": segment(markAPP2, profileMark, []byte(secret)), "IPTC": segment(0xed, []byte("Photoshop 3.0\x008BIM\x04\x04\x00\x00"+secret)),
		"JFIF with a thumbnail": segment(0xe0, []byte("JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x01\x01"+secret)),
		"a comment":             segment(0xfe, html), "APP15": segment(0xef, html), "Adobe": segment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x01"+secret)),
		"between segments": append(segment(0xfe), secret...),
	} {
		files["JPEG: "+name] = withSegments(j, s)
	}
	files["JPEG: behind the scan"] = append(append(bytes.Clone(j[:len(j)-2]), html...), 0xff, markEOI)
	p := pngOf(t, photo)
	for name, c := range map[string][]byte{
		"eXIf": chunk("eXIf", exif), "tEXt": chunk("tEXt", []byte("Comment\x00"+secret)), "iTXt": chunk("iTXt", []byte("XML:com.adobe.xmp\x00\x00\x00\x00\x00"+secret)),
		"zTXt": chunk("zTXt", []byte("Comment\x00\x00"+secret)), "iCCP": chunk("iCCP", []byte(secret+"\x00\x00"+secret)), "tIME": chunk("tIME", []byte(secret)),
		"another": chunk("seCr", html),
	} {
		files["PNG: "+name] = withChunks(p, c)
	}
	g := gifOf(t, 90, 60, 3)
	for name, e := range map[string][]byte{
		"a comment": extension(0xfe, nil, html), "XMP": extension(0xff, []byte("\x0bXMP DataXMP"), html),
		"a text of another length": extension(0x01, []byte("\xff\x00\x00\x00\x00\x00\x00\x00\x00\x08\x08\x01\x00"), html),
		"a text":                   extension(0x01, []byte("\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x08\x08\x01\x00"), html),
	} {
		files["GIF: "+name] = withBlocks(g, e)
	}
	w := vp8l(40, 30, color.NRGBA{1, 2, 3, 255})
	files["WebP: metadata"] = riff(vp8x(12, 40, 30), riffChunkOf("ICCP", []byte(secret)), w, riffChunkOf("EXIF", exif), riffChunkOf("XMP ", html))
	files["WebP: another"] = riff(vp8x(0, 40, 30), riffChunkOf("ABCD", html), w, riffChunkOf("EFGH", html))
	for name, file := range map[string][]byte{"JPEG": j, "PNG": p, "GIF": g, "WebP": webpLossless} {
		files[name+": HTML at the end"] = append(bytes.Clone(file), html...)
		files[name+": ZIP at the end"] = append(bytes.Clone(file), zip...)
	}
	return files
}

// Nothing comes through but pixels. checkMade sees what there is at all, and this test what
// it must not be.
func TestNothingElse(t *testing.T) {
	files := hiding(t)
	for name, file := range files {
		if !bytes.Contains(file, []byte(secret)) {
			t.Fatalf("%s: nothing is hidden", name)
		}
		m := mustMake(t, name, file)
		for _, data := range [][]byte{m.picture, m.thumbnail} {
			for _, s := range []string{secret, "script", "<html", "51.4778", "Exif", "http:", "ICC_", "PK\x03\x04"} {
				if bytes.Contains(data, []byte(s)) {
					t.Errorf("%s: the output has %q", name, s)
				}
			}
		}
	}
	if len(files) < 25 {
		t.Errorf("only %d files", len(files))
	}
}

// refusedAs returns why a file is refused, or what is wrong with that.
func refusedAs(file []byte, l limits) string {
	m, err := l.try(file)
	refused, ok := errors.AsType[*RefusedError](err)
	switch {
	case !ok:
		return fmt.Sprintf("%+v, %v", m.Made, err)
	case !errors.Is(err, ErrNotShown):
		return "not ErrNotShown"
	case m.Made != Made{}:
		return fmt.Sprintf("refused, and %+v", m.Made)
	}
	return refused.Reason.String()
}

func TestLimits(t *testing.T) {
	const huge = 100_000
	big := gifOf(t, 8, 8, 1)
	binary.LittleEndian.PutUint16(big[6:], 60_000)
	few := usual
	few.frames = 5
	heavy := usual
	heavy.memory = 10 * 16
	short := usual
	short.output = 100
	small := usual
	small.source = 100
	photo := flat{16, 16, false, -1, ycbcr(0x22, 1, 2, 3)}.file()
	full := flat{16, 16, false, -1, ycbcr(0x11, 1, 2, 3)}.file()
	progressive := flat{16, 16, true, -1, ycbcr(0x22, 1, 2, 3)}.file()
	fullProgressive := flat{16, 16, true, -1, ycbcr(0x11, 1, 2, 3)}.file()
	hidden := riff(vp8x(0, 1, 1), vp8l(4000, 4000, color.NRGBA{}))
	for _, c := range []struct {
		name   string
		file   []byte
		limits limits
		want   Reason
	}{
		{"nothing", nil, usual, Unknown},
		{"a text", []byte("hello"), usual, Unknown},
		{"SVG", []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), usual, Unknown},
		{"BMP", []byte("BM" + strings.Repeat("\x00", 60)), usual, Unknown},
		{"TIFF", exifWith(binary.LittleEndian, 1, ""), usual, Unknown},
		{"a sound", []byte("RIFF\x00\x00\x00\x00WAVEfmt "), usual, Unknown},
		{"a moving WebP", webpMoving, usual, Unknown},
		{"PNG of 100,000 x 100,000", emptyPNG(huge, huge, 8, 6, 0), usual, TooLarge},
		{"PNG of 1,000,000,000 x 1,000,000,000", emptyPNG(1e9, 1e9, 16, 6, 1), usual, TooLarge},
		{"PNG of no width", emptyPNG(0, 5, 8, 6, 0), usual, Broken},
		{"JPEG of 65,535 x 65,535", resized(photo, 65535, 65535), usual, TooLarge},
		{"JPEG of no height", resized(photo, 16, 0), usual, Broken},
		{"GIF of 60,000", big, usual, TooLarge},
		{"WebP of 16,384 x 16,384", riff(vp8l(16384, 16384, color.NRGBA{})), usual, TooLarge},
		{"WebP with a frame larger than the canvas", hidden, usual, Broken},
		{"a width over 30,000", emptyPNG(30_001, 1, 8, 0, 0), usual, TooLarge},
		{"a height over 30,000", emptyPNG(1, 30_001, 8, 0, 0), usual, TooLarge},
		{"over 50 megapixels", emptyPNG(8192, 6401, 8, 0, 0), usual, TooLarge},
		{"a progressive JPEG of 50 megapixels with all colours", resized(fullProgressive, 8192, 6144), usual, TooLarge},
		{"an interlaced PNG of 50 megapixels with 16 bits", emptyPNG(8192, 6144, 16, 6, 1), usual, TooLarge},
		{"frames", gifOf(t, 16, 16, 6), few, TooManyFrames},
		{"pixels of frames", gifOf(t, 8, 8, 11), heavy, TooLarge},
		{"10,000 frames", gifOf(t, 8, 8, 10_000), usual, TooManyFrames},
		{"a long output", pngOf(t, corners(64, 48)), short, TooLong},
		{"a long upload", pngOf(t, corners(64, 48)), small, TooLarge},
	} {
		if got := refusedAs(c.file, c.limits); got != c.want.String() {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	// This the decoder may not see.
	if _, err := inspectWebP(&input{source: bytes.NewReader(hidden), size: int64(len(hidden))}, usual); !errors.Is(err, ErrNotShown) {
		t.Errorf("a frame larger than the canvas: %v", err)
	}
	// What is just within a limit is shown.
	few.frames, heavy.memory = 6, 11*16
	for name, err := range map[string]error{
		"frames":           second(few.try(gifOf(t, 16, 16, 6))),
		"pixels of frames": second(heavy.try(gifOf(t, 8, 8, 11))),
		"a side":           second(usual.try(pngOf(t, image.NewGray(image.Rect(0, 0, 30_000, 1))))),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range map[string][]byte{
		"a camera of 50 megapixels":  resized(photo, 8192, 6144),
		"with all colours":           resized(full, 8192, 6144),
		"progressive":                resized(progressive, 8192, 6144),
		"progressive with all of 28": resized(fullProgressive, 6560, 4200),
		"PNG":                        emptyPNG(8192, 6144, 8, 6, 0),
		"PNG with 16 bits":           emptyPNG(8192, 6144, 16, 6, 0),
		"an interlaced PNG":          emptyPNG(8192, 6144, 8, 6, 1),
	} {
		in := &input{source: bytes.NewReader(file), size: int64(len(file))}
		f, err := in.format()
		if err != nil {
			t.Fatal(err)
		}
		h, err := f.inspect(in, usual)
		if err == nil {
			err = usual.allow(h)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A picture that was cut short is refused, wherever.
func TestTruncated(t *testing.T) {
	for name, file := range map[string][]byte{
		"JPEG":             jpegOf(t, corners(40, 30), 85, segment(markAPP1, exifMark, exifWith(binary.LittleEndian, 6, "a maker"))),
		"progressive JPEG": flat{40, 30, true, -1, ycbcr(0x22, 1, 2, 3)}.file(),
		"PNG":              pngOf(t, corners(40, 30)),
		"GIF":              gifOf(t, 20, 10, 3),
		"WebP":             webpLossless,
		"WebP with losses": webpLossy,
		"WebP with alpha":  webpAlpha,
	} {
		for n := range len(file) - 1 { // the last byte of a WebP may be padding
			if _, err := usual.try(file[:n:n]); !errors.Is(err, ErrNotShown) {
				t.Errorf("%s, %d of %d bytes: got %v, want a refusal", name, n, len(file), err)
			}
		}
		if _, err := usual.try(file); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A few bytes that are much more when they are inflated cost nothing where they are no
// pixels, and where they are, no more than the header says.
func TestBombs(t *testing.T) {
	zeros := deflate(t, 8<<20)
	if len(zeros) > 80<<10 {
		t.Fatalf("the bomb has %d bytes", len(zeros))
	}
	photo := corners(64, 48)
	for name, c := range map[string][]byte{
		"zTXt": chunk("zTXt", append([]byte("Comment\x00\x00"), zeros...)),
		"iTXt": chunk("iTXt", append([]byte("Comment\x00\x01\x00\x00\x00"), zeros...)),
		"iCCP": chunk("iCCP", append([]byte("profile\x00\x00"), zeros...)),
	} {
		mustMake(t, name, pngOf(t, photo, c))
	}
	if p := inflateProfile(append([]byte("profile\x00\x00"), zeros...)); p != nil {
		t.Errorf("a profile of %d bytes is inflated", len(p))
	}
	b := emptyPNG(64, 48, 8, 6, 0)
	b = bytes.Replace(b, chunk("IDAT", nil), chunk("IDAT", zeros), 1)
	if got := refusedAs(b, usual); got != Broken.String() {
		t.Errorf("IDAT: %s", got)
	}
}

// Endless chunks and segments are read to their end, and refused without a picture.
func TestEndless(t *testing.T) {
	for name, file := range map[string][]byte{
		"segments": append([]byte{0xff, 0xd8}, bytes.Repeat(segment(0xe5), 100_000)...),
		"chunks":   withChunks(emptyPNG(5, 5, 8, 6, 0)[:33], bytes.Repeat(chunk("teSt", nil), 100_000)),
		"blocks":   append(gifOf(t, 8, 8, 1)[:gifScreen+12], bytes.Repeat(extension(0xfe, nil, nil), 100_000)...),
		"fill":     append([]byte{0xff, 0xd8}, bytes.Repeat([]byte{0xff}, 1_000_000)...),
		"a WebP":   riff(bytes.Repeat(riffChunkOf("ABCD", nil), 100_000)),
	} {
		if got := refusedAs(file, usual); got != Broken.String() {
			t.Errorf("%s: %s, want %s", name, got, Broken)
		}
	}
}

// A decoder that panics refuses the picture.
func TestPanic(t *testing.T) {
	usualFormats := formats
	defer func() { formats = usualFormats }()
	formats = append(slices.Clone(formats), format{
		"panic", func(*input, limits) (header, error) { return header{width: 1, height: 1, frames: 1}, nil },
		func(*input, header) (decoded, error) { panic("out of range") }, nil,
	})
	if got := refusedAs([]byte("panic"), usual); got != Broken.String() {
		t.Errorf("got %s, want %s", got, Broken)
	}
}

// What the disk refuses says nothing about the picture.
func TestDiskErrors(t *testing.T) {
	file := jpegOf(t, corners(900, 600), 85)
	disk := errors.New("the disk is gone")
	for n := int64(0); n < int64(len(file)); n += 997 {
		_, err := Make(failing{bytes.NewReader(file), n, disk}, int64(len(file)), io.Discard, io.Discard)
		if !errors.Is(err, disk) || errors.Is(err, ErrNotShown) {
			t.Errorf("reading fails at %d: got %v", n, err)
		}
	}
	for _, w := range [][2]io.Writer{{failingWriter{disk}, io.Discard}, {io.Discard, failingWriter{disk}}} {
		_, err := Make(bytes.NewReader(file), int64(len(file)), w[0], w[1])
		if !errors.Is(err, disk) || errors.Is(err, ErrNotShown) {
			t.Errorf("writing fails: got %v", err)
		}
	}
}

// failing fails to read from some offset on.
type failing struct {
	*bytes.Reader
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, at int64) (int, error) {
	if at+int64(len(p)) <= f.from {
		return f.Reader.ReadAt(p, at)
	}
	if at >= f.from {
		return 0, f.err
	}
	n, _ := f.Reader.ReadAt(p[:f.from-at], at)
	return n, f.err
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// The quality of a JPEG is that of the source, within bounds.
func TestQuality(t *testing.T) {
	photo := corners(64, 48)
	for _, c := range []struct{ source, want int }{{10, 75}, {60, 75}, {75, 75}, {80, 80}, {85, 85}, {90, 90}, {92, 92}, {100, 92}} {
		h, err := inspectJPEG(&input{source: bytes.NewReader(jpegOf(t, photo, c.source)), size: 1 << 20}, usual)
		if err != nil || h.quality != c.want {
			t.Errorf("%d: got %d, %v, want %d", c.source, h.quality, err, c.want)
		}
	}
	m := mustMake(t, "JPEG", jpegOf(t, photo, 80))
	var s jpegSegments
	if err := s.read((&input{source: bytes.NewReader(m.picture), size: m.Picture.Size}).reader()); err != nil || s.quality() != 80 {
		t.Errorf("the output has the quality %d, %v, want 80", s.quality(), err)
	}
	if _, err := jpeg.DecodeConfig(bytes.NewReader(m.picture)); err != nil {
		t.Error(err)
	}
}

// The decoder makes several colours transparent where a GIF means one beyond its table,
// and the encoder would make the others black.
func TestTransparentBeyondTheTable(t *testing.T) {
	var b bytes.Buffer
	palette := make(color.Palette, 8)
	for i := range palette {
		palette[i] = color.RGBA{byte(200 + i), 10, 10, 255}
	}
	m := image.NewPaletted(image.Rect(0, 0, 4, 4), palette)
	for i := range m.Pix {
		m.Pix[i] = byte(i % 8)
	}
	if err := gif.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	file := b.Bytes()
	control := []byte{gifExtension, 0xf9, 4, 1, 0, 0, 7, 0} // the colour 7 is transparent
	file = bytes.Join([][]byte{file[:gifScreen], file[gifScreen : gifScreen+24], control, file[gifScreen+24:]}, nil)
	// A table of four colours, so that those from 4 on are beyond it.
	file = append(append(append(bytes.Clone(file[:10]), file[10]&^7|1, 0, 0), file[gifScreen:gifScreen+12]...), file[gifScreen+24:]...)
	all, err := gif.DecodeAll(bytes.NewReader(file))
	if err != nil || len(all.Image[0].Palette) != 8 {
		t.Fatalf("the decoder: %v", err)
	}
	out := mustMake(t, "GIF", file)
	for x := range 4 {
		if got, want := pixel(t, out.picture, x, 1).A, pixel(t, file, x, 1).A; got != want {
			t.Errorf("the alpha of %d is %d, want %d", x, got, want)
		}
	}
}

// Whatever is uploaded, the answer is a picture of nothing but pixels, or a refusal.
func FuzzMake(f *testing.F) {
	for _, file := range hiding(f) {
		if len(file) < 8<<10 {
			f.Add(file)
		}
	}
	small := corners(20, 12)
	for _, file := range [][]byte{
		webpLossy, webpAlpha, webpMoving, webpLossless, gifOf(f, 20, 12, 4),
		jpegOf(f, small, 85, segment(markAPP1, exifMark, exifWith(binary.BigEndian, 6, "a maker"))),
		pngOf(f, small, chunk("iCCP", iccp(f, displayP3())), chunk("eXIf", exifWith(binary.BigEndian, 8, "a maker"))),
		jpegOf(f, small, 85, segment(markAPP2, profileMark, displayP3())),
		flat{20, 12, true, -1, ycbcr(0x42, 80, 90, 100)}.file(),
		flat{20, 12, false, 0, []flatComponent{{0x11, 1}, {0x11, 90}, {0x11, 200}, {0x11, 80}}}.file(),
		flat{20, 12, false, 2, []flatComponent{{0x22, 1}, {0x11, 90}, {0x11, 200}, {0x22, 80}}}.file(),
	} {
		f.Add(file)
	}
	l := usual
	l.pixels, l.memory, l.output, l.frames = 1<<20, 8<<20, 8<<20, 20
	f.Fuzz(func(t *testing.T, file []byte) {
		m, err := l.try(file)
		if err != nil {
			if !errors.Is(err, ErrNotShown) {
				t.Errorf("got %v, want a refusal", err)
			}
			return
		}
		checkMade(t, "a file", m)
	})
}

package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/image/webp"
)

func strip(file []byte) ([]byte, error) {
	var b bytes.Buffer
	n, err := Strip(&b, bytes.NewReader(file), int64(len(file)))
	if err == nil && n != int64(b.Len()) {
		return nil, errors.New("it returns another size than it has written")
	}
	return b.Bytes(), err
}

// mustStrip strips a file, and checks that it still is the same picture.
func mustStrip(t testing.TB, name string, file []byte) []byte {
	t.Helper()
	got, err := strip(file)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if err := samePixels(file, got); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return got
}

// samePixels compares two pictures, if the first one can be decoded.
func samePixels(before, after []byte) error {
	was, err := pixelsOf(before)
	if err != nil {
		return nil
	}
	is, err := pixelsOf(after)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(is, was) {
		return errors.New("the pixels are others")
	}
	return nil
}

// pixelsOf decodes a picture with all of its frames.
func pixelsOf(file []byte) (any, error) {
	switch {
	case bytes.HasPrefix(file, []byte("GIF8")):
		return gif.DecodeAll(bytes.NewReader(file))
	case bytes.HasPrefix(file, []byte("RIFF")):
		return webp.Decode(bytes.NewReader(file))
	}
	m, _, err := image.Decode(bytes.NewReader(file))
	return m, err
}

// kept are the files of hiding that keep their secret: in a profile of colours, and among the pixels.
var kept = []string{"JPEG: a profile", "JPEG: behind the scan", "PNG: iCCP"}

// Whatever a picture says beside its pixels is gone, and the pixels are the same.
func TestStripLeavesNothing(t *testing.T) {
	files := hiding(t)
	for _, name := range kept {
		mustStrip(t, name, files[name])
		delete(files, name)
	}
	secretly := segment(markAPP2, []byte("MPF\x00"+secret))
	photo := corners(40, 30)
	j := jpegOf(t, photo, 85, secretly)
	files["JPEG: MPF and another picture"] = append(bytes.Clone(j), jpegOf(t, photo, 85, segment(markCOM, []byte(secret)))...)
	files["JPEG: a moving photo"] = append(bytes.Clone(j), "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"+secret...)
	files["JPEG: JFXX"] = withSegments(j, segment(markAPP0, []byte("JFXX\x00\x13"+secret)))
	files["JPEG: between scans"] = withSecondScan(secretly)
	files["PNG: a long chunk of a kind that is kept"] = withChunks(pngOf(t, photo), chunk("pHYs", []byte(secret+secret)))
	files["PNG: IEND"] = bytes.Replace(pngOf(t, photo), pngEnd, chunk("IEND", []byte(secret)), 1)
	files["GIF: another application"] = withBlocks(gifOf(t, 90, 60, 3), extension(0xff, []byte("\x0bABCDEFGHIJK\x03\x01\x05\x00"), []byte(secret)))
	files["GIF: more of NETSCAPE"] = withBlocks(gifOf(t, 90, 60, 3), extension(0xff, []byte("\x0bNETSCAPE2.0\x03\x01\x05\x00"), html))
	w := vp8l(40, 30, color.NRGBA{1, 2, 3, 255})
	files["WebP: metadata"] = riff(vp8x(12, 40, 30), w, riffChunkOf("EXIF", exifWith(binary.LittleEndian, 6, secret)), riffChunkOf("XMP ", html))
	files["WebP: that moves"] = movingWith(secret)
	for name, file := range files {
		if !bytes.Contains(file, []byte(secret)) {
			t.Fatalf("%s: nothing is hidden", name)
		}
		got := mustStrip(t, name, file)
		for _, s := range []string{secret, "script", "<html", "51.4778", "http:", "PK\x03\x04", "ftyp", "ABCDEFGHIJK"} {
			if bytes.Contains(got, []byte(s)) {
				t.Errorf("%s: the output has %q", name, s)
			}
		}
		if again := mustStrip(t, name, got); !bytes.Equal(again, got) {
			t.Errorf("%s: the second time changes it again", name)
		}
	}
}

// withSecondScan returns a JPEG with a segment between two scans, each of one component.
func withSecondScan(between []byte) []byte {
	file := flat{16, 16, true, -1, ycbcr(0x11, 90, 150, 120)}.file()
	at := bytes.Index(file, []byte{0xff, markSOS})
	scan := file[at : len(file)-2]
	return bytes.Join([][]byte{file[:len(file)-2], between, scan, file[len(file)-2:]}, nil)
}

// movingWith returns a WebP with frames, and with chunks of none of their kinds there and elsewhere.
func movingWith(secret string) []byte {
	image := vp8l(40, 30, color.NRGBA{9, 8, 7, 255})
	other := riffChunkOf("ABCD", []byte(secret))
	frame := bytes.Join([][]byte{make([]byte, anmfSize), other, image, riffChunkOf("ICCP", []byte(secret))}, nil)
	return riff(vp8x(webpAnimated|webpXMP, 40, 30), riffChunkOf("ANIM", make([]byte, 6)), other, riffChunkOf("ANMF", frame), riffChunkOf("ANMF", frame), riffChunkOf("XMP ", []byte(secret)))
}

// A picture on its side stays there, and says nothing else.
func TestStripKeepsTheOrientation(t *testing.T) {
	photo := corners(20, 10)
	w := vp8l(40, 30, color.NRGBA{1, 2, 3, 255})
	for o := uint16(1); o <= 8; o++ {
		for _, order := range orders {
			exif := exifWith(order, o, secret)
			for name, file := range map[string][]byte{
				"JPEG": jpegOf(t, photo, 85, segment(markAPP1, exifMark, exif), segment(markAPP1, exifMark, exifWith(order, 3, secret))),
				"PNG":  pngOf(t, photo, chunk("eXIf", exif)),
				"WebP": riff(vp8x(webpExif, 40, 30), w, riffChunkOf("EXIF", exif)),
			} {
				got := mustStrip(t, name, file)
				in := &input{source: bytes.NewReader(got), size: int64(len(got))}
				f, err := in.format()
				if err != nil {
					t.Fatal(err)
				}
				h, err := f.inspect(in, usual)
				if err != nil || h.orientation != orientation(o) {
					t.Errorf("%s, %d: the orientation is %d, %v", name, o, h.orientation, err)
				}
				if name == "WebP" && (got[20] == webpExif) != (o != 1) {
					t.Errorf("%d: the flags of the WebP are %#x", o, got[20])
				}
				if bytes.Contains(got, []byte(secret)) || (o == 1) == bytes.Contains(got, []byte{1, 0x12, 0, 3, 0, 0, 0, 1, 0, byte(o)}) {
					t.Errorf("%s, %d: the output is %q", name, o, got)
				}
			}
		}
	}
}

// What makes colours, and how an animation runs, is kept.
func TestStripKeepsColours(t *testing.T) {
	photo := corners(20, 10)
	icc := displayP3()
	for name, file := range map[string][]byte{
		"JPEG": jpegOf(t, photo, 85, segment(markAPP2, profileMark, icc), segment(markCOM, []byte(secret))),
		"CMYK": flat{20, 12, false, 2, []flatComponent{{0x22, 1}, {0x11, 90}, {0x11, 200}, {0x22, 80}}}.file(),
		"PNG":  pngOf(t, photo, chunk("iCCP", iccp(t, icc)), chunk("tEXt", []byte("a\x00"+secret))),
		"WebP": riff(vp8x(32, 40, 30), riffChunkOf("ICCP", icc), vp8l(40, 30, color.NRGBA{1, 2, 3, 255})),
	} {
		got := mustStrip(t, name, file)
		if (name == "JPEG" || name == "WebP") && !bytes.Contains(got, icc) || name == "PNG" && !bytes.Contains(got, []byte("iCCP")) || name == "CMYK" && !bytes.Contains(got, adobeMark) {
			t.Errorf("%s: it has lost its colours", name)
		}
	}
	file := jpegOf(t, photo, 85, segment(markAPP0, []byte("JFIF\x00\x01\x01\x01\x00\x48\x00\x48\x00\x00")))
	if got := mustStrip(t, "JFIF", file); !bytes.Equal(got, file) {
		t.Errorf("the density has changed: %q", got)
	}
	moving := movingWith("")
	if got := mustStrip(t, "WebP", moving); bytes.Count(got, []byte("ANMF")) != 2 || bytes.Count(got, []byte("VP8L")) != 2 || int(binary.LittleEndian.Uint32(got[4:])) != len(got)-8 {
		t.Errorf("the animation is %q", got)
	}
}

// A picture that has been cut short is kept as far as it goes; one without pixels is refused, and
// what is no picture is not touched.
func TestStripCutsShort(t *testing.T) {
	photo := corners(20, 10)
	j := jpegOf(t, photo, 85, segment(markCOM, []byte(secret)))
	p := pngOf(t, photo, chunk("tEXt", []byte("a\x00"+secret)))
	g := withBlocks(gifOf(t, 90, 60, 3), extension(0xfe, nil, html))
	w := riff(vp8x(4, 40, 30), riffChunkOf("XMP ", []byte(secret)), vp8l(40, 30, color.NRGBA{1, 2, 3, 255}))
	for name, c := range map[string]struct {
		file  []byte
		begin int
	}{
		"JPEG": {j, bytes.Index(j, []byte{0xff, markSOS}) + 14},
		"PNG":  {p, bytes.Index(p, []byte("IDAT")) + 4},
		"GIF":  {g, bytes.Index(g, []byte{gifImage, 0, 0, 0, 0}) + 1 + gifDescriptor},
		"WebP": {w, bytes.Index(w, []byte("VP8L")) + 8},
	} {
		for n := 12; n < len(c.file); n++ {
			got, err := strip(c.file[:n])
			refused, is := errors.AsType[*RefusedError](err)
			if n < c.begin && (!is || refused.Reason != Broken) {
				t.Errorf("%s, %d of %d bytes: got %v, want %s", name, n, len(c.file), err, Broken)
			}
			if n >= c.begin && err != nil {
				t.Errorf("%s, %d of %d bytes: %v", name, n, len(c.file), err)
			}
			if bytes.Contains(got, []byte(secret[:4])) {
				t.Errorf("%s, %d of %d bytes: the output is %q", name, n, len(c.file), got)
			}
		}
	}
	for name, file := range map[string]string{
		"JPEG": "\xff\xd8\xff\xd8", "JPEG of tables": "\xff\xd8\xff\xe0\x00\x02\xff\xd9", "PNG": "\x89PNG\r\n\x1a\n" + string(pngEnd),
		"PNG of phones' programs": "\x89PNG\r\n\x1a\n\x00\x00\x00\x04CgBI\x50\x00\x20\x02\x00\x00\x00\x00", "GIF": "GIF89a\x01\x00\x01\x00\x00\x00\x00;",
		"WebP": "RIFF\xff\xff\xff\xffWEBPVP8X",
	} {
		_, err := strip([]byte(file))
		if refused, is := errors.AsType[*RefusedError](err); !is || refused.Reason != Broken {
			t.Errorf("%s without pixels: got %v, want %s", name, err, Broken)
		}
	}
	for _, file := range []string{"", "\xff\xd8", "hello", "%PDF-1.7", "BM\x00\x00", "PK\x03\x04"} {
		_, err := strip([]byte(file))
		if refused, is := errors.AsType[*RefusedError](err); !is || refused.Reason != Unknown {
			t.Errorf("%q: got %v, want %s", file, err, Unknown)
		}
	}
}

// An error of the disk says nothing about the picture, and is no refusal.
func TestStripWithoutADisk(t *testing.T) {
	file := jpegOf(t, corners(724, 400), 85)
	for name, c := range map[string]struct {
		to   io.Writer
		from io.ReaderAt
	}{
		"reading": {io.Discard, failing{bytes.NewReader(file), int64(len(file)) / 2, errors.New("a bad sector")}},
		"writing": {&output{to: io.Discard, max: 4000}, bytes.NewReader(file)},
	} {
		n, err := Strip(c.to, c.from, int64(len(file)))
		if err == nil || errors.Is(err, ErrNotShown) || n != 0 || !strings.Contains(err.Error(), name[:4]) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
	}
}

// zeros is a file of zeros behind its beginning.
type zeros []byte

func (z zeros) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if at < int64(len(z)) {
		copy(p, z[at:])
	}
	return len(p), nil
}

// However long a picture is, little of it is in memory.
func TestStripTakesLittleMemory(t *testing.T) {
	const long = 100 << 20
	j := flat{8, 8, false, -1, ycbcr(0x11, 90, 150, 120)}.file()
	w := riff(vp8x(0, 40, 30), vp8l(40, 30, color.NRGBA{1, 2, 3, 255}))
	binary.LittleEndian.PutUint32(w[4:], long-8)
	binary.LittleEndian.PutUint32(w[bytes.Index(w, []byte("VP8L"))+4:], long-100)
	for name, begin := range map[string][]byte{"JPEG": j[:len(j)-2], "WebP": w} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Strip(io.Discard, zeros(begin), long)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; err != nil || got > 400<<10 {
			t.Errorf("%s: %d bytes of memory, %v", name, got, err)
		}
	}
}

// Whatever is uploaded, the picture is the same without what it says, or refused.
func FuzzStrip(f *testing.F) {
	for _, file := range hiding(f) {
		if len(file) < 8<<10 {
			f.Add(file)
		}
	}
	small := corners(20, 12)
	for version := range byte(3) {
		file, _ := heic(version, string(exifWith(binary.BigEndian, 6, secret)), secret)
		f.Add(file)
	}
	for _, file := range [][]byte{
		boxOf("moov", boxOf("udta", boxOf("\xa9xyz", []byte(secret))), boxOf("uuid", []byte(uuidXMP+secret))),
		webpLossy, webpAlpha, webpMoving, webpLossless, gifOf(f, 20, 12, 4), movingWith(secret), withSecondScan(segment(markCOM, []byte(secret))),
		jpegOf(f, small, 85, segment(markAPP1, exifMark, exifWith(binary.BigEndian, 6, "a maker"))),
		flat{20, 12, true, -1, ycbcr(0x42, 80, 90, 100)}.file(),
		flat{20, 12, false, 0, []flatComponent{{0x11, 1}, {0x11, 90}, {0x11, 200}, {0x11, 80}}}.file(),
	} {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		got, err := strip(file)
		if err != nil {
			if !errors.Is(err, ErrNotShown) {
				t.Errorf("got %v, want a refusal", err)
			}
			return
		}
		in := &input{source: bytes.NewReader(file), size: int64(len(file))}
		form, err := in.format()
		again, second := strip(got)
		refused, _ := errors.AsType[*RefusedError](second)
		if err != nil && len(got) != len(file) {
			t.Errorf("%d bytes in boxes have become %d", len(file), len(got))
		} else if nothing := err != nil && refused != nil && refused.Reason == Unknown; !nothing && (second != nil || !bytes.Equal(again, got)) {
			t.Errorf("the second time: %v, or something else", second)
		}
		if err != nil {
			return
		}
		l := usual
		l.pixels, l.memory, l.frames = 1<<20, 8<<20, 20
		if h, err := form.inspect(in, l); err != nil || l.allow(h) != nil {
			return
		}
		if err := samePixels(file, got); err != nil {
			t.Error(err)
		}
	})
}

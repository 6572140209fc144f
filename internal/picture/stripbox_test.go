package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// boxOf returns a box.
func boxOf(kind string, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(all))), kind...), all...)
}

// full returns a box with a version.
func full(kind string, version byte, body ...[]byte) []byte {
	return boxOf(kind, []byte{version, 0, 0, 0}, bytes.Join(body, nil))
}

func numbers(size int, all ...uint64) (b []byte) {
	for _, n := range all {
		b = append(b, binary.BigEndian.AppendUint64(nil, n)[8-size:]...)
	}
	return b
}

// heic returns a picture with items of a picture, of Exif and of XMP. The latter is in the metadata itself.
func heic(version byte, exif, xmp string) (file []byte, pixels string) {
	pixels = "the pixels, in HEVC"
	infe := func(id uint64, kind, rest string) []byte {
		if version == 2 {
			return full("infe", 3, numbers(4, id), numbers(2, 0), []byte(kind+rest))
		}
		return full("infe", 2, numbers(2, id, 0), []byte(kind+rest))
	}
	ids := 2
	if version == 2 {
		ids = 4
	}
	build := func(at uint64) []byte {
		item := func(id, method, offset, length uint64) []byte {
			b := numbers(ids, id)
			if version > 0 {
				b = append(b, numbers(2, method)...)
			}
			return append(b, bytes.Join([][]byte{numbers(2, 0), numbers(4, 0), numbers(2, 1), numbers(4, offset, length)}, nil)...)
		}
		items := [][]byte{item(1, 0, at, uint64(len(pixels))), item(2, 0, at+uint64(len(pixels)), uint64(len(exif)))}
		var idat []byte
		if version > 0 {
			items = append(items, item(3, 1, 4, uint64(len(xmp))))
			idat = boxOf("idat", []byte("meow"+xmp))
		} else {
			items = append(items, item(3, 0, at+uint64(len(pixels)+len(exif)), uint64(len(xmp))))
		}
		meta := full("meta", 0, full("hdlr", 0, []byte("\x00\x00\x00\x00pict")),
			full("iinf", 0, numbers(2, 3), infe(1, "hvc1", "\x00"), infe(2, "Exif", "\x00"), infe(3, "mime", "\x00application/rdf+xml\x00")),
			full("iloc", version, []byte{0x44, 0x40}, numbers(ids, 3), bytes.Join(items, nil)), idat)
		return append(boxOf("ftyp", []byte("heic\x00\x00\x00\x00mif1heic")), meta...)
	}
	begin := build(0)
	begin = build(uint64(len(begin) + boxHead))
	body := pixels + exif
	if version == 0 {
		body += xmp
	}
	return append(begin, boxOf("mdat", []byte(body))...), pixels
}

// Exif and XMP of a picture are gone, and nothing else has changed or moved.
func TestStripOfPicturesInBoxes(t *testing.T) {
	exif := "\x00\x00\x00\x06Exif\x00\x00" + string(exifWith(binary.BigEndian, 6, secret))
	xmp := "<x:xmpmeta>" + secret + "</x:xmpmeta>"
	for version := range byte(3) {
		file, pixels := heic(version, exif, xmp)
		if bytes.Count(file, []byte(secret)) != 2 {
			t.Fatalf("version %d: nothing is hidden", version)
		}
		got, err := strip(file)
		if err != nil || len(got) != len(file) {
			t.Fatalf("version %d: %d of %d bytes, %v", version, len(got), len(file), err)
		}
		want := bytes.ReplaceAll(file, []byte(exif), []byte(noTags+strings.Repeat("\x00", len(exif)-len(noTags))))
		want = bytes.ReplaceAll(want, []byte(xmp), bytes.Repeat([]byte{' '}, len(xmp)))
		if !bytes.Equal(got, want) || !bytes.Contains(got, []byte(pixels)) {
			t.Errorf("version %d: got %q, want %q", version, got, want)
		}
	}
}

// A film loses its places, wherever they are, and nothing else.
func TestStripOfFilms(t *testing.T) {
	hdlr := func(kind string) []byte { return full("hdlr", 0, []byte("\x00\x00\x00\x00"+kind)) }
	value := func(index uint32, text string) []byte {
		return boxOf(string(binary.BigEndian.AppendUint32(nil, index)), boxOf("data", numbers(4, 1, 0), []byte(text)))
	}
	keys := full("keys", 0, numbers(4, 3), boxOf("mdta", []byte("com.apple.quicktime.make")), boxOf("mdta", []byte("com.apple.quicktime.location.ISO6709")), boxOf("mdta", []byte("com.apple.quicktime.software")))
	ilst := boxOf("ilst", value(1, "Fruit"), value(2, secret), value(3, "27"))
	film := [][]byte{boxOf("mdat", []byte("the samples")), boxOf("free", []byte("xx"))}
	for name, c := range map[string]struct {
		moov [][]byte
		kept []string
	}{
		"a phone with Android": {[][]byte{boxOf("trak", boxOf("tkhd")), boxOf("udta", boxOf("\xa9xyz", []byte("\x00\x0b\x15\xc7"+secret)), boxOf("\xa9nam", []byte("Mine")), numbers(4, 0))}, []string{"Mine"}},
		"3GPP":                 {[][]byte{boxOf("udta", full("loci", 0, []byte(secret)))}, nil},
		"a track":              {[][]byte{boxOf("trak", boxOf("udta", full("loci", 0, []byte(secret)), boxOf("name", []byte("Mine"))))}, []string{"Mine"}},
		"QuickTime":            {[][]byte{boxOf("meta", hdlr("mdta"), keys, ilst)}, []string{"Fruit", "27", "ISO6709"}},
		"keys of ISO":          {[][]byte{boxOf("udta", full("meta", 0, hdlr("mdta"), keys, ilst))}, []string{"Fruit", "27"}},
		"a song":               {[][]byte{boxOf("udta", full("meta", 0, hdlr("mdir"), boxOf("ilst", boxOf("\xa9nam", boxOf("data", numbers(4, 1, 0), []byte("Mine"))), boxOf("\xa9xyz", []byte(secret)))))}, []string{"Mine"}},
		"XMP":                  {[][]byte{boxOf("udta", boxOf("XMP_", []byte(secret))), boxOf("uuid", []byte(uuidXMP+secret))}, nil},
		"another uuid":         {[][]byte{boxOf("uuid", []byte(uuidXMP+secret)), boxOf("uuid", []byte("0123456789abcdefMine"))}, []string{"Mine"}},
		"CR3":                  {[][]byte{boxOf("uuid", []byte(uuidCR3), boxOf("CMT1", []byte("Mine")), boxOf("CMT4", []byte(secret)))}, []string{"Mine"}},
		"a dashboard camera":   {[][]byte{boxOf("gps ", []byte(secret))}, nil},
		"a long box":           {[][]byte{boxOf("udta", []byte("\x00\x00\x00\x01\xa9xyz"), numbers(8, uint64(16+len(secret))), []byte(secret)), boxOf("name", []byte("Mine"))}, []string{"Mine"}},
	} {
		for order, boxes := range map[string][][]byte{
			"first": append([][]byte{boxOf("ftyp", []byte("isom\x00\x00\x00\x00")), boxOf("moov", c.moov...)}, film...),
			"last":  append(append([][]byte{}, film...), boxOf("moov", c.moov...)),
		} {
			file := bytes.Join(boxes, nil)
			got, err := strip(file)
			if err != nil || len(got) != len(file) {
				t.Errorf("%s, %s: %d of %d bytes, %v", name, order, len(got), len(file), err)
				continue
			}
			if !bytes.Contains(file, []byte(secret)) || bytes.Contains(got, []byte(secret)) {
				t.Errorf("%s, %s: the place is in %q", name, order, got)
			}
			for _, text := range append(c.kept, "the samples", "moov") {
				if !bytes.Contains(got, []byte(text)) {
					t.Errorf("%s, %s: %q is lost in %q", name, order, text, got)
				}
			}
			if changed := differing(file, got); changed > len(secret)*2+40 {
				t.Errorf("%s, %s: %d bytes have changed", name, order, changed)
			}
		}
	}
}

func differing(a, b []byte) (n int) {
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// What says nothing is kept as it came, and so is what is no box. What is too much is refused.
func TestStripOfOtherBoxes(t *testing.T) {
	ftyp := boxOf("ftyp", []byte("isom\x00\x00\x00\x00"))
	deep := boxOf("\xa9xyz", []byte(secret))
	for range 2 * maxDepth {
		deep = boxOf("udta", deep)
	}
	many := append(bytes.Clone(ftyp), bytes.Repeat(boxOf("skip"), maxBoxes)...)
	all := append(bytes.Clone(ftyp), boxOf("moov", bytes.Repeat(boxOf("loci", []byte("x")), maxPatches))...)
	overlapping, _ := heic(1, strings.Repeat("x", 20), strings.Repeat("y", 20))
	at := bytes.Index(overlapping, numbers(4, 4, 20)) // where XMP is
	copy(overlapping[at:], numbers(4, 0, 1<<30))
	for name, c := range map[string]struct {
		file []byte
		want Reason
	}{
		"nothing":        {append(bytes.Clone(ftyp), boxOf("moov", boxOf("udta", boxOf("\xa9nam")))...), Unknown},
		"too deep":       {append(bytes.Clone(ftyp), deep...), Unknown},
		"a text":         {[]byte("The free one has what we want, and no box."), Unknown},
		"too many boxes": {many, Broken}, "too many places": {all, Broken},
	} {
		_, err := strip(c.file)
		if refused, is := errors.AsType[*RefusedError](err); !is || refused.Reason != c.want {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
	for n := range overlapping { // cut anywhere, and with an item that is longer than the file
		if got, err := strip(overlapping[:n]); err == nil && len(got) != n {
			t.Errorf("%d bytes become %d", n, len(got))
		}
	}
}

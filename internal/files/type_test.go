package files

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"strings"
	"testing"
	"unicode/utf16"
)

// box returns the box ftyp with brands, and what follows.
func box(major string, compatible ...string) string {
	size := 16 + 4*len(compatible)
	return string([]byte{0, 0, 0, byte(size)}) + "ftyp" + major + "\x00\x00\x00\x00" + strings.Join(compatible, "") + "\x00\x00\x00\x08free"
}

func ebml(docType string) string {
	return "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82" + string([]byte{0x80 | byte(len(docType))}) + docType + "\x42\x87\x81\x04"
}

func ogg(packet string) string {
	return "OggS\x00\x02" + strings.Repeat("\x00", 20) + "\x01" + string([]byte{byte(len(packet))}) + packet
}

func inUTF16(text string, order binary.AppendByteOrder) string {
	data := order.AppendUint16(nil, 0xfeff)
	for _, unit := range utf16.Encode([]rune(text)) {
		data = order.AppendUint16(data, unit)
	}
	return string(data)
}

// frames returns two frames of a stream, with a header and a size.
func frames(header string, size int) string {
	return strings.Repeat(header+strings.Repeat("\x00", size-len(header)), 2)
}

const (
	png  = "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
	jpeg = "\xff\xd8\xff\xe0\x00\x10JFIF\x00"
	gif  = "GIF89a\x01\x00\x01\x00"
	webp = "RIFF\x24\x00\x00\x00WEBPVP8 "
)

func TestTypeOf(t *testing.T) {
	const svg = `<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`
	for _, c := range []struct{ head, want string }{
		{png, "image/png"},
		{jpeg, "image/jpeg"},
		{gif, "image/gif"},
		{webp, "image/webp"},
		{"", "text/plain; charset=utf-8"},
		{"hello\n", "text/plain; charset=utf-8"},
		{"caf\xe9\n", "text/plain"},
		{strings.Repeat("x", HeadSize-1) + "é", "text/plain; charset=utf-8"},
		{"\xef\xbb\xbfhello", "text/plain; charset=utf-8"},
		{inUTF16("hello", binary.LittleEndian), "text/plain; charset=utf-16le"},
		{inUTF16("hello", binary.BigEndian), "text/plain; charset=utf-16be"},
		{"#!/bin/sh\nrm -rf /\n", "text/plain; charset=utf-8"},
		{`{"a": 1}`, "text/plain; charset=utf-8"},
		{"alert(1)", "text/plain; charset=utf-8"},
		{"\x7fELF\x02\x01\x01\x00", "application/octet-stream"},
		{"MZ\x90\x00\x03\x00\x00\x00", "application/octet-stream"},
		{"\x00\x01\x02", "application/octet-stream"},
		{"PK\x03\x04\x14\x00", "application/zip"},

		{svg, "image/svg+xml"},
		{" \r\n\t" + svg, "image/svg+xml"},
		{"\xef\xbb\xbf" + svg, "image/svg+xml"},
		{"<?xml version=\"1.0\"?>\n<!-- a > comment -->\n" + svg, "image/svg+xml"},
		{"<?xml version=\"1.0\" encoding=\"UTF-16\"?>" + svg, "image/svg+xml"},
		{"<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\" \"x\" [ <!ENTITY a \"b\"> ]>" + svg, "image/svg+xml"},
		{"<!-- " + strings.Repeat("x", 3000) + " -->" + svg, "image/svg+xml"},
		{"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "image/svg+xml"},
		{"<SVG>", "image/svg+xml"},
		{inUTF16(svg, binary.LittleEndian), "image/svg+xml"},
		{inUTF16("<?xml version='1.0'?>"+svg, binary.BigEndian), "image/svg+xml"},
		{"<!doctype html><title>x</title>", "text/html"},
		{"<html><script>alert(1)</script>", "text/html"},
		{"<!-- x --><html>", "text/html"},
		{"<script>alert(1)</script>", "text/html"},
		{inUTF16("<!doctype html><script>alert(1)</script>", binary.LittleEndian), "text/html"},
		{inUTF16("<script>alert(1)</script>", binary.BigEndian), "text/html"},
		{"<!doctype html><svg>", "text/html"},
		{"<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>", "application/xhtml+xml"},
		{"<?xml version='1.0'?><rss/>", "text/xml"},
		{"<?xml version='1.0'?><?xml-stylesheet href='x.xsl'?><a/>", "text/xml"},
		{"<stdio.h> is a header", "text/plain; charset=utf-8"},
		{"< not markup", "text/plain; charset=utf-8"},

		{"%PDF-1.7\n", "application/pdf"},
		{"\r\n\r\n%PDF-1.4", "application/pdf"},
		{strings.Repeat("x", 1000) + "%PDF-1.4", "application/pdf"},
		{strings.Repeat("x", 1024) + "%PDF-1.4", "text/plain; charset=utf-8"},
		{"<html>%PDF-1.4", "application/pdf"},
		{box("isom") + "%PDF-1.4", "application/pdf"},
		{"PK\x03\x04%PDF-1.4", "application/pdf"},
		{gif + "%PDF-1.4", "image/gif"},
		{gif + "<script>alert(1)</script>", "image/gif"},
		{jpeg + "<html>", "image/jpeg"},

		{box("isom", "iso2", "avc1", "mp41"), "video/mp4"},
		{box("mp42"), "video/mp4"},
		{box("dash"), "video/mp4"},
		{box("M4V "), "video/mp4"},
		{box("M4A ", "isom"), "audio/mp4"},
		{box("M4B "), "audio/mp4"},
		{box("qt  "), "video/quicktime"},
		{box("3gp5"), "video/3gpp"},
		{box("avif", "mif1"), "image/avif"},
		{box("mif1", "avif"), "image/avif"},
		{box("avis"), "image/avif"},
		{box("heic", "mif1"), "image/heic"},
		{box("mif1", "heic"), "image/heic"},
		{box("mif1", "miaf"), "image/heif"},
		{box("msf1", "hevc"), "image/heic"},
		{"\x00\x00\x00\x08ftypisom\x00\x00\x00\x00", "application/octet-stream"},
		{ebml("webm"), "video/webm"},
		{ebml("matroska"), "video/x-matroska"},
		{ebml("other"), "application/octet-stream"},
		{"\x1a\x45\xdf\xa3", "application/octet-stream"},
		{"\x1a\x45\xdf\xa3\x42\x82\xff", "application/octet-stream"},
		{ogg("\x01vorbis"), "audio/ogg"},
		{ogg("OpusHead"), "audio/ogg"},
		{ogg("\x7fFLAC\x01"), "audio/ogg"},
		{ogg("Speex   1.2"), "audio/ogg"},
		{ogg("\x80theora"), "video/ogg"},
		{ogg("fishead\x00"), "application/ogg"},
		{"fLaC\x00\x00\x00\x22", "audio/flac"},
		{"ID3\x04\x00\x00", "audio/mpeg"},
		{frames("\xff\xfb\x90\x00", 417), "audio/mpeg"}, // 128 kbit/s, 44.1 kHz
		{frames("\xff\xf3\x84\x00", 192), "audio/mpeg"}, // MPEG 2, 64 kbit/s, 24 kHz
		{"\xff\xfb\x90\x00" + strings.Repeat("\x00", 1000), "application/octet-stream"},
		{frames("\xff\xf1\x50\x80\x20\x1f\xfc", 256), "audio/aac"},
		{"RIFF\x24\x00\x00\x00WAVEfmt ", "audio/wav"},
		{"RIFF\x24\x00\x00\x00AVI LIST", "video/avi"},
	} {
		got := TypeOf([]byte(c.head))
		if got != c.want {
			t.Errorf("%.60q is %s, want %s", c.head, got, c.want)
		}
	}
}

// Nothing makes a type out of bytes that a browser may show or play, except what
// begins as that; no input breaks it.
func FuzzTypeOf(f *testing.F) {
	for _, seed := range []string{png, jpeg, gif, webp, box("isom", "avif"), ebml("webm"), ogg("OpusHead"), "<?xml?><svg/>", "%PDF-", "\xff\xfe<", frames("\xff\xfb\x90\x00", 417), "<!DOCTYPE html [ <"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		got := TypeOf(head)
		if IsPicture(got) && got != http.DetectContentType(head) {
			t.Errorf("%q is %s", head, got)
		}
		if TreatmentOf(got, false) == Show {
			t.Errorf("%q is shown", head)
		}
		if i := bytes.IndexByte(head, '<'); i == 0 && TreatmentOf(got, true) != Save {
			t.Errorf("%q is %s", head, got)
		}
	})
}

// The headers of each kind of file.
func TestHeaders(t *testing.T) {
	key := Key{Hash: Hash{1}}
	for _, c := range []struct {
		contentType string
		encoded     bool
		want        Treatment
		served      string
	}{
		{"image/jpeg", true, Show, "image/jpeg"},
		{"image/png", true, Show, "image/png"},
		{"image/gif", true, Show, "image/gif"},
		{"image/webp", true, Show, "image/webp"},
		{"image/jpeg", false, Save, octets},
		{"image/svg+xml", true, Save, octets},
		{"image/svg+xml", false, Save, octets},
		{"image/avif", true, Save, octets},
		{"image/heic", false, Save, octets},
		{"image/bmp", true, Save, octets},
		{"text/html", true, Save, octets},
		{"application/xhtml+xml", false, Save, octets},
		{"text/xml", false, Save, octets},
		{"application/pdf", true, Save, octets},
		{"application/zip", false, Save, octets},
		{"application/wasm", false, Save, octets},
		{octets, false, Save, octets},
		{"", false, Save, octets},
		{"image/png\r\nX: y", true, Save, octets},
		{"text/plain; charset=utf-8", false, Save, "text/plain; charset=utf-8"},
		{"text/plain; charset=utf-16le", false, Save, "text/plain; charset=utf-16le"},
		{"text/plain", false, Save, "text/plain"},
		{"text/plain; charset=utf-7", false, Save, octets},
		{"audio/mpeg", false, Play, "audio/mpeg"},
		{"audio/mp4", false, Play, "audio/mp4"},
		{"audio/aac", false, Play, "audio/aac"},
		{"audio/ogg", false, Play, "audio/ogg"},
		{"audio/flac", false, Play, "audio/flac"},
		{"audio/wav", false, Play, "audio/wav"},
		{"video/mp4", false, Play, "video/mp4"},
		{"video/webm", false, Play, "video/webm"},
		{"video/ogg", true, Play, "video/ogg"},
		{"video/x-matroska", false, Save, octets},
		{"video/quicktime", false, Save, octets},
		{"video/avi", false, Save, octets},
		{"application/ogg", false, Save, octets},
	} {
		if got := TreatmentOf(c.contentType, c.encoded); got != c.want {
			t.Errorf("%s, encoded %t: %d, want %d", c.contentType, c.encoded, got, c.want)
		}
		h := http.Header{"Content-Encoding": {"gzip"}}
		Headers(h, Served{Key: key, Name: "a.b", Type: c.contentType, Encoded: c.encoded})
		disposition := `attachment; filename="a.b"`
		if c.want == Show {
			disposition = `inline; filename="a.b"`
		}
		for name, want := range map[string]string{
			"Content-Type":                 c.served,
			"Content-Disposition":          disposition,
			"X-Content-Type-Options":       "nosniff",
			"Content-Security-Policy":      "sandbox; default-src 'none'",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "private, no-cache",
			"Referrer-Policy":              "no-referrer",
			"Etag":                         `"files-` + key.Hash.String() + `"`,
			"Content-Encoding":             "",
			"Last-Modified":                "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s, encoded %t: %s is %q, want %q", c.contentType, c.encoded, name, got, want)
			}
		}
	}
	h := make(http.Header)
	Headers(h, Served{Key: Key{Thumbnail, key.Hash}, OtherOrigin: true})
	if h.Get("Cross-Origin-Resource-Policy") != "same-site" || h.Get("ETag") != `"thumbs-`+key.Hash.String()+`"` {
		t.Errorf("of another origin: %v", h)
	}
}

package files

import (
	"bytes"
	"encoding/binary"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// HeadSize is how many bytes from the beginning of a file TypeOf looks at.
const HeadSize = 4096

// pdfWithin is where a PDF may begin: readers look for its header in so many bytes.
const pdfWithin = 1024

// octets is the type of bytes that nobody may interpret.
const octets = "application/octet-stream"

// pictures are the types of pictures that are kept re-encoded.
var pictures = []string{"image/jpeg", "image/png", "image/gif", "image/webp"}

// IsPicture reports whether a file of a type is to be re-encoded as a picture before it is
// kept: JPEG, PNG, GIF and WebP.
func IsPicture(contentType string) bool { return slices.Contains(pictures, contentType) }

// TypeOf returns the media type of a file from its first HeadSize bytes, or all it has.
// Neither its name nor what a client says about it counts. A file that is of several types at
// once gets the one that may do least, except that the four pictures come first: what is
// kept of them is re-encoded. It goes beyond http.DetectContentType for PDF that does not begin
// with its header, MP4 and its relatives, Matroska, Ogg, FLAC, MP3 and AAC without tags,
// and for SVG, HTML and XML behind comments, white space or in UTF-16.
//
// The type says what to call a file. Headers does not depend on it being right.
func TypeOf(head []byte) string {
	head = head[:min(len(head), HeadSize)]
	detected := http.DetectContentType(head)
	if IsPicture(detected) {
		return detected
	}
	if bytes.Contains(head[:min(len(head), pdfWithin)], []byte("%PDF-")) {
		return "application/pdf"
	}
	for _, find := range []func([]byte) string{ofBoxes, ofMatroska, ofOgg, ofAudio} {
		if found := find(head); found != "" {
			return found
		}
	}
	switch {
	case detected == "audio/wave":
		return "audio/wav"
	case detected == "video/webm" || detected == "video/mp4": // without what the functions above look for
		return octets
	case strings.HasPrefix(detected, "text/"):
		return ofText(head, detected)
	}
	return detected
}

// brands are those of ISO/IEC 14496-12 that say more than "video/mp4".
var brands = map[string]string{
	"avif": "image/avif", "avis": "image/avif",
	"heic": "image/heic", "heix": "image/heic", "heim": "image/heic", "heis": "image/heic", "hevc": "image/heic", "hevx": "image/heic",
	"mif1": "image/heif", "msf1": "image/heif",
	"M4A ": "audio/mp4", "M4B ": "audio/mp4", "M4P ": "audio/mp4", "F4A ": "audio/mp4", "F4B ": "audio/mp4",
	"qt  ": "video/quicktime", "jp2 ": "image/jp2", "jpx ": "image/jp2", "crx ": "image/x-canon-cr3",
}

// ofBoxes returns the type of a file that begins with the box ftyp.
func ofBoxes(head []byte) string {
	if len(head) < 16 || string(head[4:8]) != "ftyp" {
		return ""
	}
	size := int(binary.BigEndian.Uint32(head))
	if size < 16 || size%4 != 0 {
		return octets
	}
	major := string(head[8:12])
	if found, ok := brands[major]; ok && found != "image/heif" {
		return found
	}
	// The general brands of pictures say nothing about the codec, a compatible one may.
	found := brands[major]
	for at := 16; at+4 <= min(size, len(head)); at += 4 {
		if other := brands[string(head[at:at+4])]; strings.HasPrefix(other, "image/") && (found == "" || found == "image/heif") {
			found = other
		}
	}
	switch {
	case found != "":
		return found
	case strings.HasPrefix(major, "3gp"), strings.HasPrefix(major, "3g2"):
		return "video/3gpp"
	}
	return "video/mp4"
}

// ofMatroska returns the type of a file that begins with an EBML header (RFC 8794).
func ofMatroska(head []byte) string {
	if !bytes.HasPrefix(head, []byte("\x1a\x45\xdf\xa3")) {
		return ""
	}
	header := head[:min(len(head), 128)]
	_, rest, ok := bytes.Cut(header, []byte("\x42\x82")) // DocType
	if !ok || len(rest) < 1 || rest[0]&0x80 == 0 || int(rest[0]&0x7f) >= len(rest) {
		return octets
	}
	switch string(bytes.TrimRight(rest[1:1+int(rest[0]&0x7f)], "\x00")) {
	case "webm":
		return "video/webm"
	case "matroska":
		return "video/x-matroska"
	}
	return octets
}

// ofOgg returns the type of a file that begins with a page of Ogg (RFC 3533), by the
// first packet.
func ofOgg(head []byte) string {
	if !bytes.HasPrefix(head, []byte("OggS\x00")) || len(head) < 28 {
		return ""
	}
	packet := head[min(len(head), 27+int(head[26])):]
	for _, codec := range []string{"\x01vorbis", "OpusHead", "Speex   ", "\x7fFLAC"} {
		if bytes.HasPrefix(packet, []byte(codec)) {
			return "audio/ogg"
		}
	}
	if bytes.HasPrefix(packet, []byte("\x80theora")) {
		return "video/ogg"
	}
	return "application/ogg"
}

// ofAudio returns the type of streams of audio that begin without a tag.
func ofAudio(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("fLaC\x00")):
		return "audio/flac"
	case len(head) < 7 || head[0] != 0xff:
		return ""
	case head[1]&0xf6 == 0xf0:
		// The size of a frame of AAC, in ADTS, leads to the next.
		size := int(head[3]&3)<<11 | int(head[4])<<3 | int(head[5])>>5
		if size >= 7 && followed(head, size, 0xf6) {
			return "audio/aac"
		}
	case head[1]&0xe6 == 0xe2:
		if size := frameOfMP3(head); size > 0 && followed(head, size, 0xfe) {
			return "audio/mpeg"
		}
	}
	return ""
}

// followed reports whether a frame of some size is followed by another of the same kind.
func followed(head []byte, size int, mask byte) bool {
	return size+1 < len(head) && head[size] == 0xff && head[size+1]&mask == head[1]&mask
}

// Rates of MP3 in kbit/s and Hz, for MPEG 1, and for MPEG 2 and 2.5.
var (
	bitRates = [2][15]int{
		{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320},
		{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160},
	}
	sampleRates = [3]int{44100, 48000, 32000}
)

// frameOfMP3 returns the size of a frame in bytes, or 0.
func frameOfMP3(head []byte) int {
	version, bits, samples := head[1]>>3&3, int(head[2]>>4), int(head[2]>>2&3)
	if version == 1 || bits == 0 || bits == 15 || samples == 3 {
		return 0
	}
	rate, padding := sampleRates[samples], int(head[2]>>1&1)
	switch version {
	case 3: // MPEG 1
		return 144_000*bitRates[0][bits]/rate + padding
	case 2: // MPEG 2
		return 72_000*bitRates[1][bits]/(rate/2) + padding
	default: // MPEG 2.5
		return 72_000*bitRates[1][bits]/(rate/4) + padding
	}
}

// ofText returns the type of a text, by its root element if it has one.
func ofText(head []byte, detected string) string {
	text, charset := decode(head)
	if len(charset) > len("; charset=utf-8") {
		detected = http.DetectContentType(text)
	}
	root, declared := rootOf(text)
	switch {
	case root == "svg":
		return "image/svg+xml"
	case root == "html" && declared:
		return "application/xhtml+xml"
	case root == "html" || strings.HasPrefix(detected, "text/html"):
		return "text/html"
	case declared || strings.HasPrefix(detected, "text/xml"):
		return "text/xml"
	}
	return "text/plain" + charset
}

// decode returns a text in UTF-8, and the parameter charset of its type.
func decode(head []byte) (text []byte, charset string) {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return head[3:], "; charset=utf-8"
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		order, charset = binary.LittleEndian, "; charset=utf-16le"
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		order, charset = binary.BigEndian, "; charset=utf-16be"
	default:
		whole := head
		for n := 0; n < utf8.UTFMax && len(head) == HeadSize && !utf8.Valid(whole); n++ { // the last character may be cut
			whole = whole[:len(whole)-1]
		}
		if utf8.Valid(whole) {
			charset = "; charset=utf-8"
		}
		return head, charset
	}
	var units []uint16
	for at := 2; at+1 < len(head); at += 2 {
		units = append(units, order.Uint16(head[at:]))
	}
	return []byte(string(utf16.Decode(units))), charset
}

// asIs reads a document whose encoding does not matter for the name of its root.
func asIs(_ string, in io.Reader) (io.Reader, error) { return in, nil }

// rootOf returns the local name of the first element of a text in lower case, or "", and
// whether the text begins with an XML declaration.
func rootOf(text []byte) (root string, declared bool) {
	text = bytes.TrimLeft(text, " \t\r\n\f")
	declared = bytes.HasPrefix(text, []byte("<?xml"))
	if !bytes.HasPrefix(text, []byte("<")) {
		return "", false
	}
	d := xml.NewDecoder(bytes.NewReader(text))
	d.Strict = false
	d.CharsetReader = asIs
	for {
		token, err := d.RawToken()
		switch token := token.(type) {
		case xml.StartElement:
			return strings.ToLower(token.Name.Local), declared
		case xml.Directive:
			// HTML needs no element after it.
			if fields := strings.Fields(strings.ToLower(string(token))); len(fields) > 1 && fields[0] == "doctype" && fields[1] == "html" {
				return "html", declared
			}
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return "", declared
			}
		}
		if err != nil {
			return "", declared
		}
	}
}

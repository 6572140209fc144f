package picture

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
)

// HEIC, AVIF, CR3, MP4 and MOV are boxes in boxes, ISO/IEC 14496-12. Some boxes hold positions in the file,
// so nothing may move: what says where something was taken is overwritten in its place. Exif of a picture
// becomes Exif without any tags, XMP becomes spaces, a box of a film becomes free space, all of the
// same length. What is among the samples of a film stays, such as the track of positions that an action camera
// has written.

const (
	// maxBoxes bounds the boxes of a file, each of which is a read.
	maxBoxes = 100_000
	// maxDepth bounds how deep boxes are in each other. A place in a film is at 5.
	maxDepth = 10
	// maxTable bounds a box with a table, in bytes.
	maxTable = 4 << 20
	// maxPatches bounds what is overwritten of a file. All together is no longer than the file.
	maxPatches = 10_000
	boxHead    = 8 // bytes before the body of a box, or 16
)

// boxBegins are the kinds of the first boxes of a file. Old films begin with others than ftyp.
var boxBegins = []string{"ftyp", "moov", "mdat", "wide", "free", "skip", "pnot"}

// places are the boxes that say where something was taken, or hold all that a device knows.
var places = []string{
	"\xa9xyz", // of QuickTime and of phones with Android
	"loci",    // 3GPP TS 26.244, 8.10
	"gps ",    // of dashboard cameras
	"GPMF",    // of action cameras
	"CMT4",    // of CR3
	"XMP_",
}

// parents are the boxes that have boxes in them.
var parents = []string{"moov", "trak", "udta", "meta", "ilst"}

const (
	uuidXMP = "\xbe\x7a\xcf\xcb\x97\xa9\x42\xe8\x9c\x71\x99\x94\x91\xe3\xaf\xac"
	uuidCR3 = "\x85\xc0\xb6\x87\x82\x0f\x11\xe0\x81\x11\xf4\xce\x46\x2b\x6a\x48" // which has boxes in it
)

// noTags is an item of Exif, ISO/IEC 23008-12, A.2.1, without tags: the offset of a TIFF, which has an empty directory.
const noTags = "\x00\x00\x00\x00MM\x00*\x00\x00\x00\x08\x00\x00\x00\x00\x00\x00"

// box is a box of a file. Positions and sizes are in bytes.
type box struct {
	kind     string
	kindAt   int64
	at, size int64 // of the body
}

// patch is what is written over bytes of a file: a text, and as often as necessary another byte.
type patch struct {
	at, size int64
	text     string
	fill     byte
}

// boxes finds what is to be overwritten.
type boxes struct {
	source  *input
	left    int   // boxes
	room    int64 // bytes that may be overwritten yet
	patches []patch
}

// isBoxes reports whether a file begins with a box.
func (in *input) isBoxes() bool {
	begin := make([]byte, boxHead)
	_, err := in.ReadAt(begin, 0)
	return err == nil && slices.Contains(boxBegins, string(begin[4:]))
}

// stripBoxes copies a file, and overwrites what says where it was taken. One that says nothing is
// refused as Unknown.
func stripBoxes(s *stripper) error {
	b := &boxes{source: s.source, left: maxBoxes, room: s.source.size}
	if err := b.walk(0, s.source.size, 0, b.found(0)); err != nil {
		return err
	}
	if len(b.patches) == 0 {
		return &RefusedError{Reason: Unknown, Detail: "it does not say where it was taken"}
	}
	buffer := make([]byte, bufferSize)
	for at := int64(0); at < s.source.size; at += int64(len(buffer)) {
		buffer = buffer[:min(int64(len(buffer)), s.source.size-at)]
		if _, err := io.ReadFull(s.in, buffer); err != nil {
			return err
		}
		for _, p := range b.patches {
			p.apply(buffer, at)
		}
		if err := s.put(buffer...); err != nil {
			return err
		}
	}
	return nil
}

// apply overwrites the part of a patch that is in a buffer, which begins at a position.
func (p patch) apply(buffer []byte, at int64) {
	for i := max(p.at, at); i < min(p.at+p.size, at+int64(len(buffer))); i++ {
		b := p.fill
		if in := i - p.at; in < int64(len(p.text)) {
			b = p.text[in]
		}
		buffer[i-at] = b
	}
}

// walk calls a function for each box between two positions. It ends where there is none any more. A box that is
// longer than there is room for ends there.
func (b *boxes) walk(at, end int64, depth int, visit func(box) error) error {
	head := make([]byte, 2*boxHead)
	for depth <= maxDepth && at+boxHead <= end {
		if b.left--; b.left < 0 {
			return refuse(Broken, "over %d boxes", maxBoxes)
		}
		n, err := b.source.ReadAt(head[:min(int64(len(head)), end-at)], at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		size, begin := uint64(binary.BigEndian.Uint32(head)), uint64(boxHead)
		switch {
		case size == 1 && n == len(head):
			size, begin = binary.BigEndian.Uint64(head[boxHead:]), 2*boxHead
		case size == 0: // up to the end
			size = uint64(end - at)
		}
		if size < begin {
			return nil
		}
		next := end
		if size < uint64(end-at) {
			next = at + int64(size)
		}
		found := box{string(head[4:boxHead]), at + 4, at + int64(begin), next - at - int64(begin)}
		if err := visit(found); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// found returns what is done about a box.
func (b *boxes) found(depth int) func(box) error {
	return func(x box) error {
		switch {
		case slices.Contains(places, x.kind):
			return b.free(x)
		case x.kind == "uuid":
			return b.foundUUID(x, depth)
		case x.kind == "meta":
			return b.foundMeta(x, depth)
		case slices.Contains(parents, x.kind):
			return b.walk(x.at, x.at+x.size, depth+1, b.found(depth+1))
		}
		return nil
	}
}

// free makes free space of a box.
func (b *boxes) free(x box) error {
	if err := b.overwrite(patch{x.kindAt, 4, "free", 0}); err != nil {
		return err
	}
	return b.overwrite(patch{x.at, x.size, "", 0})
}

// overwrite adds a patch, as far as it is in the file.
func (b *boxes) overwrite(p patch) error {
	if p.at < 0 || p.at >= b.source.size || p.size <= 0 {
		return nil
	}
	p.size = min(p.size, b.source.size-p.at)
	b.room -= p.size
	if b.room < 0 || len(b.patches) == maxPatches {
		return refuse(Broken, "what it says takes over %d places or all of its bytes", maxPatches)
	}
	b.patches = append(b.patches, p)
	return nil
}

func (b *boxes) foundUUID(x box, depth int) error {
	id, err := b.read(x, len(uuidXMP))
	switch {
	case err != nil:
		return err
	case string(id) == uuidXMP:
		return b.free(x)
	case string(id) == uuidCR3:
		return b.walk(x.at+int64(len(id)), x.at+x.size, depth+1, b.found(depth+1))
	}
	return nil
}

// read reads the beginning of a box, or less if it is shorter.
func (b *boxes) read(x box, n int) ([]byte, error) {
	body := make([]byte, min(int64(n), x.size))
	_, err := b.source.ReadAt(body, x.at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return body, err
}

// foundMeta looks at metadata of a picture, which are items, or of a film, which have keys.
func (b *boxes) foundMeta(x box, depth int) error {
	begin, err := b.read(x, boxHead)
	if err != nil {
		return err
	}
	at := x.at
	if len(begin) < boxHead || string(begin[4:]) != "hdlr" { // those of QuickTime have no version
		at += 4
	}
	var m metaBoxes
	if err := b.walk(at, x.at+x.size, depth+1, func(inner box) error {
		switch inner.kind {
		case "iinf":
			m.items = inner
		case "iloc":
			m.locations = inner
		case "idat":
			m.data = inner
		case "keys":
			m.keys = inner
		case "ilst":
			m.list = inner
		}
		return b.found(depth + 1)(inner)
	}); err != nil {
		return err
	}
	if err := b.metadataItems(m, depth); err != nil {
		return err
	}
	return b.keyed(m, depth)
}

// metaBoxes are the boxes in a box meta. Those that there are not have no kind.
type metaBoxes struct{ items, locations, data, keys, list box }

// keyed overwrites the values of a film whose keys are about a location, such as com.apple.quicktime.location.ISO6709.
func (b *boxes) keyed(m metaBoxes, depth int) error {
	if m.keys.kind == "" || m.list.kind == "" {
		return nil
	}
	number := uint32(0)
	located := make(map[string]bool)
	err := b.walk(m.keys.at+8, m.keys.at+m.keys.size, depth+1, func(key box) error {
		number++
		name, err := b.read(key, 256)
		if text := strings.ToLower(string(name)); strings.Contains(text, "location") || strings.Contains(text, "gps") || strings.Contains(text, "xyz") {
			located[string(binary.BigEndian.AppendUint32(nil, number))] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	return b.walk(m.list.at, m.list.at+m.list.size, depth+1, func(value box) error {
		const before = boxHead + 8 // the head of a box data, its type and its language
		if located[value.kind] && value.size > before {
			return b.overwrite(patch{value.at + before, value.size - before, "", 0})
		}
		return nil
	})
}

package bus

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"kaban"
	"kaban/internal/store"
)

// MalformedError reports that bytes are no hint.
type MalformedError struct {
	Field  string // of the hint that is bad
	Entry  int    // of the hint that has the field, from 0; -1 if it is none of an entry
	Offset int    // in bytes, where the field begins
	Reason string
}

func (e *MalformedError) Error() string {
	where := e.Field
	if e.Entry >= 0 {
		where = fmt.Sprintf("%s of entry %d", e.Field, e.Entry)
	}
	return fmt.Sprintf("malformed hint: %s at byte %d %s", where, e.Offset, e.Reason)
}

// VersionError reports that a hint is of another version of the encoding.
type VersionError struct{ Version byte }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the hint has version %d of the encoding, and this node reads %d", e.Version, version)
}

// Decode reads a hint that Append has written. Every other text of bytes is an error: a
// *VersionError or a *MalformedError. It keeps nothing of encoded.
func Decode(encoded []byte) (*Hint, error) {
	switch {
	case len(encoded) == 0:
		return nil, &MalformedError{"version", -1, 0, "is missing"}
	case encoded[0] != version:
		return nil, &VersionError{encoded[0]}
	case len(encoded) > MaxHint:
		return nil, &MalformedError{"length", -1, 0, fmt.Sprintf("is %d bytes, more than %d", len(encoded), MaxHint)}
	}
	d := &decoder{text: string(encoded), at: 1, entry: -1}
	h := d.hint()
	if d.err != nil {
		return nil, d.err
	}
	return h, nil
}

// decoder reads the fields of a hint, until the first bad one.
type decoder struct {
	text  string // all texts of the hint are parts of it
	at    int
	entry int
	err   *MalformedError
}

func (d *decoder) hint() *Hint {
	h := new(Hint)
	start := d.at
	if h.Epoch = d.string("epoch", maxEpoch); h.Epoch == "" || !isPlain(h.Epoch) {
		d.fail("epoch", start, "is empty or has other characters than visible ASCII")
	}
	h.Timeline = d.uvarint("timeline", math.MaxUint32)
	start = d.at
	name := d.string("room", maxRoom)
	room, err := kaban.ParseAnyRoom(name)
	if err != nil || room.String() != name {
		d.fail("room", start, "is no name of a room")
	}
	h.Room = room
	h.Revision = d.uvarint("revision", math.MaxInt64)
	h.Head = d.uvarint("head", math.MaxInt64)
	start = d.at
	first := d.uvarint("first", math.MaxInt64+1)
	count := d.uvarint("count", MaxEntries)
	switch {
	case first == 0:
		d.fail("first", start, "is 0")
	case count == 0 && first != h.Head+1:
		d.fail("first", start, "is not behind the head, without entries")
	case count > 0 && (first > h.Head || h.Head-first < count-1):
		d.fail("first", start, "lets entries pass the head")
	case count > uint64(len(d.text)-d.at):
		d.fail("count", start, "is larger than what follows")
	}
	if d.err != nil {
		return nil
	}
	d.entries(h, first, int(count))
	return h
}

func (d *decoder) entries(h *Hint, first uint64, count int) {
	start := d.at
	if count > 0 {
		h.Entries = make([]store.Entry, count)
	}
	for i := range h.Entries {
		d.entry = i
		d.readEntry(&h.Entries[i], first+uint64(i))
		if d.err != nil {
			return
		}
	}
	d.entry = -1
	if d.at != len(d.text) {
		d.fail("end", d.at, "has something behind it")
	}
	if d.at-start > MaxEntryBytes {
		d.fail("entries", start, fmt.Sprintf("are longer than %d bytes", MaxEntryBytes))
	}
}

func (d *decoder) readEntry(e *store.Entry, seq uint64) {
	e.Seq = seq
	start := d.at
	if kind := d.byte("kind"); kind == 0 {
		d.fail("kind", start, "is 0")
	} else {
		e.Kind = kaban.Kind(kind)
	}
	e.Time = d.varint("time")
	start = d.at
	e.ID = d.string("id", maxID)
	if _, err := kaban.ParseMessageID(e.ID); err != nil {
		d.fail("id", start, "is no id of a message")
	}
	start = d.at
	if e.Author = d.string("author", maxAuthor); !strings.Contains(e.Author, ":") {
		d.fail("author", start, "is no id of an identity")
	}
	start = d.at
	if e.Username = d.string("username", maxUsername); utf8.RuneCountInString(e.Username) > kaban.MaxUsername {
		d.fail("username", start, "is too long")
	}
	start = d.at
	if e.Target = d.uvarint("target", math.MaxInt64); e.Target >= seq {
		d.fail("target", start, "is not before the entry")
	}
	e.Content = d.string("content", MaxEntryBytes)
	start = d.at
	if e.Files = d.string("files", kaban.MaxFilesText); e.Files != "" && kaban.StoredFiles(e.Files).IsZero() {
		d.fail("files", start, "are no files of a message")
	}
}

// fail notes the first bad field.
func (d *decoder) fail(field string, offset int, reason string) {
	if d.err == nil {
		d.err = &MalformedError{field, d.entry, offset, reason}
	}
}

func (d *decoder) byte(field string) byte {
	if d.err != nil {
		return 0
	}
	if d.at == len(d.text) {
		d.fail(field, d.at, "is cut off")
		return 0
	}
	d.at++
	return d.text[d.at-1]
}

// uvarint reads a number in its shortest form.
func (d *decoder) uvarint(field string, most uint64) (value uint64) {
	start := d.at
	for shift := 0; ; shift += 7 {
		b := d.byte(field)
		switch {
		case d.err != nil:
			return 0
		case d.at-start > binary.MaxVarintLen64 || d.at-start == binary.MaxVarintLen64 && b > 1:
			d.fail(field, start, "has more than 64 bits")
			return 0
		case b == 0 && shift > 0:
			d.fail(field, start, "is longer than it need be")
			return 0
		}
		if value |= uint64(b&0x7f) << shift; b < 0x80 {
			break
		}
	}
	if value > most {
		d.fail(field, start, fmt.Sprintf("is %d, more than %d", value, most))
		return 0
	}
	return value
}

// varint reads a signed number.
func (d *decoder) varint(field string) int64 {
	value := d.uvarint(field, math.MaxUint64)
	return int64(value>>1) ^ -int64(value&1)
}

// string reads a text of up to most bytes.
func (d *decoder) string(field string, most int) string {
	start := d.at
	n := d.uvarint(field, uint64(most))
	switch {
	case d.err != nil:
		return ""
	case n > uint64(len(d.text)-d.at):
		d.fail(field, start, "is cut off")
		return ""
	}
	text := d.text[d.at : d.at+int(n)]
	if d.at += int(n); !utf8.ValidString(text) {
		d.fail(field, start, "is no UTF-8")
	}
	return text
}

// isPlain reports whether a text has nothing but visible ASCII characters.
func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

package wire

import (
	"fmt"

	"kaban"
)

// Limits of opaque strings in bytes.
const (
	maxZone  = 64
	maxToken = 128                   // an epoch, a session
	maxName  = kaban.MaxRoomName * 4 // the name before a page
)

// decoder converts the fields of a scanned frame. It keeps the first error; its
// results after that do not matter.
type decoder struct {
	*scanner
	bad *ReaderError
}

func (d *decoder) refuse(bad *ReaderError) {
	if d.bad == nil {
		d.bad = bad
	}
}

func (d *decoder) badField(f field, detail string) {
	d.refuse(&ReaderError{Code: CodeBadField, Field: fieldNames[f], Position: -1, detail: detail})
}

// get returns a field and reports whether it is present. It records an error if
// the field has another kind, or is absent and required.
func (d *decoder) get(f field, k kind, required bool) (value, bool) {
	v := d.fields[f]
	switch {
	case v.kind == k:
		return v, true
	case v.kind != kindAbsent:
		d.badField(f, fmt.Sprintf("it must be %s, not %s", k, v.kind))
	case required:
		d.refuse(&ReaderError{Code: CodeMissingField, Field: fieldNames[f], Position: -1})
	}
	return value{}, false
}

func (d *decoder) text(f field, required bool) []byte {
	v, _ := d.get(f, kindString, required)
	return v.bytes
}

// token returns a string of 1 to limit bytes, or nil if it is absent.
func (d *decoder) token(f field, limit int) []byte {
	v, ok := d.get(f, kindString, false)
	if ok && (len(v.bytes) == 0 || len(v.bytes) > limit) {
		d.refuse(&ReaderError{
			Code: CodeBadField, Field: fieldNames[f], Position: -1, Max: limit, Actual: len(v.bytes),
			detail: fmt.Sprintf("it must have 1 to %d bytes", limit),
		})
	}
	return v.bytes
}

// natural returns a non-negative integer.
func (d *decoder) natural(f field, required bool) (n uint64, ok bool) {
	v, ok := d.get(f, kindNumber, required)
	if ok && v.number < 0 {
		d.badField(f, "it must not be negative")
	}
	return uint64(v.number), ok
}

// positive returns an integer of at least 1, or 0 if it is absent.
func (d *decoder) positive(f field, required bool) uint64 {
	n, ok := d.natural(f, required)
	if ok && n == 0 {
		d.badField(f, "it must be at least 1")
	}
	return n
}

func (d *decoder) boolean(f field) bool {
	v, _ := d.get(f, kindBool, false)
	return v.number == 1
}

// required returns a boolean that must be present.
func (d *decoder) required(f field) bool {
	v, _ := d.get(f, kindBool, true)
	return v.number == 1
}

// invalid records an error of package kaban.
func (d *decoder) invalid(f field, err error) {
	bad := &ReaderError{Code: CodeOf(err), Field: fieldNames[f], Position: -1, Err: err}
	if wrong, ok := err.(*kaban.MessageError); ok {
		bad.Position, bad.Max, bad.Actual = wrong.Position, wrong.Limit, wrong.Actual
	}
	d.refuse(bad)
}

func (d *decoder) limit(most int) int {
	v, ok := d.get(fLimit, kindNumber, false)
	if ok && (v.number < 1 || v.number > int64(most)) {
		d.refuse(&ReaderError{Code: CodeBadLimit, Field: fieldNames[fLimit], Position: -1, Max: most, Actual: int(v.number)})
	}
	return int(v.number)
}

// nested decodes an object within the frame, which is already scanned.
func (d *decoder) nested(object []byte, decode func(*decoder)) {
	s := newScanner(eventField)
	defer s.free()
	inner := decoder{scanner: s}
	if inner.bad = s.scan(object); inner.bad == nil {
		decode(&inner)
	}
	if inner.bad != nil {
		d.refuse(inner.bad)
	}
}

// elements calls each for every value of an array.
func (d *decoder) elements(f field, required bool, each func(value)) {
	if list, ok := d.get(f, kindArray, required); ok {
		d.values(list.bytes, each)
	}
}

// values calls each for every value of an array within the frame, which is already scanned.
func (d *decoder) values(list []byte, each func(value)) {
	s := newScanner(eventField)
	defer s.free()
	s.line, s.pos, s.scratch, s.seen, s.fault = list, 1, s.scratch[:0], s.seen[:0], nil
	for s.space(); !s.at(']'); s.space() {
		v, err := s.value(1)
		if err != nil {
			d.refuse(err)
			return
		}
		each(v)
		if s.space(); s.at(',') {
			s.pos++
		}
	}
}

func (d *decoder) objects(f field, required bool, each func(*decoder)) {
	d.elements(f, required, func(v value) {
		if v.kind != kindObject {
			d.badField(f, "its elements must be objects")
			return
		}
		d.nested(v.bytes, each)
	})
}

func (d *decoder) strs(f field, required bool) (list []string) {
	d.elements(f, required, func(v value) {
		if v.kind != kindString {
			d.badField(f, "its elements must be strings")
			return
		}
		list = append(list, string(v.bytes))
	})
	return list
}

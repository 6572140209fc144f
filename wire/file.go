package wire

import (
	"fmt"
	"slices"

	"kaban"
)

// files decodes the ids of the files of a send.
func (d *decoder) files() (ids []string) {
	n := 0
	d.elements(fFiles, false, func(v value) {
		if n++; n > kaban.MaxFiles || d.bad != nil {
			return
		}
		if v.kind != kindString || !kaban.IsFileID(string(v.bytes)) {
			d.badField(fFiles, fmt.Sprintf("its elements must be ids of files, of %d characters", kaban.FileIDLength))
			return
		}
		id := string(v.bytes)
		if slices.Contains(ids, id) {
			d.badField(fFiles, "it lists a file twice")
		}
		ids = append(ids, id)
	})
	d.atMost(fFiles, n, kaban.MaxFiles, "elements")
	return ids
}

// appendFiles appends what a message says of its files, if it has any.
func appendFiles(dst []byte, files kaban.Files) []byte {
	if files.IsZero() {
		return dst
	}
	return append(appendField(dst, fFiles), files.String()...)
}

// filesOfMessage decodes what a message says of its files. It leaves out those that make no
// sense to this version: the message is an entry all the same.
func (d *decoder) filesOfMessage() kaban.Files {
	if d.fields[fFiles].kind != kindArray {
		return kaban.Files{}
	}
	var list []kaban.File
	d.elements(fFiles, false, func(v value) {
		if v.kind != kindObject || len(list) == kaban.MaxFiles {
			return
		}
		if f, ok := d.file(v.bytes); ok && !slices.ContainsFunc(list, func(other kaban.File) bool { return other.ID == f.ID }) {
			list = append(list, f)
		}
	})
	files, _ := kaban.NewFiles(list...) // an error would be of one of them
	return files
}

// file decodes a file of a message, an object within the frame. ok is false if it makes no
// sense.
func (d *decoder) file(object []byte) (f kaban.File, ok bool) {
	s := newScanner(eventField)
	defer s.free()
	inner := decoder{scanner: s}
	if s.scan(object) != nil {
		return f, false
	}
	f = kaban.File{
		ID: inner.str(fFile, true), Name: inner.str(fName, true), Size: int64(inner.count(fSize, true)), Type: inner.str(fType, true),
		Width: int(inner.count(fWidth, false)), Height: int(inner.count(fHeight, false)), Alt: inner.str(fAlt, false),
	}
	return f, inner.bad == nil && f.Check() == nil
}

package picture

import (
	"bytes"
	"encoding/binary"
)

// orientation is the tag of Exif (CIPA DC-008, 4.6.4.A): how rows and columns of the stored
// picture lie in the scene. 1 is upright.
type orientation uint8

const upright orientation = 1

const (
	orientationTag = 0x0112
	shortType      = 3
	ifdEntry       = 12 // bytes
)

// exifMark precedes Exif in a JPEG, and by mistake elsewhere.
var exifMark = []byte("Exif\x00\x00")

// exifOrientation returns the orientation that Exif says, a TIFF of which only the first
// directory is read. It is upright if Exif says nothing, or nothing that makes sense.
func exifOrientation(exif []byte) orientation {
	exif = bytes.TrimPrefix(exif, exifMark)
	if len(exif) < 8 {
		return upright
	}
	var order binary.ByteOrder
	switch string(exif[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return upright
	}
	at := uint64(order.Uint32(exif[4:]))
	if at+2 > uint64(len(exif)) {
		return upright
	}
	entries := exif[at+2:]
	for range order.Uint16(exif[at:]) {
		if len(entries) < ifdEntry {
			return upright
		}
		entry := entries[:ifdEntry]
		entries = entries[ifdEntry:]
		if order.Uint16(entry) != orientationTag {
			continue
		}
		value := order.Uint16(entry[8:])
		if order.Uint16(entry[2:]) != shortType || order.Uint32(entry[4:]) != 1 || value < 1 || value > 8 {
			return upright
		}
		return orientation(value)
	}
	return upright
}

// The eight orientations are made of a transposition, and after it of a mirror at the
// vertical and one at the horizontal axis.

// transposes reports whether rows become columns.
func (o orientation) transposes() bool { return o >= 5 && o <= 8 }

// mirrors reports whether left and right change places.
func (o orientation) mirrors() bool { return o == 2 || o == 3 || o == 6 || o == 7 }

// flips reports whether top and bottom change places.
func (o orientation) flips() bool { return o == 3 || o == 4 || o == 7 || o == 8 }

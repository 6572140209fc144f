package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
)

// More markers of JPEG, ITU-T T.81, table B.1.
const (
	markJPG   = 0xc8 // reserved
	markSOF15 = 0xcf
	markSOI   = 0xd8
	markEXP   = 0xdf // the last of those with a structure of their own
	markTEM   = 0x01
	markAPP0  = 0xe0
	markAPP14 = 0xee
	markAPP15 = 0xef
	markCOM   = 0xfe
)

var (
	jfifMark  = []byte("JFIF\x00")
	adobeMark = []byte("Adobe")
	// iccMark precedes each part of a colour profile, and not of MPF, which shares its marker.
	iccMark = []byte("ICC_PROFILE\x00")
	// jfif is the body of a segment, JFIF 1.02: version, no unit, a density of 1 x 1, no thumbnail.
	jfif = []byte("JFIF\x00\x01\x02\x00\x00\x01\x00\x01\x00\x00")
)

// Parts of bodies that are kept, in bytes.
const (
	jfifDensity = 12 // up to the size of the thumbnail
	adobeSize   = 12
)

// stripJPEG keeps frames, tables and scans, and of the segments of applications those that say how
// colours are to be understood. What is between segments goes.
func stripJPEG(s *stripper) error {
	if err := s.copy(2); err != nil {
		return err
	}
	next := s.marker
	for {
		marker, err := next()
		next = s.marker
		switch {
		case err != nil:
			return err
		case marker == markEOI && !s.begun:
			return errNoPixels
		case marker == markEOI:
			return s.put(0xff, markEOI)
		case marker == markTEM || marker >= markRST0 && marker <= markRST7:
			continue
		}
		body, err := s.segment()
		if err != nil {
			return err
		}
		if err := s.keep(marker, body); err != nil {
			return err
		}
		if marker == markSOS {
			s.begun, next = true, s.scan
		}
	}
}

func (s *stripper) marker() (byte, error) { return nextMarker(s.in) }

// segment reads the body of a segment. It is valid until the next call.
func (s *stripper) segment() ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(s.in, length[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint16(length[:])) - len(length)
	if n < 0 {
		return nil, refuse(Broken, "a segment of JPEG is too short")
	}
	if s.body == nil {
		s.body = make([]byte, 1<<16)
	}
	_, err := io.ReadFull(s.in, s.body[:n])
	return s.body[:n], err
}

// keep writes what is kept of a segment.
func (s *stripper) keep(marker byte, body []byte) error {
	switch {
	case marker >= markSOF0 && marker <= markSOF15 && marker != markJPG, marker >= markSOS && marker <= markEXP:
	case marker == markAPP0 && bytes.HasPrefix(body, jfifMark):
		kept := bytes.Clone(jfif)
		copy(kept[:jfifDensity], body)
		body = kept
	case marker == markAPP1 && bytes.HasPrefix(body, exifMark):
		exif := s.turned(body)
		if exif == nil {
			return nil
		}
		body = append(bytes.Clone(exifMark), exif...)
	case marker == markAPP2 && bytes.HasPrefix(body, iccMark):
	case marker == markAPP14 && bytes.HasPrefix(body, adobeMark) && len(body) >= adobeSize:
		body = body[:adobeSize]
	case marker >= markAPP0 && marker <= markAPP15, marker == markCOM:
		return nil
	default:
		return refuse(Broken, "JPEG has no marker %#x here", marker)
	}
	if err := s.put(0xff, marker, byte((len(body)+2)>>8), byte(len(body)+2)); err != nil {
		return err
	}
	return s.put(body...)
}

// scan copies the codes of a scan, T.81, B.1.1.5, and returns the marker behind them.
func (s *stripper) scan() (byte, error) {
	for {
		codes, err := s.in.ReadSlice(0xff)
		full := errors.Is(err, bufio.ErrBufferFull)
		if err == nil {
			codes = codes[:len(codes)-1]
		}
		if err := s.put(codes...); err != nil {
			return 0, err
		}
		if full {
			continue
		}
		if err != nil {
			return 0, err
		}
		b := byte(0xff)
		for b == 0xff {
			if b, err = s.in.ReadByte(); err != nil {
				return 0, err
			}
		}
		if b != 0 && (b < markRST0 || b > markRST7) {
			return b, nil
		}
		if err := s.put(0xff, b); err != nil {
			return 0, err
		}
	}
}

package picture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"image/color"
	"image/jpeg"
	"io"
)

// Markers of JPEG, ITU-T T.81, table B.1.
const (
	markSOF0 = 0xc0 // baseline
	markSOF1 = 0xc1 // extended
	markSOF2 = 0xc2 // progressive
	markRST0 = 0xd0
	markRST7 = 0xd7
	markEOI  = 0xd9
	markSOS  = 0xda
	markDQT  = 0xdb
	markAPP1 = 0xe1
	markAPP2 = 0xe2
)

const (
	// The quality of an output is that of its source within these bounds. The same tables
	// lose least when what they have rounded is rounded again. Above 92 nobody sees a
	// difference, and files get much longer; below 75 tables other than the source's own
	// are seen.
	minQuality = 75
	maxQuality = 92
	// coefficientSize is what the decoder keeps of each sample between the scans of a
	// progressive picture, in bytes.
	coefficientSize = 4
)

// profileMark precedes a colour profile that is in one segment, as all small ones are.
// Profiles in several segments are tables for scanners and printers.
var profileMark = []byte("ICC_PROFILE\x00\x01\x01")

func inspectJPEG(in *input, _ limits) (header, error) {
	config, err := jpeg.DecodeConfig(in.reader())
	if err != nil {
		return header{}, err
	}
	var s jpegSegments
	if err := s.read(in.reader()); err != nil {
		return header{}, err
	}
	memory := s.samples()
	if s.progressive {
		memory += coefficientSize * s.samples()
	}
	if config.ColorModel == color.RGBAModel || config.ColorModel == color.CMYKModel {
		memory += 4 * int64(config.Width) * int64(config.Height) // the decoder puts the planes together
	}
	return header{
		width: config.Width, height: config.Height, frames: 1, memory: memory,
		orientation: exifOrientation(s.exif), profile: parseProfile(s.profile),
		quality: s.quality(), lossy: true,
	}, nil
}

func decodeJPEG(in *input, h header) (decoded, error) {
	img, err := jpeg.Decode(in.reader())
	if err != nil {
		return decoded{}, err
	}
	return still(img, h)
}

// jpegSegments is what precedes the first scan. The decoder decides what of it is right.
type jpegSegments struct {
	progressive   bool
	width, height int64
	components    []jpegComponent
	sums          [4]int // of the numbers in a quantisation table; 0 if there is none
	exif, profile []byte
}

type jpegComponent struct {
	h, v  int64 // sampling factors
	table byte  // of quantisation
}

// read reads segments as the decoder does: what is between them is skipped.
func (s *jpegSegments) read(r *bufio.Reader) error {
	if _, err := r.Discard(2); err != nil {
		return err
	}
	for {
		marker, err := nextMarker(r)
		if err != nil {
			return err
		}
		switch {
		case marker == markSOS || marker == markEOI:
			return nil
		case marker >= markRST0 && marker <= markRST7:
			continue
		}
		var length [2]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(length[:])) - len(length)
		if n < 0 {
			return refuse(Broken, "a segment of JPEG is too short")
		}
		switch marker {
		case markSOF0, markSOF1, markSOF2, markDQT, markAPP1, markAPP2:
			body := make([]byte, n)
			if _, err := io.ReadFull(r, body); err != nil {
				return err
			}
			s.segment(marker, body)
		default:
			if _, err := r.Discard(n); err != nil {
				return err
			}
		}
	}
}

// nextMarker reads up to and including a marker.
func nextMarker(r io.ByteReader) (byte, error) {
	for {
		b, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if b != 0xff {
			continue
		}
		for b == 0xff {
			if b, err = r.ReadByte(); err != nil {
				return 0, err
			}
		}
		if b != 0 {
			return b, nil
		}
	}
}

// segment takes one of the segments that matter. Of Exif and profiles the first counts.
func (s *jpegSegments) segment(marker byte, body []byte) {
	switch marker {
	case markDQT:
		s.quantisation(body)
	case markAPP1:
		if s.exif == nil && bytes.HasPrefix(body, exifMark) {
			s.exif = body
		}
	case markAPP2:
		if s.profile == nil && bytes.HasPrefix(body, profileMark) {
			s.profile = body[len(profileMark):]
		}
	default:
		s.frame(marker, body)
	}
}

// frame takes the header of a frame, T.81, B.2.2.
func (s *jpegSegments) frame(marker byte, body []byte) {
	if len(body) < 6 || s.components != nil {
		return
	}
	s.progressive = marker == markSOF2
	s.height, s.width = int64(binary.BigEndian.Uint16(body[1:])), int64(binary.BigEndian.Uint16(body[3:]))
	for c := body[6:]; len(c) >= 3; c = c[3:] {
		s.components = append(s.components, jpegComponent{int64(c[1] >> 4), int64(c[1] & 15), c[2] & 3})
	}
	if len(s.components) == 1 {
		s.components[0].h, s.components[0].v = 1, 1 // as the decoder sees it
	}
}

// samples returns how many there are in whole units of coding.
func (s *jpegSegments) samples() (n int64) {
	across, down := int64(1), int64(1)
	for _, c := range s.components {
		across, down = max(across, c.h), max(down, c.v)
	}
	units := ((s.width + 8*across - 1) / (8 * across)) * ((s.height + 8*down - 1) / (8 * down))
	for _, c := range s.components {
		n += units * 64 * c.h * c.v
	}
	return n
}

// quantisation takes tables, T.81, B.2.4.1.
func (s *jpegSegments) quantisation(body []byte) {
	for len(body) > 0 {
		table, size := body[0]&3, 1
		if body[0]>>4 != 0 {
			size = 2
		}
		body = body[1:]
		if len(body) < 64*size {
			return
		}
		s.sums[table] = 0
		for i := 0; i < 64*size; i += size {
			v := int(body[i])
			if size == 2 {
				v = v<<8 | int(body[i+1])
			}
			s.sums[table] += v
		}
		body = body[64*size:]
	}
}

// standardTable is the table for luminance of T.81, table K.1, in rows. Its order does not
// matter here.
var standardTable = [64]int{
	16, 11, 10, 16, 24, 40, 51, 61,
	12, 12, 14, 19, 26, 58, 60, 55,
	14, 13, 16, 24, 40, 57, 69, 56,
	14, 17, 22, 29, 51, 87, 80, 62,
	18, 22, 37, 56, 68, 109, 103, 77,
	24, 35, 55, 64, 81, 104, 113, 92,
	49, 64, 78, 87, 103, 121, 120, 101,
	72, 92, 95, 98, 112, 100, 103, 99,
}

// quality returns the one whose table is as coarse as the source's, within the bounds.
func (s *jpegSegments) quality() int {
	if len(s.components) == 0 || s.sums[s.components[0].table] == 0 {
		return maxQuality
	}
	sum := s.sums[s.components[0].table]
	for q := minQuality; q < maxQuality; q++ {
		if tableSum(q) <= sum {
			return q
		}
	}
	return maxQuality
}

// tableSum returns the sum of the table that the encoder makes for a quality over 50.
func tableSum(quality int) (sum int) {
	scale := 200 - 2*quality
	for _, v := range standardTable {
		sum += min(max((v*scale+50)/100, 1), 255)
	}
	return sum
}

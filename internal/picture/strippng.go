package picture

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
)

// maxExif bounds what is read of Exif, in bytes. The orientation is near its beginning, and a JPEG has no more.
const maxExif = 64 << 10

// keptChunks are the chunks of PNG (third edition) that make pixels or say how to show them, and how
// long they are at most, in bytes.
var keptChunks = map[string]uint32{
	"IHDR": 13, "PLTE": 3 * 256, "IDAT": math.MaxInt32, "tRNS": 256,
	"acTL": 8, "fcTL": 26, "fdAT": math.MaxInt32, // of an animation
	"cHRM": 32, "cICP": 4, "cLLI": 8, "gAMA": 4, "iCCP": math.MaxInt32, "mDCV": 24, "sBIT": 4, "sRGB": 1,
	"bKGD": 6, "hIST": 2 * 256, "pHYs": 9,
}

// pngEnd is the chunk IEND.
var pngEnd = []byte("\x00\x00\x00\x00IEND\xae\x42\x60\x82")

// stripPNG keeps the chunks of keptChunks, as they are.
func stripPNG(s *stripper) error {
	if err := s.copy(pngMagic); err != nil {
		return err
	}
	for {
		var begin [8]byte
		if _, err := io.ReadFull(s.in, begin[:]); err != nil {
			return err
		}
		length, kind := binary.BigEndian.Uint32(begin[:]), string(begin[4:])
		if length > math.MaxInt32 {
			return refuse(Broken, "a chunk of PNG is too long")
		}
		left := int64(length) + 4 // with the checksum
		most, kept := keptChunks[kind]
		var err error
		switch {
		case kind == "IEND" && !s.begun:
			return errNoPixels
		case kind == "IEND":
			return s.put(pngEnd...)
		case kind == "eXIf" && length <= maxExif:
			err = s.chunkExif(int(length))
		case kept && length <= most:
			s.begun = s.begun || kind == "IDAT"
			if err = s.put(begin[:]...); err == nil {
				err = s.copy(left)
			}
		case kind[0]&0x20 == 0: // without it there is no picture, PNG, 5.4
			err = refuse(Broken, "a chunk %q of PNG in %d bytes", kind, length)
		default:
			err = s.discard(left)
		}
		if err != nil {
			return err
		}
	}
}

// chunkExif reads a chunk eXIf, and writes one with the orientation.
func (s *stripper) chunkExif(length int) error {
	body := make([]byte, length)
	if _, err := io.ReadFull(s.in, body); err != nil {
		return err
	}
	if err := s.discard(4); err != nil {
		return err
	}
	exif := s.turned(body)
	if exif == nil {
		return nil
	}
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(exif)))
	chunk = append(append(chunk, "eXIf"...), exif...)
	return s.put(binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))...)
}

package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/bits"
)

// The format. Numbers are little-endian.
//
// A segment begins with a header of 64 bytes:
//
//	 0  magic, 8 bytes
//	 8  number of the segment; one more than that of the segment before it
//	16  batch of the last frame before the segment
//	24  salt, 16 random bytes
//	40  salt of the segment before it; zero if there is none
//	56  zero
//	60  CRC-32C of all that
//
// Frames follow, each with a header of 24 bytes and its payload:
//
//	 0  mark: the first 8 bytes of the salt
//	 8  length of the payload, 4 bytes
//	12  CRC-32C of the salt, the offset of the frame, the length, the batch and the payload
//	16  batch
//
// What is behind the last frame is zero, or of an earlier use of the file, which had
// another salt.
const (
	magic       = "kabanjr1"
	headerSize  = 64
	frameHeader = 24
	maxPayload  = 1 << 30
)

// Salt tells a segment from every other one.
type Salt [16]byte

// IsZero reports whether there is no segment with the salt.
func (s Salt) IsZero() bool { return s == Salt{} }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the beginning of a segment.
type header struct {
	number uint64
	after  uint64 // batch of the last frame before it
	salt   Salt
	before Salt // of the segment before it
}

func (h *header) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint64(dst, h.number)
	dst = binary.LittleEndian.AppendUint64(dst, h.after)
	dst = append(dst, h.salt[:]...)
	dst = append(dst, h.before[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// parseHeader reports whether data begins with a header as it was written.
func parseHeader(data []byte) (h header, valid bool) {
	if len(data) < headerSize || string(data[:8]) != magic ||
		binary.LittleEndian.Uint32(data[60:]) != crc32.Checksum(data[:60], castagnoli) {
		return header{}, false
	}
	h.number = binary.LittleEndian.Uint64(data[8:])
	h.after = binary.LittleEndian.Uint64(data[16:])
	copy(h.salt[:], data[24:])
	copy(h.before[:], data[40:])
	return h, true
}

// mendHeader returns the header that one flipped bit has damaged; a zero one if there is
// none.
func mendHeader(data []byte) header {
	if len(data) < headerSize {
		return header{}
	}
	mended := append([]byte{}, data[:headerSize]...)
	for bit := range 8 * headerSize {
		mended[bit/8] ^= 1 << (bit % 8)
		if h, valid := parseHeader(mended); valid {
			return h
		}
		mended[bit/8] ^= 1 << (bit % 8)
	}
	return header{}
}

// summer computes the checksums of the frames of a segment.
type summer struct {
	salt Salt
	base uint32 // of the salt
}

func newSummer(salt Salt) summer {
	return summer{salt, crc32.Checksum(salt[:], castagnoli)}
}

// sum returns the checksum of a frame. The batch and the payload are contiguous.
func (s *summer) sum(offset int64, length uint32, batchAndPayload []byte) uint32 {
	var place [12]byte
	binary.LittleEndian.PutUint64(place[:], uint64(offset))
	binary.LittleEndian.PutUint32(place[8:], length)
	return crc32.Update(crc32.Update(s.base, castagnoli, place[:]), castagnoli, batchAndPayload)
}

// appendFrame appends a frame that is to be written at an offset.
func (s *summer) appendFrame(dst []byte, offset int64, batch uint64, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, s.salt[:8]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, batch)
	dst = append(dst, payload...)
	binary.LittleEndian.PutUint32(dst[start+12:], s.sum(offset, uint32(len(payload)), dst[start+16:]))
	return dst
}

// frameAt returns the frame at an offset, which is valid if it is there as it was written.
func (s *summer) frameAt(data []byte, offset int64) (f Frame, end int64, valid bool) {
	rest := data[min(offset, int64(len(data))):]
	if len(rest) < frameHeader || !bytes.Equal(rest[:8], s.salt[:8]) {
		return Frame{}, 0, false
	}
	length := binary.LittleEndian.Uint32(rest[8:])
	if int64(length) > int64(len(rest)-frameHeader) || length == 0 {
		return Frame{}, 0, false
	}
	whole := rest[:frameHeader+int(length)]
	if s.sum(offset, length, whole[16:]) != binary.LittleEndian.Uint32(whole[12:]) {
		return Frame{}, 0, false
	}
	return Frame{binary.LittleEndian.Uint64(whole[16:]), whole[frameHeader:]}, offset + int64(len(whole)), true
}

// scan returns the frames of a segment, in which they follow a batch, and the offset
// behind the last one. If what follows there is no end as a crash leaves it, it returns
// what is wrong.
func scan(data []byte, salt Salt, after uint64) (frames []Frame, end int64, trouble string) {
	s := newSummer(salt)
	end = headerSize
	for {
		f, next, valid := s.frameAt(data, end)
		if !valid {
			break
		}
		if f.Batch <= after {
			return frames, end, fmt.Sprintf("batch %d follows batch %d", f.Batch, after)
		}
		frames, after, end = append(frames, f), f.Batch, next
	}
	if s.isFlipped(data, end) {
		return frames, end, "a bit has flipped"
	}
	if at, f := s.next(data, end+1); at > 0 {
		return frames, end, fmt.Sprintf("batch %d is there, at byte %d, but not the one before it", f.Batch, at)
	}
	return frames, end, ""
}

// next finds the first valid frame from an offset on; at is 0 if there is none.
func (s *summer) next(data []byte, from int64) (at int64, f Frame) {
	for from < int64(len(data)) {
		i := bytes.Index(data[from:], s.salt[:8])
		if i < 0 {
			break
		}
		at = from + int64(i)
		if f, _, valid := s.frameAt(data, at); valid {
			return at, f
		}
		from = at + 1
	}
	return 0, Frame{}
}

// isFlipped reports whether flipping one bit makes a valid frame of what is at an offset.
// A crash leaves a frame whose sectors are old or new, so it never needs one bit only.
func (s *summer) isFlipped(data []byte, offset int64) bool {
	if offset+frameHeader >= int64(len(data)) {
		return false
	}
	rest := data[offset:]
	mark := binary.LittleEndian.Uint64(rest) ^ binary.LittleEndian.Uint64(s.salt[:8])
	if bits.OnesCount64(mark) == 1 {
		mended := append(append([]byte{}, data[:offset]...), s.salt[:8]...)
		_, _, valid := s.frameAt(append(mended, rest[8:]...), offset)
		return valid
	}
	if mark != 0 {
		return false
	}
	length, stored := binary.LittleEndian.Uint32(rest[8:]), binary.LittleEndian.Uint32(rest[12:])
	fits := func(n uint32) bool { return n > 0 && int64(n) <= int64(len(rest)-frameHeader) }
	for bit := range 32 {
		if n := length ^ 1<<bit; fits(n) && s.sum(offset, n, rest[16:frameHeader+int(n)]) == stored {
			return true
		}
	}
	if !fits(length) {
		return false
	}
	covered := rest[16 : frameHeader+int(length)]
	missing := s.sum(offset, length, covered) ^ stored
	return bits.OnesCount32(missing) == 1 || flipsTo(len(covered), missing)
}

// flipsTo reports whether flipping one bit of n bytes changes their CRC-32C by a
// difference. The sum is linear: what a bit adds depends only on its distance from the end.
func flipsTo(n int, difference uint32) bool {
	var added [8]uint32
	for bit := range added {
		added[bit] = castagnoli[1<<bit]
	}
	for range n {
		for bit, a := range added {
			if a == difference {
				return true
			}
			added[bit] = castagnoli[a&0xff] ^ a>>8
		}
	}
	return false
}

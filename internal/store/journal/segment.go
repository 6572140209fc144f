package journal

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
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
//	56  size of the file, 4 bytes
//	60  CRC-32C of all that
//
// Frames follow, each with a header of 24 bytes, its payload, and zeros up to a multiple of
// 8 bytes:
//
//	 0  mark: the first 8 bytes of the salt
//	 8  length of the payload, 4 bytes
//	12  CRC-32C of the salt, the offset of the frame, the length and all that follows
//	16  batch
//
// The payload and the zeros are masked. Without the mask, a sector that a crash has left as
// it was could differ from the lost one in a single bit, like 1 and 0 in two messages, and
// a torn frame would look like a damaged one.
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
	size   int64
}

func (h *header) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = binary.LittleEndian.AppendUint64(dst, h.number)
	dst = binary.LittleEndian.AppendUint64(dst, h.after)
	dst = append(dst, h.salt[:]...)
	dst = append(dst, h.before[:]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(h.size))
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
	h.size = int64(binary.LittleEndian.Uint32(data[56:]))
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

// frameSize returns the size of a frame with a payload.
func frameSize(payload int64) int64 { return (frameHeader + payload + 7) &^ 7 }

// coder writes and reads the frames of a segment.
type coder struct {
	salt  Salt
	base  uint32 // checksum of the salt
	block cipher.Block
}

func newCoder(salt Salt) coder {
	block, _ := aes.NewCipher(salt[:]) // never fails: 16 bytes are a key
	return coder{salt, crc32.Checksum(salt[:], castagnoli), block}
}

// mask makes the payload of the frame at an offset look random, or undoes it. It keeps no
// secret, because the key is in the file.
func (c *coder) mask(offset int64, payload []byte) {
	var start [aes.BlockSize]byte
	binary.BigEndian.PutUint64(start[:], uint64(offset))
	cipher.NewCTR(c.block, start[:]).XORKeyStream(payload, payload)
}

// sum returns the checksum of a frame. It covers the frame from the batch on.
func (c *coder) sum(offset int64, length uint32, covered []byte) uint32 {
	var place [12]byte
	binary.LittleEndian.PutUint64(place[:], uint64(offset))
	binary.LittleEndian.PutUint32(place[8:], length)
	return crc32.Update(crc32.Update(c.base, castagnoli, place[:]), castagnoli, covered)
}

// appendFrame appends a frame that is to be written at an offset.
func (c *coder) appendFrame(dst []byte, offset int64, batch uint64, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, c.salt[:8]...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	dst = binary.LittleEndian.AppendUint32(dst, 0)
	dst = binary.LittleEndian.AppendUint64(dst, batch)
	dst = append(dst, payload...)
	dst = append(dst, make([]byte, frameSize(int64(len(payload)))-int64(len(dst)-start))...)
	c.mask(offset, dst[start+frameHeader:])
	binary.LittleEndian.PutUint32(dst[start+12:], c.sum(offset, uint32(len(payload)), dst[start+16:]))
	return dst
}

// frame returns the frame at the beginning of data, which is at an offset of the segment.
// It is valid if it is there as it was written.
func (c *coder) frame(data []byte, offset int64) (f Frame, end int64, valid bool) {
	if len(data) < frameHeader || !bytes.Equal(data[:8], c.salt[:8]) {
		return Frame{}, 0, false
	}
	length := binary.LittleEndian.Uint32(data[8:])
	size := frameSize(int64(length))
	if length == 0 || size > int64(len(data)) || c.sum(offset, length, data[16:size]) != binary.LittleEndian.Uint32(data[12:]) {
		return Frame{}, 0, false
	}
	payload := bytes.Clone(data[frameHeader:size])
	c.mask(offset, payload)
	return Frame{binary.LittleEndian.Uint64(data[16:]), payload[:length]}, offset + size, true
}

// scan returns the frames of a segment, in which they follow a batch, and the offset
// behind the last one. If what follows there is no end as a crash leaves it, it returns
// what is wrong.
func scan(data []byte, salt Salt, after uint64) (frames []Frame, end int64, trouble string) {
	if len(data) < headerSize {
		return nil, int64(len(data)), ""
	}
	c := newCoder(salt)
	end = headerSize
	for {
		f, next, valid := c.frame(data[end:], end)
		if !valid {
			break
		}
		if f.Batch <= after {
			return frames, end, fmt.Sprintf("batch %d follows batch %d", f.Batch, after)
		}
		frames, after, end = append(frames, f), f.Batch, next
	}
	if c.isFlipped(data[end:], end) {
		return frames, end, "a bit has flipped"
	}
	if at, f := c.next(data, end); at > 0 {
		return frames, end, fmt.Sprintf("batch %d is there, at byte %d, but not the one before it", f.Batch, at)
	}
	return frames, end, ""
}

// next finds the first valid frame from an offset on; at is 0 if there is none.
func (c *coder) next(data []byte, from int64) (at int64, f Frame) {
	for {
		i := bytes.Index(data[from:], c.salt[:8])
		if i < 0 {
			return 0, Frame{}
		}
		at = from + int64(i)
		if f, _, valid := c.frame(data[at:], at); valid {
			return at, f
		}
		from = at + 1
	}
}

// isFlipped reports whether flipping one bit makes a valid frame of the beginning of data,
// which is at an offset of the segment. A crash leaves a frame with sectors that are old or
// new, and each has at least 8 bytes of the frame that look random.
func (c *coder) isFlipped(data []byte, offset int64) bool {
	if len(data) < frameHeader {
		return false
	}
	mark := binary.LittleEndian.Uint64(data) ^ binary.LittleEndian.Uint64(c.salt[:8])
	if bits.OnesCount64(mark) == 1 {
		_, _, valid := c.frame(append(c.salt[:8:8], data[8:]...), offset)
		return valid
	}
	if mark != 0 {
		return false
	}
	length, stored := binary.LittleEndian.Uint32(data[8:]), binary.LittleEndian.Uint32(data[12:])
	fits := func(n uint32) bool { return n > 0 && frameSize(int64(n)) <= int64(len(data)) }
	for bit := range 32 {
		if n := length ^ 1<<bit; fits(n) && c.sum(offset, n, data[16:frameSize(int64(n))]) == stored {
			return true
		}
	}
	if !fits(length) {
		return false
	}
	covered := data[16:frameSize(int64(length))]
	missing := c.sum(offset, length, covered) ^ stored
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

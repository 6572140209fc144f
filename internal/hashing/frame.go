package hashing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"golang.org/x/crypto/argon2"
)

// Bounds of a request, so that garbage exhausts no memory.
const (
	maxMemory = 1 << 20 // KiB
	maxPasses = 64
	maxLength = 1 << 10 // of a key, in bytes
	maxField  = 1 << 12 // of a salt or a password, in bytes
)

// A request is a header, the salt and the password. The header has, in big endian:
// memory (4 bytes), passes (4), lanes (1), the length of the key (2), of the salt (2) and
// of the password (2).
//
// The answer is the key and a checksum of both (4 bytes). What something else prints, or
// an answer to another request, is no answer.
const (
	headerLength   = 15
	checksumLength = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errRequest is the error of a request that cannot be one.
var errRequest = errors.New("this is no request to hash a password")

// request has the inputs of Argon2id.
type request struct {
	password, salt []byte
	passes, memory uint32 // memory in KiB
	lanes          uint8
	length         uint32 // of the key, in bytes
}

// isValid reports whether the request is within the bounds.
func (r request) isValid() bool {
	return r.passes > 0 && r.passes <= maxPasses && r.memory <= maxMemory && r.lanes > 0 &&
		r.length > 0 && r.length <= maxLength && len(r.salt) <= maxField && len(r.password) <= maxField
}

// append appends a valid request as a frame.
func (r request) append(frame []byte) []byte {
	frame = binary.BigEndian.AppendUint32(frame, r.memory)
	frame = binary.BigEndian.AppendUint32(frame, r.passes)
	frame = append(frame, r.lanes)
	frame = binary.BigEndian.AppendUint16(frame, uint16(r.length))
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(r.salt)))
	frame = binary.BigEndian.AppendUint16(frame, uint16(len(r.password)))
	return append(append(frame, r.salt...), r.password...)
}

// read reads a request and returns its frame, which the request refers to. The buffer is
// for the frame if it is large enough. The error is io.EOF if there is none.
func (r *request) read(from io.Reader, buffer []byte) (frame []byte, err error) {
	frame = append(buffer[:0], make([]byte, headerLength)...)
	if _, err := io.ReadFull(from, frame); err != nil {
		return nil, err
	}
	r.memory = binary.BigEndian.Uint32(frame)
	r.passes = binary.BigEndian.Uint32(frame[4:])
	r.lanes = frame[8]
	r.length = uint32(binary.BigEndian.Uint16(frame[9:]))
	salt, password := int(binary.BigEndian.Uint16(frame[11:])), int(binary.BigEndian.Uint16(frame[13:]))
	if salt > maxField || password > maxField {
		return nil, errRequest
	}
	frame = append(frame, make([]byte, salt+password)...)
	if _, err := io.ReadFull(from, frame[headerLength:]); err != nil {
		return nil, fmt.Errorf("the rest of a request: %w", noEOF(err))
	}
	r.salt, r.password = frame[headerLength:headerLength+salt], frame[headerLength+salt:]
	if !r.isValid() {
		return nil, errRequest
	}
	return frame, nil
}

// key computes what is requested.
func (r request) key() []byte {
	return argon2.IDKey(r.password, r.salt, r.passes, r.memory, r.lanes, r.length)
}

// appendAnswer appends the answer to a request.
func appendAnswer(to, frame, key []byte) []byte {
	return binary.BigEndian.AppendUint32(append(to, key...), checksum(frame, key))
}

// readAnswer reads the answer to a request, a key of some length.
func readAnswer(from io.Reader, frame []byte, length uint32) (key []byte, err error) {
	answer := make([]byte, length+checksumLength)
	if _, err := io.ReadFull(from, answer); err != nil {
		return nil, noEOF(err)
	}
	key = answer[:length:length]
	if binary.BigEndian.Uint32(answer[length:]) != checksum(frame, key) {
		return nil, errors.New("the answer does not fit the request")
	}
	return key, nil
}

func checksum(frame, key []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame, castagnoli), castagnoli, key)
}

// noEOF returns an error that means that something is missing.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

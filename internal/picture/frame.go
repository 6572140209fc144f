package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

// A request is a mark, a number by which its answer is known, and three paths, each with its
// length before it. The paths are empty where the files are inherited.
//
// An answer is a checksum of request and answer, and the answer: the fixed part, and a
// text. What something else prints, or an answer to another request, is no answer. All
// numbers are in big endian.
const (
	requestMark = "kaban picture 1\n"
	maxPath     = 4 << 10 // bytes
	maxText     = 1 << 10 // bytes
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	errRequest = errors.New("this is no request for a picture")
	errAnswer  = errors.New("the answer does not fit the request")
)

// request names the files of a picture.
type request struct {
	number                     uint64
	source, picture, thumbnail string
}

func (r request) append(to []byte) []byte {
	to = binary.BigEndian.AppendUint64(append(to, requestMark...), r.number)
	for _, path := range []string{r.source, r.picture, r.thumbnail} {
		to = append(binary.BigEndian.AppendUint16(to, uint16(len(path))), path...)
	}
	return to
}

// readRequest reads no further than the request.
func readRequest(from io.Reader) (r request, frame []byte, err error) {
	defer func() {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
	}()
	frame = make([]byte, len(requestMark)+8)
	if _, err := io.ReadFull(from, frame); err != nil {
		return request{}, nil, err
	}
	if string(frame[:len(requestMark)]) != requestMark {
		return request{}, nil, errRequest
	}
	r.number = binary.BigEndian.Uint64(frame[len(requestMark):])
	for _, path := range []*string{&r.source, &r.picture, &r.thumbnail} {
		at := len(frame)
		frame = append(frame, 0, 0)
		if _, err := io.ReadFull(from, frame[at:]); err != nil {
			return request{}, nil, err
		}
		length := int(binary.BigEndian.Uint16(frame[at:]))
		if length > maxPath {
			return request{}, nil, errRequest
		}
		frame = append(frame, make([]byte, length)...)
		if _, err := io.ReadFull(from, frame[at+2:]); err != nil {
			return request{}, nil, err
		}
		*path = string(frame[at+2:])
	}
	return r, frame, nil
}

// outcome is what an answer says.
type outcome uint8

const (
	wasMade outcome = iota + 1
	wasRefused
	wasNotDone  // because of the disk
	wasNotBegun // because the process would not get its memory
)

// answer is what has become of a request.
type answer struct {
	outcome outcome
	made    Made
	reason  Reason
	number  uint32 // of the system's error, or 0
	text    string
}

// fixed is the part of an answer with a fixed length.
type fixedAnswer struct {
	Outcome outcome
	Reason  Reason
	Number  uint32
	Frames  uint32
	Outputs [2]struct {
		Type          Type
		Width, Height uint32
		Size          uint64
	}
}

func (a answer) append(to, frame []byte) []byte {
	f := fixedAnswer{Outcome: a.outcome, Reason: a.reason, Number: a.number, Frames: uint32(a.made.Frames)}
	for i, r := range []Rendition{a.made.Picture, a.made.Thumbnail} {
		o := &f.Outputs[i]
		o.Type, o.Width, o.Height, o.Size = r.Type, uint32(r.Width), uint32(r.Height), uint64(r.Size)
	}
	body, _ := binary.Append(nil, binary.BigEndian, f) // the size is fixed
	body = append(body, a.text[:min(len(a.text), maxText)]...)
	return append(binary.BigEndian.AppendUint32(to, checksum(frame, body)), body...)
}

// maxAnswer is the length of the longest answer, in bytes.
var maxAnswer = 4 + binary.Size(fixedAnswer{}) + maxText

// readAnswer reads an answer to a request that has been made.
func readAnswer(text, frame []byte) (a answer, err error) {
	var f fixedAnswer
	if len(text) < 4+binary.Size(f) || len(text) > maxAnswer || binary.BigEndian.Uint32(text) != checksum(frame, text[4:]) {
		return answer{}, errAnswer
	}
	n, err := binary.Decode(text[4:], binary.BigEndian, &f)
	if err != nil {
		return answer{}, errAnswer
	}
	a = answer{outcome: f.Outcome, reason: f.Reason, number: f.Number, text: string(bytes.ToValidUTF8(text[4+n:], []byte("?")))}
	a.made.Frames = int(f.Frames)
	for i, r := range []*Rendition{&a.made.Picture, &a.made.Thumbnail} {
		o := f.Outputs[i]
		*r = Rendition{Type: o.Type, Width: int(o.Width), Height: int(o.Height), Size: int64(o.Size)}
	}
	return a, nil
}

func checksum(frame, body []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame, castagnoli), castagnoli, body)
}

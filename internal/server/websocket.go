package server

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/wire"
)

// closeCode is why a WebSocket connection ends: RFC 6455, section 7.4.
type closeCode = ws.StatusCode

// Registered with IANA after the RFC.
const (
	closeServiceRestart closeCode = 1012
	closeBadGateway     closeCode = 1014
)

const (
	// textHeader is the room that begin leaves for the header of a frame with a
	// payload of 126 to 65,535 bytes, which most have. A shorter payload moves to
	// the left, a longer one to the right.
	textHeader     = 4
	smallPayload   = 125
	maxHeader      = 14 // of a frame from a client, with its mask
	maxControlSize = 125
)

// webSocket is the framing over WebSocket (RFC 6455): one JSON object in each
// text message. What a client sends is unmasked and put together where it was
// read, and becomes lines: frame headers make room for the line feeds. What the
// server sends is one unmasked frame for each message. There are no extensions.
//
// The nil webSocket can encode.
type webSocket struct {
	early []byte // came with the handshake and was not yet read
	ended error  // nothing more is read, and why
	owed  bool   // a line feed for which there was no room

	// The frame that is being read.
	header  [maxHeader]byte
	headed  uint8 // bytes of header that have come
	inside  bool  // its header is complete
	opcode  ws.OpCode
	final   bool
	mask    [4]byte
	offset  int   // bytes of its payload that have come
	left    int64 // and those that have not
	control []byte

	message bool // a message has begun and its last frame has not ended
	text    utf8Check
	echo    closeCode // what the client has closed with; 0: it has not
}

func (*webSocket) format() chat.Format { return jsonMessages }

func (*webSocket) begin(dst []byte) []byte {
	return append(dst, make([]byte, textHeader)...)
}

// end puts the header in front of a line and takes its line feed away.
func (*webSocket) end(dst []byte, start int) []byte {
	dst = dst[:len(dst)-1]
	const finalText = 0x80 | byte(ws.OpText)
	switch size := len(dst) - start - textHeader; {
	case size <= smallPayload:
		copy(dst[start+2:], dst[start+textHeader:])
		dst = dst[:start+2+size]
		dst[start+1] = byte(size)
	case size <= 0xffff:
		dst[start+1] = 126
		binary.BigEndian.PutUint16(dst[start+2:], uint16(size))
	default:
		dst = append(dst, make([]byte, 6)...)
		copy(dst[start+10:], dst[start+textHeader:start+textHeader+size])
		dst[start+1] = 127
		binary.BigEndian.PutUint64(dst[start+2:], uint64(size))
	}
	dst[start] = finalText
	return dst
}

// farewell appends a close frame. A client that has closed gets its own code
// back (section 5.5.1).
// frontEnd implements framing.
func (*webSocket) frontEnd() frontEnd { return overWebSocket }

func (w *webSocket) farewell(dst []byte, code uint16) []byte {
	if w != nil && w.echo != 0 {
		code = uint16(w.echo)
	}
	if closeCode(code) == ws.StatusNoStatusRcvd {
		return append(dst, 0x80|byte(ws.OpClose), 0)
	}
	return append(dst, 0x80|byte(ws.OpClose), 2, byte(code>>8), byte(code))
}

// read implements framing.
func (w *webSocket) read(src io.Reader, p []byte) (n int, answer []byte, err error) {
	if w.owed {
		w.owed = false
		p[0], n = '\n', 1
		if len(p) == 1 {
			return n, nil, nil
		}
	}
	if w.ended != nil {
		return n, nil, w.ended
	}
	came := 0
	if len(w.early) > 0 {
		came = copy(p[n:], w.early)
		if w.early = w.early[came:]; len(w.early) == 0 {
			w.early = nil
		}
	} else {
		came, err = src.Read(p[n:])
	}
	kept, answer := w.decode(p[n : n+came])
	n += kept
	switch {
	case w.ended != nil && !w.owed:
		err = w.ended
	case w.owed && err == conn.ErrBlocked:
		err = nil // the line feed comes with another read
	}
	return n, answer, err
}

// decode makes lines of what came, in place, and returns how many bytes of them
// there are. Frames to answer with are in answer.
func (w *webSocket) decode(p []byte) (n int, answer []byte) {
	for in := 0; in < len(p) && w.ended == nil; {
		if !w.inside {
			in += w.takeHeader(p[in:])
			if w.owed {
				w.owed = false
				p[n] = '\n'
				n++
			}
			if !w.inside {
				continue // it goes on with what comes next, or has failed
			}
		}
		chunk := p[in:min(len(p), in+int(min(w.left, int64(len(p)))))]
		ws.Cipher(chunk, w.mask, w.offset)
		in += len(chunk)
		w.offset += len(chunk)
		w.left -= int64(len(chunk))
		if w.opcode.IsControl() {
			w.control = append(w.control, chunk...)
		} else if !w.text.add(chunk) {
			w.fail(wire.CodeBadUTF8, ws.StatusInvalidFramePayloadData, "a message is not UTF-8")
			break
		} else {
			n += keep(p[n:], chunk)
		}
		if w.left > 0 {
			break
		}
		w.inside = false
		switch {
		case w.opcode.IsControl():
			answer = w.obey(answer)
		case w.final:
			w.message = false
			switch {
			case !w.text.complete():
				w.fail(wire.CodeBadUTF8, ws.StatusInvalidFramePayloadData, "a message ends within a character of UTF-8")
			case n < in:
				p[n] = '\n'
				n++
			default:
				w.owed = true // the header came with an earlier read
			}
		}
	}
	return n, answer
}

// keep copies text to where it belongs. A line feed between the tokens of JSON
// would be the end of the line; a carriage return means as much, and is as wrong
// within a string.
func keep(dst, text []byte) int {
	n := copy(dst, text)
	for kept := dst[:n]; ; {
		i := bytes.IndexByte(kept, '\n')
		if i < 0 {
			return n
		}
		kept[i] = '\r'
		kept = kept[i+1:]
	}
}

// takeHeader takes bytes of a header, at least one, and returns how many.
func (w *webSocket) takeHeader(p []byte) (used int) {
	for used < len(p) {
		w.header[w.headed] = p[used]
		w.headed++
		used++
		if w.headed == 2 && !w.checkHeader() {
			return used
		}
		if w.headed >= 2 && w.headed == headerSize(w.header[1]) {
			w.headed = 0
			w.enter()
			return used
		}
	}
	return used
}

// headerSize is the size of a header whose second byte is given.
func headerSize(second byte) uint8 {
	size := uint8(2)
	switch second & 0x7f {
	case 126:
		size += 2
	case 127:
		size += 8
	}
	if second&0x80 != 0 {
		size += 4
	}
	return size
}

// checkHeader looks at the first two bytes of a header, which say all but the
// length. It reports whether to go on.
func (w *webSocket) checkHeader() bool {
	first, second := w.header[0], w.header[1]
	h := ws.Header{
		Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 0xf),
		Masked: second&0x80 != 0, Length: int64(second & 0x7f),
	}
	state := ws.StateServerSide
	if w.message {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		w.fail(wire.CodeBadFrame, ws.StatusProtocolError, "not WebSocket: "+err.Error())
		return false
	}
	if h.OpCode == ws.OpBinary {
		w.fail(wire.CodeBadFrame, ws.StatusUnsupportedData, "a binary message; frames of this protocol are text messages")
		return false
	}
	w.opcode, w.final = h.OpCode, h.Fin
	w.message = w.message || !w.opcode.IsControl()
	return true
}

// enter begins a frame whose header is complete.
func (w *webSocket) enter() {
	rest := w.header[2:]
	length, least := uint64(w.header[1]&0x7f), uint64(0)
	switch length {
	case 126:
		length, least, rest = uint64(binary.BigEndian.Uint16(rest)), smallPayload+1, rest[2:]
	case 127:
		length, least, rest = binary.BigEndian.Uint64(rest), 1<<16, rest[8:]
	}
	if length < least || length > math.MaxInt64 {
		w.fail(wire.CodeBadFrame, ws.StatusProtocolError, "not WebSocket: the length of a frame is written in a wrong way")
		return
	}
	copy(w.mask[:], rest)
	w.left, w.offset, w.inside = int64(length), 0, true
}

// obey does what a control frame says. What answers it is appended.
func (w *webSocket) obey(answer []byte) []byte {
	payload := w.control
	w.control = nil
	switch w.opcode {
	case ws.OpPing:
		answer = append(answer, 0x80|byte(ws.OpPong), byte(len(payload)))
		answer = append(answer, payload...)
	case ws.OpClose:
		w.hear(payload)
	}
	return answer
}

// hear notes that the client closes.
func (w *webSocket) hear(payload []byte) {
	if len(payload) == 0 {
		w.echo, w.ended = ws.StatusNoStatusRcvd, io.EOF
		return
	}
	if len(payload) == 1 {
		w.fail(wire.CodeBadFrame, ws.StatusProtocolError, "not WebSocket: a close frame with half a code")
		return
	}
	code, reason := closeCode(binary.BigEndian.Uint16(payload)), payload[2:]
	switch err := ws.CheckCloseFrameData(code, ""); {
	case !utf8.Valid(reason):
		w.fail(wire.CodeBadUTF8, ws.StatusInvalidFramePayloadData, "the reason of a close frame is not UTF-8")
	case err != nil && (code < closeServiceRestart || code > closeBadGateway):
		w.fail(wire.CodeBadFrame, ws.StatusProtocolError, "not WebSocket: "+err.Error())
	case code >= 5000:
		w.fail(wire.CodeBadFrame, ws.StatusProtocolError, "not WebSocket: a close frame with a code that is none")
	default:
		w.echo, w.ended = code, io.EOF
	}
}

func (w *webSocket) fail(code wire.Code, with closeCode, text string) {
	w.ended = &framingError{code: code, close: with, text: text}
}

// utf8Check checks text that comes in pieces.
type utf8Check struct {
	begun [utf8.UTFMax]byte // of a character whose end has not come
	n     uint8
}

// add reports whether a piece can be what follows.
func (u *utf8Check) add(p []byte) bool {
	for u.n > 0 && len(p) > 0 {
		u.begun[u.n] = p[0]
		u.n++
		p = p[1:]
		if begun := u.begun[:u.n]; utf8.FullRune(begun) {
			if !utf8.Valid(begun) {
				return false
			}
			u.n = 0
		}
	}
	for back := 1; back < utf8.UTFMax && back <= len(p); back++ {
		if last := p[len(p)-back:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				u.n = uint8(copy(u.begun[:], last))
				p = p[:len(p)-back]
			}
			break
		}
	}
	return utf8.Valid(p)
}

// complete reports whether no character is half there.
func (u *utf8Check) complete() bool { return u.n == 0 }

package bench

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"kaban/client/dial"
)

// socketPath is the path of a server's WebSocket.
const socketPath = "/v1/socket"

// handshake requests the WebSocket of a server: RFC 6455, section 4.1. The key is
// irrelevant between programs.
func handshake(server dial.Address) string {
	_, at, _ := strings.Cut(server.Web(), "://")
	host, base, _ := strings.Cut(at, "/")
	if base != "" {
		base = "/" + base
	}
	return "GET " + base + socketPath + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: a2FiYW4ga2FiYW4ga2FiYQ==\r\n\r\n"
}

// kabanMessages is kaban/1 over WebSocket: each line is a text message without its
// line feed.
type kabanMessages struct{ kabanLines }

func (kabanMessages) appendHello(dst []byte, who *identity) []byte {
	start := len(dst)
	return seal(kabanLines{}.appendHello(begin(dst), who), start)
}

func (kabanMessages) appendJoin(dst []byte, who *identity) []byte {
	start := len(dst)
	return seal(kabanLines{}.appendJoin(begin(dst), who), start)
}

func (kabanMessages) appendPart(dst []byte, who *identity) []byte {
	start := len(dst)
	return seal(kabanLines{}.appendPart(begin(dst), who), start)
}

func (kabanMessages) appendPong(dst []byte) []byte {
	start := len(dst)
	return seal(kabanLines{}.appendPong(begin(dst)), start)
}

func (kabanMessages) appendSend(dst []byte, who *identity, n uint64, stamp int64, payload int) []byte {
	start := len(dst)
	return seal(kabanLines{}.appendSend(begin(dst), who, n, stamp, payload), start)
}

// sentHeader is the header of a message of 126 to 65,535 bytes, including its
// mask.
const sentHeader = 8

// begin reserves space for a header, which seal fills in. The mask is zero, which
// is allowed between programs, so the payload does not change.
func begin(dst []byte) []byte { return append(dst, make([]byte, sentHeader)...) }

func seal(dst []byte, start int) []byte {
	dst = dst[:len(dst)-1] // the line feed
	size := len(dst) - start - sentHeader
	dst[start] = 0x81
	if size > 125 {
		dst[start+1] = 0x80 | 126
		binary.BigEndian.PutUint16(dst[start+2:], uint16(size))
		return dst
	}
	dst[start+1] = 0x80 | byte(size)
	copy(dst[start+6:], dst[start+sentHeader:])
	clear(dst[start+2 : start+6])
	return dst[:start+6+size]
}

// unframer converts a server's WebSocket messages to lines.
type unframer struct {
	open   bool   // the handshake is done
	answer []byte // to the handshake, until then

	header [10]byte
	have   int // bytes of header
	left   int // bytes of the payload still to come
	text   bool
}

// take converts the data in buffer[1:] to lines, in place. Each header makes room
// for a line feed, and the first byte makes room for that of a message whose
// header arrived before. Data after the handshake is included.
func (u *unframer) take(buffer []byte) (lines []byte, opened bool, err error) {
	data := buffer[1:]
	if !u.open {
		var rest []byte
		u.answer = append(u.answer, data...)
		answer, after, whole := bytes.Cut(u.answer, []byte("\r\n\r\n"))
		if !whole {
			if len(u.answer) > 4096 {
				return nil, false, fmt.Errorf("the server answered the handshake with %.60q", u.answer)
			}
			return nil, false, nil
		}
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 101 ")) {
			return nil, false, fmt.Errorf("the server answered the handshake with %.60q", answer)
		}
		rest = data[len(data)-len(after):]
		u.open, u.answer, opened = true, nil, true
		data = rest
	}
	out := 0
	for len(data) > 0 {
		if u.left == 0 {
			n, whole := u.takeHeader(data)
			data = data[n:]
			if !whole {
				break
			}
		}
		n := min(u.left, len(data))
		if u.text {
			out += copy(buffer[out:], data[:n])
		}
		data = data[n:]
		if u.left -= n; u.left == 0 && u.text {
			buffer[out] = '\n'
			out++
		}
	}
	return buffer[:out], opened, nil
}

// takeHeader consumes bytes of a header.
func (u *unframer) takeHeader(data []byte) (n int, whole bool) {
	for n < len(data) {
		u.header[u.have] = data[n]
		u.have++
		n++
		if u.have < 2 {
			continue
		}
		size := int(u.header[1])
		switch {
		case size <= 125 && u.have == 2:
		case size == 126 && u.have == 4:
			size = int(binary.BigEndian.Uint16(u.header[2:]))
		case size == 127 && u.have == 10:
			size = int(binary.BigEndian.Uint64(u.header[2:]))
		default:
			continue
		}
		u.have, u.left, u.text = 0, size, u.header[0]&0xf == 1
		return n, true
	}
	return n, false
}

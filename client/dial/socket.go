package dial

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	// maxPayload bounds the bytes of a frame. kaban/1 has far shorter ones.
	maxPayload = 16 << 20
	// maxControl bounds the payload of a control frame (RFC 6455, section 5.5).
	maxControl = 125
	// pongPatience is how long the answer to a ping may take.
	pongPatience = 10 * time.Second
	// acceptID is the GUID of RFC 6455, section 1.3.
	acceptID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
)

// The opcodes of RFC 6455, section 5.2.
const (
	opContinuation = 0
	opText         = 1
	opClose        = 8
	opPing         = 9
	opPong         = 10
)

// upgrade does the client's handshake of RFC 6455, section 4.1, on a connection.
func upgrade(conn net.Conn, a *Address) (net.Conn, error) {
	var nonce [16]byte
	rand.Read(nonce[:])
	key := base64.StdEncoding.EncodeToString(nonce[:])
	_, err := io.WriteString(conn, "GET "+a.base+socketPath+" HTTP/1.1\r\nHost: "+a.urlHost()+"\r\nUser-Agent: kaban\r\n"+
		"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+key+"\r\n\r\n")
	if err != nil {
		return nil, err
	}
	limited := &io.LimitedReader{R: conn, N: maxAnswer}
	reader := bufio.NewReaderSize(limited, 16<<10)
	if first, err := reader.Peek(len("HTTP/")); err == nil {
		switch strange := recognize(first); {
		case strange == nil:
			return nil, ErrNoWebServer
		case errors.Is(strange, ErrTLSOnly):
			return nil, ErrTLSOnly
		}
	}
	answer, err := http.ReadResponse(reader, &http.Request{Method: http.MethodGet})
	if err != nil {
		return nil, fmt.Errorf("the answer is not that of a web server: %w", err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		defer answer.Body.Close()
		return nil, notUpgraded(answer)
	}
	if !strings.EqualFold(answer.Header.Get("Upgrade"), "websocket") || answer.Header.Get("Sec-WebSocket-Accept") != acceptKey(key) ||
		answer.Header.Get("Sec-WebSocket-Extensions") != "" || answer.Header.Get("Sec-WebSocket-Protocol") != "" {
		return nil, errors.New("the answer to the handshake of the WebSocket is wrong; something on the way may have changed it")
	}
	limited.N = math.MaxInt64
	s := &socket{Conn: conn, reader: reader}
	if over, ok := conn.(*tls.Conn); ok {
		return &secureSocket{s, over}, nil
	}
	return s, nil
}

// acceptKey returns the Sec-WebSocket-Accept for a key.
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + acceptID))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// notUpgraded returns the error for another answer than a WebSocket.
func notUpgraded(answer *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if answer.StatusCode == http.StatusBadRequest {
		// The answers of Go and of nginx to HTTP where they expect TLS.
		for _, sign := range []string{"HTTP request to an HTTPS server", "HTTP request was sent to HTTPS port"} {
			if bytes.Contains(text, []byte(sign)) {
				return ErrTLSOnly
			}
		}
	}
	e := &UpgradeError{Status: answer.StatusCode, Detail: detailOf(answer.Header, text)}
	if to, err := answer.Location(); err == nil && to.User == nil {
		to.RawQuery, to.Fragment = "", ""
		e.Location = to.String()
	}
	return e
}

// detailOf returns what an answer says for people if it is one of a Kaban server: problem details
// (RFC 9457) with a code. Otherwise "".
func detailOf(header http.Header, body []byte) string {
	var problem struct{ Code, Detail string }
	kind, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if kind != "application/problem+json" || json.Unmarshal(body, &problem) != nil || problem.Code == "" {
		return ""
	}
	return problem.Detail
}

// socket is a connection with the lines of kaban/1 as text messages: each line is one,
// without its line feed. One goroutine may read while others write.
type socket struct {
	net.Conn

	// The reader's.
	reader *bufio.Reader
	left   int64 // bytes of the payload still to come
	open   bool  // a message has begun
	final  bool  // the frame is its last one
	due    bool  // a line feed is

	mu   sync.Mutex // guards all below, and that frames are written as a whole
	line []byte     // the beginning of a line
	out  []byte     // for frames
}

// secureSocket is a socket over TLS.
type secureSocket struct {
	*socket
	over *tls.Conn
}

// ConnectionState returns that of the TLS connection.
func (s *secureSocket) ConnectionState() tls.ConnectionState { return s.over.ConnectionState() }

// Read reads lines. After an error other than os.ErrDeadlineExceeded it must not be
// called again.
func (s *socket) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		switch {
		case s.due:
			p[0], s.due = '\n', false
			return 1, nil
		case s.left > 0:
			n, err := s.reader.Read(p[:min(int64(len(p)), s.left)])
			if s.left -= int64(n); s.left == 0 {
				s.endFrame()
			}
			return n, err
		}
		if err := s.next(); err != nil {
			return 0, err
		}
	}
}

// endFrame notes the end of a data frame.
func (s *socket) endFrame() {
	if s.final {
		s.open, s.due = false, true
	}
}

// next reads the header of a frame and, of a control frame, all of it. Whatever it
// does not finish stays in the buffer.
func (s *socket) next() error {
	header, err := s.reader.Peek(2)
	if err != nil {
		return err
	}
	final, op, size := header[0]&0x80 != 0, header[0]&0xf, int64(header[1]&0x7f)
	if header[0]&0x70 != 0 || header[1]&0x80 != 0 {
		return errors.New("the server sends WebSocket frames that were not agreed on")
	}
	length := 2
	switch size {
	case 126:
		length = 4
	case 127:
		length = 10
	}
	if header, err = s.reader.Peek(length); err != nil {
		return err
	}
	switch length {
	case 4:
		size = int64(binary.BigEndian.Uint16(header[2:]))
	case 10:
		size = int64(min(binary.BigEndian.Uint64(header[2:]), maxPayload+1))
	}
	switch {
	case op >= opClose:
		return s.control(op, final, length, int(size))
	case size > maxPayload:
		return fmt.Errorf("the server sends a WebSocket frame of more than %d bytes", maxPayload)
	case op == opText && !s.open, op == opContinuation && s.open:
	default:
		return errors.New("the server sends a WebSocket frame that is not a text message")
	}
	s.reader.Discard(length)
	s.open, s.final, s.left = true, final, size
	if size == 0 {
		s.endFrame()
	}
	return nil
}

// control takes a control frame.
func (s *socket) control(op byte, final bool, header, size int) error {
	if !final || size > maxControl {
		return errors.New("the server sends a WebSocket control frame that is too long or in parts")
	}
	whole, err := s.reader.Peek(header + size)
	if err != nil {
		return err
	}
	payload := whole[header:]
	switch op {
	case opPing:
		err = s.reply(opPong, payload)
	case opClose:
		s.reply(opClose, payload[:min(len(payload), 2)]) // the connection ends anyway
		err = closed(payload)
	case opPong:
	default:
		err = errors.New("the server sends a WebSocket control frame of an unknown kind")
	}
	s.reader.Discard(header + size)
	return err
}

// closed returns the error for a close frame. It wraps io.EOF.
func closed(payload []byte) error {
	const normal, goingAway = 1000, 1001
	if len(payload) < 2 {
		return io.EOF
	}
	code := binary.BigEndian.Uint16(payload)
	if code == normal || code == goingAway {
		return io.EOF
	}
	return fmt.Errorf("the server closed the WebSocket with code %d, %q: %w", code, payload[2:], io.EOF)
}

// reply writes a control frame.
func (s *socket) reply(op byte, payload []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = appendFrame(s.out[:0], op, payload)
	s.Conn.SetWriteDeadline(time.Now().Add(pongPatience))
	_, err := s.Conn.Write(s.out)
	return err
}

// Write writes lines. What follows the last line feed waits for the rest of its line.
// After an error the connection is of no use.
func (s *socket) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = s.out[:0]
	rest := p
	for {
		line, after, whole := bytes.Cut(rest, []byte{'\n'})
		if !whole {
			s.line = append(s.line, rest...)
			break
		}
		if len(s.line) > 0 {
			line = append(s.line, line...)
			s.line = s.line[:0]
		}
		s.out = appendFrame(s.out, opText, line)
		rest = after
	}
	if len(s.out) == 0 {
		return len(p), nil
	}
	if _, err := s.Conn.Write(s.out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// appendFrame appends a final frame with its mask (RFC 6455, section 5.3).
func appendFrame(dst []byte, op byte, payload []byte) []byte {
	const final, masked = 0x80, 0x80
	switch n := len(payload); {
	case n <= maxControl:
		dst = append(dst, final|op, masked|byte(n))
	case n <= math.MaxUint16:
		dst = append(dst, final|op, masked|126, byte(n>>8), byte(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, final|op, masked|127), uint64(n))
	}
	var mask [4]byte
	rand.Read(mask[:])
	dst = append(dst, mask[:]...)
	for i, b := range payload {
		dst = append(dst, b^mask[i&3])
	}
	return dst
}

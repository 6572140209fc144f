package server_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/gobwas/ws"

	"kaban/internal/account"
	peers "kaban/internal/peer"
	"kaban/internal/server"
	"kaban/internal/tcp"
	"kaban/internal/tlstest"
)

// overWebSocket has the tests of this package connect over WebSocket instead of
// TCP, so that what they prove is proven for both. "make test" runs both.
var overWebSocket = flag.Bool("websocket", false, "connect over WebSocket")

// onlyLines skips a test of what only a stream of lines can have.
func onlyLines(t *testing.T) {
	t.Helper()
	if *overWebSocket {
		t.Skip("it is about a stream of lines")
	}
}

// sameOverWebSocket skips a test whose connections are the same whatever -websocket says:
// the run without it has it already.
func sameOverWebSocket(t testing.TB) {
	t.Helper()
	if *overWebSocket {
		t.Skip("its connections are the same without -websocket")
	}
}

// webAddr has a server take WebSockets too, and returns where.
func (f *fixture) webAddr() string {
	f.t.Helper()
	if f.web != nil {
		return f.web.Listener.Addr().String()
	}
	// Asked for here: a handler may still run when a subtest has become the t of the fixture.
	t, caller := f.t, here(f.t)
	f.web = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			t.Errorf("upgrade: %v", err)
			return
		}
		early := make([]byte, buffered.Reader.Buffered())
		io.ReadFull(buffered.Reader, early)
		f.next().ServeWebSocket(conn, early, caller)
	}))
	if *overTLS {
		f.web.Listener = tls.NewListener(tcp.Carried{Listener: f.web.Listener}, server.ForRecords(tlstest.Server()))
	}
	f.web.Start()
	t.Cleanup(f.web.Close)
	return f.web.Listener.Addr().String()
}

// closeWeb ends what webAddr has begun before the test does.
func (f *fixture) closeWeb() {
	if f.web != nil {
		f.web.Close()
	}
}

// dialConn connects over what the tests are run over.
func (f *fixture) dialConn() net.Conn {
	f.t.Helper()
	if *overWebSocket {
		return f.dialWeb()
	}
	conn, err := dialTo(f.addr, "")
	if err != nil {
		f.t.Fatal(err)
	}
	return conn
}

// dialWeb connects over WebSocket.
func (f *fixture) dialWeb() *lineConn {
	f.t.Helper()
	conn, err := dialTo(f.webAddr(), "")
	if err != nil {
		f.t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	c := &lineConn{dialed: conn, reader: bufio.NewReader(conn)}
	answer, err := http.ReadResponse(c.reader, nil)
	if err != nil || answer.StatusCode != http.StatusSwitchingProtocols {
		f.t.Fatalf("handshake: got %v, %v", answer, err)
	}
	return c
}

// lineConn is a WebSocket that looks like a stream of lines. What one Write has of
// a line is a fragment of a message.
type lineConn struct {
	dialed
	reader *bufio.Reader
	line   []byte // the rest of the message that is being read

	mu     sync.Mutex
	within bool   // a message has begun
	closed []byte // the payload of the server's close frame
}

// fragments is what a Write sends.
func (c *lineConn) fragments(p []byte) (frames []byte) {
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte("\n"))
		first := byte(ws.OpText)
		if c.within {
			first = byte(ws.OpContinuation)
		}
		if c.within = !whole; whole {
			first |= 0x80
		}
		frames = append(frames, clientHeader(first, len(line))...)
		frames = append(frames, line...) // the mask is zero
		p = rest
	}
	return frames
}

func clientHeader(first byte, size int) []byte {
	header := []byte{first}
	switch {
	case size <= 125:
		header = append(header, 0x80|byte(size))
	case size <= 0xffff:
		header = binary.BigEndian.AppendUint16(append(header, 0x80|126), uint16(size))
	default:
		header = binary.BigEndian.AppendUint64(append(header, 0x80|127), uint64(size))
	}
	return append(header, 0, 0, 0, 0)
}

func (c *lineConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.dialed.Write(c.fragments(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CloseWrite closes as WebSocket does: the peer still sends what it owes.
func (c *lineConn) CloseWrite() error {
	_, err := c.dialed.Write(append(clientHeader(0x88, 2), 0x03, 0xe8))
	return err
}

func (c *lineConn) Read(p []byte) (int, error) {
	for len(c.line) == 0 {
		header, err := ws.ReadHeader(c.reader)
		if err != nil {
			return 0, err
		}
		if err := ws.CheckHeader(header, ws.StateClientSide); err != nil {
			return 0, err
		}
		payload := make([]byte, header.Length)
		if _, err := io.ReadFull(c.reader, payload); err != nil {
			return 0, err
		}
		switch header.OpCode {
		case ws.OpText:
			c.line = append(payload, '\n')
		case ws.OpClose:
			c.mu.Lock()
			c.closed = payload
			c.mu.Unlock()
			return 0, io.EOF
		}
	}
	n := copy(p, c.line)
	c.line = c.line[n:]
	return n, nil
}

// here returns the caller of a WebSocket from this machine.
func here(t testing.TB) account.Caller {
	t.Helper()
	rules := peers.Loopback()
	p, err := rules.Accept(netip.IPv6Loopback())
	if err != nil {
		t.Fatal(err)
	}
	return account.Caller{Peer: p, TakesSecrets: rules.TakesSecrets(p)}
}

package server_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/tlstest"
)

// dialCoder connects with a codec that is not ours.
func (f *fixture) dialCoder() *websocket.Conn {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	defer cancel()
	url, transport := "ws://"+f.webAddr(), new(http.Transport)
	if *overTLS {
		url, transport.TLSClientConfig = "wss://"+f.webAddr(), tlstest.Client()
	}
	c, answer, err := websocket.Dial(ctx, url, &websocket.DialOptions{CompressionMode: websocket.CompressionContextTakeover, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		f.t.Fatal(err)
	}
	if got := answer.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		f.t.Errorf("it has agreed to %s", got)
	}
	f.t.Cleanup(func() { c.CloseNow() })
	c.SetReadLimit(1 << 20)
	return c
}

// Another client's codec and ours understand each other.
func TestAnIndependentClient(t *testing.T) {
	f := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ann, c := f.join("ann"), f.dialCoder()
	say := func(s string) {
		t.Helper()
		if err := c.Write(ctx, websocket.MessageText, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(kind, field, want string) {
		t.Helper()
		for {
			_, text, err := c.Read(ctx)
			if err != nil {
				t.Fatal(err)
			}
			var got frame
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatalf("got %q: %v", text, err)
			}
			if got["type"] == "presence" {
				continue
			}
			if got["type"] != kind || fmt.Sprint(got[field]) != want {
				t.Fatalf("got %.200s, want %s with %s %.100s", text, kind, field, want)
			}
			return
		}
	}
	say(`{"type":"hello","version":1,"username":"bob"}`)
	hear("welcome", "username", "bob")
	say("{\n \"type\": \"join\",\r\n \"room\": \"lobby\"\n}\n") // an object may have lines
	hear("joined", "room", "lobby")
	for i, size := range []int{1, 20, 60, 125, 126, 4000, 5000} { // headers of all sizes
		content := strings.Repeat("é", size)
		say(fmt.Sprintf(`{"type":"send","room":"lobby","id":"b%d","content":%q}`, i, content))
		hear("ack", "id", fmt.Sprint("b", i))
		ann.expect("message", "content", content)
		ann.say(`{"type":"send","room":"lobby","id":"a%d","content":%q}`, i, content)
		ann.expect("ack")
		hear("message", "content", content)
	}
	// A page that needs the largest header.
	for i := range 30 {
		ann.say(`{"type":"send","room":"lobby","id":"page-%d","content":%q}`, i, strings.Repeat("x", 5000))
		ann.expect("ack")
		hear("message", "id", fmt.Sprint("page-", i))
	}
	say(`{"type":"history","room":"lobby","limit":500}`)
	hear("history", "more", "true")
	// A ping is answered while it reads; the closing handshake is done. The library's CloseRead
	// would wait for itself after a frame that comes late, such as presence.
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for {
			if _, _, err := c.Read(ctx); err != nil {
				return
			}
		}
	}()
	if err := c.Ping(ctx); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := c.Close(websocket.StatusNormalClosure, "that was all"); err != nil {
		t.Errorf("close: %v", err)
	}
	<-closed
	for f.clients() > 1 {
		time.Sleep(time.Millisecond)
	}
	ann.alive()
}

// closeCode reads to the end and returns what the server has closed with.
func (p *peer) closeCode() int {
	p.t.Helper()
	p.expectEOF()
	c := p.conn.(*lineConn)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.closed) < 2 {
		p.t.Fatalf("the close frame has %q", c.closed)
	}
	return int(binary.BigEndian.Uint16(c.closed))
}

// peerOverWeb connects over WebSocket whatever the tests run over.
func (f *fixture) peerOverWeb(name string) *peer {
	conn := f.dialWeb()
	f.t.Cleanup(func() { conn.Close() })
	p := &peer{t: f.t, conn: conn, decoder: json.NewDecoder(conn)}
	p.decoder.UseNumber()
	if name != "" {
		p.say(`{"type":"hello","version":1,"username":%q}`, name)
		p.expect("welcome")
	}
	return p
}

// raw sends bytes that are no line.
func (p *peer) raw(header []byte, payload string) {
	p.t.Helper()
	if _, err := p.conn.(*lineConn).dialed.Write(append(header, payload...)); err != nil {
		p.t.Fatal(err)
	}
}

// The end of a WebSocket is said three times: the error, goodbye, and the close
// frame. Other connections go on.
func TestHowWebSocketsEnd(t *testing.T) {
	f := serve(t)
	ann, other := f.join("ann"), f.join("other")
	f.webAddr() // it ends with this test
	for i, test := range []struct {
		name   string
		do     func(p *peer)
		code   string // of the error, "" for none
		reason string
		close  int
	}{
		{"a binary message", func(p *peer) { p.raw(clientHeader(0x82, 1), "x") }, "bad_frame", "protocol", 1003},
		{"no mask", func(p *peer) { p.raw([]byte{0x81, 1}, "x") }, "bad_frame", "protocol", 1002},
		{"compressed without having agreed", func(p *peer) { p.raw(clientHeader(0xc1, 1), "x") }, "bad_frame", "protocol", 1002},
		{"a reserved opcode", func(p *peer) { p.raw(clientHeader(0x83, 0), "") }, "bad_frame", "protocol", 1002},
		{"a long ping", func(p *peer) { p.raw(clientHeader(0x89, 126), strings.Repeat("x", 126)) }, "bad_frame", "protocol", 1002},
		{"no UTF-8", func(p *peer) { p.raw(clientHeader(0x81, 2), "\xff\xff") }, "bad_utf8", "protocol", 1007},
		{"a message that is too long", func(p *peer) { p.raw(clientHeader(0x81, 1<<20), strings.Repeat("x", 66_000)) }, "frame_too_long", "protocol", 1009},
		{"fragments that are too long together", func(p *peer) {
			p.raw(clientHeader(0x01, 40_000), strings.Repeat("x", 40_000))
			p.raw(clientHeader(0x00, 40_000), strings.Repeat("x", 40_000))
		}, "frame_too_long", "protocol", 1009},
		{"an HTTP request", func(p *peer) { p.raw(nil, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, "bad_frame", "protocol", 1002},
		{"another takes the name over", nil, "", "replaced", 4001},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.t = t
			p := f.peerOverWeb("")
			p.say(`{"type":"hello","version":1,"username":"bad-%d"}`, i)
			session := p.expect("welcome")["session"]
			if test.do != nil {
				test.do(p)
			} else {
				again := f.peerOverWeb("")
				again.say(`{"type":"hello","version":1,"username":"bad-%d","resume":%q}`, i, session)
				again.expect("welcome")
			}
			if test.code != "" {
				p.expect("error", "code", test.code)
			}
			p.expect("goodbye", "reason", test.reason)
			if got := p.closeCode(); got != test.close {
				t.Errorf("closed with %d, want %d", got, test.close)
			}
			ann.t, other.t = t, t
			converse(ann, other, fmt.Sprint("fine-", i))
		})
	}
	f.t, ann.t, other.t = t, t, t
	taken := f.peerOverWeb("")
	taken.say(`{"type":"hello","version":1,"username":"ann"}`)
	taken.expect("error", "code", "username_taken")
	taken.expect("goodbye", "reason", "auth")
	if got := taken.closeCode(); got != 1008 {
		t.Errorf("closed with %d, want 1008", got)
	}
	long := f.peerOverWeb("") // before welcome the limit is lower
	long.raw(clientHeader(0x81, 5000), strings.Repeat(" ", 4200))
	long.expect("error", "code", "frame_too_long", "max", 4096)
	long.expect("goodbye", "reason", "protocol")
	if got := long.closeCode(); got != 1009 {
		t.Errorf("closed with %d, want 1009", got)
	}
	drained := f.peerOverWeb("drained")
	go f.shutdown(t.Context())
	if got := drained.expect("goodbye", "reason", "draining"); got["reconnect_after_ms"] == nil {
		t.Errorf("got %s", got)
	}
	if got := drained.closeCode(); got != 1001 {
		t.Errorf("closed with %d, want 1001", got)
	}
}

// Who has said close is given what it is owed, and then its code.
func TestAWebSocketClosesFirst(t *testing.T) {
	sameOverWebSocket(t)
	f := serve(t)
	ann := f.peerOverWeb("ann")
	ann.say(`{"type":"join","room":"lobby"}`)
	const n = 500
	for i := range n {
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"x"}`, i)
	}
	ann.raw(clientHeader(0x88, 5), "\x0f\xa0bye") // 4000
	ann.expect("joined")
	for i := range n {
		ann.expect("ack", "id", i)
	}
	if got := ann.closeCode(); got != 4000 {
		t.Errorf("closed with %d, want 4000", got)
	}
	half := f.peerOverWeb("half")
	half.send(`{"type":"pi`)
	half.raw(clientHeader(0x88, 2), "\x03\xe8")
	half.expect("error", "code", "bad_json")
	if got := half.closeCode(); got != 1000 {
		t.Errorf("closed with %d, want 1000", got)
	}
}

// A server that is full says so on a WebSocket too.
func TestAFullServerOverWebSocket(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	f := start(t, conn.Config{MaxClients: 1}, nil, dispatch.Options{})
	f.hello("ann")
	p := f.peerOverWeb("")
	p.expect("error", "code", "server_full", "max", 1)
	p.expect("goodbye", "reason", "internal")
	if got := p.closeCode(); got != 1013 {
		t.Errorf("closed with %d, want 1013", got)
	}
}

// Control frames between and within messages, in great number, are answered in
// order, and messages are what they are.
func TestPingsInBetween(t *testing.T) {
	sameOverWebSocket(t)
	f := serve(t)
	p := f.peerOverWeb("ann")
	c := p.conn.(*lineConn)
	const n = 5000
	go func() {
		for range n {
			c.Write([]byte(`{"type":"ping",`))
			c.dialed.Write(append(clientHeader(0x89, 1), 'x'))
			c.Write([]byte(`"ref":"r"}` + "\n"))
		}
	}()
	for range n {
		p.expect("pong", "ref", "r")
	}
}

// A WebSocket whose client vanishes without a word is no different from any other.
func TestAWebSocketIsCutOff(t *testing.T) {
	f := serve(t)
	ann := f.join("ann")
	p := f.peerOverWeb("bob")
	p.say(`{"type":"join","room":"lobby"}`)
	p.expect("joined")
	c := p.conn.(*lineConn)
	c.SetLinger(0)
	c.dialed.Close()
	for deadline := time.Now().Add(patience); f.clients() > 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("its token is still out")
		}
	}
	ann.alive()
	if _, err := p.next(); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("got %v", err)
	}
}

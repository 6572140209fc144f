package conn_test

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/peer"
	"kaban/internal/store/memory"
	"kaban/internal/tlstest"
)

// shuttle is the client's end of a turnedPeer's socket, as a net.Conn: the test turns the
// loop while crypto/tls waits for input.
type shuttle struct {
	net.Conn
	p     *turnedPeer
	read  int // bytes of what the server has sent
	piece int // of input at a time; 0: whole
}

func (s *shuttle) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := len(rest)
		if s.piece > 0 {
			n = min(n, s.piece)
		}
		s.p.in = append(s.p.in, rest[:n]...)
		rest = rest[n:]
		s.p.l.loop.Readable(s.p.h)
		if s.piece > 0 {
			s.p.l.step()
		}
	}
	return len(p), nil
}

func (s *shuttle) Read(p []byte) (int, error) {
	for deadline := time.Now().Add(patience); s.read == len(s.p.out); time.Sleep(10 * time.Microsecond) {
		if s.p.l.step(); s.p.half || s.p.gone {
			if s.read < len(s.p.out) {
				break
			}
			return 0, io.EOF
		}
		if time.Now().After(deadline) {
			return 0, errors.New("the server sends nothing")
		}
	}
	n := copy(p, s.p.out[s.read:])
	s.read += n
	return n, nil
}

func (*shuttle) SetWriteDeadline(time.Time) error { return nil }
func (*shuttle) SetReadDeadline(time.Time) error  { return nil }
func (*shuttle) SetDeadline(time.Time) error      { return nil }
func (*shuttle) Close() error                     { return nil }

// tlsPeer is a client over TLS whose socket the test has.
type tlsPeer struct {
	*turnedPeer
	*shuttle
	tls  *tls.Conn
	got  []byte       // decrypted
	keys bytes.Buffer // of its KeyLogWriter
}

// newcomer connects a peer to a server with TLS, and says nothing.
func (l *turned) newcomer() *turnedPeer {
	l.t.Helper()
	p := &turnedPeer{l: l, modelSocket: &modelSocket{room: 1 << 30}}
	var err error
	if p.h, err = l.loop.Accept(p.modelSocket, l.server.EncryptedLines(peer.Loopback(), tlstest.Server())); err != nil {
		l.t.Fatal(err)
	}
	return p
}

// secure connects a peer and makes the handshake.
func (l *turned) secure(version uint16, piece int) *tlsPeer {
	l.t.Helper()
	p := l.newcomer()
	s := &shuttle{p: p, piece: piece}
	config := tlstest.Client()
	config.MinVersion, config.MaxVersion = version, version
	c := &tlsPeer{turnedPeer: p, shuttle: s}
	config.KeyLogWriter = &c.keys
	c.tls = tls.Client(s, config)
	if err := c.tls.Handshake(); err != nil {
		l.t.Fatal(err)
	}
	return c
}

func (c *tlsPeer) say(format string, args ...any) {
	c.l.t.Helper()
	if _, err := fmt.Fprintf(c.tls, format+"\n", args...); err != nil {
		c.l.t.Fatal(err)
	}
}

// await reads until a text has come.
func (c *tlsPeer) await(text string) {
	c.l.t.Helper()
	buffer := make([]byte, 4096)
	for !bytes.Contains(c.got, []byte(text)) {
		n, err := c.tls.Read(buffer)
		c.got = append(c.got, buffer[:n]...)
		if err != nil {
			c.l.t.Fatalf("waiting for %s: %v after %s", text, err, c.got)
		}
	}
}

func (c *tlsPeer) enter(name string) {
	c.l.t.Helper()
	c.say(`{"type":"hello","version":1,"username":%q}`, name)
	c.say(`{"type":"join","room":"lobby"}`)
	c.await(`"type":"joined"`)
}

var versions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// turnTLS is a loop over a store that does not wait.
func turnTLS(t testing.TB) *turned { return turnOver(t, memory.New(0), dispatch.Options{}) }

// What comes byte by byte, and what comes in one segment, is the same.
func TestRecordsInPieces(t *testing.T) {
	for name, version := range versions {
		for _, piece := range []int{0, 1, 7, 1000} {
			t.Run(fmt.Sprint(name, " ", piece), func(t *testing.T) {
				l := turnTLS(t)
				c := l.secure(version, piece)
				c.enter("ann")
				for i := range 20 {
					c.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, i, strings.Repeat("x", 1+i*200))
				}
				c.await(`"id":"19"`)
				if n := bytes.Count(c.got, []byte(`"type":"ack"`)); n != 20 {
					t.Errorf("%d of 20 messages were acknowledged: %s", n, c.got)
				}
			})
		}
	}
}

// Many records in one segment are all read, though the socket is readable once.
func TestManyRecordsInASegment(t *testing.T) {
	l := turnTLS(t)
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	const n = 500
	for i := range n { // a record each; the loop turns when the first answer is awaited
		c.say(`{"type":"ping","ref":"%d"}`, i)
	}
	c.await(fmt.Sprintf(`"ref":"%d"`, n-1))
	if got := bytes.Count(c.got, []byte(`"type":"pong"`)); got != n {
		t.Errorf("%d of %d pings were answered", got, n)
	}
}

// records counts the records in ciphertext, and the size of the largest.
func records(t *testing.T, data []byte) (n, largest int) {
	t.Helper()
	for len(data) > 0 {
		size := 5 + int(binary.BigEndian.Uint16(data[3:]))
		if size > len(data) {
			t.Fatalf("the last record is cut: %d of %d bytes", len(data), size)
		}
		n, largest, data = n+1, max(largest, size), data[size:]
	}
	return n, largest
}

// Messages that wait go out in few large records.
func TestBatchesBecomeLargeRecords(t *testing.T) {
	l := turnTLS(t)
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	bob := l.enter("bob")
	c.room = 0 // blocked, so that a batch forms
	before := len(c.out)
	const n = 400
	for i := range n {
		bob.send(fmt.Sprint(i), "hello, how are you")
	}
	l.until("bob has his acks", func() bool { return bob.got(`"type":"ack"`) == n })
	c.takes(1 << 30)
	l.step()
	size := len(c.out) - before
	if count, largest := records(t, c.out[before:]); count > size/(16<<10)+5 || largest < 16<<10 {
		t.Errorf("%d bytes came in %d records, the largest of %d bytes", size, count, largest)
	}
	c.await(fmt.Sprintf(`"content":"hello, how are you","id":"%d"`, n-1)[:29])
}

// A peer that takes nothing holds the ciphertext of one write, which goes when it takes
// something again. It gets everything once and in order, however little it takes.
func TestAPeerThatTakesLittle(t *testing.T) {
	l := turnTLS(t)
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	bob := l.enter("bob")
	c.room = 100
	const n = 300
	for i := range n {
		bob.send(fmt.Sprint(i), strings.Repeat("x", 300))
	}
	l.until("bob has his acks", func() bool { return bob.got(`"type":"ack"`) == n })
	most := 0
	for i := range 4000 {
		most = max(most, conn.Unflushed(c.h))
		c.takes(i % 101)
		l.step()
	}
	if most == 0 || most > 65<<10 {
		t.Errorf("up to %d bytes of ciphertext waited, want at most that of a write", most)
	}
	c.takes(1 << 30)
	l.step()
	if conn.HoldsCiphertext(c.h) || c.h.IsBlocked() {
		t.Errorf("memory is still held: %v, blocked: %v", conn.HoldsCiphertext(c.h), c.h.IsBlocked())
	}
	for seq := 1; seq <= n; seq++ {
		c.await(fmt.Sprintf(`"seq":%d,`, seq))
	}
	if got := bytes.Count(c.got, []byte(`"type":"message"`)); got != n {
		t.Errorf("it got %d of %d messages", got, n)
	}
}

// A peer that takes nothing at all is a slow consumer.
func TestAStalledPeerOverTLS(t *testing.T) {
	l := turnTLS(t)
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	bob := l.enter("bob")
	c.room = 0
	bob.send("1", "hello")
	l.until("ann is blocked", func() bool { return c.h.IsBlocked() })
	l.later(time.Second) // what went out before is progress
	l.later(29 * time.Second)
	if begun, _, _ := c.h.Ends(); begun {
		t.Fatal("it ends too early")
	}
	for range 4 {
		l.later(time.Second)
	}
	if _, why, _ := c.h.Ends(); why != conn.SlowConsumer || !c.gone {
		t.Errorf("it ends for %d, and is gone: %v", why, c.gone)
	}
}

// close_notify ends the input. The peer gets what it is owed and close_notify.
func TestCloseNotify(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			l := turnTLS(t)
			c := l.secure(version, 0)
			c.enter("ann")
			c.say(`{"type":"ping","ref":"last"}`)
			c.tls.CloseWrite()
			rest, err := io.ReadAll(c.tls)
			if err != nil || !bytes.Contains(rest, []byte(`"ref":"last"`)) {
				t.Errorf("got %s, %v", rest, err)
			}
			last := c.out[len(c.out)-recordLength(c.out):]
			if version == tls.VersionTLS12 && last[0] != 21 || version == tls.VersionTLS13 && len(last) != 5+2+1+16 || !c.gone {
				t.Errorf("the last record is %x, and it is over: %v", last, c.gone)
			}
		})
	}
}

// recordLength returns the length of the last record.
func recordLength(data []byte) (last int) {
	for len(data) > 0 {
		last = 5 + int(binary.BigEndian.Uint16(data[3:]))
		data = data[last:]
	}
	return last
}

// A peer that hangs up without close_notify has hung up.
func TestNoCloseNotify(t *testing.T) {
	l := turnTLS(t)
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	c.ended = true
	c.l.loop.Readable(c.h)
	l.step()
	if begun, why, _ := c.h.Ends(); !begun || why != conn.HungUp || !c.gone {
		t.Errorf("it ends: %v, for %d", begun, why)
	}
}

// What is no record ends a connection with an alert, and nothing else.
func TestBrokenRecords(t *testing.T) {
	for name, bad := range map[string][]byte{
		"garbage":          bytes.Repeat([]byte("garbage"), 100),
		"wrong version":    {23, 9, 9, 0, 1, 0},
		"oversized":        {23, 3, 3, 0xff, 0xff},
		"forged":           append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...),
		"empty plain":      {23, 3, 3, 0, 0},
		"plain alert":      {21, 3, 3, 0, 2, 2, 40},
		"a hello again":    {22, 3, 1, 0, 4, 1, 0, 0, 0},
		"an unknown type":  {99, 3, 3, 0, 1, 0},
		"change of cipher": {20, 3, 3, 0, 2, 1, 1},
	} {
		for version, number := range versions {
			t.Run(name+" "+version, func(t *testing.T) {
				l := turnTLS(t)
				c := l.secure(number, 0)
				c.enter("ann")
				c.in = append(c.in, bad...)
				c.l.loop.Readable(c.h)
				l.step()
				if begun, why, _ := c.h.Ends(); !begun || why != conn.Violation || !c.half {
					t.Errorf("it ends: %v, for %d, and its output: %v", begun, why, c.half)
				}
				if _, err := io.ReadAll(c.tls); err == nil || !strings.Contains(err.Error(), "tls: ") && !strings.Contains(err.Error(), "remote error") {
					t.Errorf("the peer got %v", err)
				}
			})
		}
	}
}

// A peer that speaks no TLS is answered in the clear.
func TestPlainToTLS(t *testing.T) {
	l := turnTLS(t)
	p := l.newcomer()
	p.say(`{"type":"hello","version":1,"username":"ann"}`)
	l.until("it is refused", func() bool { return p.half })
	if p.got(`"code":"tls_required"`) != 1 || p.got("tls://") != 1 || p.got(`"type":"goodbye"`) != 1 {
		t.Errorf("got %s", p.out)
	}
}

// TLS where there is none is refused in words that a log of the peer can have.
func TestTLSToPlain(t *testing.T) {
	l := turnTLS(t)
	p := l.connect()
	p.in = append(p.in, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"...)
	l.loop.Readable(p.h)
	l.until("it is refused", func() bool { return p.half })
	if p.got("without TLS") != 1 {
		t.Errorf("got %s", p.out)
	}
}

// A handshake has as long as a hello, whatever has come of it.
func TestAHandshakeIsLate(t *testing.T) {
	for name, sent := range map[string]string{
		"a byte": "\x16", "half a record": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "a wrong length": "\x16\x03\x01\x00\x04\x01\x00\x10\x00",
	} {
		t.Run(name, func(t *testing.T) {
			l := turnTLS(t)
			p := l.newcomer()
			p.in = append(p.in, sent...)
			l.loop.Readable(p.h)
			l.step()
			l.later(9 * time.Second)
			if p.h.IsClosed() {
				t.Fatal("it ends too early")
			}
			for range 3 {
				l.later(time.Second)
			}
			if !p.h.IsClosed() || !p.gone || len(p.out) > 0 {
				t.Errorf("it goes on: %v, and got %q", !p.gone, p.out)
			}
		})
	}
}

// Handshakes that stall take a bounded number of places, and keep nobody out.
func TestStalledHandshakes(t *testing.T) {
	stalled := 10_000
	if testing.Short() || raceEnabled {
		stalled = 1_000
	}
	const most = 100
	d, err := dispatch.New(t.Context(), memory.New(0), dispatch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, front := newServer(t, conn.Config{MaxClients: 20_000, MaxHandshakes: most}, d)
	l := &turned{t: t, manager: m, server: front, dispatcher: d, loop: conn.NewTestLoop(m)}
	defer func() { l.loop.CloseAll(); m.Close(); d.Close() }()
	hello := clientHello(t)
	var all []*turnedPeer
	for i := range stalled {
		p := l.newcomer()
		p.in = append(p.in, hello...)
		l.loop.Readable(p.h)
		if i%10 == 0 {
			l.step()
		}
		all = append(all, p)
	}
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	l.until("most are gone", func() bool {
		open := 0
		for _, p := range all {
			if !p.gone {
				open++
			}
		}
		return open <= most
	})
	if n := m.Handshakes(); n > most {
		t.Errorf("there are %d handshakes, want at most %d", n, most)
	}
}

// clientHello returns the first record of a client.
func clientHello(t testing.TB) (hello []byte) {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(theirs, tlstest.Client()).Handshake()
	}()
	defer theirs.Close()
	defer ours.Close()
	head := make([]byte, 5)
	if _, err := io.ReadFull(ours, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// A peer that asks for new keys again and again and takes no answer is given up: the
// answers are bounded. One that takes them goes on.
func TestKeyUpdates(t *testing.T) {
	for name, takes := range map[string]int{"taken": 1 << 30, "not taken": 0} {
		t.Run(name, func(t *testing.T) {
			l := turnTLS(t)
			c := l.secure(tls.VersionTLS13, 0)
			c.enter("ann")
			k := newKeys(t, &c.keys)
			c.room = takes
			most := 0
			for range 6000 {
				c.in = append(c.in, k.record(22, []byte{24, 0, 0, 1, 1})...) // KeyUpdate, update_requested
				k.next()
				c.in = append(c.in, k.record(23, []byte("{\"type\":\"pong\"}\n"))...)
				c.l.loop.Readable(c.h)
				if l.step(); c.h.IsClosed() {
					break
				}
				most = max(most, conn.Unflushed(c.h))
			}
			if begun, _, _ := c.h.Ends(); begun != (takes == 0) || most > 97<<10 {
				t.Errorf("it ends: %v; up to %d bytes were held", begun, most)
			}
		})
	}
}

// A peer whose records make work and bring hardly any data is given up soon. One whose records
// are as small as can be goes on.
func TestUselessRecords(t *testing.T) {
	update := func(k *keys, requested byte) []byte {
		record := k.record(22, []byte{24, 0, 0, 1, requested})
		k.next()
		return record
	}
	for name, c := range map[string]struct {
		round func(k *keys) []byte // ends with a space of a line that never ends
		goes  bool
	}{
		"padded to 1 KiB": {func(k *keys) []byte { // the type of the content is before the padding
			return k.record(0, append([]byte("{\"type\":\"pong\"}\n\x17"), make([]byte, 1000)...))
		}, true},
		"one byte each": {func(k *keys) []byte { return k.record(23, []byte(" ")) }, true},
		"new keys asked for, 15 times a byte": {func(k *keys) (records []byte) {
			for range 15 {
				records = append(records, update(k, 1)...)
			}
			return append(records, k.record(23, []byte(" "))...)
		}, false},
		"new keys announced, 15 times a byte": {func(k *keys) (records []byte) {
			for range 15 {
				records = append(records, update(k, 0)...)
			}
			return append(records, k.record(23, []byte(" "))...)
		}, false},
		"new keys asked for with each byte":  {func(k *keys) []byte { return append(update(k, 1), k.record(23, []byte(" "))...) }, false},
		"new keys asked for with four bytes": {func(k *keys) []byte { return append(update(k, 1), k.record(23, []byte("    "))...) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := turnTLS(t)
			p := l.secure(tls.VersionTLS13, 0)
			p.enter("ann")
			k := newKeys(t, &p.keys)
			for range 40_000 { // data that gives no credit for later
				p.in = append(p.in, k.record(23, []byte("{\"type\":\"pong\"}\n"))...)
			}
			p.l.loop.Readable(p.h)
			for len(p.in) > 0 {
				l.step()
			}
			const most = 512 << 10 // of ciphertext
			sent := 0
			for lines := 0; sent < most && !p.h.IsClosed(); sent += lines {
				var records []byte
				for range 50 {
					records = append(records, c.round(k)...)
				}
				lines = len(records)
				records = append(records, k.record(23, []byte("{\"type\":\"pong\"}\n"))...)
				p.in = append(p.in, records...)
				p.l.loop.Readable(p.h)
				l.step()
			}
			if begun, _, _ := p.h.Ends(); begun == c.goes {
				t.Errorf("it ends: %v, after %d KiB", begun, sent>>10)
			}
		})
	}
}

// An answer of TLS itself waits for room as output does.
func TestAnAnswerOfTLSWaits(t *testing.T) {
	l := turnTLS(t)
	c := l.secure(tls.VersionTLS13, 0)
	c.enter("ann")
	k := newKeys(t, &c.keys)
	c.room = 0
	c.in = append(c.in, k.record(22, []byte{24, 0, 0, 1, 1})...)
	l.loop.Readable(c.h)
	l.step()
	if !c.h.IsBlocked() || conn.Unflushed(c.h) == 0 {
		t.Fatalf("blocked: %v, with %d bytes of an answer", c.h.IsBlocked(), conn.Unflushed(c.h))
	}
	c.takes(1 << 20)
	l.step()
	if c.h.IsBlocked() || conn.Unflushed(c.h) > 0 {
		t.Errorf("blocked: %v, with %d bytes of an answer", c.h.IsBlocked(), conn.Unflushed(c.h))
	}
}

// A client comes back with a ticket of its session.
func TestTickets(t *testing.T) {
	for name, version := range versions {
		t.Run(name, func(t *testing.T) {
			l := turnTLS(t)
			config, protocol := tlstest.Client(), l.server.EncryptedLines(peer.Loopback(), tlstest.Server())
			config.MinVersion, config.MaxVersion = version, version
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for i := range 2 {
				p := &turnedPeer{l: l, modelSocket: &modelSocket{room: 1 << 30}}
				var err error
				if p.h, err = l.loop.Accept(p.modelSocket, protocol); err != nil {
					t.Fatal(err)
				}
				s := &shuttle{p: p}
				c := &tlsPeer{turnedPeer: p, shuttle: s, tls: tls.Client(s, config)}
				c.enter(fmt.Sprint("ann-", i))
				if resumed := c.tls.ConnectionState().DidResume; resumed != (i > 0) {
					t.Errorf("connection %d resumed: %v", i, resumed)
				}
			}
		})
	}
}

package client

import (
	"errors"
	"net"
	"os"
	"time"

	"kaban"
	"kaban/wire"
)

// writeTimeout is how long a write may make no progress before the connection is
// abandoned.
const writeTimeout = 30 * time.Second

const (
	// longestSilence bounds the default of Options.Silence.
	longestSilence = 10 * time.Second
	// firstWindow is how many messages may be under way on a new connection.
	firstWindow = 64
)

// link is one connection to the server.
type link struct {
	client *Client
	conn   net.Conn
	reader *wire.Reader
	writer *wire.Writer
	wake   chan struct{} // there is something to write

	username kaban.Username // that the hello asked for
	welcome  wire.Event
	attached chan struct{} // closed when the session uses this link

	// The session goroutine's.
	goodbye *Goodbye
	greeted bool          // there was a welcome
	silence time.Duration // how long the server may send nothing before it is asked
	doubts  doubts
	heard   time.Time // when the last bytes arrived, by the wall clock

	// Guarded by Client.mu.
	//
	// signs are the ping and the pong to be written, at most one of each: a server
	// that pings faster than it reads gets one answer for all.
	signs struct {
		ping, pong bool
		ref        []byte // of the pong
	}
	// sending counts the messages that were written and are not answered. window bounds
	// them: it starts small and grows with each answer, so that a connection that
	// breaks soon again carries little that is lost.
	sending, window int
	typing          []*Room // whose reports of typing are to be written
	typeless        bool    // the server does not know such reports
}

// doubts is the degree of doubt that the server is alive.
type doubts uint8

const (
	none   doubts = iota
	asked         // the server was asked for a sign of life
	told          // none came, and Silent was reported
	asleep        // asked after this machine has slept: the connection is probably dead
)

func newLink(c *Client, conn net.Conn) *link {
	l := &link{client: c, conn: conn, wake: make(chan struct{}, 1), attached: make(chan struct{}), window: firstWindow}
	l.reader, l.writer = wire.NewReader(l), wire.NewWriter(l)
	return l
}

// welcomed takes the welcome and starts to watch the server.
func (l *link) welcomed(e wire.Event) {
	l.greeted, l.welcome = true, e
	heartbeat := e.Heartbeat
	if l.silence = l.client.options.Silence; l.silence <= 0 {
		l.silence = longestSilence
		if heartbeat > 0 {
			l.silence = min(heartbeat/2, longestSilence)
		}
	}
	l.heard = wall()
}

// close ends a link that the session does not use.
func (l *link) close() {
	l.conn.Close()
	l.reader.Close()
}

// wall is the time without the monotonic clock, which stands still while a
// machine sleeps.
func wall() time.Time { return time.Now().Round(0) }

// Read is the source of the reader. Every byte is a sign of life: a frame may take
// long over a slow line. Until the welcome the attempt has its own deadline.
func (l *link) Read(p []byte) (int, error) {
	if !l.greeted {
		return l.conn.Read(p)
	}
	l.conn.SetReadDeadline(time.Now().Add(l.patience()))
	n, err := l.conn.Read(p)
	if n > 0 {
		l.heard = wall()
		if l.doubts == told {
			l.client.tell(State{Status: Online})
		}
		l.doubts = none
	}
	return n, err
}

// patience is how long the server may send nothing before the doubt grows.
func (l *link) patience() time.Duration {
	half := l.client.options.Patience / 2
	switch l.doubts {
	case asked, asleep:
		return half
	case told:
		return 3 * half
	}
	return l.silence
}

// doubt acts on a silence that lasts too long. An error abandons the connection.
//
// Each step starts another wait, so that a client that was stopped itself first reads
// the bytes that arrived meanwhile.
func (l *link) doubt() error {
	switch l.doubts {
	case none:
		l.doubts = asked
		if wall().Sub(l.heard) > l.silence+2*l.client.options.Patience {
			l.doubts = asleep
		}
		l.ping()
		return nil
	case asked:
		l.doubts = told
		l.client.tell(State{Status: Silent})
		return nil
	}
	return errors.New("the server is silent")
}

func (l *link) ping() {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.signs.ping = true
	l.client.wakeLocked()
}

// pong answers a ping of the server.
func (l *link) pong(e *wire.Event) {
	l.client.mu.Lock()
	defer l.client.mu.Unlock()
	l.signs.pong, l.signs.ref = true, nil
	if e.HasRef && len(e.Ref) <= wire.MaxRef {
		l.signs.ref = []byte(e.Ref)
	}
	l.client.wakeLocked()
}

// appendSigns buffers the pending ping and pong. The writer's error comes back from
// its next flush.
func (l *link) appendSigns() {
	if l.signs.ping {
		l.writer.Write(&wire.Request{Type: wire.TypePing})
	}
	if l.signs.pong {
		l.writer.Write(&wire.Request{Type: wire.TypePong, Ref: l.signs.ref})
	}
	l.signs.ping, l.signs.pong, l.signs.ref = false, false, nil
}

// Write is the sink of the writer. It goes on as long as the connection makes
// progress.
func (l *link) Write(p []byte) (n int, err error) {
	if !l.greeted {
		return l.conn.Write(p)
	}
	for n < len(p) {
		l.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		var m int
		m, err = l.conn.Write(p[n:])
		n += m
		if err != nil && (m == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return n, err
		}
	}
	return n, nil
}

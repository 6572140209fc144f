package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"kaban/wire"
)

// patient serves a request whose body is read for as long as it comes. While it
// does not, the connection may have to make room for others.
func (s *Server) patient(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, ok := r.Context().Value(connectionKey{}).(*connection)
		if !ok {
			next.ServeHTTP(w, r)
			return
		}
		if !isHealth(r.URL.Path) && !s.connections.isServed(c) {
			w.Header().Set("Connection", "close")
			p := problem(wire.CodeServerFull, "the server has as many connections as it takes; try again later")
			p.RetryAfter = new(comeBack.Milliseconds())
			s.writeProblem(w, p)
			return
		}
		held := newHolding(c, r)
		defer held.letGo()
		r = r.WithContext(context.WithValue(r.Context(), heldKey{}, held)) // net/http looks at the body of its own one
		var client sender = c
		if r.ProtoMajor > 1 {
			m := newMultiplexed(w, held)
			defer m.finish()
			if c.from.Proxy { // where it ends alone; the proxy goes on reading
				held.stream = m
			}
			w, client = m, other{m.control, held}
		}
		if r.Body == http.NoBody {
			next.ServeHTTP(w, r)
			return
		}
		b := &body{ReadCloser: r.Body, client: client, held: held, end: time.Now().Add(requestTimeout)}
		r.Body = b
		defer b.release() // also after a panic
		next.ServeHTTP(w, r)
		b.release()
		switch {
		case b.isOver:
		case r.ProtoMajor == 1: // net/http reads the rest
			client.await()
			client.SetReadDeadline(b.deadline())
		case b.isAwaited: // the rest goes with the request
			client.resume()
		}
	})
}

// sender is the client that a body comes from.
type sender interface {
	await()  // the server waits for the client
	resume() // it does not any more
	SetReadDeadline(t time.Time) error
}

func (c *connection) await()  { c.all.wait(c) }
func (c *connection) resume() { c.all.resume(c) }

// other is the sender of one of several requests on a connection of HTTP/2. Their time is
// not over with its own, but while it is waited for the connection may have to make room.
type other struct {
	*http.ResponseController
	held *holding
}

func (o other) await()  { o.held.stall() }
func (o other) resume() { o.held.unstall() }

// body is the body of a request as it comes in.
type body struct {
	io.ReadCloser
	client    sender
	held      *holding // has what has come
	end       time.Time
	pace      *pace // of a body that is streamed; nil: it is held until its request is served
	isAwaited bool
	came      atomic.Int64 // bytes of a body that is streamed
	onOver    func()       // of one that is streamed, when nothing more is read of it; nil: nothing

	cutting  sync.Mutex // guards all below against cut, in another goroutine
	isOver   bool
	isServed bool  // the client may be somewhere else
	why      error // it was cut; nil: it was not
}

// A body that is streamed goes somewhere as it comes, so it takes as long as it takes, and counts
// for nothing in memory. It has to come at a pace, or a client could keep its place for ever with a
// byte now and then: minPace bytes in each paceTime that it is waited for.
const (
	paceTime = time.Minute
	minPace  = 64 << 10
)

// pace is how fast a body comes.
type pace struct {
	bytes int           // of the present round
	left  time.Duration // of it
}

// add notes what has come, after a wait.
func (p *pace) add(n int, waited time.Duration) {
	p.bytes += n
	p.left -= waited
	if p.bytes >= minPace {
		p.bytes, p.left = 0, paceTime
	}
}

// streamBody has the body of a request streamed from here on, and returns it. It is nil if there is
// none, or in tests of handlers alone.
func streamBody(r *http.Request) *body {
	b, ok := r.Body.(*body)
	if !ok {
		return nil
	}
	b.pace = &pace{left: paceTime}
	return b
}

// cut ends the reading of the body, from another goroutine, and has its reader get a reason. A body
// that has come stays.
func (b *body) cut(why error) {
	b.cutting.Lock()
	defer b.cutting.Unlock()
	if b.isOver || b.isServed || b.why != nil {
		return
	}
	b.why = why
	b.client.SetReadDeadline(past)
}

// release notes that the request is served. Its connection may have another one by now, and net/http has
// taken back what sets the deadlines of HTTP/2: nothing cuts the body from here on.
func (b *body) release() {
	b.cutting.Lock()
	defer b.cutting.Unlock()
	b.isServed = true
}

// whyCut returns why a body was cut; nil if it was not, or there is none.
func (b *body) whyCut() error {
	if b == nil {
		return nil
	}
	b.cutting.Lock()
	defer b.cutting.Unlock()
	return b.why
}

// past is a deadline that ends what waits.
var past = time.Unix(1, 0)

// cutError says why a body was cut. Whoever knows only of deadlines takes it for one.
type cutError struct{ why error }

func (e *cutError) Error() string   { return "the body was cut: " + e.why.Error() }
func (e *cutError) Unwrap() []error { return []error{e.why, os.ErrDeadlineExceeded} }

// Timeout is that of net.Error.
func (e *cutError) Timeout() bool { return true }

// Temporary is that of net.Error.
func (e *cutError) Temporary() bool { return false }

// bodyError says that a body did not come as a whole.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

func (b *body) deadline() time.Time {
	if b.pace != nil {
		return time.Now().Add(min(bodyTimeout, b.pace.left))
	}
	if next := time.Now().Add(bodyTimeout); next.Before(b.end) {
		return next
	}
	return b.end
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.isOver {
		return b.ReadCloser.Read(p)
	}
	if b.pace != nil {
		return b.readStream(p)
	}
	b.await()
	b.client.SetReadDeadline(b.deadline())
	n, err := b.ReadCloser.Read(p)
	if many := b.held.holdBody(n); many != nil {
		n, err = 0, many
	}
	if err == nil {
		return n, nil
	}
	b.over()
	if err != io.EOF {
		err = &bodyError{err}
	}
	return n, err
}

// readStream reads a body that is streamed. Between two reads the server has what it waited for, so
// a connection is as old as the last byte that it has brought when another one needs room.
func (b *body) readStream(p []byte) (int, error) {
	b.await()
	began := time.Now()
	b.setDeadline()
	n, err := b.ReadCloser.Read(p)
	b.came.Add(int64(n))
	b.pace.add(n, time.Since(began))
	b.isAwaited = false
	b.client.resume()
	if err != nil {
		err = b.streamOver(err)
	}
	return n, err
}

// setDeadline sets the deadline of the next read, which is over if the body was cut just before.
func (b *body) setDeadline() {
	b.cutting.Lock()
	defer b.cutting.Unlock()
	deadline := b.deadline()
	if b.why != nil {
		deadline = past
	}
	b.client.SetReadDeadline(deadline)
}

// streamOver ends the reading, and returns the error of the last read. What has not come in time is
// not waited for again: net/http would, before it answers.
func (b *body) streamOver(err error) error {
	b.over()
	if b.onOver != nil {
		b.onOver()
	}
	if err == io.EOF {
		return err
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		b.client.SetReadDeadline(past)
	}
	if b.why != nil {
		return &cutError{b.why}
	}
	return err
}

func (b *body) await() {
	if !b.isAwaited {
		b.isAwaited = true
		b.client.await()
	}
}

// over notes that nothing more is read.
func (b *body) over() {
	if b.isAwaited {
		b.isAwaited = false
		b.client.resume()
	}
	b.cutting.Lock()
	defer b.cutting.Unlock()
	b.isOver = true
	b.client.SetReadDeadline(time.Time{}) // from here on a read only finds out whether the client goes
}

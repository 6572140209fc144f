package web

import (
	"io"
	"net/http"
	"strconv"
	"time"

	"kaban/wire"
)

// net/http takes what is left of the body of a request over HTTP/1 before it sends an
// answer, so that the connection can be used again. A client that is refused would learn
// that only when its body has come, or has not come in time. Here a refusal goes out at
// once, and the connection ends with it unless the rest of the body is there already. Over
// HTTP/2 only the stream ends, and net/http does that by itself.

const (
	// restTime and maxRest bound what is waited for to keep a connection, in bytes.
	restTime = 50 * time.Millisecond
	maxRest  = 16 << 10
	// lingerTime and maxLinger bound what is read after the last answer of a connection: a
	// peer that still sends would lose the answer to a reset (RFC 9112, section 9.6).
	lingerTime = 2 * time.Second
	maxLinger  = 8 << 20 // bytes
)

// prompt sends refusals at once.
func prompt(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		body := &countedBody{ReadCloser: r.Body, left: r.ContentLength}
		other := r.WithContext(r.Context()) // net/http looks at the body of its own request
		other.Body = body
		c, _ := r.Context().Value(connectionKey{}).(*connection)
		next.ServeHTTP(&promptWriter{ResponseWriter: w, body: body, connection: c}, other)
	})
}

// countedBody is a body that knows whether it was read to its end.
type countedBody struct {
	io.ReadCloser
	left  int64 // by Content-Length; negative if there is none
	ended bool
}

// Read implements io.Reader.
func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left > 0 {
		b.left -= int64(n)
	}
	b.ended = b.ended || err == io.EOF || b.left == 0
	return n, err
}

// promptWriter is an answer that ends the connection if it is a refusal and the body is
// still to come.
type promptWriter struct {
	http.ResponseWriter
	body       *countedBody
	connection *connection // nil in tests of handlers alone
}

// WriteHeader implements http.ResponseWriter.
func (w *promptWriter) WriteHeader(status int) {
	if status >= http.StatusBadRequest && !w.body.ended && !w.takesRest() {
		w.waits() // to the end: the connection makes room for others meanwhile
		w.Header().Set("Connection", "close")
		http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Now().Add(lingerTime)) // net/http takes some of the body afterwards
	}
	w.ResponseWriter.WriteHeader(status)
}

// takesRest reads the rest of a body that is short and all but there.
func (w *promptWriter) takesRest() bool {
	if w.body.left < 0 || w.body.left > maxRest || http.NewResponseController(w.ResponseWriter).SetReadDeadline(time.Now().Add(restTime)) != nil {
		return false
	}
	if w.waits() {
		defer w.connection.all.resume(w.connection)
	}
	io.CopyN(io.Discard, w.body, w.body.left)
	return w.body.ended
}

// waits notes that the server waits for the client, and returns false if it did already.
func (w *promptWriter) waits() bool {
	return w.connection != nil && w.connection.all.wait(w.connection)
}

// Unwrap is for http.ResponseController.
func (w *promptWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// CloseWrite is how net/http ends a connection whose peer may still send. It ends what goes
// out, and reads what comes in until the peer has ended too, within bounds.
func (c *connection) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return nil
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	if err := c.Conn.SetReadDeadline(time.Now().Add(lingerTime)); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, c.Conn, maxLinger)
	return err
}

// longBodyProblem refuses a body that is longer than a limit in bytes.
func longBodyProblem(most int) *Problem {
	p := problem(wire.CodeFrameTooLong, "the body is longer than "+strconv.Itoa(most)+" bytes")
	p.Max = new(most)
	return p
}

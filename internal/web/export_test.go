package web

import (
	"context"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"kaban/internal/account"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/tcp"
)

// Knows tells whether a server with names of its own serves a host at a local
// address.
func Knows(names []string, local, host string) (bool, error) {
	o, err := parseOrigins(names)
	if err != nil {
		return false, err
	}
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.ParseIP(local)})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		return false, err
	}
	r.Host = host
	return o.knows(r), nil
}

// Connections tells how many connections of HTTP a server counts, and how many of
// them it waits for.
func (s *Server) Connections() (count, waiting int) {
	s.connections.mu.Lock()
	defer s.connections.mu.Unlock()
	return s.connections.count, s.connections.waiting.Len()
}

// Bounds that tests look at.
const (
	Reserve   = reserve
	StallTime = stallStep * stallSteps
)

// Held tells how many bytes of pages of messages wait to be read, and of bodies to be
// served.
func (s *Server) Held() int {
	s.connections.mu.Lock()
	defer s.connections.mu.Unlock()
	return s.connections.held
}

// MaxHeld is how much that may be, and MaxBodies how much of it bodies on one connection.
const (
	MaxHeld   = maxHeld
	MaxBodies = maxBodies
)

// Answer answers a request as from its RemoteAddr, at a listener with rules.
func (s *Server) Answer(w http.ResponseWriter, r *http.Request, rules peer.Rules) {
	from, err := rules.Accept(tcp.AddrOf(r.RemoteAddr))
	conn, end := net.Pipe()
	defer end.Close()
	defer conn.Close()
	c := &connection{Conn: conn, all: s.connections, rules: &rules, from: from, refused: err}
	s.http.Handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), connectionKey{}, c)))
}

// LocalPath returns where a browser goes on that wants to go to a path.
func (s *Server) LocalPath(next string) string { return s.localPath(next) }

// Made reports whether the handlers for programs, and the OpenAPI document, have been made.
func (s *Server) Made() (handlers, document bool) {
	return s.programs.openAPI != nil, s.programs.document != nil
}

// BreakMaking has the making of the handlers for programs panic.
func (s *Server) BreakMaking(cause any) {
	s.programs.makeWith(func() http.Handler { panic(cause) })
}

// SignInFailed returns where a browser goes on after an error at the OpenID provider.
func (s *Server) SignInFailed(err error) string { return s.signInFailed(err).Location }

// FormatTime writes milliseconds since 1970 as answers have them.
func FormatTime(milliseconds int64) string { return formatTime(milliseconds) }

// PaceEnds reports whether a body ends that brings some bytes each time, for an hour.
func PaceEnds(bytes int, every time.Duration) bool {
	p := pace{left: paceTime}
	for passed := time.Duration(0); passed < time.Hour; passed += every {
		if p.add(bytes, every); p.left <= 0 {
			return true
		}
	}
	return false
}

// Transfers returns how one enters transfers with bounds.
func Transfers(max, ofOne int) func(key uint64) (leave func(), err error) {
	t := transfers{what: "transfers", max: max, ofOne: ofOne}
	return func(key uint64) (func(), error) {
		p, err := t.enter(limit.Key(key))
		if err != nil {
			return nil, err
		}
		return p.leave, nil
	}
}

// Streamed is what has become of a body.
type Streamed struct {
	Bytes, Awaits, Resumes int
	Deadlines              []time.Time
	Err                    error
}

func (s *Streamed) await()  { s.Awaits++ }
func (s *Streamed) resume() { s.Resumes++ }

func (s *Streamed) SetReadDeadline(t time.Time) error {
	s.Deadlines = append(s.Deadlines, t)
	return nil
}

// StreamBody reads a body whose request should have come before a time.
func StreamBody(from io.Reader, end time.Time) *Streamed {
	s := new(Streamed)
	r := &http.Request{Body: &body{ReadCloser: io.NopCloser(from), client: s, end: end}}
	n, err := io.Copy(io.Discard, streamBody(r))
	s.Bytes, s.Err = int(n), err
	return s
}

// CutBody cuts a body and returns the deadline of the next read.
func CutBody() time.Time {
	s := new(Streamed)
	b := streamBody(&http.Request{Body: &body{ReadCloser: io.NopCloser(strings.NewReader("x")), client: s}})
	b.cut(errCrowded)
	b.Read(make([]byte, 1))
	return s.Deadlines[len(s.Deadlines)-1]
}

// CutServedBody cuts a body whose request is served, and returns how many deadlines were set.
func CutServedBody() int {
	s := new(Streamed)
	b := streamBody(&http.Request{Body: &body{ReadCloser: io.NopCloser(strings.NewReader("x")), client: s}})
	b.release()
	b.cut(errCrowded)
	return len(s.Deadlines)
}

// SendFile sends bytes of a file over a connection as net/http does.
func SendFile(conn net.Conn, source *os.File, size int64) (int64, error) {
	all := newConnections(Config{MaxRequests: 10})
	c := &connection{Conn: conn, all: all}
	return c.ReadFrom(&io.LimitedReader{R: source, N: size})
}

// FilePiece is how much of a file goes out in one piece.
const FilePiece = filePiece

// Downloads tells how many files go out.
func (s *Server) Downloads() int {
	s.downloads.mu.Lock()
	defer s.downloads.mu.Unlock()
	return s.downloads.all
}

// Uploads tells how many files come in.
func (s *Server) Uploads() int {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	return s.uploads.all
}

// BoundUploads sets how many files may come in at once, of all and of one account.
func (s *Server) BoundUploads(max, ofOne int) {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	s.uploads.max, s.uploads.ofOne = max, ofOne
}

// AgeUploads has all files that come in be there for longer.
func (s *Server) AgeUploads(by time.Duration) {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	for p := range s.uploads.giving {
		p.since = p.since.Add(-by)
	}
}

// Came tells how many bytes have come of the files that come in.
func (s *Server) Came() (n int64) {
	s.uploads.mu.Lock()
	defer s.uploads.mu.Unlock()
	for p := range s.uploads.giving {
		n += p.body.came.Load()
	}
	return n
}

// Recheck asks as often as there are answers whether a transfer may go on, and returns after which of
// them it was cut, and why; 0 if it was not.
func Recheck(answers ...error) (after int, why error) {
	asked := 0
	c := &recheck{
		may: func() error { return answers[asked] },
		cut: func(err error) { after, why = asked+1, err },
	}
	defer c.begin().end()
	c.timer.Stop() // it is asked here
	for ; asked < len(answers) && after == 0; asked++ {
		c.ask()
		c.timer.Stop()
	}
	return after, why
}

// HeadOfForm reads the header of a part of an endless one, and tells how many bytes of it were read.
func HeadOfForm(from io.Reader) (read int, err error) {
	counted := &counting{Reader: from}
	heads := &headReader{ReadCloser: io.NopCloser(counted)}
	err = new(form).read(multipart.NewReader(heads, "x"), heads)
	return counted.read, err
}

type counting struct {
	io.Reader
	read int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// Still tells why an account with a token may not go on with something.
func (s *Server) Still(ctx context.Context, p account.Principal, may func() error) error {
	return (&who{server: s, proof: bearerProof, principal: p}).still(ctx, may)
}

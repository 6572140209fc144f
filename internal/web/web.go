// Package web is the front end over HTTP: the page, the WebSocket that carries
// kaban/1 to it, the HTTP API under /v1 with its stream of events, incoming
// webhooks, and what a load balancer asks for.
//
// It answers a bad request with an error and loses nothing of the good ones.
// Headers, bodies and times are bounded. A WebSocket leaves this package once
// its handshake is done: whoever serves kaban/1 (Sockets) takes the connection
// over. Everything else is one goroutine of net/http for each request.
//
// It knows neither the server of kaban/1 nor a database, and no other front end.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/files/keep"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/refusal"
	"kaban/internal/tcp"
	"kaban/internal/turns"
)

// Sockets serves kaban/1 over WebSocket.
type Sockets interface {
	// ServeWebSocket takes over a connection on which the handshake is done, without
	// extensions and subprotocols. early is what the client has sent behind it.
	// caller is who has opened it.
	ServeWebSocket(conn net.Conn, early []byte, caller account.Caller)
}

// Config is what a Server can be told. Zero values mean the defaults.
type Config struct {
	// Accounts decides who somebody is. Required.
	Accounts *account.Service
	// Name is the server's name, such as "kaban/1.2.3". Default: kaban.
	Name string
	// Passkeys registers passkeys and signs in with them. Default: there are none.
	Passkeys *account.Passkeys
	// Provider is the connection to an OpenID provider. Default: there is no single
	// sign-on, whatever the settings say.
	Provider *account.Provider
	// Origins are further places that a page may come from to talk to this server,
	// such as https://chat.example.org. The server's own
	// address always is one. Their hosts are also names of this server, as needed
	// behind a proxy.
	Origins []string
	// BasePath is the path below which everything is served, such as /chat. Default: the
	// root.
	BasePath string
	// Secure is the address of the listener of https, such as
	// https://chat.example.org:8443: links have it unless there are Origins, and plain
	// listeners lead to its port. Default: there is none.
	Secure string
	// Challenges, if not nil, wraps what answers requests over plain HTTP. It answers
	// what an ACME server asks for there.
	Challenges func(http.Handler) http.Handler
	// Limits slow down who does too much. Without them nobody is slowed down. Peers on
	// this machine never are.
	Limits *limit.Limits
	// MaxStreams bounds the streams of events at a time. Default 1,000.
	MaxStreams int
	// MaxRequests bounds the connections of HTTP at a time, streams among them and
	// WebSockets not. A quarter of them may come from one address. Default 2,000.
	MaxRequests int
	// Turns bounds the handshakes of TLS that compute at a time, together with whatever
	// else has the same Turns. Default: its own turns.ForProcessors.
	Turns *turns.Turns
	// Heartbeat is after what time a quiet stream gives a sign of life. Default 15 s.
	Heartbeat time.Duration
	// PushKey is the public key that browsers subscribe to pushes with, in base64url. Required
	// for that.
	PushKey string
	// CheckPush returns a *push.SubscriptionError for an endpoint that the server would never reach.
	// Default: every endpoint is accepted.
	CheckPush func(ctx context.Context, endpoint string) error
	// Files keeps what is uploaded. Default: there are no files.
	Files *keep.Keeper
	// Page serves what is not an interface for programs. Default: nothing is found.
	Page http.Handler
	// Refusing returns why messages are refused at the moment, for /readyz; "" if they are not.
	// Default: they never are.
	Refusing func() string
	// Log gets one line for what an operator should know. Default: discarded.
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "kaban"
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 1000
	}
	if c.MaxRequests <= 0 {
		c.MaxRequests = 2000
	}
	if c.Turns == nil {
		c.Turns = turns.ForProcessors()
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Page == nil {
		c.Page = http.NotFoundHandler()
	}
	return c
}

// Limits of a request. What takes longer or is larger is refused.
const (
	headerTimeout  = 10 * time.Second
	bodyTimeout    = 30 * time.Second // without a byte of it
	requestTimeout = 5 * time.Minute  // for a request to come in
	idleTimeout    = 60 * time.Second
	drainTimeout   = 5 * time.Second // for what is under way when the server ends
	arrivalTimeout = time.Second     // for the requests of connections that had just come then
	maxHeader      = 16 << 10        // with the request line
	headerSlop     = 4 << 10         // how much more net/http takes than it is told
	maxBody        = 128 << 10
	maxConcurrent  = 16        // requests at a time on a connection of HTTP/2
	maxHookBody    = 512 << 10 // a program that sends to Slack may send 100 attachments
)

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("web server is closed")

// Server is the front end. All methods are safe for concurrent use.
type Server struct {
	config      Config
	chat        *chat.Chat
	sockets     Sockets
	origins     origins
	programs    programs
	http        *http.Server
	streams     streams
	connections *connections
	errors      refusal.Counter
	counts      counts
	tus         http.Handler // of uploads that can be resumed; nil without Config.Files
	uploads     transfers
	downloads   transfers
	previews    *limit.Connections

	listening atomic.Pointer[string] // the address of the first listener
	faults    atomic.Uint64          // requests that failed by a fault of the server

	stop     chan struct{} // closed when it drains
	stopping sync.Once

	mu        sync.Mutex // guards all below
	listeners map[net.Listener]struct{}
	isStopped bool // takes no listeners any more
}

// New returns a front end over a chat. The caller ends it with Shutdown or Close,
// and the dispatcher of the chat after that.
func New(config Config, c *chat.Chat, sockets Sockets) (*Server, error) {
	config = config.withDefaults()
	if config.Accounts == nil {
		return nil, errors.New("web: a server needs accounts")
	}
	allowed, err := parseOrigins(config.Origins)
	if err != nil {
		return nil, err
	}
	if config.BasePath, err = ParseBasePath(config.BasePath); err != nil {
		return nil, err
	}
	s := &Server{
		config: config, chat: c, sockets: sockets, origins: allowed, stop: make(chan struct{}), listeners: make(map[net.Listener]struct{}),
		streams: streams{slots: slots{free: int64(config.MaxStreams)}}, connections: newConnections(config),
	}
	s.previews = limit.NewConnections("previews", maxPreviewsOfOne)
	s.uploads.what, s.uploads.max, s.uploads.ofOne = "uploads", maxUploads, maxUploadsOfOne
	s.downloads.what, s.downloads.max, s.downloads.ofOne = "downloads", maxDownloads, maxDownloadsOfOne
	if s.tus, err = s.newTus(); err != nil {
		return nil, err
	}
	s.programs.makeWith(s.makePrograms)
	handler, err := s.routes()
	if err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler: handler,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: maxConcurrent, MaxReceiveBufferPerConnection: maxUnread, MaxReceiveBufferPerStream: maxUnread,
		},
		ConnState:         s.connections.watch,
		ConnContext:       withConnection,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader - headerSlop,
		ErrorLog:          slog.NewLogLogger(errorLog{config.Log.Handler()}, slog.LevelDebug),
	}
	return s, nil
}

// Serve accepts connections, from peers that the rules of the listener allow, until
// the listener fails for good or the server is shut down; then it returns ErrClosed. It
// closes the listener.
func (s *Server) Serve(l net.Listener, rules peer.Rules) error {
	s.ListensAt(l.Addr())
	return s.serveOn(l, rules, nil)
}

// ServeTLS is Serve with TLS: HTTP/2 for clients that know it, else HTTP/1.1.
// WebSockets use the latter. The configuration has the certificates.
func (s *Server) ServeTLS(l net.Listener, rules peer.Rules, config *tls.Config) error {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	config.DynamicRecordSizingDisabled = true // whoever takes WebSockets over writes large batches
	return s.serveOn(l, rules, config)
}

// serveOn serves a listener, with TLS if there is a configuration for it.
func (s *Server) serveOn(l net.Listener, rules peer.Rules, config *tls.Config) error {
	if !s.track(l) {
		l.Close()
		return ErrClosed
	}
	var conns net.Listener = listener{l, s.connections, &rules, config != nil}
	if config != nil {
		conns = tls.NewListener(tcp.Carried{Listener: conns}, config)
	}
	err := s.http.Serve(conns)
	if !s.untrack(l) || errors.Is(err, http.ErrServerClosed) {
		return ErrClosed
	}
	return fmt.Errorf("accept: %w", err)
}

// track notes a listener, so that stopAccepting closes it. It returns false if it is too
// late for that.
func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.isStopped {
		s.listeners[l] = struct{}{}
	}
	return !s.isStopped
}

// untrack forgets a listener, and reports whether it ended by itself.
func (s *Server) untrack(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	return !s.isStopped
}

// stopAccepting closes the listeners, and then waits until all connections have been
// answered and closed, but not for long. Only then may http.Server.Shutdown be called:
// from then on net/http closes a connection without an answer even if its request has
// come, which is a refusal for a client of a server that restarts.
func (s *Server) stopAccepting(ctx context.Context) {
	s.mu.Lock()
	s.isStopped = true
	for l := range s.listeners {
		l.Close()
	}
	s.mu.Unlock()
	s.http.SetKeepAlivesEnabled(false) // closes those that are idle, too
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	for pause := time.Millisecond; !s.hasEnded() && ctx.Err() == nil; pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// hasEnded reports whether nothing is accepted any more, and every connection is closed.
// A connection that was accepted is counted before its listener is untracked.
func (s *Server) hasEnded() bool {
	s.mu.Lock()
	accepting := len(s.listeners) > 0
	s.mu.Unlock()
	return !accepting && s.connections.isEmpty()
}

// Drain ends the streams, takes no more WebSockets, and has /readyz say so. What
// else is asked is answered until Shutdown.
func (s *Server) Drain() {
	s.stopping.Do(func() {
		close(s.stop)
		s.streams.hurry()
	})
}

// Shutdown drains, stops accepting and lets requests that are under way finish,
// but those that wait for their own client only for a few seconds. When ctx ends
// first it cuts them off and returns its cause. WebSockets belong to
// their front end.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	patient, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	s.stopAccepting(patient)
	if s.http.Shutdown(patient) != nil {
		s.http.Close()
		return context.Cause(ctx)
	}
	return nil
}

// Close ends everything at once.
func (s *Server) Close() error {
	s.Drain()
	return s.http.Close()
}

func (s *Server) isDraining() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// slots are how many there may be of something.
type slots struct{ free int64 }

// enter takes a slot, if there is one.
func (s *slots) enter() bool {
	if atomic.AddInt64(&s.free, -1) >= 0 {
		return true
	}
	s.leave()
	return false
}

func (s *slots) leave() { atomic.AddInt64(&s.free, 1) }

// errorLog is where net/http tells what went wrong: a panic and a listener that
// fails are the operator's business, a client that sends nonsense is not.
type errorLog struct{ slog.Handler }

// Enabled implements slog.Handler: the text says what level it is.
func (errorLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (e errorLog) Handle(ctx context.Context, r slog.Record) error {
	switch {
	case strings.HasPrefix(r.Message, "http: panic"):
		r.Level = slog.LevelError
	case strings.HasPrefix(r.Message, "http: Accept error"):
		r.Level = slog.LevelWarn
	}
	if !e.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return e.Handler.Handle(ctx, r)
}

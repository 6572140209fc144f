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
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Sockets serves kaban/1 over WebSocket.
type Sockets interface {
	// ServeWebSocket takes over a connection on which the handshake is done, without
	// extensions and subprotocols. early is what the client has sent behind it.
	ServeWebSocket(conn net.Conn, early []byte)
}

// Config is what a Server can be told. Zero values mean the defaults.
type Config struct {
	// Origins are further places that a page may come from to talk to this server,
	// such as https://chat.example.org, written as browsers do. The server's own
	// address always is one. Their hosts are also names of this server, as needed
	// behind a proxy.
	Origins []string
	// Page serves what is not an interface for programs. Default: nothing is found.
	Page http.Handler
	// Log gets one line for what an operator should know. Default: discarded.
	Log *slog.Logger
}

// Limits of a request. What takes longer or is larger is refused.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	writeTimeout  = 30 * time.Second
	idleTimeout   = 60 * time.Second
	maxHeader     = 16 << 10
	maxBody       = 128 << 10
)

// ErrClosed is returned by Serve after Shutdown or Close.
var ErrClosed = errors.New("web server is closed")

// Server is the front end. All methods are safe for concurrent use.
type Server struct {
	config  Config
	sockets Sockets
	origins origins
	http    *http.Server

	mu       sync.Mutex // guards all below
	draining bool
}

// New returns a front end. The caller ends it with Shutdown or Close.
func New(config Config, sockets Sockets) (*Server, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Page == nil {
		config.Page = http.NotFoundHandler()
	}
	allowed, err := parseOrigins(config.Origins)
	if err != nil {
		return nil, err
	}
	s := &Server{config: config, sockets: sockets, origins: allowed}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/socket", s.socket)
	mux.Handle("/", config.Page)
	s.http = &http.Server{
		Handler:           s.guard(mux),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// Serve accepts connections until the listener fails for good or the server is
// shut down; then it returns ErrClosed. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		return ErrClosed
	}
	return fmt.Errorf("accept: %w", err)
}

// Shutdown stops accepting, ends the streams and lets requests that are under
// way finish. When ctx ends first it cuts them off and returns its cause.
// WebSockets belong to who serves them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	if err := s.http.Shutdown(ctx); err != nil {
		s.http.Close()
		return context.Cause(ctx)
	}
	return nil
}

// Close ends everything at once.
func (s *Server) Close() error { return s.http.Close() }

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

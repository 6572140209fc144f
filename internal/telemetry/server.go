package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"kaban/internal/peer"
	"kaban/internal/tcp"
)

// Limits of the listener.
const (
	maxScrapes     = 8                // at a time; further ones get 503
	maxConnections = 64               // at a time; those that have waited longest make room
	headerTimeout  = 10 * time.Second // for the head of a request, and for a body that nobody wants
	writeTimeout   = 30 * time.Second // for an answer; a profile has its own time beside it
	idleTimeout    = 2 * time.Minute  // longer than most scrapers wait between two scrapes
	maxHeader      = 16 << 10         // bytes
)

// ErrClosed is returned by Serve after Close.
var ErrClosed = errors.New("telemetry is closed")

// Config configures a Server.
type Config struct {
	Sources Sources
	// Profiles serves net/http/pprof below /debug/pprof/.
	Profiles bool
	// Log gets what an operator should know. Default: discarded.
	Log *slog.Logger
}

// Server serves /metrics. All methods are safe for concurrent use.
type Server struct{ http *http.Server }

// New returns a server that is ended by Close.
func New(config Config) (*Server, error) {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	registry, err := NewRegistry(config.Sources)
	if err != nil {
		return nil, fmt.Errorf("register the metrics: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelWarn), MaxRequestsInFlight: maxScrapes,
	}))
	if config.Profiles {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	all := new(connections)
	return &Server{&http.Server{
		Handler: all.withoutBody(named(mux)), ConnState: all.watch, ConnContext: withConnection,
		ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(config.Log.Handler(), slog.LevelDebug),
	}}, nil
}

// named refuses a request from this machine that goes to the name of another: a page
// has had a browser look up the name of its own site as 127.0.0.1.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		host = strings.Trim(host, "[]") // of IPv6 without a port
		if tcp.AddrOf(r.RemoteAddr).IsLoopback() && !peer.LoopbackHost(host) {
			http.Error(w, "metrics of this machine are at 127.0.0.1 or localhost, not at the name in the Host header", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// ServeUnder accepts connections, from peers that the rules of the listener allow,
// until the listener fails or Close; then it returns ErrClosed. It closes the listener.
func (s *Server) ServeUnder(l net.Listener, rules peer.Rules) error {
	err := s.http.Serve(guarded{l, rules})
	if errors.Is(err, http.ErrServerClosed) {
		return ErrClosed
	}
	return fmt.Errorf("accept: %w", err)
}

// Close ends all connections at once.
func (s *Server) Close() error { return s.http.Close() }

// guarded closes connections from where none may come.
type guarded struct {
	net.Listener
	rules peer.Rules
}

// Accept implements net.Listener.
func (g guarded) Accept() (net.Conn, error) {
	for {
		c, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var from netip.Addr
		if at, ok := c.RemoteAddr().(*net.TCPAddr); ok {
			from = at.AddrPort().Addr().Unmap()
		}
		if _, err := g.rules.Accept(from); err == nil {
			return c, nil
		}
		c.Close()
	}
}

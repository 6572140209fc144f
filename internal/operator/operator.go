// Package operator connects the commands of a server's operator to the server that
// runs on the data directory: HTTP over a socket in it, which only the user of the
// server can open.
//
// Whoever can connect has the rights of an owner, so the socket is never accessible to
// others, not even for a moment: it is made in a directory of its own that has mode
// 0700, gets mode 0600 there and is then renamed to its place. On Windows, where
// sockets have no modes, the access list of the data directory protects it.
//
// A server that was killed leaves its socket. The next one replaces it, and a command
// that finds nobody behind it knows that no server runs.
package operator

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "admin.sock"

// Timeouts of requests over the socket. A command is a local process that sends its
// small request at once.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = time.Minute
	maxHeader     = 16 << 10 // bytes
	dialTimeout   = 5 * time.Second
)

// ErrNotRunning means that no server has the data directory open.
var ErrNotRunning = errors.New("no server is running")

// Server serves the operator's requests on the socket of a data directory.
type Server struct {
	path    string
	made    fs.FileInfo // the socket; nil if it was gone at once
	http    http.Server
	serving sync.WaitGroup
	stop    sync.Once
	err     error
}

// Listen makes the socket of a data directory and serves requests on it until Close.
// The caller holds the lock of the directory: a socket that is there belongs to a
// server that has ended, and is replaced. failed gets an error that ends the serving
// before Close.
func Listen(dir string, handler http.Handler, failed func(error)) (*Server, error) {
	l, err := listen(dir)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", filepath.Join(dir, SocketName), explain(err))
	}
	s := &Server{path: filepath.Join(dir, SocketName), http: http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, MaxHeaderBytes: maxHeader,
	}}
	if s.made, err = os.Lstat(s.path); err == nil {
		os.SameFile(s.made, s.made) // Windows finds out which file it is only when it is compared
	}
	s.serving.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			failed(fmt.Errorf("serve %s: %w", s.path, err))
		}
	})
	return s, nil
}

// remove removes the socket, unless that of another server is in its place: somebody may have
// moved the directory away, and started a server on another one of its name.
func (s *Server) remove() error {
	now, err := os.Lstat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || s.made == nil || !os.SameFile(s.made, now) {
		return err
	}
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Close waits for requests that are under way until ctx ends, and removes the socket if it is
// still its own.
func (s *Server) Close(ctx context.Context) error {
	s.stop.Do(func() {
		// The name goes first, so that a command does not connect in vain.
		err := s.remove()
		if s.http.Shutdown(ctx) != nil {
			s.http.Close()
		}
		s.serving.Wait()
		s.err = err
	})
	return s.err
}

// Dial returns a transport to the server that runs on a data directory, or
// ErrNotRunning. It connects once, for the first request; close it with
// CloseIdleConnections.
func Dial(ctx context.Context, dir string) (*http.Transport, error) {
	first, err := connect(ctx, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), isRefused(err):
		return nil, fmt.Errorf("%s: %w", dir, ErrNotRunning)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%s: %w; run this as the user that runs the server", filepath.Join(dir, SocketName), fs.ErrPermission)
	case err != nil:
		return nil, fmt.Errorf("connect to the server of %s: %w", dir, explain(err))
	}
	var mu sync.Mutex
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			mu.Lock()
			taken := first
			first = nil
			mu.Unlock()
			if taken != nil {
				return taken, nil
			}
			return connect(ctx, dir)
		},
	}, nil
}

func connect(ctx context.Context, dir string) (conn net.Conn, err error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	err = withAddress(dir, SocketName, func(address string) error {
		conn, err = dialer.DialContext(ctx, "unix", address)
		return err
	})
	return conn, err
}

// maxAddress is the longest address of a socket that all systems take, in bytes: the
// smallest sun_path has 104, and ends with NUL.
const maxAddress = 103

// errTooLong means that the path of a socket is too long for the system.
var errTooLong = fmt.Errorf("the path is longer than the %d bytes that the address of a socket can have; use a shorter --data, such as a relative path or a symbolic link", maxAddress)

// withAddress calls use with an address for a file in a directory: its path, a shorter
// one relative to the working directory, or where the system has them one by way of an
// open directory, which has any length.
func withAddress(dir, name string, use func(address string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxAddress {
		return use(path)
	}
	if here, err := os.Getwd(); err == nil {
		if full, err := filepath.Abs(path); err == nil {
			if relative, err := filepath.Rel(here, full); err == nil && len(relative) <= maxAddress {
				return use(relative)
			}
		}
	}
	return throughDirectory(dir, name, use)
}

func explain(err error) error {
	if errors.Is(err, syscall.EINVAL) {
		return fmt.Errorf("%w (%w)", errTooLong, err)
	}
	return err
}

package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"kaban/internal/idpool"
	"kaban/internal/tcp"
)

// maxTurnedAway bounds the goodbyes under way to connections that there is no room
// for; further ones are closed without a word. One address can have all of them, for
// lingerTimeout each: others that are refused then learn no reason, which is all they lose.
const maxTurnedAway = 64

// Serve accepts connections of a protocol until the listener fails permanently or
// the manager is shut down; then it returns ErrClosed. It closes the listener.
func (m *Manager) Serve(l net.Listener, p Protocol) error {
	defer l.Close()
	m.mu.Lock()
	if m.draining.Load() {
		m.mu.Unlock()
		return ErrClosed
	}
	m.listeners[l] = struct{}{}
	m.accepting.Add(1)
	m.mu.Unlock()
	defer m.accepting.Done()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.listeners, l)
	}()
	var pause time.Duration
	for {
		conn, err := l.Accept()
		switch {
		case err == nil:
			if pause > 0 {
				m.config.Log.Info("accepting again")
			}
			pause = 0
			m.Delegate(conn, p)
		case m.draining.Load():
			return ErrClosed
		case !isTemporary(err):
			return fmt.Errorf("accept: %w", err)
		case isOutOfFiles(err) && m.makeRoom():
		default:
			if pause == 0 {
				m.config.Log.Warn("cannot accept connections for now; raise the limit of open files or lower --max-clients", "err", err)
			}
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause/2 + rand.N(pause)):
			case <-m.closing:
			}
		}
	}
}

// isTemporary reports whether accepting may work again later: the machine is
// out of something, or the peer went away first.
func isTemporary(err error) bool {
	for _, temporary := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM,
		syscall.ECONNABORTED, syscall.ECONNRESET, syscall.EINTR, syscall.EPROTO, syscall.EPERM,
	} {
		if errors.Is(err, temporary) {
			return true
		}
	}
	return errors.Is(err, os.ErrDeadlineExceeded)
}

// isOutOfFiles reports whether accepting works again when a connection is closed.
func isOutOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// Delegate gives an open connection to a handler, or turns it away.
func (m *Manager) Delegate(conn net.Conn, p Protocol) {
	token, err := m.acquire()
	if err != nil {
		m.turnAway(conn, p, err)
		return
	}
	// From here on the token keeps the loops running, also during a shutdown.
	arrival := m.arrivals.Add(1)
	l := m.others
	if _, _, below := layersOf(conn); takes(below) {
		l = m.loops[arrival%uint64(len(m.loops))]
	}
	h, counts := newHandler(l, token, p, remoteOf(conn))
	m.displace(m.newcomers.enter(h, tcp.NetworkOf(counts), arrival, func() { l.accept(h, conn) }))
	l.wake()
}

// displace has a newcomer, if it is one, make room for another from its address.
func (m *Manager) displace(other *Handler) {
	if other != nil {
		other.loop.post(func() { other.guard((*Handler).makeRoom) })
		m.logCrowded(1)
	}
}

// remoteOf returns the address of the peer, without a system call. A connection other
// than TCP has the zero Addr.
func remoteOf(conn net.Conn) netip.Addr {
	remote, ok := conn.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	return remote.AddrPort().Addr().Unmap()
}

// addressText returns an address as all lines of the log have it: without a port, which a
// peer behind a proxy does not have, and without brackets.
func addressText(addr netip.Addr) string {
	if !addr.IsValid() {
		return "unknown"
	}
	return addr.String()
}

// acquire returns a token for a new connection, and makes room for it if it must.
func (m *Manager) acquire() (token idpool.Token, err error) {
	if m.clients.Load() >= int64(m.config.MaxClients) {
		return idpool.Token{}, idpool.ErrFull
	}
	for range makeRoomTries {
		if token, err = m.pool.Acquire(); !errors.Is(err, idpool.ErrFull) || !m.makeRoom() {
			break
		}
	}
	return token, err
}

// turnAway says that there is no room.
func (m *Manager) turnAway(conn net.Conn, p Protocol, reason error) {
	var config *tls.Config
	if e, ok := p.(Encrypter); ok {
		config = e.TLS()
	}
	m.Refuse(conn, config, func() []byte {
		m.config.Log.Warn("turned a connection away", "remote", addressText(remoteOf(conn)), "err", reason, "max_clients", m.config.MaxClients)
		return p.TurnAway(retryLater())
	})
}

// Refuse sends some last words over a connection that is not served and closes it,
// without holding up the caller. Beyond a number of such connections at once it
// closes without asking for words. With a configuration the words go over TLS.
func (m *Manager) Refuse(conn net.Conn, config *tls.Config, words func() []byte) {
	m.refused.Add(1)
	select {
	case m.turnedAway <- struct{}{}:
	default:
		conn.Close()
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.draining.Load() { // nobody waits for the goodbye
		conn.Close()
		<-m.turnedAway
		return
	}
	m.group.Go(func() {
		defer func() { <-m.turnedAway }()
		defer conn.Close()
		defer m.contain("the refusal of a connection")
		conn.SetDeadline(time.Now().Add(lingerTimeout)) // a handshake reads too
		last := conn
		if config != nil {
			encrypted, err := m.refuse(conn, config)
			if err != nil {
				return
			}
			last = encrypted
		}
		if _, err := last.Write(words()); err == nil {
			lingerOn(last)
		}
	})
}

// lingerOn ends the output of a connection that no loop has, and discards its
// input.
func lingerOn(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return
		}
		conn.SetReadDeadline(time.Now().Add(lingerTimeout))
		io.Copy(io.Discard, conn)
	}
}

package server

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"

	"kaban/internal/account"
	"kaban/internal/conn"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/wire"
)

// arrival is what is known about the other end of a connection until its hello is
// accepted.
type arrival struct {
	account.Caller
	rules    *peer.Rules // nil once no preamble of the PROXY protocol can come
	counted  bool        // the limits of the address have counted it
	preamble []byte      // what has come of it
	refused  error       // the preamble; permanent
	tls      *tls.Config // of the handshake behind the preamble; nil: there is none
}

// quota is what a greeted client has taken of the limits, and what limits its sends.
type quota struct {
	place    limit.Place
	messages *limit.Limiter // nil for visitors
	key      limit.Key
}

// arriving returns the arrival of a peer at a listener of lines. The rules allow the
// peer to connect.
func arriving(rules *peer.Rules, remote netip.Addr) *arrival {
	if !remote.IsValid() {
		remote = netip.IPv6Loopback() // what is not TCP is on this machine
	}
	p, err := rules.Accept(remote)
	return &arrival{Caller: account.Caller{Peer: p, TakesSecrets: rules.TakesSecrets(p)}, rules: rules, refused: err}
}

// awaits reports whether it is not clear yet who the peer is.
func (a *arrival) awaits() bool { return a.rules != nil }

// counts returns the address for which the connection counts as a newcomer. Before its
// preamble a connection from a proxy counts for nobody.
func (a *arrival) counts() netip.Addr {
	if a.awaits() && a.Peer.Proxy {
		return netip.Addr{}
	}
	return a.Peer.Addr
}

// key returns the key of the peer's address in the limits; 0 if it is exempt.
func (a *arrival) key() limit.Key {
	if a.Peer.Loopback {
		return 0
	}
	return limit.AddressKey(a.Peer.Addr)
}

// signatureLength is at least what decides whether there is a preamble.
const signatureLength = 16

// readPreamble is Read until it is clear whether there is a preamble. It returns the
// bytes behind it.
func (c *client) readPreamble(p []byte) (int, error) {
	a := c.arrival
	if a.refused != nil {
		return 0, a.refused
	}
	room := max(len(p)-min(len(a.preamble), signatureLength), 1)
	n, err := c.handler.Read(p[:room])
	data := append(a.preamble, p[:n]...)
	client, length, refused := a.rules.Preamble(a.Peer, data)
	switch {
	case errors.Is(refused, peer.ErrNeedMore):
		a.preamble = data
		return 0, err
	case refused != nil:
		code := wire.CodeBadJSON
		if errors.Is(refused, peer.ErrUntrusted) {
			code = wire.CodeForbidden
		}
		a.refused = &framingError{code: code, text: refused.Error()}
		return 0, a.refused
	}
	if a.tls == nil && speaksTLS(data[length:]) {
		a.refused = &framingError{code: wire.CodeBadJSON, text: plainText}
		return 0, a.refused
	}
	a.Peer, a.TakesSecrets = client, a.rules.TakesSecrets(client)
	a.rules, a.preamble = nil, nil
	rest := data[length:]
	if client.Proxy || length > 0 {
		c.handler.CountFor(client.Addr)
	}
	if a.tls != nil {
		c.handler.Secure(a.tls, rest)
		a.tls = nil
		return 0, nil // the next read is the handshake's
	}
	return copy(p, rest), err
}

const (
	// plainText refuses TLS where there is none.
	plainText = "this address speaks kaban/1 without TLS; connect to it with tcp://, or have the server listen at a tls:// address"
	// tlsText refuses what is not TLS where that is needed.
	tlsText = "this address speaks TLS; connect to it with tls://"
)

// speaksTLS reports whether a connection begins as one of TLS does: the header of a
// record of a handshake (RFC 8446, section 5.1).
func speaksTLS(data []byte) bool { return len(data) >= 2 && data[0] == 22 && data[1] == 3 }

// isLocked reports whether the server has no owner yet and the client comes from where
// only the owner may be made.
func (c *client) isLocked() bool { return !c.arrival.Peer.Local && !c.server.chat.IsClaimed() }

// lockedText refuses a hello where isLocked is true.
const lockedText = "this server has no owner yet; whoever runs it makes one with the claim link in its log, or with \"kaban owner NAME\""

// enterVisitor counts a visitor by its address. The error is a *limit.ExceededError.
func (c *client) enterVisitor() error {
	limits, key := c.server.config.Limits, c.arrival.key()
	if limits == nil || key == 0 {
		return nil
	}
	c.arrival.counted = true // one that is refused does not make the wait longer
	place, err := limits.EnterVisitor(key)
	if err != nil {
		return err
	}
	c.quota = &quota{place: place}
	return nil
}

// enterLimits counts a connection of an account, and has its sends counted for the
// account, or for the credential of a program. The error is a *limit.ExceededError.
func (c *client) enterLimits(account, credential string, isProgram bool) error {
	limits := c.server.config.Limits
	if limits == nil || c.arrival.key() == 0 {
		return nil
	}
	key := limit.NameKey(account)
	place, err := limits.EnterAccount(key)
	if err != nil {
		c.arrival.counted = true // it has signed in
		return err
	}
	c.quota = &quota{place, limits.Messages, key}
	if isProgram {
		c.quota.messages, c.quota.key = limits.CredentialMessages, limit.NameKey(credential)
	}
	return nil
}

// pace counts a send. Beyond the rate nothing is refused: the server reads later.
func (q *quota) pace(h *conn.Handler) {
	if q.messages != nil {
		h.Pause(q.messages.Reserve(q.key, 1))
	}
}

// leaveLimits gives back what the connection has taken. One that has not signed in
// counts for its address.
func (c *client) leaveLimits() {
	if c.quota != nil {
		c.quota.place.Leave()
		c.quota = nil
	}
	a, limits := c.arrival, c.server.config.Limits
	if a != nil && !a.counted && limits != nil {
		a.counted = true
		limits.AddressArrivals.Reserve(a.key(), 1)
	}
}

// guarded is a listener that refuses those that may not connect to it. Only one without
// TLS refuses anybody: it takes connections of its proxies alone.
type guarded struct {
	net.Listener
	server *Server
	rules  *peer.Rules
}

// Accept implements net.Listener.
func (g guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		_, refused := g.rules.Accept(addressOf(conn.RemoteAddr()))
		if refused == nil {
			return conn, nil
		}
		g.server.refuse(conn, refused)
	}
}

// refuse says to somebody that may not connect what to do.
func (s *Server) refuse(c net.Conn, refused error) {
	s.manager.Refuse(c, nil, func() []byte {
		s.config.Log.Info("refused a connection", "remote", addressOf(c.RemoteAddr()), "err", refused)
		e := errorEvent(wire.CodeForbidden, refused.Error())
		return appendFarewell(s.appendFrame(nil, lines{}, &e), lines{}, conn.Refused, 0, 0)
	})
}

// addressOf returns the address in a net.Addr. Whoever connects by other means than
// TCP is on this machine.
func addressOf(remote net.Addr) netip.Addr {
	if at, ok := remote.(*net.TCPAddr); ok {
		return at.AddrPort().Addr().Unmap()
	}
	return netip.IPv6Loopback()
}

// Package server is the front end for kaban/1, over TCP, TLS and WebSocket. The
// connection engine (package conn) owns the connections. This package is its codec
// (framing.go, websocket.go), the table of requests (request.go) and their
// methods, the formats that members read, and the words: replies, refusals,
// goodbyes.
package server

import (
	"crypto/tls"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/refusal"
	"kaban/wire"
)

// Config configures a Server. Zero values mean the defaults.
type Config struct {
	// Name is the server's name in welcome, such as "kaban/1.2.3".
	Name string
	// Accounts decides who signs in. Without it nobody can.
	Accounts *account.Service
	// Web returns the address of the page where people manage their devices and where files
	// go, or "". Accounts are told it. Without it none is sent.
	Web func() string
	// Limits slow down who does too much. Without them nobody is slowed down. Peers on
	// this machine never are.
	Limits *limit.Limits
	// Log gets a line for everything that an operator should know. Default: the
	// manager's.
	Log *slog.Logger
}

// Server speaks kaban/1 on connections of a manager. It is safe for concurrent use.
type Server struct {
	config  Config
	chat    *chat.Chat
	manager *conn.Manager
	errors  refusal.Counter
	open    [frontEnds]atomic.Int64

	stateReads stateReads
}

// New returns a front end for a chat. Its connections are the manager's.
func New(config Config, c *chat.Chat, m *conn.Manager) *Server {
	if config.Name == "" {
		config.Name = "kaban"
	}
	if config.Log == nil {
		config.Log = m.Config().Log
	}
	return &Server{config: config, chat: c, manager: m}
}

// Lines returns kaban/1 over a stream of bytes, such as TCP: a frame is a line. The
// rules are those of the listener.
func (s *Server) Lines(rules peer.Rules) conn.Protocol { return protocol{server: s, rules: &rules} }

// Serve accepts connections that speak kaban/1 in lines, from peers that the
// rules of the listener allow. See conn.Manager.Serve.
func (s *Server) Serve(l net.Listener, rules peer.Rules) error {
	return s.manager.Serve(guarded{l, s, &rules}, s.Lines(rules))
}

// ServeTLS is Serve with TLS, behind the preamble of the PROXY protocol if there is
// one. The configuration has the certificates; for the rest it has Go's defaults.
func (s *Server) ServeTLS(l net.Listener, rules peer.Rules, config *tls.Config) error {
	return s.manager.Serve(guarded{l, s, &rules}, s.EncryptedLines(rules, config))
}

// EncryptedLines is Lines over TLS.
func (s *Server) EncryptedLines(rules peer.Rules, config *tls.Config) conn.Encrypter {
	return encrypted{protocol{server: s, rules: &rules, tls: ForRecords(config)}}
}

// ForRecords returns a configuration for a listener whose connections come to a Server,
// from ServeTLS or as WebSockets: its loops write large batches, which become few records.
func ForRecords(config *tls.Config) *tls.Config {
	config = config.Clone()
	config.DynamicRecordSizingDisabled = true
	return config
}

// WebSocket returns kaban/1 over one connection on which the handshake of WebSocket
// is done, without extensions and subprotocols. early is input that came with it, and
// caller is who has opened it.
func (s *Server) WebSocket(early []byte, caller *account.Caller) conn.Protocol {
	return protocol{server: s, web: &webSocket{early: early}, caller: caller}
}

// ServeWebSocket serves such a connection as one from a listener is.
func (s *Server) ServeWebSocket(c net.Conn, early []byte, caller account.Caller) {
	s.manager.Delegate(c, s.WebSocket(early, &caller))
}

// protocol is kaban/1 in a framing; nil: lines.
type protocol struct {
	server *Server
	web    *webSocket
	rules  *peer.Rules     // of the listener, for lines
	caller *account.Caller // of the WebSocket
	tls    *tls.Config     // nil: what is on the connection is not encrypted by it
}

// encrypted is kaban/1 over TLS.
type encrypted struct{ protocol }

// TLS implements conn.Encrypter.
func (e encrypted) TLS() *tls.Config { return e.tls }

func (p protocol) framing() framing {
	switch {
	case p.web != nil:
		return p.web
	case p.tls != nil:
		return encryptedLines{}
	default:
		return lines{}
	}
}

// Front implements conn.Protocol.
func (p protocol) Front(remote netip.Addr) (f conn.Front, h *conn.Handler, counts netip.Addr) {
	var a *arrival
	if p.caller != nil {
		a = &arrival{Caller: *p.caller}
	} else {
		a = arriving(p.rules, remote)
		a.tls = p.tls
	}
	c := newClient(p.server, p.framing(), a)
	p.server.open[c.framing.frontEnd()].Add(1)
	return c, &c.handler, a.counts()
}

// TurnAway implements conn.Protocol.
func (p protocol) TurnAway(retry time.Duration) []byte {
	out := p.server.appendFrame(nil, p.framing(), p.server.fullEvent(retry))
	return appendFarewell(out, p.framing(), conn.Full, retry, wire.CodeServerFull.Close())
}

package web

import (
	"io"
	"net"
	"net/http"

	"github.com/gobwas/ws"

	"kaban/internal/chat"
)

// socket does the handshake of a WebSocket and hands the connection over.
func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	by := whoOf(r.Context())
	switch {
	case s.isDraining():
		s.writeProblem(w, s.problemOf(chat.ErrClosed))
		return
	case !s.origins.allows(r):
		refuseOrigin(w, r)
		return
	case by.proof == cookieProof && !s.origins.isExact(r, by.peer.Encrypted):
		refuseOrigin(w, r)
		return
	case by.failure != nil && !by.isSuspended():
		s.writeProblem(w, s.problemOf(by.failure))
		return
	case r.Header.Get("Upgrade") == "":
		w.Header().Set("Upgrade", "websocket")
		refuse(w, http.StatusUpgradeRequired, "this is for WebSocket connections")
		return
	}
	conn, buffered, _, err := ws.HTTPUpgrader{Timeout: headerTimeout}.Upgrade(r, w)
	if err != nil { // it has answered
		if conn != nil {
			conn.Close()
		}
		return
	}
	// What came behind the handshake was read with it.
	early := make([]byte, buffered.Reader.Buffered())
	if _, err := io.ReadFull(buffered.Reader, early); err != nil {
		conn.Close()
		return
	}
	if c, ok := connectionOf(conn); ok {
		if below := c.release(); conn == net.Conn(c) {
			conn = below
		}
	}
	s.sockets.ServeWebSocket(conn, early, by.socketCaller())
}

package web

import (
	"net/http"

	"github.com/gobwas/ws"
)

// guard refuses what no handler should see.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.origins.knows(r) {
			http.Error(w, "this server does not go by the name of the Host header; its operator can name it with --origin", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// socket does the handshake of a WebSocket and hands the connection over.
func (s *Server) socket(w http.ResponseWriter, r *http.Request) {
	switch {
	case s.isDraining():
		w.Header().Set("Retry-After", "1")
		http.Error(w, "the server is going down", http.StatusServiceUnavailable)
		return
	case !s.origins.allows(r):
		http.Error(w, "pages of this origin may not use this server; its operator can allow it with --origin", http.StatusForbidden)
		return
	}
	conn, buffered, _, err := ws.HTTPUpgrader{Timeout: headerTimeout}.Upgrade(r, w)
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return
	}
	early := make([]byte, buffered.Reader.Buffered())
	if _, err := buffered.Reader.Read(early); err != nil && len(early) > 0 {
		conn.Close()
		return
	}
	s.sockets.ServeWebSocket(conn, early)
}

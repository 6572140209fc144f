package web

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// stayEncrypted has browsers use https for a year (RFC 6797). It is for the host alone:
// the operator may have others below its name that have no TLS.
const stayEncrypted = "max-age=31536000"

// secure has encrypted connections stay so, and answers plain ones where they only lead
// to encrypted ones. Beside that, /healthz and /readyz are answered there, as whoever
// asks for them often knows no TLS, and what an ACME server asks for.
func (s *Server) secure(next http.Handler) http.Handler {
	plain := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if redirects(r) && !isHealth(r.URL.Path) {
			s.redirect(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}))
	if s.config.Challenges != nil {
		plain = s.config.Challenges(plain)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			plain.ServeHTTP(w, r)
			return
		}
		if !isLocalName(hostname(r.Host)) { // all ports of localhost are many servers'
			w.Header().Set("Strict-Transport-Security", stayEncrypted)
		}
		next.ServeHTTP(w, r)
	})
}

// redirects reports whether a request came to where it is only led elsewhere. A proxy
// speaks for a client that it may have an encrypted connection to.
func redirects(r *http.Request) bool {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	return ok && c.rules.Redirects && !c.from.Proxy
}

// redirect leads to the same place over https. The method and the body stay.
func (s *Server) redirect(w http.ResponseWriter, r *http.Request) {
	to := s.secureOrigin(r.Host)
	if to == "" || !strings.HasPrefix(r.URL.RequestURI(), "/") { // such as http:.example.org, which would change the host
		refuse(w, http.StatusBadRequest, "this is not encrypted; use the https:// address of this server")
		return
	}
	http.Redirect(w, r, to+r.URL.RequestURI(), http.StatusPermanentRedirect)
}

// secureOrigin returns where the same host is over https: an origin that the operator
// has named if there is one, the one with the host if possible, else the host with the
// port of the listener. It returns "" if the host is none.
func (s *Server) secureOrigin(asked string) string {
	host := strings.ToLower(hostname(asked))
	first := ""
	for _, name := range s.origins.names {
		u, err := url.Parse(name)
		if err != nil || u.Scheme != "https" {
			continue
		}
		if u.Hostname() == host {
			return name
		}
		if first == "" {
			first = name
		}
	}
	listener, err := url.Parse(s.config.Secure)
	switch {
	case first != "" || err != nil:
		return first
	case host == "" || strings.ContainsAny(host, "/\\@?#% "):
		return ""
	}
	at := net.JoinHostPort(host, listener.Port())
	if port := listener.Port(); port == "" || port == usualPorts["https"] {
		at = strings.TrimSuffix(net.JoinHostPort(host, ""), ":")
	}
	return "https://" + at
}

// hostname returns a host without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// isLocalName reports whether a name leads to the machine itself (RFC 6761).
func isLocalName(host string) bool {
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

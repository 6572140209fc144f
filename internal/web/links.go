package web

import (
	"net"
	"strconv"
)

// The pages that links lead to. What follows is in the fragment, which browsers do not
// send, so no log of a proxy has it.
const (
	claimPage  = "/claim"
	invitePage = "/invite"
	signInPage = "/sign-in"
	devicePage = "/device"
)

// usualURL is where a server is found that serves nothing yet and has no other address.
const usualURL = "http://127.0.0.1:6480"

// ClaimLink returns the address at which the holder of the secret of a claim becomes
// the first owner.
func (s *Server) ClaimLink(secret string) string { return s.link(claimPage, secret) }

// InviteLink returns the address at which the holder of an invite makes an account.
func (s *Server) InviteLink(secret string) string { return s.link(invitePage, secret) }

// SignInLink returns the address at which the holder of a link signs in to an account.
func (s *Server) SignInLink(secret string) string { return s.link(signInPage, secret) }

// link returns the address of a page with a secret in the fragment. Without a secret it
// is the address of the page.
func (s *Server) link(page, secret string) string {
	if secret != "" {
		page += "#" + secret
	}
	return s.publicURL() + s.config.BasePath + page
}

// publicURL returns the address of this server as people have it: the first origin that
// the operator has named, else that of the first listener.
func (s *Server) publicURL() string {
	if len(s.origins.names) > 0 {
		return s.origins.names[0]
	}
	if s.config.Secure != "" {
		return s.config.Secure
	}
	if at := s.listening.Load(); at != nil {
		return *at
	}
	return usualURL
}

// ListensAt notes the address of a listener, for links; the first one counts. Serve
// calls it, so only links that are made before need an earlier call.
func (s *Server) ListensAt(addr net.Addr) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "localhost"
	}
	at := "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	s.listening.CompareAndSwap(nil, &at)
}

package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/people"
	"kaban/internal/tcp"
	"kaban/wire"
)

// arrival is who is at the other end of a request's connection, or behind the proxy
// there.
type arrival struct {
	peer         peer.Peer
	takesSecrets bool // from this peer
}

type arrivalKey struct{}

// arrivalOf returns where a request comes from.
func arrivalOf(ctx context.Context) arrival {
	a, _ := ctx.Value(arrivalKey{}).(arrival)
	return a
}

// gate finds out where a request comes from, once. It refuses requests from where
// none may come, and those that a server without an owner does not serve.
func (s *Server) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isHealth(r.URL.Path) {
			next.ServeHTTP(w, r)
			return
		}
		a, err := peerIn(r)
		switch {
		case errors.Is(err, peer.ErrUntrusted):
			w.Header().Set("Connection", "close")
			s.writeProblem(w, problem(wire.CodeForbidden, err.Error()))
		case err != nil:
			refuse(w, http.StatusBadRequest, err.Error())
		case !a.peer.Local && !servesUnclaimed(r.URL.Path) && !s.chat.IsClaimed():
			s.writeProblem(w, problem(wire.CodeAuthRequired, lockedText))
		default:
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), arrivalKey{}, a)))
		}
	})
}

// peerIn finds out where a request comes from. The error is peer.ErrUntrusted or
// peer.ErrMalformed.
func peerIn(r *http.Request) (arrival, error) {
	c, ok := r.Context().Value(connectionKey{}).(*connection)
	if !ok {
		return arrival{}, errors.New("this request came to no listener")
	}
	if c.refused != nil {
		return arrival{}, c.refused
	}
	from, err := c.rules.Forwarded(c.from, r.Header)
	if err != nil {
		return arrival{}, err
	}
	return arrival{from, c.rules.TakesSecrets(from)}, nil
}

// lockedText refuses what a server without an owner does not serve to others.
const lockedText = "this server has no owner yet; whoever runs it makes one with the claim link in its log, or with \"kaban owner NAME\""

// servesUnclaimed reports whether a path is needed to claim a server: the page, whose
// files are no secret, and what the page asks.
func servesUnclaimed(path string) bool {
	switch path {
	case "/v1/server", "/v1/claim", "/v1/passkeys/new/begin":
		return true
	}
	return strings.HasPrefix(path, "/v1/claim/") || !isForPrograms(path)
}

// accountKey returns what the limits of an account count by; 0 if the peer is exempt.
func (w *who) accountKey() limit.Key {
	if w.peer.Loopback || !w.isAccount() {
		return 0
	}
	return limit.NameKey(w.principal.Account.ID)
}

// addressKey returns what the limits of an address count by; 0 if the peer is exempt.
func addressKey(p peer.Peer) limit.Key {
	if p.Loopback {
		return 0
	}
	return limit.AddressKey(p.Addr)
}

// limitRequest counts a request of an account. The error is a *limit.ExceededError.
func (s *Server) limitRequest(by *who) error {
	if s.config.Limits == nil {
		return nil
	}
	return s.config.Limits.APIRequests.Check(by.accountKey(), 1)
}

// limitVisitor is limitRequest for somebody without an account, who counts by address.
func (s *Server) limitVisitor(by *who) error {
	if s.config.Limits == nil {
		return nil
	}
	return s.config.Limits.APIRequests.Check(addressKey(by.peer), 1)
}

// limitSignUp counts an attempt to make an account without an invite.
func (s *Server) limitSignUp(by *who) error {
	if s.config.Limits == nil {
		return nil
	}
	return s.config.Limits.SignUps.Check(addressKey(by.peer), 1)
}

// limitMessage counts a message of an account. Those of a token count for it alone.
func (s *Server) limitMessage(by *who) error {
	switch limits := s.config.Limits; {
	case limits == nil || by.accountKey() == 0:
		return nil
	case by.principal.Kind == people.SecretToken:
		return limits.CredentialMessages.Check(limit.NameKey(by.principal.SecretID), 1)
	default:
		return limits.Messages.Check(by.accountKey(), 1)
	}
}

// limitHook counts a message of a webhook.
func (s *Server) limitHook(r *http.Request, id string) error {
	if s.config.Limits == nil || arrivalOf(r.Context()).peer.Loopback {
		return nil
	}
	return s.config.Limits.CredentialMessages.Check(limit.NameKey("hook:"+id), 1)
}

// enterStream counts a stream as a connection, as kaban/1 counts one, until its place
// is left.
func (s *Server) enterStream(by *who) (limit.Place, error) {
	switch limits := s.config.Limits; {
	case limits == nil:
		return limit.Place{}, nil
	case by.isAccount():
		return limits.EnterAccount(by.accountKey())
	default:
		return limits.EnterVisitor(addressKey(by.peer))
	}
}

// countedFor returns the network that a connection counts for among those of HTTP.
// A proxy brings many.
func countedFor(p peer.Peer) netip.Prefix {
	if p.Proxy {
		return netip.Prefix{}
	}
	return tcp.NetworkOf(p.Addr)
}

package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/peer"
	"kaban/internal/people"
)

// proof is how a request shows on whose behalf it is made.
type proof uint8

const (
	noProof proof = iota
	cookieProof
	bearerProof
	operatorProof // it came over the admin socket
)

// who is the answer to the question of every request: who makes it? It is found once
// for each request (resolve) and does not change.
type who struct {
	server       *Server
	peer         peer.Peer
	takesSecrets bool   // from this peer
	origin       string // of this server as the browser finds it, as browsers write it
	proof        proof
	principal    account.Principal // of a cookie or a Bearer token
	identity     kaban.Identity    // of the principal
	// browser is the secret of the browser's cookie, "" until there is one; see
	// browserSecret.
	browser string
	// failure is why the cookie or the token is not accepted: ErrSignedOut,
	// ErrAuthFailed, ErrExpired, ErrSuspended or ErrInsecure of package account.
	failure error
}

type whoKey struct{}

// whoOf returns who makes a request, given its context.
func whoOf(ctx context.Context) *who {
	if w, ok := ctx.Value(whoKey{}).(*who); ok {
		return w
	}
	return new(who) // nobody; only a test comes here
}

// renew returns an error if the credential of the request is not valid any more.
func (w *who) renew(ctx context.Context) error {
	if !w.isAccount() {
		return nil
	}
	_, err := w.server.config.Accounts.Renew(ctx, w.principal)
	return err
}

// because returns why somebody was refused: the end of the credential goes before what follows from it, which may take
// effect first.
func (w *who) because(ctx context.Context, refused error) error {
	if refused == nil {
		return nil
	}
	if ended := w.renew(ctx); ended != nil && isKnown(ended) {
		return ended
	}
	return refused
}

// still returns why somebody may not go on with something, nil if nothing has ended.
func (w *who) still(ctx context.Context, may func() error) error {
	if err := w.renew(ctx); err != nil {
		return err
	}
	return w.because(ctx, may())
}

// isProgram reports whether the request is made with a token.
func (w *who) isProgram() bool {
	return w.isAccount() && w.principal.Kind == people.SecretToken
}

// isAccount reports whether the request is made by an account.
func (w *who) isAccount() bool {
	return w.failure == nil && (w.proof == cookieProof || w.proof == bearerProof)
}

// address returns the address of the peer as package account stores it.
func (w *who) address() string {
	from := account.Caller{Peer: w.peer}
	return from.Host()
}

// name returns the username of the account, the zero value if there is none.
func (w *who) name() kaban.Username {
	if !w.isAccount() {
		return kaban.Username{}
	}
	return w.identity.Name()
}

// actor returns whoever acts as package account knows it.
func (w *who) actor() account.Actor {
	switch {
	case w.proof == operatorProof:
		by := account.Operator()
		by.Address = w.address()
		return by
	case w.isAccount():
		return w.principal.As(w.address())
	}
	return account.Actor{Address: w.address()}
}

// user returns whoever reads or writes in rooms. Somebody without an account is an
// anonymous reader, and so is the operator, who has no rights in rooms.
func (w *who) user() chat.User {
	if !w.isAccount() {
		return w.server.chat.As(kaban.Identity{}, w.peer.Addr)
	}
	return w.server.chat.With(w.identity, w.peer.Addr, w.credential())
}

// visitor returns whoever writes under a name without an account.
func (w *who) visitor(name kaban.Username) chat.User {
	return w.server.chat.As(kaban.Visitor(name), w.peer.Addr)
}

// credential returns what the account has signed in with.
func (w *who) credential() *chat.Credential {
	p := &w.principal
	return &chat.Credential{
		ID: p.SecretID, Rooms: p.Rooms, ReadOnly: p.ReadOnly, Device: p.Kind == people.SecretDevice, Fresh: w.server.config.Accounts.Fresh(*p),
		Expires: p.Expires,
	}
}

// resolve finds out who makes a request. A credential that is not accepted is a
// failure of who; the error is one of the server.
func (s *Server) resolve(r *http.Request) (*who, error) {
	from := arrivalOf(r.Context())
	w := &who{server: s, peer: from.peer, takesSecrets: from.takesSecrets, origin: addressedOrigin(r, from.peer.Encrypted)}
	secret := w.findSecret(r)
	w.browser = w.findBrowser(r)
	switch {
	case w.proof == noProof || w.failure != nil:
		return w, nil
	case !w.takesSecrets:
		w.failure = account.ErrInsecure
		return w, nil
	}
	var err error
	if w.principal, err = s.config.Accounts.Authenticate(r.Context(), secret, w.address()); err == nil {
		w.identity, err = w.principal.Account.Identity()
	}
	switch {
	case errors.Is(err, account.ErrSuspended):
		w.failure = err
	case (errors.Is(err, account.ErrAuthFailed) || errors.Is(err, account.ErrExpired)) && w.proof == cookieProof:
		w.failure = account.ErrSignedOut
	case errors.Is(err, account.ErrAuthFailed), errors.Is(err, account.ErrExpired):
		w.failure = err
	default:
		return w, err
	}
	return w, nil
}

// findSecret returns the secret of a request and notes where it was: a Bearer token
// (RFC 6750, section 2.1) wins over a cookie. Other schemes of Authorization are those
// of a proxy in front of the server.
func (w *who) findSecret(r *http.Request) (secret string) {
	for _, header := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			continue
		}
		if w.proof == bearerProof { // RFC 6750, section 3.1
			w.failure = account.ErrAuthFailed
			return ""
		}
		w.proof, secret = bearerProof, strings.TrimSpace(token)
	}
	if w.proof == noProof {
		if cookie, err := r.Cookie(w.cookieName()); err == nil && cookie.Value != "" {
			w.proof, secret = cookieProof, cookie.Value
		}
	}
	return secret
}

// findBrowser returns the secret of the browser that makes a request, "" if it has none.
func (w *who) findBrowser(r *http.Request) string {
	name := plainBrowserCookie
	if w.peer.Encrypted {
		name = secureBrowserCookie
	}
	cookie, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return checkBrowser(cookie.Value)
}

// identify resolves who makes a request before its handler sees it. What changes
// something with a cookie must come from a page of this server.
func (s *Server) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store") // an answer is for whoever has asked
		by, err := s.resolve(r)
		if err == nil && !isDownload(r) {
			err = s.limitRequest(by)
		}
		switch {
		case err != nil:
			s.writeProblem(w, s.problemOf(err))
			return
		case by.proof == cookieProof && !isSafe(r.Method) && !s.origins.isExact(r, by.peer.Encrypted):
			refuseOrigin(w, r)
			return
		case errors.Is(by.failure, account.ErrSignedOut):
			gone := by.noCookie()
			http.SetCookie(w, &gone)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, by)))
	})
}

// OperatorHandler returns a handler of the same API for the admin socket: whoever can
// open that is the operator, with the rights of an owner.
func (s *Server) OperatorHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by := &who{server: s, proof: operatorProof, takesSecrets: true}
		s.forPrograms(w, r.WithContext(context.WithValue(r.Context(), whoKey{}, by)))
	})
}

// isSuspended reports whether a browser has proved to be an account that may not be used.
func (w *who) isSuspended() bool {
	return w.proof == cookieProof && errors.Is(w.failure, account.ErrSuspended)
}

// socketCaller returns who opens a WebSocket, for whoever serves it.
func (w *who) socketCaller() account.Caller {
	c := account.Caller{Peer: w.peer, TakesSecrets: w.takesSecrets}
	if w.isAccount() {
		c.Principal = &w.principal
	}
	if w.isSuspended() {
		c.Refused = w.failure
	}
	return c
}

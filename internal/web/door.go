package web

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"kaban/internal/account"
	"kaban/internal/chat"
)

// door is whom an operation is for, which is decided before its input is read.
type door uint8

const (
	// toAnybody: nobody needs a credential, and one that is not valid any more does not
	// matter.
	toAnybody door = iota
	// toReaders: accounts, and visitors where the server takes them.
	toReaders
	// toAccounts: accounts. The operator has none.
	toAccounts
	// toActors: accounts and the operator. Package account decides what they may do.
	toActors
	// toOperator: the admin socket only.
	toOperator

	admits door = 1<<3 - 1 // the bits of the above

	// secret: the request or its answer has a secret, so the connection must be one
	// that takes them.
	secret door = 1 << 3
	// signsIn: the answer sets the cookie, so that a foreign page could make somebody
	// somebody else. The request needs an Origin.
	signsIn = secret | 1<<4
	// stores: the request asks the store, or has it write, although it proves nothing. Whoever
	// has no account counts by address, or a stranger could keep the store busy all day.
	stores door = 1 << 5
)

// check returns nil if a request may go on.
func (d door) check(s *Server, by *who, r *http.Request) *Problem {
	switch {
	case by.proof == operatorProof:
		if d&admits == toAccounts {
			p := s.problemOf(chat.ErrForbidden)
			p.Detail = "this is for an account, and the operator has none"
			return p
		}
		return nil
	case d&secret != 0 && !by.takesSecrets:
		return s.problemOf(account.ErrInsecure)
	case d&signsIn == signsIn && !s.origins.isExact(r, by.peer.Encrypted):
		return originProblem(r)
	case d&admits == toOperator:
		return s.problemOf(chat.ErrForbidden)
	case d&admits == toAnybody:
		return s.checkStranger(d, by)
	case by.failure != nil:
		return s.problemOf(by.failure)
	case by.isAccount():
		return nil
	case d&admits == toReaders && s.chat.TakesVisitors():
		if err := s.limitVisitor(by); err != nil {
			return s.problemOf(err)
		}
		return nil
	}
	return s.problemOf(chat.ErrAuthRequired)
}

// checkStranger returns nil if a request that needs no credential may go on. Those of an
// account have been counted.
func (s *Server) checkStranger(d door, by *who) *Problem {
	if d&stores == 0 || by.isAccount() {
		return nil
	}
	if err := s.limitVisitor(by); err != nil {
		return s.problemOf(err)
	}
	return nil
}

// register adds an operation of the API with its door. Its handler finds who makes the
// request with whoOf.
func register[I, O any](s *Server, api huma.API, d door, op huma.Operation, handler func(context.Context, *I) (*O, error)) {
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if p := d.check(s, whoOf(ctx.Context()), r); p != nil {
			s.writeProblem(w, p)
			return
		}
		if most := op.MaxBodyBytes; most > 0 && r.ContentLength > most {
			s.writeProblem(w, longBodyProblem(int(most)))
			return
		}
		next(ctx)
	})
	if d&signsIn == signsIn && op.MaxBodyBytes > maxSignInBody {
		op.MaxBodyBytes = maxSignInBody
	}
	op.Errors = append(op.Errors, d.statuses()...)
	op.Security = d.security()
	switch d & admits {
	case toActors:
		op.Extensions = map[string]any{socketExtension: "too"}
	case toOperator:
		op.Extensions, op.Security = map[string]any{socketExtension: "only"}, nil
	}
	huma.Register(api, op, handler)
}

// statuses returns the statuses that a door may answer with.
func (d door) statuses() (all []int) {
	if d&admits != toAnybody {
		all = append(all, http.StatusUnauthorized)
	}
	return append(all, http.StatusForbidden, http.StatusInternalServerError, http.StatusServiceUnavailable)
}

// The names of credentials in the OpenAPI document.
const (
	bearerScheme = "token"
	cookieScheme = "cookie"
)

// securitySchemes are the credentials that the document describes.
func securitySchemes() map[string]*huma.SecurityScheme {
	return map[string]*huma.SecurityScheme{
		bearerScheme: {Type: "http", Scheme: "bearer", Description: "The secret of a device or a token."},
		cookieScheme: {Type: "apiKey", In: "cookie", Name: secureCookie, Description: "The cookie of POST /v1/session; on this machine without TLS its name is " + plainCookie + ". A request that changes something needs an Origin header: the server's own, or one of --origin."},
	}
}

// security returns the door as the document has it. An empty element means that no
// credential is needed, or none where the server takes visitors.
func (d door) security() []map[string][]string {
	account := []map[string][]string{{bearerScheme: {}}, {cookieScheme: {}}}
	switch d & admits {
	case toAnybody:
		return []map[string][]string{{}}
	case toReaders:
		return append(account, map[string][]string{})
	}
	return account
}

// socketExtension is the field of an operation in the document that says whether the
// admin socket has it: "only", or "too". It is the credential there.
const socketExtension = "x-admin-socket"

// admit is for handlers that are no operations: it answers a request that may not go on.
func (s *Server) admit(d door, w http.ResponseWriter, r *http.Request) (*who, bool) {
	by := whoOf(r.Context())
	if p := d.check(s, by, r); p != nil {
		s.writeProblem(w, p)
		return nil, false
	}
	return by, true
}

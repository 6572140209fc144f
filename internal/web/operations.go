package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// registerPeople registers what is about accounts, but for sessions and devices.
func (s *Server) registerPeople(api huma.API) {
	s.arrivalOperations(api)
	s.grantOperations(api)
	s.passkeyOperations(api)
	s.providerOperations(api)
	s.profileOperations(api)
	s.pushOperations(api)
	s.inboxOperations(api)
	s.fileOperations(api)
	s.tokenOperations(api)
	s.inviteOperations(api)
	s.peopleOperations(api)
	s.adminOperations(api)
	s.markOperations(api)
	s.roomOperations(api)
	s.restrictionOperations(api)
	s.serverOperations(api)
	s.hookOperations(api)
}

// answer is what an operation about accounts returns. It may have a secret, so nobody
// may keep it.
type answer[O any] struct {
	CacheControl string `header:"Cache-Control" hidden:"true"`
	Body         O
}

// noAnswer is answer without a body.
type noAnswer struct {
	CacheControl string `header:"Cache-Control" hidden:"true"`
}

const noStore = "no-store"

// asks registers an operation that answers with a body.
func asks[I, O any](s *Server, api huma.API, d door, op huma.Operation, do func(context.Context, *who, *I) (O, error)) {
	registerBody(s, api, d, op, func(ctx context.Context, in *I) (*answer[O], error) {
		body, err := do(ctx, whoOf(ctx), in)
		if oauth, ok := errors.AsType[*GrantError](err); ok { // which RFC 8628 gives another form
			return nil, oauth
		}
		if err != nil {
			return nil, s.problemIn(err)
		}
		return &answer[O]{noStore, body}, nil
	})
}

// does registers an operation that answers with nothing but its success.
func does[I any](s *Server, api huma.API, d door, op huma.Operation, do func(context.Context, *who, *I) error) {
	op.DefaultStatus = http.StatusNoContent
	registerBody(s, api, d, op, func(ctx context.Context, in *I) (*noAnswer, error) {
		if err := do(ctx, whoOf(ctx), in); err != nil {
			return nil, s.problemIn(err)
		}
		return &noAnswer{noStore}, nil
	})
}

// made is an operation that makes something.
func made(op huma.Operation) huma.Operation {
	op.DefaultStatus = http.StatusCreated
	return op
}

// aboutPeople returns an operation with the tag and the limits that all about people
// have.
func aboutPeople(id, method, path, summary string) huma.Operation {
	return huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"people"},
		Errors: []int{
			http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusTooManyRequests,
		},
		MaxBodyBytes: maxBody, BodyReadTimeout: bodyTimeout,
		SkipValidateParams: true, SkipValidateBody: true, // what the handlers say is more precise
	}
}

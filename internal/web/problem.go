package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/refusal"
	"kaban/wire"
)

// Problem is the body of every error: RFC 9457, with the codes and fields that an
// error frame of kaban/1 has. What is only of HTTP has no code.
type Problem struct {
	Title      string  `json:"title" doc:"The meaning of the status."`
	Status     int     `json:"status" doc:"The HTTP status."`
	Detail     string  `json:"detail,omitempty" doc:"For people: what happened and what to do."`
	Code       string  `json:"code,omitempty" doc:"For programs: a code of kaban/1. New codes may be added."`
	Field      string  `json:"field,omitempty" doc:"The invalid parameter or field of the body."`
	Max        *int    `json:"max,omitempty" doc:"The limit that was exceeded."`
	Actual     *int    `json:"actual,omitempty" doc:"The value that exceeded it."`
	Position   *int    `json:"position,omitempty" doc:"The position in the body (bytes) or in the field (code points)."`
	RetryAfter *int64  `json:"retry_after_ms,omitempty" doc:"The time until a retry makes sense, in milliseconds."`
	Confirm    bool    `json:"confirm,omitempty" doc:"The action takes a fresh sign-in: POST /v1/session/confirm, then do it again."`
	Epoch      string  `json:"epoch,omitempty" doc:"With resync: the current epoch."`
	Head       *uint64 `json:"head,omitempty" doc:"With resync: the last seq of the room."`
	Oldest     *uint64 `json:"oldest,omitempty" doc:"With resync: the first seq that is still kept."`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return problemType }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := make(http.Header)
	if p.Status == http.StatusUnauthorized { // RFC 9110, section 15.5.2, and RFC 6750, section 3
		h.Set("WWW-Authenticate", `Bearer realm="kaban"`)
	}
	if p.RetryAfter != nil {
		h.Set("Retry-After", strconv.FormatInt((*p.RetryAfter+999)/1000, 10))
	}
	return h
}

const problemType = "application/problem+json"

// brokenBody is what a client is told whose body did not come as a whole, if it
// is still there.
const brokenBody = "the body did not come as a whole, or is no body as its Transfer-Encoding says; nothing was stored, send it again"

func isBodyError(err error) bool {
	_, ok := errors.AsType[*bodyError](err)
	return ok
}

// bodyProblem says why a body was not read to its end.
func bodyProblem(err error) *Problem {
	if errors.Is(err, errManyBodies) {
		p := problem(wire.CodeRateLimited, "the requests on this connection or from this address have more than "+strconv.Itoa(maxBodies)+" bytes in their bodies; send fewer of them at a time")
		p.RetryAfter = new(comeBack.Milliseconds())
		return p
	}
	if errors.Is(err, errHeld) {
		return heldProblem()
	}
	return &Problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Detail: brokenBody}
}

// heldProblem says that there is no memory for what a request sends or asks for.
func heldProblem() *Problem {
	p := problem(wire.CodeUnavailable, "the server is busy with as much as it can hold; nothing was stored, try again in a moment")
	p.RetryAfter = new(comeBack.Milliseconds())
	return p
}

// longBody matches what the library says of a body that is too long.
const longBody = "request body is too large limit=%d bytes"

func init() {
	// The library has one such hook for the whole process. It calls it for what it
	// refuses by itself: parameters that are no numbers, bodies that are too large.
	huma.NewError = func(status int, text string, details ...error) huma.StatusError {
		p := &Problem{Status: status, Title: http.StatusText(status), Detail: text}
		switch status {
		case http.StatusUnprocessableEntity:
			p = problem(wire.CodeBadField, text)
			for _, detail := range details {
				p.refine(detail)
			}
		case http.StatusBadRequest: // there is no body
			p = problem(wire.CodeBadJSON, text)
		case http.StatusRequestEntityTooLarge:
			most := maxBody
			if _, err := fmt.Sscanf(text, longBody, &most); err != nil {
				most = maxBody
			}
			p = longBodyProblem(most)
		case http.StatusInternalServerError:
			if i := slices.IndexFunc(details, isBodyError); i >= 0 {
				p = bodyProblem(details[i])
				break
			}
			e := refusal.Of(errors.New(text))
			p = problem(e.Code, e.Text)
		}
		return p
	}
}

// refine adds what a detail says of a parameter.
func (p *Problem) refine(detail error) {
	bad, ok := detail.(huma.ErrorDetailer)
	if !ok {
		return
	}
	_, p.Field, _ = strings.Cut(bad.ErrorDetail().Location, ".")
	p.Detail = p.Field + ": " + bad.ErrorDetail().Message
	if p.Field == "limit" {
		p.Code, p.Max = string(wire.CodeBadLimit), new(wire.MaxLimit)
	}
}

// problem begins the problem of a code.
func problem(code wire.Code, text string) *Problem {
	status := code.Status()
	return &Problem{Title: http.StatusText(status), Status: status, Detail: text, Code: string(code)}
}

// problemOf is an error as a problem. What is the server's own fault is logged.
func (s *Server) problemOf(err error) *Problem {
	e := refusal.Of(err)
	p := problem(e.Code, e.Text)
	if bad, ok := errors.AsType[*wire.ReaderError](err); ok {
		p.describe(bad)
	}
	if bad, ok := errors.AsType[*kaban.MessageError](err); ok && bad.Limit > 0 {
		p.Max, p.Actual = new(bad.Limit), new(bad.Actual)
	}
	if value, ok := errors.AsType[*account.ValueError](err); ok {
		p.Field = value.What
	}
	switch {
	case errors.Is(err, account.ErrWeakPassword), errors.Is(err, account.ErrNoWayIn):
		p.Field = "password"
	case errors.Is(err, chat.ErrNotJoined):
		p.Detail += "; that is done on the page, in \"kaban chat\", or with \"kaban send --join\""
	case errors.Is(err, account.ErrNotFresh), errors.Is(err, chat.ErrNotFresh):
		p.Confirm = true
	}
	if e.RetryAfter > 0 {
		p.RetryAfter = new(e.RetryAfter.Milliseconds())
	}
	switch e.Code {
	case wire.CodeResync:
		p.Epoch, p.Head, p.Oldest = e.Epoch, &e.Head, &e.Oldest
	case wire.CodeInternal:
		if refusal.IsFault(err) {
			n := s.faults.Add(1)
			s.config.Log.Error("a request failed", "request", n, "err", err)
			p.Detail += fmt.Sprintf(" (request %d in the server's log)", n)
		}
	}
	return p
}

func (p *Problem) describe(bad *wire.ReaderError) {
	p.Field = bad.Field
	if bad.Max > 0 {
		p.Max = new(bad.Max)
	}
	if bad.Actual > 0 {
		p.Actual = new(bad.Actual)
	}
	if bad.Position >= 0 {
		p.Position = new(bad.Position)
	}
}

// writeProblem answers with a problem.
func writeProblem(w http.ResponseWriter, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil {
		http.Error(w, p.Detail, p.Status)
		return
	}
	for name, values := range p.GetHeaders() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", problemType)
	w.WriteHeader(p.Status)
	w.Write(append(body, '\n'))
}

// writeProblem answers with a problem and counts it.
func (s *Server) writeProblem(w http.ResponseWriter, p *Problem) {
	s.countProblem(p)
	writeProblem(w, p)
}

// countProblem counts a problem that is an answer.
func (s *Server) countProblem(p *Problem) { s.errors.Add(wire.Code(p.Code)) }

// refuse answers with what is only of HTTP.
func refuse(w http.ResponseWriter, status int, text string) {
	writeProblem(w, &Problem{Title: http.StatusText(status), Status: status, Detail: text})
}

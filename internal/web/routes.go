package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// programs is what answers programs. Its parts are made when first asked for: together
// they take longer than the rest of a start.
type programs struct {
	handler  func() http.Handler // everything but the page
	openAPI  *huma.OpenAPI       // nil until handler was called
	writing  sync.Once
	document []byte // the OpenAPI document
	err      error  // why there is none
}

// makeWith has a function make the handler when it is first asked for. If that panics,
// each request gets the panic: a handler that is half made never serves one.
func (p *programs) makeWith(makes func() http.Handler) { p.handler = sync.OnceValue(makes) }

// forPrograms serves everything but the page. Its requests know who makes them.
func (s *Server) forPrograms(w http.ResponseWriter, r *http.Request) {
	s.programs.handler().ServeHTTP(w, r)
}

// makePrograms makes what answers programs.
func (s *Server) makePrograms() http.Handler {
	mux := http.NewServeMux()
	document := s.newAPI(mux)
	// Whatever answers is in the document, but for the document itself: tests take all that
	// there is to ask for from it.
	mux.HandleFunc("GET /openapi.json", s.openapi)
	for _, route := range []struct {
		operation *huma.Operation
		answer    http.HandlerFunc
	}{
		{socketOperation(), s.socket},
		{eventsOperation(), s.events},
		{hookOperation(), s.hook},
		{healthOperation(), s.healthz},
		{readyOperation(), s.readyz},
		{uploadOperation(), s.postFile},
		{uploadOptionsOperation(), s.uploadOptions},
		{resumeOperation(http.MethodHead), s.resumeUpload},
		{resumeOperation(http.MethodPatch), s.resumeUpload},
		{resumeOperation(http.MethodDelete), s.resumeUpload},
		{fileOperation(), s.getFile},
		{thumbnailOperation(), s.getThumbnail},
	} {
		document.AddOperation(route.operation)
		mux.HandleFunc(route.operation.Method+" "+route.operation.Path, route.answer)
	}
	if s.config.BasePath != "" {
		document.Servers = []*huma.Server{{URL: s.config.BasePath}}
	}
	s.programs.openAPI = document
	return answerAll(mux, s.config.BasePath)
}

// routes puts everything together that answers requests.
func (s *Server) routes() (http.Handler, error) {
	protection := http.NewCrossOriginProtection()
	for _, origin := range s.origins.names {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %s: %w", origin, err)
		}
	}
	protection.SetDenyHandler(http.HandlerFunc(refuseOrigin))
	identified := s.identify(http.HandlerFunc(s.forPrograms))
	return prompt(s.patient(s.secure(s.below(s.gate(s.guard(protection.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !isForPrograms(r.URL.Path):
			s.config.Page.ServeHTTP(w, r)
		case strings.HasPrefix(r.URL.Path, "/v1/"):
			identified.ServeHTTP(w, r)
		default:
			s.forPrograms(w, r)
		}
	})))))))), nil
}

// answerAll has what no handler of a mux is for answered with a problem, which names the
// document below the base path.
func answerAll(mux *http.ServeMux, base string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		other := statusOnly{header: w.Header()} // the mux knows which of 404 and 405 it is
		handler.ServeHTTP(&other, r)
		if other.header.Get("Location") != "" { // or would lead elsewhere
			other.header.Del("Location")
			other.status = http.StatusNotFound
		}
		text := "there is nothing here; " + base + "/openapi.json says what there is"
		if other.status == http.StatusMethodNotAllowed {
			text = "this takes " + other.header.Get("Allow") + " only"
		}
		refuse(w, other.status, text)
	})
}

// isHealth reports whether a path is what a load balancer asks for.
func isHealth(path string) bool { return path == "/healthz" || path == "/readyz" }

// isForPrograms reports whether a path is not of the page.
func isForPrograms(path string) bool {
	switch path {
	case "/openapi.json", "/v1", "/hooks":
		return true
	}
	return isHealth(path) || strings.HasPrefix(path, "/v1/") || strings.HasPrefix(path, "/hooks/")
}

// statusOnly keeps what a handler says without its body.
type statusOnly struct {
	header http.Header
	status int
}

func (o *statusOnly) Header() http.Header         { return o.header }
func (o *statusOnly) Write(p []byte) (int, error) { return len(p), nil }
func (o *statusOnly) WriteHeader(status int)      { o.status = status }

// guard refuses what no handler should see.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if !s.origins.knows(r) {
			refuse(w, http.StatusMisdirectedRequest, "this server does not go by the name in the Host header; its operator can name it with --origin")
			return
		}
		if !isSafe(r.Method) && !s.origins.allows(r) { // more exact than what looks at hosts only
			refuseOrigin(w, r)
			return
		}
		if host, ok := ownOrigin(r); ok { // for the next check, which compares bytes
			copied := *r
			copied.Host = host
			r = &copied
		}
		next.ServeHTTP(w, r)
	})
}

// isSafe reports whether a method changes nothing: RFC 9110, section 9.2.1.
func isSafe(method string) bool {
	return method == http.MethodGet || method == http.MethodHead || method == http.MethodOptions
}

func refuseOrigin(w http.ResponseWriter, r *http.Request) { writeProblem(w, originProblem(r)) }

func originProblem(r *http.Request) *Problem {
	status := http.StatusForbidden
	detail := "pages of this origin may not use this server; its operator can allow it with --origin"
	if r.Header.Get("Origin") == "" {
		detail = "this is for pages, and the request has no Origin header; a program sends a token instead, as Authorization: Bearer TOKEN"
	}
	return &Problem{Title: http.StatusText(status), Status: status, Detail: detail}
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	io.WriteString(w, "ok\n")
}

// readyz says whether new clients should come.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if s.isDraining() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	if s.config.Refusing != nil {
		if reason := s.config.Refusing(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
	}
	io.WriteString(w, "ready\n")
}

func (s *Server) openapi(w http.ResponseWriter, _ *http.Request) {
	p := &s.programs
	p.writing.Do(func() { p.document, p.err = json.MarshalIndent(p.openAPI, "", "  ") })
	if p.err != nil { // cannot happen: a test makes the document
		s.writeProblem(w, s.problemOf(fmt.Errorf("write the OpenAPI document: %w", p.err)))
		return
	}
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	w.Write(p.document)
}

func socketOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "open-socket", Method: http.MethodGet, Path: "/v1/socket", Security: toReaders.security(),
		Summary:     "Speak kaban/1 over WebSocket",
		Description: "The protocol kaban/1, one frame in each text message. docs/protocol.md describes it. With a credential, hello needs a version only and is the account's; a token in hello wins over the cookie. A cookie needs an Origin header: the server's own, or one of --origin.",
		Responses: map[string]*huma.Response{
			"101": {Description: "The connection speaks WebSocket from here on."}, "400": {Description: "The request is not a handshake."},
			"401": problemResponse("The credential is not valid."), "403": problemResponse("The page has another origin, or the account is suspended."),
			"503": problemResponse("The server is shutting down, or its database is away."),
		},
	}
}

func healthOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "healthz", Method: http.MethodGet, Path: "/healthz", Summary: "Ask whether the server is alive",
		Responses: map[string]*huma.Response{"200": textResponse("It is.")},
	}
}

func readyOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Summary: "Ask whether the server accepts new clients",
		Responses: map[string]*huma.Response{"200": textResponse("It does."), "503": textResponse("It is shutting down, or refuses messages because its disk is full.")},
	}
}

func textResponse(description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{"text/plain": {Schema: textSchema()}}}
}

func problemResponse(description string) *huma.Response {
	return &huma.Response{Description: description, Content: map[string]*huma.MediaType{problemType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}}}
}

func parameter(name, in, description string, schema *huma.Schema) *huma.Param {
	return &huma.Param{Name: name, In: in, Required: in == "path", Description: description, Schema: schema}
}

func textSchema() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

func eventsOperation() *huma.Operation {
	return &huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/v1/rooms/{room}/events", Security: toReaders.security(),
		Summary:     "Follow a room",
		Description: "Server-sent events: joined first, then message, edit, delete, react, pin, member, topic, room, presence, resync, parted and goodbye. The data of each event is a frame of kaban/1. The id of an entry is its epoch and seq, so a client that reconnects with Last-Event-ID misses nothing. A stream ends with its credential and with the right to read. If the log cannot be continued from there, the stream sends resync and continues at the head. An event of another name with an id is an entry of a kind to come; ignore it.",
		Parameters: []*huma.Param{
			parameter("room", "path", "The room's name.", textSchema()),
			parameter("after", "query", "Start after the message with this seq. Without it the stream starts with new messages.", number{}.Schema(nil)),
			parameter("epoch", "query", "The epoch that after belongs to.", textSchema()),
			parameter("Last-Event-ID", "header", "The id of the last event that the client received. It takes precedence over after and epoch.", textSchema()),
		},
		Responses: map[string]*huma.Response{
			"200": {Description: "The stream.", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: textSchema()}}},
			"400": problemResponse("A parameter is invalid."), "401": problemResponse("The server takes no visitors, or the credential is not valid."),
			"403": problemResponse("The room may not be read."), "404": problemResponse("There is no such room."), "500": problemResponse("The server failed."), "503": problemResponse("The server has reached its limit of streams."),
		},
	}
}

func hookOperation() *huma.Operation {
	slack := &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true,
		Properties: map[string]*huma.Schema{
			"text":        {Type: huma.TypeString, Description: "The message."},
			"username":    {Type: huma.TypeString, Description: "The author. Characters that names cannot have are removed. If nobody can have the name, the hook's own name is used."},
			"attachments": {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}, Description: "Flattened into lines."},
		},
	}
	form := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"payload": {Type: huma.TypeString, Description: "The JSON."}}}
	return &huma.Operation{
		OperationID: "post-to-hook", Method: http.MethodPost, Path: "/hooks/{key}",
		Summary:     "Send a message in Slack's format",
		Description: "For programs that can send to incoming webhooks of Slack. The operator creates a key with \"kaban hook add ROOM\".",
		Parameters:  []*huma.Param{parameter("key", "path", "The key, which is a secret.", textSchema())},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			jsonType: {Schema: slack}, "application/x-www-form-urlencoded": {Schema: form},
		}},
		Responses: map[string]*huma.Response{
			"200": textResponse("The message is stored."), "400": problemResponse("The message is invalid."), "403": problemResponse("The page has another origin, or the hook may not send there."),
			"404": problemResponse("There is no such hook, or its room is gone."), "413": problemResponse("The message is too long."),
			"500": problemResponse("The server failed."), "503": problemResponse("The server is shutting down, too busy, or its database is away."), "507": problemResponse("The server's disk is full."),
		},
	}
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == jsonType
}

// problemIn is an error that is a problem already, or one as a problem.
func (s *Server) problemIn(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	return s.problemOf(err)
}

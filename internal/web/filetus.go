package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kaban/internal/chat"
	"kaban/internal/files"
	"kaban/internal/files/keep"
	"kaban/internal/files/tus"
	"kaban/internal/files/upload"
	"kaban/wire"
)

// newTus returns the handler of uploads that can be resumed; nil if the server keeps no files.
func (s *Server) newTus() (http.Handler, error) {
	if s.config.Files == nil {
		return nil, nil
	}
	return tus.New(tus.Config{
		Staging: s.config.Files.Uploads(),
		Path:    s.config.BasePath + uploadsPath,
		Owner: func(ctx context.Context) (string, error) {
			by := whoOf(ctx)
			if !by.isAccount() {
				return "", chat.ErrAuthRequired
			}
			return by.principal.Account.ID, nil
		},
		Begin:  s.beginUpload,
		Done:   s.finishUpload,
		Refuse: s.refuseUpload,
		Log:    s.config.Log,
	})
}

// beginUpload decides about an upload before it is created.
func (s *Server) beginUpload(ctx context.Context, draft upload.Draft) error {
	if err := keep.CheckAlt(draft.Meta[keep.AltKey]); err != nil {
		return err
	}
	return s.mayUpload(ctx, whoOf(ctx), draft.Length)
}

// finishUpload makes a file of an upload, and returns the headers that say so.
func (s *Server) finishUpload(ctx context.Context, info upload.Info, staged files.Staged) (http.Header, error) {
	f, err := s.keepFile(ctx, whoOf(ctx), info, staged)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	h.Set("Kaban-File", f.ID)
	h.Set("Kaban-Name", url.PathEscape(f.Name))
	h.Set("Kaban-Size", strconv.FormatInt(f.Size, 10))
	h.Set("Kaban-Type", f.Type)
	if f.Width > 0 {
		h.Set("Kaban-Width", strconv.Itoa(f.Width))
		h.Set("Kaban-Height", strconv.Itoa(f.Height))
	}
	return h, nil
}

// refuseUpload returns what a client of tus is told about an error. What package tus knows it says
// itself.
func (s *Server) refuseUpload(err error) (tus.Refusal, bool) {
	_, ours := errors.AsType[*Problem](err)
	if !ours && tus.Refuse(err).Status != http.StatusInternalServerError && !errors.Is(err, files.ErrNoSpace) {
		return tus.Refusal{}, false
	}
	p := s.fileProblem(err)
	final := slices.Contains([]wire.Code{wire.CodeTooLarge, wire.CodeQuotaExceeded, wire.CodeBadType, wire.CodeForbidden}, wire.Code(p.Code))
	code := p.Code
	if p.Max != nil && p.Actual != nil {
		code = fmt.Sprintf(numberedCode, code, *p.Max, *p.Actual)
	}
	return tus.Refusal{Status: p.Status, Code: code, Message: p.Detail, Final: final}, true
}

// numberedCode is a code with the limit and the value of its problem: tusd passes on nothing but
// two texts. Codes have no blanks.
const numberedCode = "%s %d %d"

// resumeUpload is any request about an upload that can be resumed.
func (s *Server) resumeUpload(w http.ResponseWriter, r *http.Request) {
	by, ok := s.admit(toAccounts, w, r)
	if !ok {
		return
	}
	if err := s.mayUpload(r.Context(), by, -1); err != nil {
		s.writeProblem(w, s.fileProblem(err))
		return
	}
	id := r.PathValue("id")
	if info, err := s.config.Files.Uploads().Info(id); err != nil || info.Owner != by.principal.Account.ID {
		s.writeProblem(w, problem(wire.CodeNotFound, "there is no such upload"))
		return
	}
	var own *place
	if r.Method == http.MethodPatch {
		var err error
		if own, err = s.uploads.enter(by.transferKey()); err != nil {
			s.writeProblem(w, s.problemIn(err))
			return
		}
		defer own.leave()
	}
	s.serveTus(w, r, "/"+id, own)
}

// uploadOptions says what can be done with uploads, to whoever may ask anything.
func (s *Server) uploadOptions(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.admit(toAnybody|stores, w, r); !ok {
		return
	}
	h := w.Header()
	h.Set("Tus-Version", "1.0.0")
	h.Set("Tus-Resumable", "1.0.0")
	h.Set("Tus-Extension", "creation,creation-with-upload,termination")
	if limits, err := s.chat.FileLimits(r.Context()); err == nil && limits.File > 0 {
		h.Set("Tus-Max-Size", strconv.FormatInt(limits.File, 10))
	}
	w.WriteHeader(http.StatusNoContent)
}

// serveTus hands a request on to the handler of uploads. One that brings bytes has a place of its own.
func (s *Server) serveTus(w http.ResponseWriter, r *http.Request, path string, own *place) {
	answer := &tusAnswer{ResponseWriter: w, server: s}
	if own == nil {
		answer.body = streamBody(r)
	} else {
		var end func()
		answer.body, end = s.receive(r, whoOf(r.Context()), own)
		defer end()
	}
	inner := r.WithContext(r.Context())
	inner.URL = &url.URL{Path: path}
	s.tus.ServeHTTP(answer, inner)
	answer.finish()
}

// errInterrupted means that tusd wants no more of a body.
var errInterrupted = errors.New("another request goes on with the upload")

// tusAnswer makes problems of the errors of tusd, and keeps its deadlines from what it writes to:
// the body has its own, and the answer comes when the file is kept, which may take minutes.
type tusAnswer struct {
	http.ResponseWriter
	server *Server
	body   *body // nil: there is none
	status int   // of an error that waits for its text
}

// Unwrap is for http.ResponseController.
func (a *tusAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// SetReadDeadline is for http.ResponseController. A time that has come ends the body.
func (a *tusAnswer) SetReadDeadline(t time.Time) error {
	if a.body != nil && !t.IsZero() && !t.After(time.Now()) {
		a.body.cut(errInterrupted)
	}
	return nil
}

// SetWriteDeadline is for http.ResponseController.
func (a *tusAnswer) SetWriteDeadline(time.Time) error { return nil }

// WriteHeader implements http.ResponseWriter.
func (a *tusAnswer) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		a.status = status
		return
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (a *tusAnswer) Write(p []byte) (int, error) {
	if a.status == 0 {
		return a.ResponseWriter.Write(p)
	}
	a.refuse(string(p))
	return len(p), nil
}

// finish sends an error without a text, as for HEAD.
func (a *tusAnswer) finish() {
	if a.status != 0 {
		a.refuse("")
	}
}

// refuse sends an error whose text is "CODE: message".
func (a *tusAnswer) refuse(text string) {
	code, message, ok := strings.Cut(strings.TrimSpace(text), ": ")
	if !ok {
		code, message = "", http.StatusText(a.status)
	}
	var limit, actual int
	n, _ := fmt.Sscanf(code, numberedCode, &code, &limit, &actual)
	p := tusProblem(a.status, code, message)
	if n == 3 {
		p.Max, p.Actual = &limit, &actual
	}
	if why := a.body.whyCut(); why != nil && why != errInterrupted {
		p = a.server.cutProblem(why)
	}
	a.status = 0
	a.Header().Del("Content-Length")
	a.server.writeProblem(a.ResponseWriter, p)
}

// tusCodes are the codes for those of tusd. Others are only of HTTP.
var tusCodes = map[string]wire.Code{
	"ERR_UPLOAD_NOT_FOUND": wire.CodeNotFound, "ERR_MAX_SIZE_EXCEEDED": wire.CodeTooLarge, "ERR_UPLOAD_SIZE_EXCEEDED": wire.CodeTooLarge,
	"ERR_INVALID_UPLOAD_LENGTH": wire.CodeBadField, "ERR_INVALID_OFFSET": wire.CodeBadField,
	"ERR_READ_TIMEOUT": wire.CodeUnavailable, "ERR_CONNECTION_RESET": wire.CodeUnavailable, "ERR_LOCK_TIMEOUT": wire.CodeUnavailable,
	"ERR_INTERNAL_SERVER_ERROR": wire.CodeInternal,
}

// tusProblem returns a refusal of packages tus and upload as a problem.
func tusProblem(status int, code, message string) *Problem {
	known, ok := tusCodes[code]
	if !ok && slices.Contains(wire.Codes(), wire.Code(code)) {
		known, ok = wire.Code(code), true
	}
	if !ok {
		return &Problem{Title: http.StatusText(status), Status: status, Detail: message}
	}
	p := problem(known, message)
	switch known {
	case wire.CodeUnavailable, wire.CodeStorageFull, wire.CodeRateLimited:
		p.RetryAfter = new(comeBack.Milliseconds())
	case wire.CodeInternal:
		p.Detail = "the upload failed: try again later"
	}
	return p
}

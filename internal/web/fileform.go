package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"sync"

	"kaban"
	"kaban/internal/files"
	"kaban/internal/files/keep"
	"kaban/internal/files/tus"
	"kaban/internal/files/upload"
	"kaban/wire"
)

const (
	formData = "multipart/form-data"
	// maxParts is how many parts a form may have beside the file.
	maxParts = 8
	// maxPartHead bounds the header of a part, in bytes, with what is read ahead.
	maxPartHead = 16 << 10
	// maxAltBytes bounds the field alt, in bytes.
	maxAltBytes = kaban.MaxFileAlt * 4
	// formSlack is how many bytes a form may have beside its file, as far as its length tells.
	formSlack = 64 << 10
)

// postFile takes a file: all of it in a form, or the beginning of an upload that can be resumed.
func (s *Server) postFile(w http.ResponseWriter, r *http.Request) {
	by, ok := s.admit(toAccounts, w, r)
	if !ok {
		return
	}
	if err := s.mayUpload(r.Context(), by, -1); err != nil {
		s.writeProblem(w, s.fileProblem(err))
		return
	}
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	isForm := err == nil && media == formData
	if !isForm && r.Header.Get("Tus-Resumable") == "" {
		s.writeProblem(w, problem(wire.CodeBadType, "send the file as "+formData+", or with the protocol tus 1.0"))
		return
	}
	if err := s.limitUpload(by); err != nil { // before it could take the place of another upload
		s.writeProblem(w, s.fileProblem(err))
		return
	}
	own, err := s.uploads.enter(by.transferKey())
	if err != nil {
		s.writeProblem(w, s.fileProblem(err))
		return
	}
	defer own.leave()
	if !isForm {
		s.serveTus(w, r, "/", own)
		return
	}
	f, err := s.takeForm(r, by, own)
	if err != nil {
		s.writeProblem(w, s.fileProblem(err))
		return
	}
	body, err := json.Marshal(f)
	if err != nil {
		s.writeProblem(w, s.problemOf(err))
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(http.StatusCreated)
	w.Write(append(body, '\n'))
}

// form is a file that comes in a form.
type form struct {
	server *Server
	ctx    context.Context
	by     *who
	alt    string
	info   upload.Info
	staged files.Staged
}

// receive has the body of an upload streamed from here on: others may be given its place, and whoever
// sends it may lose the right to. end notes that nothing more of it is wanted.
func (s *Server) receive(r *http.Request, by *who, own *place) (b *body, end func()) {
	if b = streamBody(r); b == nil {
		return nil, func() {}
	}
	own.give(b)
	asking := s.recheckUpload(r.Context(), by, b)
	b.onOver = sync.OnceFunc(func() {
		asking.end()
		own.keep()
	})
	return b, b.onOver
}

// takeForm takes the file of a form, whose parts may come in any order. The error has a problem for
// what the form is to blame for; what Keep returns has not.
func (s *Server) takeForm(r *http.Request, by *who, own *place) (kaban.File, error) {
	// The client may declare any length. One that is too much for any file in it is refused before
	// a byte is read.
	if err := s.mayUpload(r.Context(), by, max(r.ContentLength-formSlack, 1)); err != nil {
		return kaban.File{}, err
	}
	_, end := s.receive(r, by, own)
	defer end()
	heads := &headReader{ReadCloser: r.Body}
	r.Body = heads
	parts, err := r.MultipartReader()
	if err != nil {
		return kaban.File{}, badForm("the body is no form: its Content-Type has no boundary")
	}
	f := &form{server: s, ctx: r.Context(), by: by}
	err = f.read(parts, heads)
	end()
	if f.info.ID != "" {
		defer func() {
			if err := s.config.Files.Uploads().Remove(f.info.ID); err != nil {
				s.config.Log.Warn("an upload that is done is there for longer", "error", upload.WithoutID(err))
			}
		}()
	}
	if err == nil && f.info.ID == "" {
		err = fieldProblem(wire.CodeMissingField, "file", "file: the form has no part with this name")
	}
	if err != nil {
		return kaban.File{}, s.formProblem(err)
	}
	f.info.Meta = map[string]string{keep.AltKey: f.alt}
	return s.keepFile(r.Context(), by, f.info, f.staged)
}

// keepFile makes a file of an upload that is complete.
func (s *Server) keepFile(ctx context.Context, by *who, info upload.Info, staged files.Staged) (kaban.File, error) {
	if err := by.renew(ctx); err != nil { // the body may have taken hours
		return kaban.File{}, err
	}
	kept, err := s.config.Files.Keep(ctx, by.user(), info, staged)
	if err != nil {
		return kaban.File{}, by.because(ctx, err)
	}
	return answerOf(&kept), nil
}

// read reads all parts.
func (f *form) read(parts *multipart.Reader, heads *headReader) error {
	for range maxParts {
		heads.left = maxPartHead
		part, err := parts.NextRawPart()
		switch {
		case err == io.EOF:
			return nil
		case heads.left == 0:
			return badForm(fmt.Sprintf("a part of the form has a header of more than %d bytes", maxPartHead))
		case err != nil:
			return brokenForm()
		}
		heads.left = -1
		switch part.FormName() {
		case "file":
			err = f.takeFile(part)
		case "alt":
			err = f.takeAlt(part)
		default:
			err = fieldProblem(wire.CodeBadField, shortName(part.FormName()), fmt.Sprintf("there is no field %q", shortName(part.FormName())))
		}
		if err != nil {
			return err
		}
	}
	return badForm(fmt.Sprintf("the form has more than %d parts", maxParts))
}

// headReader is a body that gives only so much for the header of a part. Package multipart
// keeps up to 10 MiB of one in memory.
type headReader struct {
	io.ReadCloser
	left int // how much is left; negative within a part
}

// Read implements io.Reader.
func (h *headReader) Read(p []byte) (int, error) {
	if h.left < 0 {
		return h.ReadCloser.Read(p)
	}
	n, err := h.ReadCloser.Read(p[:min(len(p), h.left)])
	if h.left -= n; h.left == 0 && err == nil {
		err = errLongHead
	}
	return n, err
}

// errLongHead ends a form whose part has a header that is too long.
var errLongHead = errors.New("the header of a part is too long")

func (f *form) takeFile(part *multipart.Part) (err error) {
	if f.info.ID != "" {
		return fieldProblem(wire.CodeBadField, "file", "file: send one file in a form")
	}
	if f.alt != "" {
		if err := keep.CheckAlt(f.alt); err != nil {
			return err
		}
	}
	draft := upload.Draft{Owner: f.by.principal.Account.ID, Length: upload.Unknown, Name: part.FileName()}
	from := &bounded{Reader: part, ctx: f.ctx, by: f.by, mayUpload: f.server.mayUpload}
	f.info, f.staged, err = f.server.config.Files.Uploads().Take(f.ctx, draft, from)
	return err
}

func (f *form) takeAlt(part *multipart.Part) error {
	alt, err := io.ReadAll(io.LimitReader(part, maxAltBytes+1))
	if err != nil {
		return brokenForm()
	}
	if len(alt) > maxAltBytes {
		return fieldProblem(wire.CodeBadField, keep.AltKey, fmt.Sprintf("alt: it has more than %d characters", kaban.MaxFileAlt))
	}
	f.alt = string(alt)
	return keep.CheckAlt(f.alt)
}

func badForm(text string) *Problem {
	return &Problem{Title: http.StatusText(http.StatusBadRequest), Status: http.StatusBadRequest, Detail: text}
}

// brokenForm says that a form could not be read on: it is none, it ends early, or it does not come.
func brokenForm() *Problem {
	return badForm("the body is no form, or it did not come as a whole; nothing was stored, send it again")
}

// formProblem is why a form was not read to its end, or what it has was not staged.
func (s *Server) formProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if cut, ok := errors.AsType[*cutError](err); ok {
		return s.cutProblem(cut.why)
	}
	if isBodyError(err) {
		return brokenForm()
	}
	if refusal := tus.Refuse(err); refusal.Status != http.StatusInternalServerError && !errors.Is(err, files.ErrNoSpace) {
		return tusProblem(refusal.Status, refusal.Code, refusal.Message)
	}
	return s.fileProblem(err)
}

// cutProblem is why an upload was cut.
func (s *Server) cutProblem(why error) *Problem {
	if errors.Is(why, errCrowded) {
		return laterOn(wire.CodeUnavailable, "the server has as many uploads as it takes, and others had none; go on later")
	}
	return s.fileProblem(why)
}

package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/files"
	"kaban/internal/files/keep"
	"kaban/internal/people"
	"kaban/wire"
)

// Paths of files. The address of an upload that can be resumed is not below filesPath: ids of files
// are.
const (
	filesPath   = "/v1/files"
	uploadsPath = "/v1/uploads"
)

// errNoFiles means that the server keeps no files.
var errNoFiles = &Problem{
	Title: http.StatusText(http.StatusServiceUnavailable), Status: http.StatusServiceUnavailable, Code: string(wire.CodeUnavailable),
	Detail: "this server keeps no files, because it has no data directory",
}

// getFile serves the bytes of a file.
func (s *Server) getFile(w http.ResponseWriter, r *http.Request) {
	s.serveFile(w, r, func(ctx context.Context, f *people.File) (io.ReadSeekCloser, files.Served, error) {
		return s.config.Files.Open(ctx, f)
	})
}

// getThumbnail serves a small picture of a file.
func (s *Server) getThumbnail(w http.ResponseWriter, r *http.Request) {
	s.serveFile(w, r, func(ctx context.Context, f *people.File) (io.ReadSeekCloser, files.Served, error) {
		return s.config.Files.OpenThumbnail(ctx, f)
	})
}

// serveFile serves what a function opens of a file that whoever asks may have now. Whoever takes
// nothing of it for long is gone (connection.Write), and asks for the rest.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, open func(context.Context, *people.File) (io.ReadSeekCloser, files.Served, error)) {
	by, ok := s.admit(toReaders, w, r)
	if !ok {
		return
	}
	if s.config.Files == nil {
		s.writeProblem(w, errNoFiles)
		return
	}
	own, err := s.downloads.enter(by.transferKey())
	if err != nil {
		s.writeProblem(w, s.problemIn(err))
		return
	}
	defer own.leave()
	f, bytes, served, err := s.openFile(r.Context(), by, r.PathValue("id"), open)
	if err != nil {
		if exceeded := s.limitGuess(r, by); exceeded != nil {
			err = exceeded
		}
		s.writeProblem(w, s.fileProblem(err))
		return
	}
	defer bytes.Close()
	defer s.recheckDownload(r.Context(), w, by, &f).end()
	files.Headers(w.Header(), served)
	refuseEmptyRange(r)
	http.ServeContent(&fileAnswer{ResponseWriter: w, server: s}, r, "", time.Time{}, bytes)
}

// limitGuess counts a request for a file that there is not. identify has not counted it, because it
// looked like a download.
func (s *Server) limitGuess(r *http.Request, by *who) error {
	if !isDownload(r) {
		return nil
	}
	return s.limitRequest(by)
}

// refuseEmptyRange has the last 0 bytes of a file refused, as RFC 9110, section 14.1.2, wants it:
// package http answers with a part that begins behind the end.
func refuseEmptyRange(r *http.Request) {
	const none = "bytes=-"
	if last, ok := strings.CutPrefix(r.Header.Get("Range"), none); ok && last != "" && strings.Trim(last, "0") == "" {
		r.Header.Set("Range", "bytes="+strconv.FormatInt(math.MaxInt64, 10)+"-")
	}
}

// fileAnswer makes problems of the errors of http.ServeContent.
type fileAnswer struct {
	http.ResponseWriter
	server    *Server
	isRefused bool // the rest is the text of an error
}

// Unwrap is for http.ResponseController.
func (a *fileAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// ReadFrom implements io.ReaderFrom: the system sends files.
func (a *fileAnswer) ReadFrom(source io.Reader) (int64, error) {
	return io.Copy(a.ResponseWriter, source)
}

// WriteHeader implements http.ResponseWriter.
func (a *fileAnswer) WriteHeader(status int) {
	text := ""
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		text = "the file has no such part; Content-Range says how long it is"
	case http.StatusPreconditionFailed:
		text = "the file is another one; its ETag has changed"
	default:
		if status < http.StatusBadRequest {
			a.ResponseWriter.WriteHeader(status)
			return
		}
		text = "the file could not be read; try again later"
	}
	a.isRefused = true
	for _, name := range []string{"Content-Length", "Content-Disposition", "Content-Encoding"} {
		a.Header().Del(name)
	}
	a.Header().Set("Cache-Control", "no-store")
	a.server.writeProblem(a.ResponseWriter, &Problem{Title: http.StatusText(status), Status: status, Detail: text})
}

// Write implements io.Writer.
func (a *fileAnswer) Write(p []byte) (int, error) {
	if a.isRefused {
		return len(p), nil
	}
	return a.ResponseWriter.Write(p)
}

// slowOpen is how long opening a file may take before it is asked again whether whoever asks may have it. A
// thumbnail may have to be made, and a service of files be slow.
const slowOpen = 100 * time.Millisecond

func (s *Server) openFile(ctx context.Context, by *who, id string, open func(context.Context, *people.File) (io.ReadSeekCloser, files.Served, error)) (f people.File, bytes io.ReadSeekCloser, served files.Served, err error) {
	if !kaban.IsFileID(id) {
		return f, nil, served, chat.ErrNoFile
	}
	if f, err = by.user().File(ctx, id); err != nil {
		return f, nil, served, err
	}
	start := time.Now()
	bytes, served, err = open(ctx, &f)
	if err != nil || time.Since(start) < slowOpen {
		return f, bytes, served, err
	}
	if err := mayDownload(ctx, by, &f); err != nil {
		return f, nil, served, errors.Join(err, bytes.Close())
	}
	return f, bytes, served, nil
}

// fileProblem is an error of a file or an upload as a problem.
func (s *Server) fileProblem(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	if tooLarge, ok := errors.AsType[*chat.FileTooLargeError](err); ok {
		p := s.problemOf(err)
		p.Max, p.Actual = new(int(tooLarge.Limit)), new(int(tooLarge.Size))
		return p
	}
	if quota, ok := errors.AsType[*chat.QuotaError](err); ok {
		p := s.problemOf(err)
		p.Max, p.Actual = new(int(quota.Limit)), new(int(quota.Used+quota.Size))
		return p
	}
	switch {
	case errors.Is(err, keep.ErrNoThumbnail):
		return problem(wire.CodeNotFound, "this file has no thumbnail; only pictures that the server shows have one")
	case errors.Is(err, keep.ErrBadPicture):
		return problem(wire.CodeBadType, "this file says that it is a picture or a film, and is broken in such a way that nobody can tell what else is in it")
	case errors.Is(err, files.ErrNoSpace):
		return s.laterProblem(wire.CodeStorageFull, "the server's disk is full; try again later", err)
	case errors.Is(err, keep.ErrPicture):
		return s.laterProblem(wire.CodeUnavailable, "the server could not prepare the picture; try again later", err)
	}
	if _, ok := errors.AsType[*files.UnreachableError](err); ok {
		return s.laterProblem(wire.CodeUnavailable, "the server cannot reach its files at the moment; try again later", err)
	}
	return s.problemOf(err)
}

// laterProblem is for what the operator should know of, and may go well later.
func (s *Server) laterProblem(code wire.Code, text string, err error) *Problem {
	s.config.Log.Warn("a file could not be kept or served", "code", string(code), "error", err)
	p := problem(code, text)
	p.RetryAfter = new(comeBack.Milliseconds())
	return p
}

// fileOperations are those on files that are no bytes.
func (s *Server) fileOperations(api huma.API) {
	asks(s, api, toAccounts, describeOperation(), s.describeFile)
}

type fileDescription struct {
	Alt string `json:"alt" maxLength:"500" doc:"The description, in one line. Empty: none."`
}

type describeInput struct {
	JSON[fileDescription]
	ID string `path:"id" doc:"The id of the file."`
}

// describeFile changes the description of a file that no message has yet.
func (s *Server) describeFile(ctx context.Context, by *who, in *describeInput) (File, error) {
	body, err := in.read(s)
	if err != nil {
		return File{}, err
	}
	if err := keep.CheckAlt(body.Alt); err != nil {
		return File{}, err
	}
	f, err := by.user().DescribeFile(ctx, in.ID, keep.CleanAlt(body.Alt))
	if err != nil {
		return File{}, err
	}
	return File(answerOf(&f)), nil
}

// answerOf returns what a client is told of a file of its own.
func answerOf(f *people.File) kaban.File { return f.OfMessage() }

// mayUpload returns why somebody may not upload so many bytes; see chat.User.MayUpload.
func (s *Server) mayUpload(ctx context.Context, by *who, size int64) error {
	if err := by.user().MayUpload(ctx, size); err != nil {
		return err
	}
	if s.config.Files == nil {
		return errNoFiles
	}
	return nil
}

// bounded is the bytes of an upload whose size nobody has declared. It asks again and again whether
// there may be as many.
type bounded struct {
	io.Reader
	ctx       context.Context
	by        *who
	read      int64
	next      int64 // when it asks
	mayUpload func(context.Context, *who, int64) error
}

// askEvery is after how many bytes it asks.
const askEvery = 1 << 20

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &bodyError{err}
	}
	if b.read += int64(n); b.read < b.next {
		return n, err
	}
	b.next = b.read + askEvery
	refused := b.by.still(b.ctx, func() error { return b.mayUpload(b.ctx, b.by, b.read) })
	if refused != nil {
		return 0, fmt.Errorf("after %d bytes: %w", b.read, refused)
	}
	return n, err
}

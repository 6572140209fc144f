// Package tus lets clients upload files that they can resume, by tus 1.0 with its extensions
// creation, creation-with-upload and termination (https://tus.io/protocols/resumable-upload),
// with the handler of tusd over package upload.
//
// An upload is complete for its client only after Config.Done has returned: until then
// its last byte counts as missing, so a client that is refused there, or whose answer was
// lost in a crash, sends that byte again and Done is called again. An empty file has no
// last byte: any request for it calls Done. What is refused for good is removed. Once Done has returned, every HEAD and PATCH at
// the end gets its headers, for as long as the upload is remembered.
//
// Of two requests for one upload at once the later one ends the earlier, which is usually
// what a lost connection has left, and then continues where that has ended.
//
// The handler knows nothing of CORS, of the headers of proxies, of downloads, or of
// X-HTTP-Method-Override: a POST is never a DELETE.
package tus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/v2/pkg/handler"
	tusdlog "golang.org/x/exp/slog"

	"kaban/internal/files"
	"kaban/internal/files/upload"
)

const (
	// networkTimeout is how long a client may send nothing of a body.
	networkTimeout = 60 * time.Second
	// lockTimeout is how long a request waits for the one before to end.
	lockTimeout = 10 * time.Second
	// lostTimeout is how long after a request tusd keeps a goroutine and its context. Nothing here
	// needs them.
	lostTimeout = 100 * time.Millisecond
	// doneTimeout is how long Config.Done may take. It goes on when the client is gone, which may
	// come back for the result.
	doneTimeout = 10 * time.Minute
)

// nameKeys are the keys of metadata that clients give a name under.
var nameKeys = []string{"filename", "name"}

// Config is what a handler needs.
type Config struct {
	Staging *upload.Staging
	// MaxSize is the limit of an upload in bytes that clients are told.
	MaxSize int64
	// Path is that of the handler, from the root of the server: uploads are at Path/ID.
	Path string
	// Owner returns whose uploads the request of a context is about: of others, it finds none.
	Owner func(context.Context) (string, error)
	// Begin, if not nil, is called with each upload before it is created. Its error refuses that.
	Begin func(context.Context, upload.Draft) error
	// Done is called with each upload that is complete, before its client is told. When it
	// returns nil, what the upload was for must be done, and durable. It may be called again for the
	// same upload, after an error or a crash, but not meanwhile. The headers go to the client, the first
	// value of each; they have the bounds of upload.Staging.Settle. The upload is settled
	// afterwards. Until then it is busy, and does not expire.
	Done func(context.Context, upload.Info, files.Staged) (http.Header, error)
	// Refuse returns what a client is told about an error, and logs what an operator should know of; nil, or
	// false: this package does both.
	Refuse func(error) (Refusal, bool)
	Log    *slog.Logger // nil: none
}

// Refusal is an answer to a client.
type Refusal struct {
	Status        int
	Code, Message string
	// Final means that the upload would be refused again: if Config.Done has refused it, it is
	// removed at once, and does not take room until it expires.
	Final bool
}

// New returns the handler of the path. Call it with requests that have been authenticated, and
// strip the path from them (http.StripPrefix). The response must support the deadlines
// of http.ResponseController.
func New(c Config) (http.Handler, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &store{c, &locker{held: make(map[string]*holding)}}
	composer := handler.NewStoreComposer()
	composer.UseCore(s)
	composer.UseTerminater(s)
	composer.UseLocker(s.locker)
	h, err := handler.NewHandler(handler.Config{
		StoreComposer:   composer,
		MaxSize:         c.MaxSize,
		BasePath:        strings.TrimSuffix(c.Path, "/") + "/",
		DisableDownload: true,
		Cors:            &handler.CorsConfig{Disable: true},
		// It logs each request with the address of the upload, which is as good as a secret.
		// What goes wrong is logged here.
		Logger:                           tusdlog.New(tusdlog.NewTextHandler(io.Discard, &tusdlog.HandlerOptions{Level: tusdlog.LevelError + 1})),
		NetworkTimeout:                   networkTimeout,
		AcquireLockTimeout:               lockTimeout,
		GracefulRequestCompletionTimeout: lostTimeout,
		PreFinishResponseCallback:        s.done,
	})
	if err != nil {
		return nil, fmt.Errorf("make the handler of uploads: %w", err)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("X-HTTP-Method-Override")
		h.ServeHTTP(&response{w, s, r.Method, path.Base(r.URL.Path)}, r)
	}), nil
}

// response makes the address of a new upload relative to the server: tusd takes its scheme
// and host from the request, which a proxy may have changed. It adds the answer of an upload
// that is settled, which tusd reports as complete without asking anybody.
type response struct {
	http.ResponseWriter
	store      *store
	method, id string
}

func (r *response) WriteHeader(status int) {
	// tusd has checked by now whose upload it is.
	if status < 300 && (r.method == http.MethodHead || r.method == http.MethodPatch) {
		if info, err := r.store.Staging.Info(r.id); err == nil && info.Settled {
			for name, value := range info.Answer {
				r.Header().Set(name, value)
			}
		}
	}
	if at, err := url.Parse(r.Header().Get("Location")); err == nil && at.Host != "" {
		r.Header().Set("Location", at.EscapedPath())
	}
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// store is a handler.DataStore.
type store struct {
	Config
	locker *locker
}

// NewUpload is that of handler.DataStore.
func (s *store) NewUpload(ctx context.Context, info handler.FileInfo) (handler.Upload, error) {
	owner, err := s.Owner(ctx)
	if err != nil {
		return nil, s.refuse(err)
	}
	d := upload.Draft{Owner: owner, Length: info.Size, Meta: make(map[string]string)}
	for key, value := range info.MetaData {
		d.Meta[key] = strings.ToValidUTF8(value, "\uFFFD")
	}
	for _, key := range nameKeys {
		if name := info.MetaData[key]; d.Name == "" {
			d.Name = name
		}
		delete(d.Meta, key)
	}
	if s.Begin != nil {
		if err := s.Begin(ctx, d); err != nil {
			return nil, s.refuse(err)
		}
	}
	made, err := s.Staging.Create(d)
	if err != nil {
		return nil, s.refuse(err)
	}
	return &item{s, made.ID, true}, nil
}

// GetUpload is that of handler.DataStore.
func (s *store) GetUpload(ctx context.Context, id string) (handler.Upload, error) {
	owner, err := s.Owner(ctx)
	if err != nil {
		return nil, s.refuse(err)
	}
	info, err := s.Staging.Info(id)
	if err == nil && info.Owner != owner {
		err = upload.ErrNotFound
	}
	if err != nil {
		return nil, s.refuse(err)
	}
	return &item{s, id, false}, nil
}

// AsTerminatableUpload is that of handler.TerminaterDataStore.
func (s *store) AsTerminatableUpload(u handler.Upload) handler.TerminatableUpload { return u.(*item) }

// item is a handler.Upload.
type item struct {
	s   *store
	id  string
	new bool // its client does not know the address yet
}

// seen returns the offset of an upload as its client sees it.
func seen(info upload.Info) int64 {
	if info.Complete() && !info.Settled && info.Length > 0 {
		return info.Length - 1
	}
	return info.Offset
}

// GetInfo is that of handler.Upload. It delivers an empty file: tusd takes that for complete from
// the beginning, and looks here before it says so.
func (i *item) GetInfo(ctx context.Context) (handler.FileInfo, error) {
	info, err := i.s.Staging.Info(i.id)
	if err == nil && info.Length == 0 && !info.Settled {
		info, err = i.s.deliver(ctx, i.id)
		if err != nil && i.new {
			err = errors.Join(err, i.s.Staging.Remove(i.id)) // nobody can go on with it
		}
	}
	if err != nil {
		return handler.FileInfo{}, i.s.refuse(err)
	}
	meta := handler.MetaData{nameKeys[0]: info.Name}
	for key, value := range info.Meta {
		meta[key] = value
	}
	return handler.FileInfo{ID: i.id, Size: info.Length, Offset: seen(info), MetaData: meta}, nil
}

// WriteChunk is that of handler.Upload. It counts the last byte of a complete upload without
// writing it again.
func (i *item) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	defer i.s.locker.read(i.id)()
	info, err := i.s.Staging.Info(i.id)
	if err != nil {
		return 0, i.s.refuse(err)
	}
	if info.Complete() && offset == seen(info) && offset < info.Length {
		n, err := io.ReadFull(src, make([]byte, 1))
		if n == 0 && !errors.Is(err, io.EOF) {
			return 0, i.s.refuse(err)
		}
		return int64(n), nil
	}
	n, err := i.s.Staging.Append(ctx, i.id, offset, src)
	if err != nil {
		return n, i.s.refuse(err)
	}
	return n, nil
}

// GetReader is that of handler.Upload. Downloads are off.
func (i *item) GetReader(context.Context) (io.ReadCloser, error) {
	return nil, handler.ErrNotImplemented
}

// FinishUpload is that of handler.Upload. All is done in store.done.
func (i *item) FinishUpload(context.Context) error { return nil }

// Terminate is that of handler.TerminatableUpload.
func (i *item) Terminate(context.Context) error {
	if err := i.s.Staging.Remove(i.id); err != nil {
		return i.s.refuse(err)
	}
	return nil
}

// done delivers an upload that is complete.
func (s *store) done(event handler.HookEvent) (handler.HTTPResponse, error) {
	info, err := s.deliver(event.Context, event.Upload.ID)
	if err != nil {
		refusal := s.refusal(err)
		if refusal.Final {
			s.drop(event.Upload.ID)
		}
		return handler.HTTPResponse{}, refusal.asError()
	}
	answer := handler.HTTPResponse{Header: make(handler.HTTPHeader)}
	for name, value := range info.Answer {
		answer.Header[name] = value
	}
	return answer, nil
}

// deliver hands an upload on to Done, unless it is settled. It goes on when the client is gone.
func (s *store) deliver(ctx context.Context, id string) (upload.Info, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), doneTimeout)
	defer cancel()
	return s.Staging.Deliver(ctx, id, func(info upload.Info, staged files.Staged) (map[string]string, error) {
		headers, err := s.Done(ctx, info, staged)
		if err != nil {
			return nil, &doneError{err}
		}
		answer := make(map[string]string)
		for name := range headers {
			answer[name] = headers.Get(name)
		}
		return answer, nil
	})
}

// doneError is an error of Config.Done. All bytes have come by then: whatever it looks like, it does not
// mean that the client is gone.
type doneError struct{ error }

func (e *doneError) Unwrap() error { return e.error }

// refuse returns an error that tusd sends to the client. It would send the text of any other, with
// paths of files. It logs what is the server's fault, without the id of the upload.
func (s *store) refuse(err error) error { return s.refusal(err).asError() }

// drop removes an upload that is refused for good.
func (s *store) drop(id string) {
	if err := s.Staging.Remove(id); err != nil && !errors.Is(err, upload.ErrNotFound) {
		s.Log.Warn("an upload that was refused is there for longer", "error", upload.WithoutID(err))
	}
}

// asError returns a refusal for tusd.
func (r Refusal) asError() error { return handler.NewError(r.Code, r.Message, r.Status) }

// refusal returns what a client is told about an error. What is the server's fault is in the log afterwards,
// once.
func (s *store) refusal(err error) Refusal {
	var refusal Refusal
	ok := false
	if s.Refuse != nil {
		refusal, ok = s.Refuse(err)
	}
	if !ok {
		refusal = Refuse(err)
	}
	if !ok && refusal.Status >= http.StatusInternalServerError {
		s.Log.Log(context.Background(), level(err), "an upload failed", "error", upload.WithoutID(err))
	}
	return refusal
}

// level returns how much an error that is answered with a status of 500 and more matters to an
// operator: a client that goes away is nothing, a limit that holds is worth a look.
func level(err error) slog.Level {
	if _, ok := errors.AsType[*upload.LimitError](err); ok {
		return slog.LevelWarn
	}
	if isGone(err) {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// isGone reports whether an error means that the client went away, was too slow, or was
// interrupted by its own next request.
func isGone(err error) bool {
	if _, ok := errors.AsType[*doneError](err); ok {
		return false
	}
	for _, gone := range []error{context.Canceled, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded, http.ErrBodyReadAfterClose, http.ErrAbortHandler} {
		if errors.Is(err, gone) {
			return true
		}
	}
	network, ok := errors.AsType[*net.OpError](err)
	return ok && network.Op == "read"
}

// Refuse returns what a client is told about an error of the packages upload and files, of a
// context, and of a connection that it has left.
func Refuse(err error) Refusal {
	if limit, ok := errors.AsType[*upload.LimitError](err); ok {
		switch limit.Limit {
		case upload.LimitSize:
			return Refusal{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: "a file may have " + strconv.FormatInt(limit.Max, 10) + " bytes at most"}
		case upload.LimitPerOwner:
			return Refusal{Status: http.StatusTooManyRequests, Code: "rate_limited", Message: "no more than " + strconv.FormatInt(limit.Max, 10) + " uploads at once: finish or cancel one first"}
		}
		return Refusal{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the server has too many uploads at the moment: try again later"}
	}
	if offset, ok := errors.AsType[*upload.OffsetError](err); ok {
		return Refusal{Status: http.StatusConflict, Code: "bad_offset", Message: offset.Error()}
	}
	switch {
	case errors.Is(err, upload.ErrNotFound):
		return Refusal{Status: http.StatusNotFound, Code: "not_found", Message: "there is no such upload"}
	case errors.Is(err, upload.ErrBusy):
		return Refusal{Status: http.StatusLocked, Code: "busy", Message: "another request is working on the upload: try again"}
	case errors.Is(err, upload.ErrMeta):
		return Refusal{Status: http.StatusBadRequest, Code: "bad_field", Message: fmt.Sprintf("Upload-Metadata may have %d entries and %d bytes", upload.MaxMeta, upload.MaxMetaBytes)}
	case errors.Is(err, upload.ErrIncomplete):
		return Refusal{Status: http.StatusConflict, Code: "bad_offset", Message: "the upload is not complete"}
	case errors.Is(err, files.ErrNoSpace):
		return Refusal{Status: http.StatusInsufficientStorage, Code: "storage_full", Message: "the server has no room left: try again later"}
	case isGone(err), errors.Is(err, context.DeadlineExceeded):
		return Refusal{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the upload was interrupted: continue it"}
	}
	if _, ok := errors.AsType[*files.UnreachableError](err); ok {
		return Refusal{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "the server cannot keep files at the moment: try again later"}
	}
	return Refusal{Status: http.StatusInternalServerError, Code: "internal", Message: "the upload failed: try again later"}
}

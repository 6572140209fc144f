package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"syscall"
	"time"

	"kaban/internal/account"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/dispatch"
	"kaban/internal/index"
	"kaban/internal/ledger"
	"kaban/internal/news"
	"kaban/internal/operator"
	"kaban/internal/store"
	"kaban/internal/web"
)

// The commands of an operator are requests to the HTTP API as its operator: over the
// socket in the data directory if a server runs, and else to the same handler in this
// process.

// adminCloseTimeout is how long a server that ends waits for commands.
const adminCloseTimeout = 5 * time.Second

// listenAdmin serves the operator's commands until stop is called. Without a socket the
// server works, too, so a failure is a warning.
func listenAdmin(data string, handler http.Handler, log *slog.Logger) (stop func()) {
	if data == inMemory {
		return func() {}
	}
	warn := func(err error) {
		log.Warn("commands such as \"kaban user\" do not work while this server runs", "error", err)
	}
	s, err := operator.Listen(data, handler, warn)
	if err != nil {
		warn(err)
		return func() {}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), adminCloseTimeout)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			log.Warn("the admin socket cannot be removed", "error", err)
		}
	}
}

// adminFlags are the flags of all commands of an operator.
type adminFlags struct {
	dataFlags
	JSON bool `name:"json" help:"Print JSON, one object per line."`

	creates bool // the command may make the data directory
}

// linkFlags are those of commands that print a link.
type linkFlags struct {
	Origin   []string `placeholder:"URL" env:"KABAN_ORIGIN" help:"Public address of the server, for the link. A running server knows it."`
	BasePath string   `placeholder:"PATH" env:"KABAN_BASE_PATH" help:"Path below which the server is served, such as /chat, for the link. A running server knows it."`
}

// admin is the way of a command to the API.
type admin struct {
	std   streams
	json  bool
	http  http.Client
	close func() error
}

// How a command waits for a server that starts or ends, or for another command.
const (
	adminPatience = 10 * time.Second
	adminPause    = 50 * time.Millisecond
)

// open connects to the server that runs on the data directory, or opens the directory
// if none does.
func (f *adminFlags) open(ctx context.Context, std streams, links *linkFlags) (*admin, error) {
	if f.Data == inMemory {
		return nil, usagef("--data %s: name the server's data directory; a server without one takes no commands", inMemory)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	if err := f.exists(); err != nil {
		return nil, err
	}
	a := &admin{std: std, json: f.JSON}
	for deadline := time.Now().Add(adminPatience); ; {
		transport, err := operator.Dial(ctx, f.dir())
		if err == nil {
			a.http.Transport = transport
			a.close = func() error { transport.CloseIdleConnections(); return nil }
			return a, nil
		}
		if !errors.Is(err, operator.ErrNotRunning) {
			return nil, err
		}
		if a.http.Transport, a.close, err = openHere(ctx, f.home(), links); err == nil {
			return a, nil
		}
		if !isInUse(err) || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-time.After(adminPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// exists refuses a directory without a server's data: a typo would silently make it.
func (f *adminFlags) exists() error {
	if f.creates || isDatabase(f.Data) {
		return nil
	}
	if info, err := os.Stat(f.Data); err != nil || !info.IsDir() {
		return usagef("--data %s is not a directory; name the server's data directory, which the server creates when it first starts", f.Data)
	}
	found, err := hasStore(f.Data)
	if err == nil && !found {
		err = usagef("--data %s has no database; name the server's data directory", f.Data)
	}
	return err
}

// openAlone opens the store of a command without a server, and returns the directory that goes with it. With a
// database that is the one of a node of this machine, if there is one: then no node starts on it meanwhile.
func openAlone(at home, log *slog.Logger) (kept store.Store, book *ledger.Book, dir string, closeAll func() error, err error) {
	dir = at.dir()
	release := func() error { return nil }
	switch {
	case at.isDirectory():
		book = ledgerIn(dir)
	case !at.isMade():
		dir = inMemory
	default:
		if release, err = at.take(); err != nil {
			return nil, nil, "", nil, err
		}
	}
	if kept, err = openStore(at, book, log); err != nil {
		return nil, nil, "", nil, errors.Join(err, release())
	}
	closeAll = func() error { return errors.Join(kept.Close(), release()) }
	if at.isDatabase() {
		noted, err := news.Open(context.Background(), kept) // nodes hear of what the command changes
		if err != nil {
			return nil, nil, "", nil, errors.Join(err, closeAll())
		}
		return noted, book, dir, closeAll, nil
	}
	return kept, book, dir, closeAll, nil
}

// openHere opens data that no server on this machine uses, and returns their API.
func openHere(ctx context.Context, at home, links *linkFlags) (_ http.RoundTripper, closeAll func() error, err error) {
	log := slog.New(slog.DiscardHandler)
	kept, book, dir, closeStore, err := openAlone(at, log)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, closeStore())
		}
	}()
	d, err := dispatch.New(ctx, kept, dispatch.Options{Log: log})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	blobs, err := storeOfData(at, log)
	if err != nil {
		return nil, nil, ofData(at.data, err)
	}
	var options service.Options
	if book != nil {
		options.RecordErased = book.RecordAccounts
	}
	if dir != inMemory {
		options.EraseIndex = func(ctx context.Context) error {
			return index.Erase(ctx, kept, dir, index.Options{Log: log, Eager: true})
		}
	}
	shared, err := newServices(ctx, dir, kept, blobs, d, options, account.Options{Log: log})
	if err != nil {
		return nil, nil, err
	}
	config := web.Config{Accounts: shared.accounts}
	if links != nil {
		config.Origins, config.BasePath = links.Origin, links.BasePath
	}
	pages, err := web.New(config, shared.rooms, nil)
	if err != nil {
		return nil, nil, usagef("--origin or --base-path: %w", err)
	}
	return inProcess{pages.OperatorHandler()}, func() error {
		shared.close(log)
		pages.Close()
		d.Close()
		return closeStore()
	}, nil
}

// inProcess carries requests to a handler in this process.
type inProcess struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := answerBuffer{header: make(http.Header)}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	p.handler.ServeHTTP(&answer, r)
	return &http.Response{
		StatusCode: cmp.Or(answer.status, http.StatusOK), Header: answer.header, Body: io.NopCloser(&answer.body), Request: r,
	}, r.Context().Err()
}

// answerBuffer is an http.ResponseWriter that keeps the answer.
type answerBuffer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *answerBuffer) Header() http.Header { return b.header }

func (b *answerBuffer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *answerBuffer) Write(p []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(p)
}

// maxAnswer bounds an answer of the API, in bytes. A page of a list has at most 500
// rows.
const maxAnswer = 16 << 20

// do makes a request. in is the body, nil for none; out gets the answer, nil for none.
func (a *admin) do(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, body)
	if err != nil {
		return err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	got, err := a.http.Do(r)
	if err != nil {
		return unanswered(ctx, method, err)
	}
	defer got.Body.Close()
	text, err := io.ReadAll(io.LimitReader(got.Body, maxAnswer))
	if err != nil {
		return unanswered(ctx, method, err)
	}
	if got.StatusCode >= http.StatusBadRequest {
		return refused(got.StatusCode, text)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("understand the answer of the server: %w", err)
	}
	return nil
}

// lostError means that the server has ended, or was killed, before it answered a request.
type lostError struct {
	changes bool // the request may have changed something
	err     error
}

func (e *lostError) Unwrap() error { return e.err }

func (e *lostError) Error() string {
	text := fmt.Sprintf("the server ended before it answered (%v)", e.err)
	if e.changes {
		text += "; it may have done what it was asked for, or not: look before you run this again"
	}
	return text
}

// unanswered returns the error of a request over the admin socket that got no answer. Over a
// socket of this machine only the end of the server loses a connection.
func unanswered(ctx context.Context, method string, err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok { // the address says nothing
		err = failed.Err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("ask the server: %w", cmp.Or(context.Cause(ctx), err))
	}
	notReached := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) // it had ended before
	if notReached || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return &lostError{method != http.MethodGet && !notReached, err}
	}
	return fmt.Errorf("ask the server: %w", err)
}

// refusedError is a refusal by the API.
type refusedError struct {
	Status int
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

func (e *refusedError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Detail
}

// refused returns the error of an answer. A request that is wrong by itself is wrong
// on the command line.
func refused(status int, text []byte) error {
	e := &refusedError{Status: status}
	if json.Unmarshal(text, e) != nil {
		e.Detail = ""
	}
	if status == http.StatusBadRequest {
		return usageError{e}
	}
	return e
}

// segment returns a text as a segment of a path.
func segment(text string) string { return url.PathEscape(text) }

// query returns the query of parameters that are not empty: "?a=b" or "".
func query(pairs ...string) string {
	values := make(url.Values)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			values.Set(pairs[i], pairs[i+1])
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// withAdmin runs a command on the API.
func (f *adminFlags) withAdmin(std streams, links *linkFlags, do func(context.Context, *admin) error) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	a, err := f.open(ctx, std, links)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	return do(ctx, a)
}

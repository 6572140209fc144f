// Package preview finds out what a web page is about: title, description, site and the
// address of a picture, as pages offer them for previews of links.
//
// It guarantees that what others name costs a bounded amount: a page is read through package
// guard, up to 1 MiB and 5 s, and up to the end of its head; everybody that asks for a page
// meanwhile, or for a while after, shares the result, also that it failed. A few pages are
// read at a time, one of a host, one for an author. Texts are plain: short, of one line,
// without characters that control anything.
//
// A preview is what a page says of itself, and pages lie. Show the host of Preview.URL
// beside it. The package fetches no pictures, stores nothing, and does not decide who may
// have previews. Show nobody when or why a page has none: an error is for the log.
package preview

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/guard"
	"kaban/internal/limit"
)

// Preview is what a page says of itself. Title is never empty; the others may be.
type Preview struct {
	URL         string // of the page, after redirects: http or https, up to MaxURL bytes
	Title       string // up to MaxTitle code points
	Description string // up to MaxDescription code points
	Site        string // its name, up to MaxSite code points
	Picture     string // URL, http or https, up to MaxURL bytes
}

// Maxima of a Preview.
const (
	MaxURL         = 2048 // bytes; also of the address of a page
	MaxTitle       = 200  // code points, as the following
	MaxDescription = 400
	MaxSite        = 60
)

// Defaults of Options.Guard. Those that package guard has otherwise are too generous here.
const (
	maxBody      = 1 << 20
	timeout      = 5 * time.Second
	redirects    = 3
	connsPerHost = 2
	conns        = 16
	idleTimeout  = 5 * time.Second // few pages are on the host of the one before
)

// Defaults of Options.
const (
	DefaultAtOnce  = 8
	DefaultWaiting = 256
	DefaultCached  = 1024
	DefaultKeep    = time.Hour
	DefaultForget  = 10 * time.Minute
	// DefaultUserAgent has the word "bot", by which sites know that they need not count a
	// reader, nor send a page that only a browser can show.
	DefaultUserAgent = "Mozilla/5.0 (compatible; KabanLinkPreview/1.0; bot that fetches links people send)"
)

// Bounds of waiting for a turn. A preview that comes much later than its message is of no use.
const (
	waitingOfAuthor = 6 // pages; more than a message has links
	waitingOfHost   = 16
	maxWait         = 30 * time.Second // for the author's turn, and again for the host's
)

// Options configure a Fetcher.
type Options struct {
	// Guard configures the way to pages. Zero values of its limits become those of this
	// package: 1 MiB, 5 s, 3 redirects, 16 connections, 2 of them to a host.
	Guard guard.Options
	// UserAgent is sent to all hosts. Default: DefaultUserAgent.
	UserAgent string
	// AtOnce is how many pages are read at a time. Waiting is how many pages are read or
	// waited for; more are refused with ErrBusy.
	AtOnce, Waiting int
	// Cached is how many results are remembered. A result is less than 12 KiB.
	Cached int
	// Keep is how long a preview is remembered, and Forget how long a failure.
	Keep, Forget time.Duration
}

// ErrBusy means that too many pages wait, of all authors, of this one, or of the host. It is
// not remembered.
var ErrBusy = errors.New("too many previews wait")

// errClosed means that the Fetcher was closed.
var errClosed = errors.New("the previews are closed")

// StatusError means that a page was answered with an HTTP status other than 200.
type StatusError struct{ Status int }

func (e *StatusError) Error() string {
	return fmt.Sprintf("the page was answered with HTTP status %d", e.Status)
}

// TypeError means that what was answered is no web page, or is encoded in a way that was not
// asked for.
type TypeError struct{ ContentType, ContentEncoding string }

// newTypeError keeps no more of what a server says than the message shows.
func newTypeError(contentType, coding string) *TypeError {
	return &TypeError{ContentType: start(contentType), ContentEncoding: start(coding)}
}

func (e *TypeError) Error() string {
	if e.ContentEncoding != "" {
		return fmt.Sprintf("the page is encoded as %.80q", e.ContentEncoding)
	}
	return fmt.Sprintf("the content type is %.80q, not text/html", e.ContentType)
}

// URLError means that a text is not the address of a web page.
type URLError struct{ Reason string }

func (e *URLError) Error() string { return e.Reason }

// PanicError means that a page made what reads it panic. That is a defect, of this package or
// of the parser: the page has no preview, and everything else goes on.
type PanicError struct {
	Value string // of the panic, up to 200 bytes; may quote the page
	Stack string // where it was, up to 4 KiB
}

func (e *PanicError) Error() string { return "reading the page panicked: " + e.Value }

// maxStack bounds what a PanicError keeps of the stack, in bytes.
const maxStack = 4 << 10

func newPanicError(value any) *PanicError {
	stack := debug.Stack()
	return &PanicError{Value: strings.ToValidUTF8(start(fmt.Sprint(value)), ""), Stack: string(stack[:min(len(stack), maxStack)])}
}

// Fetcher reads pages. All methods are safe for concurrent use.
type Fetcher struct {
	options Options
	parse   func(io.Reader, string, *url.URL) (Preview, error) // Parse, but for tests
	panics  atomic.Uint64
	guard   *guard.Guard
	client  *http.Client
	authors *limit.Queue // one page for each
	hosts   *limit.Queue // one page of each, AtOnce of all

	ctx    context.Context // of all reading; ends with Close
	cancel context.CancelFunc
	reads  sync.WaitGroup

	mu    sync.Mutex // guards the cache
	cache cache
}

// New returns a Fetcher, or an error of guard.New. It reads nothing until Fetch. Close ends
// it.
func New(o Options) (*Fetcher, error) {
	o.fill()
	g, err := guard.New(o.Guard)
	if err != nil {
		return nil, fmt.Errorf("previews: %w", err)
	}
	f := &Fetcher{
		options: o,
		parse:   Parse,
		guard:   g,
		client:  g.Client(),
		authors: limit.NewQueue(o.Waiting, waitingOfAuthor),
		hosts:   limit.NewQueue(o.AtOnce, waitingOfHost),
		cache:   newCache(o.Cached),
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f, nil
}

func (o *Options) fill() {
	o.UserAgent = cmp.Or(o.UserAgent, DefaultUserAgent)
	o.AtOnce = cmp.Or(o.AtOnce, DefaultAtOnce)
	o.Waiting = cmp.Or(o.Waiting, DefaultWaiting)
	o.Cached = cmp.Or(o.Cached, DefaultCached)
	o.Keep = cmp.Or(o.Keep, DefaultKeep)
	o.Forget = cmp.Or(o.Forget, DefaultForget)
	o.Guard.UserAgent = cmp.Or(o.Guard.UserAgent, o.UserAgent)
	o.Guard.MaxBody = cmp.Or(o.Guard.MaxBody, maxBody)
	o.Guard.Timeout = cmp.Or(o.Guard.Timeout, timeout)
	o.Guard.Redirects = cmp.Or(o.Guard.Redirects, redirects)
	o.Guard.ConnsPerHost = cmp.Or(o.Guard.ConnsPerHost, connsPerHost)
	o.Guard.Conns = cmp.Or(o.Guard.Conns, conns)
	o.Guard.IdleTimeout = cmp.Or(o.Guard.IdleTimeout, idleTimeout)
}

// Allow replaces the networks that are not public and allowed, as guard.Options.Allowed, and
// forgets all results: some come from networks that are not allowed any more, others failed
// because a network was not.
func (f *Fetcher) Allow(allowed []netip.Prefix) error {
	if err := f.guard.Allow(allowed); err != nil {
		return fmt.Errorf("previews: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cache.clear()
	return nil
}

// Forget forgets what the pages say of themselves that messages of a room link to, from the first to the
// last seq. What is read for them now is not remembered. A page that others of up to 64 messages link to is kept for
// them; one that more do goes, too. It does not block.
func (f *Fetcher) Forget(room string, first, last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cache.forget(room, first, last)
}

// Close ends all reading and waits for it. Calls of Fetch fail from then on.
func (f *Fetcher) Close() {
	f.mu.Lock()
	f.cache.closed = true
	f.mu.Unlock()
	f.cancel()
	f.reads.Wait()
	f.guard.Close()
}

// Fetch returns the preview of a page, from memory if somebody asked for it lately. An author
// is whoever sent the link; authors get their turns, and the zero Key is nobody. Fetch waits
// until ctx ends, but goes on reading for those that ask later.
//
// It returns a *URLError for a text that is no address of a page, ErrBusy, the error of ctx,
// and what kept the page from being read: a *StatusError, *TypeError, *PanicError,
// ErrNoTitle, or an error of package guard. The text of the last ones describes the operator's
// network.
func (f *Fetcher) Fetch(ctx context.Context, author limit.Key, link string) (Preview, error) {
	return f.FetchFor(ctx, Message{}, author, link)
}

// FetchFor is Fetch for a message that has the link, so that Forget finds the result.
func (f *Fetcher) FetchFor(ctx context.Context, m Message, author limit.Key, link string) (Preview, error) {
	address, err := parseLink(link)
	if err != nil {
		return Preview{}, err
	}
	e, err := f.begin(m, author, address)
	if err != nil {
		return Preview{}, err
	}
	select {
	case <-e.done:
		return e.preview, e.err
	case <-ctx.Done():
		return Preview{}, ctx.Err()
	}
}

// begin returns the entry of a page. If there is none, it begins to read the page.
func (f *Fetcher) begin(m Message, author limit.Key, a address) (*entry, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.cache.closed {
		return nil, errClosed
	}
	if e := f.cache.find(a.key); e != nil {
		f.cache.share(e, m)
		return e, nil
	}
	if f.cache.pending >= f.options.Waiting {
		return nil, ErrBusy
	}
	e := f.cache.add(a.key)
	f.cache.share(e, m)
	f.reads.Go(func() {
		preview, err := f.fetch(author, a)
		f.finish(e, preview, err)
	})
	return e, nil
}

// finish makes the result of an entry known.
func (f *Fetcher) finish(e *entry, preview Preview, err error) {
	e.preview, e.err = preview, err
	keep := f.options.Keep
	switch {
	case errors.Is(err, ErrBusy), f.ctx.Err() != nil:
		keep = 0
	case err != nil:
		keep = f.options.Forget
	}
	f.mu.Lock()
	f.cache.finish(e, keep)
	f.mu.Unlock()
	close(e.done)
}

// Panics returns how many pages have made what reads them panic. Anything but 0 is a defect.
func (f *Fetcher) Panics() uint64 { return f.panics.Load() }

// fetch waits for its turn and reads a page. An author has one turn at a time, and takes the
// place of a host only then, so that an author of links to many slow hosts holds one place.
//
// It runs in a goroutine of its own, where a panic would end the process: this is the
// boundary between what strangers write and the server.
func (f *Fetcher) fetch(author limit.Key, a address) (preview Preview, err error) {
	defer func() {
		if value := recover(); value != nil {
			f.panics.Add(1)
			preview, err = Preview{}, newPanicError(value)
		}
	}()
	leave, err := f.enter(f.authors, author)
	if err != nil {
		return Preview{}, err
	}
	defer leave()
	leaveHost, err := f.enter(f.hosts, limit.NameKey(a.host))
	if err != nil {
		return Preview{}, err
	}
	defer leaveHost()
	preview, err = f.read(a)
	if err != nil {
		return Preview{}, short(guard.Reason(err))
	}
	return preview, nil
}

// maxError bounds the message of an error that is remembered, in bytes. Servers choose parts of
// some: a malformed status line may be as long as all headers.
const maxError = 400

// start returns what of a text fits an error.
func start(text string) string { return strings.Clone(text[:min(len(text), maxError/2)]) }

// short returns an error with no more of what a server says than fits.
func short(err error) error {
	if text := err.Error(); len(text) > maxError {
		return errors.New(strings.ToValidUTF8(start(text), "") + "…")
	}
	return err
}

func (f *Fetcher) enter(q *limit.Queue, key limit.Key) (leave func(), err error) {
	ctx, cancel := context.WithTimeoutCause(f.ctx, maxWait, ErrBusy)
	defer cancel()
	leave, err = q.Enter(ctx, key)
	if _, ok := errors.AsType[*limit.ExceededError](err); ok || errors.Is(context.Cause(ctx), ErrBusy) && err != nil {
		return nil, ErrBusy
	}
	return leave, err
}

// read requests a page and reads its head.
func (f *Fetcher) read(a address) (Preview, error) {
	req, err := http.NewRequestWithContext(f.ctx, http.MethodGet, a.url, nil)
	if err != nil {
		return Preview{}, &URLError{"the address is not valid"}
	}
	req.Header.Set("Accept", "text/html, application/xhtml+xml")
	resp, err := f.client.Do(req)
	if err != nil {
		return Preview{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return Preview{}, &StatusError{Status: resp.StatusCode}
	}
	contentType := resp.Header.Get("Content-Type")
	if media, _, err := mime.ParseMediaType(contentType); err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) ||
		media != "text/html" && media != "application/xhtml+xml" {
		return Preview{}, newTypeError(contentType, "")
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return Preview{}, newTypeError(contentType, coding)
	}
	return f.parse(resp.Body, contentType, resp.Request.URL)
}

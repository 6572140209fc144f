package transfer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

const (
	// maxChunk bounds the bytes of a request, which proxies bound too.
	maxChunk = 64 << 20
	// maxVain is how often an upload is tried without getting on.
	maxVain = 6
	// firstPause and longestPause are those between tries.
	firstPause, longestPause = time.Second, 30 * time.Second
	tusVersion               = "1.0.0"
)

// Draft is what an upload begins with.
type Draft struct {
	Name string // 1 to kaban.MaxFileName bytes; the server makes it one that files may have
	// Size is how many bytes there are, or -1 if that is not known: then the upload cannot go on
	// where it stopped.
	Size int64
	Alt  string // describes it to people that do not see it: one line of up to kaban.MaxFileAlt code points, or ""
}

// errChanged means that the bytes are not those that there were at first.
var errChanged = errors.New("the file became shorter while it was sent")

// Upload sends a file and returns it as the server keeps it: a picture may have other bytes, and so
// another size. It is loose until a message has it. A source of a known size that is an io.ReaderAt
// is sent in parts; when the connection breaks, or the server is busy, Upload goes on where it
// stopped, and gives up after six tries in a row without a byte more. Any other source is sent at
// once. The error is a *client.Error with the codes too_large, quota_exceeded, auth_required and
// others, a *StatusError, client.ErrInsecure, ErrNoWeb, a *dial.AddressError or one of dial.Dialer.
func Upload(ctx context.Context, server string, from io.Reader, draft Draft, options Options) (kaban.File, error) {
	w, err := newWay(server, options)
	if err != nil {
		return kaban.File{}, err
	}
	at, ok := from.(io.ReaderAt)
	if !ok || draft.Size < 0 {
		return w.form(ctx, from, draft)
	}
	u := &upload{way: w, from: at, draft: draft}
	return u.run(ctx)
}

// form sends all of a file at once.
func (w *way) form(ctx context.Context, from io.Reader, draft Draft) (f kaban.File, err error) {
	out, in := io.Pipe()
	parts := multipart.NewWriter(in)
	var writing sync.WaitGroup
	writing.Go(func() { in.CloseWithError(writeForm(parts, &counted{Reader: from, tell: w.options.Progress}, draft)) })
	defer func() {
		out.Close() // ends the writing if nobody reads any more
		writing.Wait()
	}()
	request, err := w.request(ctx, http.MethodPost, w.server+"/v1/files", out)
	if err != nil {
		return f, err
	}
	request.Header.Set("Content-Type", parts.FormDataContentType())
	response, err := w.do(request)
	if err != nil {
		return f, err
	}
	if response.StatusCode != http.StatusCreated {
		return f, refused(response)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&f); err != nil {
		return f, fmt.Errorf("read the server's answer: %w", err)
	}
	return f, f.Check()
}

func writeForm(parts *multipart.Writer, from io.Reader, draft Draft) error {
	if draft.Alt != "" {
		if err := parts.WriteField("alt", draft.Alt); err != nil {
			return err
		}
	}
	part, err := parts.CreateFormFile("file", draft.Name)
	if err != nil {
		return err
	}
	if _, err := io.Copy(part, from); err != nil {
		return err
	}
	return parts.Close()
}

// upload is an upload that can go on where it stopped (https://tus.io/protocols/resumable-upload).
type upload struct {
	*way
	from    io.ReaderAt
	draft   Draft
	address string // of the upload; "" until the server has given one
	offset  int64  // how many bytes the server has
	unsure  bool   // the offset has to be asked for
}

// run tries until the file is there, or trying makes no sense.
func (u *upload) run(ctx context.Context) (kaban.File, error) {
	pause, vain, best := u.options.Pause, 0, int64(-1)
	if pause <= 0 {
		pause = firstPause
	}
	next := pause
	for {
		f, err := u.step(ctx)
		switch {
		case f != nil:
			return *f, f.Check()
		case err == nil:
		case ctx.Err() != nil:
			return kaban.File{}, context.Cause(ctx)
		case !mayHelp(err):
			return kaban.File{}, err
		}
		if u.offset > best {
			best, vain, next = u.offset, 0, pause
		}
		if err == nil {
			continue
		}
		u.unsure = true
		if vain++; vain >= maxVain {
			return kaban.File{}, err
		}
		wait := next
		if refused, ok := errors.AsType[*client.Error](err); ok {
			wait = max(wait, min(refused.RetryAfter, longestPause))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return kaban.File{}, context.Cause(ctx)
		}
		next = min(2*next, longestPause)
	}
}

// mayHelp reports whether trying again makes sense after an error.
func mayHelp(err error) bool {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return refused.Temporary() && refused.Code != wire.CodeStorageFull
	}
	if status, ok := errors.AsType[*StatusError](err); ok {
		return status.Status >= 500 || status.Status == http.StatusLocked || status.Status == http.StatusConflict || status.Status == http.StatusTooManyRequests
	}
	return !errors.Is(err, client.ErrInsecure) && !errors.Is(err, errChanged) && !errors.Is(err, errForeign)
}

// step makes the next request. It returns the file once it is there.
func (u *upload) step(ctx context.Context) (*kaban.File, error) {
	switch {
	case u.address == "":
		return u.begin(ctx)
	case u.unsure:
		return u.ask(ctx)
	case u.offset >= u.draft.Size:
		return nil, errors.New("the server has all bytes and does not say what became of them")
	}
	return u.send(ctx)
}

// errForeign means that an upload is to go to another server, which must not get the token.
var errForeign = errors.New("the server names another server for the upload")

func (u *upload) begin(ctx context.Context) (*kaban.File, error) {
	encode := base64.StdEncoding.EncodeToString
	meta := "filename " + encode([]byte(u.draft.Name))
	if u.draft.Alt != "" {
		meta += ",alt " + encode([]byte(u.draft.Alt))
	}
	response, err := u.exchange(ctx, http.MethodPost, u.server+"/v1/files", nil, map[string]string{
		"Upload-Length": strconv.FormatInt(u.draft.Size, 10), "Upload-Metadata": meta,
	})
	if err != nil {
		return nil, err
	}
	base, err := url.Parse(u.server + "/v1/files")
	if err != nil {
		return nil, err
	}
	at, err := base.Parse(response.Header.Get("Location"))
	if err != nil || response.Header.Get("Location") == "" {
		return nil, errors.New("the server's answer has no address of an upload")
	}
	if at.Scheme != base.Scheme || at.Host != base.Host || at.User != nil {
		return nil, errForeign
	}
	u.address, u.unsure = at.String(), u.draft.Size == 0
	return u.fileOf(response), nil
}

func (u *upload) ask(ctx context.Context) (*kaban.File, error) {
	response, err := u.exchange(ctx, http.MethodHead, u.address, nil, nil)
	if err != nil {
		return nil, u.again(err)
	}
	return u.take(response)
}

// errGone means that the server does not know the upload any more: it was too old, or the server
// has other data now.
var errGone = errors.New("the server has lost the upload")

// again begins anew after the error of an upload that the server does not know.
func (u *upload) again(err error) error {
	status, unexplained := errors.AsType[*StatusError](err)
	refused, explained := errors.AsType[*client.Error](err)
	if unexplained && status.Status == http.StatusNotFound || explained && refused.Code == wire.CodeNotFound {
		u.address, u.offset = "", 0
		return errGone
	}
	return err
}

func (u *upload) send(ctx context.Context) (*kaban.File, error) {
	n := min(u.draft.Size-u.offset, maxChunk)
	part := &counted{Reader: io.NewSectionReader(u.from, u.offset, n), tell: u.options.Progress}
	part.n.Store(u.offset)
	response, err := u.exchange(ctx, http.MethodPatch, u.address, &sized{part, n}, map[string]string{
		"Upload-Offset": strconv.FormatInt(u.offset, 10), "Content-Type": "application/offset+octet-stream",
	})
	if part.ended.Load() && part.n.Load() < u.offset+n {
		return nil, errChanged
	}
	if err != nil {
		return nil, u.again(err)
	}
	return u.take(response)
}

// take takes what an answer says of how far the upload is.
func (u *upload) take(response *http.Response) (*kaban.File, error) {
	offset, err := strconv.ParseInt(response.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 || offset > u.draft.Size {
		return nil, errors.New("the server's answer does not say how far the upload is")
	}
	u.offset, u.unsure = offset, false
	if u.options.Progress != nil {
		u.options.Progress(offset)
	}
	return u.fileOf(response), nil
}

// sized is a body of a known length.
type sized struct {
	io.Reader
	n int64
}

// exchange sends a request of tus, and returns the answer without its body.
func (u *upload) exchange(ctx context.Context, method, address string, body *sized, header map[string]string) (*http.Response, error) {
	var from io.Reader
	if body != nil {
		from = body
	}
	request, err := u.request(ctx, method, address, from)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.ContentLength = body.n
	}
	request.Header.Set("Tus-Resumable", tusVersion)
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := u.do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		return nil, refused(response)
	}
	io.Copy(io.Discard, io.LimitReader(response.Body, maxAnswer)) // so that the connection is used again
	return response, response.Body.Close()
}

// fileOf returns the file that an upload has become; nil if the answer names none.
func (u *upload) fileOf(response *http.Response) *kaban.File {
	h := response.Header
	if h.Get("Kaban-File") == "" {
		return nil
	}
	number := func(name string) int64 {
		n, err := strconv.ParseInt(h.Get(name), 10, 64)
		if err != nil {
			return 0
		}
		return n
	}
	name, err := url.PathUnescape(h.Get("Kaban-Name"))
	if err != nil {
		name = u.draft.Name
	}
	return &kaban.File{
		ID: h.Get("Kaban-File"), Name: name, Size: number("Kaban-Size"), Type: strings.TrimSpace(h.Get("Kaban-Type")),
		Width: int(number("Kaban-Width")), Height: int(number("Kaban-Height")), Alt: u.draft.Alt,
	}
}

// counted counts what is read. A request may be over while its body is still being read.
type counted struct {
	io.Reader
	n     atomic.Int64
	ended atomic.Bool // the end was read
	tell  func(int64)
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	sent := c.n.Add(int64(n))
	if err == io.EOF {
		c.ended.Store(true)
	}
	if n > 0 && c.tell != nil {
		c.tell(sent)
	}
	return n, err
}

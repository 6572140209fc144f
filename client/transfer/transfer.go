// Package transfer uploads and downloads the files of messages, over the HTTP API of a server. An
// upload that is cut off goes on where it stopped (tus 1.0).
//
//	kept, err := transfer.Upload(ctx, "https://chat.example", from, transfer.Draft{Name: "cat.png", Size: size}, options)
//	…
//	receipt, err := room.SendFiles(ctx, "look", 0, kept.ID)
//
// The functions are safe for concurrent use. They hold no file in memory.
package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"kaban"
	"kaban/client"
	"kaban/client/dial"
	"kaban/wire"
)

// maxAnswer bounds the bytes of an answer that is no file.
const maxAnswer = 64 << 10

// ErrNoWeb means that an address is one of kaban/1 only, where HTTP has no place.
var ErrNoWeb = errors.New("files go over HTTP, and the server's address does not start with http://, https://, ws:// or wss://")

// Options say how to talk to a server.
type Options struct {
	// Token is the secret of a device or of a program.
	Token wire.Secret
	// Insecure allows addresses of other machines without TLS.
	Insecure bool
	// Trust says which certificates of the server count. The zero Trust accepts those of
	// the system's authorities.
	Trust dial.Trust
	// Progress, if not nil, is called now and then during an upload with the number of bytes that
	// were sent, which becomes smaller when some have to be sent again. It must not block; other
	// goroutines call it, one after the other.
	Progress func(sent int64)
	// Transport replaces the way to the server. The default is that of dial.Dialer; it refuses
	// addresses of other machines without TLS. No redirect is followed.
	Transport http.RoundTripper
	// Pause is the first pause before a cut-off upload goes on; it doubles up to 30 s. Default 1 s.
	Pause time.Duration
}

// Download is a file that comes. The caller reads it and closes it.
type Download struct {
	io.ReadCloser
	// Name is the one that its author has given to it, or "". It may be anything: it is for people
	// and no path.
	Name string
	Type string // the media type
	Size int64  // in bytes; -1 if it is not known
}

// Open asks for a file by its id. A body that ends early is an io.ErrUnexpectedEOF. The error is a
// *client.Error, client.ErrInsecure, ErrNoWeb, a *dial.AddressError or one of dial.Dialer.
func Open(ctx context.Context, server, id string, options Options) (*Download, error) {
	return open(ctx, server, id, "", options)
}

// OpenThumbnail asks for the small picture that a server has made of a picture: at most 720 pixels on the longer
// side. Errors are those of Open; the code is wire.CodeNotFound for a file that has none.
func OpenThumbnail(ctx context.Context, server, id string, options Options) (*Download, error) {
	return open(ctx, server, id, "/thumbnail", options)
}

func open(ctx context.Context, server, id, below string, options Options) (*Download, error) {
	w, err := newWay(server, options)
	if err != nil {
		return nil, err
	}
	if !kaban.IsFileID(id) {
		return nil, fmt.Errorf("%w: %.100q is no id of a file", kaban.ErrFiles, id)
	}
	request, err := w.request(ctx, http.MethodGet, w.server+"/v1/files/"+id+below, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept-Encoding", "identity") // so that the size is known
	response, err := w.do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, refused(response)
	}
	d := &Download{ReadCloser: response.Body, Size: response.ContentLength, Type: response.Header.Get("Content-Type")}
	if _, fields, err := mime.ParseMediaType(response.Header.Get("Content-Disposition")); err == nil {
		d.Name = fields["filename"]
	}
	return d, nil
}

// way is how requests reach a server.
type way struct {
	http    *http.Client
	server  string
	token   wire.Secret
	options Options
}

func newWay(server string, options Options) (*way, error) {
	address, err := dial.Parse(server)
	if err != nil {
		return nil, err
	}
	if address.Web() == "" {
		return nil, ErrNoWeb
	}
	if tell := options.Progress; tell != nil {
		var mu sync.Mutex
		options.Progress = func(sent int64) {
			mu.Lock()
			defer mu.Unlock()
			tell(sent)
		}
	}
	transport := options.Transport
	if transport == nil {
		local := !address.IsEncrypted() && !options.Insecure
		if local && !address.IsLoopback() {
			return nil, client.ErrInsecure
		}
		transport = restrict(dial.Dialer{Address: address, Trust: options.Trust}.Transport(), local)
	}
	return &way{
		http:   &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		server: address.Web(), token: options.Token, options: options,
	}, nil
}

// restrict makes a transport, if local, only reach this machine: a name may be that of another one.
func restrict(transport *http.Transport, local bool) *http.Transport {
	if connect := transport.DialContext; local {
		transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := connect(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			if remote, ok := conn.RemoteAddr().(*net.TCPAddr); ok && remote.IP.IsLoopback() {
				return conn, nil
			}
			conn.Close()
			return nil, client.ErrInsecure
		}
	}
	return transport
}

func (w *way) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	if w.token != "" {
		request.Header.Set("Authorization", "Bearer "+string(w.token))
	}
	return request, nil
}

// do sends a request. The caller closes the body of the answer.
func (w *way) do(request *http.Request) (*http.Response, error) {
	response, err := w.http.Do(request)
	if bad, ok := errors.AsType[*url.Error](err); ok { // its text repeats the address
		err = bad.Err
	}
	if err != nil {
		return nil, fmt.Errorf("ask the server: %w", err)
	}
	return response, nil
}

// refused reads and closes an answer that is no success (RFC 9457, with the server's code).
func refused(response *http.Response) error {
	defer response.Body.Close()
	var problem struct {
		Code   wire.Code `json:"code"`
		Title  string    `json:"title"`
		Detail string    `json:"detail"`
		Field  string    `json:"field"`
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the server's answer: %w", err)
	}
	if json.Unmarshal(text, &problem) != nil || problem.Code == "" || problem.Detail+problem.Title == "" {
		return &StatusError{Status: response.StatusCode}
	}
	e := &client.Error{Code: problem.Code, Text: problem.Detail, Field: problem.Field}
	if e.Text == "" {
		e.Text = problem.Title
	}
	if seconds, err := strconv.ParseUint(response.Header.Get("Retry-After"), 10, 16); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// StatusError is an answer that the server, or something before it, has not explained.
type StatusError struct{ Status int } // of HTTP

func (e *StatusError) Error() string {
	return fmt.Sprintf("the server answered with HTTP status %d", e.Status)
}

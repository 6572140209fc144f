package push

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// newRealSender returns a sender to a push service over TLS, and its address.
func newRealSender(t *testing.T, handler http.HandlerFunc) (*sender, string) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	s := newSender(Config{
		Key: testKey(t), Subject: "https://chat.example.org", Transport: server.Client().Transport, Now: time.Now,
		Compose: func(_ context.Context, n Notice) (Message, error) {
			return Message{Room: n.Room, Seq: n.Seq, Text: "text"}, nil
		},
	})
	return &s, server.URL
}

func TestRequest(t *testing.T) {
	b := newBrowser(t)
	var got *http.Request
	var content []byte
	s, address := newRealSender(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if content, err = b.open(body); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusCreated)
	})
	sub := b.subscribe(t, address+"/send/abc?token=def")
	n := Notice{Account: "alice", Room: "lobby", Seq: 5, Urgent: true}
	if r := s.attempt(t.Context(), sub, &n, false, 90*time.Second+time.Millisecond); r.outcome != delivered || r.status != 201 {
		t.Fatalf("got %+v", r)
	}
	if want := `{"v":1,"room":"lobby","seq":5,"text":"text"}`; string(content) != want {
		t.Errorf("got %s, want %s", content, want)
	}
	for name, want := range map[string]string{
		"TTL": "90", "Urgency": "high", "Topic": s.topic(sub, &n), "Content-Encoding": "aes128gcm", "Content-Type": "application/octet-stream",
		"Content-Length": "1024", "Crypto-Key": "", "Encryption": "", "Cookie": "", "Accept-Encoding": "gzip",
	} {
		if value := got.Header.Get(name); value != want {
			t.Errorf("%s: %q, want %q", name, value, want)
		}
	}
	if got.Method != "POST" || got.URL.RequestURI() != "/send/abc?token=def" {
		t.Errorf("%s %s", got.Method, got.URL)
	}
	host := strings.TrimPrefix(address, "https://")
	if c := verify(t, got.Header.Get("Authorization"), testKey(t).Public()); c.Audience != address || c.Subject != "https://chat.example.org" || sub.Host() != host {
		t.Errorf("the token is for %+v, want %s", c, address)
	}
	n.Urgent = false
	if s.attempt(t.Context(), sub, &n, true, 0); got.Header.Get("Urgency") != "normal" || got.Header.Get("TTL") != "0" {
		t.Errorf("urgency %s, TTL %s", got.Header.Get("Urgency"), got.Header.Get("TTL"))
	}
}

func TestTopics(t *testing.T) {
	s := newSender(Config{Key: testKey(t)})
	a, b := newBrowser(t).subscribe(t, "https://push.example/a"), newBrowser(t).subscribe(t, "https://push.example/b")
	base := Notice{Account: "alice", Room: "lobby", Seq: 1}
	topic := s.topic(a, &base)
	if len(topic) != 32 || strings.Trim(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
		t.Errorf("%q is no topic by RFC 8030, section 5.4", topic)
	}
	if later := (Notice{Account: "alice", Room: "lobby", Seq: 2}); s.topic(a, &later) != topic {
		t.Error("a later message of the room has another topic")
	}
	for name, other := range map[string]string{
		"another room":         s.topic(a, &Notice{Account: "alice", Room: "office"}),
		"a mention":            s.topic(a, &Notice{Account: "alice", Room: "lobby", Urgent: true}),
		"another account":      s.topic(a, &Notice{Account: "bob", Room: "lobby"}),
		"another subscription": s.topic(b, &base),
	} {
		if other == topic {
			t.Errorf("%s has the same topic", name)
		}
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	if other := newSender(Config{Key: key}); other.topic(a, &base) == topic {
		t.Error("the room can be guessed from its topic")
	}
}

func TestAnswers(t *testing.T) {
	var status atomic.Int64
	s, address := newRealSender(t, func(w http.ResponseWriter, r *http.Request) {
		if status.Load() == 307 {
			w.Header().Set("Location", "https://"+r.Host+"/elsewhere")
		}
		if r.URL.Path != "/send" {
			t.Errorf("%s was asked for", r.URL)
		}
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(int(status.Load()))
		io.WriteString(w, strings.Repeat("x", 100_000))
	})
	sub := newBrowser(t).subscribe(t, address+"/send")
	n := notice(1)
	for code, want := range map[int]outcome{
		200: delivered, 201: delivered, 202: delivered, 204: delivered,
		307: refused, 308: refused, 400: refused, 401: refused, 403: refused, 405: refused, 406: refused,
		404: gone, 410: gone, 413: tooLong, 408: busy, 429: busy, 500: busy, 502: busy, 503: busy, 507: busy,
	} {
		status.Store(int64(code))
		wait := time.Duration(0)
		if want == busy {
			wait = 2 * time.Minute
		}
		if got := s.attempt(t.Context(), sub, &n, false, time.Hour); got.outcome != want || got.status != code || got.wait != wait {
			t.Errorf("%d: got %+v, want outcome %d and wait %v", code, got, want, wait)
		}
	}
}

// A connection that is cut, and a push service that is not there, are no answers. The errors have
// no endpoint.
func TestNoAnswers(t *testing.T) {
	s, address := newRealSender(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("hang") {
			io.ReadAll(r.Body)
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	})
	n := notice(1)
	for name, endpoint := range map[string]string{
		"cut":       address + "/s3cret?token=t0ken",
		"hangs":     address + "/s3cret?token=t0ken&hang",
		"no server": "https://127.0.0.1:1/s3cret?token=t0ken",
		"no name":   "https://push.invalid/s3cret?token=t0ken",
		"no trust":  strings.Replace(address, "127.0.0.1", "localhost", 1) + "/s3cret?token=t0ken",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if name == "hangs" {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		s := s
		if name == "no name" { // without asking a resolver
			other := *s
			other.client = &http.Client{Transport: alwaysFails(errors.New("dial tcp: lookup push.invalid: no such host"))}
			s = &other
		}
		r := s.attempt(ctx, newBrowser(t).subscribe(t, endpoint), &n, false, time.Hour)
		cancel()
		if r.outcome != unreachable || r.err == nil || r.answer() == "" {
			t.Errorf("%s: got %+v", name, r)
			continue
		}
		for _, secret := range []string{"s3cret", "t0ken"} {
			if strings.Contains(r.err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v %#v", r, r), secret) {
				t.Errorf("%s: the error has %s: %v", name, secret, r.err)
			}
		}
	}
}

type transportError struct{ err error }

// alwaysFails returns a transport that fails.
func alwaysFails(err error) http.RoundTripper { return transportError{err} }

func (f transportError) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// Transports may say more than they should.
func TestErrorsAreConcealed(t *testing.T) {
	sub := newBrowser(t).subscribe(t, "https://push.example/s3cret/path?token=t0ken")
	n := notice(1)
	for _, err := range []error{
		errors.New("POST https://push.example/s3cret/path?token=t0ken: refused"),
		errors.New("no route for /s3cret/path?token=t0ken"),
		errors.New("bad path /s3cret/path"),
		errors.New("bad query token=t0ken"),
		&url.Error{Op: "Post", URL: "https://push.example/s3cret/path?token=t0ken", Err: errors.New("refused")},
	} {
		s := newSender(Config{Key: testKey(t), Transport: alwaysFails(err), Now: time.Now, Compose: func(context.Context, Notice) (Message, error) { return Message{}, nil }})
		r := s.attempt(t.Context(), sub, &n, false, time.Hour)
		if r.outcome != unreachable || strings.Contains(r.err.Error(), "s3cret") || strings.Contains(r.err.Error(), "t0ken") {
			t.Errorf("%q became %q", err, r.err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, c := range []struct {
		name, value, date string
		want              time.Duration
	}{
		{"none", "", "", 0},
		{"seconds", "120", "", 2 * time.Minute},
		{"white space", " 120 ", "", 2 * time.Minute},
		{"now", "0", "", 0},
		{"the cap", "3600", "", time.Hour},
		{"more than the cap", "3601", "", time.Hour},
		{"days", "864000", "", time.Hour},
		{"more than an integer has", "99999999999999999999999999", "", time.Hour},
		{"negative", "-5", "", 0},
		{"a fraction", "1.5", "", 0},
		{"words", "soon", "", 0},
		{"a date", date(time.Minute), "", time.Minute},
		{"a date in RFC 850", now.Add(time.Minute).Format(time.RFC850), "", time.Minute},
		{"a date in the past", date(-time.Hour), "", 0},
		{"a date far away", date(100 * 365 * 24 * time.Hour), "", time.Hour},
		{"a clock of the push service that is wrong", date(5*time.Hour + time.Minute), date(5 * time.Hour), time.Minute},
		{"a date that makes no sense", date(time.Minute), "yesterday", time.Minute},
	} {
		header := make(http.Header)
		header.Set("Retry-After", c.value)
		header.Set("Date", c.date)
		if got := retryAfter(header, now); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("120", "")
	f.Add("Sat, 28 Nov 2026 12:00:00 GMT", "Sat, 28 Nov 2026 11:00:00 GMT")
	f.Fuzz(func(t *testing.T, value, date string) {
		if got := retryAfter(http.Header{"Retry-After": {value}, "Date": {date}}, time.Now()); got < 0 || got > maxRetryAfter {
			t.Fatalf("%q, %q: %v", value, date, got)
		}
	})
}

// The whole way, over a real network.
func TestOverTheNetwork(t *testing.T) {
	b := newBrowser(t)
	taken := make(chan []byte, 1)
	real, address := newRealSender(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		content, err := b.open(body)
		if err != nil {
			t.Error(err)
		}
		taken <- content
		w.WriteHeader(http.StatusCreated)
	})
	w := newWorld(t, func(c *Config) { c.Transport = real.client.Transport })
	w.Service.mu.Lock()
	w.Service.delay = 0
	w.Service.mu.Unlock()
	w.push(b.subscribe(t, address+"/send"), notice(1))
	if got, want := string(<-taken), `{"v":1,"room":"lobby","seq":1,"from":"alice","text":"text 1","cause":"room"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	w.close()
	if s := w.Stats(); s.Delivered != 1 {
		t.Errorf("counted %+v", s)
	}
}

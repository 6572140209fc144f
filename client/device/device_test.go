package device

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kaban/client"
	"kaban/wire"
)

const begun = `{"device_code":"SECRET","user_code":"BCDF-GHJK","verification_uri":"http://h/device","verification_uri_complete":"http://h/device#BCDF-GHJK","expires_in":600,"interval":5}`

// script answers requests in turn, the last answer for ever.
type script struct {
	answers []answer
	asked   []time.Duration // since start, of each question for the token
	start   time.Time
	bodies  []string
}

type answer struct {
	status int
	body   string
	header http.Header
	err    error
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.bodies = append(s.bodies, r.Method+" "+r.URL.String()+" "+string(body))
	if strings.HasSuffix(r.URL.Path, "/v1/device") {
		s.start = time.Now()
		return respond(answer{status: 200, body: begun}), nil
	}
	s.asked = append(s.asked, time.Since(s.start))
	a := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	if a.err != nil {
		return nil, a.err
	}
	return respond(a), nil
}

func respond(a answer) *http.Response {
	if a.header == nil {
		a.header = make(http.Header)
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body))}
}

func refuse(code string) answer { return answer{status: 400, body: fmt.Sprintf(`{"error":%q}`, code)} }

var (
	pending = refuse("authorization_pending")
	granted = answer{status: 200, body: `{"access_token":"TOKEN","token_type":"Bearer","username":"ann"}`}
)

// The person decides, the server slows the program down, or neither can be reached.
func TestWaiting(t *testing.T) {
	second := time.Second
	for name, c := range map[string]struct {
		answers []answer
		err     error
		asked   []time.Duration
	}{
		"at once":      {[]answer{granted}, nil, []time.Duration{5 * second}},
		"later":        {[]answer{pending, pending, granted}, nil, []time.Duration{5 * second, 10 * second, 15 * second}},
		"slowed":       {[]answer{refuse("slow_down"), pending, refuse("slow_down"), granted}, nil, []time.Duration{5 * second, 15 * second, 25 * second, 40 * second}},
		"denied":       {[]answer{pending, refuse("access_denied")}, ErrDenied, []time.Duration{5 * second, 10 * second}},
		"expired":      {[]answer{refuse("expired_token")}, ErrExpired, []time.Duration{5 * second}},
		"away":         {[]answer{{err: io.ErrUnexpectedEOF}, pending, granted}, nil, []time.Duration{5 * second, 15 * second, 25 * second}},
		"too busy":     {[]answer{{status: 429, header: http.Header{"Retry-After": {"30"}}}, granted}, nil, []time.Duration{5 * second, 35 * second}},
		"failing":      {[]answer{{status: 502}, granted}, nil, []time.Duration{5 * second, 15 * second}},
		"not secure":   {[]answer{{err: client.ErrInsecure}}, client.ErrInsecure, []time.Duration{5 * second}},
		"no token":     {[]answer{{status: 200, body: `{"token_type":"Bearer"}`}}, errNoToken, []time.Duration{5 * second}},
		"another type": {[]answer{{status: 200, body: `{"access_token":"T","token_type":"mac"}`}}, errNoToken, []time.Duration{5 * second}},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: c.answers}
			g, err := Begin(t.Context(), "http://h/base/", Options{Name: "laptop", Transport: s})
			if err != nil {
				t.Fatal(err)
			}
			if g.UserCode != "BCDF-GHJK" || g.URI != "http://h/device" || g.CompleteURI != "http://h/device#BCDF-GHJK" {
				t.Errorf("%s: got %+v", name, g)
			}
			token, err := g.Wait(t.Context())
			if !errors.Is(err, c.err) || err == nil && (token.Secret != "TOKEN" || token.Username != "ann") {
				t.Errorf("%s: got %v, %v", name, token.Username, err)
			}
			if fmt.Sprint(s.asked) != fmt.Sprint(c.asked) {
				t.Errorf("%s: asked after %v, want %v", name, s.asked, c.asked)
			}
			if want := `POST http://h/base/v1/device/token {"device_code":"SECRET","grant_type":"` + grantType + `"}`; s.bodies[1] != want {
				t.Errorf("%s: sent %s, want %s", name, s.bodies[1], want)
			}
			if s.bodies[0] != `POST http://h/base/v1/device {"name":"laptop"}` {
				t.Errorf("%s: began with %s", name, s.bodies[0])
			}
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s: the error has the secret: %v", name, err)
			}
		})
	}
}

// A code that nobody enters ends the waiting, also if the server is away, and so does
// the caller.
func TestWaitingInVain(t *testing.T) {
	for name, a := range map[string]answer{"pending": pending, "slowed": refuse("slow_down"), "away": {err: io.EOF}} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{answers: []answer{a}}
			g, err := Begin(t.Context(), "http://h", Options{Transport: s})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Wait(t.Context()); !errors.Is(err, ErrExpired) || time.Since(s.start) != 10*time.Minute {
				t.Errorf("%s: after %v: %v", name, time.Since(s.start), err)
			}
			if n := len(s.asked); n > 121 || name != "pending" && n > 20 {
				t.Errorf("%s: asked %d times", name, n)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
			defer cancel()
			g, err = Begin(ctx, "http://h", Options{Transport: s})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: the caller ends it: %v", name, err)
			}
		})
	}
}

// What the server says of a code is checked.
func TestBadBeginnings(t *testing.T) {
	long := strings.Repeat("x", maxText+1)
	for _, a := range []answer{
		{status: 200, body: `{}`},
		{status: 200, body: `[]`},
		{status: 200, body: `<html>`},
		{status: 200, body: `{"device_code":"S","user_code":"","verification_uri":"u","expires_in":600}`},
		{status: 200, body: `{"device_code":"S","user_code":"C","verification_uri":"u","expires_in":0}`},
		{status: 200, body: `{"device_code":"S","user_code":"` + long + `","verification_uri":"u","expires_in":600}`},
		{status: 302, header: http.Header{"Location": {"http://elsewhere/"}}},
		{status: 404, body: `{"code":"not_found","detail":"no such page"}`},
	} {
		_, err := Begin(t.Context(), "http://h", Options{Transport: transportOf(func(*http.Request) (*http.Response, error) { return respond(a), nil })})
		if err == nil {
			t.Errorf("%d %.60s is accepted", a.status, a.body)
		}
		refused, ok := errors.AsType[*Error](err)
		if a.status == 404 && (!ok || refused.Code != wire.CodeNotFound || refused.Error() != "no such page (not_found)") {
			t.Errorf("%d: got %v", a.status, err)
		}
	}
	for _, address := range []string{"", "h:6480", "tcp://h", "tls://h", "ftp://h", "http://", "http://user@h", "http://h/?q", "http://h/#f", "http://h\nx"} {
		if _, err := Begin(t.Context(), address, Options{Transport: &script{}}); err == nil {
			t.Errorf("the address %q is accepted", address)
		}
	}
}

type transportOf func(*http.Request) (*http.Response, error)

func (f transportOf) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The default transport talks to this machine and follows no redirect; to others it
// sends nothing without encryption.
func TestTheWayToTheServer(t *testing.T) {
	var elsewhere bool
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/device", func(w http.ResponseWriter, r *http.Request) {
		var body map[string]string
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body["name"] != "laptop" {
			t.Errorf("got %v, %v", body, err)
		}
		io.WriteString(w, begun)
	})
	mux.HandleFunc("POST /moved/v1/device", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/elsewhere", func(http.ResponseWriter, *http.Request) { elsewhere = true })
	s := httptest.NewServer(mux)
	defer s.Close()
	if _, err := Begin(t.Context(), s.URL, Options{Name: "laptop"}); err != nil {
		t.Error(err)
	}
	if _, err := Begin(t.Context(), s.URL+"/moved", Options{Name: "laptop"}); err == nil || elsewhere {
		t.Errorf("a redirect is followed: %v", err)
	}
	for ip, ok := range map[string]bool{"127.0.0.1": true, "::1": true, "192.0.2.1": false, "10.0.0.1": false} {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		conn, err := onlyLocal(&distant{ours, &net.TCPAddr{IP: net.ParseIP(ip)}})
		if (err == nil) != ok || !ok && !errors.Is(err, client.ErrInsecure) {
			t.Errorf("%s: %v", ip, err)
		}
		if !ok {
			if _, err := ours.Write(nil); !errors.Is(err, io.ErrClosedPipe) {
				t.Errorf("%s is not closed: %v", ip, err)
			}
		}
		if conn != nil {
			conn.Close()
		}
	}
	for _, local := range []bool{true, false} {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &distant{ours, &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}, nil
		}}
		conn, err := restrict(transport, local).DialContext(t.Context(), "tcp", "h:80")
		if errors.Is(err, client.ErrInsecure) != local || (conn == nil) != local {
			t.Errorf("local %v: got %v, %v", local, conn, err)
		}
	}
}

// A device is revoked once; the second time is no error.
func TestRevoke(t *testing.T) {
	for status, ok := range map[int]bool{204: true, 401: true, 403: false, 404: false, 500: false} {
		var got string
		transport := transportOf(func(r *http.Request) (*http.Response, error) {
			got = r.Method + " " + r.URL.String() + " " + r.Header.Get("Authorization")
			return respond(answer{status: status}), nil
		})
		err := Revoke(t.Context(), "https://h/base", "TOKEN", Options{Transport: transport})
		if (err == nil) != ok || got != "DELETE https://h/base/v1/session Bearer TOKEN" {
			t.Errorf("%d: %v, asked with %q", status, err, got)
		}
	}
}

// distant is a connection to an address.
type distant struct {
	net.Conn
	remote net.Addr
}

func (d *distant) RemoteAddr() net.Addr { return d.remote }

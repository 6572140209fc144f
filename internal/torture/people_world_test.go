package torture

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban/internal/childtest"
)

// outcome is what somebody learns about a change that they asked for.
type outcome uint8

const (
	unknown outcome = iota // the server died, or said that it does not know
	acked
	refused
)

// world is a server with accounts, and the people that change them.
type world struct {
	*host
	t      *testing.T
	random *rand.Rand // of the goroutine of the campaign
	http   *http.Client
	admin  *http.Client // over admin.sock

	mu         sync.Mutex
	violations []string
	acks       int // changes
	refusals   int
	open       int // changes without an answer
	idle       int // changes that made no difference
	erased     int // accounts
	resumed    int // of them, those that had begun before the server died
}

func newWorld(t *testing.T, random *rand.Rand) *world {
	w := &world{host: newHost(t), t: t, random: random}
	w.web = childtest.Address(t)
	// Without idle connections nothing is sent twice behind the back of a test.
	w.http = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	w.admin = &http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(w.data, "admin.sock"))
		},
	}}
	return w
}

// violation records something that no server may do.
func (w *world) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.violations = append(w.violations, fmt.Sprintf(format, args...))
}

// alive reports whether the server has not died yet.
func (w *world) alive() bool {
	select {
	case <-w.exited:
		return false
	default:
		return true
	}
}

// answer is a response of the HTTP API.
type answer struct {
	outcome
	status int
	code   string
	body   []byte
	cookie string
}

// request asks the HTTP API with a secret; "" is none.
func (w *world) request(secret, method, path string, body any) answer {
	return w.ask(w.http, secret, method, path, body)
}

// operate asks over admin.sock.
func (w *world) operate(method, path string, body any) answer {
	return w.ask(w.admin, "", method, path, body)
}

func (w *world) ask(by *http.Client, secret, method, path string, body any) answer {
	a := w.exchange(by, secret, method, path, body)
	if method == http.MethodGet {
		return a
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch a.outcome {
	case acked:
		w.acks++
	case refused:
		w.refusals++
	default:
		w.open++
	}
	return a
}

func (w *world) exchange(by *http.Client, secret, method, path string, body any) (a answer) {
	var content io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			w.violation("%v", err)
			return a
		}
		content = bytes.NewReader(data)
	}
	r, err := http.NewRequest(method, "http://"+w.web+path, content)
	if err != nil {
		w.violation("%v", err)
		return a
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Origin", "http://"+w.web)
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	response, err := by.Do(r)
	if err != nil {
		return a
	}
	defer response.Body.Close()
	if a.body, err = io.ReadAll(response.Body); err != nil || response.StatusCode >= 500 {
		return answer{}
	}
	a.status, a.outcome = response.StatusCode, acked
	if a.status >= 400 {
		a.outcome = refused
		var problem struct{ Code string }
		json.Unmarshal(a.body, &problem)
		a.code = problem.Code
	}
	for _, c := range response.Cookies() {
		if strings.HasSuffix(c.Name, "kaban-browser") { // it is no sign-in
			continue
		}
		a.cookie = c.Value
	}
	return a
}

// field returns a text of the body.
func (a *answer) field(name string) string {
	var all map[string]any
	json.Unmarshal(a.body, &all)
	text, _ := all[name].(string)
	return text
}

// must fails the test unless a request of the set-up succeeds.
func (w *world) must(a answer, what string) answer {
	w.t.Helper()
	if a.outcome != acked {
		w.t.Fatalf("%s: %d %s\n%s", what, a.status, a.body, w.log)
	}
	return a
}

// signIn returns the secret of a new device.
func (w *world) signIn(username, password string) answer {
	return w.request("", http.MethodPost, "/v1/session", map[string]string{"username": username, "password": password})
}

// hash returns what a database keeps of a secret.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// line is a connection that speaks kaban/1.
type line struct {
	conn net.Conn
	r    *bufio.Reader
	refs int
	// heard gets the frames that are no answers.
	heard func(frame map[string]any)
}

// dial signs in with a secret.
func (w *world) dial(secret string) (*line, error) {
	conn, err := net.DialTimeout("tcp", w.address, patience)
	if err != nil {
		return nil, err
	}
	l := &line{conn: conn, r: bufio.NewReader(conn)}
	welcome, err := l.call(map[string]any{"type": "hello", "version": 1, "token": secret})
	if err == nil && welcome["type"] != "welcome" {
		err = fmt.Errorf("no welcome: %v", welcome)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return l, nil
}

// call sends a frame and returns its answer.
func (l *line) call(frame map[string]any) (map[string]any, error) {
	l.refs++
	ref := strconv.Itoa(l.refs)
	frame["ref"] = ref
	if err := l.send(frame); err != nil {
		return nil, err
	}
	for {
		answer, err := l.read()
		if err != nil {
			return nil, err
		}
		if answer["ref"] == ref {
			return answer, nil
		}
		if l.heard != nil {
			l.heard(answer)
		}
	}
}

func (l *line) send(frame map[string]any) error {
	data, err := json.Marshal(frame)
	if err != nil {
		return err
	}
	_, err = l.conn.Write(append(data, '\n'))
	return err
}

// read returns the next frame that is no ping.
func (l *line) read() (frame map[string]any, err error) {
	for {
		l.conn.SetReadDeadline(time.Now().Add(patience))
		data, err := l.r.ReadBytes('\n')
		if err != nil {
			return nil, err
		}
		frame = nil
		if err := json.Unmarshal(data, &frame); err != nil {
			return nil, err
		}
		switch frame["type"] {
		case "ping":
			if err := l.send(map[string]any{"type": "pong"}); err != nil {
				return nil, err
			}
		case "goodbye":
			return nil, errors.New("goodbye")
		default:
			return frame, nil
		}
	}
}

// outcomeOf returns what an answer to a frame says.
func outcomeOf(answer map[string]any, err error) (o outcome, code string) {
	code, _ = answer["code"].(string)
	switch {
	case err != nil, code == "unavailable", code == "internal":
		return unknown, code
	case answer["type"] == "error":
		return refused, code
	}
	return acked, ""
}

// count counts a change by a frame.
func (w *world) count(o outcome) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch o {
	case acked:
		w.acks++
	case refused:
		w.refusals++
	default:
		w.open++
	}
}

// secretOf returns the secret in a link.
func secretOf(link string) string {
	_, secret, _ := strings.Cut(link, "#")
	return secret
}

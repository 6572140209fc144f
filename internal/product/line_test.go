package product

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/coder/websocket"

	"kaban/internal/access"
)

type frame map[string]any

// code returns the code of an answer, or "" if it is no error.
func (f frame) code() string {
	if f["type"] != "error" {
		return ""
	}
	code, _ := f["code"].(string)
	return code
}

// driver is a front end as people use it. The requests of the scenarios are frames of
// kaban/1, which a driver sends in its own way.
type driver interface {
	// offers returns the action that a request is over this front end, or false if there
	// is no such request.
	offers(what string, action access.Action) (access.Action, bool)
	// sees changes the facts to those that the front end has of somebody.
	sees(s *scenario, f *access.Facts, what string)
	// has reports whether there can be such a scenario.
	has(s *scenario) bool
	// answer sends a request and returns the answer, whatever the type of a success is.
	answer(w *world, as string, f frame) frame
	// subscribes reports whether people are in rooms by connections.
	subscribes() bool
}

// lines is kaban/1. It is over TCP with a token by default.
type lines struct {
	overWebSocket bool
	cookie        bool // instead of a token
}

func (lines) offers(what string, action access.Action) (access.Action, bool) {
	return action, !onlyHTTP[what]
}
func (lines) sees(*scenario, *access.Facts, string) {}
func (l lines) has(s *scenario) bool                { return !l.cookie || s.credential == device }
func (lines) subscribes() bool                      { return true }

func (lines) answer(w *world, as string, f frame) frame {
	w.t.Helper()
	return w.as(as).answer(f)
}

// wirer carries lines.
type wirer interface {
	send(line []byte) error
	receive() ([]byte, error)
	Close() error
}

type stream struct {
	net.Conn
	reader *bufio.Reader
}

func (s stream) send(line []byte) error {
	s.SetDeadline(time.Now().Add(patience))
	_, err := s.Write(append(line, '\n'))
	return err
}

func (s stream) receive() ([]byte, error) { return s.reader.ReadBytes('\n') }

type socket struct{ *websocket.Conn }

func (s socket) send(line []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Write(ctx, websocket.MessageText, line)
}

func (s socket) receive() ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, line, err := s.Read(ctx)
	return line, err
}

func (s socket) Close() error { return s.CloseNow() }

// dial connects somebody in the way of the driver.
func (l lines) dial(w *world, as string) (wirer, error) {
	if !l.overWebSocket {
		c, err := net.Dial("tcp", w.address)
		return stream{c, bufio.NewReader(c)}, err
	}
	header := http.Header{"Origin": {w.url}}
	if l.cookie && w.cookies[as] != "" {
		header.Set("Cookie", "kaban="+w.cookies[as])
	}
	c, _, err := websocket.Dial(w.t.Context(), w.url+"/v1/socket", &websocket.DialOptions{HTTPClient: w.sockets(), HTTPHeader: header})
	if err != nil {
		return nil, err
	}
	c.SetReadLimit(1 << 20)
	return socket{c}, nil
}

// sockets returns a client without a limit of time.
func (w *world) sockets() *http.Client { return &http.Client{Transport: w.http.Transport} }

// hello is the first frame of somebody.
func (l lines) hello(w *world, as string) frame {
	switch token := w.tokens[as]; {
	case l.cookie && w.cookies[as] != "":
		return frame{"type": "hello", "version": 1}
	case token != "":
		return frame{"type": "hello", "version": 1, "token": token}
	}
	return frame{"type": "hello", "version": 1, "username": as}
}

// peer is a connection that speaks kaban/1.
type peer struct {
	w    *world
	wire wirer
	refs int
	name string
}

// connect connects somebody, and returns the answer to hello.
func (l lines) connect(w *world, as string) (*peer, frame) {
	w.t.Helper()
	c, err := l.dial(w, as)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	p := &peer{w: w, wire: c, name: as}
	return p, p.answer(l.hello(w, as))
}

// as returns the connection of somebody.
func (w *world) as(name string) *peer {
	w.t.Helper()
	if p := w.peers[name]; p != nil {
		return p
	}
	l, _ := w.front.(lines) // to prepare what other front ends are asked about
	p, a := l.connect(w, name)
	if code := a.code(); code != "" {
		w.t.Fatalf("hello of %s: %s", name, code)
	}
	w.peers[name] = p
	return p
}

// ask sends a request and returns the code of the answer, or "" if it is no error.
func (p *peer) ask(f frame) (code string) {
	p.w.t.Helper()
	return p.answer(f).code()
}

// answer sends a request and returns the answer.
func (p *peer) answer(f frame) frame {
	p.w.t.Helper()
	var a frame
	if err := json.Unmarshal(p.line(f), &a); err != nil {
		p.w.t.Fatal(err)
	}
	return a
}

// line sends a request and returns the answer as it comes.
func (p *peer) line(f frame) []byte {
	p.w.t.Helper()
	return p.await(p.send(f))
}

// send sends a request and returns its ref.
func (p *peer) send(f frame) (ref string) {
	p.w.t.Helper()
	p.refs++
	ref = fmt.Sprint("r", p.refs)
	f["ref"] = ref
	line, err := json.Marshal(f)
	if err != nil {
		p.w.t.Fatal(err)
	}
	if err := p.wire.send(line); err != nil {
		p.w.t.Fatalf("%s: %s: %v", p.name, line, err)
	}
	if f["type"] == "typing" { // it has no answer but an error
		p.wire.send([]byte(`{"type":"ping","ref":"` + ref + `"}`))
	}
	return ref
}

// await returns the answer with a ref as it comes.
func (p *peer) await(ref string) []byte {
	p.w.t.Helper()
	for {
		text, err := p.wire.receive()
		if err != nil {
			p.w.t.Fatalf("%s: no answer to %s: %v", p.name, ref, err)
		}
		var a struct{ Type, Ref string }
		if err := json.Unmarshal(text, &a); err != nil {
			p.w.t.Fatal(err)
		}
		if a.Type == "ping" {
			p.wire.send([]byte(`{"type":"pong"}`))
		}
		if a.Ref == ref {
			return text
		}
	}
}

// must is ask for a request that must succeed.
func (p *peer) must(f frame) {
	p.w.t.Helper()
	if a := p.answer(f); a.code() != "" {
		p.w.t.Fatalf("%s: %v: %v", p.name, f, a)
	}
}

// mustAll is must for requests that are sent before the first answer is read.
func (p *peer) mustAll(all []frame) {
	p.w.t.Helper()
	refs := make([]string, len(all))
	for i, f := range all {
		refs[i] = p.send(f)
	}
	for i, ref := range refs {
		var a frame
		if err := json.Unmarshal(p.await(ref), &a); err != nil {
			p.w.t.Fatal(err)
		}
		if a.code() != "" {
			p.w.t.Fatalf("%s: %v: %v", p.name, all[i], a)
		}
	}
}

// act returns a request about somebody in a room, with a new id.
func (p *peer) act(what, room, subject string, more frame) frame {
	return p.w.act(what, room, subject, more)
}

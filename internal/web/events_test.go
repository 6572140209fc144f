package web_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
	"kaban/internal/web"
)

// reader follows a stream as a browser does.
type reader struct {
	f      *fixture
	body   io.ReadCloser
	lines  *bufio.Scanner
	lastID string
	cancel context.CancelFunc
}

// event is what a browser would hand to a page.
type event struct {
	name string
	id   string
	data map[string]any
}

func (f *fixture) follow(query, lastID string) *reader {
	f.t.Helper()
	return f.followIn("lobby", query, "Last-Event-ID", lastID)
}

// followIn follows a room. headers are name, value, name, value …
func (f *fixture) followIn(room, query string, headers ...string) *reader {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), patience)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/v1/rooms/"+room+"/events"+query, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			request.Header.Set(headers[i], headers[i+1])
		}
	}
	got, err := f.client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	if got.StatusCode != 200 || got.Header.Get("Content-Type") != "text/event-stream" || got.Header.Get("Cache-Control") != "no-store" {
		f.t.Fatalf("got %s with the headers %v", got.Status, got.Header)
	}
	r := &reader{f: f, body: got.Body, lines: bufio.NewScanner(got.Body), cancel: cancel, lastID: request.Header.Get("Last-Event-ID")}
	r.lines.Buffer(nil, 1<<20)
	f.t.Cleanup(r.close)
	return r
}

func (r *reader) close() { r.cancel(); r.body.Close() }

// next returns the next event; presence is left out.
func (r *reader) next() (e event, err error) {
	for r.lines.Scan() {
		name, value, _ := strings.Cut(r.lines.Text(), ": ")
		switch {
		case r.lines.Text() == "" && e.data != nil:
			if e.name != "presence" {
				return e, nil
			}
			e = event{}
		case name == "event":
			e.name = value
		case name == "id":
			e.id, r.lastID = value, value
		case name == "data":
			if err := json.Unmarshal([]byte(value), &e.data); err != nil {
				return e, fmt.Errorf("the data %q: %w", value, err)
			}
		}
	}
	if err := r.lines.Err(); err != nil {
		return e, err
	}
	return e, io.EOF
}

func (r *reader) expect(name string, fields ...any) event {
	r.f.t.Helper()
	e, err := r.next()
	if err != nil {
		r.f.t.Fatalf("waiting for %s: %v", name, err)
	}
	if e.name != name {
		r.f.t.Fatalf("got %+v, want %s %v", e, name, fields)
	}
	for i := 0; i < len(fields); i += 2 {
		if got := fmt.Sprint(e.data[fields[i].(string)]); got != fmt.Sprint(fields[i+1]) {
			r.f.t.Fatalf("%s: got %s, want %v in %+v", fields[i], got, fields[i+1], e)
		}
	}
	return e
}

func TestEvents(t *testing.T) {
	f := serve(t)
	f.say("lobby", "1", "bot", "before")
	live := f.follow("", "")
	if e := live.expect("joined", "head", 1, "members", 0, "room", "lobby"); e.id != f.dispatcher.Epoch()+":1" {
		t.Errorf("it begins at %s", e.id)
	}
	all := f.follow("?after=0&epoch="+f.dispatcher.Epoch(), "")
	all.expect("joined", "head", 1)
	all.expect("message", "seq", 1, "content", "before", "type", "message")
	f.say("lobby", "2", "bot", "two\nlines and \u2028 one more")
	for _, r := range []*reader{live, all} {
		if e := r.expect("message", "seq", 2, "content", "two\nlines and \u2028 one more", "username", "bot"); e.id != f.dispatcher.Epoch()+":2" {
			t.Errorf("its id is %s", e.id)
		}
	}
	// Who reads a stream is nobody.
	f.get("/v1/rooms/lobby").has(t, 200, "members", 0)
	f.get("/v1/rooms/lobby/members").has(t, 200, "usernames", "[]")
}

// A stream that is cut anywhere goes on without a gap or a repeat, also far
// behind what is in memory.
func TestEventsResume(t *testing.T) {
	f := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	room, err := f.dial("ann").Join(ctx, "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 1200
	var last *client.Pending
	for i := range n {
		if last, err = room.Post(ctx, fmt.Sprint(i+1, strings.Repeat("x", 1000))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := last.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	id, got := f.dispatcher.Epoch()+":0", 0
	for step := 1; got < n; step = step*2%777 + 1 {
		r := f.follow("?after=5", id) // the header beats the parameter
		r.expect("joined", "head", n)
		for range min(step, n-got) {
			got++
			r.expect("message", "seq", got)
		}
		id = r.lastID
		r.close()
	}
}

func TestEventsResync(t *testing.T) {
	f := start(t, web.Config{}, memory.New(2048))
	for i := range 50 {
		f.say("lobby", fmt.Sprint(i), "bot", strings.Repeat("x", 100))
	}
	epoch := f.dispatcher.Epoch()
	for _, id := range []string{"OTHER:5", epoch + ":51", epoch + ":1"} {
		r := f.follow("", id)
		e := r.expect("resync", "code", "resync", "epoch", epoch, "head", 50, "room", "lobby")
		if e.id != epoch+":50" || e.data["oldest"].(float64) < 2 {
			t.Errorf("%s: got %+v", id, e)
		}
		r.close()
	}
	r := f.follow("", epoch+":1")
	r.expect("resync")
	f.say("lobby", "50", "bot", "and on")
	r.expect("message", "seq", 51)
	for _, bad := range []string{"nonsense", ":5", epoch + ":", epoch + ":-1", epoch + ":1e3", epoch + ":9007199254740992", strings.Repeat("x", 129) + ":1"} {
		f.get("/v1/rooms/lobby/events", "Last-Event-ID", bad).has(t, 400, "code", "bad_field", "field", "Last-Event-ID")
	}
}

// A stream ends with goodbye when the server drains, and the drain does not wait
// for anything else.
func TestEventsDrain(t *testing.T) {
	f := serve(t)
	r := f.follow("", "")
	r.expect("joined")
	f.get("/readyz").has(t, 200)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f.web.Shutdown(ctx) }()
	r.expect("goodbye", "reason", "draining", "reconnect_after_ms", 1000)
	if e, err := r.next(); err != io.EOF {
		t.Errorf("got %+v, %v", e, err)
	}
	if err := <-done; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// Streams are bounded, and a slot comes free when one ends.
func TestMaxStreams(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	f := start(t, web.Config{MaxStreams: 2}, nil)
	first, second := f.follow("", ""), f.follow("", "")
	f.get("/v1/rooms/lobby/events").has(t, 503, "code", "server_full")
	first.expect("joined")
	first.close()
	for deadline := time.Now().Add(patience); ; {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+"/v1/rooms/lobby/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got.Body.Close()
		if got.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the slot does not come free")
		}
	}
	second.expect("joined")
}

// A quiet stream shows that it is there.
func TestEventsHeartbeat(t *testing.T) {
	f := start(t, web.Config{Heartbeat: 20 * time.Millisecond}, nil)
	r := f.follow("", "")
	r.expect("joined")
	for r.lines.Scan() {
		if r.lines.Text() == ": still here" {
			return
		}
	}
	t.Error("the stream has ended")
}

// A drain does not wait for a client that asks for much and reads nothing.
func TestEventsDrainADeafReader(t *testing.T) {
	f := serve(t)
	// In all more than the kernel takes for a reader.
	content := strings.Repeat("🐢", kaban.DefaultMaxContent)
	for i := range 600 {
		if _, err := f.dispatcher.Post(t.Context(), dispatch.Send{Draft: storetest.Draft(t, "lobby", "bot", strconv.Itoa(i), content)}, func() {}); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("tcp", f.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.(*net.TCPConn).SetReadBuffer(4096)
	fmt.Fprintf(conn, "GET /v1/rooms/lobby/events?after=0 HTTP/1.1\r\nHost: %s\r\n\r\n", f.host)
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // it fills up; the test would pass without
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := f.web.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// HEAD says what GET would, and ends.
func TestEventsHead(t *testing.T) {
	f := serve(t)
	got := f.raw("HEAD /v1/rooms/lobby/events HTTP/1.1\r\nHost: " + f.host + "\r\nConnection: close\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.Contains(got, "text/event-stream") {
		t.Errorf("got %q", got)
	}
}

// A stream whose reader may not read any more ends at once.
func TestEventsEndWithTheRight(t *testing.T) {
	f := start(t, web.Config{Heartbeat: time.Hour}, nil)
	live := f.follow("", "")
	live.expect("joined")
	f.dispatcher.Expel(f.dispatcher.Peek(storetest.RoomName(t, "lobby")), "gone", func(dispatch.Reader) bool { return true })
	live.expect("parted", "room", "lobby", "reason", "gone")
	if e, err := live.next(); !errors.Is(err, io.EOF) {
		t.Errorf("then %+v, %v", e, err)
	}
}

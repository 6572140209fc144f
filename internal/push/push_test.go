package push

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// browser is the receiver of RFC 8291. It shares no code with the sender: it derives its keys
// with HMAC, step by step as in section 3.4.
type browser struct {
	private *ecdh.PrivateKey
	auth    []byte
}

func newBrowser(t testing.TB) *browser {
	t.Helper()
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	auth := make([]byte, 16)
	rand.Read(auth)
	return &browser{private, auth}
}

// subscribe returns the subscription of a browser.
func (b *browser) subscribe(t testing.TB, endpoint string) *Subscription {
	t.Helper()
	s, err := ParseSubscription(endpoint, text(b.private.PublicKey().Bytes()), text(b.auth))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func text(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}

// open decrypts a body.
func (b *browser) open(body []byte) ([]byte, error) {
	if len(body) < 21 {
		return nil, errors.New("no header")
	}
	salt, size, length := body[:16], binary.BigEndian.Uint32(body[16:20]), int(body[20])
	if len(body) < 21+length {
		return nil, errors.New("the header is cut")
	}
	sender, record := body[21:21+length], body[21+length:]
	if len(record) > int(size) {
		return nil, fmt.Errorf("there is more than one record: %d bytes of %d", len(record), size)
	}
	public, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, err
	}
	shared, err := b.private.ECDH(public)
	if err != nil {
		return nil, err
	}
	one := []byte{1}
	material := mac(mac(b.auth, shared), []byte("WebPush: info\x00"), b.private.PublicKey().Bytes(), sender, one)
	prk := mac(salt, material)
	block, err := aes.NewCipher(mac(prk, []byte("Content-Encoding: aes128gcm\x00"), one)[:16])
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	padded, err := gcm.Open(nil, mac(prk, []byte("Content-Encoding: nonce\x00"), one)[:12], record, nil)
	if err != nil {
		return nil, err
	}
	content := bytes.TrimRight(padded, "\x00")
	if len(content) == 0 || content[len(content)-1] != 2 {
		return nil, errors.New("the padding of the last record is wrong")
	}
	return content[:len(content)-1], nil
}

// received is a push as a push service of the tests gets it.
type received struct {
	at      time.Time
	host    string
	path    string
	header  http.Header
	size    int
	payload payload
}

// reply is what a push service of the tests answers.
type reply struct {
	status int
	header map[string]string
	err    error // instead of an answer
	hang   bool  // until the request ends
	slow   time.Duration
}

// event is a call of Drop or Mark.
type event struct {
	account, subscription string
	why                   Reason    // of Drop
	since                 time.Time // of Mark
}

// world is a Service with browsers and push services. Its mutex guards everything else.
type world struct {
	t testing.TB
	*Service

	mu       sync.Mutex
	browsers map[string]*browser // by host and path
	pushes   []received
	tries    int // requests, whatever became of them
	answer   func(r received) reply
	compose  func(n Notice) (Message, error)
	events   []event
	log      bytes.Buffer
	flying   map[string]int // requests under way, by host
	most     map[string]int // of them at once
	day      time.Duration  // how wrong the time of day is
}

// newWorld returns a world in which every push is taken.
func newWorld(t testing.TB, change func(*Config)) *world {
	t.Helper()
	w := &world{t: t, browsers: make(map[string]*browser), flying: make(map[string]int), most: make(map[string]int)}
	config := Config{
		Key: testKey(t), Subject: "https://chat.example.org", Transport: w,
		Compose: func(_ context.Context, n Notice) (Message, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.compose != nil {
				return w.compose(n)
			}
			return Message{Room: n.Room, Seq: n.Seq, From: "alice", Text: fmt.Sprint("text ", n.Seq), Cause: CauseRoom}, nil
		},
		Drop: func(_ context.Context, account, subscription string, why Reason) {
			w.note(event{account: account, subscription: subscription, why: why})
		},
		Mark: func(_ context.Context, account, subscription string, since time.Time) {
			w.note(event{account: account, subscription: subscription, since: since})
		},
		Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return time.Now().Add(w.day)
		},
	}
	if change != nil {
		change(&config)
	}
	service, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	w.Service = service
	return w
}

var testKey = func() func(t testing.TB) *Key {
	made := sync.OnceValues(NewKey)
	return func(t testing.TB) *Key {
		t.Helper()
		key, err := made()
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
}()

func (w *world) note(e event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// Write takes a line of the log.
func (w *world) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(line)
}

func (w *world) logged() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}

// setDay sets how wrong the time of day is.
func (w *world) setDay(wrong time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.day = wrong
}

// answers sets what push services answer.
func (w *world) answers(answer func(r received) reply) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer = answer
}

func always(status int) func(received) reply {
	return func(received) reply { return reply{status: status} }
}

// RoundTrip is all push services.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.begin(r.URL.Host)
	defer w.end(r.URL.Host)
	got := received{at: time.Now(), host: r.URL.Host, path: r.URL.Path, header: r.Header, size: len(body)}
	a := w.receive(&got, body)
	if a.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if a.err != nil {
		return nil, a.err
	}
	time.Sleep(a.slow)
	answer := &http.Response{StatusCode: a.status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("{}")), Request: r}
	for name, value := range a.header {
		answer.Header.Set(name, value)
	}
	return answer, nil
}

func (w *world) begin(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tries++
	w.flying[host]++
	w.most[host] = max(w.most[host], w.flying[host])
}

func (w *world) end(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying[host]--
}

// receive decrypts a push and keeps it if it is taken.
func (w *world) receive(got *received, body []byte) reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b := w.browsers[got.host+got.path]; b != nil {
		content, err := b.open(body)
		if err != nil {
			w.t.Errorf("%s: a browser cannot read a push: %v", got.path, err)
		} else if err := json.Unmarshal(content, &got.payload); err != nil {
			w.t.Errorf("%s: %q: %v", got.path, content, err)
		}
	}
	a := reply{status: http.StatusCreated}
	if w.answer != nil {
		a = w.answer(*got)
	}
	if a.err == nil && !a.hang && a.status/100 == 2 {
		w.pushes = append(w.pushes, *got)
	}
	return a
}

// subscribe returns the subscription of a new browser at a host.
func (w *world) subscribe(host, name string) *Subscription {
	w.t.Helper()
	path := "/send/" + name
	b := newBrowser(w.t)
	w.mu.Lock()
	w.browsers[host+path] = b
	w.mu.Unlock()
	return b.subscribe(w.t, "https://"+host+path)
}

// push pushes or fails the test.
func (w *world) push(to *Subscription, n Notice) {
	w.t.Helper()
	if err := w.Push(to, n); err != nil {
		w.t.Fatal(err)
	}
}

// got returns what browsers have got, and forgets it.
func (w *world) got() []received {
	w.mu.Lock()
	defer w.mu.Unlock()
	pushes := w.pushes
	w.pushes = nil
	return pushes
}

// tried returns how many requests were made, and begins to count anew.
func (w *world) tried() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.tries
	w.tries = 0
	return n
}

// told returns what Drop and Mark were called with, and forgets it.
func (w *world) happened() []event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// close closes the service and checks what must be true of any.
func (w *world) close() {
	w.t.Helper()
	if err := w.Close(w.t.Context()); err != nil {
		w.t.Errorf("close: %v", err)
	}
	w.balance()
	if s := w.Stats(); s.Queued != 0 || s.InFlight != 0 {
		w.t.Errorf("after Close %d notices wait and %d attempts are made", s.Queued, s.InFlight)
	}
}

// balance checks that every notice is in one place.
func (w *world) balance() {
	w.t.Helper()
	s := w.Stats()
	sum := s.Delivered + s.Replaced + s.Withdrawn + s.Expired + s.Displaced + s.Gone + s.Refused + s.Lost + uint64(s.Queued+s.InFlight)
	if sum != s.Pushed {
		w.t.Errorf("%d notices were pushed, and %d are accounted for: %+v", s.Pushed, sum, s)
	}
}

// inBubble runs a test with a clock of its own.
func inBubble(t *testing.T, change func(*Config), do func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, change)
		defer w.close()
		do(t, w)
	})
}

// pass lets time pass.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// notice returns a notice for alice's account in the lobby.
func notice(seq uint64) Notice { return Notice{Account: "alice", Room: "lobby", Seq: seq} }

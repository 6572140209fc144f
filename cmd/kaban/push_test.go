package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/guard"
	"kaban/internal/logs/logstest"
	"kaban/internal/push"
	"kaban/internal/store/sqlite"
)

// The variables with which the program of the tests dials the push service of a test. The program of
// an operator does not have this file.
const (
	pushPort  = "TEST_PUSH_PORT"
	pushRoots = "TEST_PUSH_ROOTS"
)

func init() {
	port, err := strconv.ParseUint(os.Getenv(pushPort), 10, 16)
	if os.Getenv(asCommand) == "" || err != nil {
		return
	}
	roots := x509.NewCertPool()
	text, err := os.ReadFile(os.Getenv(pushRoots))
	if err != nil || !roots.AppendCertsFromPEM(text) {
		panic("no certificates of the push service")
	}
	pushGuard.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	pushGuard.Ports, pushGuard.RootCAs = []uint16{uint16(port)}, roots
}

// phone is a browser, as far as its push service and RFC 8291 see it.
type phone struct {
	name string
	key  *ecdh.PrivateKey
	auth []byte
}

func newPhone(t *testing.T, name string) *phone {
	t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &phone{name, key, make([]byte, 16)}
	rand.Read(p.auth)
	return p
}

// open decrypts what a push service has been sent: RFC 8188 and 8291, by this file alone.
func (p *phone) open(body []byte) ([]byte, error) {
	if len(body) < 21+65 || body[20] != 65 {
		return nil, fmt.Errorf("%d bytes are no record", len(body))
	}
	salt, sender, record := body[:16], body[21:86], body[86:]
	if size := binary.BigEndian.Uint32(body[16:20]); int(size) < len(record) {
		return nil, fmt.Errorf("a record of %d bytes says it has %d", len(record), size)
	}
	theirs, err := ecdh.P256().NewPublicKey(sender)
	if err != nil {
		return nil, err
	}
	shared, err := p.key.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	info := slices.Concat([]byte("WebPush: info\x00"), p.key.PublicKey().Bytes(), sender)
	secret, err := hkdf.Key(sha256.New, shared, p.auth, string(info), 32)
	if err != nil {
		return nil, err
	}
	extracted, err := hkdf.Extract(sha256.New, secret, salt)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Expand(sha256.New, extracted, "Content-Encoding: aes128gcm\x00", 16)
	nonce, err2 := hkdf.Expand(sha256.New, extracted, "Content-Encoding: nonce\x00", 12)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	plain, err := gcm.Open(nil, nonce, record, nil)
	if err != nil {
		return nil, err
	}
	end := bytes.LastIndexByte(plain, 2)
	if end < 0 || strings.Trim(string(plain[end+1:]), "\x00") != "" {
		return nil, errors.New("the record is not padded as RFC 8188 says")
	}
	return plain[:end], nil
}

// pushService is a push service. It answers as a test says, and gives what it takes to the phones.
type pushService struct {
	*httptest.Server
	t      *testing.T
	got    chan got
	mu     sync.Mutex
	phones map[string]*phone
	answer map[string]int // a status by the name of the phone; 201 by default
}

// got is what a phone was sent.
type got struct {
	Phone string
	Room  string
	Seq   uint64
	From  string
	Text  string
	Cause string
}

func newPushService(t *testing.T, phones ...*phone) *pushService {
	s := &pushService{t: t, got: make(chan got, 100), phones: make(map[string]*phone), answer: make(map[string]int)}
	for _, p := range phones {
		s.phones[p.name] = p
	}
	s.Server = httptest.NewTLSServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

func (s *pushService) answers(name string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer[name] = status
}

func (s *pushService) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.TrimPrefix(r.URL.Path, "/send/s3cret-")
	p := s.phones[name]
	body, err := io.ReadAll(r.Body)
	if p == nil || err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Encoding") != "aes128gcm" || !strings.HasPrefix(r.Header.Get("Authorization"), "vapid t=") {
		s.t.Errorf("the push service got %s %s with %v", r.Method, r.URL.Path, r.Header)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	status := s.answer[name]
	if status == 0 {
		status = http.StatusCreated
	}
	if status == http.StatusRequestEntityTooLarge && len(body) <= 1024 {
		status = http.StatusCreated // without the text it fits
	}
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
		s.answer[name] = 0
	}
	w.WriteHeader(status)
	plain, err := p.open(body)
	g := got{Phone: name}
	if err := errors.Join(err, json.Unmarshal(plain, &g)); err != nil {
		s.t.Errorf("%s cannot read its push: %v", name, err)
	}
	if status == http.StatusCreated {
		s.got <- g
	}
}

// next returns what is delivered next.
func (s *pushService) next() got {
	s.t.Helper()
	select {
	case g := <-s.got:
		return g
	case <-time.After(time.Minute):
		s.t.Fatal("nothing is pushed")
		return got{}
	}
}

// endpoint returns where a phone is reached.
func (s *pushService) endpoint(name string) string {
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	return "https://127.0.0.1:" + port + "/send/s3cret-" + name
}

// household is a server in a process of its own, with the accounts olga and ben.
type household struct {
	t       *testing.T
	data    string
	url     string
	service *pushService
	secrets map[string]string // of devices, by username
	log     logstest.Buffer
	command *exec.Cmd
}

func newHousehold(t *testing.T, service *pushService) *household {
	h := &household{t: t, data: filepath.Join(t.TempDir(), "data"), service: service, secrets: make(map[string]string)}
	s, err := sqlite.Open(t.Context(), h.data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	accounts := account.New(s, account.Options{})
	claim, err := accounts.NewClaim(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const password = "correct horse battery"
	owner, err := accounts.ClaimServer(t.Context(), claim, account.NewAccount{Username: "olga", Password: password}, "", account.Device{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = accounts.AddAccount(t.Context(), owner.Session.Principal.As(""), account.NewPerson{NewAccount: account.NewAccount{Username: "ben", Password: password}, Role: kaban.RoleMember})
	if err != nil {
		t.Fatal(err)
	}
	ben, err := accounts.SignInWithPassword(t.Context(), "ben", password, account.Device{})
	if err != nil {
		t.Fatal(err)
	}
	h.secrets["olga"], h.secrets["ben"] = owner.Session.Secret, ben.Secret
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	h.start()
	return h
}

// start starts the server, and waits until it serves.
func (h *household) start() {
	h.t.Helper()
	roots := filepath.Join(h.t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.service.Certificate().Raw}), 0o600); err != nil {
		h.t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	h.command = exec.CommandContext(context.Background(), program, "serve", "--data", h.data, "--listen", "http://127.0.0.1:0")
	_, port, _ := net.SplitHostPort(h.service.Listener.Addr().String())
	h.command.Env = append(os.Environ(), asCommand+"=1", pushPort+"="+port, pushRoots+"="+roots)
	pipe, err := h.command.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := h.command.Start(); err != nil {
		h.t.Fatal(err)
	}
	ready := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			fmt.Fprintln(&h.log, lines.Text())
			if _, at, ok := strings.Cut(lines.Text(), "url=http"); ok {
				h.url = "http" + strings.Fields(at)[0]
			}
			if strings.Contains(lines.Text(), "msg=ready") {
				close(ready)
			}
		}
	})
	command := h.command
	h.t.Cleanup(func() {
		_ = command.Process.Signal(os.Interrupt)
		reading.Wait()
		_ = command.Wait()
	})
	select {
	case <-ready:
	case <-time.After(time.Minute):
		h.t.Fatalf("the server does not serve:\n%s", h.log.String())
	}
}

// stop ends the server.
func (h *household) stop() {
	h.t.Helper()
	if err := h.command.Process.Signal(os.Interrupt); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.command.Process.Wait(); err != nil {
		h.t.Fatal(err)
	}
}

// ask makes a request of somebody, and returns the answer.
func (h *household) ask(username, method, path string, body any) map[string]any {
	h.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, bytes.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+h.secrets[username])
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		h.t.Fatalf("%s %s is answered with %s %s, %v", method, path, response.Status, answer, err)
	}
	var fields map[string]any
	_ = json.Unmarshal(answer, &fields) // some have none
	return fields
}

// subscribe has a phone notified of somebody's messages.
func (h *household) subscribe(username string, p *phone) {
	h.t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	h.ask(username, "POST", "/v1/push/subscriptions", map[string]any{
		"endpoint": h.service.endpoint(p.name), "expirationTime": nil,
		"keys": map[string]string{"p256dh": encode(p.key.PublicKey().Bytes()), "auth": encode(p.auth)},
	})
}

// say posts a message, and returns its seq.
func (h *household) say(username, content string) uint64 {
	h.t.Helper()
	return uint64(h.ask(username, "POST", "/v1/rooms/lobby/messages", map[string]string{"id": rand.Text(), "content": content})["seq"].(float64))
}

// subscriptions returns how many somebody has.
func (h *household) subscriptions(username string) int {
	h.t.Helper()
	return len(h.ask(username, "GET", "/v1/push/subscriptions", nil)["subscriptions"].([]any))
}

// TestServePushes has the phone of ben notified by a real server through a push service, from the message
// to the text that the phone decrypts.
func TestServePushes(t *testing.T) {
	t.Parallel()
	bens := newPhone(t, "ben")
	service := newPushService(t, bens)
	h := newHousehold(t, service)
	h.ask("ben", "GET", "/v1/account", nil)
	h.subscribe("ben", bens)

	seq := h.say("olga", "@ben *look* at this")
	if g, want := service.next(), (got{"ben", "lobby", seq, "olga", "@ben look at this", "mention"}); g != want {
		t.Errorf("ben is told %+v, want %+v", g, want)
	}
	// What he has read meanwhile is not pushed: the next one that comes is another, which does not take
	// its place.
	h.ask("ben", "PUT", "/v1/account/notifications", map[string]string{"level": "all"})
	read := h.say("olga", "@ben read on the laptop")
	h.ask("ben", "PUT", "/v1/rooms/lobby/read", map[string]uint64{"seq": read})
	seq = h.say("olga", "plain")
	if g, want := service.next(), (got{"ben", "lobby", seq, "olga", "plain", "room"}); g != want {
		t.Errorf("ben is told %+v, want %+v", g, want)
	}
	h.ask("ben", "PUT", "/v1/push", map[string]string{"content": "hint"})
	h.say("olga", "@ben secret")
	if g, want := service.next(), (got{Phone: "ben"}); g != want {
		t.Errorf("ben is told %+v, want only a hint", g)
	}
	h.ask("ben", "PUT", "/v1/push", map[string]string{"content": "text"})
	for _, status := range []int{429, 413} {
		service.answers("ben", status)
		seq := h.say("olga", "@ben "+strings.Repeat("漢", 300))
		g := service.next()
		if short := status == 413; g.Seq != seq || (g.Text == "") != short {
			t.Errorf("after %d: ben is told %+v", status, g)
		}
	}
	service.answers("ben", 410)
	h.say("olga", "@ben gone")
	for until := time.Now().Add(time.Minute); h.subscriptions("ben") > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("a subscription that has ended is kept")
		}
	}
	h.stop()
	if log := h.log.String(); strings.Contains(log, "s3cret") || strings.Contains(log, "secret") || !strings.Contains(log, "subscription to pushes was dropped") {
		t.Errorf("the log has\n%s", log)
	}
}

// The key is made once, and a backup takes it along.
func TestThePushKeyIsKept(t *testing.T) {
	t.Parallel()
	service := newPushService(t)
	h := newHousehold(t, service)
	key := h.ask("ben", "GET", "/v1/push", nil)["application_server_key"]
	said := h.ask("ben", "POST", "/v1/rooms/lobby/messages", map[string]any{"id": "slip", "content": "a slip"})
	h.ask("ben", "DELETE", fmt.Sprint("/v1/rooms/lobby/messages/", said["seq"], "?id=gone"), nil)
	h.stop()
	path := filepath.Join(h.data, push.KeyName)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key has %v, %v", info, err)
	}
	backups := t.TempDir()
	file := filepath.Join(backups, "one.kaban")
	if code, output := process(t, nil, "", "backup", "--data", h.data, file); code != 0 || !strings.Contains(output, "put "+push.KeyName+" beside it") {
		t.Fatalf("backup: %d %s", code, output)
	}
	if info, err := os.Stat(filepath.Join(backups, push.KeyName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("beside the backup is %v, %v", info, err)
	}
	restored := filepath.Join(t.TempDir(), "restored")
	code, output := process(t, nil, "", "restore", "--data", restored, file)
	if code != 0 || !strings.Contains(output, "restored "+filepath.Join(restored, push.KeyName)) {
		t.Fatalf("restore: %d %s", code, output)
	}
	h.data = restored
	h.start()
	if again := h.ask("ben", "GET", "/v1/push", nil)["application_server_key"]; again != key || key == "" {
		t.Errorf("the restored server has the key %v, and the one before had %v", again, key)
	}
	h.stop()
	other := filepath.Join(t.TempDir(), "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	kept, _, err := push.OpenKey(other)
	if err != nil {
		t.Fatal(err)
	}
	code, output = process(t, nil, "", "restore", "--data", other, file)
	if code != 0 || !strings.Contains(output, "there is another key for Web Push") {
		t.Errorf("restore beside another key: %d %s", code, output)
	}
	if now, _, err := push.OpenKey(other); err != nil || now.Public() != kept.Public() {
		t.Errorf("the other key was replaced: %v", err)
	}
	// A key that cannot be taken along keeps nothing else back: what was deleted stays so.
	folder := t.TempDir()
	if _, err := push.CopyKey(other, folder); err != nil {
		t.Fatal(err)
	}
	code, output = process(t, nil, "", "backup", "--data", h.data, filepath.Join(folder, "two.kaban"))
	if code == 0 || !strings.Contains(output, "the backup is complete, but the key") {
		t.Errorf("backup beside another key: %d %s", code, output)
	}
	if there, err := os.ReadDir(ledgerOf(folder)); err != nil || len(there) == 0 {
		t.Errorf("beside that backup is the ledger %v, %v", there, err)
	}
}

// A push service on this machine, or in its network, is not dialled by the program of an operator.
func TestPushesAreGuarded(t *testing.T) {
	if pushGuard.Allowed != nil || !pushGuard.HTTPSOnly || pushGuard.Redirects != -1 || pushGuard.RootCAs != nil || !slices.Equal(pushGuard.Ports, []uint16{443}) {
		t.Errorf("pushes go through %+v", pushGuard)
	}
	options := pushGuard
	options.Resolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no name server") }}
	g, err := guard.New(options)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	p := pushes{guard: g}
	if err := p.check(t.Context(), "https://push.example/x"); err != nil {
		t.Errorf("a subscription that may be reached: %v", err)
	}
	for _, address := range []string{"https://127.0.0.1/x", "https://10.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/x", "http://192.0.2.1/x", "https://192.0.2.1:8443/x"} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		refused, ok := errors.AsType[*push.SubscriptionError](p.check(t.Context(), address))
		if !ok || refused.Field != "endpoint" || strings.Contains(refused.Error(), u.Hostname()) {
			t.Errorf("a subscription at %s: %v", address, refused)
		}
		if response, err := g.RoundTrip(&http.Request{Method: http.MethodPost, URL: u, Header: http.Header{}}); err == nil {
			response.Body.Close()
			t.Errorf("%s is dialled", address)
		}
	}
}

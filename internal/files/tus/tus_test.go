package tus

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kaban/internal/files"
	"kaban/internal/files/filestest"
	"kaban/internal/files/upload"
)

// Each request leaves a goroutine of tusd's, which ends by itself a moment later.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/tus/tusd/v2/pkg/handler.newDelayedContext.func1"))
}

type ownerKey struct{}

// world is a server over a staging directory.
type world struct {
	*testing.T
	dir     string
	limits  upload.Limits
	staging *upload.Staging
	server  *httptest.Server

	mu   sync.Mutex
	done map[string][]byte // by id; guarded by mu
	fail error             // what Done returns; guarded by mu
	// calls counts those of Done, and during is called in each; guarded by mu.
	calls  int
	during func(upload.Info, files.Staged)
	log    bytes.Buffer // of all levels; guarded by mu
}

// Write is that of the log.
func (w *world) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(p)
}

// logged returns the lines of a level, and checks that none of the log has an id.
func (w *world) logged(level slog.Level, ids ...string) int {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if strings.Contains(w.log.String(), filepath.Base(id)) {
			w.Errorf("the log has an id:\n%s", w.log.String())
		}
	}
	return strings.Count(w.log.String(), "level="+level.String()+" ")
}

func newWorld(t *testing.T, limits upload.Limits) *world {
	t.Helper()
	w := &world{T: t, dir: t.TempDir(), limits: limits, done: make(map[string][]byte)}
	w.start()
	t.Cleanup(func() { w.server.Close() })
	return w
}

// start begins a server; what one before has left is there.
func (w *world) start() {
	w.Helper()
	var err error
	if w.staging, err = upload.Open(upload.Config{Dir: w.dir, Limits: w.limits, Log: slog.New(slog.NewTextHandler(w, nil))}); err != nil {
		w.Fatal(err)
	}
	h, err := New(Config{
		Staging: w.staging, MaxSize: w.limits.Size, Path: "/chat/v1/uploads",
		Owner: func(ctx context.Context) (string, error) { return ctx.Value(ownerKey{}).(string), nil },
		Done:  w.finish,
		Refuse: func(err error) (Refusal, bool) {
			return Refusal{Status: http.StatusRequestEntityTooLarge, Code: "quota_exceeded", Message: "it is full", Final: true}, errors.Is(err, errQuota)
		},
		Log: slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		w.Fatal(err)
	}
	h = http.StripPrefix("/chat/v1/uploads", h)
	w.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		owner := r.Header.Get("Test-Owner")
		if owner == "" {
			owner = "ann"
		}
		h.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), ownerKey{}, owner)))
	}))
}

func (w *world) finish(_ context.Context, info upload.Info, staged files.Staged) (http.Header, error) {
	w.mu.Lock()
	during := w.during
	w.calls++
	w.mu.Unlock()
	if during != nil {
		during(info, staged)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fail != nil {
		return nil, w.fail
	}
	data, err := os.ReadFile(staged.Path)
	if err != nil || staged.Sum != sha256.Sum256(data) {
		return nil, fmt.Errorf("%+v: %w", staged, err)
	}
	w.done[info.ID] = data
	return http.Header{"Kaban-File": {info.Name}}, nil
}

// failDone makes Done fail from now on.
func (w *world) failDone(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail = err
}

// finished returns the bytes of a file that is done, or nil.
func (w *world) finished(id string) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[id]
}

// ask makes a request of tus. Headers are given as names and values.
func (w *world) ask(method, path string, body io.Reader, headers ...string) *http.Response {
	w.Helper()
	resp, err := w.try(method, path, body, headers...)
	if err != nil {
		w.Fatal(err)
	}
	return resp
}

// try is ask for a request whose connection the server may close.
func (w *world) try(method, path string, body io.Reader, headers ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(w.Context(), method, w.server.URL+path, body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.server.Client().Do(r)
	if err != nil {
		return nil, err
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, nil
}

func bodyOf(resp *http.Response) string {
	text, _ := io.ReadAll(resp.Body)
	return string(text)
}

// create begins an upload and returns its path.
func (w *world) create(length int, headers ...string) string {
	w.Helper()
	resp := w.ask("POST", "/chat/v1/uploads/", nil, append([]string{"Upload-Length", strconv.Itoa(length)}, headers...)...)
	path := resp.Header.Get("Location")
	if resp.StatusCode != 201 || !strings.HasPrefix(path, "/chat/v1/uploads/") {
		w.Fatalf("POST: %d %s, at %q", resp.StatusCode, bodyOf(resp), path)
	}
	return path
}

func (w *world) patch(path string, offset int, body io.Reader) *http.Response {
	w.Helper()
	return w.ask("PATCH", path, body, "Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream")
}

// offset returns that of an upload; below zero if there is none.
func (w *world) offset(path string) int {
	w.Helper()
	resp := w.ask("HEAD", path, nil)
	if resp.StatusCode != 200 {
		return -resp.StatusCode
	}
	n, err := strconv.Atoi(resp.Header.Get("Upload-Offset"))
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) status(what string, resp *http.Response, want int) {
	w.Helper()
	if resp.StatusCode != want {
		w.Errorf("%s: %d %s, want %d", what, resp.StatusCode, bodyOf(resp), want)
	}
}

func TestUpload(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	data := filestest.Bytes(1, 300_000)
	path := w.create(len(data), "Upload-Metadata", "filename "+base64.StdEncoding.EncodeToString([]byte("../a b.txt"))+",alt "+base64.StdEncoding.EncodeToString([]byte("x\xff\x00y"))+",bad !!!,empty")
	id := filepath.Base(path)
	w.status("the first half", w.patch(path, 0, bytes.NewReader(data[:150_000])), 204)
	if got := w.offset(path); got != 150_000 {
		t.Errorf("it is at %d", got)
	}
	info, err := w.staging.Info(id)
	if err != nil || info.Owner != "ann" || info.Name != "a b.txt" || info.Meta["alt"] != "x\uFFFD\x00y" || len(info.Meta) != 2 {
		t.Errorf("it is %+v, %v", info, err)
	}
	for _, at := range []int{0, 149_999, 150_001, 300_000} {
		w.status("a wrong offset", w.patch(path, at, strings.NewReader("x")), 409)
	}
	resp := w.patch(path, 150_000, bytes.NewReader(data[150_000:]))
	w.status("the second half", resp, 204)
	if !bytes.Equal(w.finished(id), data) || resp.Header.Get("Kaban-File") != "a b.txt" || resp.Header.Get("Upload-Offset") != "300000" {
		t.Errorf("%d bytes are done, %v", len(w.finished(id)), resp.Header)
	}
	for range 2 {
		if got := w.offset(path); got != len(data) {
			t.Errorf("it is at %d", got)
		}
		w.status("once more", w.patch(path, len(data), nil), 204)
		w.server.Close()
		w.start()
	}
	// All at once, and empty.
	resp = w.ask("POST", "/chat/v1/uploads/", bytes.NewReader(data), "Upload-Length", "300000", "Content-Type", "application/offset+octet-stream")
	w.status("with the bytes", resp, 201)
	if got := w.finished(filepath.Base(resp.Header.Get("Location"))); !bytes.Equal(got, data) {
		t.Errorf("%d bytes are done", len(got))
	}
	if got := w.finished(filepath.Base(w.create(0))); got == nil || len(got) != 0 {
		t.Errorf("of nothing %q is done", got)
	}
}

// A connection that breaks in the middle costs at most what was under way, also with a restart
// in between.
func TestBreak(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	data := filestest.Bytes(2, 500_000)
	path := w.create(len(data))
	for at := 0; at < len(data); {
		end := min(at+120_000, len(data))
		conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: %d\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n", path, at, len(data)-at)
		conn.Write(data[at:end])
		if end == len(data) {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || resp.StatusCode != 204 {
				t.Fatalf("at the end: %v, %v", resp, err)
			}
		}
		conn.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, conn) // the server has seen the end
		conn.Close()
		if at = w.offset(path); at != end {
			t.Fatalf("it is at %d, %d bytes have come", at, end)
		}
		w.server.Close()
		w.start()
	}
	if got := w.finished(filepath.Base(path)); !bytes.Equal(got, data) {
		t.Errorf("%d bytes are done", len(got))
	}
}

// A second request takes the upload over from one whose connection is dead.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	data := filestest.Bytes(3, 200_000)
	path := w.create(len(data))
	dead, err := net.Dial("tcp", w.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	fmt.Fprintf(dead, "PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n", path, len(data))
	dead.Write(data[:50_000])
	w.eventually("the first has begun", func() bool {
		info, err := os.Stat(filepath.Join(w.dir, filepath.Base(path)+".data"))
		return err == nil && info.Size() == 50_000
	})
	at := w.offset(path) // HEAD takes it over
	if at != 50_000 {
		t.Fatalf("it is at %d, want 50000", at)
	}
	if resp, err := http.ReadResponse(bufio.NewReader(dead), nil); err == nil && resp.StatusCode < 400 {
		t.Errorf("the one that was interrupted: %d", resp.StatusCode)
	}
	var group sync.WaitGroup
	// Several that race lose nothing, and one of them or the next goes on.
	statuses := make([]int, 6)
	for i := range statuses {
		group.Go(func() {
			resp, err := w.try("PATCH", path, bytes.NewReader(data[at:]), "Upload-Offset", strconv.Itoa(at), "Content-Type", "application/offset+octet-stream")
			if err == nil {
				statuses[i] = resp.StatusCode
			}
		})
	}
	group.Wait()
	if !slices.Contains(statuses, 204) {
		if at = w.offset(path); at < len(data) {
			w.status("after the race", w.patch(path, at, bytes.NewReader(data[at:])), 204)
		}
	}
	if got := w.finished(filepath.Base(path)); !bytes.Equal(got, data) {
		t.Errorf("%d bytes are done, after %v", len(got), statuses)
	}
}

func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for range 6000 { // as long as a busy machine may take
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.Fatalf("not in a minute: %s", what)
}

func TestRefusals(t *testing.T) {
	w := newWorld(t, upload.Limits{Size: 1000, PerOwner: 2, Uploads: 3, Staged: 2500})
	post := func(headers ...string) *http.Response {
		t.Helper()
		return w.ask("POST", "/chat/v1/uploads/", nil, headers...)
	}
	w.status("too large", post("Upload-Length", "1001"), 413)
	w.status("no length", post(), 400)
	w.status("a length below zero", post("Upload-Length", "-1"), 400)
	w.status("a length that is none", post("Upload-Length", "99999999999999999999"), 400)
	w.status("a deferred length", post("Upload-Defer-Length", "1"), 501)
	w.status("an old version", post("Upload-Length", "1", "Tus-Resumable", "0.2.2"), 412)
	w.status("long metadata", post("Upload-Length", "1", "Upload-Metadata", "alt "+base64.StdEncoding.EncodeToString(make([]byte, 5000))), 400)
	first, second := w.create(1000), w.create(1000, "Upload-Concat", "partial")
	w.status("a third", post("Upload-Length", "1"), 429)
	w.status("too many bytes", post("Upload-Length", "501", "Test-Owner", "bob"), 503)
	w.status("another's", post("Upload-Length", "500", "Test-Owner", "bob"), 201)
	w.status("one too many", post("Upload-Length", "0", "Test-Owner", "cid"), 503)
	w.status("more than its length", w.patch(first, 0, bytes.NewReader(make([]byte, 1001))), 413)
	// Without a Content-Length it shows at the byte.
	w.status("more than its length, in chunks", w.patch(first, 0, io.MultiReader(bytes.NewReader(make([]byte, 500)), bytes.NewReader(make([]byte, 501)))), 413)
	if got := w.offset(second); got != 0 {
		t.Errorf("the other one is at %d", got)
	}
	w.status("another type", w.ask("PATCH", second, strings.NewReader("x"), "Upload-Offset", "0", "Content-Type", "text/plain"), 400)
	w.status("no offset", w.ask("PATCH", second, strings.NewReader("x"), "Content-Type", "application/offset+octet-stream"), 400)
	// Those of others do not exist, nor do others.
	for _, path := range []string{second, "/chat/v1/uploads/" + strings.Repeat("a", 26), "/chat/v1/uploads/..%2f..%2fetc%2fpasswd", "/chat/v1/uploads/notes.txt"} {
		for _, method := range []string{"HEAD", "PATCH", "DELETE"} {
			w.status(method+" "+path, w.ask(method, path, nil, "Test-Owner", "eve", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"), 404)
		}
	}
	w.status("a download", w.ask("GET", second, nil), 405)
	// A POST stays one.
	w.status("an override", w.ask("POST", second, nil, "X-HTTP-Method-Override", "DELETE"), 405)
	if got := w.offset(second); got != 0 {
		t.Errorf("it is at %d", got)
	}
	w.status("DELETE", w.ask("DELETE", second, nil), 204)
	if got := w.offset(second); got != -404 {
		t.Errorf("after DELETE it is at %d", got)
	}
	w.status("PATCH after DELETE", w.patch(second, 0, strings.NewReader("x")), 404)
}

// The handler adds no header that lets other origins in, and knows none of a proxy.
func TestHeaders(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	for _, method := range []string{"OPTIONS", "POST", "HEAD"} {
		resp := w.ask(method, "/chat/v1/uploads/", nil, "Origin", "https://evil.example", "Upload-Length", "5", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https", "Forwarded", "host=evil.example")
		for name, values := range resp.Header {
			if strings.HasPrefix(name, "Access-Control") || strings.Contains(fmt.Sprint(values), "evil") {
				t.Errorf("%s: %s: %v", method, name, values)
			}
		}
		if location := resp.Header.Get("Location"); method == "POST" && !strings.HasPrefix(location, "/chat/v1/uploads/") {
			t.Errorf("the address is %q", location)
		}
		if extensions := resp.Header.Get("Tus-Extension"); method == "OPTIONS" && extensions != "creation,creation-with-upload,termination" {
			t.Errorf("the extensions are %q", extensions)
		}
	}
}

// An upload is complete for a client only once Done has returned, also after a restart.
func TestDoneFails(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	path := w.create(5)
	for _, c := range []struct {
		err    error
		status int
	}{
		{&files.UnreachableError{Store: "s3", Advice: "wait", Err: errors.New("secret-path")}, 503},
		{fmt.Errorf("add: %w", files.ErrNoSpace), 507},
		{errors.New("secret-path"), 500},
	} {
		w.failDone(c.err)
		at := max(w.offset(path), 0)
		resp := w.patch(path, at, strings.NewReader("hello"[at:]))
		w.status(c.err.Error(), resp, c.status)
		if text := bodyOf(resp); strings.Contains(text, "secret") {
			t.Errorf("the client is told %q", text)
		}
		if got := w.offset(path); got != 4 {
			t.Errorf("it is at %d, want 4", got)
		}
		w.server.Close()
		w.start()
	}
	w.failDone(nil)
	w.status("the last byte again", w.patch(path, 4, strings.NewReader("o")), 204)
	if got := w.finished(filepath.Base(path)); string(got) != "hello" || w.offset(path) != 5 {
		t.Errorf("%q is done, it is at %d", got, w.offset(path))
	}
}

// errQuota is refused for good.
var errQuota = errors.New("the quota is reached")

// What Done refuses for good takes no room any longer, and can be begun anew.
func TestDoneRefuses(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	path := w.create(5)
	w.failDone(fmt.Errorf("keep: %w", errQuota))
	w.status("the last byte", w.patch(path, 0, strings.NewReader("hello")), 413)
	if got := w.offset(path); got != -404 {
		t.Errorf("it is at %d, want gone", got)
	}
	if left, err := os.ReadDir(w.dir); err != nil || slices.ContainsFunc(left, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), filepath.Base(path)) }) {
		t.Errorf("there are %v, %v", left, err)
	}
	w.failDone(nil)
	path = w.create(5)
	w.status("another", w.patch(path, 0, strings.NewReader("hello")), 204)
}

// A full disk is a status of its own, and the upload goes on with room again.
func TestFull(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /dev/full")
	}
	w := newWorld(t, upload.DefaultLimits())
	path := w.create(5)
	data := filepath.Join(w.dir, filepath.Base(path)+".data")
	if err := errors.Join(os.Remove(data), os.Symlink("/dev/full", data)); err != nil {
		t.Fatal(err)
	}
	resp := w.patch(path, 0, strings.NewReader("hello"))
	w.status("a full disk", resp, 507)
	if text := bodyOf(resp); strings.Contains(text, "/") || !strings.Contains(text, "storage_full") {
		t.Errorf("the client is told %q", text)
	}
	if err := errors.Join(os.Remove(data), os.WriteFile(data, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	w.status("with room again", w.patch(path, 0, strings.NewReader("hello")), 204)
}

// An upload that has expired is gone for its client.
func TestExpired(t *testing.T) {
	w := newWorld(t, upload.Limits{Idle: time.Nanosecond})
	path := w.create(5)
	w.eventually("it expires", func() bool { n, err := w.staging.Expire(); return n == 1 && err == nil })
	if got := w.offset(path); got != -404 {
		t.Errorf("it is at %d", got)
	}
}

// Hundreds of uploads at once, all in the middle, take little memory each.
func TestManyAtOnce(t *testing.T) {
	w := newWorld(t, upload.Limits{})
	const many, size, aims = 300, 100_000, 96 << 10
	body := filestest.Bytes(4, size)
	heap := func() uint64 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		return stats.HeapAlloc + stats.StackInuse
	}
	ids, conns := make([]string, many), make([]net.Conn, many)
	for i := range ids {
		info, err := w.staging.Create(upload.Draft{Owner: "ann", Length: size})
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = info.ID
	}
	before := heap()
	for i, id := range ids {
		conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "PATCH /chat/v1/uploads/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n", id, size)
		if _, err := conn.Write(body[:size/2]); err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
	}
	w.eventually("all are in the middle", func() bool {
		for _, id := range ids {
			if info, err := os.Stat(filepath.Join(w.dir, id+".data")); err != nil || info.Size() != size/2 {
				return false
			}
		}
		return true
	})
	each := (int64(heap()) - int64(before)) / many
	t.Logf("an upload takes %d KiB", each>>10)
	if each > aims {
		t.Errorf("an upload takes %d bytes, want at most %d", each, aims)
	}
	for i, conn := range conns {
		if _, err := conn.Write(body[size/2:]); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 204 {
			t.Fatalf("upload %d: %v, %v", i, resp, err)
		}
		if !bytes.Equal(w.finished(ids[i]), body) {
			t.Fatalf("upload %d is not done", i)
		}
	}
}

// Each error of the packages below has an answer that is not an internal error.
func TestRefuse(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{&upload.LimitError{Limit: upload.LimitSize, Max: 5}, 413},
		{&upload.LimitError{Limit: upload.LimitPerOwner, Max: 5}, 429},
		{&upload.LimitError{Limit: upload.LimitUploads, Max: 5}, 503},
		{&upload.LimitError{Limit: upload.LimitStaged, Max: 5}, 503},
		{&upload.OffsetError{Got: 1, Want: 2}, 409},
		{upload.ErrNotFound, 404},
		{upload.ErrBusy, 423},
		{upload.ErrMeta, 400},
		{upload.ErrIncomplete, 409},
		{files.ErrNoSpace, 507},
		{&files.UnreachableError{Err: errors.New("x")}, 503},
		{context.Canceled, 503},
		{errors.New("x"), 500},
	} {
		if got := Refuse(fmt.Errorf("wrapped: %w", c.err)); got.Status != c.status || got.Code == "" || got.Message == "" {
			t.Errorf("%v: %+v, want %d", c.err, got, c.status)
		}
	}
}

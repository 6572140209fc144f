package s3test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kaban/internal/childtest"
	"kaban/internal/files"
	"kaban/internal/files/filestest"
	"kaban/internal/files/s3"
)

// patience is for a machine that is busy.
const patience = 2 * time.Minute

// programDir is where program builds it; TestMain makes it.
var programDir string

// program builds kaban, once.
var program = sync.OnceValues(func() (string, error) {
	binary := filepath.Join(programDir, "kaban")
	build := childtest.Go("build", "-o", binary, "./cmd/kaban")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
})

// house is a data directory whose files are in a service.
type house struct {
	*testing.T
	service *service
	binary  string
	data    string
	secret  string // a file
	token   string
}

func newHouse(t *testing.T) *house {
	t.Helper()
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, service: newService(t), binary: binary, data: filepath.Join(t.TempDir(), "data"), secret: filepath.Join(t.TempDir(), "secret")}
	password := filepath.Join(t.TempDir(), "password")
	if err := errors.Join(os.WriteFile(h.secret, []byte("the-secret-key\n"), 0o600), os.WriteFile(password, []byte("correct horse battery\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	server := h.serve()
	h.run(0, "owner", "olga", "--data", h.data, "--password-file", password)
	words := strings.Fields(h.run(0, "token", "add", "olga", "--data", h.data))
	h.token = words[len(words)-1]
	server.stop()
	return h
}

// flags are those that say where files are.
func (h *house) flags() []string {
	return []string{
		"--s3-endpoint", h.service.URL, "--s3-bucket", bucket, "--s3-prefix", "team/chat", "--s3-region", "us-east-1",
		"--s3-access-key", "key", "--s3-secret-key-file", h.secret,
	}
}

// run runs a command. It returns what it has said on the standard error, and then on the standard output.
func (h *house) run(want int, args ...string) string {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), patience)
	defer cancel()
	var out, said bytes.Buffer
	c := exec.CommandContext(ctx, h.binary, args...)
	c.Stdout, c.Stderr = &out, &said
	err := c.Run()
	if c.ProcessState == nil || c.ProcessState.ExitCode() != want {
		h.Fatalf("kaban %q: %v, want exit code %d\n%s%s", args, err, want, &said, &out)
	}
	if strings.Contains(said.String()+out.String(), "the-secret-key") {
		h.Errorf("kaban %q says the secret", args)
	}
	return said.String() + out.String()
}

// running is a server.
type running struct {
	*house
	command *exec.Cmd
	web     string
	ended   chan struct{}

	mu   sync.Mutex
	text strings.Builder // the log; guarded by mu
}

var listening = regexp.MustCompile(`msg=listening url=(http://\S+)`)

// serve starts a server, and waits until it is ready.
func (h *house) serve(more ...string) *running {
	h.Helper()
	args := append([]string{"serve", "--data", h.data, "--listen", "http://127.0.0.1:0"}, h.flags()...)
	r := &running{house: h, command: exec.Command(h.binary, append(args, more...)...), ended: make(chan struct{})}
	childtest.Bind(r.command, syscall.SIGKILL)
	log, err := r.command.StderrPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := r.command.Start(); err != nil {
		h.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		defer close(r.ended)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			r.mu.Lock()
			r.text.WriteString(lines.Text() + "\n")
			r.mu.Unlock()
			if strings.Contains(lines.Text(), "msg=ready") {
				ready <- r.log()
			}
		}
	}()
	h.Cleanup(func() { r.kill() })
	select {
	case text := <-ready:
		r.web = listening.FindStringSubmatch(text)[1]
	case <-r.ended:
		h.Fatalf("the server ends\n%s", r.log())
	case <-time.After(patience):
		h.Fatalf("the server does not start\n%s", r.log())
	}
	return r
}

func (r *running) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// stop ends the server in order, and kill without.
func (r *running) stop() {
	r.Helper()
	_ = r.command.Process.Signal(syscall.SIGTERM)
	<-r.ended
	if err := r.command.Wait(); err != nil {
		r.Errorf("the server ends with %v\n%s", err, r.log())
	}
	if strings.Contains(r.log(), "the-secret-key") {
		r.Error("the log has the secret")
	}
}

func (r *running) kill() {
	_ = r.command.Process.Kill()
	<-r.ended
	_ = r.command.Wait()
}

// ask makes a request, and reads the answer.
func (r *running) ask(method, path string, body io.Reader, headers ...string) (*http.Response, []byte, error) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	asked, err := http.NewRequestWithContext(ctx, method, r.web+path, body)
	if err != nil {
		r.Fatal(err)
	}
	asked.Header.Set("Authorization", "Bearer "+r.token)
	for i := 0; i < len(headers); i += 2 {
		asked.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultClient.Do(asked)
	if err != nil {
		return nil, nil, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return got, text, err
}

// want is ask with the status of the answer.
func (r *running) want(status int, method, path string, body io.Reader, headers ...string) (*http.Response, []byte) {
	r.Helper()
	got, text, err := r.ask(method, path, body, headers...)
	if err != nil || got.StatusCode != status {
		r.Fatalf("%s %s: %v, %v, want %d\n%s\n%s", method, path, got, err, status, text, r.log())
	}
	return got, text
}

// upload uploads a file in a form, and returns its id.
func (r *running) upload(status int, data []byte) (id string) {
	r.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "plan.bin")
	if err == nil {
		_, err = part.Write(data)
	}
	if err := errors.Join(err, form.Close()); err != nil {
		r.Fatal(err)
	}
	_, text := r.want(status, "POST", "/v1/files", &body, "Content-Type", form.FormDataContentType())
	var kept struct{ File, Code string }
	if err := json.Unmarshal(text, &kept); err != nil {
		r.Fatal(err)
	}
	if status == http.StatusServiceUnavailable && kept.Code != "unavailable" {
		r.Errorf("the code is %q: %s", kept.Code, text)
	}
	return kept.File
}

// post sends a message with a file, and returns its seq.
func (r *running) post(id string) uint64 {
	r.Helper()
	_, text := r.want(http.StatusCreated, "POST", "/v1/rooms/lobby/messages", strings.NewReader(fmt.Sprintf(`{"id":"m-%s","content":"a file","files":[%q]}`, id, id)), "Content-Type", "application/json")
	var receipt struct{ Seq uint64 }
	if err := json.Unmarshal(text, &receipt); err != nil || receipt.Seq == 0 {
		r.Fatalf("%v: %s", err, text)
	}
	return receipt.Seq
}

// key returns the key of bytes.
func key(data []byte) files.Key { return files.Key{Hash: sha256.Sum256(data)} }

// objects returns the store of the house as its service has it.
func (h *house) objects() *s3.Store {
	h.Helper()
	c := h.service.config()
	c.Prefix = "team/chat"
	store, err := s3.New(c)
	if err != nil {
		h.Fatal(err)
	}
	return store
}

// has reports how the service has bytes.
func (h *house) has(data []byte) files.State {
	h.Helper()
	state, err := files.Check(h.Context(), h.objects(), key(data), int64(len(data)))
	if err != nil {
		h.Fatal(err)
	}
	return state
}

// awaitGone waits until the service does not have bytes any more.
func (h *house) awaitGone(data []byte) {
	h.Helper()
	for end := time.Now().Add(patience); h.has(data) != files.Missing; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("the object is still there: %s", h.has(data))
		}
	}
}

// A file is uploaded to the service, read whole, in parts and not at all, and goes with its message.
func TestServe(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	data := filestest.Bytes(1, 3<<20)
	id := r.upload(http.StatusCreated, data)
	if h.has(data) != files.Good {
		t.Errorf("the service has it %s", h.has(data))
	}
	if _, err := os.Stat(filepath.Join(h.data, "files")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a directory of files: %v", err)
	}
	seq, path := r.post(id), "/v1/files/"+id
	got, text := r.want(http.StatusOK, "GET", path, nil)
	if !bytes.Equal(text, data) || got.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d bytes, %v", len(text), got.Header)
	}
	tag := got.Header.Get("ETag")
	if _, text := r.want(http.StatusPartialContent, "GET", path, nil, "Range", "bytes=1000-1999", "If-Range", tag); !bytes.Equal(text, data[1000:2000]) {
		t.Errorf("a part of %d bytes", len(text))
	}
	if _, text := r.want(http.StatusPartialContent, "GET", path, nil, "Range", "bytes=-10"); !bytes.Equal(text, data[len(data)-10:]) {
		t.Errorf("the end of %d bytes", len(text))
	}
	r.want(http.StatusRequestedRangeNotSatisfiable, "GET", path, nil, "Range", "bytes=9999999-")
	var gets atomic.Int64
	h.service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet {
			gets.Add(1)
		}
		next.ServeHTTP(w, r)
	})
	r.want(http.StatusNotModified, "GET", path, nil, "If-None-Match", tag)
	r.want(http.StatusOK, "HEAD", path, nil)
	if gets.Load() != 0 {
		t.Errorf("the service sends %d objects that nobody reads", gets.Load())
	}
	h.service.set(nil)
	r.want(http.StatusCreated, "DELETE", fmt.Sprintf("/v1/rooms/lobby/messages/%d?id=gone", seq), nil)
	r.want(http.StatusNotFound, "GET", path, nil)
	r.stop()
	r = h.serve() // which looks at once
	h.awaitGone(data)
	r.stop()
	h.run(0, "check", "--files", "--data", h.data)
}

// A service that refuses, hangs up or is slow costs uploads and downloads an error that says to come again, and
// nothing is lost. Messages go on.
func TestServeWithoutTheService(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	data, later := filestest.Bytes(2, 100_000), filestest.Bytes(3, 100_000)
	id := r.upload(http.StatusCreated, data)
	r.post(id)
	location := ""
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"refuses": refuse(503, "SlowDown"), "breaks": refuse(500, "InternalError"), "hangs up": hangUp, "forgets the keys": refuse(403, "InvalidAccessKeyId"),
		"forgets the bucket": refuse(404, "NoSuchBucket"),
	} {
		h.service.set(fault)
		r.upload(http.StatusServiceUnavailable, later)
		got, text := r.want(http.StatusServiceUnavailable, "GET", "/v1/files/"+id, nil)
		if got.Header.Get("Retry-After") == "" || !strings.Contains(string(text), `"unavailable"`) || strings.Contains(string(text), bucket) {
			t.Errorf("%s: %v\n%s", name, got.Header, text)
		}
		r.want(http.StatusCreated, "POST", "/v1/rooms/lobby/messages", strings.NewReader(fmt.Sprintf(`{"id":"%s","content":"no file"}`, strings.ReplaceAll(name, " ", "-"))), "Content-Type", "application/json")
		if location != "" {
			continue
		}
		// An upload that can be resumed keeps its bytes.
		got, _ = r.want(http.StatusCreated, "POST", "/v1/files", nil, "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(later)))
		location = strings.TrimPrefix(got.Header.Get("Location"), r.web)
		r.want(http.StatusServiceUnavailable, "PATCH", location, bytes.NewReader(later), "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	}
	h.service.set(nil)
	if _, text := r.want(http.StatusOK, "GET", "/v1/files/"+id, nil); !bytes.Equal(text, data) {
		t.Errorf("with a service that is well again: %d bytes", len(text))
	}
	got, _ := r.want(http.StatusOK, "HEAD", location, nil, "Tus-Resumable", "1.0.0")
	offset := got.Header.Get("Upload-Offset")
	var at int
	if _, err := fmt.Sscan(offset, &at); err != nil || at < len(later)-1 {
		t.Fatalf("the upload is at %q of %d", offset, len(later))
	}
	got, _ = r.want(http.StatusNoContent, "PATCH", location, bytes.NewReader(later[at:]), "Tus-Resumable", "1.0.0", "Upload-Offset", offset, "Content-Type", "application/offset+octet-stream")
	if got.Header.Get("Kaban-File") == "" || h.has(later) != files.Good {
		t.Errorf("the upload is not complete: %v, %s", got.Header, h.has(later))
	}
	r.stop()
}

// A download whose service goes away in the middle ends early, so that the client knows.
func TestServeHalfOfAFile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	data := filestest.Bytes(4, 1<<20)
	id := r.upload(http.StatusCreated, data)
	h.service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && r.Header.Get("Range") != "" { // the rest is not to be had
			hangUp(w, r, next)
		}
		next.ServeHTTP(&cutter{w, 400_000}, r)
	})
	if _, text, err := r.ask("GET", "/v1/files/"+id, nil); err == nil || len(text) > 400_000 {
		t.Errorf("%d bytes of %d without an error", len(text), len(data))
	}
	h.service.set(nil)
	if _, text := r.want(http.StatusOK, "GET", "/v1/files/"+id, nil); !bytes.Equal(text, data) {
		t.Errorf("later: %d bytes", len(text))
	}
	r.stop()
}

// A server that is killed while it sends a file to the service leaves nothing there that nobody
// has, once it runs again.
func TestServeKilled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	kept, lost := filestest.Bytes(5, 100_000), filestest.Bytes(6, 100_000)
	id := r.upload(http.StatusCreated, kept)
	r.post(id)
	sent := make(chan struct{})
	tell := sync.OnceFunc(func() { close(sent) }) // a request that waits too long is repeated
	h.service.set(func(w http.ResponseWriter, req *http.Request, next http.Handler) {
		next.ServeHTTP(w, req)
		if req.Method == http.MethodPut && strings.HasSuffix(req.URL.Path, key(lost).Path()) {
			tell() // the service has it, and the server does not know
			<-req.Context().Done()
		}
	})
	var uploading sync.WaitGroup
	uploading.Go(func() {
		_, _, _ = r.ask("POST", "/v1/files", bytes.NewReader(lost), "Tus-Resumable", "1.0.0", "Upload-Length", fmt.Sprint(len(lost)), "Content-Type", "application/offset+octet-stream")
	})
	<-sent
	r.kill()
	uploading.Wait()
	h.service.set(nil)
	if h.has(lost) != files.Good {
		t.Fatal("the service does not have what it was sent")
	}
	r = h.serve()
	h.awaitGone(lost)
	if _, text := r.want(http.StatusOK, "GET", "/v1/files/"+id, nil); !bytes.Equal(text, kept) {
		t.Errorf("a file that was kept has %d bytes", len(text))
	}
	r.stop()
}

// What the service loses is found, and a backup brings it back: to the service, or to another data directory.
func TestServeLosses(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	lost, cut, whole := filestest.Bytes(7, 50_000), filestest.Bytes(8, 60_000), filestest.Bytes(9, 70_000)
	ids := make(map[string][]byte)
	for _, data := range [][]byte{lost, cut, whole} {
		id := r.upload(http.StatusCreated, data)
		r.post(id)
		ids[id] = data
	}
	backup := filepath.Join(t.TempDir(), "copy.db")
	if said := h.run(0, "backup", "--files", "--data", h.data, backup); !strings.Contains(said, "3 files") {
		t.Errorf("a backup says %s", said)
	}
	if said := h.run(0, "check", "--files", "--data", h.data); !strings.Contains(said, "3 files") || !strings.Contains(said, "s3://"+bucket+"/team/chat") {
		t.Errorf("a check says %s", said)
	}
	r.stop()
	if err := h.objects().Remove(t.Context(), key(lost)); err != nil {
		t.Fatal(err)
	}
	h.service.put(t, "team/chat/"+key(cut).Path(), cut[:len(cut)-1])
	h.service.put(t, "team/chat/"+key(whole).Path(), make([]byte, len(whole)))
	said := h.run(1, "check", "--data", h.data)
	for _, want := range []string{key(lost).Path() + ": missing", key(cut).Path() + ": partial", "2 bad files"} {
		if !strings.Contains(said, want) {
			t.Errorf("a check says %s; want %q", said, want)
		}
	}
	if said := h.run(1, "check", "--files", "--data", h.data); !strings.Contains(said, key(whole).Path()+": wrong") || !strings.Contains(said, "3 bad files") {
		t.Errorf("a check of all bytes says %s", said)
	}
	if said := h.run(1, "backup", "--files", "--data", h.data, filepath.Join(t.TempDir(), "bad.db")); !strings.Contains(said, "3 files") || !strings.Contains(said, "missing or damaged") {
		t.Errorf("a backup of damage says %s", said)
	}
	if said := h.run(0, "restore", "--replace", "--data", h.data, backup); !strings.Contains(said, "restored 3 files") {
		t.Errorf("a restore says %s", said)
	}
	h.run(0, "check", "--files", "--data", h.data)
	r = h.serve()
	for id, data := range ids {
		if _, text := r.want(http.StatusOK, "GET", "/v1/files/"+id, nil); !bytes.Equal(text, data) {
			t.Errorf("%s has %d bytes of %d", id, len(text), len(data))
		}
	}
	r.stop()
}

// Another data directory on the same objects is refused until it takes them over.
func TestServeAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	data := filestest.Bytes(10, 50_000)
	id := r.upload(http.StatusCreated, data)
	r.post(id)
	backup := filepath.Join(t.TempDir(), "copy.db")
	h.run(0, "backup", "--data", h.data, backup)
	r.stop()
	other := *h
	other.data = filepath.Join(t.TempDir(), "other")
	if said := other.run(1, append([]string{"serve", "--data", other.data, "--listen", "http://127.0.0.1:0"}, h.flags()...)...); !strings.Contains(said, "belong to another data directory") {
		t.Errorf("a server says %s", said)
	}
	third := *h
	third.data = filepath.Join(t.TempDir(), "third")
	if said := third.run(1, append([]string{"restore", "--data", third.data, backup}, h.flags()...)...); !strings.Contains(said, "--s3-take-over") {
		t.Errorf("a restore says %s", said)
	}
	// The backup has no files, and the bucket has them.
	if said := third.run(0, append([]string{"restore", "--replace", "--s3-take-over", "--data", third.data, backup}, h.flags()...)...); !strings.Contains(said, "restored 1 file") {
		t.Errorf("a restore that takes over says %s", said)
	}
	r = third.serve()
	if _, text := r.want(http.StatusOK, "GET", "/v1/files/"+id, nil); !bytes.Equal(text, data) {
		t.Errorf("%d bytes", len(text))
	}
	r.stop()
	if said := h.run(1, append([]string{"serve", "--data", h.data, "--listen", "http://127.0.0.1:0"}, h.flags()...)...); !strings.Contains(said, "belong to another data directory") {
		t.Errorf("the former owner says %s", said)
	}
}

// A server that looks for its files in another service ends with a signal.
func TestServeInterrupted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	r.post(r.upload(http.StatusCreated, filestest.Bytes(12, 1000)))
	r.stop()
	h.service = newService(t)
	listing, once := make(chan struct{}), new(sync.Once)
	h.service.set(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method != http.MethodGet || !r.URL.Query().Has("list-type") || !strings.Contains(r.URL.Query().Get("prefix"), files.Content.Folder()) {
			next.ServeHTTP(w, r)
			return
		}
		once.Do(func() { close(listing) })
		<-r.Context().Done()
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, h.binary, append([]string{"serve", "--data", h.data, "--listen", "http://127.0.0.1:0"}, h.flags()...)...)
	var said bytes.Buffer
	c.Stdout, c.Stderr = &said, &said
	childtest.Bind(c, syscall.SIGKILL)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-listing:
	case <-ctx.Done():
	}
	_ = c.Process.Signal(syscall.SIGTERM)
	if err := c.Wait(); err != nil || !strings.Contains(said.String(), "before the server was ready") {
		t.Errorf("the server ends with %v\n%s", err, &said)
	}
}

// Exports copy files out of the service, and imports take them there or to the disk.
func TestServeExport(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.serve()
	data := filestest.Bytes(11, 50_000)
	id := r.upload(http.StatusCreated, data)
	r.post(id)
	all, one, lines := filepath.Join(t.TempDir(), "all"), filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "lines")
	h.run(0, "export", "--no-audit", "--data", h.data, "--files", one, "lobby")
	if got, err := os.ReadFile(filepath.Join(one, id, "plan.bin")); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	said := h.run(0, "export", "--no-audit", "--data", h.data, "--files", all)
	if err := os.WriteFile(lines, []byte(said[strings.Index(said, "{"):]), 0o600); err != nil {
		t.Fatal(err)
	}
	r.stop()
	disk := filepath.Join(t.TempDir(), "disk")
	h.run(0, "import", "--data", disk, "--files", all, lines)
	if said := h.run(0, "check", "--files", "--data", disk); !strings.Contains(said, "on the disk") {
		t.Errorf("a check says %s", said)
	}
	// What an import to a service lacks comes from where the files were until now; that is noted last.
	kept := *h
	kept.data, kept.service = filepath.Join(t.TempDir(), "kept"), newService(t)
	h.run(0, "import", "--data", kept.data, "--files", all, lines)
	if said := kept.run(2, append([]string{"import", "--data", kept.data, lines}, kept.flags()...)...); !strings.Contains(said, "only --files brings files") {
		t.Errorf("an import without files says %s", said)
	}
	if said := kept.run(0, "check", "--files", "--data", kept.data); !strings.Contains(said, "on the disk") {
		t.Errorf("a check says %s", said)
	}
	kept.run(0, append([]string{"import", "--data", kept.data, "--files", t.TempDir(), lines}, kept.flags()...)...)
	if said := kept.run(0, "check", "--files", "--data", kept.data); !strings.Contains(said, "s3://") || kept.has(data) != files.Good {
		t.Errorf("a check says %s", said)
	}
	// From the disk to a service: the server refuses until the folders are copied.
	moved := *h
	moved.data, moved.service = disk, newService(t)
	args := append([]string{"serve", "--data", moved.data, "--listen", "http://127.0.0.1:0"}, moved.flags()...)
	if said := moved.run(1, args...); !strings.Contains(said, "copy the folders files and thumbs") {
		t.Errorf("a server says %s", said)
	}
	moved.service.put(t, "team/chat/"+key(data).Path(), data)
	r = moved.serve()
	if _, text := r.want(http.StatusOK, "GET", "/v1/files/"+id, nil); !bytes.Equal(text, data) {
		t.Errorf("%d bytes", len(text))
	}
	r.stop()
	if said := moved.run(0, "check", "--files", "--data", disk); !strings.Contains(said, "s3://") {
		t.Errorf("a check says %s", said)
	}
}

// A server does not start with a mistake, and starts without a service that is away.
func TestServeMistakes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	args := append([]string{"serve", "--data", h.data, "--listen", "http://127.0.0.1:0"}, h.flags()...)
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request, http.Handler)
		want  string
	}{
		"bucket": {refuse(404, "NoSuchBucket"), "create the bucket"},
		"keys":   {refuse(403, "SignatureDoesNotMatch"), "keys are right"},
		"region": {refuse(400, "AuthorizationHeaderMalformed"), "correct the region"},
	} {
		h.service.set(c.fault)
		if said := h.run(1, args...); !strings.Contains(said, c.want) {
			t.Errorf("%s: it says %s", name, said)
		}
	}
	h.service.set(refuse(503, "ServiceUnavailable"))
	r := h.serve()
	if !strings.Contains(r.log(), "messages are not affected") {
		t.Errorf("the log is %s", r.log())
	}
	r.upload(http.StatusServiceUnavailable, []byte("x"))
	h.service.set(nil)
	r.upload(http.StatusCreated, []byte("x"))
	r.stop()
}

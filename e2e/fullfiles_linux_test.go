package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// A small file system, where uploads or files are, becomes full in the middle of an upload. Its client is told so, and
// the conversation goes on. What has come stays, and once there is room the upload is completed.
func TestFullDiskOfFiles(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"uploads", "files"} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			p := startPeopled(t)
			token := p.run("token", "add", "olga")
			p.Process.Signal(syscall.SIGTERM)
			p.finish()
			small := mountSmall(t, filepath.Join(p.data, folder))
			p.running = command(t, "serve", "--data", p.data, "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0")
			p.begin()
			p.await("msg=ready")
			p.origin = "http://" + p.listens("http")
			p.fillFiles(token, small)
			if log := p.String(); strings.Contains(log, "level=ERROR") || strings.Count(log, "level=WARN") != 2 {
				t.Errorf("the log has not one warning of each failure, or an error:\n%s", log)
			}
		})
	}
}

// mountSmall mounts a file system of 1 MiB, and returns what makes it larger.
func mountSmall(t *testing.T, at string) (grow func()) {
	t.Helper()
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	switch err := syscall.Mount("none", at, "tmpfs", 0, "size=1m,mode=700"); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("this takes the right to mount a file system")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return func() {
		if err := syscall.Mount("none", at, "tmpfs", syscall.MS_REMOUNT, "size=20m,mode=700"); err != nil {
			t.Fatal(err)
		}
	}
}

// fillFiles uploads more than there is room for.
func (p *peopled) fillFiles(token string, grow func()) {
	p.t.Helper()
	content := bytes.Repeat([]byte("0123456789"), 300_000)
	at := p.files(token, http.MethodPost, "/v1/files", nil, http.StatusCreated, "Upload-Length", strconv.Itoa(len(content))).Header.Get("Location")
	patch := func(offset, status int) *http.Response {
		return p.files(token, http.MethodPatch, at, content[offset:], status, "Upload-Offset", strconv.Itoa(offset), "Content-Type", "application/offset+octet-stream")
	}
	if got := patch(0, http.StatusInsufficientStorage).Header.Get("Retry-After"); got == "" {
		p.t.Error("there is no Retry-After")
	}
	p.asks(token, "/v1/rooms/lobby/messages", "application/json", strings.NewReader(`{"id":"1","content":"we go on"}`), &struct{}{})
	offset, err := strconv.Atoi(p.files(token, http.MethodHead, at, nil, http.StatusOK).Header.Get("Upload-Offset"))
	if err != nil || offset < 500_000 || offset >= len(content) {
		p.t.Errorf("%d bytes are kept, %v", offset, err)
	}
	patch(offset, http.StatusInsufficientStorage)
	grow()
	offset, err = strconv.Atoi(p.files(token, http.MethodHead, at, nil, http.StatusOK).Header.Get("Upload-Offset"))
	if err != nil {
		p.t.Fatal(err)
	}
	id := patch(offset, http.StatusNoContent).Header.Get("Kaban-File")
	got := p.files(token, http.MethodGet, "/v1/files/"+id, nil, http.StatusOK)
	if kept, err := io.ReadAll(got.Body); err != nil || !bytes.Equal(kept, content) {
		p.t.Errorf("%d other bytes are kept, %v", len(kept), err)
	}
}

// files makes a request of tus, and wants a status.
func (p *peopled) files(token, method, path string, body []byte, status int, headers ...string) *http.Response {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.origin+path, bytes.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	got, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { got.Body.Close() })
	if got.StatusCode != status {
		text, _ := io.ReadAll(got.Body)
		p.t.Fatalf("%s %s is answered with %d %s, want %d", method, fmt.Sprintf("%.12s", path), got.StatusCode, text, status)
	}
	return got
}

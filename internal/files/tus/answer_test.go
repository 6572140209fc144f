package tus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kaban/internal/files"
	"kaban/internal/files/filestest"
	"kaban/internal/files/upload"
)

// calledDone returns how often Done was called.
func (w *world) calledDone() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

// told checks that a client is told what the first one was.
func (w *world) told(what string, resp *http.Response, status int) {
	w.Helper()
	w.status(what, resp, status)
	if got := resp.Header.Get("Kaban-File"); got != "a.txt" {
		w.Errorf("%s: the file is %q", what, got)
	}
}

const named = "filename YS50eHQ=" // a.txt

// A client that lost the answer to its last bytes asks where the upload is, sends nothing at the
// end, and is told the same, without Done being called again, also after a restart. Others are
// told nothing.
func TestAnswerIsLost(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	path := w.create(5, "Upload-Metadata", named)
	w.told("the first time", w.patch(path, 0, strings.NewReader("hello")), 204)
	for range 2 {
		w.told("HEAD", w.ask("HEAD", path, nil), 200)
		w.told("PATCH", w.patch(path, 5, nil), 204)
		w.told("PATCH with a slash", w.patch(path+"/", 5, nil), 204)
		resp := w.ask("HEAD", path, nil, "Test-Owner", "eve")
		w.status("another's", resp, 404)
		if got := resp.Header.Get("Kaban-File"); got != "" {
			t.Errorf("another is told %q", got)
		}
		w.server.Close()
		w.start()
	}
	resp := w.ask("POST", "/chat/v1/uploads/", strings.NewReader("hello"), "Upload-Length", "5", "Upload-Metadata", named, "Content-Type", "application/offset+octet-stream")
	w.told("POST", resp, 201)
	if got := w.calledDone(); got != 2 {
		t.Errorf("Done was called %d times, want 2", got)
	}
	w.status("DELETE", w.ask("DELETE", path, nil), 204)
}

// An empty file is complete for its client only after Done, whatever it asks.
func TestEmpty(t *testing.T) {
	w := newWorld(t, upload.DefaultLimits())
	for _, method := range []string{"HEAD", "PATCH"} {
		// As a crash before Done leaves it.
		info, err := w.staging.Create(upload.Draft{Owner: "ann", Name: "a.txt"})
		if err != nil {
			t.Fatal(err)
		}
		ask := func() *http.Response {
			return w.ask(method, "/chat/v1/uploads/"+info.ID, nil, "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
		}
		w.server.Close()
		w.start()
		w.failDone(files.ErrNoSpace)
		w.status(method+" without room", ask(), 507)
		w.failDone(nil)
		want := map[string]int{"HEAD": 200, "PATCH": 204}[method]
		before := w.calledDone()
		for range 2 {
			w.told(method, ask(), want)
		}
		if got := w.calledDone() - before; got != 1 || w.finished(info.ID) == nil {
			t.Errorf("%s: Done was called %d times", method, got)
		}
	}
	// One that is refused is not left: its client does not know the address.
	w.failDone(files.ErrNoSpace)
	w.status("POST", w.ask("POST", "/chat/v1/uploads/", nil, "Upload-Length", "0"), 507)
	for _, info := range w.staging.All() {
		if !info.Settled {
			t.Errorf("left is %+v", info)
		}
	}
	w.failDone(nil)
	w.told("POST", w.ask("POST", "/chat/v1/uploads/", nil, "Upload-Length", "0", "Upload-Metadata", named), 201)
}

// What Done was given stays until Done returns, however long that takes.
func TestExpireDuringDone(t *testing.T) {
	w := newWorld(t, upload.Limits{Idle: time.Nanosecond})
	w.during = func(info upload.Info, staged files.Staged) {
		for range 3 {
			if n, err := w.staging.Expire(); n != 0 || err != nil {
				t.Errorf("%d expire, %v", n, err)
			}
		}
		if _, err := os.Stat(staged.Path); err != nil {
			t.Error(err)
		}
	}
	path := w.create(5, "Upload-Metadata", named)
	w.told("PATCH", w.patch(path, 0, strings.NewReader("hello")), 204)
}

// A client that goes away is no error of the server. What is one is logged, without the
// address of the upload.
func TestLog(t *testing.T) {
	w := newWorld(t, upload.Limits{Size: 1 << 20, Staged: 1 << 20, Idle: time.Hour})
	data := filestest.Bytes(1, 200_000)
	path := w.create(len(data))
	for range 5 { // it breaks, now and then with a reset
		at := w.offset(path)
		conn, err := net.Dial("tcp", w.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: %d\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: %d\r\n\r\n", path, at, len(data)-at)
		conn.Write(data[at : at+10_000])
		w.eventually("it grows", func() bool {
			info, err := os.Stat(filepath.Join(w.dir, filepath.Base(path)+".data"))
			return err == nil && info.Size() >= int64(at+10_000)
		})
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
	at := w.offset(path)
	if lines := w.logged(slog.LevelError) + w.logged(slog.LevelWarn); lines != 0 {
		t.Errorf("clients that went away are %d lines:\n%s", lines, w.log.String())
	}
	w.status("no room", w.ask("POST", "/chat/v1/uploads/", nil, "Upload-Length", "1048576"), 503)
	if lines := w.logged(slog.LevelWarn); lines != 1 {
		t.Errorf("a limit is %d lines:\n%s", lines, w.log.String())
	}
	staged := filepath.Join(w.dir, filepath.Base(path)+".data")
	w.failDone(&fs.PathError{Op: "read", Path: staged, Err: syscall.EIO})
	w.status("a broken disk", w.patch(path, at, bytes.NewReader(data[at:])), 500)
	if err := os.Remove(staged); err != nil {
		t.Fatal(err)
	}
	other := w.create(5)
	if err := os.Remove(filepath.Join(w.dir, filepath.Base(other)+".data")); err != nil {
		t.Fatal(err)
	}
	w.status("a file that is gone", w.patch(other, 0, strings.NewReader("hello")), 500)
	if lines := w.logged(slog.LevelError, path, other); lines != 2 {
		t.Errorf("errors are %d lines:\n%s", lines, w.log.String())
	}
}

// What a connection returns when its client is gone is no error of the server.
func TestLevel(t *testing.T) {
	for _, c := range []struct {
		err  error
		want slog.Level
	}{
		{context.Canceled, slog.LevelDebug},
		{io.ErrUnexpectedEOF, slog.LevelDebug},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, slog.LevelDebug},
		{os.ErrDeadlineExceeded, slog.LevelDebug},
		{&upload.LimitError{Limit: upload.LimitStaged}, slog.LevelWarn},
		{context.DeadlineExceeded, slog.LevelError}, // Done took too long
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, slog.LevelError},
		{files.ErrNoSpace, slog.LevelError},
		{errors.New("x"), slog.LevelError},
	} {
		err := fmt.Errorf("append to an upload: %w", c.err)
		if got := level(err); got != c.want {
			t.Errorf("%v: %s, want %s", c.err, got, c.want)
		}
		if got := Refuse(err).Status; c.want == slog.LevelDebug && got != http.StatusServiceUnavailable {
			t.Errorf("%v: %d", c.err, got)
		}
	}
}

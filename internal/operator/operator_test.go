package operator

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// short returns a directory whose path is short.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// echo answers with the path.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })

func serve(t *testing.T, dir string, handler http.Handler) *Server {
	t.Helper()
	s, err := Listen(dir, handler, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(t.Context()) })
	return s
}

// ask makes some requests to the server of a directory.
func ask(t *testing.T, dir string) error {
	t.Helper()
	transport, err := Dial(t.Context(), dir)
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	for range 3 {
		got, err := (&http.Client{Transport: transport}).Get("http://admin/v1/x")
		if err != nil {
			return err
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || string(text) != "/v1/x" {
			t.Errorf("got %q, %v", text, err)
		}
	}
	return nil
}

func TestRequests(t *testing.T) {
	dir := short(t)
	if err := ask(t, dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("before: %v", err)
	}
	if err := ask(t, filepath.Join(dir, "nowhere")); !errors.Is(err, ErrNotRunning) {
		t.Errorf("no directory: %v", err)
	}
	s := serve(t, dir, echo)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := ask(t, dir); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if err := errors.Join(s.Close(t.Context()), s.Close(t.Context())); err != nil {
		t.Error(err)
	}
	if err := ask(t, dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after: %v", err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// Close waits for a request that is under way.
func TestCloseWaits(t *testing.T) {
	dir := short(t)
	begun, goOn := make(chan struct{}), make(chan struct{})
	s := serve(t, dir, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(begun)
			<-goOn
		}
		io.WriteString(w, r.URL.Path)
	}))
	transport, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	answered := make(chan error, 1)
	go func() {
		got, err := (&http.Client{Transport: transport}).Get("http://admin/slow")
		if err == nil {
			got.Body.Close()
		}
		answered <- err
	}()
	<-begun
	closed := make(chan error, 1)
	go func() { closed <- s.Close(t.Context()) }()
	for { // nobody new is accepted
		if _, err := os.Lstat(filepath.Join(dir, SocketName)); errors.Is(err, fs.ErrNotExist) {
			break
		}
		runtime.Gosched()
	}
	select {
	case err := <-closed:
		t.Fatalf("it did not wait: %v", err)
	default:
	}
	close(goOn)
	if err := errors.Join(<-answered, <-closed); err != nil {
		t.Error(err)
	}
}

// A server that was killed leaves its socket, and perhaps the directory in which it was
// making one.
func TestStaleSockets(t *testing.T) {
	dir := short(t)
	path := filepath.Join(dir, SocketName)
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	if err := os.Mkdir(filepath.Join(dir, ".admin-123"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := ask(t, dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a socket with nobody behind it: %v", err)
	}
	serve(t, dir, echo)
	if err := ask(t, dir); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
}

func TestAFileInTheWay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a socket is a file there")
	}
	dir := short(t)
	path := filepath.Join(dir, SocketName)
	if err := os.WriteFile(path, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Listen(dir, echo, func(error) {}); err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Errorf("got %v, %v", s, err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != "notes" {
		t.Errorf("the file has %q, %v", text, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("there are %v, %v", left, err)
	}
}

// The address of a socket has about a hundred bytes, and a path may have more.
func TestLongPaths(t *testing.T) {
	root := short(t)
	dir := filepath.Join(root, strings.Repeat("long/", 60))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Run("relative", func(t *testing.T) {
		t.Chdir(dir)
		serve(t, dir, echo)
		if err := ask(t, dir); err != nil {
			t.Error(err)
		}
	})
	t.Run("absolute", func(t *testing.T) {
		s, err := Listen(dir, echo, func(err error) { t.Error(err) })
		if runtime.GOOS != "linux" {
			if err == nil || !strings.Contains(err.Error(), "shorter --data") {
				t.Errorf("got %v", err)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		if err := ask(t, dir); err != nil {
			t.Error(err)
		}
	})
}

// Nobody sees the socket at its place without its mode, from the first moment on.
func TestModeFromTheFirstMoment(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("sockets have no modes there")
	}
	dir := short(t)
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Error(err)
				return
			}
			for _, e := range entries {
				info, err := e.Info()
				if err == nil && info.Mode().Perm()&0o077 != 0 {
					t.Errorf("%s has mode %v", e.Name(), info.Mode())
					return
				}
			}
		}
	})
	for range 200 {
		s, err := Listen(dir, echo, func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(filepath.Join(dir, SocketName))
		if err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Fatalf("%v, %v", info.Mode(), err)
		}
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	watching.Wait()
}

// A request that does not come ends.
func TestTimeouts(t *testing.T) {
	s := serve(t, short(t), echo)
	if s.http.ReadHeaderTimeout <= 0 || s.http.ReadTimeout <= 0 || s.http.ReadHeaderTimeout > time.Minute {
		t.Error("a connection may wait for ever")
	}
}

// A server whose directory was replaced leaves the socket of the one that runs there now.
func TestCloseLeavesAnotherServersSocket(t *testing.T) {
	base := short(t)
	dir := filepath.Join(base, "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	former := serve(t, dir, echo)
	if err := errors.Join(os.Rename(dir, filepath.Join(base, "old")), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, echo)
	if err := former.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if err := ask(t, dir); err != nil {
		t.Errorf("the other server: %v", err)
	}
}

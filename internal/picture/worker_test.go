package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/childtest"
)

// role makes the test binary a child process that behaves in some way.
const role = "TEST_PICTURE_ROLE"

// roles are ways to behave. They return what a child process exits with.
var roles = map[string]func() error{
	"serve": func() error { return Serve(os.Stdin, os.Stdout) },
	"hang": func() error {
		_, err := io.Copy(io.Discard, os.Stdin) // it ends with the parent
		return err
	},
	"crash": func() error { return errors.New("all is lost") },
	"print": func() error {
		_, err := os.Stdout.WriteString(strings.Repeat("nonsense ", 100_000))
		return err
	},
	"silent": func() error { return nil },
	"repeat": func() error { // the answer to another request
		_, err := os.Stdout.Write(answers[0].append(nil, request{number: 5}.append(nil)))
		return err
	},
	"claim":   func() error { return claim(answers[0]) },
	"reason":  func() error { return claim(answer{outcome: wasRefused, reason: 99}) },
	"outcome": func() error { return claim(answer{outcome: 99}) },
	"full": func() error {
		return claim(answer{outcome: wasNotDone, number: uint32(syscall.ENOSPC), text: "write: no space"})
	},
	"kill": func() error { return kill(os.Getpid()) },
	"half": half,
	"peak": peak,
	"memory": func() error {
		return confined(func() {
			for keep := [][]byte{}; ; {
				b := make([]byte, 16<<20)
				for i := 0; i < len(b); i += 4 << 10 {
					b[i] = 1
				}
				keep = append(keep, b)
			}
		})
	},
	"spin": func() error {
		spin := func(files) answer {
			for n := 0; ; n++ {
				if n < 0 {
					return answer{}
				}
			}
		}
		return serve(os.Stdin, os.Stdout, func() (<-chan os.Signal, error) { return confineTo(spinTime) }, spin)
	},
	"files": func() error { // it may open no more
		return confined(func() {
			if f, err := os.Open(os.DevNull); err == nil {
				fmt.Fprintln(os.Stderr, "opened", f.Name())
				return
			}
			if s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0); err == nil {
				fmt.Fprintln(os.Stderr, "a socket", s)
				return
			}
			fmt.Fprintln(os.Stderr, "no files")
		})
	},
	"parent": func() error {
		job := Job{os.Getenv("TEST_PICTURE_SOURCE"), os.Getenv("TEST_PICTURE_PICTURE"), os.Getenv("TEST_PICTURE_THUMBNAIL")}
		_, err := NewWorker(child("half"), 0).Make(context.Background(), job)
		return err
	},
}

// spinTime is what the process that does nothing gets of a processor.
const spinTime = time.Second

// claim answers with something.
func claim(a answer) error {
	_, frame, err := readRequest(os.Stdin)
	if err == nil {
		_, err = os.Stdout.Write(a.append(nil, frame))
	}
	return err
}

// confined does something in a process that is confined.
func confined(f func()) error {
	_, err := confine()
	if err == nil {
		f()
	}
	return err
}

func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err == nil {
		err = p.Kill()
	}
	time.Sleep(time.Minute) // the signal is on its way
	return err
}

func unconfined() (<-chan os.Signal, error) { return nil, nil }

// half writes its process id, as the first half of a picture, and goes on until its parent
// ends.
func half() error {
	return serve(os.Stdin, os.Stdout, unconfined, func(f files) answer {
		fmt.Fprintf(f.picture, "%d\n", os.Getpid())
		select {}
	})
}

// peak serves, and complains of the most memory that this process had, in KiB. What the
// system says of a process that has ended includes the memory of its parent.
func peak() error {
	status, err := os.Open("/proc/self/status") // later it is not allowed
	if err != nil {
		return err
	}
	defer status.Close()
	if err := Serve(os.Stdin, os.Stdout); err != nil {
		return err
	}
	text, err := io.ReadAll(status)
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	fmt.Fprintln(os.Stderr, strings.Fields(rest + " 0 ")[0])
	return err
}

func TestMain(m *testing.M) {
	if f, ok := roles[os.Getenv(role)]; ok {
		if err := f(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	childtest.AtOnce(4)
	os.Exit(m.Run())
}

// child returns commands of a role.
func child(name string) func() (*exec.Cmd, error) {
	return func() (*exec.Cmd, error) {
		program, err := os.Executable()
		if err != nil {
			return nil, err
		}
		c := exec.Command(program)
		c.Env = append(os.Environ(), role+"="+name, "GORACE=atexit_sleep_ms=0")
		return c, nil
	}
}

// newJob returns a job in a directory of its own.
func newJob(t *testing.T, file []byte) Job {
	t.Helper()
	dir := t.TempDir()
	j := Job{filepath.Join(dir, "upload"), filepath.Join(dir, "picture"), filepath.Join(dir, "thumbnail")}
	if err := os.WriteFile(j.Source, file, 0o600); err != nil {
		t.Fatal(err)
	}
	return j
}

// has checks which files there are beside the upload.
func (j Job) has(t *testing.T, when string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(j.Source))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.Name() != "upload" {
			got = append(got, e.Name())
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s: there are %q, want %q", when, got, want)
	}
}

// newWorker returns one that closes with the test.
func newWorker(t *testing.T, name string, waiting int) *Worker {
	t.Helper()
	w := NewWorker(child(name), waiting)
	t.Cleanup(w.Close)
	return w
}

// A child process makes the same as this one, with inherited files and with paths.
func TestWorker(t *testing.T) {
	t.Parallel()
	file := jpegOf(t, corners(1000, 600), 85, segment(markAPP1, exifMark, exifWith(orders[0], 6, secret)))
	want := mustMake(t, "here", file)
	for _, inherits := range []bool{true, false} {
		j := newJob(t, file)
		w := newWorker(t, "serve", 0)
		w.inherits = inherits
		m, err := w.Make(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		j.has(t, "after it", "picture", "thumbnail")
		got := made{Made: m, picture: read(t, j.Picture), thumbnail: read(t, j.Thumbnail)}
		checkMade(t, "a child", got)
		if got.Made != want.Made || !bytes.Equal(got.picture, want.picture) || !bytes.Equal(got.thumbnail, want.thumbnail) {
			t.Errorf("inherited: %v: got %+v, want %+v", inherits, got.Made, want.Made)
		}
		info, err := os.Stat(j.Picture)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the mode is %v, %v", info.Mode(), err)
		}
		// Another picture with the same names has no thumbnail, so the old one goes.
		if err := os.WriteFile(j.Source, pngOf(t, corners(40, 30)), 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err = w.Make(t.Context(), j); err != nil || (m.Thumbnail != Rendition{}) {
			t.Errorf("a small one: %+v, %v", m, err)
		}
		j.has(t, "after a small one", "picture")
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A refusal has its reason, and leaves nothing.
func TestWorkerRefuses(t *testing.T) {
	t.Parallel()
	w := newWorker(t, "serve", 0)
	for want, file := range map[Reason][]byte{
		Unknown:       html,
		Broken:        jpegOf(t, corners(100, 100), 85)[:500],
		TooLarge:      emptyPNG(100_000, 100_000, 8, 6, 0),
		TooManyFrames: gifOf(t, 8, 8, usual.frames+1),
	} {
		j := newJob(t, file)
		m, err := w.Make(t.Context(), j)
		refused, ok := errors.AsType[*RefusedError](err)
		if !ok || refused.Reason != want || !errors.Is(err, ErrNotShown) || m != (Made{}) {
			t.Errorf("%s: got %+v, %v", want, m, err)
		}
		j.has(t, want.String())
	}
}

// Each way in which a child process fails is another error, and leaves nothing. Only what
// the picture is to blame for refuses it.
func TestWorkerFailures(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role string
		want Failure
		text string
	}{
		{"crash", Crashed, "exit status 3: all is lost"},
		{"print", Garbled, errAnswer.Error()},
		{"silent", Garbled, errAnswer.Error()},
		{"repeat", Garbled, errAnswer.Error()},
		{"claim", Garbled, "has 0 bytes, and not"},
		{"reason", Garbled, "reason 99"},
		{"outcome", Garbled, "outcome 99"},
		{"full", Disk, "write: no space"},
		{"kill", Killed, "killed"},
		{"hang", Hung, errHangs.Error()},
		{"", NotStarted, "no such file"},
	} {
		t.Run(c.role, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, jpegOf(t, corners(40, 30), 85))
			w := newWorker(t, c.role, 0)
			if c.role == "" {
				w.command = func() (*exec.Cmd, error) { return exec.Command("/nonexistent"), nil }
			}
			if c.role == "hang" {
				w.step, w.maxSteps = time.Millisecond, 3
			}
			m, err := w.Make(t.Context(), j)
			failed, ok := errors.AsType[*ProcessError](err)
			if !ok || failed.Failure != c.want || !strings.Contains(err.Error(), c.text) || errors.Is(err, ErrNotShown) || m != (Made{}) {
				t.Errorf("got %+v, %v, want %q and %q", m, err, c.want, c.text)
			}
			if full := errors.Is(err, syscall.ENOSPC); full != (c.role == "full") {
				t.Errorf("the disk is full: %v", full)
			}
			j.has(t, c.role)
		})
	}
}

// A command that cannot be made is a failure to start.
func TestWorkerHasNoCommand(t *testing.T) {
	t.Parallel()
	want := errors.New("no program")
	w := NewWorker(func() (*exec.Cmd, error) { return nil, want }, 0)
	defer w.Close()
	_, err := w.Make(t.Context(), newJob(t, nil))
	if failed, ok := errors.AsType[*ProcessError](err); !ok || failed.Failure != NotStarted || !errors.Is(err, want) {
		t.Errorf("got %v", err)
	}
	j := newJob(t, nil)
	j.Source += " that is missing"
	if _, err := w.Make(t.Context(), j); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a source: got %v", err)
	}
	j = newJob(t, nil)
	j.Thumbnail = filepath.Join(j.Source, "in a file")
	if _, err := w.Make(t.Context(), j); err == nil {
		t.Error("no error without a directory")
	}
	j.has(t, "without a directory")
}

// started waits until a child process has written half of a picture, and returns its id.
func (j Job) started(t *testing.T) int {
	t.Helper()
	for range waits {
		if text, err := os.ReadFile(j.Picture + Partial); err == nil && bytes.HasSuffix(text, []byte("\n")) {
			pid, err := strconv.Atoi(string(bytes.TrimSpace(text)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the process has not begun to write after a minute")
	return 0
}

// waits is how many milliseconds a test waits for a process on a busy machine.
const waits = 60_000

// Half a picture never has the name of a whole one, whoever ends the process.
func TestHalfAPicture(t *testing.T) {
	t.Parallel()
	cause := errors.New("the upload was cancelled")
	for name, c := range map[string]struct {
		end  func(w *Worker, pid int, cancel context.CancelCauseFunc)
		want func(error) bool
	}{
		"cancelled": {
			func(_ *Worker, _ int, cancel context.CancelCauseFunc) { cancel(cause) },
			func(err error) bool { return errors.Is(err, cause) },
		},
		"closed": {
			func(w *Worker, _ int, _ context.CancelCauseFunc) { w.Close() },
			func(err error) bool { return errors.Is(err, ErrClosed) },
		},
		"killed": {
			func(_ *Worker, pid int, _ context.CancelCauseFunc) { syscall.Kill(pid, syscall.SIGKILL) },
			func(err error) bool {
				failed, ok := errors.AsType[*ProcessError](err)
				return ok && failed.Failure == Killed
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, jpegOf(t, corners(40, 30), 85))
			w := newWorker(t, "half", 0)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var call sync.WaitGroup
			call.Go(func() {
				if _, err := w.Make(ctx, j); !c.want(err) || errors.Is(err, ErrNotShown) {
					t.Errorf("got %v", err)
				}
			})
			pid := j.started(t)
			j.has(t, "meanwhile", "picture.partial", "thumbnail.partial")
			c.end(w, pid, cancel)
			call.Wait()
			j.has(t, "after it")
			if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("the process has not ended: %v", err)
			}
		})
	}
}

// The process ends with the server, however that ends. What it leaves is no picture, and
// no obstacle.
func TestTheParentIsKilled(t *testing.T) {
	t.Parallel()
	j := newJob(t, jpegOf(t, corners(40, 30), 85))
	parent, err := child("parent")()
	if err != nil {
		t.Fatal(err)
	}
	parent.Env = append(parent.Env, "TEST_PICTURE_SOURCE="+j.Source, "TEST_PICTURE_PICTURE="+j.Picture, "TEST_PICTURE_THUMBNAIL="+j.Thumbnail)
	childtest.Bind(parent, syscall.SIGKILL)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := j.started(t)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for waited := 0; alive(pid); waited++ {
		if waited == waits {
			t.Fatal("the process does not end")
		}
		time.Sleep(time.Millisecond)
	}
	j.has(t, "after the kill", "picture.partial", "thumbnail.partial")
	if _, err := newWorker(t, "serve", 0).Make(t.Context(), j); err != nil {
		t.Error(err)
	}
	j.has(t, "after another try", "picture")
}

// alive reports whether a process runs. Nobody may have waited for it.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) == nil
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

// One process runs at a time, as many callers wait as may, and those that wait no longer
// make room.
func TestQueue(t *testing.T) {
	t.Parallel()
	w := newWorker(t, "half", 2)
	file := jpegOf(t, corners(40, 30), 85)
	first := newJob(t, file)
	var calls sync.WaitGroup
	calls.Go(func() {
		if _, err := w.Make(t.Context(), first); !errors.Is(err, ErrClosed) {
			t.Errorf("the first: got %v", err)
		}
	})
	pid := first.started(t)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	jobs := []Job{newJob(t, file), newJob(t, file)}
	var given sync.WaitGroup
	given.Go(func() {
		if _, err := w.Make(ctx, jobs[0]); !errors.Is(err, cause) {
			t.Errorf("the second: got %v", err)
		}
	})
	calls.Go(func() {
		if _, err := w.Make(t.Context(), jobs[1]); !errors.Is(err, ErrClosed) {
			t.Errorf("the third: got %v", err)
		}
	})
	for len(w.places) < 3 {
		time.Sleep(time.Millisecond)
	}
	if _, err := w.Make(t.Context(), newJob(t, file)); !errors.Is(err, ErrBusy) {
		t.Errorf("the fourth: got %v", err)
	}
	cancel(cause)
	given.Wait()
	if len(w.places) != 2 {
		t.Errorf("%d places are taken, want 2", len(w.places))
	}
	for _, j := range jobs {
		j.has(t, "while it waits")
	}
	if !alive(pid) {
		t.Error("the first one has ended")
	}
	w.Close()
	calls.Wait()
	if _, err := w.Make(t.Context(), first); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: got %v", err)
	}
}

// After a failure the next caller has its turn.
func TestTheNextOne(t *testing.T) {
	t.Parallel()
	w := newWorker(t, "serve", 5)
	good := w.command
	var mu sync.Mutex
	n := 0
	w.command = func() (*exec.Cmd, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		if n%2 == 1 {
			return child("crash")()
		}
		return good()
	}
	var calls sync.WaitGroup
	var made, failed int
	for range 6 {
		j := newJob(t, pngOf(t, corners(40, 30)))
		calls.Go(func() {
			_, err := w.Make(t.Context(), j)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				made++
			} else {
				failed++
			}
		})
	}
	calls.Wait()
	if made != 3 || failed != 3 {
		t.Errorf("%d were made and %d failed, want 3 and 3", made, failed)
	}
}

// Serve answers nothing without a request, and returns when its requests end.
func TestServe(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := serve(strings.NewReader("hello"), &out, unconfined, nil); !errors.Is(err, io.ErrUnexpectedEOF) || out.Len() > 0 {
		t.Errorf("without a request: %v, %d bytes", err, out.Len())
	}
	j := newJob(t, pngOf(t, corners(40, 30)))
	r := request{1, j.Source, j.Source, j.Source}
	stuck := make(chan struct{})
	defer close(stuck)
	if err := serve(bytes.NewReader(r.append(nil)), &out, unconfined, func(files) answer { <-stuck; return answer{} }); !errors.Is(err, ErrOrphaned) || out.Len() > 0 {
		t.Errorf("without a parent: %v, %d bytes", err, out.Len())
	}
	want := errors.New("no limits")
	if err := serve(bytes.NewReader(r.append(nil)), &out, func() (<-chan os.Signal, error) { return nil, want }, nil); !errors.Is(err, want) || out.Len() > 0 {
		t.Errorf("without limits: %v, %d bytes", err, out.Len())
	}
	r.thumbnail += " that is missing"
	if err := serve(bytes.NewReader(r.append(nil)), &out, unconfined, nil); !errors.Is(err, os.ErrNotExist) || out.Len() > 0 {
		t.Errorf("without a file: %v, %d bytes", err, out.Len())
	}
}

// Patience is over after its steps, and a suspension does not count.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		over := make(chan struct{}, 2)
		p := newPatience(time.Second, 5, func() { over <- struct{}{} })
		began := time.Now()
		<-over
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %s, want 5 s", took)
		}
		time.Sleep(time.Hour)
		p.stop()
		p = newPatience(time.Second, 5, func() { over <- struct{}{} })
		time.Sleep(4500 * time.Millisecond)
		p.stop()
		p.tick(time.Now()) // it was on its way
		time.Sleep(time.Hour)
		if len(over) > 0 || p.left != 0 {
			t.Errorf("it is over after a stop, or twice, with %d steps left", p.left)
		}
		var ahead time.Duration
		p = newPatience(time.Second, 5, func() { over <- struct{}{} })
		p.mu.Lock()
		p.now = func() time.Time { return time.Now().Add(ahead) }
		p.mu.Unlock()
		began = time.Now()
		time.Sleep(2500 * time.Millisecond)
		p.mu.Lock()
		ahead = time.Hour // in the third step
		p.mu.Unlock()
		<-over
		if took := time.Since(began); took != 6*time.Second {
			t.Errorf("with a suspension it took %s, want 6 s", took)
		}
	})
}

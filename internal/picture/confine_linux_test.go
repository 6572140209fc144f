package picture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"kaban/internal/childtest"
)

// A process that takes too much time of a processor says so, and the picture is to blame.
func TestTooSlow(t *testing.T) {
	t.Parallel()
	refuses(t, newWorker(t, "spin", 0), TooSlow)
}

// refuses has a Worker refuse a picture.
func refuses(t *testing.T, w *Worker, want Reason) {
	t.Helper()
	j := newJob(t, jpegOf(t, corners(40, 30), 85))
	_, err := w.Make(t.Context(), j)
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Reason != want {
		t.Errorf("got %v, want %s", err, want)
	}
	j.has(t, want.String())
}

// A confined process can open nothing.
func TestNoMoreFiles(t *testing.T) {
	t.Parallel()
	c, err := child("files")()
	if err != nil {
		t.Fatal(err)
	}
	if output, err := c.CombinedOutput(); err != nil || strings.TrimSpace(string(output)) != "no files" {
		t.Errorf("got %q, %v", output, err)
	}
}

func init() {
	roles["poor"] = poor
	roles["ran out"] = func() error { // as the runtime does
		_, _ = os.Stderr.WriteString("fatal error: runtime: out of memory\n")
		os.Exit(2)
		return nil
	}
}

// poor serves with less memory than a picture may take.
func poor() error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	var used uint64 // in KiB
	_, rest, _ := strings.Cut(string(status), "VmSize:")
	if _, err := fmt.Sscan(rest, &used); err != nil {
		return err
	}
	const spare = 256 << 20
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: used<<10 + spare, Max: used<<10 + spare}); err != nil {
		return err
	}
	return Serve(os.Stdin, os.Stdout)
}

// A process that would not get its memory says so before it begins. The picture is not to
// blame, and another try may go well.
func TestNoMemory(t *testing.T) {
	t.Parallel()
	j := newJob(t, jpegOf(t, corners(40, 30), 85))
	w := newWorker(t, "poor", 0)
	_, err := w.Make(t.Context(), j)
	if failed, ok := errors.AsType[*ProcessError](err); !ok || failed.Failure != NoMemory || errors.Is(err, ErrNotShown) {
		t.Errorf("got %v, want %q", err, NoMemory)
	}
	j.has(t, "poor")
	w.command = child("serve")
	if _, err := w.Make(t.Context(), j); err != nil {
		t.Errorf("with memory: %v", err)
	}
}

// A process that runs out of memory does so because of the picture only if the machine has
// some.
func TestRanOut(t *testing.T) {
	t.Parallel()
	for _, has := range []bool{true, false} {
		w := newWorker(t, "ran out", 0)
		o, err := newJob(t, nil).open()
		if err != nil {
			t.Fatal(err)
		}
		defer o.discard()
		p, err := w.start(o)
		if err != nil {
			t.Fatal(err)
		}
		p.hasMemory = func() bool { return has }
		<-p.ended
		_, err = p.conclude(nil)
		refused, blamed := errors.AsType[*RefusedError](err)
		failed, retried := errors.AsType[*ProcessError](err)
		if has && (!blamed || refused.Reason != TooMuchMemory) || !has && (!retried || failed.Failure != NoMemory) {
			t.Errorf("the machine has memory: %v, so %v", has, err)
		}
	}
}

// What the runtime of Go says when it gets no memory is told from other crashes.
func TestComplaintsOfMemory(t *testing.T) {
	for complaint, want := range map[string]bool{
		"runtime: out of memory: cannot allocate 4194304-byte block (4194304 in use)":                                      true,
		"fatal error: runtime: cannot allocate memory":                                                                     true,
		"SIGSEGV: segmentation violation\nPC=0x43313d m=2 addr=0x0\n\ngoroutine 0:\nruntime.(*spanQueue).tryDrain(0x400?)": true,
		"panic: runtime error: index out of range [3] with length 3":                                                       false,
		"SIGSEGV: segmentation violation\nmain.main()":                                                                     false,
		"": false,
	} {
		if got := ranOut([]byte(complaint)); got != want {
			t.Errorf("%q: %v, want %v", complaint, got, want)
		}
	}
}

// The memory of a child process in MiB, for the largest pictures. Without the race detector, which needs several times as much.
func TestMemory(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "picture.test")
	if output, err := childtest.Go("test", "-c", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	unraced := func(name string) func() (*exec.Cmd, error) {
		return func() (*exec.Cmd, error) {
			c := exec.Command(program)
			c.Env = append(os.Environ(), role+"="+name)
			return c, nil
		}
	}
	// One that takes too much is ended by the system, and the picture is to blame.
	refuses(t, NewWorker(unraced("memory"), 0), TooMuchMemory)
	exif := segment(markAPP1, exifMark, exifWith(orders[0], 6, ""))
	p3 := segment(markAPP2, profileMark, displayP3())
	for _, c := range []struct {
		name string
		file []byte
		most int64
	}{
		{"on its side", withSegments(flat{8192, 6144, false, -1, ycbcr(0x22, 90, 150, 120)}.file(), exif), 250},
		{"with a wide gamut", withSegments(flat{8192, 6144, false, -1, ycbcr(0x22, 90, 150, 120)}.file(), exif, p3), 700},
		{"progressive", flat{8192, 6144, true, -1, ycbcr(0x22, 90, 150, 120)}.file(), 700},
	} {
		j := newJob(t, c.file)
		w := NewWorker(unraced("peak"), 0)
		o, err := j.open()
		if err != nil {
			t.Fatal(err)
		}
		p, err := w.start(o)
		if err != nil {
			t.Fatal(err)
		}
		<-p.ended
		a, err := p.conclude(nil)
		if err != nil || a.outcome != wasMade {
			t.Errorf("%s: %+v, %v", c.name, a, err)
		}
		o.discard()
		var peak int64 // in KiB
		if _, err := fmt.Sscan(string(p.complaint.kept), &peak); err != nil {
			t.Fatalf("%s: %q: %v", c.name, p.complaint.kept, err)
		}
		peak >>= 10
		t.Logf("%s: %d MiB at the peak", c.name, peak)
		if peak > c.most {
			t.Errorf("%s: %d MiB at the peak, want at most %d", c.name, peak, c.most)
		}
	}
}

package picture

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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

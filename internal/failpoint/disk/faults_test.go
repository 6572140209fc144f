//go:build failpoint

package disk

import (
	"bufio"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// seeds is how many losses a test sees. Each kind of loss is in many of them.
const seeds = 100

// faulty returns a disk with faults that is not that of this process.
func faulty(t *testing.T, faults string) *state {
	t.Helper()
	d := &state{limits: noLimits}
	if err := d.configure(faults); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, f := range d.files {
			f.handle.Close()
		}
	})
	return d
}

func opened(t *testing.T, d *state, path string) *File {
	t.Helper()
	f, err := d.openFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func put(t *testing.T, f *File, content string, offset int64) {
	t.Helper()
	if n, err := f.WriteAt([]byte(content), offset); n != len(content) || err != nil {
		t.Fatalf("%d bytes of %d are written: %v", n, len(content), err)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// afterLosses runs a test of a directory with each seed, loses the power, and returns how
// often each state of the directory was left.
func afterLosses(t *testing.T, faults string, use func(d *state, dir string)) map[string]int {
	t.Helper()
	left := make(map[string]int)
	for seed := range seeds {
		d, dir := faulty(t, fmt.Sprintf("%s,seed=%d", faults, seed)), t.TempDir()
		use(d, dir)
		d.Lock()
		d.loseChanges()
		left[contents(t, dir)]++
	}
	return left
}

// contents describes the files of a directory. Of a run of equal bytes it has one, with the
// number of sectors, if that is not one.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	ok(t, err)
	var text strings.Builder
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		ok(t, err)
		fmt.Fprintf(&text, "%s=", e.Name())
		for len(content) > 0 {
			run := 1
			for run < len(content) && run < sector && content[run] == content[0] {
				run++
			}
			if c := content[0]; c == 0 {
				text.WriteByte('0')
			} else {
				text.WriteByte(c)
			}
			if run != sector {
				fmt.Fprintf(&text, "(%d)", run)
			}
			content = content[run:]
		}
		text.WriteByte(' ')
	}
	return strings.TrimSpace(text.String())
}

// sectors returns whole sectors, one for each letter.
func sectors(letters string) string {
	var all strings.Builder
	for _, c := range letters {
		all.WriteString(strings.Repeat(string(c), sector))
	}
	return all.String()
}

// wantOnly checks that a loss left these states, each of them at least once.
func wantOnly(t *testing.T, left map[string]int, want ...string) {
	t.Helper()
	if got := slices.Sorted(maps.Keys(left)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Errorf("left are %q, want %q", got, want)
	}
}

// Of unsynced writes nothing remains, everything, or some sectors in any order.
func TestUnsyncedWrites(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("aaa"), 0)
		ok(t, errors.Join(f.SyncData(), d.syncDirectory(dir)))
		put(t, f, sectors("bbb"), 0)
	})
	wantOnly(t, left, "f=aaa", "f=baa", "f=aba", "f=aab", "f=bba", "f=bab", "f=abb", "f=bbb")
	for _, whole := range []string{"f=aaa", "f=bbb"} {
		if left[whole] < seeds/5 {
			t.Errorf("%s is left %d times of %d", whole, left[whole], seeds)
		}
	}
}

// A sector has the first few of its writes, and a part of one only with those before.
func TestUnsyncedWritesOfOneSector(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, errors.Join(f.Sync(), d.syncDirectory(dir)))
		put(t, f, sectors("b"), 0)
		put(t, f, strings.Repeat("c", 100), 412)
	})
	wantOnly(t, left, "f=a", "f=b", "f=b(412)c(100)")
}

// A file that grew may have its new size without its new data.
func TestUnsyncedGrowth(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, errors.Join(f.SyncData(), d.syncDirectory(dir)))
		put(t, f, sectors("bc"), 512)
	})
	wantOnly(t, left, "f=a", "f=ab", "f=abc", "f=a00", "f=ab0", "f=a0c")
}

func TestUnsyncedTruncation(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("abc"), 0)
		ok(t, errors.Join(f.SyncData(), d.syncDirectory(dir)))
		again, err := d.openFile(filepath.Join(dir, "f"), os.O_RDWR|os.O_TRUNC, 0)
		ok(t, err)
		ok(t, again.Close())
	})
	wantOnly(t, left, "f=", "f=abc")
}

// Nothing that was synced is lost.
func TestSynced(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		f, path := opened(t, d, filepath.Join(dir, "f")), filepath.Join(dir, "g")
		put(t, f, sectors("aaa"), 0)
		ok(t, f.SyncData())
		put(t, f, sectors("b"), 512)
		ok(t, errors.Join(f.Sync(), d.move(f.Name(), path), d.syncDirectory(dir)))
		ok(t, errors.Join(d.move(opened(t, d, filepath.Join(dir, "h")).Name(), ""), d.syncDirectory(dir)))
		if len(d.files) != 1 {
			t.Fatalf("%d files are tracked, one has a name", len(d.files))
		}
	})
	wantOnly(t, left, "g=aba")
}

// A file keeps its unsynced writes under another name, and after it was closed.
func TestUnsyncedWritesFollowTheFile(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		path := filepath.Join(dir, "g")
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, f.SyncData())
		put(t, f, sectors("b"), 0)
		ok(t, errors.Join(f.Close(), d.move(f.Name(), path), d.syncDirectory(dir)))
		put(t, opened(t, d, path), sectors("c"), 0)
	})
	wantOnly(t, left, "g=a", "g=b", "g=c")
	left = afterLosses(t, "lose", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, errors.Join(f.Close(), d.move(f.Name(), filepath.Join(dir, "g")), d.syncDirectory(dir)))
		ok(t, opened(t, d, filepath.Join(dir, "g")).SyncData())
	})
	wantOnly(t, left, "g=a")
}

// Of the unsynced changes of names the first few remain.
func TestUnsyncedNames(t *testing.T) {
	left := afterLosses(t, "lose", func(d *state, dir string) {
		path := func(name string) string { return filepath.Join(dir, name) }
		for _, name := range []string{"x", "y"} {
			f := opened(t, d, path(name))
			put(t, f, sectors(name), 0)
			ok(t, f.SyncData())
		}
		ok(t, d.syncDirectory(dir))
		f := opened(t, d, path("f"))
		put(t, f, sectors("f"), 0)
		ok(t, f.SyncData())
		ok(t, d.move(path("x"), ""))            // a removal
		ok(t, d.move(path("f"), path("y")))     // replaces another
		ok(t, d.move(path("y"), path("moved"))) // of the same file
		opened(t, d, path("y"))                 // of a name that was free for a moment
	})
	wantOnly(t, left, "x=x y=y", "f=f x=x y=y", "f=f y=y", "y=f", "moved=f", "moved=f y=")
	left = afterLosses(t, "lose", func(d *state, dir string) {
		ok(t, os.Mkdir(filepath.Join(dir, "other"), 0o700))
		opened(t, d, filepath.Join(dir, "f"))
		ok(t, d.syncDirectory(filepath.Join(dir, "other")))
		ok(t, os.Remove(filepath.Join(dir, "other")))
	})
	wantOnly(t, left, "", "f=")
}

// What a killed process has not synced is lost with the next one, unless that syncs it.
func TestKept(t *testing.T) {
	first := func(d *state, dir string) {
		path := func(name string) string { return filepath.Join(dir, name) }
		for _, name := range []string{"f", "removed"} {
			f := opened(t, d, path(name))
			put(t, f, sectors("a"), 0)
			ok(t, f.SyncData())
		}
		ok(t, d.syncDirectory(dir))
		put(t, opened(t, d, path("f")), sectors("b"), 0)
		ok(t, errors.Join(d.move(path("f"), path("g")), d.move(path("removed"), "")))
	}
	for name, c := range map[string]struct {
		sync func(d *state, dir string)
		want []string
	}{
		"nothing": {func(*state, string) {}, []string{
			"f=a removed=a", "g=a removed=a", "g=a", "f=b removed=a", "g=b removed=a", "g=b",
		}},
		"the names":    {func(d *state, dir string) { ok(t, d.syncDirectory(dir)) }, []string{"g=a", "g=b"}},
		"the contents": {func(d *state, dir string) { ok(t, opened(t, d, filepath.Join(dir, "g")).SyncData()) }, []string{"f=b removed=a", "g=b removed=a", "g=b"}},
	} {
		left := afterLosses(t, "lose", func(d *state, dir string) {
			file := filepath.Join(t.TempDir(), "kept")
			before := faulty(t, "lose")
			first(before, dir)
			before.save(file)
			ok(t, d.restore(file))
			if got := contents(t, dir); got != "g=b" {
				t.Fatalf("the next process finds %q", got)
			}
			c.sync(d, dir)
		})
		t.Run(name, func(t *testing.T) { wantOnly(t, left, c.want...) })
	}
}

// The control: these syncs make nothing durable.
func TestNoSync(t *testing.T) {
	left := afterLosses(t, "lose,nosync", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, errors.Join(f.SyncData(), f.Sync(), d.syncDirectory(dir)))
	})
	for _, lost := range []string{"", "f="} {
		if left[lost] == 0 {
			t.Errorf("left are %v, want %q among them", left, lost)
		}
	}
}

// One sync fails, of any kind, and it counts.
func TestFailedSync(t *testing.T) {
	for n := range 5 {
		dir := t.TempDir()
		d := faulty(t, fmt.Sprint("failsync=", n))
		f := opened(t, d, filepath.Join(dir, "f"))
		for i, err := range []error{f.SyncData(), f.Sync(), d.syncDirectory(dir), f.SyncData(), f.SyncData()} {
			if failed := errors.Is(err, syscall.EIO); failed != (i+1 == n) || failed != (err != nil) {
				t.Errorf("failsync=%d: sync %d: %v", n, i+1, err)
			}
		}
	}
	// Only some count.
	dir := t.TempDir()
	d := faulty(t, "failsync=2,of=*.segment")
	f, other := opened(t, d, filepath.Join(dir, "1.segment")), opened(t, d, filepath.Join(dir, "segment"))
	for i, err := range []error{f.SyncData(), other.SyncData(), d.syncDirectory(dir), f.SyncData(), f.SyncData()} {
		if (err != nil) != (i == 3) {
			t.Errorf("sync %d: %v", i+1, err)
		}
	}
	// The system has dropped the data, so that the next sync has nothing to write.
	left := afterLosses(t, "lose,failsync=3", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, errors.Join(f.SyncData(), d.syncDirectory(dir)))
		put(t, f, sectors("b"), 0)
		if err := f.SyncData(); err == nil {
			t.Fatal("sync 3 does not fail")
		}
		ok(t, f.SyncData())
	})
	wantOnly(t, left, "f=a", "f=b")
	left = afterLosses(t, "lose,failsync=3", func(d *state, dir string) {
		f := opened(t, d, filepath.Join(dir, "f"))
		put(t, f, sectors("a"), 0)
		ok(t, errors.Join(f.SyncData(), d.syncDirectory(dir)))
		put(t, f, sectors("b"), 0)
		if err := f.SyncData(); err == nil {
			t.Fatal("sync 3 does not fail")
		}
		put(t, f, sectors("b"), 0)
		ok(t, f.SyncData())
	})
	wantOnly(t, left, "f=b")
}

func TestFull(t *testing.T) {
	for _, c := range []struct {
		faults string
		sizes  []int64 // after writes of 1000 bytes at the end of a file with 600, of another
		failed []bool
	}{
		{"", []int64{1600, 2600, 3600}, []bool{false, false, false}},
		{"full=2000", []int64{1600, 2000, 2000}, []bool{false, true, true}},
		{"full=500", []int64{600, 600, 600}, []bool{true, true, true}},
		{"space=1500", []int64{1600, 2100, 2100}, []bool{false, true, true}},
		{"space=0", []int64{600, 600, 600}, []bool{true, true, true}},
	} {
		path := filepath.Join(t.TempDir(), "f")
		ok(t, os.WriteFile(path, make([]byte, 600), 0o600))
		f := opened(t, faulty(t, c.faults), path)
		for i, want := range c.sizes {
			info, err := f.Stat()
			ok(t, err)
			n, err := f.WriteAt(make([]byte, 1000), info.Size())
			if got := errors.Is(err, syscall.ENOSPC); got != c.failed[i] || got != (err != nil) || got != (n < 1000) || info.Size()+int64(n) != want {
				t.Errorf("%q: write %d: %d bytes at %d, %v", c.faults, i+1, n, info.Size(), err)
			}
		}
		put(t, f, "what is there can be overwritten", 560)
	}
}

func TestNoMoreFiles(t *testing.T) {
	d, dir := faulty(t, "create=1"), t.TempDir()
	path := opened(t, d, filepath.Join(dir, "f")).Name()
	if _, err := d.openFile(filepath.Join(dir, "g"), os.O_RDWR|os.O_CREATE, 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a second file: %v", err)
	}
	opened(t, d, path) // is there
	if got := contents(t, dir); got != "f=" {
		t.Errorf("there is %q", got)
	}
}

// A build with faults works without any.
func TestNoFaults(t *testing.T) {
	dir, d := t.TempDir(), &state{limits: noLimits}
	f := opened(t, d, filepath.Join(dir, "f"))
	put(t, f, sectors("ab"), 0)
	ok(t, errors.Join(f.SyncData(), d.move(f.Name(), filepath.Join(dir, "g")), d.syncDirectory(dir), f.Truncate(sector), f.Sync()))
	if got := contents(t, dir); got != "g=a" {
		t.Errorf("there is %q", got)
	}
}

func TestUnknownFaults(t *testing.T) {
	for _, faults := range []string{"loose", "lose,seed", "seed=x", "lose,failsinc=3"} {
		if err := new(state).configure(faults); (err == nil) != (faults == "lose,seed") {
			t.Errorf("%q: %v", faults, err)
		}
	}
}

// After a loss nothing can be read, written or synced.
func TestTheLossIsTheEnd(t *testing.T) {
	losePower()
	if disk.TryLock() {
		t.Error("operations go on after a loss")
	}
	disk.Unlock()
}

// childVariable makes TestChild use the file that it names.
const childVariable = "KABAN_TEST_DISK"

// TestChild fills its disk when it is small, and after it is large again waits for its
// end.
func TestChild(t *testing.T) {
	path := os.Getenv(childVariable)
	if path == "" {
		t.Skip("not a child")
	}
	f, err := OpenFile(path, os.O_RDWR, 0)
	ok(t, err)
	lines := bufio.NewScanner(os.Stdin) // ends with the parent
	for lines.Scan() {
		_, err := f.WriteAt([]byte(sectors("bb")), 0)
		fmt.Println(errors.Is(err, syscall.ENOSPC), err == nil)
	}
}

// A process has the faults of its environment, and gets the signals.
func TestFaultsOfAProcess(t *testing.T) {
	left := make(map[string]int)
	for seed := 0; seed < 30 && len(left) < 2; seed++ {
		path := filepath.Join(t.TempDir(), "f")
		ok(t, os.WriteFile(path, []byte(sectors("a")), 0o600))
		child := exec.Command(os.Args[0], "-test.run", "^TestChild$")
		child.Env = append(os.Environ(), childVariable+"="+path, fmt.Sprintf("KABAN_FAULT_DISK=lose,full=512,later,seed=%d", seed))
		stdin, err := child.StdinPipe()
		ok(t, err)
		output, write, err := os.Pipe()
		ok(t, err)
		child.Stdout, child.Stderr = write, write
		ok(t, errors.Join(child.Start(), write.Close()))
		lines := bufio.NewScanner(output)
		wait := func(want string) {
			if lines.Scan(); lines.Text() != want {
				t.Fatalf("the child prints %q, want %q", lines.Text(), want)
			}
		}
		for i, want := range []string{"false true", "true false", "false true"} {
			fmt.Fprintln(stdin, "write")
			wait(want)
			if i < 2 {
				ok(t, errors.Join(os.Truncate(path, sector), child.Process.Signal(syscall.SIGUSR2)))
				wait("disk: the faults have changed")
			}
		}
		ok(t, child.Process.Signal(syscall.SIGUSR1))
		err = child.Wait()
		if exit, is := errors.AsType[*exec.ExitError](err); !is || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("the child ends with %v", err)
		}
		stdin.Close()
		output.Close()
		left[contents(t, filepath.Dir(path))]++
	}
	if left["f=bb"] == 0 || len(left) < 2 {
		t.Errorf("left are %v, want all of the writes, and something else", left)
	}
}

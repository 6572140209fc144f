package childtest

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A process, its child, and what that starts later are on the processor.
func TestPin(t *testing.T) {
	c := exec.Command("sh", "-c", "sleep 60 & child=$!; echo $child; read x; sh -c 'echo $$; read x'; kill $child")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	Bind(c, unix.SIGKILL)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.Wait() // its status is that of kill
	defer in.Close()
	lines := bufio.NewReader(out)
	next := func() int {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
	child := next()
	all := processors(t, 0)
	last := 0
	for processor := range 1024 {
		if all.IsSet(processor) {
			last = processor
		}
	}
	Pin(t, c.Process.Pid, last)
	if _, err := in.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	for _, pid := range []int{c.Process.Pid, child, next()} {
		if is := processors(t, pid); is.Count() != 1 || !is.IsSet(last) {
			t.Errorf("process %d is on %d processors, not on %d alone", pid, is.Count(), last)
		}
	}
	t.Run("this process", func(t *testing.T) {
		before := start(t)
		PinSelf(t, last)
		if is := processors(t, before); is != all {
			t.Errorf("a process that was there before has %d processors, and had %d", is.Count(), all.Count())
		}
		if is := processors(t, start(t)); is.Count() != 1 || !is.IsSet(last) {
			t.Errorf("a process that it starts is on %d processors, not on %d alone", is.Count(), last)
		}
		if is := processors(t, 0); is.Count() != 1 || !is.IsSet(last) {
			t.Errorf("this process is on %d processors, not on %d alone", is.Count(), last)
		}
	})
	if is := processors(t, 0); is != all {
		t.Errorf("this process has %d processors when the test has ended, and had %d", is.Count(), all.Count())
	}
	if pin(1<<30, last) == nil {
		t.Error("a process that is not there is pinned")
	}
}

// start starts a process that does nothing, until the test ends.
func start(t *testing.T) (pid int) {
	t.Helper()
	c := exec.Command("cat")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	Bind(c, unix.SIGKILL)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	})
	return c.Process.Pid
}

// What children have used counts when they have ended, too.
func TestCPU(t *testing.T) {
	used := func() time.Duration {
		t.Helper()
		d, err := CPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := used()
	c := exec.Command("sh", "-c", "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	child := c.ProcessState.UserTime() + c.ProcessState.SystemTime()
	if more := used() - before; more < child-4*tick {
		t.Errorf("a child has used %v, and this process and its children %v", child, more)
	}
	if p, err := parseStat("7 (a ) b (c) S 3 7 7 0 -1 4194560 100 0 0 0 250 50 4 1 20 0 4 0 100 1 2 3"); err != nil || p != (process{7, 3, 300 * tick, 5 * tick}) {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := parseStat("7 (x) S 1"); err == nil {
		t.Error("half a line is read")
	}
}

// processors returns those of a process; 0 is this one.
func processors(t *testing.T, pid int) (is unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(pid, &is); err != nil {
		t.Fatal(err)
	}
	return is
}

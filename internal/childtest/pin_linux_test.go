package childtest

import (
	"bufio"
	"os/exec"
	"strconv"
	"strings"
	"testing"

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
		PinSelf(t, last)
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

// processors returns those of a process; 0 is this one.
func processors(t *testing.T, pid int) (is unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(pid, &is); err != nil {
		t.Fatal(err)
	}
	return is
}

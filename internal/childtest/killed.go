package childtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// Fragile is the binary of a package's tests that failpoints kill.
type Fragile string

// NewFragile builds it for the package that is being tested.
func NewFragile(t testing.TB) Fragile {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "killed.test")
	if output, err := Go("test", "-c", "-tags", "failpoint", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return Fragile(binary)
}

// Killed runs a test in a process of its own until a failpoint, such as "journal.written:2",
// kills it, and returns what it has printed. The process has a variable of the environment, such
// as "NAME=value", and an open standard input, which ends with the process that runs it.
func (f Fragile) Killed(t testing.TB, test, variable, point string) (output string) {
	t.Helper()
	child := exec.Command(string(f), "-test.run", "^"+test+"$")
	child.Env = append(os.Environ(), variable, "KABAN_FAILPOINT="+point)
	stdin, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	text, err := child.CombinedOutput()
	stdin.Close()
	output = string(text)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("%s: %v\n%s", point, err, output[max(0, len(output)-2000):])
	}
	return output
}

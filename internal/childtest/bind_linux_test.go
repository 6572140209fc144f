package childtest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// role makes the test binary one of the processes of TestBind.
const role = "KABAN_CHILDTEST"

// orphaned is for how long a process lives that nobody ends.
const orphaned = 10 * time.Second

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "":
		os.Exit(m.Run())
	case "parent":
		c := exec.Command(os.Args[0])
		c.Env = append(os.Environ(), role+"=child")
		c.Stdout = os.Stdout
		Bind(c, syscall.SIGKILL)
		if err := c.Run(); err != nil {
			fmt.Println(err)
		}
	case "child":
		fmt.Println("started")
		time.Sleep(orphaned)
		fmt.Println("an orphan")
	}
}

// A process ends with the one that started it, if that is killed.
func TestBind(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), role+"=parent", "GORACE=atexit_sleep_ms=0")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != "started\n" {
		t.Errorf("got %q, %v", line, err)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The output ends with the last process that has it.
	if rest, err := io.ReadAll(lines); err != nil || strings.Contains(string(rest), "orphan") {
		t.Errorf("the child goes on: %q, %v", rest, err)
	}
	if err := parent.Wait(); err == nil {
		t.Error("the parent was not killed")
	}
}

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// childrenOf returns the children of a process, including those that have ended and were
// not waited for.
func childrenOf(t *testing.T, pid int) (children []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), fmt.Sprintf("\nPPid:\t%d\n", pid)) {
			continue // it has ended meanwhile, or is not ours
		}
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		children = append(children, child)
	}
	return children
}

// hashingServer is a server with one account, ann, and a variable in its environment that
// nobody else may have.
type hashingServer struct {
	*running
	address, data string
}

func startHashing(t *testing.T) hashingServer {
	t.Helper()
	dir := t.TempDir()
	data, secret := filepath.Join(dir, "data"), filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte(rightPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	owner := command(t, "owner", "ann", "--data", data, "--password-file", secret)
	owner.begin()
	if code := owner.finish(); code != 0 {
		t.Fatalf("exit code %d: %s", code, owner)
	}
	server := command(t, "serve", "--data", data, "--listen", "tcp://127.0.0.1:0")
	server.Env = append(os.Environ(), "CREDENTIALS_DIRECTORY=/nowhere")
	server.begin()
	server.await("msg=ready")
	_, rest, _ := strings.Cut(server.String(), "url=tcp://")
	address, _, _ := strings.Cut(rest, "\n")
	return hashingServer{server, address, data}
}

// signIn signs in with the right password.
func (s hashingServer) signIn() {
	s.t.Helper()
	enter(s.t, s.address, fmt.Sprintf(`"username":"ann","password":%q`, rightPassword), func(answer string) {
		if !strings.Contains(answer, `"welcome"`) {
			s.t.Errorf("got %s", answer)
		}
	})
}

// hashing returns the processes that hash passwords for the server.
func (s hashingServer) hashing() []int { return childrenOf(s.t, s.Process.Pid) }

// status returns a field of the status of a process, or "" if it has ended.
func status(pid int, field string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, rest, _ := strings.Cut("\n"+string(text), "\n"+field+":")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}

// A process that hashes passwords has a low priority and nothing of the server's: no
// descriptor, no variable, no argument that is a secret.
func TestAHashingProcessInheritsNothing(t *testing.T) {
	t.Parallel()
	s := startHashing(t)
	if got := s.hashing(); len(got) != 0 {
		t.Fatalf("an idle server has the processes %v", got)
	}
	idle, err := net.Dial("tcp", s.address) // a descriptor more
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	s.signIn()
	got := s.hashing()
	if len(got) != 1 {
		t.Fatalf("the server has the processes %v, want one", got)
	}
	// A server in need does not wait for a slow process; the test does.
	s.until(func() bool { return status(got[0], "Name") == "kaban-hash" })
	dir := fmt.Sprintf("/proc/%d/", got[0])
	for name, want := range map[string]string{"cmdline": binary + "\x00hash-passwords\x00", "environ": "GOMAXPROCS=1\x00GOGC=off\x00"} {
		if text, err := os.ReadFile(dir + name); err != nil || string(text) != want {
			t.Errorf("%s is %q, want %q (%v)", name, text, want, err)
		}
	}
	for fd, want := range map[string]string{"0": "pipe:", "1": "pipe:", "2": "pipe:"} {
		if to, err := os.Readlink(dir + "fd/" + fd); err != nil || !strings.HasPrefix(to, want) {
			t.Errorf("descriptor %s is %s, want %s (%v)", fd, to, want, err)
		}
	}
	ours := openFiles(t, os.Getpid()) // of the shell that runs the tests
	servers := openFiles(t, s.Process.Pid)
	if !slices.ContainsFunc(servers, isSocket) {
		t.Errorf("the server has no sockets, but %q", servers)
	}
	for _, file := range openFiles(t, got[0]) {
		if isSocket(file) || strings.HasPrefix(file, s.data) || slices.Contains(servers, file) && !slices.Contains(ours, file) && !isRuntime(file) {
			t.Errorf("it has %s of the server", file)
		}
	}
	tasks, err := filepath.Glob(dir + "task/*/stat")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	usual, _ := niceness(t, fmt.Sprintf("/proc/%d/stat", os.Getpid()))
	for _, task := range tasks {
		if got, alive := niceness(t, task); alive && got != min(usual+10, 19) {
			t.Errorf("%s: the niceness is %d, and that of the server %d", task, got, usual)
		}
	}
	if text, err := os.ReadFile(dir + "oom_score_adj"); err != nil || string(text) != "1000\n" {
		t.Errorf("the score for a lack of memory is %q, want 1000 (%v)", text, err)
	}
	if tasks, err = filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", s.Process.Pid)); err != nil {
		t.Fatal(err)
	}
	lowered := 0
	for _, task := range tasks {
		if got, alive := niceness(t, task); alive && got != usual {
			lowered++
		}
	}
	if lowered > 1 { // that of the search index
		t.Errorf("%d threads of the server have not its niceness of %d, want 1", lowered, usual)
	}
}

// openFiles returns the targets of the descriptors of a process, but for those of the
// standard streams.
func openFiles(t *testing.T, pid int) (targets []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if to, err := os.Readlink(dir + file.Name()); err == nil && !slices.Contains([]string{"0", "1", "2"}, file.Name()) {
			targets = append(targets, to)
		}
	}
	return targets
}

func isSocket(file string) bool { return strings.HasPrefix(file, "socket:") }

// isRuntime reports whether the Go runtime opens a file in each process.
func isRuntime(file string) bool {
	return strings.HasPrefix(file, "anon_inode:") || strings.HasPrefix(file, "/sys/fs/cgroup/")
}

// niceness returns the 19th field of a stat file of proc(5). It reports false if the
// thread has ended.
func niceness(t *testing.T, file string) (n int, alive bool) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	_, rest, _ := strings.Cut(string(text), ") ") // the third field comes next
	if n, err = strconv.Atoi(strings.Fields(rest)[16]); err != nil {
		t.Fatal(err)
	}
	return n, true
}

// Hashing processes are killed all the time, and all sign-ins get their answer.
func TestKilledHashingProcessesLoseNoSignIn(t *testing.T) {
	t.Parallel()
	const count = 40
	s := startHashing(t)
	var ended atomic.Bool
	var killing, through sync.WaitGroup
	kills := 0
	killing.Go(func() {
		for !ended.Load() {
			for _, pid := range s.hashing() {
				if status(pid, "State") != "Z (zombie)" && syscall.Kill(pid, syscall.SIGKILL) == nil {
					kills++
				}
			}
			time.Sleep(time.Millisecond) // or else the server has no processor
		}
	})
	for range count {
		through.Go(s.signIn)
	}
	through.Wait()
	ended.Store(true)
	killing.Wait()
	if kills == 0 {
		t.Error("no process was killed")
	}
	if got := strings.Count(s.String(), "a process that hashes passwords failed"); got == 0 || got > kills {
		t.Errorf("%d warnings after %d kills: %s", got, kills, s)
	}
	s.until(func() bool {
		return !slices.ContainsFunc(s.hashing(), func(pid int) bool { return status(pid, "State") == "Z (zombie)" })
	})
}

// The processes end with their server, even if it is killed or they are in the middle of
// a hash, and not with the signal of a terminal.
func TestHashingProcessesEndWithTheServer(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		s := startHashing(t)
		s.signIn()
		processes := s.hashing()
		if len(processes) == 0 {
			t.Fatal("no process hashes passwords")
		}
		for _, pid := range processes {
			if group, err := syscall.Getpgid(pid); err != nil || group != pid {
				t.Errorf("the group of %d is %d (%v)", pid, group, err)
			}
		}
		var through sync.WaitGroup
		var answered atomic.Int32
		for range 100 { // seconds of work
			through.Go(func() {
				enter(t, s.address, fmt.Sprintf(`"username":"ann","password":%q`, rightPassword), func(string) { answered.Add(1) })
			})
		}
		s.until(func() bool { return answered.Load() > 0 })
		processes = s.hashing()
		if err := s.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		for _, pid := range processes {
			s.until(func() bool { state := status(pid, "State"); return state == "" || state == "Z (zombie)" })
		}
		through.Wait()
	}
}

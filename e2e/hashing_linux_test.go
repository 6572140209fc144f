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
	dir := fmt.Sprintf("/proc/%d/", got[0])
	for name, want := range map[string]string{"cmdline": binary + "\x00hash-passwords\x00", "environ": "GOMAXPROCS=1\x00GOGC=off\x00"} {
		if text, err := os.ReadFile(dir + name); err != nil || string(text) != want {
			t.Errorf("%s is %q, want %q (%v)", name, text, want, err)
		}
	}
	for fd, want := range map[string]string{"0": "pipe:", "1": "pipe:", "2": "/dev/null"} {
		if to, err := os.Readlink(dir + "fd/" + fd); err != nil || !strings.HasPrefix(to, want) {
			t.Errorf("descriptor %s is %s, want %s (%v)", fd, to, want, err)
		}
	}
	if name := status(got[0], "Name"); name != "kaban-hash" {
		t.Errorf("its name is %s", name)
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
	for _, task := range tasks {
		if text, err := os.ReadFile(task); err != nil || policy(string(text)) != "5" { // SCHED_IDLE
			t.Errorf("%s: the policy is %s, want 5 (%v)", task, policy(string(text)), err)
		}
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

// policy returns the 41st field of a stat file of proc(5).
func policy(stat string) string {
	_, rest, _ := strings.Cut(stat, ") ") // the third field comes next
	fields := strings.Fields(rest)
	if len(fields) < 39 {
		return ""
	}
	return fields[38]
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
		var through sync.WaitGroup
		for range 4 {
			through.Go(s.signIn)
		}
		through.Wait()
		processes := s.hashing()
		if len(processes) == 0 {
			t.Fatal("no process hashes passwords")
		}
		for _, pid := range processes {
			if group, err := syscall.Getpgid(pid); err != nil || group != pid {
				t.Errorf("the group of %d is %d (%v)", pid, group, err)
			}
		}
		if err := s.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		<-s.ended
		for _, pid := range processes {
			s.until(func() bool { state := status(pid, "State"); return state == "" || state == "Z (zombie)" })
		}
	}
}

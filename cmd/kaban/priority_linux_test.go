package main

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// priorities returns the niceness of each thread of this process, and the priority of its
// disk as ioprio_get(2) has it.
func priorities(t *testing.T) (niceness map[int]string, disk map[int]int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/self/task/*/stat")
	if err != nil || len(tasks) == 0 {
		t.Fatalf("no threads: %v", err)
	}
	niceness, disk = make(map[int]string), make(map[int]int)
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			continue // it has ended
		}
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(task)))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		niceness[id] = strings.Fields(rest)[16]
		if priority, _, errno := syscall.RawSyscall(syscall.SYS_IOPRIO_GET, ioprioWhoProcess, uintptr(id), 0); errno == 0 {
			disk[id] = int(priority)
		}
	}
	return niceness, disk
}

// lowered is the variable with which this test is the process that has its priority
// lowered, which cannot be taken back.
const lowered = "TEST_LOWERED"

// All threads of a backup with a low priority have it, also those that start meanwhile.
func TestABackupLowersItself(t *testing.T) {
	if os.Getenv(lowered) == "" {
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), program, "-test.run=^"+t.Name()+"$", "-test.v")
		c.Env = append(os.Environ(), lowered+"=1")
		if output, err := c.CombinedOutput(); err != nil || !bytes.Contains(output, []byte("--- PASS")) {
			t.Errorf("%v: %s", err, output)
		}
		return
	}
	stop := make(chan struct{})
	var threads sync.WaitGroup
	for range 4 {
		threads.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var one sync.WaitGroup
				one.Go(func() { runtime.LockOSThread() }) // which ends its thread
				one.Wait()
			}
		})
	}
	data := t.TempDir()
	file := filepath.Join(data, "copy.db")
	run([]string{"backup", "--low-priority", "--data", data, "--", file}, streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
	niceness, disk := priorities(t)
	close(stop)
	threads.Wait()
	for id, n := range niceness {
		if n != "19" {
			t.Errorf("thread %d: the niceness is %s, want 19", id, n)
		}
	}
	for id, priority := range disk {
		if priority>>13 != ioprioIdle>>13 {
			t.Errorf("thread %d: the priority of the disk is %#x, want %#x", id, priority, ioprioIdle)
		}
	}
}

// A backup on a schedule is made in another process, and no thread of this one has
// another priority after it.
func TestMakeBackupLowersNoThreadHere(t *testing.T) {
	t.Setenv(asCommand, "1")
	data, file := t.TempDir(), filepath.Join(t.TempDir(), "copy.db")
	s, err := openImporter(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	before, _ := priorities(t)
	if err := makeBackup(t.Context(), data, file, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	usual := before[os.Getpid()]
	after, _ := priorities(t)
	for id, n := range after {
		if n != usual {
			t.Errorf("thread %d: the niceness is %s, and was %s", id, n, usual)
		}
	}
}

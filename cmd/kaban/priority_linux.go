package main

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// Of ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13
)

// maxThreadRounds bounds how often the threads of a process are listed. A thread that
// starts meanwhile costs another round.
const maxThreadRounds = 100

// ourselves returns a path of the running program. It works after the file was replaced
// by that of another version, which might not know the schema of the database.
func ourselves() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// lowerSelf gives this process a niceness. It is a wish: all works without it, too.
func lowerSelf(niceness int) {
	eachThread(func(id int) { _ = syscall.Setpriority(syscall.PRIO_PROCESS, id, niceness) })
}

// lowerDisk has this process use only what the disk has left. It is a wish, too.
func lowerDisk() {
	eachThread(func(id int) {
		_, _, _ = syscall.RawSyscall(syscall.SYS_IOPRIO_SET, ioprioWhoProcess, uintptr(id), ioprioIdle)
	})
}

// eachThread runs a function for each thread of this process, until there are no more. A
// priority is that of one thread here, and a thread inherits it from the one that starts
// it.
func eachThread(run func(id int)) {
	done := make(map[string]bool)
	for range maxThreadRounds {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			run(0) // the calling thread
			return
		}
		before := len(done)
		for _, thread := range threads {
			if id, err := strconv.Atoi(thread.Name()); err == nil && !done[thread.Name()] {
				done[thread.Name()] = true
				run(id)
			}
		}
		if len(done) == before {
			return
		}
	}
}

// nameSelf gives this process a name for lists that show no arguments, where it would be
// "exe".
func nameSelf(name string) { _ = os.WriteFile("/proc/self/comm", []byte(name), 0) }

// sacrificeSelf has the system end this process first when memory runs out.
func sacrificeSelf() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }

// detach keeps the signals of a terminal from a process, which ends with its parent. The
// thread that starts the process must live as long.
func detach(c *exec.Cmd) {
	separate(c)
	c.SysProcAttr.Pdeathsig = syscall.SIGTERM
}

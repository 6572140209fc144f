package main

import (
	"os"
	"os/exec"
	"syscall"
)

// Of ioprio_set(2).
const (
	ioprioWhoProcess = 1
	ioprioIdle       = 3 << 13
	lowestPriority   = 19
)

// ourselves returns a path of the running program. It works after the file was replaced
// by that of another version, which might not know the schema of the database.
func ourselves() (string, error) {
	const self = "/proc/self/exe"
	if _, err := os.Stat(self); err == nil {
		return self, nil
	}
	return os.Executable()
}

// lowerPriority has the calling thread, and processes that it starts, use only what
// processor and disk have left. It is a wish: without it a backup works, too.
func lowerPriority() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowestPriority)
	_, _, _ = syscall.RawSyscall(syscall.SYS_IOPRIO_SET, ioprioWhoProcess, 0, ioprioIdle)
}

// detach keeps the signals of a terminal from a process, which ends with its parent. The
// thread that starts the process must live as long.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

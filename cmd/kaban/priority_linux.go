package main

import (
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
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

// lowerProcessor has the calling thread, and processes that it starts, use only what the
// processor has left, and give way at once: with niceness alone the kernel lets them go on
// for up to 3 ms, each time that the server has something to do.
func lowerProcessor() {
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowestPriority)
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE, Nice: lowestPriority}, 0)
}

// settle gives this process a name for lists that show no arguments, where it would be
// "exe". Its priority comes from the thread that started it.
func settle() { _ = os.WriteFile("/proc/self/comm", []byte("kaban-hash"), 0) }

// separate keeps the signals of a terminal from a process. It stays in the session:
// priorities do not count between sessions where the system groups processes by them.
func separate(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// canLower is whether processes can have a low priority.
const canLower = true

// detach keeps the signals of a terminal from a process, which ends with its parent. The
// thread that starts the process must live as long.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

package index

import (
	"bytes"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// lowerPriority gives the calling goroutine a thread of its own with a low priority, so that
// loops with messages to deliver get the processor at once (ADR 0041). The thread ends with the
// goroutine. It is a wish: all works without it, too.
func lowerPriority() {
	const lower = 10
	runtime.LockOSThread()
	thread := syscall.Gettid()
	if priority, err := syscall.Getpriority(syscall.PRIO_PROCESS, thread); err == nil {
		// The system call returns 20 for a niceness of 0, and 1 for 19.
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, thread, 20-priority+lower)
	}
}

// threadTime returns what the calling thread has used of a processor.
func threadTime() time.Duration {
	const thread = 1 // RUSAGE_THREAD
	return usageOf(thread)
}

// tick is the unit of /proc/stat, the same for all programs.
const tick = 10 * time.Millisecond

// idleTime returns for how long processors of the machine have done nothing, in sum, or
// ever less if that is not known.
func idleTime() time.Duration {
	f, err := os.Open("/proc/stat")
	if err != nil {
		return unknown()
	}
	defer f.Close()
	line := make([]byte, 256)
	n, err := io.ReadFull(f, line)
	if err != nil && n == 0 {
		return unknown()
	}
	return idleOf(line[:n])
}

// idleOf reads the first line of /proc/stat: "cpu" and the times of users, nice, system,
// idle, waiting for a disk, and others. Some sandboxes have a file that always says 0: that
// is no machine without an idle moment, but one that does not tell.
func idleOf(stat []byte) time.Duration {
	fields := bytes.Fields(stat)
	if len(fields) < 6 || string(fields[0]) != "cpu" {
		return unknown()
	}
	var sum time.Duration
	for _, field := range fields[4:6] {
		n, err := strconv.ParseInt(string(field), 10, 64)
		if err != nil {
			return unknown()
		}
		sum += time.Duration(n) * tick
	}
	if sum == 0 {
		return unknown()
	}
	return sum
}

//go:build linux && !race && !msan && !asan

// Package nonblock makes system calls that never wait, without telling Go's scheduler. For any
// other system call the scheduler's monitor looks every 20 µs whether it takes long, and then
// retakes the P: a loop that comes back from a write of 64 KiB has to find another one. That costs 4 to 7 %
// of a delivery (ADR 0048).
//
// Each call keeps its P until it returns, and garbage collection waits for it. So callers keep it
// short: the descriptor must not block, and a call copies tens of KiB, not megabytes. All functions
// are safe for concurrent use.
package nonblock

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Read is read(2) on a descriptor that does not block. Errors are a syscall.Errno, EAGAIN among them.
func Read(fd int, p []byte) (int, error) {
	return result(syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

// Write is write(2) on a descriptor that does not block. Errors are a syscall.Errno, EAGAIN among them.
func Write(fd int, p []byte) (int, error) {
	return result(syscall.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p))))
}

// Poll is epoll_wait(2) with a timeout of 0: it returns how many events there are, and fills as many.
func Poll(fd int, events []unix.EpollEvent) (int, error) {
	return result(syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0))
}

func result(n, _ uintptr, errno syscall.Errno) (int, error) {
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

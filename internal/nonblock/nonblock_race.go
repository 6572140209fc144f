//go:build linux && (race || msan || asan)

// Package nonblock is the same with the detectors of Go, which see the memory of these calls.
package nonblock

import "golang.org/x/sys/unix"

// Read is read(2).
func Read(fd int, p []byte) (int, error) { return unix.Read(fd, p) }

// Write is write(2).
func Write(fd int, p []byte) (int, error) { return unix.Write(fd, p) }

// Poll is epoll_wait(2) with a timeout of 0.
func Poll(fd int, events []unix.EpollEvent) (int, error) { return unix.EpollWait(fd, events, 0) }

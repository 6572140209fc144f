//go:build linux

package nonblock_test

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"kaban/internal/nonblock"
)

// pair returns two sockets that are connected and do not block.
func pair(t *testing.T) (a, b int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range pair {
			unix.Close(fd)
		}
	})
	return pair[0], pair[1]
}

func want(t *testing.T, what string, n, wanted int, err error) {
	t.Helper()
	if err != nil || n != wanted {
		t.Fatalf("%s: %d, %v; want %d", what, n, err, wanted)
	}
}

// What one end writes, the other one reads.
func TestReadAndWrite(t *testing.T) {
	a, b := pair(t)
	text := bytes.Repeat([]byte("kaban "), 1000)
	n, err := nonblock.Write(a, text)
	want(t, "write", n, len(text), err)
	read := make([]byte, len(text)+1)
	n, err = nonblock.Read(b, read)
	want(t, "read", n, len(text), err)
	if !bytes.Equal(read[:n], text) {
		t.Error("something else was read")
	}
	n, err = nonblock.Write(a, nil)
	want(t, "write nothing", n, 0, err)
	if err := unix.Shutdown(a, unix.SHUT_WR); err != nil {
		t.Fatal(err)
	}
	n, err = nonblock.Read(b, read)
	want(t, "read at the end", n, 0, err)
}

// Errors are those of the system.
func TestErrors(t *testing.T) {
	a, b := pair(t)
	one := make([]byte, 1)
	if n, err := nonblock.Read(b, one); n > 0 || !errors.Is(err, unix.EAGAIN) {
		t.Errorf("read what is not there: %d, %v", n, err)
	}
	full := make([]byte, 1<<20)
	for range 100 {
		n, err := nonblock.Write(a, full)
		if errors.Is(err, unix.EAGAIN) && n < 0 {
			break
		}
		if err != nil || n <= 0 {
			t.Fatalf("write until it is full: %d, %v", n, err)
		}
	}
	if _, err := nonblock.Write(a, one); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("write to a full socket: %v", err)
	}
	if _, err := nonblock.Read(-1, one); !errors.Is(err, unix.EBADF) {
		t.Errorf("read from no descriptor: %v", err)
	}
	if _, err := nonblock.Poll(-1, make([]unix.EpollEvent, 1)); !errors.Is(err, unix.EBADF) {
		t.Errorf("poll no descriptor: %v", err)
	}
}

// Poll returns the events that there are, and does not wait for more.
func TestPoll(t *testing.T) {
	a, b := pair(t)
	set, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(set) })
	if err := unix.EpollCtl(set, unix.EPOLL_CTL_ADD, b, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(b)}); err != nil {
		t.Fatal(err)
	}
	events := make([]unix.EpollEvent, 4)
	n, err := nonblock.Poll(set, events)
	want(t, "poll", n, 0, err)
	n, err = nonblock.Write(a, []byte("x"))
	want(t, "write", n, 1, err)
	n, err = nonblock.Poll(set, events)
	want(t, "poll", n, 1, err)
	if events[0].Fd != int32(b) || events[0].Events&unix.EPOLLIN == 0 {
		t.Errorf("the event is %+v", events[0])
	}
}

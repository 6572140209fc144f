package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// loopRoom gathers the lines of a round.
type loopRoom struct {
	members []*loopConn
	lines   []byte
	dirty   bool
}

// loopConn is a connection of the loop.
type loopConn struct {
	fd   int
	room *loopRoom // nil before its first line
	in   []byte    // an incomplete line
	out  []byte    // data that the socket did not accept
}

type loop struct {
	epoll, listener int
	conns           []*loopConn // by descriptor
	rooms           map[string]*loopRoom
	dirty           []*loopRoom
	buffer          []byte
}

func serveLoop(listener *net.TCPListener) error {
	file, err := listener.File()
	if err != nil {
		return err
	}
	defer file.Close()
	l := &loop{listener: int(file.Fd()), rooms: make(map[string]*loopRoom), buffer: make([]byte, 256<<10)}
	if err := unix.SetNonblock(l.listener, true); err != nil {
		return err
	}
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if err := l.watch(l.listener, unix.EPOLLIN); err != nil {
		return err
	}
	events := make([]unix.EpollEvent, 1024)
	for {
		n, err := unix.EpollWait(l.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("epoll: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			l.handle(int(event.Fd), event.Events)
		}
		l.flush()
	}
}

func (l *loop) watch(fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Fd: int32(fd), Events: events})
}

func (l *loop) handle(fd int, events uint32) {
	if fd == l.listener {
		l.accept()
		return
	}
	c := l.conns[fd]
	if c == nil {
		return
	}
	if rest := c.out; events&unix.EPOLLOUT != 0 && len(rest) > 0 {
		c.out = nil
		l.write(c, rest)
	}
	if events&^unix.EPOLLOUT != 0 && l.conns[fd] == c {
		l.read(c)
	}
}

func (l *loop) accept() {
	for {
		fd, _, err := unix.Accept4(l.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return // none left, or none that could be accepted
		}
		for len(l.conns) <= fd {
			l.conns = append(l.conns, nil)
		}
		l.conns[fd] = &loopConn{fd: fd}
		err = errors.Join(
			unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
			l.watch(fd, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET))
		if err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			l.drop(l.conns[fd])
		}
	}
}

func (l *loop) read(c *loopConn) {
	for {
		n, err := unix.Read(c.fd, l.buffer)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || n == 0:
			l.drop(c)
			return
		}
		l.take(c, l.buffer[:n])
		if n < len(l.buffer) {
			return
		}
	}
}

// take copies complete lines to the room and keeps the rest.
func (l *loop) take(c *loopConn, data []byte) {
	end := bytes.LastIndexByte(data, '\n') + 1
	if end == 0 {
		c.in = append(c.in, data...)
		return
	}
	lines, rest := data[:end], data[end:]
	if c.room == nil {
		c.in = append(c.in, lines...)
		first, others, _ := bytes.Cut(c.in, []byte{'\n'})
		name, err := roomName(first)
		if err != nil {
			fmt.Fprintln(os.Stderr, "floor:", err)
			l.drop(c)
			return
		}
		l.enter(c, name)
		l.write(c, append(first, '\n'))
		lines, c.in = others, nil
	}
	if r := c.room; len(lines) > 0 {
		r.lines = append(append(r.lines, c.in...), lines...)
		if !r.dirty {
			r.dirty = true
			l.dirty = append(l.dirty, r)
		}
	}
	c.in = append(c.in[:0], rest...)
}

func (l *loop) enter(c *loopConn, name string) {
	r := l.rooms[name]
	if r == nil {
		r = &loopRoom{}
		l.rooms[name] = r
	}
	r.members = append(r.members, c)
	c.room = r
}

// flush writes the lines of the round to each receiver, once.
func (l *loop) flush() {
	for _, r := range l.dirty {
		for i := 0; i < len(r.members); {
			c := r.members[i]
			l.write(c, r.lines)
			if i < len(r.members) && r.members[i] == c { // still a member
				i++
			}
		}
		r.lines, r.dirty = r.lines[:0], false
	}
	l.dirty = l.dirty[:0]
}

func (l *loop) write(c *loopConn, data []byte) {
	if len(c.out) > 0 {
		c.out = append(c.out, data...)
		return
	}
	for len(data) > 0 {
		n, err := unix.Write(c.fd, data)
		switch {
		case errors.Is(err, unix.EAGAIN):
			c.out = append([]byte(nil), data...)
			return
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			l.drop(c)
			return
		}
		data = data[n:]
	}
}

func (l *loop) drop(c *loopConn) {
	if l.conns[c.fd] != c {
		return
	}
	l.conns[c.fd] = nil
	unix.Close(c.fd)
	if r := c.room; r != nil {
		r.members = slices.DeleteFunc(r.members, func(other *loopConn) bool { return other == c })
	}
}

package main

import (
	"bufio"
	"bytes"
	"net"
	"slices"
	"sync"
)

// hall has the rooms.
type hall struct {
	mu    sync.Mutex
	rooms map[string]*room
}

type room struct {
	mu      sync.Mutex
	members []*member
}

// member is a connection with its queued lines.
type member struct {
	conn  *net.TCPConn
	mu    sync.Mutex
	more  sync.Cond
	queue net.Buffers
	ended bool
}

func serveGoroutines(listener *net.TCPListener) error {
	h := &hall{rooms: make(map[string]*room)}
	var group sync.WaitGroup
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			group.Wait()
			return err
		}
		m := &member{conn: conn}
		m.more.L = &m.mu
		group.Go(func() { h.read(m) })
		group.Go(m.write)
	}
}

// read copies the lines of a connection into the queues of its room.
func (h *hall) read(m *member) {
	defer m.end()
	reader := bufio.NewReaderSize(m.conn, 4096)
	first, err := reader.ReadSlice('\n')
	if err != nil {
		return
	}
	name, err := roomName(first)
	if err != nil {
		return
	}
	r := h.enter(name, m)
	defer r.leave(m)
	m.push(bytes.Clone(first))
	for {
		if _, err := reader.Peek(1); err != nil {
			return
		}
		// All complete lines, copied once.
		waiting, _ := reader.Peek(reader.Buffered())
		lines := waiting[:bytes.LastIndexByte(waiting, '\n')+1]
		if len(lines) == 0 {
			line, err := reader.ReadBytes('\n')
			if err != nil {
				return
			}
			r.say(line)
			continue
		}
		r.say(bytes.Clone(lines))
		reader.Discard(len(lines))
	}
}

func (h *hall) enter(name string, m *member) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[name]
	if r == nil {
		r = &room{}
		h.rooms[name] = r
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, m)
	return r
}

func (r *room) leave(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(other *member) bool { return other == m })
}

// say holds the lock for the whole iteration, so that all members see one order.
func (r *room) say(lines []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		m.push(lines)
	}
}

func (m *member) push(lines []byte) {
	m.mu.Lock()
	m.queue = append(m.queue, lines)
	m.mu.Unlock()
	m.more.Signal()
}

func (m *member) end() {
	m.mu.Lock()
	m.ended = true
	m.mu.Unlock()
	m.more.Signal()
	m.conn.Close()
}

// write writes all queued lines in one call.
func (m *member) write() {
	var taken, spare net.Buffers
	for {
		m.mu.Lock()
		for len(m.queue) == 0 && !m.ended {
			m.more.Wait()
		}
		if m.ended {
			m.mu.Unlock()
			return
		}
		taken, m.queue = m.queue, spare[:0]
		m.mu.Unlock()
		spare = taken
		if _, err := taken.WriteTo(m.conn); err != nil {
			m.conn.Close() // ends the reading side
			return
		}
		clear(spare)
	}
}

// Package clienttest has a small kaban/1 server for the tests of clients. Its one
// room can hold entries of kinds that no client knows, as a later server's may. Its
// history leaves changes of messages out, as any server's does, but the messages say
// nothing of them.
package clienttest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"testing"
)

// Room is the one room of a Server.
const Room = "lobby"

// moment is the time of every entry.
const moment = "2026-11-24T02:35:37.101Z"

// Server serves Room until the test ends. Safe for concurrent use.
type Server struct {
	listener net.Listener
	group    sync.WaitGroup

	mu    sync.Mutex // guards all below
	log   []entry    // seq 1 is at 0
	conns map[*conn]bool
	joins []uint64
	lines map[string][]string // requests, by type
	// withheld means that messages are dropped. sent has a value when one arrived.
	withheld bool
	sent     chan struct{}
}

type entry struct {
	kind, id, username, content string
	detail                      string // more fields, each after a comma
	replyTo                     uint64
	author                      *conn // gets an ack instead
}

type conn struct {
	net.Conn
	username string
	member   bool
}

// NewServer starts a server with an empty room.
func NewServer(t testing.TB) *Server {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{listener: l, conns: make(map[*conn]bool), lines: make(map[string][]string), sent: make(chan struct{}, 1)}
	s.group.Go(s.accept)
	t.Cleanup(func() {
		l.Close()
		s.Cut()
		s.group.Wait()
	})
	return s
}

// Addr returns the host and port of the server.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Message appends a message and returns its seq.
func (s *Server) Message(username, content string) uint64 {
	return s.append(entry{kind: "message", username: username, content: content})
}

// Entry appends an entry of any other kind and returns its seq. A change of a message has
// the first entry as its target.
func (s *Server) Entry(kind string) uint64 { return s.append(entry{kind: kind, username: "ann"}) }

// Requests returns the lines of a type that have come so far.
func (s *Server) Requests(kind string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.lines[kind]...)
}

// Tell sends a frame that is no entry to all clients.
func (s *Server) Tell(frame string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		fmt.Fprintln(c, frame)
	}
}

// Cut ends all connections.
func (s *Server) Cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.Close()
	}
}

// Joins returns the after of every join so far that had one.
func (s *Server) Joins() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]uint64(nil), s.joins...)
}

// Withhold makes the server drop messages, and changes of messages, without an answer.
func (s *Server) Withhold(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withheld = yes
}

// Sent has a value when a client has sent a message or a change of one.
func (s *Server) Sent() <-chan struct{} { return s.sent }

func (s *Server) append(e entry) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendLocked(e)
}

func (s *Server) appendLocked(e entry) uint64 {
	s.log = append(s.log, e)
	seq := uint64(len(s.log))
	if e.id == "" {
		s.log[seq-1].id = fmt.Sprint("id-", seq)
	}
	for c := range s.conns {
		if c.member && c != e.author {
			fmt.Fprintln(c, s.frameLocked(seq))
		}
	}
	return seq
}

// fieldsLocked returns the fields of an entry, but for its room and type.
func (s *Server) fieldsLocked(seq uint64) string {
	e := s.log[seq-1]
	if e.kind == "message" {
		return fmt.Sprintf(`"seq":%d,"id":%q,"username":%q%s,"content":%q,"time":%q`, seq, e.id, e.username, e.detail, e.content, moment)
	}
	if e.detail != "" {
		return fmt.Sprintf(`"seq":%d,"id":%q,"username":%q%s,"time":%q`, seq, e.id, e.username, e.detail, moment)
	}
	detail := `"target":1,"detail":{"deep":[1]}`
	switch e.kind {
	case "edit":
		detail = `"target":1,"content":"new"`
	case "delete":
		detail = `"target":1,"reason":"spam"`
	case "react":
		detail = `"target":1,"emoji":"👍","on":true`
	case "pin":
		detail = `"target":1,"on":true`
	case "topic":
		detail = `"topic":"news"`
	case "member":
		detail = `"subject":"ben","change":"role","role":"op"`
	case "room":
		detail = `"change":"set","flags":["locked"]`
	}
	return fmt.Sprintf(`"seq":%d,"id":%q,"username":%q,%s,"time":%q`, seq, e.id, e.username, detail, moment)
}

func (s *Server) frameLocked(seq uint64) string {
	return fmt.Sprintf(`{"type":%q,"room":%q,%s}`, s.log[seq-1].kind, Room, s.fieldsLocked(seq))
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := &conn{Conn: nc}
		s.mu.Lock()
		s.conns[c] = true
		s.mu.Unlock()
		s.group.Go(func() { s.serve(c) })
	}
}

type request struct {
	Type, Ref, Username, ID, Content string
	Emoji, Reason                    string
	On                               bool
	Target                           uint64
	ReplyTo                          uint64 `json:"reply_to"`
	RepliesTo                        uint64 `json:"replies_to"`
	After, Before                    *uint64
	Limit                            int
}

func (s *Server) serve(c *conn) {
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		c.Close()
	}()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		var r struct {
			request
			After json.RawMessage // a name in some requests
		}
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			return
		}
		if after := uint64(0); json.Unmarshal(r.After, &after) == nil {
			r.request.After = &after
		}
		s.mu.Lock()
		s.lines[r.Type] = append(s.lines[r.Type], lines.Text())
		s.answerLocked(c, r.request)
		s.mu.Unlock()
	}
}

func (s *Server) answerLocked(c *conn, r request) {
	switch r.Type {
	case "hello":
		c.username = r.Username
		fmt.Fprintf(c, `{"type":"welcome","version":1,"session":"s","username":%q,"server":"fake","limits":{"username":32,"content":5000,"frame":65536},"heartbeat":30}`+"\n", r.Username)
	case "ping":
		fmt.Fprintf(c, `{"type":"pong","ref":%q}`+"\n", r.Ref)
	case "join":
		c.member = true
		fmt.Fprintf(c, `{"type":"joined","room":%q,"epoch":"e","head":%d,"members":1,"ref":%q}`+"\n", Room, len(s.log), r.Ref)
		if r.After != nil {
			s.joins = append(s.joins, *r.After)
			for seq := *r.After + 1; seq <= uint64(len(s.log)); seq++ {
				fmt.Fprintln(c, s.frameLocked(seq))
			}
		}
	case "part":
		c.member = false
		fmt.Fprintf(c, `{"type":"parted","room":%q,"ref":%q}`+"\n", Room, r.Ref)
	case "send", "edit", "delete", "react", "pin":
		select {
		case s.sent <- struct{}{}:
		default:
		}
		if s.withheld {
			return
		}
		if max(r.Target, r.ReplyTo) > uint64(len(s.log)) {
			fmt.Fprintf(c, `{"type":"error","code":"not_found","message":"there is no such message","room":%q,"id":%q,"ref":%q}`+"\n", Room, r.ID, r.Ref)
			return
		}
		seq := s.appendLocked(entryOf(c, &r))
		fmt.Fprintf(c, `{"type":"ack","room":%q,"id":%q,"seq":%d,"time":%q,"duplicate":false,"ref":%q}`+"\n", Room, r.ID, seq, moment, r.Ref)
	case "history":
		fmt.Fprintln(c, s.pageLocked(r))
	case "rooms":
		fmt.Fprintf(c, `{"type":"rooms","rooms":[{"room":%q,"head":%d,"members":1}],"more":false,"ref":%q}`+"\n", Room, len(s.log), r.Ref)
	case "members":
		fmt.Fprintf(c, `{"type":"members","room":%q,"usernames":[%q],"more":false,"ref":%q}`+"\n", Room, c.username, r.Ref)
	}
}

// entryOf returns what a request becomes.
func entryOf(c *conn, r *request) entry {
	e := entry{kind: r.Type, id: r.ID, username: c.username, author: c}
	switch target := fmt.Sprintf(`,"target":%d`, r.Target); r.Type {
	case "send":
		e.kind, e.content = "message", r.Content
		if e.replyTo = r.ReplyTo; e.replyTo != 0 {
			e.detail = fmt.Sprintf(`,"reply_to":%d`, r.ReplyTo)
		}
	case "edit":
		e.detail = target + fmt.Sprintf(`,"content":%q`, r.Content)
	case "delete":
		e.detail = target + fmt.Sprintf(`,"reason":%q`, r.Reason)
	case "react":
		e.detail = target + fmt.Sprintf(`,"emoji":%q,"on":%v`, r.Emoji, r.On)
	case "pin":
		e.detail = target + fmt.Sprintf(`,"on":%v`, r.On)
	}
	return e
}

// pageLocked answers a history: each element of another kind has its type.
func (s *Server) pageLocked(r request) string {
	limit, head := r.Limit, uint64(len(s.log))
	if limit == 0 {
		limit = 50
	}
	first, last, more := uint64(1), head, false
	if r.After != nil {
		first = *r.After + 1
		last = min(head, *r.After+uint64(limit))
		more = last < head
	} else {
		if r.Before != nil {
			last = min(head, *r.Before-1)
		}
		if last > uint64(limit) {
			first, more = last-uint64(limit)+1, true
		}
	}
	elements := ""
	for seq := first; seq <= last; seq++ {
		kind := ""
		switch e := &s.log[seq-1]; e.kind {
		case "edit", "delete", "react", "pin":
			continue
		case "message":
			if e.replyTo != r.RepliesTo && r.RepliesTo != 0 {
				continue
			}
		default:
			if r.RepliesTo != 0 {
				continue
			}
			kind = fmt.Sprintf(`"type":%q,`, e.kind)
		}
		if elements != "" {
			elements += ","
		}
		elements += "{" + kind + s.fieldsLocked(seq) + "}"
	}
	covers := ""
	if first <= last {
		covers = fmt.Sprintf(`,"first":%d,"last":%d`, first, last)
	}
	return fmt.Sprintf(`{"type":"history","room":%q,"messages":[%s]%s,"as_of":%d,"more":%v,"ref":%q}`, Room, elements, covers, head, more, r.Ref)
}

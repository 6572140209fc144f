package server

import (
	"context"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"kaban/internal/dispatch"
	"kaban/internal/idpool"
	"kaban/wire"
)

const (
	// maxSends and maxSendBytes bound what one connection may have under way:
	// read, but not yet acknowledged. When it is reached the read loop stops
	// reading until an ack has made room.
	maxSends     = 1024
	maxSendBytes = 256 << 10
	// maxReplies is how many bytes of replies may wait before the read loop
	// stops reading. One reply of a full frame may exceed it.
	maxReplies = 64 << 10
	// maxRooms bounds the rooms a connection may be in.
	maxRooms = 1000
	// maxBadFrames in a row end the connection.
	maxBadFrames = 10
)

// handler owns one connection. Three parties call it:
//
//   - the read side: run, readStep and all they call. One goroutine.
//   - the write side: writeLoop, writeStep and all they call. One goroutine at a
//     time; it exists only while there is something to write.
//   - anybody: Ready and Refused (the dispatcher), check (the sweeper), end, kill.
type handler struct {
	manager *Manager
	conn    net.Conn
	token   *idpool.Token
	ctx     context.Context // ends with the connection
	cancel  context.CancelFunc

	// The read side's.
	reader    *wire.Reader
	request   wire.Request
	held      bool     // request was read, but has to wait for room
	session   *session // nil before welcome
	rooms     map[string]*dispatch.Subscription
	sends     []dispatch.Send // read, not yet submitted
	badFrames int

	// The write side's.
	out      []byte                   // must go out before anything else
	turn     []*dispatch.Subscription // being served
	lastCall bool                     // hurry was noticed

	// Everybody's.
	greeted     atomic.Bool
	accepted    int64        // all times in milliseconds since 1970
	heard       atomic.Int64 // when the last byte came
	writing     atomic.Int64 // since when a write is under way; 0: none is
	pending     atomic.Int64 // sends submitted, neither acknowledged nor refused
	pendingSize atomic.Int64 // bytes of their contents
	paused      atomic.Bool  // the read side waits for room
	room        chan struct{}
	stopping    atomic.Bool // an ending was decided: read no further
	hurry       atomic.Bool // ending.atOnce

	mu         sync.Mutex // a leaf: nothing is called with it held
	replies    []byte
	ready      []*dispatch.Subscription
	ending     *ending
	endingAt   int64
	readDone   bool // the read side has stopped and submitted what it had
	writer     writerState
	pings      int           // sent since the last byte came
	writerDone chan struct{} // closed when nothing will be written any more
	finished   bool          // writerDone is closed
}

// ending is why and how a connection ends.
type ending struct {
	reason    wire.Reason // "": the client hung up, nobody is there to be told
	reconnect time.Duration
	// atOnce skips what the connection is still owed; it can resume.
	atOnce bool
}

type writerState uint8

const (
	writerIdle    writerState = iota // no goroutine
	writerRunning                    // a goroutine runs writeStep
	writerAgain                      // it has to look again before it ends
)

func newHandler(m *Manager, conn net.Conn, token *idpool.Token) *handler {
	h := &handler{
		manager: m, conn: conn, token: token,
		accepted:   m.clock.Load(),
		room:       make(chan struct{}, 1),
		writerDone: make(chan struct{}),
	}
	h.heard.Store(h.accepted)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.reader = wire.NewReader(h)
	h.reader.SetLimit(wire.MaxHelloFrame)
	h.reader.SetMaxContent(m.config.MaxContent)
	return h
}

// Read is the reader's source: the connection, with a note of when it spoke.
func (h *handler) Read(p []byte) (int, error) {
	n, err := h.conn.Read(p)
	if n > 0 {
		h.heard.Store(h.manager.clock.Load())
	}
	return n, err
}

// run is the life of a connection. It drives the read step.
func (h *handler) run() {
	defer h.redeem()
	defer h.manager.forget(h)
	defer h.conn.Close()
	defer h.cancel()
	h.guard(h.readLoop)
	h.reader.Close()
	h.mu.Lock()
	h.readDone = true
	if h.ending == nil {
		h.ending, h.endingAt = new(ending), h.manager.clock.Load()
	}
	tell := h.ending.reason != ""
	h.mu.Unlock()
	h.kick()
	<-h.writerDone
	h.leave()
	if tell {
		linger(h.conn)
	}
}

// guard runs a loop and turns a panic in it into the end of the connection.
func (h *handler) guard(loop func()) {
	defer func() {
		if cause := recover(); cause != nil {
			h.manager.panics.Add(1)
			h.manager.config.Log.Error("a handler panicked; its connection ends, please report this", "panic", cause, "stack", string(debug.Stack()))
			h.kill()
		}
	}()
	loop()
}

func (h *handler) readLoop() {
	for {
		switch h.readStep() {
		case readAgain:
		case readPaused:
			<-h.room
		case readEnded:
			return
		}
	}
}

// leave gives up the rooms and the name.
func (h *handler) leave() {
	for _, s := range h.rooms {
		h.manager.dispatcher.Leave(s)
	}
	if h.session != nil {
		h.manager.names.release(h.session)
	}
}

func (h *handler) redeem() {
	if err := h.token.Redeem(); err != nil {
		h.manager.config.Log.Error("token", "err", err)
	}
}

// Ready implements dispatch.Member.
func (h *handler) Ready(s *dispatch.Subscription) {
	h.mu.Lock()
	h.ready = append(h.ready, s)
	start := h.startWriterLocked()
	h.mu.Unlock()
	if start {
		h.manager.group.Go(h.writeLoop)
	}
}

// Refused implements dispatch.Member.
func (h *handler) Refused(s *dispatch.Subscription, r dispatch.Refusal) {
	h.pending.Add(-1)
	h.pendingSize.Add(-int64(r.Size))
	event := refusalEvent(s, r)
	h.reply(&event)
}

// reply queues a frame for the client.
func (h *handler) reply(event *wire.Event) {
	h.mu.Lock()
	if h.replies == nil {
		h.replies = newBuffer()
	}
	h.replies = event.Append(h.replies)
	start := h.startWriterLocked()
	h.mu.Unlock()
	if start {
		h.manager.group.Go(h.writeLoop)
	}
}

// kick has the write side look for something to do.
func (h *handler) kick() {
	h.mu.Lock()
	start := h.startWriterLocked()
	h.mu.Unlock()
	if start {
		h.manager.group.Go(h.writeLoop)
	}
}

// startWriterLocked reports whether the caller has to start a writer.
func (h *handler) startWriterLocked() bool {
	switch {
	case h.finished:
	case h.writer == writerIdle:
		h.writer = writerRunning
		return true
	default:
		h.writer = writerAgain
	}
	return false
}

// writeLoop drives the write step until nothing is left to write.
func (h *handler) writeLoop() {
	h.guard(func() {
		for {
			h.writeStep()
			h.mu.Lock()
			if h.writer == writerRunning || h.finished {
				h.writer = writerIdle
				h.mu.Unlock()
				return
			}
			h.writer = writerRunning
			h.mu.Unlock()
		}
	})
}

// end asks for the end of the connection. The first reason counts, but a later
// call may still make it happen at once.
func (h *handler) end(e ending) {
	h.mu.Lock()
	if h.ending == nil {
		h.ending, h.endingAt = &e, h.manager.clock.Load()
	}
	if e.atOnce && !h.hurry.Load() {
		h.ending.atOnce = true
		h.hurry.Store(true)
		h.conn.SetWriteDeadline(longAgo) // free a blocked write
	}
	h.mu.Unlock()
	h.stopping.Store(true)
	h.conn.SetReadDeadline(longAgo) // free a blocked read
	h.wakeReader()
	h.kick()
}

// kill ends the connection without a word.
func (h *handler) kill() {
	h.stopping.Store(true)
	h.conn.Close()
	h.finish()
}

// finish says that nothing will be written any more.
func (h *handler) finish() {
	h.mu.Lock()
	first := !h.finished
	h.finished = true
	h.mu.Unlock()
	if first {
		h.stopping.Store(true)
		h.cancel()
		close(h.writerDone)
		h.wakeReader()
	}
}

func (h *handler) wakeReader() {
	select {
	case h.room <- struct{}{}:
	default:
	}
}

// check is the sweeper's visit.
func (h *handler) check(now int64) {
	config := &h.manager.config
	writing := h.writing.Load()
	stalled := time.Duration(now-writing) * time.Millisecond
	if writing == 0 {
		stalled = 0
	}
	h.mu.Lock()
	var e ending
	ended := h.ending != nil
	if ended {
		e = *h.ending
	}
	over := time.Duration(now-h.endingAt) * time.Millisecond
	h.mu.Unlock()
	silent := time.Duration(now-h.heard.Load()) * time.Millisecond
	switch {
	case ended && !e.atOnce:
		// A drain waits for the store as long as Shutdown lets it, but not for
		// a peer that does not take what it is owed or is far behind.
		hurry := over > finishTimeout
		switch e.reason {
		case wire.ReasonDraining:
			hurry = stalled > drainStall || over > drainStall && h.pending.Load() == 0
		case "":
			hurry = stalled > finishTimeout || over > owedTimeout
		}
		if hurry {
			h.end(ending{atOnce: true})
		}
	case ended:
		if over > 2*finishTimeout {
			h.kill()
		}
	case stalled >= config.StallTimeout:
		h.conn.SetWriteDeadline(longAgo) // write sees whether there was progress
	case !h.greeted.Load():
		if time.Duration(now-h.accepted)*time.Millisecond >= config.HelloTimeout {
			event := errorEvent(wire.CodeHelloRequired, "no hello came within "+config.HelloTimeout.String())
			h.reply(&event)
			h.end(ending{reason: wire.ReasonIdle})
		}
	case silent >= 3*config.Heartbeat:
		h.end(ending{reason: wire.ReasonIdle, reconnect: time.Second, atOnce: true})
	default:
		h.heartbeat(int(silent / config.Heartbeat))
	}
}

// heartbeat pings once for each heartbeat of silence.
func (h *handler) heartbeat(due int) {
	h.mu.Lock()
	ping := due > h.pings
	h.pings = due
	h.mu.Unlock()
	if ping {
		h.reply(&wire.Event{Type: wire.TypePing})
	}
}

// linger ends the sending side and swallows what the peer has sent, until it
// hangs up or a short time has passed.
func linger(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		if half.CloseWrite() != nil {
			return
		}
		conn.SetReadDeadline(time.Now().Add(lingerTimeout))
		io.Copy(io.Discard, conn)
	}
}

package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/store"
	"kaban/wire"
)

// What a page holds when the client does not say.
const (
	defaultHistory = 50
	defaultNames   = 500
)

// readOutcome says what the read step needs next.
type readOutcome uint8

const (
	readAgain  readOutcome = iota // everything that was ready is done: wait for more
	readPaused                    // the write side has to make room first
	readEnded                     // nothing will be read any more
)

// readStep takes what is ready: it decodes all complete frames, answers them
// and submits what is to be sent as one batch. With blocking reads it waits
// until at least one frame is complete.
func (h *handler) readStep() readOutcome {
	defer h.submit()
	for first := true; !h.stopping.Load(); first = false {
		if !h.held {
			if !first && !h.reader.Buffered() {
				return readAgain
			}
			if err := h.reader.ReadRequest(&h.request); err != nil {
				var bad *wire.ReaderError
				if errors.As(err, &bad) && bad.Code != "" {
					if h.refuseFrame(bad) {
						return readEnded
					}
					continue
				}
				return h.readError(err)
			}
			h.badFrames = 0
		}
		if h.held = h.mustWait(); h.held {
			return readPaused
		}
		if h.execute() {
			return readEnded
		}
	}
	return readEnded
}

// readError is the end of what the client says.
func (h *handler) readError(err error) readOutcome {
	switch {
	case errors.Is(err, errBlocked):
		return readAgain
	case errors.Is(err, io.EOF), h.stopping.Load():
		// A client that has hung up its side still gets what it is owed.
	case errors.Is(err, io.ErrUnexpectedEOF):
		h.replyError(nil, wire.CodeBadJSON, "the connection ended within a frame, which was not taken; end each frame with a newline")
	default: // reset: nobody is there any more
		h.finish()
	}
	return readEnded
}

// mustWait reports whether the request cannot be taken before the write side
// has made room, and has the write side say when it has.
func (h *handler) mustWait() bool {
	if !h.isFull() {
		return false
	}
	h.submit()
	h.paused.Store(true)
	if h.isFull() {
		return true
	}
	h.paused.Store(false)
	return false
}

func (h *handler) isFull() bool {
	switch h.request.Type {
	case wire.TypeSend:
		if int(h.pending.Load())+len(h.sends) >= maxSends || h.pendingSize.Load() >= maxSendBytes {
			return true
		}
	case wire.TypePart: // what was sent before is acknowledged before
		if s := h.rooms[h.request.Room.Key()]; s != nil && (s.Outstanding() > 0 || len(h.sends) > 0) {
			return true
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.replies) >= maxReplies
}

// submit hands the batch to the dispatcher.
func (h *handler) submit() {
	if len(h.sends) == 0 {
		return
	}
	h.pending.Add(int64(len(h.sends)))
	h.manager.dispatcher.Submit(h.sends)
	clear(h.sends)
	if h.sends = h.sends[:0]; cap(h.sends) > maxSends/16 {
		h.sends = nil
	}
}

// refuseFrame answers what is no frame. It reports whether that was the end.
func (h *handler) refuseFrame(bad *wire.ReaderError) (ended bool) {
	event := readerErrorEvent(bad)
	h.reply(&event)
	switch {
	case h.session == nil:
		h.manager.config.Log.Info("refused a connection", "remote", remote(h.conn), "code", string(bad.Code))
		h.end(ending{reason: wire.ReasonProtocol})
		return true
	case bad.Code == wire.CodeFrameTooLong:
		h.end(ending{reason: wire.ReasonProtocol})
		return true
	case !isBadFrame(bad.Code):
		h.badFrames = 0
		return false
	}
	if h.badFrames++; h.badFrames >= maxBadFrames {
		h.end(ending{reason: wire.ReasonProtocol})
		return true
	}
	return false
}

// execute does what a request asks for. It reports whether that was the end.
func (h *handler) execute() (ended bool) {
	r := &h.request
	if h.session == nil {
		if r.Type != wire.TypeHello {
			h.replyError(r.Ref, wire.CodeHelloRequired, "say hello first: {\"type\":\"hello\",\"version\":1,\"username\":\"…\"}")
			h.end(ending{reason: wire.ReasonProtocol})
			return true
		}
		return h.hello()
	}
	if r.Type != wire.TypeSend {
		h.submit() // what was sent before comes first
	}
	switch r.Type {
	case wire.TypeHello:
		h.replyError(r.Ref, wire.CodeAlreadyGreeted, "hello was said already; open another connection for another name")
	case wire.TypeJoin:
		h.join()
	case wire.TypeSend:
		h.send()
	case wire.TypeHistory:
		h.history()
	case wire.TypePart:
		h.part()
	case wire.TypeRooms:
		h.listRooms()
	case wire.TypeMembers:
		h.listMembers()
	case wire.TypePing:
		h.reply(h.answer(wire.TypePong))
	case wire.TypePong:
	}
	return false
}

// answer begins the reply to the request.
func (h *handler) answer(t wire.Type) *wire.Event {
	return &wire.Event{Type: t, Ref: string(h.request.Ref), HasRef: h.request.Ref != nil}
}

func (h *handler) hello() (ended bool) {
	r := &h.request
	s, replaced, err := h.manager.names.claim(h, identity{username: r.Username}, r.Resume)
	if err != nil {
		text := fmt.Sprintf("the name %s is in use; choose another, or wait until it is free", r.Username)
		if errors.Is(err, errReserved) {
			text = fmt.Sprintf("the name %s is reserved; choose another", r.Username)
		}
		h.replyError(r.Ref, wire.CodeUsernameTaken, text)
		h.end(ending{reason: wire.ReasonAuth})
		return true
	}
	if replaced != nil {
		replaced.end(ending{reason: wire.ReasonReplaced, atOnce: true})
	}
	h.session = s
	h.greeted.Store(true)
	h.reader.SetLimit(wire.MaxFrame)
	h.reader.SetAuthor(s.identity.username)
	e := h.answer(wire.TypeWelcome)
	e.Session, e.Username, e.Server = s.secret, s.identity.username.String(), h.manager.config.Name
	e.Limits = wire.Limits{Username: kaban.MaxUsername, Content: h.manager.config.MaxContent, Frame: wire.MaxFrame}
	e.Heartbeat = max(h.manager.config.Heartbeat.Truncate(time.Second), time.Second)
	h.reply(e)
	return false
}

func (h *handler) join() {
	r := &h.request
	s := h.rooms[r.Room.Key()]
	e := h.answer(wire.TypeJoined)
	e.Epoch = h.manager.dispatcher.Epoch()
	if s != nil { // again: the cursor stays where it is
		e.Room, e.Head, e.Members = s.Room().Name().String(), s.Room().Head(), s.Room().Members()
		h.reply(e)
		return
	}
	if len(h.rooms) >= maxRooms {
		h.replyError(r.Ref, wire.CodeRateLimited, fmt.Sprintf("a connection can be in %d rooms at a time; part from one first", maxRooms))
		return
	}
	start := dispatch.Start{Epoch: r.Epoch, After: r.After, Resume: r.HasAfter}
	s, joined, err := h.manager.dispatcher.Join(h.ctx, h, jsonLines, h.session.identity.username, r.Room, start)
	if err != nil {
		h.replyFailure(err)
		return
	}
	if h.rooms == nil {
		h.rooms = make(map[string]*dispatch.Subscription)
	}
	h.rooms[r.Room.Key()] = s
	e.Room, e.Head, e.Members = s.Room().Name().String(), joined.Head, joined.Members
	h.reply(e)
	s.Start()
}

func (h *handler) send() {
	r := &h.request
	s := h.rooms[r.Room.Key()]
	if s == nil {
		e := errorEvent(wire.CodeNotJoined, fmt.Sprintf("join %s before sending to it", r.Room))
		e.Ref, e.HasRef, e.Room, e.ID = string(r.Ref), r.Ref != nil, r.Room.String(), r.ID.String()
		h.reply(&e)
		return
	}
	h.pendingSize.Add(int64(len(r.Message.Content())))
	h.sends = append(h.sends, dispatch.Send{
		Dispatch: kaban.Dispatch{Origin: h.token.Origin(), Room: r.Room, ID: r.ID, Message: r.Message},
		Ref:      string(r.Ref), HasRef: r.Ref != nil,
		Subscription: s,
	})
}

func (h *handler) part() {
	r := &h.request
	s := h.rooms[r.Room.Key()]
	if s == nil {
		h.replyError(r.Ref, wire.CodeNotJoined, fmt.Sprintf("you are not in %s", r.Room))
		return
	}
	h.manager.dispatcher.Leave(s)
	delete(h.rooms, r.Room.Key())
	e := h.answer(wire.TypeParted)
	e.Room = s.Room().Name().String()
	h.reply(e)
}

func (h *handler) history() {
	r := &h.request
	page := store.Page{After: r.After, Before: r.Before, Last: !r.HasAfter, Limit: r.Limit, Bytes: wire.MaxFrame}
	if page.Limit == 0 {
		page.Limit = defaultHistory
	}
	if r.HasBefore && r.Before == 0 {
		page.Before = 1 // nothing is before the first
	}
	found, err := h.manager.dispatcher.History(h.ctx, r.Room, page)
	if err != nil {
		h.replyFailure(err)
		return
	}
	e := h.answer(wire.TypeHistory)
	e.Room = found.Room.Name().String()
	for i := range found.Entries {
		e.Messages = append(e.Messages, message(&found.Entries[i]))
	}
	e.More = found.More
	// Keep what is nearest to where the client reads on from.
	fit := fitting(len(e.Messages), func(i int) int {
		if page.Last {
			i = len(e.Messages) - 1 - i
		}
		return len(wire.AppendMessage(nil, "", e.Messages[i]))
	})
	if fit < len(e.Messages) {
		e.More = true
		if page.Last {
			e.Messages = e.Messages[len(e.Messages)-fit:]
		} else {
			e.Messages = e.Messages[:fit]
		}
	}
	h.reply(e)
}

func (h *handler) listRooms() {
	r := &h.request
	infos, more := h.manager.dispatcher.Rooms(r.AfterName, names(r.Limit))
	e := h.answer(wire.TypeRooms)
	e.More = more
	for _, info := range infos {
		e.Rooms = append(e.Rooms, wire.RoomInfo{Room: info.Name.String(), Head: info.Head, Members: info.Members})
	}
	if fit := fitting(len(e.Rooms), func(i int) int { return len(e.Rooms[i].Room) + roomOverhead }); fit < len(e.Rooms) {
		e.Rooms, e.More = e.Rooms[:fit], true
	}
	h.reply(e)
}

func (h *handler) listMembers() {
	r := &h.request
	room, usernames, more, err := h.manager.dispatcher.Members(r.Room, r.AfterName, names(r.Limit))
	if err != nil {
		h.replyFailure(err)
		return
	}
	e := h.answer(wire.TypeMembers)
	e.Room, e.Usernames, e.More = room.Name().String(), usernames, more
	if fit := fitting(len(e.Usernames), func(i int) int { return len(e.Usernames[i]) + nameOverhead }); fit < len(e.Usernames) {
		e.Usernames, e.More = e.Usernames[:fit], true
	}
	h.reply(e)
}

func names(limit int) int {
	if limit == 0 {
		return defaultNames
	}
	return limit
}

const (
	// envelope is what a page needs beside its elements: type, room, ref, more.
	envelope = 1024
	// nameOverhead and roomOverhead are what an element needs beside its name.
	nameOverhead = 3
	roomOverhead = len(`{"room":"","head":9007199254740991,"members":1000000},`)
)

// fitting returns how many of n elements fit into a frame, given the size of
// each; at least one.
func fitting(n int, size func(i int) int) int {
	total := envelope
	for i := range n {
		if total += size(i); total > wire.MaxFrame && i > 0 {
			return i
		}
	}
	return n
}

func remote(conn net.Conn) string {
	if address := conn.RemoteAddr(); address != nil {
		return address.String()
	}
	return "unknown"
}

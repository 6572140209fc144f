package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/frame"
	"kaban/wire"
)

// readStep takes what is ready: it decodes all complete frames, answers them
// and adds what is to be sent to the loop's batch. It ends when the socket has
// nothing more, after a while of many frames, or when the write step has to make
// room first.
func (h *handler) readStep() {
	if h.lingering {
		h.swallow()
		return
	}
	h.paused = false
	before := h.loop.spent
	share := lightShare
	if h.heavy {
		share = stepShare
	}
	h.allowance = before + share
	if h.readReady() {
		h.loop.readable(h)
	}
	h.heavy = h.loop.spent-before >= lightShare
	h.reader.Release()
}

// readReady reports whether more may be ready.
func (h *handler) readReady() bool {
	for range readsPerStep {
		if !h.readFrames() {
			return false
		}
		if h.session != nil && h.proof == unproven {
			h.proof = likely
		}
		if err := h.reader.Fill(); err != nil {
			if h.readFrames() && !errors.Is(err, errBlocked) {
				h.readError(err)
			}
			return false
		}
	}
	return true
}

// readsPerStep bounds how long one busy peer keeps the others waiting.
const readsPerStep = 4

// The work of requests is counted in units of about a microsecond, so that each
// connection gets a share of a round and no more, whatever it asks for.
const (
	// lightShare is what one connection may ask for in a round, before all that ask
	// for more. The rest waits for the next round, where it is one of these.
	lightShare = 128
	// stepShare is what one of these may ask for in a round, so that its sends are
	// still stored in large batches.
	stepShare = 1024
	// heavyShare is what these have together in a round.
	heavyShare = 2048

	// placeCost is what it takes to change who is in a room.
	placeCost = 8
	// roomsPerUnit is among how many rooms of a connection one unit finds the one
	// that is meant.
	roomsPerUnit = 64
)

// cost is how much work a request is for the loop, in units. A list adds its
// length, which is less than that, but only sends gain by being many.
func (h *handler) cost(r *wire.Request) int {
	find := 1 + len(h.rooms)/roomsPerUnit + nameCost(r.Room)
	switch r.Type {
	case wire.TypeJoin, wire.TypePart:
		return placeCost + find
	case wire.TypeSend:
		return find
	}
	return 1 + nameCost(r.Room)
}

// nameCost is what reading the name of a room has cost. A name beyond ASCII takes up
// to two microseconds for each code point.
func nameCost(room kaban.RoomName) int {
	name := room.String()
	for i := range len(name) {
		if name[i] >= utf8.RuneSelf {
			return len(name)
		}
	}
	return 0
}

// readFrames carries out the complete frames that were read. It reports whether
// more can be read.
func (h *handler) readFrames() bool {
	for h.ending == nil && !h.closed && !h.asking {
		if h.loop.spent >= h.allowance {
			h.loop.readable(h)
			return false
		}
		q := &h.loop.request
		switch {
		case h.held != nil:
			q, h.held = h.held, nil
		case !h.reader.Buffered(): // pings of a WebSocket are answered without a frame
			h.paused = len(h.out) >= maxReplies
			return !h.paused
		default:
			if err := h.reader.ReadRequest(q); err != nil {
				var bad *wire.ReaderError
				if errors.As(err, &bad) {
					h.refuseFrame(bad)
				}
				h.loop.spent++
				continue
			}
			h.badFrames = 0
		}
		if h.isFull(q) {
			h.hold(q)
			return false
		}
		h.loop.spent += h.cost(q)
		h.execute(q)
	}
	return false
}

// hold keeps a request that cannot be carried out before the write step has made
// room.
func (h *handler) hold(q *wire.Request) {
	held := *q
	held.Ref = slices.Clone(q.Ref)
	h.held, h.paused = &held, true
}

// resume has the read step go on if it waits for room.
func (h *handler) resume() {
	if h.paused && !h.isFull(h.held) {
		h.loop.readable(h)
	}
}

// isFull reports whether a request, if there is one, has to wait for room.
func (h *handler) isFull(q *wire.Request) bool {
	switch {
	case q == nil:
	case q.Type == wire.TypeSend:
		if h.pending >= maxSends || h.pendingSize >= maxSendBytes {
			return true
		}
	case q.Type == wire.TypePart: // what was sent before is acknowledged before
		if h.pending > 0 || h.cut != nil {
			return true
		}
	}
	return len(h.out) >= maxReplies
}

// readError is the end of what the client says.
func (h *handler) readError(err error) {
	var bad *framingError
	switch {
	case errors.As(err, &bad):
		h.refuseFraming(bad)
		return
	case !errors.Is(err, io.EOF): // reset: nobody is there any more
		h.finish()
		return
	case h.reader.Partial():
		h.replyError(nil, wire.CodeBadJSON, "the connection ended within a frame, which was not taken; end each line with a newline, each message with its last fragment")
	}
	h.end(ending{}) // a client that has hung up its side still gets what it is owed
}

// refuseFraming ends a connection whose bytes are not of its framing: where the
// next frame begins nobody knows.
func (h *handler) refuseFraming(bad *framingError) {
	if h.session == nil {
		h.logRefused(bad.code)
	}
	h.replyError(nil, bad.code, bad.text)
	h.end(ending{reason: wire.ReasonProtocol, close: bad.close})
}

func (h *handler) logRefused(code wire.Code) {
	h.manager().config.Log.Info("refused a connection", "remote", h.socket.RemoteAddr(), "code", string(code))
}

// swallow drops what comes after the goodbye, until the peer hangs up.
func (h *handler) swallow() {
	l := h.loop
	if l.scratch == nil {
		l.scratch = make([]byte, 16<<10)
	}
	for range readsPerStep {
		if _, err := h.socket.Read(l.scratch); errors.Is(err, errBlocked) {
			return
		} else if err != nil {
			h.finish()
			return
		}
	}
	l.readable(h)
}

// refuseFrame answers what is no frame.
func (h *handler) refuseFrame(bad *wire.ReaderError) {
	event := readerErrorEvent(bad)
	h.reply(&event)
	over := ending{reason: wire.ReasonProtocol, close: bad.Code.Close()}
	switch {
	case h.session == nil:
		h.logRefused(bad.Code)
		h.end(over)
	case bad.Code == wire.CodeFrameTooLong:
		h.end(over)
	case !bad.Code.IsBadFrame():
		h.badFrames = 0
	default:
		if h.badFrames++; h.badFrames >= maxBadFrames {
			h.end(over)
		}
	}
}

// execute does what a request asks for.
func (h *handler) execute(r *wire.Request) {
	if h.session == nil {
		if r.Type != wire.TypeHello {
			h.replyError(r.Ref, wire.CodeHelloRequired, "say hello first: {\"type\":\"hello\",\"version\":1,\"username\":\"…\"}")
			h.end(ending{reason: wire.ReasonProtocol})
			return
		}
		h.hello(r)
		return
	}
	if h.proof == likely {
		h.proof = proven
		h.manager().chat.Confirm(h.session)
	}
	switch r.Type {
	case wire.TypeHello:
		h.replyError(r.Ref, wire.CodeAlreadyGreeted, "hello was said already; open another connection for another name")
	case wire.TypeJoin:
		h.join(r)
	case wire.TypeSend:
		h.send(r)
	case wire.TypeHistory:
		h.history(r)
	case wire.TypePart:
		h.part(r)
	case wire.TypeRooms:
		h.listRooms(r)
	case wire.TypeMembers:
		h.listMembers(r)
	case wire.TypePing:
		h.reply(answer(wire.TypePong, r.Ref))
	case wire.TypePong:
	}
}

// answer begins the reply to a request.
func answer(t wire.Type, ref []byte) *wire.Event {
	return &wire.Event{Type: t, Ref: string(ref), HasRef: ref != nil}
}

func (h *handler) hello(r *wire.Request) {
	m := h.manager()
	if m.clients.Add(1) > int64(m.config.MaxClients) {
		m.clients.Add(-1)
		retry := retryLater()
		e := m.fullEvent(retry)
		e.Ref, e.HasRef = string(r.Ref), r.Ref != nil
		h.reply(e)
		h.end(ending{reason: wire.ReasonInternal, reconnect: retry, close: wire.CodeServerFull.Close()})
		return
	}
	s, err := m.chat.Claim(h, kaban.Visitor(r.Username), r.Resume)
	if err != nil {
		m.clients.Add(-1)
		h.replyFailure(r.Ref, err)
		h.end(ending{reason: wire.ReasonAuth})
		return
	}
	h.session, h.user, h.counted = s, m.chat.As(s.Identity, h.socket.RemoteAddr()), true
	m.newcomers.leave(h)
	h.hear()
	h.reader.SetLimit(wire.MaxFrame)
	h.reader.SetAuthor(s.Identity.Name())
	e := answer(wire.TypeWelcome, r.Ref)
	e.Session, e.Username, e.Server = s.Secret, s.Identity.Name().String(), m.config.Name
	e.Limits = wire.Limits{Username: kaban.MaxUsername, Content: m.chat.MaxContent(), Frame: wire.MaxFrame}
	e.Heartbeat = max(m.config.Heartbeat.Truncate(time.Second), time.Second)
	h.reply(e)
}

// subscription returns the connection's place in a room, nil if it is not in it.
func (h *handler) subscription(room kaban.RoomName) *chat.Subscription {
	for _, s := range h.rooms {
		if s.Room().Name().Key() == room.Key() {
			return s
		}
	}
	return nil
}

func (h *handler) join(r *wire.Request) {
	ref := slices.Clone(r.Ref)
	if s := h.subscription(r.Room); s != nil { // again: the cursor stays where it is
		h.replyJoined(ref, s, chat.Joined{Head: s.Room().Head(), Members: s.Room().Members()})
		return
	}
	if len(h.rooms) >= maxRooms {
		h.replyError(r.Ref, wire.CodeRateLimited, fmt.Sprintf("a connection can be in %d rooms at a time; part from one first", maxRooms))
		return
	}
	user, room, start := h.user, r.Room, chat.Start{Epoch: r.Epoch, After: r.After, Resume: r.HasAfter}
	if place, ok := user.Locate(room, start); ok {
		h.enter(ref, place)
		return
	}
	var place chat.Place
	var err error
	h.ask(func(ctx context.Context) { place, err = user.Find(ctx, room, start) }, func() {
		if err != nil {
			h.replyFailure(ref, err)
			return
		}
		h.enter(ref, place)
	})
}

// enter joins a room that was found.
func (h *handler) enter(ref []byte, place chat.Place) {
	if h.session == nil { // it has ended in the meantime
		place.Abandon()
		return
	}
	s, joined, err := h.user.Join(h.loop, h, h.framing.format(), place)
	if err != nil {
		h.replyFailure(ref, err)
		return
	}
	h.rooms = append(h.rooms, s)
	h.replyJoined(ref, s, joined)
	h.loop.notify(s)
}

func (h *handler) replyJoined(ref []byte, s *chat.Subscription, joined chat.Joined) {
	e := answer(wire.TypeJoined, ref)
	e.Epoch, e.Room, e.Head, e.Members = h.manager().chat.Epoch(), s.Room().Name().String(), joined.Head, joined.Members
	h.reply(e)
}

func (h *handler) send(r *wire.Request) {
	send, err := h.user.Draft(h.subscription(r.Room), h.token.Origin(), r.ID, r.Message)
	if err != nil {
		e := h.failure(r.Ref, err)
		e.Room, e.ID = r.Room.String(), r.ID.String()
		h.reply(&e)
		return
	}
	h.pending++
	h.pendingSize += len(r.Message.Content())
	send.Ref, send.HasRef = string(r.Ref), r.Ref != nil
	h.loop.sends = append(h.loop.sends, send)
}

func (h *handler) part(r *wire.Request) {
	s := h.subscription(r.Room)
	if s == nil {
		h.replyError(r.Ref, wire.CodeNotJoined, fmt.Sprintf("you are not in %s", r.Room))
		return
	}
	h.leaveRoom(s)
	is := func(other *chat.Subscription) bool { return other == s }
	h.rooms, h.ready = slices.DeleteFunc(h.rooms, is), slices.DeleteFunc(h.ready, is)
	e := answer(wire.TypeParted, r.Ref)
	e.Room = s.Room().Name().String()
	h.reply(e)
}

func (h *handler) history(r *wire.Request) {
	query := chat.Query{After: r.After, HasAfter: r.HasAfter, Before: r.Before, HasBefore: r.HasBefore, Limit: r.Limit, Bytes: wire.MaxFrame}
	user, room, ref := h.user, r.Room, slices.Clone(r.Ref)
	var page chat.Page
	var err error
	h.ask(func(ctx context.Context) { page, err = user.History(ctx, room, query) }, func() {
		if err != nil {
			h.replyFailure(ref, err)
			return
		}
		h.reply(historyEvent(ref, &page))
	})
}

// historyEvent returns a page as a frame, which it must fit.
func historyEvent(ref []byte, page *chat.Page) *wire.Event {
	entries := page.Entries
	fit := fitting(len(entries), func(i int) int {
		if page.Newest { // keep the entries nearest to where the client reads on from
			i = len(entries) - 1 - i
		}
		return len(frame.AppendEntry(nil, "", &entries[i]))
	})
	e := answer(wire.TypeHistory, ref)
	e.Room, e.More = page.Room.String(), page.More || fit < len(entries)
	if page.Newest {
		entries = entries[len(entries)-fit:]
	} else {
		entries = entries[:fit]
	}
	e.Messages, e.Unknown = frame.Page(entries)
	return e
}

func (h *handler) listRooms(r *wire.Request) {
	infos, more := h.user.Rooms(r.AfterName, r.Limit)
	h.loop.spent += len(infos)
	e := answer(wire.TypeRooms, r.Ref)
	e.More = more
	for _, info := range infos {
		e.Rooms = append(e.Rooms, wire.RoomInfo{Room: info.Name.String(), Head: info.Head, Members: info.Members})
	}
	if fit := fitting(len(e.Rooms), func(i int) int { return len(e.Rooms[i].Room) + roomOverhead }); fit < len(e.Rooms) {
		e.Rooms, e.More = e.Rooms[:fit], true
	}
	h.reply(e)
}

func (h *handler) listMembers(r *wire.Request) {
	user, room, after, limit, ref := h.user, r.Room, r.AfterName, r.Limit, slices.Clone(r.Ref)
	if members, ok := user.MembersNow(room, after, limit); ok {
		h.replyMembers(ref, &members)
		return
	}
	var members chat.Members
	var err error
	h.ask(func(ctx context.Context) { members, err = user.Members(ctx, room, after, limit) }, func() {
		if err != nil {
			h.replyFailure(ref, err)
			return
		}
		h.replyMembers(ref, &members)
	})
}

func (h *handler) replyMembers(ref []byte, members *chat.Members) {
	h.loop.spent += len(members.Usernames)
	e := answer(wire.TypeMembers, ref)
	e.Room, e.Usernames, e.More = members.Room.String(), members.Usernames, members.More
	if fit := fitting(len(e.Usernames), func(i int) int { return len(e.Usernames[i]) + nameOverhead }); fit < len(e.Usernames) {
		e.Usernames, e.More = e.Usernames[:fit], true
	}
	h.reply(e)
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

package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/frame"
	"kaban/internal/refusal"
	"kaban/wire"
)

const (
	// eventsPerWrite is about how many bytes of events one write has. It is also
	// what a stream holds whose reader has stalled.
	eventsPerWrite = 16 << 10
	// comeBack is after how long a client whose stream has ended connects again.
	comeBack = time.Second
	// lastWriteTimeout is how long a drain waits for a reader that takes nothing. It
	// goes on where it was when it comes back.
	lastWriteTimeout = time.Second

	eventStream = "text/event-stream"
)

// eventFormat is kaban/1 as server-sent events (HTML, section 9.2): the data of
// an event is a frame, its name the type of the frame.
type eventFormat struct{ epoch string }

// AppendEntry implements chat.Format.
func (f eventFormat) AppendEntry(dst []byte, room string, e *chat.Entry) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, frame.Name(e)...)
	dst = append(dst, "\nid: "...)
	dst = append(dst, f.epoch...)
	dst = append(dst, ':')
	dst = strconv.AppendUint(dst, e.Seq, 10)
	dst = append(dst, "\ndata: "...)
	dst = frame.AppendEntry(dst, room, e)
	return append(dst, '\n')
}

// AppendPresence implements chat.Format.
func (eventFormat) AppendPresence(dst []byte, room string, members int, joined, left []string) []byte {
	return appendEvent(dst, &wire.Event{Type: wire.TypePresence, Room: room, Members: members, Joined: joined, Left: left})
}

// AppendTyping implements chat.Format. A stream does not show who is typing.
func (eventFormat) AppendTyping(dst []byte, _ string, _ []string) []byte { return dst }

// appendEvent appends a frame, which is one line, as an event without an id.
func appendEvent(dst []byte, e *wire.Event) []byte {
	name := e.Type.String()
	if e.Code == wire.CodeResync {
		name = string(e.Code)
	}
	dst = append(dst, "event: "+name+"\ndata: "...)
	return append(e.Append(dst), '\n')
}

// streams are those that are open, for the drain.
type streams struct {
	slots
	mu   sync.Mutex
	open map[*stream]struct{}
}

func (all *streams) add(t *stream) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.open == nil {
		all.open = make(map[*stream]struct{})
	}
	all.open[t] = struct{}{}
}

func (all *streams) remove(t *stream) {
	all.mu.Lock()
	defer all.mu.Unlock()
	delete(all.open, t)
}

// hurry lets what is being written take a moment only.
func (all *streams) hurry() {
	all.mu.Lock()
	defer all.mu.Unlock()
	for t := range all.open {
		t.control.SetWriteDeadline(time.Now().Add(lastWriteTimeout))
	}
}

// stream is one reader of events. It is its own waker: a goroutine of net/http. It is a
// connection of its account, if it has one, and ends with the credential.
type stream struct {
	server   *Server
	session  chat.Session // of an account
	reader   chat.User
	end      context.CancelCauseFunc // of the context of serve
	control  *http.ResponseController
	writer   http.ResponseWriter
	woken    chan struct{}
	audience atomic.Pointer[chat.Audience]
	buffer   []byte
}

// Wake implements chat.Waker.
func (t *stream) Wake(a *chat.Audience) {
	t.audience.Store(a)
	t.wake()
}

func (t *stream) wake() {
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

// WakeOne implements chat.Waker. A stream sends nothing, so this is the end of its
// subscription.
func (t *stream) WakeOne(*chat.Subscription) { t.wake() }

// Changed implements chat.Owner. A stream says nothing about its account.
func (*stream) Changed(kaban.RoomName) {}

// Replace implements chat.Owner. A stream holds no name.
func (*stream) Replace() {}

// Revoke implements chat.Owner. What is being written takes a moment only.
func (t *stream) Revoke() {
	t.end(account.ErrSignedOut)
	t.control.SetWriteDeadline(time.Now().Add(lastWriteTimeout))
}

// events streams a room.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	by, ok := s.admit(toReaders, w, r)
	if !ok {
		return
	}
	name, err := s.parseRoom(RoomPath{Room: r.PathValue("room")})
	if err != nil {
		s.writeProblem(w, s.problemIn(err))
		return
	}
	start, err := s.eventStart(r)
	if err != nil {
		s.writeProblem(w, s.problemIn(err))
		return
	}
	if r.Method == http.MethodHead { // nothing would tell when its client has had enough
		w.Header().Set("Content-Type", eventStream)
		return
	}
	if !s.streams.enter() {
		p := problem(wire.CodeServerFull, fmt.Sprintf("the server has %d streams of events, which is all it takes; try again later", s.config.MaxStreams))
		p.RetryAfter = new(comeBack.Milliseconds())
		s.writeProblem(w, p)
		return
	}
	defer s.streams.leave()
	place, err := s.enterStream(by)
	if err != nil {
		s.writeProblem(w, s.problemOf(err))
		return
	}
	defer place.Leave()
	t := &stream{
		server: s, reader: by.user(), control: http.NewResponseController(w), writer: w,
		woken: make(chan struct{}, 1),
	}
	ctx, end := context.WithCancelCause(r.Context())
	defer end(nil)
	t.end = end
	s.streams.add(t)
	defer s.streams.remove(t)
	if by.isAccount() {
		s.chat.Enter(&t.session, t, by.identity, by.peer.Addr, by.credential())
		defer s.chat.Release(&t.session)
		// From here on a revocation reaches the stream. One that came before is seen by
		// looking once more.
		if _, err := s.config.Accounts.Renew(ctx, by.principal); err != nil {
			s.writeProblem(w, s.problemOf(err))
			return
		}
	}
	t.serve(ctx, name, start)
}

// eventStart is where a stream begins: behind the last event that the client was
// given, or where it asks for.
func (s *Server) eventStart(r *http.Request) (chat.Start, error) {
	refuse := func(field string) (chat.Start, error) {
		p := problem(wire.CodeBadField, field+" must be an epoch, a colon and a seq, as in the id of an event")
		p.Field = field
		return chat.Start{}, p
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		epoch, number, ok := strings.Cut(last, ":")
		seq, err := strconv.ParseUint(number, 10, 64)
		if !ok || err != nil || seq > wire.MaxNumber || epoch == "" || len(epoch) > maxEpoch {
			return refuse("Last-Event-ID")
		}
		return chat.Start{Epoch: epoch, After: seq, Resume: true}, nil
	}
	query := r.URL.Query()
	start := chat.Start{Epoch: query.Get("epoch"), Resume: query.Has("after")}
	if start.Resume {
		seq, err := strconv.ParseUint(query.Get("after"), 10, 64)
		if err != nil || seq > wire.MaxNumber {
			p := problem(wire.CodeBadField, fmt.Sprintf("after must be a whole number from 0 to %d", wire.MaxNumber))
			p.Field = "after"
			return start, p
		}
		start.After = seq
	}
	if len(start.Epoch) > maxEpoch {
		return refuse("epoch")
	}
	return start, nil
}

// maxEpoch is the longest epoch that is taken, in bytes.
const maxEpoch = 128

// serve is the life of a stream. A place that the log does not offer is told as
// an event, for a client that sees no status, and the stream goes on at the head.
func (t *stream) serve(ctx context.Context, name kaban.RoomName, start chat.Start) {
	s := t.server
	subscription, joined, err := t.watch(ctx, name, start)
	resync, lost := errors.AsType[*chat.ResyncError](err)
	if lost {
		subscription, joined, err = t.watch(ctx, name, chat.Start{})
	}
	if err != nil {
		s.writeProblem(t.writer, s.problemOf(err))
		return
	}
	defer t.reader.Leave(subscription, false)
	t.control.SetReadDeadline(time.Time{}) // nothing more is to be read
	header := t.writer.Header()
	header.Set("Content-Type", eventStream)
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // a proxy must not keep it back
	t.buffer = fmt.Appendf(nil, "retry: %d\n\n", comeBack.Milliseconds())
	if lost {
		resync.Head = subscription.Seq() // which may have grown since
		t.buffer = t.appendResync(t.buffer, resync)
	} else { // its id is where to go on when nothing comes before the stream breaks
		t.buffer = fmt.Appendf(t.buffer, "id: %s:%d\n", s.chat.Epoch(), subscription.Seq())
		t.buffer = appendEvent(t.buffer, &wire.Event{
			Type: wire.TypeJoined, Room: subscription.Room().Name().String(), Epoch: s.chat.Epoch(), Head: joined.Head, Members: joined.Members,
		})
	}
	t.run(ctx, subscription)
}

func (t *stream) watch(ctx context.Context, name kaban.RoomName, start chat.Start) (*chat.Subscription, chat.Joined, error) {
	return t.reader.Watch(ctx, t, eventFormat{t.server.chat.Epoch()}, name, start)
}

// appendResync appends that messages are missing. Its id is where the stream goes
// on.
func (t *stream) appendResync(dst []byte, resync *chat.ResyncError) []byte {
	dst = fmt.Appendf(dst, "id: %s:%d\n", resync.Epoch, resync.Head)
	e := refusal.Of(resync)
	return appendEvent(dst, &e)
}

// run writes what comes until somebody ends it.
func (t *stream) run(ctx context.Context, subscription *chat.Subscription) {
	sign := time.NewTicker(t.server.config.Heartbeat)
	defer sign.Stop()
	for {
		if ctx.Err() != nil {
			if errors.Is(context.Cause(ctx), account.ErrSignedOut) {
				t.buffer = appendEvent(t.buffer[:0], &wire.Event{Type: wire.TypeGoodbye, Reason: wire.ReasonAuth})
				t.write()
			}
			return
		}
		more, err := t.gather(ctx, subscription)
		if errors.Is(err, errExpelled) {
			t.write()
			return
		}
		if err != nil {
			if !errors.Is(err, chat.ErrChanged) { // then the client drops the part of the event that it has
				t.server.config.Log.Error("cannot read the log for a stream of events; its client comes back", "err", err)
			}
			return
		}
		if t.write() != nil {
			return
		}
		switch {
		case t.server.isDraining():
			t.buffer = appendEvent(t.buffer, &wire.Event{Type: wire.TypeGoodbye, Reason: wire.ReasonDraining, ReconnectAfter: comeBack, HasReconnect: true})
			t.write()
			return
		case more:
			continue
		}
		select {
		case <-t.woken:
			if a := t.audience.Load(); a != nil {
				a.Members()
			}
		case <-sign.C:
			t.buffer = append(t.buffer, ": still here\n\n"...) // so that proxies keep it open
		case <-t.server.stop:
		case <-ctx.Done():
		}
	}
}

// errExpelled ends a stream whose reader may not read the room any more.
var errExpelled = errors.New("expelled")

// gather copies what comes next into the buffer: while it is written the stream
// must hold none of the room's memory. It reports whether there may be more.
func (t *stream) gather(ctx context.Context, subscription *chat.Subscription) (more bool, err error) {
	defer subscription.Unpin()
	var delivered uint64
	defer func() { t.server.counts.deliveries.Add(delivered) }()
	for len(t.buffer) < eventsPerWrite {
		segment := subscription.Next()
		switch {
		case segment.Behind:
			cut := subscription.IsMidEntry() // then nothing can be told before its end
			err := subscription.Fetch(ctx)
			if resync, lost := errors.AsType[*chat.ResyncError](err); lost && !cut {
				t.buffer = t.appendResync(t.buffer, resync)
			} else if errors.Is(err, context.Canceled) {
				return false, nil
			} else if err != nil {
				return false, err
			}
		case segment.Expelled != nil:
			t.buffer = appendEvent(t.buffer, &wire.Event{
				Type: wire.TypeParted, Room: subscription.Room().Name().String(), Removal: wire.Removal(segment.Expelled.Reason),
			})
			return false, errExpelled
		case segment.Frames == nil:
			return false, nil
		default:
			n := min(len(segment.Frames), eventsPerWrite)
			before := subscription.Seq()
			rest := subscription.Advance(&segment, n)
			delivered += subscription.Seq() - before
			t.buffer = append(t.buffer, segment.Frames[:n+rest]...)
		}
	}
	return true, nil
}

// write sends what the buffer has. A client that takes nothing of it for long is
// gone (connection.Write); it comes back and goes on behind its last event.
func (t *stream) write() error {
	if len(t.buffer) == 0 {
		return nil
	}
	_, err := t.writer.Write(t.buffer)
	clear(t.buffer) // it stays while the stream waits, and a text that is erased must not be in it
	t.buffer = t.buffer[:0]
	if err == nil {
		err = t.control.Flush()
	}
	return err
}

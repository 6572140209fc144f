package tui

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

const (
	// maxEvents and maxEventBytes are how much may wait for the Model. Whoever
	// reads messages waits beyond that, and the SDK keeps a bounded number of
	// them; of presence only the last count of each room is kept.
	maxEvents     = 4096
	maxEventBytes = 4 << 20
	// maxUnsent is how many messages may be posted and not answered.
	maxUnsent = 1000
	// silence is how long nothing may come until the server is asked for a sign
	// of life: somebody looks at it. Half of the client's patience later it is
	// said that none comes.
	silence = 5 * time.Second
	// retryFirst is how soon the first connection is tried again, when there is
	// none; the delay doubles up to retryMax.
	retryFirst, retryMax = time.Second, 15 * time.Second
	// maxBackoff bounds the delay when a connection was lost: somebody waits.
	maxBackoff = 10 * time.Second
	// askPatience is how long an answer to a question may take.
	askPatience = 30 * time.Second
	// flushPatience is how long a change of name waits for what is under way.
	flushPatience = 5 * time.Second
)

// Session is a conversation with a server over any number of connections, and
// the only part that knows the SDK. Close ends it.
type Session struct {
	ctx    context.Context
	cancel context.CancelFunc
	group  sync.WaitGroup
	wake   chan struct{} // there are events
	hurry  chan struct{} // reconnect was called
	// posting is held by those who post, and by a change of name, which must
	// not leave a message between two clients.
	posting sync.RWMutex

	mu      sync.Mutex // guards all below
	space   *sync.Cond // events were taken
	events  batch
	bytes   int                      // of the events, nearly
	counts  map[string]presenceEvent // of presence there was no space for, by room
	client  *client.Client           // nil while there is none
	names   []string
	server  string
	started bool
	seats   map[string]*seat // by the name under which it was asked for
	posted  int
	// endSearch ends the search that is under way; nil before the first.
	endSearch context.CancelFunc
}

// seat is a room that the session is to be in, whatever becomes of connections.
type seat struct {
	room   *client.Room // nil while it is not joined
	cursor client.Cursor
	told   uint64 // the newest message that was passed on
	cancel context.CancelFunc
	outbox []outgoing
	wake   chan struct{}
}

type outgoing struct {
	number  uint64
	content string
}

// NewSession returns a session that is not connected yet.
func NewSession() *Session {
	s := &Session{wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), seats: make(map[string]*seat), counts: make(map[string]presenceEvent)}
	s.space = sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Close ends the session and waits for its goroutines. What is not acknowledged
// may be lost; see Flush.
func (s *Session) Close() {
	s.cancel()
	s.mu.Lock()
	c := s.client
	s.space.Broadcast()
	s.mu.Unlock()
	if c != nil {
		c.Close()
	}
	s.group.Wait()
}

// Flush waits until what was posted is acknowledged or refused.
func (s *Session) Flush(ctx context.Context) {
	for ctx.Err() == nil && s.unsent() > 0 {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (s *Session) unsent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posted
}

func (s *Session) connect(server string, names []string) {
	s.mu.Lock()
	s.server, s.names = server, names
	started := s.started
	s.started = true
	s.mu.Unlock()
	if started {
		s.reconnect()
		return
	}
	s.group.Go(s.run)
}

// run keeps a client, whatever it takes.
func (s *Session) run() {
	delay := retryFirst
	strays := 0 // attempts that were given up; one of them may have the name for a moment
	for s.ctx.Err() == nil {
		c, err := s.dial()
		wait := time.Duration(-1)
		final := isFinal(err)
		if errors.Is(err, context.DeadlineExceeded) {
			strays++
		} else if strays > 0 && isTaken(err) {
			strays--
			final = false
		}
		switch {
		case err == nil:
			delay, strays = retryFirst, 0
			s.settle(c)
			err = s.outlast()
		case !final:
			wait = delay/2 + rand.N(delay/2)
			delay = min(2*delay, retryMax)
		}
		if wait < 0 {
			s.putState(stateEvent{link: ended, err: err})
		} else {
			s.putState(stateEvent{link: offline, err: err, retryAt: time.Now().Add(wait)})
		}
		if !s.pause(wait) {
			return
		}
	}
}

// isFinal reports whether the first connection was refused for good: the person
// has to choose another name or server.
func isFinal(err error) bool {
	if refused, ok := errors.AsType[*client.Error](err); ok {
		return !refused.Temporary()
	}
	_, ok := errors.AsType[*kaban.MessageError](err)
	return ok
}

// isTaken reports whether somebody is connected under the name.
func isTaken(err error) bool {
	refused, ok := errors.AsType[*client.Error](err)
	return ok && refused.Code == wire.CodeUsernameTaken
}

// pause waits, for ever if the time is negative, or until reconnect is called.
func (s *Session) pause(wait time.Duration) bool {
	var timer <-chan time.Time
	if wait >= 0 {
		timer = time.After(wait)
	}
	select {
	case <-timer:
	case <-s.hurry:
	case <-s.ctx.Done():
		return false
	}
	return true
}

// outlast waits until the client ends and no other has taken its place. It
// returns why.
func (s *Session) outlast() error {
	for {
		s.mu.Lock()
		c := s.client
		s.mu.Unlock()
		select {
		case <-c.Done():
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
		s.mu.Lock()
		last := s.client == c
		s.mu.Unlock()
		if last {
			s.leave(c)
			return c.Err()
		}
	}
}

// leave notes that there is no client any more.
func (s *Session) leave(c *client.Client) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = nil
	s.vacateLocked()
}

// vacateLocked ends the goroutines of all seats and keeps where they were.
func (s *Session) vacateLocked() {
	for _, at := range s.seats {
		if at.room != nil {
			at.cursor = at.room.Cursor()
		}
		at.room = nil
		if at.cancel != nil {
			at.cancel()
		}
	}
}

// dial makes one attempt under each of the names.
func (s *Session) dial() (c *client.Client, err error) {
	s.mu.Lock()
	server, names := s.server, s.names
	s.mu.Unlock()
	s.putState(stateEvent{link: connecting})
	for _, name := range names {
		if c, err = client.Dial(s.ctx, server, s.options(name)); err == nil {
			return c, nil
		}
		if !isTaken(err) {
			break
		}
	}
	return nil, err
}

// options are those of a client. Its callbacks may come before Dial returns.
func (s *Session) options(name string) client.Options {
	return client.Options{
		Username:   name,
		MaxBackoff: maxBackoff,
		Silence:    silence,
		OnState: func(state client.State) {
			switch state.Status {
			case client.Offline:
				s.putState(stateEvent{link: offline, err: state.Err, retryAt: time.Now().Add(state.RetryIn)})
			case client.Silent:
				s.putState(stateEvent{link: silent})
			case client.Online:
				s.putState(stateEvent{link: online})
			}
		},
		OnPresence: func(p client.Presence) { s.putPresence(presenceEvent(p)) },
	}
}

// settle makes a client the session's and takes all seats.
func (s *Session) settle(c *client.Client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = c
	welcome := c.Welcome()
	s.names = []string{welcome.Username}
	s.putLocked(stateEvent{link: online, username: welcome.Username, server: welcome.Server, limit: welcome.Limits.Content})
	for name, at := range s.seats {
		s.sitLocked(c, name, at)
	}
}

// sitLocked joins the room of a seat.
func (s *Session) sitLocked(c *client.Client, name string, at *seat) {
	ctx, cancel := context.WithCancel(s.ctx)
	at.cancel = cancel
	s.group.Go(func() {
		defer cancel()
		s.attend(ctx, c, name, at)
	})
}

// attend is what is done in a room: it is joined, read and written.
func (s *Session) attend(ctx context.Context, c *client.Client, name string, at *seat) {
	s.mu.Lock()
	cursor := at.cursor
	s.mu.Unlock()
	from, again := client.From{}, cursor.Epoch != ""
	if again {
		from = client.After(cursor)
	}
	r, err := c.Join(ctx, name, from)
	if resync, ok := errors.AsType[*client.ResyncError](err); ok {
		s.tell(at, resync.Head, true)
		s.put(resyncEvent{room: name, err: resync, cursor: client.Cursor{Epoch: resync.Epoch, Seq: resync.Head}})
		again = false
		r, err = c.Join(ctx, name, client.From{})
	}
	if err != nil {
		if ctx.Err() == nil && c.Err() == nil {
			s.mu.Lock()
			if s.seats[name] == at {
				delete(s.seats, name)
			}
			s.mu.Unlock()
			s.put(failedEvent{room: name, err: err})
		}
		return
	}
	s.mu.Lock()
	at.room = r
	s.mu.Unlock()
	s.put(joinedEvent{asked: name, room: r.Name(), cursor: r.Cursor(), head: r.Head(), again: again})
	var writing sync.WaitGroup
	writing.Go(func() { s.write(ctx, name, at, r) })
	s.read(ctx, name, at, r)
	writing.Wait()
}

// read passes on what others say.
func (s *Session) read(ctx context.Context, name string, at *seat, r *client.Room) {
	for e, err := range r.Entries(ctx) {
		if resync, ok := errors.AsType[*client.ResyncError](err); ok {
			s.tell(at, resync.Head, true)
			s.putWhenThereIsSpace(resyncEvent{room: name, err: resync, cursor: client.Cursor{Epoch: resync.Epoch, Seq: resync.Head}})
			continue
		}
		if err != nil {
			if ctx.Err() == nil && s.ctx.Err() == nil {
				s.put(failedEvent{room: name, err: err})
			}
			return
		}
		switch {
		case !s.tell(at, e.Seq, false): // the client before this one had just read it
		case e.Message == nil:
			s.putWhenThereIsSpace(unknownEvent{room: name, seq: e.Seq, head: r.Head()})
		default:
			s.putWhenThereIsSpace(messageEvent{room: name, message: *e.Message, head: r.Head()})
		}
	}
}

// tell notes that a message is passed on, and reports whether it was not before.
// After a resync counting begins anew.
func (s *Session) tell(at *seat, seq uint64, anew bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq <= at.told && !anew {
		return false
	}
	at.told = seq
	return true
}

// write posts what is in a seat's outbox, in its order.
func (s *Session) write(ctx context.Context, name string, at *seat, r *client.Room) {
	for {
		s.mu.Lock()
		var next outgoing
		some := len(at.outbox) > 0
		if some {
			next = at.outbox[0]
		}
		s.mu.Unlock()
		if !some {
			select {
			case <-at.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		s.posting.RLock()
		p, err := r.Post(ctx, next.content)
		s.posting.RUnlock()
		if ctx.Err() != nil && err != nil {
			return // the next connection posts it
		}
		s.mu.Lock()
		at.outbox = at.outbox[1:]
		s.mu.Unlock()
		if err != nil {
			s.answered(sentEvent{room: name, number: next.number, err: err})
			continue
		}
		s.group.Go(func() {
			receipt, err := p.Wait(s.ctx)
			s.answered(sentEvent{room: name, number: next.number, receipt: receipt, err: err})
		})
	}
}

func (s *Session) answered(e sentEvent) {
	s.mu.Lock()
	s.posted--
	s.mu.Unlock()
	s.put(e)
}

func (s *Session) join(room string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seats[room] != nil {
		return
	}
	at := &seat{wake: make(chan struct{}, 1)}
	s.seats[room] = at
	if s.client != nil {
		s.sitLocked(s.client, room, at)
	}
}

func (s *Session) part(room string) {
	s.mu.Lock()
	at := s.seats[room]
	delete(s.seats, room)
	s.mu.Unlock()
	if at == nil {
		return
	}
	s.group.Go(func() {
		s.mu.Lock()
		r, unsent := at.room, at.outbox
		at.outbox = nil
		s.mu.Unlock()
		for _, o := range unsent {
			s.answered(sentEvent{room: room, number: o.number, err: client.ErrParted})
		}
		if r != nil {
			ctx, cancel := context.WithTimeout(s.ctx, askPatience)
			defer cancel()
			r.Part(ctx)
		}
		if at.cancel != nil {
			at.cancel()
		}
	})
}

func (s *Session) post(room string, number uint64, content string) {
	s.mu.Lock()
	at := s.seats[room]
	s.posted++
	var err error
	switch {
	case at == nil:
		err = client.ErrParted
	case s.posted > maxUnsent:
		err = errTooMuch
	default:
		at.outbox = append(at.outbox, outgoing{number, content})
	}
	s.mu.Unlock()
	if err != nil {
		s.answered(sentEvent{room: room, number: number, err: err})
		return
	}
	select {
	case at.wake <- struct{}{}:
	default:
	}
}

// ask does what has an answer, on the present client.
func (s *Session) ask(do func(context.Context, *client.Client)) {
	s.mu.Lock()
	c := s.client
	s.mu.Unlock()
	s.group.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askPatience)
		defer cancel()
		do(ctx, c)
	})
}

func (s *Session) load(room string, p page) {
	s.ask(func(ctx context.Context, c *client.Client) {
		if c == nil {
			s.put(pageEvent{room: room, page: p, err: client.ErrOffline})
			return
		}
		got, err := c.History(ctx, room, client.HistoryQuery{
			After: p.After, HasAfter: p.HasAfter, Before: p.Before, HasBefore: p.HasBefore, Limit: pageSize,
		})
		s.put(pageEvent{room: room, page: p, messages: got.Messages, unknown: got.Unknown, more: got.More, err: err})
	})
}

// find looks for the first message of a moment by halving: messages are
// ordered by seq, and their times nearly so.
func (s *Session) find(room string, moment time.Time) {
	s.ask(func(ctx context.Context, c *client.Client) {
		p := page{Around: true, HasAfter: true}
		if c == nil {
			s.put(pageEvent{room: room, page: p, err: client.ErrOffline})
			return
		}
		seq, head, err := c.Seek(ctx, room, moment)
		if err == nil && head == 0 {
			err = errors.New("the room has no messages")
		}
		if err != nil {
			s.put(pageEvent{room: room, page: p, err: err})
			return
		}
		p.Target = min(seq, head)
		p.After = p.Target - min(p.Target, 1+pageSize/4)
		got, err := c.History(ctx, room, client.HistoryQuery{After: p.After, HasAfter: true, Limit: pageSize})
		s.put(pageEvent{room: room, page: p, messages: got.Messages, unknown: got.Unknown, more: got.More, err: err})
	})
}

func (s *Session) members(room string, asked bool) {
	s.ask(func(ctx context.Context, c *client.Client) {
		if c == nil {
			s.put(membersEvent{room: room, asked: asked, err: client.ErrOffline})
			return
		}
		var all []string
		for after := ""; ; {
			names, more, err := c.Members(ctx, room, after, wire.MaxLimit)
			all = append(all, names...)
			if err != nil || !more || len(names) == 0 || len(all) >= maxMembers {
				s.put(membersEvent{room: room, names: all, more: more, asked: asked, err: err})
				return
			}
			after = names[len(names)-1]
		}
	})
}

func (s *Session) rooms(asked bool) {
	s.ask(func(ctx context.Context, c *client.Client) {
		if c == nil {
			s.put(roomsEvent{asked: asked, err: client.ErrOffline})
			return
		}
		rooms, more, err := c.Rooms(ctx, "", wire.MaxLimit)
		s.put(roomsEvent{rooms: rooms, more: more, asked: asked, err: err})
	})
}

// rename connects under the new name first, so that nothing is changed if that
// is refused, and goes on in all rooms where the old connection was.
func (s *Session) rename(name string) {
	s.ask(func(ctx context.Context, old *client.Client) {
		fail := func(err error) { s.put(renamedEvent{name: name, err: err}) }
		if old == nil {
			fail(client.ErrOffline)
			return
		}
		flushing, cancel := context.WithTimeout(ctx, flushPatience)
		defer cancel()
		if !s.holdPosts(flushing) {
			fail(errUnderWay)
			return
		}
		defer s.posting.Unlock()
		if err := old.Flush(flushing); err != nil {
			fail(errUnderWay)
			return
		}
		s.mu.Lock()
		server := s.server
		s.mu.Unlock()
		c, err := client.Dial(ctx, server, s.options(name))
		if err != nil {
			fail(err)
			return
		}
		s.mu.Lock()
		if s.client != old || s.ctx.Err() != nil {
			s.mu.Unlock()
			c.Close()
			fail(client.ErrOffline)
			return
		}
		s.client = c
		s.vacateLocked()
		s.mu.Unlock()
		old.Close()
		s.put(renamedEvent{name: c.Username()})
		s.settle(c)
	})
}

// errTooMuch says that maxUnsent is reached.
var errTooMuch = errors.New("1,000 messages wait to be sent already; send it again when some of them are")

var errUnderWay = errors.New("messages are still under way; try again when they are sent")

// holdPosts keeps everybody from posting; false if somebody is at it for too
// long.
func (s *Session) holdPosts(ctx context.Context) bool {
	for !s.posting.TryLock() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
	return true
}

func (s *Session) reconnect() {
	s.mu.Lock()
	c := s.client
	s.mu.Unlock()
	if c != nil && c.Err() == nil {
		c.Reconnect()
		return
	}
	select {
	case s.hurry <- struct{}{}:
	default:
	}
}

func (s *Session) ping() {
	s.ask(func(ctx context.Context, c *client.Client) {
		if c == nil {
			return
		}
		took, err := c.Ping(ctx)
		s.put(pingEvent{took: took, err: err})
	})
}

package tui

import (
	"context"
	"errors"
	"sync"
	"time"

	"kaban/client"
	"kaban/wire"
)

const (
	// maxEvents and maxEventBytes bound the events that wait for the Model. Beyond
	// them the readers of messages wait, and the SDK keeps a bounded number of
	// entries; of presence only the last count of each room is kept, and of typing the
	// last state.
	maxEvents     = 4096
	maxEventBytes = 4 << 20
	// maxUnsent bounds the messages that are posted and not answered.
	maxUnsent = 1000
	// silence is how long the server may send nothing before it is asked for a sign
	// of life: a person is watching. Half of the client's patience later the status
	// reports that none comes.
	silence = 5 * time.Second
	// maxBackoff bounds the delay between attempts to connect: a person is waiting.
	maxBackoff = 10 * time.Second
	// askPatience is how long the answer to a request may take.
	askPatience = 30 * time.Second
	// renamePatience is how long a change of name may take.
	renamePatience = 10 * time.Second
)

// Session maps the calls of the Model to the SDK, and what the SDK reports to
// events. It holds neither messages nor connections. Close ends it.
type Session struct {
	ctx     context.Context
	cancel  context.CancelFunc
	group   sync.WaitGroup
	wake    chan struct{} // there are events
	client  *client.Client
	options Options

	mu      sync.Mutex              // guards all below
	space   *sync.Cond              // events were taken
	held    map[wire.Code]time.Time // when it was last reported that the server stores nothing for now
	events  batch
	bytes   int                      // of the events, nearly
	counts  map[string]presenceEvent // of presence there was no space for, by room
	typists map[string]typingEvent   // the same of typing
	rooms   map[string]*client.Room  // by the name that the Model uses
	arrived bool                     // the Model knows the name and the server of this session
	// endSearch ends the present search; nil before the first.
	endSearch context.CancelFunc
	// endUpload cancels the present upload; nil before the first.
	endUpload context.CancelFunc
	progress  *uploadEvent // the last one that the Model has not taken

	downloading sync.Mutex // held while a file is downloaded
	viewing     sync.Mutex // held while a thumbnail is downloaded and decoded
	// endViewing cancels the thumbnail that was asked for last; nil before the first.
	endViewing context.CancelFunc
}

// newSession returns a session that is not connected yet.
func newSession(o Options) *Session {
	s := &Session{options: o, wake: make(chan struct{}, 1), held: make(map[wire.Code]time.Time), rooms: make(map[string]*client.Room), counts: make(map[string]presenceEvent), typists: make(map[string]typingEvent)}
	s.space = sync.NewCond(&s.mu)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.client = client.New(client.Options{
		Insecure:    o.Insecure,
		MaxBackoff:  maxBackoff,
		Silence:     silence,
		OnState:     s.onState,
		OnHeld:      s.onHeld,
		OnRoomState: func(r wire.RoomState) { s.put(roomStateEvent(r)) },
		OnPresence:  func(p client.Presence) { s.putPresence(presenceEvent(p)) },
		OnTyping:    func(t client.Typing) { s.putTyping(typingEvent(t)) },

		OnNotifications: func(n client.Notifications) { s.put(notificationsEvent(n)) },
	})
	return s
}

// Close ends the session and waits for its goroutines. Unacknowledged messages may
// be lost; see Flush.
func (s *Session) Close() {
	s.cancel()
	s.mu.Lock()
	s.space.Broadcast()
	s.mu.Unlock()
	s.client.Close()
	s.group.Wait()
}

// Flush waits until every posted message is acknowledged or refused.
func (s *Session) Flush(ctx context.Context) { s.client.Flush(ctx) }

func (s *Session) unsent() int { return s.client.Unacknowledged() }

func (s *Session) connect(server string, names []string) {
	if s.options.Token != nil {
		token, err := s.options.Token(server)
		if err != nil {
			s.putState(stateEvent{link: ended, err: err})
			return
		}
		s.client.SetToken(token)
	}
	if s.options.Place != nil {
		s.client.SetPlace(s.options.Place(server))
	}
	if s.options.Trust != nil {
		trust, err := s.options.Trust(server)
		if err != nil {
			s.putState(stateEvent{link: ended, err: err})
			return
		}
		s.client.SetTrust(trust)
	}
	if err := s.client.Connect(server, names[0], names[1:]...); err != nil {
		s.putState(stateEvent{link: ended, err: err})
	}
}

func (s *Session) reconnect() { s.client.Reconnect() }

// heldAgain is how long a server that stores no messages for now is not reported again: each
// message is refused every few seconds.
const heldAgain = time.Hour

// onHeld reports to the Model that the server stores no messages for now.
func (s *Session) onHeld(refused *client.Error) {
	if refused.Code != wire.CodeStorageFull && refused.Code != wire.CodeUnavailable {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, ok := s.held[refused.Code]; ok && time.Since(at) < heldAgain {
		return
	}
	s.held[refused.Code] = time.Now()
	s.putLocked(heldEvent{code: refused.Code})
}

// stored takes note that the server stores messages. That says nothing of its disk: one that is nearly full takes
// some and refuses others.
func (s *Session) stored() {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.held, wire.CodeUnavailable)
}

// onState reports the connection to the Model.
func (s *Session) onState(state client.State) {
	switch state.Status {
	case client.Connecting:
		s.putState(stateEvent{link: connecting})
	case client.Offline:
		s.putState(stateEvent{link: offline, err: state.Err, retryAt: time.Now().Add(state.RetryIn)})
	case client.Silent:
		s.putState(stateEvent{link: silent})
	case client.Stopped:
		s.mu.Lock()
		s.arrived = false
		s.mu.Unlock()
		s.putState(stateEvent{link: ended, err: state.Err})
	case client.Online:
		e := stateEvent{link: online}
		s.mu.Lock()
		if !s.arrived {
			s.arrived = true
			welcome := s.client.Welcome()
			e.username, e.server, e.limit = welcome.Username, welcome.Server, welcome.Limits.Content
			e.account = welcome.Account
		}
		s.mu.Unlock()
		s.putState(e)
	}
}

func (s *Session) join(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[name] != nil {
		return
	}
	r, err := s.client.Open(name, client.From{})
	if err != nil {
		s.putLocked(failedEvent{room: name, err: err})
		return
	}
	s.rooms[name] = r
	s.group.Go(func() { s.read(name, r) })
}

// read reports a room to the Model until the room or the session ends.
func (s *Session) read(name string, r *client.Room) {
	if err := r.Joined(s.ctx); err != nil {
		s.lose(name, r, err)
		return
	}
	s.put(joinedEvent{asked: name, room: r.Name(), cursor: r.Cursor(), head: r.Head()})
	for e, err := range r.Entries(s.ctx) {
		resync, interrupted := errors.AsType[*client.ResyncError](err)
		switch {
		case interrupted:
			s.putWhenThereIsSpace(resyncEvent{room: name, err: resync, cursor: client.Cursor{Epoch: resync.Epoch, Seq: resync.Head}})
		case err != nil:
			s.lose(name, r, err)
		case e.Message == nil:
			s.putWhenThereIsSpace(entryEvent{room: name, entry: e, head: r.Head()})
		default:
			s.putWhenThereIsSpace(messageEvent{room: name, message: *e.Message, asOf: e.AsOf, head: r.Head()})
		}
	}
}

// lose reports that a room cannot be joined or was lost, unless the Model has left
// it.
func (s *Session) lose(name string, r *client.Room, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rooms[name] == r && s.ctx.Err() == nil {
		delete(s.rooms, name)
		s.putLocked(failedEvent{room: name, err: err})
	}
}

// part leaves a room. The messages that were posted to it are sent before.
func (s *Session) part(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rooms[name]; r != nil {
		delete(s.rooms, name)
		r.Leave()
	}
}

func (s *Session) post(name string, number, replyTo uint64, content string, files ...string) {
	s.mu.Lock()
	r := s.rooms[name]
	s.mu.Unlock()
	err := client.ErrParted
	if s.unsent() >= maxUnsent { // else Post would wait
		err = errTooMuch
	} else if r != nil {
		var p *client.Pending
		if len(files) > 0 {
			p, err = r.PostFiles(s.ctx, content, replyTo, files...)
		} else if replyTo > 0 {
			p, err = r.PostReply(s.ctx, replyTo, content)
		} else {
			p, err = r.Post(s.ctx, content)
		}
		if err == nil {
			s.group.Go(func() {
				receipt, err := p.Wait(s.ctx)
				if err == nil {
					s.stored()
				}
				s.put(sentEvent{room: name, number: number, receipt: receipt, err: err})
			})
			return
		}
	}
	s.put(sentEvent{room: name, number: number, err: err})
}

func (s *Session) typing(name string) {
	s.mu.Lock()
	r := s.rooms[name]
	s.mu.Unlock()
	if r != nil {
		r.Typing(s.ctx) // an error of the room is reported elsewhere
	}
}

// errTooMuch means that maxUnsent is reached.
var errTooMuch = errors.New("1,000 messages are waiting to be sent already; try again when some of them are sent")

func (s *Session) rename(name string) {
	s.group.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, renamePatience)
		defer cancel()
		err := s.client.Rename(ctx, name)
		if err == nil {
			name = s.client.Username()
		}
		s.put(renamedEvent{name: name, err: err})
	})
}

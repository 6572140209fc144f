package dispatch

import (
	"maps"
	"slices"
	"sync"
	"time"

	"kaban"
	"kaban/internal/store"
)

const (
	// typingMembers is the size of a room, in members and in subscriptions that only
	// watch, up to which it shows who is typing.
	typingMembers = 100
	// typingLasts is how long somebody is typing after the last call of Type. Clients
	// call it every three seconds.
	typingLasts = 6 * time.Second
	// typingDelay is the time between two looks at who is typing: changes of that time
	// share a frame.
	typingDelay = 250 * time.Millisecond
)

// typing has the rooms in which somebody is typing. Its timer runs while there are any.
type typing struct {
	mu      sync.Mutex // guards all below; taken after Room.mu
	rooms   map[*Room]struct{}
	timer   *time.Timer
	running bool // the timer, or what it calls
	closed  bool

	group sync.WaitGroup // one while the timer runs, until look has returned
}

// typist is somebody that is typing in a room.
type typist struct {
	identity, name string
	by             *Subscription // the latest that reported it; nil: another node did
	until          time.Duration // of Dispatcher.clock
}

// typists are those that are typing in a room at some moment, by their identities, in
// the order in which they began. They never change. Readers compare them with those
// that they were given last.
type typists struct {
	identities, names []string
	frames            []typingFrame // for those that are not typing
}

// typingFrame is a frame in one format.
type typingFrame struct {
	format Format
	bytes  []byte
}

// Type reports that the holder of a subscription is typing a message. The other
// readers of the room are shown it for typingLasts, or until a message of the same
// author is published, or the subscription ends. In a room of more than typingMembers
// it does nothing.
//
// Type returns why the member may not send, ErrExpelled, or decided false if that must
// be decided first by Decide. It never blocks. Only the waker's goroutine calls it.
func (d *Dispatcher) Type(s *Subscription) (decided bool, err error) {
	if d.judge != nil {
		rights := s.rights.Load()
		if !rights.arePresent(s.audience.room, d.Generation()) {
			return false, nil
		}
		if rights.Refusal != nil {
			return true, rights.Refusal
		}
	}
	return true, d.startTyping(s)
}

// Decide decides whether the holder of a subscription may send, as Type needs it, and
// then does what Type does. It may block while the store is asked, and any goroutine may
// call it.
func (d *Dispatcher) Decide(s *Subscription) error {
	rights, err := d.rights(s)
	switch {
	case err != nil:
		return err
	case rights.Refusal != nil:
		return rights.Refusal
	}
	return d.startTyping(s)
}

func (d *Dispatcher) startTyping(s *Subscription) error {
	r := s.audience.room
	shown, err := r.startTyping(d, s)
	if shown {
		d.sayTyping(r.name, s.user)
	}
	return err
}

func (r *Room) startTyping(d *Dispatcher, s *Subscription) (shown bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.counted {
		return false, ErrExpelled
	}
	return r.noteTypingLocked(d, typist{identity: s.user.ID(), name: s.user.Name().String(), by: s}), nil
}

// noteTypingLocked notes that somebody is typing from now on, unless the room is too large.
func (r *Room) noteTypingLocked(d *Dispatcher, t typist) bool {
	if r.isTooLargeForTypingLocked() {
		return false
	}
	i := slices.IndexFunc(r.typing, func(other typist) bool { return other.identity == t.identity })
	if i < 0 {
		if !d.typing.add(d, r) {
			return false
		}
		i = len(r.typing)
		r.typing = append(r.typing, typist{identity: t.identity, name: t.name})
	}
	r.typing[i].by, r.typing[i].until = t.by, d.clock()+typingLasts
	return true
}

func (r *Room) isTooLargeForTypingLocked() bool {
	return r.membersLocked()+r.watchers > typingMembers
}

// add has a room looked at until it is removed. It returns false if the dispatcher is
// closed. The caller holds Room.mu.
func (t *typing) add(d *Dispatcher, r *Room) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if t.rooms == nil {
		t.rooms = make(map[*Room]struct{})
	}
	t.rooms[r] = struct{}{}
	if !t.running {
		t.running = true
		t.group.Add(1)
		if t.timer == nil {
			t.timer = time.AfterFunc(typingDelay, func() { t.look(d) })
		} else {
			t.timer.Reset(typingDelay)
		}
	}
	return true
}

// remove ends that a room is looked at. The caller holds Room.mu.
func (t *typing) remove(r *Room) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.rooms, r)
}

// look brings all rooms up to date. It runs on the timer's goroutine.
func (t *typing) look(d *Dispatcher) {
	defer t.group.Done()
	t.mu.Lock()
	rooms := slices.Collect(maps.Keys(t.rooms))
	t.mu.Unlock()
	for _, r := range rooms {
		d.refreshTyping(r)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.running = len(t.rooms) > 0 && !t.closed; !t.running {
		t.rooms = nil
		return
	}
	t.group.Add(1)
	t.timer.Reset(typingDelay)
}

// close stops the timer and waits for what it started.
func (t *typing) close() {
	t.mu.Lock()
	t.closed = true
	if t.timer != nil && t.timer.Stop() {
		t.group.Done()
	}
	t.mu.Unlock()
	t.group.Wait()
}

// refreshTyping forgets those whose time is over, shows the others, and lets go of the
// room if there are none.
func (d *Dispatcher) refreshTyping(r *Room) {
	now := d.clock()
	r.mu.Lock()
	defer r.mu.Unlock()
	large := r.isTooLargeForTypingLocked()
	r.typing = slices.DeleteFunc(r.typing, func(t typist) bool { return large || t.until <= now })
	if r.showTypingLocked() {
		r.wakeLocked()
	}
	if len(r.typing) == 0 {
		r.typing = nil
		d.typing.remove(r)
	}
}

// endTypingLocked ends the typing of the authors of messages. The caller publishes
// them, moves the head after it, and wakes the readers.
func (r *Room) endTypingLocked(entries []store.Entry) {
	if len(r.typing) == 0 {
		return
	}
	before := len(r.typing)
	r.typing = slices.DeleteFunc(r.typing, func(t typist) bool {
		return slices.ContainsFunc(entries, func(e store.Entry) bool {
			return e.Kind == kaban.KindMessage && e.Author == t.identity
		})
	})
	if len(r.typing) < before {
		r.withdrawTypingLocked()
	}
}

// leaveTypingLocked ends the typing that a subscription reported.
func (r *Room) leaveTypingLocked(s *Subscription) {
	i := slices.IndexFunc(r.typing, func(t typist) bool { return t.by == s })
	if i < 0 {
		return
	}
	r.typing = slices.Delete(r.typing, i, i+1)
	if r.withdrawTypingLocked() {
		r.wakeLocked()
	}
}

// withdrawTypingLocked shows at once that somebody is not typing any more. Others that
// have begun meanwhile wait for the timer. It reports whether anything has changed.
func (r *Room) withdrawTypingLocked() bool {
	shown := r.shown.Load()
	if shown == nil {
		return false
	}
	left := &typists{}
	for i, identity := range shown.identities {
		if slices.ContainsFunc(r.typing, func(t typist) bool { return t.identity == identity }) {
			left.identities = append(left.identities, identity)
			left.names = append(left.names, shown.names[i])
		}
	}
	return r.showLocked(left)
}

// showTypingLocked shows those that are typing. It reports whether anything has changed.
func (r *Room) showTypingLocked() bool {
	now := &typists{}
	for _, t := range r.typing {
		now.identities, now.names = append(now.identities, t.identity), append(now.names, t.name)
	}
	return r.showLocked(now)
}

// showLocked replaces those that readers see typing, unless they are the same.
func (r *Room) showLocked(now *typists) bool {
	switch before := r.shown.Load(); {
	case before == nil && len(now.identities) == 0, before != nil && slices.Equal(before.identities, now.identities):
		return false
	}
	for _, t := range r.tails {
		now.frames = append(now.frames, typingFrame{t.format, t.format.AppendTyping(nil, r.name.String(), now.names)})
	}
	r.shown.Store(now)
	return true
}

// others returns the names of those but one identity. No typists are none.
func (t *typists) others(than string) []string {
	if t == nil {
		return nil
	}
	i := slices.Index(t.identities, than)
	if i < 0 {
		return t.names
	}
	return slices.Concat(t.names[:i], t.names[i+1:])
}

// nextTyping returns a frame of those that are typing, but the reader itself, unless
// the reader knows. It is not part of the log, and comes only when nothing of the log
// is left to be given.
func (s *Subscription) nextTyping(now *typists) Segment {
	identity := s.user.ID()
	names := now.others(identity)
	if slices.Equal(names, s.typing.others(identity)) {
		s.typing = now
		return Segment{}
	}
	frame := now.frame(s.tail.format)
	if frame == nil || len(names) < len(now.names) {
		r := s.audience.room
		r.mu.Lock() // a format is called by one goroutine at a time
		frame = s.tail.format.AppendTyping(nil, r.name.String(), names)
		r.mu.Unlock()
	}
	if len(frame) == 0 { // the format does not show it
		s.typing = now
		return Segment{}
	}
	return Segment{Frames: frame, typing: now}
}

// frame returns the frame in a format for readers that are not typing, or nil.
func (t *typists) frame(format Format) []byte {
	for i := range t.frames {
		if t.frames[i].format == format {
			return t.frames[i].bytes
		}
	}
	return nil
}

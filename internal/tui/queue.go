package tui

import "slices"

// The events that wait for the Model; see maxEvents.

// put queues an event without waiting. It is for answers, which are few.
func (s *Session) put(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.putLocked(e)
}

func (s *Session) putLocked(e event) {
	s.events = append(s.events, e)
	s.bytes += size(e)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// size is the number of bytes of an event that the server decides about.
func size(e event) (n int) {
	switch e := e.(type) {
	case messageEvent:
		return len(e.message.ID) + len(e.message.Username) + len(e.message.Content) + len(e.message.Files.String())
	case entryEvent:
		if c := e.entry.Change; c != nil {
			return len(c.ID) + len(c.Username) + len(c.Subject) + len(c.Reason) + len(c.Topic) + len(c.Content) + len(c.Emoji)
		}
	case typingEvent:
		for _, name := range e.Usernames {
			n += len(name) + 16
		}
	case presenceEvent:
		for _, names := range [][]string{e.Joined, e.Left} {
			for _, name := range names {
				n += len(name) + 16
			}
		}
	}
	return n
}

func (s *Session) fullLocked() bool { return len(s.events) >= maxEvents || s.bytes >= maxEventBytes }

// putWhenThereIsSpace is put for events that can wait.
func (s *Session) putWhenThereIsSpace(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.fullLocked() && s.ctx.Err() == nil {
		s.space.Wait()
	}
	s.putLocked(e)
}

// putState queues a state. It replaces the last one if the Model has not taken it.
func (s *Session) putState(e stateEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.events); n > 0 {
		if last, ok := s.events[n-1].(stateEvent); ok && last.username == "" {
			s.events = s.events[:n-1]
		}
	}
	s.putLocked(e)
}

// putPresence queues a presence, reduced to the count if there is no space.
func (s *Session) putPresence(e presenceEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fullLocked() {
		s.putLocked(e)
		return
	}
	s.counts[e.Room] = presenceEvent{Room: e.Room, Members: e.Members}
}

// putTyping queues those that are typing in a room. If there is no space, only the last
// of a room are kept.
func (s *Session) putTyping(e typingEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Usernames = slices.Clone(e.Usernames[:min(len(e.Usernames), maxTypists)])
	if delete(s.typists, e.Room); !s.fullLocked() {
		s.putLocked(e)
		return
	}
	s.typists[e.Room] = e
}

// take waits for events and returns them; nil when the session is closed.
func (s *Session) take() batch {
	for {
		select {
		case <-s.wake:
		case <-s.ctx.Done():
			return nil
		}
		s.mu.Lock()
		events := s.events
		s.events, s.bytes = nil, 0
		for room, e := range s.counts {
			events = append(events, e)
			delete(s.counts, room)
		}
		for room, e := range s.typists {
			events = append(events, e)
			delete(s.typists, room)
		}
		if s.progress != nil {
			events, s.progress = append(events, *s.progress), nil
		}
		s.space.Broadcast()
		s.mu.Unlock()
		if len(events) > 0 { // else an earlier call took them
			return events
		}
	}
}

package tui

import (
	"context"
	"errors"
	"time"

	"kaban/client"
	"kaban/wire"
)

// ask does a request that has an answer.
func (s *Session) ask(do func(context.Context)) {
	s.group.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, askPatience)
		defer cancel()
		do(ctx)
	})
}

func (s *Session) load(room string, p page) {
	s.ask(func(ctx context.Context) {
		s.put(s.page(ctx, room, p))
	})
}

// page asks for a history page.
func (s *Session) page(ctx context.Context, room string, p page) pageEvent {
	e := pageEvent{room: room, page: p}
	if p.Thread > 0 && !p.HasBefore {
		first, err := s.client.History(ctx, room, client.HistoryQuery{After: p.Thread - 1, HasAfter: true, Limit: 1})
		if e.err = err; err != nil {
			return e
		}
		if len(first.Entries) > 0 && first.Entries[0].Seq == p.Thread {
			e.root = &first.Entries[0]
		}
	}
	e.got, e.err = s.client.History(ctx, room, client.HistoryQuery{
		After: p.After, HasAfter: p.HasAfter, Before: p.Before, HasBefore: p.HasBefore, RepliesTo: p.Thread, Limit: pageSize,
	})
	return e
}

func (s *Session) find(room string, moment time.Time) {
	s.ask(func(ctx context.Context) {
		p := page{Around: true, HasAfter: true}
		seq, head, err := s.client.Seek(ctx, room, moment)
		if err == nil && head == 0 {
			err = errors.New("the room has no messages")
		}
		if err != nil {
			s.put(pageEvent{room: room, page: p, err: err})
			return
		}
		p.Target = min(seq, head)
		p.After = p.Target - min(p.Target, 1+pageSize/4)
		s.put(s.page(ctx, room, p))
	})
}

func (s *Session) members(room string, asked bool) {
	s.ask(func(ctx context.Context) {
		var all []wire.Member
		for after := ""; ; {
			members, more, err := s.client.Members(ctx, room, after, wire.MaxLimit)
			all = append(all, members...)
			if err != nil || !more || len(members) == 0 || len(all) >= maxMembers {
				s.put(membersEvent{room: room, members: all, more: more, asked: asked, err: err})
				return
			}
			after = members[len(members)-1].Username
		}
	})
}

func (s *Session) listRooms(asked bool) {
	s.ask(func(ctx context.Context) {
		rooms, more, err := s.client.Rooms(ctx, "", wire.MaxLimit)
		s.put(roomsEvent{rooms: rooms, more: more, asked: asked, err: err})
	})
}

func (s *Session) ping() {
	s.ask(func(ctx context.Context) {
		took, err := s.client.Ping(ctx)
		s.put(pingEvent{took: took, err: err})
	})
}

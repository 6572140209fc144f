package memory

import (
	"context"

	"kaban"
	"kaban/internal/store"
)

// occurrenceOverhead is the size of an occurrence without its ids, and of its share of the tree.
const occurrenceOverhead = 160

// mentionLocked notes whom a write mentions that has become an entry.
func (s *Store) mentionLocked(r *room, w *store.Write, e *store.Entry) {
	switch {
	case e.Kind == kaban.KindMessage && w.Mentions != nil:
		s.setMentionsLocked(r, e.Seq, w.Mentions.Occur(nil, e.Time))
	case e.Kind == kaban.KindEdit:
		before, known := r.mentions.Get(e.Target)
		if known || w.Mentions != nil {
			s.setMentionsLocked(r, e.Target, w.Mentions.Occur(before, e.Time))
		}
	case e.Kind == kaban.KindDelete:
		s.setMentionsLocked(r, e.Target, nil)
	}
}

// setMentionsLocked replaces the occurrences of a message.
func (s *Store) setMentionsLocked(r *room, seq uint64, now []store.Occurrence) {
	var before []store.Occurrence
	if len(now) == 0 {
		before, _ = r.mentions.Delete(seq)
	} else {
		before, _ = r.mentions.Set(seq, now)
	}
	s.bytes += costOfMentions(now) - costOfMentions(before)
}

func costOfMentions(occurrences []store.Occurrence) (n int) {
	for i := range occurrences {
		n += occurrenceOverhead + len(occurrences[i].Account)
		for _, id := range occurrences[i].Online {
			n += len(id)
		}
	}
	return n
}

// Mentions implements store.Store.
func (s *Store) Mentions(_ context.Context, name kaban.RoomName, account string, after, last uint64) (found []store.Mention, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return nil, store.ErrClosed
	}
	r := s.rooms[name.Key()]
	if r == nil || after >= last {
		return nil, nil
	}
	r.mentions.Ascend(after+1, func(seq uint64, occurrences []store.Occurrence) bool {
		if seq > last {
			return false
		}
		if by, _ := kaban.AuthorOf(s.entryLocked(r, seq).Author); by != account {
			if m, ok := store.MentionOf(account, seq, occurrences); ok {
				found = append(found, m)
			}
		}
		return true
	})
	return store.LastMentions(found), nil
}

// MayMention implements store.Store.
func (s *Store) MayMention(ctx context.Context, account string, runs []store.Run) ([]bool, error) {
	may := make([]bool, len(runs))
	for i, run := range runs {
		found, err := s.Mentions(ctx, run.Room, account, run.After, run.Last)
		if err != nil {
			return nil, err
		}
		may[i] = len(found) > 0
	}
	return may, nil
}

// ForgetMentions implements store.Store.
func (s *Store) ForgetMentions(_ context.Context, before int64, limit int) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, store.ErrClosed
	}
	for _, r := range s.rooms {
		changed := make(map[uint64][]store.Occurrence)
		r.mentions.Scan(func(seq uint64, occurrences []store.Occurrence) bool {
			var left []store.Occurrence
			for i := range occurrences {
				if n < limit && occurrences[i].Time < before {
					n++
				} else {
					left = append(left, occurrences[i])
				}
			}
			if len(left) < len(occurrences) {
				changed[seq] = left
			}
			return n < limit
		})
		for seq, left := range changed {
			s.setMentionsLocked(r, seq, left)
		}
	}
	return n, nil
}

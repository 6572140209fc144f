package store

// Counts are numbers of messages (kaban.KindMessage) in a log up to some seq, those that
// were deleted or are not kept any more included.
type Counts struct {
	Messages uint64 `json:"messages"` // by anybody
	Own      uint64 `json:"own"`      // by one author
}

// Mark is a place in a log with its counts.
type Mark struct {
	Seq uint64
	Counts
}

// Tally is the state of a room's log with counts for an author. A store that forgets
// entries may forget the messages of a visitor along with the last of them that it keeps,
// and then counts them from 0.
type Tally struct {
	Head, Oldest uint64 // as in Room
	Counts              // up to Head
	Front        Counts // up to Oldest-1
}

// Unread returns how many messages by others than the author are kept behind a mark.
func (t *Tally) Unread(m Mark) uint64 {
	from := m.Counts
	switch {
	case m.Seq >= t.Head:
		return 0
	case m.Seq+1 < t.Oldest:
		from = t.Front
	}
	all, read := t.Counts.others(), from.others()
	return all - min(read, all)
}

// others returns the number of messages by others.
func (c Counts) others() uint64 { return c.Messages - min(c.Own, c.Messages) }

// Add counts one more message, which may be the author's own.
func (c *Counts) Add(own bool) {
	c.Messages++
	if own {
		c.Own++
	}
}

// Nearest returns the counted place from which the run to a seq, of Oldest-1 to Head, is the
// shortest: a known one, unless it is not kept, the head or the front.
func (t *Tally) Nearest(seq uint64, known Mark) Mark {
	nearest := Mark{t.Oldest - 1, t.Front}
	for _, m := range [...]Mark{{t.Head, t.Counts}, known} {
		if m.Seq >= t.Oldest-1 && m.Seq <= t.Head && distance(m.Seq, seq) < distance(nearest.Seq, seq) {
			nearest = m
		}
	}
	return nearest
}

func distance(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// To returns the mark at a seq, if the run between has these counts.
func (m Mark) To(seq uint64, run Counts) Mark {
	if seq < m.Seq {
		return Mark{seq, Counts{m.Messages - min(run.Messages, m.Messages), m.Own - min(run.Own, m.Own)}}
	}
	return Mark{seq, Counts{m.Messages + run.Messages, m.Own + run.Own}}
}

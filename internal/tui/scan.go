package tui

import (
	"context"
	"sync"

	"kaban/client"
	"kaban/internal/display"
	"kaban/wire"
)

const (
	// scanBlock is how many entries make a block of a scan.
	scanBlock = 400
	// scanBlocks is how many blocks are read concurrently: it keeps a slow line busy.
	scanBlocks = 4
)

// block is a part of a room's log that a scan reads, with the result.
type block struct {
	low, high uint64 // of seqs, inclusive
	found     uint64
	scanned   int
	edge      wire.Message // the farthest in the direction of the scan, without its content
	err       error
}

// search starts a scan and ends an earlier one.
func (s *Session) search(room string, q scan) {
	ctx, cancel := context.WithCancel(s.ctx)
	s.mu.Lock()
	before := s.endSearch
	s.endSearch = cancel
	s.mu.Unlock()
	if before != nil {
		before()
	}
	s.group.Go(func() {
		defer cancel()
		e := s.scan(ctx, s.client, room, q)
		if ctx.Err() == nil {
			s.put(e)
		}
	})
}

func (s *Session) stopSearch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endSearch != nil {
		s.endSearch()
	}
}

// scan reads block after block and reports its progress. It returns the last event.
func (s *Session) scan(ctx context.Context, c *client.Client, room string, q scan) scanEvent {
	e := scanEvent{room: room, number: q.number, scanned: q.scanned}
	low, high, err := bounds(ctx, c, room, q)
	if err != nil {
		e.err = err
		return e
	}
	for low <= high {
		blocks := next(low, high, q.direction)
		asking, cancel := context.WithTimeout(ctx, askPatience)
		var reading sync.WaitGroup
		for i := range blocks {
			reading.Go(func() { blocks[i].read(asking, c, room, q) })
		}
		reading.Wait()
		cancel()
		for _, b := range blocks {
			if b.err != nil {
				e.err = b.err
				return e
			}
			e.scanned += b.scanned
			if b.scanned > 0 {
				e.at, e.time = b.edge.Seq, b.edge.Time
			}
			if e.found = b.found; e.found > 0 {
				return e
			}
		}
		if last := blocks[len(blocks)-1]; q.direction < 0 {
			high = last.low - 1
		} else {
			low = last.high + 1
		}
		if low <= high {
			s.putWhenThereIsSpace(e)
		}
	}
	e.done = true
	return e
}

// bounds returns the seqs to scan, which are those that are kept.
func bounds(ctx context.Context, c *client.Client, room string, q scan) (low, high uint64, err error) {
	asking, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	oldest, err := c.History(asking, room, client.HistoryQuery{Limit: 1, HasAfter: true})
	if err != nil || oldest.Last == 0 {
		return 1, 0, err
	}
	newest, err := c.History(asking, room, client.HistoryQuery{Limit: 1})
	if err != nil || newest.Last == 0 {
		return 1, 0, err
	}
	low, high = oldest.First, newest.Last
	if q.direction < 0 {
		return low, min(high, q.from-1), nil
	}
	return max(low, q.from+1), high, nil
}

// next returns the next blocks, the nearest first.
func next(low, high uint64, direction int) []block {
	var blocks []block
	for len(blocks) < scanBlocks && low <= high {
		if direction < 0 {
			from := max(low, high-min(high, scanBlock-1))
			blocks = append(blocks, block{low: from, high: high})
			high = from - 1
		} else {
			to := min(high, low+scanBlock-1)
			blocks = append(blocks, block{low: low, high: to})
			low = to + 1
		}
	}
	return blocks
}

// read reads a block, in as many pages as the server splits it into.
func (b *block) read(ctx context.Context, c *client.Client, room string, q scan) {
	for after := b.low - 1; after < b.high; {
		page, err := c.History(ctx, room, client.HistoryQuery{After: after, HasAfter: true, Limit: int(min(b.high-after, wire.MaxLimit))})
		if err != nil {
			b.err = err
			return
		}
		for _, e := range page.Entries {
			if e.Message != nil && e.Seq <= b.high {
				b.take(e.Message, q)
			}
		}
		if !page.More || page.Last == 0 {
			return
		}
		after = page.Last
	}
}

func (b *block) take(m *wire.Message, q scan) {
	if b.scanned == 0 || q.direction > 0 {
		b.edge = wire.Message{Seq: m.Seq, Time: m.Time}
	}
	b.scanned++
	if b.found > 0 && q.direction > 0 {
		return
	}
	if !m.Deleted && matches(display.WithFiles(m.Content, m.Files), m.Username, q.query) && !isIgnored(q.ignored, m.Username) {
		b.found = m.Seq
	}
}

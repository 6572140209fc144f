package logs

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"
)

const (
	// floodPeriod begins with the first line after the end of the last.
	floodPeriod = 10 * time.Second
	// floodLines is how many lines of one message are written in a period. The others
	// become one line at its end.
	floodLines = 25
	// floodMessages is how many messages are told apart in a period. What more there
	// are, which only messages with changing texts can be, count as one.
	floodMessages = 1000
)

// floods counts the lines of each message. Between periods it does nothing at all.
type floods struct {
	ending sync.Mutex // held while a period ends; taken before mu

	mu     sync.Mutex // guards all below; not held while lines are written
	counts map[uint64]*count
	timer  *time.Timer // ends the period
	closed bool
}

// count is what a period has of a message.
type count struct {
	lines   int
	leftOut int
	last    slog.Record // left out
	handler slog.Handler
}

func newFloods() *floods { return &floods{counts: make(map[uint64]*count)} }

var floodSeed = maphash.MakeSeed()

// others is the key of messages beyond floodMessages.
const others = 0

// keyOf returns the key of a message: two lines with it count as the same.
func keyOf(r *slog.Record) uint64 {
	var h maphash.Hash
	h.SetSeed(floodSeed)
	h.WriteByte(byte(r.Level))
	h.WriteString(r.Message)
	return max(h.Sum64(), others+1)
}

// takes counts a line, and reports whether it is to be written now.
func (f *floods) takes(h slog.Handler, r *slog.Record) bool {
	key := keyOf(r)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return true
	}
	if len(f.counts) == 0 {
		f.timer = time.AfterFunc(floodPeriod, f.end)
	}
	c := f.counts[key]
	if c == nil && len(f.counts) >= floodMessages {
		key = others
		c = f.counts[key]
	}
	if c == nil {
		c = new(count)
		f.counts[key] = c
	}
	if c.lines < floodLines {
		c.lines++
		return true
	}
	c.leftOut++
	c.last, c.handler = r.Clone(), h
	return false
}

// end ends a period: what was left out becomes one line for each message.
func (f *floods) end() {
	f.ending.Lock()
	defer f.ending.Unlock()
	f.mu.Lock()
	counts := f.counts
	f.counts = make(map[uint64]*count)
	f.mu.Unlock()
	for key, c := range counts {
		if c.leftOut == 0 {
			continue
		}
		r := c.last
		r.Time = time.Now()
		r.AddAttrs(slog.Int("repeated", c.leftOut), slog.String("within", floodPeriod.String()))
		if key == others {
			r.AddAttrs(slog.Bool("and_similar", true))
		}
		c.handler.Handle(context.Background(), r) // nobody could be told of an error
	}
}

// close ends the period, and all others.
func (f *floods) close() {
	f.mu.Lock()
	f.closed = true
	if f.timer != nil {
		f.timer.Stop()
	}
	f.mu.Unlock()
	f.end()
}

// summing is a handler that leaves lines of floods out.
type summing struct {
	slog.Handler
	floods *floods
}

// Handle implements slog.Handler.
func (s *summing) Handle(ctx context.Context, r slog.Record) error {
	if !s.floods.takes(s.Handler, &r) {
		return nil
	}
	return s.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (s *summing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &summing{s.Handler.WithAttrs(attrs), s.floods}
}

// WithGroup implements slog.Handler.
func (s *summing) WithGroup(name string) slog.Handler {
	return &summing{s.Handler.WithGroup(name), s.floods}
}

package dispatch

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"
	"sync/atomic"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// pageBytes is how much content is read from the store at a time by a cursor
// that is behind the tail. It is also what one write can take.
const pageBytes = 64 << 10

// Receipt says that something this connection sent is stored: its entry's form
// on the connection that sent it.
type Receipt struct {
	Seq       uint64
	Time      int64 // milliseconds since 1970 UTC
	ID        string
	Ref       string // what the front end gave with the send
	HasRef    bool
	Duplicate bool
	Size      int // bytes of the content
}

// Segment is what comes next on a subscription: shared frames, or a receipt.
// The zero Segment says that nothing is waiting.
type Segment struct {
	// Frames are encoded entries, one behind the other. They are shared by all
	// readers, must not be changed and are valid until the next call of Next or
	// Unpin. The caller says with Advance how much of them was taken over.
	Frames  []byte
	Receipt *Receipt
}

// Subscription is a cursor: one connection's place in the log of one room.
//
// Next, Advance, Unpin and Seq belong to the connection's write step: one
// goroutine at a time. All other methods may be called from any.
type Subscription struct {
	room   *Room
	member Member
	tail   *tail
	name   kaban.Username
	index  int // in room.members; guarded by room.mu

	signalled   atomic.Bool  // Ready was called and Next has not begun since
	left        atomic.Bool  // Leave was called: nothing is given any more
	outstanding atomic.Int64 // sends whose receipt has not been taken

	receiptCount atomic.Int64 // len(receipts)
	mu           sync.Mutex
	receipts     []Receipt // ascending by Seq

	// Owned by the write step.
	seq    uint64 // everything up to here was given
	at     position
	flight flight
}

// flight is what Next has lent.
type flight struct {
	marks []mark
	base  uint64
	start uint32 // the offset of the frames' first byte in what marks count
	page  *page  // where the frames are, unless they are the tail's
}

// page holds encoded entries that were read from the store.
type page struct {
	bytes []byte
	marks []mark
}

var pages = sync.Pool{New: func() any { return new(page) }}

// Room returns the room that is subscribed to.
func (s *Subscription) Room() *Room { return s.room }

// Seq returns the sequence number up to which everything was given.
func (s *Subscription) Seq() uint64 { return s.seq }

// Outstanding returns how many sends wait for their receipt or refusal.
func (s *Subscription) Outstanding() int { return int(s.outstanding.Load()) }

// Start lets the subscription announce itself with Ready, once at once. Until
// then nothing is announced, so that the front end can say first that the room
// was joined.
func (s *Subscription) Start() {
	s.signalled.Store(false)
	s.signal()
}

// signal tells the member that there may be something new.
func (s *Subscription) signal() {
	if !s.signalled.Load() && s.signalled.CompareAndSwap(false, true) {
		s.member.Ready(s)
	}
}

// settle adds a receipt. The committer calls it before the entry is published,
// so that whoever sees the entry sees the receipt.
func (s *Subscription) settle(r Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := len(s.receipts)
	for i > 0 && s.receipts[i-1].Seq > r.Seq { // only a duplicate is older than what waits
		i--
	}
	s.receipts = slices.Insert(s.receipts, i, r)
	s.receiptCount.Store(int64(len(s.receipts)))
}

// takeReceipt removes the first receipt, which the caller has seen. What it
// returns is not written again: the list only ever moves away from it.
func (s *Subscription) takeReceipt() *Receipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.receipts[0]
	s.receipts = s.receipts[1:]
	if len(s.receipts) == 0 {
		s.receipts = nil
	}
	s.receiptCount.Store(int64(len(s.receipts)))
	s.outstanding.Add(-1)
	return r
}

// Next returns what comes next: everything that is published, in order, each
// sequence number once, what this connection sent itself as a receipt in its
// place. It reads from the store when the cursor is behind the tail.
//
// When the log no longer has the next entry it returns a *ResyncError, once,
// and goes on at the head.
func (s *Subscription) Next(ctx context.Context) (Segment, error) {
	s.signalled.Store(false)
	s.release()
	if s.left.Load() {
		return Segment{}, nil
	}
	// The head is read before the receipts: an entry below it that is our own
	// has its receipt waiting by now.
	limit := s.room.head.Load()
	var own uint64
	if s.receiptCount.Load() > 0 {
		s.mu.Lock()
		first := s.receipts[0]
		s.mu.Unlock()
		switch {
		case first.Seq <= s.seq:
			return Segment{Receipt: s.takeReceipt()}, nil
		case first.Duplicate: // the entry itself comes first, as a message
			limit = min(limit, first.Seq)
		case first.Seq <= limit:
			own, limit = first.Seq, first.Seq-1
		}
	}
	frames, err := s.frames(ctx, limit)
	if err != nil || frames != nil {
		return Segment{Frames: frames}, err
	}
	if own != 0 && own == s.seq+1 {
		s.skip()
		return Segment{Receipt: s.takeReceipt()}, nil
	}
	return Segment{}, nil
}

// frames returns what there is behind the cursor up to the limit.
func (s *Subscription) frames(ctx context.Context, limit uint64) ([]byte, error) {
	for {
		if !s.locate() {
			return s.readPage(ctx, limit)
		}
		c := s.at.chunk
		published := c.published.Load()
		if s.at.index < published {
			return s.cut(published, limit), nil
		}
		next := c.next.Load()
		switch {
		case next == nil:
			return nil, nil
		case c.published.Load() != published: // filled up between the two loads
		case next == dropped:
			s.at = position{}
		default:
			s.at = position{chunk: next, number: next.number}
		}
	}
}

// locate makes sure that the cursor has its place in the tail, or returns
// false when it is behind the tail.
func (s *Subscription) locate() bool {
	if s.at.chunk != nil {
		return true
	}
	ok := false
	if s.at.number != 0 {
		s.at, ok = s.tail.find(s.at)
	}
	if !ok {
		s.at, ok = s.tail.seek(s.seq)
	}
	return ok
}

// cut returns the frames of the chunk from the cursor to the published count,
// or to the last entry that is not beyond the limit.
func (s *Subscription) cut(published uint32, limit uint64) []byte {
	c, from := s.at.chunk, s.at.index
	to := published
	if c.base+uint64(c.marks[to-1].seq) > limit {
		to = from + uint32(sort.Search(int(published-from), func(i int) bool {
			return c.base+uint64(c.marks[int(from)+i].seq) > limit
		}))
	}
	if to == from {
		return nil
	}
	var start uint32
	if from > 0 {
		start = c.marks[from-1].end
	}
	s.flight = flight{marks: c.marks[from:to], base: c.base, start: start}
	return c.bytes[start:c.marks[to-1].end]
}

// skip moves the cursor over the next entry, which is given in another form.
func (s *Subscription) skip() {
	s.seq++
	if c := s.at.chunk; c != nil && s.at.index < c.published.Load() && c.base+uint64(c.marks[s.at.index].seq) == s.seq {
		s.at.index++
		return
	}
	s.at, _ = s.tail.seek(s.seq)
}

// readPage returns entries that the tail no longer has, from the store.
func (s *Subscription) readPage(ctx context.Context, limit uint64) ([]byte, error) {
	if s.seq >= limit {
		return nil, nil
	}
	entries, err := s.room.store.Read(ctx, s.room.name, store.Page{
		After: s.seq, Before: limit + 1, Limit: s.room.pageEntries, Bytes: pageBytes,
	})
	if err != nil {
		return nil, fmt.Errorf("read %s after %d: %w", s.room.name, s.seq, err)
	}
	if len(entries) == 0 || entries[0].Seq != s.seq+1 {
		return nil, s.resync(ctx)
	}
	failpoint.Point("replay.page")
	p := pages.Get().(*page)
	p.bytes, p.marks = p.bytes[:0], p.marks[:0]
	for i := range entries {
		p.bytes = s.tail.format.AppendEntry(p.bytes, s.room.name.String(), &entries[i])
		p.marks = append(p.marks, mark{end: uint32(len(p.bytes)), seq: uint32(i + 1)})
	}
	s.flight = flight{marks: p.marks, base: s.seq, page: p}
	return p.bytes, nil
}

// resync moves a cursor whose next entry is gone to the head.
func (s *Subscription) resync(ctx context.Context) error {
	state, err := s.room.store.Room(ctx, s.room.name)
	if err != nil {
		return fmt.Errorf("state of %s: %w", s.room.name, err)
	}
	s.seq, s.at = s.room.head.Load(), position{}
	return &ResyncError{Room: s.room.name, Epoch: s.room.epoch, Head: s.seq, Oldest: state.Oldest}
}

// Advance says that n bytes of the frames that Next returned were taken over.
// The cursor always stands between entries: when the last byte is within an
// entry, the entry counts as given, and Advance returns how many of the bytes
// that follow the n are the rest of it, which the caller still has to deliver.
func (s *Subscription) Advance(n int) (rest int) {
	if n == 0 {
		return 0
	}
	f := &s.flight
	target := f.start + uint32(n)
	i := len(f.marks) - 1
	if f.marks[i].end != target {
		i = sort.Search(len(f.marks), func(i int) bool { return f.marks[i].end >= target })
	}
	s.seq = f.base + uint64(f.marks[i].seq)
	if f.page == nil {
		s.at.index += uint32(i) + 1
	}
	return int(f.marks[i].end - target)
}

// release takes back what Next lent.
func (s *Subscription) release() {
	if p := s.flight.page; p != nil && cap(p.bytes) <= 4*pageBytes {
		pages.Put(p)
	}
	s.flight = flight{}
}

// Unpin lets go of all memory that is not the cursor itself, while the
// connection cannot take more: a reader that has stalled costs nothing but its
// place. The frames of the last Segment are not valid after it.
func (s *Subscription) Unpin() {
	s.release()
	s.at.chunk = nil
}

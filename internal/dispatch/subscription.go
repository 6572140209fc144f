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

// Receipt says how something that this connection sent has ended. When it is
// stored that is its entry's form on the connection that sent it.
type Receipt struct {
	Seq       uint64
	Time      int64 // milliseconds since 1970 UTC
	ID        string
	Ref       string // what the front end gave with the send
	HasRef    bool
	Duplicate bool
	Size      int // bytes of the content
	// Err, if not nil, is why it was not stored: store.ErrIDConflict,
	// store.ErrFull, ErrClosed or another error of the store. Seq and Time are 0.
	Err error
}

// Segment is what comes next on a subscription: shared frames, or a receipt,
// or that the cursor is behind the tail. The zero Segment says that nothing is
// waiting.
type Segment struct {
	// Frames are encoded entries, one behind the other. They are shared by all
	// readers, must not be changed and are valid until the next call of Next or
	// Unpin. The caller says with Advance how much of them was taken over.
	Frames  []byte
	Receipt *Receipt
	// Behind says that Fetch has to read what comes next from the store.
	Behind bool
	// Cut says that a receipt comes right behind the frames: who gathers them both
	// saves a write.
	Cut bool

	marks []mark // of the frames
	base  uint64
	start uint32 // the offset of the frames' first byte in what marks count
}

// Subscription is a cursor: one connection's place in the log of one room.
//
// Its methods belong to the waker's goroutine. Fetch alone may run in another,
// while none of the others is called but Room, Member and Outstanding.
type Subscription struct {
	audience *Audience
	member   any
	tail     *tail
	name     kaban.Username

	receipts    atomic.Pointer[receiptQueue] // nil until the first
	outstanding int32                        // sends whose receipt was not taken
	index       int32                        // in audience.members; guarded by Room.mu
	left        bool                         // Leave was called: nothing is given any more
	watches     bool                         // is no member

	// Marked is the waker's, to note that it knows already.
	Marked bool

	seq   uint64 // everything up to here was given
	cut   uint32 // bytes that were given of the entry behind seq
	at    position
	page  *page // what Fetch has read, from seq on
	pages uint8 // that Fetch has read in a row
}

// firstPage is how many entries Fetch reads at first, and pageGrowth by how much
// more each time: who takes a little now and then is not read much for in vain.
const (
	firstPage  = 32
	pageGrowth = 4
)

// sent is what became of what was sent through a subscription.
type receiptQueue struct {
	count atomic.Int32 // receipts that wait

	mu       sync.Mutex // guards receipts and first
	receipts []Receipt  // ascending by Seq, refusals in front
	first    int        // those before were taken

	taken Receipt // the waker's: what Next has given last
}

// maxIdleReceipts is how many receipts the list has room for while none waits.
const maxIdleReceipts = 4

// page holds encoded entries that were read from the store.
type page struct {
	bytes []byte
	marks []mark
	base  uint64 // the number before the first entry
}

var pages = sync.Pool{New: func() any { return new(page) }}

// Room returns the room that is subscribed to.
func (s *Subscription) Room() *Room { return s.audience.room }

// Member returns what Join was given.
func (s *Subscription) Member() any { return s.member }

// Seq returns the sequence number up to which everything was given.
func (s *Subscription) Seq() uint64 { return s.seq }

// Outstanding returns how many sends wait for their receipt.
func (s *Subscription) Outstanding() int { return int(s.outstanding) }

// addReceipt adds a receipt. The committer calls it before the entry is published,
// so that whoever sees the entry sees the receipt.
func (s *Subscription) addReceipt(r Receipt) {
	o := s.receipts.Load()
	for o == nil {
		s.receipts.CompareAndSwap(nil, new(receiptQueue))
		o = s.receipts.Load()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	i := len(o.receipts)
	for i > o.first && o.receipts[i-1].Seq > r.Seq { // only a duplicate or a refusal is older than what waits
		i--
	}
	o.receipts = slices.Insert(o.receipts, i, r)
	o.count.Store(int32(len(o.receipts) - o.first))
}

// peek returns the number of the first receipt and whether it is a duplicate's.
func (s *Subscription) peek() (seq uint64, duplicate, ok bool) {
	o := s.receipts.Load()
	if o == nil || o.count.Load() == 0 {
		return 0, false, false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	first := &o.receipts[o.first]
	return first.Seq, first.Duplicate, true
}

// take removes the first receipt, which is there. It is valid until the next
// one is taken.
func (s *Subscription) take() *Receipt {
	o := s.receipts.Load()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken = o.receipts[o.first]
	o.receipts[o.first] = Receipt{}
	if o.first++; o.first == len(o.receipts) {
		o.receipts, o.first = o.receipts[:0], 0
		if cap(o.receipts) > maxIdleReceipts {
			o.receipts = nil
		}
	}
	o.count.Store(int32(len(o.receipts) - o.first))
	s.outstanding--
	return &o.taken
}

// limit returns up to which number entries can be given as frames, and the
// number of the next own entry, which then comes as a receipt, or 0.
func (s *Subscription) limit() (limit, own uint64, due bool) {
	if s.cut > 0 { // the rest of an entry comes before anything else
		return s.seq + 1, 0, false
	}
	// The head is read before the receipts: an entry below it that is our own
	// has its receipt waiting by now.
	limit = s.audience.room.head.Load()
	first, duplicate, ok := s.peek()
	switch {
	case !ok:
	case first <= s.seq:
		return limit, 0, true
	case duplicate: // the entry itself comes first, as a message
		limit = min(limit, first)
	case first <= limit:
		own, limit = first, first-1
	}
	return limit, own, false
}

// Next returns what comes next: everything that is published, in order, each
// sequence number once, what this connection sent itself as a receipt in its
// place. It never blocks.
func (s *Subscription) Next() Segment {
	if s.left {
		s.Unpin()
		return Segment{}
	}
	if p := s.page; p != nil {
		if p.base == s.seq {
			return Segment{Frames: p.bytes[s.cut:], marks: p.marks, base: p.base, start: s.cut}
		}
		s.release()
	}
	limit, own, due := s.limit()
	if due {
		return Segment{Receipt: s.take()}
	}
	if limit < s.seq { // the cursor comes from another node, which has published more
		return Segment{}
	}
	segment := s.frames(limit)
	if segment.Frames == nil && !segment.Behind && own != 0 && own == s.seq+1 {
		s.skip()
		return Segment{Receipt: s.take()}
	}
	return segment
}

// frames returns what the tail has behind the cursor up to the limit.
func (s *Subscription) frames(limit uint64) Segment {
	for {
		if !s.locate() {
			return Segment{Behind: s.seq < limit}
		}
		c := s.at.chunk
		published := c.published.Load()
		if s.at.index < published {
			return s.stretch(published, limit)
		}
		next := c.next.Load()
		switch {
		case next == nil:
			return Segment{}
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
		if s.at, ok = s.tail.find(s.at, s.seq); ok {
			return true
		}
	}
	s.at, ok = s.tail.seek(s.seq)
	return ok
}

// stretch returns the frames of the chunk from the cursor to the published count,
// or to the last entry that is not beyond the limit.
func (s *Subscription) stretch(published uint32, limit uint64) Segment {
	c, from := s.at.chunk, s.at.index
	to := published
	if c.base+uint64(c.marks[to-1].seq) > limit {
		to = from + uint32(sort.Search(int(published-from), func(i int) bool {
			return c.base+uint64(c.marks[int(from)+i].seq) > limit
		}))
	}
	if to == from {
		return Segment{}
	}
	var start uint32
	if from > 0 {
		start = c.marks[from-1].end
	}
	start += s.cut
	return Segment{Frames: c.bytes[start:c.marks[to-1].end], Cut: to < published, marks: c.marks[from:to], base: c.base, start: start}
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

// Fetch reads from the store what comes next on a cursor that is behind the
// tail; Next gives it then. It may block as long as the store does. When the log
// no longer has the next entry it returns a *ResyncError, and the cursor goes on
// at the head.
func (s *Subscription) Fetch(ctx context.Context) error {
	s.release()
	limit, _, due := s.limit()
	if due || s.seq >= limit {
		return nil
	}
	r := s.audience.room
	entries, damage, passed, err := readPast(ctx, r.store, r.name, store.Page{
		After: s.seq, Before: limit + 1, Limit: s.nextPage(), Bytes: pageBytes,
	})
	if err != nil {
		return fmt.Errorf("read %s after %d: %w", r.name, s.seq, err)
	}
	if damage != nil {
		return s.resync(ctx, passed, damage)
	}
	if len(entries) == 0 || entries[0].Seq != s.seq+1 {
		return s.resync(ctx, r.head.Load(), nil)
	}
	failpoint.Point("replay.page")
	p := pages.Get().(*page)
	p.bytes, p.marks, p.base = p.bytes[:0], p.marks[:0], s.seq
	for i := range entries {
		p.bytes = s.tail.format.AppendEntry(p.bytes, r.name.String(), &entries[i])
		p.marks = append(p.marks, mark{end: uint32(len(p.bytes)), seq: uint32(i + 1)})
	}
	s.page = p
	return nil
}

// nextPage returns how many entries to read.
func (s *Subscription) nextPage() int {
	size := firstPage
	for range s.pages {
		if size *= pageGrowth; size >= s.audience.room.pageEntries {
			return s.audience.room.pageEntries
		}
	}
	s.pages++
	return min(size, s.audience.room.pageEntries)
}

// resync moves a cursor whose next entry is gone, or damaged, to where it goes on.
func (s *Subscription) resync(ctx context.Context, seq uint64, damage *store.DamagedError) error {
	r := s.audience.room
	state, err := r.store.Room(ctx, r.name)
	if err != nil {
		return fmt.Errorf("state of %s: %w", r.name, err)
	}
	s.seq, s.cut, s.at = seq, 0, position{}
	return &ResyncError{Room: r.name, Epoch: r.epoch, Head: seq, Oldest: state.Oldest, Damaged: damage}
}

// Advance says that n bytes of the frames of a segment were taken over. The
// cursor stands between entries: of an entry whose end was not taken Next gives
// the rest, and nothing may come before it (IsCut). A frame that is no entry
// cannot be given again: then Advance returns how many of the bytes that follow
// the n are the rest of it, which the caller has to keep and deliver.
func (s *Subscription) Advance(segment *Segment, n int) (rest int) {
	if n == 0 {
		return 0
	}
	marks := segment.marks
	target := segment.start + uint32(n)
	i := len(marks) - 1
	if marks[i].end != target {
		i = sort.Search(len(marks), func(i int) bool { return marks[i].end >= target })
	}
	begin, before := segment.start-s.cut, s.seq // of the frame with the last byte that was taken
	if i > 0 {
		begin, before = marks[i-1].end, segment.base+uint64(marks[i-1].seq)
	}
	after := segment.base + uint64(marks[i].seq)
	if rest = int(marks[i].end - target); rest > 0 && after > before {
		s.move(before, i)
		s.cut = target - begin
		return 0
	}
	s.move(after, i+1)
	return rest
}

// move moves the cursor over frames of a segment.
func (s *Subscription) move(seq uint64, frames int) {
	s.seq, s.cut = seq, 0
	if s.page == nil {
		s.at.index += uint32(frames)
	}
}

// IsCut reports whether the last entry was given in part only.
func (s *Subscription) IsCut() bool { return s.cut > 0 }

// release gives back the page.
func (s *Subscription) release() {
	if p := s.page; p != nil {
		s.page = nil
		if cap(p.bytes) <= 4*pageBytes {
			pages.Put(p)
		}
	}
}

// Unpin lets go of all memory that is not the cursor itself. The frames of the
// last Segment are not valid after it.
func (s *Subscription) Unpin() {
	s.release()
	s.at.chunk = nil
	s.pages = 0
}

// Rest says that the connection cannot take more for now. It costs nothing but
// its place until Rise: neither memory nor the time to tell it of what is new.
func (s *Subscription) Rest() {
	s.Unpin()
	a := s.audience
	a.room.mu.Lock()
	defer a.room.mu.Unlock()
	if s.index >= 0 && int(s.index) < a.awake {
		a.awake--
		a.swap(s.index, int32(a.awake))
	}
}

// Rise ends a rest. Nobody tells of what came in the meantime.
func (s *Subscription) Rise() {
	a := s.audience
	a.room.mu.Lock()
	defer a.room.mu.Unlock()
	if int(s.index) >= a.awake {
		a.swap(s.index, int32(a.awake))
		a.awake++
	}
}

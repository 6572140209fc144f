package dispatch

import (
	"hash/crc32"
	"sort"
	"sync/atomic"

	"kaban"
)

// Segment is the next thing on a subscription: shared frames, or a receipt, or
// that the cursor is behind the tail, or that the subscription was ended. The zero Segment means that there is nothing.
type Segment struct {
	// Frames are encoded entries, back to back. They are shared by all readers, must
	// not be changed and are valid until the next call of Next or Unpin. The caller
	// reports with Advance how much of them it has taken.
	Frames  []byte
	Receipt *Receipt
	// Behind is set if Fetch must read the next entries from the store.
	Behind bool
	// Expelled is set when the subscription has ended and nothing comes any more.
	Expelled *Expulsion
	// ReceiptFollows is set if a receipt comes right after the frames. A caller that
	// gathers both saves a write.
	ReceiptFollows bool

	typing *typists // of which the frames are; nil for entries and presence

	marks []mark // of the frames
	base  uint64
	start uint32 // the offset of the frames' first byte, as marks count
}

// Subscription is a cursor: one connection's position in the log of one room.
//
// Its methods belong to the waker's goroutine. Only Fetch may run in another, and
// meanwhile only Room, Member and Outstanding may be called.
type Subscription struct {
	audience *Audience
	member   any
	tail     *tail
	user     *kaban.Peer // the zero value is an anonymous reader

	receipts    atomic.Pointer[receiptQueue] // nil until the first
	outstanding int32                        // sends whose receipt was not taken yet
	index       int32                        // in audience.members; guarded by Room.mu
	expelled    atomic.Pointer[Expulsion]    // nil unless it must leave
	rights      atomic.Pointer[Rights]       // nil until the first decision
	typing      *typists                     // that were given last

	from    uint64 // the first entry that the reader may see; 0: all
	seq     uint64 // everything up to here was given
	at      position
	page    *page  // read by Fetch, from seq on
	partial uint32 // bytes that were given of the entry after seq
	sum     uint32 // of these bytes
	pages   uint8  // read by Fetch in a row
	attempt uint8  // of the client to send what failed, counted by begin
	left    bool   // Leave was called: Next returns nothing
	watches bool   // is not a member
	// Marked belongs to the waker, which may set it for a subscription that it has
	// noted already.
	Marked  bool
	counted bool // counts as a member; guarded by Room.mu
}

// IsNew reports whether the subscription has never begun. Only such a one may be Place.Memory:
// others may know a subscription for a while after it has ended.
func (s *Subscription) IsNew() bool { return s.audience == nil }

// Room returns the room of the subscription.
func (s *Subscription) Room() *Room { return s.audience.room }

// Watches reports whether this is a read-only subscription, which is no membership.
func (s *Subscription) Watches() bool { return s.watches }

// Member returns the member that Join was given.
func (s *Subscription) Member() any { return s.member }

// Reader returns whom the subscription belongs to. Anybody may call it.
func (s *Subscription) Reader() Reader { return Reader{s.user, s.watches} }

// Seq returns the sequence number up to which everything was given.
func (s *Subscription) Seq() uint64 { return s.seq }

// Outstanding returns the number of sends whose receipt Next has not returned.
func (s *Subscription) Outstanding() int { return int(s.outstanding) }

// limit returns the last seq that may be given as a frame now, and the seq of the
// connection's own entry that comes as a receipt after it, or 0. due is set if a
// receipt comes before anything else.
func (s *Subscription) limit() (limit, own uint64, due bool) {
	if s.partial > 0 { // the rest of an entry comes before anything else
		return s.seq + 1, 0, false
	}
	// The head is read before the receipts: of every own entry up to it the receipt
	// is queued by now.
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

// Next returns the next of everything that is published, in order, each sequence
// number once: as a frame, or as a receipt if this connection sent the entry. It
// never blocks.
func (s *Subscription) Next() Segment {
	if s.left {
		s.Unpin()
		return Segment{}
	}
	if e := s.expelled.Load(); e != nil {
		return s.nextExpelled(e)
	}
	if now := s.audience.room.shown.Load(); now != nil && now != s.typing {
		return s.nextEntryOrTyping()
	}
	return s.nextEntry()
}

// nextEntryOrTyping is nextEntry, and those that are typing behind the entries. They are
// looked at after the head: whoever has sent the last entry is not typing any more.
func (s *Subscription) nextEntryOrTyping() Segment {
	segment := s.nextEntry()
	if !segment.isNone() || s.partial > 0 {
		return segment
	}
	return s.nextTyping(s.audience.room.shown.Load())
}

// isNone reports whether the segment of an entry or a receipt has nothing.
func (g *Segment) isNone() bool { return g.Frames == nil && g.Receipt == nil && !g.Behind }

// nextEntry is Next for a subscription that goes on.
func (s *Subscription) nextEntry() Segment {
	if p := s.page; p != nil {
		if p.base == s.seq {
			return Segment{Frames: p.bytes[s.partial:], marks: p.marks, base: p.base, start: s.partial}
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
		s.passOwn()
		return Segment{Receipt: s.take()}
	}
	return segment
}

// frames returns what the tail has after the cursor, up to the limit.
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

// locate finds the cursor's position in the tail, or returns false if the cursor is
// behind the tail.
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
// or to the last entry within the limit. The frames are those of all readers: one that may
// not see what an entry changes gets it from Fetch.
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
	if s.from > 0 {
		if to = from + s.visible(c, c.marks[from:to]); to == from {
			s.at = position{} // it is looked for again behind the page
			return Segment{Behind: true}
		}
	}
	var start uint32
	if from > 0 {
		start = c.marks[from-1].end
	}
	if !s.continues(c.bytes[start:c.marks[from].end]) { // the first part was of another version, from the store
		s.at = position{}
		return Segment{Behind: true}
	}
	start += s.partial
	return Segment{Frames: c.bytes[start:c.marks[to-1].end], ReceiptFollows: to < published, marks: c.marks[from:to], base: c.base, start: start}
}

// continues reports whether a frame begins with what was given of the next entry.
func (s *Subscription) continues(frame []byte) bool {
	return s.partial == 0 || int(s.partial) < len(frame) && crc32.Checksum(frame[:s.partial], castagnoli) == s.sum
}

// visible returns how many frames of a chunk come before the first that the reader may
// not see.
func (s *Subscription) visible(c *chunk, marks []mark) uint32 {
	for i := range marks {
		if marks[i].isBefore(c.base+uint64(marks[i].seq), s.from) {
			return uint32(i)
		}
	}
	return uint32(len(marks))
}

// passOwn moves the cursor over the next entry, which comes as a receipt.
func (s *Subscription) passOwn() {
	s.seq++
	if c := s.at.chunk; c != nil && s.at.index < c.published.Load() && c.base+uint64(c.marks[s.at.index].seq) == s.seq {
		s.at.index++
		return
	}
	s.at, _ = s.tail.seek(s.seq)
}

// Advance moves the cursor over the n bytes of a segment's frames that the caller
// has taken. The cursor stands between entries: if the end of an entry was not
// taken, Next returns the rest of it, and nothing may come before that (IsMidEntry). A
// frame that is not an entry cannot be read again: then Advance returns how many of
// the bytes after the n are the rest of it, which the caller must keep and deliver.
func (s *Subscription) Advance(segment *Segment, n int) (rest int) {
	if n == 0 {
		return 0
	}
	if segment.typing != nil {
		s.typing = segment.typing
		return len(segment.Frames) - n
	}
	marks := segment.marks
	target := segment.start + uint32(n)
	i := len(marks) - 1
	if marks[i].end != target {
		i = sort.Search(len(marks), func(i int) bool { return marks[i].end >= target })
	}
	begin, before := segment.start-s.partial, s.seq // of the frame with the last byte that was taken
	if i > 0 {
		begin, before = marks[i-1].end, segment.base+uint64(marks[i-1].seq)
	}
	after := segment.base + uint64(marks[i].seq)
	if rest = int(marks[i].end - target); rest > 0 && after > before {
		given := segment.Frames[max(begin, segment.start)-segment.start : n]
		sum := crc32.Update(0, castagnoli, given)
		if begin < segment.start {
			sum = crc32.Update(s.sum, castagnoli, given)
		}
		s.move(before, i)
		s.partial, s.sum = target-begin, sum
		return 0
	}
	s.move(after, i+1)
	return rest
}

// move moves the cursor to seq, over a number of frames of a segment.
func (s *Subscription) move(seq uint64, frames int) {
	s.seq, s.partial = seq, 0
	if s.page == nil {
		s.at.index += uint32(frames)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// IsMidEntry reports whether only a part of an entry was given.
func (s *Subscription) IsMidEntry() bool { return s.partial > 0 }

// Unpin releases all memory but the cursor itself. The frames of the last Segment
// are not valid after it.
func (s *Subscription) Unpin() {
	s.release()
	s.at.chunk = nil
	s.pages = 0
}

// Rest notes that the connection cannot take more for now. Until Rise the
// subscription is not among those that a Wake is about and holds no memory.
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

// Rise ends a rest. What came in the meantime is not announced.
func (s *Subscription) Rise() {
	a := s.audience
	a.room.mu.Lock()
	defer a.room.mu.Unlock()
	if int(s.index) >= a.awake {
		a.swap(s.index, int32(a.awake))
		a.awake++
	}
}

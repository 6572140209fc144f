package dispatch

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Receipt is the outcome of a send. On the connection that sent an entry it takes
// the entry's place in the order of the log.
type Receipt struct {
	Seq       uint64
	Time      int64 // milliseconds since 1970 UTC
	ID        string
	Ref       string // from the Send
	HasRef    bool
	Duplicate bool
	Size      int // bytes of the content and the files
	// Err, if not nil, is the reason it was not stored: store.ErrIDConflict,
	// store.ErrFull, ErrClosed or another error of the store. Then Seq and Time are
	// 0.
	Err error
}

// receiptQueue holds the receipts that a subscription has not been given yet.
type receiptQueue struct {
	count atomic.Int32 // queued receipts

	mu       sync.Mutex // guards receipts and first
	receipts []Receipt  // ascending by Seq, refusals first
	first    int        // the receipts before this one were taken

	taken Receipt // owned by the waker: the last that Next returned

	stopped atomic.Pointer[stop] // nil until a send fails
}

// maxIdleReceipts is the capacity that an empty queue keeps.
const maxIdleReceipts = 4

// addReceipt queues a receipt. The committer calls it before it publishes the
// entry, so that a write step that sees the entry also sees the receipt.
func (s *Subscription) addReceipt(r Receipt) {
	q := s.receiptQueue()
	q.mu.Lock()
	defer q.mu.Unlock()
	i := len(q.receipts)
	for i > q.first && q.receipts[i-1].Seq > r.Seq { // only duplicates and refusals arrive out of order
		i--
	}
	q.receipts = slices.Insert(q.receipts, i, r)
	q.count.Store(int32(len(q.receipts) - q.first))
}

// receiptQueue returns the queue, and makes it if there is none.
func (s *Subscription) receiptQueue() *receiptQueue {
	q := s.receipts.Load()
	for q == nil {
		s.receipts.CompareAndSwap(nil, new(receiptQueue))
		q = s.receipts.Load()
	}
	return q
}

// peek returns the number of the first receipt and whether it is a duplicate's.
func (s *Subscription) peek() (seq uint64, duplicate, ok bool) {
	q := s.receipts.Load()
	if q == nil || q.count.Load() == 0 {
		return 0, false, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	first := &q.receipts[q.first]
	return first.Seq, first.Duplicate, true
}

// take removes the first receipt. There must be one. It is valid until the next
// is taken.
func (s *Subscription) take() *Receipt {
	q := s.receipts.Load()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.taken = q.receipts[q.first]
	q.receipts[q.first] = Receipt{}
	if q.first++; q.first == len(q.receipts) {
		q.receipts, q.first = q.receipts[:0], 0
		if cap(q.receipts) > maxIdleReceipts {
			q.receipts = nil
		}
	}
	q.count.Store(int32(len(q.receipts) - q.first))
	s.outstanding--
	return &q.taken
}

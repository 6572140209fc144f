// Package bus is the contract for how nodes tell each other what has grown, and the
// encoding of what they say (Hint).
//
// The store is the truth, and a bus carries hints about it: that a room has new
// entries, which they are if they are few, and that the rights in a room have
// changed. A bus promises nothing. A hint may come late, twice, out of order or
// never; whoever receives it compares it with what it knows and asks the store when
// in doubt. So a bus that is away makes news late and nothing wrong.
//
// The entries in a hint are shown without asking the store. Therefore a driver gives its
// receiver only hints of nodes that know the secret of the cluster (Key), or of this
// process.
//
// Drivers live in folders of their own and prove themselves with package bustest.
package bus

import "errors"

// Errors that callers distinguish with errors.Is.
var (
	// ErrClosed means that the bus was closed.
	ErrClosed = errors.New("the bus is closed")
	// ErrSubscribed means that the bus has a receiver already.
	ErrSubscribed = errors.New("the bus has a receiver already")
)

// Loss is why hints may have been lost.
type Loss uint8

// The reasons. Each is the label of a metric.
const (
	// Connected means that the bus works from now on, after a start without it or after
	// it was away.
	Connected Loss = iota + 1
	// Slow means that hints came faster than the receiver took them.
	Slow
)

// String returns the label of the reason.
func (l Loss) String() string {
	switch l {
	case Connected:
		return "connected"
	case Slow:
		return "slow"
	}
	return "unknown"
}

// Receiver takes what other nodes say. Its methods must not block; they may be called
// from several goroutines, but never concurrently for one shard.
type Receiver interface {
	// Hint is called with a hint of another node. The receiver may keep it.
	Hint(h *Hint)
	// Said is called with a message of another node. The receiver may keep it. It is not called
	// concurrently with itself.
	Said(m Message)
	// Lost is called when hints may have been lost: the receiver has to compare its heads
	// with those of the store.
	Lost(why Loss)
}

// Bus carries hints between nodes. All methods are safe for concurrent use.
type Bus interface {
	// Publish gives a hint to all other nodes. It never waits: a hint that cannot be sent
	// at once, or queued within the bounds of the driver, is dropped and counted. The
	// bus does not keep the hint, nor its entries.
	Publish(h *Hint)
	// Say gives a message to all other nodes, as Publish does a hint. It counts as one.
	Say(m Message)
	// Subscribe sets the receiver of the hints of other nodes, once. It does not wait until
	// the bus works; the receiver learns that by Lost. It returns ErrSubscribed and
	// ErrClosed.
	Subscribe(r Receiver) error
	// Stats returns what the bus has counted. It waits for nothing.
	Stats() Stats
	// Close ends the bus. When it has returned, the receiver is not called any more. What
	// was published before may be lost. Further calls do nothing.
	Close() error
}

// Stats are what a bus has counted since its start, and how it is now.
type Stats struct {
	Published uint64 // hints that were handed to the network, or to other handles
	Dropped   uint64 // hints that were not, because the bus was away or full
	Received  uint64 // hints that the receiver was given
	Forged    uint64 // hints that do not have the seal of the cluster
	Malformed uint64 // hints that cannot be read
	Slow      uint64 // times that the receiver has lost hints because it was slow
	Connects  uint64 // times that the bus was connected, the first included
	Connected bool   // it is connected now
}

package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"kaban"
)

// Limits of a document.
const (
	MaxKey   = 1024      // bytes
	MaxValue = 256 << 10 // bytes
)

// Errors of transactions that callers distinguish with errors.Is.
var (
	// ErrReadOnly means that a transaction of View tried to write.
	ErrReadOnly = errors.New("the transaction only reads")
	// ErrStale means that the rights of the room have changed since the revision
	// that a write relies on. Nothing of that write is stored.
	ErrStale = errors.New("the rights in the room have changed")
	// ErrTooBig means that a key or a value exceeds its limit.
	ErrTooBig = errors.New("the document is too big")
)

// Document is one piece of state beside the logs, such as an account or a membership.
type Document struct {
	Key   string // not empty; valid UTF-8 without NUL
	Value []byte
}

// Check returns nil if a store keeps the document. If it is longer than a limit, the
// error is ErrTooBig.
func (d *Document) Check() error {
	switch {
	case d.Key == "" || !utf8.ValidString(d.Key) || strings.Contains(d.Key, "\x00"):
		return fmt.Errorf("%.100q is no key of a document", d.Key)
	case len(d.Key) > MaxKey:
		return fmt.Errorf("%w: its key has %d bytes, and the limit is %d", ErrTooBig, len(d.Key), MaxKey)
	case d.Value == nil:
		return fmt.Errorf("the document %q has no value", d.Key)
	case len(d.Value) > MaxValue:
		return fmt.Errorf("%w: %q has %d bytes, and the limit is %d", ErrTooBig, d.Key, len(d.Value), MaxValue)
	}
	return nil
}

// CheckLimit returns nil if a Scan may have a limit.
func CheckLimit(limit int) error {
	if limit <= 0 {
		return fmt.Errorf("the limit of a scan is %d, but it must be positive", limit)
	}
	return nil
}

// DocumentError names a document that cannot be read back as it was written. It concerns
// one call; other documents stay readable.
type DocumentError struct {
	Key string // as stored, which may be damaged, too
	Err error  // the cause
}

func (e *DocumentError) Error() string {
	return fmt.Sprintf("the document %q is damaged: %v", e.Key, e.Err)
}

// Unwrap makes every DocumentError an ErrDamaged.
func (e *DocumentError) Unwrap() error { return ErrDamaged }

// Tx reads and writes documents in one transaction. It belongs to the goroutine and
// the call that it was given to. Returned slices are the caller's.
//
// A Tx sees its own writes. After an error other than ErrReadOnly and
// ErrTooBig the transaction fails, whatever its function returns. A document that
// cannot be read is a *DocumentError.
type Tx interface {
	// Get returns the value of a document, nil if there is none. No document has an
	// invalid key.
	Get(key string) ([]byte, error)
	// GetAll returns the values of some documents in the order of their keys, nil for each
	// that there is not. It costs less than as many calls of Get.
	GetAll(keys []string) ([][]byte, error)
	// Put adds or replaces a document. The value must not be nil.
	Put(key string, value []byte) error
	// Delete removes a document, if there is one.
	Delete(key string) error
	// Scan returns up to limit documents with from <= key < to, ascending by the
	// bytes of their keys. The limit must be positive.
	Scan(from, to string, limit int) ([]Document, error)
	// ScanBack is Scan from the other end: the last documents of the range, descending.
	ScanBack(from, to string, limit int) ([]Document, error)
	// Bump increments the revision of a room's rights. It creates the room, with an
	// empty log, if it does not exist.
	Bump(room kaban.RoomName) error
	// Head returns the last seq of a room's log, with the writes before this one in
	// the batch; 0 if there is no such room. A transaction of View has ErrReadOnly: it
	// does not hold the log still.
	Head(room kaban.RoomName) (uint64, error)
	// Counts returns the counts of a room up to its Head, for an author
	// (kaban.Identity.ID). Like Head it has ErrReadOnly in a transaction of View.
	Counts(room kaban.RoomName, author string) (Counts, error)
	// Revision returns the revision of a room's rights: 0 until the first Bump.
	Revision(room kaban.RoomName) (uint64, error)
}

// Documents is the part of a Store that keeps documents. They are in the same
// database as the logs, and what one transaction writes becomes durable and
// visible to all handles at once.
type Documents interface {
	// Update runs a function in a transaction that reads and writes. When it
	// returns nil, everything that the function wrote is durable. If the function
	// returns an error, nothing is stored and Update returns that error. After ErrBroken
	// and ErrUnknown the outcome is unknown. A driver
	// may run the function again if another writer was in the way, so it must
	// have no other effect. It must not call the store.
	Update(ctx context.Context, run func(Tx) error) error
	// View runs a function on one consistent state that includes everything that
	// was stored before the call. It may run beside an Update and does not wait
	// for it.
	View(ctx context.Context, run func(Tx) error) error
}

// Write is one write of a batch: a draft that becomes an entry, and documents that
// change with it.
type Write struct {
	kaban.Draft
	// Revision is the revision of the room's rights that allowed this write; it is
	// compared if Checked is set. If the room has another one by now, the result
	// is ErrStale.
	Revision uint64
	Checked  bool
	// Refusal, if not nil, is the result, unless the id is a duplicate or a conflict or
	// the revision is stale: the draft is not stored.
	Refusal error
	// Decide, if not nil, runs in the transaction of the append, after the writes
	// before it in the batch, unless there is another result already. If it
	// returns an error, its own changes are undone, the draft is not stored, and
	// the result has that error; the rest of the batch is not affected. It may run
	// more than once, like the function of Update.
	Decide func(Tx) error
	// Allow, if not nil, decides about the target of a write that has one (HasTarget), after
	// Decide. It gets the message as it is now. It may run more than once, must not block or
	// call the store, and must not keep or change what it gets.
	Allow func(target *Entry) error
	// Mentions, if not nil, are whom a message or an edit mentions. What a message mentioned
	// before an edit and does not after it is forgotten.
	Mentions *Mentions
}

// Key joins the parts of a document's key with "/". Parts may be any text: "/", "%"
// and NUL in them are escaped, so different parts make different keys.
func Key(parts ...string) string {
	escaped := parts
	for i, part := range parts {
		if !strings.ContainsAny(part, "/%\x00") {
			continue
		}
		if &escaped[0] == &parts[0] {
			escaped = slices.Clone(parts)
		}
		escaped[i] = escapePart.Replace(part)
	}
	return strings.Join(escaped, "/")
}

var (
	escapePart   = strings.NewReplacer("%", "%25", "/", "%2F", "\x00", "%00")
	unescapePart = strings.NewReplacer("%25", "%", "%2F", "/", "%00", "\x00")
)

// KeyParts returns the parts that Key joined.
func KeyParts(key string) []string {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		parts[i] = unescapePart.Replace(part)
	}
	return parts
}

// KeysUnder returns the bounds of a Scan over all keys that have more parts behind
// those of a key.
func KeysUnder(key string) (from, to string) {
	return key + "/", key + "0" // the character behind "/"
}

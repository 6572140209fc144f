// Package files is the bytes of files: blobs and the stores that keep them, the names and
// types of files, and the headers that they are served with. Package upload stages files
// that are on their way, package tus lets clients resume them. Packages disk and s3 are
// the drivers of Store, and package filestest is the suite that both pass.
//
// It knows no accounts, rooms or rights: whoever calls it has decided them.
package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"sync"
	"time"
)

// Hash is the SHA-256 of a blob, which names it.
type Hash [sha256.Size]byte

// String returns the hash as 64 lower-case hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash reads what Hash.String writes, and nothing else.
func ParseHash(text string) (h Hash, err error) {
	if len(text) != hex.EncodedLen(len(h)) || strings.ToLower(text) != text {
		return h, fmt.Errorf("%q is no SHA-256 of 64 lower-case hexadecimal digits", text)
	}
	if _, err := hex.Decode(h[:], []byte(text)); err != nil {
		return Hash{}, fmt.Errorf("%q is no SHA-256: %w", text, err)
	}
	return h, nil
}

// Kind is what a store keeps under a hash.
type Kind uint8

// The kinds.
const (
	Content   Kind = iota // the bytes that hash to the name
	Thumbnail             // a picture of the content that hashes to the name
)

// Kinds are all kinds.
var Kinds = []Kind{Content, Thumbnail}

var folders = [...]string{Content: "files", Thumbnail: "thumbs"}

// Folder returns the first element of the paths of a kind.
func (k Kind) Folder() string { return folders[k] }

// Key names a blob in a store.
type Key struct {
	Kind Kind
	Hash Hash
}

// Path returns where a store keeps the blob, with slashes, below its root or prefix:
// files/ab/abcd….
func (k Key) Path() string {
	name := k.Hash.String()
	return path.Join(k.Kind.Folder(), name[:2], name)
}

// String returns the path.
func (k Key) String() string { return k.Path() }

// ParsePath reads what Key.Path writes, and reports whether it is that.
func ParsePath(text string) (Key, bool) {
	for _, kind := range Kinds {
		rest, ok := strings.CutPrefix(text, kind.Folder()+"/")
		if !ok {
			continue
		}
		_, name, _ := strings.Cut(rest, "/")
		hash, err := ParseHash(name)
		key := Key{kind, hash}
		return key, err == nil && key.Path() == text
	}
	return Key{}, false
}

// Info describes a blob in a store.
type Info struct {
	Key  Key
	Size int64     // in bytes
	Time time.Time // of the Add. It may be that of somebody else's upload of the same bytes: do not show it.
}

// Staged is a file on the local disk that becomes a blob. Nobody may change it any more,
// even after Add: a store may share its bytes instead of copying them. Removing it is
// harmless.
type Staged struct {
	Path string
	Size int64 // in bytes
	Sum  Hash  // the SHA-256 of the file; of a content, its name
}

// Store keeps blobs. All methods may be called at once from any goroutine, also for the
// same key. To order an Add before the Remove of a blob that has lost its last reference,
// use Locks.
//
// Errors: ErrNotFound, ErrNoSpace, ErrMismatch, an UnreachableError, the context's, or one
// of the system. In the last three cases nobody knows whether an Add has added the
// blob: add it again.
type Store interface {
	// Add keeps a staged file under a key. When it returns nil, the blob is durable, and has
	// been compared with the size and the sum. A blob that is there stays if it has
	// these bytes, and is replaced if not. It is atomic: no one sees a part of a blob, even
	// after a crash.
	Add(ctx context.Context, key Key, staged Staged) error
	// Open returns a blob for reading, from a position that costs nothing to set. It holds
	// no more than a buffer in memory. One goroutine at a time may use it; reading may end
	// with an UnreachableError. A blob that is removed meanwhile can be read to its end from a
	// disk, and maybe not from S3.
	Open(ctx context.Context, key Key) (io.ReadSeekCloser, Info, error)
	// Remove removes a blob durably. Without one it does nothing.
	Remove(ctx context.Context, key Key) error
	// All lists the blobs of a kind in no order, with a bounded part of the list in memory.
	// A blob that comes or goes meanwhile is in the list or not. An error ends it.
	All(ctx context.Context, kind Kind) iter.Seq2[Info, error]
	// Tidy removes what calls of Add that were interrupted have left, and returns how many
	// there were. It leaves calls of this process alone, and all that is not the store's.
	Tidy(ctx context.Context) (removed int, err error)
}

// Errors of a Store.
var (
	ErrNotFound = errors.New("the store has no such file")
	ErrNoSpace  = errors.New("the store has no room left")
	ErrMismatch = errors.New("the file is not what it was said to be")
)

// UnreachableError means that a store cannot do its work now, whatever the blob.
type UnreachableError struct {
	Store  string // what it is, without secrets
	Advice string // what its operator can do
	Final  bool   // it cannot until its operator does that: waiting is of no use
	Err    error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("the file store %s cannot be used: %v; %s", e.Store, e.Err, e.Advice)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// State is what a check has found.
type State uint8

// The states.
const (
	Good    State = iota
	Missing       // there is no such blob
	Partial       // it has fewer bytes than it should
	Wrong         // its bytes are not those that its name stands for
)

var stateNames = [...]string{Good: "good", Missing: "missing", Partial: "partial", Wrong: "wrong"}

func (s State) String() string { return stateNames[s] }

// Check reads a blob from end to end. A size below zero is unknown. A thumbnail does not
// hash to its name: it is wrong if it is not a picture of a known type. An error means
// that the state cannot be known now.
func Check(ctx context.Context, s Store, key Key, size int64) (State, error) {
	f, info, err := s.Open(ctx, key)
	if errors.Is(err, ErrNotFound) {
		return Missing, nil
	}
	if err != nil {
		return Good, err
	}
	state, err := check(ctx, f, info, size)
	if errors.Is(err, ErrNotFound) { // somebody deleted it while it was read
		state, err = Missing, nil
	}
	return state, errors.Join(err, f.Close())
}

func check(ctx context.Context, f io.Reader, info Info, size int64) (State, error) {
	head := make([]byte, HeadSize)
	n, err := io.ReadFull(f, head)
	if head = head[:n]; err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Good, stateError(info.Key, err)
	}
	h := sha256.New()
	h.Write(head)
	rest, err := Copy(ctx, h, f)
	read := int64(n) + rest
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return Partial, nil
	}
	if err != nil {
		return Good, stateError(info.Key, err)
	}
	switch {
	case read < info.Size || read < size || read == 0 && info.Key.Kind == Thumbnail:
		return Partial, nil
	case size >= 0 && read != size, read != info.Size:
		return Wrong, nil
	case info.Key.Kind == Thumbnail:
		if !IsPicture(TypeOf(head)) {
			return Wrong, nil
		}
	case Hash(h.Sum(nil)) != info.Key.Hash:
		return Wrong, nil
	}
	return Good, nil
}

func stateError(key Key, err error) error { return fmt.Errorf("read %s: %w", key, err) }

// bufferSize is how many bytes of a blob are in memory while it is copied.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// Copy is io.Copy that ends with the context, between two reads of 32 KiB, and holds no
// more than these in memory.
func Copy(ctx context.Context, to io.Writer, from io.Reader) (n int64, err error) {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		if err := ctx.Err(); err != nil {
			return n, context.Cause(ctx)
		}
		read, err := from.Read(buffer[:])
		if read > 0 {
			written, err := to.Write(buffer[:read])
			if n += int64(written); err != nil {
				return n, err
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Sum reads to the end, and returns the number of bytes and their SHA-256.
func Sum(ctx context.Context, from io.Reader) (n int64, sum Hash, err error) {
	h := sha256.New()
	n, err = Copy(ctx, h, from)
	return n, Hash(h.Sum(nil)), err
}

// Matches reports whether a staged file fits a key, as far as can be seen without reading
// it.
func (s Staged) Matches(key Key) error {
	if key.Kind == Content && s.Sum != key.Hash {
		return fmt.Errorf("%w: %s has the SHA-256 %s", ErrMismatch, key, s.Sum)
	}
	return nil
}

// Verify compares what was read of a staged file with what was said of it.
func (s Staged) Verify(size int64, sum Hash) error {
	if size != s.Size || sum != s.Sum {
		return fmt.Errorf("%w: it has %d bytes and the SHA-256 %s, not %d and %s", ErrMismatch, size, sum, s.Size, s.Sum)
	}
	return nil
}

package wire

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"kaban"
)

const (
	// smallBuffer is the buffer size in bytes while lines are short.
	smallBuffer = 4 << 10
	// largeBuffer is the buffer size in bytes for Fill. One read then drains the
	// socket of a busy peer.
	largeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([largeBuffer]byte) }}
)

// Reader parses a stream of frames. All errors of its Read methods are
// *ReaderError.
//
// It holds no buffer before the first read, 4 KiB while lines are short, and never
// more than the longest line allowed. It is not safe for concurrent use.
//
// For a non-blocking source, call Fill until the source has no more data, read
// while Buffered returns true, and call Release before waiting.
type Reader struct {
	src        io.Reader
	author     *kaban.Identity
	limit      int32 // bytes of a line
	maxContent int32 // code points

	// A server has one Reader for each connection, so it is kept small.
	buffer     []byte // buffer[start:end] is unconsumed
	start, end int32
	searched   int32 // bytes from start known to have no newline
	skipping   bool  // the input up to the next newline is already rejected
	bareHello  bool  // a hello needs no username

	ref      *[MaxRef]byte   // nil until the first ref
	lastRoom *kaban.RoomName // of the last request with a room; nil before it
}

// NewReader returns a Reader for lines of up to MaxFrame bytes and contents of
// up to kaban.DefaultMaxContent code points.
func NewReader(src io.Reader) *Reader {
	r := new(Reader)
	r.Init(src)
	return r
}

// Init makes the zero Reader one as NewReader returns it. It is for a Reader that is a
// part of something larger.
func (r *Reader) Init(src io.Reader) {
	*r = Reader{src: src, limit: MaxFrame, maxContent: kaban.DefaultMaxContent}
}

// ShareRoom has the Reader use this copy of a room's name, which many readers may have,
// instead of one of its own, if it was the last room that it read.
func (r *Reader) ShareRoom(name *kaban.RoomName) {
	if r.lastRoom != nil && r.lastRoom.String() == name.String() {
		r.lastRoom = name
	}
}

// SetLimit sets the maximum length of following lines in bytes, without the "\n"
// or "\r\n". It must be less than 1 GiB.
func (r *Reader) SetLimit(bytes int) { r.limit = int32(bytes) }

// SetMaxContent sets the maximum length of a content in code points.
func (r *Reader) SetMaxContent(codePoints int) { r.maxContent = int32(codePoints) }

// SetAuthor sets the author of the messages in requests. The Reader keeps the pointer.
func (r *Reader) SetAuthor(author *kaban.Identity) { r.author = author }

// AllowBareHello accepts a hello that has only a version: something else, such as a
// cookie, says who the client is, or its absence is to be refused as such.
func (r *Reader) AllowBareHello() { r.bareHello = true }

// Buffered reports whether the next Read method returns without reading from the
// source.
func (r *Reader) Buffered() bool {
	if r.skipping {
		r.skip()
	}
	return !r.skipping && (r.newline() >= 0 || r.refusal() != nil)
}

// ReadRequest reads the next frame from a client.
func (r *Reader) ReadRequest(q *Request) error {
	line, err := r.line()
	if err == nil {
		err = r.request(line, q)
	}
	if err != nil {
		return err
	}
	return nil
}

// ReadEvent reads the next frame from a server.
func (r *Reader) ReadEvent(e *Event) error {
	line, err := r.line()
	if err == nil {
		err = decodeEvent(line, e)
	}
	if err != nil {
		return err
	}
	return nil
}

// Fill reads once from the source, which must not block. It returns the error of
// the source, possibly after buffering some data.
func (r *Reader) Fill() error {
	r.makeRoom(largeBuffer)
	n, err := r.src.Read(r.buffer[r.end:])
	r.end += int32(n)
	return err
}

// Partial reports whether the buffer holds the beginning of an incomplete line.
func (r *Reader) Partial() bool { return !r.skipping && r.end > r.start && !r.Buffered() }

// Release frees the memory that an idle connection does not need: all of it,
// unless a line is incomplete.
func (r *Reader) Release() {
	held := int(r.end - r.start)
	switch {
	case held == 0:
		r.free()
		r.start, r.end = 0, 0
	case len(r.buffer) == largeBuffer && held <= smallBuffer/2:
		small := smallBuffers.Get().(*[smallBuffer]byte)[:]
		copy(small, r.buffer[r.start:r.end])
		r.free()
		r.buffer, r.start, r.end = small, 0, int32(held)
	}
}

// line returns the next line without its newline. It is valid until the next call.
func (r *Reader) line() ([]byte, *ReaderError) {
	for {
		if r.skipping {
			r.skip()
		}
		if !r.skipping {
			if n := r.newline(); n >= 0 {
				return r.take(n)
			}
			if bad := r.refusal(); bad != nil {
				r.skipping = true
				r.skip()
				return nil, bad
			}
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && r.end > r.start {
				err = io.ErrUnexpectedEOF
			}
			return nil, &ReaderError{Position: -1, Err: err}
		}
	}
}

// newline returns the offset of the next newline from start, or -1.
func (r *Reader) newline() int {
	n := bytes.IndexByte(r.buffer[r.start+r.searched:r.end], '\n')
	if n < 0 {
		r.searched = r.end - r.start
		return -1
	}
	return int(r.searched) + n
}

// take consumes the line whose "\n" is n bytes from start.
func (r *Reader) take(n int) ([]byte, *ReaderError) {
	line := r.buffer[r.start : int(r.start)+n]
	r.start += int32(n) + 1
	r.searched = 0
	if n > 0 && line[n-1] == '\r' {
		line = line[:n-1]
	}
	if len(line) > int(r.limit) {
		return nil, r.tooLong()
	}
	return line, nil
}

// refusal returns an error if the incomplete line cannot become a valid frame.
func (r *Reader) refusal() *ReaderError {
	begun := r.buffer[r.start:r.end]
	switch n := int32(len(begun)); {
	case n > r.limit+1, n == r.limit+1 && begun[r.limit] != '\r':
		return r.tooLong()
	case n > 0 && begun[0] < ' ' && begun[0] != '\t' && begun[0] != '\r':
		// Another protocol. A TLS client hello begins like this and may never send
		// a newline.
		return &ReaderError{Code: CodeBadJSON, detail: "a control character where an object should begin"}
	}
	return nil
}

func (r *Reader) tooLong() *ReaderError {
	return &ReaderError{Code: CodeFrameTooLong, Position: -1, Max: int(r.limit)}
}

// skip discards the rest of a rejected line.
func (r *Reader) skip() {
	if n := r.newline(); n >= 0 {
		r.start += int32(n) + 1
		r.skipping = false
	} else {
		r.start = r.end
	}
	r.searched = 0
}

// fill reads once from a source that may block. A line of limit bytes and its
// "\r\n" always fit; longer lines are rejected before.
func (r *Reader) fill() error {
	r.makeRoom(smallBuffer)
	for range 100 { // like bufio: a source that keeps returning nothing is broken
		n, err := r.src.Read(r.buffer[r.end:])
		r.end += int32(n)
		if n > 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// makeRoom makes space for at least one byte. An empty Reader gets a buffer of the
// given size.
func (r *Reader) makeRoom(size int) {
	held := r.end - r.start
	if held == 0 {
		r.start, r.end = 0, 0
		if len(r.buffer) > size {
			r.free()
		}
	}
	switch {
	case r.buffer == nil && size == largeBuffer:
		r.buffer = largeBuffers.Get().(*[largeBuffer]byte)[:]
	case r.buffer == nil:
		r.buffer = smallBuffers.Get().(*[smallBuffer]byte)[:]
	case int(r.end) < len(r.buffer):
	case r.start > 0:
		copy(r.buffer, r.buffer[r.start:r.end])
		r.start, r.end = 0, held
	default:
		larger := make([]byte, max(min(4*len(r.buffer), int(r.limit)+2), len(r.buffer)+1))
		copy(larger, r.buffer[:r.end])
		r.free()
		r.buffer = larger
	}
}

// free returns the buffer to its pool.
func (r *Reader) free() {
	switch len(r.buffer) {
	case smallBuffer:
		smallBuffers.Put((*[smallBuffer]byte)(r.buffer))
	case largeBuffer:
		largeBuffers.Put((*[largeBuffer]byte)(r.buffer))
	}
	r.buffer = nil
}

// Close frees the buffer. It does not close the source. The Reader must not be
// used after Close.
func (r *Reader) Close() {
	r.free()
	r.start, r.end, r.searched = 0, 0, 0
}

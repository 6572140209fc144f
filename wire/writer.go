package wire

import (
	"errors"
	"io"
)

// ErrFrameTooLong is returned by Writer.Write for a frame longer than MaxFrame.
var ErrFrameTooLong = errors.New("frame is longer than 65536 bytes")

// Writer buffers requests and writes them at once. It is not safe for concurrent
// use.
type Writer struct {
	dst    io.Writer
	buffer []byte
	err    error
}

// maxIdleWriter is the size in bytes of the largest buffer that an empty Writer
// keeps.
const maxIdleWriter = 16 << 10

// NewWriter returns a Writer to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write buffers a frame for the next Flush. It returns ErrFrameTooLong and drops
// the frame if it is too long, or the error of an earlier Flush.
func (w *Writer) Write(req *Request) error {
	if w.err != nil {
		return w.err
	}
	start := len(w.buffer)
	w.buffer = req.Append(w.buffer)
	if len(w.buffer)-start-1 > MaxFrame {
		w.buffer = w.buffer[:start]
		return ErrFrameTooLong
	}
	return nil
}

// Buffered returns how many bytes the next Flush writes.
func (w *Writer) Buffered() int { return len(w.buffer) }

// Flush writes all buffered frames in one call. It is a no-op if there are none.
// After an error the peer may have received part of a frame, so all later calls
// return the same error.
func (w *Writer) Flush() error {
	if w.err != nil || len(w.buffer) == 0 {
		return w.err
	}
	n, err := w.dst.Write(w.buffer)
	if err == nil && n < len(w.buffer) {
		err = io.ErrShortWrite
	}
	w.err = err
	w.buffer = w.buffer[:0]
	if cap(w.buffer) > maxIdleWriter {
		w.buffer = nil
	}
	return err
}

package wire

import (
	"errors"
	"io"
)

// ErrFrameTooLong says that a frame to be written is longer than MaxFrame.
var ErrFrameTooLong = errors.New("frame is longer than 65536 bytes")

// Writer collects requests for one write. It is not safe for concurrent use.
type Writer struct {
	dst    io.Writer
	buffer []byte
	err    error
}

// maxIdleWriter is how large a buffer a Writer keeps, in bytes, when it is empty.
const maxIdleWriter = 16 << 10

// NewWriter returns a Writer to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write appends a frame to what the next Flush writes. The error is
// ErrFrameTooLong, after which the Writer goes on without the frame, or that of
// an earlier Flush.
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

// Flush writes all frames in one call, none where there is nothing to write.
// After an error the peer may have got a part of a frame, so the same error
// comes back from then on.
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

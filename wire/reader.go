package wire

import "io"

// Reader stub until filled in.
type Reader struct{ src io.Reader }

func NewReader(src io.Reader) *Reader            { return &Reader{src: src} }
func (r *Reader) SetLimit(bytes int)             {}
func (r *Reader) SetMaxContent(codePoints int)   {}
func (r *Reader) Buffered() bool                 { return false }
func (r *Reader) Idle()                          {}
func (r *Reader) ReadRequest(req *Request) error { return nil }
func (r *Reader) ReadEvent(ev *Event) error      { return nil }

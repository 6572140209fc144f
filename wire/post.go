package wire

import "kaban"

// Post is a message that is sent outside of a connection: the one body that the
// HTTP API takes. Its rules are those of a frame.
type Post struct {
	ID      kaban.MessageID
	Message kaban.Message
}

// DecodePost takes a body apart, which must be one JSON object with id, username
// and content, of at most maxContent code points. Everything is a copy. The error
// is a *ReaderError.
func DecodePost(body []byte, maxContent int) (Post, error) {
	if len(body) > MaxFrame {
		return Post{}, &ReaderError{Code: CodeFrameTooLong, Position: -1, Max: MaxFrame}
	}
	s := newScanner(requestField)
	defer s.free()
	if fault := s.scan(body); fault != nil {
		return Post{}, fault
	}
	d := decoder{scanner: s}
	p := d.post(maxContent)
	if d.bad != nil {
		return Post{}, d.bad
	}
	return p, nil
}

func (d *decoder) post(maxContent int) (p Post) {
	id, name, content := d.text(fID, true), d.text(fUsername, true), d.text(fContent, true)
	if d.bad != nil {
		return p
	}
	var err error
	if p.ID, err = kaban.ParseMessageID(string(id)); err != nil {
		d.invalid(fID, err)
	}
	author, err := kaban.ParseUsername(string(name))
	if err != nil {
		d.invalid(fUsername, err)
		return p
	}
	if p.Message, err = kaban.NewMessage(author, string(content), maxContent); err != nil {
		d.invalid(fContent, err)
	}
	return p
}

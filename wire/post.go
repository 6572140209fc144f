package wire

import "kaban"

// Post is a message sent without a connection: the body of the HTTP API. The rules
// of frames apply.
type Post struct {
	ID      kaban.MessageID
	Message kaban.Message
}

// DecodePost decodes a body. It must be one JSON object with an id, a username and
// a content of at most maxContent code points. The result does not alias the body.
// The error is a *ReaderError.
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

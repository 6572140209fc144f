package wire

import "kaban"

// Post is a message sent without a connection: the body of the HTTP API. The rules
// of frames apply.
type Post struct {
	ID      kaban.MessageID
	Message kaban.Message
}

// DecodePost decodes a body. It must be one JSON object with an id, a username and
// a content of at most maxContent code points. The username may be absent if sender,
// the name that a credential proved, is not zero; whether another one is allowed is
// for the caller to say. The result does not alias the body. The error is a
// *ReaderError.
func DecodePost(body []byte, maxContent int, sender kaban.Username) (Post, error) {
	if len(body) > MaxFrame {
		return Post{}, &ReaderError{Code: CodeFrameTooLong, Position: -1, Max: MaxFrame}
	}
	s := newScanner(requestField)
	defer s.free()
	if fault := s.scan(body); fault != nil {
		return Post{}, fault
	}
	d := decoder{scanner: s}
	p := d.post(maxContent, sender)
	if d.bad != nil {
		return Post{}, d.bad
	}
	return p, nil
}

func (d *decoder) post(maxContent int, sender kaban.Username) (p Post) {
	// In this order, which says the fault that is reported where there are several.
	id := d.text(fID, true)
	name, named := d.get(fUsername, kindString, sender.IsZero())
	content := d.text(fContent, true)
	if d.bad != nil {
		return p
	}
	var err error
	if p.ID, err = kaban.ParseMessageID(string(id)); err != nil {
		d.invalid(fID, err)
	}
	if named {
		sender = d.username(fUsername, name.bytes)
	}
	if d.bad != nil {
		return p
	}
	if p.Message, err = kaban.NewMessage(sender, string(content), maxContent); err != nil {
		d.invalid(fContent, err)
	}
	return p
}

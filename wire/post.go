package wire

import (
	"unicode/utf8"

	"kaban"
)

// Post is a message sent without a connection, or an edit: the body of the HTTP API. The
// rules of frames apply.
type Post struct {
	ID     kaban.MessageID
	Author kaban.Username
	// Message has the content, of an edit the new one. It is zero if there are files and no text,
	// and of an edit that takes the text away.
	Message kaban.Message
	ReplyTo uint64   // of a message: the seq of the one that it answers; 0 if absent
	Base    uint64   // of an edit: the seq of the version that it replaces; 0 if absent
	Files   []string // of a message: the ids of its files, at most kaban.MaxFiles, none of them twice
}

// DecodePost decodes the body of a message. It must be one JSON object with an id, a
// username and a content of at most maxContent code points; reply_to is optional, and so are files,
// with which the content may be empty or absent. The username may be absent if sender, the name that a credential proved, is not zero; whether
// another one is allowed is for the caller to say. The result does not alias the body. The
// error is a *ReaderError.
func DecodePost(body []byte, maxContent int, sender kaban.Username) (Post, error) {
	return decodePost(body, fReplyTo, maxContent, sender)
}

// DecodeEdit is DecodePost for an edit, which has an optional base, and a content that may be empty.
func DecodeEdit(body []byte, maxContent int, sender kaban.Username) (Post, error) {
	return decodePost(body, fBase, maxContent, sender)
}

// decodePost decodes a body that has another optional field, about a message.
func decodePost(body []byte, about field, maxContent int, sender kaban.Username) (p Post, err error) {
	if len(body) > MaxFrame {
		return Post{}, &ReaderError{Code: CodeFrameTooLong, Position: -1, Max: MaxFrame}
	}
	s := newScanner(requestField)
	defer s.free()
	if fault := s.scan(body); fault != nil {
		return Post{}, fault
	}
	d := decoder{scanner: s}
	var files []string
	if about == fReplyTo {
		d.checkCase([]field{fReplyTo, fFiles})
		if d.fields[fFiles].kind != kindAbsent {
			files = d.files()
		}
	} else {
		d.checkCase([]field{about})
	}
	p = d.post(maxContent, sender, files, about == fBase)
	if seq := d.positive(about, false); about == fReplyTo {
		p.ReplyTo = seq
	} else {
		p.Base = seq
	}
	if d.bad != nil {
		return Post{}, d.bad
	}
	return p, nil
}

// post decodes what all bodies have. With files the content may be empty, as may that of an edit.
func (d *decoder) post(maxContent int, sender kaban.Username, files []string, edit bool) (p Post) {
	// In this order, which says the fault that is reported where there are several.
	id := d.text(fID, true)
	name, named := d.get(fUsername, kindString, sender.IsZero())
	content := d.text(fContent, len(files) == 0)
	if d.bad != nil {
		return p
	}
	p.Files = files
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
	p.Author = sender
	if len(content) == 0 && (len(files) > 0 || edit) {
		return p
	}
	if p.Message, err = kaban.NewMessage(sender, string(content), maxContent); err != nil {
		d.invalid(fContent, err)
	}
	return p
}

// CheckReason checks the reason of a deletion that came in no frame. The error is a
// *ReaderError.
func CheckReason(reason string) error {
	if !utf8.ValidString(reason) {
		return &ReaderError{
			Code: CodeBadUTF8, Field: fieldNames[fReason], Position: firstInvalid([]byte(reason)), detail: "the reason is not valid UTF-8",
		}
	}
	var d decoder
	if d.checkLine(fReason, reason, MaxReason); d.bad != nil {
		return d.bad
	}
	return nil
}

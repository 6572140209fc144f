// Package slack reads what programs send to Slack's incoming webhooks and makes
// of it what people read here: a name and a content in Kaban's markup.
//
// Nobody can change those programs, so a message is taken as it comes: numbers
// and booleans stand for texts, one of something for a list of it, and what is
// not known is searched for texts before a message counts as empty. Refused is
// only what cannot be read without guessing: broken JSON, a name twice in an
// object, bytes that are not UTF-8, and halves of surrogates.
package slack

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Message is what was sent.
type Message struct {
	// Username is who it is from, as it was sent; "" if that is not said.
	Username string
	// Content is what it says, "" if it says nothing. It has no control characters
	// but newlines and tabs, and any length.
	Content string
}

var errNoMessage = errors.New(`send JSON such as {"text":"…"}, or a form with such JSON as payload`)

// Parse reads a body: JSON, whatever its type says, or a form of either kind
// that has JSON as its payload.
func Parse(contentType string, body []byte) (Message, error) {
	root, err := rootOf(contentType, bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff"))))
	if err != nil {
		return Message{}, err
	}
	m := messageOf(root)
	m.Content = strings.Trim(m.Content, "\n")
	if strings.TrimSpace(m.Content) == "" {
		m.Content = ""
	}
	return m, nil
}

// rootOf returns the value that a body has in it.
func rootOf(contentType string, body []byte) (any, error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err == nil && kind == "multipart/form-data" {
		fields, err := multipartFields(body, parameters["boundary"])
		if err != nil {
			return nil, err
		}
		return formRoot(fields)
	}
	if len(body) > 0 && strings.IndexByte(`{["`, body[0]) >= 0 { // curl says of JSON too that it is a form
		return payloadRoot(body)
	}
	if err == nil && kind == "text/plain" && utf8.Valid(body) {
		return object{{"text", string(body)}}, nil
	}
	// A payload that nobody has encoded.
	if payload, ok := bytes.CutPrefix(body, []byte("payload=")); ok && json.Valid(payload) {
		return payloadRoot(payload)
	}
	fields, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errNoMessage
	}
	return formRoot(fields)
}

// multipartFields reads a form that has a part for each field.
func multipartFields(body []byte, boundary string) (url.Values, error) {
	fields := make(url.Values)
	parts := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return fields, nil
		}
		var value []byte
		if err == nil {
			value, err = io.ReadAll(part) // the body is bounded
		}
		if err != nil && (fields.Has("payload") || fields.Has("text") || part != nil && json.Valid(value)) {
			if part != nil { // only the end of the form is missing
				fields.Add(part.FormName(), string(value))
			}
			return fields, nil
		}
		if err != nil {
			return nil, errors.New("the parts of the form cannot be read; " + errNoMessage.Error())
		}
		fields.Add(part.FormName(), string(value))
	}
}

// formRoot returns what a form says: its payload, or else the fields that a
// payload would have.
func formRoot(fields url.Values) (any, error) {
	if fields.Has("payload") {
		return payloadRoot([]byte(strings.TrimSpace(strings.TrimPrefix(fields.Get("payload"), "\ufeff"))))
	}
	var o object
	for _, name := range []string{"text", "username", "attachments", "blocks"} {
		if !fields.Has(name) {
			continue
		}
		var value any = fields.Get(name)
		if !utf8.ValidString(fields.Get(name)) {
			return nil, errNotUTF8
		}
		if name == "attachments" || name == "blocks" {
			if parsed, err := parseJSON([]byte(fields.Get(name))); err == nil {
				value = parsed
			}
		}
		o = append(o, field{name, value})
	}
	if o.get("text") == nil && o.get("attachments") == nil && o.get("blocks") == nil {
		return nil, errNoMessage
	}
	return o, nil
}

// payloadRoot reads JSON, and JSON that was put into a string of JSON.
func payloadRoot(text []byte) (any, error) {
	root, err := parseJSON(text)
	if err != nil {
		return nil, err
	}
	if inner, ok := root.(string); ok && strings.HasPrefix(strings.TrimSpace(inner), "{") {
		if parsed, err := parseJSON([]byte(inner)); err == nil {
			return parsed, nil
		}
	}
	switch root.(type) {
	case object, []any, string:
		return root, nil
	}
	return nil, errNoMessage
}

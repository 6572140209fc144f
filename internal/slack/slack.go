// Package slack converts messages for Slack's incoming webhooks to Kaban's: a name
// and a content in Kaban's markup.
//
// The sending programs cannot be changed, so the package is lenient. Numbers and
// booleans may replace texts, one item may replace a list, and unknown parts are
// searched for texts before a message counts as empty. It rejects only input that
// it would have to guess about: broken JSON, duplicate names in an object, bytes
// that are not UTF-8, and lone surrogates.
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

// Message is a converted message.
type Message struct {
	// Username is the author's name as it was sent, or "".
	Username string
	// Content is the text, or "". It may have any length. It has no control
	// characters except newline and tab.
	Content string
}

var errNoMessage = errors.New(`send JSON such as {"text":"…"}, or a form with such JSON as payload`)

// Parse converts a body: JSON, whatever its content type, or a form of either kind
// with JSON as its payload.
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

// rootOf returns the JSON value in a body.
func rootOf(contentType string, body []byte) (any, error) {
	kind, parameters, err := mime.ParseMediaType(contentType)
	if err == nil && kind == "multipart/form-data" {
		fields, err := multipartFields(body, parameters["boundary"])
		if err != nil {
			return nil, err
		}
		return formRoot(fields)
	}
	if len(body) > 0 && strings.IndexByte(`{["`, body[0]) >= 0 { // curl labels JSON as a form
		return payloadRoot(body)
	}
	if err == nil && kind == "text/plain" && utf8.Valid(body) {
		return object{{"text", string(body)}}, nil
	}
	// An unencoded payload.
	if payload, ok := bytes.CutPrefix(body, []byte("payload=")); ok && json.Valid(payload) {
		return payloadRoot(payload)
	}
	fields, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errNoMessage
	}
	return formRoot(fields)
}

// multipartFields reads the fields of a multipart form.
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
			return nil, errors.New("the multipart form is malformed; " + errNoMessage.Error())
		}
		fields.Add(part.FormName(), string(value))
	}
}

// formRoot returns the payload of a form, or else its fields as a payload.
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

// payloadRoot parses JSON, and JSON within a JSON string.
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

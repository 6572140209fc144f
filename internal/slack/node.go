package slack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// kind is the type of a node.
type kind uint8

const (
	nothing kind = iota // null, or absent
	text                // a string, a number as it was written, or a boolean
	array
	object
)

// node is a JSON value, as far as it matters here: scalars are clean text, so
// that a field that is a number where Slack wants a string is read all the same.
type node struct {
	kind  kind
	text  string
	names []string // of the items of an object
	items []node
}

const (
	// maxDepth is how deep values are read; Slack's deepest layout needs 12.
	// What lies deeper is skipped.
	maxDepth = 32
	// maxNodes bounds the memory of one message; Slack allows 50 blocks and 100
	// attachments. What follows is skipped.
	maxNodes = 20_000
)

// decode reads one JSON value, strictly: the library refuses duplicate names,
// bad UTF-8, lone surrogates and whatever stands behind the value.
func decode(body []byte) (node, error) {
	d := decoder{Decoder: jsontext.NewDecoder(bytes.NewReader(body)), left: maxNodes}
	n, err := d.value(0)
	if err != nil {
		return node{}, plainError(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return node{}, fmt.Errorf("something follows the JSON object, at byte %d", d.InputOffset())
	}
	return n, nil
}

type decoder struct {
	*jsontext.Decoder
	left int // nodes that may still be made
}

func (d *decoder) value(depth int) (node, error) {
	d.left--
	token, err := d.ReadToken()
	if err != nil {
		return node{}, err
	}
	switch token.Kind() {
	case 'n':
		return node{}, nil
	case '[', '{':
		return d.items(token.Kind(), depth)
	}
	return node{kind: text, text: clean(token.String())}, nil
}

// items reads the rest of an array or object.
func (d *decoder) items(begin jsontext.Kind, depth int) (node, error) {
	n := node{kind: array}
	if begin == '{' {
		n.kind = object
	}
	for d.PeekKind() != ']' && d.PeekKind() != '}' {
		if n.kind == object {
			name, err := d.ReadToken()
			if err != nil {
				return node{}, err
			}
			if depth < maxDepth && d.left > 0 {
				n.names = append(n.names, name.String())
			}
		}
		if depth == maxDepth || d.left == 0 {
			if err := d.SkipValue(); err != nil {
				return node{}, err
			}
			continue
		}
		item, err := d.value(depth + 1)
		if err != nil {
			return node{}, err
		}
		n.items = append(n.items, item)
	}
	_, err := d.ReadToken()
	return n, err
}

// plainError takes the name of the library out of an error, which the sender is
// to read.
func plainError(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the JSON ends too early")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
}

// get returns a field of an object, nothing if it is not there.
func (n node) get(name string) node {
	for i, has := range n.names {
		if has == name {
			return n.items[i]
		}
	}
	return node{}
}

// string returns the text of a scalar, of an object with a text, or of a list of
// them.
func (n node) string() string {
	switch n.kind {
	case text:
		return n.text
	case object:
		return n.get("text").string()
	case array:
		var all []string
		for _, item := range n.items {
			if s := item.string(); s != "" {
				all = append(all, s)
			}
		}
		return strings.Join(all, ", ")
	}
	return ""
}

// list returns the elements of an array; a value that should have been in one is
// the only element. Forms, and some programs, have arrays as JSON in a string.
func (n node) list() []node {
	switch n.kind {
	case array:
		return n.items
	case nothing:
		return nil
	case text:
		if inner, err := decode([]byte(n.text)); err == nil && inner.kind != text {
			return inner.list()
		}
	}
	return []node{n}
}

package kaban

import (
	"unicode"
	"unicode/utf8"
)

// MessageID identifies a message among those of its author. The author chooses it.
// The zero value is not a valid id.
type MessageID struct{ id string }

// ParseMessageID accepts 1 to MaxMessageID characters of A-Z a-z 0-9 . _ : - and
// returns a *MessageError for anything else.
func ParseMessageID(s string) (MessageID, error) {
	if len(s) > MaxMessageID {
		return MessageID{}, tooLong(InvalidID, MaxMessageID, len(s))
	}
	position := 0
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-':
		default:
			return MessageID{}, invalidAt(InvalidID, position, c)
		}
		position++
	}
	if s == "" {
		return MessageID{}, empty(InvalidID)
	}
	return MessageID{s}, nil
}

// String returns the id.
func (id MessageID) String() string { return id.id }

// IsZero reports whether id is the zero value.
func (id MessageID) IsZero() bool { return id.id == "" }

// Message is a text and the name of its author.
type Message struct {
	username Username
	content  string
}

// NewMessage returns a message whose content has at most maxContent code
// points; see CheckContent. The error is a *MessageError.
func NewMessage(username Username, content string, maxContent int) (Message, error) {
	if username.IsZero() {
		return Message{}, empty(EmptyUsername)
	}
	if err := CheckContent(content, maxContent); err != nil {
		return Message{}, err
	}
	return Message{username: username, content: content}, nil
}

// Username returns the author's name.
func (m Message) Username() Username { return m.username }

// Content returns the text.
func (m Message) Content() string { return m.content }

// CheckContent validates the content of a message. It must be UTF-8, have 1 to
// limit code points, include something other than white space, and have no control
// characters except newline and tab. The error is a *MessageError.
func CheckContent(content string, limit int) error {
	if len(content) <= limit && isPlainText(content) {
		return nil
	}
	if n := utf8.RuneCountInString(content); n > limit {
		return tooLong(TooLongContent, limit, n)
	}
	blank, position := true, 0
	for i, c := range content {
		if c == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(content[i:]); size == 1 {
				return invalidAt(InvalidCharsContent, position, c)
			}
		}
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return invalidAt(InvalidCharsContent, position, c)
		}
		blank = blank && unicode.IsSpace(c)
		position++
	}
	if blank {
		return empty(EmptyContent)
	}
	return nil
}

// isPlainText reports whether a content is printable ASCII and not only spaces.
// Most are, and need no further checks.
func isPlainText(content string) bool {
	word := false
	for i := range len(content) {
		c := content[i]
		if c < ' ' || c > '~' {
			return false
		}
		word = word || c != ' '
	}
	return word
}

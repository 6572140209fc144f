package kaban

import (
	"fmt"
	"unicode"
)

// MessageErrorKind says what is wrong with a part of a message. A kind is an
// error itself, so that errors.Is(err, kaban.TooLongContent) tells it.
type MessageErrorKind uint8

// The kinds of MessageError.
const (
	EmptyUsername MessageErrorKind = iota + 1
	TooLongUsername
	InvalidCharsUsername
	EmptyContent
	TooLongContent
	InvalidCharsContent
	EmptyRoom
	TooLongRoom
	InvalidCharsRoom
	InvalidID
)

// MessageErrorKinds returns all kinds, so that a front end can prove that it
// has an answer to each.
func MessageErrorKinds() []MessageErrorKind {
	return []MessageErrorKind{
		EmptyUsername, TooLongUsername, InvalidCharsUsername,
		EmptyContent, TooLongContent, InvalidCharsContent,
		EmptyRoom, TooLongRoom, InvalidCharsRoom, InvalidID,
	}
}

func (k MessageErrorKind) Error() string {
	switch k {
	case EmptyUsername:
		return "the username is empty"
	case TooLongUsername:
		return "the username is too long"
	case InvalidCharsUsername:
		return "the username has a character that names cannot have"
	case EmptyContent:
		return "the content is empty"
	case TooLongContent:
		return "the content is too long"
	case InvalidCharsContent:
		return "the content has a character that messages cannot have"
	case EmptyRoom:
		return "the name of the room is empty"
	case TooLongRoom:
		return "the name of the room is too long"
	case InvalidCharsRoom:
		return "the name of the room has a character that names cannot have"
	case InvalidID:
		return "the message id is not 1 to 64 letters, digits or . _ : -"
	}
	return fmt.Sprintf("message error %d", uint8(k))
}

// MessageError says what is wrong with a message, a name or an id, and where.
type MessageError struct {
	Kind MessageErrorKind
	// Limit and Actual count code points (bytes for InvalidID) and are set
	// where a length is what is wrong.
	Limit, Actual int
	// Position is the index of the offending code point, -1 where none is.
	Position int
	// Rune is the offending code point; U+FFFD for bytes that are not UTF-8.
	Rune rune
}

// Error says it in a sentence that is safe to print.
func (e *MessageError) Error() string {
	switch {
	case e.Limit > 0:
		return fmt.Sprintf("%s: it has %d characters, the limit is %d", e.Kind, e.Actual, e.Limit)
	case e.Position >= 0:
		return fmt.Sprintf("%s: %s at position %d", e.Kind, describe(e.Rune), e.Position)
	}
	return e.Kind.Error()
}

// Unwrap returns the kind.
func (e *MessageError) Unwrap() error { return e.Kind }

// describe names a code point without letting it act on a terminal.
func describe(r rune) string {
	if unicode.IsPrint(r) && !unicode.Is(unicode.M, r) {
		return fmt.Sprintf("U+%04X %q", r, r)
	}
	return fmt.Sprintf("U+%04X", r)
}

func tooLong(kind MessageErrorKind, limit, actual int) *MessageError {
	return &MessageError{Kind: kind, Limit: limit, Actual: actual, Position: -1}
}

func invalidAt(kind MessageErrorKind, position int, r rune) *MessageError {
	return &MessageError{Kind: kind, Position: position, Rune: r}
}

func empty(kind MessageErrorKind) *MessageError {
	return &MessageError{Kind: kind, Position: -1}
}

package kaban

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// MessageErrorKind is a rule that a name, an id or a content breaks. It is an
// error itself: test for one with errors.Is(err, kaban.TooLongContent).
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

// MessageErrorKinds returns all kinds. Tests of front ends use it to check that
// every kind has a code.
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
		return "the username has a character that is not allowed in names"
	case EmptyContent:
		return "the content is empty"
	case TooLongContent:
		return "the content is too long"
	case InvalidCharsContent:
		return "the content has a character that is not allowed in messages"
	case EmptyRoom:
		return "the room name is empty"
	case TooLongRoom:
		return "the room name is too long"
	case InvalidCharsRoom:
		return "the room name has a character that is not allowed in names"
	case InvalidID:
		return "the message id is not 1 to 64 letters, digits or . _ : -"
	}
	return fmt.Sprintf("message error %d", uint8(k))
}

// MessageError reports an invalid message, name or id.
type MessageError struct {
	Kind MessageErrorKind
	// Limit and Actual count code points (bytes for InvalidID). They are set if
	// the value is too long.
	Limit, Actual int
	// Position is the index of the offending code point, or -1.
	Position int
	// Rune is the offending code point; U+FFFD for bytes that are not UTF-8.
	Rune rune
}

// Error returns a sentence that is safe to print on a terminal.
func (e *MessageError) Error() string {
	switch {
	case e.Limit > 0:
		return fmt.Sprintf("%s: it has %d characters, the limit is %d", e.Kind, e.Actual, e.Limit)
	case e.Position >= 0 && e.Rune == utf8.RuneError:
		return fmt.Sprintf("%s: it is not UTF-8 at position %d", e.Kind, e.Position)
	case e.Position >= 0:
		return fmt.Sprintf("%s: %s at position %d", e.Kind, describe(e.Rune), e.Position)
	}
	return e.Kind.Error()
}

// Unwrap returns the kind.
func (e *MessageError) Unwrap() error { return e.Kind }

// describe names a code point and prints it only if a terminal shows it as is.
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

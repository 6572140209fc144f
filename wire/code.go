package wire

import (
	"errors"
	"fmt"

	"kaban"
)

// Code says what went wrong, to programs. Codes are stable: they are only ever
// added to.
type Code string

// The codes of error frames.
const (
	CodeBadJSON              Code = "bad_json"
	CodeBadFrame             Code = "bad_frame"
	CodeBadUTF8              Code = "bad_utf8"
	CodeFrameTooLong         Code = "frame_too_long"
	CodeUnknownType          Code = "unknown_type"
	CodeMissingField         Code = "missing_field"
	CodeBadField             Code = "bad_field"
	CodeUnsupportedVersion   Code = "unsupported_version"
	CodeHelloRequired        Code = "hello_required"
	CodeAlreadyGreeted       Code = "already_greeted"
	CodeEmptyUsername        Code = "empty_username"
	CodeTooLongUsername      Code = "too_long_username"
	CodeInvalidCharsUsername Code = "invalid_chars_username"
	CodeUsernameTaken        Code = "username_taken"
	CodeEmptyContent         Code = "empty_content"
	CodeTooLongContent       Code = "too_long_content"
	CodeInvalidCharsContent  Code = "invalid_chars_content"
	CodeBadRoom              Code = "bad_room"
	CodeNotJoined            Code = "not_joined"
	CodeNotFound             Code = "not_found"
	CodeBadID                Code = "bad_id"
	CodeIDConflict           Code = "id_conflict"
	CodeBadLimit             Code = "bad_limit"
	CodeResync               Code = "resync"
	CodeRateLimited          Code = "rate_limited"
	CodeServerFull           Code = "server_full"
	CodeUnavailable          Code = "unavailable"
	CodeStorageFull          Code = "storage_full"
	CodeInternal             Code = "internal"
)

// Codes returns all codes of error frames.
func Codes() []Code {
	return []Code{
		CodeBadJSON, CodeBadFrame, CodeBadUTF8, CodeFrameTooLong, CodeUnknownType, CodeMissingField, CodeBadField,
		CodeUnsupportedVersion, CodeHelloRequired, CodeAlreadyGreeted, CodeEmptyUsername, CodeTooLongUsername,
		CodeInvalidCharsUsername, CodeUsernameTaken, CodeEmptyContent, CodeTooLongContent, CodeInvalidCharsContent,
		CodeBadRoom, CodeNotJoined, CodeNotFound, CodeBadID, CodeIDConflict, CodeBadLimit, CodeResync,
		CodeRateLimited, CodeServerFull, CodeUnavailable, CodeStorageFull, CodeInternal,
	}
}

// Reason says why a connection ends, in a goodbye.
type Reason string

// The reasons of goodbyes.
const (
	ReasonDraining     Reason = "draining"
	ReasonSlowConsumer Reason = "slow_consumer"
	ReasonIdle         Reason = "idle"
	ReasonProtocol     Reason = "protocol"
	ReasonAuth         Reason = "auth"
	ReasonReplaced     Reason = "replaced"
	ReasonInternal     Reason = "internal"
)

// Reasons returns all reasons of goodbyes.
func Reasons() []Reason {
	return []Reason{
		ReasonDraining, ReasonSlowConsumer, ReasonIdle, ReasonProtocol, ReasonAuth, ReasonReplaced, ReasonInternal,
	}
}

// CodeOf returns the code for an error of this package or of package kaban. It
// is CodeInternal for all others, I/O errors among them, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if bad, ok := errors.AsType[*ReaderError](err); ok && bad.Code != "" {
		return bad.Code
	}
	if bad, ok := errors.AsType[*kaban.MessageError](err); ok {
		return codeOfKind(bad.Kind)
	}
	return CodeInternal
}

func codeOfKind(kind kaban.MessageErrorKind) Code {
	switch kind {
	case kaban.EmptyUsername:
		return CodeEmptyUsername
	case kaban.TooLongUsername:
		return CodeTooLongUsername
	case kaban.InvalidCharsUsername:
		return CodeInvalidCharsUsername
	case kaban.EmptyContent:
		return CodeEmptyContent
	case kaban.TooLongContent:
		return CodeTooLongContent
	case kaban.InvalidCharsContent:
		return CodeInvalidCharsContent
	case kaban.EmptyRoom, kaban.TooLongRoom, kaban.InvalidCharsRoom:
		return CodeBadRoom
	case kaban.InvalidID:
		return CodeBadID
	}
	return CodeInternal
}

// ReaderError says why a frame could not be read.
//
// With a Code the line is used up and the Reader goes on with the next one.
// Without one the source failed, Err is its error, and a line that was begun
// is kept: reading may be tried again where that makes sense.
type ReaderError struct {
	Code Code
	// Field is the field of the protocol that is wrong, "" where none is.
	Field string
	// Position is a byte offset in the line or, where Err is a
	// *kaban.MessageError, the index of a code point in the field. -1 is none.
	Position int
	// Max and Actual are the limit that was exceeded and by what, where one
	// was: bytes for a line or an id, code points for a name or a content, else
	// the number that was sent. Actual is 0 for a line, whose end was not read.
	Max, Actual int
	// Ref is the frame's ref, nil where the line was not JSON or had no valid
	// one. It is a copy.
	Ref []byte
	// Err is the I/O error or the *kaban.MessageError, or nil.
	Err error

	detail string
}

// Error says it in a sentence for the person who sent the line. It repeats
// nothing of the line.
func (e *ReaderError) Error() string {
	switch {
	case e.Code == "":
		return fmt.Sprintf("read frame: %v", e.Err)
	case e.Err != nil:
		return e.Err.Error()
	}
	switch e.Code {
	case CodeBadJSON:
		return fmt.Sprintf("the line is not JSON: %s at byte %d", e.detail, e.Position)
	case CodeBadUTF8:
		return fmt.Sprintf("%s at byte %d", e.detail, e.Position)
	case CodeBadFrame:
		return fmt.Sprintf("not a frame: %s at byte %d", e.detail, e.Position)
	case CodeFrameTooLong:
		return fmt.Sprintf("the line is longer than %d bytes", e.Max)
	case CodeUnknownType:
		return "there is no frame of this type"
	case CodeMissingField:
		return fmt.Sprintf("the field %s is missing", e.Field)
	case CodeBadLimit:
		return fmt.Sprintf("the limit must be 1 to %d, not %d", e.Max, e.Actual)
	case CodeUnsupportedVersion:
		return fmt.Sprintf("version %d of the protocol is asked for; this is version %d", e.Actual, e.Max)
	}
	if e.Field == "" {
		return fmt.Sprintf("bad value: %s at byte %d", e.detail, e.Position)
	}
	return fmt.Sprintf("the field %s is bad: %s", e.Field, e.detail)
}

// Unwrap returns Err.
func (e *ReaderError) Unwrap() error { return e.Err }

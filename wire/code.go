package wire

import (
	"errors"
	"fmt"
	"slices"

	"kaban"
)

// Code identifies an error to programs. Codes are stable: new ones may be added,
// but none is removed or changes its meaning.
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
	CodeAuthFailed           Code = "auth_failed"
	CodeAuthRequired         Code = "auth_required"
	CodeForbidden            Code = "forbidden"
	CodeSuspended            Code = "suspended"
	CodeTLSRequired          Code = "tls_required"
	CodeEmptyContent         Code = "empty_content"
	CodeTooLongContent       Code = "too_long_content"
	CodeInvalidCharsContent  Code = "invalid_chars_content"
	CodeBadRoom              Code = "bad_room"
	CodeRoomTaken            Code = "room_taken"
	CodeLastOwner            Code = "last_owner"
	CodeLastOp               Code = "last_op"
	CodeNotJoined            Code = "not_joined"
	CodeNotFound             Code = "not_found"
	CodeBadID                Code = "bad_id"
	CodeIDConflict           Code = "id_conflict"
	CodeGone                 Code = "gone"
	CodeEditConflict         Code = "edit_conflict"
	CodeBadEmoji             Code = "bad_emoji"
	CodeTooManyReactions     Code = "too_many_reactions"
	CodeTooLarge             Code = "too_large"
	CodeQuotaExceeded        Code = "quota_exceeded"
	CodeBadType              Code = "bad_type"
	CodeBadLimit             Code = "bad_limit"
	CodeBadQuery             Code = "bad_query"
	CodeResync               Code = "resync"
	CodeRateLimited          Code = "rate_limited"
	CodeServerFull           Code = "server_full"
	CodeUnavailable          Code = "unavailable"
	CodeStorageFull          Code = "storage_full"
	CodeInternal             Code = "internal"
)

// codeInfo is the meaning of a code to front ends and clients.
type codeInfo struct {
	code Code
	// status is the HTTP status of a response with this code (RFC 9110).
	status int
	// temporary means that the same request may succeed later.
	temporary bool
	// badFrame means that the line was not a valid frame. Ten in a row end a
	// connection.
	badFrame bool
	// close is the status code of the close frame (RFC 6455, section 7.4) if the
	// connection ends with this error. If it is 0, the reason decides.
	close uint16
	// kinds are the errors of package kaban with this code.
	kinds []kaban.MessageErrorKind
}

// codes is the table of all codes. The string of a code is also its label in
// metrics.
var codes = []codeInfo{
	{code: CodeBadJSON, status: 400, badFrame: true},
	{code: CodeBadFrame, status: 400, badFrame: true},
	{code: CodeBadUTF8, status: 400, badFrame: true},
	{code: CodeFrameTooLong, status: 413, close: closeTooBig},
	{code: CodeUnknownType, status: 400, badFrame: true},
	{code: CodeMissingField, status: 400, badFrame: true},
	{code: CodeBadField, status: 400, badFrame: true},
	{code: CodeUnsupportedVersion, status: 400},
	{code: CodeHelloRequired, status: 400, temporary: true}, // if the client did say hello, one side was stopped for too long
	{code: CodeAlreadyGreeted, status: 400},
	{code: CodeEmptyUsername, status: 400, kinds: []kaban.MessageErrorKind{kaban.EmptyUsername}},
	{code: CodeTooLongUsername, status: 400, kinds: []kaban.MessageErrorKind{kaban.TooLongUsername}},
	{code: CodeInvalidCharsUsername, status: 400, kinds: []kaban.MessageErrorKind{kaban.InvalidCharsUsername}},
	{code: CodeUsernameTaken, status: 409},
	{code: CodeAuthFailed, status: 401},
	{code: CodeAuthRequired, status: 401},
	{code: CodeForbidden, status: 403},
	{code: CodeSuspended, status: 403},
	{code: CodeTLSRequired, status: 403},
	{code: CodeEmptyContent, status: 400, kinds: []kaban.MessageErrorKind{kaban.EmptyContent}},
	{code: CodeTooLongContent, status: 400, kinds: []kaban.MessageErrorKind{kaban.TooLongContent}},
	{code: CodeInvalidCharsContent, status: 400, kinds: []kaban.MessageErrorKind{kaban.InvalidCharsContent}},
	{code: CodeBadRoom, status: 400, kinds: []kaban.MessageErrorKind{kaban.EmptyRoom, kaban.TooLongRoom, kaban.InvalidCharsRoom}},
	{code: CodeRoomTaken, status: 409},
	{code: CodeLastOwner, status: 409},
	{code: CodeLastOp, status: 409},
	{code: CodeNotJoined, status: 400},
	{code: CodeNotFound, status: 404},
	{code: CodeBadID, status: 400, kinds: []kaban.MessageErrorKind{kaban.InvalidID}},
	{code: CodeIDConflict, status: 409},
	{code: CodeGone, status: 410},
	{code: CodeEditConflict, status: 409},
	{code: CodeBadEmoji, status: 400},
	{code: CodeTooManyReactions, status: 409},
	{code: CodeTooLarge, status: 413},
	{code: CodeQuotaExceeded, status: 413},
	{code: CodeBadType, status: 415},
	{code: CodeBadLimit, status: 400},
	{code: CodeBadQuery, status: 400},
	{code: CodeResync, status: 410},
	{code: CodeRateLimited, status: 429, temporary: true},
	{code: CodeServerFull, status: 503, temporary: true, close: closeTryAgainLater},
	{code: CodeUnavailable, status: 503, temporary: true},
	{code: CodeStorageFull, status: 507, temporary: true},
	{code: CodeInternal, status: 500, temporary: true},
}

// Codes returns all codes of error frames.
func Codes() []Code {
	all := make([]Code, len(codes))
	for i := range codes {
		all[i] = codes[i].code
	}
	return all
}

// info returns the row of a code. An unknown code is a permanent error.
func (c Code) info() codeInfo {
	for i := range codes {
		if codes[i].code == c {
			return codes[i]
		}
	}
	return codeInfo{code: c, status: 400}
}

// Temporary reports whether the same request may succeed later.
func (c Code) Temporary() bool { return c.info().temporary }

// Status returns the HTTP status of a response with this code.
func (c Code) Status() int { return c.info().status }

// IsBadFrame reports whether the code means that the line is not a valid frame, as
// opposed to a valid request that fails.
func (c Code) IsBadFrame() bool { return c.info().badFrame }

// Close returns the status code of the close frame if a WebSocket ends with this
// error, or 0 if the reason of the goodbye decides.
func (c Code) Close() uint16 { return c.info().close }

// Removal is why a client is no longer in a room that it did not leave by itself, in
// a parted.
type Removal string

// The reasons of parted frames.
const (
	RemovalKicked Removal = "kicked"
	RemovalBanned Removal = "banned"
	RemovalGone   Removal = "gone" // the account is, or its right to be here
)

// Reason is why a connection ends, in a goodbye.
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

// Status codes of close frames: RFC 6455, section 7.4, and the IANA registry.
const (
	closeNormal          uint16 = 1000
	closeGoingAway       uint16 = 1001
	closeProtocolError   uint16 = 1002
	closePolicyViolation uint16 = 1008
	closeTooBig          uint16 = 1009
	closeInternalError   uint16 = 1011
	closeTryAgainLater   uint16 = 1013
	// closeReplaced is from the range for private use. A client must not reconnect
	// after it, or two clients take the name from each other forever.
	closeReplaced uint16 = 4001
)

// reasons is the table of all reasons, each with the equivalent status code of a
// close frame.
var reasons = []struct {
	reason Reason
	close  uint16
}{
	{ReasonDraining, closeGoingAway},
	{ReasonSlowConsumer, closePolicyViolation},
	{ReasonIdle, closeGoingAway},
	{ReasonProtocol, closeProtocolError},
	{ReasonAuth, closePolicyViolation},
	{ReasonReplaced, closeReplaced},
	{ReasonInternal, closeInternalError},
}

// Reasons returns all reasons of goodbyes.
func Reasons() []Reason {
	all := make([]Reason, len(reasons))
	for i := range reasons {
		all[i] = reasons[i].reason
	}
	return all
}

// Close returns the equivalent status code of a close frame.
func (r Reason) Close() uint16 {
	for i := range reasons {
		if reasons[i].reason == r {
			return reasons[i].close
		}
	}
	return closeNormal
}

// CodeOf returns the code for an error of this package or of package kaban. It
// returns CodeInternal for all other errors, including I/O errors, and "" for nil.
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
	for i := range codes {
		if slices.Contains(codes[i].kinds, kind) {
			return codes[i].code
		}
	}
	return CodeInternal
}

// ReaderError reports a frame that could not be read.
//
// If Code is set, the line is invalid. The Reader has consumed it and continues
// with the next one. Otherwise the source returned Err. The Reader keeps an
// incomplete line, so the read may be retried.
type ReaderError struct {
	Code Code
	// Field is the invalid field of the protocol, or "".
	Field string
	// Position is a byte offset in the line or, in a name, an id, a content, a topic
	// or a reason, the index of a code point in the field. -1 means unknown.
	Position int
	// Max and Actual are the limit and the value that exceeds it: bytes for a line,
	// an id, an emoji or a secret, code points for a name, a content, a topic or a reason,
	// elements for a list, otherwise a number from the request. Actual is 0 for a
	// line, because its end is not read.
	Max, Actual int
	// Ref is a copy of the frame's ref. It is nil if the line is not JSON or has
	// no valid ref.
	Ref []byte
	// Err is the I/O error or the *kaban.MessageError, or nil.
	Err error

	detail string
}

// Error returns a sentence for the sender of the line. It quotes nothing from the
// line.
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
		return fmt.Sprintf("invalid frame: %s at byte %d", e.detail, e.Position)
	case CodeFrameTooLong:
		return fmt.Sprintf("the line is longer than %d bytes", e.Max)
	case CodeUnknownType:
		return "the type of the frame is unknown"
	case CodeMissingField:
		if e.detail != "" {
			return e.detail
		}
		return fmt.Sprintf("the field %s is missing", e.Field)
	case CodeBadLimit:
		return fmt.Sprintf("the limit must be 1 to %d, not %d", e.Max, e.Actual)
	case CodeUnsupportedVersion:
		return fmt.Sprintf("protocol version %d is not supported; the version is %d", e.Actual, e.Max)
	}
	if e.Field == "" {
		return fmt.Sprintf("bad value: %s at byte %d", e.detail, e.Position)
	}
	return fmt.Sprintf("the field %s is invalid: %s", e.Field, e.detail)
}

// Unwrap returns Err.
func (e *ReaderError) Unwrap() error { return e.Err }

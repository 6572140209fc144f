// Package kaban defines the values that all of Kaban shares: names, messages,
// drafts, and the errors that validating them returns.
//
// Only the constructors (ParseUsername, ParseRoomName, ParseMessageID,
// NewMessage) return valid values, so a value never needs a second check. All
// values are immutable and safe for concurrent use. The package does no I/O and
// imports no other package of this module.
package kaban

// Limits of names and messages. Lengths count Unicode code points.
const (
	// MaxUsername is the longest username.
	MaxUsername = 32
	// MaxRoomName is the longest room name.
	MaxRoomName = 64
	// MaxMessageID is the longest message id, in bytes.
	MaxMessageID = 64
	// DefaultMaxContent is the longest content unless the server is configured
	// otherwise.
	DefaultMaxContent = 5000
	// MaxContentCeiling is the longest content a server may be configured to
	// accept. At four bytes per code point it still fits a 65,536-byte frame.
	MaxContentCeiling = 16000
)

// Lobby is the room that always exists.
const Lobby = "lobby"

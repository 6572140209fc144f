// Package kaban holds the words that all of Kaban shares: names, messages and
// what can be wrong with them.
//
// A valid value can only be had from a constructor (ParseUsername,
// ParseRoomName, ParseMessageID, NewMessage), so whoever holds one need not
// check it again. All values are immutable, comparable and safe for concurrent
// use. The package does no I/O and imports nothing of ours.
package kaban

// Limits of what people exchange. Lengths count Unicode code points.
const (
	// MaxUsername is the longest username.
	MaxUsername = 32
	// MaxRoomName is the longest name of a room.
	MaxRoomName = 64
	// MaxMessageID is the longest message id, in bytes.
	MaxMessageID = 64
	// DefaultMaxContent is the longest content unless a server says otherwise.
	DefaultMaxContent = 5000
	// MaxContentCeiling is the longest content that a server may allow: at four
	// bytes a code point it still fits a frame of 65,536 bytes.
	MaxContentCeiling = 16000
)

// Lobby is the room that exists from the start.
const Lobby = "lobby"

package tui

import (
	"time"

	"kaban/client"
	"kaban/wire"
)

// event is something that happened to the session. The Model takes them in the
// order in which they happened.
type event any

// batch are the events since the last batch.
type batch []event

// link is what the session does about its connection.
type link uint8

const (
	connecting link = iota
	online
	silent  // the server does not answer
	offline // tries again by itself
	ended   // does not
)

type (
	// stateEvent tells of the connection.
	stateEvent struct {
		link    link
		err     error
		retryAt time.Time
		// Once online:
		username, server string
		limit            int // of a content, in code points
	}
	joinedEvent struct {
		asked, room string
		cursor      client.Cursor // everything up to here was there before
		head        uint64
	}
	failedEvent struct { // a room cannot be joined, or was lost
		room string
		err  error
	}
	messageEvent struct {
		room    string
		message wire.Message
		head    uint64 // the newest that the server is known to have
	}
	unknownEvent struct { // an entry of an unknown kind
		room string
		seq  uint64
		head uint64
	}
	resyncEvent struct {
		room   string
		err    error
		cursor client.Cursor
	}
	pageEvent struct {
		room     string
		page     page
		messages []wire.Message
		unknown  []uint64 // the seqs of entries of unknown kinds
		more     bool
		err      error
	}
	sentEvent struct {
		room    string
		number  uint64
		receipt client.Receipt
		err     error
	}
	presenceEvent client.Presence
	membersEvent  struct {
		room  string
		names []string
		more  bool
		asked bool // by a command
		err   error
	}
	roomsEvent struct {
		rooms []wire.RoomInfo
		more  bool
		asked bool // by a command
		err   error
	}
	renamedEvent struct {
		name string
		err  error
	}
	pingEvent struct {
		took time.Duration
		err  error
	}
)

// backend is what the Model asks for. Nothing here waits: what comes of it
// arrives as events.
type backend interface {
	// connect begins a session with a server under the first of the names that
	// is free.
	connect(server string, names []string)
	join(room string)
	part(room string)
	// post sends a message; number comes back in the sentEvent. Messages of a
	// room go out in the order of the calls.
	post(room string, number uint64, content string)
	load(room string, p page)
	// search looks for a message; its scanEvents tell how far it is. There is
	// one search at a time.
	search(room string, q scan)
	stopSearch()
	// find loads the messages around a moment.
	find(room string, moment time.Time)
	members(room string, asked bool)
	listRooms(asked bool)
	rename(name string)
	reconnect()
	ping()
	// unsent returns how many messages are posted and not answered.
	unsent() int
}

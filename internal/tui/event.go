package tui

import (
	"image"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// event is a report of the session. The Model takes events in their order.
type event any

// batch are the events since the last batch.
type batch []event

// link is the state of the connection.
type link uint8

const (
	connecting link = iota
	online
	silent  // the server does not answer
	offline // the next attempt is scheduled
	ended   // no further attempt without the person
)

type (
	// stateEvent reports the connection.
	stateEvent struct {
		link    link
		err     error
		retryAt time.Time
		// Only with the first online of a session:
		username, server string
		limit            int           // of a content, in code points
		account          *wire.Account // nil for a visitor
	}
	joinedEvent struct {
		asked, room string
		cursor      client.Cursor // the head when the room was joined
		head        uint64
	}
	failedEvent struct { // a room cannot be joined, or was lost
		room string
		err  error
	}
	heldEvent    struct{ code wire.Code } // the server stores no messages for now; they are kept and sent again
	messageEvent struct {
		room    string
		message wire.Message
		asOf    uint64 // as in client.Entry
		head    uint64 // the highest seq that the server is known to have
	}
	entryEvent struct { // an entry that is no message
		room  string
		entry client.Entry
		head  uint64
	}
	resyncEvent struct {
		room   string
		err    error
		cursor client.Cursor
	}
	pageEvent struct {
		room string
		page page
		got  client.HistoryPage
		root *client.Entry // with the first page of a thread: its first message, if it can be seen
		err  error
	}
	uploadEvent struct { // how far an upload is
		number     uint64
		sent, size int64 // bytes; the size is -1 if it is not known
		done       bool
		// Only once it is done:
		file kaban.File
		err  error
	}
	downloadEvent struct { // the end of a download
		room string
		file kaban.File
		text string // says where it is
		err  error
	}
	previewsEvent struct { // the answer to previews
		room  string
		lines []string
		err   error
	}
	thumbnailEvent struct { // the answer to thumbnail
		number uint64
		img    image.Image
		err    error
	}
	sentEvent struct {
		room    string
		number  uint64
		receipt client.Receipt
		err     error
	}
	presenceEvent client.Presence
	typingEvent   client.Typing
	membersEvent  struct {
		room    string
		members []wire.Member
		more    bool
		asked   bool // by a command
		err     error
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
	meEvent struct {
		me  client.Me
		err error
	}
	roomStateEvent     wire.RoomState
	notificationsEvent client.Notifications // the account wants to be notified of something else
	actedEvent         struct {             // a change of a room that was asked for
		room   string
		change wire.Change
		err    error
	}
	openedEvent struct { // a room that was asked for
		room string
		what string // that was asked for, after "cannot"
		text string // to say there
		err  error
	}
	noticeEvent struct { // the outcome of a request, in words
		room, text string
		err        error
	}
	whoisEvent struct {
		room, name string       // the room is "" if none is open
		member     *wire.Member // nil if nobody in the room has the name
		absent     bool         // all members of the room were read, and nobody has the name
		person     *Person      // nil if there is no such account, or the room has a member
		err        error
	}
	pingEvent struct {
		took time.Duration
		err  error
	}
)

// backend is what the Model needs of a Session. No method waits: outcomes arrive as
// events.
type backend interface {
	// connect starts a session with a server under the first free name.
	connect(server string, names []string)
	join(room string)
	part(room string)
	// post sends a message, with files by their ids, which answers the one with the seq replyTo if that is not 0;
	// number comes back in the sentEvent. Messages and alterations of a room go out in the
	// order of the calls.
	post(room string, number, replyTo uint64, content string, files ...string)
	// upload sends a file to a server; uploadEvents with the number report its progress and
	// its end. Only one is under way at a time.
	upload(server string, number uint64, path string)
	cancelUpload()
	// download gets a file and opens it; a downloadEvent has the outcome.
	download(server, room string, f kaban.File)
	// previews asks what the pages are about that a message links to; a previewsEvent has the
	// answer.
	previews(server, room string, seq uint64)
	// thumbnail gets a small picture of a file; a thumbnailEvent has the number.
	thumbnail(server string, number uint64, f kaban.File)
	// alter changes a message; the alteredEvent has the number.
	alter(room string, a alteration)
	// typing reports that the person is typing a message in a room. It may be called for
	// each key.
	typing(room string)
	load(room string, p page)
	// search starts a scan; scanEvents report its progress. It ends an earlier one.
	search(room string, q scan)
	stopSearch()
	// find loads the messages around a moment.
	find(room string, moment time.Time)
	members(room string, asked bool)
	listRooms(asked bool)
	rename(name string)
	// me asks for the account's rooms.
	me()
	markRead(room string, seq uint64)
	markUnread(room string, seq uint64)
	// lookUp searches rooms; a foundEvent has the outcome.
	lookUp(q lookup)
	// inbox asks for unread mentions before those of an earlier page; a mentionsEvent has
	// them.
	inbox(number, before uint64)
	notify(room string, level kaban.NotifyLevel)
	setAway(away client.Away)
	create(room client.NewRoom)
	direct(username, text string)
	change(room string, c wire.Change)
	whois(server, room, name string)
	// devices and setName use the page of a server.
	devices(server string)
	setName(server, name string)
	reconnect()
	ping()
	// unsent returns how many messages are posted and not answered.
	unsent() int
}

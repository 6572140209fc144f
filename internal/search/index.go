package search

import (
	"context"

	"kaban"
)

// Index knows where terms are. It finds at least what Query.Matches reports of TextOf the messages
// that it has come to, and may find more: what it finds is to be compared with the messages
// as they are now.
type Index interface {
	// Find returns places of messages, newest first. It stops early when the context ends,
	// with what it has found, and says so.
	Find(ctx context.Context, ask Ask) (Places, error)
	// Number returns a number of up to 52 bits that stands for an order and does not tell
	// how many messages there are. Order returns that order, or false if the number is
	// none of this index.
	Number(order uint64) uint64
	Order(number uint64) (order uint64, ok bool)
}

// Ask is a question to an index. It looks at the texts, the authors, the dates, links, files
// and pins of the query; its rooms, and the other properties, are for the caller.
type Ask struct {
	Query *Query
	// Any are texts of which a message must have one; none is no condition.
	Any []Text
	// Rooms are those in which to look, unless All is set.
	Rooms []kaban.RoomName
	All   bool
	// Before is an order: only older messages are found. 0 is no bound.
	Before uint64
	// Limit is the largest number of places, at least 1.
	Limit int
}

// Place is where a message is.
type Place struct {
	Room kaban.RoomName
	Seq  uint64
	// Order increases with the time at which messages were stored, over all rooms.
	Order uint64
}

// Places is what an index finds.
type Places struct {
	List []Place
	// More reports that there may be others, before Next.
	More bool
	Next uint64
	// Partial reports that the index has not come to all messages yet, or has stopped early.
	Partial bool
}

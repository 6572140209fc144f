// Package frame writes entries of logs as frames of kaban/1, for all front ends
// whose clients read those.
package frame

import (
	"time"

	"kaban"
	"kaban/internal/chat"
	"kaban/wire"
)

// AppendEntry appends an entry as a frame. An entry of a kind that this version
// does not know becomes a void frame: every entry moves the cursors of its readers,
// whether or not they can show it.
func AppendEntry(dst []byte, room string, e *chat.Entry) []byte {
	if e.Kind != kaban.KindMessage {
		return wire.AppendVoid(dst, room, e.Seq, time.UnixMilli(e.Time))
	}
	return wire.AppendMessage(dst, room, message(e))
}

// Page returns the messages among entries, and the sequence numbers of all others.
func Page(entries []chat.Entry) (messages []wire.Message, others []uint64) {
	for i := range entries {
		if e := &entries[i]; e.Kind == kaban.KindMessage {
			messages = append(messages, message(e))
		} else {
			others = append(others, e.Seq)
		}
	}
	return messages, others
}

func message(e *chat.Entry) wire.Message {
	return wire.Message{Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: time.UnixMilli(e.Time)}
}

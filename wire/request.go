package wire

import (
	"strconv"

	"kaban"
)

// Request is a frame from a client to a server. Its Type determines which fields
// are set. A Request from a Reader is valid: the required fields are present and
// obey the rules of package kaban.
type Request struct {
	Type Type
	// Ref is copied into the answer; nil if absent. The Ref of a Request from a
	// Reader is valid until the next call of a method of the Reader.
	Ref []byte

	Username kaban.Username // hello; the Reader checks the version
	Resume   string         // hello; the session of an earlier welcome, or ""

	Room      kaban.RoomName // join, send, history, part, members
	Epoch     string         // join; or ""
	After     uint64         // join, history: return entries after this seq
	HasAfter  bool
	Before    uint64 // history: return entries before this seq; excludes After
	HasBefore bool
	AfterName string // rooms, members: start after this name, or ""
	Limit     int    // history, rooms, members: 1 to MaxLimit, or 0 if absent

	ID kaban.MessageID // send
	// Message is the message of a send. Its author is not on the wire but comes
	// from Reader.SetAuthor. Without an author it is the zero Message.
	Message kaban.Message
}

// Append appends the frame as one line including its "\n". It ignores fields that
// the type does not have.
func (r *Request) Append(dst []byte) []byte {
	dst = appendType(dst, r.Type)
	switch r.Type {
	case TypeHello:
		dst = append(dst, `,"version":1,"username":`...)
		dst = appendString(dst, r.Username.String())
		if r.Resume != "" {
			dst = append(dst, `,"resume":`...)
			dst = appendString(dst, r.Resume)
		}
	case TypeJoin:
		dst = appendRoom(dst, r.Room.String())
		if r.Epoch != "" {
			dst = append(dst, `,"epoch":`...)
			dst = appendString(dst, r.Epoch)
		}
		dst = r.appendAfter(dst)
	case TypeSend:
		dst = appendRoom(dst, r.Room.String())
		dst = append(dst, `,"id":`...)
		dst = appendString(dst, r.ID.String())
		dst = append(dst, `,"content":`...)
		dst = appendString(dst, r.Message.Content())
	case TypeHistory:
		dst = appendRoom(dst, r.Room.String())
		if r.HasBefore {
			dst = append(dst, `,"before":`...)
			dst = strconv.AppendUint(dst, r.Before, 10)
		}
		dst = r.appendAfter(dst)
		dst = r.appendLimit(dst)
	case TypePart:
		dst = appendRoom(dst, r.Room.String())
	case TypeRooms:
		dst = r.appendPage(dst)
	case TypeMembers:
		dst = appendRoom(dst, r.Room.String())
		dst = r.appendPage(dst)
	}
	return appendEnd(dst, r.Ref, r.Ref != nil)
}

func (r *Request) appendAfter(dst []byte) []byte {
	if r.HasAfter {
		dst = append(dst, `,"after":`...)
		dst = strconv.AppendUint(dst, r.After, 10)
	}
	return dst
}

func (r *Request) appendLimit(dst []byte) []byte {
	if r.Limit != 0 {
		dst = append(dst, `,"limit":`...)
		dst = strconv.AppendInt(dst, int64(r.Limit), 10)
	}
	return dst
}

func (r *Request) appendPage(dst []byte) []byte {
	if r.AfterName != "" {
		dst = append(dst, `,"after":`...)
		dst = appendString(dst, r.AfterName)
	}
	return r.appendLimit(dst)
}

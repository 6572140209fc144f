package bench

import (
	"bytes"
	"strconv"
	"time"
)

// targets is how many messages each room has for reactions: about a screen of them.
const targets = 64

// reaction is what connections react with. Its first byte, the mark, begins a character of
// four bytes in UTF-8, and everything else on the wire is ASCII.
const reaction = "👍"

// reactions is a dialect of kaban/1 that reacts to messages instead of sending them. To it,
// a message is a reaction. A sender goes through the messages of its room in turn: it reacts
// to all of them, and then takes all its reactions back.
type reactions struct {
	dialect
	webSocket bool
}

func (reactions) mark() byte { return reaction[0] }

func (r reactions) appendSend(dst []byte, who *identity, n uint64, _ int64, _ int) []byte {
	if !r.webSocket {
		return appendReact(dst, who, n)
	}
	start := len(dst)
	return seal(appendReact(begin(dst), who, n), start)
}

func appendReact(dst []byte, who *identity, n uint64) []byte {
	n -= who.before + 1
	dst = appendInRoom(dst, "react", who)
	dst = append(dst, `,"id":"`...)
	dst = appendID(dst, time.Now())
	dst = append(dst, `","target":`...)
	dst = strconv.AppendUint(dst, who.first+n%targets, 10)
	dst = append(dst, `,"emoji":"`+reaction+`","on":`...)
	dst = strconv.AppendBool(dst, n/targets%2 == 0)
	return append(dst, "}\n"...)
}

func (r reactions) kind(head []byte) kind {
	if bytes.HasPrefix(head, []byte(`{"type":"react"`)) {
		return kindMessage
	}
	return r.dialect.kind(head)
}

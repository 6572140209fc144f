package bench

import (
	"bytes"
	"strconv"
)

// marker is in each message once, and in nothing else that is on the wire.
const marker = '~'

// kind is what a line is.
type kind uint8

const (
	kindOther kind = iota
	kindMessage
	kindAck
	kindPresence
	kindPing
	kindWelcome
	kindJoined
	kindParted
	kindError
	kindGoodbye
)

// headSize is how much of a line is enough to know its kind.
const headSize = 24

// identity is who a connection is, in plain ASCII that needs no escapes.
type identity struct {
	name, room string
	number     int // in the run
}

// dialect is a protocol as far as the load generator must know it. The line
// of a message has exactly one marker, followed by stampDigits.
type dialect interface {
	// appendHello begins a conversation, appendJoin enters the room.
	appendHello(dst []byte, who *identity) []byte
	appendJoin(dst []byte, who *identity) []byte
	appendPart(dst []byte, who *identity) []byte
	appendPong(dst []byte) []byte
	// appendSend says something: the sender's message number n, with a stamp
	// and padding up to the payload.
	appendSend(dst []byte, who *identity, n uint64, stamp int64, payload int) []byte
	// kind says what a line is, by its first headSize bytes.
	kind(head []byte) kind
	// place says where a message or an ack stands: its number in a stream that
	// has no gaps.
	place(line []byte) (stream, n uint64, ok bool)
	// greets says whether a hello is answered.
	greets() bool
	// echoes says that a sender gets its own messages back instead of acks.
	echoes() bool
}

// stampDigits is how long a stamp is: nanoseconds in hexadecimal.
const stampDigits = 16

// padding is what a content ends with.
var padding = bytes.Repeat([]byte("abcdefghijklmnopqrstuvwxyz "), MaxPayload/27+1)

func appendContent(dst []byte, stamp int64, payload int) []byte {
	dst = append(dst, marker)
	for shift := 4 * (stampDigits - 1); shift >= 0; shift -= 4 {
		dst = append(dst, "0123456789abcdef"[stamp>>shift&15])
	}
	dst = append(dst, ' ')
	return append(dst, padding[:payload-stampDigits-2]...)
}

// stampOf returns the stamp of a message.
func stampOf(line []byte) (int64, bool) {
	i := bytes.IndexByte(line, marker)
	if i < 0 || len(line) < i+1+stampDigits {
		return 0, false
	}
	n, err := strconv.ParseInt(string(line[i+1:i+1+stampDigits]), 16, 64)
	return n, err == nil
}

// kabanLines is kaban/1.
type kabanLines struct{}

func (kabanLines) greets() bool { return true }
func (kabanLines) echoes() bool { return false }

func (kabanLines) appendHello(dst []byte, who *identity) []byte {
	dst = append(dst, `{"type":"hello","version":1,"username":"`...)
	dst = append(dst, who.name...)
	return append(dst, "\"}\n"...)
}

func appendInRoom(dst []byte, request string, who *identity) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, request...)
	dst = append(dst, `","room":"`...)
	dst = append(dst, who.room...)
	return append(dst, '"')
}

func (kabanLines) appendJoin(dst []byte, who *identity) []byte {
	return append(appendInRoom(dst, "join", who), "}\n"...)
}

func (kabanLines) appendPart(dst []byte, who *identity) []byte {
	return append(appendInRoom(dst, "part", who), "}\n"...)
}

func (kabanLines) appendPong(dst []byte) []byte {
	return append(dst, `{"type":"pong"}`+"\n"...)
}

func (kabanLines) appendSend(dst []byte, who *identity, n uint64, stamp int64, payload int) []byte {
	dst = appendInRoom(dst, "send", who)
	dst = append(dst, `,"id":"`...)
	dst = strconv.AppendUint(dst, n, 10)
	dst = append(dst, `","content":"`...)
	dst = appendContent(dst, stamp, payload)
	return append(dst, "\"}\n"...)
}

// kabanKinds are by what stands behind {"type":".
var kabanKinds = []struct {
	text string
	kind kind
}{
	{`message"`, kindMessage},
	{`ack"`, kindAck},
	{`presence"`, kindPresence},
	{`ping"`, kindPing},
	{`welcome"`, kindWelcome},
	{`joined"`, kindJoined},
	{`parted"`, kindParted},
	{`error"`, kindError},
	{`goodbye"`, kindGoodbye},
}

func (kabanLines) kind(head []byte) kind {
	rest, ok := bytes.CutPrefix(head, []byte(`{"type":"`))
	if !ok {
		return kindError // no kaban/1 as this generator reads it
	}
	for i := range kabanKinds {
		if text := kabanKinds[i].text; len(rest) >= len(text) && string(rest[:len(text)]) == text {
			return kabanKinds[i].kind
		}
	}
	return kindOther
}

func (kabanLines) place(line []byte) (stream, n uint64, ok bool) {
	const name = `,"seq":`
	i := bytes.Index(line, []byte(name))
	if i < 0 || !bytes.Contains(line, []byte(`"room":`)) {
		return 0, 0, false
	}
	n, ok = leadingNumber(line[i+len(name):])
	return 0, n, ok
}

// leadingNumber reads the digits at the beginning.
func leadingNumber(text []byte) (n uint64, ok bool) {
	i := 0
	for ; i < len(text) && '0' <= text[i] && text[i] <= '9' && i < 18; i++ {
		n = n*10 + uint64(text[i]-'0')
	}
	return n, i > 0
}

// rawLines is what the floor in bench/floor understands: the first line is
// "room NAME" and comes back as it is; every further line is copied to everybody
// in the room, the sender too.
type rawLines struct{}

func (rawLines) greets() bool { return false }
func (rawLines) echoes() bool { return true }

func (rawLines) appendHello(dst []byte, _ *identity) []byte { return dst }

func (rawLines) appendJoin(dst []byte, who *identity) []byte {
	dst = append(dst, "room "...)
	dst = append(dst, who.room...)
	return append(dst, '\n')
}

func (rawLines) appendPart(dst []byte, _ *identity) []byte { return dst }
func (rawLines) appendPong(dst []byte) []byte              { return dst }

// appendSend has the line say who its sender is and which of its messages it
// is, within the payload.
func (rawLines) appendSend(dst []byte, who *identity, n uint64, stamp int64, payload int) []byte {
	begin := len(dst)
	dst = strconv.AppendInt(dst, int64(who.number), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, n, 10)
	dst = append(dst, ' ')
	dst = appendContent(dst, stamp, max(payload-(len(dst)-begin), MinPayload))
	return append(dst, '\n')
}

func (rawLines) kind(head []byte) kind {
	if bytes.HasPrefix(head, []byte("room ")) {
		return kindJoined
	}
	return kindMessage
}

func (rawLines) place(line []byte) (stream, n uint64, ok bool) {
	sender, rest, _ := bytes.Cut(line, []byte(" "))
	if stream, ok = leadingNumber(sender); !ok {
		return 0, 0, false
	}
	n, ok = leadingNumber(rest)
	return stream, n, ok
}

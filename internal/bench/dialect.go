package bench

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"strconv"
	"time"
)

// marker occurs in the content of each message once, and nowhere else on the wire.
const marker = '~'

// kind is the type of a line.
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

// headSize is the length of the prefix that determines the kind of a line.
const headSize = 24

// identity is the name of a connection, in plain ASCII without escapes.
type identity struct {
	name, room string
	number     int    // in the run
	token      string // of an account; a visitor has none
	// first is the seq of the first of the messages that it reacts to, and before how many
	// messages it sent until then.
	first, before uint64
}

// dialect is the part of a protocol that the load generator needs. The line of a
// message has exactly one mark; in a content, stampDigits follow.
type dialect interface {
	// mark is a byte that occurs in the line of each message once, and nowhere else.
	mark() byte
	// appendHello starts a conversation; appendJoin joins the room.
	appendHello(dst []byte, who *identity) []byte
	appendJoin(dst []byte, who *identity) []byte
	appendPart(dst []byte, who *identity) []byte
	appendPong(dst []byte) []byte
	// appendSend sends the sender's message number n, with a stamp and padding up
	// to the payload.
	appendSend(dst []byte, who *identity, n uint64, stamp int64, payload int) []byte
	// kind returns the kind of a line from its first headSize bytes.
	kind(head []byte) kind
	// place returns the position of a message or an ack: its number in a stream
	// without gaps.
	place(line []byte) (stream, n uint64, ok bool)
	// greets reports whether a hello gets an answer.
	greets() bool
	// echoes reports whether a sender receives its own messages instead of acks.
	echoes() bool
}

// stampDigits is the length of a stamp: nanoseconds in hexadecimal.
const stampDigits = 16

// padding is the end of a content.
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

func (kabanLines) mark() byte   { return marker }
func (kabanLines) greets() bool { return true }
func (kabanLines) echoes() bool { return false }

func (kabanLines) appendHello(dst []byte, who *identity) []byte {
	dst = append(dst, `{"type":"hello","version":1,"`...)
	if who.token != "" {
		dst = append(dst, `token":"`...)
		dst = append(dst, who.token...)
	} else {
		dst = append(dst, `username":"`...)
		dst = append(dst, who.name...)
	}
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

func (kabanLines) appendSend(dst []byte, who *identity, _ uint64, stamp int64, payload int) []byte {
	dst = appendInRoom(dst, "send", who)
	dst = append(dst, `,"id":"`...)
	dst = appendID(dst, time.Now())
	dst = append(dst, `","content":"`...)
	dst = appendContent(dst, stamp, payload)
	return append(dst, "\"}\n"...)
}

// appendID appends an id as clients make it: a UUID of version 7 (RFC 9562, section 5.7,
// with method 3 of section 6.2). The random part is not a secret, and takes less time
// than the load would notice.
func appendID(dst []byte, now time.Time) []byte {
	const milli = int64(time.Millisecond)
	var id [16]byte
	nano := now.UnixNano()
	binary.BigEndian.PutUint64(id[:], uint64(nano/milli)<<16|7<<12|uint64(nano%milli<<12/milli))
	binary.BigEndian.PutUint64(id[8:], 1<<63|rand.Uint64()>>2)
	dst = append(hex.AppendEncode(dst, id[:4]), '-')
	dst = append(hex.AppendEncode(dst, id[4:6]), '-')
	dst = append(hex.AppendEncode(dst, id[6:8]), '-')
	dst = append(hex.AppendEncode(dst, id[8:10]), '-')
	return hex.AppendEncode(dst, id[10:])
}

// kabanKinds are indexed by the text after {"type":".
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
		return kindError // unknown to this generator
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

// leadingNumber parses the digits at the beginning.
func leadingNumber(text []byte) (n uint64, ok bool) {
	i := 0
	for ; i < len(text) && '0' <= text[i] && text[i] <= '9' && i < 18; i++ {
		n = n*10 + uint64(text[i]-'0')
	}
	return n, i > 0
}

// rawLines is the protocol of bench/floor. The first line is "room NAME" and is
// echoed; every further line is copied to everyone in the room, including the
// sender.
type rawLines struct{}

func (rawLines) mark() byte   { return marker }
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

// appendSend encodes the sender and the number of the message within the payload.
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

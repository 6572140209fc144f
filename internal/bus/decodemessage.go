package bus

import (
	"fmt"
	"math"
	"strings"

	"kaban"
)

// DecodeMessage reads a message that its Append has written. Every other text of bytes is an
// error: a *VersionError or a *MalformedError. It keeps nothing of encoded.
func DecodeMessage(encoded []byte) (Message, error) {
	switch {
	case len(encoded) == 0:
		return nil, &MalformedError{"version", -1, 0, "is missing"}
	case len(encoded) > MaxMessage:
		return nil, &MalformedError{"length", -1, 0, fmt.Sprintf("is %d bytes, more than %d", len(encoded), MaxMessage)}
	}
	d := &decoder{text: string(encoded), at: 1, entry: -1}
	var m Message
	switch encoded[0] {
	case newsMessage:
		m = &News{Epoch: d.plain("epoch", maxEpoch)}
	case askMessage:
		m = &Ask{Epoch: d.plain("epoch", maxEpoch)}
	case mentionMessage:
		m = d.mention()
	case presenceMessage:
		m = d.presence()
	case typingMessage:
		m = d.typing()
	default:
		return nil, &VersionError{encoded[0]}
	}
	if d.at != len(d.text) {
		d.fail("end", d.at, "has something behind it")
	}
	if d.err != nil {
		return nil, d.err
	}
	return m, nil
}

// plain reads a text of visible ASCII characters that is not empty.
func (d *decoder) plain(field string, most int) string {
	start := d.at
	text := d.string(field, most)
	if text == "" || !isPlain(text) {
		d.fail(field, start, "is empty or has other characters than visible ASCII")
	}
	return text
}

func (d *decoder) room() kaban.RoomName {
	start := d.at
	name := d.string("room", maxRoom)
	room, err := kaban.ParseAnyRoom(name)
	if err != nil || room.String() != name {
		d.fail("room", start, "is no name of a room")
	}
	return room
}

func (d *decoder) bool(field string) bool {
	start := d.at
	b := d.byte(field)
	if b > 1 {
		d.fail(field, start, "is neither 0 nor 1")
	}
	return b == 1
}

// count reads how many parts follow, each of which takes a byte at least.
func (d *decoder) count(field string, most uint64) int {
	start := d.at
	n := d.uvarint(field, most)
	if n > uint64(len(d.text)-d.at) {
		d.fail(field, start, "is larger than what follows")
		return 0
	}
	return int(n)
}

func (d *decoder) identity() string {
	start := d.at
	id := d.string("identity", maxAuthor)
	if !strings.Contains(id, ":") {
		d.fail("identity", start, "is no id of an identity")
	}
	return id
}

func (d *decoder) username() string {
	start := d.at
	name := d.string("username", maxUsername)
	if parsed, err := kaban.ParseUsername(name); err != nil || parsed.String() != name {
		d.fail("username", start, "is no username")
	}
	return name
}

func (d *decoder) mention() *Mention {
	m := &Mention{Epoch: d.plain("epoch", maxEpoch), Room: d.room(), Everyone: d.bool("everyone")}
	n := d.count("accounts", MaxAccounts)
	for range n {
		if d.err != nil {
			break
		}
		m.Accounts = append(m.Accounts, d.plain("account", maxAuthor))
	}
	return m
}

func (d *decoder) typing() *Typing {
	return &Typing{Epoch: d.plain("epoch", maxEpoch), Room: d.room(), Identity: d.identity(), Name: d.username()}
}

func (d *decoder) presence() *Presence {
	m := &Presence{Epoch: d.plain("epoch", maxEpoch), Node: d.plain("node", maxNode)}
	start := d.at
	if m.Number = d.uvarint("number", math.MaxInt64); m.Number == 0 {
		d.fail("number", start, "is 0")
	}
	m.First, m.Last = d.bool("first"), d.bool("last")
	for n := d.count("rooms", maxMembers); len(m.Rooms) < n && d.err == nil; {
		m.Rooms = append(m.Rooms, d.attendance())
	}
	for n := d.count("online", maxMembers); len(m.Online) < n && d.err == nil; {
		m.Online = append(m.Online, Online{d.identity(), d.bool("online")})
	}
	return m
}

func (d *decoder) attendance() Attendance {
	a := Attendance{Room: d.room(), Visitors: int(d.uvarint("visitors", maxMembers)), Named: d.bool("named")}
	start := d.at
	n := d.count("names", MaxNames)
	if n > 0 && !a.Named {
		d.fail("names", start, "are there, but not all")
	}
	bytes := 0
	for len(a.Names) < n && d.err == nil {
		start = d.at
		name := Attendant{d.username(), d.bool("account"), d.bool("visitor")}
		bytes += len(name.Name)
		switch {
		case !name.Account && !name.Visitor:
			d.fail("username", start, "is nobody's")
		case len(a.Names) > 0 && a.Names[len(a.Names)-1].Name >= name.Name:
			d.fail("username", start, "is not behind the one before it")
		case bytes > MaxNameBytes:
			d.fail("names", start, fmt.Sprintf("are longer than %d bytes", MaxNameBytes))
		}
		a.Names = append(a.Names, name)
	}
	return a
}

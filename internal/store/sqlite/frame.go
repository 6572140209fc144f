package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// A frame of the journal holds the entries of a batch. Its payload is its version, the time
// of the batch and, for each entry, the numbers room, seq, kind, user and target, and the
// texts username, id and content. An empty username is the one in users. Numbers are
// varints of encoding/binary, and a text follows its length.
//
// Since version 2 its mentions follow: 0 if it has none. Otherwise a number that is 1 more than
// the bits below, the number of accounts, their ids, and the same for those that are online.
//
// Since version 3 it may have files: then that number has frameFiles, the text of the files
// follows, and an entry without mentions has frameNoMentions and no ids.
const (
	frameVersion      = 3
	frameWithMentions = 2 // the first version with mentions
	frameWithFiles    = 3 // the first version with files
)

// The bits of the mentions in a frame.
const (
	frameEveryone = 1 << iota
	frameHere
	frameFiles
	frameNoMentions
	frameBits = 1<<iota - 1 // all of them
)

// appendFrameHead begins a frame.
func appendFrameHead(dst []byte, time int64) []byte {
	return binary.AppendVarint(append(dst, frameVersion), time)
}

// appendFrameEntry adds an entry to a frame.
func appendFrameEntry(dst []byte, room int64, e *unmergedEntry) []byte {
	for _, n := range [...]uint64{uint64(room), e.Seq, uint64(e.Kind), uint64(e.user), e.Target} {
		dst = binary.AppendUvarint(dst, n)
	}
	username := ""
	if e.ownName {
		username = e.Username
	}
	for _, text := range [...]string{username, e.ID, e.Content} {
		dst = appendFrameText(dst, text)
	}
	if e.Files == "" {
		return appendFrameMentions(dst, e.mentions, 0)
	}
	return appendFrameText(appendFrameMentions(dst, e.mentions, frameFiles), e.Files)
}

func appendFrameText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// appendFrameMentions adds mentions, with further bits.
func appendFrameMentions(dst []byte, m *store.Mentions, causes uint64) []byte {
	switch {
	case m == nil && causes == 0:
		return append(dst, 0)
	case m == nil:
		return binary.AppendUvarint(dst, 1+(causes|frameNoMentions))
	}
	if m.Everyone {
		causes |= frameEveryone
	}
	if m.Here {
		causes |= frameHere
	}
	dst = binary.AppendUvarint(dst, 1+causes)
	for _, ids := range [...][]string{m.Accounts, m.Online} {
		dst = binary.AppendUvarint(dst, uint64(len(ids)))
		for _, id := range ids {
			dst = appendFrameText(dst, id)
		}
	}
	return dst
}

// errFrame means that a frame is none of ours, although its checksum is right.
var errFrame = errors.New("the batch cannot be read")

// parseFrame returns the entries of a frame, without their authors, and their rooms.
func parseFrame(batch uint64, payload []byte) (entries []unmergedEntry, rooms []int64, err error) {
	if len(payload) == 0 || payload[0] == 0 || payload[0] > frameVersion {
		return nil, nil, fmt.Errorf("%w: it is of another version", errFrame)
	}
	p := frameParser{text: string(payload[1:])}
	time := p.varint()
	for p.text != "" && !p.bad {
		room := p.uvarint()
		e := unmergedEntry{batch: int64(batch)}
		e.Entry = store.Entry{Seq: p.uvarint(), Time: time, Kind: kaban.Kind(p.uvarint())}
		e.user, e.Target = int64(p.uvarint()), p.uvarint()
		e.Username, e.ID, e.Content = p.string(), p.string(), p.string()
		e.ownName = e.Username != ""
		if payload[0] >= frameWithMentions {
			causes := p.causes(payload[0])
			e.mentions = p.mentions(causes)
			if causes&frameFiles != 0 {
				e.Files = p.string()
			}
		}
		entries, rooms = append(entries, e), append(rooms, int64(room))
	}
	if p.bad {
		return nil, nil, errFrame
	}
	return entries, rooms, nil
}

// causes returns the bits of the mentions.
func (p *frameParser) causes(version byte) uint64 {
	known, n := uint64(frameBits), p.uvarint()
	if version < frameWithFiles {
		known = frameEveryone | frameHere
	}
	switch {
	case n == 0:
		return frameNoMentions
	case n-1 > known:
		p.text, p.bad = "", true
		return frameNoMentions
	}
	return n - 1
}

// mentions returns the mentions of an entry with some bits, nil if there are none.
func (p *frameParser) mentions(causes uint64) *store.Mentions {
	if causes&frameNoMentions != 0 {
		return nil
	}
	return &store.Mentions{Everyone: causes&frameEveryone != 0, Here: causes&frameHere != 0, Accounts: p.strings(), Online: p.strings()}
}

func (p *frameParser) strings() (texts []string) {
	for n := p.uvarint(); n > 0 && !p.bad; n-- {
		texts = append(texts, p.string())
	}
	return texts
}

// frameParser parses the rest of a frame. After an error everything is zero.
type frameParser struct {
	text string
	bad  bool
}

func (p *frameParser) uvarint() uint64 {
	n, size := binary.Uvarint([]byte(p.text[:min(len(p.text), binary.MaxVarintLen64)]))
	if size <= 0 {
		p.text, p.bad = "", true
		return 0
	}
	p.text = p.text[size:]
	return n
}

func (p *frameParser) varint() int64 {
	n := p.uvarint()
	return int64(n>>1) ^ -int64(n&1) // zigzag, as binary.Varint
}

func (p *frameParser) string() string {
	n := p.uvarint()
	if n > uint64(len(p.text)) {
		p.text, p.bad = "", true
		return ""
	}
	s := p.text[:n]
	p.text = p.text[n:]
	return s
}

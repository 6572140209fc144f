package export

import (
	"encoding/json"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// frontLine is a line of type "front": what was cut from the log of a room. A room with many
// authors has several, which differ only in them.
type frontLine struct {
	Type     string        `json:"type"`
	Room     string        `json:"room"`
	Seq      uint64        `json:"seq"`      // of the last entry that is not kept
	Messages uint64        `json:"messages"` // among those up to seq
	Written  []frontAuthor `json:"written,omitempty"`
}

type frontAuthor struct {
	Author   string `json:"author"` // kaban.Identity.ID
	Username string `json:"username"`
	Messages uint64 `json:"messages"`
}

// AppendFront appends a front, or a part of one, as a line.
func AppendFront(dst []byte, f *store.Front) ([]byte, error) {
	line := frontLine{Type: typeFront, Room: f.Room.String(), Seq: f.Seq, Messages: f.Messages}
	for _, one := range f.Written {
		line.Written = append(line.Written, frontAuthor{one.Author.ID(), one.Author.Name().String(), one.Messages})
	}
	text, err := json.Marshal(line)
	return append(append(dst, text...), '\n'), err
}

func parseFront(line []byte) (*store.Front, error) {
	var parsed frontLine
	if err := decode(line, &parsed); err != nil {
		return nil, err
	}
	room, err := kaban.ParseAnyRoom(parsed.Room)
	if err != nil {
		return nil, fmt.Errorf("room: %w", err)
	}
	switch {
	case parsed.Seq == 0:
		return nil, errors.New("seq is 0, but the first message of a room is 1")
	case parsed.Messages > parsed.Seq:
		return nil, fmt.Errorf("%d of %d entries cannot be messages", parsed.Messages, parsed.Seq)
	}
	f := &store.Front{Room: room, Seq: parsed.Seq, Messages: parsed.Messages}
	for _, one := range parsed.Written {
		name, err := kaban.ParseUsername(one.Username)
		if err != nil {
			return nil, err
		}
		author, err := kaban.ParseIdentity(one.Author, name)
		if err != nil {
			return nil, fmt.Errorf("author: %w", err)
		}
		if one.Messages == 0 || one.Messages > parsed.Messages {
			return nil, fmt.Errorf("%s has written %d of %d messages", one.Username, one.Messages, parsed.Messages)
		}
		f.Written = append(f.Written, store.FrontAuthor{Author: author, Messages: one.Messages})
	}
	return f, nil
}

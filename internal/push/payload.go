package push

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

const (
	// maxText is the longest text of a notification, in code points. The page cuts its own
	// notifications at the same length, and systems show less.
	maxText = 300
	// maxName is the longest name of a room or of somebody, in code points.
	maxName = 64
	// cutMark ends a text that was cut.
	cutMark = "…"
)

// Cause is why an account is notified of a message.
type Cause string

// The causes.
const (
	CauseMention Cause = "mention" // it is mentioned
	CauseDirect  Cause = "direct"  // the message is in a direct room
	CauseKeyword Cause = "keyword" // the message has a word that the account waits for
	CauseRoom    Cause = "room"    // the account wants everything of the room
)

// Message is what a notification shows. The service worker of the page makes sentences of it.
type Message struct {
	Room   string // the name of the room, up to 64 code points; "" for a notification that says nothing
	Seq    uint64
	Time   int64  // of the message, in milliseconds since 1970 UTC
	From   string // the author; "" if the account does not want it shown
	Text   string // without markup; it is cut. "" if the account does not want it shown
	Cause  Cause
	Unread uint64 // messages that the account has not read, for the badge
}

// payload is a Message as the service worker reads it. Fields are only ever added.
type payload struct {
	Version int    `json:"v"` // 1
	Room    string `json:"room,omitempty"`
	Seq     uint64 `json:"seq,omitempty"`
	Time    int64  `json:"time,omitempty"`
	From    string `json:"from,omitempty"`
	Text    string `json:"text,omitempty"`
	Cause   Cause  `json:"cause,omitempty"`
	Unread  uint64 `json:"unread,omitempty"`
}

func (m *Message) check() error {
	switch {
	case utf8.RuneCountInString(m.Room) > maxName:
		return &NoticeError{"Room", fmt.Sprintf("has more than %d characters", maxName)}
	case !utf8.ValidString(m.Room):
		return &NoticeError{"Room", "is not valid UTF-8"}
	}
	switch m.Cause {
	case "", CauseMention, CauseDirect, CauseKeyword, CauseRoom:
		return nil
	}
	return &NoticeError{"Cause", "is none that service workers know"}
}

// encode returns the message as JSON of at most maxContent bytes, without its text if bare, and
// then of at most maxShort.
func (m *Message) encode(bare bool) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	p := payload{Version: 1, Room: m.Room, Seq: m.Seq, Time: m.Time, From: cut(m.From, maxName), Cause: m.Cause, Unread: m.Unread}
	most, limit := maxContent, maxText
	if bare {
		most, limit = maxShort, 0
	}
	for {
		p.Text = cut(m.Text, limit)
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false) // it is no HTML, and would need six bytes for a "<"
		if err := encoder.Encode(&p); err != nil {
			return nil, fmt.Errorf("encode a push: %w", err)
		}
		content := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
		if len(content) <= most {
			return content, nil
		}
		if limit == 0 {
			return nil, &NoticeError{"Message", fmt.Sprintf("has %d bytes without its text; the limit is %d", len(content), most)}
		}
		limit = limit * 3 / 4 // only for texts in which most characters are escaped
	}
}

// cut returns a text of at most limit code points, with a mark if something was left out. It cuts
// between graphemes (UAX #29), unless the first one alone is too long.
func cut(text string, limit int) string {
	if limit <= 0 {
		return ""
	}
	if len(text) <= limit || utf8.RuneCountInString(text) <= limit {
		return text
	}
	room := limit - utf8.RuneCountInString(cutMark)
	end, runes := 0, 0
	for each := graphemes.FromString(text); each.Next(); end = each.End() {
		if runes += utf8.RuneCountInString(each.Value()); runes > room {
			break
		}
	}
	if end == 0 {
		for i := range text {
			if room--; room < 0 {
				end = i
				break
			}
		}
	}
	return strings.TrimRightFunc(text[:end], unicode.IsSpace) + cutMark
}

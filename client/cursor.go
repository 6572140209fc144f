package client

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Cursor is a position in a room's log: every entry up to Seq has been seen. It
// can be saved and handed to After in another process.
type Cursor struct {
	Epoch string `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// String returns the cursor as text that ParseCursor accepts, such as
// "42@QD765QKJTBCFYCYKCMILQCVNAG".
func (c Cursor) String() string { return strconv.FormatUint(c.Seq, 10) + "@" + c.Epoch }

// ParseCursor parses the text that String returns.
func ParseCursor(text string) (Cursor, error) {
	digits, epoch, ok := strings.Cut(text, "@")
	seq, err := strconv.ParseUint(digits, 10, 53)
	if !ok || err != nil || epoch == "" || strings.ContainsFunc(epoch, unicode.IsSpace) {
		return Cursor{}, fmt.Errorf("%q is not a cursor such as 42@QD765QKJTBCFYCYKCMILQCVNAG", text)
	}
	return Cursor{Epoch: epoch, Seq: seq}, nil
}

// From is where reading starts. The zero From is the head: only entries that are
// appended from now on.
type From struct {
	cursor Cursor
	resume bool
	last   uint64
}

// After starts after a cursor. An empty Epoch means the server's present one.
func After(c Cursor) From { return From{cursor: c, resume: true} }

// Last starts with the newest n entries.
func Last(n uint64) From { return From{last: n} }

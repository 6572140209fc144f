package chat

import (
	"strings"

	"kaban"
	"kaban/internal/markup"
	"kaban/internal/push"
)

// This file decides what notifies an account, as the page does for the notifications that it shows
// itself (notify.ts). Package attention has keywords and hours.

// causeOf returns why a message of somebody else notifies an account, "" if it does not. level is
// that of the account in the room.
func causeOf(level kaban.NotifyLevel, direct, mentioned, keyword bool) push.Cause {
	switch {
	case level == kaban.NotifyNone:
		return ""
	case mentioned:
		return push.CauseMention
	case keyword:
		return push.CauseKeyword
	case level != kaban.NotifyAll:
		return ""
	case direct:
		return push.CauseDirect
	}
	return push.CauseRoom
}

// isUrgent reports whether a message with a cause is meant for the account, rather than for
// everybody in the room.
func isUrgent(c push.Cause) bool { return c != push.CauseRoom }

// plainText returns a content without the marks of its markup.
func plainText(content string) string {
	var text strings.Builder
	for i, line := range markup.Parse(content) {
		if i > 0 {
			text.WriteByte('\n')
		}
		for _, span := range line.Spans {
			if !span.Mark {
				text.WriteString(span.Text)
			}
		}
	}
	return strings.TrimSpace(text.String())
}

package main

import (
	"fmt"
	"strings"

	"kaban/client"
	"kaban/internal/display"
	"kaban/internal/tui"
	"kaban/wire"
)

// plainLine returns the line of a message. What stands in parentheses behind the name, which
// has no spaces, is no part of the text.
func plainLine(m *wire.Message) string {
	var notes []string
	if m.ReplyTo != 0 {
		notes = append(notes, fmt.Sprintf("re %d", m.ReplyTo))
	}
	switch {
	case m.Deleted:
		notes = append(notes, "deleted")
	case m.Edited.Seq != 0:
		notes = append(notes, "edited")
	}
	name := display.Line(m.Username)
	if len(notes) > 0 {
		name += " (" + strings.Join(notes, ", ") + ")"
	}
	return name + ":> " + display.WithFiles(display.Line(m.Content), m.Files) + "\n"
}

// authorOf returns the author of a message for a line of a list. It marks what a program has
// written: a webhook may have the name of a person. plainLine has no such mark, because scripts
// rely on username:> content; they tell programs by --json.
func authorOf(username string, bot bool) string {
	if bot {
		return display.Line(username) + " (bot)"
	}
	return display.Line(username)
}

// numbered puts the number of an entry before its line, if that is asked for and there is a
// line.
func numbered(asked bool, seq uint64, line string) string {
	if !asked || line == "" {
		return line
	}
	return fmt.Sprintf("%d %s", seq, line)
}

// changeLine returns the line of a change, or "" for one that this version does not know.
func changeLine(c *wire.Change) string {
	text := describeAmendment(c)
	if text == "" {
		text = tui.Describe(c)
	}
	if text == "" {
		return ""
	}
	return "* " + display.Line(text) + "\n"
}

// describeAmendment returns what a change of a message means, or "" if it is none.
func describeAmendment(c *wire.Change) string {
	text := ""
	switch c.Type {
	case wire.TypeEdit:
		text = fmt.Sprintf("%s edited %d", c.Username, c.Target)
		switch {
		case c.NoText:
			text = fmt.Sprintf("%s took the text of %d away", c.Username, c.Target)
		case c.Content != "": // else a later change has replaced it
			text += ": " + c.Content
		}
	case wire.TypeDelete:
		text = fmt.Sprintf("%s deleted %d", c.Username, c.Target)
		if c.Reason != "" {
			text += ": " + c.Reason
		}
	case wire.TypeReact:
		text = fmt.Sprintf("%s reacted %s to %d", c.Username, c.Emoji, c.Target)
		if !c.On {
			text = fmt.Sprintf("%s took %s back from %d", c.Username, c.Emoji, c.Target)
		}
	case wire.TypePin:
		text = fmt.Sprintf("%s pinned %d", c.Username, c.Target)
		if !c.On {
			text = fmt.Sprintf("%s unpinned %d", c.Username, c.Target)
		}
	}
	return text
}

// lag notices that a program which prints the log is slower than the room: then the SDK goes
// on with pages of history, which have no changes of messages. The zero value is ready.
type lag struct{ told bool }

// note tells of it once for each time, and makes the entry what it is in the log.
func (l *lag) note(e *client.Entry, n *notices) {
	if e.AsOf > 0 && !l.told {
		n.printf("the output is slower than the room: what was changed in earlier messages meanwhile is not printed; messages from here on have it")
	}
	l.told = e.AsOf > 0
	if e.Message != nil {
		m := *e.Message
		m.Reactions, m.Replies, m.Pinned, m.PinnedAt = nil, 0, false, 0
		e.Message = &m
	}
}

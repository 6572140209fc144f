package tui

import (
	"fmt"
	"strings"
	"time"

	"kaban"
	"kaban/wire"
)

// Describe returns what a change of a room means to people, or "" for one that this
// version does not know. The names in it are as the server sent them.
func Describe(c *wire.Change) string {
	switch c.Type {
	case wire.TypeTopic:
		if c.Topic == "" {
			return c.Username + " removed the topic"
		}
		return c.Username + " changed the topic: " + c.Topic
	case wire.TypeMember:
		return describeMember(c)
	case wire.TypeRoom:
		return describeRoom(c)
	}
	return ""
}

func describeMember(c *wire.Change) string {
	text := ""
	switch c.Change {
	case "joined":
		text = c.Subject + " joined"
	case "invited":
		text = c.Username + " invited " + c.Subject
	case "left":
		text = c.Subject + " left"
	case "kicked":
		text = c.Username + " removed " + c.Subject
	case "banned":
		text = c.Username + " banned " + c.Subject
		if c.Until != 0 {
			text += " until " + time.UnixMilli(c.Until).UTC().Format("2 Jan 2006 15:04 UTC")
		}
	case "unbanned":
		text = c.Username + " lifted the ban of " + c.Subject
	case "muted":
		text = c.Username + " muted " + c.Subject
	case "unmuted":
		text = c.Username + " let " + c.Subject + " speak again"
	case "role":
		text = c.Username + " made " + c.Subject + " " + withArticle(c.Role.String())
	default:
		return ""
	}
	if c.Reason != "" {
		text += ": " + c.Reason
	}
	return text
}

// withArticle returns a role with its article.
func withArticle(role string) string {
	if strings.ContainsRune("aeiou", rune(role[0])) {
		return "an " + role
	}
	return "a " + role
}

func describeRoom(c *wire.Change) string {
	var does []string
	if c.Kind == kaban.RoomPrivate && c.Change == "set" {
		does = append(does, "made this room private")
	}
	if c.HasFlags && c.Change == "set" {
		if flags := c.Flags &^ kaban.FlagArchived; flags == 0 {
			does = append(does, "removed the flags of this room")
		} else {
			does = append(does, "made this room "+strings.Join(flags.Texts(), " and "))
		}
	}
	switch c.History {
	case wire.HistoryAll:
		does = append(does, "opened the history to later members")
	case wire.HistoryJoined:
		does = append(does, "closed the history to later members")
	}
	if c.HasArchived {
		does = append(does, map[bool]string{true: "archived this room", false: "took this room out of the archive"}[c.Archived])
	}
	switch {
	case c.Change == "created" && c.Kind == kaban.RoomDirect:
		return c.Username + " began this conversation"
	case c.Change == "created":
		return c.Username + " created this room"
	case c.Change != "set" || len(does) == 0:
		return ""
	}
	return fmt.Sprintf("%s %s", c.Username, strings.Join(does, ", "))
}

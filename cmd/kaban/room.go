package main

import (
	"context"
	"fmt"
	"strings"

	"kaban"
	"kaban/internal/display"
)

// roomCommand manages rooms. It reads no messages.
type roomCommand struct {
	List   roomList   `cmd:"" help:"List the rooms that are public or private, without what is in them."`
	Create roomCreate `cmd:"" help:"Create a room."`
	Op     roomOp     `cmd:"" help:"Make a member of a room its op. The room's log says so."`

	Retention roomRetention `cmd:"" help:"Change how long the messages of a room are kept. What is older is deleted for good."`
}

// room is a room, as the API has it for admins.
type room struct {
	Room    string   `json:"room"`
	Kind    string   `json:"kind"`
	Flags   []string `json:"flags"`
	Members int      `json:"members"`
	Head    uint64   `json:"head"`

	Retention string `json:"retention"`
}

type roomList struct{ adminFlags }

// Run lists the rooms.
func (c *roomList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/rooms", "rooms", []string{"limit", "500"},
			[]string{"ROOM", "KIND", "MEMBERS", "ENTRIES", "FLAGS", "RETENTION"}, "there are no rooms",
			func(r *room) []string {
				return []string{r.Room, r.Kind, fmt.Sprint(r.Members), fmt.Sprint(r.Head), orDash(strings.Join(r.Flags, ",")), orDash(r.Retention)}
			})
	})
}

type roomCreate struct {
	adminFlags
	Room     string `arg:"" help:"The name of the room."`
	Private  bool   `help:"Only members know of the room, and they invite others. Default: everybody may join."`
	Announce bool   `help:"Only ops and speakers send."`
	Locked   bool   `help:"Only ops change the topic and pins."`
	Op       string `placeholder:"NAME" help:"The username of its op, in whose name it is made. Default: the owner of the server."`
}

// Run creates a room.
func (c *roomCreate) Run(std streams) error {
	kind, flags := kaban.RoomPublic, kaban.RoomFlags(0)
	if c.Private {
		kind = kaban.RoomPrivate
	}
	if c.Announce {
		flags |= kaban.FlagAnnounce
	}
	if c.Locked {
		flags |= kaban.FlagLocked
	}
	in := map[string]any{"room": c.Room, "kind": kind.String(), "flags": flags.Texts(), "op": c.Op}
	return c.simple(std, "POST", "/v1/admin/rooms", in, "created %s, a %s room", c.Room, kind)
}

type roomOp struct {
	adminFlags
	Room     string `arg:"" help:"The room."`
	Username string `arg:"" name:"name" help:"The username of a member of the room."`
}

// Run makes somebody op.
func (c *roomOp) Run(std streams) error {
	return c.simple(std, "PUT", "/v1/admin/rooms/"+segment(c.Room)+"/op", map[string]string{"username": c.Username}, "%s is op of %s", c.Username, c.Room)
}

type roomRetention struct {
	adminFlags
	confirmFlags
	Room  string `arg:"" help:"The room."`
	Value string `arg:"" help:"forever, days such as 90d, or \"server\" for as long as the setting retention says."`
}

// Run changes how long messages are kept.
func (c *roomRetention) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		value, then := c.Value, c.Value
		if value == "server" {
			server, err := a.setting(ctx, settingRetention)
			if err != nil {
				return err
			}
			value, then = "", server.Value
		}
		if err := c.askAboutRetention(ctx, a, c.Room, then); err != nil {
			return err
		}
		if err := a.do(ctx, "PUT", "/v1/admin/rooms/"+segment(c.Room)+"/retention", map[string]string{"value": value}, nil); err != nil {
			return err
		}
		a.say("messages of %s are kept: %s", c.Room, then)
		return nil
	})
}

// settingRetention is the key of the setting for all rooms.
const settingRetention = "retention"

// askAboutRetention asks whether the messages may be deleted that a retention of a room, or
// of the server, would delete.
func (f *confirmFlags) askAboutRetention(ctx context.Context, a *admin, room, value string) error {
	return f.confirm(a.std, "yes", func() (string, error) {
		old, _, err := request[struct {
			Messages uint64 `json:"messages"`
			Rooms    int    `json:"rooms"`
		}](ctx, a, "GET", "/v1/admin/retention"+query("room", room, "value", value), nil)
		if err != nil || old.Messages == 0 {
			return "", err
		}
		return fmt.Sprintf("this deletes %s in %s for good", display.Count(old.Messages, "message"), display.Count(old.Rooms, "room")), nil
	})
}

package main

import (
	"context"
	"fmt"
	"strings"
)

// roomCommand manages rooms. It reads no messages.
type roomCommand struct {
	List roomList `cmd:"" help:"List the rooms that are public or private, without what is in them."`
	Op   roomOp   `cmd:"" help:"Make a member of a room its op. The room's log says so."`
}

// room is a room, as the API has it for admins.
type room struct {
	Room    string   `json:"room"`
	Kind    string   `json:"kind"`
	Flags   []string `json:"flags"`
	Members int      `json:"members"`
	Head    uint64   `json:"head"`
}

type roomList struct{ adminFlags }

// Run lists the rooms.
func (c *roomList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/rooms", "rooms", []string{"limit", "500"},
			[]string{"ROOM", "KIND", "MEMBERS", "ENTRIES", "FLAGS"}, "there are no rooms",
			func(r *room) []string {
				return []string{r.Room, r.Kind, fmt.Sprint(r.Members), fmt.Sprint(r.Head), orDash(strings.Join(r.Flags, ","))}
			})
	})
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

package main

import (
	"context"
	"fmt"
	"strings"
)

// inviteCommand manages links by which people make accounts.
type inviteCommand struct {
	Add    inviteAdd    `cmd:"" help:"Make a link by which people make accounts."`
	List   inviteList   `cmd:"" help:"List the links that are valid."`
	Revoke inviteRevoke `cmd:"" help:"End a link."`
}

type inviteAdd struct {
	adminFlags
	linkFlags
	Role    string   `placeholder:"ROLE" enum:"guest,member" default:"member" help:"The role of the accounts: member or guest. Default: ${default}."`
	Room    []string `placeholder:"ROOM" help:"A room for new accounts to join, besides those of the setting auto_join; may be given several times."`
	Uses    int      `placeholder:"N" default:"1" help:"How many accounts the link makes. Default: ${default}."`
	Expires string   `placeholder:"TIME" default:"7d" help:"After how long the link ends, such as 12h or 7d. Default: ${default}."`
}

// Run makes an invite. Only the link goes to standard output.
func (c *inviteAdd) Run(std streams) error {
	if c.Uses < 1 {
		return usagef("--uses must be at least 1, not %d", c.Uses)
	}
	if err := checkExpires(c.Expires, ""); err != nil {
		return err
	}
	return c.withAdmin(std, &c.linkFlags, func(ctx context.Context, a *admin) error {
		in := map[string]any{"role": c.Role, "rooms": c.Room, "uses": c.Uses, "expires_in": c.Expires}
		if len(c.Room) == 0 {
			delete(in, "rooms")
		}
		made, answer, err := request[invite](ctx, a, "POST", "/v1/admin/invites", in)
		if err != nil {
			return err
		}
		a.say("invite %s is valid until %s; the link is a secret and is not shown again:", made.ID, when(made.Expires))
		return a.result(answer, made.Link)
	})
}

// invite is an invite or a link into an account, as the API has it.
type invite struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Role     string   `json:"role"`
	Rooms    []string `json:"rooms"`
	Uses     int      `json:"uses"`
	By       string   `json:"by"`
	Username string   `json:"username"`
	Expires  string   `json:"expires"`
	Link     string   `json:"link"` // of a new one
}

type inviteList struct{ adminFlags }

// Run lists the invites.
func (c *inviteList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/invites", "invites", nil,
			[]string{"ID", "FOR", "USES LEFT", "UNTIL", "BY", "ROOMS"}, "there are no invites; \"kaban invite add\" makes one",
			func(i *invite) []string {
				what := i.Role
				if i.Username != "" {
					what = "sign-in of " + i.Username
				}
				return []string{i.ID, what, fmt.Sprint(i.Uses), when(i.Expires), orDash(i.By), strings.Join(i.Rooms, ",")}
			})
	})
}

type inviteRevoke struct {
	adminFlags
	ID string `arg:"" help:"The id that \"kaban invite list\" shows."`
}

// Run ends an invite.
func (c *inviteRevoke) Run(std streams) error {
	return c.simple(std, "DELETE", "/v1/admin/invites/"+segment(c.ID), nil, "invite %s has ended", c.ID)
}

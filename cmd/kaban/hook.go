package main

import (
	"context"
	"strings"
)

// hookCommand manages incoming webhooks.
type hookCommand struct {
	Add    hookAdd    `cmd:"" help:"Create a hook for a room and print the path to send messages to."`
	List   hookList   `cmd:"" help:"List the hooks."`
	Remove hookRemove `cmd:"" help:"Remove a hook. Its key stops working at once."`
}

// Help returns the text below the list of commands.
func (hookCommand) Help() string {
	return "A hook is an address to which other programs send messages in Slack's format, such as {\"text\":\"the build is green\"}. " +
		"It is a member of one room, whose log says so."
}

// hookRow is a hook, as the API has it.
type hookRow struct {
	ID       string `json:"id"`
	Room     string `json:"room"`
	Username string `json:"username"`
	Speaker  bool   `json:"speaker"`
	Paused   bool   `json:"paused"`
	Why      string `json:"paused_because"`
	Created  string `json:"created"`
	Path     string `json:"path"` // of a new one
}

type hookAdd struct {
	adminFlags
	Username string `placeholder:"NAME" default:"webhook" help:"The username of messages that name none. Default: ${default}."`
	Speaker  bool   `help:"The hook also posts where only ops and speakers do."`
	Room     string `arg:"" help:"The room. It is made if there is none."`
}

// Run creates a hook. Only its path goes to standard output.
func (c *hookAdd) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		in := map[string]any{"room": c.Room, "username": c.Username, "speaker": c.Speaker}
		made, answer, err := request[hookRow](ctx, a, "POST", "/v1/admin/hooks", in)
		if err != nil {
			return err
		}
		a.say("hook %s posts to %s. Send messages to this path of the server's http:// address; the path is a secret and is not shown again:", made.ID, made.Room)
		return a.result(answer, made.Path)
	})
}

type hookList struct{ adminFlags }

// Run lists the hooks.
func (c *hookList) Run(std streams) error {
	return c.withAdmin(std, nil, func(ctx context.Context, a *admin) error {
		return list(ctx, a, "/v1/admin/hooks", "hooks", nil,
			[]string{"ID", "ROOM", "USERNAME", "SINCE", "NOTES"}, "there are no hooks; \"kaban hook add ROOM\" creates one",
			func(h *hookRow) []string {
				var notes []string
				if h.Speaker {
					notes = append(notes, "speaker")
				}
				switch {
				case h.Why == "maker_outside":
					notes = append(notes, "paused (its maker may not read the room)")
				case h.Paused:
					notes = append(notes, "paused (its maker is suspended)")
				}
				return []string{h.ID, h.Room, h.Username, when(h.Created), strings.Join(notes, ", ")}
			})
	})
}

type hookRemove struct {
	adminFlags
	ID string `arg:"" help:"The id that \"kaban hook list\" shows, or its beginning."`
}

// Run removes a hook.
func (c *hookRemove) Run(std streams) error {
	return c.simple(std, "DELETE", "/v1/admin/hooks/"+segment(c.ID), nil, "removed hook %s", c.ID)
}

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"kaban"
	"kaban/internal/display"
	"kaban/internal/hook"
	"kaban/internal/session"
	"kaban/internal/web"
)

// hookCommand manages incoming webhooks. The server may be running.
type hookCommand struct {
	Add    hookAdd    `cmd:"" help:"Create a hook for a room and print the path to send messages to."`
	List   hookList   `cmd:"" help:"List the hooks."`
	Remove hookRemove `cmd:"" help:"Remove a hook. Its key stops working at once."`
}

// Help returns the text below the list of commands.
func (hookCommand) Help() string {
	return "A hook is an address to which other programs send messages in Slack's format, such as {\"text\":\"the build is green\"}. " +
		"These commands work in the data directory of the server. A running server notices the change by itself."
}

// hookFlags are the flags of all hook commands.
type hookFlags struct {
	Data string `placeholder:"DIR" env:"KABAN_DATA" default:"./kaban-data" help:"The server's data directory. Default: ${default}."`
}

func (f *hookFlags) open() (hook.Dir, error) {
	if f.Data == inMemory {
		return hook.Dir{}, usagef("--data %s: a server without a data directory has no hooks", inMemory)
	}
	if err := checkData(f.Data); err != nil {
		return hook.Dir{}, err
	}
	if info, err := os.Stat(f.Data); err != nil || !info.IsDir() {
		return hook.Dir{}, usagef("--data %s is not a directory; name the server's data directory, which the server creates when it first starts", f.Data)
	}
	return hook.Open(f.Data), nil
}

type hookAdd struct {
	hookFlags
	Username string `placeholder:"NAME" default:"webhook" help:"The username of messages that name none. Default: ${default}."`
	Room     string `arg:"" help:"The room. The first message creates it if necessary."`
}

// Run creates a hook. Only its path goes to standard output.
func (c *hookAdd) Run(std streams) error {
	room, err := kaban.ParseRoomName(c.Room)
	if err != nil {
		return usageError{err}
	}
	username, err := kaban.ParseUsername(c.Username)
	if err == nil && kaban.IsReserved(username) {
		err = session.ErrReserved
	}
	if err != nil {
		return usagef("--username %s: %w", c.Username, err)
	}
	hooks, err := c.open()
	if err != nil {
		return err
	}
	key, h, err := hooks.Add(room, username)
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: hook %s posts to %s. Send messages to this path of the server's http:// address; the path is a secret and is not shown again:\n", h.ID, h.Room)
	if _, err := fmt.Fprintf(std.out, "/hooks/%s\n", key); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

type hookList struct{ hookFlags }

// Run lists the hooks.
func (c *hookList) Run(std streams) error {
	hooks, err := c.open()
	if err != nil {
		return err
	}
	all, err := hooks.List()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, h := range all {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", h.ID, display.Line(h.Room.String()), display.Line(h.Username.String()), h.Created.Format("2006-01-02 15:04"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if len(all) == 0 {
		fmt.Fprintln(std.err, "kaban: there are no hooks; \"kaban hook add ROOM\" creates one")
	}
	return nil
}

type hookRemove struct {
	hookFlags
	ID string `arg:"" help:"The id that \"kaban hook list\" shows, or its beginning."`
}

// Run removes a hook.
func (c *hookRemove) Run(std streams) error {
	hooks, err := c.open()
	if err != nil {
		return err
	}
	h, err := hooks.Remove(c.ID)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		return fmt.Errorf("there is no hook %s; \"kaban hook list\" shows all", c.ID)
	case errors.Is(err, hook.ErrAmbiguous):
		return fmt.Errorf("the ids of several hooks begin with %s; use a longer prefix", c.ID)
	case err != nil:
		return err
	}
	fmt.Fprintf(std.err, "kaban: removed hook %s of %s\n", h.ID, h.Room)
	return nil
}

// hooksOf implements web.Hooks for a data directory.
type hooksOf struct {
	dir  hook.Dir
	none bool
}

// Find implements web.Hooks.
func (h hooksOf) Find(_ context.Context, key string) (web.Hook, bool, error) {
	if h.none {
		return web.Hook{}, false, nil
	}
	found, err := h.dir.Find(key)
	if errors.Is(err, hook.ErrNotFound) {
		return web.Hook{}, false, nil
	}
	return web.Hook{ID: found.ID, Room: found.Room, Username: found.Username}, err == nil, err
}

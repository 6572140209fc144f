package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"kaban"
	"kaban/internal/display"
	"kaban/internal/hook"
	"kaban/internal/session"
)

// hookCommand manages incoming webhooks, even while the server runs.
type hookCommand struct {
	Add    hookAdd    `cmd:"" help:"Add a hook that may post to a room, and print its address."`
	List   hookList   `cmd:"" help:"List the hooks."`
	Remove hookRemove `cmd:"" help:"Remove a hook: its key stops working."`
}

// Help returns the text below the list of commands.
func (hookCommand) Help() string {
	return "A hook is an address to which other programs send messages in Slack's format, such as {\"text\":\"the build is green\"}. " +
		"These commands work in the data directory of the server, even while it runs."
}

// hookFlags are common to the commands.
type hookFlags struct {
	Data string `placeholder:"DIR" env:"KABAN_DATA" default:"./kaban-data" help:"The data directory of the server. Default: ${default}."`
}

func (f *hookFlags) open() (hook.Dir, error) {
	if f.Data == inMemory {
		return hook.Dir{}, usagef("--data %s: a server without a data directory has no hooks", inMemory)
	}
	if err := checkData(f.Data); err != nil {
		return hook.Dir{}, err
	}
	if info, err := os.Stat(f.Data); err != nil || !info.IsDir() {
		return hook.Dir{}, usagef("--data %s is not a directory; give the data directory of the server, which creates it at its first start", f.Data)
	}
	return hook.Open(f.Data), nil
}

type hookAdd struct {
	hookFlags
	Username string `placeholder:"NAME" default:"webhook" help:"Author of messages that do not name one. Default: ${default}."`
	Room     string `arg:"" help:"The room. The first message creates it if it does not exist."`
}

// Run adds a hook. Only the address goes to standard output.
func (c *hookAdd) Run(std streams) error {
	room, err := kaban.ParseRoomName(c.Room)
	if err != nil {
		return usageError{err}
	}
	username, err := kaban.ParseUsername(c.Username)
	if err == nil && session.IsReserved(username) {
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
	fmt.Fprintf(std.err, "kaban: hook %s may post to %s. Send messages to this path of the server's http:// address; it is a secret and is not shown again:\n", h.ID, h.Room)
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
		fmt.Fprintln(std.err, "kaban: there are no hooks; \"kaban hook add ROOM\" makes one")
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
		return fmt.Errorf("the ids of several hooks begin with %s; give more of it", c.ID)
	case err != nil:
		return err
	}
	fmt.Fprintf(std.err, "kaban: hook %s of %s is removed\n", h.ID, h.Room)
	return nil
}

// hooksOf are the hooks of a server's data, as the front end over HTTP wants
// them.
type hooksOf struct {
	dir  hook.Dir
	none bool
}

// Find implements web.Hooks.
func (h hooksOf) Find(key string) (kaban.RoomName, kaban.Username, bool, error) {
	if h.none {
		return kaban.RoomName{}, kaban.Username{}, false, nil
	}
	found, err := h.dir.Find(key)
	if errors.Is(err, hook.ErrNotFound) {
		return kaban.RoomName{}, kaban.Username{}, false, nil
	}
	return found.Room, found.Username, err == nil, err
}

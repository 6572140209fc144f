package main

import (
	"context"
	"fmt"

	"kaban/client"
	"kaban/internal/display"
	"kaban/wire"
)

type inboxCommand struct {
	connectFlags
	JSON bool `name:"json" help:"Print each mention as kaban/1 has it: one JSON object a line."`
}

// Run prints the unread mentions of the account, newest first. It reads nothing: they stay unread.
func (c *inboxCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	n := &notices{out: std.err}
	session, err := c.connect(ctx, client.Options{OnState: n.onState()}, []string{"inbox-" + randomName(), "inbox-" + randomName()}, std)
	if err != nil {
		return err
	}
	defer session.Close()
	if _, ok := session.Account(); !ok {
		return usagef("only accounts have an inbox; sign in with \"kaban login\"")
	}
	output := newLineWriter(std.out)
	defer output.close()
	err = c.print(ctx, session, output)
	if output.close(); output.err != nil {
		return fmt.Errorf("standard output: %w", output.err)
	}
	return err
}

func (c *inboxCommand) print(ctx context.Context, session *client.Client, output *lineWriter) error {
	titles := make(map[string]string)
	if !c.JSON {
		me, err := session.Me(ctx)
		if err != nil {
			return fmt.Errorf("read the rooms: %w", err)
		}
		for i := range me.Rooms {
			titles[me.Rooms[i].Room] = me.Rooms[i].Title
		}
	}
	for before := uint64(0); ; {
		page, err := session.Inbox(ctx, before, wire.MaxInbox)
		if err != nil {
			return fmt.Errorf("read the inbox: %w", err)
		}
		for i := range page.Mentions {
			output.write(c.line(&page.Mentions[i], titles), client.Cursor{})
		}
		if before = page.Next; before == 0 {
			return nil
		}
	}
}

// line returns the line of a mention. A direct room is named by the other people in it.
func (c *inboxCommand) line(m *client.Mention, titles map[string]string) string {
	if c.JSON {
		return string(m.Append(nil)) + "\n"
	}
	room := m.Room
	if title := titles[room]; title != "" {
		room = "(" + title + ")"
	}
	return fmt.Sprintf("%s %d %s:> %s\n", display.Line(room), m.Seq, authorOf(m.Username, m.Bot), display.WithFiles(display.Line(m.Content), m.Files))
}

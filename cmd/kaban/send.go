package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"kaban"
	"kaban/client"
	"kaban/internal/display"
	"kaban/wire"
)

type sendCommand struct {
	connectFlags
	Join bool     `help:"Join the room first, if your account is not in it. Visitors always do."`
	Room string   `arg:"" help:"The room to send to. A visitor creates it if it does not exist."`
	Text []string `arg:"" optional:"" help:"The message; several words are joined by spaces. Put -- before words that start with a dash. Default: standard input, up to its end."`
}

// plainLines removes the byte order mark and the carriage returns of other systems
// from a text.
func plainLines(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
}

// Run sends one message.
func (c *sendCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	var text string
	if c.TokenFile == "-" && len(c.Text) == 0 {
		return usagef("--token-file - leaves nothing of standard input for the message; give it as an argument")
	}
	if len(c.Text) > 0 {
		text = strings.Join(c.Text, " ")
	} else {
		if isTerminal(std.in) {
			fmt.Fprintln(std.err, "kaban: type the message; Ctrl-D ends it")
		}
		read, err := io.ReadAll(io.LimitReader(std.in, maxLine))
		if err != nil {
			return fmt.Errorf("read the message: %w", err)
		}
		text = strings.TrimRight(plainLines(string(read)), "\r\n")
	}
	n := &notices{out: std.err}
	session, err := c.connect(ctx, client.Options{OnState: n.onState()}, ownNames(), std.in)
	if err != nil {
		return err
	}
	defer session.Close()
	if err := c.mayJoin(ctx, session); err != nil {
		return err
	}
	room, err := session.Join(ctx, c.Room, client.From{})
	if err != nil {
		return joinError(c.Room, err)
	}
	if _, err := room.Send(ctx, text); err != nil {
		if _, ok := errors.AsType[*kaban.MessageError](err); ok {
			return fmt.Errorf("not sent: %s", refusal(err))
		}
		if _, ok := errors.AsType[*client.Error](err); ok {
			return fmt.Errorf("not sent: %w", err)
		}
		return fmt.Errorf("the message may be stored or not: %w", err)
	}
	return nil
}

// mayJoin checks that an account is in the room: sending a message must not make it a
// member.
func (c *sendCommand) mayJoin(ctx context.Context, session *client.Client) error {
	if _, ok := session.Account(); !ok || c.Join {
		return nil
	}
	name, err := kaban.ParseAnyRoom(c.Room)
	if err != nil {
		return usagef("room: %w", err)
	}
	me, err := session.Me(ctx)
	if err != nil {
		return fmt.Errorf("not sent: %w", err)
	}
	for i := range me.Rooms {
		if in, err := kaban.ParseAnyRoom(me.Rooms[i].Room); err == nil && in.Key() == name.Key() {
			return nil
		}
	}
	return fmt.Errorf("not sent: you are not in %s; --join joins it first (%s)", display.Line(c.Room), wire.CodeNotJoined)
}

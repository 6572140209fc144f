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
	asked, err := parseRoom(c.Room)
	if err != nil {
		return err
	}
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
	_, hasAccount := session.Account()
	isNew := false
	switch {
	case hasAccount && c.Join:
		isNew, _ = c.isNew(ctx, session) // only for a notice
	case hasAccount:
		if err := c.mayJoin(ctx, session, asked); err != nil {
			return fmt.Errorf("not sent: %w", err)
		}
	}
	room, err := session.Join(ctx, c.Room, client.From{})
	if err != nil {
		return joinError(c.Room, err)
	}
	if isNew {
		n.printf("made the room %s", c.Room)
	}
	if _, err := room.Send(ctx, text); err != nil {
		if _, ok := errors.AsType[*kaban.MessageError](err); ok {
			return fmt.Errorf("not sent: %s", refusal(err))
		}
		if _, ok := errors.AsType[*client.Error](err); ok {
			return fmt.Errorf("not sent: %w", err)
		}
		return fmt.Errorf("the message may or may not have been stored: %w", err)
	}
	return nil
}

// parseRoom reads the name of a room on the command line.
func parseRoom(text string) (kaban.RoomName, error) {
	name, err := kaban.ParseAnyRoom(text)
	if err == nil {
		return name, nil
	}
	if bare, ok := strings.CutPrefix(text, "#"); ok {
		if _, err := kaban.ParseRoomName(bare); err == nil {
			return name, usagef("room %s: leave out the #; the room is %s", text, bare)
		}
	}
	if person, ok := strings.CutPrefix(text, "@"); ok {
		if _, err := kaban.ParseUsername(person); err == nil {
			return name, usagef("room %s: this is a person; /msg %s in \"kaban chat\" talks to them", text, person)
		}
	}
	return name, usagef("room: %w", err)
}

// noRoom is the error for a room that does not exist for the session. Its name may be
// that of a person, whom accounts can talk to.
func noRoom(session *client.Client, room, makes string, code wire.Code) error {
	text := "there is no room " + display.Line(room) + makes
	_, hasAccount := session.Account()
	if _, err := kaban.ParseUsername(room); err == nil && hasAccount {
		text += "; if it is a person, /msg " + display.Line(room) + " in \"kaban chat\" talks to them"
	}
	return fmt.Errorf("%s (%s)", text, code)
}

// mayJoin returns nil if the account is in the room: without --join, sending a message
// must not make it a member.
func (c *sendCommand) mayJoin(ctx context.Context, session *client.Client, room kaban.RoomName) error {
	me, err := session.Me(ctx)
	if err != nil {
		return err
	}
	for i := range me.Rooms {
		if in, err := kaban.ParseAnyRoom(me.Rooms[i].Room); err == nil && in.Key() == room.Key() {
			return nil
		}
	}
	isNew, err := c.isNew(ctx, session)
	switch {
	case err != nil:
		return err
	case isNew:
		return noRoom(session, c.Room, " that you may read; --join makes it if the name is free", wire.CodeNotJoined)
	}
	return fmt.Errorf("you are not in %s; --join joins it first (%s)", display.Line(c.Room), wire.CodeNotJoined)
}

// isNew reports whether there is no such room yet, as far as the account may know, so that
// joining makes it.
func (c *sendCommand) isNew(ctx context.Context, session *client.Client) (bool, error) {
	_, err := session.History(ctx, c.Room, client.HistoryQuery{Limit: 1})
	refused, _ := errors.AsType[*client.Error](err)
	switch {
	case refused == nil:
		return false, err
	case refused.Code == wire.CodeNotFound:
		return true, nil
	}
	return false, nil // there is one, which the account may not read
}

package main

import (
	"cmp"
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
	sentFiles
	Join    bool     `help:"Join the room first, if your account is not in it. Visitors always do."`
	ReplyTo uint64   `placeholder:"SEQ" help:"The number of the message that this one answers; \"kaban tail --numbers\" shows the numbers."`
	Room    string   `arg:"" help:"The room to send to. A visitor creates it if it does not exist."`
	Text    []string `arg:"" optional:"" help:"The message; several words are joined by spaces. Put -- before words that start with a dash. Without it, or with - alone: standard input, up to its end. A message with files needs no text."`
}

// plainLines removes the byte order mark and the carriage returns of other systems
// from a text.
func plainLines(text string) string {
	return strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n")
}

// Run sends one message.
func (c *sendCommand) Run(std streams) error {
	if err := c.check(c.Text, c.TokenFile); err != nil {
		return err
	}
	files, err := c.open(std.in)
	if err != nil {
		return err
	}
	defer closeSources(files)
	text := ""
	if len(c.Text) > 0 || len(files) == 0 {
		if text, err = c.readText(std, c.Text); err != nil {
			return err
		}
	}
	w := writing{room: c.Room, join: c.Join, failure: "not sent", unknown: "the message may or may not have been stored"}
	return c.write(std, w, func(ctx context.Context, room *client.Room) error {
		if len(files) == 0 {
			_, err := room.Reply(ctx, c.ReplyTo, text)
			return err
		}
		ids, err := c.upload(ctx, files, std)
		if err != nil {
			return notStored{err}
		}
		_, err = room.SendFiles(ctx, text, c.ReplyTo, ids...)
		return err
	})
}

// readText returns the text of a message: the words of the command, or standard input
// without any or with - alone, as programs have it.
func (c *connectFlags) readText(std streams, words []string) (string, error) {
	switch {
	case len(words) > 0 && !(len(words) == 1 && words[0] == "-"):
		return strings.Join(words, " "), nil
	case c.TokenFile == "-":
		return "", usagef("--token-file - leaves nothing of standard input for the message; give it as an argument")
	case isTerminal(std.in):
		fmt.Fprintln(std.err, "kaban: type the message; Ctrl-D ends it")
	}
	read, err := io.ReadAll(io.LimitReader(std.in, maxLine))
	if err != nil {
		return "", fmt.Errorf("read the message: %w", err)
	}
	return strings.TrimRight(plainLines(string(read)), "\r\n"), nil
}

// writing says in which room a command stores something.
type writing struct {
	room    string
	outside bool   // an account need not be in the room, and nobody makes the room
	join    bool   // --join: also if the account is not in the room
	failure string // begins an error if nothing is stored
	unknown string // begins an error if that is not known
}

// write stores something in a room.
func (c *connectFlags) write(std streams, w writing, store func(context.Context, *client.Room) error) error {
	ctx, stop := untilInterrupted()
	defer stop()
	asked, err := parseRoom(w.room)
	if err != nil {
		return err
	}
	n := &notices{out: std.err}
	session, err := c.connect(ctx, client.Options{OnState: n.onState(), OnHeld: n.onHeld()}, ownNames(), std)
	if err != nil {
		return err
	}
	defer session.Close()
	_, hasAccount := session.Account()
	isNew, enter := false, session.Join
	switch {
	case w.outside && hasAccount: // joining would make it a member
		enter = session.Watch
	case w.outside:
		if isNew, err = w.isNew(ctx, session); isNew || err != nil {
			return fmt.Errorf("%s: %w", w.failure, cmp.Or(err, noRoom(session, w.room, " that you may read", wire.CodeNotFound)))
		}
	case hasAccount && w.join:
		isNew, _ = w.isNew(ctx, session) // only for a notice
	case hasAccount:
		if err := w.mayJoin(ctx, session, asked); err != nil {
			return fmt.Errorf("%s: %w", w.failure, err)
		}
	}
	room, err := enter(ctx, w.room, client.From{})
	if refused, ok := errors.AsType[*client.Error](err); ok && w.outside {
		if refused.Code == wire.CodeNotFound {
			err = noRoom(session, w.room, " that you may read", wire.CodeNotFound)
		}
		return fmt.Errorf("%s: %w", w.failure, err)
	}
	if err != nil {
		return joinError(w.room, err)
	}
	if isNew {
		n.printf("made the room %s", w.room)
	}
	if err := store(ctx, room); err != nil {
		if _, ok := errors.AsType[*kaban.MessageError](err); ok {
			return fmt.Errorf("%s: %s", w.failure, refusal(err))
		}
		if _, ok := errors.AsType[*client.Error](err); ok {
			return fmt.Errorf("%s: %w", w.failure, err)
		}
		if _, ok := errors.AsType[notStored](err); ok {
			return fmt.Errorf("%s: %w", w.failure, err)
		}
		return fmt.Errorf("%s: %w", w.unknown, err)
	}
	return nil
}

// notStored is an error after which nothing was sent to the room.
type notStored struct{ error }

func (e notStored) Unwrap() error { return e.error }

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

// mayJoin returns nil if the account is in the room: without --join, writing there must not
// make it a member.
func (w *writing) mayJoin(ctx context.Context, session *client.Client, room kaban.RoomName) error {
	me, err := session.Me(ctx)
	if err != nil {
		return err
	}
	for i := range me.Rooms {
		if in, err := kaban.ParseAnyRoom(me.Rooms[i].Room); err == nil && in.Key() == room.Key() {
			return nil
		}
	}
	isNew, err := w.isNew(ctx, session)
	switch {
	case err != nil:
		return err
	case isNew:
		return noRoom(session, w.room, " that you may read; --join makes it if the name is free", wire.CodeNotJoined)
	}
	return fmt.Errorf("you are not in %s; --join joins it first (%s)", display.Line(w.room), wire.CodeNotJoined)
}

// isNew reports whether there is no such room yet, as far as the account may know, so that
// joining makes it.
func (w *writing) isNew(ctx context.Context, session *client.Client) (bool, error) {
	_, err := session.History(ctx, w.room, client.HistoryQuery{Limit: 1})
	refused, _ := errors.AsType[*client.Error](err)
	switch {
	case refused == nil:
		return false, err
	case refused.Code == wire.CodeNotFound:
		return true, nil
	}
	return false, nil // there is one, which the account may not read
}

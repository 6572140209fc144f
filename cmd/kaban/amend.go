package main

import (
	"context"
	"errors"
	"strings"

	"kaban/client"
	"kaban/internal/emoji"
	"kaban/wire"
)

// amending is what commands that change a message share.
type amending struct {
	connectFlags
	Room string `arg:"" help:"The room of the message."`
	Seq  uint64 `arg:"" help:"The number of the message; \"kaban tail --numbers\" shows it."`
}

// amend changes the message.
func (c *amending) amend(std streams, change func(context.Context, *client.Room) error) error {
	if c.Seq < 1 || c.Seq > wire.MaxNumber {
		return usagef("the number of a message is from 1 to %d", uint64(wire.MaxNumber))
	}
	w := writing{room: c.Room, outside: true, failure: "nothing is changed", unknown: "the change may or may not have been stored"}
	return c.write(std, w, change)
}

type editCommand struct {
	amending
	Text []string `arg:"" optional:"" help:"The new text, all of it; several words are joined by spaces. Put -- before words that start with a dash. An empty text leaves a message with nothing but its files. Default: standard input, up to its end."`
}

// Run edits a message.
func (c *editCommand) Run(std streams) error {
	text, err := c.readText(std, c.Text)
	if err != nil {
		return err
	}
	if text == "" && len(c.Text) == 0 { // perhaps a program has failed
		return errors.New("nothing is changed: standard input is empty; to leave a message with nothing but its files, give '' as the text")
	}
	return c.amend(std, func(ctx context.Context, room *client.Room) error {
		_, err := room.Edit(ctx, c.Seq, text, 0)
		return err
	})
}

type deleteCommand struct {
	amending
	Reason string `placeholder:"TEXT" help:"Why, for everybody in the room: one line."`
}

// Run deletes a message.
func (c *deleteCommand) Run(std streams) error {
	if err := wire.CheckReason(c.Reason); err != nil {
		return usagef("--reason: %w", err)
	}
	return c.amend(std, func(ctx context.Context, room *client.Room) error {
		_, err := room.Delete(ctx, c.Seq, c.Reason)
		return err
	})
}

type reactCommand struct {
	amending
	Emoji string `arg:"" help:"An emoji, or its :name:, such as :thumbs_up:."`
	Off   bool   `help:"Take the reaction back."`
}

// Run reacts to a message.
func (c *reactCommand) Run(std streams) error {
	sign := c.Emoji
	if strings.HasPrefix(sign, ":") {
		var ok bool
		if sign, ok = emoji.ByName(c.Emoji); !ok {
			return usagef("there is no emoji %q; give an emoji such as 👍, or a name such as :thumbs_up:", c.Emoji)
		}
	}
	return c.amend(std, func(ctx context.Context, room *client.Room) error {
		_, err := room.React(ctx, c.Seq, sign, !c.Off)
		return err
	})
}

type pinCommand struct {
	amending
	Off bool `help:"Unpin it."`
}

// Run pins a message.
func (c *pinCommand) Run(std streams) error {
	return c.amend(std, func(ctx context.Context, room *client.Room) error {
		_, err := room.Pin(ctx, c.Seq, !c.Off)
		return err
	})
}

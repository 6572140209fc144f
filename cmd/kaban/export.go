package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"

	"kaban"
	"kaban/internal/display"
	"kaban/internal/export"
	"kaban/internal/store"
)

// maxDamagedLines bounds the damaged messages that an export names.
const maxDamagedLines = 100

type exportCommand struct {
	dataFlags
	Room []string `arg:"" optional:"" help:"The rooms to export. Default: all."`
}

// Run writes the entries of rooms to standard output, a line each. Without rooms it
// writes the documents first, which include secrets such as hashes of passwords.
func (c *exportCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	only := make([]kaban.RoomName, len(c.Room))
	for i, text := range c.Room {
		if only[i], err = kaban.ParseRoomName(text); err != nil {
			return usagef("room: %w", err)
		}
	}
	archive, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	total, err := c.total(ctx, archive, only)
	if err != nil {
		return err
	}
	lost := archive.Lost(ctx)
	if lost != nil {
		lost = fmt.Errorf("%w; everything before them is exported", lost)
	}
	return errors.Join(c.write(ctx, archive, only, total, std), lost)
}

// total returns the number of entries in rooms, all of which must exist.
func (c *exportCommand) total(ctx context.Context, archive store.Archive, only []kaban.RoomName) (total uint64, err error) {
	rooms, err := archive.Rooms(ctx)
	if err != nil {
		return 0, err
	}
	missing := slices.Clone(only)
	for _, r := range rooms {
		same := func(name kaban.RoomName) bool { return name.Key() == r.Name.Key() }
		if len(only) == 0 || slices.ContainsFunc(only, same) {
			total += r.Head
		}
		missing = slices.DeleteFunc(missing, same)
	}
	if len(missing) > 0 {
		return 0, fmt.Errorf("there is no room %s in %s", missing[0], c.Data)
	}
	return total, nil
}

func (c *exportCommand) write(ctx context.Context, archive store.Archive, only []kaban.RoomName, total uint64, std streams) error {
	bar := progress(std.err, int64(total), "exporting", "messages")
	defer bar.Finish()
	out := bufio.NewWriterSize(std.out, 1<<20)
	var line []byte
	var damaged uint64
	write := func() error {
		if _, err := out.WriteString(display.JSON(string(line))); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		return nil
	}
	err := archive.Export(ctx, only, store.Receiver{
		Document: func(d *store.Document) (err error) {
			if line, err = export.AppendDocument(line[:0], d); err != nil {
				return err
			}
			return write()
		},
		Record: func(r *store.Record) (err error) {
			if line, err = export.Append(line[:0], r); err != nil {
				return err
			}
			if r.Seq%1000 == 0 {
				bar.Add(1000)
			}
			return write()
		},
		Damaged: func(err error) error {
			if damaged++; damaged <= maxDamagedLines {
				fmt.Fprintln(std.err, "kaban:", err)
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if damaged > 0 {
		return fmt.Errorf("%s has %s; everything else is exported", c.Data, count(damaged, "damaged place"))
	}
	return nil
}

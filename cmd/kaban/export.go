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
	"kaban/internal/people"
	"kaban/internal/store"
)

// maxDamagedLines bounds the damaged messages that an export names.
const maxDamagedLines = 100

type exportCommand struct {
	dataFlags
	User    string   `placeholder:"NAME" help:"Write what the server has of this person instead: account, settings, sign-ins, programs, memberships, what the audit has of them, and messages."`
	Files   string   `placeholder:"DIR" help:"Copy the files of what is written, too, into this directory, which is made. \"kaban import --files\" takes those of a whole export; those of rooms or a person are called DIR/ID/NAME."`
	NoAudit bool     `help:"Do not note the export in the audit; for a database that cannot be written."`
	Room    []string `arg:"" optional:"" help:"The rooms to export. Default: all."`
}

// Run writes the entries of rooms to standard output, a line each. Without rooms it
// writes the documents first, which include secrets such as hashes of passwords. An
// export of a person, and one with rooms that not everybody may read, is a row of the
// audit.
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
	person, err := c.audited(ctx, archive, only, std)
	if err != nil {
		return err
	}
	lost := archive.Lost(ctx)
	if lost != nil {
		lost = fmt.Errorf("%w; everything before them is exported", lost)
	}
	return errors.Join(c.write(ctx, archive, only, person, total, std), c.copyFiles(ctx, archive, only, person, std), lost)
}

// total returns the number of entries that rooms keep. All of them must exist.
func (c *exportCommand) total(ctx context.Context, archive store.Archive, only []kaban.RoomName) (total uint64, err error) {
	rooms, err := archive.Rooms(ctx)
	if err != nil {
		return 0, err
	}
	missing := slices.Clone(only)
	for _, r := range rooms {
		same := func(name kaban.RoomName) bool { return name.Key() == r.Name.Key() }
		if len(only) == 0 || slices.ContainsFunc(only, same) {
			total += r.Head + 1 - r.Oldest
		}
		missing = slices.DeleteFunc(missing, same)
	}
	if len(missing) > 0 {
		return 0, fmt.Errorf("there is no room %s in %s", missing[0], c.Data)
	}
	return total, nil
}

func (c *exportCommand) write(ctx context.Context, archive store.Archive, only []kaban.RoomName, person *export.Person, total uint64, std streams) error {
	bar := progress(std.err, int64(total), "exporting", "messages")
	defer bar.Finish()
	out := bufio.NewWriterSize(std.out, 1<<20)
	var line []byte
	var damaged uint64
	files := 0
	write := func() error {
		if _, err := out.WriteString(display.JSON(string(line))); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		return nil
	}
	if person != nil {
		line = person.Lines()
		if err := write(); err != nil {
			return err
		}
	}
	err := archive.Export(ctx, only, store.Receiver{
		Document: func(d *store.Document) (err error) {
			switch line = line[:0]; {
			case people.IsLocal(d.Key), person != nil && !people.IsAudit(d.Key):
				return nil
			case person != nil:
				line, err = appendAudit(line, person, d)
			default:
				line, err = export.AppendDocument(line, d)
			}
			if err != nil {
				return err
			}
			return write()
		},
		Front: func(f *store.Front) (err error) {
			if person != nil {
				return nil
			}
			if line, err = export.AppendFront(line[:0], f); err != nil {
				return err
			}
			return write()
		},
		Record: func(r *store.Record) (err error) {
			if r.Seq%1000 == 0 {
				bar.Add(1000)
			}
			if person != nil && !person.Wrote(r) {
				return nil
			}
			files += len(r.Files.List())
			if line, err = export.Append(line[:0], r); err != nil {
				return err
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
	if files > 0 && c.Files == "" {
		bar.Finish()
		fmt.Fprintf(std.err, "kaban: the messages have %s, which %s not in an export; \"kaban export --files DIR\" copies the files, too\n", display.Count(files, "file"), display.Noun(files, "is", "are"))
	}
	if damaged > 0 {
		return fmt.Errorf("%s has %s; everything else is exported", c.Data, display.Count(damaged, "damaged place"))
	}
	return nil
}

// appendAudit appends the line of a document of the audit, if it concerns a person.
func appendAudit(dst []byte, person *export.Person, d *store.Document) ([]byte, error) {
	row, err := people.ParseAudit(d)
	if err != nil {
		return dst, err
	}
	return person.AppendAudit(dst, &row)
}

// errEnough ends the reading of an archive that is only about documents.
var errEnough = errors.New("the documents are read")

// documents returns the documents of an archive but for the audit, which may be long.
func documents(ctx context.Context, archive store.Archive) (all export.Documents, err error) {
	err = archive.Export(ctx, nil, store.Receiver{
		Document: func(d *store.Document) error {
			if !people.IsAudit(d.Key) {
				all = append(all, store.Document{Key: d.Key, Value: slices.Clone(d.Value)})
			}
			return nil
		},
		Record:  func(*store.Record) error { return errEnough },
		Damaged: func(error) error { return nil }, // the export reports it
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return all, err
}

// audited returns the person of the export, nil for one of rooms, and has an export
// noted in the audit whose contents not everybody may read.
func (c *exportCommand) audited(ctx context.Context, archive store.Archive, only []kaban.RoomName, std streams) (person *export.Person, err error) {
	all, err := documents(ctx, archive)
	if err != nil {
		return nil, err
	}
	note := map[string]any{}
	if c.User != "" {
		name, err := kaban.ParseUsername(c.User)
		if err != nil {
			return nil, usagef("--user: %w", err)
		}
		person, err = export.NewPerson(all, name)
		if errors.Is(err, people.ErrNotFound) {
			err = fmt.Errorf("%s has no account in %s", c.User, c.Data)
		}
		if err != nil {
			return nil, err
		}
		note["username"] = c.User
	} else {
		hidden, err := export.Hidden(all, only)
		if err != nil || len(hidden) == 0 {
			return nil, err
		}
		note["rooms"] = len(hidden)
	}
	if c.NoAudit {
		return person, nil
	}
	by := adminFlags{Data: c.Data}
	err = by.withAdmin(std, nil, func(ctx context.Context, a *admin) error { return a.do(ctx, "POST", "/v1/admin/exports", note, nil) })
	if err != nil {
		return nil, fmt.Errorf("%w; the export is not in the audit, so nothing was written: --no-audit exports all the same", err)
	}
	return person, nil
}

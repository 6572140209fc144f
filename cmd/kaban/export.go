package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/schollz/progressbar/v3"

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
	if err := c.check(); err != nil {
		return err
	}
	archive, err := openAnyArchive(ctx, c.home())
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
	x := exporter{person: person, out: bufio.NewWriterSize(std.out, 1<<20), complaints: std.err, bar: bar}
	if person != nil {
		if err := x.write(person.Lines(), nil); err != nil {
			return err
		}
	}
	if err := archive.Export(ctx, only, store.Receiver{Document: x.document, Front: x.front, Record: x.record, Damaged: x.damage}); err != nil {
		return err
	}
	if err := x.out.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if x.files > 0 && c.Files == "" {
		bar.Finish()
		fmt.Fprintf(std.err, "kaban: the messages have %s, which %s not in an export; \"kaban export --files DIR\" copies the files, too\n", display.Count(x.files, "file"), display.Noun(x.files, "is", "are"))
	}
	if x.damaged > 0 {
		return fmt.Errorf("%s has %s; everything else is exported", c.Data, display.Count(x.damaged, "damaged place"))
	}
	return nil
}

// exporter writes lines, and counts what they have.
type exporter struct {
	person     *export.Person // whose export it is; nil: of rooms
	out        *bufio.Writer
	complaints io.Writer
	bar        *progressbar.ProgressBar
	line       []byte // kept for its memory

	damaged uint64
	files   int // of the messages
}

// write writes a line, unless it could not be made.
func (x *exporter) write(line []byte, err error) error {
	if x.line = line; err != nil {
		return err
	}
	if _, err := x.out.WriteString(display.JSON(string(line))); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

func (x *exporter) document(d *store.Document) error {
	switch {
	case people.IsLocal(d.Key), x.person != nil && !people.IsAudit(d.Key):
		return nil
	case x.person != nil:
		return x.write(appendAudit(x.line[:0], x.person, d))
	}
	return x.write(export.AppendDocument(x.line[:0], d))
}

func (x *exporter) front(f *store.Front) error {
	if x.person != nil {
		return nil
	}
	return x.write(export.AppendFront(x.line[:0], f))
}

func (x *exporter) record(r *store.Record) error {
	if r.Seq%1000 == 0 {
		x.bar.Add(1000)
	}
	if x.person != nil && !x.person.Wrote(r) {
		return nil
	}
	x.files += len(r.Files.List())
	return x.write(export.Append(x.line[:0], r))
}

// damage names damage, up to a number of places.
func (x *exporter) damage(err error) error {
	if x.damaged++; x.damaged <= maxDamagedLines {
		fmt.Fprintln(x.complaints, "kaban:", err)
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
	by := adminFlags{dataFlags: c.dataFlags}
	err = by.withAdmin(std, nil, func(ctx context.Context, a *admin) error { return a.do(ctx, "POST", "/v1/admin/exports", note, nil) })
	if err != nil {
		return nil, fmt.Errorf("%w; the export is not in the audit, so nothing was written: --no-audit exports all the same", err)
	}
	return person, nil
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban"
	"kaban/internal/display"
	"kaban/internal/hook"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
	"kaban/wire"
)

// dataFlags are what the commands have that work on a data directory.
type dataFlags struct {
	Data string `placeholder:"DIR" env:"KABAN_DATA" default:"./kaban-data" help:"The server's data directory. Default: ${default}."`
}

// check refuses what is no directory.
func (d *dataFlags) check() error {
	if d.Data == "" || d.Data == inMemory {
		return usagef("--data: name the server's data directory; a server with --data %s keeps nothing", inMemory)
	}
	return checkData(d.Data)
}

func (d *dataFlags) open(ctx context.Context) (*sqlite.Snapshot, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	s, err := sqlite.OpenSnapshot(ctx, d.Data)
	if err != nil {
		return nil, fmt.Errorf("--data %s: %w", d.Data, err)
	}
	return s, nil
}

// progress shows on a terminal how far long work has come; total -1 means that
// nobody knows. Elsewhere it shows nothing.
func progress(stderr io.Writer, total int64, what, unit string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(stderr), progressbar.OptionSetVisibility(isTerminal(stderr)),
		progressbar.OptionSetDescription(what), progressbar.OptionSetItsString(unit), progressbar.OptionShowIts(), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
		progressbar.OptionSpinnerType(14), progressbar.OptionFullWidth(),
	)
}

// spin keeps a bar without a total moving while work goes on.
func spin(bar *progressbar.ProgressBar, work func() error) error {
	ended := make(chan struct{})
	var spinning sync.WaitGroup
	spinning.Go(func() {
		ticker := time.NewTicker(150 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				bar.Add(0)
			case <-ended:
				return
			}
		}
	})
	err := work()
	close(ended)
	spinning.Wait()
	bar.Finish()
	return err
}

// totals says how much a list of rooms holds.
func totals(rooms []sqlite.Health) string {
	var messages uint64
	for _, r := range rooms {
		messages += r.Entries
	}
	return fmt.Sprintf("%s in %s", count(messages, "message"), count(uint64(len(rooms)), "room"))
}

func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

type backupCommand struct {
	dataFlags
	File string `arg:"" help:"The file to write. It must not exist yet."`
}

// Run writes a backup.
func (c *backupCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	snapshot, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	lost := snapshot.CheckWAL(ctx) // what can be read is worth the more
	bar := progress(std.err, -1, "copying", "B")
	rooms, err := snapshot.BackUp(ctx, c.File, func(done, total int64) {
		bar.ChangeMax64(total)
		bar.Set64(done)
		if done == total {
			bar.Describe("checking the copy")
		}
	})
	bar.Finish()
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: %s has %s, checked; \"kaban restore\" puts it back\n", c.File, totals(rooms))
	if lost != nil {
		return fmt.Errorf("%w; the backup has what is before them", lost)
	}
	return nil
}

type restoreCommand struct {
	dataFlags
	File string `arg:"" help:"The backup."`
}

// Run puts a backup in the place of the database.
func (c *restoreCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := c.check(); err != nil {
		return err
	}
	var kept string
	err := spin(progress(std.err, -1, "restoring", ""), func() (err error) {
		kept, err = sqlite.Restore(ctx, c.Data, c.File)
		return err
	})
	if kept != "" {
		fmt.Fprintf(std.err, "kaban: what was there before is kept as %s\n", kept)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: %s is restored to %s; clients that come back are told so\n", c.File, c.Data)
	return nil
}

type exportCommand struct {
	dataFlags
	Room []string `arg:"" optional:"" help:"The rooms to export. Default: all."`
}

// Run writes messages as kaban/1 frames to standard output.
func (c *exportCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	only := make([]kaban.RoomName, len(c.Room))
	for i, text := range c.Room {
		if only[i], err = kaban.ParseRoomName(text); err != nil {
			return usagef("room: %w", err)
		}
	}
	snapshot, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	rooms, err := snapshot.Rooms(ctx)
	if err != nil {
		return err
	}
	var total uint64
	missing := slices.Clone(only)
	for _, r := range rooms {
		same := func(name kaban.RoomName) bool { return name.Key() == r.Name.Key() }
		if len(only) == 0 || slices.ContainsFunc(only, same) {
			total += r.Head
		}
		missing = slices.DeleteFunc(missing, same)
	}
	if len(missing) > 0 {
		return fmt.Errorf("there is no room %s in %s", missing[0], c.Data)
	}
	lost := snapshot.CheckWAL(ctx)
	bar := progress(std.err, int64(total), "exporting", "messages")
	out := bufio.NewWriterSize(std.out, 1<<20)
	var line []byte
	var damaged uint64
	err = snapshot.Each(ctx, only, func(room kaban.RoomName, e *store.Entry) error {
		line = wire.AppendMessage(line[:0], room.String(), wire.Message{
			Seq: e.Seq, ID: e.ID, Username: e.Username, Content: e.Content, Time: time.UnixMilli(e.Time).UTC(),
		})
		if _, err := out.WriteString(display.JSON(string(line))); err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		if e.Seq%1000 == 0 {
			bar.Add(1000)
		}
		return nil
	}, func(err error) error {
		if damaged++; damaged <= maxDamagedLines {
			fmt.Fprintln(std.err, "kaban:", err)
		}
		return nil
	})
	if err == nil {
		if err = out.Flush(); err != nil {
			err = fmt.Errorf("standard output: %w", err)
		}
	}
	bar.Finish()
	if err == nil && damaged > 0 {
		err = fmt.Errorf("%s is damaged in %s; all the rest is exported", c.Data, count(damaged, "place"))
	}
	if lost != nil {
		lost = fmt.Errorf("%w; what is before them is exported", lost)
	}
	return errors.Join(err, lost)
}

// maxDamagedLines bounds the damaged messages that an export names.
const maxDamagedLines = 100

// importBatch is how many messages are one transaction.
const importBatch = 1000

type importCommand struct {
	dataFlags
	File string `arg:"" optional:"" help:"What \"kaban export\" wrote. Default: standard input."`
}

// Run adds messages with their numbers and times. No server may run.
func (c *importCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := c.check(); err != nil {
		return err
	}
	in, size, name := std.in, int64(-1), "standard input"
	if c.File != "" {
		file, err := os.Open(c.File)
		if err != nil {
			return err
		}
		defer file.Close()
		if info, err := file.Stat(); err == nil {
			size = info.Size()
		}
		in, name = file, c.File
	} else if isTerminal(std.in) {
		return usagef("name a file, or give an export on standard input")
	}
	bar := progress(std.err, size, "importing", "B")
	lines, err := newExportLines(io.TeeReader(in, bar))
	if err != nil {
		bar.Finish()
		return fmt.Errorf("%s: %w", name, err)
	}
	target, err := sqlite.Open(ctx, c.Data, sqlite.Options{})
	if err != nil {
		bar.Finish()
		return fmt.Errorf("--data %s: %w", c.Data, err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	source := wire.NewReader(lines)
	defer source.Close()
	var added, known uint64
	defer func() {
		bar.Finish()
		fmt.Fprintf(std.err, "kaban: %s imported, %d were there already\n", count(added, "message"), known)
	}()
	batch := make([]sqlite.Record, 0, importBatch)
	flush := func() error {
		n, err := target.Import(ctx, batch)
		added += uint64(n)
		known += uint64(len(batch) - n)
		if err != nil {
			known -= uint64(len(batch))
			return fmt.Errorf("%s: %w; what was imported before stays, and importing again is safe", name, err)
		}
		batch = batch[:0]
		return nil
	}
	for {
		var event wire.Event
		err := source.ReadEvent(&event)
		line := lines.line()
		switch {
		case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return flush()
		case err != nil:
			return errors.Join(flush(), fmt.Errorf("%s, line %d: %w", name, line, err))
		case event.Type != wire.TypeMessage:
			return errors.Join(flush(), fmt.Errorf("%s, line %d: this is no message but %s; give what \"kaban export\" wrote", name, line, event.Type))
		}
		record, err := recordOf(&event)
		if err != nil {
			return errors.Join(flush(), fmt.Errorf("%s, line %d: %w", name, line, err))
		}
		if batch = append(batch, record); len(batch) == importBatch {
			if err := flush(); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
	}
}

// recordOf checks a message as the server would.
func recordOf(e *wire.Event) (r sqlite.Record, err error) {
	if r.Room, err = kaban.ParseRoomName(e.Room); err != nil {
		return r, fmt.Errorf("room: %w", err)
	}
	if r.Username, err = kaban.ParseUsername(e.Username); err != nil {
		return r, err
	}
	if r.ID, err = kaban.ParseMessageID(e.ID); err != nil {
		return r, err
	}
	if err := kaban.CheckContent(e.Content, kaban.MaxContentCeiling); err != nil {
		return r, err
	}
	if e.Seq == 0 {
		return r, errors.New("seq is 0, and the first message of a room is 1")
	}
	r.Seq, r.Time, r.Content = e.Seq, e.Time.UnixMilli(), e.Content
	return r, nil
}

type checkCommand struct {
	dataFlags
}

// Run reads everything and says whether it is sound.
func (c *checkCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	snapshot, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	var rooms []sqlite.Health
	var problems []string
	err = spin(progress(std.err, -1, "checking", ""), func() (err error) {
		rooms, problems, err = snapshot.Check(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if _, err := hook.Open(c.Data).List(); err != nil {
		problems = append(problems, err.Error())
	}
	sound := len(problems) == 0
	for _, r := range rooms {
		state := "complete"
		if r.Trouble != "" {
			state, sound = "DAMAGED: "+r.Trouble, false
		}
		fmt.Fprintf(std.out, "%-40s %12d  %s\n", r.Room.Name, r.Entries, state)
	}
	for _, p := range problems {
		fmt.Fprintln(std.err, "kaban:", p)
	}
	if !sound {
		return fmt.Errorf("%s is damaged; stop the server and restore a backup with \"kaban restore\", or save what can be read with \"kaban export\"", c.Data)
	}
	fmt.Fprintf(std.err, "kaban: %s: %s, all is sound\n", c.Data, totals(rooms))
	return nil
}

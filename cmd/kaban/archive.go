package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/hook"
	"kaban/internal/store"
)

// dataFlags are the flags of the commands that work on a data directory.
type dataFlags struct {
	Data string `placeholder:"DIR" env:"KABAN_DATA" default:"./kaban-data" help:"The server's data directory. Default: ${default}."`
}

func (d *dataFlags) open(ctx context.Context) (store.Archive, error) {
	if err := checkDirectory(d.Data); err != nil {
		return nil, err
	}
	return openArchive(ctx, d.Data)
}

// progress shows the progress of long work on a terminal, and nothing elsewhere. A
// total of -1 means that it is unknown.
func progress(stderr io.Writer, total int64, what, unit string) *progressbar.ProgressBar {
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(stderr), progressbar.OptionSetVisibility(isTerminal(stderr)),
		progressbar.OptionSetDescription(what), progressbar.OptionSetItsString(unit), progressbar.OptionShowIts(), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetWidth(30),
		progressbar.OptionSpinnerType(14), progressbar.OptionFullWidth(),
	)
}

// spin animates a bar without a total while work runs.
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

// totals counts the messages, rooms and documents of a report.
func totals(report *store.Report) string {
	var messages uint64
	for _, r := range report.Rooms {
		messages += r.Entries
	}
	return fmt.Sprintf("%s in %s and %s", count(messages, "message"), count(uint64(len(report.Rooms)), "room"), count(report.Documents, "document"))
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
	archive, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	lost := archive.Lost(ctx) // a reason to back up the rest
	bar := progress(std.err, -1, "copying", "B")
	report, err := archive.Backup(ctx, c.File, func(done, total int64) {
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
	fmt.Fprintf(std.err, "kaban: %s has %s, checked; \"kaban restore\" restores it\n", c.File, totals(report))
	if lost != nil {
		return fmt.Errorf("%w; the backup has everything before them", lost)
	}
	return nil
}

type restoreCommand struct {
	dataFlags
	File string `arg:"" help:"The backup."`
}

// Run replaces the database with a backup.
func (c *restoreCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := checkDirectory(c.Data); err != nil {
		return err
	}
	var kept string
	err := spin(progress(std.err, -1, "restoring", ""), func() (err error) {
		kept, err = restore(ctx, c.Data, c.File)
		return err
	})
	if kept != "" {
		fmt.Fprintf(std.err, "kaban: the previous database is kept as %s\n", kept)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: restored %s to %s; returning clients are told to start over\n", c.File, c.Data)
	return nil
}

type checkCommand struct {
	dataFlags
}

// Run reads everything and reports whether it is sound.
func (c *checkCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	archive, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	var report *store.Report
	err = spin(progress(std.err, -1, "checking", ""), func() (err error) {
		report, err = archive.Check(ctx)
		return err
	})
	if err != nil {
		return err
	}
	if err := hook.Check(c.Data); err != nil {
		report.Problems = append(report.Problems, err.Error())
	}
	for _, r := range report.Rooms {
		state := "complete"
		if r.Trouble != "" {
			state = "DAMAGED: " + r.Trouble
		}
		fmt.Fprintf(std.out, "%-40s %12d  %s\n", r.Room.Name, r.Entries, state)
	}
	for _, p := range report.Problems {
		fmt.Fprintln(std.err, "kaban:", p)
	}
	if report.Err() != nil {
		return fmt.Errorf("%s is damaged; stop the server and restore a backup with \"kaban restore\", or save the readable part with \"kaban export\"", c.Data)
	}
	fmt.Fprintf(std.err, "kaban: %s: %s, all is sound\n", c.Data, totals(report))
	return nil
}

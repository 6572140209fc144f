package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/display"
	"kaban/internal/migrate"
)

type migrateCommand struct {
	From             string `required:"" placeholder:"PLACE" help:"Where everything is: a data directory, or postgres://ROLE@HOST/NAME. Nobody may be using it."`
	To               string `required:"" placeholder:"PLACE" help:"Where it is to be: a database, or a data directory. It must be empty."`
	Files            string `placeholder:"DIR" help:"The directory of files that the nodes of the database share (kaban serve --files): files are copied there from the data directory, or from there. Files in S3 stay where they are."`
	DataPasswordFile string `placeholder:"FILE" env:"KABAN_DATA_PASSWORD_FILE" help:"File with the password of the database's role, or credential:NAME for a credential of systemd. Without it the password is looked for in ~/.pgpass, as psql does."`
}

// Help implements kong.HelpProvider.
func (migrateCommand) Help() string {
	return "Clients notice nothing: messages keep their numbers, and what they remember stays true. Stop the server, or all nodes, first. " +
		"If this is interrupted, run it again: it goes on where it was. At the end everything is read again and compared, and only then the old place is given up: no server starts there any more."
}

// Run takes everything from one place to the other.
func (c *migrateCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	m := moving{files: c.Files, said: std.err}
	if m.from, m.to, err = c.homes(); err != nil {
		return err
	}
	err = m.run(ctx)
	if ctx.Err() != nil && err != nil {
		fmt.Fprintf(std.err, "kaban: interrupted; run the same command again, and it goes on where it was\n")
		return errSilent
	}
	return err
}

// homes returns the places, of which one is a directory and one a database.
func (c *migrateCommand) homes() (from, to home, err error) {
	places := []struct {
		flag string
		home *home
	}{{"--from", &from}, {"--to", &to}}
	from.data, to.data = c.From, c.To
	for _, p := range places {
		p.home.node = nodeFlags{State: ".", DataPasswordFile: c.DataPasswordFile}
		if err := p.home.node.settle(p.flag, &p.home.data); err != nil {
			return from, to, err
		}
		if err := checkData(p.flag, p.home.data); err != nil {
			return from, to, err
		}
		if p.home.data == inMemory {
			return from, to, usagef("%s: a server with --data %s keeps nothing", p.flag, inMemory)
		}
	}
	if from.isDatabase() == to.isDatabase() {
		return from, to, usagef("one of --from and --to is a data directory, and the other a database, as postgres://ROLE@HOST/NAME")
	}
	return from, to, nil
}

// moving is a migration.
type moving struct {
	from, to home
	files    string // the directory that nodes share; "" without one
	said     io.Writer
}

func (m *moving) run(ctx context.Context) (err error) {
	if !m.from.isDatabase() {
		if err := checkSource(m.from.data); err != nil {
			return err
		}
	}
	from, err := openMoving(ctx, m.from)
	if err != nil {
		return fmt.Errorf("--from %s: %w", m.from.data, err)
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := openMoving(ctx, m.to)
	if err != nil {
		return fmt.Errorf("--to %s: %w", m.to.data, err)
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	about, err := m.moveFiles(ctx, from)
	if err != nil {
		return err
	}
	show := shownMove{said: m.said}
	report, err := migrate.Run(ctx, from, to, migrate.Options{Progress: show.progress, Last: func(ctx context.Context) error { return m.last(ctx, to) }})
	show.end()
	switch {
	case errors.Is(err, migrate.ErrDone):
		fmt.Fprintf(m.said, "kaban: %v\n", err)
		return nil
	case errors.Is(err, migrate.ErrDiffers):
		return fmt.Errorf("%w; nothing of %s was changed, and it is still the one to serve: empty %s, remove the note of the migration (docs/migrate.md), and find out what has changed it", err, m.from.data, m.to.data)
	case err != nil:
		return err
	}
	m.report(report, about)
	return nil
}

// checkSource refuses a directory without data, which opening it would make.
func checkSource(data string) error {
	found, err := hasStore(data)
	if err == nil && !found {
		err = errors.New("there is no database in it; name the server's data directory")
	}
	if err != nil {
		return fmt.Errorf("--from %s: %w", data, err)
	}
	return nil
}

// report says what was done.
func (m *moving) report(r *migrate.Report, about string) {
	fmt.Fprintf(m.said, "kaban: %s in %s and %s are in %s now, compared one by one (SHA-256 %.16s)\n",
		display.Count(r.Entries, "message"), display.Count(r.Rooms, "room"), display.Count(r.Documents, "document"), m.to.data, r.Sum)
	if about != "" {
		fmt.Fprintln(m.said, "kaban:", about)
	}
	fmt.Fprintf(m.said, "kaban: serve --data %s from now on; %s stays as it is, and no server starts with it any more\n", shellWord(m.to.data), m.from.data)
}

// sayEvery is how often progress is said where there is no terminal to show it on.
const sayEvery = 10 * time.Second

// shownMove shows the progress of a migration.
type shownMove struct {
	said  io.Writer
	phase migrate.Phase
	bar   *progressbar.ProgressBar
	next  time.Time
}

func (s *shownMove) progress(phase migrate.Phase, done, total uint64) {
	if s.phase != phase {
		s.end()
		s.phase, s.bar = phase, progress(s.said, int64(total), string(phase), " entries")
		s.next = time.Now().Add(sayEvery)
	}
	s.bar.Set64(int64(done)) // an error is one of the display
	if now := time.Now(); !isTerminal(s.said) && now.After(s.next) {
		fmt.Fprintf(s.said, "kaban: %s: %d of %d\n", phase, done, total)
		s.next = now.Add(sayEvery)
	}
}

func (s *shownMove) end() {
	if s.bar != nil {
		s.bar.Finish()
	}
}

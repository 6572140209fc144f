package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"kaban"
	"kaban/client/transfer"
	"kaban/internal/display"
)

type filesCommand struct {
	Get filesGetCommand `cmd:"" help:"Download a file of a message."`
}

type filesGetCommand struct {
	connectFlags
	ID     string `arg:"" help:"The id of the file; \"kaban tail --json\" shows it, as \"file\"."`
	Output string `short:"o" placeholder:"PATH" help:"Where to put it; - is standard output. Default: the name of the file, in the current directory."`
	Force  bool   `help:"Overwrite what is there."`
}

// Run downloads a file.
func (c *filesGetCommand) Run(std streams) error {
	if !kaban.IsFileID(c.ID) {
		return usagef("the id of a file has %d characters of a-z and 2-7; kaban tail ROOM --json shows it", kaban.FileIDLength)
	}
	ctx, stop := untilInterrupted()
	defer stop()
	web, options, err := c.filesAt(ctx, std)
	if err != nil {
		return err
	}
	d, err := transfer.Open(ctx, web, c.ID, options)
	if err != nil {
		return c.explainFiles(web, err)
	}
	defer d.Close()
	if c.Output == "-" {
		_, err := io.Copy(std.out, d)
		return err
	}
	path := c.Output
	if path == "" {
		path = transfer.CleanName(d.Name, c.ID)
	}
	bar := progress(std.err, d.Size, display.Line(path), "B")
	err = saveFile(path, c.Force, func(to io.Writer) error {
		_, err := io.Copy(io.MultiWriter(to, bar), d)
		return err
	})
	bar.Clear()
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, display.Line(path))
	return nil
}

// saveFile writes a file, which appears under its name once it is complete. Nothing is overwritten
// unless that is forced.
func saveFile(path string, force bool, write func(io.Writer) error) error {
	exists := func() error {
		if _, err := os.Lstat(path); err == nil && !force {
			return fmt.Errorf("%s is there already; --output names another file, and --force overwrites it", display.Line(path))
		} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if err := exists(); err != nil {
		return err
	}
	draft, err := os.CreateTemp(filepath.Dir(path), ".kaban-*.part")
	if bad, ok := errors.AsType[*fs.PathError](err); ok { // it names the draft, which says nothing to people
		return fmt.Errorf("%s cannot be written: %w; --output names another file", display.Line(path), bad.Err)
	}
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name())
	if err := errors.Join(write(draft), draft.Sync(), draft.Close()); err != nil {
		return err
	}
	if force {
		return os.Rename(draft.Name(), path)
	}
	if err := os.Link(draft.Name(), path); !errors.Is(err, fs.ErrExist) && err != nil { // a file system without links
		if err := exists(); err != nil {
			return err
		}
		return os.Rename(draft.Name(), path)
	} else if err != nil {
		return cmp.Or(exists(), err) // whatever was there may be gone again
	}
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/store"
)

// importBatch is the number of messages in one transaction.
const importBatch = 1000

type importCommand struct {
	dataFlags
	File string `arg:"" optional:"" help:"A file that \"kaban export\" wrote. Default: standard input."`
}

// Run adds messages with their numbers and times. No server may be using the
// directory.
func (c *importCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := checkDirectory(c.Data); err != nil {
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
		return usagef("name a file, or pass an export on standard input")
	}
	return c.importFrom(ctx, in, name, progress(std.err, size, "importing", "B"), std)
}

func (c *importCommand) importFrom(ctx context.Context, in io.Reader, name string, bar *progressbar.ProgressBar, std streams) (err error) {
	defer bar.Finish()
	lines, err := newExportLines(io.TeeReader(in, bar))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	target, err := openImporter(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	i := importer{target: target, name: name, batch: make([]store.Record, 0, importBatch)}
	defer func() {
		bar.Finish()
		fmt.Fprintf(std.err, "kaban: %s imported, %d were there already\n", count(i.added, "message"), i.known)
	}()
	for {
		record, err := lines.record()
		if errors.Is(err, io.EOF) {
			return i.flush(ctx)
		}
		if err != nil {
			return errors.Join(i.flush(ctx), fmt.Errorf("%s, line %d: %w", name, lines.number, err))
		}
		if i.batch = append(i.batch, record); len(i.batch) < importBatch {
			continue
		}
		if err := i.flush(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// importer counts what it imports.
type importer struct {
	target       store.Importer
	name         string // of the source
	batch        []store.Record
	added, known uint64
}

// flush imports the batch.
func (i *importer) flush(ctx context.Context) error {
	n, err := i.target.Import(ctx, i.batch)
	if err != nil {
		return fmt.Errorf("%s: %w; earlier messages stay imported, and importing again is safe", i.name, err)
	}
	i.added += uint64(n)
	i.known += uint64(len(i.batch) - n)
	i.batch = i.batch[:0]
	return nil
}

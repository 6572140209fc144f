package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/display"
	"kaban/internal/export"
	"kaban/internal/store"
)

// Limits of one transaction.
const (
	importBatch = 1000    // messages and documents
	importBytes = 4 << 20 // of documents
)

type importCommand struct {
	dataFlags
	placeFlags
	Files string `placeholder:"DIR" help:"The directory to which \"kaban export --files\" copied the files, to be copied, too."`
	Fill  bool   `name:"fill-gaps" help:"Import a file that lacks entries, such as an export of a damaged database: their numbers stay taken, and show nothing."`
	File  string `arg:"" optional:"" help:"A file that \"kaban export\" wrote. Default: standard input."`
}

// Run adds messages with their numbers and times, and documents. No server may be using the
// directory.
func (c *importCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := errors.Join(checkDirectory(c.Data), c.placeFlags.check()); err != nil {
		return err
	}
	if c.Files == "" && (c.isSet() || c.S3TakeOver) {
		return usagef("the flags of S3 say where files go, and only --files brings files; name their directory with it")
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
	if err := c.importFrom(ctx, in, name, progress(std.err, size, "importing", "B"), std); err != nil || c.Files == "" {
		return err
	}
	return c.importFiles(ctx, std)
}

// importFiles copies the files that the documents of the database refer to, and that it does not have.
func (c *importCommand) importFiles(ctx context.Context, std streams) (err error) {
	needs, missing, place, err := bringFiles(ctx, c.dataFlags, &c.placeFlags, c.Files, progress(std.err, -1, "importing files", ""))
	switch {
	case err != nil:
		return fmt.Errorf("%w; what was imported before stays, and importing again is safe", err)
	case len(missing) > 0:
		return fmt.Errorf("%s of %s are neither in %s nor in %s; everything else is imported, and importing again is safe", blobCount(missing), blobCount(needs), c.Files, place)
	}
	fmt.Fprintf(std.err, "kaban: %s are there, checked\n", blobCount(needs))
	return nil
}

func (c *importCommand) importFrom(ctx context.Context, in io.Reader, name string, bar *progressbar.ProgressBar, std streams) (err error) {
	defer bar.Finish()
	lines, err := export.NewReader(io.TeeReader(in, bar))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	target, err := openImporter(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	gaps, err := newFiller(ctx, target, c.Fill)
	if err != nil {
		return err
	}
	i := importer{target: target, name: name, gaps: gaps}
	defer func() {
		bar.Finish()
		imported := display.Count(i.messages-min(gaps.lost, i.messages), "message") // what stands in is new, or the gap is none
		if i.documents > 0 {
			imported += " and " + display.Count(i.documents, "document")
		}
		fmt.Fprintf(std.err, "kaban: %s imported, %s there already\n", imported, display.Count(i.known, "was", "were"))
		if gaps.lost > 0 {
			fmt.Fprintf(std.err, "kaban: %s that the export lacks: void, their numbers stay taken and show nothing\n", counted(int(gaps.lost), "entry", "entries"))
		}
	}()
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return i.flush(ctx)
		}
		if err != nil {
			return errors.Join(i.flush(ctx), fmt.Errorf("%s, line %d: %w", name, lines.Number(), err))
		}
		if line.Front != nil {
			if err := i.begin(ctx, line.Front); err != nil {
				return err
			}
			continue
		}
		if err := i.add(ctx, line); err != nil {
			return errors.Join(i.flush(ctx), err)
		}
		if !i.isFull() {
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

// importer collects what it imports, and counts it.
type importer struct {
	target store.Importer
	name   string // of the source
	gaps   *filler

	// The batch.
	records []store.Record
	values  []store.Document
	bytes   int // of the documents

	messages, documents, known uint64
}

// begin has a room begin where its log was cut. What comes before in the export is imported
// first.
func (i *importer) begin(ctx context.Context, front *store.Front) error {
	if err := i.flush(ctx); err != nil {
		return err
	}
	if _, err := i.target.ImportFront(ctx, front); err != nil {
		return i.explain(err)
	}
	i.gaps.front(front)
	return nil
}

// add adds a line to the batch, after what stands in for entries that are missing before it.
func (i *importer) add(ctx context.Context, line export.Line) error {
	if line.Document != nil {
		i.values = append(i.values, *line.Document)
		i.bytes += len(line.Document.Value)
		return nil
	}
	missing, err := i.gaps.before(i.name, line.Record)
	if err != nil {
		return err
	}
	for seq := line.Record.Seq - missing; seq < line.Record.Seq; seq++ {
		lost, err := lostEntry(line.Record, seq)
		if err != nil {
			return err
		}
		i.records = append(i.records, lost)
		if !i.isFull() {
			continue
		}
		if err := i.flush(ctx); err != nil {
			return err
		}
	}
	if err := i.gaps.settle(ctx, line.Record); err != nil {
		return err
	}
	i.records = append(i.records, *line.Record)
	return nil
}

func (i *importer) isFull() bool {
	return len(i.records)+len(i.values) >= importBatch || i.bytes >= importBytes
}

// flush imports the batch.
func (i *importer) flush(ctx context.Context) error {
	n, err := i.target.ImportDocuments(ctx, i.values)
	if err != nil {
		return i.explain(err)
	}
	i.documents += uint64(n)
	i.known += uint64(len(i.values) - n)
	if n, err = i.target.Import(ctx, i.records); err != nil {
		return i.explain(err)
	}
	i.messages += uint64(n)
	i.known += uint64(len(i.records) - n)
	i.records, i.values, i.bytes = i.records[:0], i.values[:0], 0
	return nil
}

func (i *importer) explain(err error) error {
	return fmt.Errorf("%s: %w; what was imported before stays, and importing again is safe", i.name, err)
}

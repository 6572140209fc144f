package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/display"
	"kaban/internal/export"
	"kaban/internal/people"
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
	Files string `placeholder:"DIR" help:"The directory to which \"kaban export --files\" copied the files, to be copied, too. Without FILE, only files are imported."`
	Fill  bool   `name:"fill-gaps" help:"Import a file that lacks entries or documents, such as an export of a damaged database: numbers of messages stay taken, and show nothing; accounts and rooms are made anew as far as the rest says what they were."`
	File  string `arg:"" optional:"" help:"A file that \"kaban export\" wrote. \"-\" is standard input, the default without --files."`
}

// Run adds messages with their numbers and times, and documents. No server may be using the
// directory.
func (c *importCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := errors.Join(c.checkIsDirectory(databaseLines), c.placeFlags.check()); err != nil {
		return err
	}
	if c.Files == "" && (c.isSet() || c.S3TakeOver) {
		return usagef("the flags of S3 say where files go, and only --files brings files; name their directory with it")
	}
	switch {
	case c.File == "" && c.Files != "":
		return c.importFilesAlone(ctx, std)
	case c.File == "" && isTerminal(std.in):
		return usagef("name a file, or pass an export on standard input")
	}
	if err := c.importLines(ctx, std); err != nil || c.Files == "" {
		return err
	}
	return c.importFiles(ctx, std)
}

// importFilesAlone is importFiles for a database that is there, while no server may use it.
func (c *importCommand) importFilesAlone(ctx context.Context, std streams) (err error) {
	archive, err := c.dataFlags.open(ctx, databaseLines)
	if err == nil {
		err = archive.Close()
	}
	if err != nil {
		return err
	}
	lock, err := openImporter(ctx, c.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	return c.importFiles(ctx, std)
}

// importLines imports the file, or standard input.
func (c *importCommand) importLines(ctx context.Context, std streams) error {
	if c.File == "" || c.File == "-" {
		return c.importFrom(ctx, std.in, "standard input", progress(std.err, -1, "importing", "B"), std)
	}
	file, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer file.Close()
	size := int64(-1)
	if info, err := file.Stat(); err == nil {
		size = info.Size()
	}
	return c.importFrom(ctx, file, c.File, progress(std.err, size, "importing", "B"), std)
}

// importFiles copies the files that the documents of the database refer to, and that it does not have.
func (c *importCommand) importFiles(ctx context.Context, std streams) error {
	needs, missing, place, err := bringFiles(ctx, c.dataFlags, &c.placeFlags, c.Files, progress(std.err, -1, "importing files", " files"))
	switch {
	case err != nil:
		return fmt.Errorf("%w; what was imported before stays, and %s", err, c.filesAgain())
	case len(missing) > 0:
		return fmt.Errorf("%s of %s %s neither in %s nor in %s; everything else is imported, and %s", blobCount(missing), blobCount(needs), areOf(missing), c.Files, place, c.filesAgain())
	}
	fmt.Fprintf(std.err, "kaban: %s %s there, checked\n", blobCount(needs), areOf(needs))
	return nil
}

// filesAgain says how to import files without the rest, which may have been mended or changed since it was imported.
func (c *importCommand) filesAgain() string {
	again := fmt.Sprintf(`"kaban import --data %s --files DIR" imports the files alone`, shellWord(c.Data))
	if c.isSet() {
		again += ", with the same flags of S3"
	}
	return again
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
	i := importer{target: target, name: name, gaps: gaps, logs: people.NewLogged()}
	defer func() {
		bar.Finish()
		for _, line := range i.report(c.Files != "") {
			fmt.Fprintln(std.err, "kaban:", line)
		}
	}()
	if err := i.read(ctx, lines); err != nil {
		return err
	}
	return i.end(ctx, std)
}

// importer collects what it imports, and counts it.
type importer struct {
	target store.Importer
	name   string // of the source
	gaps   *filler
	logs   *people.Logged // what the export says of accounts and rooms, to fill gaps

	// The batch.
	records []store.Record
	values  []store.Document
	bytes   int // of the documents

	messages, documents, known uint64
	files                      int // of the messages
}

// report says in lines what was imported.
func (i *importer) report(withFiles bool) (lines []string) {
	imported := display.Count(i.messages-min(i.gaps.lost, i.messages), "message") // what stands in is new, or the gap is none
	if i.documents > 0 {
		imported += " and " + display.Count(i.documents, "document")
	}
	lines = append(lines, fmt.Sprintf("%s imported, %s there already", imported, display.Count(i.known, "was", "were")))
	if i.files > 0 && !withFiles {
		lines = append(lines, fmt.Sprintf("the messages have %s, which %s not imported; \"kaban import --files DIR\" takes those that \"kaban export --files DIR\" copied, also afterwards", display.Count(i.files, "file"), display.Noun(i.files, "is", "are")))
	}
	if i.gaps.lost > 0 {
		lines = append(lines, fmt.Sprintf("%s that the export lacks: void, their numbers stay taken and show nothing", counted(int(i.gaps.lost), "entry", "entries")))
	}
	return lines
}

// read imports all lines, but for the last of them, which are in the batch.
func (i *importer) read(ctx context.Context, lines *export.Reader) error {
	for {
		line, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return errors.Join(i.flush(ctx), fmt.Errorf("%s, line %d: %w", i.name, lines.Number(), err))
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
	i.logs.Front(front.Room)
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
	if i.gaps.fill {
		i.logs.Note(line.Record)
	}
	i.files += len(line.Record.Files.List())
	i.records = append(i.records, *line.Record)
	return nil
}

// end imports the rest, and makes good what documents refer to and the export lacks, or says that it is missing.
func (i *importer) end(ctx context.Context, std streams) error {
	if err := i.flush(ctx); err != nil || i.documents == 0 && !i.gaps.fill {
		return err
	}
	if !i.gaps.fill {
		return i.warn(ctx, std)
	}
	var done people.Repaired
	err := i.target.Update(ctx, func(tx store.Tx) (err error) {
		done, err = people.Repair(tx, i.logs, time.Now().UnixMilli())
		return err
	})
	if err != nil {
		return i.explain(fmt.Errorf("make good what is missing: %w", err))
	}
	for _, line := range repairReport(&done) {
		fmt.Fprintln(std.err, "kaban:", display.Line(line))
	}
	return nil
}

// warn says that documents refer to what is missing, which a second import may bring.
func (i *importer) warn(ctx context.Context, std streams) error {
	return i.target.View(ctx, func(tx store.Tx) error {
		faults, err := people.Faults(tx)
		if len(faults) > 0 {
			fmt.Fprintf(std.err, "kaban: warning: %s refer to what %s lacks, such as: %s; if it is lost for good, import again with --fill-gaps\n",
				display.Count(len(faults), "document"), i.name, display.Line(faults[0].Error()))
		}
		return err
	})
}

// repairReport says what was made good, in lines: first what somebody must look at.
func repairReport(done *people.Repaired) (lines []string) {
	add := func(say bool, format string, args ...any) {
		if say {
			lines = append(lines, fmt.Sprintf(format, args...))
		}
	}
	accounts := func(names []string) string { return display.Count(len(names), "account was", "accounts were") }
	rooms := func(names []string) string { return display.Count(len(names), "room was", "rooms were") }
	add(done.Unowned, "warning: no owner is left, so whoever has the link in the file \"claim\" becomes the owner; \"kaban owner NAME\" makes one, before people come back")
	add(done.Access, "the setting of access is lost or was never made, so it is closed now: visitors do not come in, and admins alone make accounts; \"kaban settings set access\" changes it")
	add(!done.IsZero(), "bans, mutes, blocks and other settings that are lost leave no trace: look at \"kaban settings\" and at the rooms before people come back")
	add(len(done.Accounts) > 0, "%s lost, and made anew with name and role, and with those of its passwords and memberships that are left: %s; their profiles are lost", accounts(done.Accounts), some(done.Accounts))
	add(len(done.Suspended) > 0, "%s lost with the role, or as a bot with its owner, and made anew but suspended: %s; \"kaban user restore NAME\" lets a person in again, one whose role is lost as a guest, \"kaban user role NAME ROLE\" changes that, and \"kaban bot give\" gives a bot an owner",
		accounts(done.Suspended), some(done.Suspended))
	add(len(done.Rooms) > 0, "%s lost, and made anew with the members and messages that are left, as private rooms or direct ones: %s; their topics are lost", rooms(done.Rooms), some(done.Rooms))
	add(len(done.Public) > 0, "%s lost, and made anew as public rooms, which their logs say that they are: %s; their topics are lost", rooms(done.Public), some(done.Public))
	add(len(done.Closed) > 0, "%s found by a log that does not say that everybody may read it, and made anew as private rooms without members: %s; nobody reads them, and \"kaban export\" has what is in them", rooms(done.Closed), some(done.Closed))
	add(len(done.Announce) > 0, "%s made anew without knowing who writes there: %s; ops and speakers alone do, until an op changes that, and \"kaban room op ROOM NAME\" makes a member op", rooms(done.Announce), some(done.Announce))
	add(len(done.Lost) > 0, "%s lost for good, with what belonged to them: %s", display.Count(len(done.Lost), "account is", "accounts are"), some(done.Lost))
	add(len(done.Unfound) > 0, "%s not found by name, because another one has it: %s", display.Count(len(done.Unfound), "account is", "accounts are"), some(done.Unfound))
	add(done.Left+done.Indexed > 0, "%s left out because of what is missing, and %s can be found again", display.Count(done.Left, "document was", "documents were"), display.Count(done.Indexed, "document"))
	return lines
}

// maxNamed bounds the names in a line.
const maxNamed = 50

func some(names []string) string {
	if len(names) > maxNamed {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
	}
	return strings.Join(names, ", ")
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

// explain says what became of the import, and what to do.
func (i *importer) explain(err error) error {
	if errors.Is(err, store.ErrDiffers) {
		return fmt.Errorf("%s: %w; what was imported before stays. An import changes nothing that is there: if this file was imported before, and was mended or changed since, import it into an empty directory, or only its files with --files and no file", i.name, err)
	}
	return fmt.Errorf("%s: %w; what was imported before stays, and importing again is safe", i.name, err)
}

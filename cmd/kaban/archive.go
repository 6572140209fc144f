package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"kaban/internal/backup"
	service "kaban/internal/chat" // chat is a command here
	"kaban/internal/display"
	"kaban/internal/hook"
	"kaban/internal/index"
	"kaban/internal/ledger"
	"kaban/internal/people"
	"kaban/internal/store"
)

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

// totals counts the messages, rooms and documents of a report, without what was lost before.
func totals(report *store.Report) string {
	var messages uint64
	for _, r := range report.Rooms {
		messages += r.Entries - min(r.Lost, r.Entries)
	}
	return fmt.Sprintf("%s in %s and %s", display.Count(messages, "message"), display.Count(len(report.Rooms), "room"), display.Count(report.Documents, "document"))
}

type backupCommand struct {
	dataFlags
	File  string `arg:"" help:"The file to write. It must not exist yet."`
	Files bool   `help:"Copy the files that messages have, too: into the folder kaban-files beside FILE, each once for all backups there."`
	Whole bool   `hidden:"" help:"Write nothing if the newest messages are lost, as a backup on a schedule wants it."`
	Low   bool   `name:"low-priority" hidden:"" help:"Use only what the processor and the disk have left, as a backup on a schedule wants it."`

	said    io.Writer // for the progress of files; nil: it is not shown
	missing []blob    // files that are not where they should be
}

// backupNiceness leads to the lowest priority, whatever that of the server is.
// The system bounds it.
const backupNiceness = 40

// Run writes a backup.
func (c *backupCommand) Run(std streams) (err error) {
	if c.Low {
		lowerSelf(backupNiceness)
		lowerDisk()
	}
	c.said = std.err
	ctx, stop := untilInterrupted()
	defer stop()
	if err := checkFolderOf(c.File); err != nil {
		return err
	}
	archive, err := c.open(ctx, databaseBackups)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	lost := archive.Lost(ctx) // a reason to back up the rest
	if lost != nil && c.Whole {
		return fmt.Errorf("%w; the server may still have them in memory: make a backup by hand (\"kaban backup\"), stop the server, and run \"kaban check\"", lost)
	}
	bar := progress(std.err, -1, "copying", "B")
	report, needs, err := c.write(ctx, archive, func(done, total int64) {
		bar.ChangeMax64(total)
		bar.Set64(done)
		if done == total {
			bar.Describe("checking the copy")
		}
	})
	bar.Finish()
	if err != nil {
		return explainDamage(c.Data, err)
	}
	if lost == nil {
		lost = report.Lost
	}
	if lost != nil && c.Whole {
		return errors.Join(lost, os.Remove(c.File), removeList(c.File))
	}
	fmt.Fprintf(std.err, "kaban: %s has %s, checked; \"kaban restore\" restores it\n", c.File, totals(report))
	if !c.Whole { // the server itself sees to its own directory of backups
		if err := shipLedger(c.Data, c.File); err != nil {
			return err
		}
	}
	err = errors.Join(c.keepPushKey(std), c.aboutFiles(std, needs)) // last: without these nothing comes back that was deleted
	switch {
	case lost != nil && err != nil:
		return fmt.Errorf("%w; the backup has everything before them; %w", lost, err)
	case lost != nil:
		return fmt.Errorf("%w; the backup has everything before them", lost)
	}
	return err
}

// explainDamage adds to the refusal of a damaged database what saves the rest.
func explainDamage(data string, err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	return fmt.Errorf("%w; a backup has all or nothing, so nothing was written: \"kaban export --files DIR --data %s\" writes what can be read, and names the rest, and \"kaban import --fill-gaps --files DIR\" takes it into a new data directory", err, shellWord(data))
}

// checkFolderOf returns an error if the folder of a file that is to be written does not
// exist.
func checkFolderOf(file string) error {
	if _, err := filepath.Abs(file); err != nil { // root's home directory, for another user
		return fmt.Errorf("%s: the current directory cannot be used (%w); name the file by its full path, or go elsewhere", file, err)
	}
	folder := filepath.Dir(file)
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s cannot be written: the folder %s does not exist; make it, or name another file", file, folder)
	}
	return nil
}

type restoreCommand struct {
	dataFlags
	placeFlags
	File    string   `arg:"" help:"The backup, or a directory of scheduled backups: then the newest of them."`
	At      *string  `placeholder:"TIME" help:"Of a directory of backups, the newest that is at least as old as this: an age such as 12h or 7d, or a date such as 2026-11-25 or 2026-11-25T14:30."`
	Replace bool     `help:"Replace the database in the data directory. It is kept under another name."`
	Ledger  []string `placeholder:"DIR" help:"Another erasure ledger, a directory kaban-erased; may be given several times. Those beside the backup and in the data directory are used anyway."`
	Damaged bool     `name:"ignore-ledger-damage" help:"Restore even if lines of the erasure ledger cannot be read: what they name comes back."`
}

// Run puts a backup into the data directory.
func (c *restoreCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := errors.Join(c.checkIsDirectory(databaseBackups), c.placeFlags.check()); err != nil {
		return err
	}
	file, choice, err := c.file(time.Now())
	if err != nil {
		return err
	}
	for _, line := range choice {
		fmt.Fprintln(std.err, "kaban:", line)
	}
	ledgers, err := c.ledgers(file)
	if err != nil {
		return err
	}
	var done restored
	var bad ledger.Bad
	var erased []string
	owned := true
	err = spin(progress(std.err, -1, "restoring", ""), func() error {
		accounts, err := ledger.Accounts(ledgers)
		if err != nil {
			return err
		}
		replay := store.Replay{Messages: ledger.Messages(ledgers, &bad), By: service.OperatorIdentity()}
		replay.Documents = func(tx store.Tx) (err error) {
			if erased, err = eraseAgain(tx, accounts); err == nil && len(erased) > 0 {
				owned, err = people.Accounts.HasOwner(tx)
			}
			return err
		}
		done, err = restore(ctx, c.Data, file, c.Replace, &replay)
		return err
	})
	if done.Kept != "" {
		fmt.Fprintf(std.err, "kaban: the previous database is kept as %s\n", done.Kept)
	}
	if choice != nil && isOfBackup(err, file) {
		return fmt.Errorf("%w; --at TIME chooses an older backup", err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: restored %s to %s: %s, checked; returning clients are told to start over\n", file, c.Data, totals(done.Report))
	for _, line := range replayReport(ledgers, &done.Replayed, bad.Lines) {
		fmt.Fprintln(std.err, "kaban:", line)
	}
	if len(erased) > 0 {
		fmt.Fprintf(std.err, "kaban: erasure ledger: erased again: %s\n", display.Line(strings.Join(erased, ", ")))
	}
	if !owned {
		fmt.Fprintln(std.err, `kaban: warning: the backup has no other owner, so whoever has the link in the log of the server becomes one; make one with "kaban owner NAME" before you start it`)
	}
	if done.Report.Documents > 0 {
		back := "removed, suspended or signed out"
		if len(ledgers) == 0 {
			back = "removed, erased, suspended or signed out"
		}
		fmt.Fprintf(std.err, "kaban: accounts, passwords, roles and tokens are those of the backup: whoever was %s after it was made is back; look at \"kaban user list\" before you start the server\n", back)
	}
	if err := keepLedger(c.Data, ledgers); err != nil {
		return err
	}
	return errors.Join(restorePushKey(std, c.Data, file), c.restoreFiles(ctx, std, file))
}

// file returns the file of the backup that is meant. For a directory, choice says which
// backup that is, and whether one from nearer to --at is to be expected.
func (c *restoreCommand) file(now time.Time) (path string, choice []string, err error) {
	info, err := os.Stat(c.File)
	switch {
	case err != nil:
		return "", nil, fmt.Errorf("%w; name a backup, or a directory of scheduled backups", err)
	case !info.IsDir() && c.At != nil:
		return "", nil, usagef("--at chooses from a directory of backups, and %s is a file", c.File)
	case !info.IsDir():
		return c.File, nil, nil
	}
	var at time.Time // none: the newest
	if c.At != nil {
		if at, err = parseAt(*c.At, now); err != nil {
			return "", nil, err
		}
	}
	listing, err := backup.List(c.File, now)
	if err != nil {
		return "", nil, err
	}
	for _, remark := range listing.Remarks() {
		choice = append(choice, "warning: "+remark)
	}
	found, err := listing.Newest(c.File, at)
	if err != nil {
		return "", nil, err
	}
	choice = append([]string{fmt.Sprintf("restoring %s, the backup of %s", found.Path, found.Time.In(now.Location()).Format(time.DateTime))}, choice...)
	if c.At == nil {
		return found.Path, choice, nil
	}
	if warning := c.tooOld(found.Time, at, now, listing.Usual()); warning != "" {
		choice = append(choice, warning)
	}
	return found.Path, choice, nil
}

// tooOld returns a warning if a backup is older than its schedule explains: by more than
// twice the usual pause between backups, as one may be skipped, or tried again.
func (c *restoreCommand) tooOld(of, at, now time.Time, usual time.Duration) string {
	begin := at
	if _, err := time.Parse(time.DateOnly, *c.At); err == nil {
		begin = at.AddDate(0, 0, -1) // at is the end of a day, which may be today
	}
	if begin.After(now) {
		return fmt.Sprintf("warning: --at %s is still to come, so this is the newest backup", *c.At)
	}
	if at.After(now) {
		at = now
	}
	if age := at.Sub(of); usual > 0 && age > 2*usual {
		return fmt.Sprintf("warning: it is %s older than --at, and backups here are %s apart; some are missing, so look for them elsewhere if you expect newer messages", duration(age), duration(usual))
	}
	return ""
}

// parseAt returns the time of --at. A date without a time is its end: the newest backup
// of a day is meant.
func parseAt(text string, now time.Time) (time.Time, error) {
	at, err := parseSince(text, now)
	if text == "" || err != nil || at.bySeq {
		return time.Time{}, usagef("--at %q: write an age such as 12h or 7d, or a date such as 2026-11-25 or 2026-11-25T14:30", text)
	}
	if _, err := time.Parse(time.DateOnly, text); err == nil {
		return at.at.AddDate(0, 0, 1).Add(-time.Second), nil
	}
	return at.at, nil
}

type checkCommand struct {
	dataFlags
	Files bool `help:"Read every file that messages have, too, and compare it with its hash. Otherwise only their lengths are compared."`
}

// Run reads everything and reports whether it is sound.
func (c *checkCommand) Run(std streams) (err error) {
	ctx, stop := untilInterrupted()
	defer stop()
	if err := c.check(); err != nil {
		return err
	}
	archive, err := openAnyArchive(ctx, c.home())
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
	if c.home().isDirectory() {
		if err := hook.Check(c.Data); err != nil {
			report.Problems = append(report.Problems, err.Error())
		}
	}
	broken, err := index.Check(ctx, c.dir(), func() ([]store.Room, error) { return archive.Rooms(ctx) })
	switch {
	case isFull(err):
		return fmt.Errorf("check the search index: there is no space left on the disk of %s; free some: %w", c.dir(), err)
	case err != nil:
		return fmt.Errorf("check the search index: %w", err)
	}
	for _, r := range report.Rooms {
		state := "complete"
		if r.Lost > 0 {
			state = fmt.Sprintf("complete, but for %s lost before and void since an import", counted(int(r.Lost), "entry", "entries"))
		}
		if r.Trouble != "" {
			state = "DAMAGED: " + r.Trouble
		}
		fmt.Fprintf(std.out, "%-40s %12d  %s\n", r.Room.Name, r.Entries, state)
	}
	for _, p := range report.Problems {
		fmt.Fprintln(std.err, "kaban:", p)
	}
	switch {
	case report.Err() != nil && c.home().isDatabase():
		return fmt.Errorf("%s is damaged; stop all nodes and restore a backup of the database, or save the readable part with \"kaban export\" and \"kaban import --fill-gaps\" into a data directory (docs/cluster.md)", c.Data)
	case report.Err() != nil:
		return fmt.Errorf("%s is damaged; stop the server and restore a backup with \"kaban restore\", or save the readable part with \"kaban export\" and \"kaban import --fill-gaps\"", c.Data)
	}
	if err := c.checkReferences(ctx, archive, std); err != nil {
		return err
	}
	for _, p := range broken {
		fmt.Fprintln(std.err, "kaban: search index:", display.Line(p))
	}
	filesErr := c.checkFiles(ctx, archive, std)
	if len(broken) > 0 {
		return errors.Join(filesErr, fmt.Errorf("the search index of %s is damaged; no message is: make it anew with \"kaban reindex\"", c.dir()))
	}
	if filesErr != nil {
		return filesErr
	}
	fmt.Fprintf(std.err, "kaban: %s: %s, all is sound\n", c.Data, totals(report))
	return nil
}

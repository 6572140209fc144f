package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"kaban/internal/backup"
	"kaban/internal/disk"
	"kaban/internal/store"
)

// backupFlags are the schedule of backups, and the table [backup] of the configuration
// file.
type backupFlags struct {
	BackupEvery time.Duration `placeholder:"TIME" env:"KABAN_BACKUP_EVERY" key:"backup.every" default:"0s" help:"Make a verified backup this often while the server runs, such as 24h; from 1m. 0s makes none. Default: ${default}."`
	BackupKeep  int           `placeholder:"N" env:"KABAN_BACKUP_KEEP" key:"backup.keep" default:"7" help:"How many of these backups to keep. Older ones are removed after a newer one is complete. Default: ${default}."`
	BackupDir   string        `placeholder:"DIR" env:"KABAN_BACKUP_DIR" key:"backup.dir" help:"Directory of these backups, for this server alone and best on another disk; created if it does not exist. By default it is backups in the data directory."`
	LedgerKeep  time.Duration `placeholder:"TIME" env:"KABAN_LEDGER_KEEP" key:"backup.ledger_keep" default:"17520h" help:"How long to keep what names deleted messages, so that backups from before are restored without them: longer than any backup is kept anywhere. From 24h; 0s is for ever. Default: ${default}."`
}

// backupTable is what "kaban config print" says of the table [backup].
const backupTable = "Backups on a schedule, as \"kaban backup\" makes them. \"kaban restore\" takes one, or the directory."

// standardBackups is the directory of backups in the data directory, by default.
const standardBackups = "backups"

// checkBackup refuses a schedule that cannot be meant.
func (c *serveCommand) checkBackup() error {
	switch {
	case c.LedgerKeep != 0 && (c.LedgerKeep < minLedgerKeep || c.LedgerKeep > maxLedgerKeep):
		return usagef("%s must be %v to %v, or 0s for ever, not %v", c.named("ledger-keep"), minLedgerKeep, maxLedgerKeep, c.LedgerKeep)
	case c.LedgerKeep != 0 && c.BackupEvery != 0 && c.LedgerKeep/c.BackupEvery < time.Duration(c.BackupKeep):
		return usagef("%s: the oldest of %d backups, one every %v, is older than %v, and restoring it would bring back what was deleted; keep the ledger longer", c.named("ledger-keep"), c.BackupKeep, c.BackupEvery, c.LedgerKeep)
	case c.BackupEvery == 0 && c.BackupDir != "":
		return usagef("%s: without a time between two backups there are none; set --backup-every, such as 24h", c.named("backup-dir"))
	case c.BackupEvery == 0:
		return nil
	case c.Data == inMemory:
		return usagef("%s: a server with --data %s keeps nothing that could be backed up; name a data directory, or leave it out", c.named("backup-every"), inMemory)
	case c.home().isDatabase():
		return usagef("%s: the messages are in a database, which has better ways: %s", c.named("backup-every"), databaseBackups)
	case c.BackupEvery < backup.MinEvery || c.BackupEvery > backup.MaxEvery:
		return usagef("%s must be 1m to %v, or 0s for no backups, not %v", c.named("backup-every"), backup.MaxEvery, c.BackupEvery)
	}
	return nil
}

// backups returns the backups on a schedule, or nil if there are none.
func (c *serveCommand) backups(kept store.Store, log *slog.Logger) *backup.Service {
	if c.BackupEvery == 0 {
		return nil
	}
	dir := c.backupDir()
	return backup.New(backup.Config{
		Every: c.BackupEvery, Keep: c.BackupKeep, Dir: dir, Log: log,
		Make: func(ctx context.Context, file string) error { return makeBackup(ctx, c.Data, file, log) },
		Room: func() error { return roomFor(kept, dir) },
		Tidy: func(ctx context.Context) error { return tidyBackupFiles(ctx, dir, time.Now()) },
	})
}

func (c *serveCommand) backupDir() string {
	if c.BackupDir == "" {
		return filepath.Join(c.Data, standardBackups)
	}
	return c.BackupDir
}

// backupReserve is how much room a backup leaves on its disk, in bytes: it may be the
// one to which the server writes messages.
const backupReserve = 64 << 20

// roomFor returns an error if a backup would fill the disk.
func roomFor(kept store.Store, dir string) error {
	need := int64(backupReserve)
	if watched, ok := kept.(store.Watched); ok {
		for _, size := range watched.Size().Files {
			need += size
		}
	}
	space, err := disk.SpaceOf(dir)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return nil
	case err != nil:
		return err
	case space.Free < need:
		return fmt.Errorf("there is no room for a backup in %s: %s are free, and it may need %s; free some space, keep fewer backups (--backup-keep), or choose another disk (--backup-dir)", dir, byteSize(space.Free), byteSize(need))
	}
	return nil
}

const (
	// maxComplaint bounds what is kept of the output of a process that makes a backup,
	// in bytes.
	maxComplaint = 4 << 10
	// backupGrace is how long such a process has to remove its draft when the server ends.
	backupGrace = 3 * time.Second
)

// backupCommandLine returns the arguments of the command that makes a backup of a server.
func backupCommandLine(data, file string) []string {
	return []string{"backup", "--whole", "--files", "--data", data, "--", file}
}

// makeBackup runs "kaban backup" in a process of its own, so that the server keeps its
// memory, its locks and its share of the processor: SQLite's locks do not separate two
// users in one process, and where the system can, that process takes the lowest priority. What it warns of goes to the log.
func makeBackup(ctx context.Context, data, file string, log *slog.Logger) error {
	program, err := ourselves()
	if err != nil {
		return err
	}
	var complaint bytes.Buffer
	c := exec.CommandContext(ctx, program, slices.Insert(backupCommandLine(data, file), 1, "--low-priority")...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), "GOMAXPROCS=1")
	c.Stderr = &limitedWriter{&complaint, maxComplaint}
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = backupGrace
	detach(c)
	inThread(func() { err = c.Run() })
	if err == nil {
		for _, warning := range warningsIn(complaint.String()) {
			log.Warn("a backup was made, and something is missing in it", "path", file, "what", warning)
		}
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	if text := strings.TrimSpace(complaint.String()); text != "" {
		return errors.New(strings.ReplaceAll(strings.ReplaceAll(text, "\nkaban: ", "; "), "kaban: ", ""))
	}
	return fmt.Errorf("the process that makes the backup: %w", err)
}

// backupWarning begins a line of "kaban backup --whole" about something that is missing, and does not
// fail the backup.
const backupWarning = "kaban: warning: "

// warningsIn returns what a process has warned of.
func warningsIn(output string) (all []string) {
	for line := range strings.Lines(output) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), backupWarning); ok {
			all = append(all, text)
		}
	}
	return all
}

// inThread runs a function in a thread that runs nothing else, see detach.
func inThread(run func()) {
	var running sync.WaitGroup
	running.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		run()
	})
	running.Wait()
}

// limitedWriter keeps the beginning of what is written.
type limitedWriter struct {
	to   *bytes.Buffer
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	n := min(len(p), w.left)
	w.left -= n
	w.to.Write(p[:n])
	return len(p), nil
}

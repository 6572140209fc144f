package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kaban/internal/account"
	"kaban/internal/display"
	"kaban/internal/ledger"
	"kaban/internal/store"
)

// Bounds of --ledger-keep.
const (
	minLedgerKeep = 24 * time.Hour
	maxLedgerKeep = 100 * 366 * 24 * time.Hour
)

// ledgerOf returns the directory of the ledger in another directory.
func ledgerOf(dir string) string { return filepath.Join(dir, ledger.DirName) }

// ledgerIn returns the ledger of a data directory, for a command without a server: the server
// makes the copies beside backups the same when it starts.
func ledgerIn(data string) *ledger.Book {
	return ledger.New(ledger.Config{Dirs: []string{ledgerOf(data)}})
}

// book returns the ledger of the server, with a copy beside its scheduled backups.
func (c *serveCommand) book(log *slog.Logger) *ledger.Book {
	dirs := []string{ledgerOf(c.Data)}
	if c.BackupEvery != 0 {
		dirs = append(dirs, ledgerOf(c.backupDir()))
	}
	return ledger.New(ledger.Config{Dirs: dirs, Keep: c.LedgerKeep, Log: log})
}

// ledgers returns the ledgers that a restore uses, after it has looked for damage.
func (c *restoreCommand) ledgers(file string) (found []string, err error) {
	for _, dir := range append([]string{ledgerOf(filepath.Dir(file)), ledgerOf(c.Data)}, c.Ledger...) {
		there, err := ledger.Exists(dir)
		if err == nil && slices.Contains(c.Ledger, dir) {
			err = checkLedger(dir, there)
		}
		if err != nil {
			return nil, err
		}
		if there && !slices.Contains(found, dir) {
			found = append(found, dir)
		}
	}
	switch _, err = ledger.Check(found); {
	case err == nil, errors.Is(err, ledger.ErrDamaged) && c.Damaged:
		return found, nil
	case !errors.Is(err, ledger.ErrDamaged):
		return nil, err
	}
	return nil, fmt.Errorf("nothing is restored, because what the damaged lines name would come back: %w; pass a good copy of the ledger with --ledger DIR and move the damaged file away, or use --ignore-ledger-damage", err)
}

// checkLedger refuses a directory of --ledger that is no ledger. Taken for an empty one, it would bring back what
// was deleted, without a warning: the directory of the backups, for example, has the ledger only in it.
func checkLedger(dir string, there bool) error {
	if !there {
		return usagef("--ledger: there is no directory %s; name one that is called %s", dir, ledger.DirName)
	}
	full, err := filepath.Abs(dir)
	if err != nil || filepath.Base(full) == ledger.DirName {
		return err // an empty one is from before the first deletion
	}
	has, err := ledger.HasFiles(dir)
	if err != nil || has {
		return err
	}
	if inside, err := ledger.Exists(ledgerOf(dir)); err == nil && inside {
		return usagef("--ledger: %s is not an erasure ledger, but has one in it; name %s", dir, ledgerOf(dir))
	}
	return usagef("--ledger: %s is not an erasure ledger: it has no file such as erased-2026-11.txt; name a directory that is called %s", dir, ledger.DirName)
}

// eraseAgain erases accounts in a database that a backup has brought back, and returns the
// usernames of those that were there.
func eraseAgain(tx store.Tx, accounts []store.ErasedAccount) ([]string, error) {
	ids := make([]string, len(accounts))
	for i := range accounts {
		ids[i] = accounts[i].ID
	}
	return account.New(nil, account.Options{Log: slog.New(slog.DiscardHandler)}).EraseAgain(tx, ids)
}

// replayReport says what became of the lines of ledgers, in sentences.
func replayReport(ledgers []string, r *store.Replayed, bad int) (lines []string) {
	if len(ledgers) == 0 {
		return []string{fmt.Sprintf("warning: there is no erasure ledger (%s) beside the backup or in the data directory, so messages that were deleted after the backup was made are back; if there is one elsewhere, restore again with --ledger DIR", ledger.DirName)}
	}
	lines = append(lines, fmt.Sprintf("erasure ledger: %s deleted again, of %s in %s", display.Count(r.Deleted, "message"), display.Count(r.Lines, "line"), strings.Join(ledgers, " and ")))
	for _, c := range []struct {
		n    int
		what string
	}{
		{r.Known, "deleted in the backup already, or named twice"},
		{r.Newer, "newer than the backup"},
		{r.Other, "not applied, since another message has that number in this backup: it comes from another history (epoch)"},
		{bad, "damaged and ignored, so what was deleted there is back"},
	} {
		if c.n > 0 {
			lines = append(lines, fmt.Sprintf("erasure ledger: %s: %s", display.Count(c.n, "line"), c.what))
		}
	}
	return lines
}

// keepLedger adds to the ledger of a data directory what others have.
func keepLedger(data string, ledgers []string) error {
	if err := ledger.Copy(ledgerOf(data), ledgers); err != nil {
		return fmt.Errorf("the database is restored and may be used, but the erasure ledger could not be copied to %s, where the next restore looks for it: %w; copy its files there", ledgerOf(data), err)
	}
	return nil
}

// shipLedger brings the ledger beside a backup up to date: older backups there need it.
func shipLedger(data, file string) error {
	to := ledgerOf(filepath.Dir(file))
	if err := ledger.Copy(to, []string{ledgerOf(data)}); err != nil {
		return fmt.Errorf("the backup is complete, but the erasure ledger beside it, %s, is not up to date: %w", to, err)
	}
	return nil
}

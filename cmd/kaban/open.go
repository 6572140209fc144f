package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"kaban/internal/disk"
	"kaban/internal/index"
	"kaban/internal/ledger"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
)

// No other file of this package knows a store driver.

// inMemory is the --data of a server that keeps nothing.
const inMemory = ":memory:"

// checkData refuses a --data without a name, and a misspelt inMemory. flag is how it is
// called where it was set.
func checkData(flag, data string) error {
	switch {
	case data == "":
		return usagef("%s: name a directory, or %s", flag, inMemory)
	case strings.HasPrefix(data, ":") && data != inMemory:
		return usagef("%s %s: the only name that may begin with a colon is %s; for a directory of that name use ./%s", flag, data, inMemory, data)
	}
	return nil
}

// checkDirectory refuses a --data that names no directory.
func checkDirectory(data string) error {
	if data == "" || data == inMemory {
		return usagef("--data: name the server's data directory; a server with --data %s keeps nothing", inMemory)
	}
	return checkData("--data", data)
}

// openStore opens the store that --data names, which checkData has accepted. The book takes
// what is deleted there.
func openStore(data string, book *ledger.Book, log *slog.Logger) (store.Store, error) {
	if data == inMemory {
		return memory.New(0), nil
	}
	s, err := sqlite.Open(context.Background(), data, sqlite.Options{Log: log, Ledger: book})
	if err != nil {
		return nil, ofData(data, err)
	}
	return s, nil
}

// shrink has a store give up the pages that it caches, if it has any.
func shrink(s store.Store) {
	if s, ok := s.(*sqlite.Store); ok {
		s.Shrink()
	}
}

// openImporter opens the store in a data directory that no server is using.
func openImporter(ctx context.Context, data string) (store.Importer, error) {
	s, err := sqlite.Open(ctx, data, sqlite.Options{Ledger: ledgerIn(data)})
	if err != nil {
		return nil, ofData(data, err)
	}
	return s, nil
}

// openArchive opens a data directory that a server may be using.
func openArchive(ctx context.Context, data string) (store.Archive, error) {
	a, err := sqlite.OpenArchive(ctx, data)
	if err != nil {
		return nil, ofData(data, err)
	}
	return a, nil
}

// openBackup opens a backup that this version has made.
func openBackup(ctx context.Context, file string) (store.Archive, error) {
	a, err := sqlite.OpenBackup(ctx, file)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// restored is what a restore has done.
type restored = sqlite.Restored

// restore puts a backup into a data directory, without what a ledger says was deleted since. If
// replace is set it may have contents already, which it keeps.
func restore(ctx context.Context, data, backup string, replace bool, replay *store.Replay) (done restored, err error) {
	room := restoring{data, backup, disk.SpaceOf}
	if err := room.check(); err != nil {
		return restored{}, err
	}
	done, err = sqlite.Restore(ctx, data, backup, replace, replay)
	switch {
	case errors.Is(err, sqlite.ErrOccupied):
		err = fmt.Errorf("%w; name an empty --data directory, or use --replace, which keeps the database that is there under another name", err)
	case errors.Is(err, sqlite.ErrInUse):
		err = fmt.Errorf("a restore needs the server stopped: %w", err)
	default:
		err = room.explain(err)
	}
	if err == nil {
		err = index.Remove(data) // it is of the former database
	}
	return done, err
}

// hasStore reports whether there is a store in a directory.
func hasStore(data string) (bool, error) { return sqlite.Exists(data) }

// databaseIn returns the path of the database in a data directory.
func databaseIn(data string) string { return sqlite.PathIn(data) }

// isInUse reports whether another process has the data directory open.
func isInUse(err error) bool { return errors.Is(err, sqlite.ErrInUse) }

// isDatabaseFull reports whether a database had no space for its files.
func isDatabaseFull(err error) bool { return sqlite.IsFull(err) }

// isDatabaseUnusable reports whether this machine, and not its contents, keeps a database
// from being used.
func isDatabaseUnusable(err error) bool { return sqlite.IsOfMachine(err) }

func ofData(data string, err error) error { return fmt.Errorf("--data %s: %w", data, err) }

// isOfBackup reports whether restore has failed because of the backup, not because of what
// is in the data directory or of this machine.
func isOfBackup(err error, backup string) bool {
	return err != nil && !errors.Is(err, sqlite.ErrOccupied) && !isInUse(err) && !isOfMachine(err, backup)
}

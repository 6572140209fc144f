package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"kaban/internal/disk"
	"kaban/internal/index"
	"kaban/internal/ledger"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/postgres"
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
		return usagef("%s: name a directory, a database as postgres://ROLE@HOST/NAME, or %s", flag, inMemory)
	case strings.Contains(data, "://") && !isDatabase(data):
		scheme, _, _ := strings.Cut(data, "://") // the rest may have a password
		return usagef("%s %s://…: a database is named as postgres://ROLE@HOST/NAME; for a directory of that name use ./%s:", flag, scheme, scheme)
	case isOtherNameOfDatabase(data): // which may have a password
		return usagef("%s: a database is named as postgres://ROLE@HOST/NAME, and this looks like another way to name one; for a directory of that name put ./ before it", flag)
	case strings.HasPrefix(data, ":") && data != inMemory:
		return usagef("%s %s: the only name that may begin with a colon is %s; for a directory of that name use ./%s", flag, data, inMemory, data)
	}
	return nil
}

// otherNames are ways to name a database that other programs have: words such as host=HOST, an address without //,
// and credentials before a host.
var otherNames = regexp.MustCompile(`(?i)^\s*postgres(ql)?:([^/]|/[^/])|(^|\s)(host|hostaddr|port|user|dbname|password|passfile|service)\s*=|^[^/]*:[^/]*@`)

// isOtherNameOfDatabase reports whether a --data was meant for a database. As the name of a directory it would make
// an empty server, and have its password in the log.
func isOtherNameOfDatabase(data string) bool {
	return !filepath.IsAbs(data) && !strings.HasPrefix(data, ".") && !isDatabase(data) && otherNames.MatchString(data)
}

// checkDirectory refuses a --data that names no directory.
func checkDirectory(data string) error {
	if data == "" || data == inMemory {
		return usagef("--data: name the server's data directory; a server with --data %s keeps nothing", inMemory)
	}
	// Root's shell is often in root's home directory, where the user of a server is not let in.
	if _, err := filepath.Abs(data); err != nil {
		return fmt.Errorf("--data %s: the current directory cannot be used (%w); name the data directory by its full path, or go elsewhere", data, err)
	}
	return checkData("--data", data)
}

// openStore opens the store of a server, which checkData has accepted. The book takes what is
// deleted in a data directory.
func openStore(at home, book *ledger.Book, log *slog.Logger) (store.Store, error) {
	switch {
	case at.data == inMemory:
		return memory.New(0), nil
	case at.isDatabase():
		return openDatabase(context.Background(), at, log)
	}
	s, err := sqlite.Open(context.Background(), at.data, sqlite.Options{Log: log, Ledger: book})
	if err != nil {
		return nil, ofData(at.data, err)
	}
	return s, nil
}

// openDatabase opens the store in a database.
func openDatabase(ctx context.Context, at home, log *slog.Logger) (store.Store, error) {
	address, _, err := at.url()
	if err != nil {
		return nil, ofData(at.data, err)
	}
	s, err := postgres.Open(ctx, address, postgres.Options{Log: log})
	if err != nil {
		return nil, ofData(at.data, explainDatabase(at.without(address, err)))
	}
	return s, nil
}

// keepEpoch has clients of a database not notice its next failover.
func keepEpoch(ctx context.Context, at home) error {
	address, _, err := at.url()
	if err == nil {
		err = explainDatabase(at.without(address, postgres.KeepEpoch(ctx, address)))
	}
	if err != nil {
		return ofData(at.data, err)
	}
	return nil
}

// States of PostgreSQL's errors that an operator can do something about (appendix A of its manual).
var databaseAdvice = map[string]string{
	"28P01": "the password is wrong: put it into ~/.pgpass of the server's user, or into a file that --data-password-file names",
	"28000": "the database does not let this role in: name it in the URL, as postgres://ROLE@HOST/NAME, and look at pg_hba.conf",
	"3D000": "make the database first: createdb --owner ROLE --encoding UTF8 --template template0 NAME",
	"42501": "the role may not do this: start once with the role that owns the database, which makes the tables, or give it the rights (docs/cluster.md)",
	"53300": "the database has too few connections: raise max_connections; each node takes up to 16",
	"57P03": "the database is just starting; start the server again in a moment",
}

// oneLine is an error of a driver that tells of each of several attempts on a line of its own. What it says twice, such as of
// an attempt with TLS and one without, is said once.
type oneLine struct{ error }

func (e oneLine) Error() string {
	lines := slices.Compact(strings.Split(e.error.Error(), "\n"))
	return strings.NewReplacer(":\n\t", ": ", "\n\t", "; ", "\n", "; ").Replace(strings.Join(lines, "\n"))
}

func (e oneLine) Unwrap() error { return e.error }

// explainDatabase adds to an error of a database what to do.
func explainDatabase(err error) error {
	if err == nil {
		return nil
	}
	err = oneLine{err}
	const standby = "bring it back, or name another one in synchronous_standby_names and reload PostgreSQL"
	if errors.Is(err, postgres.ErrNoStandby) {
		return fmt.Errorf("%w: %s", err, standby)
	}
	if stated, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		if advice := databaseAdvice[stated.SQLState()]; advice != "" {
			return fmt.Errorf("%w; %s", err, advice)
		}
		return err
	}
	switch _, isNetwork := errors.AsType[net.Error](err); {
	case errors.Is(err, postgres.ErrStandby):
		return fmt.Errorf("%w, and only the primary takes messages: name that, or all hosts and target_session_attrs=read-write, as postgres://ROLE@HOST1,HOST2/NAME?target_session_attrs=read-write", err)
	case errors.Is(err, postgres.ErrUnsafe):
		return fmt.Errorf("%w; change that in postgresql.conf, or for the role (ALTER ROLE … RESET …)", err)
	case errors.Is(err, postgres.ErrFenced):
		return fmt.Errorf("%w; it must not be used any more: name the new primary, and make a standby of this one", err)
	case errors.Is(err, context.DeadlineExceeded): // which is a net.Error
		return fmt.Errorf("%w; is PostgreSQL running there, and is anything between it and this machine? If synchronous_standby_names is set, every commit waits for that standby: %s", err, standby)
	case isNetwork:
		return fmt.Errorf("%w; is PostgreSQL running there, and does it listen at that address (listen_addresses, port)?", err)
	}
	return err
}

// isAway reports whether a database may be there in a moment: it cannot be reached, hangs up, as a proxy does in its
// place, is just starting, or is a standby that somebody promotes, or it does not answer in time, such as while its standby is away.
func isAway(err error) bool {
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrUnknown) {
		return true
	}
	if stated, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return stated.SQLState() == "57P03" || stated.SQLState() == "53300"
	}
	_, isNetwork := errors.AsType[net.Error](err)
	return isNetwork || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, postgres.ErrStandby)
}

// isOtherDatabase reports whether a store has failed because the database was replaced by one with
// another history, after a failover or a restore.
func isOtherDatabase(err error) bool { return errors.Is(err, postgres.ErrEpoch) }

// timelineOf returns the timeline of a database; nil for other stores.
func timelineOf(s store.Store) func() uint64 {
	if s, ok := s.(*postgres.Store); ok {
		return s.Timeline
	}
	return nil
}

// connectionsOf returns how many connections to its database a store has; nil for other stores.
func connectionsOf(s store.Store) func() (open, used, most int) {
	if s, ok := s.(*postgres.Store); ok {
		return s.Connections
	}
	return nil
}

// lockDirectory locks other processes out of the directory of a node.
func lockDirectory(dir string) (unlock func() error, err error) { return sqlite.Lock(dir) }

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

// openAnyArchive opens data that servers may be using.
func openAnyArchive(ctx context.Context, at home) (store.Archive, error) {
	if !at.isDatabase() {
		return openArchive(ctx, at.data)
	}
	address, _, err := at.url()
	if err != nil {
		return nil, ofData(at.data, err)
	}
	a, err := postgres.OpenArchive(ctx, address)
	if err != nil {
		return nil, ofData(at.data, explainDatabase(at.without(address, err)))
	}
	return a, nil
}

// openMoving opens one side of a migration, which nobody else may use.
func openMoving(ctx context.Context, at home) (store.Movable, error) {
	if !at.isDatabase() {
		s, err := sqlite.Open(ctx, at.data, sqlite.Options{Ledger: ledgerIn(at.data), Moving: true})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	address, _, err := at.url()
	if err != nil {
		return nil, err
	}
	s, err := postgres.Open(ctx, address, postgres.Options{Moving: true, Patience: movingPatience})
	if err != nil {
		return nil, explainDatabase(at.without(address, err))
	}
	return s, nil
}

// movingPatience is how long a migration waits for a statement, and for a database that is away.
const movingPatience = 5 * time.Minute

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

// journalIn returns the path of the journal's directory in a data directory.
func journalIn(data string) string { return sqlite.JournalIn(data) }

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

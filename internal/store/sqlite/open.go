package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"kaban/internal/failpoint/disk"
	"kaban/internal/store/journal"
)

// Names in the data directory.
const (
	databaseName = "kaban.db"
	lockName     = "lock"
)

// minimumSQLite is the first version without a bug in which a checkpoint at the wrong
// moment damages a database in WAL mode.
var minimumSQLite = [3]int{3, 51, 3}

const (
	// readers is the number of concurrent reads.
	readers = 4
	// busyMillis is how long to wait for a lock. Only a person with another program
	// can hold one.
	busyMillis = "5000"
	// headerSize is the size of the header of a database, in bytes.
	headerSize = 100
	// walKept is the size to which SQLite truncates the WAL when it restarts, in bytes.
	walKept = "16777216"
)

// common are the pragmas of every connection.
var common = []pragma{
	{"busy_timeout", busyMillis},
	{"journal_mode", "wal"},
	{"synchronous", "2"}, // FULL: fsync at each COMMIT
	{"foreign_keys", "1"},
	{"trusted_schema", "0"},
}

// The store checkpoints by itself, because SQLite would drop the errors of its
// automatic checkpoint. The writer's temporary files, if any, stay in memory. A cache
// of 4 MiB holds the pages of a usual transaction, and a larger one spills into the
// WAL. A cache of 16 MiB takes 12 MiB more and saves no time, even with 700,000
// messages, since the system caches the file.
var (
	writerPragmas = append([]pragma{
		{"query_only", "0"},
		{"wal_autocheckpoint", "0"},
		{"journal_size_limit", walKept},
		{"cache_size", "-4096"},
		{"temp_store", "2"},
		{"secure_delete", "1"},
	}, common...)
	readerPragmas = append([]pragma{{"query_only", "1"}, {"wal_autocheckpoint", "0"}}, common...)
	// An update of the schema copies tables with whatever damage they have, and sorts
	// their indexes in files, because they may not fit into memory.
	migrationPragmas = []pragma{
		{"busy_timeout", busyMillis},
		{"journal_mode", "wal"},
		{"synchronous", "2"},
		{"trusted_schema", "0"},
		{"foreign_keys", "0"},
		{"wal_autocheckpoint", "0"},
		{"cache_size", "-16384"},
		{"temp_store", "1"},
		{"secure_delete", "1"},
	}
)

// ErrInUse means that the data directory is open already.
var ErrInUse = errors.New("another process is using the data directory")

// ErrForeign means that root opens the data of another user's server.
var ErrForeign = errors.New("the data directory belongs to another user")

// errLink means that the name of the lock is a symbolic link. To follow one would
// truncate a file elsewhere and change its mode.
var errLink = errors.New("a symbolic link is where the lock of the data directory belongs")

// heirPatience is how long the lock of a process that has ended may stay. A process that
// was killed while it started another one leaves the lock to that one, which drops it when
// it runs its program: usually within milliseconds.
const heirPatience = 2 * time.Second

// Lock locks other processes out of a directory that has no database: that of a node. The errors are
// ErrInUse and ErrForeign.
func Lock(dir string) (unlock func() error, err error) {
	f, err := lockDirectory(dir)
	if err != nil {
		return nil, err
	}
	return func() error { return unlockDirectory(f) }, nil
}

// lockDirectory locks other processes out until unlockDirectory.
func lockDirectory(dir string) (*os.File, error) {
	if owner := foreignOwner(os.Geteuid(), dir, ownerOfNew); owner != "" {
		return nil, fmt.Errorf("%w, %s, whose server could not use what root writes there; run this as that user (runuser -u, sudo -u, or --user UID of a container), or stop that server and give everything to root with chown -R 0 %s", ErrForeign, owner, dir)
	}
	path := filepath.Join(dir, lockName)
	f, err := openLock(path)
	switch {
	case errors.Is(err, errLink):
		return nil, fmt.Errorf("%w; the server changes only files of its own, so remove the link (not while a server runs)", err)
	case err != nil:
		return nil, fmt.Errorf("%w; the directory must be writable for the user that runs the server", err)
	}
	held, err := disk.TryLock(f)
	for deadline := time.Now().Add(heirPatience); held && hasEnded(holderOf(f)) && time.Now().Before(deadline); held, err = disk.TryLock(f) {
		time.Sleep(time.Millisecond)
	}
	switch {
	case held:
		holder := ""
		if pid := holderOf(f); pid > 0 {
			holder = fmt.Sprintf(" (process %d)", pid)
		}
		return nil, errors.Join(fmt.Errorf("%w %s%s; stop that one, or choose another directory", ErrInUse, dir, holder), f.Close())
	case err != nil:
		return nil, errors.Join(fmt.Errorf("lock %s: %w; the file system must support locks", path, err), f.Close())
	}
	// To show people the process that holds the lock, and for hasEnded.
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := errors.Join(f.Chmod(0o600), f.Truncate(0)); err != nil {
		return nil, errors.Join(err, unlockDirectory(f))
	}
	if _, err := f.WriteAt(pid, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("write %s: %w; the disk may be full", path, err), unlockDirectory(f))
	}
	return f, nil
}

// unlockDirectory ends the lock and closes its file. Closing alone may come too late: a
// process that this one is starting has the file, too, until it runs its program.
func unlockDirectory(f *os.File) error { return errors.Join(disk.Unlock(f), f.Close()) }

// holderOf returns the process that a file of the lock names; 0 if it names none.
func holderOf(f *os.File) int {
	var text [32]byte
	n, _ := f.ReadAt(text[:], 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return max(pid, 0)
}

// create makes an empty database under another name and renames it, so that a
// database exists completely or not at all.
func create(ctx context.Context, path string, scripts []string) error {
	draft := path + ".new"
	for _, suffix := range []string{"", "-journal"} { // of an interrupted start
		if err := os.Remove(draft + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	// SQLite gives the files beside it the same mode.
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	c, err := connect(ctx, draft, "rw", []pragma{{"journal_mode", "delete"}, {"synchronous", "2"}})
	if err != nil {
		return err
	}
	if err := errors.Join(migrate(ctx, c, 0, scripts, nil, nil), c.close()); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return disk.SyncDirectory(filepath.Dir(path))
}

// Exists reports whether there is a database in a directory.
func Exists(dir string) (bool, error) { return exists(PathIn(dir)) }

// PathIn returns the path of the database in a directory.
func PathIn(dir string) string { return filepath.Join(dir, databaseName) }

// JournalIn returns the path of the journal's directory in a data directory.
func JournalIn(dir string) string { return filepath.Join(dir, journalName) }

// exists reports whether there is a database, and refuses a file that cannot be one.
func exists(path string) (bool, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
			return false, fmt.Errorf("%s is missing but its %s-wal is there, with the newest messages; put the database back beside it, or move the -wal file away to start with an empty one", path, databaseName)
		}
		if there, err := journal.Exists(journalOf(path)); err != nil || there {
			return false, cmp.Or(err, fmt.Errorf("%s is missing but its journal is there, with the newest messages; put the database back beside it, or move the directory %s away to start with an empty one", path, journalOf(path)))
		}
		return false, nil
	case errors.Is(err, fs.ErrPermission):
		return false, fmt.Errorf("%w; run this as the user that runs the server, and make sure that user owns the directory", err)
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, fmt.Errorf("%s is not a regular file", path)
	case info.Size() == 0:
		return false, fmt.Errorf("the database %s is empty, so it was truncated; replace it with a backup, or delete it to start with an empty one", path)
	case info.Size() < headerSize:
		return false, fmt.Errorf("the database %s has %d bytes, so it was truncated or is none; replace it with a backup, or choose another directory", path, info.Size())
	}
	return true, refuseForeignWAL(path)
}

// refuseForeignWAL refuses a database that has never been in WAL mode, such as a
// backup, beside a WAL that is not empty. The WAL must belong to the database that was
// there before, and SQLite might mix them.
func refuseForeignWAL(path string) error {
	wal, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && wal.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%w; make the database readable for the user that runs the server", err)
	}
	defer f.Close()
	// https://www.sqlite.org/fileformat.html, 1.3: the read version is 2 in WAL mode.
	var version [1]byte
	if _, err := f.ReadAt(version[:], 19); err == nil && version[0] == 1 {
		return fmt.Errorf("%s was put beside the %s-wal of another database; move that -wal file away, it holds the newest messages of the database that was here before", path, databaseName)
	}
	return nil
}

// inspect returns the version of a database's schema without changing the database. It
// refuses one that is not ours or too new.
func inspect(ctx context.Context, path string, newest int) (version int, err error) {
	// Nothing else of ours is open meanwhile: closing a descriptor of a database drops
	// the locks that SQLite holds on it.
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 0, fmt.Errorf("%w; make the database and its directory writable for the user that runs the server, and check that the file system is not mounted read-only", err)
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	c, err := connect(ctx, path, "ro", []pragma{{"busy_timeout", busyMillis}, {"query_only", "1"}})
	if err != nil {
		return 0, explain(path, err)
	}
	defer func() { err = errors.Join(err, c.close()) }()
	var library string
	if err := c.QueryRowContext(ctx, "SELECT sqlite_version()").Scan(&library); err != nil {
		return 0, explain(path, err)
	}
	if err := checkLibrary(library); err != nil {
		return 0, err
	}
	id, err := c.number(ctx, "PRAGMA application_id")
	if err != nil {
		return 0, explain(path, err)
	}
	if id != applicationID {
		return 0, fmt.Errorf("%s belongs to another program (application id %#x, not %#x) and is left alone; choose another directory", path, id, applicationID)
	}
	version, err = c.number(ctx, "PRAGMA user_version")
	switch {
	case err != nil:
		return 0, explain(path, err)
	case version > newest:
		return 0, fmt.Errorf("the database %s belongs to a newer version of kaban (schema %d; this one knows up to %d) and is left alone; use that version or a newer one", path, version, newest)
	case version < 1:
		return 0, fmt.Errorf("the database %s has no schema (version %d); replace it with a backup", path, version)
	}
	return version, nil
}

// checkLibrary refuses a version of SQLite with a known bug that can damage data.
func checkLibrary(version string) error {
	var have [3]int
	for i, part := range strings.SplitN(version, ".", 3) {
		n, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("SQLite reports the version %q, which is invalid", version)
		}
		have[i] = n
	}
	for i, want := range minimumSQLite {
		if have[i] > want {
			return nil
		}
		if have[i] < want {
			return fmt.Errorf("SQLite %s is too old: it can damage a database in WAL mode; kaban must be built with %d.%d.%d or newer", version, minimumSQLite[0], minimumSQLite[1], minimumSQLite[2])
		}
	}
	return nil
}

// warnOfMode warns if other users can read the data directory. It may be shared on
// purpose, so only the files in it are tightened.
func warnOfMode(dir string, log *slog.Logger) {
	if info, err := os.Stat(dir); err == nil && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		log.Warn("other users can read the data directory; if that is not intended, use chmod 700", "path", dir, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
}

// tighten makes the files of a database private, in case they were copied here.
func tighten(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; the files must belong to the user that runs the server", err)
		}
	}
	return nil
}

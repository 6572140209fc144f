package sqlite

import (
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite"

	"kaban/internal/store"
)

// Result codes of SQLite, https://www.sqlite.org/rescode.html. The extended
// ones are the primary code and eight more bits.
const (
	codeError    = 1
	codePerm     = 3
	codeBusy     = 5
	codeLocked   = 6
	codeNoMem    = 7
	codeReadOnly = 8
	codeIOError  = 10
	codeCorrupt  = 11
	codeFull     = 13
	codeCantOpen = 14
	codeProtocol = 15
	codeMismatch = 20
	codeNotADB   = 26

	codeUnique         = 19 | 8<<8 // a constraint, of uniqueness
	codeIOErrorNoMem   = codeIOError | 12<<8
	codeIOErrorShmSize = codeIOError | 19<<8
)

// errTooMany says that the numbers in which something is counted are used up.
var errTooMany = errors.New("too large a number")

// codeOf returns the extended result code of an error, 0 if it is none of
// SQLite's.
func codeOf(err error) int {
	if e, ok := errors.AsType[*sqlite3.Error](err); ok {
		return e.Code()
	}
	return 0
}

// classify says which fact of the contract an error of a running store is.
//
// What may pass, or concerns one call only, is left as it is. Everything else
// means that the store cannot keep its promise any more: an I/O error, above
// all a failed fsync, after which the kernel may have dropped what it could
// not write and would report success the next time; a damaged database; a file
// system that has turned read-only.
func classify(err error) error {
	code := codeOf(err)
	switch {
	case errors.Is(err, errTooMany), errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrDiffers):
		return err
	case code == codeIOErrorNoMem:
		return err
	case code == codeIOErrorShmSize: // no room for the index of the WAL, which needs no fsync
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	}
	switch code & 0xff {
	case codeFull:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case codeBusy, codeLocked, codeNoMem, codeError:
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrBroken, err)
}

// isDamage reports whether an error says that what is in the database is not what
// was written, rather than that it cannot be reached.
func isDamage(err error) bool {
	switch codeOf(err) & 0xff {
	case codeCorrupt, codeNotADB, codeMismatch:
		return true
	}
	return false
}

// explain adds to an error of Open what to do.
func explain(path string, err error) error {
	switch codeOf(err) & 0xff {
	case codeNotADB:
		return fmt.Errorf("%s is no SQLite database, or its beginning is damaged; put a backup in its place, or move it away to start with an empty one: %w", path, err)
	case codeCorrupt:
		return fmt.Errorf("the database %s is damaged or cut short; put a backup in its place, try \"sqlite3 OLD .recover | sqlite3 NEW\" on a copy, or move it away to start with an empty one: %w", path, err)
	case codeReadOnly, codePerm:
		return fmt.Errorf("the database %s cannot be written; make it and its directory writable for the user who runs the server, and see that the file system is not mounted read-only: %w", path, err)
	case codeCantOpen:
		return fmt.Errorf("the database %s cannot be opened; see that it and its directory can be read and written by the user who runs the server: %w", path, err)
	case codeFull:
		return fmt.Errorf("there is no room on the disk for the database %s; make room and start again: %w", path, err)
	case codeIOError:
		return fmt.Errorf("the disk failed at the database %s; check the disk and the system's log before starting again: %w", path, err)
	case codeBusy, codeLocked, codeProtocol:
		return fmt.Errorf("another program holds the database %s; end it (perhaps sqlite3 or a backup) and start again: %w", path, err)
	}
	return fmt.Errorf("open the database %s: %w", path, err)
}

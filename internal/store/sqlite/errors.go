package sqlite

import (
	"errors"
	"fmt"

	sqlite3 "modernc.org/sqlite"

	"kaban/internal/store"
)

// Result codes of SQLite, https://www.sqlite.org/rescode.html. An extended code is the
// primary code and eight more bits.
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

// errTooMany means that the range of an id is exhausted.
var errTooMany = errors.New("too large a number")

// coded is an error of SQLite, a *sqlite3.Error.
type coded interface{ Code() int }

var _ coded = (*sqlite3.Error)(nil)

// codeOf returns the extended result code of an error, 0 if it is not from SQLite.
func codeOf(err error) int {
	var e coded
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// IsFull reports whether SQLite had no space for a file.
func IsFull(err error) bool {
	code := codeOf(err)
	return code&0xff == codeFull || code == codeIOErrorShmSize
}

// IsOfMachine reports whether an error of SQLite is not about the contents of a database but
// about its files: the disk, what it has room for, and who may use it.
func IsOfMachine(err error) bool {
	switch codeOf(err) & 0xff {
	case codeReadOnly, codeIOError, codeFull, codeCantOpen:
		return true
	}
	return false
}

// classify turns an error of a running store into one of the contract.
//
// An error that may pass or concerns a single call stays as it is. Any other error means
// that the store can no longer guarantee durability: an I/O error, above all a failed
// fsync, after which the kernel may have dropped the data and would report success the
// next time; a damaged database; a file system that has become read-only.
func classify(err error) error {
	code := codeOf(err)
	switch {
	case errors.Is(err, errTooMany), errors.Is(err, store.ErrDamaged), errors.Is(err, store.ErrDiffers):
		return err
	case code == codeIOErrorNoMem:
		return err
	case code == codeIOErrorShmSize: // no space for the index of the WAL, which needs no fsync
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

// isDamage reports whether an error means that the data differ from what was written,
// rather than that they cannot be reached.
func isDamage(err error) bool {
	switch codeOf(err) & 0xff {
	case codeCorrupt, codeNotADB, codeMismatch:
		return true
	}
	return false
}

// isOfDisk reports whether an error means that the disk did not do what it was asked for.
func isOfDisk(err error) bool {
	code := codeOf(err)
	return code&0xff == codeIOError && code != codeIOErrorNoMem && code != codeIOErrorShmSize
}

// explainBeginning is explain for opening a damaged database to read what it still has.
func explainBeginning(path string, err error) error {
	if codeOf(err)&0xff == codeCorrupt {
		return fmt.Errorf("the database %s is damaged where all of it begins, so nothing of it can be read; replace it with a backup (\"kaban restore\"): %w", path, err)
	}
	return explain(path, err)
}

// explainRead is explain for reading what a damaged database still has, which needs no advice to do that.
func explainRead(path string, err error) error {
	if codeOf(err)&0xff == codeCorrupt {
		return fmt.Errorf("a page of the database %s is damaged; replace it with a backup (\"kaban restore\"): %w", path, err)
	}
	return explain(path, err)
}

// explain adds advice to an error of Open.
func explain(path string, err error) error {
	if IsFull(err) {
		return fmt.Errorf("there is no space left for the database %s; free some and start again: %w", path, err)
	}
	switch codeOf(err) & 0xff {
	case codeNotADB:
		return fmt.Errorf("%s is no SQLite database, or its beginning is damaged; replace it with a backup, or move it away to start with an empty one: %w", path, err)
	case codeCorrupt:
		return fmt.Errorf("the database %s is damaged or truncated; replace it with a backup (\"kaban restore\"), or save what can be read: \"kaban export --no-audit --files DIR > FILE\", and \"kaban import --fill-gaps --files DIR FILE\" into a new data directory: %w", path, err)
	case codeReadOnly, codePerm:
		return fmt.Errorf("the database %s cannot be written; make it and its directory writable for the user that runs the server, and check that the file system is not mounted read-only: %w", path, err)
	case codeCantOpen:
		return fmt.Errorf("the database %s cannot be opened; check that the user that runs the server can read and write it and its directory: %w", path, err)
	case codeIOError:
		return fmt.Errorf("the disk failed while reading or writing the database %s; check the disk and the system log before starting again: %w", path, err)
	case codeBusy, codeLocked, codeProtocol:
		return fmt.Errorf("another program has locked the database %s; stop it (perhaps sqlite3 or a backup) and start again: %w", path, err)
	}
	return fmt.Errorf("open the database %s: %w", path, err)
}

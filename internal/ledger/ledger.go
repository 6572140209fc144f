// Package ledger keeps which messages were deleted, and which accounts erased, so that a backup
// from before that can be restored without them. It has numbers and ids, and no texts.
//
// A ledger is a directory of files, one for each month, with a line for each of them (line.go).
// Lines are only ever added. A server has one in its data directory, and copies of it beside
// its backups; what one of them has and another lacks is added there. So each is enough.
//
// A write that was interrupted leaves a line without an end, which counts as nothing: what it
// should have said was not recorded. Any other line that is not as it was written is damage.
// A Book leaves such a file under another name, writes its good lines anew, and says that the
// ledger is not whole (store.Ledger), so that everything that is known is recorded again.
package ledger

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"kaban/internal/failpoint"
	"kaban/internal/failpoint/disk"
	"kaban/internal/store"
)

// DirName is the name of a ledger's directory, in the data directory and beside backups.
const DirName = "kaban-erased"

// Files are called erased-2026-11.txt.
const (
	filePrefix = "erased-"
	fileSuffix = ".txt"
	fileTime   = "2006-01"
)

// ErrDamaged means that a ledger has lines that are not as they were written.
var ErrDamaged = errors.New("the erasure ledger is damaged")

// monthOf returns the month of a file, by its name.
func monthOf(name string) (month time.Time, ok bool) {
	text, ok := strings.CutPrefix(name, filePrefix)
	text, also := strings.CutSuffix(text, fileSuffix)
	month, err := time.Parse(fileTime, text)
	return month, ok && also && err == nil
}

func nameOf(t time.Time) string { return filePrefix + t.UTC().Format(fileTime) + fileSuffix }

// Exists reports whether there is a ledger in a directory.
func Exists(dir string) (bool, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case !info.IsDir():
		return false, fmt.Errorf("%s is a file, and belongs to the erasure ledger as a directory; move it away", dir)
	}
	return true, nil
}

// HasFiles reports whether a directory has any file of a ledger.
func HasFiles(dir string) (bool, error) {
	names, err := files(dir)
	return len(names) > 0, err
}

// files returns the names of the files of a ledger, the oldest first.
func files(dir string) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if _, ok := monthOf(e.Name()); ok && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// found is a line of a file, without its end. Either it is sound, or it is not, or it is what
// an interrupted write has left.
type found struct {
	number int
	text   string
	sound  bool
	cut    bool
}

// scan calls visit with each line of a file until it returns an error.
func scan(path string, visit func(found) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<16)
	for line := (found{number: 1}); ; line.number++ {
		text, err := in.ReadSlice('\n')
		long := len(text) > maxLine
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			text, err = in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", path, err)
		}
		if len(text) == 0 {
			return nil
		}
		line.text = string(text[:len(text)-1])
		line.sound, line.cut = err == nil && !long && isSound(line.text), err != nil
		if failed := visit(line); failed != nil || err != nil {
			return failed
		}
	}
}

// Bad is what is wrong with some ledgers.
type Bad struct {
	Lines int   // that are damaged
	First error // says which is the first of them
}

// Err returns an ErrDamaged if anything is wrong.
func (b *Bad) Err() error {
	if b.Lines == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w (damaged lines: %d)", ErrDamaged, b.First, b.Lines)
}

// Messages returns the messages of some ledgers, one ledger after the other, and notes what
// cannot be read. The sequence ends with the first error, which is not about damage.
func Messages(dirs []string, bad *Bad) iter.Seq2[store.Erased, error] {
	return func(yield func(store.Erased, error) bool) {
		for line, err := range lines(dirs, bad) {
			if line.account.ID == "" && !yield(line.message, err) {
				return
			}
		}
	}
}

// Accounts returns the accounts that some ledgers name, each once, and passes over what cannot
// be read.
func Accounts(dirs []string) (accounts []store.ErasedAccount, err error) {
	known := make(map[string]bool)
	for line, err := range lines(dirs, new(Bad)) {
		if err != nil {
			return nil, err
		}
		if id := line.account.ID; id != "" && !known[id] {
			known[id] = true
			accounts = append(accounts, line.account)
		}
	}
	return accounts, nil
}

// lines returns the lines of some ledgers, as Messages does.
func lines(dirs []string, bad *Bad) iter.Seq2[named, error] {
	return func(yield func(named, error) bool) {
		errEnough := errors.New("enough")
		for _, dir := range dirs {
			names, err := files(dir)
			for _, name := range names {
				if err != nil {
					break
				}
				path := filepath.Join(dir, name)
				err = scan(path, func(line found) error {
					if line.cut {
						return nil
					}
					n, err := parseLine(line.text)
					if err != nil {
						if bad.Lines++; bad.First == nil {
							bad.First = fmt.Errorf("%s, line %d: %w", path, line.number, err)
						}
						return nil
					}
					if !yield(n, nil) {
						return errEnough
					}
					return nil
				})
			}
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(named{}, err)
				return
			}
		}
	}
}

// Check reads some ledgers and returns how many lines they have, and an ErrDamaged if some are
// damaged.
func Check(dirs []string) (n int, err error) {
	var bad Bad
	for _, err := range lines(dirs, &bad) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, bad.Err()
}

// Config configures a Book. All fields but Dirs are optional.
type Config struct {
	// Dirs are the directories of the ledger and of its copies. They are created when there
	// is something to record, but never the one in which the first is: it is that of the data, and
	// may have been moved away.
	Dirs []string
	// Keep is how long lines are kept, counted in whole months; 0 is for ever.
	Keep time.Duration
	Log  *slog.Logger
	Now  func() time.Time // default: time.Now
}

// Book writes a ledger and its copies. It implements store.Ledger, and is safe for concurrent
// use.
type Book struct {
	config Config

	opened chan struct{} // closed when the store has recorded what it has, if it is only nothing

	mu     sync.Mutex // guards all below
	synced bool       // all places have the same
	// accounts are those that the ledger names, nil if that is not known. Another process may
	// have added one, which is then named twice.
	accounts map[string]bool
	isOpened bool // opened is closed
}

// New returns a book.
func New(config Config) *Book {
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	return &Book{config: config, opened: make(chan struct{})}
}

// IsWhole implements store.Ledger. It concerns the first of the directories.
func (b *Book) IsWhole() (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	dir := b.config.Dirs[0]
	there, err := Exists(dir)
	if err != nil || !there {
		return false, err
	}
	names, err := files(dir)
	whole := true
	for _, name := range names {
		if err == nil {
			err = scan(filepath.Join(dir, name), func(line found) error {
				whole = whole && (line.sound || line.cut)
				return nil
			})
		}
	}
	return whole, err
}

// Record implements store.Ledger: all places have the messages afterwards.
func (b *Book) Record(messages []store.Erased) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var text []byte
	for i := range messages {
		text = appendLine(text, &messages[i])
	}
	err := b.record(text)
	if err == nil && !b.isOpened {
		b.isOpened = true
		close(b.opened)
	}
	return err
}

// RecordAccounts makes accounts durable in all places, but for those that are there and those
// whose lines would be too old to be kept. It waits for the first Record, some seconds: the store has to ask
// before whether the ledger is whole, and a ledger that was lost is there again afterwards.
func (b *Book) RecordAccounts(ctx context.Context, accounts []store.ErasedAccount) error {
	if err := b.waitOpen(ctx); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.record(nil); err != nil { // then all places have the same
		return err
	}
	if b.accounts == nil {
		there, err := Accounts(b.config.Dirs[:1])
		if err != nil {
			return fmt.Errorf("the erasure ledger: %w", err)
		}
		b.accounts = make(map[string]bool, len(there))
		for _, a := range there {
			b.accounts[a.ID] = true
		}
	}
	var fresh []string
	var text []byte
	for i := range accounts {
		a := &accounts[i]
		if b.config.Keep > 0 && a.Time < b.config.Now().Add(-b.config.Keep).UnixMilli() {
			continue
		}
		if !b.accounts[a.ID] && !slices.Contains(fresh, a.ID) {
			fresh = append(fresh, a.ID)
			text = appendAccount(text, a)
		}
	}
	if err := b.record(text); err != nil {
		return err
	}
	for _, id := range fresh {
		if b.accounts != nil { // no old file went meanwhile
			b.accounts[id] = true
		}
	}
	return nil
}

// openPatience is how many times openPause RecordAccounts waits for the first Record. A process that was
// stopped loses one of them, however long that was.
const openPatience, openPause = 10, time.Second

// waitOpen waits for the first Record. One that was there before counts, also if ctx has ended
// since.
func (b *Book) waitOpen(ctx context.Context) error {
	for pauses := 0; ; pauses++ {
		select {
		case <-b.opened:
			return nil
		default:
		}
		if pauses == openPatience {
			return errNotOpen
		}
		select {
		case <-b.opened:
		case <-ctx.Done():
			return fmt.Errorf("wait for the erasure ledger: %w", ctx.Err())
		case <-time.After(openPause):
		}
	}
}

// errNotOpen means that the store has recorded nothing for a while, perhaps because the ledger cannot be written.
var errNotOpen = fmt.Errorf("the erasure ledger is not open yet: the store has written nothing to it for %v", openPatience*openPause)

// record adds lines to all places. The caller holds the lock.
func (b *Book) record(text []byte) error {
	if !b.synced {
		if err := b.sync(); err != nil {
			return fmt.Errorf("the erasure ledger: %w", err)
		}
		b.synced, b.accounts = true, nil
	}
	if len(text) == 0 {
		return nil
	}
	name := nameOf(b.config.Now())
	for _, dir := range b.config.Dirs {
		if err := alone(dir, func() error { return add(dir, name, text) }); err != nil {
			b.synced, b.accounts = false, nil
			return fmt.Errorf("the erasure ledger: %w", err)
		}
	}
	if err := b.trim(); err != nil {
		b.config.Log.Warn("old files of the erasure ledger could not be removed; that is tried again", "error", err)
	}
	return nil
}

// lockName is a file that is locked while something is added to a ledger: to copies beside
// backups a command may add, too.
const lockName = "lock"

// lockPatience is how long to wait for the lock, and lockPause between two looks.
const lockPatience, lockPause = 10 * time.Second, 5 * time.Millisecond

// alone does some work on a ledger while no other process does.
func alone(dir string, work func() error) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for began := time.Now(); ; time.Sleep(lockPause) {
		held, err := disk.TryLock(f)
		if err != nil { // a file system without locks has one writer, as the documentation says
			return work()
		}
		if !held {
			break
		}
		if time.Since(began) > lockPatience {
			return fmt.Errorf("another process is writing to %s", dir)
		}
	}
	return errors.Join(work(), disk.Unlock(f))
}

// add adds lines to a file of a ledger and makes them durable. What an interrupted write has left
// there goes.
func add(dir, name string, text []byte) (err error) {
	path := filepath.Join(dir, name)
	f, err := disk.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := endOf(f)
	if err != nil {
		return err
	}
	failpoint.Point("ledger.write")
	if err = f.Truncate(size); err == nil {
		_, err = f.WriteAt(text, size)
	}
	failpoint.Point("ledger.written")
	if err == nil {
		err = f.Sync()
	}
	if err == nil && size == 0 {
		err = disk.SyncDirectory(dir)
	}
	if err != nil {
		return errors.Join(explain(err), f.Truncate(size))
	}
	failpoint.Point("ledger.synced")
	return nil
}

// endOf returns where the last whole line of a file ends.
func endOf(f *disk.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	tail := make([]byte, min(info.Size(), maxLine))
	from := info.Size() - int64(len(tail))
	if _, err := f.ReadAt(tail, from); err != nil {
		return 0, err
	}
	if at := bytes.LastIndexByte(tail, '\n'); at >= 0 || from == 0 {
		return from + int64(at) + 1, nil
	}
	return info.Size(), nil // longer than any line, so it is damage
}

func explain(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; it must be writable for the user that runs the server", err)
	}
	return err
}

// trim removes the files of months that are over for longer than lines are kept.
func (b *Book) trim() (err error) {
	if b.config.Keep == 0 {
		return nil
	}
	limit := b.config.Now().Add(-b.config.Keep)
	for _, dir := range b.config.Dirs {
		names, failed := files(dir)
		err = errors.Join(err, failed)
		for _, name := range names {
			month, _ := monthOf(name)
			if month.AddDate(0, 1, 0).After(limit) {
				continue
			}
			if failed := disk.Remove(filepath.Join(dir, name)); failed != nil {
				err = errors.Join(err, failed)
				continue
			}
			b.accounts = nil
			b.config.Log.Info("removed an old file of the erasure ledger", "path", filepath.Join(dir, name))
		}
	}
	return err
}

// sync makes all places have the same lines, and mends their files.
func (b *Book) sync() error {
	if len(b.config.Dirs) > 0 {
		if _, err := os.Stat(filepath.Dir(b.config.Dirs[0])); err != nil {
			return explain(err)
		}
	}
	for _, dir := range b.config.Dirs {
		if err := makeDir(dir); err != nil {
			return err
		}
		if err := alone(dir, func() error { return b.open(dir) }); err != nil {
			return err
		}
	}
	return spread(b.config.Dirs, b.config.Dirs)
}

// Copy adds to one ledger what others have and it lacks. It creates its directory if there is
// anything to add.
func Copy(to string, from []string) error { return spread(from, []string{to}) }

// lineSet is a set of lines. Two lines are taken for one once in 2^64 times.
type lineSet struct {
	seed maphash.Seed
	has  map[uint64]struct{}
}

// add adds a line and reports whether it is new.
func (s *lineSet) add(line string) bool {
	sum, before := maphash.String(s.seed, line), len(s.has)
	s.has[sum] = struct{}{}
	return len(s.has) > before
}

// spread adds to each of some ledgers the lines of others that it lacks.
func spread(from, to []string) error {
	for _, dir := range to {
		others := slices.DeleteFunc(slices.Clone(from), func(other string) bool { return other == dir })
		if len(others) == 0 {
			continue
		}
		have := lineSet{maphash.MakeSeed(), make(map[uint64]struct{})}
		if err := eachSound(dir, func(_, line string) error {
			have.add(line)
			return nil
		}); err != nil {
			return err
		}
		made := false
		lacking := make(map[string][]byte) // by the names of files
		flush := func() error {
			for name, text := range lacking {
				if !made {
					if err := makeDir(dir); err != nil {
						return err
					}
					made = true
				}
				if err := alone(dir, func() error { return add(dir, name, text) }); err != nil {
					return err
				}
			}
			clear(lacking)
			return nil
		}
		bytes := 0
		for _, other := range others {
			if err := eachSound(other, func(name, line string) error {
				if !have.add(line) {
					return nil
				}
				lacking[name] = append(append(lacking[name], line...), '\n')
				if bytes += len(line); bytes < spreadBytes {
					return nil
				}
				bytes = 0
				return flush()
			}); err != nil {
				return err
			}
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// spreadBytes is how much is added to a ledger at a time.
const spreadBytes = 1 << 20

// eachSound calls visit with each good line of a ledger.
func eachSound(dir string, visit func(name, line string) error) error {
	names, err := files(dir)
	for _, name := range names {
		if err != nil {
			break
		}
		err = scan(filepath.Join(dir, name), func(line found) error {
			if !line.sound {
				return nil
			}
			return visit(name, line.text)
		})
	}
	return err
}

// makeDir creates a directory for a ledger, and those above it.
func makeDir(dir string) error {
	if there, err := Exists(dir); err != nil || there {
		return err
	}
	return explain(disk.MakeDirectory(dir))
}

// open mends the files in a directory.
func (b *Book) open(dir string) error {
	names, err := files(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		path := filepath.Join(dir, name)
		bad, end, cut := 0, int64(0), false
		if err := scan(path, func(line found) error {
			switch {
			case line.cut:
				cut = true
			case !line.sound:
				bad++
				fallthrough
			default:
				end += int64(len(line.text)) + 1
			}
			return nil
		}); err != nil {
			return err
		}
		switch {
		case bad > 0:
			err = b.mend(path, bad)
		case cut:
			err = truncate(path, end)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// truncate removes what an interrupted write has left.
func truncate(path string, size int64) error {
	f, err := disk.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return explain(err)
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// mend writes the good lines of a file anew, and keeps the file under another name.
func (b *Book) mend(path string, bad int) error {
	draft, aside := path+".new", path+".damaged-"+b.config.Now().UTC().Format("20060102T150405.000")
	var text []byte
	if err := scan(path, func(line found) error {
		if line.sound {
			text = append(append(text, line.text...), '\n')
		}
		return nil
	}); err != nil {
		return err
	}
	f, err := disk.OpenFile(draft, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return explain(err)
	}
	_, err = f.WriteAt(text, 0)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(path, aside); err != nil && !errors.Is(err, fs.ErrExist) {
		b.config.Log.Warn("a damaged file of the erasure ledger is not kept under another name", "path", path, "error", err)
	}
	if err := disk.Rename(draft, path); err != nil {
		return err
	}
	b.config.Log.Error("a file of the erasure ledger was damaged; it has its good lines again, and everything that the database and the copies of the ledger know", "path", path, "damaged_lines", bad, "kept", aside)
	return disk.SyncDirectory(filepath.Dir(path))
}

//go:build failpoint

package disk

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"

	"kaban/internal/failpoint"
)

// The functions of https://www.sqlite.org/c3ref/vfs.html and io_methods.html that
// are replaced, or called to inspect a file.
type (
	openFunc     = func(tls *libc.TLS, vfs, path, file uintptr, flags int32, outFlags uintptr) int32
	closeFunc    = func(tls *libc.TLS, file uintptr) int32
	transferFunc = func(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32
	truncateFunc = func(tls *libc.TLS, file uintptr, size int64) int32
	syncFunc     = func(tls *libc.TLS, file uintptr, flags int32) int32
	sizeFunc     = func(tls *libc.TLS, file, size uintptr) int32
)

// call converts a function pointer of the translated C code to a function.
func call[F any](pointer uintptr) F {
	return *(*F)(unsafe.Pointer(&struct{ uintptr }{pointer}))
}

// pointer does the reverse.
func pointer(f any) uintptr {
	return (*[2]uintptr)(unsafe.Pointer(&f))[1]
}

var disk = state{limits: noLimits}

// state has the changes of all files. Its lock is held during each read and write, so
// a power loss happens between two of them.
type state struct {
	sync.Mutex
	original sqlite3.Tsqlite3_vfs
	under    uintptr                // the VFS below
	tables   map[uintptr]uintptr    // our methods, by those below
	below    map[uintptr]uintptr    // the reverse
	paths    map[uintptr]string     // of SQLite's open files, by handle
	database map[uintptr]bool       // whether a handle is for the database itself
	changes  map[string][]change    // unsynced, of SQLite's files, by path
	files    []*file                // of Go code, in the order of their first use
	names    map[string][]*renaming // unsynced, by directory
	lose     bool
	seed     uint64
	noSync   bool
	keep     string // where a process that dies leaves its changes; "": they are lost
	limits
	later *limits // the limits after the next SIGUSR2; nil: none
}

// limits are the faults that a signal changes.
type limits struct {
	failSync int    // the number of syncs up to the one that fails
	of       string // the pattern of the names of files and directories whose syncs count; "": all
	full     int64  // 0: no limit
	space    int64  // bytes by which files of Go code may still grow; below zero: no limit
	create   int64  // files that Go code may still create; below zero: no limit
}

var noLimits = limits{space: -1, create: -1}

func init() {
	faults := os.Getenv("KABAN_FAULT_DISK")
	if faults == "" && os.Getenv("KABAN_FAILPOINT") == "" {
		return
	}
	if err := disk.configure(faults); err != nil {
		panic(err)
	}
	disk.goBelowSQLite()
	failpoint.OnDeath(losePower)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range signals {
			if s == syscall.SIGUSR1 {
				failpoint.Die()
			}
			disk.Lock()
			disk.limits = noLimits
			if disk.later != nil {
				disk.limits, disk.later = *disk.later, nil
			}
			disk.Unlock()
			fmt.Fprintln(os.Stderr, "disk: the faults have changed")
		}
	}()
}

// configure sets the faults of a list. A fault that does not exist is an error: a test
// with it would prove nothing.
func (d *state) configure(faults string) (err error) {
	d.changes, d.names = make(map[string][]change), make(map[string][]*renaming)
	later := false
	for _, fault := range strings.Split(faults, ",") {
		name, value, _ := strings.Cut(fault, "=")
		var n int64
		switch name {
		case "of":
			d.of = value
			continue
		case "keep":
			d.keep = value
			continue
		case "kept":
			if err := d.restore(value); err != nil {
				return fmt.Errorf("KABAN_FAULT_DISK: %s: %w", name, err)
			}
			continue
		}
		if value != "" {
			if n, err = strconv.ParseInt(value, 10, 64); err != nil {
				return fmt.Errorf("KABAN_FAULT_DISK: %s: %w", name, err)
			}
		}
		switch name {
		case "":
		case "lose":
			d.lose = true
		case "seed":
			d.seed = uint64(n)
		case "failsync":
			d.failSync = int(n)
		case "full":
			d.full = n
		case "space":
			d.space = n
		case "create":
			d.create = n
		case "nosync":
			d.noSync = true
		case "later":
			later = true
		default:
			return fmt.Errorf("KABAN_FAULT_DISK: there is no fault %q", name)
		}
	}
	if later {
		all := d.limits
		d.limits, d.later = noLimits, &all
	}
	return nil
}

// goBelowSQLite makes all databases use the faulty disk.
func (d *state) goBelowSQLite() {
	d.tables, d.below = make(map[uintptr]uintptr), make(map[uintptr]uintptr)
	d.paths, d.database = make(map[uintptr]string), make(map[uintptr]bool)
	tls := libc.NewTLS()
	d.under = sqlite3.Xsqlite3_vfs_find(tls, 0)
	d.original = *(*sqlite3.Tsqlite3_vfs)(unsafe.Pointer(d.under))
	ours := libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(d.original)))
	vfs := (*sqlite3.Tsqlite3_vfs)(unsafe.Pointer(ours))
	*vfs = d.original
	name, err := libc.CString("kaban-faults")
	if err != nil {
		panic(err)
	}
	vfs.FpNext, vfs.FzName, vfs.FxOpen = 0, name, pointer(openFunc(openInSQLite))
	if rc := sqlite3.Xsqlite3_vfs_register(tls, ours, 1); rc != sqlite3.SQLITE_OK {
		panic("the faulty disk cannot be registered")
	}
}

func openInSQLite(tls *libc.TLS, _, path, file uintptr, flags int32, outFlags uintptr) int32 {
	d := &disk
	rc := call[openFunc](d.original.FxOpen)(tls, d.under, path, file, flags, outFlags)
	methods := &(*sqlite3.Tsqlite3_file)(unsafe.Pointer(file)).FpMethods
	if rc != sqlite3.SQLITE_OK || *methods == 0 || flags&(sqlite3.SQLITE_OPEN_MAIN_DB|sqlite3.SQLITE_OPEN_WAL|sqlite3.SQLITE_OPEN_MAIN_JOURNAL) == 0 {
		return rc
	}
	d.Lock()
	defer d.Unlock()
	table, ok := d.tables[*methods]
	if !ok {
		table = libc.Xmalloc(tls, libc.Tsize_t(unsafe.Sizeof(sqlite3.Tsqlite3_io_methods{})))
		ours := (*sqlite3.Tsqlite3_io_methods)(unsafe.Pointer(table))
		*ours = *(*sqlite3.Tsqlite3_io_methods)(unsafe.Pointer(*methods))
		ours.FxClose, ours.FxRead, ours.FxWrite = pointer(closeFunc(closeFile)), pointer(transferFunc(readFile)), pointer(transferFunc(writeFile))
		ours.FxTruncate, ours.FxSync = pointer(truncateFunc(truncate)), pointer(syncFunc(syncFile))
		d.tables[*methods], d.below[table] = table, *methods
	}
	*methods = table
	d.paths[file], d.database[file] = libc.GoString(path), flags&sqlite3.SQLITE_OPEN_MAIN_DB != 0
	return rc
}

// methodsBelow returns the real methods of a file.
func methodsBelow(file uintptr) *sqlite3.Tsqlite3_io_methods {
	table := (*sqlite3.Tsqlite3_file)(unsafe.Pointer(file)).FpMethods
	return (*sqlite3.Tsqlite3_io_methods)(unsafe.Pointer(disk.below[table]))
}

func closeFile(tls *libc.TLS, file uintptr) int32 {
	disk.Lock()
	methods := methodsBelow(file)
	delete(disk.paths, file)
	delete(disk.database, file)
	disk.Unlock()
	return call[closeFunc](methods.FxClose)(tls, file)
}

// readFile waits forever once the power is lost: the process must not see, and tell
// its clients, what only the next one may find on the disk.
func readFile(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	disk.Lock()
	defer disk.Unlock()
	return call[transferFunc](methodsBelow(file).FxRead)(tls, file, buffer, n, offset)
}

func writeFile(tls *libc.TLS, file, buffer uintptr, n int32, offset int64) int32 {
	d := &disk
	d.Lock()
	defer d.Unlock()
	if d.database[file] {
		d.Unlock() // the process may end here
		failpoint.Point("checkpoint.write")
		d.Lock()
	}
	methods := methodsBelow(file)
	if d.full > 0 && offset+int64(n) > d.full {
		return sqlite3.SQLITE_FULL
	}
	if d.lose {
		size := sizeOf(tls, methods, file)
		d.remember(file, change{
			Offset: offset, Size: size, Before: read(tls, methods, file, offset, min(int64(n), size-offset)),
			After: append([]byte{}, unsafe.Slice((*byte)(unsafe.Pointer(buffer)), n)...),
		})
	}
	return call[transferFunc](methods.FxWrite)(tls, file, buffer, n, offset)
}

func truncate(tls *libc.TLS, file uintptr, size int64) int32 {
	d := &disk
	d.Lock()
	defer d.Unlock()
	methods := methodsBelow(file)
	if d.lose {
		old := sizeOf(tls, methods, file)
		d.remember(file, change{Offset: size, Size: old, Before: read(tls, methods, file, size, old-size), NewSize: size})
	}
	return call[truncateFunc](methods.FxTruncate)(tls, file, size)
}

func syncFile(tls *libc.TLS, file uintptr, flags int32) int32 {
	d := &disk
	d.Lock()
	if d.syncFails(d.paths[file]) {
		d.Unlock()
		return sqlite3.SQLITE_IOERR_FSYNC
	}
	methods, path, until := methodsBelow(file), d.paths[file], 0
	until = len(d.changes[path])
	d.Unlock()
	rc := call[syncFunc](methods.FxSync)(tls, file, flags)
	if rc == sqlite3.SQLITE_OK {
		d.Lock()
		d.changes[path] = d.changes[path][until:]
		d.Unlock()
	}
	return rc
}

// syncFails counts a sync and reports whether it is the one that fails.
func (d *state) syncFails(path string) bool {
	if d.failSync == 0 {
		return false
	}
	if counts, _ := filepath.Match(d.of, filepath.Base(path)); !counts && d.of != "" {
		return false
	}
	d.failSync--
	return d.failSync == 0
}

// remember records a change. Like the methods below it must be called with the
// lock held.
func (d *state) remember(file uintptr, c change) {
	d.changes[d.paths[file]] = append(d.changes[d.paths[file]], c)
}

func sizeOf(tls *libc.TLS, methods *sqlite3.Tsqlite3_io_methods, file uintptr) int64 {
	size := tls.Alloc(8)
	defer tls.Free(8)
	call[sizeFunc](methods.FxFileSize)(tls, file, size)
	return *(*int64)(unsafe.Pointer(size))
}

func read(tls *libc.TLS, methods *sqlite3.Tsqlite3_io_methods, file uintptr, offset, n int64) []byte {
	if n <= 0 {
		return nil
	}
	buffer := libc.Xmalloc(tls, libc.Tsize_t(n))
	defer libc.Xfree(tls, buffer)
	call[transferFunc](methods.FxRead)(tls, file, buffer, int32(n), offset)
	return append([]byte{}, unsafe.Slice((*byte)(unsafe.Pointer(buffer)), n)...)
}

//go:build unix

package sqlite

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"kaban/internal/childtest"
)

// Root makes no files where the server of another user could not open them.
func TestRootLeavesTheDataOfOthersAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to give files away")
	}
	const other = 54321
	newFilesOf := func(uid uint32) func(string) (uint32, bool) {
		return func(string) (uint32, bool) { return uid, true }
	}
	for _, c := range []struct {
		name      string
		directory int // its owner
		mode      os.FileMode
		database  int // its owner; -1: there is none
		made      func(string) (uint32, bool)
		refused   bool
	}{
		{"a directory of a user, without a database", other, 0o700, -1, ownerOfNew, true},
		{"the same for a group", other, 0o750, -1, ownerOfNew, true},
		{"a directory that everybody looks into, such as one mounted into a container", other, 0o755, -1, ownerOfNew, false},
		{"a server that root has always run there", other, 0o700, 0, ownerOfNew, false},
		{"the database of a user", other, 0o700, other, ownerOfNew, true},
		{"the database of a user in a directory for all", other, 0o755, other, ownerOfNew, true},
		{"the database of a user in a directory of root", 0, 0o755, other, ownerOfNew, true},
		{"where root is nobody, as over NFS", other, 0o700, other, newFilesOf(other), false},
		{"where new files cannot be made", other, 0o700, other, func(string) (uint32, bool) { return 0, false }, false},
		{"a directory of root", 0, 0o700, -1, ownerOfNew, false},
		{"the database of root", 0, 0o700, 0, ownerOfNew, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files := 0
			if c.database >= 0 {
				files = 1
				path := filepath.Join(dir, databaseName)
				if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, c.database, -1)); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(os.Chmod(dir, c.mode), os.Chown(dir, c.directory, -1)); err != nil {
				t.Skip("this system lets root give nothing away:", err)
			}
			if got := foreignOwner(0, dir, c.made); (got != "") != c.refused {
				t.Errorf("root is refused for %q", got)
			}
			if got := foreignOwner(1, dir, c.made); got != "" {
				t.Errorf("a user is refused for %q; the modes of the directory decide", got)
			}
			if c.refused {
				_, err := Open(t.Context(), dir, Options{})
				if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "runuser") || !strings.Contains(err.Error(), "chown -R 0 "+dir) {
					t.Errorf("open: got %v", err)
				}
			}
			if have, err := os.ReadDir(dir); err != nil || len(have) != files {
				t.Errorf("the directory has %v, %v", have, err)
			}
		})
	}
}

// A server could neither remove a backup that root has put among its own, nor add to the ledger there.
func TestRootLeavesTheBackupsOfOthersAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to give files away")
	}
	const other = 54321
	for _, c := range []struct {
		name             string
		database, folder int // their owners
		made             func(string) (uint32, bool)
		refused          bool
	}{
		{"the backups of a server of another user", other, other, ownerOfNew, true},
		{"a folder of root", other, 0, ownerOfNew, false},
		{"a folder of somebody else", other, other + 1, ownerOfNew, false},
		{"a server of root", 0, 0, ownerOfNew, false},
		{"a database of root among the backups of another user", 0, other, ownerOfNew, false},
		{"where root is nobody, as over NFS", other, other, func(string) (uint32, bool) { return other, true }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, folder := made(t), t.TempDir()
			path := filepath.Join(dir, databaseName)
			if err := errors.Join(os.Chown(path, c.database, -1), os.Chown(folder, c.folder, -1)); err != nil {
				t.Skip("this system lets root give nothing away:", err)
			}
			err := refuseForeignFolder(0, path, folder, c.made)
			if errors.Is(err, errOutOfReach) != c.refused || (err != nil) != c.refused {
				t.Errorf("root: got %v", err)
			}
			if err := refuseForeignFolder(1, path, folder, c.made); err != nil {
				t.Errorf("a user is refused; the modes of the folder decide: %v", err)
			}
			if !c.refused {
				return
			}
			a, err := OpenArchive(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Backup(t.Context(), filepath.Join(folder, "b.db"), nil)
			if wantError(t, err, "belongs to #54321", "runuser"); a.Close() != nil {
				t.Error("the archive is not closed")
			}
			if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
				t.Errorf("the folder has %v, %v", left, err)
			}
		})
	}
}

// A process that is being started has the files of the one that starts it, until it runs
// its program. Close ends the lock even so.
func TestCloseEndsAnInheritedLock(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	inherited, err := syscall.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	closeStore(t, s)
	closeStore(t, open(t, dir, Options{}))
}

// The directory of a process that was killed can be opened at once, even if the process
// was about to start another one.
func TestKilledWhileItStartsProcesses(t *testing.T) {
	if dir := os.Getenv(childVariable); dir != "" {
		if _, err := Open(t.Context(), dir, Options{}); err != nil {
			fmt.Println("child:", err)
			return
		}
		var starting sync.WaitGroup
		var once sync.Once
		for range 4 {
			starting.Go(func() {
				for {
					exec.Command("true").Run()
					once.Do(func() { fmt.Println("child: open") })
				}
			})
		}
		starting.Wait()
	}
	dir := t.TempDir()
	closeStore(t, open(t, dir, Options{}))
	for range 40 {
		c := childCommand(t, dir)
		childtest.Bind(c, syscall.SIGKILL)
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && !strings.HasPrefix(lines.Text(), "child:"); {
			if !strings.HasPrefix(lines.Text(), "=== ") {
				t.Errorf("the child printed %q", lines.Text())
			}
		}
		c.Process.Kill()
		c.Wait()
		lock, err := lockDirectory(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := unlockDirectory(lock); err != nil {
			t.Fatal(err)
		}
	}
}

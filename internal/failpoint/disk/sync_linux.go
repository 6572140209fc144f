package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData is fdatasync(2), which does not write the inode if only its times changed.
func syncData(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := conn.Control(func(fd uintptr) {
		for failed = unix.Fdatasync(int(fd)); failed == unix.EINTR; failed = unix.Fdatasync(int(fd)) {
		}
	}); err != nil {
		return err
	}
	return os.NewSyscallError("fdatasync", failed)
}

//go:build linux || darwin || freebsd

package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func spaceOf(dir string) (Space, error) {
	var s unix.Statfs_t
	for {
		err := unix.Statfs(dir, &s)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return Space{}, fmt.Errorf("look at the file system of %s: %w", dir, err)
		}
		// The types differ between systems, and FreeBSD's Bavail may be negative.
		size := blockSize(&s)
		return Space{Free: max(int64(s.Bavail), 0) * size, Total: int64(s.Blocks) * size}, nil
	}
}

//go:build linux || darwin || freebsd

package telemetry

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// DiskOf returns the room of the disk with a directory.
func DiskOf(dir string) (Disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return Disk{}, fmt.Errorf("size of the disk with %s: %w", dir, err)
	}
	block := uint64(s.Bsize)
	return Disk{Free: uint64(max(s.Bavail, 0)) * block, Size: s.Blocks * block}, nil
}

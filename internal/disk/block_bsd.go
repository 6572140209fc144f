//go:build darwin || freebsd

package disk

import "golang.org/x/sys/unix"

// blockSize returns what the numbers of blocks count in, in bytes.
func blockSize(s *unix.Statfs_t) int64 { return int64(s.Bsize) }

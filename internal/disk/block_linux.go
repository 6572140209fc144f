package disk

import "golang.org/x/sys/unix"

// blockSize returns what the numbers of blocks count in, in bytes: statfs(2) has that in
// f_frsize, and in f_bsize what is best to read at once, which FUSE may make larger.
func blockSize(s *unix.Statfs_t) int64 {
	if s.Frsize > 0 {
		return int64(s.Frsize)
	}
	return int64(s.Bsize)
}

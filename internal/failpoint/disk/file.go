//go:build !failpoint

package disk

import "os"

// File is a file whose writes and syncs fail in tests. One goroutine at a time may use
// it.
type File struct{ *os.File }

// OpenFile is os.OpenFile.
func OpenFile(path string, flag int, mode os.FileMode) (*File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	return &File{f}, nil
}

// SyncData makes the contents of the file durable, and its size. Its times may be lost.
func (f *File) SyncData() error { return syncData(f.File) }

// Rename is os.Rename. The new name is durable after SyncDirectory.
func Rename(from, to string) error { return os.Rename(from, to) }

// Remove is os.Remove. It is durable after SyncDirectory.
func Remove(path string) error { return os.Remove(path) }

// SyncDirectory makes the names in a directory durable.
func SyncDirectory(path string) error { return syncDirectory(path) }

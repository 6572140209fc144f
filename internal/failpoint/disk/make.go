package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// MakeDirectory makes a directory that only its owner may use, and those above it that are missing, and makes their
// names durable. The name of a directory that is there already is made durable if the one above can be read: it may be
// one that others own, and that only lets through to this one.
func MakeDirectory(dir string) error {
	var made []string
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) || at == filepath.Dir(at) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, at := range made {
		if err := SyncDirectory(filepath.Dir(at)); err != nil {
			return err
		}
	}
	if len(made) > 0 {
		return nil
	}
	if err := SyncDirectory(filepath.Dir(dir)); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
}

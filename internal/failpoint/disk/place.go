package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Place is where a file was when somebody opened it. It never changes.
type Place struct {
	path string
	info fs.FileInfo
}

// PlaceOf returns where a file is.
func PlaceOf(path string) (*Place, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	os.SameFile(info, info) // Windows finds out which file it is only when it is compared
	return &Place{path, info}, nil
}

// Displaced returns an error if the path does not lead to the file any more: somebody has
// removed or exchanged it. It returns nil if that cannot be found out.
func (p *Place) Displaced() error {
	now, err := os.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s was removed or moved", p.path)
	case err == nil && !os.SameFile(p.info, now):
		return fmt.Errorf("another file is in the place of %s", p.path)
	}
	return nil
}

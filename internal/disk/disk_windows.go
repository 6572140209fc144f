package disk

import (
	"fmt"

	"golang.org/x/sys/windows"
)

func spaceOf(dir string) (Space, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return Space{}, err
	}
	var free, total uint64
	if err := windows.GetDiskFreeSpaceEx(path, &free, &total, nil); err != nil {
		return Space{}, fmt.Errorf("look at the file system of %s: %w", dir, err)
	}
	return Space{Free: int64(free), Total: int64(total)}, nil
}

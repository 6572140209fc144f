package telemetry

import (
	"fmt"

	"golang.org/x/sys/windows"
)

// DiskOf returns the room of the disk with a directory.
func DiskOf(dir string) (Disk, error) {
	path, err := windows.UTF16PtrFromString(dir)
	if err != nil {
		return Disk{}, err
	}
	var d Disk
	if err := windows.GetDiskFreeSpaceEx(path, &d.Free, &d.Size, nil); err != nil {
		return Disk{}, fmt.Errorf("size of the disk with %s: %w", dir, err)
	}
	return d, nil
}

//go:build !linux && !darwin && !freebsd && !windows

package telemetry

import "errors"

// DiskOf returns that the room of a disk is not known on this system.
func DiskOf(string) (Disk, error) { return Disk{}, errors.ErrUnsupported }

//go:build !linux && !darwin && !freebsd && !windows

package disk

import "errors"

func spaceOf(string) (Space, error) { return Space{}, errors.ErrUnsupported }

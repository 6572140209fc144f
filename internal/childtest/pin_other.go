//go:build !linux

package childtest

import "errors"

func pin(int, int) error { return errors.ErrUnsupported }

func pinSelf(int) (func() error, error) { return nil, errors.ErrUnsupported }

//go:build !linux

package childtest

import (
	"errors"
	"time"
)

func pin(int, int) error { return errors.ErrUnsupported }

func pinSelf(int) (func() error, error) { return nil, errors.ErrUnsupported }

func cpu(int) (time.Duration, error) { return 0, errors.ErrUnsupported }

//go:build !linux

package bench

import "context"

func run(context.Context, Workload, Options) (*Result, error) { return nil, ErrNeedsLinux }

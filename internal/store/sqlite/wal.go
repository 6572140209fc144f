package sqlite

import "context"

func (s *Snapshot) checkWAL(context.Context) ([]string, error) { return nil, nil }

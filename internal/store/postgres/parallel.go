package postgres

// appends is how many appends are under way at a time. They overlap where each waits for the disk.
const appends = 4

// Appends implements store.Parallel.
func (s *Store) Appends() int { return appends }

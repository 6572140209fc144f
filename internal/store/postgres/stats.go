package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Timeline returns the newest timeline of the database that was seen. It waits for nothing.
func (s *Store) Timeline() uint64 { return uint64(s.timeline.Load()) }

// Connections returns how many connections the store has at the moment, how many of them are in
// use, and how many it may have at most.
func (s *Store) Connections() (open, used, most int) {
	for _, pool := range []*pgxpool.Pool{s.writers, s.readers, s.makers} {
		now := pool.Stat()
		open += int(now.TotalConns())
		used += int(now.AcquiredConns())
		most += int(now.MaxConns())
	}
	return open, used, most
}

package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// scout looks, in a goroutine of its own, for a server that has taken over, among the hosts of a URL
// with several. Connections go to the first host that may be used, and one may be used that was cut
// off from its standby: it accepts a COMMIT, and never confirms it. So whenever a connection is lost,
// all hosts are asked. That of a newer timeline turns the store away from the others.
type scout struct {
	hosts []*pgx.ConnConfig
	wake  chan struct{}
	done  sync.WaitGroup
}

func (c *scout) start(s *Store, config *pgx.ConnConfig) {
	c.wake = make(chan struct{}, 1)
	for i := -1; i < len(config.Fallbacks) && len(config.Fallbacks) > 0; i++ {
		one := config.Copy()
		one.Fallbacks = nil
		if i >= 0 {
			way := config.Fallbacks[i]
			one.Host, one.Port, one.TLSConfig = way.Host, way.Port, way.TLSConfig
		}
		c.hosts = append(c.hosts, one)
	}
	if c.hosts == nil {
		return
	}
	c.done.Go(func() {
		for {
			select {
			case <-c.wake:
				c.look(s.closing)
			case <-s.closing.Done():
				return
			}
		}
	})
}

// lost wakes the scout.
func (c *scout) lost() {
	select {
	case c.wake <- struct{}{}:
	default: // it is awake
	}
}

// look connects to all hosts. That notes what they are; see Store.validate.
func (c *scout) look(ctx context.Context) {
	var looking sync.WaitGroup
	defer looking.Wait()
	for _, host := range c.hosts {
		looking.Go(func() {
			if conn, err := pgx.ConnectConfig(ctx, host); err == nil {
				_ = conn.Close(ctx) // it has done nothing
			}
		})
	}
}

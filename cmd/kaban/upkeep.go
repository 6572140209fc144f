package main

import (
	"context"
	"log/slog"
	"time"

	"kaban/internal/account"
)

// How often a server looks after its accounts.
const (
	flushEvery    = time.Minute // counts of failed sign-ins, which a crash would lose
	maintainEvery = time.Hour
	maintainPause = time.Second // between two steps when there is more to do
)

// upkeep removes what has expired and stores counts of failed sign-ins, until ctx ends.
func upkeep(ctx context.Context, accounts *account.Service, log *slog.Logger) {
	maintain, flush := time.NewTimer(0), time.NewTicker(flushEvery)
	defer maintain.Stop()
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-flush.C:
			if err := accounts.FlushFailures(ctx); err != nil && ctx.Err() == nil {
				log.Warn("failed sign-ins could not be counted; they are tried again", "error", err)
			}
		case <-maintain.C:
			more, err := accounts.Maintain(ctx)
			switch {
			case err != nil && ctx.Err() == nil:
				log.Warn("what has expired could not be removed; it is tried again in an hour", "error", err)
				maintain.Reset(maintainEvery)
			case more:
				maintain.Reset(maintainPause)
			default:
				maintain.Reset(maintainEvery)
			}
		}
	}
}

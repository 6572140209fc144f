package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"kaban/internal/account"
	service "kaban/internal/chat"
)

// How often a server looks after its accounts.
const (
	flushEvery    = time.Minute // counts of failed sign-ins, which a crash would lose
	maintainEvery = time.Hour
	maintainPause = time.Second // between two steps when there is more to do
)

// flushFailures stores counts of failed sign-ins, until ctx ends.
func flushFailures(ctx context.Context, accounts *account.Service, log *slog.Logger) {
	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-flush.C:
			if err := accounts.FlushFailures(ctx); err != nil && ctx.Err() == nil {
				log.Warn("failed sign-ins could not be counted; they are tried again", "error", err)
			}
		}
	}
}

// upkeep removes what has expired, until ctx ends. Of several nodes one does so.
func upkeep(ctx context.Context, accounts *account.Service, chat *service.Chat, log *slog.Logger) {
	maintained := time.NewTimer(0)
	defer maintained.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-maintained.C:
			more, err := maintain(ctx, accounts, chat)
			switch {
			case err != nil && ctx.Err() == nil:
				log.Warn("what has expired could not be removed; it is tried again in an hour", "error", err)
				maintained.Reset(maintainEvery)
			case more:
				maintained.Reset(maintainPause)
			default:
				maintained.Reset(maintainEvery)
			}
		}
	}
}

// maintain does one step of each, and reports whether there is more to do.
func maintain(ctx context.Context, accounts *account.Service, chat *service.Chat) (more bool, err error) {
	more, err = accounts.Maintain(ctx)
	moreMentions, failed := chat.ForgetMentions(ctx)
	return more || moreMentions, errors.Join(err, failed)
}

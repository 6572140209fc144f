package main

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"time"

	"kaban"
	"kaban/internal/backup"
	"kaban/internal/peer"
	"kaban/internal/web"
)

// validate returns what the flags say about listeners, or everything that is wrong with
// the flags and the configuration file.
func (c *serveCommand) validate() ([]*endpoint, peer.Policy, error) {
	problems := []error{c.nodeFlags.settle(c.named("data"), &c.Data)} // before anything shows it
	problems = append(problems, c.checkRanges())
	if c.problems != nil {
		problems = append([]error{usageError{c.problems}}, problems...)
	}
	endpoints, err := c.listens()
	policy, err2 := c.policy()
	base, err3 := web.ParseBasePath(c.BasePath)
	if err3 != nil {
		err3 = usagef("%s: %w", c.named("base-path"), err3)
	}
	c.BasePath = base
	problems = append(problems, err, err2, c.checkOrigins(), err3, checkData(c.named("data"), c.Data), c.checkBus(), c.checkDatabase())
	if err == nil && err2 == nil {
		problems = append(problems, c.decide(endpoints, policy), c.checkTLS(endpoints), c.checkProfiles(endpoints))
	}
	return endpoints, policy, errors.Join(problems...)
}

// listens returns where to listen.
func (c *serveCommand) listens() ([]*endpoint, error) {
	if len(c.Listen) == 0 { // in the file; without it there is the default
		return parseListens(c.named("listen"), nil)
	}
	endpoints, err := parseListens(c.named("listen"), withClients(c.Listen))
	return endpoints, errors.Join(err, checkTwice(c.named("listen"), endpoints))
}

// checkOrigins refuses origins that are none.
func (c *serveCommand) checkOrigins() error {
	if err := web.CheckOrigins(c.Origin); err != nil {
		return usagef("%s: %w", c.named("origin"), err)
	}
	return nil
}

// checkRanges refuses values that cannot be meant.
func (c *serveCommand) checkRanges() error {
	return errors.Join(
		inRange(c, "max-clients", c.MaxClients, 1, 10_000_000, ""),
		inRange(c, "max-newcomers", c.MaxNewcomers, 0, 10_000_000, ""),
		inRange(c, "max-from-address", c.MaxFromAddress, 1, 10_000_000, ""),
		inRange(c, "max-content", c.MaxContent, 1, kaban.MaxContentCeiling, ""),
		inRange(c, "heartbeat", c.Heartbeat, time.Second, time.Hour, ""),
		inRange(c, "tail-size", c.TailSize, 1, 1<<20, " (KiB)"),
		inRange(c, "tail-budget", c.TailBudget, 1, 1<<20, " (MiB)"),
		inRange(c, "page-size", c.PageSize, 1, 10_000, ""),
		inRange(c, "drain-timeout", c.DrainTimeout, 0, math.MaxInt64, ""),
		inRange(c, "backup-keep", c.BackupKeep, 1, backup.MaxKeep, ""),
		c.checkBackup(),
		c.checkS3(),
	)
}

// inRange returns an error if the value of a flag is not from least to most.
func inRange[T cmp.Ordered](c *serveCommand, flag string, value, least, most T, unit string) error {
	switch {
	case value >= least && value <= most:
		return nil
	case any(most) == any(time.Duration(math.MaxInt64)):
		return usagef("%s must be at least %v, not %v", c.named(flag), least, value)
	}
	return usagef("%s must be %s to %s%s, not %v", c.named(flag), short(least), short(most), unit, value)
}

// short is a value for a sentence: 1h instead of 1h0m0s.
func short(value any) string {
	if value == time.Hour {
		return "1h"
	}
	return fmt.Sprint(value)
}

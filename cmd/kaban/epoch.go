package main

import (
	"fmt"
)

// epochCommand is about what clients remember of a database.
type epochCommand struct {
	Keep epochKeep `cmd:"" help:"Have clients not notice the next failover of a database, because it loses nothing."`
}

type epochKeep struct{ dataFlags }

// Help implements kong.HelpProvider.
func (epochKeep) Help() string {
	return "After a failover, a database has another timeline. Nodes cannot know whether the new primary has everything that the old one had acknowledged, so they change the epoch, and clients read all rooms anew. " +
		"Run this right before a planned switchover, or before you promote a synchronous standby, against the server that is the primary then. It holds for one failover within an hour."
}

// Run has the next change of the timeline keep the epoch.
func (c *epochKeep) Run(std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if !isDatabase(c.Data) {
		return usagef("--data %s is a data directory, which has no failover; name a database, as postgres://ROLE@HOST/NAME", c.Data)
	}
	ctx, stop := untilInterrupted()
	defer stop()
	if err := keepEpoch(ctx, c.home()); err != nil {
		return err
	}
	fmt.Fprintf(std.err, "kaban: a failover of %s within an hour keeps the epoch, so clients do not notice it; it must lose nothing\n", c.Data)
	return nil
}

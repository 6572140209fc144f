package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"kaban/client"
	"kaban/internal/display"
	"kaban/internal/index"
	"kaban/internal/store"
	"kaban/wire"
)

// openIndex opens the search index of a store.
func openIndex(kept store.Store, data string, log *slog.Logger) *index.Index {
	if data == inMemory {
		data = ""
	}
	return index.Open(kept, data, index.Options{Log: log})
}

func closeIndex(x *index.Index, log *slog.Logger) {
	if err := x.Close(); err != nil {
		log.Warn("the search index was not closed properly; what it lacks is read again", "err", err)
	}
}

type searchCommand struct {
	connectFlags
	Query []string `arg:"" help:"What to look for: words, word*, '\"two words\"', from:NAME, in:ROOM, before:DATE, after:DATE, on:DATE, has:link, mentions:me, is:pinned. A - in front excludes; put -- before the first of these."`
	Room  string   `help:"Look only in this room."`
	Limit int      `placeholder:"N" default:"20" help:"The most messages to print. Default: ${default}."`
	Zone  string   `placeholder:"ZONE" help:"Time zone of dates, such as Europe/Berlin. Default: that of this machine."`
	JSON  bool     `name:"json" help:"Print each hit as a JSON object on a line."`
}

// Run prints the messages that a query finds, newest first.
func (c *searchCommand) Run(std streams) error {
	if c.Limit < 1 {
		return usagef("--limit must be at least 1")
	}
	ctx, stop := untilInterrupted()
	defer stop()
	n := &notices{out: std.err}
	session, err := c.connect(ctx, client.Options{OnState: n.onState()}, []string{"search-" + randomName(), "search-" + randomName()}, std.in)
	if err != nil {
		return err
	}
	defer session.Close()
	output := newLineWriter(std.out)
	err = c.print(ctx, session, output, n)
	if output.close(); output.err != nil {
		return fmt.Errorf("standard output: %w", output.err)
	}
	return err
}

func (c *searchCommand) print(ctx context.Context, session *client.Client, output *lineWriter, n *notices) error {
	asked := client.Search{Query: strings.Join(c.Query, " "), Room: c.Room, Zone: cmp.Or(c.Zone, localZone())}
	partial := false
	for left := c.Limit; left > 0; {
		asked.Limit = min(left, wire.MaxHits)
		page, err := session.Search(ctx, asked)
		if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeBadQuery {
			return usagef("%s", refused.Text)
		}
		if err != nil {
			return err
		}
		for i := range page.Hits {
			output.write(c.line(&page.Hits[i]), client.Cursor{})
		}
		left -= len(page.Hits)
		if partial = page.Partial; !page.More || partial {
			break
		}
		asked.Before, asked.HasBefore = page.Next, true
	}
	if partial {
		n.printf("there may be more: the server did not look at all messages in time, or its search index is not complete yet")
	}
	return nil
}

// line returns what is printed of a hit.
func (c *searchCommand) line(h *client.Hit) string {
	if c.JSON {
		return display.JSON(string(h.Append(nil))) + "\n"
	}
	return fmt.Sprintf("%s %s %d %s:> %s\n", h.Time.Local().Format(time.DateTime), display.Line(h.Room), h.Seq, display.Line(h.Username), display.Line(h.Snippet))
}

// localZone returns the IANA name of the time zone of this machine, or "" if it is not
// known.
func localZone() string {
	zone, ok := os.LookupEnv("TZ")
	if !ok {
		link, err := filepath.EvalSymlinks("/etc/localtime")
		if err != nil {
			return ""
		}
		_, zone, _ = strings.Cut(filepath.ToSlash(link), "/zoneinfo/")
	}
	zone = strings.TrimPrefix(zone, ":")
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" {
		return ""
	}
	return zone
}

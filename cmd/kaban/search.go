package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"kaban/client"
	"kaban/internal/display"
	"kaban/internal/index"
	"kaban/internal/operator"
	"kaban/internal/search"
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
	Query []string `arg:"" help:"What to look for: words, word*, '\"two words\"', from:NAME, in:ROOM, before:DATE, after:DATE, on:DATE, has:link, has:file, mentions:me, is:pinned. A - in front excludes; put -- before the first of these."`
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
	session, err := c.connect(ctx, client.Options{OnState: n.onState()}, []string{"search-" + randomName(), "search-" + randomName()}, std)
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
	partial, found := false, false
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
		left, found = left-len(page.Hits), found || len(page.Hits) > 0
		if partial = page.Partial; !page.More || partial {
			break
		}
		asked.Before, asked.HasBefore = page.Next, true
	}
	if !found && !partial {
		c.explainNothing(ctx, session, n)
	}
	if partial {
		n.printf("there may be more: the server is still indexing the newest messages, or the search took too long; try again in a moment, or look for less")
	}
	return nil
}

// explainNothing says that nothing was found, and which rooms of the query are none that the
// user may read: the search leaves them out.
func (c *searchCommand) explainNothing(ctx context.Context, session *client.Client, n *notices) {
	query, err := search.Parse(strings.Join(c.Query, " "), time.Now())
	if err != nil {
		return
	}
	n.printf("nothing found; a message of the last few seconds may not be indexed yet: try again in a moment")
	for _, name := range search.Unknown(strings.Join(c.Query, " ")) {
		n.printf("%s: is no filter, so it was looked for as text; filters are %s", name, search.Operators())
	}
	for _, room := range query.In {
		_, err := session.History(ctx, room.String(), client.HistoryQuery{Limit: 1})
		if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeNotFound {
			n.printf("%v", noRoom(session, room.String(), " that you may read", refused.Code))
		}
	}
}

// line returns what is printed of a hit.
func (c *searchCommand) line(h *client.Hit) string {
	if c.JSON {
		return display.JSON(string(h.Append(nil))) + "\n"
	}
	return fmt.Sprintf("%s %s %d %s:> %s\n", h.Time.Local().Format(time.DateTime), display.Line(h.Room), h.Seq, authorOf(h.Username, h.Bot), display.WithFiles(display.Line(h.Snippet), h.Files))
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

// reindexCommand makes the search index anew.
type reindexCommand struct {
	dataFlags
}

// reindexEvery is how often a server is asked how far it is.
const reindexEvery = 300 * time.Millisecond

// Run returns once the new index is complete.
func (c *reindexCommand) Run(std streams) error {
	if err := c.check(); err != nil {
		return err
	}
	admin := adminFlags{dataFlags: c.dataFlags}
	if err := admin.exists(); err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	bar := progress(std.err, -1, "indexing", " messages")
	transport, err := operator.Dial(ctx, c.dir())
	switch {
	case err == nil:
		defer transport.CloseIdleConnections()
		err = reindexThere(ctx, transport, bar.Set64)
	case errors.Is(err, operator.ErrNotRunning):
		err = c.reindexHere(ctx, bar.Set64)
	}
	bar.Exit()
	if err != nil {
		return fmt.Errorf("reindex %s: %w", c.Data, err)
	}
	fmt.Fprintf(std.err, "kaban: the search index of %s is complete\n", c.Data)
	return nil
}

// reindexThere asks a running server, and waits for it.
func reindexThere(ctx context.Context, transport http.RoundTripper, show func(int64) error) error {
	a := &admin{http: http.Client{Transport: transport}}
	if err := a.do(ctx, http.MethodPost, reindexPath, nil, nil); err != nil {
		return err
	}
	ticker := time.NewTicker(reindexEvery)
	defer ticker.Stop()
	for {
		var report statusReport
		if err := a.do(ctx, http.MethodGet, statusPath, nil, &report); err != nil {
			return err
		}
		if problem := report.Problems["search"]; problem != "" {
			return errors.New(problem)
		}
		if !report.Search.Building {
			return nil
		}
		if err := show(int64(report.Search.Indexed)); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.New("interrupted; the server goes on with it")
		}
	}
}

// reindexHere opens a data directory that no server uses.
func (c *reindexCommand) reindexHere(ctx context.Context, show func(int64) error) (err error) {
	log := slog.New(slog.DiscardHandler)
	release, err := c.home().take()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	kept, err := openStore(c.home(), ledgerIn(c.dir()), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	x := index.Open(kept, c.dir(), index.Options{Log: log, Eager: true})
	defer func() { err = errors.Join(err, x.Close()) }()
	x.Rebuild()
	done := make(chan error, 1)
	var waiting sync.WaitGroup
	defer waiting.Wait()
	waiting.Go(func() { done <- x.Wait(ctx) })
	ticker := time.NewTicker(reindexEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			if problem := x.Status().Problem; problem != nil {
				return problem
			}
			return err
		case <-ticker.C:
			if err := show(int64(x.Status().Indexed)); err != nil {
				return err
			}
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"

	"kaban/internal/display"
	"kaban/internal/operator"
)

// statusCommand shows how a running server is.
type statusCommand struct {
	dataFlags
	JSON  bool          `name:"json" help:"Print JSON, one object per line."`
	Watch bool          `short:"w" help:"Show it again and again, until Ctrl-C."`
	Every time.Duration `placeholder:"TIME" default:"2s" help:"With --watch: how often, from 100ms. Default: ${default}."`
}

// Bounds of --every.
const (
	minStatusEvery = 100 * time.Millisecond
	maxStatusEvery = 24 * time.Hour
)

// Run shows the state of the server.
func (c *statusCommand) Run(std streams) error {
	if !c.namesNode() { // the directory of a node is all that this needs of one
		if err := c.check(); err != nil {
			return err
		}
	}
	if c.Every < minStatusEvery || c.Every > maxStatusEvery {
		return usagef("--every must be %v to %v, not %v", minStatusEvery, maxStatusEvery, c.Every)
	}
	ctx, stop := untilInterrupted()
	defer stop()
	show := &statusView{out: std.out, json: c.JSON}
	report, err := c.ask(ctx)
	if err != nil {
		return err
	}
	show.inPlace = c.Watch && !c.JSON && isTerminal(std.out) && canDraw()
	if err := show.report(report); err != nil || !c.Watch {
		return err
	}
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	away := false // the server, and that was said
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		switch report, err := c.ask(ctx); {
		case ctx.Err() != nil:
			return nil
		case err != nil && !away:
			away = true
			show.forget()
			fmt.Fprintf(std.err, "kaban: %s; waiting for it\n", display.Line(err.Error()))
		case err == nil:
			away = false
			if err := show.report(report); err != nil {
				return err
			}
		}
	}
}

// searchLine says how far the search index is.
func searchLine(s *searchReport) string {
	state := "complete"
	switch {
	case s.Building:
		state = counted(int(s.Behind), "entry", "entries") + " to go until it is made"
	case s.Behind > 0 || s.Lag > 0:
		state = fmt.Sprintf("%s behind, %s", counted(int(s.Behind), "entry", "entries"), (time.Duration(s.Lag) * time.Millisecond).Round(10*time.Millisecond))
	}
	return fmt.Sprintf("%s, %s", state, byteSize(s.Bytes))
}

// statusTimeout bounds the wait for the answer of a server.
const statusTimeout = 10 * time.Second

// ask returns what the server says.
func (c *statusCommand) ask(ctx context.Context) (*statusReport, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, statusTimeout, fmt.Errorf("the server did not answer in %v; it, or its disk, is overloaded", statusTimeout))
	defer cancel()
	transport, err := operator.Dial(ctx, c.asked())
	if errors.Is(err, operator.ErrNotRunning) {
		return nil, c.notRunning()
	}
	if err != nil {
		return nil, err
	}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://admin"+statusPath, nil)
	if err != nil {
		return nil, err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return nil, unanswered(ctx, request.Method, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server answers %s; it may be an older version without a status", answer.Status)
	}
	report := new(statusReport)
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(report); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) || ctx.Err() != nil {
			return nil, unanswered(ctx, request.Method, err)
		}
		return nil, fmt.Errorf("understand the answer of the server: %w", err)
	}
	return report, nil
}

// asked returns the directory of the server that is asked.
func (c *statusCommand) asked() string {
	if c.namesNode() {
		return c.State
	}
	return c.dir()
}

// notRunning says where no server runs, and what to do.
func (c *statusCommand) notRunning() error {
	if c.namesNode() {
		return fmt.Errorf("no node is running on %s; start one with \"kaban serve --data postgres://ROLE@HOST/NAME --state %s\", or name the directory of another with --state", c.State, shellWord(c.State))
	}
	if isDatabase(c.Data) {
		return fmt.Errorf("no node is running on %s; start one with \"kaban serve --data %s --state %s\", or name the directory of another with --state", c.State, shellWord(c.Data), shellWord(c.State))
	}
	return fmt.Errorf("no server is running on %s; start one with \"kaban serve --data %s\", or name the data directory of another with --data", c.Data, shellWord(c.Data))
}

// statusView prints states, each in the place of the last one if it can.
type statusView struct {
	out     io.Writer
	json    bool
	inPlace bool
	lines   int // of the state on the terminal
	count   int // of states
}

// forget leaves the state on the terminal where it is.
func (v *statusView) forget() { v.lines = 0 }

func (v *statusView) report(r *statusReport) error {
	var text strings.Builder
	switch {
	case v.json:
		line, err := json.Marshal(r)
		if err != nil {
			return err
		}
		text.WriteString(display.JSON(string(line)) + "\n")
	case v.inPlace:
		lines := statusLines(r, time.Now())
		if width, height, err := term.GetSize(int(v.out.(*os.File).Fd())); err == nil {
			lines = fitted(lines, width, height)
		}
		if v.lines > 0 {
			fmt.Fprintf(&text, "\x1b[%dA", v.lines)
		}
		for _, line := range lines {
			text.WriteString("\r\x1b[K" + line + "\n")
		}
		text.WriteString("\x1b[J")
		v.lines = len(lines)
	default:
		if v.count > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(strings.Join(statusLines(r, time.Now()), "\n") + "\n")
	}
	v.count++
	if _, err := io.WriteString(v.out, text.String()); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// fitted cuts lines to a terminal, on which every one must be one line: only so many can
// be overwritten.
func fitted(lines []string, width, height int) []string {
	lines = lines[:min(len(lines), max(height-1, 1))]
	cut := make([]string, len(lines))
	for i, line := range lines {
		cut[i] = ansi.Truncate(line, max(width-1, 1), "…")
	}
	return cut
}

// statusLines returns a state as people read it.
func statusLines(r *statusReport, now time.Time) []string {
	lines := []string{fmt.Sprintf("kaban %s, up %s, process %d", r.Version, duration(time.Duration(r.Uptime)*time.Second), r.Process), ""}
	add := func(name, format string, args ...any) {
		lines = append(lines, statusLine(name, format, args...))
	}
	add("Data", "%s", r.Data)
	for i, url := range r.Listeners {
		add([]string{"Listening", ""}[min(i, 1)], "%s", url)
	}
	n := r.Connections
	add("Clients", "%s of at most %s: %s over TCP, %s over TLS, %s over WebSocket", thousands(n.Clients), thousands(n.MaxClients), thousands(n.TCP), thousands(n.TLS), thousands(n.WebSocket))
	add("HTTP", "%s, %s", counted(n.HTTP, "connection"), counted(n.Streams, "stream of events", "streams of events"))
	add("Messages", "%s/s, %s in the last minute, %s since the start", decimal(r.Messages.PerSecond), thousands(r.Messages.PerMinute), thousands(r.Messages.Total))
	if r.Refused != nil {
		add("", "REFUSED since %s, %s: %s", r.Refused.Since.Local().Format(statusTime), fromNow(r.Refused.Since, now), r.Refused.Reason)
	}
	if _, unknown := r.Problems["rooms"]; !unknown {
		add("Rooms", "%s", thousands(r.Rooms))
	}
	if r.Database == nil {
		add("Journal", "%s to merge, %s of files, %s of WAL", counted(int(r.Journal.Unmerged), "entry", "entries"), byteSize(r.Journal.Files), byteSize(r.Journal.WAL))
		add("Database", "%s", byteSize(r.Disk.Database))
	}
	lines = append(lines, clusterLines(r)...)
	add("Search", "%s", searchLine(&r.Search))
	if r.Disk.Total > 0 {
		add("Disk", "%s used by the data, %s of %s free (%d %%)", byteSize(r.Disk.Used), byteSize(r.Disk.Free), byteSize(r.Disk.Total), r.Disk.Free*100/r.Disk.Total)
	} else {
		add("Disk", "%s used by the data", byteSize(r.Disk.Used))
	}
	lines = append(lines, certLines(r, now)...)
	if r.Database == nil {
		lines = append(lines, backupLines(r.Backup, now)...)
	}
	for _, what := range slices.Sorted(maps.Keys(r.Problems)) {
		add("Unknown", "%s: %s", what, r.Problems[what])
	}
	for i := range lines {
		lines[i] = display.Line(lines[i])
	}
	return lines
}

// statusLine returns a line of a state; without a name it belongs to the one above.
func statusLine(name, format string, args ...any) string {
	return fmt.Sprintf("  %-12s  ", name) + fmt.Sprintf(format, args...)
}

// statusTime is how a status shows times.
const statusTime = "2006-01-02 15:04"

func backupLines(b *backupReport, now time.Time) (lines []string) {
	add := func(name, format string, args ...any) {
		lines = append(lines, statusLine(name, format, args...))
	}
	if b == nil {
		add("Backups", "none on a schedule (--backup-every)")
		return lines
	}
	add("Backups", "every %s, %s of at most %s with %s in %s", duration(time.Duration(b.Every)*time.Second), thousands(b.Count), thousands(b.Keep), byteSize(b.Bytes), b.Dir)
	last, next := "none yet", "one is being made"
	if b.Last != nil {
		last = fmt.Sprintf("last %s, %s, with %s", b.Last.Local().Format(statusTime), fromNow(*b.Last, now), byteSize(b.LastSize))
	}
	if b.Next != nil {
		next = "next " + fromNow(*b.Next, now)
	}
	add("", "%s; %s", last, next)
	for _, remark := range b.Remarks {
		add("", "%s", remark)
	}
	if b.Error != "" {
		add("", "FAILED %s: %s", counted(b.Failures, "time"), b.Error)
	}
	return lines
}

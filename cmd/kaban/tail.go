package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"kaban/client"
	"kaban/internal/display"
	"kaban/wire"
)

// defaultLast is how many of the newest entries tail starts with.
const defaultLast = 10

type tailCommand struct {
	connectFlags
	Room    string `arg:"" help:"The room to read."`
	Since   string `placeholder:"SEQ|TIME" help:"Start after this message number, this long ago (90m, 24h, 7d), or at a date or time (2026-11-25, 2026-11-25T14:30). Default: the last 10 messages."`
	Follow  bool   `short:"f" help:"Continue with new messages until interrupted."`
	Cursor  string `placeholder:"FILE" help:"Continue where an earlier run with the same file stopped, and save the new cursor in it. If the file does not exist, start at --since."`
	Numbers bool   `xor:"form" help:"Begin each line with the number of its entry, for \"kaban edit\", \"delete\", \"react\", \"pin\" and --since."`
	JSON    bool   `name:"json" xor:"form" help:"Print each entry as its kaban/1 frame: one JSON object a line. Without --follow and --cursor, messages include reactions, answers and pins."`
}

// Run prints a part of a room's log.
func (c *tailCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	begin, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	room, err := parseRoom(c.Room)
	if err != nil {
		return err
	}
	c.Room = room.String()
	saved := cursorFile{path: c.Cursor, room: c.Room}
	if err := saved.load(); err != nil {
		return err
	}
	n := &notices{out: std.err}
	session, err := c.connect(ctx, client.Options{OnState: n.onState()}, []string{"tail-" + randomName(), "tail-" + randomName()}, std)
	if err != nil {
		return err
	}
	defer session.Close()
	output := newLineWriter(std.out)
	defer output.close()
	if c.Cursor != "" {
		output.written = saved.save
	}
	err = c.print(ctx, session, begin, saved.cursor, output, n)
	if output.close(); output.err != nil {
		return fmt.Errorf("standard output: %w", output.err)
	}
	return errors.Join(err, saved.err)
}

// since is where to start: after a seq, at a time, or with the newest entries.
type since struct {
	after uint64
	bySeq bool
	at    time.Time
}

// sinceLayouts are the formats of dates and times of --since. Without a zone they are
// in local time.
var sinceLayouts = []string{time.RFC3339, time.DateOnly, time.DateTime, "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"}

func parseSince(text string, now time.Time) (since, error) {
	if text == "" {
		return since{}, nil
	}
	if seq, err := strconv.ParseUint(text, 10, 53); err == nil {
		return since{after: seq, bySeq: true}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return since{at: now.AddDate(0, 0, -int(n))}, nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 {
		return since{at: now.Add(-ago)}, nil
	}
	for _, layout := range sinceLayouts {
		if at, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return since{at: at}, nil
		}
	}
	return since{}, usagef("--since %q is neither a message number such as 120, nor a time such as 90m, 24h or 7d, nor a date such as 2026-11-25 or 2026-11-25T14:30", text)
}

func (c *tailCommand) print(ctx context.Context, session *client.Client, begin since, saved client.Cursor, output *lineWriter, n *notices) error {
	after, head, err := c.locate(ctx, session, begin)
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeNotFound && c.Follow {
		err = nil // it starts with the first message of a new room
	}
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeNotFound {
		return noRoom(session, c.Room, " that you may read", wire.CodeNotFound)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", c.Room, err)
	}
	from := client.Cursor{Seq: after}
	if saved.Epoch != "" {
		from = saved
	}
	switch {
	case c.Follow:
		return c.read(ctx, session, from, math.MaxUint64, output, n)
	case c.Cursor != "": // the epoch counts, so the room is followed
		return c.read(ctx, session, from, head, output, n)
	}
	missing := uint64(0)
	for after < head {
		page, err := session.History(ctx, c.Room, client.HistoryQuery{After: after, HasAfter: true, Limit: wire.MaxLimit})
		if err != nil {
			return fmt.Errorf("read %s: %w", c.Room, err)
		}
		first := page.First
		if first == 0 {
			break
		}
		if first > after+1 && after > 0 {
			// Numbers have no gap: the server has no longer these entries, or cannot read them.
			cut, err := c.isFront(ctx, session, first)
			if err != nil {
				return fmt.Errorf("read %s: %w", c.Room, err)
			}
			if cut {
				n.printf("%s of %s are no longer kept; going on with message %d", spanOf(after+1, first-1), c.Room, first)
				after = first - 1
			}
		}
		if first > after+1 && after > 0 {
			n.printf("%s of %s cannot be read; \"kaban check\" on the server shows more", spanOf(after+1, first-1), c.Room)
			missing += first - 1 - after
		}
		for _, e := range page.Entries {
			if e.Seq <= head {
				output.write(c.line(&e), client.Cursor{})
			}
		}
		after = page.Last // the last entries may be changes of messages
	}
	if missing > 0 {
		return fmt.Errorf("%s of %s could not be read; all others are printed", display.Count(missing, "message"), c.Room)
	}
	return nil
}

// isFront reports whether the log begins with an entry: there is none before it, not even one
// that is damaged.
func (c *tailCommand) isFront(ctx context.Context, session *client.Client, seq uint64) (bool, error) {
	page, err := session.History(ctx, c.Room, client.HistoryQuery{Before: seq, HasBefore: true, Limit: 1})
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeInternal {
		return false, nil // it is damaged
	}
	return page.First == 0 && !page.More, err
}

// spanOf describes a range of messages.
func spanOf(first, last uint64) string {
	if first == last {
		return fmt.Sprintf("message %d", first)
	}
	return fmt.Sprintf("messages %d to %d", first, last)
}

// locate returns the seq after which to start, and the head.
func (c *tailCommand) locate(ctx context.Context, session *client.Client, begin since) (after, head uint64, err error) {
	if !begin.bySeq && !begin.at.IsZero() {
		first, head, err := session.Seek(ctx, c.Room, begin.at)
		return first - min(first, 1), head, err
	}
	newest, err := session.History(ctx, c.Room, client.HistoryQuery{Limit: defaultLast})
	head = newest.Last
	if begin.bySeq && head > 0 {
		return begin.after, head, err
	}
	return newest.First - min(newest.First, 1), head, err
}

// read prints the messages after a cursor, up to a seq or until it is interrupted.
func (c *tailCommand) read(ctx context.Context, session *client.Client, from client.Cursor, until uint64, output *lineWriter, n *notices) error {
	enter := session.Join
	if _, ok := session.Account(); ok { // reading must not make it a member
		enter = session.Watch
	}
	room, err := enter(ctx, c.Room, client.After(from))
	if resync, ok := errors.AsType[*client.ResyncError](err); ok {
		n.printf("%v", resync)
		from.Seq = resync.Oldest - min(resync.Oldest, 1)
		room, err = enter(ctx, c.Room, client.Last(resync.Head+1-min(resync.Oldest, resync.Head+1)))
	}
	if err != nil {
		return joinError(c.Room, err)
	}
	if from.Seq >= until {
		return nil
	}
	var lag lag
	for e, err := range room.Entries(ctx) {
		if resync, ok := errors.AsType[*client.ResyncError](err); ok {
			n.printf("%v", resync)
			if resync.Head >= until { // the last one is damaged or gone
				return nil
			}
			continue
		}
		if err != nil {
			return err
		}
		lag.note(&e, n)
		output.write(c.line(&e), client.Cursor{Epoch: room.Cursor().Epoch, Seq: e.Seq})
		if e.Seq >= until {
			return nil
		}
	}
	return nil
}

// line returns the line of an entry; "" for one of a kind that this version does not
// know.
func (c *tailCommand) line(e *client.Entry) string {
	switch {
	case e.Message != nil && c.JSON:
		return display.JSON(string(wire.AppendMessage(nil, c.Room, *e.Message)))
	case e.Message != nil:
		return numbered(c.Numbers, e.Seq, plainLine(e.Message))
	case e.Change == nil || e.Change.Type == wire.TypeUnknown:
		return ""
	case c.JSON:
		return display.JSON(string(wire.AppendChange(nil, c.Room, e.Change)))
	}
	return numbered(c.Numbers, e.Seq, changeLine(e.Change))
}

// cursorFile saves the cursor up to which a room was printed: one line, "ROOM CURSOR".
type cursorFile struct {
	path, room string
	cursor     client.Cursor
	err        error // of the last save
}

// load reads the file. Without a file the cursor stays zero.
func (f *cursorFile) load() error {
	if f.path == "" {
		return nil
	}
	text, err := os.ReadFile(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := checkFolderOf(f.path); err != nil {
			return fmt.Errorf("--cursor: %w", err)
		}
		return nil
	case err != nil:
		return fmt.Errorf("--cursor: %w", err)
	}
	room, cursor, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	if f.cursor, err = client.ParseCursor(cursor); err != nil {
		return usagef("--cursor %s was not written by kaban tail: %w; name another file", f.path, err)
	}
	if room != f.room {
		return usagef("--cursor %s belongs to the room %s, not to %s; use a file for each room", f.path, room, f.room)
	}
	return nil
}

// save replaces the file atomically. After an interruption before it, the next run
// prints some messages again.
func (f *cursorFile) save(cursor client.Cursor) {
	f.err = func() error {
		draft, err := os.CreateTemp(filepath.Dir(f.path), filepath.Base(f.path)+".*")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(draft, f.room, cursor)
		if err = errors.Join(err, draft.Sync(), draft.Close()); err == nil {
			err = os.Rename(draft.Name(), f.path)
		}
		if err != nil {
			os.Remove(draft.Name())
		}
		return err
	}()
	if f.err != nil {
		f.err = fmt.Errorf("--cursor: %w; the next run prints some messages again", f.err)
	}
}

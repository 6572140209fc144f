package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/display"
	"kaban/internal/tui"
	"kaban/wire"
)

const (
	// maxLine bounds an input line in bytes. It is more than any message may have.
	maxLine = 256 << 10
	// ackPatience is how long settle waits without any progress.
	ackPatience = 30 * time.Second
)

type chatCommand struct {
	connectFlags
	Where       string `arg:"" optional:"" name:"room" help:"The same as --room."`
	Room        string `placeholder:"ROOM" env:"KABAN_ROOM" help:"The room to open; created if it does not exist. Default: the one that was open at last, or lobby. With --plain: lobby."`
	Pictures    bool   `help:"Show pictures in the terminal if it can: with v, of a selected message. The same as pictures = true in the configuration."`
	Plain       bool   `help:"Run as a filter: each input line is a message, and each message is printed as \"username:> content\". This is the default if input or output is not a terminal, or TERM is dumb."`
	Numbers     bool   `help:"With --plain, begin each line with the number of its entry, for --reply-to of \"kaban send\", \"kaban edit\", \"delete\", \"react\" and \"pin\"."`
	PrintConfig bool   `help:"Print the configuration file of the full-screen client, with an explanation of every key, and exit."`
}

// chat is one run of the command.
type chat struct {
	room    *client.Room
	client  *client.Client
	output  *lineWriter
	notices *notices
	// refused counts the lines that were not sent; post and the watchers of acks add
	// to it.
	refused  atomic.Int64
	watching sync.WaitGroup

	typed   bool // the lines come from a terminal; commands are refused
	numbers bool // each line that is printed begins with its number

	passedOver bool // an empty line was reported; of postAll
}

// Run chats until the input ends or, in full screen, until the person quits.
func (c *chatCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	c.Room = cmp.Or(c.Where, c.Room)
	if c.PrintConfig || !c.Plain && isTerminal(std.in) && isTerminal(std.out) && canDraw() {
		return c.fullScreen(ctx, std)
	}
	if c.TokenFile == "-" {
		return usagef("--token-file - is for commands that read nothing else from standard input; name a file")
	}
	run, err := c.join(ctx, std, &notices{out: std.err})
	if err != nil {
		return err
	}
	run.typed, run.numbers = isTerminal(std.in), c.Numbers
	err = run.converse(ctx, newPlainInput(std.in))
	if bye, ok := errors.AsType[*client.Goodbye](err); ok && bye.Reason == wire.ReasonAuth {
		return c.whyEnded(ctx, std, err)
	}
	return err
}

// whyEnded asks the server why it ended a session: its refusal of a new hello says more
// than the goodbye. Any other outcome says less.
func (c *chatCommand) whyEnded(ctx context.Context, std streams, ended error) error {
	server, options, err := c.prepare(client.Options{}, ownNames(), std.in)
	if err != nil {
		return ended
	}
	again, err := client.Dial(ctx, server, options)
	if err == nil {
		again.Close()
	}
	if _, refused := errors.AsType[*client.Error](err); refused {
		return c.explain(server, options, err)
	}
	return ended
}

// fullScreen runs the client of package tui.
func (c *chatCommand) fullScreen(ctx context.Context, std streams) error {
	configured, err := tui.LoadConfig(tui.ConfigPath())
	if err != nil {
		return usageError{err}
	}
	if c.PrintConfig {
		_, err := io.WriteString(std.out, configured.String())
		return err
	}
	if c.Server != "" {
		if configured.Server, err = c.address(); err != nil {
			return err
		}
	}
	if c.Username != "" {
		if _, err := kaban.ParseUsername(c.Username); err != nil {
			return usagef("--username: %w", err)
		}
		configured.Username = c.Username
	}
	configured.Pictures = configured.Pictures || c.Pictures
	if c.TokenFile == "-" {
		return usagef("--token-file - leaves nothing of standard input to type; name a file")
	}
	if configured.Server == "" { // whoever has signed in need not be asked
		if _, ok, err := savedCredentials().Of(defaultServer); ok && err == nil {
			configured.Server = defaultServer
		}
	}
	return tui.Run(ctx, tui.Options{
		Config: configured, Names: ownNames(), Room: c.Room, Zone: localZone(), Keep: true, Insecure: c.Insecure,
		Token: func(server string) (wire.Secret, error) {
			options, err := c.signIn(server, client.Options{}, nil)
			return options.Token, err
		},
		Place: func(server string) wire.Secret {
			saved, _, _ := savedCredentials().Of(server) // Token returns the error
			return saved.Place
		},
		Trust:   c.trust,
		Devices: c.devices, SetName: c.setName, Person: c.person,
		Upload: c.upload, Download: c.download, Paths: pathsLike, Previews: c.previews, Thumbnail: c.thumbnail,
		Explain: func(server string, err error) string { return unreachable(server, err).Error() },
		In:      std.in, Out: std.out,
	})
}

func (c *chatCommand) join(ctx context.Context, std streams, n *notices) (*chat, error) {
	session, err := c.connect(ctx, client.Options{OnState: n.onState(), OnHeld: n.onHeld()}, ownNames(), std)
	if err != nil {
		return nil, err
	}
	name := cmp.Or(c.Room, "lobby")
	room, err := session.Join(ctx, name, client.From{})
	if err != nil {
		session.Close()
		return nil, joinError(name, err)
	}
	return &chat{room: room, client: session, output: newLineWriter(std.out), notices: n}, nil
}

// passOver reports the first empty line, which is not sent.
func (r *chat) passOver(number int) {
	if !r.passedOver {
		r.passedOver = true
		r.notices.printf("line %d is empty and was not sent, as are all empty lines", number)
	}
}

// input is the source of messages. next returns io.EOF at the end, and errTooLong
// for a line that no message can hold.
type input interface {
	next() (string, error)
}

var errTooLong = errors.New("the line is longer than any message may be (too_long_content)")

// converse passes lines both ways until the input ends and every message is
// acknowledged.
func (r *chat) converse(ctx context.Context, lines input) error {
	defer r.client.Close()
	reading, stopReading := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	var readErr error
	removed := make(chan struct{})
	readers.Go(func() {
		if readErr = r.print(reading); isRemoved(readErr) {
			close(removed)
		}
	})
	finish := func() {
		stopReading()
		readers.Wait()
		r.output.close()
	}
	defer finish()

	postErr := r.postAll(ctx, lines, removed)
	settleErr := r.settle(ctx)
	finish()
	switch {
	case isRemoved(readErr):
		return readErr
	case settleErr != nil:
		return settleErr
	case postErr != nil:
		return postErr
	case readErr != nil:
		return fmt.Errorf("reading ended: %w", readErr)
	case r.output.err != nil:
		return fmt.Errorf("standard output: %w", r.output.err)
	case r.refused.Load() > 0:
		return errSilent // each was reported
	}
	return nil
}

// isRemoved reports whether an error says that one is not in the room any more.
func isRemoved(err error) bool {
	_, ok := errors.AsType[*client.RemovedError](err)
	return ok
}

// print writes the messages of others, and what they change of messages.
func (r *chat) print(ctx context.Context) error {
	var lag lag
	for e, err := range r.room.Entries(ctx) {
		if _, ok := errors.AsType[*client.ResyncError](err); ok {
			r.notices.printf("%v", err)
			continue
		}
		if err != nil {
			return err
		}
		lag.note(&e, r.notices)
		switch {
		case e.Message != nil:
			r.output.write(numbered(r.numbers, e.Seq, plainLine(e.Message)), client.Cursor{})
		case e.Change != nil && describeAmendment(e.Change) != "":
			r.output.write(numbered(r.numbers, e.Seq, changeLine(e.Change)), client.Cursor{})
		}
	}
	return nil
}

// postAll posts each line of the input, until it ends or removed is closed.
func (r *chat) postAll(ctx context.Context, lines input, removed <-chan struct{}) error {
	type read struct {
		line string
		err  error
	}
	// Reading blocks and cannot be interrupted, so it has a goroutine that may
	// outlive this function; it ends with the process at the latest.
	feed := make(chan read)
	done := make(chan struct{})
	defer close(done)
	feeding := sync.WaitGroup{}
	feeding.Go(func() {
		for {
			line, err := lines.next()
			select {
			case feed <- read{line, err}:
			case <-done:
				return
			}
			if err != nil && !errors.Is(err, errTooLong) {
				return
			}
		}
	})
	for number := 1; ; number++ {
		select {
		case <-ctx.Done():
			return nil // settle waits for the messages under way
		case <-removed:
			return nil
		case <-r.client.Done():
			return fmt.Errorf("the session is over: %w", r.client.Err())
		case got := <-feed:
			switch {
			case errors.Is(got.err, io.EOF):
				return nil
			case errors.Is(got.err, errTooLong):
				r.refuse(number, got.err)
				continue
			case got.err != nil:
				return fmt.Errorf("read the input: %w", got.err)
			case strings.TrimSpace(got.line) == "":
				r.passOver(number)
				continue
			}
			if err := r.post(ctx, number, got.line); err != nil {
				return err
			}
		}
	}
}

// unslash returns the message of a line that was typed. Two slashes stand for one at
// the beginning; a command of the full-screen client is an error, since it would be a
// message for everybody.
func unslash(line string) (string, error) {
	if tui.IsCommand(line) {
		name, _, _ := strings.Cut(line, " ")
		return "", fmt.Errorf("%s is a command of the full-screen client, and there are none here; /%s sends it as a message", name, name)
	}
	if strings.HasPrefix(line, "//") {
		return line[1:], nil
	}
	return line, nil
}

// post sends a line and reports its refusal.
func (r *chat) post(ctx context.Context, number int, line string) error {
	if r.typed {
		var err error
		if line, err = unslash(line); err != nil {
			r.refuse(number, err)
			return nil
		}
	}
	pending, err := r.room.Post(ctx, line)
	switch {
	case ctx.Err() != nil:
		return nil
	case r.client.Err() != nil:
		return fmt.Errorf("the session is over: %w", r.client.Err())
	case err != nil:
		r.refuse(number, err)
		return nil
	}
	r.watching.Go(func() {
		_, err := pending.Wait(context.Background())
		switch {
		case err == nil:
			r.notices.stored()
		case r.client.Err() == nil:
			r.refuse(number, err)
		} // else the session is over: it is unknown whether this is stored, and converse says how many there are
	})
	return nil
}

func (r *chat) refuse(number int, err error) {
	r.refused.Add(1)
	r.notices.printf("line %d was not sent: %s", number, refusal(err))
}

// settle waits until every message is acknowledged and every earlier message of
// others is printed. It gives up after a while without progress, unless the server says that it
// stores nothing for now.
func (r *chat) settle(ctx context.Context) error {
	waiting, stop := context.WithCancel(context.Background())
	defer stop()
	interrupted := context.AfterFunc(ctx, func() {
		if n := r.client.Unacknowledged(); n > 0 {
			r.notices.printf("waiting for the server to acknowledge %s; interrupt again to give up", display.Count(n, "message"))
		}
	})
	defer interrupted()
	settled := make(chan error, 1)
	var settling sync.WaitGroup
	settling.Go(func() {
		err := r.client.Flush(waiting)
		if err == nil {
			r.watching.Wait()
			err = r.sync(waiting)
		}
		settled <- err
	})
	defer settling.Wait()
	last, since := r.progress(), time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-settled:
			if err != nil {
				return fmt.Errorf("the session is over, %s not acknowledged: %w", display.Count(r.client.Unacknowledged(), "message is", "messages are"), err)
			}
			return nil
		case <-tick.C:
			if now := r.progress(); now != last || r.notices.putsOff.Load() {
				last, since = now, time.Now()
			}
			if time.Since(since) > ackPatience {
				stop()
				n := r.client.Unacknowledged()
				if n == 0 {
					return errors.New("the server does not answer: all is stored, but what others have said last may be missing here")
				}
				return fmt.Errorf("the server does not answer: %s not acknowledged and may not be stored", display.Count(n, "message is", "messages are"))
			}
		}
	}
}

// sync waits until everything that the room has now is printed. It asks again when the server refuses that for now.
func (r *chat) sync(ctx context.Context) error {
	for {
		err := r.room.Sync(ctx)
		if refused, ok := errors.AsType[*client.Error](err); !ok || !refused.Code.Temporary() {
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return err
		}
	}
}

// progress changes with every ack and every message.
func (r *chat) progress() [2]uint64 {
	return [2]uint64{uint64(r.client.Unacknowledged()), r.room.Cursor().Seq}
}

func joinError(room string, err error) error {
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeRoomTaken {
		return fmt.Errorf("you cannot join %s; somebody in it must invite you (%s)", display.Line(room), refused.Code)
	}
	return fmt.Errorf("join %s: %w", display.Line(room), err)
}

// plainInput reads lines of any length and holds at most maxLine of one.
type plainInput struct {
	reader *bufio.Reader
	begun  bool
}

func newPlainInput(r io.Reader) *plainInput {
	return &plainInput{reader: bufio.NewReaderSize(r, 64<<10)}
}

func (p *plainInput) next() (string, error) {
	var line []byte
	tooLong := false
	for {
		piece, err := p.reader.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(piece) > maxLine; !tooLong {
			line = append(line, piece...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) == 0 && !tooLong:
			return "", io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return "", err
		case tooLong:
			return "", errTooLong
		}
		if !p.begun { // a file may begin with a byte order mark
			line, p.begun = bytes.TrimPrefix(line, []byte("\ufeff")), true
		}
		return string(bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))), nil
	}
}

// lineWriter combines lines in quick succession into one write. Safe for concurrent
// use.
type lineWriter struct {
	wake    chan struct{}
	flusher sync.WaitGroup
	err     error // of the first write that failed; to be read after close

	// written, if set before the first line, is called with the cursor of the last
	// written line at every pause, and at least once a second.
	written func(client.Cursor)

	mu     sync.Mutex // guards all below
	dst    io.Writer
	lines  []byte
	at     client.Cursor // of the last line
	closed bool
}

func newLineWriter(dst io.Writer) *lineWriter {
	w := &lineWriter{dst: dst, wake: make(chan struct{}, 1)}
	w.flusher.Go(w.flushLoop)
	return w
}

func (w *lineWriter) write(line string, at client.Cursor) {
	w.mu.Lock()
	w.lines = append(w.lines, line...)
	w.at = at
	full := len(w.lines) > 1<<20
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
		if full { // the reader of the output is slower than the room
			w.wake <- struct{}{}
		}
	}
}

func (w *lineWriter) flushLoop() {
	var lines []byte
	var told time.Time
	for range w.wake {
		w.mu.Lock()
		lines, w.lines = w.lines, lines[:0]
		at := w.at
		w.mu.Unlock()
		if len(lines) > 0 {
			if _, err := w.dst.Write(lines); err != nil && w.err == nil {
				w.err = err
			}
		}
		if w.written != nil && w.err == nil && at != (client.Cursor{}) && (len(w.wake) == 0 || time.Since(told) > time.Second) {
			told = time.Now()
			w.written(at)
		}
	}
}

// close writes the remaining lines. It may be called more than once.
func (w *lineWriter) close() {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	if first {
		w.wake <- struct{}{}
		close(w.wake)
		w.flusher.Wait()
	}
}

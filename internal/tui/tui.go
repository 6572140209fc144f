package tui

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"

	"kaban"
	"kaban/client/dial"
	"kaban/wire"
)

// Options configure a run of the client.
type Options struct {
	Config Config
	// Names are tried in order if the configuration has no username.
	Names []string
	// Room is opened first; "" means the one that was open at last, or the
	// lobby.
	Room string
	// Zone is the IANA name of the time zone of dates in searches; "" is UTC.
	Zone string
	// Keep saves the places for the next start.
	Keep bool
	// Token returns the token for a server, or "" for a visitor. Nil: always a visitor.
	Token func(server string) (wire.Secret, error)
	// Place returns the client.Options.Place for a server. Nil: always none.
	Place func(server string) wire.Secret
	// Trust says which certificates of a server count. Nil: those of the system's
	// authorities.
	Trust func(server string) (dial.Trust, error)
	// Devices lists the devices of the account at a server, a line for each. Nil: they
	// cannot be listed.
	Devices func(ctx context.Context, server string) ([]string, error)
	// Person returns the account with a name at a server, or false if there is none that the
	// account of the person may know of. Nil: nobody can be looked up.
	Person func(ctx context.Context, server, name string) (Person, bool, error)
	// SetName changes the name to display of the account at a server. Nil: it cannot be
	// changed.
	SetName func(ctx context.Context, server, name string) error
	// Upload sends the file with a path to a server, where web is the address of the page that
	// the server has said, or "". It reports the bytes that were sent, and the size, or -1. Nil:
	// files cannot be sent.
	Upload func(ctx context.Context, server, web, path string, report func(sent, size int64)) (kaban.File, error)
	// Paths returns the paths of files of this machine that begin with a typed one, directories with
	// a separator at their end. It is called while the screen waits. Nil: paths are not completed.
	Paths func(typed string) []string
	// Download saves a file, and opens it unless it could run. It returns a sentence that says
	// where it is. Nil: files cannot be downloaded.
	Download func(ctx context.Context, server, web string, f kaban.File) (string, error)
	// Thumbnail returns up to so many bytes of the small picture that the server has made of a file. Nil: there are none.
	Thumbnail func(ctx context.Context, server, web string, f kaban.File, limit int64) ([]byte, error)
	// Previews returns a line about each page that a message links to. Nil: there are none.
	Previews func(ctx context.Context, server, web, room string, seq uint64) ([]string, error)
	// Insecure allows sending the token to other machines without encryption.
	Insecure bool
	// Explain explains an error of the connection and what to do.
	Explain func(server string, err error) string
	In      io.Reader
	Out     io.Writer
}

// Person is an account of a server.
type Person struct {
	wire.Account
	Online bool
}

// frame is how long events are collected before the screen changes: at most 60
// times a second.
const frame = 16 * time.Millisecond

// savePause is the interval between saves of the places.
const savePause = 10 * time.Second

// program is the Model with a session behind it.
type program struct {
	*Model
	session *Session
	saved   time.Time
}

// Init implements tea.Model.
func (p program) Init() tea.Cmd { return tea.Batch(p.Model.Init(), p.wait(0)) }

// wait returns a command that waits for events.
func (p program) wait(pause time.Duration) tea.Cmd {
	return func() tea.Msg {
		time.Sleep(pause)
		if events := p.session.take(); events != nil {
			return events
		}
		return nil
	}
}

// Update implements tea.Model.
func (p program) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	_, cmd := p.Model.Update(msg)
	switch msg.(type) {
	case batch:
		cmd = tea.Batch(cmd, p.wait(frame))
	case ticked:
		if time.Since(p.saved) > savePause {
			p.saved = time.Now()
			p.keep()
		}
	}
	return p, cmd
}

// keep saves the places. A failure is not worth a message.
func (p program) keep() {
	if p.restored && len(p.rooms) > 0 {
		p.places.save(p.Model.saved())
	}
}

// Run runs the client on a terminal until the person quits, ctx ends or the terminal
// is gone.
func Run(ctx context.Context, o Options) error {
	session := newSession(o)
	defer session.Close()
	model := newModel(session, o)
	p := program{Model: model, session: session}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	// The terminal was closed: nothing can be shown any more, and the draft is lost.
	hungUp, stopHangUp := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stopHangUp()
	in := o.In
	if file, ok := o.In.(*os.File); ok {
		in = &terminal{File: file, gone: stop, guard: pasteGuard{now: time.Now}}
	}
	out := o.Out
	model.graphics.nested = isNested(os.Getenv)
	if file, ok := o.Out.(*os.File); ok && o.Config.Pictures {
		c := &canvas{File: file}
		defer func() { c.draw(drawing{}) }()
		model.canvas, out = c, c
	}
	// ctx ends with the signals that end a client. Quit, not Kill: a killed program
	// does not wait for its reader.
	running := tea.NewProgram(p, tea.WithoutSignalHandler(), tea.WithInput(in), tea.WithOutput(out), tea.WithEnvironment(os.Environ()))
	defer context.AfterFunc(hungUp, running.Quit)()
	_, err := running.Run()
	p.keep()
	// A terminal that goes away fails the reader, too.
	if errors.Is(err, tea.ErrProgramKilled) && !errors.Is(err, tea.ErrProgramPanic) && hungUp.Err() != nil {
		return nil
	}
	return err
}

// terminal is the input. Not every client gets a SIGHUP when its terminal is gone,
// but every read fails.
type terminal struct {
	*os.File
	gone  func()
	guard pasteGuard
}

// Read implements io.Reader.
func (t *terminal) Read(p []byte) (int, error) {
	if len(p) <= len(pasteEnd) { // no space for the bytes that the guard may add
		return 0, io.ErrShortBuffer
	}
	for {
		n, err := t.File.Read(p[len(pasteEnd):])
		if err != nil {
			t.gone()
			return 0, err
		}
		if n = t.guard.take(p, n); n > 0 {
			return n, nil
		}
	}
}

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/display"
	"kaban/internal/tui"
	"kaban/wire"
)

// defaultServer is where "kaban serve" listens on this machine.
const defaultServer = "127.0.0.1:6440"

// silence is how long nothing may come until the server is asked for a sign of
// life: somebody waits.
const silence = 5 * time.Second

// connectFlags are what all commands have that talk to a server.
type connectFlags struct {
	Server   string `placeholder:"HOST:PORT" env:"KABAN_SERVER" help:"The server; without a port, 6440. Default: 127.0.0.1:6440."`
	Username string `placeholder:"NAME" env:"KABAN_USERNAME" help:"The name under which others see you. Default: your login name, or one like it that is free."`
}

// notices are lines for the person, beside what is asked for. Safe for
// concurrent use.
type notices struct {
	mu  sync.Mutex
	out io.Writer
}

func (n *notices) printf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintln(n.out, "kaban:", display.Line(fmt.Sprintf(format, args...)))
}

// onState tells the person when the connection is lost and back, once each.
func (n *notices) onState() func(client.State) {
	var told string // of the connection that is not well
	tell := func(what string, s client.State) {
		if what == told {
			return
		}
		told = what
		if s.Unacknowledged > 0 {
			what += fmt.Sprintf("; %d not acknowledged yet", s.Unacknowledged)
		}
		n.printf("%s", what)
	}
	offline := false
	return func(s client.State) {
		refused, _ := errors.AsType[*client.Error](s.Err)
		switch {
		case s.Status == client.Silent:
			tell("the server does not answer", s)
		case s.Status == client.Online && offline:
			offline, told = false, ""
			n.printf("connected again")
		case s.Status == client.Online && told != "":
			told = ""
			n.printf("the server answers again")
		case s.Status == client.Offline && refused != nil && refused.Code == wire.CodeUsernameTaken:
			offline = true
			tell("the name is still in use, perhaps by the connection that was lost; trying to come back", s)
		case s.Status == client.Offline && !offline:
			offline = true
			tell(fmt.Sprintf("%v; trying to come back", s.Err), s)
		}
	}
}

// connect says hello to the server, under the name that was asked for or else the
// first of the fallbacks that is free.
func (f *connectFlags) connect(ctx context.Context, options client.Options, fallbacks []string) (c *client.Client, err error) {
	server, err := tui.ParseServer(cmp.Or(f.Server, defaultServer))
	if err != nil {
		return nil, usagef("--server %w", err)
	}
	options.Silence = silence
	options.Username = f.Username
	if f.Username == "" {
		options.Username, options.Fallbacks = fallbacks[0], fallbacks[1:]
	}
	if c, err = client.Dial(ctx, server, options); err == nil {
		return c, nil
	}
	if _, ok := errors.AsType[*kaban.MessageError](err); ok {
		return nil, usagef("--username: %w", err)
	}
	return nil, unreachable(server, err)
}

// unreachable says what to do when there is no conversation with a server.
func unreachable(addr string, err error) error {
	var name *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing listens at %s; start a server with \"kaban serve\", or name another with --server HOST:PORT", addr)
	case errors.As(err, &name):
		return fmt.Errorf("there is no host of the name %q; check --server", name.Name)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), wire.CodeOf(err) == wire.CodeBadJSON:
		return fmt.Errorf("what listens at %s is no Kaban server; check --server (%w)", addr, err)
	}
	return fmt.Errorf("cannot talk to the server at %s: %w", addr, err)
}

// ownNames are the login name and variants of it, for when it is taken. POSIX has
// it in LOGNAME, most systems in USER as well.
func ownNames() []string {
	login := "guest"
	for _, variable := range []string{"USER", "LOGNAME"} {
		if u, err := kaban.ParseUsername(os.Getenv(variable)); err == nil && len(u.String()) <= kaban.MaxUsername-5 {
			login = u.String()
			break
		}
	}
	names := []string{login}
	for i := 2; i <= 9; i++ {
		names = append(names, fmt.Sprintf("%s-%d", login, i))
	}
	return append(names, login+"-"+randomName())
}

// randomName is a short word that nobody else is likely to have.
func randomName() string { return strings.ToLower(rand.Text()[:4]) }

// untilInterrupted returns a context that ends with SIGINT or SIGTERM. After
// that the signals act as usual: another one ends the process.
func untilInterrupted() (ctx context.Context, stop func()) {
	caught, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(caught, func() {
		stop() // before anybody says that another one ends it
		cancel()
	})
	return ctx, stop
}

// refusal says why a message was refused, with what a program may look for.
func refusal(err error) string {
	bad, ok := errors.AsType[*kaban.MessageError](err)
	if !ok {
		return err.Error()
	}
	if bad.Limit > 0 {
		return fmt.Sprintf("%v (%s, max %d, actual %d)", bad, wire.CodeOf(err), bad.Limit, bad.Actual)
	}
	return fmt.Sprintf("%v (%s)", bad, wire.CodeOf(err))
}

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kaban"
	"kaban/client"
	"kaban/client/dial"
	"kaban/internal/display"
	"kaban/wire"
)

// defaultServer is where "kaban serve" listens on this machine.
const defaultServer = "127.0.0.1:6440"

// silence is how long the server may send nothing before it is asked for a sign of
// life: a person is waiting.
const silence = 5 * time.Second

// connectFlags are the flags of all commands that connect to a server.
type connectFlags struct {
	serverFlags
	Username  string `placeholder:"NAME" env:"KABAN_USERNAME" help:"The name under which others see you; another name than that of your account makes you a visitor. Default: your account after \"kaban login\", or your login name or a similar one that is free."`
	TokenFile string `placeholder:"FILE" env:"KABAN_TOKEN_FILE" help:"Sign in with the token in the first line of a file; - is standard input. Default: the token of \"kaban login\"."`
}

// signIn adds the token for a server to the options, if there is one. An explicit
// username that is not the account's makes a visitor.
func (f *connectFlags) signIn(server string, options client.Options, stdin io.Reader) (client.Options, error) {
	if f.TokenFile != "" {
		token, err := readToken(f.TokenFile, stdin)
		if err != nil {
			return options, err
		}
		return options.WithToken(string(token)), nil
	}
	saved, ok, err := savedCredentials().Of(server)
	if err != nil || !ok || f.Username != "" && !isSameName(f.Username, saved.Username) {
		return options, err
	}
	options.Place = saved.Place
	return options.WithToken(string(saved.Token)), nil
}

// longWait is how long a person waits without a word.
const longWait = 3 * time.Second

// saysWaiting says once to a person at a terminal that a server takes its time, unless stop
// is called before.
func saysWaiting(stderr io.Writer, server string) (stop func()) {
	if !isTerminal(stderr) {
		return func() {}
	}
	timer := time.AfterFunc(longWait, func() { fmt.Fprintf(stderr, "kaban: waiting for %s …\n", display.Line(server)) })
	return func() { timer.Stop() }
}

// isSameName reports whether two usernames count as one.
func isSameName(a, b string) bool {
	first, err := kaban.ParseUsername(a)
	second, err2 := kaban.ParseUsername(b)
	return err == nil && err2 == nil && first.Key() == second.Key()
}

// notices are lines for the person, beside the output. Safe for concurrent use.
type notices struct {
	mu  sync.Mutex
	out io.Writer

	held    wire.Code   // the refusal for now that was told and is not over
	putsOff atomic.Bool // the server's last word is that it cannot store anything for now
}

func (n *notices) printf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.printLocked(format, args...)
}

func (n *notices) printLocked(format string, args ...any) {
	fmt.Fprintln(n.out, "kaban:", display.Line(fmt.Sprintf(format, args...)))
}

// onState reports that the connection is lost, and that it is back, once each, and what a server says that refuses it meanwhile.
func (n *notices) onState() func(client.State) {
	var told string // about the present trouble
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
		n.putsOff.Store(s.Status == client.Offline && refused != nil && refused.Code == wire.CodeUnavailable)
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
		case s.Status == client.Offline && (!offline || refused != nil):
			offline = true
			tell(fmt.Sprintf("%v; trying to come back", s.Err), s)
		}
	}
}

// onHeld reports once that the server stores nothing for now. No message is lost.
func (n *notices) onHeld() func(*client.Error) {
	return func(e *client.Error) {
		why := ""
		switch e.Code {
		case wire.CodeStorageFull:
			why = "the server's disk is full; the message is kept and tried again until there is room (Ctrl-C gives up)"
		case wire.CodeUnavailable:
			why = "the server cannot store messages at the moment; yours are kept and tried again until it can (Ctrl-C gives up)"
		default:
			return
		}
		n.putsOff.Store(true)
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.held == "" {
			n.held = e.Code
			n.printLocked("%s", why)
		}
	}
}

// stored reports that the server stores messages again, if it was said that it cannot. A full disk is said once
// only: one that is nearly full takes some messages and refuses others.
func (n *notices) stored() {
	n.putsOff.Store(false)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held == wire.CodeUnavailable {
		n.held = ""
		n.printLocked("the server stores messages again")
	}
}

// connect says hello to the server, with the account that the person is signed in to,
// or as a visitor under the name that was asked for or else the first of the fallbacks
// that is free.
func (f *connectFlags) connect(ctx context.Context, options client.Options, fallbacks []string, std streams) (*client.Client, error) {
	server, options, err := f.prepare(options, fallbacks, std.in)
	if err != nil {
		return nil, err
	}
	stop := saysWaiting(std.err, server)
	c, err := client.Dial(ctx, server, options)
	stop()
	if err == nil {
		return c, nil
	}
	if _, ok := errors.AsType[*kaban.MessageError](err); ok {
		return nil, usagef("--username: %w", err)
	}
	return nil, f.explain(server, options, err)
}

// prepare returns the server, and the options with everything that connect takes from
// the flags.
func (f *connectFlags) prepare(options client.Options, fallbacks []string, stdin io.Reader) (server string, _ client.Options, err error) {
	if server, err = f.address(); err != nil {
		return "", options, err
	}
	if options, err = f.signIn(server, options, stdin); err != nil {
		return "", options, err
	}
	if options.Trust, err = f.trust(server); err != nil {
		return "", options, err
	}
	options.Silence, options.Insecure = silence, f.Insecure
	options.Username = f.Username
	if f.Username == "" && options.Token == "" {
		options.Username, options.Fallbacks = fallbacks[0], fallbacks[1:]
	}
	return server, options, nil
}

// explain explains why there is no session: like unreachable, and with the flag to blame.
func (f *connectFlags) explain(server string, options client.Options, err error) error {
	refused, _ := errors.AsType[*client.Error](err)
	saved, signedIn, _ := savedCredentials().Of(server)
	switch {
	case refused == nil:
	case refused.Code == wire.CodeTLSRequired && options.Token == "":
		err = dial.ErrTLSOnly // there was no secret
	case refused.Code == wire.CodeAuthFailed && f.TokenFile != "":
		return unknownToken(server, f.TokenFile)
	case f.Username != "" && f.TokenFile == "" && options.Token == "" && signedIn &&
		(refused.Code == wire.CodeAuthRequired || refused.Code == wire.CodeUsernameTaken || refused.Code == wire.CodeAuthFailed):
		return fmt.Errorf("you are signed in to %s as %s, and --username %s makes you a visitor; leave it out to be %s: %w", server, display.Line(saved.Username), f.Username, display.Line(saved.Username), err)
	case f.Username != "" && refused.Code == wire.CodeUsernameTaken:
		return fmt.Errorf("--username %s at %s: %s (%s)", f.Username, server, refused.Text, refused.Code)
	}
	return unreachable(server, err)
}

// unknownToken is the error for a token from a file that the server does not take.
func unknownToken(server, file string) error {
	if file == "-" {
		file = "standard input"
	}
	return fmt.Errorf("the server at %s does not accept the token in %s: it may be mistyped, expired or revoked; ask its owner for a new one (%s)", server, file, wire.CodeAuthFailed)
}

// unreachable explains why there is no session with a server, and what to do.
func unreachable(addr string, err error) error {
	if text := explainWay(addr, err); text != "" {
		return errors.New(text)
	}
	var code wire.Code
	if refused, ok := errors.AsType[*client.Error](err); ok {
		code = refused.Code
	}
	bye, _ := errors.AsType[*client.Goodbye](err)
	switch {
	case bye != nil && bye.Reason == wire.ReasonAuth:
		return fmt.Errorf("%w: you were signed out, your account is suspended, or it takes no visitors any more; sign in with \"kaban login --server %s\"", err, addr)
	case code == wire.CodeAuthRequired:
		return fmt.Errorf("the server at %s requires an account; sign in with \"kaban login --server %s\" (%s)", addr, addr, code)
	case code == wire.CodeAuthFailed:
		return fmt.Errorf("the server at %s does not accept this name and password, or this token has expired or was revoked; \"kaban login --server %s\" signs in again (%s)", addr, addr, code)
	case code == wire.CodeSuspended:
		return fmt.Errorf("your account at %s is suspended; ask an admin of the server (%s)", addr, code)
	case code == wire.CodeTLSRequired:
		return fmt.Errorf("the server at %s accepts no password or token over this connection, which is not encrypted; connect to its tls:// or https:// address, and change any secret you sent, as others may have read it (%s)", addr, code)
	case errors.Is(err, client.ErrInsecure):
		return fmt.Errorf("the connection to %s is not encrypted, so no password or token was sent; use the server's tls:// or https:// address, or pass --insecure if you trust everyone in between", addr)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), wire.CodeOf(err) == wire.CodeBadJSON:
		return fmt.Errorf("the server at %s is not a Kaban server; check --server (%w)", addr, err)
	}
	return fmt.Errorf("cannot talk to the server at %s: %w", addr, err)
}

// ownNames returns the login name, and variants in case it is taken. POSIX has it in
// LOGNAME, most systems in USER as well.
func ownNames() []string {
	login := cmp.Or(loginName(), "guest")
	names := []string{login}
	for i := 2; i <= 9; i++ {
		names = append(names, fmt.Sprintf("%s-%d", login, i))
	}
	return append(names, login+"-"+randomName())
}

// loginName returns the login name; "" if it is not known, or too long for the variants.
func loginName() string {
	for _, variable := range []string{"USER", "LOGNAME"} {
		if u, err := kaban.ParseUsername(os.Getenv(variable)); err == nil && len(u.String()) <= kaban.MaxUsername-5 {
			return u.String()
		}
	}
	return ""
}

// randomName returns a short random word.
func randomName() string { return strings.ToLower(rand.Text()[:4]) }

// untilInterrupted returns a context that ends with SIGINT or SIGTERM. After that
// the signals act as usual: another one ends the process.
func untilInterrupted() (ctx context.Context, stop func()) {
	caught, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	context.AfterFunc(caught, func() {
		stop() // before settle announces that another one ends it
		cancel()
	})
	return ctx, stop
}

// refusal explains why a message was refused, with the code for programs.
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

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"kaban"
	"kaban/client"
	"kaban/client/device"
	"kaban/client/dial"
	"kaban/internal/credentials"
	"kaban/internal/display"
	"kaban/internal/tui"
	"kaban/wire"
)

// signInPatience is how long a server may take for a sign-in. It computes for a
// password, and many may sign in at once.
const signInPatience = 30 * time.Second

// checkPatience is how long a server may take for a token, for which it computes nothing.
const checkPatience = 10 * time.Second

// savedCredentials returns the file of the person that runs the command.
func savedCredentials() credentials.File { return credentials.Beside(tui.ConfigPath()) }

type loginCommand struct {
	serverFlags
	Web      string `placeholder:"URL" env:"KABAN_WEB" help:"The address of the server's page. Default: that of an https:// or ws:// --server; else port 6480 of this machine, or https:// and the host of --server."`
	Username string `placeholder:"NAME" env:"KABAN_USERNAME" help:"The username of the account, for a password. Default: your login name."`
	Password bool   `help:"Ask for the password instead of a code that you confirm in a browser."`
	passwordFlags
	known     dial.Trust
	place     wire.Secret
	TokenFile string `placeholder:"FILE" help:"Keep a token that was made for this program, from the first line of a file; - is standard input."`
	Name      string `placeholder:"TEXT" help:"The name of this device in the list of your devices. Default: the name of the machine."`
}

// Run signs in to an account and keeps the token.
func (c *loginCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	server, err := c.address()
	if err != nil {
		return err
	}
	if (c.Password || c.PasswordFile != "") && c.TokenFile != "" {
		return usagef("--token-file needs no password")
	}
	file := savedCredentials()
	if file.Path() == "" {
		return credentials.ErrNoHome
	}
	before, _, err := file.Of(server)
	if err != nil { // before anybody types a password
		return err
	}
	c.place = cmp.Or(before.Place, credentials.NewPlace())
	if err := c.rememberTrust(server); err != nil {
		return err
	}
	found, err := c.signIn(ctx, server, std)
	if err != nil {
		return err
	}
	found.Place = c.place
	account, err := c.check(ctx, std.err, server, found)
	if refused, ok := errors.AsType[*client.Error](err); ok && refused.Code == wire.CodeAuthFailed && c.TokenFile != "" {
		return unknownToken(server, c.TokenFile)
	}
	if err != nil {
		return unreachable(server, err)
	}
	found.Username = account.Username
	found.CA, found.Pin = string(c.known.CA), c.known.Pin.String()
	if err := file.Put(server, found); err != nil {
		return err
	}
	_, err = fmt.Fprintf(std.out, "signed in to %s as %s\n", server, display.Line(account.Username))
	return err
}

// signIn gets a token.
func (c *loginCommand) signIn(ctx context.Context, server string, std streams) (found credentials.Credential, err error) {
	switch {
	case c.TokenFile != "":
		found.Token, err = readToken(c.TokenFile, std.in)
	case c.Password || c.PasswordFile != "":
		var said string
		found.Token, said, err = c.byPassword(ctx, server, std)
		found.Device, found.Web = true, cmp.Or(c.Web, webOf(server), said)
	default:
		found.Device, found.Web = true, cmp.Or(c.Web, webOf(server), usualWebOf(server))
		// The page may be that of another server: nobody confirms a code for one that is not there.
		if err := c.reach(ctx, server); err != nil {
			return found, unreachable(server, err)
		}
		found.Token, err = c.byCode(ctx, server, found.Web, std)
	}
	return found, err
}

// reach looks whether a server can be connected to.
func (c *loginCommand) reach(ctx context.Context, server string) error {
	address, err := dial.Parse(server)
	if err != nil {
		return err
	}
	trust, err := c.trust(server)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, signInPatience)
	defer cancel()
	conn, err := (&dial.Dialer{Address: address, Trust: trust}).Dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// check signs in with a credential and returns its account.
func (f *serverFlags) check(ctx context.Context, stderr io.Writer, server string, saved credentials.Credential) (wire.Account, error) {
	defer saysWaiting(stderr, server)()
	session, err := f.dial(ctx, server, client.Options{Place: saved.Place, Patience: checkPatience}.WithToken(string(saved.Token)))
	if err != nil {
		return wire.Account{}, err
	}
	defer session.Close()
	account, ok := session.Account()
	if !ok {
		return account, fmt.Errorf("the server at %s has no accounts", server)
	}
	return account, nil
}

func (f *serverFlags) dial(ctx context.Context, server string, options client.Options) (*client.Client, error) {
	trust, err := f.trust(server)
	if err != nil {
		return nil, err
	}
	options.Insecure, options.Trust, options.Patience = f.Insecure, trust, cmp.Or(options.Patience, signInPatience)
	return client.Dial(ctx, server, options)
}

// byPassword returns the token of a new device, and the address of the page where it is
// revoked if the server says it.
func (c *loginCommand) byPassword(ctx context.Context, server string, std streams) (token wire.Secret, web string, err error) {
	username := cmp.Or(c.Username, loginName())
	if username == "" {
		return "", "", usagef("your login name is not known here (USER is not set): name the account with --username NAME")
	}
	if _, err := kaban.ParseUsername(username); err != nil {
		return "", "", usagef("--username: %w", err)
	}
	password, ok, err := c.read(std)
	if err == nil && !ok {
		password, err = askPassword(std, fmt.Sprintf("password of %s at %s: ", username, server))
	}
	if err != nil {
		return "", "", err
	}
	options := client.Options{Place: c.place, OnToken: func(t wire.Secret) { token = t }}.WithPassword(username, password)
	stop := saysWaiting(std.err, server)
	session, err := c.dial(ctx, server, options)
	stop()
	refused, _ := errors.AsType[*client.Error](err)
	switch {
	case refused == nil:
	case refused.Code == wire.CodeAuthFailed:
		return "", "", fmt.Errorf("the server at %s does not accept the username %s with this password; check both, --username names another account (%s)", server, username, refused.Code)
	case refused.Code == wire.CodeRateLimited:
		return "", "", fmt.Errorf("too many wrong passwords of %s were sent to %s from this network; try again in %s, or sign in with a code from a browser: \"kaban login --server %s\" (%s)", username, server, max(refused.RetryAfter.Round(time.Second), time.Second), server, refused.Code)
	}
	if err != nil {
		return "", "", unreachable(server, err)
	}
	web = session.Welcome().Web
	session.Close()
	if token == "" {
		return "", "", fmt.Errorf("the server at %s made no token for this device", server)
	}
	return token, webSaidBy(server, web), nil
}

// askPassword asks on the terminal and shows nothing of the answer.
func askPassword(std streams, prompt string) (string, error) {
	in, ok := std.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return "", usagef("there is no terminal to ask for the password; use --password-file FILE, - for standard input")
	}
	fmt.Fprint(std.err, display.Line(prompt))
	answer, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(std.err)
	if err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	if len(answer) == 0 {
		return "", errors.New("no password was typed")
	}
	return string(answer), nil
}

// readToken returns the first line of a file; - is standard input. Errors do not quote
// it.
func readToken(path string, stdin io.Reader) (wire.Secret, error) {
	source := stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		defer file.Close()
		source = file
	}
	text, err := io.ReadAll(io.LimitReader(source, wire.MaxToken+3))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	line = bytes.TrimSuffix(line, []byte("\r"))
	switch {
	case len(line) == 0:
		return "", fmt.Errorf("the first line of %s is empty; it must be the token", path)
	case len(line) > wire.MaxToken:
		return "", fmt.Errorf("the first line of %s is longer than any token, which has at most %d bytes", path, wire.MaxToken)
	}
	return wire.Secret(line), nil
}

// byCode returns the token of a device that the person approves on the page.
func (c *loginCommand) byCode(ctx context.Context, server, web string, std streams) (wire.Secret, error) {
	name := c.Name
	if name == "" {
		if host, err := os.Hostname(); err == nil {
			name = "kaban on " + host
		}
	}
	options, err := c.toWeb(server, web)
	if err != nil {
		return "", err
	}
	options.Name = name
	grant, err := device.Begin(ctx, web, options)
	if err != nil {
		return "", noCode(web, err)
	}
	fmt.Fprintf(std.err, "kaban: open %s\nkaban: and enter the code %s\n", display.Line(cmp.Or(grant.URI, web)), display.Line(grant.UserCode))
	if grant.CompleteURI != "" {
		fmt.Fprintf(std.err, "kaban: or open %s\n", display.Line(grant.CompleteURI))
	}
	fmt.Fprintf(std.err, "kaban: waiting for you to approve this device; the code works until %s\n", grant.Expires.Format("15:04:05"))
	token, err := grant.Wait(ctx)
	switch {
	case errors.Is(err, device.ErrDenied):
		return "", fmt.Errorf("not signed in: %w; run \"kaban login\" again and allow the device on the page, or sign in with --password", err)
	case errors.Is(err, device.ErrExpired):
		return "", fmt.Errorf("not signed in: %w; \"kaban login\" makes another one", err)
	case err != nil:
		return "", noCode(web, err)
	}
	return token.Secret, nil
}

// noCode explains why the page gives no code or no token.
func noCode(web string, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, client.ErrInsecure):
		return fmt.Errorf("%s is another machine's address and not encrypted, so no token can come from there; use an https:// address with --web, or --insecure", web)
	}
	if _, ok := errors.AsType[*device.Error](err); ok {
		return fmt.Errorf("no code from %s: %w", web, err)
	}
	if text := explainServer(web, err); text != "" {
		return errors.New(text)
	}
	return fmt.Errorf("no code from %s: %w; give the address of the server's page with --web, or use --password", web, err)
}

type logoutCommand struct{ serverFlags }

// Run revokes the device and forgets its token.
func (c *logoutCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	server, err := c.address()
	if err != nil {
		return err
	}
	file := savedCredentials()
	saved, ok, err := file.Of(server)
	switch {
	case err != nil:
		return err
	case !ok:
		return notSignedIn(server)
	}
	if err := file.Delete(server); err != nil {
		return err
	}
	switch {
	case !saved.Device:
		_, err = fmt.Fprintf(std.out, "forgot the token of %s at %s\n", display.Line(saved.Username), server)
		return err
	case saved.Web == "":
		n := &notices{out: std.err}
		n.printf("the token is deleted here, but %s still knows this device, and its page is not known here; remove it from the list of your devices on the page, and sign in with --web URL the next time", server)
		return errSilent
	}
	// The trust is that of the credential that was just deleted.
	options, err := c.toWebWith(server, saved.Web, saved)
	if err == nil {
		err = device.Revoke(ctx, saved.Web, saved.Token, options)
	}
	if err != nil {
		n := &notices{out: std.err}
		n.printf("the token is deleted here, but %s still knows this device (%v); remove it from the list of your devices on the page", saved.Web, err)
		return errSilent
	}
	_, err = fmt.Fprintf(std.out, "signed out of %s\n", server)
	return err
}

func notSignedIn(server string) error {
	return fmt.Errorf("you are not signed in to %s; \"kaban login --server %s\" does that", server, server)
}

type whoamiCommand struct {
	serverFlags
	JSON bool `name:"json" help:"Print the account as JSON."`
}

// Run asks the server for the account.
func (c *whoamiCommand) Run(std streams) error {
	ctx, stop := untilInterrupted()
	defer stop()
	server, err := c.address()
	if err != nil {
		return err
	}
	saved, ok, err := savedCredentials().Of(server)
	switch {
	case err != nil:
		return err
	case !ok:
		return notSignedIn(server)
	}
	account, err := c.check(ctx, std.err, server, saved)
	if err != nil {
		return unreachable(server, err)
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(map[string]any{
			"server": server, "username": account.Username, "name": account.Name, "role": account.Role, "bot": account.Bot,
		})
	}
	who := account.Username
	if account.Name != "" && account.Name != account.Username {
		who += " (" + account.Name + ")"
	}
	_, err = fmt.Fprintf(std.out, "%s, %s at %s\n", display.Line(who), account.Role, server)
	return err
}

// account returns the credential of the account that the person is signed in to with a
// device.
func (f *connectFlags) account(server string) (credentials.Credential, error) {
	saved, ok, err := savedCredentials().Of(server)
	switch {
	case err != nil:
	case !ok || !saved.Device:
		err = notSignedIn(server)
	case saved.Web == "":
		err = fmt.Errorf("the page of %s is not known here; \"kaban login --server %s --web URL\" signs in anew and remembers it", server, server)
	}
	return saved, err
}

// devices returns a line for each device of the account.
func (f *connectFlags) devices(ctx context.Context, server string) (lines []string, err error) {
	saved, err := f.account(server)
	if err != nil {
		return nil, err
	}
	options, err := f.toWeb(server, saved.Web)
	if err != nil {
		return nil, err
	}
	all, err := device.List(ctx, saved.Web, saved.Token, options)
	for _, d := range all {
		line := d.Name
		if !d.Used.IsZero() {
			line += ", used " + d.Used.Local().Format("2006-01-02 15:04")
		}
		if d.Address != "" {
			line += " from " + d.Address
		}
		if d.Current {
			line += " (this one)"
		}
		lines = append(lines, line)
	}
	return lines, err
}

// person returns the account with a name, or false if there is none that the person may know of.
func (f *connectFlags) person(ctx context.Context, server, name string) (tui.Person, bool, error) {
	username, err := kaban.ParseUsername(name)
	if err != nil {
		return tui.Person{}, false, err
	}
	saved, err := f.account(server)
	if err != nil {
		return tui.Person{}, false, err
	}
	options, err := f.toWeb(server, saved.Web)
	if err != nil {
		return tui.Person{}, false, err
	}
	found, ok, err := device.Find(ctx, saved.Web, saved.Token, username.Key(), options)
	if err != nil || !ok {
		return tui.Person{}, false, err
	}
	if other, err := kaban.ParseUsername(found.Username); err != nil || other.Key() != username.Key() {
		return tui.Person{}, false, nil
	}
	role, _ := kaban.ParseRole(found.Role) // one of a later version is not shown
	return tui.Person{Account: wire.Account{Username: found.Username, Name: found.Name, Role: role, Bot: found.Bot}, Online: found.Online}, true, nil
}

// setName changes the name to display of the account.
func (f *connectFlags) setName(ctx context.Context, server, name string) error {
	saved, err := f.account(server)
	if err != nil {
		return err
	}
	options, err := f.toWeb(server, saved.Web)
	if err != nil {
		return err
	}
	return device.SetName(ctx, saved.Web, saved.Token, name, options)
}

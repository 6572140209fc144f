// Command kaban is a self-hosted team chat: server, clients and tools in one
// binary. Each subcommand has its own file; only main ends the process.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // for machines without time zones

	"github.com/alecthomas/kong"
	kongcompletion "github.com/jotaen/kong-completion"

	"kaban/internal/config"
	"kaban/internal/display"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// version is set by release builds.
var version string

// cli is the command line.
type cli struct {
	Serve      serveCommand              `cmd:"" help:"Run a server."`
	Chat       chatCommand               `cmd:"" help:"Chat: full-screen on a terminal (F1 lists the keys), or as a filter in pipelines."`
	Send       sendCommand               `cmd:"" help:"Send one message and wait until it is stored."`
	Edit       editCommand               `cmd:"" help:"Replace the text of a message of yours."`
	Delete     deleteCommand             `cmd:"" help:"Delete a message; its number stays."`
	React      reactCommand              `cmd:"" help:"React to a message with an emoji, or take that back."`
	Pin        pinCommand                `cmd:"" help:"Pin a message, or unpin it."`
	Tail       tailCommand               `cmd:"" help:"Print the messages and changes of a room, and follow it."`
	Files      filesCommand              `cmd:"" help:"Download files of messages."`
	Inbox      inboxCommand              `cmd:"" help:"Print the unread messages that mention you, newest first."`
	Search     searchCommand             `cmd:"" help:"Find messages."`
	Login      loginCommand              `cmd:"" help:"Sign in to an account on a server and remember it."`
	Logout     logoutCommand             `cmd:"" help:"Sign out: revoke the device and forget its token."`
	Whoami     whoamiCommand             `cmd:"" help:"Print the account that you are signed in to."`
	Status     statusCommand             `cmd:"" help:"Show how a running server is: connections, messages, disk, backups."`
	Backup     backupCommand             `cmd:"" help:"Write a verified copy of the database to a file, even while the server runs."`
	Restore    restoreCommand            `cmd:"" help:"Put a backup into an empty data directory, or replace the database there."`
	Export     exportCommand             `cmd:"" help:"Write messages to standard output, one JSON object per line."`
	Import     importCommand             `cmd:"" help:"Add exported messages; safe to repeat."`
	Migrate    migrateCommand            `cmd:"" help:"Take all data from a data directory to a database of PostgreSQL, or back."`
	Check      checkCommand              `cmd:"" help:"Check the database for damage and gaps."`
	Reindex    reindexCommand            `cmd:"" help:"Make the search index anew, even while the server runs."`
	Owner      ownerCommand              `cmd:"" help:"Make an owner of the server, or let one back in."`
	User       userCommand               `cmd:"" help:"Manage accounts."`
	Invite     inviteCommand             `cmd:"" help:"Manage links by which people make accounts."`
	Token      tokenCommand              `cmd:"" help:"Manage the tokens of programs."`
	Bot        botCommand                `cmd:"" help:"Manage the accounts of programs."`
	Room       roomCommand               `cmd:"" help:"Manage rooms, without reading them."`
	Settings   settingsCommand           `cmd:"" help:"Read and change the server's settings."`
	Epoch      epochCommand              `cmd:"" help:"Have clients not notice a failover of the database that loses nothing."`
	Config     configCommand             `cmd:"" help:"Print or check the configuration file of a server."`
	Audit      auditCommand              `cmd:"" help:"Show who administered what."`
	Hook       hookCommand               `cmd:"" help:"Manage incoming webhooks, which let other programs post to a room."`
	Bench      benchCommand              `cmd:"" help:"Load a server and measure its performance."`
	Hash       hashCommand               `cmd:"" name:"hash-passwords" hidden:"" help:"Hash passwords for a server, which starts this by itself."`
	Picture    pictureCommand            `cmd:"" name:"picture" hidden:"" help:"Make a picture for a server, which starts this by itself."`
	Version    versionCommand            `cmd:"" help:"Print the version."`
	Help       helpCommand               `cmd:"" help:"Explain a command."`
	Completion kongcompletion.Completion `cmd:"" help:"Explain how to enable tab completion in your shell."`

	ShowVersion versionFlag `name:"version" help:"Print the version."`
}

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is an error on the command line or in the configuration.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSilent fails a command that has already reported its error.
var errSilent = errors.New("failed")

func main() {
	os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}

// commandLine is what the program was started with, without its name.
type commandLine []string

// newParser returns the parser of the command line.
func newParser(commands *cli, args []string, std streams, exit func(code int)) (*kong.Kong, error) {
	return kong.New(commands,
		kong.Name("kaban"),
		kong.Description("Self-hosted team chat. Start a server with \"kaban serve\", then \"kaban chat\"."),
		kong.Writers(std.out, std.err),
		kong.Exit(exit),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Bind(std, commandLine(args)),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), kong.MapperFunc(decodeTime)),
		wholeNumbers(),
	)
}

// run executes the command line and returns the exit code.
func run(args []string, std streams) int {
	var commands cli
	exited := -1
	parser, err := newParser(&commands, args, std, func(code int) { exited = code })
	if err != nil {
		fmt.Fprintln(std.err, "kaban: cannot set up the command line:", err)
		return exitFailed
	}
	known := variables(parser.Model.Node)
	unsetEmpty(known)
	kongcompletion.Register(parser)
	if exited >= 0 {
		return exited
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 { // --help
		return exited
	}
	if failed, ok := errors.AsType[*fs.PathError](err); ok && failed.Op == "write" { // of --help
		return report(std.err, fmt.Errorf("standard output: %w", failed.Err))
	}
	if err == nil && !slices.Contains([]string{"help", "version", "completion"}, parsed.Selected().Name) {
		err = checkEnvironment(os.Environ(), known)
	}
	if err != nil {
		return report(std.err, usageError{withUsage(withDashes(err))})
	}
	return report(std.err, parsed.Run())
}

// withDashes adds to an error about an unknown flag of send how to send such a word.
func withDashes(err error) error {
	bad, ok := errors.AsType[*kong.ParseError](err)
	if !ok || !strings.HasPrefix(err.Error(), "unknown flag") || bad.Context.Selected() == nil || bad.Context.Selected().Name != "send" {
		return err
	}
	return fmt.Errorf("%w; a message with such a word needs -- before it, as in: kaban send lobby -- -x", err)
}

// withUsage adds to an error about arguments, too many or too few, what the command expects.
func withUsage(err error) error {
	bad, ok := errors.AsType[*kong.ParseError](err)
	if !ok || bad.Context.Selected() == nil || !strings.HasPrefix(err.Error(), "expected ") && !strings.HasPrefix(err.Error(), "unexpected argument ") {
		return err
	}
	return fmt.Errorf("%w; the usage is: kaban %s", err, strings.TrimPrefix(bad.Context.Selected().Summary(), "kaban "))
}

// variables returns the names of the environment variables of a command and its
// subcommands.
func variables(command *kong.Node) []string {
	var names []string
	for _, flag := range command.Flags {
		names = append(names, flag.Tag.Envs...)
	}
	for _, child := range command.Children {
		names = append(names, variables(child)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// others are the beginnings of variables with our prefix that are not settings:
// those of builds with failpoints, and those that Kubernetes sets for a service
// with our name.
var others = []string{"KABAN_FAILPOINT", "KABAN_FAULT_", "KABAN_SERVICE_", "KABAN_PORT"}

// checkEnvironment rejects unknown variables with our prefix. They are typos that
// would silently select a default.
func checkEnvironment(environment, known []string) error {
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		is := func(beginning string) bool { return strings.HasPrefix(name, beginning) }
		if is("KABAN_") && value != "" && !slices.Contains(known, name) && !slices.ContainsFunc(others, is) {
			return fmt.Errorf("environment: unknown variable %s%s", name, config.Nearest(name, known))
		}
	}
	return nil
}

// report prints an error and returns the exit code.
func report(stderr io.Writer, err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSilent):
		if _, ok := errors.AsType[usageError](err); ok {
			return exitUsage
		}
		return exitFailed
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(stderr, "kaban: interrupted")
		return exitFailed
	}
	for _, line := range parts(err) {
		fmt.Fprintln(stderr, "kaban:", display.Line(line))
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(stderr, "\"kaban help\" and \"kaban help COMMAND\" explain the usage.")
		return exitUsage
	}
	return exitFailed
}

// parts returns the texts of joined errors. Each of them may contain text from a
// server.
func parts(err error) []string {
	for { // out of errors that only have a kind
		inner := errors.Unwrap(err)
		if inner == nil || inner.Error() != err.Error() {
			break
		}
		err = inner
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []string{err.Error()}
	}
	var texts, all []string
	for _, part := range joined.Unwrap() {
		texts, all = append(texts, part.Error()), append(all, parts(part)...)
	}
	if strings.Join(texts, "\n") != err.Error() { // several %w
		return []string{err.Error()}
	}
	return all
}

// versionFlag is --version, for people who expect it.
type versionFlag bool

// BeforeApply prints the version and ignores the rest of the command line.
func (versionFlag) BeforeApply(app *kong.Kong) error {
	_, err := fmt.Fprintln(app.Stdout, "kaban", programVersion())
	app.Exit(exitDone)
	return err
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintln(std.out, "kaban", programVersion())
	return err
}

// programVersion returns the version of a release, or else the one that the Go tool
// recorded for the source.
func programVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "-dirty"
		}
	}
	if revision == "" {
		return "development"
	}
	return "development-" + revision + dirty
}

type helpCommand struct {
	Command []string `arg:"" optional:"" help:"The command to explain."`
}

// Run prints the help of a command.
func (h helpCommand) Run(std streams) error {
	switch run(append(h.Command, "--help"), std) {
	case exitDone:
		return nil
	case exitUsage:
		return usageError{errSilent}
	}
	return errSilent
}

package main

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"kaban/client/dial/dialtest"
	"kaban/internal/tlstest"
)

// asCommand is the variable with which the test program is the command itself: the
// variables of proxies are read once in a process.
const asCommand = "TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Exit(run(os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// process runs a command in a process of its own, with more variables.
func process(t *testing.T, variables []string, input string, args ...string) (code int, output string) {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program, args...)
	var all bytes.Buffer
	command.Env = append(append(os.Environ(), asCommand+"=1", "NO_PROXY=", "no_proxy="), variables...)
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader(input), &all, &all
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), all.String()
}

// Commands reach an https server through the proxy of the environment, over WebSocket
// and over HTTP, and never print its password.
func TestThroughAProxy(t *testing.T) {
	f := &fronts{town: newTown(t), authority: tlstest.NewAuthority(t)}
	f.servePage("https://chat.example")
	signed, _ := f.authority.Pair(tlstest.Certificate{Hosts: []string{"chat.example"}})
	front := dialtest.NewFront(t, &tls.Config{Certificates: []tls.Certificate{signed}}, f.page)
	authorization := "Basic " + base64.StdEncoding.EncodeToString([]byte("ann:hidden-secret"))
	proxy := dialtest.NewProxy(t, nil, authorization, map[string]string{"chat.example:443": front.Addr()})
	ca := file(t, string(f.authority.PEM))
	at := func(args ...string) []string { return append(args, "--server", "https://chat.example", "--ca", ca) }
	through := func(user string) []string {
		return []string{"HTTPS_PROXY=http://" + user + proxy.Addr(), "https_proxy="}
	}
	right := through("ann:hidden-secret@")
	used := make(map[string]bool)
	for _, c := range []struct {
		name, input string
		proxy, args []string
		code        int
		want        string
	}{
		{"sign in", password, right, at("login", "--username", "ann", "--password-file", "-"), exitDone, "signed in to https://chat.example as ann"},
		{"send", "", right, at("send", "--join", "lobby", "hello"), exitDone, ""},
		{"tail", "", right, at("tail", "lobby"), exitDone, "ann:> hello"},
		{"who", "", right, at("whoami"), exitDone, "ann, member at https://chat.example"},
		{"chat", "typed\n", right, at("chat", "--plain", "--room", "lobby"), exitDone, ""},
		{"numbers", "", right, at("tail", "lobby", "--numbers"), exitDone, "5 ann:> typed"},
		{"edit", "", right, at("edit", "lobby", "4", "good morning"), exitDone, ""},
		{"react", "", right, at("react", "lobby", "4", ":tada:"), exitDone, ""},
		{"pin", "", right, at("pin", "lobby", "4"), exitDone, ""},
		{"edited", "", right, at("tail", "lobby"), exitDone, "good morning"},
		{"inbox", "", right, at("inbox"), exitDone, ""},
		{"search", "", right, at("search", "morning"), exitDone, ""},
		{"delete", "", right, at("delete", "lobby", "4"), exitDone, ""},
		{"what became of it", "", right, at("tail", "lobby"), exitDone, "ann (deleted)"},
		{"wrong password", "", through("ann:hidden@"), at("tail", "lobby"), exitFailed, "the proxy at " + proxy.Addr() + " wants a name and a password"},
		{"no password", "", through(""), at("tail", "lobby"), exitFailed, "HTTPS_PROXY, as in"},
		{"no such place", "", right, []string{"tail", "lobby", "--server", "https://other.example"}, exitFailed, "refuses to connect"},
		{"no address", "", []string{"HTTPS_PROXY=http://ann:hidden-secret@%zz", "https_proxy="}, at("tail", "lobby"), exitFailed, "HTTPS_PROXY is no address of a proxy"},
		{"not for it", "", append(right, "NO_PROXY=chat.example"), at("tail", "lobby"), exitFailed, "chat.example"},
		{"not for this machine", "", right, []string{"tail", "lobby", "--server", "https://127.0.0.1:" + front.Port(), "--pin", strings.Repeat("ab", 32)}, exitFailed, "not the pinned one"},
		{"sign out", "", right, at("logout"), exitDone, "signed out of https://chat.example"},
	} {
		used[c.args[0]] = true
		code, output := process(t, c.proxy, c.input, c.args...)
		if code != c.code || !strings.Contains(output, c.want) || strings.Contains(output, "hidden") {
			t.Errorf("%s: exit code %d, want %d with %q:\n%s", c.name, code, c.code, c.want, output)
		}
	}
	if n := f.devices(); n != 0 {
		t.Errorf("%d devices after signing out", n)
	}
	for _, command := range commandsWithServer(t) {
		if !used[command] {
			t.Errorf("no case has kaban %s", command)
		}
	}
	if n := len(proxy.Asked()); n < 16 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

// commandsWithServer returns the commands that have --server. "kaban bench" is none of
// them: what it measures is the way without a proxy.
func commandsWithServer(t *testing.T) (names []string) {
	t.Helper()
	parser, err := newParser(new(cli), nil, streams{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range parser.Model.Children {
		if slices.ContainsFunc(command.Flags, func(f *kong.Flag) bool { return f.Name == "server" }) {
			names = append(names, command.Name)
		}
	}
	if len(names) < 10 {
		t.Fatalf("found only %q", names)
	}
	return names
}

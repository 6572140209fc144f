// Package e2e runs stories with the real binary: each file of testdata is a user's
// session.
package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kaban/internal/childtest"
)

// patience is how long a story waits for an expected event.
const patience = 2 * time.Minute

// soon is longer than a change at one node takes to hold at another, also on a busy machine.
const soon = 20 * time.Second

// impatient is an HTTP client with a timeout.
var impatient = http.Client{Timeout: patience}

// binary is the program under test. It is built with the race detector if the
// tests are.
var binary string

// fast builds the program without the race detector, for stories with large
// numbers. Tests share the build.
var fast = sync.OnceValues(func() (string, error) {
	path := filepath.Join(filepath.Dir(binary), "fast", filepath.Base(binary))
	if output, err := childtest.Go("build", "-o", path, "kaban/cmd/kaban").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, output)
	}
	return path, nil
})

// noSleep makes programs with the race detector exit at once. By default they wait
// a second for reports of other threads, and stories start many programs.
const noSleep = "atexit_sleep_ms=0"

// atOnce is how many stories run at a time at least.
const atOnce = 4

func TestMain(m *testing.M) {
	childtest.AtOnce(atOnce)
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "kaban-e2e")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "kaban")
	os.Setenv("GORACE", noSleep)
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	os.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
	build := exec.Command("go", "build", "-o", binary, fmt.Sprintf("-race=%t", raceEnabled), "kaban/cmd/kaban")
	if output, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build: %w\n%s", err, output)
	}
	defer stopStores()
	return m.Run(), nil
}

func TestStories(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("USER", "story")
			env.Setenv("GORACE", noSleep)
			env.Values[storyKey{}] = &story{binary: binary, feeds: make(map[string]*fedProcess), peers: make(map[string]*netPeer)}
			return keepIn(env)
		},
		Condition: holds,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":    serve,
			"waitline": waitLine,
			"lines":    lines,
			"peer":     peer,
			"seq":      seq,
			"emoji":    emoji,
			"feed":     feed,
			"members":  members,
			"usefast":  useFast,
			"exitcode": exitCode,
			"http":     httpRequest,
			"upload":   uploadFile,
			"word":     word,
			"lastword": lastWord,
			"mode":     mode,
		},
	})
}

// wait waits for a command to end, and kills it after patience.
func wait(c *exec.Cmd) error {
	overdue := time.AfterFunc(patience, func() { c.Process.Kill() })
	err := c.Wait()
	if !overdue.Stop() {
		return fmt.Errorf("still running after %v: %w", patience, err)
	}
	return err
}

// story is the state of a running story. Stories run in parallel.
type story struct {
	binary string
	nodes  []*exec.Cmd // of the server that runs
	way    *balancer   // to several of them
	feeds  map[string]*fedProcess
	peers  map[string]*netPeer
}

type storyKey struct{}

func storyOf(ts *testscript.TestScript) *story { return ts.Value(storyKey{}).(*story) }

// useFast switches the story to the program without the race detector.
func useFast(ts *testscript.TestScript, neg bool, args []string) {
	path, err := fast()
	ts.Check(err)
	storyOf(ts).binary = path
	ts.Setenv("PATH", filepath.Dir(path)+string(os.PathListSeparator)+ts.Getenv("PATH"))
}

// httpRequest makes an HTTP request and writes the response to the file answer:
// "http STATUS METHOD PATH [BODY]". With TOKEN set it has that credential, and with
// ORIGIN set it comes from a page of that origin.
func httpRequest(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: http STATUS METHOD PATH [BODY]")
	}
	body := strings.Join(args[3:], "")
	status, text := requested(ts, args[1], args[2], body)
	// What has changed at one node holds at all of them soon. What was done is not done again.
	isDone := func() bool { return status == args[0] || args[1] != http.MethodGet && !strings.HasPrefix(status, "4") }
	for deadline := time.Now().Add(soon); *nodeCount > 1 && !isDone() && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		status, text = requested(ts, args[1], args[2], body)
	}
	ts.Check(os.WriteFile(ts.MkAbs("answer"), text, 0o600))
	if status != args[0] {
		ts.Fatalf("the status is %s, want %s:\n%s", status, args[0], text)
	}
}

// requested makes an HTTP request with the credential and the origin of a story, and returns the status
// and the body of the response.
func requested(ts *testscript.TestScript, method, path, body string) (status string, text []byte) {
	asked, err := http.NewRequest(method, "http://"+ts.Getenv("WEB")+path, strings.NewReader(body))
	ts.Check(err)
	asked.Close = true
	asked.Header.Set("Content-Type", "application/json")
	if token := ts.Getenv("TOKEN"); token != "" {
		asked.Header.Set("Authorization", "Bearer "+token)
	}
	if origin := ts.Getenv("ORIGIN"); origin != "" {
		asked.Header.Set("Origin", origin)
	}
	got, err := impatient.Do(asked)
	ts.Check(err)
	defer got.Body.Close()
	text, err = io.ReadAll(got.Body)
	ts.Check(err)
	return fmt.Sprint(got.StatusCode), text
}

// word sets a variable to the first word of a file: "word NAME FILE".
func word(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: word NAME FILE")
	}
	words := strings.Fields(ts.ReadFile(args[1]))
	if len(words) == 0 {
		ts.Fatalf("%s is empty", args[1])
	}
	ts.Setenv(args[0], words[0])
}

// lastWord sets a variable to the last line of a file: "lastword NAME FILE". With a
// third argument it is what follows that in the line.
func lastWord(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: lastword NAME FILE [AFTER]")
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[1]), "\n"), "\n")
	last := lines[len(lines)-1]
	if len(args) == 3 {
		var ok bool
		if _, last, ok = strings.Cut(last, args[2]); !ok {
			ts.Fatalf("there is no %s in the last line of %s", args[2], args[1])
		}
	}
	ts.Setenv(args[0], last)
}

// mode checks the permissions of a file: "mode PERMISSIONS FILE".
func mode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode PERMISSIONS FILE")
	}
	info, err := os.Lstat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// await waits until a file contains a text after an offset and returns the file
// from there on.
func await(ts *testscript.TestScript, file, text string, offset int64) string {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		content, err := os.ReadFile(ts.MkAbs(file))
		if err == nil && int64(len(content)) >= offset && strings.Contains(string(content[offset:]), text) {
			return string(content[offset:])
		}
	}
	content, _ := os.ReadFile(ts.MkAbs(file))
	ts.Fatalf("%s does not come in %s:\n%s", text, file, content)
	return ""
}

// exitCode runs a command and checks its exit code: "exitcode CODE COMMAND ARGS…".
func exitCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exitcode CODE COMMAND ARGS…")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		ended, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = ended.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("the exit code is %d, want %s", got, args[0])
	}
}

// waitLine waits until a file contains a text.
func waitLine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: waitline FILE TEXT")
	}
	await(ts, args[0], args[1], 0)
}

// lines checks that a file has exactly the lines PREFIX1 to PREFIXn.
func lines(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: lines FILE PREFIX COUNT")
	}
	count, err := strconv.Atoi(args[2])
	ts.Check(err)
	file, err := os.Open(ts.MkAbs(args[0]))
	ts.Check(err)
	defer file.Close()
	n := 0
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		n++
		if want := args[1] + strconv.Itoa(n); scanner.Text() != want {
			ts.Fatalf("line %d of %s is %q, want %q", n, args[0], scanner.Text(), want)
		}
	}
	if n != count {
		ts.Fatalf("%s has %d lines, want %d", args[0], n, count)
	}
}

// seq writes the numbers from 1 to a count to a file.
func seq(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: seq COUNT FILE")
	}
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b strings.Builder
	for i := range count {
		fmt.Fprintln(&b, i+1)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}

// emoji writes a prefix and a number of emoji to a file, as one line.
func emoji(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: emoji COUNT FILE [PREFIX]")
	}
	count, err := strconv.Atoi(args[0])
	ts.Check(err)
	prefix := ""
	if len(args) > 2 {
		prefix = strings.Join(args[2:], " ") + " "
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(prefix+strings.Repeat("😀", count)+"\n"), 0o600))
}

// feed writes to the standard input of a command: "feed start NAME ARGS…" starts
// kaban, "feed NAME TEXT" writes a line, "feed close NAME" closes the input and
// expects exit code 0; "feed interrupt NAME" sends SIGINT instead. The output is
// in NAME.out and NAME.err.
func feed(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: feed start NAME ARGS… | feed NAME TEXT | feed close NAME")
	}
	switch args[0] {
	case "start":
		startFed(ts, args[1], args[2:])
	case "interrupt":
		f := fed(ts, args[1])
		ts.Check(f.command.Process.Signal(os.Interrupt))
		ts.Check(wait(f.command))
		delete(storyOf(ts).feeds, args[1])
	case "close":
		f := fed(ts, args[1])
		f.stdin.Close()
		if err := wait(f.command); err != nil {
			ts.Fatalf("%s ended with %v:\n%s", args[1], err, ts.ReadFile(args[1]+".err"))
		}
		delete(storyOf(ts).feeds, args[1])
	default:
		_, err := fmt.Fprintln(fed(ts, args[0]).stdin, strings.Join(args[1:], " "))
		ts.Check(err)
	}
}

// fedProcess is a command with an open standard input.
type fedProcess struct {
	command *exec.Cmd
	stdin   io.WriteCloser
}

func fed(ts *testscript.TestScript, name string) *fedProcess {
	f := storyOf(ts).feeds[name]
	if f == nil {
		ts.Fatalf("%s was not started", name)
	}
	return f
}

// startFed starts "kaban ARGS…" with its output in NAME.out and NAME.err.
func startFed(ts *testscript.TestScript, name string, args []string) {
	f := &fedProcess{command: exec.Command(storyOf(ts).binary, args...)}
	f.command.Dir = ts.MkAbs(".")
	f.command.Env = append(os.Environ(), "KABAN_SERVER="+ts.Getenv("KABAN_SERVER"), "USER=story")
	f.command.Env = append(f.command.Env, kept(ts)...)
	var err error
	f.stdin, err = f.command.StdinPipe()
	ts.Check(err)
	stdout, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer stdout.Close()
	stderr, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer stderr.Close()
	f.command.Stdout, f.command.Stderr = stdout, stderr
	childtest.Bind(f.command, syscall.SIGKILL)
	ts.Check(f.command.Start())
	storyOf(ts).feeds[name] = f
	ts.Defer(func() {
		if storyOf(ts).feeds[name] == f {
			f.command.Process.Kill()
			f.command.Wait()
		}
	})
}

// peer replaces nc: "peer NAME LINE" sends a line on a connection that it opens on
// first use, "peer NAME expect TEXT" waits for a line with a text, "peer NAME
// never TEXT" checks that none has arrived.
func peer(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: peer NAME LINE | peer NAME expect TEXT | peer NAME never TEXT")
	}
	peers := storyOf(ts).peers
	p := peers[args[0]]
	if p == nil {
		conn, err := net.Dial("tcp", ts.Getenv("KABAN_SERVER"))
		ts.Check(err)
		p = &netPeer{conn: conn, reader: bufio.NewReader(conn)}
		peers[args[0]] = p
		ts.Defer(func() { conn.Close() })
	}
	switch text := strings.Join(args[2:], " "); args[1] {
	case "expect":
		p.conn.SetReadDeadline(time.Now().Add(patience))
		for {
			line, err := p.reader.ReadString('\n')
			if err != nil {
				ts.Fatalf("%s did not get %s: %v\n%s", args[0], text, err, strings.Join(p.seen, ""))
			}
			p.seen = append(p.seen, line)
			if strings.Contains(line, text) {
				return
			}
		}
	case "never":
		if strings.Contains(strings.Join(p.seen, ""), text) {
			ts.Fatalf("%s got %s:\n%s", args[0], text, strings.Join(p.seen, ""))
		}
	default:
		_, err := fmt.Fprintln(p.conn, strings.Join(args[1:], " "))
		ts.Check(err)
	}
}

type netPeer struct {
	conn   net.Conn
	reader *bufio.Reader
	seen   []string
}

// members waits until the lobby has exactly the given members.
func members(ts *testscript.TestScript, neg bool, args []string) {
	conn, err := net.Dial("tcp", ts.Getenv("KABAN_SERVER"))
	ts.Check(err)
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	reader := bufio.NewReader(conn)
	fmt.Fprintln(conn, `{"type":"hello","version":1,"username":"usher"}`)
	line, err := reader.ReadString('\n')
	want := `"usernames":["` + strings.Join(args, `","`) + `"]`
	for err == nil && !strings.Contains(line, want) {
		fmt.Fprintln(conn, `{"type":"members","room":"lobby"}`)
		line, err = reader.ReadString('\n')
	}
	if err != nil {
		ts.Fatalf("the lobby does not get the members %v: %v, the last was %s", args, err, line)
	}
}

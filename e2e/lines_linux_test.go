package e2e

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manyLines is off by default: at 100 lines a second it takes its time.
var manyLines = flag.Int("lines", 0, "have a bot send so many lines within its limits, such as 100000")

// A filter that sends much faster than its account may is slowed down, and its lines stay
// whole and in order: nothing is refused, lost or repeated, and the one that follows gets
// all of it. The limits are the defaults, since loopback counts as a proxy.
func TestLinesWithinTheLimits(t *testing.T) {
	t.Parallel()
	t.Run("account", func(t *testing.T) {
		t.Parallel()
		sendLines(t, "bob", "account_messages_per_second", 100, 300)
	})
	t.Run("bot", func(t *testing.T) {
		if *manyLines == 0 {
			t.Skip("-lines is not given")
		}
		t.Parallel()
		sendLines(t, "robot", "credential_messages_per_second", 2000, *manyLines)
	})
}

// sendLines has an account or a bot send lines. A limit lets a burst of them pass at once.
func sendLines(t *testing.T, name, limit string, burst, count int) {
	p := startPeopled(t, "--proxy", "127.0.0.1", "--listen", "metrics://127.0.0.1:0")
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	follower := file("follower", p.run("token", "add", "olga"))
	var env []string
	if name == "bob" { // a device
		env = append(os.Environ(), "XDG_CONFIG_HOME="+dir)
		login := command(t, "login", "--server", p.lines, "--username", name, "--password-file", p.secret, "--insecure")
		login.Env = env
		login.begin()
		if code := login.finish(); code != 0 {
			t.Fatalf("bob does not sign in: %s", login)
		}
	} else {
		env = append(os.Environ(), "KABAN_TOKEN_FILE="+file("token", p.run("bot", "add", name)))
	}
	made := command(t, "send", "--join", "hall", "who follows is here", "--server", p.lines, "--token-file", follower)
	made.begin()
	if code := made.finish(); code != 0 {
		t.Fatalf("no hall: %s", made)
	}

	var numbers, lines strings.Builder
	for i := range count {
		fmt.Fprintln(&numbers, i+1)
		fmt.Fprintf(&lines, "%s:> %d\n", name, i+1)
	}
	got, err := os.Create(filepath.Join(dir, "got"))
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	tail := command(t, "tail", "hall", "--follow", "--since", "0", "--server", p.lines, "--token-file", follower)
	tail.Stdout = got
	tail.begin()

	chat := command(t, "chat", "--plain", "hall", "--server", p.lines)
	chat.Env, chat.Stdin = env, strings.NewReader(numbers.String())
	began := time.Now()
	chat.begin()
	<-chat.ended // the test's own deadline bounds it
	if code := chat.ProcessState.ExitCode(); code != 0 || chat.String() != "" {
		t.Errorf("kaban chat ends with %d and says %q", code, chat)
	}
	t.Logf("%d lines took %s", count, time.Since(began).Round(time.Second))
	// A line that comes late, on a busy machine, need not wait.
	if waited := p.limited(limit); waited < (count-burst)/2 {
		t.Errorf("the limit made somebody wait %d times; %d lines are beyond the burst of %d", waited, count-burst, burst)
	}

	read := func() string {
		text, err := os.ReadFile(got.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	last := fmt.Sprintf("\n%s:> %d\n", name, count)
	tail.until(func() bool { return strings.HasSuffix(read(), last) })
	var theirs strings.Builder
	for line := range strings.Lines(read()) {
		if strings.HasPrefix(line, name+":> ") {
			theirs.WriteString(line)
		}
	}
	if theirs.String() != lines.String() {
		t.Errorf("who follows gets other lines: %.300q", theirs.String())
	}
	if err := tail.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	tail.finish()
}

// limited returns how often a limit has made somebody wait.
func (p *peopled) limited(limit string) int {
	p.t.Helper()
	answer, err := impatient.Get("http://" + p.listens("metrics") + "/metrics")
	if err != nil {
		p.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		p.t.Fatal(answer.Status)
	}
	sample := regexp.MustCompile(`^kaban_rate_limited_total\{limit="` + limit + `"\} (\d+)$`)
	for scanner := bufio.NewScanner(answer.Body); scanner.Scan(); {
		if found := sample.FindStringSubmatch(scanner.Text()); found != nil {
			n, err := strconv.Atoi(found[1])
			if err != nil {
				p.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

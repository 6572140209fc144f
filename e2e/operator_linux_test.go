package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban/internal/store"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// onTerminal starts a command on a terminal that is wide enough for every line. What the
// person types goes to the file.
func onTerminal(t *testing.T, args ...string) (*running, *os.File) {
	t.Helper()
	r := command(t, args...)
	return r, r.beginOnTerminal(400, 50)
}

// wantAnswer has a command ask on a terminal, unless asks is "", and demands how it ends after
// an answer.
func wantAnswer(t *testing.T, args []string, asks, answer string, code int, says string) {
	t.Helper()
	r, keys := onTerminal(t, args...)
	if asks != "" {
		r.await(asks)
		fmt.Fprint(keys, answer)
	}
	r.await(says)
	if got := r.finish(); got != code || asks == "" && strings.Contains(r.String(), "go on") {
		t.Errorf("%q, %q: exit code %d, want %d: %s", args, answer, got, code, r)
	}
}

// office is a --data with the owner olga and the member ann.
func office(t *testing.T) (data string) {
	t.Helper()
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("correct horse battery\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data = newData(t)
	for _, args := range [][]string{{"owner", "olga"}, {"user", "add", "ann"}} {
		r := command(t, append(args, "--data", data, "--password-file", secret)...)
		r.begin()
		if code := r.finish(); code != 0 {
			t.Fatalf("kaban %s: exit code %d: %s", strings.Join(args, " "), code, r)
		}
	}
	return data
}

// What nobody can bring back asks on a terminal, and takes no other answer.
func TestEndingAnAccountAsks(t *testing.T) {
	t.Parallel()
	data := office(t)
	for _, c := range []struct {
		command, answer string
		code            int
		says            string
	}{
		{"remove", "yes\n", 1, "nothing is changed"},
		{"remove", "\x04", 1, "nothing is changed"},
		{"remove", "ann\n", 0, "ann is removed"},
		{"erase", "y\n", 1, "nothing is changed"},
		{"erase", "ann\n", 0, "ann is erased"},
	} {
		wantAnswer(t, []string{"user", c.command, "ann", "--data", data}, "type ann to go on: ", c.answer, c.code, c.says)
	}
	wantAnswer(t, []string{"user", "remove", "nobody", "--data", data}, "", "", 1, "there is no account nobody")
}

// A shorter retention asks before it deletes messages, and asks nothing if there are none.
func TestDeletingByRetentionAsks(t *testing.T) {
	t.Parallel()
	data := office(t)
	log, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-240 * time.Hour).UnixMilli()
	_, err = log.Import(t.Context(), []store.Record{{Draft: storetest.Draft(t, "attic", "guest", "m1", "old"), Seq: 1, Time: old}})
	if err := errors.Join(err, log.Close()); err != nil {
		t.Fatal(err)
	}
	const asks = "this deletes 1 message in 1 room for good; type yes to go on: "
	for _, c := range []struct {
		command, answer string
		code            int
		says            string
	}{
		{"settings set retention 30d", "", 0, "retention is now"},
		{"room retention attic 1d", "y\n", 1, "nothing is changed"},
		{"settings set retention 1d", "no\n", 1, "nothing is changed"},
		{"settings set retention 1d", "yes\n", 0, "retention is now"},
		{"room retention attic 1d", "yes\n", 0, "attic"},
	} {
		question := asks
		if c.answer == "" {
			question = ""
		}
		wantAnswer(t, append(strings.Fields(c.command), "--data", data), question, c.answer, c.code, c.says)
	}
}

// Every list has a heading on a terminal, for each of its columns, and none in a pipe.
func TestListsHaveHeadings(t *testing.T) {
	t.Parallel()
	data := office(t)
	for _, args := range []string{"bot add ci --owner ann", "hook add lobby --speaker", "invite add --room lobby", "token add ann --room lobby"} {
		r := command(t, append(strings.Fields(args), "--data", data)...)
		r.begin()
		if code := r.finish(); code != 0 {
			t.Fatalf("kaban %s: exit code %d: %s", args, code, r)
		}
	}
	for args, heading := range map[string]string{
		"user list":      "USERNAME ROLE STATUS SINCE NAME NOTES",
		"bot list":       "USERNAME OWNER ROLE STATUS SINCE NAME",
		"room list":      "ROOM KIND MEMBERS ENTRIES FLAGS RETENTION",
		"hook list":      "ID ROOM USERNAME SINCE NOTES",
		"invite list":    "ID FOR USES LEFT UNTIL BY ROOMS",
		"token list ann": "ID CREATED USED UNTIL FOR ROOMS",
		"settings":       "KEY VALUE MEANING",
		"audit":          "TIME BY FROM ACTION SUBJECT DETAIL",
	} {
		all := append(strings.Fields(args), "--data", data)
		r, _ := onTerminal(t, all...)
		r.await("\n")
		first, _, _ := strings.Cut(r.String(), "\n")
		if got := strings.Join(strings.Fields(first), " "); got != heading {
			t.Errorf("kaban %s: the terminal begins with %q, want %q", args, got, heading)
		}
		r.finish()
		piped := command(t, all...)
		piped.begin()
		if code := piped.finish(); code != 0 || piped.String() == "" || strings.Contains(piped.String(), strings.Fields(heading)[0]) {
			t.Errorf("kaban %s in a pipe: exit code %d: %q", args, code, piped)
		}
	}
}

// A person that waits for a server that does not answer reads so; a program does not.
func TestWaitingForASilentServer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") // the system accepts, and nobody reads
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	args := []string{"send", "--server", l.Addr().String(), "--username", "ann", "lobby", "hello"}
	r, _ := onTerminal(t, args...)
	piped := command(t, args...)
	piped.begin()
	r.await("kaban: waiting for " + l.Addr().String())
	if code := r.finish(); code != 1 {
		t.Errorf("exit code %d: %s", code, r)
	}
	if code := piped.finish(); code != 1 || strings.Contains(piped.String(), "waiting") {
		t.Errorf("a program: exit code %d: %s", code, piped)
	}
}

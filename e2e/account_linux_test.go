package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban/internal/childtest"
)

// serveOffice runs a server with the owner olga and the member ann, and returns the files with their
// tokens.
func serveOffice(t *testing.T) (d *daemon, tokens map[string]string) {
	t.Helper()
	d = &daemon{t: t, addr: childtest.Address(t), data: office(t)}
	tokens = make(map[string]string)
	for _, name := range []string{"olga", "ann"} {
		r := command(t, "token", "add", name, "--data", d.data)
		r.begin()
		if code := r.finish(); code != 0 {
			t.Fatalf("token add: exit code %d: %s", code, r)
		}
		lines := strings.Fields(r.String())
		tokens[name] = filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(tokens[name], []byte(lines[len(lines)-1]+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d.start()
	return d, tokens
}

// as opens a terminal client of an account.
func (d *daemon) as(token string) *pane {
	d.t.Helper()
	p := openPane(d.t, 100, 24, nil, "--server", d.addr, "--token-file", token)
	p.await("● online")
	return p
}

// lookUp asks until the list with a title has something: the index follows the log at a distance.
func (p *pane) lookUp(command, title, nothing, found string) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		p.keys(command, "Enter")
		p.awaitThat("an answer to "+command, func(screen string) bool {
			return strings.Contains(screen, title) && (strings.Contains(screen, nothing) || strings.Contains(screen, found))
		})
		if strings.Contains(p.screen(), found) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s finds nothing", command)
		}
		p.keys("Escape")
		p.awaitGone(nothing)
	}
}

// TestTerminalOfAnAccount pins, copies, searches, opens a thread and catches up, against a server.
func TestTerminalOfAnAccount(t *testing.T) {
	t.Parallel()
	d, tokens := serveOffice(t)
	ann, olga := d.as(tokens["ann"]), d.as(tokens["olga"])
	ann.keys("the rules are simple", "Enter", "where is the deploy guide?", "Enter", "something else", "Enter")
	olga.awaitLine("something else")

	// p pins, for everybody; /pins lists it.
	ann.keys("M-s", "Up", "Up", "p")
	for _, p := range []*pane{ann, olga} {
		p.await("pinned")
	}
	olga.lookUp("/pins", "pinned in lobby", "nothing is pinned here", "the rules are simple")
	olga.awaitGone("something else")
	olga.keys("Escape")
	olga.awaitLine("something else")

	// y copies the text as it was written, into the clipboard of the terminal.
	ann.keys("M-s", "Up", "y")
	ann.awaitThat("the copied text", func(string) bool {
		copied, err := ann.run("show-buffer")
		return err == nil && copied == "where is the deploy guide?"
	})

	// r replies; t shows the message with its replies only, and Escape all again.
	olga.keys("M-s", "Up", "r", "in the wiki", "Enter")
	ann.awaitLine("olga", "in the wiki")
	ann.keys("M-s", "t")
	ann.awaitGone("something else")
	ann.awaitLine("where is the deploy guide?")
	ann.awaitLine("olga", "in the wiki")
	ann.keys("and where is that?", "Enter")
	olga.awaitLine("ann", "and where is that?")
	ann.keys("Escape")
	ann.awaitLine("something else")

	// /search finds by words; Enter opens what is found in its place.
	ann.lookUp("/search deploy from:ann", "search of all rooms", "nothing", "lobby  ann: where is the deploy guide?")
	ann.awaitGone("the rules are simple")
	ann.keys("Enter")
	ann.awaitLine("the rules are simple")
	ann.await("Esc ends") // it is selected
	ann.keys("Escape")
	ann.awaitGone("Esc ends")

	// /inbox lists what mentions somebody, and r reads it.
	ann.keys("/create annex", "Enter")
	ann.await("▸ annex")
	olga.keys("for @ann and nobody else", "Enter")
	ann.awaitLine("lobby", "@1")
	ann.keys("/inbox", "Enter")
	ann.awaitLine("olga", "for @ann and nobody else")
	ann.keys("r")
	ann.awaitGone("@1")
}

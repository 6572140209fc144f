package e2e

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"kaban/internal/childtest"
)

var heap = flag.Bool("heap", false, "look for deleted texts in dumps of a server's heap, which takes minutes")

// What was deleted, edited away, written by an account that was erased, or cut by retention is in
// no object of the server some time later. (Memory that is free again may have it until it is used
// for something else. A text of less than 16 bytes may share a block with another short string, which
// Go allocates together, and stays as long as that one; the texts here are longer.)
func TestErasedFromHeap(t *testing.T) {
	if !*heap {
		t.Skip("-heap is not given")
	}
	t.Parallel()
	w := startWatched(t)
	for _, c := range []struct {
		room  string
		erase func(seqs []uint64) // erases the messages with these numbers
	}{
		{"deleted", func(seqs []uint64) {
			for _, seq := range seqs {
				w.run("", "delete", "--server", w.address, "--token-file", w.ben, "deleted", fmt.Sprint(seq))
			}
		}},
		{"edited", func(seqs []uint64) {
			for _, seq := range seqs {
				w.run("", "edit", "--server", w.address, "--token-file", w.ben, "edited", fmt.Sprint(seq), "nothing", "more")
			}
		}},
		{"cut", func([]uint64) { w.run("", "room", "retention", "cut", "1d", "--yes", "--data", w.data) }},
		{"erased", func([]uint64) { w.run("", "user", "erase", "ben", "--yes", "--data", w.data) }}, // the last, because he writes all
	} {
		word := "zz" + c.room // also as the index has it
		seqs := w.fill(c.room, word)
		if n := bytes.Count(w.heap(), []byte(word)); n < len(seqs) {
			t.Errorf("%s: the heap has only %d texts before, so this proves nothing", c.room, n)
		}
		t.Logf("%s: erases %d texts", c.room, len(seqs))
		c.erase(seqs)
		w.server.until(func() bool { return !bytes.Contains(w.heap(), []byte(word)) })
	}
}

// watched is a server whose heap can be looked at. The times of its messages are three days ago.
type watched struct {
	t         *testing.T
	server    *running
	address   string
	data      string
	olga, ben string // files with tokens, of an owner and a member
	file      string
	dumps     int
}

func startWatched(t *testing.T) *watched {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "kaban")
	if output, err := childtest.Go("build", "-tags", "failpoint", "-o", program, "kaban/cmd/kaban").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	w := &watched{t: t, data: filepath.Join(dir, "data"), olga: filepath.Join(dir, "olga"), ben: filepath.Join(dir, "ben"), file: filepath.Join(dir, "heap")}
	password := filepath.Join(dir, "password")
	w.write(password, "correct horse battery")
	w.server = command(t, "serve", "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0", "--data", w.data)
	w.server.Cmd.Path, w.server.Cmd.Env = program, append(os.Environ(), "KABAN_FAULT_HEAP="+w.file, "KABAN_FAULT_CLOCK=-72h")
	w.server.begin()
	w.server.await("msg=ready")
	_, rest, _ := strings.Cut(w.server.String(), "url=tcp://")
	w.address, _, _ = strings.Cut(rest, "\n")
	w.run("", "owner", "olga", "--data", w.data, "--password-file", password)
	w.write(w.olga, w.run("", "token", "add", "olga", "--data", w.data))
	w.run("", "user", "add", "ben", "--data", w.data, "--password-file", password)
	w.write(w.ben, w.run("", "token", "add", "ben", "--data", w.data))
	return w
}

// fill has ben say something with a word in a room of his, where olga reads, and returns the numbers
// of his messages.
func (w *watched) fill(room, word string) (seqs []uint64) {
	w.t.Helper()
	const messages = 12
	w.run("", "send", "--join", room, "hello", "--server", w.address, "--token-file", w.ben)
	reader := command(w.t, "tail", "--follow", "--since", "0", room, "--json", "--server", w.address, "--token-file", w.olga)
	reader.begin() // keeps a tail alive
	var texts strings.Builder
	for i := range messages {
		fmt.Fprintf(&texts, "%s-%d %s\n", word, i, strings.Repeat("y", 16+20*i))
	}
	w.run(texts.String(), "chat", "--plain", room, "--server", w.address, "--token-file", w.ben)
	reader.until(func() bool { return strings.Count(reader.String(), word) == messages })
	for line := range strings.Lines(reader.String()) {
		var m struct {
			Seq     uint64 `json:"seq"`
			Content string `json:"content"`
		}
		if err := json.Unmarshal([]byte(line), &m); err == nil && strings.HasPrefix(m.Content, word) {
			seqs = append(seqs, m.Seq)
		}
	}
	if len(seqs) != messages {
		w.t.Fatalf("%d messages are found in %q", len(seqs), reader)
	}
	return seqs
}

func (w *watched) write(file, content string) {
	w.t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// run runs a command, which must succeed, and returns its standard output.
func (w *watched) run(in string, args ...string) string {
	w.t.Helper()
	c := exec.CommandContext(w.t.Context(), binary, args...)
	c.Stdin = strings.NewReader(in)
	var complaints strings.Builder
	c.Stderr = &complaints
	out, err := c.Output()
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, complaints.String())
	}
	return string(out)
}

// heap returns the heap of the server, without garbage.
func (w *watched) heap() []byte {
	w.t.Helper()
	if err := w.server.Process.Signal(syscall.SIGWINCH); err != nil {
		w.t.Fatal(err)
	}
	w.dumps++
	w.server.until(func() bool { return strings.Count(w.server.String(), "heap: it is written <nil>") == w.dumps })
	content, err := os.ReadFile(w.file)
	if err != nil {
		w.t.Fatal(err)
	}
	return content
}

package e2e

import (
	"bytes"
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

// heapOf returns the heap of a server, without garbage.
func heapOf(server *running, file string, dumps int) []byte {
	server.t.Helper()
	if err := server.Process.Signal(syscall.SIGWINCH); err != nil {
		server.t.Fatal(err)
	}
	server.until(func() bool { return strings.Count(server.String(), "heap: it is written <nil>") == dumps })
	content, err := os.ReadFile(file)
	if err != nil {
		server.t.Fatal(err)
	}
	return content
}

// What was deleted is in no object of the server some time later. (Memory that is free again
// may have it until it is used for something else.)
func TestErasedFromHeap(t *testing.T) {
	if !*heap {
		t.Skip("-heap is not given")
	}
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "kaban")
	if output, err := childtest.Go("build", "-tags", "failpoint", "-o", program, "kaban/cmd/kaban").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	data, password, token, dump := filepath.Join(dir, "data"), filepath.Join(dir, "password"), filepath.Join(dir, "token"), filepath.Join(dir, "heap")
	if err := os.WriteFile(password, []byte("correct horse battery"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := command(t, "serve", "--listen", "tcp://127.0.0.1:0", "--listen", "http://127.0.0.1:0", "--data", data)
	server.Cmd.Path, server.Cmd.Env = program, append(os.Environ(), "KABAN_FAULT_HEAP="+dump)
	server.begin()
	server.await("msg=ready")
	_, rest, _ := strings.Cut(server.String(), "url=tcp://")
	address, _, _ := strings.Cut(rest, "\n")
	run := func(in string, args ...string) string {
		t.Helper()
		c := exec.CommandContext(t.Context(), binary, args...)
		c.Stdin = strings.NewReader(in)
		out, err := c.Output()
		if err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		return string(out)
	}
	run("", "owner", "olga", "--data", data, "--password-file", password)
	if err := os.WriteFile(token, []byte(run("", "token", "add", "olga", "--data", data)), 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "send", "--join", "lobby", "hello", "--server", address, "--token-file", token)
	reader := command(t, "tail", "--follow", "--since", "0", "lobby", "--server", address, "--token-file", token)
	reader.begin() // keeps a tail alive
	const messages = 12
	var texts strings.Builder
	for i := range messages {
		fmt.Fprintf(&texts, "zzmystery-%d %s\n", i, strings.Repeat("y", 20*i))
	}
	run(texts.String(), "chat", "--plain", "lobby", "--server", address, "--token-file", token)
	reader.await(fmt.Sprintf("zzmystery-%d ", messages-1))
	dumps := 1
	if n := bytes.Count(heapOf(server, dump, dumps), []byte("zzmystery")); n < messages {
		t.Errorf("the heap has only %d texts before, so this proves nothing", n)
	}
	for i := range messages {
		run("", "delete", "--server", address, "--token-file", token, "lobby", fmt.Sprint(3+i))
	}
	server.until(func() bool {
		dumps++
		return !bytes.Contains(heapOf(server, dump, dumps), []byte("zzmystery"))
	})
}

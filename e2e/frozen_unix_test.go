//go:build unix

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kaban/client"
)

// freezable runs a server of a test's own and returns its process and address.
func freezable(t *testing.T, flags ...string) (*exec.Cmd, string) {
	t.Helper()
	s := exec.Command(binary, append([]string{"serve", "--data", ":memory:", "--listen", "tcp://127.0.0.1:0"}, flags...)...)
	log, err := s.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	var copying sync.WaitGroup
	t.Cleanup(func() {
		s.Process.Kill() // also while it is frozen
		copying.Wait()
		s.Wait()
	})
	var said bytes.Buffer
	address := ""
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if _, url, ok := strings.Cut(lines.Text(), "url=tcp://"); ok {
			address = strings.Fields(url)[0]
		}
		if strings.Contains(lines.Text(), "msg=ready") {
			copying.Go(func() {
				for lines.Scan() {
				}
			})
			return s, address
		}
	}
	t.Fatalf("the server is not ready:\n%s", &said)
	return nil, ""
}

// A server stands still for so long that each client gives its connection up and
// comes back many times, each time in vain. When it goes on, all have their names
// and go on where they were; nothing is lost or said twice.
func TestAServerThatWasFrozen(t *testing.T) {
	const clients, rounds = 6, 3
	server, address := freezable(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	type one struct {
		client          *client.Client
		room            *client.Room
		attempts, quiet chan struct{}
	}
	all := make([]*one, clients)
	for k := range all {
		o := &one{attempts: make(chan struct{}, 1000), quiet: make(chan struct{}, 1000)}
		c, err := client.Dial(ctx, address, client.Options{
			Username: fmt.Sprint("client-", k), MaxBackoff: 50 * time.Millisecond,
			Silence: 200 * time.Millisecond, Patience: 400 * time.Millisecond,
			OnState: func(s client.State) {
				switch s.Status {
				case client.Silent:
					o.quiet <- struct{}{}
				case client.Offline:
					o.attempts <- struct{}{}
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		o.client = c
		if o.room, err = c.Join(ctx, "lobby", client.From{}); err != nil {
			t.Fatal(err)
		}
		all[k] = o
	}
	for round := range rounds {
		if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for k, o := range all {
			if _, err := o.room.Post(ctx, fmt.Sprint(round, " from ", k)); err != nil {
				t.Fatal(err)
			}
			<-o.quiet
			for range 4 { // the first connection, and three that wait with the kernel
				<-o.attempts
			}
		}
		if err := server.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for k, o := range all {
			if err := o.client.Flush(ctx); err != nil {
				t.Fatalf("round %d: client %d: %v", round, k, errors.Join(err, o.client.Err()))
			}
		}
	}
	for k, o := range all {
		if err := o.client.Err(); err != nil {
			t.Errorf("client %d is gone: %v", k, err)
		}
		seen := make(map[string]int)
		for m, err := range o.room.Messages(ctx) {
			if err != nil {
				t.Fatalf("client %d: %v", k, err)
			}
			if seen[m.Content]++; len(seen) == rounds*(clients-1) {
				break
			}
		}
		for content, n := range seen {
			if n != 1 {
				t.Errorf("client %d saw %q %d times", k, content, n)
			}
		}
	}
}

// The filter says on standard error that the server does not answer and what
// waits, and that it answers again.
func TestAFilterBesideAFrozenServer(t *testing.T) {
	t.Parallel()
	server, address := freezable(t)
	r := command(t, "chat", "--plain", "--server", address, "--username", "ann")
	input, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	r.Stdin = input
	r.begin()
	input.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ben, err := client.Dial(ctx, address, client.Options{Username: "ben"})
	if err != nil {
		t.Fatal(err)
	}
	defer ben.Close()
	room, err := ben.Join(ctx, "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	for { // until the filter is there
		members, _, err := ben.Members(ctx, "lobby", "", 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(members) == 2 {
			break
		}
	}
	if _, err := room.Send(ctx, "before"); err != nil {
		t.Fatal(err)
	}
	r.await("before")
	if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(writer, "does anybody hear me?")
	r.await("the server does not answer; 1 not acknowledged yet")
	if err := server.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.await("the server answers again")
	writer.Close()
	if code := r.finish(); code != 0 {
		t.Errorf("exit code %d: %s", code, r)
	}
}

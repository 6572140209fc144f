//go:build unix

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"kaban/client"
)

// freezable starts a server for a single test and returns its process and address.
func freezable(t *testing.T) (*running, string) {
	t.Helper()
	s := command(t, "serve", "--data", ":memory:", "--listen", "tcp://127.0.0.1:0")
	s.begin()
	s.await("msg=ready")
	_, rest, _ := strings.Cut(s.String(), "url=tcp://")
	address, _, _ := strings.Cut(rest, "\n")
	return s, address
}

// frozenOut is a client of a server that freezes.
type frozenOut struct {
	*client.Client
	room     *client.Room
	attempts chan struct{} // one for each time it goes offline
}

func dialFreezable(ctx context.Context, t *testing.T, address, name string) *frozenOut {
	t.Helper()
	f := &frozenOut{attempts: make(chan struct{}, 100)}
	c, err := client.Dial(ctx, address, client.Options{
		Username: name, MaxBackoff: 50 * time.Millisecond,
		Silence: 200 * time.Millisecond, Patience: 400 * time.Millisecond,
		OnState: func(s client.State) {
			if s.Status == client.Offline {
				select {
				case f.attempts <- struct{}{}:
				default:
				}
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	f.Client = c
	if f.room, err = c.Join(ctx, "lobby", client.From{}); err != nil {
		t.Fatal(err)
	}
	return f
}

// online waits for a pong and discards the attempts so far.
func (f *frozenOut) online(ctx context.Context, t *testing.T) {
	t.Helper()
	for {
		_, err := f.Ping(ctx)
		if err == nil {
			break
		}
		if !errors.Is(err, client.ErrOffline) {
			t.Fatalf("%s does not come online: %v", f.Username(), errors.Join(err, f.Err()))
		}
		time.Sleep(5 * time.Millisecond)
	}
	for len(f.attempts) > 0 {
		<-f.attempts
	}
}

// fails waits until n attempts have failed.
func (f *frozenOut) fails(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	for attempt := range n {
		select {
		case <-f.attempts:
		case <-ctx.Done():
			t.Fatalf("%s gave up %d connections, want %d: %v", f.Username(), attempt, n, context.Cause(ctx))
		}
	}
}

// A frozen server makes every client drop its connection and fail to reconnect
// many times. Once it thaws, they all get their names back and resume; no message
// is lost or duplicated.
func TestAServerThatWasFrozen(t *testing.T) {
	const clients, rounds = 6, 3
	server, address := freezable(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	all := make([]*frozenOut, clients)
	for k := range all {
		all[k] = dialFreezable(ctx, t, address, fmt.Sprint("client-", k))
	}
	for round := range rounds {
		for _, c := range all {
			c.online(ctx, t)
		}
		if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		for k, c := range all {
			if _, err := c.room.Post(ctx, fmt.Sprint(round, " from ", k)); err != nil {
				t.Fatal(err)
			}
			c.fails(ctx, t, 4) // the first connection, and three in the kernel's backlog
		}
		if err := server.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for k, c := range all {
			if err := c.Flush(ctx); err != nil {
				t.Fatalf("round %d: client %d: %v", round, k, errors.Join(err, c.Err()))
			}
		}
	}
	for k, c := range all {
		if err := c.Err(); err != nil {
			t.Errorf("client %d is gone: %v", k, err)
		}
		seen := make(map[string]int)
		for m, err := range c.room.Messages(ctx) {
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

// The filter reports on standard error that the server stopped answering, how many
// messages are unacknowledged, and that it answers again.
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
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
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
	for { // until the filter has joined
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
	for try := 1; ; try++ {
		before := len(r.String())
		if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(writer, "does anybody hear me?")
		told := func(text string) bool { return strings.Contains(r.String()[before:], text) }
		// On a machine that stops everybody for long, the connection may have been given
		// up before the line was there.
		r.until(func() bool { return told("1 not acknowledged yet") || told("trying to come back\n") })
		if err := server.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		r.until(func() bool { return told("the server answers again") || told("connected again") })
		if told("the server does not answer; 1 not acknowledged yet") {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the filter never says how much is not acknowledged: %q", r)
		}
		r.until(func() bool { // everything is acknowledged
			page, err := ben.History(ctx, "lobby", client.HistoryQuery{Limit: 10})
			return err == nil && len(page.Messages()) == try+1
		})
	}
	writer.Close()
	if code := r.finish(); code != 0 {
		t.Errorf("exit code %d: %s", code, r)
	}
}

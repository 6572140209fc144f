package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
)

// A line typed at a terminal is no message if it is a command of the full-screen client.
func TestTypedCommandsAreNotSent(t *testing.T) {
	for _, c := range []struct{ line, want, err string }{
		{"hello", "hello", ""},
		{"/create hush private", "", "//create sends it as a message"},
		{"/JOIN x", "", "//JOIN sends it"},
		{"/j x", "", "//j sends it"},
		{"//create hush", "/create hush", ""},
		{"///", "//", ""},
		{" /create hush", " /create hush", ""},
		{"/usr/bin is full", "/usr/bin is full", ""},
		{"/", "/", ""},
	} {
		got, err := unslash(c.line)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%q: got %q, %v; want %q, %q", c.line, got, err, c.want, c.err)
		}
	}
}

// idle is an input that never has a line until the test ends.
func idle(t *testing.T) io.Reader {
	in, end := io.Pipe()
	t.Cleanup(func() { end.Close() })
	return in
}

// chatWaits runs the filter without any input, waits until ann is in the room, does
// something, and returns how the filter ends.
func chatWaits(t *testing.T, w *town, do func(ctx context.Context, ben *client.Client)) (code int, printed string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ben := w.client(ctx, "ben")
	if _, err := ben.Create(ctx, client.NewRoom{Name: "square", Kind: kaban.RoomPublic}); err != nil {
		t.Fatal(err)
	}
	secret := file(t, w.token("ann"))
	var out bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run([]string{"chat", "--plain", "square", "--server", w.addr, "--token-file", secret}, streams{in: idle(t), out: io.Discard, err: &out})
	}()
	for {
		members, _, err := ben.Members(ctx, "square", "", 0)
		if err != nil {
			t.Fatalf("%v; the filter says %q", err, out.String())
		}
		if len(members) == 2 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	do(ctx, ben)
	select {
	case code = <-ended:
	case <-ctx.Done():
		t.Fatal("the filter waits for a line")
	}
	return code, out.String()
}

// The filter ends at once when somebody removes its account from the room.
func TestPlainChatEndsWithARemoval(t *testing.T) {
	w := newTown(t)
	code, printed := chatWaits(t, w, func(ctx context.Context, ben *client.Client) {
		if _, err := ben.Kick(ctx, client.Moderation{Room: "square", Username: "ann"}); err != nil {
			t.Error(err)
		}
	})
	if code != exitFailed || printed != "kaban: you were removed from square\n" {
		t.Errorf("got %d %q", code, printed)
	}
}

// The filter of an account that is suspended says so.
func TestPlainChatOfTheSuspended(t *testing.T) {
	w := newTown(t)
	code, printed := chatWaits(t, w, func(ctx context.Context, _ *client.Client) {
		if err := w.accounts.Suspend(ctx, account.Operator(), "ann", ""); err != nil {
			t.Error(err)
		}
	})
	if code != exitFailed || !strings.Contains(printed, "is suspended; ask an admin of the server") {
		t.Errorf("got %d %q", code, printed)
	}
}

package client_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"kaban/client"
	"kaban/client/clienttest"
)

// gather reads n messages and fails on a gap: an entry of an unknown kind is none.
func gather(t *testing.T, ctx context.Context, r *client.Room, n int) (contents []string) {
	t.Helper()
	for m, err := range r.Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if contents = append(contents, m.Content); len(contents) == n {
			break
		}
	}
	return contents
}

// Entries that are no messages, of known kinds or unknown ones, show nothing to a reader of
// messages and move the cursor, wherever they are.
func TestUnknownKinds(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	s.Entry("topic")
	s.Message("ben", "1")
	c := dial(t, s.Addr(), "ann")
	r := join(t, c, client.After(client.Cursor{}))
	s.Entry("edit")
	s.Message("ben", "2")
	s.Entry("react")
	s.Entry("react")
	if _, err := r.Send(ctx, "own"); err != nil {
		t.Fatal(err)
	}
	s.Entry("pin")
	s.Entry("later")
	s.Message("ben", "3")
	if got, want := gather(t, ctx, r, 3), []string{"1", "2", "3"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}

	// At the head, right before the connection breaks.
	head := s.Entry("delete")
	reading, stop := context.WithCancel(ctx)
	defer stop()
	contents := make(chan string)
	go func() {
		defer close(contents)
		for m, err := range r.Messages(reading) {
			if err != nil {
				t.Error(err)
				return
			}
			contents <- m.Content
		}
	}()
	if err := r.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := r.Cursor().Seq; got != head {
		t.Errorf("the cursor is %d, want %d behind the unknown entry", got, head)
	}
	s.Cut()
	// The only new entries.
	for n, kind := range []string{"later", "topic", "room", "member"} {
		s.Entry(kind)
		if err := r.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if got, want := r.Cursor().Seq, head+1+uint64(n); got != want {
			t.Errorf("the cursor is %d behind a %s, want %d", got, kind, want)
		}
	}
	if joins := s.Joins(); !slices.Contains(joins, head) {
		t.Errorf("joined again after %v, want %d, behind the unknown entry", joins, head)
	}
	s.Message("ben", "4")
	if got := <-contents; got != "4" {
		t.Errorf("read %q, want 4", got)
	}
	stop()
	for range contents {
	}

	// Another process goes on from a cursor on an unknown entry.
	saved := client.Cursor{Epoch: "e", Seq: head}
	second := dial(t, s.Addr(), "cid")
	if got := gather(t, ctx, join(t, second, client.After(saved)), 1); got[0] != "4" {
		t.Errorf("read %q from a saved cursor, want 4", got)
	}
}

// A reader that falls behind catches up with history, past unknown kinds.
func TestUnknownKindsInHistory(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	c := dial(t, s.Addr(), "ann")
	r := join(t, c, client.From{})
	var want []string
	kinds := []string{"react", "topic", "member", "later", "room"}
	for n := range 4000 {
		if n%6 != 0 {
			s.Entry(kinds[n%len(kinds)])
			continue
		}
		want = append(want, fmt.Sprint(n))
		s.Message("ben", fmt.Sprint(n))
	}
	for range 600 { // more than a page
		s.Entry("react")
	}
	if _, err := r.Send(ctx, "the last"); err != nil {
		t.Fatal(err)
	}
	want = append(want, "after it")
	s.Message("ben", "after it")
	if got := gather(t, ctx, r, len(want)); !slices.Equal(got, want) {
		t.Errorf("read %d messages, want %d", len(got), len(want))
	}
	if got := gather(t, ctx, join(t, dial(t, s.Addr(), "cid"), client.Last(500)), 1); got[0] != "the last" {
		t.Errorf("read %q of the last 500 entries, want the oldest message of them", got)
	}
}

// The state of an account is no entry of a log, nor is any answer that nobody asked
// for.
func TestStateMovesNoCursor(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	s.Message("ben", "1")
	c := dial(t, s.Addr(), "ann")
	r := join(t, c, client.After(client.Cursor{}))
	for _, frame := range []string{
		`{"type":"state","room":"lobby","kind":"public","topic":"","role":"op","flags":[],"head":77,"read":76,"unread":1,"mentions":0,"notify":"all"}`,
		`{"type":"state","room":"lobby","gone":true}`,
		`{"type":"state","room":"other","kind":"secret","head":1}`,
		`{"type":"me","rooms":[{"room":"lobby","kind":"public","head":77}],"more":false}`,
		`{"type":"watching","room":"lobby","epoch":"e","head":77,"members":1}`,
		`{"type":"created","room":"lobby"}`,
		`{"type":"ok"}`,
		`{"type":"ok","ref":"nobody"}`,
		`{"type":"later","room":"lobby","head":77}`,
	} {
		s.Tell(frame)
	}
	s.Entry("member")
	head := s.Message("ben", "2")
	if got, want := gather(t, ctx, r, 2), []string{"1", "2"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if got := r.Cursor().Seq; got != head {
		t.Errorf("the cursor is %d, want %d", got, head)
	}
	s.Cut()
	s.Message("ben", "3")
	if got := gather(t, ctx, r, 1); got[0] != "3" {
		t.Errorf("read %q, want 3", got)
	}
	if joins := s.Joins(); !slices.Contains(joins, head) {
		t.Errorf("joined again after %v, want %d", joins, head)
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/client"
	"kaban/client/clienttest"
	"kaban/internal/server"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
	"kaban/wire"
)

// changing are the changes of messages, each by the type of its request.
var changing = []struct {
	kind   string
	change func(context.Context, *client.Room) (client.Receipt, error)
	fields string // of the request
}{
	{"send", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Reply(ctx, 1, "an answer") }, `"content":"an answer","reply_to":1`},
	{"edit", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Edit(ctx, 1, "new", 0) }, `"target":1,"content":"new"`},
	{"edit", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Edit(ctx, 1, "new", 3) }, `"target":1,"content":"new","base":3`},
	{"delete", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Delete(ctx, 1, "spam") }, `"target":1,"reason":"spam"`},
	{"delete", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Delete(ctx, 1, "") }, `"target":1`},
	{"react", func(ctx context.Context, r *client.Room) (client.Receipt, error) {
		return r.React(ctx, 1, "👍", true)
	}, `"target":1,"emoji":"👍","on":true`},
	{"react", func(ctx context.Context, r *client.Room) (client.Receipt, error) {
		return r.React(ctx, 1, "👍", false)
	}, `"target":1,"emoji":"👍","on":false`},
	{"pin", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Pin(ctx, 1, true) }, `"target":1,"on":true`},
	{"pin", func(ctx context.Context, r *client.Room) (client.Receipt, error) { return r.Pin(ctx, 1, false) }, `"target":1,"on":false`},
}

// idOf returns the id of a request, and the fields behind it without the ref.
func idOf(t *testing.T, line string) (id, fields string) {
	t.Helper()
	_, rest, _ := strings.Cut(line, `"id":"`)
	id, fields, ok := strings.Cut(rest, `",`)
	fields, _, hasRef := strings.Cut(fields, `,"ref"`)
	if !ok || !hasRef {
		t.Fatalf("no request: %s", line)
	}
	return id, fields
}

// Changes of messages are sent and acknowledged; their own client does not read them, but
// every other one does.
func TestChangesOfMessages(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	head := s.Message("ben", "1")
	r := join(t, dial(t, s.Addr(), "ann"), client.From{})
	other := join(t, dial(t, s.Addr(), "cid"), client.From{})
	for _, c := range changing {
		head++
		receipt, err := c.change(ctx, r)
		if err != nil || receipt.Seq != head || receipt.Duplicate {
			t.Fatalf("%s: got %+v, %v, want seq %d", c.fields, receipt, err, head)
		}
		lines := s.Requests(c.kind)
		if id, fields := idOf(t, lines[len(lines)-1]); fields != c.fields || id != receipt.ID {
			t.Errorf("%s was sent with id %s, want %s with %s", fields, id, c.fields, receipt.ID)
		}
	}
	last := s.Message("ben", "2")
	for e, err := range r.Entries(ctx) {
		if err != nil || e.Seq != last {
			t.Errorf("the author reads %+v, %v", e, err)
		}
		break
	}
	var seen []string
	for e, err := range other.Entries(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Message != nil && e.Message.ReplyTo != 0:
			seen = append(seen, fmt.Sprintf("message %q to %d", e.Message.Content, e.Message.ReplyTo))
		case e.Change != nil:
			c := e.Change
			seen = append(seen, fmt.Sprintf("%s %d %q %q %q %v by %s", c.Type, c.Target, c.Content, c.Reason, c.Emoji, c.On, c.Username))
		}
		if e.Seq == last {
			break
		}
	}
	want := []string{
		`message "an answer" to 1`,
		`edit 1 "new" "" "" false by ann`, `edit 1 "new" "" "" false by ann`,
		`delete 1 "" "spam" "" false by ann`, `delete 1 "" "" "" false by ann`,
		`react 1 "" "" "👍" true by ann`, `react 1 "" "" "👍" false by ann`,
		`pin 1 "" "" "" true by ann`, `pin 1 "" "" "" false by ann`,
	}
	if !slices.Equal(seen, want) {
		t.Errorf("another client reads\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
	}
}

// A change that was under way when the connection broke is sent again with its id, whether
// or not somebody waits for it.
func TestChangesAreRepeated(t *testing.T) {
	for _, c := range changing {
		t.Run(c.kind+" "+c.fields, func(t *testing.T) {
			s := clienttest.NewServer(t)
			ctx := within(t)
			s.Message("ben", "1")
			conn := dial(t, s.Addr(), "ann")
			r := join(t, conn, client.From{})
			s.Withhold(true)
			type result struct {
				receipt client.Receipt
				err     error
			}
			results := make(chan result, 1)
			go func() {
				receipt, err := c.change(ctx, r)
				results <- result{receipt, err}
			}()
			<-s.Sent()
			waiting, stop := context.WithCancel(ctx)
			stopped := make(chan error, 1)
			go func() {
				_, err := c.change(waiting, r)
				stopped <- err
			}()
			<-s.Sent()
			stop()
			if err := <-stopped; !errors.Is(err, context.Canceled) || conn.Unacknowledged() != 2 {
				t.Errorf("nobody waits any more: %v, %d under way", err, conn.Unacknowledged())
			}
			s.Withhold(false)
			s.Cut()
			got := <-results
			if got.err != nil || got.receipt.Seq != 2 {
				t.Errorf("got %+v", got)
			}
			if err := conn.Flush(ctx); err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, line := range s.Requests(c.kind) {
				id, fields := idOf(t, line)
				if ids = append(ids, id); fields != c.fields {
					t.Errorf("sent %s, want %s", fields, c.fields)
				}
			}
			if len(ids) != 4 || ids[0] != ids[2] || ids[1] != ids[3] || ids[0] == ids[1] || ids[0] != got.receipt.ID {
				t.Errorf("sent with the ids %q", ids)
			}
		})
	}
}

func TestRefusedChanges(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	s.Message("ben", "1")
	c := dial(t, s.Addr(), "ann")
	r := join(t, c, client.From{})
	for what, change := range map[string]func() (client.Receipt, error){
		"reply":  func() (client.Receipt, error) { return r.Reply(ctx, 9, "x") },
		"edit":   func() (client.Receipt, error) { return r.Edit(ctx, 9, "x", 0) },
		"delete": func() (client.Receipt, error) { return r.Delete(ctx, 9, "") },
		"react":  func() (client.Receipt, error) { return r.React(ctx, 9, "👍", true) },
		"pin":    func() (client.Receipt, error) { return r.Pin(ctx, 9, true) },
	} {
		if _, err := change(); !isCode(err, wire.CodeNotFound) || c.Unacknowledged() != 0 {
			t.Errorf("%s: got %v, %d under way", what, err, c.Unacknowledged())
		}
	}
	before := len(s.Requests("edit")) + len(s.Requests("send"))
	for _, content := range []string{"", " ", "\x07", strings.Repeat("x", 5001)} {
		if content == "" { // an edit may have none: the server knows whether the message has files
		} else if _, err := r.Edit(ctx, 1, content, 0); !isMessageError(err) {
			t.Errorf("edit to %.5q: %v", content, err)
		}
		if _, err := r.Reply(ctx, 1, content); !isMessageError(err) {
			t.Errorf("reply %.5q: %v", content, err)
		}
	}
	if after := len(s.Requests("edit")) + len(s.Requests("send")); after != before {
		t.Errorf("%d bad contents were sent", after-before)
	}
	r.Leave()
	if _, err := r.Pin(ctx, 1, true); !errors.Is(err, client.ErrParted) {
		t.Errorf("pin in a room that was left: %v", err)
	}
}

func isMessageError(err error) bool {
	_, ok := errors.AsType[*kaban.MessageError](err)
	return ok
}

// A reader that falls behind gets entries from the history, which say so. It misses no
// message and no number, and reads changes one by one again when it has caught up.
func TestCatchingUpPastChanges(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	s.Message("ben", "0")
	r := join(t, dial(t, s.Addr(), "ann"), client.After(client.Cursor{}))
	if got := gather(t, ctx, r, 1); got[0] != "0" {
		t.Fatalf("read %q", got)
	}
	var want []string
	for n := range 3000 {
		if n%3 == 0 {
			want = append(want, fmt.Sprint(n))
			s.Message("ben", fmt.Sprint(n))
			continue
		}
		s.Entry([]string{"edit", "react", "pin"}[n%3])
	}
	for range 700 { // more than a page
		s.Entry("react")
	}
	if _, err := r.Send(ctx, "own"); err != nil { // the client has received all that is before it
		t.Fatal(err)
	}
	want = append(want, "after it")
	s.Message("ben", "after it")
	var got []string
	var last uint64
	covering, folded := 0, 0
	for e, err := range r.Entries(ctx) {
		if err != nil || e.Seq <= last {
			t.Fatalf("got %+v, %v behind %d", e, err, last)
		}
		last = e.Seq
		switch {
		case e.Message != nil:
			got = append(got, e.Message.Content)
			if e.AsOf != 0 {
				folded++
			}
		case e.Change == nil && e.AsOf != 0:
			covering++
		}
		if len(got) == len(want) {
			break
		}
	}
	if !slices.Equal(got, want) || folded < 900 || covering == 0 {
		t.Errorf("read %d messages, want %d; %d were from the history, %d entries stand for nothing but changes", len(got), len(want), folded, covering)
	}
	head := s.Entry("edit")
	for e, err := range r.Entries(ctx) {
		if err != nil || e.Seq != head || e.Change == nil || e.Change.Type != wire.TypeEdit || e.AsOf != 0 {
			t.Errorf("read %+v, %v after catching up", e, err)
		}
		break
	}
}

// History asks for threads and says as of when its messages are.
func TestHistoryOfThreads(t *testing.T) {
	s := clienttest.NewServer(t)
	ctx := within(t)
	s.Message("ben", "1")
	s.Message("ben", "2")
	c := dial(t, s.Addr(), "ann")
	r := join(t, c, client.From{})
	for _, to := range []uint64{1, 2, 1} {
		if _, err := r.Reply(ctx, to, fmt.Sprint("to ", to)); err != nil {
			t.Fatal(err)
		}
	}
	s.Entry("topic")
	s.Entry("pin")
	page, err := c.History(ctx, clienttest.Room, client.HistoryQuery{RepliesTo: 1})
	if err != nil {
		t.Fatal(err)
	}
	var seqs []uint64
	for _, e := range page.Entries {
		seqs = append(seqs, e.Seq)
		if e.Message == nil || e.Message.ReplyTo != 1 || e.AsOf != 7 {
			t.Errorf("got %+v", e)
		}
	}
	if !slices.Equal(seqs, []uint64{3, 5}) || page.AsOf != 7 || page.First != 1 || page.Last != 7 {
		t.Errorf("the thread has %v, as of %d, of %d to %d", seqs, page.AsOf, page.First, page.Last)
	}
	page, err = c.History(ctx, clienttest.Room, client.HistoryQuery{After: 6, HasAfter: true})
	if err != nil || len(page.Entries) != 0 || page.First != 7 || page.Last != 7 || page.AsOf != 7 {
		t.Errorf("a page with nothing but a change is %+v, %v", page, err)
	}
}

// After the data of the server were replaced, a change is not sent again: its message is
// another one. What is about no message is.
func TestChangesOfAnotherEpoch(t *testing.T) {
	h := newHost(t, server.Config{}, nil)
	ann := join(t, dial(t, h.addr, "ann"), client.From{})
	for range 3 {
		if _, err := ann.Send(within(t), "old"); err != nil {
			t.Fatal(err)
		}
	}
	h.stop()
	edit, err := ann.PostEdit(within(t), 2, "changed", 0)
	reply, err2 := ann.PostReply(within(t), 2, "an answer")
	plain, err3 := ann.Post(within(t), "plain")
	if err := errors.Join(err, err2, err3); err != nil {
		t.Fatal(err)
	}
	h.store = teststore.New(t)
	batch := []store.Write{}
	for i := range 5 { // the same author
		batch = append(batch, store.Write{Draft: storetest.Draft(t, "lobby", "ann", fmt.Sprint("new-", i), "precious")})
	}
	if err := h.store.Append(t.Context(), batch, make([]store.Result, len(batch))); err != nil {
		t.Fatal(err)
	}
	h.start()
	for name, p := range map[string]*client.Pending{"the edit": edit, "the answer": reply} {
		if _, err := p.Wait(within(t)); !errors.As(err, new(*client.ResyncError)) {
			t.Errorf("%s: %v, want a ResyncError", name, err)
		}
	}
	if receipt, err := plain.Wait(within(t)); err != nil || receipt.Seq != 6 {
		t.Errorf("the plain message: %+v, %v; want 6", receipt, err)
	}
	entries, err := h.store.Read(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 10})
	if err != nil || len(entries) != 6 || entries[1].Content != "precious" {
		t.Errorf("the room has %+v, %v", entries, err)
	}
}

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/internal/server"
	"kaban/wire"
)

const password = "correct horse battery"

// town is a claimed server with the owner olga and the members ann, bob and cid, each
// with a token.
type town struct {
	*host
	tokens map[string]string
}

func newTown(t *testing.T) *town {
	t.Helper()
	w := &town{host: newHost(t, server.Config{}, nil), tokens: make(map[string]string)}
	w.stop()
	w.people = true
	w.start()
	operator, ctx := account.Operator(), t.Context()
	if _, err := w.accounts.MakeOwner(ctx, "olga", password); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ann", "bob", "cid"} {
		person := account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: kaban.RoleMember}
		if _, _, err := w.accounts.AddAccount(ctx, operator, person); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"olga", "ann", "bob", "cid"} {
		_, secret, err := w.accounts.MakeToken(ctx, operator, account.NewToken{Username: name, Name: "test", Expires: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[name] = secret
	}
	w.settle()
	return w
}

// options are those of somebody signing in with a token.
func (w *town) options(name string) client.Options {
	return client.Options{MaxBackoff: 50 * time.Millisecond}.WithToken(w.tokens[name])
}

func (w *town) enter(name string) *client.Client {
	w.t.Helper()
	return dialWith(w.t, w.addr, w.options(name))
}

// room makes a private room of ann with members.
func (w *town) room(ann *client.Client, name string, members ...string) {
	w.t.Helper()
	if got, err := ann.Create(within(w.t), client.NewRoom{Name: name, Kind: kaban.RoomPrivate}); err != nil || got != name {
		w.t.Fatalf("create: %q, %v", got, err)
	}
	for _, username := range members {
		if _, err := ann.Invite(within(w.t), client.Moderation{Room: name, Username: username}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func enter(t *testing.T, c *client.Client, room string, from client.From) *client.Room {
	t.Helper()
	r, err := c.Join(within(t), room, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// entries reads up to a seq and renders what is there, without own entries.
func entries(t *testing.T, r *client.Room, until uint64) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for e, err := range r.Entries(ctx) {
		if err != nil {
			t.Fatalf("after %d entries: %v", len(lines), err)
		}
		lines = append(lines, render(e))
		if e.Seq >= until {
			return lines
		}
	}
	t.Fatalf("the entries end before %d: %q", until, lines)
	return nil
}

func render(e client.Entry) string {
	switch {
	case e.Message != nil:
		return fmt.Sprintf("%d %s says %s", e.Seq, e.Message.Username, e.Message.Content)
	case e.Change == nil:
		return fmt.Sprintf("%d void", e.Seq)
	}
	c := e.Change
	line := fmt.Sprintf("%d %s by %s %s %s", e.Seq, c.Type, c.Username, c.Change, c.Subject)
	switch {
	case c.Type == wire.TypeTopic:
		line += c.Topic
	case c.Role != 0:
		line += " " + c.Role.String()
	case c.HasFlags:
		line += fmt.Sprint(c.Flags.Texts())
	}
	return strings.Join(strings.Fields(line+" "+c.Reason), " ")
}

func code(err error) wire.Code {
	refused, ok := errors.AsType[*client.Error](err)
	if !ok {
		return ""
	}
	return refused.Code
}

// The device of a password is offered to the caller, and signs in from then on.
func TestSignInWithPassword(t *testing.T) {
	w := newTown(t)
	gate := newGate()
	var given atomic.Value
	online := make(chan bool, 10)
	options := client.Options{MaxBackoff: 50 * time.Millisecond, Dial: gate.dialer(w.addr)}.WithPassword("ANN", password)
	options.OnToken = func(token wire.Secret) { given.Store(token) }
	options.OnState = func(s client.State) { online <- s.Status == client.Online }
	c := dialWith(t, w.addr, options)
	token, ok := given.Load().(wire.Secret)
	if !ok || token == "" {
		t.Fatal("no token is offered")
	}
	if a, ok := c.Account(); !ok || a != (wire.Account{Username: "ann", Role: kaban.RoleMember}) || c.Username() != "ann" {
		t.Errorf("the account is %+v, %v", a, ok)
	}
	for range 3 {
		<-online
		gate.cut()
		for <-online {
		}
	}
	if _, err := c.Ping(within(t)); err != nil && !errors.Is(err, client.ErrOffline) {
		t.Fatal(err)
	}
	second := dialWith(t, w.addr, client.Options{}.WithToken(string(token)))
	if second.Username() != "ann" {
		t.Errorf("the token is %s's", second.Username())
	}
	p, err := w.accounts.Authenticate(t.Context(), string(token), "")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := w.accounts.Devices(t.Context(), p.As(""))
	devices = slices.DeleteFunc(devices, func(d account.SecretInfo) bool { return d.Kind != people.SecretDevice })
	if err != nil || len(devices) != 1 {
		t.Errorf("there are %d devices, want 1: %+v, %v", len(devices), devices, err)
	}
	if err := c.Rename(within(t), "anna"); !errors.Is(err, client.ErrAccount) {
		t.Errorf("a change of name: %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", options, options, options); strings.Contains(text, password) {
		t.Errorf("the options print the password")
	}
}

// What is wrong with a sign-in does not become better by another attempt.
func TestRefusedSignIns(t *testing.T) {
	w := newTown(t)
	c := w.enter("cid")
	resting := make(chan client.State, 10)
	persistent := client.New(over(w.addr, client.Options{MaxBackoff: 50 * time.Millisecond, OnState: func(s client.State) {
		if s.Status == client.Stopped || s.Status == client.Online {
			resting <- s
		}
	}}))
	t.Cleanup(func() { persistent.Close() })
	persistent.SetToken(wire.Secret(w.tokens["cid"]))
	if err := persistent.Connect(w.addr, ""); err != nil {
		t.Fatal(err)
	}
	if s := <-resting; s.Status != client.Online || persistent.Username() != "cid" {
		t.Fatalf("got %+v", s)
	}
	if err := w.accounts.Suspend(t.Context(), account.Operator(), "cid", ""); err != nil {
		t.Fatal(err)
	}
	w.settle()
	for name, options := range map[wire.Code]client.Options{
		wire.CodeAuthRequired: {Username: "visitor"},
		wire.CodeAuthFailed:   client.Options{}.WithPassword("ann", "wrong"),
		wire.CodeSuspended:    w.options("cid"),
		wire.CodeForbidden:    client.Options{Username: "ann"}.WithPassword("bob", password).WithToken(w.tokens["ann"]),
	} {
		switch c, err := client.Dial(within(t), w.addr, over(w.addr, options)); {
		case name == wire.CodeForbidden && err == nil: // a token says the name
			c.Close()
		case code(err) != name:
			t.Errorf("%s: got %v", name, err)
		}
	}
	select {
	case <-c.Done():
		if bye, ok := errors.AsType[*client.Goodbye](c.Err()); !ok || bye.Reason != wire.ReasonAuth {
			t.Errorf("a suspended account: got %v", c.Err())
		}
	case <-time.After(patience):
		t.Error("a suspended account goes on")
	}
	if s := <-resting; s.Status != client.Stopped {
		t.Errorf("a suspended account: got %+v", s)
	}
	persistent.SetToken(wire.Secret(w.tokens["ann"]))
	persistent.Reconnect()
	if s := <-resting; s.Status != client.Online || persistent.Username() != "ann" {
		t.Errorf("another token: got %+v as %s", s, persistent.Username())
	}
}

// gate lets connections through while it is open.
type gate struct {
	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	// watch sees every line from the server and reports whether to cut before it.
	watch func(line string) bool
}

func newGate() *gate { return new(gate) }

func (g *gate) dialer(addr string) func(context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.closed {
			return nil, errors.New("the gate is closed")
		}
		conn, err := reach(ctx, addr)
		if err != nil {
			return nil, err
		}
		g.conns = append(g.conns, conn)
		return &gated{Conn: conn, gate: g}, nil
	}
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, conn := range g.conns {
		conn.Close()
	}
	g.conns = nil
}

func (g *gate) set(closed bool) {
	g.mu.Lock()
	g.closed = closed
	g.mu.Unlock()
	if closed {
		g.cut()
	}
}

// gated is a connection of a gate.
type gated struct {
	net.Conn
	gate *gate
}

func (g *gated) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	g.gate.mu.Lock()
	watch := g.gate.watch
	g.gate.mu.Unlock()
	if n > 0 && watch != nil && watch(string(p[:n])) {
		g.Conn.Close()
		return 0, errors.New("cut")
	}
	return n, err
}

// Each kind of entry arrives in its place, with what it says, on every way to read.
func TestEntriesOfAllKinds(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	w.room(ann, "plans", "bob", "cid")
	own := enter(t, ann, "plans", client.From{})
	live := enter(t, bob, "plans", client.After(client.Cursor{}))
	flags := kaban.FlagLocked
	archived := false
	who := client.Moderation{Room: "plans", Username: "cid", Reason: "because"}
	var last client.Receipt
	for _, do := range []func() (client.Receipt, error){
		func() (client.Receipt, error) { return own.Send(ctx, "hello") },
		func() (client.Receipt, error) { return ann.SetTopic(ctx, "plans", "tea") },
		func() (client.Receipt, error) { return ann.SetRoom(ctx, "plans", client.Settings{Flags: &flags}) },
		func() (client.Receipt, error) {
			return ann.SetRoom(ctx, "plans", client.Settings{History: wire.HistoryJoined, Archived: &archived})
		},
		func() (client.Receipt, error) { return ann.SetRole(ctx, who, kaban.RoomRoleSpeaker) },
		func() (client.Receipt, error) { return ann.Mute(ctx, who) },
		func() (client.Receipt, error) { return ann.Unmute(ctx, who) },
		func() (client.Receipt, error) { return ann.Kick(ctx, who) },
		func() (client.Receipt, error) { return ann.Ban(ctx, who, time.Now().Add(time.Hour)) },
		func() (client.Receipt, error) { return ann.Unban(ctx, who) },
	} {
		var err error
		if last, err = do(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"1 room by ann created", "2 member by ann invited bob", "3 member by ann invited cid", "4 ann says hello",
		"5 topic by ann tea", "6 room by ann set [locked]", "7 room by ann set", "8 member by ann role cid speaker because",
		"9 member by ann muted cid because", "10 member by ann unmuted cid because", "11 member by ann kicked cid because",
		"12 member by ann banned cid because", "13 member by ann unbanned cid because",
	}
	got := entries(t, live, last.Seq)
	for i := range got { // the role that stays beside a change does not matter here
		if !strings.Contains(got[i], " role ") {
			got[i] = strings.ReplaceAll(strings.ReplaceAll(got[i], " member because", " because"), " speaker because", " because")
			got[i] = strings.TrimSuffix(got[i], " member")
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	page, err := bob.History(ctx, "plans", client.HistoryQuery{HasAfter: true})
	if err != nil || page.First != 1 || page.Last != last.Seq || len(page.Entries) != len(want) || len(page.Messages()) != 1 {
		t.Errorf("the history is %+v, %v", page, err)
	}
	if err := own.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := own.Cursor().Seq; got != last.Seq {
		t.Errorf("the cursor behind own entries is %d, want %d", got, last.Seq)
	}
	if _, err := bob.Kick(ctx, client.Moderation{Room: "plans", Username: "ann"}); code(err) != wire.CodeForbidden {
		t.Errorf("bob kicks ann: %v", err)
	}
}

// Whoever is removed knows why, and does not come back.
func TestRemoved(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	w.room(ann, "plans", "bob")
	bobIn := client.Moderation{Room: "plans", Username: "bob"}
	for _, c := range []struct {
		reason wire.Removal
		remove func() error
	}{
		{wire.RemovalKicked, func() error { _, err := ann.Kick(ctx, bobIn); return err }},
		{wire.RemovalGone, func() error {
			second := w.enter("bob")
			r, err := second.Join(ctx, "plans", client.From{})
			if err != nil {
				return err
			}
			return r.Part(ctx)
		}},
		{wire.RemovalBanned, func() error { _, err := ann.Ban(ctx, bobIn, time.Time{}); return err }},
	} {
		r := enter(t, bob, "plans", client.From{})
		if err := c.remove(); err != nil {
			t.Fatal(err)
		}
		var last error
		for _, err := range r.Entries(ctx) {
			last = err
		}
		if removed, ok := errors.AsType[*client.RemovedError](last); !ok || removed.Reason != c.reason || removed.Room != "plans" {
			t.Errorf("%s: the room ends with %v", c.reason, last)
		}
		if _, err := r.Send(ctx, "still here"); !errors.Is(err, last) {
			t.Errorf("%s: a message afterwards: %v", c.reason, err)
		}
		if c.reason != wire.RemovalBanned {
			if _, err := ann.Invite(ctx, bobIn); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := bob.Ping(ctx); err != nil {
		t.Error(err)
	}
	if _, err := bob.Join(ctx, "plans", client.From{}); code(err) == "" {
		t.Errorf("a banned member joins: %v", err)
	}
}

// A member that is removed while it has no connection does not make itself one again.
func TestRemovedWhileAway(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	gate := newGate()
	options := w.options("bob")
	options.Dial = gate.dialer(w.addr)
	ann, bob := w.enter("ann"), dialWith(t, w.addr, options)
	if _, err := ann.Create(ctx, client.NewRoom{Name: "square", Kind: kaban.RoomPublic}); err != nil {
		t.Fatal(err)
	}
	kept, lost := enter(t, bob, "lobby", client.From{}), enter(t, bob, "square", client.From{})
	seen, err := bob.Watch(ctx, "square-2", client.From{})
	if code(err) != wire.CodeNotFound {
		t.Errorf("watching what is not there: %v, %v", seen, err)
	}
	gate.set(true)
	if _, err := ann.Kick(ctx, client.Moderation{Room: "square", Username: "bob"}); err != nil {
		t.Fatal(err)
	}
	gate.set(false)
	for _, err := range lost.Entries(ctx) {
		if removed, ok := errors.AsType[*client.RemovedError](err); !ok || removed.Reason != wire.RemovalGone {
			t.Errorf("got %v", err)
		}
	}
	if _, err := kept.Send(ctx, "here"); err != nil {
		t.Errorf("in the room that is left: %v", err)
	}
	members, _, err := ann.Members(ctx, "square", "", 0)
	if err != nil || len(members) != 1 || members[0].Username != "ann" || members[0].Role != kaban.RoomRoleOp || members[0].Account == "" {
		t.Errorf("the members are %+v, %v", members, err)
	}
}

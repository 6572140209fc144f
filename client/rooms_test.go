package client_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/wire"
)

// A watcher reads without being a member, also after a break.
func TestWatch(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	gate := newGate()
	options := w.options("bob")
	options.Dial = gate.dialer(w.addr)
	ann, bob := w.enter("ann"), dialWith(t, w.addr, options)
	if _, err := ann.Create(ctx, client.NewRoom{Name: "square", Kind: kaban.RoomPublic}); err != nil {
		t.Fatal(err)
	}
	talk := enter(t, ann, "square", client.From{})
	first, err := talk.Send(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	r, err := bob.Watch(ctx, "square", client.After(client.Cursor{}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Join(ctx, "square", client.From{}); !errors.Is(err, client.ErrJoined) {
		t.Errorf("joining what one watches: %v", err)
	}
	got := entries(t, r, first.Seq)
	gate.cut()
	second, err := talk.Send(ctx, "two")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, entries(t, r, second.Seq)...)
	if want := []string{"1 room by ann created", "2 ann says one", "3 ann says two"}; !slices.Equal(got, want) {
		t.Errorf("read %q, want %q", got, want)
	}
	if _, err := r.Send(ctx, "me too"); code(err) != wire.CodeNotJoined {
		t.Errorf("a watcher sends: %v", err)
	}
	members, _, err := ann.Members(ctx, "square", "", 0)
	if err != nil || len(members) != 1 {
		t.Errorf("the members are %+v, %v", members, err)
	}
	if err := r.Part(ctx); err != nil {
		t.Error(err)
	}
	if _, err := bob.Join(ctx, "square", client.From{}); err != nil {
		t.Errorf("joining what one watched: %v", err)
	}
}

// The state of rooms comes with Me and afterwards as it changes.
func TestMe(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	states := make(chan wire.RoomState, 100)
	options := w.options("bob")
	options.OnRoomState = func(s wire.RoomState) { states <- s }
	ann, bob := w.enter("ann"), dialWith(t, w.addr, options)
	await := func(what string, ok func(wire.RoomState) bool) {
		t.Helper()
		for {
			select {
			case s := <-states:
				if ok(s) {
					return
				}
			case <-ctx.Done():
				t.Fatalf("no state: %s", what)
			}
		}
	}
	w.room(ann, "plans", "bob")
	await("invited", func(s wire.RoomState) bool { return s.Room == "plans" && s.Kind == kaban.RoomPrivate })
	direct, err := ann.Direct(ctx, "bob")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := bob.Direct(ctx, "ann"); err != nil || again != direct {
		t.Errorf("the direct room is %q, then %q: %v", direct, again, err)
	}
	talk := enter(t, ann, direct, client.From{})
	receipt, err := talk.Send(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	me, err := bob.Me(ctx)
	if err != nil || me.Account.Username != "bob" {
		t.Fatal(me, err)
	}
	at := slices.IndexFunc(me.Rooms, func(s wire.RoomState) bool { return s.Room == direct })
	if at < 0 || me.Rooms[at].Kind != kaban.RoomDirect || me.Rooms[at].Unread == 0 || me.Rooms[at].Title != "ann" {
		t.Fatalf("the rooms are %+v", me.Rooms)
	}
	if err := bob.Read(ctx, direct, receipt.Seq); err != nil {
		t.Error(err)
	}
	await("read", func(s wire.RoomState) bool { return s.Room == direct && s.Unread == 0 && s.Read == receipt.Seq })
	if err := bob.Notify(ctx, "plans", kaban.NotifyNone); err != nil {
		t.Error(err)
	}
	await("notify", func(s wire.RoomState) bool { return s.Room == "plans" && s.Notify == kaban.NotifyNone })
	if _, err := ann.Kick(ctx, client.Moderation{Room: "plans", Username: "bob"}); err != nil {
		t.Error(err)
	}
	await("kicked", func(s wire.RoomState) bool { return s.Room == "plans" && s.Gone })
	if _, err := bob.Create(ctx, client.NewRoom{Name: "lobby", Kind: kaban.RoomPublic}); code(err) != wire.CodeRoomTaken {
		t.Errorf("a name in use: %v", err)
	}
}

// A connection that breaks while a request waits for its answer changes nothing: the
// entry is stored once, and the answer comes.
func TestCutInTheMiddle(t *testing.T) {
	flags := kaban.FlagAnnounce
	cid := client.Moderation{Room: "plans", Username: "cid"}
	for name, do := range map[string]func(context.Context, *client.Client) (client.Receipt, error){
		"topic": func(ctx context.Context, c *client.Client) (client.Receipt, error) {
			return c.SetTopic(ctx, "plans", "tea")
		},
		"set": func(ctx context.Context, c *client.Client) (client.Receipt, error) {
			return c.SetRoom(ctx, "plans", client.Settings{Flags: &flags})
		},
		"invite": func(ctx context.Context, c *client.Client) (client.Receipt, error) {
			return c.Invite(ctx, client.Moderation{Room: "plans", Username: "olga"})
		},
		"kick": func(ctx context.Context, c *client.Client) (client.Receipt, error) { return c.Kick(ctx, cid) },
		"ban": func(ctx context.Context, c *client.Client) (client.Receipt, error) {
			return c.Ban(ctx, cid, time.Time{})
		},
		"mute": func(ctx context.Context, c *client.Client) (client.Receipt, error) { return c.Mute(ctx, cid) },
		"role": func(ctx context.Context, c *client.Client) (client.Receipt, error) {
			return c.SetRole(ctx, cid, kaban.RoomRoleOp)
		},
	} {
		for _, joined := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " joined ", joined), func(t *testing.T) {
				t.Parallel()
				w := newTown(t)
				ctx := within(t)
				gate := newGate()
				options := w.options("ann")
				options.Dial = gate.dialer(w.addr)
				ann, bob := dialWith(t, w.addr, options), w.enter("bob")
				w.room(ann, "plans", "bob", "cid")
				reads := enter(t, bob, "plans", client.From{})
				var own *client.Room
				if joined {
					own = enter(t, ann, "plans", client.From{})
				}
				cuts := 0
				gate.mu.Lock()
				gate.watch = func(line string) bool {
					if cuts >= 2 || !strings.Contains(line, `"type":"ack"`) {
						return false
					}
					cuts++
					return true
				}
				gate.mu.Unlock()
				receipt, err := do(ctx, ann)
				if err != nil || !receipt.Duplicate || receipt.Seq != 4 {
					t.Fatalf("got %+v, %v", receipt, err)
				}
				end, err := ann.SetTopic(ctx, "plans", "the end")
				if err != nil {
					t.Fatal(err)
				}
				if got := entries(t, reads, end.Seq); len(got) != 2 {
					t.Errorf("others read %q, want one entry and the end", got)
				}
				if joined {
					if err := own.Sync(ctx); err != nil || own.Cursor().Seq != end.Seq {
						t.Errorf("the own cursor is %v, want %d: %v", own.Cursor(), end.Seq, err)
					}
				}
			})
		}
	}
}

// However often connections are cut, entries of all kinds are stored once, in the
// order of the requests, and read once.
func TestCutsOfEntries(t *testing.T) {
	const n = 300
	w := newTown(t)
	setUp := w.enter("ann")
	w.room(setUp, "plans", "bob", "cid")
	p := newProxy(t, w.addr, 6000)
	through := func(name string) *client.Client {
		options := w.options(name)
		return dialWith(t, p.l.Addr().String(), options)
	}
	ann, bob := through("ann"), through("bob")
	writes, reads := enter(t, ann, "plans", client.From{}), enter(t, bob, "plans", client.From{})
	ctx := within(t)
	var want []string
	for i := range n {
		var receipt client.Receipt
		var err error
		line := ""
		switch rand.N(4) {
		case 0:
			receipt, err = writes.Send(ctx, fmt.Sprint(i))
			line = fmt.Sprintf("%d ann says %d", receipt.Seq, i)
		case 1:
			receipt, err = ann.SetTopic(ctx, "plans", fmt.Sprint(i))
			line = fmt.Sprintf("%d topic by ann %d", receipt.Seq, i)
		case 2:
			receipt, err = ann.Mute(ctx, client.Moderation{Room: "plans", Username: "cid", Reason: fmt.Sprint(i)})
			line = fmt.Sprintf("%d member by ann muted cid %d", receipt.Seq, i)
		case 3:
			receipt, err = ann.SetRole(ctx, client.Moderation{Room: "plans", Username: "cid", Reason: fmt.Sprint(i)}, kaban.RoomRole(1+rand.N(3)))
			line = fmt.Sprintf("%d member by ann role cid %d", receipt.Seq, i)
		}
		if err != nil || receipt.Seq != uint64(4+i) {
			t.Fatalf("request %d: %+v, %v", i, receipt, err)
		}
		want = append(want, line)
	}
	got := entries(t, reads, uint64(3+n))
	for i := range got { // the role matters elsewhere
		for _, role := range []string{" member", " speaker", " op"} {
			at := strings.LastIndexByte(got[i], ' ')
			if strings.HasSuffix(got[i][:at], "cid"+role) {
				got[i] = strings.TrimSuffix(got[i][:at], role) + got[i][at:]
			}
		}
	}
	if !slices.Equal(got, want) {
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("entry %d is %q, want %q", i, got[i], want[i])
			}
		}
		t.Fatalf("read %d entries, want %d", len(got), len(want))
	}
	if err := writes.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if got := writes.Cursor().Seq; got != uint64(3+n) {
		t.Errorf("the own cursor is %d, want %d", got, 3+n)
	}
	quiet, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for e, err := range writes.Entries(quiet) {
		t.Errorf("own entry came back: %s %v", render(e), err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cuts < 5 {
		t.Errorf("only %d cuts: the test has not tested much", p.cuts)
	}
}

// A join that nobody waits for any more ends no membership, and the room can be read
// from any place afterwards.
func TestAMemberGivesUpAJoin(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	gate := newGate()
	options := w.options("bob")
	options.Dial = gate.dialer(w.addr)
	ann, bob := w.enter("ann"), dialWith(t, w.addr, options)
	w.room(ann, "plans", "bob")
	talk := enter(t, ann, "plans", client.From{})
	receipt, err := talk.Send(ctx, "one")
	if err != nil {
		t.Fatal(err)
	}
	arrived, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	gate.mu.Lock()
	gate.watch = func(line string) bool {
		if strings.Contains(line, `"type":"joined"`) {
			once.Do(func() {
				close(arrived)
				<-goOn
			})
		}
		return false
	}
	gate.mu.Unlock()
	brief, cancel := context.WithCancel(ctx)
	context.AfterFunc(ctx, cancel)
	go func() {
		<-arrived
		cancel()
	}()
	if _, err := bob.Join(brief, "plans", client.From{}); !errors.Is(err, context.Canceled) {
		t.Fatalf("the join is not given up: %v", err)
	}
	close(goOn)
	if _, err := bob.Ping(ctx); err != nil {
		t.Fatal(err)
	}
	members, _, err := ann.Members(ctx, "plans", "", 0)
	if err != nil || len(members) != 2 {
		t.Errorf("the members are %+v, %v", members, err)
	}
	r, err := bob.Join(ctx, "plans", client.After(client.Cursor{}))
	if err != nil {
		t.Fatal(err)
	}
	if got := entries(t, r, receipt.Seq); len(got) != 3 {
		t.Errorf("read %q, want three entries", got)
	}
}

// Mentions are in the inbox until they are read, page by page, and each is told.
func TestInbox(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	mentions := make(chan int, 100)
	options := w.options("bob")
	options.OnRoomState = func(s wire.RoomState) { mentions <- s.Mentions }
	ann, bob := w.enter("ann"), dialWith(t, w.addr, options)
	w.room(ann, "plans", "bob")
	plans := enter(t, ann, "plans", client.From{})
	var sent []uint64
	for range 3 {
		receipt, err := plans.Send(ctx, "@bob")
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, receipt.Seq)
	}
	for n := 0; n < 3; {
		select {
		case n = <-mentions:
		case <-ctx.Done():
			t.Fatalf("no state with 3 mentions, but %d", n)
		}
	}
	var got []uint64
	for before := uint64(0); ; {
		page, err := bob.Inbox(ctx, before, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Mentions {
			if m.Room != "plans" || m.Username != "ann" || m.Content != "@bob" || m.Cause != wire.CauseName {
				t.Errorf("a mention is %+v", m)
			}
			got = append(got, m.Seq)
		}
		if before = page.Next; before == 0 {
			break
		}
	}
	if slices.Reverse(got); !slices.Equal(got, sent) {
		t.Errorf("the inbox has %v, want %v", got, sent)
	}
	if err := bob.Read(ctx, "plans", sent[1]); err != nil {
		t.Fatal(err)
	}
	if page, err := bob.Inbox(ctx, 0, 0); err != nil || len(page.Mentions) != 1 || page.Mentions[0].Seq != sent[2] || page.Next != 0 {
		t.Errorf("after reading: %+v, %v", page, err)
	}
	if page, err := ann.Inbox(ctx, 0, 0); err != nil || len(page.Mentions) != 0 {
		t.Errorf("the inbox of the author: %+v, %v", page, err)
	}
}

// What an account wants to be notified of comes with Me, and what it says of itself is among the
// members, for all of its connections.
func TestAwayAndNotifications(t *testing.T) {
	w := newTown(t)
	ctx := within(t)
	ann, bob := w.enter("ann"), w.enter("bob")
	w.room(ann, "plans", "bob")
	if me, err := bob.Me(ctx); err != nil || me.Keywords != nil || me.Quiet != nil {
		t.Fatalf("at first: %+v, %v", me, err)
	}
	principal, err := w.accounts.Authenticate(ctx, w.tokens["bob"], "")
	if err != nil {
		t.Fatal(err)
	}
	set := people.Notifications{Keywords: []string{"deploy", "on call"}, Quiet: &people.Quiet{From: "22:00", To: "07:00", Zone: "UTC", Days: []string{"mon"}, Until: 7}}
	if err := w.accounts.SetNotifications(ctx, account.Actor{Principal: principal}, set); err != nil {
		t.Fatal(err)
	}
	me, err := bob.Me(ctx)
	if want := (&wire.Quiet{From: "22:00", To: "07:00", Zone: "UTC", Days: []string{"mon"}, Until: 7}); err != nil || !slices.Equal(me.Keywords, set.Keywords) || !reflect.DeepEqual(me.Quiet, want) {
		t.Errorf("me is %+v, %v", me, err)
	}
	until := time.UnixMilli(time.Now().Add(time.Hour).UnixMilli())
	if err := bob.SetAway(ctx, client.Away{Away: true, Text: "lunch", Until: until}); err != nil {
		t.Fatal(err)
	}
	members, _, err := ann.Members(ctx, "plans", "", 0)
	at := slices.IndexFunc(members, func(m wire.Member) bool { return m.Username == "bob" })
	for len(w.nodes) > 1 && err == nil && at >= 0 && !members[at].Online { // another node learns of it a moment later
		members, _, err = ann.Members(ctx, "plans", "", 0)
	}
	if err != nil || at < 0 || !members[at].Away || members[at].Status != "lunch" || members[at].Until != until.UnixMilli() || !members[at].Online {
		t.Errorf("the members are %+v, %v", members, err)
	}
	if err := bob.SetAway(ctx, client.Away{}); err != nil {
		t.Fatal(err)
	}
	if members, _, err = ann.Members(ctx, "plans", "", 0); err != nil || members[at].Away || members[at].Status != "" || members[at].Until != 0 {
		t.Errorf("then the members are %+v, %v", members, err)
	}
}

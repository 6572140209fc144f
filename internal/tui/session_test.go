package tui

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kaban/client"
	"kaban/client/dial"
	"kaban/client/dial/dialtest"
	"kaban/internal/tlstest"
	"kaban/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 2 * time.Minute

// witness is a session whose events are noted.
type witness struct {
	*Session
	t    *testing.T
	seen []event
}

func newWitness(t *testing.T) *witness {
	w := &witness{Session: newSession(Options{}), t: t}
	t.Cleanup(w.Close)
	return w
}

// await takes events until one fits, and returns it.
func await[E event](w *witness, fits func(E) bool) E {
	w.t.Helper()
	late := time.AfterFunc(patience, w.cancel)
	defer late.Stop()
	for {
		for len(w.seen) > 0 {
			e, ok := w.seen[0].(E)
			w.seen = w.seen[1:]
			if ok && fits(e) {
				return e
			}
		}
		if w.seen = w.take(); w.seen == nil {
			var none E
			w.t.Fatalf("no %T that fits comes", none)
		}
	}
}

func always[E event](E) bool { return true }

// storedIn returns the messages of a room.
func storedIn(t *testing.T, addr, room string) (contents []string) {
	t.Helper()
	c, err := client.Dial(t.Context(), addr, client.Options{Username: "reader"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	page, err := c.History(t.Context(), room, client.HistoryQuery{HasAfter: true, Limit: wire.MaxLimit})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range page.Messages() {
		contents = append(contents, m.Username+": "+m.Content)
	}
	return contents
}

// A message that is posted before there is a connection or a room is sent once
// there is.
func TestPostsBeforeTheConnection(t *testing.T) {
	addr := host(t)
	w := newWitness(t)
	w.join("lobby")
	for n := range 3 {
		w.post("lobby", uint64(n), 0, fmt.Sprint("early ", n))
	}
	if got := w.unsent(); got != 3 {
		t.Errorf("%d are unsent, want 3", got)
	}
	w.connect(addr, []string{"ann"})
	for range 3 {
		if e := await(w, always[sentEvent]); e.err != nil {
			t.Error(e.err)
		}
	}
	if got, want := storedIn(t, addr, "lobby"), []string{"ann: early 0", "ann: early 1", "ann: early 2"}; !slices.Equal(got, want) {
		t.Errorf("stored is %q, want %q", got, want)
	}
	if got := w.unsent(); got != 0 {
		t.Errorf("%d are unsent, want none", got)
	}
	w.post("nowhere", 9, 0, "x")
	if e := await(w, always[sentEvent]); e.number != 9 || !errors.Is(e.err, client.ErrParted) {
		t.Errorf("a post where one is not: got %+v", e)
	}
}

// A page of a thread has its replies, and with the first page comes the message that they
// answer.
func TestPagesOfAThread(t *testing.T) {
	w := newWitness(t)
	w.join("lobby")
	for n, replyTo := range []uint64{0, 0, 1, 2, 1} {
		w.post("lobby", uint64(n), replyTo, fmt.Sprint("message ", n+1))
	}
	w.connect(host(t), []string{"ann"})
	for range 5 {
		if e := await(w, always[sentEvent]); e.err != nil {
			t.Fatal(e.err)
		}
	}
	get := func(p page) (root uint64, replies []uint64) {
		w.load("lobby", p)
		e := await(w, func(e pageEvent) bool { return e.page == p })
		if e.err != nil {
			t.Fatal(e.err)
		}
		if e.root != nil {
			root = e.root.Seq
		}
		for _, reply := range e.got.Entries {
			replies = append(replies, reply.Seq)
		}
		return root, replies
	}
	if root, replies := get(page{Thread: 1}); root != 1 || !slices.Equal(replies, []uint64{3, 5}) {
		t.Errorf("the thread of %d has %d, want that of 1 with 3 and 5", root, replies)
	}
	if root, replies := get(page{Thread: 1, Before: 5, HasBefore: true}); root != 0 || !slices.Equal(replies, []uint64{3}) {
		t.Errorf("the page before 5 has %d and %d, want 3", root, replies)
	}
	if root, replies := get(page{Thread: 99}); root != 0 || len(replies) > 0 {
		t.Errorf("the thread of no message has %d and %d", root, replies)
	}
}

// A name that is taken gives way to the next; one that was asked for does not.
func TestNamesThatAreTaken(t *testing.T) {
	addr := host(t)
	first := newWitness(t)
	first.connect(addr, []string{"ann"})
	await(first, func(e stateEvent) bool { return e.username == "ann" })
	second := newWitness(t)
	second.connect(addr, []string{"ann", "ann-2"})
	await(second, func(e stateEvent) bool { return e.username == "ann-2" })
	third := newWitness(t)
	third.connect(addr, []string{"ann"})
	e := await(third, func(e stateEvent) bool { return e.link == ended })
	if refused, ok := errors.AsType[*client.Error](e.err); !ok || refused.Code != wire.CodeUsernameTaken {
		t.Errorf("got %v", e.err)
	}
	third.connect(addr, []string{"cid"})
	await(third, func(e stateEvent) bool { return e.username == "cid" })
}

// A change of name misses nothing, repeats nothing, and keeps the old name when
// the new one cannot be had.
func TestRenaming(t *testing.T) {
	addr := host(t)
	w := newWitness(t)
	w.join("lobby")
	w.connect(addr, []string{"ann"})
	await(w, always[joinedEvent])
	talker, err := client.Dial(t.Context(), addr, client.Options{Username: "ben"})
	if err != nil {
		t.Fatal(err)
	}
	defer talker.Close()
	room, err := talker.Join(t.Context(), "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	w.rename("ben")
	if e := await(w, always[renamedEvent]); e.err == nil {
		t.Error("a name that is taken was given")
	}
	const n = 300
	talking, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() {
		for k := range n {
			if _, err := room.Send(talking, fmt.Sprint(k)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	var got []uint64
	names := []string{"anna", "anne", "anja"}
	own := 0
	for len(got) < n+len(names) {
		e := await(w, func(e event) bool { return true })
		switch e := e.(type) {
		case messageEvent:
			got = append(got, e.message.Seq)
			if len(got)%50 == 10 && len(names) > 0 && own == 0 {
				own = len(names)
				w.post("lobby", uint64(own), 0, "as before")
				w.rename(names[0])
			}
		case renamedEvent:
			if e.err != nil {
				t.Fatal(e.err)
			}
			if names = names[1:]; len(names) > 0 {
				w.post("lobby", uint64(len(names)), 0, "in between")
				w.rename(names[0])
			}
		case sentEvent:
			if e.err != nil {
				t.Fatal(e.err)
			}
			got = append(got, e.receipt.Seq)
		}
		if len(names) == 0 && len(got) == n+3 {
			break
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	for k, seq := range got {
		if seq != uint64(k+1) {
			t.Fatalf("the %dth seq is %d", k+1, seq)
		}
	}
}

// When another connection takes the name over the session ends, and goes on
// where it was when it is asked to.
func TestReconnectAfterTheEnd(t *testing.T) {
	addr := host(t)
	w := newWitness(t)
	w.join("lobby")
	w.connect(addr, []string{"ann"})
	await(w, always[joinedEvent])
	session := w.client.Welcome().Session
	thief := takeOver(t, addr, "ann", session)
	e := await(w, func(e stateEvent) bool { return e.link == ended })
	if bye, ok := errors.AsType[*client.Goodbye](e.err); !ok || bye.Reason != wire.ReasonReplaced {
		t.Errorf("it ended with %v", e.err)
	}
	w.post("lobby", 1, 0, "typed after the end")
	thief()
	for deadline := time.Now().Add(patience); ; {
		w.reconnect()
		e := await(w, func(e stateEvent) bool { return e.link == ended || e.username != "" })
		if e.username != "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(e.err)
		}
	}
	e2 := await(w, func(e event) bool {
		switch e.(type) {
		case joinedEvent, resyncEvent:
			t.Error("it began anew")
		}
		_, ok := e.(sentEvent)
		return ok
	})
	if sent := e2.(sentEvent); sent.err != nil {
		t.Error(sent.err)
	}
}

// takeOver plays another connection of the same session. The function that it
// returns ends it.
func takeOver(t *testing.T, addr, name, session string) func() {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, `{"type":"hello","version":1,"username":%q,"resume":%q}`+"\n", name, session)
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return func() { conn.Close() }
}

func TestFindingADate(t *testing.T) {
	addr := host(t)
	c, err := client.Dial(t.Context(), addr, client.Options{Username: "ben"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Join(t.Context(), "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Time
	for n := range 60 {
		receipt, err := r.Send(t.Context(), fmt.Sprint(n))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, receipt.Time)
	}
	w := newWitness(t)
	w.connect(addr, []string{"ann"})
	await(w, func(e stateEvent) bool { return e.username != "" })
	for _, moment := range []time.Time{times[0].Add(-time.Hour), times[0], times[20], times[59], times[59].Add(time.Hour)} {
		want := uint64(60)
		if k := slices.IndexFunc(times, func(at time.Time) bool { return !at.Before(moment) }); k >= 0 {
			want = uint64(k + 1)
		}
		w.find("lobby", moment)
		e := await(w, always[pageEvent])
		if e.err != nil || e.page.Target != want || !slices.ContainsFunc(e.got.Messages(), func(m wire.Message) bool { return m.Seq == want }) {
			t.Errorf("%v: got %+v, want seq %d", moment, e, want)
		}
	}
	w.join("empty")
	w.find("empty", times[0])
	if e := await(w, always[pageEvent]); e.err == nil {
		t.Error("an empty room has something at a date")
	}
}

// A Model that is slow does not have the session gather without bound.
func TestEventsAreBounded(t *testing.T) {
	addr := host(t)
	w := newWitness(t)
	w.join("lobby")
	w.connect(addr, []string{"ann"})
	await(w, always[joinedEvent])
	c, err := client.Dial(t.Context(), addr, client.Options{Username: "ben"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Join(t.Context(), "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 4 * maxEvents
	for k := range n {
		if _, err := r.Post(t.Context(), fmt.Sprint(k)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for last, held := uint64(0), 0; last < n; {
		events := w.take()
		held = max(held, len(events))
		if held > maxEvents+100 {
			t.Fatalf("%d events are held", held)
		}
		for _, e := range events {
			if m, ok := e.(messageEvent); ok {
				if m.message.Seq != last+1 {
					t.Fatalf("%d comes behind %d", m.message.Seq, last)
				}
				last = m.message.Seq
			}
		}
	}
}

func TestQuestionsWithoutAConnection(t *testing.T) {
	w := newWitness(t)
	w.load("lobby", page{})
	if e := await(w, always[pageEvent]); !errors.Is(e.err, client.ErrOffline) {
		t.Errorf("got %v", e.err)
	}
	w.members("lobby", true)
	if e := await(w, always[membersEvent]); !errors.Is(e.err, client.ErrOffline) || !e.asked {
		t.Errorf("got %+v", e)
	}
	w.listRooms(true)
	if e := await(w, always[roomsEvent]); !errors.Is(e.err, client.ErrOffline) {
		t.Errorf("got %v", e.err)
	}
	w.rename("x")
	if e := await(w, always[renamedEvent]); !errors.Is(e.err, client.ErrOffline) {
		t.Errorf("got %v", e.err)
	}
	w.ping()
	w.part("lobby")
}

// The session has the trust of its server, and says why a certificate does not count
// while it goes on trying.
func TestTheTrustOfTheServer(t *testing.T) {
	authority := tlstest.NewAuthority(t)
	signed, _ := authority.Pair(tlstest.Certificate{Hosts: []string{"127.0.0.1"}})
	front := dialtest.NewFront(t, &tls.Config{Certificates: []tls.Certificate{signed}}, host(t))
	trust := dial.Trust{}
	var fault error
	for i, c := range []struct {
		name  string
		trust dial.Trust
		fault error
		fits  func(stateEvent) bool
	}{
		{"no authority", dial.Trust{}, nil, func(e stateEvent) bool {
			bad, ok := errors.AsType[*dial.CertificateError](e.err)
			return e.link == offline && ok && bad.Fault == dial.UnknownAuthority && !e.retryAt.IsZero()
		}},
		{"the authority", dial.Trust{CA: authority.PEM}, nil, func(e stateEvent) bool { return e.link == online }},
		{"the pin", dial.Trust{Pin: dial.PinOf(signed.Leaf)}, nil, func(e stateEvent) bool { return e.link == online }},
		{"no file", dial.Trust{}, io.ErrNoProgress, func(e stateEvent) bool { return e.link == ended && errors.Is(e.err, io.ErrNoProgress) }},
	} {
		trust, fault = c.trust, c.fault
		w := &witness{Session: newSession(Options{Trust: func(server string) (dial.Trust, error) {
			if server != "tls://"+front.Addr() {
				t.Errorf("%s: the server is %s", c.name, server)
			}
			return trust, fault
		}}), t: t}
		// The server may not have seen yet that the one before is gone.
		w.connect("tls://"+front.Addr(), []string{fmt.Sprint("ann", i)})
		await(w, c.fits)
		w.Close()
	}
}

// Typing goes from one session to the other, and ends with the message.
func TestTypingBetweenSessions(t *testing.T) {
	addr := host(t)
	ann, ben := newWitness(t), newWitness(t)
	for name, w := range map[string]*witness{"ann": ann, "ben": ben} {
		w.typing("lobby") // nowhere yet
		w.join("lobby")
		w.connect(addr, []string{name})
		await(w, always[joinedEvent])
	}
	ann.typing("lobby")
	await(ben, func(e typingEvent) bool { return e.Room == "lobby" && slices.Equal(e.Usernames, []string{"ann"}) })
	ann.post("lobby", 1, 0, "x")
	await(ben, func(e typingEvent) bool { return e.Room == "lobby" && len(e.Usernames) == 0 })
}

// Changes of messages arrive once and in order, also if the connection breaks meanwhile.
func TestAlterationsBetweenSessions(t *testing.T) {
	addr := host(t)
	ann, ben := newWitness(t), newWitness(t)
	for name, w := range map[string]*witness{"ann": ann, "ben": ben} {
		w.join("lobby")
		w.connect(addr, []string{name})
		await(w, always[joinedEvent])
	}
	ann.post("lobby", 1, 0, "x")
	seq := await(ann, always[sentEvent]).receipt.Seq
	ann.post("lobby", 2, seq, "an answer")
	want := []wire.Change{
		edited(seq, "y"), reacted(seq, "🎉", true), edited(seq, "z"), reacted(seq, "🎉", false), deleted(seq),
	}
	for n, c := range want {
		ann.alter("lobby", alteration{number: uint64(n + 3), change: c})
		if n%2 == 0 {
			ann.reconnect()
		}
	}
	for range want {
		if e := await(ann, always[alteredEvent]); e.err != nil {
			t.Fatalf("change %d: %v", e.number, e.err)
		}
	}
	if e := await(ben, func(e messageEvent) bool { return e.message.Seq > seq }); e.message.ReplyTo != seq {
		t.Errorf("the answer is %+v", e.message)
	}
	for n, c := range want {
		got := await(ben, always[entryEvent]).entry.Change
		if got == nil || got.Type != c.Type || got.Target != seq || got.Content != c.Content || got.On != c.On || got.Emoji != c.Emoji {
			t.Errorf("change %d is %+v, want %+v", n, got, c)
		}
	}
	ann.alter("lobby", alteration{number: 20, change: edited(seq, "again")})
	if e := await(ann, always[alteredEvent]); codeOf(e.err) != wire.CodeGone || e.number != 20 {
		t.Errorf("an edit of a deleted message ends with %+v", e)
	}
	ann.alter("lobby", alteration{number: 22, change: pinned(seq, true)}) // not a visitor's
	if e := await(ann, always[alteredEvent]); codeOf(e.err) != wire.CodeForbidden && codeOf(e.err) != wire.CodeGone || e.number != 22 {
		t.Errorf("a pin ends with %+v", e)
	}
	ann.alter("nowhere", alteration{number: 21, change: edited(seq, "again")})
	if e := await(ann, always[alteredEvent]); !errors.Is(e.err, client.ErrParted) || e.number != 21 {
		t.Errorf("an edit elsewhere ends with %+v", e)
	}
}

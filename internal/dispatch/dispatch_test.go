package dispatch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// unknownKind is one that no format of the tests knows.
const unknownKind kaban.Kind = 200

// textFormat is a format that tests can read back: one line a frame. Of an entry
// that is not a message it has the seq and the kind.
type textFormat struct{ name string }

func (f *textFormat) AppendEntry(dst []byte, room string, e *store.Entry) []byte {
	if e.Kind != kaban.KindMessage {
		return fmt.Appendf(dst, "%s %d kind %d\n", room, e.Seq, e.Kind)
	}
	return fmt.Appendf(dst, "%s %d %s %s\n", room, e.Seq, e.Username, e.Content)
}

func (f *textFormat) AppendPresence(dst []byte, room string, members int, joined, left []string) []byte {
	return fmt.Appendf(dst, "%s presence %d +%s -%s\n", room, members, strings.Join(joined, "+"), strings.Join(left, "-"))
}

func (f *textFormat) AppendTyping(dst []byte, room string, names []string) []byte {
	return fmt.Appendf(dst, "%s typing %s\n", room, strings.Join(names, "+"))
}

var plain = &textFormat{"plain"}

// reader is a connection of the tests. It reads when the test says so.
type reader struct {
	t         testing.TB
	mu        sync.Mutex
	audiences []*Audience // from Wake
	woken     bool
	more      *sync.Cond

	refused []Receipt
	partial string   // of a frame
	changed bool     // the entry of the partial frame
	given   []string // frames, and "ack SEQ ID" for receipts

	expelled string // why
}

func newReader(t testing.TB) *reader {
	r := &reader{t: t}
	r.more = sync.NewCond(&r.mu)
	return r
}

func (r *reader) Wake(a *Audience) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audiences, r.woken = append(r.audiences, a), true
	r.more.Broadcast()
}

func (r *reader) WakeOne(*Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.woken = true
	r.more.Broadcast()
}

// take reads everything there is, at most max bytes in a write.
func (r *reader) take(s *Subscription, max int) {
	r.t.Helper()
	r.mu.Lock()
	for _, a := range r.audiences {
		if !slices.Contains(a.Members(), s) && s.index >= 0 {
			r.t.Errorf("an audience was woken without its member")
		}
	}
	r.audiences, r.woken = nil, false
	r.mu.Unlock()
	for r.sip(s, max) {
	}
	s.Unpin()
}

// sip reads the next thing there is, in one write of at most max bytes. It reports
// whether there was anything.
func (r *reader) sip(s *Subscription, max int) bool {
	r.t.Helper()
	segment := s.Next()
	switch {
	case segment.Behind:
		err := s.Fetch(context.Background())
		var resync *ResyncError
		switch {
		case errors.As(err, &resync):
			r.given, r.partial = append(r.given, fmt.Sprintf("resync %d %d", resync.Oldest, resync.Head)), ""
		case errors.Is(err, ErrChanged):
			if r.partial == "" {
				r.t.Errorf("an entry has changed that was not given: %v", err)
			}
			r.changed = true
			return false
		case err != nil:
			r.t.Fatalf("Fetch: %v", err)
		}
	case segment.Receipt != nil:
		if r.partial != "" {
			r.t.Errorf("a receipt came in the middle of a frame")
		}
		r.noteReceipt(segment.Receipt)
	case segment.Frames != nil:
		n := min(max, len(segment.Frames))
		rest := s.Advance(&segment, n)
		r.partial += string(segment.Frames[:n+rest])
		lines := strings.Split(r.partial, "\n")
		r.given, r.partial = append(r.given, lines[:len(lines)-1]...), lines[len(lines)-1]
		if (r.partial != "") != s.IsMidEntry() {
			r.t.Errorf("got the part %q of a frame, but IsMidEntry is %v", r.partial, s.IsMidEntry())
		}
	case segment.Expelled != nil:
		if r.expelled != "" || r.partial != "" || s.Outstanding() > 0 {
			r.t.Errorf("expelled with %q, %q and %d sends outstanding", r.expelled, r.partial, s.Outstanding())
		}
		r.expelled = segment.Expelled.Reason
		return false
	default:
		return false
	}
	return true
}

func (r *reader) noteReceipt(receipt *Receipt) {
	switch {
	case receipt.Err != nil:
		r.refused = append(r.refused, *receipt)
	case receipt.Duplicate:
		r.given = append(r.given, fmt.Sprintf("duplicate %d %s", receipt.Seq, receipt.ID))
	default:
		r.given = append(r.given, fmt.Sprintf("ack %d %s", receipt.Seq, receipt.ID))
	}
}

// until reads until the cursor is at seq and nothing is outstanding.
func (r *reader) until(s *Subscription, seq uint64) {
	r.t.Helper()
	for {
		r.take(s, 1<<20)
		if s.Seq() >= seq && s.Outstanding() == 0 {
			return
		}
		r.mu.Lock()
		for !r.woken {
			r.more.Wait()
		}
		r.mu.Unlock()
	}
}

func newDispatcher(t testing.TB, s store.Store, options Options) *Dispatcher {
	t.Helper()
	if s == nil {
		s = memory.New(0)
	}
	d, err := New(context.Background(), s, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// tryJoin joins as a front end does.
func tryJoin(d *Dispatcher, w Waker, format Format, user kaban.Username, room kaban.RoomName, start Start) (*Subscription, Joined, error) {
	place, ok := d.Known(room, start)
	if !ok {
		var err error
		if place, err = d.Find(context.Background(), room, start); err != nil {
			return nil, Joined{}, err
		}
	}
	return d.Join(w, w, format, &kaban.Peer{Identity: kaban.Visitor(user)}, place)
}

func join(t testing.TB, d *Dispatcher, r *reader, room, user string, start Start) *Subscription {
	t.Helper()
	s, _, err := tryJoin(d, r, plain, storetest.Username(t, user), storetest.RoomName(t, room), start)
	if err != nil {
		t.Fatalf("join %s: %v", room, err)
	}
	return s
}

func send(t testing.TB, s *Subscription, user, id, content string) Send {
	return Send{Draft: storetest.Draft(t, s.Room().Name().String(), user, id, content), Subscription: s}
}

func assertGiven(t testing.TB, r *reader, want ...string) {
	t.Helper()
	if !slices.Equal(r.given, want) {
		t.Errorf("the reader was given\n  %q, want\n  %q", r.given, want)
	}
}

func TestAMessageReachesTheOthersAndAnAckTheSender(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	alice, bob := newReader(t), newReader(t)
	a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	d.Submit([]Send{send(t, a, "alice", "one", "hello"), send(t, a, "alice", "two", "again")})
	alice.until(a, 2)
	bob.until(b, 2)
	d.Submit([]Send{send(t, b, "bob", "one", "hi alice")})
	alice.until(a, 3)
	bob.until(b, 3)
	assertGiven(t, alice, "ack 1 one", "ack 2 two", "lobby 3 bob hi alice")
	assertGiven(t, bob, "lobby 1 alice hello", "lobby 2 alice again", "ack 3 one")
}

func TestAnAckNeverOvertakesAMessage(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	alice, bob := newReader(t), newReader(t)
	a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	d.Submit([]Send{send(t, a, "alice", "a1", "x"), send(t, b, "bob", "b1", "y"), send(t, a, "alice", "a2", "z")})
	alice.until(a, 3)
	bob.until(b, 3)
	assertGiven(t, alice, "ack 1 a1", "lobby 2 bob y", "ack 3 a2")
	assertGiven(t, bob, "lobby 1 alice x", "ack 2 b1", "lobby 3 alice z")
}

func TestARepeatIsAnsweredWithTheFirst(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	one := send(t, a, "alice", "one", "hello")
	d.Submit([]Send{one, send(t, a, "alice", "two", "x"), one})
	alice.until(a, 2)
	d.Submit([]Send{one})
	alice.until(a, 2)
	assertGiven(t, alice, "ack 1 one", "duplicate 1 one", "ack 2 two", "duplicate 1 one")
}

func TestARepeatAfterResumingComesBehindTheMessage(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	before := newReader(t)
	b := join(t, d, before, "lobby", "alice", Start{})
	d.Submit([]Send{send(t, b, "alice", "one", "hello"), send(t, b, "alice", "two", "x")})
	before.until(b, 2)
	d.Leave(b)
	after := newReader(t)
	a := join(t, d, after, "lobby", "alice", Start{After: 0, Resume: true})
	d.Submit([]Send{send(t, a, "alice", "two", "x")})
	after.until(a, 2)
	assertGiven(t, after, "lobby 1 alice hello", "lobby 2 alice x", "duplicate 2 two")
}

func TestAConflictIsRefusedAndTheRestStored(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	d.Submit([]Send{send(t, a, "alice", "one", "x"), send(t, a, "alice", "one", "y"), send(t, a, "alice", "two", "z")})
	alice.until(a, 2)
	assertGiven(t, alice, "ack 1 one", "ack 2 two")
	if len(alice.refused) != 1 || !errors.Is(alice.refused[0].Err, store.ErrIDConflict) || alice.refused[0].Size != 1 {
		t.Errorf("refused: %+v, want one conflict", alice.refused)
	}
}

func TestJoiningWithHistory(t *testing.T) {
	// A tail of one chunk, so that the older half comes from the store.
	d := newDispatcher(t, nil, Options{TailBytes: 1, PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	const head = 1200 // more than two pages
	var want []string
	for seq := range head {
		d.Submit([]Send{send(t, a, "alice", fmt.Sprint("id", seq), strings.Repeat("x", 50))})
		want = append(want, fmt.Sprintf("lobby %d alice %s", seq+1, strings.Repeat("x", 50)))
	}
	alice.until(a, head)
	for _, after := range []uint64{0, 1, 499, 500, 501, head - 1, head} {
		for _, write := range []int{1 << 20, 1000, 61} {
			bob := newReader(t)
			b := join(t, d, bob, "lobby", "bob", Start{Epoch: d.Epoch(), After: after, Resume: true})
			bob.take(b, write)
			if !slices.Equal(bob.given, want[after:]) {
				t.Errorf("after %d in writes of %d: %d entries were given, want %d", after, write, len(bob.given), head-after)
			}
			d.Leave(b)
		}
	}
}

func TestJoiningWhereTheLogIsNot(t *testing.T) {
	s := memory.New(2000) // a few entries
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	for i := range 20 {
		d.Submit([]Send{send(t, a, "alice", fmt.Sprint("id", i), "x")})
	}
	alice.until(a, 20)
	state, _ := s.Room(t.Context(), storetest.RoomName(t, "lobby"))
	if state.Oldest < 3 {
		t.Fatalf("oldest is %d: the window does not bite", state.Oldest)
	}
	tests := []struct {
		name  string
		start Start
		ok    bool
	}{
		{"foreign epoch", Start{Epoch: "foreign", After: 20, Resume: true}, false},
		{"foreign epoch without a seq", Start{Epoch: "foreign"}, false},
		{"beyond the head", Start{Epoch: d.Epoch(), After: 21, Resume: true}, false},
		{"forgotten", Start{Epoch: d.Epoch(), After: state.Oldest - 2, Resume: true}, false},
		{"largest seq", Start{Epoch: d.Epoch(), After: 1<<53 - 1, Resume: true}, false},
		{"the oldest kept comes next", Start{Epoch: d.Epoch(), After: state.Oldest - 1, Resume: true}, true},
		{"at the head", Start{Epoch: d.Epoch(), After: 20, Resume: true}, true},
		{"without an epoch", Start{After: 20, Resume: true}, true},
		{"epoch only", Start{Epoch: d.Epoch()}, true},
	}
	for _, test := range tests {
		sub, _, err := tryJoin(d, newReader(t), plain, storetest.Username(t, "bob"), state.Name, test.start)
		var resync *ResyncError
		switch {
		case test.ok && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.ok:
			d.Leave(sub)
		case !errors.As(err, &resync) || resync.Head != 20 || resync.Oldest != state.Oldest || resync.Epoch != d.Epoch():
			t.Errorf("%s: %v, want a resync with head 20 and oldest %d", test.name, err, state.Oldest)
		}
	}
	if got := d.Peek(state.Name).Members(); got != 1 {
		t.Errorf("the room has %d members, want alice alone", got)
	}
}

func TestACursorThatFallsOutOfTheWindowGetsOneResync(t *testing.T) {
	d := newDispatcher(t, memory.New(40_000), Options{TailBytes: 1, PresenceDelay: time.Hour})
	alice, bob := newReader(t), newReader(t)
	a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	// Bob sends, and does not read while the window moves on.
	d.Submit([]Send{send(t, b, "bob", "mine", "x")})
	alice.until(a, 1)
	for i := range 300 {
		d.Submit([]Send{send(t, a, "alice", fmt.Sprint("id", i), strings.Repeat("x", 100))})
	}
	alice.until(a, 301)
	bob.take(b, 1<<20)
	if len(bob.given) != 2 || bob.given[0] != "ack 1 mine" || !strings.HasPrefix(bob.given[1], "resync ") || !strings.HasSuffix(bob.given[1], " 301") {
		t.Fatalf("bob was given %q, want his ack and a resync to head 301", bob.given)
	}
	d.Submit([]Send{send(t, a, "alice", "last", "back")})
	bob.until(b, 302)
	if last := bob.given[len(bob.given)-1]; len(bob.given) != 3 || last != "lobby 302 alice back" {
		t.Errorf("then bob was given %q", bob.given[2:])
	}
}

func TestEntriesOfAnotherWriterComeFirst(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	alice, bob := newReader(t), newReader(t)
	a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	storetest.Append(t, s, storetest.Draft(t, "lobby", "carol", "c1", "from elsewhere"), storetest.Draft(t, "lobby", "carol", "c2", "too"))
	d.Submit([]Send{send(t, a, "alice", "one", "hello")})
	alice.until(a, 3)
	bob.until(b, 3)
	assertGiven(t, alice, "lobby 1 carol from elsewhere", "lobby 2 carol too", "ack 3 one")
	assertGiven(t, bob, "lobby 1 carol from elsewhere", "lobby 2 carol too", "lobby 3 alice hello")
	// A duplicate shows that the log has grown as well.
	storetest.Append(t, s, storetest.Draft(t, "lobby", "alice", "from-elsewhere", "x"))
	d.Submit([]Send{send(t, a, "alice", "from-elsewhere", "x")})
	alice.until(a, 4)
	bob.until(b, 4)
	assertGiven(t, alice, "lobby 1 carol from elsewhere", "lobby 2 carol too", "ack 3 one", "lobby 4 alice x", "duplicate 4 from-elsewhere")
}

// forgetful is a store in which another writer's entries are forgotten before
// anybody reads them.
type forgetful struct {
	store.Store
	oldest uint64
}

func (s *forgetful) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	p.After = max(p.After, s.oldest-1)
	return s.Store.Read(ctx, room, p)
}

func TestEntriesThatAreForgottenBeforeTheyWereReadAreAResync(t *testing.T) {
	s := &forgetful{memory.New(0), 3}
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	for i := range 3 {
		storetest.Append(t, s.Store, storetest.Draft(t, "lobby", "carol", fmt.Sprint("c", i), "x"))
	}
	d.Submit([]Send{send(t, a, "alice", "one", "hello")})
	for len(alice.given) == 0 {
		alice.until(a, 4)
	}
	// Her cursor may get there before or after the rest of them is published.
	before := []string{"resync 1 2", "lobby 3 carol x", "ack 4 one"}
	after := []string{"resync 1 4", "ack 4 one"}
	if !slices.Equal(alice.given, before) && !slices.Equal(alice.given, after) {
		t.Errorf("alice was given %q, want %q or %q", alice.given, before, after)
	}
}

// failing is a store whose appends fail while err is set.
type failing struct {
	store.Store
	mu  sync.Mutex
	err error
}

func (s *failing) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *failing) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return s.Store.Append(ctx, batch, results)
}

func TestAFailedAppendIsRefusedAndNothingIsShown(t *testing.T) {
	s := &failing{Store: memory.New(0), err: store.ErrFull}
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	alice, bob := newReader(t), newReader(t)
	a, b := join(t, d, alice, "lobby", "alice", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	d.Submit([]Send{send(t, a, "alice", "one", "x"), send(t, a, "alice", "two", "y")})
	alice.until(a, 0)
	if len(alice.refused) != 2 {
		t.Fatalf("%d sends were refused, want 2", len(alice.refused))
	}
	for _, r := range alice.refused {
		if !errors.Is(r.Err, store.ErrFull) {
			t.Errorf("refused with %v, want ErrFull", r.Err)
		}
	}
	if a.Outstanding() != 0 {
		t.Errorf("%d sends are still outstanding", a.Outstanding())
	}
	s.fail(nil)
	d.Submit([]Send{send(t, a, "alice", "one", "x")})
	bob.until(b, 1)
	assertGiven(t, bob, "lobby 1 alice x")
}

func TestAfterCloseSendsAreRefused(t *testing.T) {
	d := newDispatcher(t, nil, Options{})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	d.Submit([]Send{send(t, a, "alice", "one", "committed before the end")})
	d.Close()
	d.Submit([]Send{send(t, a, "alice", "two", "too late")})
	alice.take(a, 1<<20)
	assertGiven(t, alice, "ack 1 one")
	if len(alice.refused) != 1 || !errors.Is(alice.refused[0].Err, ErrClosed) {
		t.Errorf("refused: %+v, want ErrClosed", alice.refused)
	}
}

func TestRoomsComeAndGo(t *testing.T) {
	d := newDispatcher(t, nil, Options{MaxRooms: 3, PresenceDelay: time.Hour})
	alice := newReader(t)
	kitchen := join(t, d, alice, "kitchen", "alice", Start{})
	garden := join(t, d, alice, "garden", "alice", Start{})
	_, _, err := tryJoin(d, alice, plain, storetest.Username(t, "alice"), storetest.RoomName(t, "attic"), Start{})
	if !errors.Is(err, ErrTooManyRooms) {
		t.Errorf("a fourth room: %v, want ErrTooManyRooms", err)
	}
	d.Submit([]Send{send(t, garden, "alice", "one", "x")})
	alice.until(garden, 1)
	d.Leave(garden)
	d.Leave(garden) // again is harmless
	d.Leave(kitchen)
	infos, more := d.Rooms("", 10)
	want := []RoomInfo{{storetest.RoomName(t, "garden"), 1, 0}, {storetest.RoomName(t, "lobby"), 0, 0}}
	if !slices.Equal(infos, want) || more {
		t.Errorf("Rooms = %v, %v; want %v: the kitchen never had a message", infos, more, want)
	}
	if infos, more := d.Rooms("", 1); len(infos) != 1 || !more {
		t.Errorf("the first page = %v, %v; want one and more", infos, more)
	}
	if infos, more := d.Rooms("garden", 1); len(infos) != 1 || more || infos[0].Name.String() != "lobby" {
		t.Errorf("the second page = %v, %v; want lobby", infos, more)
	}
}

func TestAMessageOutlivesTheRoomThatItsSenderLeft(t *testing.T) {
	s := memory.New(0)
	gate := &gated{Store: s, open: make(chan struct{})}
	d := newDispatcher(t, gate, Options{PresenceDelay: time.Hour})
	alice, bob := newReader(t), newReader(t)
	a := join(t, d, alice, "attic", "alice", Start{})
	d.Submit([]Send{send(t, a, "alice", "one", "x")})
	d.Leave(a) // the room has no entry yet and nobody in it
	if d.Peek(storetest.RoomName(t, "attic")) != nil {
		t.Error("the empty room is still there")
	}
	close(gate.open)
	for d.Peek(storetest.RoomName(t, "attic")) == nil {
		time.Sleep(time.Millisecond)
	}
	b := join(t, d, bob, "attic", "bob", Start{Resume: true})
	bob.until(b, 1)
	assertGiven(t, bob, "attic 1 alice x")
}

// gated is a store whose appends wait until it is opened.
type gated struct {
	store.Store
	open chan struct{}
}

func (s *gated) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	<-s.open
	return s.Store.Append(ctx, batch, results)
}

func TestHistory(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	for i := range 10 {
		d.Submit([]Send{send(t, a, "alice", fmt.Sprint("id", i), "x")})
	}
	alice.until(a, 10)
	tests := []struct {
		page        store.Page
		first, last uint64
		more        bool
	}{
		{store.Page{Last: true, Limit: 4}, 7, 10, true},
		{store.Page{Last: true, Before: 7, Limit: 6}, 1, 6, false},
		{store.Page{Last: true, Before: 7, Limit: 5}, 2, 6, true},
		{store.Page{After: 0, Limit: 3}, 1, 3, true},
		{store.Page{After: 7, Limit: 3}, 8, 10, false},
		{store.Page{After: 7, Limit: 30}, 8, 10, false},
		{store.Page{After: 10, Limit: 3}, 0, 0, false},
	}
	for _, test := range tests {
		found, err := d.History(t.Context(), storetest.RoomName(t, "lobby"), test.page)
		if err != nil {
			t.Fatalf("%+v: %v", test.page, err)
		}
		var first, last uint64
		if n := len(found.Entries); n > 0 {
			first, last = found.Entries[0].Seq, found.Entries[n-1].Seq
		}
		if first != test.first || last != test.last || found.More != test.more {
			t.Errorf("%+v: %d to %d, more %v; want %d to %d, %v", test.page, first, last, found.More, test.first, test.last, test.more)
		}
	}
	if _, err := d.History(t.Context(), storetest.RoomName(t, "nowhere"), store.Page{Limit: 1}); !errors.Is(err, ErrNotFound) {
		t.Errorf("history of no room: %v, want ErrNotFound", err)
	}
	if _, _, _, err := d.Members(t.Context(), storetest.RoomName(t, "nowhere"), "", 1); !errors.Is(err, ErrNotFound) {
		t.Errorf("members of no room: %v, want ErrNotFound", err)
	}
}

func TestMembersArePagedByName(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	for _, name := range []string{"dora", "alice", "carol", "bob"} {
		join(t, d, newReader(t), "lobby", name, Start{})
	}
	for _, test := range []struct {
		after string
		limit int
		want  []string
		more  bool
	}{
		{"", 10, []string{"alice", "bob", "carol", "dora"}, false},
		{"", 3, []string{"alice", "bob", "carol"}, true},
		{"carol", 3, []string{"dora"}, false},
		{"dora", 3, nil, false},
	} {
		_, got, more, err := d.Members(t.Context(), storetest.RoomName(t, "lobby"), test.after, test.limit)
		if err != nil || !slices.Equal(got, test.want) || more != test.more {
			t.Errorf("after %q: %v, %v, %v; want %v, %v", test.after, got, more, err, test.want, test.more)
		}
	}
}

func TestPresenceIsGatheredAndShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, nil, Options{})
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		time.Sleep(time.Second)
		alice.take(a, 1<<20)
		assertGiven(t, alice) // no presence for the only member

		bob := newReader(t)
		b := join(t, d, bob, "lobby", "bob", Start{})
		c := join(t, d, newReader(t), "lobby", "carol", Start{})
		d.Leave(c)
		join(t, d, newReader(t), "lobby", "dora", Start{})
		time.Sleep(249 * time.Millisecond)
		alice.take(a, 1<<20)
		assertGiven(t, alice)
		time.Sleep(2 * time.Millisecond)
		alice.take(a, 1<<20)
		bob.take(b, 1<<20)
		assertGiven(t, alice, "lobby presence 3 +bob+dora -")
		assertGiven(t, bob, "lobby presence 3 +bob+dora -")

		d.Leave(b)
		time.Sleep(time.Second)
		alice.take(a, 1<<20)
		assertGiven(t, alice, "lobby presence 3 +bob+dora -", "lobby presence 2 + -bob")
	})
}

func TestPresenceOfALargeRoomIsTheCountAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, nil, Options{})
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		for i := range presenceNames {
			join(t, d, newReader(t), "lobby", fmt.Sprint("user-", i), Start{})
		}
		time.Sleep(time.Second)
		alice.take(a, 1<<20)
		assertGiven(t, alice, fmt.Sprintf("lobby presence %d + -", presenceNames+1))
	})
}

func TestPresenceBetweenOwnEntriesIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDispatcher(t, nil, Options{})
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		d.Submit([]Send{send(t, a, "alice", "one", "x")})
		synctest.Wait()
		join(t, d, newReader(t), "lobby", "bob", Start{})
		time.Sleep(time.Second)
		d.Submit([]Send{send(t, a, "alice", "two", "y")})
		synctest.Wait()
		alice.take(a, 1<<20)
		assertGiven(t, alice, "ack 1 one", "lobby presence 2 +alice+bob -", "ack 2 two")
	})
}

func TestTwoFormatsOfOneRoom(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	loud := &loudFormat{}
	alice, bob := newReader(t), newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	b, _, err := tryJoin(d, bob, loud, storetest.Username(t, "bob"), storetest.RoomName(t, "lobby"), Start{})
	if err != nil {
		t.Fatal(err)
	}
	d.Submit([]Send{send(t, a, "alice", "one", "hello"), send(t, b, "bob", "one", "hi")})
	alice.until(a, 2)
	bob.until(b, 2)
	assertGiven(t, alice, "ack 1 one", "lobby 2 bob hi")
	assertGiven(t, bob, "LOBBY 1 ALICE HELLO", "ack 2 one")
}

type loudFormat struct{ textFormat }

func (f *loudFormat) AppendEntry(dst []byte, room string, e *store.Entry) []byte {
	start := len(dst)
	dst = f.textFormat.AppendEntry(dst, room, e)
	return append(dst[:start], strings.ToUpper(string(dst[start:]))...)
}

func TestAStoreThatCannotBeReadFailsLoudly(t *testing.T) {
	s := memory.New(0)
	s.Close()
	if _, err := New(t.Context(), s, Options{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("New over a closed store: %v, want ErrClosed", err)
	}
	open := memory.New(0)
	d := newDispatcher(t, open, Options{TailBytes: 1, PresenceDelay: time.Hour})
	alice := newReader(t)
	a := join(t, d, alice, "lobby", "alice", Start{})
	for i := range 200 {
		d.Submit([]Send{send(t, a, "alice", fmt.Sprint("id", i), strings.Repeat("x", 100))})
	}
	alice.until(a, 200)
	b := join(t, d, newReader(t), "lobby", "bob", Start{Resume: true})
	open.Close()
	if !b.Next().Behind {
		t.Error("a cursor behind the tail does not report it")
	}
	if err := b.Fetch(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Fetch behind the tail of a closed store: %v, want ErrClosed", err)
	}
	if _, err := d.History(t.Context(), storetest.RoomName(t, "lobby"), store.Page{Limit: 1}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("History of a closed store: %v, want ErrClosed", err)
	}
	if _, _, err := tryJoin(d, alice, plain, storetest.Username(t, "bob"), storetest.RoomName(t, "attic"), Start{}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Join over a closed store: %v, want ErrClosed", err)
	}
}

// hiccup is a store in which some reads fail before they work again.
type hiccup struct {
	store.Store
	mu    sync.Mutex
	fails int
}

func (s *hiccup) Read(ctx context.Context, room kaban.RoomName, p store.Page) ([]store.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails != 0 {
		s.fails--
		return nil, errors.New("the database is elsewhere")
	}
	return s.Store.Read(ctx, room, p)
}

func TestAReadThatFailsIsTriedAgainAndLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &hiccup{Store: memory.New(0), fails: 3}
		var log strings.Builder
		d := newDispatcher(t, s, Options{PresenceDelay: time.Hour, Log: slog.New(slog.NewTextHandler(&log, nil))})
		alice := newReader(t)
		a := join(t, d, alice, "lobby", "alice", Start{})
		storetest.Append(t, s.Store, storetest.Draft(t, "lobby", "carol", "c1", "from elsewhere"))
		d.Submit([]Send{send(t, a, "alice", "one", "hello")})
		alice.until(a, 2)
		assertGiven(t, alice, "lobby 1 carol from elsewhere", "ack 2 one")
		synctest.Wait()
		if got := log.String(); strings.Count(got, "the store failed") != 1 || strings.Count(got, "the store works again") != 1 {
			t.Errorf("the log says\n%swant one line for the failure and one for its end", got)
		}
	})
}

func TestCloseDoesNotWaitForAReadThatNeverWorks(t *testing.T) {
	s := &hiccup{Store: memory.New(0), fails: -1}
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	a := join(t, d, newReader(t), "lobby", "alice", Start{})
	storetest.Append(t, s.Store, storetest.Draft(t, "lobby", "carol", "c1", "from elsewhere"))
	d.Submit([]Send{send(t, a, "alice", "one", "hello")})
	d.Close() // and once more by the cleanup
}

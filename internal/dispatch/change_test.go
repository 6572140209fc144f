package dispatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"kaban"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// An idle connection has a Subscription for each room and, once it has sent there, Rights.
// Their sizes are those of classes of the allocator.
func TestSizesOfWhatAnIdleConnectionHas(t *testing.T) {
	if got := unsafe.Sizeof(Rights{}); got > 48 {
		t.Errorf("Rights have %d bytes", got)
	}
	if got := unsafe.Sizeof(Subscription{}); got > 144 {
		t.Errorf("a Subscription has %d bytes", got)
	}
	if got := unsafe.Sizeof(mark{}); got != markSize {
		t.Errorf("a mark has %d bytes, %d are counted", got, markSize)
	}
}

// about returns a send about a message.
func about(t testing.TB, s *Subscription, user, id string, kind kaban.Kind, target uint64, body string) Send {
	t.Helper()
	change := send(t, s, user, id, "x")
	change.Draft.Kind, change.Draft.Target, change.Draft.Body = kind, target, body
	return change
}

// joinFrom joins at the head, or behind an entry, as somebody that may not see what is
// before another.
func joinFrom(t testing.TB, d *Dispatcher, r *reader, format Format, user string, from uint64, start Start) *Subscription {
	t.Helper()
	place, err := d.Find(t.Context(), storetest.RoomName(t, "lobby"), start)
	if err != nil {
		t.Fatal(err)
	}
	place.From(from)
	s, _, err := d.Join(r, r, format, &kaban.Peer{Identity: kaban.Visitor(storetest.Username(t, user))}, place)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var errNotYours, errNever = errors.New("not yours"), errors.New("never")

// TestRightsToChange has members with all kinds of rights send messages and changes.
func TestRightsToChange(t *testing.T) {
	lasting := &Rights{Refusal: errMuted, Lasting: true}
	for _, c := range []struct {
		name   string
		rights Rights
		kind   kaban.Kind
		target uint64 // 1 and 2 are others', 3 is the member's own
		want   error
	}{
		{"a message", Rights{}, kaban.KindMessage, 0, nil},
		{"a message of a muted", Rights{Refusal: errMuted}, kaban.KindMessage, 0, errMuted},
		{"an edit of a muted", Rights{Refusal: errMuted}, kaban.KindEdit, 3, nil},
		{"a reaction of a muted", Rights{Refusal: errMuted}, kaban.KindReact, 1, nil},
		{"a reply of a muted", Rights{Refusal: errMuted}, kaban.KindMessage, 1, errMuted},
		{"a reply", Rights{From: 2}, kaban.KindMessage, 2, nil},
		{"a reply to what is hidden", Rights{From: 2}, kaban.KindMessage, 1, store.ErrNoTarget},
		{"a reply to nothing", Rights{}, kaban.KindMessage, 99, store.ErrNoTarget},
		{"an edit of one's own", Rights{}, kaban.KindEdit, 3, nil},
		{"an edit of another's", Rights{}, kaban.KindEdit, 1, errNotYours},
		{"an edit of what is hidden", Rights{From: 2}, kaban.KindEdit, 1, store.ErrNoTarget},
		{"an edit of one's own that is hidden", Rights{From: 4}, kaban.KindEdit, 3, store.ErrNoTarget},
		{"an edit of nothing", Rights{}, kaban.KindEdit, 99, store.ErrNoTarget},
		{"a pin", Rights{}, kaban.KindPin, 2, nil},
		{"a pin by somebody that may pin nothing", Rights{Changes: [6]uint8{1}}, kaban.KindPin, 1, errNever},
		{"a pin of nothing by somebody that may pin nothing", Rights{Changes: [6]uint8{1}}, kaban.KindPin, 99, errNever},
		{"a message with such a token", *lasting, kaban.KindMessage, 0, errMuted},
		{"an edit with such a token", *lasting, kaban.KindEdit, 3, errMuted},
		{"a reaction with such a token to nothing", *lasting, kaban.KindReact, 99, errMuted},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := memory.New(0)
			storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "1", "one"), storetest.Draft(t, "lobby", "ann", "2", "two"), storetest.Draft(t, "lobby", "bob", "3", "three"))
			d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
			d.SetJudge(func(*Room, *kaban.Peer, *Rights, uint64) (*Rights, error) { return &c.rights, nil })
			d.SetAbout(func(rights *Rights, change *kaban.Draft, target *store.Entry) error {
				switch {
				case rights.Changes[0] > 0:
					return errNever
				case target != nil && change.Kind == kaban.KindEdit && target.Author != change.Author.ID():
					return errNotYours
				}
				return nil
			})
			bob := newReader(t)
			b := join(t, d, bob, "lobby", "bob", Start{})
			d.Submit([]Send{about(t, b, "bob", "4", c.kind, c.target, "+x")})
			bob.until(b, 0)
			switch {
			case c.want == nil:
				assertGiven(t, bob, "ack 4 4")
			case len(bob.refused) != 1 || !errors.Is(bob.refused[0].Err, c.want):
				t.Errorf("refused: %v, want %v", bob.refused, c.want)
			}
		})
	}
}

// A member that is expelled changes nothing any more, whatever its rights were, and a
// repeat of what is stored is acknowledged all the same.
func TestChangesOfTheExpelled(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	d.SetJudge(func(*Room, *kaban.Peer, *Rights, uint64) (*Rights, error) { return &Rights{}, nil })
	bob := newReader(t)
	b := join(t, d, bob, "lobby", "bob", Start{})
	edit := about(t, b, "bob", "2", kaban.KindEdit, 1, "better")
	d.Submit([]Send{send(t, b, "bob", "1", "hi"), edit})
	d.Expel(b.Room(), "kicked", is(t, "bob"))
	d.Submit([]Send{edit, about(t, b, "bob", "3", kaban.KindEdit, 1, "best"), about(t, b, "bob", "4", kaban.KindReact, 1, "+x")})
	assertExpelled(bob, b, 1<<20)
	assertGiven(t, bob, "ack 1 1", "ack 2 2", "duplicate 2 2")
	if len(bob.refused) != 2 || !errors.Is(bob.refused[0].Err, ErrExpelled) || !errors.Is(bob.refused[1].Err, ErrExpelled) {
		t.Errorf("refused: %v", bob.refused)
	}
}

// TestHiddenChangesAreVoid has readers that see all and one that sees what comes from entry
// 3 on in one room. They follow, replay, and replay and then follow.
func TestHiddenChangesAreVoid(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	format := full[0]
	ann, bob, cat := newReader(t), newReader(t), newReader(t)
	a := joinFrom(t, d, ann, format, "ann", 0, Start{})
	b := joinFrom(t, d, bob, format, "bob", 1, Start{})
	d.Submit([]Send{send(t, a, "ann", "1", "one"), send(t, a, "ann", "2", "two")})
	c := joinFrom(t, d, cat, format, "cat", 3, Start{})
	d.Submit([]Send{
		send(t, a, "ann", "3", "three"),
		about(t, a, "ann", "4", kaban.KindEdit, 1, "ONE"),
		about(t, a, "ann", "5", kaban.KindReact, 3, "+x"),
		about(t, a, "ann", "6", kaban.KindReact, 2, "+x"),
		about(t, a, "ann", "7", kaban.KindPin, 1, "+"),
		about(t, a, "ann", "8", kaban.KindMessage, 1, "a reply is a message"),
		about(t, a, "ann", "9", kaban.KindDelete, 2, "why"),
		about(t, a, "ann", "10", kaban.KindEdit, 3, "THREE"),
	})
	void := func(seq int) string { return fmt.Sprintf(`lobby %d 0 0 "" "" 0 false`, seq) }
	entry := func(seq, kind, target int, content string) string {
		return fmt.Sprintf(`lobby %d %d %d "ann" %q 0 false`, seq, kind, target, content)
	}
	all := []string{
		entry(1, 1, 0, "one"), entry(2, 1, 0, "two"), entry(3, 1, 0, "three"), entry(4, 2, 1, "ONE"), entry(5, 4, 3, "+x"), entry(6, 4, 2, "+x"),
		entry(7, 5, 1, "+"), entry(8, 1, 1, "a reply is a message"), entry(9, 3, 2, "why"), entry(10, 2, 3, "THREE"),
	}
	for cat.sip(c, 1<<20) { // in several segments
	}
	assertGiven(t, cat, all[2], void(4), all[4], void(6), void(7), all[7], void(9), all[9])
	bob.take(b, 1<<20)
	assertGiven(t, bob, all...)
	if got := d.Stats().Fetches; got > 3 {
		t.Errorf("%d fetches for 4 entries that one reader may not see, in 3 runs", got)
	}

	// What the store has is the last version of each message.
	edited := func(seq, by int, content string) string {
		return fmt.Sprintf(`lobby %d 1 0 "ann" %q %d false`, seq, content, by)
	}
	seen := []string{edited(3, 10, "THREE"), void(4), all[4], void(6), void(7), all[7], void(9), all[9]}
	d.Reencode()
	dan, eve := newReader(t), newReader(t)
	replay := joinFrom(t, d, dan, format, "dan", 3, Start{Resume: true, After: 2})
	d.Submit([]Send{about(t, a, "ann", "11", kaban.KindReact, 1, "+y"), about(t, a, "ann", "12", kaban.KindReact, 3, "+y")})
	dan.take(replay, 1<<20)
	assertGiven(t, dan, append(seen, void(11), entry(12, 4, 3, "+y"))...)
	others := joinFrom(t, d, eve, format, "eve", 0, Start{Resume: true})
	eve.take(others, 1<<20)
	gone := `lobby 2 1 0 "ann" "" 0 true`
	assertGiven(t, eve, edited(1, 4, "ONE"), gone, edited(3, 10, "THREE"), all[3], all[4], all[5], all[6], all[7], all[8], all[9], entry(11, 4, 1, "+y"), entry(12, 4, 3, "+y"))

	// Cut in every place, each time without what is in memory.
	for max := 1; max < 60; max++ {
		fay := newReader(t)
		cut := joinFrom(t, d, fay, format, "fay", 3, Start{Resume: true, After: 2})
		for given := 0; fay.sip(cut, max); {
			now := len(strings.Join(fay.given, "")) + len(fay.partial)
			if now == given { // it was read, and nothing is given yet
				continue
			}
			given = now
			cut.Rest()
			if max%2 == 0 {
				d.Reencode()
			}
			cut.Rise()
		}
		assertGiven(t, fay, append(seen, void(11), entry(12, 4, 3, "+y"))...)
		d.Leave(cut)
	}
}

// Whoever may see everything reads no page for what others may not see.
func TestHiddenChangesCostOthersNothing(t *testing.T) {
	d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
	ann, bob := newReader(t), newReader(t)
	a, b := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{})
	d.Submit([]Send{send(t, a, "ann", "1", "hi")})
	cat := newReader(t)
	c := joinFrom(t, d, cat, plain, "cat", 2, Start{})
	for i := range 500 {
		d.Submit([]Send{send(t, a, "ann", fmt.Sprint("m", i), "hi"), about(t, a, "ann", fmt.Sprint("r", i), kaban.KindReact, 1, kaban.Switch(i%2 == 0, "x"))})
		bob.take(b, 1<<20)
	}
	if got := d.Stats().Fetches; got != 0 {
		t.Errorf("%d fetches", got)
	}
	cat.take(c, 1<<20)
	if got := d.Stats().Fetches; got == 0 || got > 1000/firstPage {
		t.Errorf("%d fetches of the one that may not see them", got)
	}
	if len(bob.given) != 1001 || len(cat.given) != 1000 {
		t.Errorf("given were %d and %d entries", len(bob.given), len(cat.given))
	}
}

// A frame of which a part was given ends as it began, or not at all.
func TestAnEntryChangesWhileItIsGiven(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, a *Subscription) Send
		cut     int
		goes    bool // the tail is given back meanwhile
		changed bool
	}{
		{"nothing", nil, 60, true, false},
		{"an edit, and the tail has the entry", func(t *testing.T, a *Subscription) Send {
			return about(t, a, "ann", "2", kaban.KindEdit, 1, "short")
		}, 60, false, false},
		{"an edit", func(t *testing.T, a *Subscription) Send { return about(t, a, "ann", "2", kaban.KindEdit, 1, "short") }, 60, true, true},
		{"an edit of the same length", func(t *testing.T, a *Subscription) Send {
			return about(t, a, "ann", "2", kaban.KindEdit, 1, strings.Repeat("y", 100))
		}, 60, true, true},
		{"an edit behind the cut", func(t *testing.T, a *Subscription) Send {
			return about(t, a, "ann", "2", kaban.KindEdit, 1, long[:99]+"y")
		}, 60, true, false},
		{"a deletion", func(t *testing.T, a *Subscription) Send { return about(t, a, "ann", "2", kaban.KindDelete, 1, "") }, 60, true, true},
		{"a reaction", func(t *testing.T, a *Subscription) Send { return about(t, a, "ann", "2", kaban.KindReact, 1, "+x") }, 60, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
			ann, bob := newReader(t), newReader(t)
			a, b := join(t, d, ann, "lobby", "ann", Start{}), join(t, d, bob, "lobby", "bob", Start{})
			d.Submit([]Send{send(t, a, "ann", "1", long)})
			for range 2 { // in two parts
				bob.sip(b, c.cut/2)
				b.Rest()
				b.Rise()
			}
			if c.change != nil {
				d.Submit([]Send{c.change(t, a)})
			}
			if c.goes {
				d.Reencode()
			}
			bob.take(b, 7)
			if bob.changed != c.changed || c.changed && b.Seq() != 0 {
				t.Errorf("changed: %t, the cursor is at %d", bob.changed, b.Seq())
			}
			if !c.changed && (len(bob.given) == 0 || len(bob.given[0]) != len("lobby 1 ann ")+100) {
				t.Errorf("given was %q", bob.given)
			}
		})
	}
}

// TestHistoryWithChanges reads pages of a room in which most entries are changes.
func TestHistoryWithChanges(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	a := join(t, d, newReader(t), "lobby", "ann", Start{})
	sends := []Send{send(t, a, "ann", "1", "one"), send(t, a, "ann", "2", "two")}
	for i := 3; i <= 6; i++ {
		sends = append(sends, about(t, a, "ann", fmt.Sprint(i), kaban.KindReact, 1, fmt.Sprint("+", i)))
	}
	sends = append(sends, about(t, a, "ann", "7", kaban.KindMessage, 2, "reply"), about(t, a, "ann", "8", kaban.KindEdit, 2, "TWO"), about(t, a, "ann", "9", kaban.KindPin, 2, "+"))
	d.Submit(sends)
	for _, c := range []struct {
		page        store.Page
		seqs        string
		first, last uint64
		more        bool
	}{
		{store.Page{Last: true, Limit: 100}, "1 2 7", 1, 9, false},
		{store.Page{Last: true, Limit: 2}, "2 7", 2, 9, true},
		{store.Page{Last: true, Limit: 1}, "7", 3, 9, true},
		{store.Page{Last: true, Limit: 1, Before: 3}, "2", 2, 2, true},
		{store.Page{Last: true, Limit: 1, Before: 2}, "1", 1, 1, false},
		{store.Page{Limit: 1}, "1", 1, 1, true},
		{store.Page{Limit: 2}, "1 2", 1, 6, true},
		{store.Page{After: 6, Limit: 1}, "7", 7, 9, false},
		{store.Page{After: 7, Limit: 5}, "", 8, 9, false},
		{store.Page{After: 9, Limit: 5}, "", 0, 0, false},
		{store.Page{Last: true, Before: 7, After: 2, Limit: 5}, "", 3, 6, false},
		{store.Page{Last: true, Limit: 5, RepliesTo: 2}, "7", 1, 9, false},
		{store.Page{Last: true, Limit: 5, RepliesTo: 1}, "", 1, 9, false},
	} {
		found, err := d.History(t.Context(), storetest.RoomName(t, "lobby"), c.page)
		if err != nil {
			t.Fatal(err)
		}
		var seqs []string
		for _, e := range found.Entries {
			seqs = append(seqs, fmt.Sprint(e.Seq))
		}
		if got := strings.Join(seqs, " "); got != c.seqs || found.First != c.first || found.Last != c.last || found.More != c.more || found.AsOf != 9 {
			t.Errorf("%+v: %q of %d to %d as of %d, more %t; want %q of %d to %d, %t", c.page, got, found.First, found.Last, found.AsOf, found.More, c.seqs, c.first, c.last, c.more)
		}
	}
}

// TestHistoryPassesOverLongRuns has more changes between two messages than one read of the
// store covers.
func TestHistoryPassesOverLongRuns(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	a := join(t, d, newReader(t), "lobby", "ann", Start{})
	const changes = 2*store.MaxRun + 5
	sends := []Send{send(t, a, "ann", "m", "hello")}
	for i := range changes {
		sends = append(sends, about(t, a, "ann", fmt.Sprint("p", i), kaban.KindPin, 1, []string{"+", "-"}[i%2]))
	}
	d.Submit(append(sends, send(t, a, "ann", "n", "hi")))
	const last = changes + 2
	for _, c := range []struct {
		page              store.Page
		seq, first, after uint64
		more              bool
	}{
		{store.Page{After: 1, Limit: 1}, last, 2, last, false},
		{store.Page{Last: true, Before: last, Limit: 1}, 1, 1, last - 1, false},
		{store.Page{After: 1, Before: last, Limit: 1}, 0, 2, last - 1, false},
		{store.Page{Last: true, After: 1, Before: last, Limit: 1}, 0, 2, last - 1, false},
	} {
		found, err := d.History(t.Context(), storetest.RoomName(t, "lobby"), c.page)
		if err != nil {
			t.Fatal(err)
		}
		var seq uint64
		if len(found.Entries) > 0 {
			seq = found.Entries[0].Seq
		}
		if seq != c.seq || found.First != c.first || found.Last != c.after || found.More != c.more {
			t.Errorf("%+v: %d of %d to %d, more %t; want %+v", c.page, seq, found.First, found.Last, found.More, c)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := d.History(ended, storetest.RoomName(t, "lobby"), store.Page{After: 1, Limit: 1}); err == nil && !found.More {
		t.Error("a page that nobody waits for any more passes over everything")
	}
}

// Reactions of a visitor that became an account are shown as the account's, and the store
// keeps what it had.
func TestReactionsAreAttributed(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	bob := kaban.Visitor(storetest.Username(t, "bob")).ID()
	d.SetAttribution(func(e *store.Entry) {
		if e.Author == bob {
			e.Author = "account:bob"
		}
	})
	a, b := join(t, d, newReader(t), "lobby", "ann", Start{}), join(t, d, newReader(t), "lobby", "bob", Start{})
	d.Submit([]Send{send(t, b, "bob", "1", "hi"), about(t, a, "ann", "2", kaban.KindReact, 1, "+x"), about(t, b, "bob", "3", kaban.KindReact, 1, "+x")})
	lobby := storetest.RoomName(t, "lobby")
	found, err := d.History(t.Context(), lobby, store.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	by := found.Entries[0].State.Reactions[0].People
	if found.Entries[0].Author != "account:bob" || by[0].Author == "account:bob" || by[1].Author != "account:bob" {
		t.Errorf("the page has %+v with %+v", found.Entries[0], by)
	}
	kept, err := s.History(context.Background(), lobby, store.Page{Limit: 1})
	if err != nil || kept.Entries[0].State.Reactions[0].People[1].Author != bob {
		t.Errorf("the store has %+v, %v", kept, err)
	}
}

// A page from the store reaches into the tail, which has an entry as it was before it was
// edited. A reader that has got a part of it from the page does not go on with the other.
func TestAnEntryChangesBetweenPageAndTail(t *testing.T) {
	for name, content := range map[string]string{"as long": strings.Repeat("y", 100), "longer": strings.Repeat("y", 300), "shorter": "y"} {
		t.Run(name, func(t *testing.T) {
			d := newDispatcher(t, nil, Options{PresenceDelay: time.Hour})
			ann, bob := newReader(t), newReader(t)
			a := join(t, d, ann, "lobby", "ann", Start{})
			d.Submit([]Send{send(t, a, "ann", "1", "one"), send(t, a, "ann", "2", "two")})
			d.Reencode()
			b := join(t, d, bob, "lobby", "bob", Start{Resume: true})
			d.Submit([]Send{send(t, a, "ann", "3", strings.Repeat("x", 100)), about(t, a, "ann", "4", kaban.KindEdit, 3, content)})
			cut := len("lobby 3 ann ") + min(60, len(content)) - 1
			for range 2 { // it is read, and then a part of it is given
				bob.sip(b, len("lobby 1 ann one")+len("lobby 2 ann two")+cut)
			}
			b.Rest()
			b.Rise()
			bob.take(b, 9)
			if whole := []string{"lobby 3 ann " + content, "lobby 3 ann " + strings.Repeat("x", 100)}; !bob.changed && (len(bob.given) != 4 || !slices.Contains(whole, bob.given[2])) {
				t.Errorf("given was %q", bob.given)
			}
		})
	}
}

package chat

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// TestNobodyReadsMoreThanAllowed plays people who are invited, leave, are kicked and
// banned and come back, read live, resume and page, and compares what they are given
// with a model of who may see what.
func TestNobodyReadsMoreThanAllowed(t *testing.T) {
	t.Run("memory", func(t *testing.T) { checkReaders(t, func() store.Store { return memory.New(0) }) })
	t.Run("sqlite", func(t *testing.T) {
		checkReaders(t, func() store.Store {
			s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"), sqlite.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		})
	})
}

func checkReaders(t *testing.T, open func() store.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{town: newTown(tester{t, rt}, open()), rt: rt, from: map[string]uint64{}, banned: map[string]bool{}, readers: map[string][]*Subscription{}}
		m.robot("robo", "bob")
		m.create("ann", "den", kaban.RoomPrivate)
		m.head, m.from["ann"] = 1, 1
		rt.Repeat(map[string]func(*rapid.T){
			"visit":   func(*rapid.T) { m.visit() },
			"invite":  func(*rapid.T) { m.invite(m.pick()) },
			"kick":    func(*rapid.T) { m.kick(m.pick(), access.Kick) },
			"ban":     func(*rapid.T) { m.kick(m.pick(), access.Ban) },
			"unban":   func(*rapid.T) { m.unban(m.pick()) },
			"part":    func(*rapid.T) { m.part(m.pick()) },
			"history": func(*rapid.T) { m.setHistory() },
			"speak":   func(*rapid.T) { m.speak(m.pick()) },
			"join":    func(*rapid.T) { m.join(m.pick()) },
			"read":    func(*rapid.T) { m.read(m.pick()) },
			"page":    func(*rapid.T) { m.page(m.pick()) },
		})
	})
}

// tester is a rapid.T where a testing.TB is asked for.
type tester struct {
	testing.TB
	rt *rapid.T
}

func (t tester) Helper()                   { t.rt.Helper() }
func (t tester) Error(a ...any)            { t.rt.Error(a...) }
func (t tester) Errorf(f string, a ...any) { t.rt.Errorf(f, a...) }
func (t tester) Fail()                     { t.rt.Fail() }
func (t tester) FailNow()                  { t.rt.FailNow() }
func (t tester) Failed() bool              { return t.rt.Failed() }
func (t tester) Fatal(a ...any)            { t.rt.Fatal(a...) }
func (t tester) Fatalf(f string, a ...any) { t.rt.Fatalf(f, a...) }
func (t tester) Log(a ...any)              { t.rt.Log(a...) }
func (t tester) Logf(f string, a ...any)   { t.rt.Logf(f, a...) }
func (t tester) Name() string              { return t.rt.Name() }
func (t tester) Skip(a ...any)             { t.rt.Skip(a...) }
func (t tester) SkipNow()                  { t.rt.SkipNow() }
func (t tester) Skipf(f string, a ...any)  { t.rt.Skipf(f, a...) }

type model struct {
	*town
	rt      *rapid.T
	head    uint64
	joined  bool              // new members see what comes from joining on
	from    map[string]uint64 // of the members
	banned  map[string]bool
	readers map[string][]*Subscription
}

func (m *model) pick() string {
	return rapid.SampledFrom([]string{"bob", "cat", "gus", "robo"}).Draw(m.rt, "who")
}

// robot adds a bot.
func (m *model) robot(name, owner string) {
	err := m.store.Update(m.t.Context(), func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: "id-" + name, Username: name, Role: kaban.RoleMember, Status: people.StatusActive, Bot: true, Owner: "id-" + owner})
	})
	if err != nil {
		m.rt.Fatal(err)
	}
}

// sees returns the first entry that somebody may see, 0 if none. A bot sees no more of a
// private room than its owner.
func (m *model) sees(name string) uint64 {
	from := m.from[name]
	if name != "robo" || from == 0 {
		return from
	}
	if m.from["bob"] == 0 || m.banned["bob"] {
		return 0
	}
	return max(from, m.from["bob"])
}

// visit expects that somebody without an account, with a name or without, finds no room.
func (m *model) visit() {
	den, ctx := storetest.RoomName(m.t, "den"), m.t.Context()
	after := rapid.Uint64Range(0, m.head).Draw(m.rt, "after")
	for _, u := range []User{m.visitor("vic", netip.MustParseAddr("192.0.2.1")), m.chat.As(kaban.Identity{}, netip.Addr{})} {
		_, page := m.history(u, "den")
		_, _, watch := u.Watch(ctx, reader{}, plain{}, den, Start{After: after, Resume: true})
		_, state := u.Room(ctx, den)
		_, members := u.Members(ctx, den, "", 0)
		for _, err := range []error{page, watch, state, members} {
			if !errors.Is(err, ErrNotFound) {
				m.rt.Fatalf("%q reads: %v", u.Identity().Name(), err)
			}
		}
	}
}

// deed expects an act of ann's to succeed or to fail.
func (m *model) deed(a Act, ok bool) bool {
	err := m.do("ann", "den", a)
	if (err == nil) != ok {
		m.rt.Fatalf("%v of %s: %v, want success %v", a.Action, a.Subject, err, ok)
	}
	if ok {
		m.head++
	}
	return ok
}

func (m *model) invite(name string) {
	if !m.deed(m.to(name, access.Invite), !m.banned[name]) || m.from[name] > 0 {
		return
	}
	m.from[name] = 1
	if m.joined {
		m.from[name] = m.head
	}
}

// gone expects that all readers of somebody are given nothing more.
func (m *model) gone(name, why string) {
	delete(m.from, name)
	if name == "bob" { // whose bot stays a member, and sees nothing
		for _, s := range m.readers["robo"] {
			if got, reason := m.drain(s); reason == "" || got[0] != "" {
				m.rt.Fatalf("robo, whose owner is gone, is given %q and %q", got, reason)
			}
			m.user("robo").Leave(s, false)
		}
		delete(m.readers, "robo")
	}
	for _, s := range m.readers[name] {
		if got, reason := m.drain(s); reason != why || got[0] != "" {
			m.rt.Fatalf("%s is given %q and %q", name, got, reason)
		}
		m.user(name).Leave(s, false)
	}
	delete(m.readers, name)
}

func (m *model) kick(name string, action access.Action) {
	if !m.deed(m.to(name, action), m.from[name] > 0 || action == access.Ban) {
		return
	}
	if action == access.Ban {
		m.banned[name] = true
		m.gone(name, "banned")
		return
	}
	m.gone(name, "kicked")
}

func (m *model) unban(name string) {
	m.deed(m.to(name, access.Unban), true)
	delete(m.banned, name)
}

func (m *model) part(name string) {
	err := m.user(name).Part(m.t.Context(), storetest.RoomName(m.t, "den"))
	if (err == nil) != (m.sees(name) > 0) {
		m.rt.Fatalf("%s parts: %v", name, err)
	}
	if err == nil {
		m.head++
		m.gone(name, "gone")
	}
}

func (m *model) setHistory() {
	m.joined = !m.joined
	history := people.HistoryAll
	if m.joined {
		history = people.HistoryJoined
	}
	m.deed(Act{Change: people.RoomChange{History: history}}, true)
}

func (m *model) speak(name string) {
	if readers := m.readers[name]; len(readers) > 0 {
		s := readers[0]
		m.check(name, s) // say throws away what comes before
		if err := m.say(m.user(name), s, "hi"); err != nil {
			m.rt.Fatalf("%s speaks: %v", name, err)
		}
		m.head++
	}
}

func (m *model) join(name string) {
	after := rapid.Uint64Range(0, m.head).Draw(m.rt, "after")
	s, err := m.follow(m.user(name), "den", after)
	allowed := m.sees(name) > 0 && after+1 >= m.sees(name)
	if (err == nil) != allowed {
		m.rt.Fatalf("%s, from %d, joins after %d: %v", name, m.from[name], after, err)
	}
	if err == nil {
		m.readers[name] = append(m.readers[name], s)
	}
}

// check reads what comes next and expects it gap-free, and nothing that may not be
// seen.
func (m *model) check(name string, s *Subscription) {
	next := s.Seq() + 1
	entries, why := m.drain(s)
	if why != "" {
		m.rt.Fatalf("%s is expelled: %s", name, why)
	}
	for _, e := range entries {
		var seq uint64
		if fmt.Sscan(e, &seq); e == "" {
			break
		}
		if seq != next || seq < m.sees(name) || m.sees(name) == 0 {
			m.rt.Fatalf("%s, from %d, is given %q, want %d", name, m.sees(name), e, next)
		}
		next++
	}
	if next != m.head+1 {
		m.rt.Fatalf("%s is given all before %d, the head is %d", name, next, m.head)
	}
}

func (m *model) read(name string) {
	for _, s := range m.readers[name] {
		m.check(name, s)
	}
}

func (m *model) page(name string) {
	entries, err := m.history(m.user(name), "den")
	from := m.sees(name)
	if from == 0 {
		if err == nil {
			m.rt.Fatalf("%s is not in and reads %v", name, entries)
		}
		return
	}
	var got, all []uint64
	for _, e := range entries {
		got = append(got, e.Seq)
	}
	for seq := from; seq <= m.head; seq++ {
		all = append(all, seq)
	}
	if err != nil || !slices.Equal(got, all) {
		m.rt.Fatalf("%s, from %d to %d, reads %v, %v", name, from, m.head, got, err)
	}
}

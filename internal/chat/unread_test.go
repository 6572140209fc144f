package chat

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// TestUnreadIsExact plays an account with three devices, which is invited, leaves and is
// kicked, writes, changes messages, and reads in any order, beside others. After each step it
// compares what is unread with what the log has.
func TestUnreadIsExact(t *testing.T) {
	t.Run("memory", func(t *testing.T) { playUnread(t, max(10_000, *manySteps), memory.New(0), nil) })
	t.Run("memory that forgets", func(t *testing.T) { playUnread(t, max(5_000, *manySteps/4), memory.New(2_000), nil) })
	t.Run("sqlite", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "data")
		var s *sqlite.Store
		open := func() store.Store {
			if s != nil {
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			var err error
			if s, err = sqlite.Open(t.Context(), dir, sqlite.Options{}); err != nil {
				t.Fatal(err)
			}
			return s
		}
		playUnread(t, max(1500, *manySteps/20), open(), open)
		s.Close()
	})
}

// unreadModel is what is known of the den, whose op is bob, and of ann in it.
type unreadModel struct {
	*town
	random *rand.Rand
	room   kaban.RoomName
	log    []store.Entry

	in         bool
	read       uint64
	unreadFrom uint64
}

func playUnread(t *testing.T, steps int, s store.Store, reopen func() store.Store) {
	m := &unreadModel{town: newTown(t, s), random: rand.New(rand.NewPCG(7, 11)), room: storetest.RoomName(t, "den")}
	m.create("bob", "den", kaban.RoomPrivate)
	joined := people.HistoryJoined
	want(t, "history", m.do("bob", "den", Act{Change: people.RoomChange{History: joined}}), nil)
	for i := range steps {
		what := m.step()
		if reopen != nil && i%100 == 99 {
			ids := m.ids
			m.town = newTown(t, reopen())
			m.ids, what = ids, "restart"
		}
		m.compare(i, what)
		if t.Failed() {
			return
		}
	}
	if !m.in && m.read == 0 || len(m.log) < steps/4 {
		t.Errorf("ann has read %d of %d entries: the test proves nothing", m.read, len(m.log))
	}
}

// ann returns one of her devices.
func (m *unreadModel) ann() User {
	u := m.user("ann")
	return m.chat.With(u.Identity(), u.peer.Address, &Credential{ID: fmt.Sprint("device-", m.random.IntN(3))})
}

// author returns somebody that writes.
func (m *unreadModel) author() User {
	if m.random.IntN(3) == 0 {
		return m.ann()
	}
	return m.user("bob")
}

// seq returns an entry of the log, mostly a late one, or none.
func (m *unreadModel) seq() uint64 {
	head := len(m.log)
	if m.random.IntN(2) == 0 {
		return uint64(max(0, head-m.random.IntN(8)+1))
	}
	return uint64(m.random.IntN(head + 2))
}

// step does something, which may be refused, and reads what it has added to the log.
func (m *unreadModel) step() (what string) {
	ctx, before := m.t.Context(), uint64(len(m.log))
	var err error
	n := m.random.IntN(40)
	if n < 30 && before/100%2 == 1 { // now and then nothing is read for long
		n /= 2
	}
	switch {
	case n < 16:
		what = "send"
		_, err = m.post(m.author(), "den", "x", 0)
	case n < 18:
		what = "edit"
		_, err = m.alter(m.author(), "den", Change{Kind: kaban.KindEdit, Target: m.seq(), Content: "y"})
	case n < 21:
		what = "react"
		_, err = m.alter(m.author(), "den", Change{Kind: kaban.KindReact, Target: m.seq(), Emoji: "👍", On: m.random.IntN(2) == 0})
	case n < 22:
		what = "delete"
		_, err = m.alter(m.author(), "den", Change{Kind: kaban.KindDelete, Target: m.seq()})
	case n < 30:
		seq := m.seq()
		what = fmt.Sprint("read ", seq)
		if err = m.ann().Read(ctx, m.room, seq); err == nil {
			if m.unreadFrom > 0 && seq >= m.unreadFrom {
				m.unreadFrom = 0
			}
			m.read = max(m.read, min(seq, before))
		}
	case n < 33:
		seq := m.seq()
		what = fmt.Sprint("unread ", seq)
		if err = m.ann().MarkUnread(ctx, m.room, seq); err == nil {
			m.unreadFrom = seq
		}
	case n < 35:
		what = "invite"
		err = m.do("bob", "den", m.to("ann", access.Invite))
		if err == nil && !m.in {
			m.in, m.read, m.unreadFrom = true, before, 0
		}
	case n < 36:
		what = "leave"
		if err = m.ann().Part(ctx, m.room); err == nil {
			m.in = false
		}
	case n < 37:
		what = "kick"
		if err = m.do("bob", "den", m.to("ann", access.Kick)); err == nil {
			m.in = false
		}
	default:
		what = "an older version, or another log"
		err = m.store.Update(ctx, func(tx store.Tx) error {
			member, in, err := people.Members.Find(tx, "den", "id-ann")
			if err != nil || !in {
				return err
			}
			if member.Counted = nil; n == 39 {
				member.Counted = &people.Counted{Counts: store.Counts{Messages: 5, Own: 3}, Epoch: "another"}
			}
			return people.Members.Put(tx, &member)
		})
	}
	for _, expected := range []error{ErrNotJoined, ErrNotFound, ErrNoMessage, ErrNobody, ErrGone, ErrForbidden} {
		if errors.Is(err, expected) {
			err = nil
		}
	}
	if err != nil {
		m.t.Fatalf("%s: %v", what, err)
	}
	entries, err := m.store.Read(ctx, m.room, store.Page{After: before, Limit: 1000})
	if err != nil {
		m.t.Fatal(err)
	}
	m.log = append(m.log, entries...)
	return what
}

// compare compares the state of the room for ann.
func (m *unreadModel) compare(step int, what string) {
	m.t.Helper()
	got, in, err := m.ann().State(m.t.Context(), m.room)
	if err != nil || in != m.in {
		m.t.Fatalf("step %d, %s: she is in the room: %t, %v; want %t", step, what, in, err, m.in)
	}
	if !in {
		return
	}
	room, err := m.store.Room(m.t.Context(), m.room)
	if err != nil {
		m.t.Fatal(err)
	}
	unread, from := uint64(0), max(m.read, room.Oldest-1)
	for _, e := range m.log[from:] {
		if e.Kind == kaban.KindMessage && e.Author != m.user("ann").Identity().ID() {
			unread++
		}
	}
	// Up to what is forgotten, the mark may be anything.
	if got.Unread != unread || got.UnreadFrom != m.unreadFrom || max(got.Read, room.Oldest-1) != from || got.Head != uint64(len(m.log)) {
		m.t.Errorf("step %d, %s: %d unread behind %d, unread from %d, head %d; want %d behind %d, from %d, head %d",
			step, what, got.Unread, got.Read, got.UnreadFrom, got.Head, unread, m.read, m.unreadFrom, len(m.log))
	}
	if last := len(m.log) - 1; int(m.read) == last && m.log[last].Kind == kaban.KindReact && got.Unread != 0 {
		m.t.Errorf("step %d, %s: a reaction is unread", step, what)
	}
}

// Two devices that mark in the opposite order end with the greater mark, with its counts.
func TestMarksOfTwoDevicesAtOnce(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("bob", "den", kaban.RoomPrivate)
		want(t, "invite", w.do("bob", "den", w.to("ann", access.Invite)), nil)
		den := storetest.RoomName(t, "den")
		for range 20 {
			_, err := w.post(w.user("bob"), "den", "x", 0)
			want(t, "post", err, nil)
			_, err = w.post(w.user("ann"), "den", "x", 0)
			want(t, "post", err, nil)
		}
		errs := make(chan error)
		for device := range 2 {
			go func() {
				var err error
				for i := range uint64(20) {
					seq := []uint64{3 + i, 40 - i}[device]
					err = errors.Join(err, w.user("ann").Read(t.Context(), den, seq))
				}
				errs <- err
			}()
		}
		want(t, "read", errors.Join(<-errs, <-errs), nil)
		state, _, err := w.user("ann").State(t.Context(), den)
		if err != nil || state.Read != 40 || state.Head != 42 || state.Unread != 1 {
			t.Errorf("%+v, %v; want 1 unread behind 40 of 42", state, err)
		}
	})
}

// A mark that is behind the head belongs to a log whose end was lost. It becomes the head, so
// that what follows is new.
func TestAMarkBehindTheHead(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := newTown(t, s)
		w.create("bob", "den", kaban.RoomPublic)
		den := storetest.RoomName(t, "den")
		want(t, "enter", w.user("ann").enter(t.Context(), den), nil)
		want(t, "a mark", s.Update(t.Context(), func(tx store.Tx) error {
			m, err := people.Members.Get(tx, "den", "id-ann")
			m.SetMark(store.Mark{Seq: 99, Counts: store.Counts{Messages: 50, Own: 2}}, "the epoch before")
			return errors.Join(err, people.Members.Put(tx, &m))
		}), nil)
		for i := range 3 {
			me, err := w.user("ann").Me(t.Context(), "", 0)
			at := slices.IndexFunc(me.Rooms, func(s RoomState) bool { return s.Room == den })
			if err != nil || at < 0 || me.Rooms[at].Read != 1 || me.Rooms[at].Unread != uint64(i) {
				t.Fatalf("after %d messages: %+v, %v", i, me.Rooms, err)
			}
			_, err = w.post(w.user("bob"), "den", "x", 0)
			want(t, "post", err, nil)
		}
	})
}

// After an older backup is restored, what was unread then is unread. A device that has read what
// was lost says so, which hides nothing that comes later.
func TestUnreadAfterARestore(t *testing.T) {
	dir, file := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "backup.db")
	var s *sqlite.Store
	open := func() *town {
		var err error
		if s, err = sqlite.Open(t.Context(), dir, sqlite.Options{}); err != nil {
			t.Fatal(err)
		}
		return newTown(t, s)
	}
	w := open()
	w.create("bob", "den", kaban.RoomPublic)
	den := storetest.RoomName(t, "den")
	want(t, "enter", w.user("ann").enter(t.Context(), den), nil)
	say := func(n int) (seq uint64) {
		t.Helper()
		for range n {
			var err error
			seq, err = w.post(w.user("bob"), "den", "hello @ann", 0)
			want(t, "post", err, nil)
		}
		return seq
	}
	check := func(when string, read, unread uint64) {
		t.Helper()
		state, _, err := w.user("ann").State(t.Context(), den)
		if err != nil || state.Read != read || state.Unread != unread || state.Mentions != unread {
			t.Errorf("%s: %+v, %v; want %d unread behind %d", when, state, err, unread, read)
		}
	}
	first := say(1)
	want(t, "read", w.user("ann").Read(t.Context(), den, first), nil)
	last := say(3)
	a, err := sqlite.OpenArchive(t.Context(), dir)
	want(t, "archive", err, nil)
	_, err = a.Backup(t.Context(), file, nil)
	want(t, "backup", errors.Join(err, a.Close()), nil)
	lost := say(5)
	want(t, "read", w.user("ann").Read(t.Context(), den, lost), nil)
	check("before", lost, 0)
	ids := w.ids
	w.chat.dispatcher.Close()
	want(t, "close", s.Close(), nil)
	_, err = sqlite.Restore(t.Context(), dir, file, true, nil)
	want(t, "restore", err, nil)
	w = open()
	defer s.Close()
	w.ids = ids
	check("after", first, 3)
	want(t, "read what was lost", w.user("ann").Read(t.Context(), den, lost), nil)
	check("when it is read", last, 0)
	say(2)
	check("later", last, 2)
}

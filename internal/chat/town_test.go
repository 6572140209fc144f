package chat

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
)

// A check of a property makes a whole server.
func TestMain(m *testing.M) {
	storetest.Checks(40)
	m.Run()
	teststore.Stop()
}

// town is a claimed server with accounts.
type town struct {
	t     testing.TB
	chat  *Chat
	store store.Store
	ids   int // of messages
}

// newTown returns a server with the owner olga, the admin adam, the members ann, bob
// and cat, and the guest gus.
func newTown(t testing.TB, s store.Store) *town {
	t.Helper()
	return newTownWith(t, s, Options{})
}

func newTownWith(t testing.TB, s store.Store, options Options) *town {
	t.Helper()
	return newTownOver(t, s, dispatch.Options{PresenceDelay: time.Hour}, options)
}

func newTownOver(t testing.TB, s store.Store, over dispatch.Options, options Options) *town {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for name, role := range map[string]kaban.Role{
			"olga": kaban.RoleOwner, "adam": kaban.RoleAdmin, "ann": kaban.RoleMember, "bob": kaban.RoleMember,
			"cat": kaban.RoleMember, "gus": kaban.RoleGuest,
		} {
			if err := people.Accounts.Put(tx, &people.Account{ID: "id-" + name, Username: name, Role: role, Status: people.StatusActive}); err != nil {
				return err
			}
		}
		return people.Settings.Put(tx, &people.Setting{Key: "access", Value: "open"})
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dispatch.New(t.Context(), s, over)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return &town{t: t, chat: chatOver(t, d, options), store: s}
}

func (w *town) user(name string) User {
	if name == "robo" {
		return w.chat.With(kaban.Bot("id-robo", storetest.Username(w.t, name)), netip.Addr{}, &Credential{ID: "token"})
	}
	return w.chat.With(kaban.Account("id-"+name, storetest.Username(w.t, name)), netip.Addr{}, &Credential{ID: "device", Device: true, Fresh: true})
}

func (w *town) visitor(name string, at netip.Addr) User {
	return w.chat.As(kaban.Visitor(storetest.Username(w.t, name)), at)
}

func (w *town) id() kaban.MessageID {
	w.t.Helper()
	w.ids++
	id, err := kaban.ParseMessageID(fmt.Sprint("m", w.ids))
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// do carries out an act of somebody without a subscription.
func (w *town) do(name, room string, a Act) error {
	w.t.Helper()
	return w.doAs(w.user(name), room, a)
}

func (w *town) doAs(u User, room string, a Act) error {
	w.t.Helper()
	a.Room, a.ID = storetest.RoomName(w.t, room), w.id()
	send, err := u.Act(nil, 0, a)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = u.Commit(w.t.Context(), send)
	return err
}

// to returns an act done to somebody.
func (w *town) to(name string, action access.Action) Act {
	return Act{Action: action, Subject: storetest.Username(w.t, name)}
}

func (w *town) create(name, room string, kind kaban.RoomKind) {
	w.t.Helper()
	if err := w.user(name).Create(w.t.Context(), storetest.RoomName(w.t, room), NewRoom{Kind: kind}); err != nil {
		w.t.Fatal(err)
	}
}

// follow joins a room and reads its log from behind an entry.
func (w *town) follow(u User, room string, after uint64) (*Subscription, error) {
	w.t.Helper()
	place, err := u.Find(w.t.Context(), storetest.RoomName(w.t, room), Start{After: after, Resume: true})
	if err != nil {
		return nil, err
	}
	s, _, err := u.Join(reader{}, u, plain{}, place)
	return s, err
}

// say submits a message and returns the error of its receipt; see commit.
func (w *town) say(u User, s *Subscription, content string) error {
	w.t.Helper()
	message, err := kaban.NewMessage(u.Identity().Name(), content, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	send, err := u.Draft(s, 0, w.id(), message, 0)
	if err != nil {
		return err
	}
	return w.commit(s, send)
}

// commit submits a send and returns the error of its receipt. What else comes first is
// thrown away.
func (w *town) commit(s *Subscription, send Send) error {
	w.t.Helper()
	w.chat.Submit([]Send{send})
	for {
		segment := s.Next()
		switch {
		case segment.Receipt != nil:
			return segment.Receipt.Err
		case segment.Behind:
			if err := s.Fetch(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
		case segment.Frames != nil:
			s.Advance(&segment, len(segment.Frames))
		default: // it is not committed yet
			time.Sleep(time.Millisecond)
		}
	}
}

// drain returns the entries that come next, one string each, and why it ends, if the
// reader is expelled.
func (w *town) drain(s *Subscription) (entries []string, expelled string) {
	w.t.Helper()
	var text strings.Builder
	for {
		segment := s.Next()
		switch {
		case segment.Behind:
			if err := s.Fetch(w.t.Context()); err != nil {
				w.t.Fatal(err)
			}
			continue
		case segment.Receipt != nil:
			fmt.Fprintf(&text, "%d own\n", segment.Receipt.Seq)
			continue
		case segment.Expelled != nil:
			expelled = segment.Expelled.Reason
		case segment.Frames != nil:
			text.Write(segment.Frames)
			s.Advance(&segment, len(segment.Frames))
			continue
		}
		return strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n"), expelled
	}
}

func (w *town) history(u User, room string) ([]Entry, error) {
	page, err := u.History(w.t.Context(), storetest.RoomName(w.t, room), Query{Limit: 500})
	return page.Entries, err
}

func want(t testing.TB, what string, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// drivers runs a test over each store.
func drivers(t *testing.T, test func(t *testing.T, s store.Store)) {
	t.Run("memory", func(t *testing.T) { test(t, memory.New(0)) })
	t.Run("sqlite", func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "data"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		test(t, s)
	})
}

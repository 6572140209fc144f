package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/dispatch"
	"kaban/internal/logs/logstest"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// damage makes documents unreadable.
func (w *town) damage(keys ...string) {
	w.t.Helper()
	w.update(func(tx store.Tx) error {
		for _, key := range keys {
			if old, err := tx.Get(key); err != nil || old == nil {
				return fmt.Errorf("there is no %s: %w", key, err)
			}
			if err := tx.Put(key, []byte("{")); err != nil {
				return err
			}
		}
		return nil
	})
}

// A damaged membership or room takes away the rights that it says something of, and nothing else: the others in
// the room are shown what comes behind a change of rights there, and whatever else has changed takes effect.
func TestDamageHoldsNobodyUp(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(fmt.Sprintf("everything may have changed: %v", all), func(t *testing.T) {
			s := memory.New(0)
			log := new(logstest.Buffer)
			one, two := twoNodesOn(t, false, s, s, Options{Log: slog.New(slog.NewTextHandler(log, nil))})
			one.create("ann", "attic", kaban.RoomPublic)
			one.create("ann", "hall", kaban.RoomPublic)
			one.create("ann", "den", kaban.RoomPublic)
			for _, name := range []string{"bob", "cat", "gus"} {
				want(t, "ann invites", one.do("ann", "hall", one.to(name, access.Invite)), nil)
			}
			bob, gus, adam := two.enter("bob", "phone"), two.enter("gus", "tablet"), two.enter("adam", "laptop")
			var subs []*Subscription
			for _, name := range []string{"bob", "cat"} {
				sub, err := two.follow(two.user(name), "hall", 0)
				if err != nil {
					t.Fatal(err)
				}
				subs = append(subs, sub)
			}
			one.damage("member/hall/id-cat", "room/attic", "account/id-adam")
			one.update(func(tx store.Tx) error {
				for i := range 5000 {
					if all {
						if err := people.Settings.Put(tx, &people.Setting{Key: fmt.Sprint(i)}); err != nil {
							return err
						}
					}
				}
				return people.Secrets.Delete(tx, "hash of tablet")
			})
			want(t, "ann invites bob", one.do("ann", "den", one.to("bob", access.Invite)), nil)
			want(t, "ann kicks gus", one.do("ann", "hall", one.to("gus", access.Kick)), nil)
			_, err := one.post(one.user("ann"), "hall", "behind it", 0)
			want(t, "ann posts", err, nil)
			if reason := two.readUntil(subs[0], "behind it"); reason != "" {
				t.Errorf("bob is expelled because %q", reason)
			}
			if reason := two.readUntil(subs[1], "behind it"); reason != reasonGone {
				t.Errorf("cat is expelled because %q, want %q", reason, reasonGone)
			}
			eventually(t, "the connection of a secret that is gone ends", gus.revoked.Load)
			eventually(t, "so does that of a damaged account", adam.revoked.Load)
			eventually(t, "bob is told of a room", func() bool { return slices.Contains(bob.take(), "den") })
			if bob.revoked.Load() {
				t.Error("bob's connection ends")
			}
			if !strings.Contains(log.String(), "room=hall people=1") {
				t.Errorf("the log has\n%s", log.String())
			}
			one.update(func(tx store.Tx) error { return people.Secrets.Delete(tx, "hash of phone") })
			eventually(t, "later news are read", bob.revoked.Load)
			if all {
				eventually(t, "a damaged room is not listed", func() bool { return !two.lists(two.user("bob"), "attic") })
			}
		})
	}
}

// A look at many finds all those that fail, with few looks where they are few, and ends when the store does not answer.
func TestSeverally(t *testing.T) {
	var subjects, want []int
	for i := range 100 {
		if subjects = append(subjects, i); i == 0 || i == 41 || i == 42 || i == 99 {
			want = append(want, i)
		}
	}
	looks, seen, away := 0, 0, false
	look := func(some []int) error {
		if looks++; away {
			return store.ErrUnavailable
		}
		for _, n := range some {
			if slices.Contains(want, n) {
				return store.ErrDamaged
			}
		}
		seen += len(some)
		return nil
	}
	damaged, err := severally(subjects, look)
	if err != nil || !slices.Equal(damaged, want) || seen != len(subjects)-len(want) || looks > 60 {
		t.Errorf("%v, %v with %d looks, which saw %d", damaged, err, looks, seen)
	}
	if subjects[0] != 0 || subjects[50] != 50 {
		t.Error("the subjects have changed")
	}
	away = true
	if damaged, err := severally(subjects, look); !errors.Is(err, store.ErrUnavailable) || len(damaged) > 0 {
		t.Errorf("%v, %v from a store that is away", damaged, err)
	}
}

// A visitor that resumes on another node and comes back before its news have, is answered as the store says.
func TestComingBackBeforeTheNews(t *testing.T) {
	one, two := twoNodes(t, true)
	one.chat.stopFollowing() // no news come
	first, v, err := one.come("mia", "")
	if err != nil {
		t.Fatal(err)
	}
	v.replaced = make(signal)
	second, _, err := two.come("mia", first.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := one.come("mia", second.Secret()); !errors.Is(err, ErrTaken) {
		t.Fatalf("before the store was asked: %v", err)
	}
	want(t, "ask the store", one.chat.GiveTaken(t.Context(), storetest.Username(t, "Mia")), nil)
	eventually(t, "the first connection ends", func() bool {
		select {
		case <-v.replaced:
			return true
		default:
			return false
		}
	})
	third, _, err := one.come("mia", second.Secret())
	if err != nil {
		t.Fatal(err)
	}
	one.chat.Release(first) // which is another one's name by now
	want(t, "ask the store again", one.chat.GiveTaken(t.Context(), storetest.Username(t, "mia")), nil)
	if _, _, err := one.come("mia", ""); !errors.Is(err, ErrTaken) || !one.chat.names.Holds(third) {
		t.Errorf("with no secret: %v", err)
	}

	// One that has left the other node lets others have the name here, with a connection or without.
	want(t, "ask the store there", two.chat.GiveTaken(t.Context(), storetest.Username(t, "mia")), nil)
	fourth, _, err := two.come("mia", third.Secret())
	if err != nil {
		t.Fatal(err)
	}
	two.chat.Release(fourth)
	eventually(t, "the name is given back", func() bool {
		_, err := one.post(one.visitor("mia", first.Address), "lobby", "x", 0)
		return err == nil
	})
}

// A node starts whichever document of a few is damaged, but for settings, without which it would not know whom to serve;
// and serves everything else.
func TestStartDespiteDamage(t *testing.T) {
	s := memory.New(0)
	w := newTown(t, s)
	for _, room := range []string{"hall", "attic"} {
		w.create("ann", room, kaban.RoomPublic)
	}
	w.update(func(tx store.Tx) error {
		all := []error{
			people.Accounts.Put(tx, &people.Account{ID: "id-old", Username: "old", Role: kaban.RoleMember, Status: people.StatusRemoved}),
			people.Accounts.Put(tx, &people.Account{ID: "id-dan", Username: "dan", Role: kaban.RoleMember, Status: people.StatusActive}),
			people.Members.Put(tx, &people.Member{Room: "attic", Name: "attic", Account: "id-dan", Role: kaban.RoomRoleMember}),
			people.Links.Put(tx, &people.Link{Visitor: "visitor:dan", Account: "id-dan", Since: 1 << 50}),
			people.Pushes.Put(tx, &people.Push{ID: "p", Account: "id-dan"}),
			people.Hooks.Put(tx, &people.Hook{Hash: "hash", ID: "hook", Room: "attic", Username: "hook", Creator: "id-dan"}),
			people.Tasks.Put(tx, &people.Task{Account: "id-dan", Kind: people.TaskSucceed, ID: "task"}),
			people.Erasures.Put(tx, &people.Erasure{Account: "id-old", Done: 1}),
		}
		return errors.Join(all...)
	})
	var documents []store.Document
	err := s.View(t.Context(), func(tx store.Tx) (err error) {
		documents, err = tx.Scan("a", "~", 10_000)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range documents {
		table, of, _ := strings.Cut(d.Key, "/")
		if strings.Contains(table, ".") || table == "setting" || strings.HasSuffix(of, "hall") || strings.Contains(of, "-ann") {
			continue
		}
		t.Run(strings.ReplaceAll(d.Key, "/", " "), func(t *testing.T) {
			w.update(func(tx store.Tx) error { return tx.Put(d.Key, []byte("{")) })
			defer w.update(func(tx store.Tx) error { return tx.Put(d.Key, d.Value) })
			log := new(logstest.Buffer)
			over, err := dispatch.New(t.Context(), s, dispatch.Options{PresenceDelay: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			defer over.Close()
			recorded := func(context.Context, []store.ErasedAccount) error { return nil }
			c, err := New(t.Context(), over, Options{Log: slog.New(slog.NewTextHandler(log, nil)), RecordErased: recorded})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			want(t, "start pushes", c.StartPushes(t.Context(), nobodyPushed{}), nil)
			two := &town{t: t, chat: c, store: s, ids: 1000 * (i + 1)}
			_, err = two.post(two.user("ann"), "hall", d.Key, 0)
			want(t, "ann posts", err, nil)
			if !c.IsClaimed() {
				t.Error("the server has no owner")
			}
			switch d.Key {
			case "room/attic":
				_, err := two.post(two.user("ann"), "attic", "x", 0)
				want(t, "ann posts in a damaged room", err, ErrDamaged)
				if two.lists(two.user("adam"), "attic") || !strings.Contains(log.String(), "attic") {
					t.Errorf("a damaged room is listed, or the log has no word of it:\n%s", log.String())
				}
			case "account/id-dan":
				_, err := two.post(two.user("dan"), "attic", "x", 0)
				want(t, "dan posts", err, ErrDamaged)
				e := store.Entry{Author: "visitor:dan"}
				if c.attribute(&e); e.Author != "account:id-dan" {
					t.Errorf("what dan was is shown as of %q", e.Author)
				}
			case "link/visitor:dan", "link/visitor%3Adan":
				e := store.Entry{Author: "visitor:dan"}
				if c.attribute(&e); e.Author != "visitor:dan" || c.isOf(&e, e.Author) {
					t.Errorf("what a visitor with a damaged link wrote is shown as of %q, whose own it is: %v", e.Author, c.isOf(&e, e.Author))
				}
				if !strings.Contains(log.String(), "visitor:dan") {
					t.Errorf("the log has\n%s", log.String())
				}
			}
		})
	}
}

// torn is a store in which rooms are on a page that is damaged.
type torn struct{ store.Store }

type tornTx struct{ store.Tx }

func (s torn) View(ctx context.Context, run func(store.Tx) error) error {
	return s.Store.View(ctx, func(tx store.Tx) error { return run(tornTx{tx}) })
}

func (tx tornTx) Scan(from, to string, limit int) ([]store.Document, error) {
	if strings.HasPrefix(from, "room") {
		return nil, fmt.Errorf("%w: a page", store.ErrDamaged)
	}
	return tx.Tx.Scan(from, to, limit)
}

// Where no room can be read, private rooms would be listed. So the server does not start.
func TestNoStartWithoutRooms(t *testing.T) {
	s := memory.New(0)
	newTown(t, s).create("ann", "attic", kaban.RoomPrivate)
	d, err := dispatch.New(t.Context(), torn{s}, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := New(t.Context(), d, Options{})
	if err == nil {
		c.Close()
	}
	want(t, "start", err, store.ErrDamaged)
}

// nobodyPushed pushes nothing.
type nobodyPushed struct{}

func (nobodyPushed) Push(*push.Subscription, push.Notice) error { return nil }
func (nobodyPushed) Withdraw(string, string, uint64) int        { return 0 }
func (nobodyPushed) Forget(string, string) int                  { return 0 }

// A damaged hook hides none of the others: the next start ends those that an older version has left.
func TestOrphanHooksBesideDamage(t *testing.T) {
	s := memory.New(0)
	w := newTown(t, s)
	w.create("ann", "attic", kaban.RoomPublic)
	w.update(func(tx store.Tx) error {
		return errors.Join(
			people.Accounts.Put(tx, &people.Account{ID: "id-old", Username: "old", Role: kaban.RoleMember, Status: people.StatusRemoved}),
			people.Hooks.Put(tx, &people.Hook{Hash: "hash", ID: "hook", Room: "attic", Username: "hook", Creator: "id-old"}),
			tx.Put(store.Key("hook", "damaged"), []byte("{")),
		)
	})
	log := new(logstest.Buffer)
	d, err := dispatch.New(t.Context(), s, dispatch.Options{PresenceDelay: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	c, err := New(t.Context(), d, Options{Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	w.update(func(tx store.Tx) error {
		if left, damaged, err := people.Hooks.Readable(tx); err != nil || len(left) > 0 || damaged != 1 {
			t.Errorf("%+v are left, and %d damaged ones, %v", left, damaged, err)
		}
		return nil
	})
	if !strings.Contains(log.String(), "1 hooks") {
		t.Errorf("the log has\n%s", log.String())
	}
}

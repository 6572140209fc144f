package chat

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/limit"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// pages is a Previewer. All texts that it is asked about have the same preview.
type pages struct {
	asked  []string
	author limit.Key
	during func() // while it reads

	forgot chan string // ROOM FIRST-LAST
}

var aPage = []Preview{{URL: "https://a.example/", Title: "A page"}}

func (p *pages) Previews(_ context.Context, m Linking) []Preview {
	p.asked, p.author = append(p.asked, m.Content), m.Author
	if p.during != nil {
		p.during()
	}
	return aPage
}

func (p *pages) Forget(room kaban.RoomName, first, last uint64) {
	select {
	case p.forgot <- fmt.Sprintf("%s %d-%d", room, first, last):
	default: // nobody wants to know so many
	}
}

// waitForgotten returns when something was forgotten.
func (p *pages) waitForgotten(t testing.TB, want string) {
	t.Helper()
	end := time.After(time.Minute)
	for got := ""; got != want; {
		select {
		case got = <-p.forgot:
		case <-end:
			t.Fatalf("%s is not forgotten", want)
		}
	}
}

// forgotten reports whether something was forgotten since the last call.
func (p *pages) forgotten() (some bool) {
	for {
		select {
		case <-p.forgot:
			some = true
		default:
			return some
		}
	}
}

// reading is a town with a Previewer.
type reading struct {
	*town
	pages *pages
}

func newReading(t *testing.T) *reading {
	p := &pages{forgot: make(chan string, 64)}
	return &reading{newTownWith(t, memory.New(0), Options{Previewer: p}), p}
}

// turn sets whether there are previews.
func (w *reading) turn(value string) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		return people.Settings.Put(tx, &people.Setting{Key: people.SettingPreviews, Value: value})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// write sends a message, and returns its seq.
func (w *reading) write(name, room, content string) uint64 {
	w.t.Helper()
	s, err := w.follow(w.user(name), room, 0)
	if err == nil {
		err = w.say(w.user(name), s, content)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	all, err := w.history(w.user(name), room)
	if err != nil {
		w.t.Fatal(err)
	}
	return all[len(all)-1].Seq
}

func (w *reading) previews(name, room string, seq uint64) ([]Preview, error) {
	return w.user(name).Previews(w.t.Context(), storetest.RoomName(w.t, room), seq)
}

func (w *reading) want(what, name, room string, seq uint64, want []Preview, wantErr error) {
	w.t.Helper()
	if got, err := w.previews(name, room, seq); !slices.Equal(got, want) || !errors.Is(err, wantErr) {
		w.t.Errorf("%s: %v, %v; want %v, %v", what, got, err, want, wantErr)
	}
}

// Nothing is read by default, nor when a message is sent.
func TestPreviewsAreOff(t *testing.T) {
	w := newReading(t)
	seq := w.write("ann", "lobby", "see https://a.example")
	w.want("by default", "bob", "lobby", seq, nil, nil)
	w.turn(people.PreviewsOff)
	w.want("off", "bob", "lobby", seq, nil, nil)
	if on, err := w.chat.PreviewsOn(t.Context()); on || err != nil {
		t.Error(on, err)
	}
	w.turn(people.PreviewsOn)
	seq = w.write("ann", "lobby", "and https://b.example")
	if on, err := w.chat.PreviewsOn(t.Context()); !on || err != nil {
		t.Error(on, err)
	}
	if len(w.pages.asked) > 0 {
		t.Errorf("pages are read of %q", w.pages.asked)
	}
	w.want("on", "bob", "lobby", seq, aPage, nil)
	if !slices.Equal(w.pages.asked, []string{"and https://b.example"}) || w.pages.author != limit.NameKey(kaban.Account("id-ann", storetest.Username(t, "ann")).ID()) {
		t.Errorf("%q of %d", w.pages.asked, w.pages.author)
	}
	none := newTown(t, memory.New(0))
	if found, err := none.user("bob").Previews(t.Context(), storetest.RoomName(t, "lobby"), 1); found != nil || !errors.Is(err, ErrNoMessage) {
		t.Errorf("without a Previewer: %v, %v", found, err)
	}
}

// Previews are for those that may read the message, and nobody learns of others.
func TestPreviewsFollowTheMessage(t *testing.T) {
	w := newReading(t)
	w.turn(people.PreviewsOn)
	w.create("ann", "plans", kaban.RoomPrivate)
	seq := w.write("ann", "plans", "https://a.example")
	w.want("a member", "ann", "plans", seq, aPage, nil)
	w.want("another one", "bob", "plans", seq, nil, ErrNotFound)
	w.want("an owner outside", "olga", "plans", seq, nil, ErrForbidden)
	for _, other := range []uint64{0, 1, seq + 1, 1 << 53} {
		w.want(fmt.Sprint("entry ", other), "ann", "plans", other, nil, ErrNoMessage)
	}
	if len(w.pages.asked) != 1 {
		t.Errorf("pages are read of %q", w.pages.asked)
	}
	// Somebody that sees the room from their own joining on has none of before.
	if err := errors.Join(w.do("ann", "plans", Act{Change: people.RoomChange{History: people.HistoryJoined}}), w.do("ann", "plans", w.to("cat", access.Invite))); err != nil {
		t.Fatal(err)
	}
	w.want("before joining", "cat", "plans", seq, nil, ErrNoMessage)
	w.delete("ann", "plans", seq)
	w.pages.waitForgotten(t, fmt.Sprintf("plans %d-%d", seq, seq))
	w.want("deleted", "ann", "plans", seq, nil, nil)
	if len(w.pages.asked) != 1 {
		t.Errorf("pages are read of a deleted message: %q", w.pages.asked)
	}
}

func (w *reading) delete(name, room string, seq uint64) {
	w.t.Helper()
	if _, _, err := w.user(name).Change(w.t.Context(), storetest.RoomName(w.t, room), w.id(), Change{Kind: kaban.KindDelete, Target: seq}); err != nil {
		w.t.Fatal(err)
	}
}

// What happens while pages are read counts.
func TestPreviewsThatComeTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		during  func(w *reading, seq uint64)
		err     error
		forgets bool
	}{
		"deleted": {func(w *reading, seq uint64) {
			w.delete("ann", "plans", seq)
			w.pages.waitForgotten(w.t, fmt.Sprintf("plans %d-%d", seq, seq))
		}, nil, true},
		"edited": {func(w *reading, seq uint64) {
			_, _, err := w.user("ann").Change(w.t.Context(), storetest.RoomName(w.t, "plans"), w.id(), Change{Kind: kaban.KindEdit, Target: seq, Content: "no link"})
			if err != nil {
				w.t.Error(err)
			}
			w.pages.waitForgotten(w.t, fmt.Sprintf("plans %d-%d", seq, seq))
		}, nil, true},
		"off": {func(w *reading, _ uint64) { w.turn(people.PreviewsOff) }, nil, true},
		"kicked": {func(w *reading, _ uint64) {
			if err := w.do("ann", "plans", w.to("bob", access.Kick)); err != nil {
				w.t.Error(err)
			}
		}, ErrNotFound, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReading(t)
			w.turn(people.PreviewsOn)
			w.create("ann", "plans", kaban.RoomPrivate)
			if err := w.do("ann", "plans", w.to("bob", access.Invite)); err != nil {
				t.Fatal(err)
			}
			seq := w.write("ann", "plans", "https://a.example")
			w.pages.during = func() { c.during(w, seq) }
			w.want(name, "bob", "plans", seq, nil, c.err)
			if len(w.pages.asked) != 1 {
				t.Errorf("pages are read of %q", w.pages.asked)
			}
			// The change itself was drained, so this is what Previews does.
			if got := w.pages.forgotten(); got != c.forgets {
				t.Errorf("the message is forgotten: %t, want %t", got, c.forgets)
			}
		})
	}
}

// Whoever waits no longer for the pages of a message that was deleted meanwhile leaves nothing in memory.
func TestPreviewsThatNobodyWaitsFor(t *testing.T) {
	w := newReading(t)
	w.turn(people.PreviewsOn)
	seq := w.write("ann", "lobby", "https://a.example")
	ctx, cancel := context.WithCancel(t.Context())
	w.pages.during = func() {
		w.turn(people.PreviewsOff)
		cancel()
	}
	if found, _ := w.user("bob").Previews(ctx, storetest.RoomName(t, "lobby"), seq); found != nil {
		t.Errorf("found %v", found)
	}
	w.pages.waitForgotten(t, fmt.Sprintf("lobby %d-%d", seq, seq))
}

// What was read for a message goes with it, and with its text: when it is edited, deleted, or too old.
func TestPreviewsGoWithTheMessage(t *testing.T) {
	w := newReading(t)
	seq := w.write("ann", "lobby", "https://a.example")
	if _, _, err := w.user("ann").Change(t.Context(), storetest.RoomName(t, "lobby"), w.id(), Change{Kind: kaban.KindEdit, Target: seq, Content: "no link"}); err != nil {
		t.Fatal(err)
	}
	w.pages.waitForgotten(t, fmt.Sprintf("lobby %d-%d", seq, seq))
	w.delete("ann", "lobby", seq)
	w.pages.waitForgotten(t, fmt.Sprintf("lobby %d-%d", seq, seq))
}

func TestPreviewsGoWithRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pages{forgot: make(chan string, 64)}
		w := newTownWith(t, memory.New(0), Options{Previewer: p})
		defer w.chat.Close()
		for n := range 10 {
			storetest.Append(t, w.store, storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", n), "https://a.example"))
		}
		if err := w.chat.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.retain("lobby", "1d")
		time.Sleep(48 * time.Hour)
		if err := w.chat.retainAll(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if got := w.kept("lobby"); got != "11-10" {
			t.Fatalf("%s is kept", got)
		}
		p.waitForgotten(t, "lobby 0-10")
		// It may have failed, so it is done again, also if there is nothing to cut.
		p.forgotten()
		if err := w.chat.retainAll(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		p.waitForgotten(t, "lobby 0-10")
	})
}

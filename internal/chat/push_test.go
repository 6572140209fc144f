package chat

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/push"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// pushed is a Pusher that remembers what it is told.
type pushed struct {
	mu    sync.Mutex
	lines []string
}

func (p *pushed) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, fmt.Sprintf(format, args...))
}

func (p *pushed) Push(to *push.Subscription, n push.Notice) error {
	urgent := ""
	if n.Urgent {
		urgent = " urgent"
	}
	p.note("%s %s %d%s", strings.TrimPrefix(n.Account, "id-"), n.Room, n.Seq, urgent)
	return nil
}

func (p *pushed) Withdraw(account, room string, upTo uint64) int {
	p.note("withdraw %s %s %d", account, room, upTo)
	return 0
}

func (p *pushed) Forget(account, subscription string) int {
	p.note("forget %s %s", account, subscription)
	return 0
}

func (p *pushed) take() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.lines
	p.lines = nil
	slices.Sort(taken)
	return taken
}

// pushing has browsers of some accounts subscribed, and returns what is pushed. Rooms are looked at
// by look only.
func pushing(w *town, names ...string) *pushed {
	w.t.Helper()
	p := new(pushed)
	var pusher Pusher = p
	w.chat.pushes.service.Store(&pusher)
	for _, name := range names {
		w.browser(name)
		w.chat.Subscribed("id-" + name)
	}
	return p
}

// browser stores a device of an account, and a subscription of it.
func (w *town) browser(name string) {
	w.t.Helper()
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	err = w.store.Update(w.t.Context(), func(tx store.Tx) error {
		device := people.Secret{Hash: "hash-" + name, ID: "device-" + name, Account: "id-" + name, Kind: people.SecretDevice}
		b := people.Push{ID: "push-" + name, Account: "id-" + name, Device: device.ID, Endpoint: "https://push.example/" + name, P256DH: encode(key.PublicKey().Bytes()), Auth: encode(make([]byte, 16))}
		return errors.Join(people.Secrets.Put(tx, &device), people.Pushes.Put(tx, &b))
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// look has new messages looked at, and compares what is pushed.
func (w *town) look(p *pushed, what string, want ...string) {
	w.t.Helper()
	w.chat.pushes.lookAll(w.t.Context())
	if got := p.take(); !slices.Equal(got, want) {
		w.t.Errorf("%s: pushed are %q, want %q", what, got, want)
	}
}

// tell posts a message.
func (w *town) tell(name, room, content string) uint64 {
	w.t.Helper()
	seq, err := w.post(w.user(name), room, content, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	return seq
}

// member sets what a membership says of its member.
func (w *town) member(name, room string, change func(*people.Member)) {
	w.t.Helper()
	err := w.store.Update(w.t.Context(), func(tx store.Tx) error {
		m, _, err := people.Members.Find(tx, storetest.RoomName(w.t, room).Key(), "id-"+name)
		if change(&m); err != nil {
			return err
		}
		return people.Members.Put(tx, &m)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// denOf returns a town with a private room of bob, with ann and cat in it.
func denOf(t *testing.T, s store.Store) *town {
	w := newTown(t, s)
	w.create("bob", "den", kaban.RoomPrivate)
	for _, name := range []string{"ann", "cat"} {
		want(t, "invite", w.do("bob", "den", w.to(name, access.Invite)), nil)
	}
	return w
}

func TestWhatIsPushed(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := denOf(t, s)
		p := pushing(w, "ann", "bob")
		w.tell("cat", "den", "hello")
		w.look(p, "only mentions, by default")

		seq := w.tell("cat", "den", "@ann look")
		w.tell("cat", "den", "and this")
		w.look(p, "a mention", fmt.Sprintf("ann den %d urgent", seq))
		w.tell("ann", "den", "@ann myself")
		w.look(p, "one's own")

		w.member("ann", "den", func(m *people.Member) { m.Notify = kaban.NotifyAll })
		first := w.tell("cat", "den", "@ann once more")
		w.tell("cat", "den", "one")
		last := w.tell("bob", "den", "two")
		w.look(p, "everything: the last one that is meant for her, and the last one", fmt.Sprintf("ann den %d", last), fmt.Sprintf("ann den %d urgent", first))

		w.member("ann", "den", func(m *people.Member) { m.Notify = kaban.NotifyNone })
		w.tell("cat", "den", "@ann nothing")
		w.look(p, "no notifications")

		w.member("ann", "den", func(m *people.Member) { m.Notify = 0 })
		w.change("ann", func(a *people.Account) { a.Keywords = []string{"deploy"} })
		seq = w.tell("cat", "den", "the Deploy is done")
		w.look(p, "a keyword", fmt.Sprintf("ann den %d urgent", seq))
		w.change("ann", func(a *people.Account) { a.Quiet = &people.Quiet{Until: time.Now().Add(time.Hour).UnixMilli()} })
		w.tell("cat", "den", "@ann not now")
		w.look(p, "not to be disturbed")
		w.change("ann", func(a *people.Account) { a.Quiet = nil })

		direct, err := w.user("cat").Direct(t.Context(), []kaban.Username{storetest.Username(t, "ann")})
		want(t, "open a direct room", err, nil)
		receipt, _, err := w.user("cat").Post(t.Context(), direct, w.id(), "psst", 0)
		want(t, "a direct message", err, nil)
		seq = receipt.Seq
		w.look(p, "a direct message", fmt.Sprintf("ann %s %d urgent", direct.Key(), seq))

		// What is read before it is looked at.
		seq = w.tell("cat", "den", "@ann read it")
		want(t, "read", w.user("ann").Read(t.Context(), storetest.RoomName(t, "den"), seq), nil)
		w.look(p, "read elsewhere", fmt.Sprintf("withdraw id-ann den %d", seq))

		w.change("ann", func(a *people.Account) { a.Status = people.StatusSuspended })
		w.tell("cat", "den", "@ann nobody")
		want(t, "kick", w.do("bob", "den", w.to("cat", access.Kick)), nil)
		w.change("ann", func(a *people.Account) { a.Status = people.StatusActive })
		want(t, "the device signs out", s.Update(t.Context(), func(tx store.Tx) error { return people.Secrets.Delete(tx, "hash-ann") }), nil)
		w.tell("bob", "den", "@ann no device")
		w.look(p, "without a device")

		want(t, "the last browser", s.Update(t.Context(), func(tx store.Tx) error {
			return errors.Join(people.Pushes.Delete(tx, "push-ann"), people.Pushes.Delete(tx, "push-bob"))
		}), nil)
		w.tell("bob", "den", "@ann no browser")
		w.tell("ann", "den", "@bob none either")
		w.look(p, "without browsers")
		if len(w.chat.pushes.subscribed) != 0 {
			t.Errorf("these may have browsers: %v", w.chat.pushes.subscribed)
		}
	})
}

// What does not notify an account costs it no look at its browsers, and rooms share the set of accounts.
func TestWhoMayHaveBrowsers(t *testing.T) {
	w := denOf(t, memory.New(0))
	p := pushing(w, "ann", "bob")
	want(t, "ann's last browser", w.store.Update(t.Context(), func(tx store.Tx) error { return people.Pushes.Delete(tx, "push-ann") }), nil)
	pushes := w.chat.pushes
	before := pushes.accounts()
	if w.tell("cat", "den", "small talk"); len(before) != 2 {
		t.Errorf("accounts are %v", before)
	}
	w.look(p, "small talk")
	w.chat.Subscribed("id-bob") // again
	if got := pushes.accounts(); fmt.Sprintf("%p", got) != fmt.Sprintf("%p", before) {
		t.Error("the set was made anew, although nothing has changed")
	}
	w.tell("cat", "den", "@ann look")
	w.look(p, "a mention without a browser")
	if got := slices.Collect(maps.Keys(pushes.accounts())); !slices.Equal(got, []string{"id-bob"}) {
		t.Errorf("accounts are %v after a look at ann's browsers", got)
	}
	if w.chat.Subscribed("id-ann"); len(pushes.accounts()) != 2 || len(before) != 2 {
		t.Errorf("accounts are %v after ann has subscribed", pushes.accounts())
	}
}

// Whatever is pushed is decided again when it is sent.
func TestComposePush(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := denOf(t, s)
		pushing(w, "ann", "cat", "gus")
		den := storetest.RoomName(t, "den")
		seq := w.tell("cat", "den", "@ann *look* at `this`")
		n := push.Notice{Account: "id-ann", Room: "den", Seq: seq, Urgent: true, Subscription: "push-ann"}
		compose := func(what, text string) {
			t.Helper()
			m, err := w.chat.ComposePush(t.Context(), n)
			switch {
			case text == "" && !errors.Is(err, push.ErrUnwanted):
				t.Errorf("%s: got %+v, %v, want nothing", what, m, err)
			case text != "" && (err != nil || m.Text != text || m.From != "cat" || m.Room != "den" || m.Seq != n.Seq || m.Cause != push.CauseMention || m.Time == 0):
				t.Errorf("%s: got %+v, %v", what, m, err)
			}
		}
		compose("as it is", "@ann look at this")
		if _, err := w.alter(w.user("cat"), "den", edit(seq, "@ann edited")); err != nil {
			t.Fatal(err)
		}
		compose("edited", "@ann edited")
		w.member("ann", "den", func(m *people.Member) { m.Notify = kaban.NotifyAll })
		for _, c := range []struct {
			want, content string
			files         []string
		}{
			{"cat.png", "", []string{w.upload("cat", "cat.png", 10)}},
			{"2 files", "", []string{w.upload("cat", "a.png", 10), w.upload("cat", "b.png", 10)}},
			{"look", "*look*", []string{w.upload("cat", "c.png", 10)}},
		} {
			sent, err := w.postFiles("cat", "den", w.id(), c.content, c.files...)
			if err != nil {
				t.Fatal(err)
			}
			m, err := w.chat.ComposePush(t.Context(), push.Notice{Account: "id-ann", Room: "den", Seq: sent.Seq, Subscription: "push-ann"})
			if err != nil || m.Text != c.want {
				t.Errorf("of a message with %d files: got %q, %v, want %q", len(c.files), m.Text, err, c.want)
			}
		}
		w.member("ann", "den", func(m *people.Member) { m.Notify = 0 })
		w.change("ann", func(a *people.Account) { a.PushHint = true })
		if m, err := w.chat.ComposePush(t.Context(), n); err != nil || m != (push.Message{}) {
			t.Errorf("only a hint: got %+v, %v", m, err)
		}
		w.change("ann", func(a *people.Account) { a.PushHint = false })
		for what, change := range map[string]func(set bool){
			"no notifications": func(set bool) {
				w.member("ann", "den", func(m *people.Member) { m.Notify = map[bool]kaban.NotifyLevel{true: kaban.NotifyNone}[set] })
			},
			"not to be disturbed": func(set bool) {
				w.change("ann", func(a *people.Account) {
					if a.Quiet = nil; set {
						a.Quiet = &people.Quiet{Until: time.Now().Add(time.Hour).UnixMilli()}
					}
				})
			},
			"suspended": func(set bool) {
				w.change("ann", func(a *people.Account) {
					if a.Status = people.StatusActive; set {
						a.Status = people.StatusSuspended
					}
				})
			},
		} {
			change(true)
			compose(what, "")
			change(false)
			compose("not "+what, "@ann edited")
		}
		for what, other := range map[string]push.Notice{
			"nobody":         {Account: "id-nobody", Room: "den", Seq: seq},
			"no room":        {Account: "id-ann", Room: "nowhere", Seq: seq},
			"no message":     {Account: "id-ann", Room: "den", Seq: seq + 100},
			"no entry of it": {Account: "id-ann", Room: "den", Seq: 1}, // somebody was invited
			"one's own":      {Account: "id-cat", Room: "den", Seq: seq},
			"not in it":      {Account: "id-gus", Room: "den", Seq: seq},
		} {
			if other.Subscription = "push-" + strings.TrimPrefix(other.Account, "id-"); other.Account == "id-nobody" {
				other.Subscription = "push-ann"
			}
			if m, err := w.chat.ComposePush(t.Context(), other); !errors.Is(err, push.ErrUnwanted) {
				t.Errorf("%s: got %+v, %v", what, m, err)
			}
		}
		later := w.tell("cat", "den", "@ann later")
		want(t, "read", w.user("ann").Read(t.Context(), den, seq), nil)
		compose("read", "")
		n.Seq = later
		compose("not read", "@ann later")
		if _, err := w.alter(w.user("cat"), "den", remove(later)); err != nil {
			t.Fatal(err)
		}
		compose("deleted", "")
		n.Seq = w.tell("cat", "den", "@ann last")
		compose("before she is thrown out", "@ann last")
		want(t, "kick", w.do("bob", "den", w.to("ann", access.Kick)), nil)
		compose("thrown out", "")
	})
}

// A push has the number of the page's badge: what is unread in rooms of which the account wants everything, and the
// mentions in the others. One that is only a hint has none.
func TestBadgesOfPushes(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := denOf(t, s)
		pushing(w, "ann")
		badge := func(what string, seq, want uint64) {
			t.Helper()
			n := push.Notice{Account: "id-ann", Room: "den", Seq: seq, Subscription: "push-ann"}
			if m, err := w.chat.ComposePush(t.Context(), n); err != nil || m.Unread != want {
				t.Errorf("%s: the badge is %d, %v, want %d", what, m.Unread, err, want)
			}
		}
		w.create("bob", "hut", kaban.RoomPrivate)
		want(t, "invite", w.do("bob", "hut", w.to("ann", access.Invite)), nil)
		w.tell("bob", "hut", "one")
		w.tell("bob", "hut", "two, @ann")
		w.tell("cat", "den", "hello")
		seq := w.tell("cat", "den", "@ann look")
		badge("mentions", seq, 2)
		w.member("ann", "hut", func(m *people.Member) { m.Notify = kaban.NotifyAll })
		badge("everything of one room", seq, 3)
		w.member("ann", "hut", func(m *people.Member) { m.Notify = kaban.NotifyNone })
		badge("a name in a room of which she wants nothing", seq, 2)
		want(t, "read", w.user("ann").Read(t.Context(), storetest.RoomName(t, "hut"), 100), nil)
		badge("one room is read", seq, 1)
		w.change("ann", func(a *people.Account) { a.PushHint = true })
		badge("a hint", seq, 0)
	})
}

// A push that waits is not sent once its subscription has ended, its device has, or the browser
// notifies another account.
func TestComposePushOfEndedSubscriptions(t *testing.T) {
	put := func(change func(*people.Push, *people.Secret)) func(store.Tx) error {
		return func(tx store.Tx) error {
			b, err := people.Pushes.Get(tx, "push-ann")
			if err != nil {
				return err
			}
			device, err := people.Secrets.WithID(tx, b.Device)
			if err != nil {
				return err
			}
			change(&b, &device)
			return errors.Join(people.Pushes.Put(tx, &b), people.Secrets.Put(tx, &device))
		}
	}
	ends := map[string]func(store.Tx) error{
		"unsubscribed":    func(tx store.Tx) error { return people.Pushes.Delete(tx, "push-ann") },
		"revoked":         func(tx store.Tx) error { return people.Secrets.Delete(tx, "hash-ann") },
		"expired":         put(func(_ *people.Push, d *people.Secret) { d.Expires = 1 }),
		"another account": put(func(b *people.Push, _ *people.Secret) { b.Account = "id-cat" }),
	}
	for what, end := range ends {
		t.Run(what, func(t *testing.T) {
			w := denOf(t, memory.New(0))
			p := pushing(w, "ann")
			seq := w.tell("cat", "den", "@ann look")
			w.look(p, "before", fmt.Sprintf("ann den %d urgent", seq))
			n := push.Notice{Account: "id-ann", Room: "den", Seq: seq, Urgent: true, Subscription: "push-ann"}
			if _, err := w.chat.ComposePush(t.Context(), n); err != nil {
				t.Fatal(err)
			}
			want(t, what, w.store.Update(t.Context(), end), nil)
			if m, err := w.chat.ComposePush(t.Context(), n); !errors.Is(err, push.ErrUnwanted) {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

// What somebody writes whom the account has blocked is not pushed, and not sent if it waits.
func TestBlocksStopPushes(t *testing.T) {
	w := denOf(t, memory.New(0))
	p := pushing(w, "ann")
	seq := w.tell("cat", "den", "@ann look")
	w.look(p, "before", fmt.Sprintf("ann den %d urgent", seq))
	block := people.Block{Account: "id-ann", Blocked: "id-cat"}
	want(t, "block", w.store.Update(t.Context(), func(tx store.Tx) error { return people.Blocks.Put(tx, &block) }), nil)
	n := push.Notice{Account: "id-ann", Room: "den", Seq: seq, Urgent: true, Subscription: "push-ann"}
	if m, err := w.chat.ComposePush(t.Context(), n); !errors.Is(err, push.ErrUnwanted) {
		t.Errorf("what waits: got %+v, %v", m, err)
	}
	last := w.tell("bob", "den", "@ann look")
	w.tell("cat", "den", "@ann again")
	w.look(p, "of those that are not blocked", fmt.Sprintf("ann den %d urgent", last))
}

// Messages are looked at in the background, also those of a server that ends at once, and browsers of an earlier
// start are known.
func TestPushesRun(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		w := denOf(t, s)
		w.browser("ann")
		p := new(pushed)
		want(t, "start", w.chat.StartPushes(t.Context(), p), nil)
		var all []string
		for i := range 3 {
			seq := w.tell("cat", "den", "@ann look")
			if i == 2 {
				w.chat.pushes.close()
			}
			line := fmt.Sprintf("ann den %d urgent", seq)
			for until := time.Now().Add(time.Minute); !slices.Contains(all, line); all = append(all, p.take()...) {
				if time.Now().After(until) {
					t.Fatalf("%s is not pushed, but %q", line, all)
				}
				time.Sleep(time.Millisecond)
			}
		}
	})
}

// Rooms beyond the limit are not looked at, and nobody waits.
func TestTooManyRoomsToLookAt(t *testing.T) {
	w := newTown(t, memory.New(0))
	p := pushing(w, "ann")
	entry := []Entry{{Seq: 1, Kind: kaban.KindMessage}}
	for i := range maxStretches + 5 {
		w.chat.pushes.appended(storetest.RoomName(t, fmt.Sprint("room", i)), entry)
	}
	if n := len(w.chat.pushes.grown); n != maxStretches || w.chat.pushes.missed.Load() != 5 {
		t.Errorf("%d rooms wait, %d are missed", n, w.chat.pushes.missed.Load())
	}
	w.look(p, "rooms that are gone")
	if w.chat.pushes.missed.Load() != 0 {
		t.Error("what is missed is not logged")
	}
	w.chat.pushes.appended(storetest.RoomName(t, "room"), []Entry{{Seq: 1, Kind: kaban.KindTopic}})
	if len(w.chat.pushes.grown) != 0 {
		t.Error("a topic notifies")
	}
}

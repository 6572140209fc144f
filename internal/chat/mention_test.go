package chat

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/access"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// manySteps is how many steps the models of mentions and of what is unread take, if not a few.
var manySteps = flag.Int("steps", 0, "compare mentions and what is unread with models over so many steps; takes minutes")

// mentionWorld is a server and what it must know of mentions.
type mentionWorld struct {
	*town
	random *rand.Rand
	reopen func() store.Store // nil: it cannot be started again
	rooms  map[string]*mentionRoom
	online map[string]*Session
}

type mentionRoom struct {
	private  bool
	op       string
	members  map[string]*mentionMember
	messages []*mentionMessage
}

type mentionMember struct {
	from, read uint64
	muted      bool
}

type mentionMessage struct {
	seq      uint64
	author   string
	deleted  bool
	everyone bool
	here     []string        // nil: it does not mention those that are here
	names    map[string]bool // of accounts
}

var mentionNames = []string{"ann", "bob", "cat", "gus"}

// text draws a content and returns what it mentions, by somebody in a room.
func (w *mentionWorld) text(r *mentionRoom, author string) (content string, m mentionMessage) {
	m.names = make(map[string]bool)
	var lines []string
	for range 1 + w.random.IntN(3) {
		name := mentionNames[w.random.IntN(len(mentionNames))]
		switch w.random.IntN(8) {
		case 0, 1, 2:
			lines = append(lines, "hello @"+[]string{name, strings.ToUpper(name), name + ","}[w.random.IntN(3)])
			_, in := r.members[name]
			if in || !r.private && name != "gus" { // guests know no rooms that they are not in
				m.names[name] = true
			}
		case 3:
			lines = append(lines, "`@"+name+"` @nobody mail@"+name)
		case 4:
			lines = append(lines, "> @"+name+" said")
		case 5:
			lines = append(lines, []string{"@everyone", "@all", "*@Channel*"}[w.random.IntN(3)])
			m.everyone = m.everyone || author == r.op
		case 6:
			lines = append(lines, "@here")
			if author == r.op && m.here == nil {
				m.here = []string{}
				for name := range w.online {
					if _, in := r.members[name]; in {
						m.here = append(m.here, name)
					}
				}
			}
		default:
			lines = append(lines, name)
		}
	}
	return strings.Join(lines, "\n"), m
}

// mentions returns how many unread messages mention a member.
func (r *mentionRoom) mentions(name string) (n int) {
	member := r.members[name]
	for _, m := range slices.Backward(r.messages) {
		if m.seq <= member.read || m.seq < member.from {
			break // they are in the order of their seqs
		}
		counts := m.names[name] || !member.muted && (m.everyone || slices.Contains(m.here, name))
		if counts && !m.deleted && m.author != name {
			n++
		}
	}
	return n
}

func (w *mentionWorld) entered(room, name string) {
	w.t.Helper()
	var m people.Member
	err := w.store.View(w.t.Context(), func(tx store.Tx) (err error) {
		m, _, err = people.Members.Find(tx, room, "id-"+name)
		return err
	})
	if err != nil || m.Account == "" {
		w.t.Fatalf("%s is not in %s: %v", name, room, err)
	}
	w.rooms[room].members[name] = &mentionMember{from: m.From, read: m.Read}
}

// device is one of the three that everybody has.
func (w *mentionWorld) device(name string) User {
	u := w.user(name)
	return w.chat.With(u.Identity(), u.peer.Address, &Credential{ID: fmt.Sprint("device-", w.random.IntN(3))})
}

// step does something, and does it to the model.
func (w *mentionWorld) step() string {
	w.t.Helper()
	name := []string{"hall", "den"}[w.random.IntN(2)]
	room, r := storetest.RoomName(w.t, name), w.rooms[name]
	in := slices.Sorted(maps.Keys(r.members))
	who := in[w.random.IntN(len(in))]
	must := func(what string, err error) string {
		if err != nil {
			w.t.Fatalf("%s: %v", what, err)
		}
		return what
	}
	switch n := w.random.IntN(20); {
	case n < 8:
		content, m := w.text(r, who)
		receipt, _, err := w.device(who).Post(w.t.Context(), room, w.id(), content, 0)
		m.seq, m.author = receipt.Seq, who
		r.messages = append(r.messages, &m)
		return must(fmt.Sprintf("%s says %q in %s", who, content, name), err)
	case n < 12 && len(r.messages) > 0:
		m := r.messages[w.random.IntN(len(r.messages))]
		if _, in := r.members[m.author]; m.deleted || !in || m.seq < r.members[m.author].from {
			return "nothing"
		}
		change := Change{Kind: kaban.KindDelete, Target: m.seq}
		m.deleted = n == 11
		if !m.deleted {
			content, now := w.text(r, m.author)
			if m.here != nil && now.here != nil {
				now.here = m.here // those that were online when it was mentioned
			}
			now.seq, now.author = m.seq, m.author
			*m = now
			change.Kind, change.Content = kaban.KindEdit, content
		}
		_, _, err := w.user(m.author).Change(w.t.Context(), room, w.id(), change)
		return must(fmt.Sprintf("%s changes %d in %s: %+v", m.author, m.seq, name, change), err)
	case n < 14 && len(r.messages) > 0:
		seq := r.messages[w.random.IntN(len(r.messages))].seq
		r.members[who].read = max(r.members[who].read, seq)
		return must(fmt.Sprintf("%s reads %s up to %d", who, name, seq), w.device(who).Read(w.t.Context(), room, seq))
	case n < 15:
		level := kaban.NotifyLevel(1 + w.random.IntN(3))
		r.members[who].muted = level == kaban.NotifyNone
		return must(fmt.Sprintf("%s wants %s of %s", who, level, name), w.device(who).Notify(w.t.Context(), room, level))
	case n < 17:
		other := mentionNames[w.random.IntN(len(mentionNames))]
		_, in := r.members[other]
		switch {
		case other == r.op:
		case in:
			delete(r.members, other)
			return must(fmt.Sprintf("%s is kicked from %s", other, name), w.do(r.op, name, w.to(other, access.Kick)))
		default:
			err := w.do(r.op, name, w.to(other, access.Invite))
			if err == nil {
				w.entered(name, other)
			}
			return must(fmt.Sprintf("%s is invited to %s", other, name), err)
		}
	case n < 19:
		other := mentionNames[w.random.IntN(len(mentionNames))]
		if session := w.online[other]; session != nil {
			w.chat.Release(session)
			delete(w.online, other)
			return other + " goes"
		}
		w.online[other] = w.chat.enter(&toldOwner{}, w.user(other).Identity(), w.user(other).peer.Address, &Credential{ID: "device"})
		return other + " comes"
	case w.reopen != nil:
		w.chat.Close()
		w.chat.dispatcher.Close()
		ids := w.ids
		w.town = newTown(w.t, w.reopen())
		w.ids = ids
		clear(w.online)
		return "the server is started again"
	}
	return "nothing"
}

// toldOwner is a connection that ignores what it is told.
type toldOwner struct{}

func (*toldOwner) Changed(kaban.RoomName) {}
func (*toldOwner) Revoke()                {}
func (*toldOwner) Replace()               {}

// check compares what everybody is told with the model.
func (w *mentionWorld) check(after []string) {
	w.t.Helper()
	for _, name := range mentionNames {
		me, err := w.device(name).Me(w.t.Context(), "", 0)
		if err != nil {
			w.t.Fatal(err)
		}
		got, want := make(map[string]int), make(map[string]int)
		for i := range me.Rooms {
			got[me.Rooms[i].Room.Key()] = int(me.Rooms[i].Mentions)
		}
		for room, r := range w.rooms {
			if _, in := r.members[name]; in {
				want[room] = r.mentions(name)
			}
		}
		if !maps.Equal(got, want) {
			w.t.Fatalf("%s has mentions %v, want %v, after\n%s", name, got, want, strings.Join(after, "\n"))
		}
	}
}

// Whatever is said, changed and read, and whoever comes and goes: everybody is told as many
// mentions as there are.
func TestMentionsAreCounted(t *testing.T) {
	for driver, open := range map[string]func(t *testing.T) (store.Store, func() store.Store){
		"memory": func(*testing.T) (store.Store, func() store.Store) { return memory.New(0), nil },
		"sqlite": func(t *testing.T) (store.Store, func() store.Store) {
			dir := filepath.Join(t.TempDir(), "data")
			var s store.Store
			start := func() store.Store {
				if s != nil {
					s.Close()
				}
				var err error
				if s, err = sqlite.Open(t.Context(), dir, sqlite.Options{}); err != nil {
					t.Fatal(err)
				}
				return s
			}
			t.Cleanup(func() { s.Close() })
			return start(), start
		},
	} {
		t.Run(driver, func(t *testing.T) {
			runs, steps := 4, 150
			if *manySteps > 0 {
				runs, steps = 1, *manySteps
				if driver == "sqlite" { // it is also started again
					steps /= 20
				}
			}
			for range runs {
				seed := rand.Uint64()
				t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
					s, reopen := open(t)
					w := &mentionWorld{
						town: newTown(t, s), random: rand.New(rand.NewPCG(seed, 0)), reopen: reopen,
						rooms: make(map[string]*mentionRoom), online: make(map[string]*Session),
					}
					w.create("ann", "hall", kaban.RoomPublic)
					w.create("bob", "den", kaban.RoomPrivate)
					w.rooms["hall"] = &mentionRoom{op: "ann", members: make(map[string]*mentionMember)}
					w.rooms["den"] = &mentionRoom{op: "bob", private: true, members: make(map[string]*mentionMember)}
					w.entered("hall", "ann")
					w.entered("den", "bob")
					want(t, "history", w.do("bob", "den", Act{Action: access.SetHistory, Change: people.RoomChange{History: people.HistoryJoined}}), nil)
					var done []string
					for n := range steps {
						if done = append(done, w.step()); n%5 == 4 {
							w.check(done[max(0, len(done)-150):])
						}
					}
				})
			}
		})
	}
}

// Members that are mentioned are told, in the room or not, and nobody else is.
func TestThoseMentionedAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		w.create("ann", "hall", kaban.RoomPublic)
		for _, name := range []string{"bob", "gus"} {
			want(t, "invite", w.do("ann", "hall", w.to(name, access.Invite)), nil)
		}
		owners := make(map[string]*told)
		for _, name := range []string{"ann", "bob", "cat", "gus"} {
			owners[name] = new(told)
			w.chat.enter(owners[name], w.user(name).Identity(), netip.Addr{}, &Credential{})
		}
		hall := storetest.RoomName(t, "hall")
		seq := uint64(0)
		check := func(what string, want ...string) {
			t.Helper()
			synctest.Wait()
			for name, o := range owners {
				if got, want := len(o.take()), slices.Contains(want, name); got > 1 || (got == 1) != want {
					t.Errorf("%s: %s is told %d times, want %t", what, name, got, want)
				}
			}
		}
		say := func(who, content string, want ...string) {
			t.Helper()
			receipt, _, err := w.user(who).Post(t.Context(), hall, w.id(), content, 0)
			if err != nil {
				t.Fatal(err)
			}
			seq = receipt.Seq
			check(content, want...)
		}
		say("ann", "nobody, mail@bob and `@bob`")
		say("ann", "@bob, and @cat that is no member", "bob")
		say("bob", "@everyone, by a member that may not ring")
		say("ann", "@everyone", "ann", "bob", "gus")
		say("ann", "@here", "ann", "bob", "gus")
		say("ann", "hello")
		_, _, err := w.user("ann").Change(t.Context(), hall, w.id(), Change{Kind: kaban.KindEdit, Target: seq, Content: "hello @gus"})
		want(t, "edit", err, nil)
		check("edit", "gus")
		change := func(what string, c Change, want ...string) {
			t.Helper()
			if c.Target = seq; c.Kind == 0 {
				c.Kind, c.Content = kaban.KindEdit, what
			}
			if _, _, err := w.user("ann").Change(t.Context(), hall, w.id(), c); err != nil {
				t.Fatal(err)
			}
			check(what, want...)
		}
		// Those that were mentioned until then are told, too.
		change("hello @bob", Change{}, "bob", "gus")
		change("`@bob` > @cat", Change{}, "bob")
		change("hello", Change{})
		say("ann", "@bob", "bob")
		change("a deletion", Change{Kind: kaban.KindDelete}, "bob")
		say("ann", "@everyone", "ann", "bob", "gus")
		change("nobody", Change{}, "ann", "bob", "gus")
		change("a deletion", Change{Kind: kaban.KindDelete})
	})
}

// New mentions stay, and old ones go.
func TestMentionsAreForgotten(t *testing.T) {
	w := newTown(t, memory.New(0))
	w.create("ann", "hall", kaban.RoomPublic)
	want(t, "invite", w.do("ann", "hall", w.to("bob", access.Invite)), nil)
	hall := storetest.RoomName(t, "hall")
	_, _, err := w.user("ann").Post(t.Context(), hall, w.id(), "@bob", 0)
	want(t, "post", err, nil)
	if more, err := w.chat.ForgetMentions(t.Context()); more || err != nil {
		t.Errorf("ForgetMentions: %t, %v", more, err)
	}
	state, _, err := w.user("bob").State(t.Context(), hall)
	if err != nil || state.Mentions != 1 {
		t.Errorf("a new mention: %d, %v; want 1", state.Mentions, err)
	}
	n, err := w.store.ForgetMentions(t.Context(), w.chat.now()+1000, 10)
	if state, _, _ = w.user("bob").State(t.Context(), hall); n != 1 || err != nil || state.Mentions != 0 {
		t.Errorf("after it is forgotten: %d, %d, %v; want 1 and 0", n, state.Mentions, err)
	}
}

// A clock that jumps ahead makes no mention old: only after it has run like that for a day is it believed.
func TestMentionsWhileTheClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ran := time.Duration(0)
		w := newTownWith(t, memory.New(0), Options{Clock: func() time.Duration { return ran }})
		w.create("ann", "hall", kaban.RoomPublic)
		want(t, "invite", w.do("ann", "hall", w.to("bob", access.Invite)), nil)
		_, err := w.post(w.user("ann"), "hall", "@bob", 0)
		want(t, "post", err, nil)
		check := func(when string, mentions uint64) {
			t.Helper()
			if _, err := w.chat.ForgetMentions(t.Context()); err != nil {
				t.Fatal(err)
			}
			state, _, err := w.user("bob").State(t.Context(), storetest.RoomName(t, "hall"))
			if err != nil || state.Mentions != mentions {
				t.Errorf("%s: %d mentions, %v; want %d", when, state.Mentions, err, mentions)
			}
		}
		both := func(d time.Duration) {
			time.Sleep(d)
			ran += d
		}
		check("at the start", 1)
		both(89 * 24 * time.Hour)
		check("after 89 days", 1)
		time.Sleep(10 * 24 * time.Hour) // the clock is set, and nothing has run so long
		check("after a jump", 1)
		both(23 * time.Hour)
		check("23 hours later", 1)
		both(time.Hour)
		check("when it is believed", 0)
		w.chat.Close()
		w.chat.dispatcher.Close()
	})
}

// Members see what an account says of itself until it ends, and other people's devices do not
// change it.
func TestAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTown(t, memory.New(0))
		w.create("ann", "hall", kaban.RoomPublic)
		want(t, "invite", w.do("ann", "hall", w.to("bob", access.Invite)), nil)
		away := func(name string) people.Away {
			t.Helper()
			members, err := w.user("bob").Members(t.Context(), storetest.RoomName(t, "hall"), "", 0)
			i := slices.IndexFunc(members.People, func(p Person) bool { return p.Username == name })
			if err != nil || i < 0 {
				t.Fatal(members, err)
			}
			return members.People[i].Away
		}
		lunch := people.Away{Away: true, Text: "lunch", Until: w.chat.now() + time.Hour.Milliseconds()}
		want(t, "away", w.user("ann").SetAway(t.Context(), lunch), nil)
		if got := away("ann"); got != lunch || away("bob") != (people.Away{}) {
			t.Errorf("ann is %+v, and bob %+v", got, away("bob"))
		}
		time.Sleep(time.Hour)
		if got := away("ann"); got != (people.Away{}) {
			t.Errorf("after an hour ann is %+v", got)
		}
		for _, set := range []people.Away{{Text: "here"}, {Away: true}, {}} {
			want(t, "away", w.user("ann").SetAway(t.Context(), set), nil)
			if got := away("ann"); got != set {
				t.Errorf("ann is %+v, want %+v", got, set)
			}
		}
		reads := w.chat.With(w.user("ann").Identity(), netip.Addr{}, &Credential{ID: "token", ReadOnly: true})
		want(t, "a credential that only reads", reads.SetAway(t.Context(), lunch), ErrForbidden)
		want(t, "a visitor", w.visitor("vic", netip.Addr{}).SetAway(t.Context(), lunch), ErrAuthRequired)
		want(t, "too late", w.user("ann").SetAway(t.Context(), people.Away{Away: true, Until: MaxUntil + 1}), ErrTooLate)
	})
}

// kicking does something while the history of a room is read.
type kicking struct {
	store.Store
	meanwhile func()
}

func (k *kicking) History(ctx context.Context, room kaban.RoomName, p store.Page) (store.History, error) {
	if do := k.meanwhile; do != nil {
		k.meanwhile = nil
		do()
	}
	return k.Store.History(ctx, room, p)
}

// Whoever is thrown out while an inbox is put together gets nothing that is said later.
func TestInboxWhileThrownOut(t *testing.T) {
	drivers(t, func(t *testing.T, s store.Store) {
		k := &kicking{Store: s}
		w := newTown(t, k)
		w.create("ann", "den", kaban.RoomPrivate)
		den := storetest.RoomName(t, "den")
		want(t, "bob is invited", w.do("ann", "den", w.to("bob", access.Invite)), nil)
		seq, err := w.post(w.user("ann"), "den", "@bob, hello", 0)
		want(t, "ann posts", err, nil)
		check := func(what string, mentions int) {
			t.Helper()
			inbox, err := w.user("bob").Inbox(t.Context(), 0, 0, 1000)
			if err != nil || len(inbox.Mentions) != mentions {
				t.Errorf("%s: %+v, %v, want %d mentions", what, inbox.Mentions, err, mentions)
			}
		}
		check("in the room", 1)
		k.meanwhile = func() {
			want(t, "bob is kicked", w.do("ann", "den", w.to("bob", access.Kick)), nil)
			_, _, err := w.user("ann").Change(t.Context(), den, w.id(), edit(seq, "@bob is out"))
			want(t, "ann edits", err, nil)
		}
		check("thrown out", 0)
		if k.meanwhile != nil {
			t.Error("no history was read")
		}
	})
}

// counting counts what a store is asked.
type counting struct {
	store.Store
	views, mentions, histories atomic.Int64
}

func (c *counting) View(ctx context.Context, run func(store.Tx) error) error {
	c.views.Add(1)
	return c.Store.View(ctx, run)
}

func (c *counting) Mentions(ctx context.Context, room kaban.RoomName, account string, after, last uint64) ([]store.Mention, error) {
	c.mentions.Add(1)
	return c.Store.Mentions(ctx, room, account, after, last)
}

func (c *counting) History(ctx context.Context, room kaban.RoomName, p store.Page) (store.History, error) {
	c.histories.Add(1)
	return c.Store.History(ctx, room, p)
}

// An inbox reads the mentions of a room once, and decides about it once, however many there are.
func TestInboxDecidesByRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // nothing else asks the store
		c := &counting{Store: memory.New(0)}
		w := newTown(t, c)
		rooms := []string{"den", "hall"}
		for _, room := range rooms {
			w.create("ann", room, kaban.RoomPrivate)
			want(t, "invite", w.do("ann", room, w.to("bob", access.Invite)), nil)
		}
		var views int64
		for n := range 12 {
			for _, room := range rooms {
				_, err := w.post(w.user("ann"), room, fmt.Sprint("@bob ", n), 0)
				want(t, "post", err, nil)
			}
			synctest.Wait()
			c.views.Store(0)
			c.mentions.Store(0)
			c.histories.Store(0)
			inbox, err := w.user("bob").Inbox(t.Context(), 0, 0, 1<<20)
			if total := 2 * (n + 1); err != nil || len(inbox.Mentions) != min(total, defaultInbox) || inbox.More != (total > defaultInbox) {
				t.Fatalf("%d mentions of %d, more %t, %v", len(inbox.Mentions), total, inbox.More, err)
			}
			for i := range inbox.Mentions {
				if got := inbox.Mentions[i].Message.Content; got != fmt.Sprint("@bob ", n-i/2) {
					t.Errorf("number %d of %d is %q", i, len(inbox.Mentions), got)
				}
			}
			if n == 0 {
				views = c.views.Load()
			}
			if c.mentions.Load() != int64(len(rooms)) || c.views.Load() != views || c.histories.Load() > defaultInbox+1 {
				t.Errorf("%d mentions: %d lists of mentions, %d views, %d histories; want %d, %d, %d at most", 2*(n+1), c.mentions.Load(), c.views.Load(), c.histories.Load(), len(rooms), views, defaultInbox+1)
			}
		}
		w.chat.Close()
	})
}

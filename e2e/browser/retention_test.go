package browser

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kaban/internal/store"
	"kaban/internal/store/sqlite"
	"kaban/internal/store/storetest"
)

// kept opens the data of a server that does not run.
func kept(t *testing.T, data string, use func(*sqlite.Store)) {
	t.Helper()
	s, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	use(s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// begins is the text above the first message.
const begins = `document.querySelector('#messages .begin')?.innerText`

// A cut overtakes a page that is offline: what is left arrives, with the gap and a calm
// sentence, only what is left is unread, and what was written meanwhile is sent.
func TestCutWhileOffline(t *testing.T) {
	t.Parallel()
	data := ownedData(t, "open", "ben")
	s := startServer(t, data)
	between := startLink(t, s.url)
	s.say("guest", "lobby", "m1", "m2", "m3")
	writer, account, visitor := newPage(t, desktop), newPage(t, desktop), newPage(t, desktop)
	for name, p := range map[string]*page{"ben": writer, "olga": account} {
		p.expectBreaks()
		p.open(between.url() + "/sign-in")
		p.heading("Sign in to Kaban")
		p.fill("username", name)
		p.fill("password", password)
		p.press(kb.Enter)
		p.online()
	}
	visitor.expectBreaks()
	visitor.join(between.url(), "vera")
	pages := map[string]*page{"the writer": writer, "the account": account, "the visitor": visitor}
	for _, p := range pages {
		p.sees("m3")
		p.until(begins + `?.startsWith('This is where lobby begins')`)
		p.text(`document.hasFocus = () => false, dispatchEvent(new Event('blur')), ''`)
	}
	between.set(cut)
	s.say("guest", "lobby", "m4", "m5", "m6", "m7", "m8")
	for _, p := range pages {
		p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	}
	writer.say("written offline")
	writer.pending("written offline")
	s.stop()
	kept(t, data, func(kept *sqlite.Store) {
		// All but the last three.
		lobby := storetest.RoomName(t, "lobby")
		state, err := kept.Room(t.Context(), lobby)
		if err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Hour).UnixMilli()
		if n, err := kept.Cut(t.Context(), lobby, store.Age{Before: later, Now: later}, int(state.Head)-3); err != nil || n != int(state.Head)-3 {
			t.Fatalf("cut %d: %v", n, err)
		}
	})
	s.start()
	between.set(whole)
	for name, p := range pages {
		p.online()
		p.sees("written offline")
		p.until(begins + ` === 'Older messages are no longer kept.'`)
		if got, want := p.shown(), []string{"m6", "m7", "m8", "written offline"}; !slices.Equal(got, want) {
			t.Errorf("%s sees %q, want %q", name, got, want)
		}
		if p.truth(`document.querySelector('.state.problem, .failed')`) {
			t.Errorf("%s is alarmed: %s", name, p.text(`document.querySelector('.state.problem, .failed').innerText`))
		}
		p.until(`document.querySelector('.gap')`)
	}
	writer.stored("written offline")
	// What is left is unread, and no more than that.
	for _, p := range []*page{account, visitor} {
		p.until(`document.querySelector('#messages .unread, #messages .content')?.matches('.unread')`)
	}
	visitor.until(`document.title.startsWith('(4)')`)
}

// An owner chooses how long the messages of a room are kept, and is told first what goes.
func TestRetentionOfRoom(t *testing.T) {
	t.Parallel()
	data := ownedData(t, "invite", "ben")
	kept(t, data, func(kept *sqlite.Store) {
		var records []store.Record
		for i := range 5 {
			old := time.Now().Add(-time.Duration(10-i) * 24 * time.Hour)
			records = append(records, store.Record{Draft: storetest.Draft(t, "lobby", "guest", fmt.Sprint("m", i), fmt.Sprint("old ", i)), Seq: uint64(i + 1), Time: old.UnixMilli()})
		}
		if _, err := kept.Import(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	})
	s := startServer(t, data)
	p, ben := newPage(t, desktop), newPage(t, desktop)
	p.expectBreaks()
	ben.expectBreaks()
	p.signIn(s.url, "olga")
	p.say("of today")
	p.stored("of today")
	p.button("Room settings")
	p.until(`document.getElementById('retention')?.value === ''`)
	p.set("retention", "other")
	p.fill("retention-other", "a while")
	p.press(kb.Enter)
	p.until(`document.querySelector('dialog[open] [role=alert]')?.innerText.includes('is no retention')`)
	p.fill("retention-other", "1d")
	p.press(kb.Enter)
	p.until(`document.querySelector('dialog[open] [role=alert]')?.innerText === 'This deletes 5 messages for good. Press again to do it.'`)
	p.picture("room-retention")
	if got := p.later(`fetch("/v1/admin/rooms").then((r) => r.json()).then((l) => l.rooms.filter((r) => r.retention).length)`); got != 0 {
		t.Error("the retention is set before the second press")
	}
	p.button("Delete and save")
	p.until(`!document.querySelector('dialog[open] [role=alert]') && document.getElementById('retention').form.querySelector('button').disabled`)
	p.press(kb.Escape)
	// The server deletes a moment later.
	for end := time.Now().Add(patience); ; {
		p.run(chromedp.Reload())
		p.online()
		p.until(`(window.begins = ` + begins + `) && window.begins !== 'Loading …'`)
		got := p.text(`window.begins`)
		if got == "Older messages are no longer kept." {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("older messages are still kept: %s", got)
		}
	}
	p.until(`[...document.querySelectorAll('#messages .row .content')].map((e) => e.innerText).join() === 'of today'`)
	p.button("Room settings")
	p.until(`document.getElementById('retention')?.value === 'other' && document.getElementById('retention-other').value === '1d'`)
	// The usual ones are words.
	if got := p.text(`[...document.getElementById('retention').options].map((e) => e.text).join(', ')`); got != "As the server says, Forever, 30 days, 90 days, 1 year, 2 years, Another time …" {
		t.Errorf("the page offers %q", got)
	}
	p.set("retention", "90d")
	p.until(`!document.getElementById('retention-other')`)
	p.press(kb.Escape)

	// Nobody else is offered it.
	ben.signIn(s.url, "ben")
	ben.button("Room settings")
	ben.until(`document.querySelector('dialog[open] input[name=level]')`)
	if ben.truth(`document.getElementById('retention')`) {
		t.Error("a member is offered the retention")
	}
}

// Whoever came later to a room that shows its history from there on is not told that
// anything is gone.
func TestBeginsWithJoining(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "carla")
	p, carla := newPage(t, desktop), newPage(t, desktop)
	p.expectBreaks()
	carla.expectBreaks()
	p.signIn(s.url, "ben")
	p.create("plans", "private")
	p.say("before")
	p.stored("before")
	p.button("Room settings")
	p.click(`input[name=history][value=joined]`)
	p.until(`document.querySelector('dialog[open] input[name=history]:checked')?.value === 'joined'`)
	// The dialog that replaces this one has the focus in its field.
	p.text(`[...document.querySelectorAll('dialog[open] button')].find((b) => b.innerText.trim() === 'Invite people').click(), ''`)
	p.until(`document.activeElement?.role === 'combobox'`)
	p.write("carla")
	p.until(`document.querySelectorAll('#people [role=option]').length === 1`)
	p.press(kb.Enter)
	p.until(`document.querySelector('.chip')?.innerText.includes('carla')`)
	p.press(kb.Enter)
	p.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText === 'ben added carla')`)
	carla.signIn(s.url, "carla")
	carla.visit("plans")
	carla.until(begins + ` === 'You see what has been written since you came.'`)
	p.until(begins + `?.startsWith('This is where plans begins')`)

	// An op's dialog about a member has the focus at what one does first, not at the cross.
	p.until(`[...document.querySelectorAll('.member-list button')].some((b) => b.innerText.includes('carla'))`)
	p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('carla')).click(), ''`)
	p.until(`document.querySelector('dialog[open] .actions')`)
	if got := p.text(`document.activeElement.innerText || document.activeElement.getAttribute('aria-label')`); got != "Send a direct message" {
		t.Errorf("the focus is at %q, want the first button", got)
	}
}

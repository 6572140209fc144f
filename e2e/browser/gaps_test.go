package browser

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"kaban/internal/account"
)

// choose picks a room or a person by completion.
func (p *page) choose(label, name string) {
	p.t.Helper()
	p.text(`document.querySelector('[role=combobox][aria-label=' + JSON.stringify(` + quote(label) + `) + ']').focus(), ''`)
	p.write(name)
	p.until(`document.querySelector('#people [role=option][aria-selected=true]')?.innerText.includes(%s)`, name)
	p.press(kb.Enter)
	p.until(`[...document.querySelectorAll('.chip')].some((e) => e.innerText.includes(%s))`, name)
}

// create makes a room in the dialog.
func (p *page) create(room, kind string) {
	p.t.Helper()
	p.button("Join or create a room")
	p.until(`document.activeElement?.id === 'room'`)
	p.write(room)
	p.click(`input[value=` + kind + `]`)
	p.text(`document.querySelector('dialog[open] form').requestSubmit(), ''`)
	p.until(`document.querySelector('h1 bdi')?.innerText === %s && !document.querySelector('dialog[open]')`, room)
}

// Tokens and invites are for some rooms only.
func TestBoundToRooms(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	p.create("plans", "private")
	p.part("Tokens and bots")
	p.fill("token-name", "reporter")
	p.choose("Only in these rooms (optional)", "plans")
	p.picture("token-rooms")
	p.button("Make the token")
	p.until(`document.querySelector('#link')?.value.startsWith('kaban_token_') && document.querySelector('.item')?.innerText.includes('#plans')`)
	token := p.text(`document.querySelector('#link').value`)
	for room, want := range map[string]int{"plans": http.StatusOK, "lobby": http.StatusNotFound} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/rooms/"+room+"/messages", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if (answer.StatusCode == http.StatusOK) != (want == http.StatusOK) {
			t.Errorf("the token gets %s in %s", answer.Status, room)
		}
	}

	p.part("Invites")
	p.choose("Rooms to be in at once (optional)", "plans")
	p.button("Make a link")
	p.until(`document.querySelector('#link')?.value.includes('/invite#') && document.querySelector('.item')?.innerText.includes('#plans')`)
	p.picture("invite-rooms")
	invite := p.text(`document.querySelector('#link').value`)
	dora := newPage(t, desktop)
	dora.expectBreaks()
	dora.open(invite)
	dora.until(`document.querySelector('.card')?.innerText.includes('#plans')`)
	dora.fill("username", "dora")
	dora.fill("password", password)
	dora.press(kb.Enter)
	dora.online()
	dora.until(`[...document.querySelectorAll('.room-name')].some((e) => e.innerText === 'plans')`)
}

// The settings of a private room say how much of it new members see.
func TestHistoryOfRoom(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.create("plans", "private")
	p.button("Room settings")
	const chosen = `document.querySelector('dialog[open] input[name=history]:checked')?.value`
	p.until(chosen + ` === 'all'`)
	p.click(`input[name=history][value=joined]`)
	p.until(chosen + ` === 'joined'`)
	p.picture("history")
	p.press(kb.Escape)
	p.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText.includes('only what comes after they join'))`)
	p.open(s.url + "/r/plans")
	p.online()
	p.button("Room settings")
	p.until(chosen + ` === 'joined'`)
}

// Who is blocked is known wherever one can block.
func TestBlocking(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	card := func() {
		p.until(`[...document.querySelectorAll('.member-list button')].some((b) => b.innerText.includes('ben'))`)
		p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('ben')).click(), ''`)
	}
	card()
	p.button("Block")
	p.until(`[...document.querySelectorAll('dialog[open] button')].some((b) => b.innerText === 'Unblock')`)
	p.picture("blocked")
	p.press(kb.Escape)
	card()
	p.until(`[...document.querySelectorAll('dialog[open] button')].some((b) => b.innerText === 'Unblock' && !b.disabled)`)
	p.press(kb.Escape)
	p.part("Profile")
	p.button("Unblock")
	p.until(`!document.querySelector('dialog[open]').innerText.includes('Blocked people')`)
	p.press(kb.Escape)
	card()
	p.until(`[...document.querySelectorAll('dialog[open] button')].some((b) => b.innerText === 'Block' && !b.disabled)`)
}

// Making a room is offered to those who may, in the kinds that they may.
func TestOfferToCreate(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	s.stop()
	prepare(t, s.data, func(accounts *account.Service) {
		if err := accounts.Set(t.Context(), account.Operator(), "create_rooms", "admin"); err != nil {
			t.Fatal(err)
		}
	})
	s.start()
	offers := func(username, kinds string) {
		t.Helper()
		p := newPage(t, desktop)
		p.expectBreaks()
		p.signIn(s.url, username)
		p.open(s.url) // a reload has to ask as well
		p.online()
		p.until(`document.querySelector('.me-name')`)
		p.button("Join or create a room")
		p.until(`document.querySelector('dialog[open] #room')`)
		p.pause(300) // the answer of the server may come later, and change what is offered
		p.until(`[...document.querySelectorAll('dialog[open] input[name=kind]')].map((e) => e.value).join() === %s`, kinds)
	}
	offers("ben", "private")
	offers("olga", "public,private")
}

// Admins see all rooms, name an op without reading, and make webhooks.
func TestRoomsAndHooks(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "carla")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	ben.create("plans", "private")
	ben.button("Invite people")
	ben.choose("Name of a person", "carla")
	ben.press(kb.Enter)
	ben.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText === 'ben added carla')`)

	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	p.part("Rooms")
	const plans = `[...document.querySelectorAll('.item')].find((e) => e.innerText.includes('#plans'))`
	p.until(plans + `?.innerText.includes('private')`)
	p.text(plans + `.querySelector('button').click(), ''`)
	p.fill("op-plans", "carla")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part [role=status]')?.innerText.includes('carla is op now')`)
	p.picture("rooms")
	ben.until(members+` === %s`, "ben op you online; carla op offline")
	p.fill("op-plans", "nobody")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part [role=alert]')`)

	p.part("Webhooks")
	p.fill("room", "plans") // which nobody enters from outside, not even as an owner
	p.fill("username", "deploys")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part [role=alert]')?.innerText.length > 0`)
	ben.visit("lobby")
	p.fill("room", "lobby")
	p.press(kb.Enter)
	p.until(`document.querySelector('#link')?.value.includes('/hooks/') && document.querySelector('.item')?.innerText.includes('deploys')`)
	p.picture("hooks")
	at := p.text(`document.querySelector('#link').value`)
	answer, err := http.Post(at, "application/json", strings.NewReader(`{"text":"version 7 is out"}`))
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode >= 300 {
		t.Errorf("the hook answers %s", answer.Status)
	}
	ben.sees("version 7 is out")
	p.button("Remove")
	p.button("Remove – sure?")
	p.until(`!document.querySelector('.part .item')`)
}

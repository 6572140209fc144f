package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestScreenshotsOfPeople makes the pictures of a new server: claiming it, the invite,
// and the first conversation. scripts/screenshots-web runs it.
func TestScreenshotsOfPeople(t *testing.T) {
	if *screenshots == "" {
		t.Skip("only with -screenshots")
	}
	s, claim := unclaimed(t)
	shoot := func(p *page, name string) {
		t.Helper()
		p.text(`document.activeElement.blur(), ''`)
		p.shoot(name)
	}
	p := newPage(t, screen{width: 1200, height: 800})
	p.expectBreaks()
	p.open(s.url + "/claim#" + claim)
	p.heading("Set up this server")
	p.fill("username", "priya")
	p.fill("name", "Priya Raman")
	p.fill("password", password)
	shoot(p, "web-claim")
	p.press(kb.Tab)
	p.text(`document.querySelector('.card form').requestSubmit(), ''`)
	p.heading("Save your recovery codes")
	p.click(`.card input[type=checkbox]`)
	p.button("Continue")
	p.heading("Your server is ready")
	invite := p.text(`document.querySelector('#link').value`)
	p.button("Start chatting")
	p.online()
	p.button("Join or create a room")
	p.fill("room", "launch")
	p.click(`input[value=private]`)
	p.fill("topic", "Release 1.0 on Friday")
	p.press(kb.Enter)
	p.until(`document.querySelector('.head .topic').innerText !== ''`)
	p.say("This room is for the launch. **Nobody else** can see it.")

	ben := newPage(t, screen{width: 390, height: 780, mobile: true, dark: true})
	ben.expectBreaks()
	ben.open(invite)
	ben.heading("priya invites you")
	ben.fill("username", "ben")
	shoot(ben, "web-invite")
	ben.fill("password", password)
	ben.text(`document.querySelector('.card form').requestSubmit(), ''`)
	ben.online()

	p.button("Invite people")
	p.until(`document.activeElement?.role === 'combobox'`)
	p.write("ben")
	p.until(`document.querySelectorAll('#people [role=option]').length === 1`)
	p.press(kb.Enter)
	p.until(`document.querySelector('.chip')`)
	p.press(kb.Enter)
	ben.open(s.url + "/r/launch")
	ben.online()
	for _, said := range []string{"Thanks! The notes are nearly done.", "Do we still wait for the mirror?"} {
		ben.fill("input", said) // on a phone, Enter begins a new line
		ben.click(".send")
		ben.stored(said)
	}
	p.sees("mirror")
	p.say("No, it came back this morning.")
	p.stored("No, it came back this morning.")
	shoot(p, "web-people")
}

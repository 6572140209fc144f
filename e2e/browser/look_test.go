package browser

import (
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp/kb"
)

// TestLook shows each step from a new server to a conversation, on screens of all
// kinds, in both languages, with the longest names, and finds what does not fit.
func TestLook(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]struct {
		screen
		language string
	}{
		"desktop-light": {screen{width: 1280, height: 800}, "en"},
		"desktop-dark":  {screen{width: 1280, height: 800, dark: true}, "de"},
		"phone-light":   {screen{width: 320, height: 640, mobile: true}, "de"},
		"phone-dark":    {screen{width: 390, height: 780, mobile: true, dark: true}, "en"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			look(t, name, how.screen, how.language)
		})
	}
}

// fits fails if something is wider than the screen, or cut off without an ellipsis.
func (p *page) fits(step string) {
	p.t.Helper()
	const wide = `[...document.querySelectorAll('body *')].filter((e) => {
		const box = e.getBoundingClientRect()
		if (box.width === 0 || e.closest('.hidden, .skip, nav') || getComputedStyle(e).visibility === 'hidden' || e.closest('.side, .members')) return false
		return box.right > innerWidth + 1 || box.left < -1
	}).map((e) => e.tagName + '.' + e.className + ' ' + e.innerText?.slice(0, 40)).slice(0, 5).join('; ')`
	if found := p.text(wide); found != "" {
		p.t.Errorf("%s: wider than the screen: %s", step, found)
	}
	// A field that is wider than its place covers the button beside it.
	const covered = `[...document.querySelectorAll('.beside > .field')].filter((f) => {
		const button = f.parentElement.querySelector('.beside > button')?.getBoundingClientRect()
		return button && [...f.querySelectorAll('input, select')].some((e) => {
			const box = e.getBoundingClientRect()
			return box.width > 0 && box.right > button.left && box.left < button.right && box.bottom > button.top && box.top < button.bottom
		})
	}).map((f) => f.innerText.slice(0, 40)).join('; ')`
	if found := p.text(covered); found != "" {
		p.t.Errorf("%s: a button is covered by its field: %s", step, found)
	}
}

func look(t *testing.T, name string, how screen, language string) {
	s, claim := unclaimed(t)
	german := language == "de"
	say := func(en, de string) string {
		if german {
			return de
		}
		return en
	}
	shoot := func(p *page, step string) {
		t.Helper()
		p.pause(150) // what fades in has come
		p.fits(step)
		p.picture(name + "-" + step)
	}
	start := func() *page {
		p := newPage(t, how)
		p.expectBreaks()
		p.open(s.url + "/healthz")
		p.text(`localStorage.setItem('kaban.language', JSON.stringify('` + language + `')), ''`)
		return p
	}
	long := strings.Repeat("Wilhelmine ", 5) + "Wilhelmin" // 64 characters
	p := start()
	p.open(s.url + "/claim#" + claim)
	p.heading(say("Set up this server", "Diesen Server einrichten"))
	shoot(p, "1-claim")
	p.fill("username", strings.Repeat("w", 32))
	p.fill("name", long)
	p.fill("password", "password12")
	p.text(`document.querySelector('.card form').requestSubmit(), ''`)
	p.until(`document.querySelector('#password-problem')?.innerText.startsWith(%s)`, say("Choose another password", "Wähle ein anderes Passwort"))
	shoot(p, "2-claim-weak")
	p.fill("password", password)
	p.text(`document.querySelector('.card form').requestSubmit(), ''`)
	p.until(`document.querySelectorAll('.codes li').length >= 8`)
	shoot(p, "3-codes")
	p.click(`.card input[type=checkbox]`)
	p.button(say("Continue", "Weiter"))
	p.until(`document.querySelector('#link')`)
	shoot(p, "4-invite-link")
	invite := p.text(`document.querySelector('#link').value`)
	p.click(`.card > .primary`)
	p.online()
	shoot(p, "5-first-room")

	ben := start()
	ben.open(invite)
	ben.until(`document.querySelector('#username')`)
	shoot(ben, "6-invited")
	ben.fill("username", "ben")
	ben.fill("password", password)
	ben.text(`document.querySelector('.card form').requestSubmit(), ''`)
	ben.online()
	for _, turn := range []struct {
		who  *page
		said string
	}{{p, "Hello Ben, **welcome** to this server!"}, {ben, "Thank you. " + strings.Repeat("What a long word: ", 3) + strings.Repeat("x", 80)}, {p, "See you in a moment."}} {
		turn.who.fill("input", turn.said)
		turn.who.click(".send")
		turn.who.until(`!document.querySelector('.pending') && document.querySelector('#messages').innerText.includes(%s)`, turn.said[len(turn.said)-12:])
	}
	ben.sees("See you in a moment.")
	ben.pause(200)
	shoot(ben, "7-talk-ben")
	shoot(p, "8-talk-owner")
	lookAtDialogs(p, shoot, say)
}

// lookAtDialogs shows the dialogs of an owner.
func lookAtDialogs(p *page, shoot func(*page, string), say func(en, de string) string) {
	p.t.Helper()
	open := func(dialog string) {
		p.text(`document.activeElement.blur(), ''`)
		p.button(dialog)
		p.until(`document.querySelector('dialog[open]')`)
	}
	// Rules for something else of the same name have made a dialog grey under the pointer, and
	// cut its text off.
	plain := func(what string) {
		p.t.Helper()
		p.text(`document.querySelector('dialog[open]').scrollTo(0, 0), ''`)
		command(p, input.DispatchMouseEvent, input.DispatchMouseEventParams{
			Type: input.DispatchMouseEventTypeMouseMoved,
			X:    p.number(`document.querySelector('dialog[open]').getBoundingClientRect().right - 24`),
			Y:    p.number(`document.querySelector('dialog[open]').getBoundingClientRect().top + 90`),
		})
		if got := p.text(`(({ position, whiteSpace, overflowY, backgroundColor }) => [position, whiteSpace, overflowY, backgroundColor === getComputedStyle(document.querySelector('dialog[open] .dialog-head')).backgroundColor].join(' '))(getComputedStyle(document.querySelector('dialog[open]')))`); got != "fixed normal auto true" {
			p.t.Errorf("%s: the dialog is %q, want \"fixed normal auto true\"", what, got)
		}
	}
	open(say("Room settings", "Raum einstellen"))
	shoot(p, "9-room-settings")
	plain("the settings of a room")
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]')`)
	if p.truth(`document.querySelector('.member-list')?.checkVisibility() && innerWidth > 900`) {
		p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('ben')).click(), ''`)
		p.until(`document.querySelector('dialog[open] .actions')`)
		shoot(p, "10-member")
		plain("a member")
		p.press(kb.Escape)
		p.until(`!document.querySelector('dialog[open]')`)
	}
	p.text(`document.querySelector('button[aria-label=` + strconv.Quote(say("Settings", "Einstellungen")) + `]').click(), ''`)
	p.until(`document.querySelector('dialog[open] .parts')`)
	for i := range int(p.number(`document.querySelectorAll('.parts nav button').length`)) {
		p.text(`document.querySelectorAll(".parts nav button")[` + strconv.Itoa(i) + `].click(), ''`)
		p.pause(250)
		shoot(p, "11-settings-"+string(rune('a'+i)))
	}
}

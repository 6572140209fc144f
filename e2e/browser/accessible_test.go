package browser

import (
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp/kb"
)

// TestAxeWithAccounts runs axe-core on the views that only people with an account, or
// on their way to one, see.
func TestAxeWithAccounts(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := owned(t, "invite", "ben")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	ben.say("hello")
	ben.stored("hello")
	for _, how := range []screen{desktop, {width: 390, height: 780, mobile: true, dark: true}} {
		p := newPage(t, how)
		p.expectBreaks()
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		look := func(where string) { t.Helper(); p.accessible(axe, how, where) }
		for _, view := range []struct{ path, heading string }{
			{"/", "Sign in to Kaban"},
			{"/claim#nothing", "This link is no longer valid"},
			{"/device", "Sign in to Kaban"},
		} {
			p.open(s.url + view.path)
			p.heading(view.heading)
			look(view.path)
		}
		p.signIn(s.url, "olga")
		p.until(`document.querySelectorAll('.member-list li').length === 2`)
		look("a room")
		for _, button := range []string{"Room settings", "Join or create a room", "New direct message"} {
			p.button(button)
			p.until(`document.querySelector('dialog[open]')`)
			look(button)
			p.press(kb.Escape)
			p.until(`!document.querySelector('dialog[open]')`)
		}
		p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('ben')).click(), ''`)
		p.until(`document.querySelector('dialog[open] .actions')`)
		look("a member")
		p.press(kb.Escape)
		p.until(`!document.querySelector('dialog[open]')`)
		for _, name := range []string{"This browser", "Notifications", "Profile", "Signing in", "Devices", "Tokens and bots", "Invites", "People", "Audit", "Server"} {
			p.part(name)
			p.until(`!document.querySelector('.part').innerText.includes('Loading')`)
			look("the settings: " + name)
		}
		p.close()
	}
}

package browser

import (
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// roomInList is JavaScript for the entry of a room in the list, by its title.
func roomInList(title string) raw {
	return raw(`[...document.querySelectorAll('.room')].find((e) => e.querySelector('.room-name').innerText === ` + quote(title) + `)`)
}

// TestUnreadFromHere marks a room as unread from a message on. That stays until it is read
// again, on another device.
func TestUnreadFromHere(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben := newPage(t, desktop), newPage(t, desktop)
	for _, p := range []*page{olga, ben} {
		p.expectBreaks()
	}
	olga.signIn(s.url, "olga")
	ben.signIn(s.url, "ben")
	for _, content := range []string{"one", "two", "three"} {
		olga.say(content)
		olga.stored(content)
		ben.sees(content)
	}
	ben.until(`!document.querySelector('.room.news')`)
	seq := ben.seqOf("two")
	ben.tool(seq, "Mark as unread from here")
	ben.inRow(seq, `r.querySelector('.unread')?.innerText === 'Unread from here'`)
	ben.until(`%s.matches('.news') && %[1]s.innerText.includes('marked as unread')`, roomInList("lobby"))
	// Whatever comes now does not take the mark away, nor does a look at it.
	olga.say("four")
	ben.sees("four")
	ben.until(`document.querySelector('#messages').scrollTop >= 0 && %s.innerText.includes('1 unread message')`, roomInList("lobby"))

	// Another device begins there, and has read it then.
	other := newPage(t, screen{width: 390, height: 780, mobile: true})
	other.expectBreaks()
	other.signIn(s.url, "ben")
	other.inRow(seq, `r.querySelector('.unread')?.innerText === 'Unread from here'`)
	other.sees("four")
	for _, p := range []*page{ben, other} {
		p.until(`!document.querySelector('.room.news')`)
	}
	// Somebody that writes has read, too.
	ben.tool(seq, "Mark as unread from here")
	ben.until(`document.querySelector('.room.news')`)
	ben.say("five")
	ben.stored("five")
	ben.until(`!document.querySelector('.room.news')`)
	ben.inRow(seq, `!r.querySelector('.unread')`)
	ben.press(kb.Escape)
}

// TestCatchUp reads what mentions somebody, and then the rooms with something new.
func TestCatchUp(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben := newPage(t, desktop), newPage(t, desktop)
	for _, p := range []*page{olga, ben} {
		p.expectBreaks()
	}
	olga.signIn(s.url, "olga")
	olga.create("garden", "public")
	olga.say("first")
	olga.stored("first")
	ben.signIn(s.url, "ben")
	ben.open(s.url + "/r/garden")
	ben.online()
	ben.button("Join the room")
	ben.sees("first")
	ben.visit("lobby")
	olga.say("nothing special")
	olga.stored("nothing special")
	// Of a room with the level "mentions" nothing is counted but those; it is bold.
	ben.until(`%s.matches('.news') && !%[1]s.querySelector('.count')`, roomInList("garden"))
	olga.say("**look**, @ben")
	olga.stored("look, @ben")
	olga.say("and @all")
	olga.stored("and @all")
	ben.until(`%s.querySelector('.count')?.innerText === '@2'`, roomInList("garden"))
	ben.until(`document.querySelector('.catch-up').innerText.replaceAll(/\s+/g, ' ').includes('Catch up @2') && document.title.startsWith('(2)')`)

	ben.press("u", chromedp.KeyModifiers(kb.ModifierAlt))
	const listed = `[...document.querySelectorAll('#inbox .results a')].map((e) => (e.querySelector('.excerpt, .room-name')?.innerText ?? '') + (e.matches('.is-read') ? ' read' : '') + (e.matches('.is-shown') ? ' shown' : '')).join(' | ')`
	ben.until(`document.activeElement.id === 'inbox' && location.hash === '#inbox' && %s === 'and @all | look, @ben | garden'`, raw(listed))
	ben.picture("inbox")
	// A key shows the first one in its room, and the focus stays.
	ben.stroke(" ", " ", 32)
	ben.until(`document.activeElement.matches('.is-shown') && document.querySelector('h1 bdi').innerText === 'garden' && document.querySelector('#messages .marked')?.innerText.includes('and @all')`)
	// All has been on the screen: nothing is left.
	ben.until(`%s === 'and @all read shown | look, @ben read | garden read' && document.querySelector('#inbox').innerText.includes('You have seen everything')`, raw(listed))
	ben.until(`!document.querySelector('.room.news') && !document.querySelector('.mention-count')`)
	ben.press(kb.Escape)
	ben.until(`!document.querySelector('#panel') && document.activeElement.id === 'input'`)

	// A quiet room shows nothing but mentions of the name itself.
	ben.button("Room settings")
	ben.until(`document.querySelector('dialog[open] input[name=level]')`)
	ben.text(`[...document.querySelectorAll('dialog input[name=level]')].find((e) => e.value === 'none' || e.parentElement.innerText === 'Nothing').click(), ''`)
	ben.until(`%s.matches('.muted')`, roomInList("garden"))
	ben.press(kb.Escape)
	ben.visit("lobby")
	olga.say("@all again")
	olga.stored("@all again")
	olga.say("only @ben")
	olga.stored("only @ben")
	ben.until(`%s.querySelector('.count')?.innerText === '@1' && !%[1]s.matches('.news')`, roomInList("garden"))
	// The server has counted the same.
	ben.run(chromedp.Reload())
	ben.online()
	ben.until(`%s.querySelector('.count')?.innerText === '@1' && !%[1]s.matches('.news')`, roomInList("garden"))
	ben.picture("muted")
	// On a phone an item is opened in place of the list, from which Back returns.
	other := newPage(t, screen{width: 390, height: 780, mobile: true, dark: true})
	other.expectBreaks()
	other.signIn(s.url, "ben")
	other.click(`[aria-controls=rooms]`)
	other.click(".catch-up")
	other.until(`%s === 'only @ben'`, raw(listed))
	other.fits("catching up")
	other.picture("inbox-phone")
	other.click("#inbox .results a")
	other.until(`!document.querySelector('#panel') && document.querySelector('#messages .marked')?.innerText.includes('only @ben')`)
	for _, p := range []*page{ben, other} {
		p.until(`!document.querySelector('.mention-count')`)
	}
	other.text(`history.back(), ''`)
	other.until(`document.querySelector('#inbox')?.innerText.includes('You have seen everything')`)
}

// TestAxeCatchUp runs axe-core on the inbox.
func TestAxeCatchUp(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := owned(t, "invite", "ben")
	olga := newPage(t, desktop)
	olga.expectBreaks()
	olga.signIn(s.url, "olga")
	olga.say("look, @ben: https://example.org/?a=b")
	olga.stored("look, @ben: https://example.org/?a=b")
	for _, how := range []screen{{width: 320, height: 640, mobile: true, dark: true}, {width: 1280, height: 800}} {
		p := newPage(t, how)
		p.expectBreaks()
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		p.open(s.url + "/r/elsewhere")
		p.signIn(s.url, "ben")
		p.open(s.url + "/r/elsewhere#inbox")
		p.until(`document.querySelector('[data-status]')?.dataset.status === 'open'`)
		p.open(s.url + "/r/lobby#inbox")
		p.until(`document.querySelector('#inbox')`)
		p.until(`!document.querySelector('#inbox').innerText.includes('Loading')`)
		p.accessible(axe, how, "the inbox")
		p.fits("the inbox")
		p.close()
	}
}

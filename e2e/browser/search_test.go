package browser

import (
	"fmt"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const (
	hits         = `[...document.querySelectorAll('.search .results a')].map((e) => e.querySelector('.excerpt').innerText).join(' | ')`
	searchStatus = `document.querySelector('.search [role=status]')?.innerText`
)

// ask replaces the query in the open search and asks for it.
func (p *page) ask(query string) {
	p.t.Helper()
	p.text(`(document.querySelector('#search').focus(), document.querySelector('#search').select(), '')`)
	p.write(query)
	p.press(kb.Enter)
}

// found searches until the hits are there: the index follows the log within a second.
func (p *page) found(query, want string) {
	p.t.Helper()
	p.ask(query)
	p.until(`(%s === %[2]s) || (%[3]s !== 'Searching …' && (document.querySelector('.search-form').requestSubmit(), false))`, raw(hits), want, raw(searchStatus))
}

// TestSearch finds messages that are not loaded, in the room and everywhere, with operators
// that complete themselves.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", numbered("apple", 150)...)
	s.say("ben", "lobby", "a **Pear** `among` them")
	s.say("ben", "lobby", numbered("apple", 150)...)
	s.say("cara", "team", "no pear here", "https://example.org/pears")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("apple 150")
	p.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.activeElement.id === 'search' && document.querySelector('.search-help').innerText.includes('before this day')`)
	p.found("pear", "a Pear among them")
	p.until(`document.querySelector('.search mark').innerText === 'Pear' && %s === '1 message found' && location.hash === '#search/pear'`, raw(searchStatus))

	// A hit opens in place: the panel stays.
	p.press(kb.ArrowDown)
	p.until(`document.activeElement.matches('.results a')`)
	p.press(kb.Enter)
	p.until(`document.querySelector('#messages .marked')?.innerText.includes('a Pear among them') && location.hash === '#151'`)
	p.until(`%s === 'a Pear among them'`, raw(hits))
	p.press(kb.Escape)
	p.until(`!document.querySelector('.search')`)

	// Everywhere, newest first.
	p.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.activeElement.id === 'search'`)
	p.ask("pear*")
	p.text(`document.querySelectorAll('.scope input')[1].click(), ''`)
	p.until(`location.hash === '#search-all/pear*'`)
	p.found("pear*", "https://example.org/pears | no pear here | a Pear among them")
	p.until(`document.querySelector('.result-head > .quiet').innerText === '# team'`)
	p.click(".search .results li:nth-child(2) a")
	p.until(`document.querySelector('h1 bdi').innerText === 'team' && document.querySelector('#messages .marked')?.innerText.includes('no pear here') && document.querySelector('.search') && document.activeElement.matches('.row')`)

	// Operators complete themselves.
	p.text(`(document.querySelector('#search').focus(), document.querySelector('#search').select(), '')`)
	p.write("h")
	p.until(`[...document.querySelectorAll('#operators li code')].map((e) => e.innerText).join() === 'has:link,has:file'`)
	p.press(kb.Tab)
	p.until(`document.querySelector('#search').value === 'has:link ' && document.activeElement.id === 'search'`)
	p.write("in:te")
	p.until(`document.querySelectorAll('#operators li').length === 1`)
	p.press(kb.ArrowDown)
	p.until(`document.querySelector('#search').getAttribute('aria-activedescendant') === 'operator-0'`)
	p.press(kb.Enter)
	p.until(`document.querySelector('#search').value === 'has:link in:team '`)
	p.press(kb.Enter)
	p.until(`%s === 'https://example.org/pears'`, raw(hits))

	// What makes no sense is explained below the field.
	p.ask("before:soon")
	p.until(`document.querySelector('#search-problem')?.innerText.includes('is not a date') && document.querySelector('#search').getAttribute('aria-invalid') === 'true'`)
	p.ask("nothing_like_this")
	p.until(`%s === 'No messages found.' && document.querySelector('.search').innerText.includes('deploy*')`, raw(searchStatus))

	// More than a page.
	p.visit("lobby")
	p.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.activeElement.id === 'search'`)
	p.ask("apple")
	p.until(`document.querySelectorAll('.search .results li').length === 30 && %s === 'The newest 30 messages'`, raw(searchStatus))
	p.button("Show more")
	p.until(`document.querySelectorAll('.search .results li').length === 60`)
	p.until(`new Set([...document.querySelectorAll('.search .results a')].map((e) => e.href)).size === 60`)
}

// TestPins lists the pinned messages of a room, from which one leads to them and unpins them.
func TestPins(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga := newPage(t, desktop)
	olga.expectBreaks()
	olga.signIn(s.url, "olga")
	olga.say("the **rules**")
	olga.stored("the rules")
	seq := olga.seqOf("the rules")
	olga.click(`.head button[aria-label="Pinned messages"]`)
	olga.until(`document.querySelector('#panel').innerText.includes('Nothing is pinned yet') && location.hash === '#pins'`)
	olga.tool(seq, "Pin")
	const pins = `[...document.querySelectorAll('.pin')].map((e) => e.querySelector('.content').innerText).join(' | ')`
	olga.until(pins + ` === 'the rules'`)
	olga.settled()
	for _, content := range numbered("later", 5) {
		olga.say(content)
		olga.stored(content)
	}
	// The newest pin is the first, whatever the age of its message.
	for _, content := range []string{"later 5", "later 2"} {
		olga.tool(olga.seqOf(content), "Pin")
		olga.settled()
	}
	const all = "later 2 | later 5 | the rules"
	olga.until(pins+` === %s`, all)

	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	ben.sees("later 5")
	ben.open(s.url + "/r/lobby#pins")
	ben.until(pins+` === %s`, all)
	ben.until(`document.querySelector('.pin strong').innerText === 'rules'`)
	ben.picture("pins")
	for range 2 {
		ben.text(`[...document.querySelectorAll('.pin-tools button')].find((b) => b.innerText === 'Unpin').click(), ''`)
		ben.settled()
	}
	ben.until(pins + ` === 'the rules'`)
	ben.text(`document.querySelector('.pin-tools a').click(), ''`)
	ben.until(`document.querySelector('#messages .marked')?.innerText.includes('the rules') && document.querySelector('.pins')`)
	ben.text(`[...document.querySelectorAll('.pin-tools button')].find((b) => b.innerText === 'Unpin').click(), ''`)
	for _, p := range []*page{ben, olga} {
		p.until(`document.querySelector('#panel').innerText.includes('Nothing is pinned yet')`)
	}
	ben.settled()
}

// TestAxeSearch runs axe-core on the search.
func TestAxeSearch(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := startServer(t, "")
	s.say("ben", "lobby", "a pear", "two pears, and what a long text that is to be shown in a narrow panel", "https://example.org/pear")
	for _, how := range []screen{desktop, {width: 320, height: 640, mobile: true, dark: true}} {
		p := newPage(t, how)
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		p.join(s.url, fmt.Sprint("alice", how.width))
		p.click(`.head button[aria-label="Search"]`)
		p.until(`document.activeElement.id === 'search'`)
		p.accessible(axe, how, "an empty search")
		p.picture(fmt.Sprint("search-help-", how.width))
		p.write("fr")
		p.until(`document.querySelectorAll('#operators li').length > 0`)
		p.accessible(axe, how, "completions")
		p.picture(fmt.Sprint("search-offers-", how.width))
		p.found("pear", "https://example.org/pear | a pear")
		p.accessible(axe, how, "hits")
		p.fits("hits")
		p.picture(fmt.Sprint("search-", how.width))
		p.close()
	}
}

package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// TestTheme chooses a theme other than the system's.
func TestTheme(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	dark := func(want bool) {
		t.Helper()
		p.until(`(%s('body', 'backgroundColor') < 0.3) === %s`, raw(brightness), want)
	}
	dark(false)
	p.click(`.me [aria-label=Settings]`)
	p.click(`.segments label:nth-child(3) input[name=theme]`)
	dark(true)
	p.until(`getComputedStyle(document.documentElement).colorScheme === 'dark'`)
	p.click(`.segments label:nth-child(2) input[name=density]`)
	p.until(`document.documentElement.dataset.density === 'compact'`)
	p.press(kb.Escape)
	// Both are saved, and apply in another tab at once.
	q := p.tab()
	q.open(s.url)
	q.online()
	q.until(`document.documentElement.dataset.theme === 'dark' && document.documentElement.dataset.density === 'compact'`)
	q.click(`.me [aria-label=Settings]`)
	q.click(`.segments label:nth-child(1) input[name=theme]`)
	q.until(`document.documentElement.dataset.theme === 'light'`)
	dark(false)
}

// TestTools copies the text of a message and the link to it.
func TestTools(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "first", "**second**", "third")
	p := newPage(t, desktop)
	p.script(`Object.defineProperty(navigator, 'clipboard', {value: {writeText: async (text) => { window.copied = text }}})`)
	p.join(s.url, "alice")
	p.sees("third")
	p.until(`!document.querySelector('.tools')`)
	p.text(`document.querySelector('.row[data-seq="2"] .content').dispatchEvent(new MouseEvent('mouseover', {bubbles: true})), ''`)
	p.until(`document.querySelector('.tools')?.closest('.row').dataset.seq === '2'`)
	p.click(`.tools [aria-label="Copy text"]`)
	p.until(`window.copied === '**second**' && document.querySelector('.tools [aria-label=Copied]')`)
	p.click(`.tools [aria-label="Copy link to this message"]`)
	p.until(`window.copied === location.origin + '/r/lobby#2'`)
	// With the keyboard: the tools come after the time of the focused message.
	toCopy := func() {
		t.Helper()
		p.press(kb.Tab)
		p.until(`document.activeElement.closest('.tools')`)
		for i, label := range []string{"Add a reaction", "Reply", "Open thread", "Copy text"} {
			p.press([]string{kb.Home, kb.ArrowRight, kb.ArrowRight, kb.ArrowRight}[i])
			p.until(`document.activeElement.getAttribute('aria-label') === %s`, label)
		}
	}
	p.text(`document.querySelector('#messages').focus(), ''`)
	for range 3 {
		p.press(kb.Tab)
		p.until(`document.activeElement.closest('.row')?.querySelector('.tools')`)
		toCopy()
	}
	p.until(`document.activeElement.closest('.row').dataset.seq === '3'`)
	p.text(`document.querySelector('.row[data-seq="3"] .time').focus(), ''`)
	toCopy()
	p.enter()
	p.until(`window.copied === 'third'`)
	// Without access to the clipboard the page copies a selection.
	p.text(`navigator.clipboard.writeText = async () => { throw new Error('not here') }; document.execCommand = (what) => { window.byHand = [what, getSelection().toString() || document.activeElement.value]; return true }; ''`)
	p.enter()
	p.until(`window.byHand?.join(' ') === 'copy third' && document.activeElement.getAttribute('aria-label').startsWith('Copied')`)
}

// TestSections stars a room, and closes a section.
func TestSections(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.visit("team")
	p.click(".head .star")
	names := `[...document.querySelectorAll('.room .room-name')].map((e) => e.innerText).join(' ')`
	p.until(`document.querySelectorAll('.section').length === 2 && %s === 'team lobby'`, raw(names))
	p.press(kb.ArrowDown, chromedp.KeyModifiers(kb.ModifierAlt))
	p.until(`document.querySelector('.head h1').innerText.includes('lobby')`) // in the order of the list
	p.click(`.section:nth-child(2) .fold`)
	p.until(`document.querySelector('.section:nth-child(2) .fold').ariaExpanded === 'false'`)
	p.until(`%s === 'team lobby'`, raw(names)) // where one is stays
	p.press(kb.ArrowUp, chromedp.KeyModifiers(kb.ModifierAlt))
	p.until(`%s === 'team'`, raw(names))
	s.say("ben", "lobby", "unread")
	p.until(`%s === 'team lobby'`, raw(names))
	p.open(s.url)
	p.online()
	p.until(`document.querySelectorAll('.section').length === 2`)
	p.click(".head .star")
	p.until(`document.querySelectorAll('.section').length === 1`)
}

// TestFingers measures every touch target on a phone.
func TestFingers(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "hello")
	p := newPage(t, phone)
	p.join(s.url, "alice")
	p.sees("hello")
	look := func(where string) {
		t.Helper()
		for _, small := range value[[]string](p, `[...document.querySelectorAll('button, input, textarea, select, nav a, label.option, .time')].flatMap((e) => {
			const box = (e.closest('label') ?? e).getBoundingClientRect()
			return e.checkVisibility() && box.width > 0 && !e.closest('.skip') && (box.width < 43.5 || box.height < 43.5) && !e.matches('.shade') ? [e.outerHTML.slice(0, 100) + ' ' + box.width + 'x' + box.height] : []
		})`) {
			t.Errorf("%s: too small for a finger: %s", where, small)
		}
	}
	look("a room")
	p.click(`[aria-controls=rooms]`)
	p.until(`document.querySelector('#rooms').checkVisibility()`)
	look("the rooms")
	p.click(`.me [aria-label=Settings]`)
	p.until(`document.querySelector('dialog[open]')`)
	look("the settings")
}

// TestRightToLeft checks that text written from right to left starts beside its author.
func TestRightToLeft(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "שלום")
	p := newPage(t, screen{width: 1600, height: 800})
	p.join(s.url, "alice")
	p.sees("שלום")
	p.until(`(() => {
		const text = document.createRange()
		text.selectNodeContents(document.querySelector('.row .content'))
		return Math.abs(text.getBoundingClientRect().left - document.querySelector('.row .author').getBoundingClientRect().left) < 3
	})()`)
}

// TestNamesStayApart checks that few of many names have the same colours.
func TestNamesStayApart(t *testing.T) {
	t.Parallel()
	s := startServer(t, ":memory:")
	for i := range 40 {
		s.say(fmt.Sprintf("name%d", i), "lobby", "hello")
	}
	p := newPage(t, screen{width: 1280, height: 4000})
	p.join(s.url, "alice")
	p.until(`document.querySelectorAll('.row').length === 40`)
	tones := p.number(`new Set([...document.querySelectorAll('.row .avatar')].map((e) => getComputedStyle(e).backgroundColor + getComputedStyle(e).color)).size`)
	if tones < 30 {
		t.Errorf("40 names have %v tones", tones)
	}
	if styles := p.number(`new Set([...document.querySelectorAll('.avatar')].map((e) => getComputedStyle(e).color + getComputedStyle(e).boxShadow)).size`); styles != 1 {
		t.Errorf("avatars have %v styles of letters and borders, want one", styles)
	}
	if letters := p.number(`Math.min(...[...document.querySelectorAll('.row .avatar')].map((e) => e.dataset.letters.length))`); letters < 2 {
		t.Errorf("an avatar has %v letters", letters)
	}
}

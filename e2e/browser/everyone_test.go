package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

var phone = screen{width: 320, height: 640, mobile: true}

func TestPhone(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	s.say("ben", "lobby", "a word "+strings.Repeat("muchtoolong", 60), "```\n"+strings.Repeat("wide ", 100)+"\n```")
	p := newPage(t, phone)
	p.join(s.url, "alice")
	p.sees("muchtoolong")
	wide := func(where string) {
		t.Helper()
		if width := p.number(`document.documentElement.scrollWidth`); width > float64(phone.width) {
			t.Errorf("%s is %v pixels wide, the screen has %d", where, width, phone.width)
		}
		p.until(`document.querySelector('#messages').scrollWidth <= document.querySelector('#messages').clientWidth`)
	}
	wide("the room")
	// Touch targets are large enough (WCAG 2.2, 2.5.8 asks for 24 pixels).
	for _, small := range value[[]string](p, `[...document.querySelectorAll('button, input, textarea, nav a')].flatMap((e) => {
		const r = e.getBoundingClientRect()
		return r.width > 0 && (r.width < 24 || r.height < 24) ? [e.outerHTML.slice(0, 100) + ' ' + r.width + 'x' + r.height] : []
	})`) {
		t.Errorf("too small for a finger: %s", small)
	}
	// A button opens the rooms, and choosing one closes them.
	p.click(`[aria-controls=rooms]`)
	p.until(`document.querySelector('#rooms').checkVisibility()`)
	wide("the list of rooms")
	p.click(`#rooms .find`)
	p.until(`document.activeElement?.getAttribute('role') === 'combobox'`)
	p.write("team")
	p.until(`document.querySelector('[role=option][aria-selected=true]')?.innerText.includes('team')`)
	p.click(`[role=option]`)
	p.sees("hello team")
	p.until(`!document.querySelector('#rooms').checkVisibility()`)
	// So are the members.
	p.click(`[aria-controls=members]`)
	p.until(`document.querySelector('#members').innerText.includes('alice')`)
	p.click(`#members [aria-label=Close]`)
	p.until(`!document.querySelector('#members').checkVisibility()`)
	// On a touch screen Enter starts a new line, and the button sends.
	p.run(chromedp.Focus("#input"))
	p.write("first")
	p.enter()
	p.write("second")
	p.click(".send")
	p.stored("first\nsecond")
}

// brightness returns the approximate brightness of a colour, 0 to 1.
const brightness = `((selector, property) => {
	const canvas = document.createElement('canvas').getContext('2d')
	canvas.fillStyle = getComputedStyle(document.querySelector(selector))[property]
	canvas.fillRect(0, 0, 1, 1)
	const [r, g, b] = canvas.getImageData(0, 0, 1, 1).data
	return (r * 0.3 + g * 0.59 + b * 0.11) / 255
})`

func TestDarkAndLight(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "hello")
	for _, dark := range []bool{false, true} {
		how := desktop
		how.dark = dark
		p := newPage(t, how)
		p.join(s.url, "alice")
		p.sees("hello")
		for selector, property := range map[string]string{"body": "backgroundColor", "#rooms": "backgroundColor", ".main": "backgroundColor"} {
			if got := p.number(fmt.Sprintf("%s('%s', '%s')", brightness, selector, property)); (got < 0.3) != dark {
				t.Errorf("dark=%v: the %s of %s has a brightness of %.2f", dark, property, selector, got)
			}
		}
		if got := p.number(brightness + "('.content', 'color')"); (got > 0.6) != dark {
			t.Errorf("dark=%v: the text has a brightness of %.2f", dark, got)
		}
		p.close()
	}
}

func TestReducedMotion(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, screen{width: 1280, height: 800, reducedMotion: true})
	p.join(s.url, "alice")
	p.until(`document.getAnimations().length === 0`)
	p.until(`getComputedStyle(document.querySelector('#messages')).scrollBehavior === 'auto'`)
}

// TestKeyboardOnly does everything without a mouse.
func TestKeyboardOnly(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	s.say("ben", "lobby", numbered("n", 100)...)
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.until(`document.activeElement.id === 'input'`)
	p.write("typed")
	p.enter()
	p.sees("typed")
	p.write("two")
	p.press(kb.Enter, chromedp.KeyModifiers(kb.ModifierShift))
	p.write("lines")
	p.enter()
	p.until(`[...document.querySelectorAll('.row .content')].at(-1).innerText === 'two\nlines'`)

	// Scroll from the input and come back.
	p.press(kb.PageUp)
	p.until(`document.querySelector('.jump')`)
	p.press(kb.End, chromedp.KeyModifiers(kb.ModifierAlt))
	p.until(`!document.querySelector('.jump')`)

	// "?" in an empty input lists the keys; Escape leads back to it.
	p.stroke("?", "?", 191)
	p.until(`document.querySelector('dialog')?.open && document.activeElement.closest('dialog')`)
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]') && document.activeElement.id === 'input'`)
	p.until(`document.querySelector('#input').value === ''`)

	// The switcher: another room, with the arrows.
	p.press("k", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.activeElement?.getAttribute('role') === 'combobox'`)
	p.until(`document.querySelectorAll('[role=option]').length === 2`)
	first := p.text(`document.querySelector('[role=option][aria-selected=true]').id`)
	p.press(kb.ArrowDown)
	p.until(`document.querySelector('[role=option][aria-selected=true]').id !== %s`, first)
	p.press(kb.ArrowUp)
	p.until(`document.querySelector('[role=option][aria-selected=true]').id === %s`, first)
	p.until(`document.activeElement.getAttribute('aria-activedescendant') === document.querySelector('[role=option][aria-selected=true]').id`)
	p.write("team")
	p.until(`document.querySelectorAll('[role=option]').length === 1`)
	p.enter()
	p.sees("hello team")
	p.until(`document.activeElement.id === 'input'`)

	// The previous room in the list, and the next unread one.
	p.press(kb.ArrowUp, chromedp.KeyModifiers(kb.ModifierAlt))
	p.until(`document.querySelector('.head h1').innerText.includes('lobby')`)
	s.say("ben", "team", "news")
	p.until(`document.querySelector('.count')`)
	p.press(kb.ArrowDown, chromedp.KeyModifiers(kb.ModifierAlt|kb.ModifierShift))
	p.sees("news")

	// Tab completes an @name.
	p.until(`document.activeElement.id === 'input' && document.querySelector('#members').innerText.includes('alice')`)
	p.write("@ali")
	p.press(kb.Tab)
	p.until(`document.querySelector('#input').value === '@alice '`)

	// Tab reaches everything in visual order. Each element shows that it has the focus,
	// and has a name.
	p.text(`document.querySelector('.skip').focus(), ''`)
	order := []string{"skip"}
	for range 40 {
		p.press(kb.Tab)
		at := value[struct{ Name, Label, Ring string }](p, `(() => {
			const e = document.activeElement
			const label = e.getAttribute('aria-label') || e.innerText || ''
			const style = getComputedStyle(e)
			const framed = e.id === 'input' ? getComputedStyle(e.closest('form')).boxShadow : style.outlineStyle
			return {Name: e === document.body ? 'body' : (e.id || e.className || e.tagName), Label: label.trim(), Ring: framed}
		})()`)
		if at.Name == "body" {
			break
		}
		order = append(order, at.Name)
		if at.Label == "" {
			t.Errorf("%q has no accessible name", at.Name)
		}
		if at.Ring == "none" {
			t.Errorf("%q does not show its focus", at.Name)
		}
	}
	at := -1
	for _, want := range []string{"skip", "find", "messages", "input", "send", "member-list"} {
		found := -1
		for i, name := range order {
			if name == want {
				found = i
			}
		}
		if found <= at {
			t.Errorf("Tab visits %q, want %s later", order, want)
		}
		at = found
	}
}

// TestSpoken checks that new messages are read out, and old ones are not.
func TestSpoken(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", numbered("old", 300)...)
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("old 300")
	p.text(`document.querySelector('#messages').scrollTop = 0, ''`)
	s.say("ben", "lobby", "news")
	p.until(`document.querySelector('#spoken').innerText.trim() === 'ben: news'`)
	p.until(`document.querySelector('#spoken').getAttribute('aria-live') === 'polite'`)
}

// axeCore returns the script that finds what some people cannot use.
func axeCore(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(modules, "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script) + "; ''"
}

// accessible fails the test for whatever axe-core finds in the page as it is, in all its
// languages.
func (p *page) accessible(axe string, how screen, where string) {
	p.t.Helper()
	p.text(axe)
	for _, language := range []string{"de", "en"} {
		p.speak(language)
		p.inspect(how, where+" in "+language)
	}
}

// speak changes the language as another tab does, so that nothing opens or closes.
func (p *page) speak(language string) {
	p.t.Helper()
	p.text(fmt.Sprintf(`localStorage.setItem('kaban.language', %[1]s), dispatchEvent(new StorageEvent('storage', {key: 'kaban.language', newValue: %[1]s, storageArea: localStorage})), ''`, quote(quote(language))))
	p.until(`document.documentElement.lang === %s`, language)
}

// inspect runs axe-core.
func (p *page) inspect(how screen, where string) {
	p.t.Helper()
	type finding struct {
		ID, Impact, Help string
		Nodes            []struct{ HTML, FailureSummary string }
	}
	findings := value[[]finding](p, `axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}).then((r) => r.violations)`, awaited)
	for _, f := range findings {
		node, _ := json.MarshalIndent(f.Nodes[0], "", " ")
		problem := fmt.Sprintf("%s (dark=%v, mobile=%v): %s, %s: %s, %d times, such as %s", where, how.dark, how.mobile, f.Impact, f.ID, f.Help, len(f.Nodes), node)
		if f.Impact == "serious" || f.Impact == "critical" || f.Impact == "moderate" {
			p.t.Error(problem)
		} else {
			p.t.Log(problem)
		}
	}
}

// TestAxe runs axe-core on every view of the page.
func TestAxe(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := startServer(t, "")
	for i := range 24 { // many names: all colours
		s.say(fmt.Sprintf("name%c", 'a'+i), "lobby", "**bold** `code` https://example.org @alice\n> quote\n\n- list")
	}
	s.say("ben", "lobby", "```\ncode\n```", "https://example.org @alice @ben")
	s.say("ben", "team", "hello")
	for _, how := range []screen{desktop, {width: 1280, height: 800, dark: true}, phone, {width: 320, height: 640, mobile: true, dark: true}} {
		p := newPage(t, how)
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true}) // for axe, which the page would not let in
		look := func(where string) { t.Helper(); p.accessible(axe, how, where) }
		p.open(s.url)
		p.until(`document.querySelector('#name')`)
		look("the first visit")
		p.join(s.url, "alice")
		p.visit("team")
		p.visit("lobby")
		s.say("ben", "team", "unread @alice")
		p.until(`document.querySelectorAll('.count').length > 0`)
		p.say("hello")
		p.stored("hello")
		look("a room")
		if how.dark != how.mobile { // all of it once on a desktop in light, once on a phone in dark
			p.close()
			continue
		}
		p.text(`document.querySelector('#messages').scrollTop = 0, ''`)
		p.until(`document.querySelector('.jump')`)
		look("scrolled up")
		for _, name := range []string{"Keyboard", "Settings"} {
			p.text(fmt.Sprintf(`document.querySelector('.me [aria-label=%s]').click(), ''`, name))
			p.until(`document.querySelector('dialog')?.open`)
			look(name)
			p.press(kb.Escape)
			p.until(`!document.querySelector('dialog[open]')`)
		}
		p.press("k", chromedp.KeyModifiers(kb.ModifierCtrl))
		p.until(`document.querySelectorAll('[role=option]').length > 0`)
		look("the switcher")
		p.press(kb.Escape)
		p.until(`!document.querySelector('dialog[open]')`)
		p.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
		p.until(`document.activeElement.id === 'search'`)
		p.write("bold")
		p.press(kb.Enter)
		p.until(`document.querySelectorAll('.results li').length > 0 || (%s !== 'Searching …' && (document.querySelector('.search-form').requestSubmit(), false))`, raw(searchStatus))
		look("the search")
		p.press(kb.Escape)
		if how.mobile {
			p.click(`[aria-controls=rooms]`)
			p.until(`document.querySelector('#rooms').checkVisibility()`)
			look("the rooms of a phone")
		}
		p.close()
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.click(`.me [aria-label=Settings]`)
	p.until(`document.querySelector('dialog')?.open`)
	p.text(`(() => { const s = document.querySelector('select'); s.value = 'de'; s.dispatchEvent(new Event('change')); return '' })()`)
	p.until(`document.querySelector('dialog h2').innerText === 'Einstellungen'`)
	p.until(`document.documentElement.lang === 'de'`)
	p.press(kb.Escape)
	p.until(`document.querySelector('#input').placeholder === 'Nachricht an lobby'`)
	p.run(chromedp.Reload())
	p.online()
	p.until(`document.querySelector('#input').placeholder === 'Nachricht an lobby'`)
	p.until(`document.querySelector('.begin').innerText.startsWith('Noch keine Nachrichten')`)
}

// TestNotifications checks that the page asks for permission only on a click, and
// notifies only while nobody is looking.
func TestNotifications(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	command(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: `
		window.asked = 0
		window.shown = []
		Object.defineProperty(Notification, 'permission', {get: () => window.asked ? 'granted' : 'default'})
		Notification.requestPermission = async () => { window.asked++; window.byUser = navigator.userActivation.isActive; return 'granted' }
		ServiceWorkerRegistration.prototype.showNotification = async function (title, options) { window.shown.push(title + ': ' + options.body), window.loud = [...(window.loud ?? []), options.renotify] }
	`})
	p.join(s.url, "alice")
	p.until(`navigator.serviceWorker.controller`)
	p.until(`window.asked === 0`)
	p.click(`.me [aria-label=Settings]`)
	p.until(`document.querySelector('dialog')?.open`)
	p.click(`.option:nth-of-type(2) input`)
	p.until(`window.asked === 1 && window.byUser`)
	p.press(kb.Escape)
	s.say("ben", "lobby", "@alice while she looks")
	p.sees("while she looks")
	p.text(`document.hasFocus = () => false, dispatchEvent(new Event('blur')), ''`)
	s.say("ben", "lobby", "nothing for her", "hello @Alice, are you there?")
	p.until(`window.shown.length === 1`)
	if got, want := p.text(`window.shown[0]`), "ben · lobby: hello @Alice, are you there?"; got != want {
		t.Errorf("got the notification %q, want %q", got, want)
	}
	// The second one makes a sound too, although it replaces the first.
	p.pause(1100)
	s.say("ben", "lobby", "@alice?")
	p.until(`window.shown.length === 2 && window.loud.every((loud) => loud === true)`)
	p.until(`document.title === '(3) lobby · Kaban'`)
	p.until(`document.querySelector('link[rel=icon]').href.includes('unread')`)
	p.text(`document.hasFocus = () => true, dispatchEvent(new Event('focus')), ''`)
	p.until(`document.title === 'lobby · Kaban'`)
	p.until(`document.querySelector('.unread')`)
}

// TestInstallable asks the browser why the page could not be installed as an app.
func TestInstallable(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.until(`navigator.serviceWorker.controller`)
	manifest := command(p, cdppage.GetAppManifest, cdppage.GetAppManifestParams{})
	for _, problem := range manifest.Errors {
		t.Errorf("the manifest: %s", problem.Message)
	}
	for _, problem := range command(p, cdppage.GetInstallabilityErrors, cdp.Empty{}).InstallabilityErrors {
		if problem.ErrorID != "in-incognito" { // as all pages of tests are
			t.Errorf("not installable: %s", problem.ErrorID)
		}
	}
}

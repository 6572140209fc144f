package browser

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// textsLoaded counts the files of texts that the page has loaded.
const textsLoaded = `performance.getEntriesByType('resource').filter((e) => e.name.includes('/assets/texts.')).length`

// germanBrowser makes the page's browser prefer German, and notes whether the page ever shows
// English.
const germanBrowser = `
Object.defineProperty(navigator, 'languages', {get: () => ['de-DE', 'en']})
new MutationObserver(() => { window.english ||= document.querySelector('#input')?.placeholder.startsWith('Message ') }).observe(document, {childList: true, subtree: true})
`

// TestTextsOnDemand counts the files of texts: none at a first visit in English, and one in
// German, before anything is shown. What a visitor has seen in German is German without a
// network too.
func TestTextsOnDemand(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	english := newPage(t, desktop)
	english.join(s.url, "alice")
	english.until(`navigator.serviceWorker.controller`)
	if n := english.number(textsLoaded); n != 0 {
		t.Errorf("%v files of texts are loaded in English, want none", n)
	}
	kept := `caches.keys().then((names) => Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).filter((r) => r.url.includes('/assets/texts.')).length))).then((all) => all.reduce((x, y) => x + y, 0))`
	if n := english.later(kept); n != 0 {
		t.Errorf("the service worker loads %v files of texts in English, want none", n)
	}

	german := newPage(t, desktop)
	german.expectBreaks()
	german.script(germanBrowser)
	german.join(between.url(), "ben")
	if n := german.number(`new Set(performance.getEntriesByType('resource').filter((e) => e.name.includes('/assets/texts.')).map((e) => e.name)).size`); n != 1 {
		t.Errorf("%v files of texts are loaded in German, want one", n)
	}
	german.until(`document.querySelector('#input').placeholder === 'Nachricht an lobby'`)
	german.until(`(` + kept + `.then((n) => window.kept = n), window.kept === 1)`)
	german.run(chromedp.Reload())
	german.online()
	if german.truth(`window.english`) {
		t.Error("the page is shown in English before it is in German")
	}
	between.set(cut)
	german.run(chromedp.Reload())
	german.until(`document.querySelector('#input')?.placeholder === 'Nachricht an lobby'`)
}

// TestTextsMissing chooses a language without a network: the page says so, and stays as it is.
// It works once there is one.
func TestTextsMissing(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.click(`.me [aria-label=Settings]`)
	p.until(`document.querySelector('dialog')?.open`)
	between.set(cut)
	choose := `(() => { const s = document.querySelector('select'); s.value = 'de'; s.dispatchEvent(new Event('change')); return '' })()`
	p.text(choose)
	p.until(`document.querySelector('dialog [role=alert]')?.innerText.includes('could not be loaded')`)
	p.until(`document.querySelector('select').value === 'en' && localStorage.getItem('kaban.language') === null`)
	between.set(whole)
	p.text(choose)
	p.until(`document.querySelector('dialog h2').innerText === 'Einstellungen' && !document.querySelector('dialog .problem')`)
	p.until(`localStorage.getItem('kaban.language') === '"de"'`)
}

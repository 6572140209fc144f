package browser

import (
	"testing"

	"kaban/internal/account"
)

// answerPreviews is JavaScript that counts the requests for previews, and answers them with a page of a stranger.
const answerPreviews = `
window.previewsAsked = 0
const asks = window.fetch
window.fetch = async (address, how) => {
	if (!String(address).endsWith('/previews')) return asks(address, how)
	previewsAsked++
	return new Response(JSON.stringify({ previews: [{ url: 'https://real.example/page', title: '<img src=x onerror=alert(1)>', site: 'bank.example', description: 'About ' + 'it '.repeat(200) }] }), { headers: { 'Content-Type': 'application/json' } })
}
`

// Links show what their pages are about if the setting says so, as text with the true host, and lose it with
// the message. Without the setting nobody asks.
func TestPreviewsOfLinks(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.script(answerPreviews)
	p.signIn(s.url, "olga")
	p.say("see https://first.example")
	p.stored("see https://first.example")
	p.say("nothing")
	p.stored("nothing")
	if n := p.number(`window.previewsAsked`); n != 0 {
		t.Errorf("the page asks for previews %v times while they are off", n)
	}
	s.stop()
	prepare(t, s.data, func(accounts *account.Service) {
		if err := accounts.Set(t.Context(), account.Operator(), "previews", "on"); err != nil {
			t.Fatal(err)
		}
	})
	s.start()
	p.open(s.url)
	p.online()
	p.until(`document.querySelectorAll('a.preview').length === 1`)
	if got := p.text(`document.querySelector('a.preview').innerText`); !p.truth(`document.querySelector('a.preview').innerText.startsWith('real.example')`) {
		t.Errorf("the preview is %q", got)
	}
	if !p.truth(`(() => {
		const card = document.querySelector('a.preview'), text = card.querySelector('b')
		return text.innerText === '<img src=x onerror=alert(1)>' && !card.querySelector('img') && card.rel === 'noopener noreferrer nofollow' && card.target === '_blank' && card.getBoundingClientRect().height < 130
	})()`) {
		t.Errorf("the preview is %s", p.text(`document.querySelector('a.preview').outerHTML`))
	}
	p.picture("preview")
	if n := p.number(`window.previewsAsked`); n != 1 {
		t.Errorf("the page asks %v times, once for each message with a link", n)
	}
	seq := int(p.number(`+[...document.querySelectorAll('[data-seq]')].find((row) => row.innerText.includes('first.example')).dataset.seq`))
	p.tool(seq, "Delete")
	p.inTools(seq, "Delete")
	p.until(`document.querySelectorAll('a.preview').length === 0`)
}

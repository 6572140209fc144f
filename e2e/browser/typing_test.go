package browser

import "testing"

// shownTyping is the text about those that are typing, "" for none.
const shownTyping = `(document.querySelector('#typing')?.innerText ?? '')`

// Others see that somebody types, until the message comes, without anything moving and
// without screen readers announcing it; unless the person does not want it.
func TestTyping(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	for name, how := range map[string]screen{"desktop": desktop, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			alice, ben := newPage(t, how), newPage(t, desktop)
			a, b := "alice-"+name, "ben-"+name
			alice.join(s.url, a)
			ben.join(s.url, b)
			ben.say("here I am at " + name)
			alice.sees("here I am at " + name)
			const places = `JSON.stringify([...document.querySelectorAll('.composer, #messages, .row')].map((el) => {
				const r = el.getBoundingClientRect()
				return [r.top, r.height]
			}))`
			before := alice.text(places)
			// What is said of the text is read at the moment at which it stands there: it ends by itself.
			ben.write("hel")
			alice.until(`(() => {
				const el = document.querySelector('#typing')
				if (el?.innerText !== %s) return false
				const r = el.getBoundingClientRect(), c = document.querySelector('.composer').getBoundingClientRect()
				window.typed = {
					places: `+places+`,
					calm: r.top >= c.bottom - 1 && r.bottom <= innerHeight + 1 && el.scrollWidth <= el.clientWidth &&
						!el.closest('[role=status], [role=log], [role=alert], [aria-live]:not([aria-live=off])'),
				}
				return true
			})()`, b+" is typing …")
			alice.picture("typing-" + name)
			if after := alice.text(`window.typed.places`); after != before {
				t.Errorf("it moves %s to %s", before, after)
			}
			if !alice.truth(`window.typed.calm`) {
				t.Error("it is not below the field, or it is announced")
			}
			if ben.text(shownTyping) != "" {
				t.Errorf("ben sees %q", ben.text(shownTyping))
			}
			ben.enter()
			alice.sees("hel")
			alice.until(shownTyping + ` === ''`)

			// In the language of the reader, and at once after a message.
			alice.text(`localStorage.setItem('kaban.language', '"de"'), ''`)
			alice.open(s.url)
			alice.online()
			ben.write("lo")
			alice.until(shownTyping+` === %s`, b+" schreibt …")

			// It ends by itself. Somebody that does not want it is not shown.
			ben.text(`document.querySelector('#input').value = '', ''`)
			alice.until(shownTyping + ` === ''`)
			ben.button("Settings")
			ben.click("#show-typing")
			ben.until(`localStorage.getItem('kaban.typing') === 'false'`)
			ben.text(`document.querySelector('dialog[open]').close(), ''`)
			ben.text(`document.querySelector('#input').focus(), ''`)
			alice.text(`window.seen = 0, new MutationObserver(() => { if (document.querySelector('#typing')) window.seen++ }).observe(document.body, { childList: true, subtree: true }), ''`)
			ben.say("quietly at " + name)
			alice.sees("quietly at " + name)
			if alice.number(`window.seen`) != 0 {
				t.Error("somebody is shown typing who does not want it")
			}
		})
	}
}

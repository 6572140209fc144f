package browser

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// TestLevelsOfRoom chooses in a room what notifies: every message, mentions or nothing. The list of
// rooms counts by it, notifications follow it, and so does another device of the account.
func TestLevelsOfRoom(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben, other := newPage(t, desktop), newPage(t, desktop), newPage(t, desktop)
	for _, p := range []*page{olga, ben, other} {
		p.expectBreaks()
	}
	ben.script(notices)
	olga.signIn(s.url, "olga")
	ben.signIn(s.url, "ben")
	other.signIn(s.url, "ben")
	ben.showNotices()
	olga.create("garden", "public")
	ben.open(s.url + "/r/garden")
	ben.online()
	ben.button("Join the room")
	ben.until(`!document.querySelector('.instead')`)

	// What a level shows of a plain message and of one with a mention.
	for _, c := range []struct {
		level, plain string
		bold         bool
		notified     []string
	}{
		{"Every message", "1", true, []string{"Every message, plainly", "Every message, @ben"}},
		{"Mentions of me", "", true, []string{"Mentions of me, @ben"}},
		{"Nothing", "", false, nil},
	} {
		ben.open(s.url + "/r/garden")
		ben.online()
		ben.until(`!%s.matches('.news')`, roomInList("garden"))
		ben.button("Room settings")
		const levels = `[...document.querySelectorAll('dialog[open] input[name=level]')]`
		ben.until(levels + `.length === 3`)
		ben.text(levels + `.find((e) => e.parentElement.innerText === ` + quote(c.level) + `).click(), ''`)
		other.open(s.url + "/r/garden")
		other.online()
		other.button("Room settings")
		other.until(levels+`.find((e) => e.checked)?.parentElement.innerText === %s`, c.level)
		other.press(kb.Escape)
		other.visit("lobby")
		ben.press(kb.Escape)
		ben.visit("lobby")
		ben.text(`window.shown = [], document.hasFocus = () => false, dispatchEvent(new Event('blur')), ''`)
		olga.say(c.level + ", plainly")
		olga.stored(c.level + ", plainly")
		const count = `(%s.querySelector('.count')?.innerText ?? '')`
		for _, p := range []*page{ben, other} {
			p.until(`%s.matches('.news') === `+fmt.Sprint(c.bold)+` && `+count+` === `+quote(c.plain), roomInList("garden"), roomInList("garden"))
		}
		olga.say(c.level + ", @ben")
		olga.stored(c.level + ", @ben")
		for _, p := range []*page{ben, other} {
			p.until(count+` === '@1'`, roomInList("garden"))
			if bold := p.truth(roomInList("garden").String() + `.matches('.news')`); bold != c.bold {
				t.Errorf("%s: bold is %t, want %t", c.level, bold, c.bold)
			}
		}
		ben.notified(c.notified...)
	}
}

package browser

import (
	"testing"

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

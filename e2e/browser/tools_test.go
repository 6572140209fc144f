package browser

import (
	"fmt"
	"testing"
)

// toolsOfOwn are the tools of an own message of a member, in order, and those of a message of
// somebody else.
const (
	toolsOfOwn   = "Add a reaction, Reply, Open thread, Edit, Pin, Copy text, Copy link to this message, Mark as unread from here, Delete"
	toolsOfOther = "Add a reaction, Reply, Open thread, Pin, Copy text, Copy link to this message, Mark as unread from here"
)

// TestToolsOfAMember compares the tools of a message under the pointer with those under a finger,
// for its author, another member and an op, and uses those that no other test does on a phone.
func TestToolsOfAMember(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben, phone := newPage(t, desktop), newPage(t, desktop), newPage(t, screen{width: 390, height: 780, mobile: true})
	for _, p := range []*page{olga, ben, phone} {
		p.expectBreaks()
	}
	olga.signIn(s.url, "olga")
	ben.signIn(s.url, "ben")
	phone.signIn(s.url, "ben")
	ben.say("of ben")
	ben.stored("of ben")
	olga.say("of olga")
	olga.stored("of olga")
	ben.sees("of olga")
	ofBen, ofOlga := ben.seqOf("of ben"), ben.seqOf("of olga")
	for _, c := range []struct {
		who  string
		p    *page
		seq  int
		want string
	}{
		{"ben of his own", ben, ofBen, toolsOfOwn},
		{"ben of olga's", ben, ofOlga, toolsOfOther},
		{"olga, an op of public rooms, of ben's", olga, ofBen, toolsOfOther + ", Delete"},
	} {
		if got := c.p.tools(c.seq); got != c.want {
			t.Errorf("%s is offered %s, want %s", c.who, got, c.want)
		}
	}
	// A pointer that leaves takes them along.
	ben.text(`document.querySelector('#messages .rows').dispatchEvent(new MouseEvent('mouseleave')), ''`)
	ben.until(`!document.querySelector('.tools')`)

	hold := func(seq int) {
		t.Helper()
		phone.inRow(seq, `(r.querySelector('.content').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true, pointerType: 'touch'})), true)`)
		phone.inRow(seq, `r.querySelector('.tools')`)
	}
	named := func(seq int) string {
		return phone.text(fmt.Sprintf(`[...%s.querySelectorAll('.tools button')].map((b) => b.getAttribute('aria-label')).join(', ')`, row(seq)))
	}
	phone.sees("of olga")
	for seq, want := range map[int]string{ofBen: toolsOfOwn, ofOlga: toolsOfOther} {
		hold(seq)
		if got := named(seq); got != want {
			t.Errorf("a finger on %d shows %s, want %s", seq, got, want)
		}
		if small := phone.number(`[...document.querySelectorAll('.tools button')].filter((e) => { const box = e.getBoundingClientRect(); return box.width < 43.5 || box.height < 43.5 || box.left < 0 || box.right > innerWidth }).length`); small != 0 {
			t.Errorf("%v of the tools of %d are too small for a finger, or beside the screen", small, seq)
		}
	}
	phone.picture("tools-phone")
	hold(ofOlga)
	phone.inTools(ofOlga, "Pin")
	for _, p := range []*page{phone, ben, olga} {
		p.inRow(ofOlga, `r.querySelector('.pin-mark')`)
	}
	hold(ofBen)
	phone.inTools(ofBen, "Edit")
	phone.until(`document.querySelector('#input').value === 'of ben'`)
	phone.text(`document.querySelector('#input').select(), ''`)
	phone.write("by finger")
	phone.text(`document.querySelector('.composer [aria-label=Send]').click(), ''`)
	for _, p := range []*page{phone, ben, olga} {
		p.untilMarks(ofBen, "by finger | edited")
	}
	hold(ofBen)
	phone.inTools(ofBen, "Open thread")
	phone.until(`document.querySelector('#panel .thread, #panel')?.innerText.includes('by finger')`)
	phone.text(`history.back(), ''`)
	phone.until(`!document.querySelector('#panel')`)
	hold(ofOlga)
	phone.inTools(ofOlga, "Mark as unread from here")
	ben.until(`%s.innerText.includes('marked as unread')`, roomInList("lobby"))
	hold(ofBen)
	phone.inTools(ofBen, "Delete")
	phone.inTools(ofBen, "Delete")
	for _, p := range []*page{phone, ben, olga} {
		p.untilMarks(ofBen, "This message was deleted.")
	}
}

// TestChangesTurnFirm makes changes whose answers do not come: each is shown at once, and as one that
// is on its way. It turns firm with its ack.
func TestChangesTurnFirm(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.expectBreaks()
	alice.join(between.url(), "alice")
	ben.join(s.url, "ben")
	for _, content := range []string{"one", "two", "three"} {
		alice.say(content)
		alice.stored(content)
	}
	one, two, three := ben.seqOf("one"), ben.seqOf("two"), ben.seqOf("three")
	const onWay = `r.querySelector('.changing, .pill.waiting')`
	for _, seq := range []int{one, two, three} {
		alice.inRow(seq, `!`+onWay)
	}
	for _, how := range []mode{silent, cut} {
		between.set(how)
		n := map[mode]string{silent: "silently", cut: "offline"}[how]
		alice.tool(one, "Edit")
		alice.until(`document.querySelector('#composing')`)
		alice.text(`document.querySelector('#input').select(), ''`)
		alice.write("one " + n)
		alice.enter()
		alice.inRow(one, `r.querySelector('.content').innerText === `+quote("one "+n)+` && `+onWay)
		emoji := map[mode]string{silent: "🎉", cut: "👍"}[how]
		alice.react(two, emoji)
		alice.inRow(two, `r.innerText.includes(`+quote(emoji)+`) && `+onWay)
		if how == cut {
			alice.tool(three, "Delete")
			alice.inTools(three, "Delete")
			alice.inRow(three, `r.querySelector('.deleted') && `+onWay)
		}
		alice.say("a message " + n)
		alice.pending("a message " + n)
		if got := ben.text(row(one) + `.querySelector('.content').innerText`); got == "one "+n {
			t.Errorf("ben reads %q before it was sent", got)
		}
		between.set(whole)
		alice.stored("a message " + n)
		alice.settled()
		alice.inRow(one, `!`+onWay)
		ben.sees("a message " + n)
		ben.inRow(one, `r.querySelector('.content').innerText === `+quote("one "+n))
		ben.inRow(two, `r.innerText.includes(`+quote(emoji)+`)`)
	}
	ben.inRow(three, `r.querySelector('.deleted')`)
}

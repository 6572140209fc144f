package browser

import (
	"fmt"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// inThread is JavaScript for the texts of the rows of the thread that is open.
const inThread = `[...document.querySelectorAll('#thread .row')].map((r) => r.querySelector('.content, .deleted')?.innerText).join(' | ')`

// untilThread waits until the open thread has these texts, the message that it is about first.
func (p *page) untilThread(want ...string) {
	p.t.Helper()
	p.until(`%s === %s`, raw(inThread), strings.Join(want, " | "))
}

// inPanelRow waits for something of a row, r, of the open thread.
func (p *page) inPanelRow(seq int, expression string) {
	p.t.Helper()
	p.until(`((r) => r && %s)(%s)`, raw(expression), raw(fmt.Sprintf(`document.querySelector('#thread .row[data-seq="%d"]')`, seq)))
}

// TestThread opens a thread beside the room, answers in it, and follows what becomes of
// its messages.
func TestThread(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.join(s.url, "alice")
	ben.join(s.url, "ben")
	alice.say("who is in?")
	seq := ben.seqOf("who is in?")
	alice.say("something else")
	alice.stored("something else")

	// The tool opens it, with the focus in its field.
	ben.sees("something else")
	ben.tool(seq, "Open thread")
	ben.until(`document.activeElement.id === 'reply' && document.querySelector('#panel-title').innerText === 'Thread'`)
	ben.until(`location.hash === %s && document.querySelector('#panel').innerText.includes('No replies yet')`, fmt.Sprintf("#thread/%d", seq))
	ben.untilThread("who is in?")
	ben.write("me")
	ben.press(kb.Enter)
	ben.untilThread("who is in?", "me")
	ben.settled()
	answer := ben.seqOf("me")
	ben.until(`document.activeElement.id === 'reply' && document.activeElement.value === ''`)
	// Beside what it answers, a quote of it says nothing new.
	ben.inPanelRow(answer, `!r.querySelector('.quote')`)
	ben.inRow(answer, `r.querySelector('.quote-text').innerText === 'who is in?'`)

	// The message leads there, and says how many have answered, who, and when.
	alice.inRow(seq, `/^1 reply\s+last (today|yesterday) at /.test(r.querySelector('.replies').innerText) && r.querySelectorAll('.replies .avatar').length === 1`)
	alice.click(fmt.Sprintf(`#messages .row[data-seq="%d"] .replies`, seq))
	alice.untilThread("who is in?", "me")
	alice.until(`document.activeElement.id === 'reply'`)

	// Both see what the other does, in the thread and beside it.
	alice.write("tonight?")
	alice.press(kb.Enter)
	for _, p := range []*page{alice, ben} {
		p.untilThread("who is in?", "me", "tonight?")
		p.inRow(seq, `/^2 replies/.test(r.querySelector('.replies').innerText) && r.querySelectorAll('.replies .avatar').length === 2`)
	}
	alice.settled()
	last := alice.seqOf("tonight?")
	alice.press(kb.ArrowUp)
	alice.until(`document.querySelector('#reply').value === 'tonight?' && document.querySelector('#reply-composing').innerText.includes('Editing')`)
	alice.write(" At eight")
	alice.press(kb.Enter)
	ben.untilThread("who is in?", "me", "tonight? At eight")
	ben.inPanelRow(last, `r.querySelector('.edited')`)
	ben.inPanelRow(last, `(r.dispatchEvent(new MouseEvent('mouseover', {bubbles: true})), r.querySelector('.tools'))`)
	if n := ben.number(`document.querySelectorAll('.tools').length`); n != 1 {
		t.Errorf("the tools are there %v times, want them in the thread only", n)
	}
	ben.text(`[...document.querySelectorAll('#thread .tools button')].find((b) => b.getAttribute('aria-label') === 'Add a reaction').click(), ''`)
	ben.pick("❤️")
	for _, p := range []*page{alice, ben} {
		p.inPanelRow(last, `r.querySelector('.reaction-count')?.innerText === '1'`)
		p.inRow(last, `r.querySelector('.reaction-count')?.innerText === '1'`)
	}
	ben.settled()
	alice.tool(answer, "Reply") // an answer to an answer belongs to the thread of that one
	alice.write("when do you come?")
	alice.press(kb.Enter)
	alice.stored("when do you come?")
	ben.inPanelRow(answer, `r.querySelector('.replies-count')?.innerText === '1 reply'`)
	alice.tool(last, "Delete")
	alice.inTools(last, "Delete")
	for _, p := range []*page{alice, ben} {
		p.untilThread("who is in?", "me", "This message was deleted.")
	}
	alice.settled()

	// Escape closes it, and the focus is on the message.
	ben.text(`document.querySelector('#reply').focus(), ''`)
	ben.press(kb.Escape)
	ben.until(`!document.querySelector('#panel') && document.activeElement === %s && location.hash === ''`, raw(row(seq)))
	// The members have their place again.
	ben.until(`document.querySelector('#members').checkVisibility()`)
}

// TestThreadByLink opens a thread by its address, far back in a room, with more answers than a
// page has; goes back and forward; and follows it over a lost connection.
func TestThreadByLink(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("carol", "lobby", "the beginning")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.tool(1, "Open thread")
	p.until(`document.activeElement.id === 'reply'`)
	answers := numbered("answer", 105)
	for _, content := range answers {
		p.write(content)
		p.press(kb.Enter)
	}
	p.until(`document.querySelectorAll('#thread .row[data-seq]').length === 106`)
	p.settled()
	// It follows its end.
	p.until(`((e) => e.scrollHeight - e.scrollTop - e.clientHeight < 4)(document.querySelector('#thread'))`)
	s.say("carol", "lobby", numbered("later", 700)...)
	p.close()

	w := startLink(t, s.url)
	p = newPage(t, desktop)
	p.expectBreaks()
	p.open(w.url() + "/r/lobby#thread/1")
	p.until(`document.activeElement?.id === 'name'`)
	p.write("ben")
	p.press(kb.Enter)
	p.online()
	p.untilThread(append([]string{"the beginning"}, answers[5:]...)...)
	// Not all answers are loaded in the room: nothing is said about the last one.
	p.button("Show earlier replies")
	p.untilThread(append([]string{"the beginning"}, answers...)...)
	p.until(`![...document.querySelectorAll('#panel button')].some((b) => b.innerText === 'Show earlier replies')`)
	// The author's name leads to the message in the room, beside which the thread stays.
	p.click(`#thread .row[data-seq="1"] .time`)
	p.inRow(1, `r.querySelector('.message.marked')`)
	p.until(`location.hash === '#1' && document.querySelector('#panel')`)
	p.run(chromedp.Reload())
	p.online()
	p.until(`location.hash === '#1'`)
	p.untilThread(append([]string{"the beginning"}, answers[5:]...)...)
	p.text(`history.back(), ''`)
	p.until(`location.hash === '#thread/1' && document.querySelector('#panel')`)

	// What happens meanwhile is there after a break.
	w.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status !== 'open'`)
	other := newPage(t, desktop)
	other.open(s.url + "/r/lobby#thread/1")
	other.until(`document.activeElement?.id === 'name'`)
	other.write("dora")
	other.press(kb.Enter)
	other.online()
	other.untilThread(append([]string{"the beginning"}, answers[5:]...)...)
	other.until(`document.querySelector('#reply')`)
	other.text(`document.querySelector('#reply').focus(), ''`)
	other.write("from elsewhere")
	other.press(kb.Enter)
	other.settled()
	w.set(whole)
	p.untilThread(append(append([]string{"the beginning"}, answers[5:]...), "from elsewhere")...)

	// A message that is not there.
	p.open(w.url() + "/r/lobby#thread/100000")
	p.until(`document.querySelector('#panel')?.innerText.includes('This message is not available.')`)
}

// TestThreadOnPhone has the thread in front of the room, from which Back returns.
func TestThreadOnPhone(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("carol", "lobby", "who is in?")
	ben := newPage(t, phone)
	ben.join(s.url, "ben")
	ben.click("#input")
	ben.write("a draft")
	ben.tool(1, "Open thread")
	ben.until(`document.activeElement.id === 'panel-title' && document.querySelector('.main').inert`)
	ben.until(`((b) => b.left === 0 && b.top === 0 && b.width === innerWidth && b.height === innerHeight)(document.querySelector('#panel').getBoundingClientRect())`)
	ben.click("#reply")
	ben.write("me")
	ben.click("#panel .send")
	ben.untilThread("who is in?", "me")
	ben.settled()
	ben.fits("the thread")
	// What others say in the room is not read by somebody that looks at a thread.
	s.say("carol", "lobby", "something else")
	ben.until(`document.title.startsWith('(1)')`)
	ben.text(`history.back(), ''`)
	ben.until(`!document.querySelector('#panel') && !document.querySelector('.main').inert && document.querySelector('#input').value === 'a draft'`)
	ben.sees("something else")
	ben.until(`!document.title.startsWith('(')`)
	ben.text(`history.forward(), ''`)
	ben.untilThread("who is in?", "me")
	ben.click(`#panel button[aria-label="Back"]`)
	ben.until(`!document.querySelector('#panel') && location.hash === '' && document.activeElement === %s`, raw(row(1)))
}

// TestAxeThread runs axe-core on a thread.
func TestAxeThread(t *testing.T) {
	t.Parallel()
	axe := axeCore(t)
	s := startServer(t, "")
	s.say("carol", "lobby", "who is in?", "something else", "who is out?")
	for _, how := range []screen{desktop, {width: 1280, height: 800, dark: true}, phone, {width: 320, height: 640, mobile: true, dark: true}} {
		p := newPage(t, how)
		command(p, cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: true})
		p.join(s.url, fmt.Sprintf("ben%d%v", how.width, how.dark))
		p.tool(3, "Open thread")
		p.until(`document.querySelector('#panel')?.innerText.includes('No replies yet') || document.querySelectorAll('#thread .row').length > 1`)
		p.accessible(axe, how, "a thread without answers")
		p.click("#reply")
		p.write("I am " + p.text("String(innerWidth)"))
		p.click("#panel .send")
		p.until(`[...document.querySelectorAll('#thread .row[data-seq]')].some((r) => r.innerText.includes('I am ' + innerWidth))`)
		p.settled()
		p.accessible(axe, how, "a thread")
		p.fits("a thread")
		p.picture(fmt.Sprintf("thread-%d-%v", how.width, how.dark))
		p.close()
	}
}

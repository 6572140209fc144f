package browser

import (
	"testing"
)

// readTimers notes for each mark of reading that a page sends how long the timer was that sent
// it; 0 if none did. It waits for nothing: a timer knows its length.
const readTimers = `
window.readTimers = []
{
	let length = 0
	const set = window.setTimeout, {send} = WebSocket.prototype
	window.setTimeout = (f, ms, ...rest) => set(() => {
		const before = length
		length = ms ?? 0
		try { f(...rest) } finally { length = before }
	}, ms)
	WebSocket.prototype.send = function (text) {
		for (const line of String(text).split('\n')) if (/"type":"read"/.test(line)) window.readTimers.push(length)
		send.call(this, text)
	}
}
`

// longestMark is how long a page may keep what was read from the other devices, in milliseconds.
const longestMark = 1000

// TestReadElsewhere reads a room on one device: the other device of the account shows nothing
// unread any more, without a look at the room. The mark is on its way within a second.
func TestReadElsewhere(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, desk, phone := newPage(t, desktop), newPage(t, desktop), newPage(t, screen{width: 390, height: 780, mobile: true})
	for _, p := range []*page{olga, desk, phone} {
		p.expectBreaks()
	}
	desk.script(readTimers)
	olga.signIn(s.url, "olga")
	olga.create("garden", "public")
	for _, p := range []*page{desk, phone} {
		p.signIn(s.url, "ben")
	}
	desk.open(s.url + "/r/garden")
	desk.online()
	desk.button("Join the room")
	desk.until(`!document.querySelector('.instead')`)
	for _, p := range []*page{desk, phone} {
		p.until(`Boolean(%s)`, roomInList("garden"))
	}
	desk.visit("lobby")
	for _, content := range []string{"plain", "for @ben", "plain again"} {
		olga.say(content)
		olga.stored(content)
	}
	for _, p := range []*page{desk, phone} {
		p.until(`%s.matches('.news') && %[1]s.querySelector('.count')?.innerText === '@1' && document.title.startsWith('(1)')`, roomInList("garden"))
	}
	desk.text(`window.readTimers = [], ''`)
	desk.visit("garden")
	desk.sees("plain again")
	for _, p := range []*page{desk, phone} {
		p.until(`!%s.matches('.news') && !%[1]s.querySelector('.count') && !document.title.startsWith('(')`, roomInList("garden"))
	}
	if phone.text(`location.pathname`) != "/r/lobby" {
		t.Error("the other device went to the room")
	}
	timers := value[[]float64](desk, `window.readTimers`)
	if len(timers) == 0 {
		t.Fatal("the mark reached the other device, and the page has sent none")
	}
	for _, length := range timers {
		if length <= 0 || length > longestMark {
			t.Errorf("a mark was sent by a timer of %v ms, want one of at most %d", length, longestMark)
		}
	}
	// What comes while it is on the screen is read there, and nowhere else new.
	olga.say("at once")
	olga.stored("at once")
	desk.sees("at once")
	phone.until(`!%s.matches('.news') && !%[1]s.querySelector('.count')`, roomInList("garden"))
	// The server knows: a third device begins so.
	third := newPage(t, desktop)
	third.expectBreaks()
	third.signIn(s.url, "ben")
	third.until(`Boolean(%s)`, roomInList("garden"))
	third.until(`!%s.matches('.news') && !%[1]s.querySelector('.count') && !document.title.startsWith('(')`, roomInList("garden"))
}

package browser

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// keys simulates keys that come faster than frames: all are handled in one task, each
// at the focus of that moment, as a browser does with queued keys.
const keys = `
window.key = (key, how = {}) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true, ...how}))
window.type = (text) => {
	document.activeElement.value += text
	document.activeElement.dispatchEvent(new Event('input', {bubbles: true}))
}
window.ctrl = {ctrlKey: true}
window.frames2 = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))
`

// TestFocusOfWhatCloses opens the search right after something else has closed, which
// must not take the focus back later.
func TestFocusOfWhatCloses(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	p := newPage(t, desktop)
	p.script(keys)
	p.join(s.url, "alice")
	p.visit("team")
	p.visit("lobby")
	for name, closing := range map[string]string{
		"the list of keys":      `key('?'), key('Escape')`,
		"the switcher":          `key('k', ctrl), key('Escape')`,
		"the switcher, again":   `key('k', ctrl), key('k', ctrl)`,
		"a room is gone to":     `key('k', ctrl), type('team'), key('Enter')`,
		"the room above":        `key('ArrowUp', {altKey: true})`,
		"settings by the mouse": `document.querySelector('.me [aria-label=Settings]').click(), key('Escape')`,
		"closed by the mouse":   `key('?'), document.querySelector('dialog[open] [aria-label=Close]').click()`,
	} {
		for range 20 {
			lost := p.text(fmt.Sprintf(`%s, key('f', ctrl), document.activeElement.id`, closing))
			if lost != "search" {
				t.Errorf("%s: Ctrl-F right after it leaves the focus on %q", name, lost)
				break
			}
			if now := value[string](p, `frames2().then(() => new Promise((done) => setTimeout(done, 20))).then(() => document.activeElement.id)`, awaited); now != "search" {
				t.Errorf("%s: it moved the focus from the search to %q", name, now)
				break
			}
			p.text(`key('Escape'), ''`)
			p.until(`!document.querySelector('.search') && document.activeElement.id === 'input'`)
		}
	}
	// The same with keys that the browser delivers.
	for range 20 {
		p.stroke("?", "?", 191)
		p.press(kb.Escape)
		p.press("f", chromedp.KeyModifiers(kb.ModifierCtrl))
		p.until(`document.activeElement.id === 'search'`)
		p.press(kb.Escape)
		p.until(`document.activeElement.id === 'input'`)
	}
	// Typed text arrives wherever the focus came from.
	for range 5 {
		p.visit("team")
		p.write("to the team")
		p.until(`document.querySelector('#input').value === 'to the team'`)
		p.press("k", chromedp.KeyModifiers(kb.ModifierCtrl))
		p.press(kb.Escape)
		p.write("!")
		p.until(`document.querySelector('#input').value === 'to the team!'`)
		p.text(`document.querySelector('#input').value = '', document.querySelector('#input').dispatchEvent(new Event('input')), ''`)
		p.visit("lobby")
	}
	// The browser closes a dialog by itself, as it does for the back button of a phone.
	p.text(`key('?'), document.querySelector('dialog[open]').close(), ''`)
	p.press("k", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.querySelector('dialog[open]') && document.activeElement.getAttribute('role') === 'combobox'`)
}

// TestFastSwitcher presses Ctrl-K, a name and Enter within one frame.
func TestFastSwitcher(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "ops", "in ops")
	s.say("ben", "ops-2", "in ops-2")
	p := newPage(t, desktop)
	p.script(keys)
	p.join(s.url, "alice")
	p.visit("ops-2")
	p.visit("lobby")
	s.say("ben", "ops-2", "unread")
	p.until(`document.querySelector('.count')`)
	for range 10 {
		p.text(`key('k', ctrl), type('ops'), key('Enter'), ''`)
		p.until(`document.querySelector('.head h1').innerText.includes('ops') && document.activeElement.id === 'input'`)
		if name := p.text(`document.querySelector('.head h1 bdi').innerText`); name != "ops" {
			t.Fatalf("Ctrl-K ops Enter went to %q", name)
		}
		p.text(`key('k', ctrl), type('lobby'), key('Enter'), ''`)
		p.until(`document.querySelector('.head h1 bdi').innerText === 'lobby'`)
	}
	// A room that was never offered on the screen is not created.
	p.text(`key('k', ctrl), type('opss'), key('Enter'), ''`)
	p.until(`document.querySelector('.missing')`)
	p.wantRooms("lobby", "ops", "ops-2")
	if got := p.text(`document.querySelector('#input')?.value ?? ''`); got != "" {
		t.Errorf("%q was typed into the message", got)
	}
}

// wantRooms checks which rooms the server has.
func (p *page) wantRooms(want ...string) {
	p.t.Helper()
	got := value[[]string](p, `fetch('/v1/rooms').then((r) => r.json()).then((r) => r.rooms.map((room) => room.room))`, awaited)
	if strings.Join(got, " ") != strings.Join(want, " ") {
		p.t.Errorf("the server has the rooms %q, want %q", got, want)
	}
}

// TestMistypedRoom opens the address of a room that does not exist. It is created only
// when the user asks for it.
func TestMistypedRoom(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	p := newPage(t, desktop)
	p.join(s.url+"/r/tema", "alice")
	p.until(`document.querySelector('.missing')?.innerText.includes('tema')`)
	p.until(`!document.querySelector('#input')`)
	p.wantRooms("lobby", "team")
	p.click(".missing .secondary")
	p.until(`document.querySelector('.head h1 bdi').innerText === 'lobby' && document.querySelectorAll('.room').length === 1`)
	// An existing room opens without a question.
	p.open("about:blank")
	p.open(s.url + "/r/team")
	p.sees("hello team")
	p.open("about:blank")
	p.open(s.url + "/r/tema")
	p.until(`document.querySelector('.missing')`)
	p.run(chromedp.Reload())
	p.until(`document.querySelector('.missing')`)
	p.click(".missing .primary")
	p.until(`document.activeElement.id === 'input'`)
	p.say("made on purpose")
	p.stored("made on purpose")
	p.wantRooms("lobby", "team", "tema")
}

// TestTwoTabsWriting writes in both tabs of a browser.
func TestTwoTabsWriting(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	first := newPage(t, desktop)
	first.join(s.url, "alice")
	second := first.tab()
	second.open(s.url)
	second.online()
	first.until(`document.querySelector('.replaced')`)
	first.say("sent in the replaced tab")
	second.sees("sent in the replaced tab") // which is connected
	first.run(chromedp.Focus("#input"))
	first.write("half a thought of the first")
	second.run(chromedp.Focus("#input"))
	second.write("half a thought of the second")
	second.say(", and sent")
	second.stored("half a thought of the second, and sent")
	second.write("another thought of the second")
	first.run(chromedp.Reload())
	first.online()
	first.until(`document.querySelector('#input').value === 'half a thought of the first'`)
	second.until(`document.querySelector('.replaced')`)
	second.run(chromedp.Reload())
	second.online()
	second.until(`document.querySelector('#input').value === 'another thought of the second'`)
	second.stored("half a thought of the second, and sent")
	second.wantAll([]string{"sent in the replaced tab", "half a thought of the second, and sent"})
	// A tab that takes over has everything once, including messages that the other one
	// sent for it.
	first.until(`document.querySelector('.replaced')`)
	first.say(", once more")
	second.sees("once more")
	first.click(".replaced button")
	first.stored("half a thought of the first, once more")
	first.wantAll([]string{"sent in the replaced tab", "half a thought of the second, and sent", "half a thought of the first, once more"})
}

func TestNewWhereNothingWasRead(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.sees("No messages yet")
	p.text(`document.hasFocus = () => false, dispatchEvent(new Event('blur')), ''`)
	s.say("ben", "lobby", "first", "second")
	p.until(`document.querySelector('#messages .unread')?.parentElement.innerText.includes('first')`)
	// And again at the next visit.
	p.until(`document.title.startsWith('(2)')`)
	p.open("about:blank")
	p.open(s.url)
	p.until(`document.querySelector('#messages .unread')?.parentElement.innerText.includes('first')`)
}

// TestMidnight checks that a new day begins. The test decides when it is midnight.
func TestMidnight(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.script(spread(9, 0, 1) + `
		window.midnights = []
		const arm = setTimeout
		window.setTimeout = (then, wait, ...args) => {
			// In nine hours.
			if (wait > 32_000_000 && wait < 33_000_000) return midnights.push(then)
			return arm(then, wait, ...args)
		}
	`)
	s.say("ben", "lobby", "good morning")
	p.join(s.url, "alice")
	p.sees("good morning")
	p.until(`document.querySelector('.day').innerText === 'Today' && midnights.length >= 1`)
	p.text(`ahead += 9 * 3_600_000, midnights.at(-1)(), ''`)
	p.until(`document.querySelector('.day').innerText === 'Yesterday'`)
}

func TestErrorsLeave(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "hello")
	p := newPage(t, desktop)
	// The test decides when the time of an error has passed.
	p.script(`
		window.armed = new Map()
		const arm = setTimeout, disarm = clearTimeout
		window.setTimeout = (then, wait, ...args) => {
			const id = arm(then, wait === 10000 ? 1e8 : wait, ...args)
			if (wait === 10000) armed.set(id, then)
			return id
		}
		window.clearTimeout = (id) => { armed.delete(id), disarm(id) }
		window.pass = () => { for (const [id, then] of armed) armed.delete(id), disarm(id), then() }
	`)
	p.join(s.url+"/r/lobby#77", "alice")
	p.until(`document.querySelector('.state.problem')?.innerText.includes('no such message') && armed.size === 1`)
	p.text(`pass(), ''`)
	p.until(`!document.querySelector('.state.problem')`)
	// An error stays while the user is on it.
	p.text(`location.hash = '#78', ''`)
	p.until(`document.querySelector('.state.problem') && armed.size === 1`)
	p.text(`document.querySelector('.state.problem button').focus(), ''`)
	p.until(`armed.size === 0`)
	p.text(`document.querySelector('#input').focus(), ''`)
	p.until(`armed.size === 1`)
	p.press(kb.Escape)
	p.until(`!document.querySelector('.state.problem') && armed.size === 0`)
}

// clockAt is a script that sets the clock of a page to a time of a day that has 24 hours everywhere.
func clockAt(hour, minute, second int) string {
	return fmt.Sprintf(`
		const real = Date
		window.ahead = new real(2026, 5, 17, %d, %d, %d).getTime() - real.now()
		window.Date = class extends real {
			constructor(...args) { args.length === 0 ? super(real.now() + ahead) : super(...args) }
			static now() { return real.now() + ahead }
		}
	`, hour, minute, second)
}

// spread sets messages a number of seconds apart, from a time of this day. It is the afternoon for
// the page, so that no other day begins.
func spread(hour, minute, seconds int) string {
	return clockAt(15, 0, 0) + fmt.Sprintf(`
		const parse = JSON.parse
		JSON.parse = (text) => {
			const value = parse(text)
			value?.messages?.forEach((m) => {
				const time = new Date()
				time.setHours(%d, %d, m.seq * %d, 0)
				m.time = time.toISOString()
			})
			return value
		}
	`, hour, minute, seconds)
}

// TestGrouping checks that the author of a long run is repeated every few minutes, and
// stays at the top of the screen.
func TestGrouping(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", numbered("n", 60)...)
	p := newPage(t, desktop)
	p.script(spread(9, 0, 20)) // twenty minutes
	p.join(s.url, "alice")
	p.sees("n 60")
	p.text(`document.querySelector('#messages').scrollTop = 0, ''`)
	p.until(`document.querySelector('.row[data-seq="1"]')`)
	for _, test := range []struct {
		seq  int
		name bool
	}{{1, true}, {2, false}, {14, false}, {15, true}, {16, false}} {
		if named := p.truth(fmt.Sprintf(`document.querySelector('.row[data-seq="%d"] .author')`, test.seq)); named != test.name {
			t.Errorf("message %d has a name: %v, want %v", test.seq, named, test.name)
		}
	}
	p.until(`!document.querySelector('.pinned')`)
	p.text(`document.querySelector('#messages').scrollTop += document.querySelector('.row[data-seq="4"]').getBoundingClientRect().top - document.querySelector('#messages').getBoundingClientRect().top, ''`)
	p.until(`document.querySelector('.pinned .author')?.innerText === 'ben'`)
	p.text(`document.querySelector('#messages').scrollTop += document.querySelector('.row[data-seq="15"]').getBoundingClientRect().top - document.querySelector('#messages').getBoundingClientRect().top, ''`)
	p.until(`!document.querySelector('.pinned')`)

	// The name of one author never covers that of the next one.
	p.text(`document.querySelector('#messages').scrollTop += document.querySelector('.row[data-seq="11"]').getBoundingClientRect().top - document.querySelector('#messages').getBoundingClientRect().top, ''`)
	p.until(`document.querySelector('.pinned .author')?.innerText === 'ben'`)
	p.text(`document.querySelector('#messages').scrollTop += document.querySelector('.row[data-seq="14"]').getBoundingClientRect().top - document.querySelector('#messages').getBoundingClientRect().top, ''`)
	p.until(`!document.querySelector('.pinned')`)
}

// TestTimesFit checks that the widest times fit beside the rows of a group.
func TestTimesFit(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", numbered("n", 10)...)
	p := newPage(t, desktop)
	p.script(spread(12, 55, 20))
	p.join(s.url, "alice")
	p.sees("n 10")
	p.until(`document.querySelector('.row[data-seq="1"] .time').innerText === '12:55 PM'`)
	p.until(`document.querySelector('.row[data-seq="2"].row .grouped .time')?.innerText === '12:55'`)
	for _, cut := range value[[]string](p, `[...document.querySelectorAll('.time')].flatMap((e) => {
		const range = document.createRange()
		range.selectNodeContents(e)
		const text = range.getBoundingClientRect(), content = e.parentElement.querySelector('.content').getBoundingClientRect()
		const above = e.parentElement.querySelector('.author')
		return range.getClientRects().length !== 1 || text.left < e.closest('#messages').getBoundingClientRect().left || (!above && text.right > content.left) ? [e.innerText] : []
	})`) {
		t.Errorf("the time %q is cut or runs into the text", cut)
	}
}

// TestCopy selects several messages, as for quoting them elsewhere.
func TestCopy(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "one", "two\nlines")
	s.say("priya", "lobby", "three")
	p := newPage(t, desktop)
	p.script(spread(9, 0, 1))
	p.join(s.url, "alice")
	p.sees("three")
	p.text(`getSelection().selectAllChildren(document.querySelector('.rows')), ''`)
	lines := strings.FieldsFunc(p.text(`getSelection().toString()`), func(r rune) bool { return r == '\n' })
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	if got, want := strings.Join(lines, "|"), "Today|ben 9:00 AM|one|two|lines|priya 9:00 AM|three"; got != want {
		t.Errorf("copied %q, want %q", got, want)
	}
}

// TestLargeScreen checks that lines stay short enough to read.
func TestLargeScreen(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", strings.Repeat("many words in a line ", 100))
	p := newPage(t, screen{width: 3840, height: 1600})
	p.join(s.url, "alice")
	p.sees("many words")
	if width := p.number(`document.querySelector('.row .content').getBoundingClientRect().width`); width > 960 {
		t.Errorf("lines are %v pixels long", width)
	}
}

// TestReloadKeepsThePlace reloads while the user reads back.
func TestReloadKeepsThePlace(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", numbered("n", 900)...)
	p := newPage(t, desktop)
	p.join(s.url+"/r/team", "alice")
	p.sees("n 900")
	for range 4 { // beyond the first page
		p.text(`document.querySelector('#messages').scrollTop = 1000, ''`)
		p.pause(100)
	}
	before := value[position](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(`+firstVisible+`))))`, awaited)
	s.say("ben", "team", "meanwhile")
	p.run(chromedp.Reload())
	p.until(`document.querySelector('.row[data-seq="%s"]')`, raw(fmt.Sprint(before.Seq)))
	p.until(`Math.abs(document.querySelector('.row[data-seq="%s"]').getBoundingClientRect().top - %s) <= 2`, raw(fmt.Sprint(before.Seq)), raw(fmt.Sprint(before.Top)))
	p.until(`document.querySelector('.head h1 bdi').innerText === 'team'`)
	p.click(".jump")
	p.sees("meanwhile")
	// At the end, the position is the end.
	p.run(chromedp.Reload())
	p.sees("meanwhile")
	// An address without a room opens the last one.
	p.open(s.url)
	p.sees("meanwhile")
}

// TestRefusedJoin has a join refused once: the room stays in the list, and is joined
// later.
func TestRefusedJoin(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	p := newPage(t, desktop)
	p.script(`
		const read = JSON.parse
		window.refused = 0
		JSON.parse = (text) => {
			const value = read(text)
			if (value?.type !== 'joined' || value.room !== 'team' || window.refused > 0) return value
			window.refused++
			return {type: 'error', ref: value.ref, code: 'rate_limited', message: 'slow down', retry_after_ms: 1}
		}
		localStorage.setItem('kaban.rooms', '["lobby","team"]')
	`)
	p.join(s.url+"/r/team", "alice")
	p.until(`window.refused === 1 && document.querySelector('.state.problem')`)
	p.until(`document.querySelectorAll('.room').length === 2 && localStorage.getItem('kaban.rooms').includes('team')`)
	p.sees("hello team")
}

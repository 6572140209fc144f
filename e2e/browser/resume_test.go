package browser

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// numbered returns n numbered contents.
func numbered(prefix string, n int) []string {
	contents := make([]string, n)
	for i := range contents {
		contents[i] = fmt.Sprintf("%s %d", prefix, i+1)
	}
	return contents
}

// readAll scrolls from the top of the loaded messages to their end and returns all
// contents by seq.
func (p *page) readAll() map[int]string {
	p.t.Helper()
	type row struct {
		Seq     int
		Content string
	}
	all := make(map[int]string)
	p.text(`document.querySelector('#messages').scrollTop = 0, ''`)
	for {
		before := len(all)
		rows := value[[]row](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
			const list = document.querySelector('#messages')
			const rows = [...list.querySelectorAll('.row[data-seq]')].map((r) => ({Seq: Number(r.dataset.seq), Content: r.querySelector('.content').innerText}))
			list.scrollTop += list.clientHeight
			done(rows)
		})))`, awaited)
		for _, r := range rows {
			if content, ok := all[r.Seq]; ok && content != r.Content {
				p.t.Fatalf("message %d is %q and %q", r.Seq, content, r.Content)
			}
			all[r.Seq] = r.Content
		}
		atEnd := p.truth(`(() => { const l = document.querySelector('#messages'); return l.scrollHeight - l.scrollTop - l.clientHeight < 4 })()`)
		if atEnd && len(all) == before {
			return all
		}
	}
}

// wantAll checks that a page has exactly these messages of the room's log.
func (p *page) wantAll(want []string) {
	p.t.Helper()
	got := p.readAll()
	for i, content := range want {
		if got[i+1] != content {
			p.t.Errorf("message %d is %q, want %q", i+1, got[i+1], content)
		}
	}
	if len(got) != len(want) {
		p.t.Errorf("there are %d messages, want %d", len(got), len(want))
	}
}

func TestReload(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.say("before")
	p.stored("before")
	p.run(chromedp.Focus("#input"))
	p.write("half a thou")
	p.run(chromedp.Reload())
	p.online()
	p.sees("before")
	p.until(`document.querySelector('#input').value === 'half a thou'`)
	p.write("ght")
	p.press(kb.Enter)
	p.stored("half a thought")
	p.wantAll([]string{"before", "half a thought"})
	// The page still has its name.
	p.until(`document.querySelector('.me-name').innerText === 'alice'`)
}

func TestBackAndForward(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", "in the lobby")
	s.say("ben", "team", "in the team")
	p := newPage(t, desktop)
	p.join(s.url+"/r/lobby", "alice")
	p.sees("in the lobby")
	p.visit("team")
	p.sees("in the team")
	p.until(`location.pathname === '/r/team'`)
	p.run(chromedp.NavigateBack())
	p.until(`document.querySelector('.head h1').innerText.includes('lobby')`)
	p.sees("in the lobby")
	p.run(chromedp.NavigateForward())
	p.until(`document.querySelector('.head h1').innerText.includes('team')`)
	p.sees("in the team")
}

// visit goes to a room with the quick switcher.
func (p *page) visit(room string) {
	p.t.Helper()
	p.press("k", chromedp.KeyModifiers(kb.ModifierCtrl))
	p.until(`document.activeElement?.getAttribute('role') === 'combobox'`)
	p.write(room)
	p.until(`document.querySelector('[role=option][aria-selected=true]')?.innerText.includes(%s)`, room)
	p.press(kb.Enter)
	p.until(`document.querySelector('.head h1').innerText.includes(%s)`, room)
	p.until(`matchMedia('(pointer: coarse)').matches || document.activeElement.id === 'input'`)
}

func TestDeepLink(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "lobby", numbered("n", 500)...)
	p := newPage(t, desktop)
	p.join(s.url+"/r/lobby#42", "alice")
	p.until(`document.querySelector('.marked')?.innerText.includes('n 42')`)
	p.until(`document.activeElement?.dataset.seq === '42'`)
	visible := `(() => {
		const r = document.querySelector('.marked').getBoundingClientRect(), l = document.querySelector('#messages').getBoundingClientRect()
		return r.top >= l.top && r.bottom <= l.bottom
	})()`
	p.until("%s", raw(visible))
	// New messages do not pull the reader away.
	s.say("ben", "lobby", "n 501")
	p.until(`document.querySelector('.jump')?.innerText.includes('1 new message')`)
	p.until("%s", raw(visible))
	// The button leads to the newest message.
	p.click(".jump")
	p.sees("n 501")
	p.until(`!document.querySelector('.jump')`)
	// A message that does not exist.
	p.open("about:blank")
	p.open(s.url + "/r/lobby#4242")
	p.until(`document.querySelector('.state.problem')?.innerText.includes('no such message')`)
	p.sees("n 501")
	// From the past to the present, by scrolling alone.
	p.open("about:blank")
	p.open(s.url + "/r/lobby#250")
	p.until(`document.querySelector('.marked')?.innerText.includes('n 250')`)
	p.until(`(() => { const l = document.querySelector('#messages'); l.scrollTop += 2000; return l.innerText.includes('n 501') })()`)
	p.until(`(() => { const l = document.querySelector('#messages'); l.scrollTop -= 2000; return l.innerText.includes('n 1\n') && !l.querySelector('.begin .quiet') })()`)
	p.wantAll(numbered("n", 501))
}

func TestOfflineAndBack(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	s.say("ben", "lobby", numbered("n", 20)...)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.sees("n 20")

	between.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	p.until(`document.querySelector('.state')?.innerText.includes('Reconnecting')`)
	p.say("written offline")
	p.pending("written offline")
	p.until(`document.querySelector('.pending .fate')?.innerText === 'waiting to be sent'`)
	missed := numbered("missed", 500)
	s.say("ben", "lobby", missed...)
	between.set(whole)

	// The reader is not dragged past 500 messages, but sees that they are there.
	p.online()
	p.until(`document.querySelectorAll('.pending').length === 0`)
	p.until(`document.querySelector('#messages .unread')`)
	p.until(`document.querySelector('#messages').innerText.includes('missed 1')`)
	if p.truth(`document.querySelector('#messages').innerText.includes('missed 500')`) {
		t.Error("the reader was pulled down")
	}
	p.until(`!document.querySelector('.state')`)
	want := slices.Concat(numbered("n", 20), missed, []string{"written offline"})
	p.wantAll(want)
}

// TestSilence has the network swallow everything while connections stay open, as after
// a machine has slept.
func TestSilence(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.say("one")
	p.stored("one")
	between.set(silent)
	p.say("two")
	s.say("ben", "lobby", "from ben")
	p.text(`dispatchEvent(new Event('focus')), ''`) // somebody comes back to the machine
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	between.set(whole)
	p.online()
	p.stored("two")
	all := p.readAll()
	if len(all) != 3 || all[1] != "one" {
		t.Errorf("got %v, want three messages", all)
	}
}

// TestServerFrozen freezes the server. The page reports it and the pending message.
// After a freeze that its tries did not survive it has its name and its place again.
func TestServerFrozen(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.join(s.url, "alice")
	p.say("before")
	p.stored("before")
	p.expectBreaks()
	frozen := s.cmd.Process
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer frozen.Signal(syscall.SIGCONT)
	p.say("into the silence")
	p.until(`document.querySelector('.states').dataset.status === 'silent'`)
	p.until(`document.querySelector('.state')?.innerText.includes('1 message is waiting to be sent')`)
	p.until(`document.querySelector('.states').dataset.status === 'waiting'`)
	time.Sleep(12 * time.Second) // a try that is given up after ten
	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.online()
	p.stored("into the silence")
	p.wantAll([]string{"before", "into the silence"})
	p.until(`document.querySelector('.me-name').innerText === 'alice'`)
}

func TestServerKilled(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(s.url, "alice")
	var want []string
	for round := range 3 {
		for i := range 5 {
			text := fmt.Sprintf("round %d message %d", round, i)
			want = append(want, text)
			p.say(text)
		}
		s.kill() // whatever of it is under way
		text := fmt.Sprintf("round %d while it is down", round)
		want = append(want, text)
		p.say(text)
		s.start()
		p.online()
		p.stored(text)
	}
	p.wantAll(want)
	// A newcomer has the same messages.
	q := newPage(t, desktop)
	q.join(s.url, "ben")
	q.sees("round 2 while it is down")
	q.wantAll(want)
}

// TestAnotherName has the name of a disconnected user taken. Messages that were written
// meanwhile are not sent under the next name.
func TestAnotherName(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	between.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	p.say("as alice")
	s.hold("alice")
	between.set(whole)
	p.run(chromedp.Reload()) // or it would hope for the name for a while
	p.until(`document.activeElement?.id === 'name'`)
	p.text(`document.querySelector('#name').value = ''`)
	p.write("ben")
	p.press(kb.Enter)
	p.online()
	p.until(`document.querySelector('.pending .fate.error')?.innerText.includes('under another name')`)
	p.say("as ben")
	p.stored("as ben")
	if all := p.readAll(); len(all) != 1 || all[1] != "as ben" {
		t.Errorf("got %v, want what ben said", all)
	}
	p.click(".pending button")
	p.stored("as alice")
	if all := p.readAll(); len(all) != 2 || all[2] != "as alice" {
		t.Errorf("after sending it again: %v", all)
	}
}

// TestOpenedOffline reloads offline: the service worker serves the page, and messages
// written before the reload are sent after it.
func TestOpenedOffline(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.until(`navigator.serviceWorker.controller`)
	p.until(`navigator.serviceWorker.controller.state === 'activated'`)
	between.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	p.say("kept over a reload")
	p.run(chromedp.Reload())
	p.until(`document.querySelector('.pending .content')?.innerText === 'kept over a reload'`)
	between.set(whole)
	p.online()
	p.stored("kept over a reload")
	p.wantAll([]string{"kept over a reload"})
}

// TestTwoTabs checks that the newer tab takes over the name, and the older one gets it
// back on request.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	first := newPage(t, desktop)
	first.join(s.url, "alice")
	second := first.tab()
	second.open(s.url)
	second.online()
	first.until(`document.querySelector('.replaced')?.innerText.includes('open elsewhere')`)
	second.say("from the second")
	second.stored("from the second")
	first.click(".replaced button")
	first.sees("from the second")
	second.until(`document.querySelector('.replaced')`)
	first.say("from the first")
	first.stored("from the first")
	first.wantAll([]string{"from the second", "from the first"})
}

// slowFrames delays each frame, as a busy machine does.
const slowFrames = `
	const frame = requestAnimationFrame, arm = setTimeout
	window.requestAnimationFrame = (then) => frame((at) => arm(then, 400, at))
	window.setTimeout = (then, wait, ...args) => arm(then, wait === 100 ? 400 : wait, ...args)
`

// TestOtherData restarts the server with another database: the page must not mix the
// two.
func TestOtherData(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.script(slowFrames)
	p.join(s.url, "alice")
	p.say("of the old")
	p.stored("of the old")
	s.kill()
	s.data = t.TempDir()
	s.start()
	p.online()
	p.until(`document.querySelector('[role=status] .state.notice')?.innerText.includes('have been replaced')`)
	p.picture("other-data")
	if p.truth(`document.querySelector('.states .problem, .states [role=alert]')`) {
		t.Error("what a restore has done is shown as an error")
	}
	s.say("ben", "lobby", "of the new")
	p.sees("of the new")
	p.wantAll([]string{"of the new"})
}

// TestSpelling writes in a room by another spelling of its name while the page is
// not in it yet. Drafts and message go to the room by the name that the server has
// for it, in the storage as well: there is no second room at the next visit.
func TestSpelling(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("ben", "team", "hello team")
	p := newPage(t, desktop)
	p.script(`
		if (!localStorage.getItem('kaban.rooms')) {
			localStorage.setItem('kaban.rooms', '["lobby","TEAM"]')
			localStorage.setItem('kaban.draft.TEAM#1', 'half an answer')
		}
		window.held = new Map()
		window.hold = sessionStorage.getItem('free') ? [] : ['join', 'send']
		window.release = (type) => (hold = hold.filter((h) => h !== type), held.get(type)?.())
		const send = WebSocket.prototype.send
		WebSocket.prototype.send = function (text) {
			const { type, room } = JSON.parse(text)
			if (room?.toLowerCase() === 'team' && hold.includes(type)) held.set(type, () => send.call(this, text))
			else send.call(this, text)
		}
	`)
	p.open(s.url + "/r/TEAM")
	p.until(`document.activeElement?.id === 'name'`)
	p.write("alice")
	p.press(kb.Enter)
	p.until(`held.has('join')`)
	p.say("to the team")
	p.pending("to the team")
	p.write("half a thought")
	p.text(`release('join'), ''`)
	p.until(`document.querySelector('.head h1 bdi').innerText === 'team' && held.has('send')`)
	p.until(`document.querySelector('#input').value === 'half a thought'`)
	kept := value[[]string](p, `Object.keys(localStorage).filter((k) => k.startsWith('kaban.pending.')).map((k) => JSON.parse(localStorage.getItem(k)).room)`)
	if !slices.Equal(kept, []string{"team"}) {
		t.Errorf("unsent messages are kept for the rooms %q, want team", kept)
	}
	p.text(`sessionStorage.setItem('free', '1'), ''`)
	p.run(chromedp.Reload())
	p.stored("to the team")
	p.until(`document.querySelector('#input').value === 'half a thought'`)
	if drafts := value[[]string](p, `Object.keys(localStorage).filter((k) => k.startsWith('kaban.draft.') && k.includes('#'))`); !slices.Equal(drafts, []string{"kaban.draft.team#1"}) {
		t.Errorf("drafts of threads are kept under %q, want kaban.draft.team#1", drafts)
	}
	if names := value[[]string](p, `[...document.querySelectorAll('.room .room-name')].map((e) => e.innerText)`); len(names) != 2 {
		t.Errorf("the page lists the rooms %q, want lobby and team", names)
	}
}

// TestBrowserSaysOffline has the browser report that it is offline.
func TestBrowserSaysOffline(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	offline := func(on bool) {
		command(p, network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: on, DownloadThroughput: -1, UploadThroughput: -1})
	}
	between.set(cut)
	offline(true)
	p.until(`document.querySelector('.state')?.innerText.includes('You are offline')`)
	s.say("ben", "lobby", "meanwhile")
	between.set(whole)
	offline(false)
	p.online()
	p.sees("meanwhile")
	p.say("back")
	p.stored("back")
	p.wantAll([]string{"meanwhile", "back"})
}

// raw is JavaScript that until inserts without quoting.
type raw string

func (r raw) String() string { return strings.TrimSpace(string(r)) }

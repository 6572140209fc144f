package browser

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"kaban/client"
)

// busy collects tasks of the main thread longer than 50 ms, which users feel.
const busy = `
window.longTasks = []
new PerformanceObserver((list) => {
	for (const e of list.getEntries()) window.longTasks.push(e.duration)
}).observe({type: 'longtask', buffered: true})
`

// script runs JavaScript in every document before its own scripts.
func (p *page) script(source string) {
	p.t.Helper()
	command(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: source})
}

// mainThread returns how long the page's main thread has been busy, in seconds.
func (p *page) mainThread() float64 {
	p.t.Helper()
	for _, m := range command(p, performance.GetMetrics, cdp.Empty{}).Metrics {
		if m.Name == "TaskDuration" {
			return m.Value
		}
	}
	p.t.Fatal("the browser does not measure its tasks")
	return 0
}

// inRooms lets the page join n rooms besides the lobby.
func (p *page) inRooms(n int) {
	p.t.Helper()
	p.script(fmt.Sprintf(`if (!localStorage.getItem('kaban.rooms')) localStorage.setItem('kaban.rooms',
		JSON.stringify(['lobby', ...Array.from({length: %d}, (_, i) => 'room-' + i)]))`, n))
}

// flood sends n messages to the lobby, one in each interval; with 0, as fast as the
// server stores them.
func flood(b testing.TB, s *server, n int, every time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	c := s.dial(ctx, "flood")
	defer c.Close()
	r, err := c.Join(ctx, "lobby", client.From{})
	if err != nil {
		b.Fatal(err)
	}
	var last *client.Pending
	begun := time.Now()
	for i := range n {
		if every > 0 {
			time.Sleep(time.Until(begun.Add(time.Duration(i) * every)))
		}
		if last, err = r.Post(ctx, fmt.Sprintf("flood %d of %d, with **some** words and `code` in it", i+1, n)); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := last.Wait(ctx); err != nil {
		b.Fatal(err)
	}
}

// rendered counts rendered components, and frames.
const rendered = `
window.renders = 0
window.kabanRendered = () => window.renders++
window.frameCount = 0
const frame = () => { window.frameCount++; requestAnimationFrame(frame) }
requestAnimationFrame(frame)
`

// TestFloodIsRenderedOnceAFrame floods the open room with 5,000 messages and counts
// renders: the cost of a frame must not depend on how many messages it brings.
func TestFloodIsRenderedOnceAFrame(t *testing.T) {
	t.Parallel()
	s := startServer(t, ":memory:")
	p := newPage(t, desktop)
	p.script(rendered)
	p.join(s.url, "alice")
	p.sees("No messages yet")
	p.text(`(() => {
		window.rowsMost = window.heads = 0
		new MutationObserver(() => { window.rowsMost = Math.max(window.rowsMost, document.querySelectorAll('.row').length) }).observe(document.querySelector('.rows'), {childList: true})
		new MutationObserver((all) => { window.heads += all.length }).observe(document.head, {subtree: true, childList: true, characterData: true, attributes: true})
		window.renders = window.frameCount = 0
		return ''
	})()`)
	const many = 5000
	flood(t, s, many, 0)
	p.sees(fmt.Sprintf("flood %d of %d,", many, many))
	got := value[struct{ Renders, Frames, Rows, Heads float64 }](p, `({Renders: window.renders, Frames: window.frameCount, Rows: window.rowsMost, Heads: window.heads})`)
	t.Logf("%+v", got)
	if got.Renders == 0 {
		t.Fatal("renders are not counted")
	}
	// All rows on the screen change in each frame.
	if perFrame := got.Renders / (got.Frames + 1); perFrame > 150 {
		t.Errorf("%.0f components are rendered in a frame", perFrame)
	}
	if got.Renders > many*2 {
		t.Errorf("%v components are rendered for %d messages", got.Renders, many)
	}
	if got.Rows > 150 {
		t.Errorf("%v rows were in the document at a time", got.Rows)
	}
	// Title, icon and badge do not change: messages are read as they arrive.
	if got.Heads > 20 {
		t.Errorf("title and icon were changed %v times", got.Heads)
	}
}

// TestFarBehind reconnects after thousands of messages: the page loads only those around
// the reader, and the others as the user reads on.
func TestFarBehind(t *testing.T) {
	t.Parallel()
	s := startServer(t, ":memory:")
	between := startLink(t, s.url)
	s.say("ben", "lobby", numbered("n", 20)...)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.sees("n 20")
	between.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	p.say("written offline")
	p.pending("written offline")
	const many = 8000
	s.say("ben", "lobby", numbered("missed", many)...)
	between.set(whole)
	p.online()
	p.until(`document.querySelectorAll('.pending').length === 0`)
	p.until(`document.querySelector('#messages .unread')`)
	p.until(`document.querySelector('.jump')?.innerText.includes('new messages')`)
	p.until(`[...document.querySelectorAll('.content')].some((e) => e.innerText === 'missed 1')`)
	// A message is about 25 pixels high, at least.
	if height := p.number(`document.querySelector('#messages').scrollHeight`); height > many/4*25 {
		t.Errorf("the list is %v pixels high: too much has been loaded", height)
	}
	p.until(`(() => {
		const l = document.querySelector('#messages')
		l.scrollTop += 500
		return [...l.querySelectorAll('.content')].some((e) => Number(/^missed (\d+)$/.exec(e.innerText)?.[1]) >= 500)
	})()`)
	p.click(".jump")
	p.sees("written offline")
	s.say("ben", "lobby", "live again")
	p.sees("live again")
}

// TestKeyRendersLittle types in a page with many rooms: a key renders only what it
// changes, not the list of rooms.
func TestKeyRendersLittle(t *testing.T) {
	t.Parallel()
	const rooms = 300
	s := startServer(t, ":memory:")
	p := newPage(t, desktop)
	p.script(rendered + keys)
	p.inRooms(rooms)
	p.join(s.url, "alice")
	p.until(`document.querySelectorAll('.room').length === %s`, raw(fmt.Sprint(rooms+1)))
	s.say("ben", fmt.Sprintf("room-%d", rooms-1), "the last one is joined")
	p.until(`document.querySelectorAll('.count').length === 1`)
	per := func(what, script string, n int, most float64) {
		t.Helper()
		renders := p.later(fmt.Sprintf(`frames2().then(async () => {
			window.renders = 0
			for (let i = 0; i < %d; i++) { %s; await frames2() }
			return window.renders
		})`, n, script))
		t.Logf("%s: %v renders", what, renders/float64(n))
		if renders == 0 {
			t.Fatal("renders are not counted")
		}
		if renders/float64(n) > most {
			t.Errorf("%s renders %v components", what, renders/float64(n))
		}
	}
	p.run(chromedp.Focus("#input"))
	per("a key in a message", `type('x')`, 20, 5)
	p.text(`document.querySelector('#input').value = '', key('k', ctrl), ''`)
	per("a key in the switcher", `type('o')`, 3, 30)
	p.text(`key('Escape'), ''`)
	per("a move to another room", `key('ArrowDown', {altKey: true})`, 4, 100) // with the answers of the server, in frames of their own or not
}

// BenchmarkLive sends messages to the open room: as fast as they are stored, and a
// thousand a second.
func BenchmarkLive(b *testing.B) {
	for _, run := range []struct {
		name  string
		n     int
		every time.Duration
		rooms int
	}{
		{"burst=5000", 5000, 0, 0},
		{"burst=20000", 20_000, 0, 0},
		{"rate=1000/rooms=1", 5000, time.Millisecond, 0},
		{"rate=1000/rooms=900", 5000, time.Millisecond, 900},
	} {
		b.Run(run.name, func(b *testing.B) {
			for b.Loop() {
				s := startServer(b, ":memory:")
				p := newPage(b, desktop)
				command(p, performance.Enable, performance.EnableParams{})
				p.script(busy)
				p.inRooms(run.rooms)
				p.join(s.url, "alice")
				p.until(`document.querySelectorAll('.room').length === %s`, raw(fmt.Sprint(run.rooms+1)))
				time.Sleep(time.Second) // joining is done
				p.text(`window.longTasks.length = 0, ''`)
				before, begun := p.mainThread(), time.Now()
				flood(b, s, run.n, run.every)
				sent := time.Since(begun)
				p.sees(fmt.Sprintf("flood %d of %d,", run.n, run.n))
				b.ReportMetric(time.Since(begun).Seconds()-sent.Seconds(), "s-behind")
				b.ReportMetric(p.mainThread()-before, "s-busy")
				b.ReportMetric(p.number(`Math.max(0, ...window.longTasks)`), "ms-longest-task")
				p.close()
			}
		})
	}
}

// BenchmarkKey types into the input of a page with many rooms, and measures the time
// from the key to the frame that shows it.
func BenchmarkKey(b *testing.B) {
	for _, rooms := range []int{1, 600, 999} {
		b.Run(fmt.Sprintf("rooms=%d", rooms), func(b *testing.B) {
			for b.Loop() {
				s := startServer(b, ":memory:")
				p := newPage(b, desktop)
				p.script(`
					window.keys = []
					addEventListener('beforeinput', (event) => {
						requestAnimationFrame(() => {
							const after = new MessageChannel()
							after.port1.onmessage = () => window.keys.push(performance.now() - event.timeStamp)
							after.port2.postMessage(0)
						})
					}, {capture: true})
				`)
				p.inRooms(rooms)
				p.join(s.url, "alice")
				p.until(`document.querySelectorAll('.room').length === %s`, raw(fmt.Sprint(rooms+1)))
				time.Sleep(2 * time.Second)
				p.text(`window.keys.length = 0, ''`)
				p.run(chromedp.Focus("#input"))
				const text = "the quick brown fox jumps over the lazy dog and then some more of it"
				for range 2 {
					p.write(text)
				}
				p.until(`document.querySelector('#input').value.length === %s`, raw(fmt.Sprint(2*len(text))))
				p.until(`window.keys.length >= %s`, raw(fmt.Sprint(2*len(text))))
				keys := value[[]float64](p, `window.keys`)
				slices.Sort(keys)
				b.ReportMetric(keys[len(keys)/2], "ms-p50")
				b.ReportMetric(keys[len(keys)*99/100], "ms-p99")
				p.close()
			}
		})
	}
}

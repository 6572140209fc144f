package browser

import (
	"strings"
	"testing"
)

// hostile replaces the server, and runs the page's clock a hundred times as fast. The
// server is hostile once the page has been in a room, however often it took the page to get there.
const hostile = `(() => {
	const later = window.setTimeout, now = Date.now, begin = now(), speed = 100
	window.setTimeout = (f, ms, ...rest) => later(f, (ms ?? 0) / speed, ...rest)
	Date.now = () => begin + (now() - begin) * speed
	window.tries = 0
	window.most = 0
	window.WebSocket = class {
		static CONNECTING = 0; static OPEN = 1; static CLOSING = 2; static CLOSED = 3
		readyState = 0
		bufferedAmount = 0
		constructor() {
			this.number = ++window.tries
			later(() => { this.readyState = 1; this.onopen?.() }, 0)
		}
		say(frame) { if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(frame) }) }
		end() { later(() => { this.readyState = 3; this.onclose?.() }, 0) }
		close() { this.readyState = 3 }
		send(text) {
			const { type, room, ref } = JSON.parse(text)
			if (type === 'pong') window.most = Math.max(window.most, this.bufferedAmount += text.length)
			later(() => {
				const welcome = () => this.say({ type: 'welcome', version: 1, session: 's' + this.number, username: 'alice', server: 'x', limits: { username: 32, content: 5000, frame: 65536 }, heartbeat: 30 })
				if (type === 'hello' && window.turned) {
					MODE
				} else if (type === 'hello') this.friendly = true, welcome()
				else if (type === 'join') this.say({ type: 'joined', room, epoch: 'e', head: 0, members: 1, ref })
				else if (type === 'history') this.say({ type: 'history', room, messages: [], more: false, ref })
				else if (type === 'rooms') this.say({ type: 'rooms', rooms: [], more: false, ref })
				else if (type === 'members') this.say({ type: 'members', room, usernames: ['alice'], more: false, ref })
				else if (type === 'ping') this.say({ type: 'pong' })
				if (type === 'members' && this.friendly) later(() => { window.turned = true; this.end() }, 500)
			}, 0)
		}
	}
})()`

// TestNothingMakesThePageHurry checks that, whatever a server does, the page does not
// reconnect many times a second, keeps its name, and queues a bounded amount.
func TestNothingMakesThePageHurry(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	for name, mode := range map[string]string{
		"goodbye with 0 ms": `welcome(); this.say({ type: 'goodbye', reason: 'draining', reconnect_after_ms: 0 }); this.end()`,
		"welcome, closed":   `welcome(); this.end()`,
		"closed":            `this.end()`,
		"username_taken":    `this.say({ type: 'error', code: 'username_taken', message: 'no' }); this.say({ type: 'goodbye', reason: 'auth' }); this.end()`,
		"hello_required":    `this.say({ type: 'error', code: 'hello_required', message: 'no' }); this.say({ type: 'goodbye', reason: 'idle' }); this.end()`,
		"pings":             `welcome(); for (let n = 0; n < 20000; n++) this.say({ type: 'ping' }); this.end()`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPage(t, desktop)
			p.script(strings.Replace(hostile, "MODE", mode, 1))
			p.open(s.url)
			p.until(`document.activeElement?.id === 'name'`)
			p.write("alice")
			p.press("\r")
			p.until(`window.tries >= 12`)
			const minutes = 10 // of the page's time
			before := p.number(`window.tries`)
			p.later(`new Promise((done) => setTimeout(() => done(0), 600000))`)
			if tries := p.number(`window.tries`) - before; tries > 10*minutes || tries == 0 {
				t.Errorf("it tried %v times in %d minutes", tries, minutes)
			}
			if most := p.number(`window.most`); most > 100<<10 {
				t.Errorf("%v bytes are queued", most)
			}
			if p.truth(`document.querySelector('#name') !== null`) {
				t.Error("the page gave up its name")
			}
		})
	}
}

package browser

import (
	"testing"
	"time"
)

// refusing replaces the server. It refuses what is sent, as one whose database is away, and
// stores it from the moment on that window.back is set. Once it has refused a message it stores none
// before it has that one again.
const refusing = `(() => {
	window.stored = []
	window.sends = 0
	let stopped
	window.WebSocket = class {
		static CONNECTING = 0; static OPEN = 1; static CLOSING = 2; static CLOSED = 3
		readyState = 0
		bufferedAmount = 0
		constructor() { setTimeout(() => { this.readyState = 1; this.onopen?.() }, 0) }
		say(frame) { if (this.readyState === 1) this.onmessage?.({ data: JSON.stringify(frame) }) }
		close() { this.readyState = 3 }
		send(text) {
			const { type, room, ref, id, content } = JSON.parse(text)
			setTimeout(() => {
				if (type === 'hello') this.say({ type: 'welcome', version: 1, session: 's', username: 'alice', server: 'x', limits: { username: 32, content: 5000, frame: 65536 }, heartbeat: 30 })
				else if (type === 'join') this.say({ type: 'joined', room, epoch: 'e', head: 0, members: 1, ref })
				else if (type === 'history') this.say({ type: 'history', room, messages: [], more: false, ref })
				else if (type === 'rooms') this.say({ type: 'rooms', rooms: [], more: false, ref })
				else if (type === 'members') this.say({ type: 'members', room, usernames: ['alice'], more: false, ref })
				else if (type === 'ping') this.say({ type: 'pong' })
				else if (type === 'send') {
					window.sends++
					if (id === stopped && window.back) stopped = undefined
					if (stopped === undefined && !window.back) stopped = id
					if (stopped !== undefined) this.say({ type: 'error', code: 'unavailable', message: 'no', room, id, ref, retry_after_ms: 1000 })
					else if (window.stored.includes(content)) this.say({ type: 'ack', room, id, ref, seq: window.stored.indexOf(content) + 1, time: new Date().toISOString(), duplicate: true })
					else this.say({ type: 'ack', room, id, ref, seq: window.stored.push(content), time: new Date().toISOString(), duplicate: false })
				}
			}, type === 'send' ? 20 : 0)
		}
	}
})()`

// TestOrderOfRefusedMessages writes while the server can store nothing: what is sent again
// keeps its order, also with what is written meanwhile.
func TestOrderOfRefusedMessages(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	p := newPage(t, desktop)
	p.script(refusing)
	p.join(s.url, "alice")
	p.sees("No messages yet")
	write := func(content string) {
		p.write(content)
		p.press("\r")
	}
	write("1")
	time.Sleep(500 * time.Millisecond) // so it is due before the next
	write("2")
	write("3")
	p.until(`window.sends >= 6`) // sent again, and refused again
	p.text(`window.back = true, ''`)
	p.until(`window.stored.length > 0`)
	write("4")
	p.until(`window.stored.length === 4 && document.querySelectorAll('.pending').length === 0`)
	if stored := p.text(`window.stored.join(' ')`); stored != "1 2 3 4" {
		t.Errorf("stored are %s", stored)
	}
}

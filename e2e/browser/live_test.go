package browser

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"kaban/client"
)

// change appends an entry and gives it to all members.
func (k *kinds) change(entry frame) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.publish(nil, k.append(entry))
}

// row is JavaScript for the row of a message.
func row(seq int) string { return fmt.Sprintf(`document.querySelector('.row[data-seq="%d"]')`, seq) }

// inRow waits until an expression about the row of a message, r, is true.
func (p *page) inRow(seq int, expression string) {
	p.t.Helper()
	p.until("((r) => r && (%s))(%s)", raw(expression), raw(row(seq)))
}

// TestFoldedPages has pages of history that are older or newer than what came live, and
// changes of messages that are not loaded. None of them counts as unread.
func TestFoldedPages(t *testing.T) {
	t.Parallel()
	k := startKinds(t, true)
	k.add("first", "second")
	k.add(numbered("more", 300)...)
	first := true
	k.onPage = func(conn io.Writer, answer frame) {
		if !first {
			return
		}
		first = false
		// The page was read at 302. What came while it was on its way is younger: it counts.
		answer["as_of"] = len(k.log)
		messages := answer["messages"].([]frame)
		last := frame{}
		for name, value := range messages[len(messages)-1] {
			last[name] = value
		}
		last["reactions"] = []frame{{"emoji": "👍", "count": 7, "me": true, "usernames": []string{"a", "b", "c", "d", "e"}}}
		last["edited"] = frame{"seq": 302, "time": "2026-11-24T02:40:00.000Z"}
		last["replies"] = 2
		messages[len(messages)-1] = last
		k.publish(nil, k.append(frame{"type": "react", "username": "ben", "target": 302, "emoji": "👍", "on": true}))
		k.publish(nil, k.append(frame{"type": "react", "username": "ben", "target": 301, "emoji": "🎉", "on": true}))
	}
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(k.url, "alice")
	p.sees("more 300")
	p.inRow(302, `r.querySelector('.pill')`)
	p.untilMarks(302, "more 300 | edited | mine 👍 8 a, b, c, d, e, you, and 2 more | 2 replies")
	p.untilMarks(301, "more 299 | 🎉 1 ben")

	// Live changes of what is loaded and of what is not. An edit that a later one has
	// replaced has no content.
	k.change(frame{"type": "edit", "username": "ben", "target": 301})
	k.change(frame{"type": "edit", "username": "ben", "target": 1, "content": "not loaded"})
	k.change(frame{"type": "react", "username": "alice", "target": 302, "emoji": "👍", "on": false})
	k.change(frame{"type": "pin", "username": "ben", "target": 302, "on": true})
	k.change(frame{"type": "delete", "username": "ben", "target": 300, "reason": "why not"})
	k.change(frame{"type": "react", "username": "ben", "target": 300, "emoji": "🎉", "on": true})
	k.change(frame{"type": "message", "username": "ben", "id": "r", "content": "an answer", "reply_to": 301})
	p.sees("an answer")
	p.untilMarks(302, "Pinned | more 300 | edited | 👍 7 a, b, c, d, e, and 2 more | 2 replies")
	p.untilMarks(301, "more 299 | edited | 🎉 1 ben | 1 reply")
	p.untilMarks(300, "This message was deleted.")
	p.until(`document.title === 'lobby · Kaban'`)

	// The page goes on behind all of them.
	k.leave()
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	k.mu.Lock()
	head := len(k.log)
	k.mu.Unlock()
	k.change(frame{"type": "edit", "username": "ben", "target": 302, "content": "in the break"})
	k.come()
	p.inRow(302, `r.querySelector('.content').innerText === 'in the break'`)
	k.wantResume(p, 2, head)

	// A page that is folded further than the live entries have come.
	k.mu.Lock()
	k.onPage = func(conn io.Writer, answer frame) {
		k.onPage = nil
		answer["as_of"] = len(k.log) + 1
		for i, m := range answer["messages"].([]frame) {
			if m["seq"] == 1 {
				answer["messages"].([]frame)[i] = frame{"seq": 1, "id": "id0", "username": "ben", "content": "edited since", "time": m["time"], "edited": frame{"seq": len(k.log) + 1, "time": m["time"]}, "reactions": []frame{{"emoji": "👍", "count": 1, "me": false, "usernames": []string{"ben"}}}}
			}
		}
	}
	k.mu.Unlock()
	p.text(`location.hash = '#1', ''`)
	p.inRow(1, `r.querySelector('.marked .pill')`)
	k.change(frame{"type": "react", "username": "ben", "target": 1, "emoji": "👍", "on": true})
	k.change(frame{"type": "pin", "username": "ben", "target": 1, "on": true})
	p.inRow(1, `r.querySelector('.pin-mark')`)
	p.untilMarks(1, "Pinned | edited since | edited | 👍 1 ben")
	p.until(`document.title === 'lobby · Kaban'`)
}

// TestChangesMissed has messages changed in a break that is too long to be caught up
// with: what is on the screen is loaded again.
func TestChangesMissed(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	s.say("carol", "lobby", "the first", "the second")
	between := startLink(t, s.url)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.join(between.url(), "alice")
	p.untilMarks(1, "the first")
	between.set(cut)
	p.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	s.say("carol", "lobby", numbered("missed", 1100)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	carol := s.dial(ctx, "carol")
	defer carol.Close()
	lobby, err := carol.Join(ctx, "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := lobby.Edit(ctx, 1, "edited in the break", 0)
	_, err2 := lobby.React(ctx, 1, "👍", true)
	_, err3 := lobby.Delete(ctx, 2, "")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	between.set(whole)
	p.untilMarks(1, "edited in the break | edited | 👍 1 carol")
	p.untilMarks(2, "This message was deleted.")
	p.until(`document.querySelector('.jump')`)
}

// loseAcks makes a page lose acknowledgements while window.losing is true, as a
// connection does that breaks before they come.
const loseAcks = `
const {set} = Object.getOwnPropertyDescriptor(WebSocket.prototype, 'onmessage')
Object.defineProperty(WebSocket.prototype, 'onmessage', {
	set(listener) { set.call(this, (event) => window.losing && event.data.includes('"type":"ack"') || listener(event)) },
})
`

// TestRepeatedChanges has changes stored whose acknowledgements are lost. They are sent
// again, and count once.
func TestRepeatedChanges(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.expectBreaks()
	alice.script(loseAcks)
	alice.join(between.url(), "alice")
	ben.join(s.url, "ben")
	alice.say("one")
	alice.stored("one")
	alice.say("two")
	alice.stored("two")
	one, two := ben.seqOf("one"), ben.seqOf("two")
	alice.text(`window.losing = true, ''`)
	alice.tool(two, "Edit")
	alice.write(" and a half")
	alice.press(kb.Enter)
	alice.react(one, "👍")
	ben.untilMarks(two, "two and a half | edited")
	ben.untilMarks(one, "one | 👍 1 alice")
	// Without an acknowledgement they do not look as if they were stored.
	alice.until(`document.querySelector('.changing') && document.querySelector('.pill.waiting')`)
	between.set(cut)
	alice.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	alice.text(`window.losing = false, ''`)
	between.set(whole)
	alice.online()
	alice.settled()
	ben.say("the end")
	ben.stored("the end")
	alice.sees("the end")
	for name, p := range map[string]*page{"you": alice, "alice": ben} {
		p.untilMarks(two, "two and a half | edited")
		mine := map[bool]string{true: "mine "}[p == alice]
		p.untilMarks(one, "one | "+mine+"👍 1 "+name)
	}
	if got := ben.seqOf("the end"); got != 5 {
		t.Errorf("the last entry is %d, want 5: each change is stored once", got)
	}
}

// TestEditsOneByOne edits a message again before the first edit is acknowledged. The second
// one waits: if the first is refused, it must not be stored in its place.
func TestEditsOneByOne(t *testing.T) {
	t.Parallel()
	s := startServer(t, "")
	between := startLink(t, s.url)
	alice, ben := newPage(t, desktop), newPage(t, desktop)
	alice.expectBreaks()
	alice.script(loseAcks + `
		const {send} = WebSocket.prototype
		window.edits = 0
		WebSocket.prototype.send = function (text) {
			if (text.includes('"type":"edit"')) window.edits++
			send.call(this, text)
		}
	`)
	alice.join(between.url(), "alice")
	ben.join(s.url, "ben")
	alice.say("one")
	alice.stored("one")
	alice.text(`window.losing = true, ''`)
	alice.rewrite(1, "two")
	alice.rewrite(1, "three")
	alice.untilMarks(1, "three | edited")
	ben.untilMarks(1, "two | edited")
	if n := alice.number(`window.edits`); n != 1 {
		t.Errorf("%v edits were sent before the first was acknowledged", n)
	}
	between.set(cut)
	alice.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	alice.text(`window.losing = false, ''`)
	between.set(whole)
	for _, p := range []*page{alice, ben} {
		p.untilMarks(1, "three | edited")
	}
	alice.settled()

	// An edit that is being written while the one before it is stored is one of that.
	between.set(cut)
	alice.until(`document.querySelector('[data-status]').dataset.status === 'waiting'`)
	alice.rewrite(1, "four")
	alice.press(kb.ArrowUp)
	alice.writes("four", "Editing your message three")
	between.set(whole)
	ben.untilMarks(1, "four | edited")
	alice.settled()
	alice.write(" and a half")
	alice.press(kb.Enter)
	ben.untilMarks(1, "four and a half | edited")
}

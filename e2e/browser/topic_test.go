package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// topicIs is JavaScript for whether the head of the room shows a topic.
func topicIs(topic string) string {
	return `document.querySelector('.head .topic').innerText === ` + quote(topic)
}

// lastChange is JavaScript for the newest quiet line.
const lastChange = `[...document.querySelectorAll('#messages .change')].at(-1)?.innerText.trim()`

// saveTopic types a topic into the settings of a room and presses Enter. That does nothing
// before the page has noticed that there is something to save.
func (p *page) saveTopic(topic string) {
	p.t.Helper()
	p.fill("topic", topic)
	p.until(`!document.getElementById('topic').form.querySelector('[type=submit]').disabled`)
	p.press(kb.Enter)
}

// TestTopic sets the topic of a room on the page. Everybody in the room sees it at once, in its
// head and as a quiet line. Whoever may not set it reads it, and is offered no field.
func TestTopic(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben := newPage(t, desktop), newPage(t, desktop)
	for _, p := range []*page{olga, ben} {
		p.expectBreaks()
	}
	olga.signIn(s.url, "olga")
	olga.create("garden", "public")
	ben.signIn(s.url, "ben")
	ben.open(s.url + "/r/garden")
	ben.online()
	// From outside, the room has no settings.
	ben.until(`document.querySelector('.head h1').innerText.includes('garden') && document.querySelector('.instead button')`)
	if ben.truth(`document.querySelector('.head [aria-label="Room settings"]')`) {
		t.Error("somebody outside a room is offered its settings")
	}
	ben.button("Join the room")

	// A member of a public room may set it.
	ben.button("Room settings")
	ben.until(`document.querySelector('dialog[open] input#topic')?.value === ''`)
	ben.saveTopic("Water the **tomatoes**")
	ben.until(`!document.querySelector('dialog[open]')`)
	for _, p := range []*page{ben, olga} {
		// As it was written: markup means nothing here.
		p.until(topicIs("Water the **tomatoes**"))
		p.until(lastChange+` === %s`, "ben changed the topic: Water the **tomatoes**")
	}
	// A quiet line is nothing to read.
	olga.visit("lobby")
	ben.button("Room settings")
	ben.until(`document.querySelector('dialog[open] input#topic')?.value === 'Water the **tomatoes**'`)
	ben.saveTopic("Weed the beans")
	ben.until(topicIs("Weed the beans"))
	ben.until(`!document.querySelector('dialog[open]')`)
	olga.visit("garden")
	olga.until(topicIs("Weed the beans"))
	olga.until(lastChange+` === %s`, "ben changed the topic: Weed the beans")
	if olga.truth(`document.querySelector('#messages .unread')`) {
		t.Error("a new topic counts as unread")
	}

	// Once it is locked, a member reads it only; an op changes it.
	olga.button("Room settings")
	olga.text(`[...document.querySelectorAll('dialog[open] label.option')].find((e) => e.innerText.startsWith('Lock the topic')).querySelector('input').click(), ''`)
	ben.until(lastChange+` === %s`, "olga locked the topic.")
	ben.button("Room settings")
	ben.until(`document.querySelector('dialog[open] input[name=level]')`)
	ben.until(`[...document.querySelectorAll('dialog[open] p.field')].some((e) => /Topic\s*Weed the beans/.test(e.innerText))`)
	if ben.truth(`document.querySelector('dialog[open] #topic')`) {
		t.Error("a member is offered to set a topic that is locked")
	}
	ben.press(kb.Escape)
	olga.set("topic", "")
	olga.text(`document.getElementById('topic').form.requestSubmit(), ''`)
	for _, p := range []*page{olga, ben} {
		p.until(topicIs(""))
		p.until(lastChange+` === %s`, "olga removed the topic")
	}
	// Without one there is nothing to show to those that may not set it.
	ben.button("Room settings")
	ben.until(`document.querySelector('dialog[open] input[name=level]') && !document.querySelector('dialog[open]').innerText.includes('Topic')`)
	ben.press(kb.Escape)
	// It is the same after a reload, which reads it from the server.
	olga.until(`!document.querySelector('dialog[open]')`) // once the change is answered
	olga.button("Room settings")
	olga.until(`document.querySelector('dialog[open] input#topic')?.value === ''`)
	olga.saveTopic("At rest")
	olga.until(topicIs("At rest"))
	ben.open(s.url + "/r/garden")
	ben.online()
	ben.until(topicIs("At rest"))
}

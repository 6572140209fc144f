package browser

import (
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// members is the text of the list of members.
const members = `[...document.querySelectorAll('.member-list li')].map((e) => e.innerText.replace(/\s+/g, ' ').trim()).join('; ')`

// A private room: created, others invited by completion, roles, a topic, and the end.
func TestPrivateRoom(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "benedict", "carla")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.button("Join or create a room")
	p.until(`document.activeElement?.id === 'room'`)
	p.write("Plans for May")
	p.picture("create-room")
	p.click(`input[value=private]`)
	p.fill("topic", "the summer release")
	p.press(kb.Enter)
	p.until(`location.pathname.startsWith('/r/plans-for-may') && document.querySelector('h1 bdi').innerText === 'plans-for-may'`)
	p.until(`document.querySelector('.head .topic').innerText === 'the summer release'`)
	p.until(`document.querySelector('.change')?.innerText.includes('ben created the room')`)

	p.button("Invite people")
	p.until(`document.activeElement?.role === 'combobox'`)
	p.write("car")
	p.until(`document.querySelectorAll('#people [role=option]').length === 1`)
	p.press(kb.Enter)
	p.until(`document.querySelector('.chip')?.innerText.includes('carla')`)
	p.picture("invite-people")
	p.press(kb.Enter)
	p.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText === 'ben added carla')`)
	p.until(members+` === %s`, "ben op you online; carla offline")

	carla := newPage(t, desktop)
	carla.expectBreaks()
	carla.signIn(s.url, "carla")
	carla.until(`[...document.querySelectorAll('.room-name')].some((e) => e.innerText === 'plans-for-may')`)
	// The history has the changes too.
	carla.open(s.url + "/r/plans-for-may")
	carla.online()
	carla.until(`[...document.querySelectorAll('.change')].map((e) => e.innerText).join() === 'ben created the room,ben added carla'`)
	carla.say("glad to be here")
	carla.stored("glad to be here")
	p.sees("glad to be here")
	p.until(members+` === %s`, "ben op you online; carla online")
	p.picture("private-room")

	// Carla may do nothing to ben, and ben may do much to carla.
	carla.until(`document.querySelectorAll('.member-list button').length === 2`)
	carla.button("Room settings")
	carla.until(`document.querySelector('dialog[open] #topic')`)
	if carla.truth(`document.querySelector('dialog[open] [role=switch]') || [...document.querySelectorAll('dialog[open] button')].some((b) => /Archive|Invite/.test(b.innerText))`) {
		t.Error("a member is offered what only an op may do")
	}
	carla.press(kb.Escape)
	p.click(`.member-list li:nth-child(2) button`)
	p.until(`document.querySelector('dialog[open] .actions')`)
	p.picture("member-card")
	p.button("Make carla speaker")
	p.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText === 'ben made carla speaker')`)
	carla.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText === 'ben made carla speaker')`)
	carla.until(members+` === %s`, "ben op online; carla speaker you online")

	p.button("Room settings")
	p.fill("topic", "autumn")
	p.picture("room-settings")
	p.press(kb.Enter)
	carla.until(`document.querySelector('.head .topic').innerText === 'autumn'`)

	p.click(`.member-list li:nth-child(2) button`)
	p.button("Remove from the room")
	p.button("Remove from the room – sure?")
	carla.until(`document.querySelector('.state.problem')?.innerText.includes('You were removed from plans-for-may')`)
	carla.until(`document.querySelector('h1 bdi').innerText === 'lobby' && document.querySelectorAll('.room').length === 1`)
	carla.open(s.url + "/r/plans-for-may")
	carla.until(`document.querySelector('.missing')`)
}

// A direct message: found by search, unread on the other's devices until one has read it.
func TestDirectMessages(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "carla")
	carla := newPage(t, desktop)
	carla.expectBreaks()
	carla.signIn(s.url, "carla")
	phone := newPage(t, screen{width: 390, height: 780, mobile: true, dark: true})
	phone.expectBreaks()
	phone.signIn(s.url, "carla")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.button("New direct message")
	p.until(`document.activeElement?.role === 'combobox'`)
	p.write("carla")
	p.until(`document.querySelectorAll('#people [role=option]').length === 1`)
	// The second Enter sends the form, even if it comes before the first is rendered.
	if sends := p.truth(`(() => {
		const enter = () => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
		enter()
		return enter()
	})()`); !sends {
		t.Error("a second Enter at once does not send the form")
	}
	p.press(kb.Enter)
	p.until(`document.querySelector('h1 bdi').innerText === 'carla' && location.pathname.startsWith('/r/%%40')`)
	p.say("are you there?")
	p.stored("are you there?")
	// Two people need no list of themselves, unless somebody asks for it here.
	const beside = `document.querySelector('#members').checkVisibility()`
	p.until(`!` + beside)
	p.click(".head .people")
	p.until(beside)
	p.click(".head .people")
	p.until(`!` + beside)
	p.visit("lobby")
	p.until(beside)
	p.text(`history.back(), ''`)
	p.until(`document.querySelector('h1 bdi').innerText === 'carla' && !` + beside)
	// A dot and a word say that she is here, in the room and in the list of rooms of somebody that
	// has not opened it.
	p.until(`document.querySelector('h1 .avatar.online') && document.querySelector('h1 .hidden').innerText === 'online'`)
	carla.until(`[...document.querySelectorAll('.room')].find((e) => e.querySelector('.room-name').innerText === 'ben')?.querySelector('.avatar.online')`)
	// The name of such a room says nothing to people, and neither does it that one of them made it.
	p.until(`document.querySelector('.beginning')?.innerText === 'This is the beginning of your conversation with carla.'`)
	if lines := p.text(`[...document.querySelectorAll('.change')].map((e) => e.innerText).join()`); lines != "" {
		t.Errorf("a conversation begins with %q", lines)
	}
	const unread = `[...document.querySelectorAll('.room')].find((e) => e.querySelector('.room-name').innerText === 'ben')?.querySelector('.count')?.innerText.split('\n')[0] ?? ''`
	carla.until(unread + ` === '1'`)
	phone.until(unread + ` === '1'`)
	carla.picture("direct-unread")
	carla.text(`[...document.querySelectorAll('.room')].find((e) => e.querySelector('.room-name').innerText === 'ben').querySelector('a').click(), ''`)
	carla.sees("are you there?")
	carla.until(unread + ` === ''`)
	phone.until(unread + ` === ''`)
	carla.say("yes")
	carla.stored("yes")
	p.sees("yes")
	p.picture("direct")
	carla.open("about:blank")
	p.until(`document.querySelector('h1 .avatar.online')`) // the phone
	phone.open("about:blank")
	p.until(`!document.querySelector('h1 .avatar.online') && !document.querySelector('.room.here .avatar.online')`)
}

// A public room is read from outside, and joined only when somebody says so.
func TestPreview(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "carla")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.button("Join or create a room")
	p.fill("room", "garden")
	p.press(kb.Enter)
	p.until(`document.querySelector('h1 bdi').innerText === 'garden'`)
	p.say("tomatoes")
	p.stored("tomatoes")

	carla := newPage(t, desktop)
	carla.expectBreaks()
	carla.signIn(s.url, "carla")
	carla.open(s.url + "/r/garden")
	carla.sees("tomatoes")
	carla.until(`document.querySelector('.instead')?.innerText.includes('without being in it')`)
	carla.picture("preview")
	p.say("and beans")
	carla.sees("and beans")
	if got := p.text(members); got != "ben op you" && got != "ben op you Nobody else is in this room yet. Invite somebody." {
		p.until(`(`+members+`).startsWith(%s)`, "ben op you online")
	}
	carla.button("Join the room")
	carla.until(`document.activeElement?.id === 'input'`)
	carla.say("count me in")
	carla.stored("count me in")
	p.sees("count me in")
	p.until(members+` === %s`, "ben op you online; carla online")
}

// A visitor that is banned from the only room stays away, and can still sign in.
func TestBannedVisitor(t *testing.T) {
	t.Parallel()
	s := owned(t, "open", "ben")
	zed := newPage(t, desktop)
	zed.expectBreaks()
	zed.join(s.url, "zed")
	zed.say("spam")
	zed.stored("spam")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.open(s.url)
	p.heading("Welcome to Kaban")
	p.button("Sign in")
	p.heading("Sign in to Kaban")
	p.fillSignIn("olga", password)
	p.sees("spam")
	p.until(`[...document.querySelectorAll('.member-list button')].some((b) => b.innerText.includes('zed'))`)
	p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('zed')).click(), ''`)
	p.button("Ban for a day")
	p.button("Ban for a day – sure?")
	zed.until(`document.querySelector('.missing h2')?.innerText === 'You are not in lobby any more'`)
	zed.picture("banned")
	zed.button("Join the room")
	zed.until(`document.querySelector('.state.problem')?.innerText === 'You may not enter this room.'`)
	zed.until(`document.querySelector('.missing h2')?.innerText === 'You are not in lobby any more'`)
	// The end of the ban has no seconds.
	p.until(`[...document.querySelectorAll('.change')].some((e) => /^olga banned zed until .*\d:\d\d/.test(e.innerText) && !/\d:\d\d:/.test(e.innerText))`)
	zed.button("Settings")
	zed.button("Sign in")
	zed.fill("username", "ben")
	zed.fill("password", password)
	zed.press(kb.Enter)
	zed.online()
	zed.sees("spam") // the room is there again
	zed.say("it is me, ben")
	zed.stored("it is me, ben")
	p.sees("it is me, ben")
}

// An op is offered to mute whoever speaks and to unmute whoever is muted, and lifts a ban
// in the settings of the room.
func TestMutesAndBansAreOfferedAsTheyApply(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	card := func(offered, other string) {
		t.Helper()
		p.until(`[...document.querySelectorAll('.member-list button')].some((b) => b.innerText.includes('ben'))`)
		p.text(`[...document.querySelectorAll('.member-list button')].find((b) => b.innerText.includes('ben')).click(), ''`)
		p.until(`[...document.querySelectorAll('dialog[open] .actions button')].some((b) => b.innerText === %s)`, offered)
		if p.truth(`[...document.querySelectorAll('dialog[open] .actions button')].some((b) => b.innerText === ` + quote(other) + `)`) {
			t.Errorf("both %s and %s are offered", offered, other)
		}
	}
	card("Mute", "Unmute")
	p.button("Mute")
	p.until(`!document.querySelector('dialog[open]')`)
	card("Unmute", "Mute")
	p.picture("muted-member")
	ben.say("can you hear me?")
	ben.until(`document.querySelector('.fate.error')?.innerText.startsWith('Not sent: You may not write here at the moment.')`)
	p.button("Unmute")
	p.until(`!document.querySelector('dialog[open]')`)
	card("Mute", "Unmute")
	p.button("Ban for a day")
	p.button("Ban for a day – sure?")
	p.until(`!document.querySelector('dialog[open]')`)
	p.button("Room settings")
	p.until(`document.querySelector('dialog[open] .item')?.innerText.startsWith('ben')`)
	p.picture("bans")
	p.button("Lift the ban")
	p.until(`document.querySelector('dialog[open]') && !document.querySelector('dialog[open] .item')`)
	p.until(`[...document.querySelectorAll('.change')].some((e) => e.innerText.includes('lifted the ban of ben'))`)
}

// While people are looked for, those that another text has found are not offered. A search
// that fails halfway says so beside what it has found.
func TestSearchForPeopleThatIsSlowOrFails(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "carla")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.text(`(() => {
		const real = fetch
		window.fetch = async (address, options) => {
			const asked = new URL(address, location.href)
			if (!asked.pathname.endsWith('/v1/people') || asked.searchParams.get('query') !== 'car') return real(address, options)
			if (asked.searchParams.get('after')) return new Response('{"code":"rate_limited","detail":"too fast"}', { status: 429 })
			await new Promise((answer) => (window.answer = answer))
			return new Response(JSON.stringify({ people: [{ username: 'carla', role: 'member', bot: false }], after: 'x' }))
		}
	})(), ''`)
	const offers = `document.querySelectorAll('#people [role=option]').length`
	p.button("New direct message")
	p.until(`document.activeElement?.role === 'combobox'`)
	p.write("ca")
	p.until(offers + ` === 1`)
	p.write("r")
	p.until(`window.answer !== undefined`)
	if got := p.text(offers + ` + document.querySelector('.picker [role=status]')?.innerText`); got != "0Searching …" {
		t.Errorf("while people are looked for, the picker has %q", got)
	}
	p.text(`window.answer(), ''`)
	p.until(`document.querySelector('.picker [role=alert]') !== null`)
	p.until(offers + ` === 1`)

	// Enter chooses the person that its text finds, and nobody that is offered for an earlier one.
	p.fast("olg")
	p.until(`document.activeElement.value === '' && [...document.querySelectorAll('.chip')].map((c) => c.innerText.trim()).join() === 'olga'`)
	// It chooses nobody if the text goes on.
	p.text(`((field) => {
		const type = (text) => {
			field.value = text
			field.dispatchEvent(new InputEvent('input', { bubbles: true }))
		}
		type('carl')
		field.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true }))
		type('carlx')
		return ''
	})(document.activeElement)`)
	p.until(`document.activeElement.value === 'carlx' && document.querySelector('.picker [role=status]')?.innerText === 'No one found. People without an account need an invite link.'`)
	if got := p.text(`document.querySelectorAll('.chip').length + ''`); got != "1" {
		t.Errorf("%s are chosen", got)
	}
}

// TestDisplayNames shows what people call themselves beside the name that nobody else has: also
// where somebody calls himself as somebody else is called.
func TestDisplayNames(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben := newPage(t, desktop), newPage(t, desktop)
	olga.expectBreaks()
	ben.expectBreaks()
	olga.signIn(s.url, "olga")
	ben.signIn(s.url, "ben")
	ben.say("before")
	olga.sees("before")
	if olga.truth(`document.querySelector('.called')`) {
		t.Error("a display name is shown that is the username")
	}
	ben.part("Profile")
	ben.fill("name", "Olga")
	ben.press(kb.Enter)
	ben.until(`document.querySelector('.part [role=status]')?.innerText === 'Saved.'`)
	ben.open(s.url)
	ben.online()
	ben.until(`document.querySelector('.row .author + .called')?.innerText === 'Olga'`)
	olga.open(s.url)
	olga.online()
	olga.until(`document.querySelector('.row .author + .called')?.innerText === 'Olga' && document.querySelector('.row .author').innerText === 'ben'`)
	olga.until(`[...document.querySelectorAll('.member-list li')].map((e) => [...e.querySelectorAll('bdi')].map((b) => b.innerText).join(' ')).join() === 'ben Olga,olga'`)
	olga.picture("display-names")
}

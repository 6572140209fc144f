package browser

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// notices replaces the notifications of a browser, and allows them.
const notices = `
	window.shown = []
	Object.defineProperty(Notification, 'permission', {get: () => 'granted'})
	ServiceWorkerRegistration.prototype.showNotification = async function (title, options) { window.shown.push(options.body) }
`

// set sets a field of a form as a user does.
func (p *page) set(id, value string) {
	p.t.Helper()
	p.until(`((e) => e && (e.value = %s, e.dispatchEvent(new Event('input', {bubbles: true})), e.dispatchEvent(new Event('change', {bubbles: true})), true))(document.getElementById(%s))`, value, id)
}

// notified waits until these notifications were shown, and no others.
func (p *page) notified(want ...string) {
	p.t.Helper()
	p.until(`window.shown.join(' | ') === %s`, strings.Join(want, " | "))
}

// showNotices has the browser show what notifies the account, as chosen in each room.
func (p *page) showNotices() {
	p.t.Helper()
	p.until(`navigator.serviceWorker.controller`)
	p.part("Notifications")
	p.text(`document.querySelectorAll('input[name=notify]')[1].click(), ''`)
	p.until(`JSON.parse(localStorage.getItem('kaban.notify')) === 'all'`)
	p.press(kb.Escape)
}

// TestNotificationsOfAccount chooses keywords, a level and when not to be disturbed. Another
// device of the account follows, without a reload.
func TestNotificationsOfAccount(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	olga, ben, desk := newPage(t, desktop), newPage(t, desktop), newPage(t, desktop)
	for _, p := range []*page{olga, ben, desk} {
		p.expectBreaks()
	}
	desk.script(notices)
	olga.signIn(s.url, "olga")
	ben.signIn(s.url, "ben")
	desk.signIn(s.url, "ben")
	desk.showNotices()
	desk.until(`!document.querySelector('dialog[open]')`)
	desk.text(`document.hasFocus = () => false, dispatchEvent(new Event('blur')), ''`)
	say := func(content string) {
		t.Helper()
		olga.say(content)
		olga.stored(content)
		desk.sees(content)
	}

	// At first only mentions notify.
	say("the deploy is done")
	say("@ben one")
	desk.notified("@ben one")

	ben.part("Notifications")
	ben.until(`document.activeElement && document.getElementById('default-level')?.value === 'mentions'`)
	ben.fill("keyword", "Deploy")
	ben.press(kb.Enter)
	ben.until(`document.querySelector('.chip.word')?.innerText.trim() === 'Deploy'`)
	ben.fill("keyword", "on call") // and not added
	ben.button("Save")
	const chips = `[...document.querySelectorAll('.chip.word bdi')].map((e) => e.innerText).join(', ')`
	ben.until(`document.querySelector('.part [role=status]')?.innerText === 'Saved.' && ` + chips + ` === 'Deploy, on call'`)
	ben.picture("notifications")
	// Whole words, in any case.
	for _, content := range []string{"redeployed", "another DEPLOY, please", "who is on call?", "nothing"} {
		say(content)
	}
	desk.notified("@ben one", "another DEPLOY, please", "who is on call?")

	// The level of rooms for which nothing was chosen.
	ben.set("default-level", "none")
	ben.button("Save")
	desk.until(`document.querySelector('.room.muted')`)
	say("@ben nothing")
	ben.until(`document.getElementById('default-level')?.value === 'none'`)
	ben.set("default-level", "all")
	ben.button("Save")
	desk.until(`!document.querySelector('.room.muted')`)
	say("anything")
	desk.notified("@ben one", "another DEPLOY, please", "who is on call?", "anything")

	// Not to be disturbed for a while.
	const quiet = `Boolean(document.querySelector('.me [aria-label="You are not disturbed now"]'))`
	ben.set("pause-for", "1h")
	ben.until(`/^No notifications until .*\d/.test(document.querySelector('#pause [role=status]')?.innerText)`)
	ben.picture("paused")
	desk.until(quiet)
	say("@ben not now")
	ben.button("Notify me again")
	desk.until(`!` + quiet)
	say("@ben again")
	desk.notified("@ben one", "another DEPLOY, please", "who is on call?", "anything", "@ben again")

	// By hours, in a time zone.
	zone := time.FixedZone("", 14*60*60) // Kiritimati
	at := func(d time.Duration) string { return time.Now().Add(d).In(zone).Format("15:04") }
	ben.until(`document.getElementById('quiet-hours')`)
	ben.text(`document.getElementById('quiet-hours').click(), ''`)
	ben.set("quiet-from", at(-time.Hour))
	ben.set("quiet-to", at(10*time.Hour))
	ben.set("quiet-zone", "Pacific/Kiritimati")
	ben.picture("quiet-hours")
	ben.button("Save")
	desk.until(quiet)
	say("@ben at night")
	ben.set("quiet-from", at(time.Hour))
	ben.button("Save")
	desk.until(`!` + quiet)
	say("@ben at day")
	desk.notified("@ben one", "another DEPLOY, please", "who is on call?", "anything", "@ben again", "@ben at day")

	// A device that comes later has it, too.
	later := newPage(t, screen{width: 390, height: 780, mobile: true})
	later.expectBreaks()
	later.signIn(s.url, "ben")
	later.part("Notifications")
	later.until(chips + ` === 'Deploy, on call' && document.getElementById('quiet-zone').value === 'Pacific/Kiritimati' && document.getElementById('default-level').value === 'all'`)
	later.picture("notifications-phone")
	later.fits("the notifications")
}

// TestQuietHours decides whether somebody is not to be disturbed.
func TestQuietHours(t *testing.T) {
	t.Parallel()
	p := withSource(t, "src/quiet.ts")
	night := `{from: '22:00', to: '07:00', zone: 'Europe/Berlin'}`
	for _, c := range []struct {
		quiet, at string
		want      bool
	}{
		{`undefined`, "2026-01-05T12:00:00Z", false},
		{`{until_ms: Date.parse('2026-01-05T12:00:01Z')}`, "2026-01-05T12:00:00Z", true},
		{`{until_ms: Date.parse('2026-01-05T12:00:00Z')}`, "2026-01-05T12:00:00Z", false},
		{night, "2026-01-05T20:59:59Z", false},
		{night, "2026-01-05T21:00:00Z", true}, // 22:00 in winter
		{night, "2026-07-06T20:00:00Z", true}, // and in summer
		{night, "2026-01-06T05:59:59Z", true},
		{night, "2026-01-06T06:00:00Z", false},
		{`{from: '09:00', to: '17:00', zone: 'America/New_York'}`, "2026-01-05T13:59:59Z", false},
		{`{from: '09:00', to: '17:00', zone: 'America/New_York'}`, "2026-01-05T14:00:00Z", true},
		{`{from: '09:00', to: '17:00', zone: 'America/New_York'}`, "2026-01-05T22:00:00Z", false},
		{`{from: '00:00', to: '06:00', zone: 'UTC'}`, "2026-01-05T00:00:00Z", true}, // no 24:00
		// Days are those of the beginning: 2026-01-05 is a Monday.
		{`{from: '22:00', to: '07:00', zone: 'UTC', days: ['mon']}`, "2026-01-05T06:00:00Z", false},
		{`{from: '22:00', to: '07:00', zone: 'UTC', days: ['mon']}`, "2026-01-05T23:00:00Z", true},
		{`{from: '22:00', to: '07:00', zone: 'UTC', days: ['mon']}`, "2026-01-06T06:00:00Z", true},
		{`{from: '22:00', to: '07:00', zone: 'UTC', days: ['mon']}`, "2026-01-06T23:00:00Z", false},
		{`{from: '22:00', to: '07:00', zone: 'UTC', days: ['sun']}`, "2026-01-05T06:00:00Z", true},
		{`{from: '09:00', to: '17:00', zone: 'UTC', days: ['mon']}`, "2026-01-06T12:00:00Z", false},
		{`{from: '09:00', to: '17:00', zone: 'Moon/Tycho'}`, "2026-01-06T12:00:00Z", false},
	} {
		if got := p.truth(fmt.Sprintf(`source.isQuiet(%s, Date.parse(%s))`, c.quiet, quote(c.at))); got != c.want {
			t.Errorf("%s at %s: %t, want %t", c.quiet, c.at, got, c.want)
		}
	}
	for _, c := range []struct {
		keyword, content string
		want             bool
	}{
		{"deploy", "Deploy!", true},
		{"deploy", "deployed", false},
		{"deploy", "re_deploy", false},
		{"on call", "who is ON\u00a0CALL now", true},
		{"C++", "more c++ please", true},
		{".*", "anything", false},
		{"a-b", "x a-b", true},
		{"#1234", "see #1234", true},
		{"#1234", "see #12345", false},
		{"東京", "在東京都", true},
		{"straße", "die STRAẞE", true},
		{"привет", "Привет, мир", true},
		{"приве", "Привет", false},
	} {
		if got := p.truth(fmt.Sprintf(`(source.notifications.value = {keywords: [%s]}, source.hasKeyword(%s))`, quote(c.keyword), quote(c.content))); got != c.want {
			t.Errorf("the keyword %q in %q: %t, want %t", c.keyword, c.content, got, c.want)
		}
	}
}

// TestAwayWithText says of oneself to be away, which others see.
func TestAwayWithText(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	ben.until(`document.querySelectorAll('.member-list li').length >= 1`)
	ben.part("Profile")
	ben.fill("status", "at lunch, back soon and with cake for everybody")
	ben.text(`document.getElementById('away').click(), ''`)
	ben.set("away-until", "1h")
	ben.text(`document.getElementById('away').form.requestSubmit(), ''`)
	const mine = `[...document.querySelectorAll('.member-list li')].find((e) => e.querySelector('bdi').innerText === 'ben')`
	ben.until(mine + `?.querySelector('.status')?.innerText.startsWith('at lunch')`)
	ben.picture("away")

	// Another device shows what is set, and ends it.
	olga, phone := newPage(t, desktop), newPage(t, screen{width: 390, height: 780, mobile: true})
	olga.expectBreaks()
	phone.expectBreaks()
	olga.signIn(s.url, "olga")
	olga.until(mine + `?.querySelector('.badge')?.innerText === 'away' && ` + mine + `.querySelector('.status').title === 'at lunch, back soon and with cake for everybody'`)
	olga.text(mine + `.querySelector('button').click(), ''`)
	olga.until(`/away[^]*at lunch[^]*until /.test(document.querySelector('dialog[open] .person').innerText)`)
	olga.picture("away-card")
	phone.signIn(s.url, "ben")
	phone.part("Profile")
	phone.until(`document.getElementById('status')?.value.startsWith('at lunch') && document.getElementById('away').checked && document.getElementById('away-until').value === 'kept' && /^[A-Z]/.test(document.getElementById('away-until').selectedOptions[0].innerText)`)
	phone.fits("the profile")
	phone.text(`document.getElementById('away').click(), document.getElementById('away').form.requestSubmit(), ''`)
	phone.until(`document.getElementById('away') && !document.getElementById('away').checked && !document.querySelector('.member-list .badge')`)
}

// TestMentionsOfAccount asks the server what mentions an account: not what is quoted, and not
// @everyone by those that may not ring the room. Each message notifies once.
func TestMentionsOfAccount(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "cid")
	olga, cid, ben := newPage(t, desktop), newPage(t, desktop), newPage(t, desktop)
	for _, p := range []*page{olga, cid, ben} {
		p.expectBreaks()
	}
	ben.script(notices)
	olga.signIn(s.url, "olga")
	cid.signIn(s.url, "cid")
	ben.signIn(s.url, "ben")
	ben.until(`navigator.serviceWorker.controller`)
	ben.part("Notifications")
	ben.text(`document.querySelectorAll('input[name=notify]')[1].click(), ''`)
	ben.until(`JSON.parse(localStorage.getItem('kaban.notify')) === 'all'`)
	ben.fill("keyword", "deploy")
	ben.press(kb.Enter)
	ben.button("Save")
	ben.until(`document.querySelector('.part [role=status]')?.innerText === 'Saved.'`)
	ben.press(kb.Escape)
	ben.text(`document.hasFocus = () => false, dispatchEvent(new Event('blur')), ''`)
	for _, said := range []struct {
		by      *page
		content string
	}{
		{cid, "@everyone by a member"},
		{cid, "> @ben in a quote"},
		{cid, "@ben by name"},
		{olga, "@everyone by an owner"},
		{cid, "nothing"},
		{cid, "@ben, the deploy"},
		{cid, "a deploy"},
	} {
		if content := said.content; content[0] == '>' {
			said.by.say(content)
			ben.sees("in a quote")
		} else {
			said.by.say(content)
			said.by.stored(content)
			ben.sees(content)
		}
		if strings.Contains(said.content, "by name") {
			ben.notified("@ben by name")
		}
	}
	ben.notified("@ben by name", "@everyone by an owner", "@ben, the deploy", "a deploy")
}

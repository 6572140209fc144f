package browser

import (
	"bytes"
	"image/color"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// part opens a part of the settings.
func (p *page) part(name string) {
	p.t.Helper()
	if !p.truth(`document.querySelector('dialog[open] .parts')`) {
		p.button("Settings")
	}
	find := `[...document.querySelectorAll('.parts nav button')].find((b) => b.innerText === ` + quote(name) + `)`
	p.until(`((b) => b && (b.click(), true))(%s)`, raw(find))
	p.until(`document.querySelector('.parts [aria-current]')?.innerText === %s`, name)
	p.until(`![...document.querySelectorAll('.part > p.quiet')].some((e) => e.innerText.startsWith('Loading'))`)
}

// What belongs to an account: its profile, password, devices, tokens and bots.
func TestSettingsOfAnAccount(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.part("Profile")
	p.picture("profile")
	// One button saves all of it.
	if n := p.number(`[...document.querySelectorAll('.part button')].filter((b) => b.innerText === 'Save').length`); n != 1 {
		t.Errorf("the profile has %v buttons to save", n)
	}
	p.fill("status", "gardening")
	p.fill("name", "Ben Example")
	p.press(kb.Enter)
	p.until(`document.querySelector('.me-name').innerText === 'Ben Example'`)
	p.until(`document.querySelector('.part [role=status]')?.innerText === 'Saved.' && document.querySelector('.member-list .status')?.innerText === 'gardening'`)
	p.until(`document.getElementById('name').value === 'Ben Example' && document.getElementById('status').value === 'gardening'`)
	if p.truth(`[...document.querySelectorAll('.parts nav button')].some((b) => /People|Audit|Server/.test(b.innerText))`) {
		t.Error("a member is offered what only an admin may do")
	}

	other := newPage(t, desktop)
	other.expectBreaks()
	other.signIn(s.url, "ben")
	p.part("Devices")
	p.until(`document.querySelectorAll('.item').length === 2`)
	p.until(`[...document.querySelectorAll('.item')].every((e) => /last used (today|yesterday), \d+:\d+/.test(e.innerText))`)
	p.picture("devices")
	p.button("Revoke")
	p.button("Revoke – sure?")
	p.until(`document.querySelectorAll('.item').length === 1`)
	other.heading("You have been signed out")

	p.part("Tokens and bots")
	p.fill("token-name", "nightly report")
	p.press(kb.Enter)
	p.until(`document.querySelector('#link')?.value.startsWith('kaban_token_') && document.querySelector('.item')?.innerText.includes('nightly report')`)
	p.picture("tokens")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v1/account", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.text(`document.querySelector('#link').value`))
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the token gets %v (%v)", answer, err)
	}
	if err == nil {
		answer.Body.Close()
	}

	p.part("Signing in")
	p.fill("password", "another long secret")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part [role=status]')?.innerText === 'Saved.'`)
	p.until(`document.querySelector('.part').innerText.includes('recovery codes')`)
	p.button("Make new codes")
	p.until(`document.querySelectorAll('.codes li').length >= 8`)
	p.picture("security")
}

// What an admin does: people, invites, the audit, the settings of the server.
func TestAdministration(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.signIn(s.url, "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	p.part("People")
	p.until(`document.querySelectorAll('.item').length === 2`)
	if p.truth(`[...document.querySelectorAll('button.person-row')].some((b) => b.innerText.includes('olga'))`) {
		t.Error("the owner is offered to administer herself")
	}
	p.text(`[...document.querySelectorAll('button.person-row')].find((b) => b.innerText.includes('ben')).click(), ''`)
	p.button("Make a sign-in link")
	p.until(`document.querySelector('#link')?.value.includes('/sign-in#') || document.querySelector('#link')?.value.includes('/invite#')`)
	link := p.text(`document.querySelector('#link').value`)
	p.picture("people")
	ben.heading("You have been signed out")
	_, fragment, _ := strings.Cut(link, "#")
	path := link[strings.LastIndex(link, "/"):strings.Index(link, "#")]
	ben.open(s.url + path + "#" + fragment)
	ben.heading("Hello ben")
	ben.picture("one-sign-in")
	ben.fill("password", "a wholly new secret")
	ben.press(kb.Enter)
	ben.online()

	p.button("Suspend")
	p.button("Suspend – sure?")
	p.until(`document.querySelector('.items').innerText.includes('suspended')`)
	// Whoever was signed in reads why; others do not, and a wrong password does not tell.
	suspended := `document.querySelector('.card [role=alert]')?.innerText.includes('suspended')`
	ben.until(suspended)
	ben.open(s.url)
	ben.until(suspended)
	ben.fill("username", "ben")
	ben.fill("password", "a wholly wrong secret")
	ben.press(kb.Enter)
	ben.until(`document.querySelector('form [role=alert]') && !document.querySelector('form [role=alert]').innerText.includes('suspended')`)
	ben.fill("password", "a wholly new secret")
	ben.press(kb.Enter)
	ben.until(`document.querySelector('form [role=alert]')?.innerText.includes('suspended')`)

	p.part("Invites")
	p.button("Make a link")
	p.until(`document.querySelector('#link')?.value.includes('/invite#') && document.querySelectorAll('.item').length >= 1`)
	p.picture("invites")
	p.part("Audit")
	// A sentence, and the action as commands and requests name it.
	p.until(`[...document.querySelectorAll('.audit .item')].some((e) => e.innerText.startsWith('olga suspended ben') && e.querySelector('code').innerText === 'account.suspend')`)
	p.until(`document.querySelector('.audit .item').innerText.startsWith('olga made an invite link')`) // the newest
	// Nobody knows who fails to sign in.
	if failed := p.text(`[...document.querySelectorAll('.item')].find((e) => e.innerText.includes('sign_in.failed')).innerText`); !strings.HasPrefix(failed, "Somebody failed to sign in as ben") {
		t.Errorf("a failed sign-in is shown as %q", failed)
	}
	p.picture("audit")
	p.part("Server")
	p.until(`document.querySelector('#setting-access')?.value === 'invite'`)
	if !p.truth(`(() => {
		const file = document.getElementById('setting-oidc.client_secret_file')
		const about = file.closest('.field')
		return file.readOnly && !about.querySelector('button') && about.innerText.includes('kaban settings set oidc.client_secret_file')
	})()`) {
		t.Error("the page offers to name a file of the server, or not the command that does")
	}
	if p.truth(`document.getElementById('setting-oidc.issuer').readOnly`) {
		t.Error("the page does not offer what an owner may change")
	}
	p.until(`document.getElementById('setting-oidc.max_age').value === '7d' && document.getElementById('setting-oidc.max_age').selectedOptions[0].text === '7 days'`)
	p.set("setting-oidc.max_age", "other")
	p.fill("setting-oidc.max_age-other", "soon")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part [role=alert]')`)
	p.picture("server-refused")
	// One button saves whatever was written; the error is at the field that it is about, and
	// does not name it again. Far down, the dialog can still be closed.
	p.until(`document.getElementById('setting-oidc.max_age').closest('.field').querySelector('[role=alert]')?.innerText.startsWith('"soon" is not a time')`)
	if !p.truth(`(() => {
		const box = document.querySelector('.dialog-head button').getBoundingClientRect()
		return document.querySelector('dialog').scrollTop > 200 && document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2).closest('.dialog-head button')
	})()`) {
		t.Error("the dialog's button to close it was scrolled away")
	}
	p.fill("setting-oidc.name", "The office")
	p.fill("setting-oidc.max_age-other", "48h")
	p.press(kb.Enter)
	p.until(`!document.querySelector('.part [role=alert]') && document.querySelector('.part [role=status]')?.innerText === 'Saved.'`)
	const kept = `fetch("/v1/admin/settings").then((r) => r.json()).then((l) => l.settings.filter((s) => s.key === 'oidc.name' && s.value === 'The office' || s.key === 'oidc.max_age' && s.value === '48h').length)`
	if n := p.later(kept); n != 2 {
		t.Errorf("%v of the two settings that were written are kept", n)
	}
	// A choice is saved by the button, so that keys which pass "open" on their way do not open the server.
	p.text(`(() => {
		const access = document.getElementById('setting-access')
		access.value = 'signup'
		access.dispatchEvent(new Event('change', { bubbles: true }))
		return ''
	})()`)
	const access = `fetch("/v1/admin/settings").then((r) => r.json()).then((l) => l.settings.filter((s) => s.key === 'access' && s.value === 'invite').length)`
	if n := p.later(access); n != 1 {
		t.Error("a choice is saved before the button is pressed")
	}
	p.text(`(document.getElementById('setting-access').closest('form').requestSubmit(), '')`)
	p.until(`document.getElementById('setting-access').closest('form').querySelector('[role=status]')?.innerText === 'Saved.'`)
	p.picture("server")
	third := newPage(t, desktop)
	third.expectBreaks()
	third.open(s.url)
	third.heading("Sign in to Kaban")
	third.button("Create an account")
	third.heading("Create an account")
	third.fill("username", "dora")
	third.fill("password", password)
	third.press(kb.Enter)
	third.online()
}

// filter writes into a field of the audit.
func (p *page) filter(name, value string) {
	p.t.Helper()
	p.text(`((e) => (e.value = ` + quote(value) + `, e.dispatchEvent(new Event('input', {bubbles: true})), ''))(document.querySelector('.filters [name=' + ` + quote(name) + ` + ']'))`)
}

// TestFilterOfAudit reads who did what, by whoever did it, whom it was done to, and what it was.
// Whoever was removed reads that on signing out, whoever did it.
func TestFilterOfAudit(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben", "carla")
	ben, p := newPage(t, desktop), newPage(t, desktop)
	for _, each := range []*page{ben, p} {
		each.expectBreaks()
	}
	ben.signIn(s.url, "ben")
	p.signIn(s.url, "olga")
	p.part("People")
	p.until(`document.querySelectorAll('.item').length === 3`)
	p.text(`[...document.querySelectorAll('button.person-row')].find((b) => b.innerText.includes('carla')).click(), ''`)
	p.button("Suspend")
	p.button("Suspend – sure?")
	p.button("End the suspension")
	p.until(`!document.querySelector('.items').innerText.includes('suspended')`)
	p.text(`[...document.querySelectorAll('button.person-row')].forEach((b) => (b.ariaExpanded === 'true') !== b.innerText.includes('ben') && b.click()), ''`)
	p.until(`[...document.querySelectorAll('.item-open')].map((e) => e.closest('.item').querySelector('bdi').innerText).join() === 'ben'`)
	p.button("Remove the account")
	p.button("Remove the account – sure?")
	ben.heading("You have been signed out")
	ben.until(`document.querySelector('.card').innerText.includes('your account may have been removed or erased')`)

	p.part("Audit")
	// Rows as "actor action", the newest first.
	const rows = `[...document.querySelectorAll('.audit .item')].map((e) => e.querySelector('bdi').innerText + ' ' + e.querySelector('code').innerText).join(', ')`
	p.until(rows+`.startsWith(%s)`, "olga account.remove, olga account.restore, olga account.suspend, olga device.add, ben device.add, The operator account.add, ")
	p.filter("actor", "ben")
	p.until(rows + ` === 'ben device.add'`)
	p.filter("actor", "")
	p.filter("subject", "carla")
	p.until(rows + ` === 'olga account.restore, olga account.suspend, The operator account.add'`)
	p.filter("action", "account.suspend")
	p.until(rows + ` === 'olga account.suspend'`)
	if got := p.text(`document.querySelector('.filters select').selectedOptions[0].text`); got != "suspended …" {
		t.Errorf("the action reads %q", got)
	}
	p.filter("subject", "")
	p.filter("action", "device.add")
	p.until(rows + ` === 'olga device.add, ben device.add'`)
	p.filter("actor", "nobody")
	p.until(`document.querySelector('.part').innerText.includes('Nothing found.')`)
	p.picture("audit-filtered")
}

// TestPartsOnPhone checks that a phone shows at which side there are more parts of the settings, by
// a shadow there, and at no other side.
func TestPartsOnPhone(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite")
	for _, how := range []screen{{width: 390, height: 780, mobile: true}, {width: 390, height: 780, mobile: true, dark: true}} {
		p := newPage(t, how)
		p.expectBreaks()
		p.signIn(s.url, "olga")
		p.part("This browser")
		p.picture("parts-phone")
		// Below the buttons of the row there is a line of its background.
		edges := func(where string, left, right bool) {
			t.Helper()
			box := value[struct{ Left, Right, Bottom, Ratio float64 }](p, `(() => { const r = document.querySelector('.parts nav').getBoundingClientRect(); return {left: r.left, right: r.right, bottom: r.bottom, ratio: devicePixelRatio} })()`)
			shot, err := png.Decode(bytes.NewReader(result(p, "picture", chromedp.CaptureScreenshot())))
			if err != nil {
				t.Fatal(err)
			}
			at := func(x float64) color.Color { return shot.At(int(x*box.Ratio), int((box.Bottom-1)*box.Ratio)) }
			plain := at((box.Left + box.Right) / 2)
			for side, want := range map[float64]bool{box.Left + 1: left, box.Right - 2: right} {
				if got := at(side) != plain; got != want {
					t.Errorf("%s, dark %t: a shadow at %v is %t, want %t", where, how.dark, side, got, want)
				}
			}
		}
		scroll := func(to string) {
			t.Helper()
			p.later(`new Promise((done) => { document.querySelector('.parts nav').scrollLeft = ` + to + `; requestAnimationFrame(() => requestAnimationFrame(() => done(1))) })`)
		}
		scroll("0")
		edges("at the beginning", false, true)
		scroll("100")
		edges("between", true, true)
		scroll("9999")
		edges("at the end", true, false)
	}
}

package browser

import (
	"context"
	"strings"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"
)

// subscribes replaces what needs a push service outside: the browser gives a subscription, and the
// server keeps it.
const subscribes = `
	Object.defineProperty(Notification, 'permission', {get: () => window.permission ?? 'default', configurable: true})
	Notification.requestPermission = async () => (window.asked = (window.asked ?? 0) + 1, window.permission = window.answer ?? 'granted')
	let kept = null
	PushManager.prototype.getSubscription = async () => kept
	PushManager.prototype.subscribe = async function ({userVisibleOnly, applicationServerKey}) {
		if (window.unreachable) throw new DOMException('no push service', 'AbortError')
		const key = await crypto.subtle.generateKey({name: 'ECDH', namedCurve: 'P-256'}, true, ['deriveBits'])
		const text = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
		const bytes = Uint8Array.from(atob(applicationServerKey.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0))
		const json = {endpoint: 'https://push.example/send/x', expirationTime: null, keys: {p256dh: text(await crypto.subtle.exportKey('raw', key.publicKey)), auth: text(crypto.getRandomValues(new Uint8Array(16)))}}
		return kept = {options: {applicationServerKey: bytes.buffer, userVisibleOnly}, toJSON: () => json, unsubscribe: async () => (kept = null, true)}
	}
`

// TestPushSwitch switches notifications on while the page is closed, and off.
func TestPushSwitch(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	ben := newPage(t, desktop)
	ben.expectBreaks()
	ben.script(subscribes)
	ben.signIn(s.url, "ben")
	ben.until(`navigator.serviceWorker.controller`)
	ben.part("Notifications")
	const ready = `document.getElementById('push') && !document.getElementById('push').disabled`
	const on = `document.getElementById('push').checked`
	ben.until(ready + ` && !` + on + ` && window.asked === undefined`)
	ben.picture("push")
	toggle := func() { ben.t.Helper(); ben.until(ready); ben.text(`document.getElementById('push').click(), ''`) }

	ben.text(`window.answer = 'denied', ''`)
	toggle()
	ben.until(`document.querySelector('.part [role=alert]')?.innerText.startsWith('Your browser blocks notifications')`)
	ben.text(`window.answer = window.permission = 'granted', window.unreachable = true, ''`)
	toggle()
	ben.until(`document.querySelector('.part [role=alert]')?.innerText.startsWith('Your browser has refused')`)
	ben.text(`window.unreachable = false, ''`)
	toggle()
	ben.until(ready + ` && ` + on + ` && !document.querySelector('.part [role=alert]')`)
	ben.until(`JSON.parse(localStorage.getItem('kaban.push')) === 'ben'`)
	// Without the text, for all browsers of the account.
	ben.until(`document.getElementById('push-text')?.checked`)
	ben.text(`document.getElementById('push-text').click(), ''`)
	ben.until(`document.getElementById('push-text') && !document.getElementById('push-text').checked && !document.getElementById('push-text').disabled`)
	ben.picture("push-on")
	toggle()
	ben.until(ready + ` && !` + on + ` && localStorage.getItem('kaban.push') === null`)
	ben.fits("the switch for pushes")
}

// receiver signs ben in with notifications allowed, and returns the registration of the service worker, which
// takes pushes.
func receiver(t *testing.T) (s *server, ben *page, id serviceworker.RegistrationID) {
	t.Helper()
	s = owned(t, "invite", "ben")
	ben = newPage(t, desktop)
	ben.expectBreaks()
	command(ben, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
		Permission: &cdpbrowser.PermissionDescriptor{Name: "notifications"}, Setting: cdpbrowser.PermissionSettingGranted,
		Origin: s.url, BrowserContextID: chromedp.FromContext(ben.ctx).BrowserContextID,
	})
	registered := make(chan serviceworker.RegistrationID, 100)
	if err := chromedp.Listen(ben.ctx, func(event any) {
		if e, ok := event.(*serviceworker.EventWorkerRegistrationUpdated); ok {
			for _, r := range e.Registrations {
				select {
				case registered <- r.RegistrationID:
				default:
				}
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	command(ben, serviceworker.Enable, cdp.Empty{})
	ben.signIn(s.url, "ben")
	ben.until(`navigator.serviceWorker.controller`)
	within(t, "registering the service worker", func() { id = <-registered })
	return s, ben, id
}

// TestPushEvent has the real service worker receive pushes, while no page of Kaban is open, and looks at
// the notifications. Nothing of them is in its caches. A click is for TestNotifications: it is the same.
func TestPushEvent(t *testing.T) {
	t.Parallel()
	s, ben, id := receiver(t)
	// Another page of the same origin, which is not Kaban's: the browser shows its JSON.
	ben.open(s.url + "/v1/server")
	var pushed []string
	push := func(data string) { pushed = append(pushed, data) }
	// shown delivers what was pushed, looks once, and begins again if that is not what is shown: to list the
	// notifications has Chromium forget each that is about to appear, so it must not be done often.
	shown := func(want ...string) {
		t.Helper()
		var notes string
		for end, pause := time.Now().Add(patience), 50*time.Millisecond; notes != strings.Join(want, "\n"); pause *= 2 {
			if time.Now().After(end) {
				t.Fatalf("shown are\n%s\nwant\n%s", notes, strings.Join(want, "\n"))
			}
			for _, data := range pushed {
				command(ben, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: s.url, RegistrationID: id, Data: data})
				time.Sleep(pause)
			}
			notes = value[string](ben, `navigator.serviceWorker.getRegistration('/').then((r) => r.getNotifications()).then((all) => all.map((n) => [n.tag, n.title, n.body, n.data].join(' | ')).sort().join('\n'))`, awaited)
		}
	}
	lobby := `kaban lobby @ | olga · lobby | <b>look</b> | /r/lobby#7`
	push(`{"v":1,"room":"lobby","seq":7,"time":1790000000000,"from":"olga","text":"<b>look</b>","cause":"mention"}`)
	shown(lobby)
	direct := "kaban @abc | olga | psst | /r/%40abc#3"
	push(`{"v":1,"room":"@abc","seq":3,"from":"olga","text":"psst","cause":"direct"}`)
	shown(direct, lobby)
	// A later one of the room takes the place of the earlier, but not of a mention; without its text it is a hint.
	push(`{"v":1,"room":"lobby","seq":8,"from":"olga","text":"small talk","cause":"room"}`)
	push(`{"v":1,"room":"lobby","seq":9,"from":"olga","cause":"room"}`)
	later := `kaban lobby | olga · lobby | New message | /r/lobby#9`
	shown(direct, lobby, later)
	lobby = `kaban lobby @ | olga · lobby | deployed | /r/lobby#10`
	push(`{"v":1,"room":"lobby","seq":10,"from":"olga","text":"deployed","cause":"keyword","unread":3}`)
	shown(direct, lobby, later)
	for _, hint := range []string{`{"v":1}`, ``, `no JSON`} { // also what a later server may push
		push(hint)
		shown(direct, lobby, later, `kaban | Kaban | New message | /`)
	}
	kept := value[string](ben, `caches.keys().then(async (names) => (await Promise.all(names.map(async (name) => (await (await caches.open(name)).keys()).map((r) => r.url)))).flat().join(' '))`, awaited)
	for _, text := range []string{"look", "psst", "deployed", "small talk", "v1", "push"} {
		if kept == "" || strings.Contains(kept, text) {
			t.Errorf("the caches have %q: %s", text, kept)
		}
	}
}

// inWorker returns a page's service worker, as long as it runs. It waits for it.
func inWorker(p *page, origin string) context.Context {
	p.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		all, err := chromedp.Targets(p.ctx)
		if err != nil {
			p.t.Fatal(err)
		}
		for _, one := range all {
			if one.Type == "service_worker" && strings.HasPrefix(one.URL, origin+"/") {
				ctx, cancel := chromedp.NewContext(p.ctx, chromedp.WithTargetID(one.TargetID))
				p.t.Cleanup(cancel)
				if _, err := chromedp.Run(ctx, chromedp.Evaluate[int]("1")); err != nil { // attaches for as long as this context lasts
					p.t.Fatal(err)
				}
				return ctx
			}
		}
	}
	p.t.Fatalf("there is no service worker of %s", origin)
	return nil
}

// TestPushBadge has the service worker set the badge of an installed page: only while no page is open, which
// counts for itself, and only from a push that has a number.
func TestPushBadge(t *testing.T) {
	t.Parallel()
	s, ben, id := receiver(t)
	worker := inWorker(ben, s.url)
	evaluate := func(script string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(worker, patience)
		defer cancel()
		got, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, awaited))
		if err != nil {
			t.Fatalf("in the service worker: %v", err)
		}
		return got
	}
	// Each notification and badge is a line of what it did. A browser without installed pages has no badges.
	evaluate(`self.did = []
		ServiceWorkerRegistration.prototype.showNotification = async (title, { body }) => void did.push(body)
		Object.defineProperty(navigator, 'setAppBadge', { value: async (n) => void did.push('badge ' + n), configurable: true })
		''`)
	push := func(data, last string) {
		t.Helper()
		command(ben, serviceworker.DeliverPushMessage, serviceworker.DeliverPushMessageParams{Origin: s.url, RegistrationID: id, Data: data})
		for end := time.Now().Add(patience); !strings.HasSuffix(evaluate(`did.join()`), last); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("the worker did %s, and not %s", evaluate(`did.join()`), last)
			}
		}
	}
	push(`{"v":1,"room":"lobby","seq":7,"from":"olga","text":"open","cause":"direct","unread":5}`, "open")
	ben.open("about:blank")
	// The worker may hear later than the page that it is gone.
	for end := time.Now().Add(patience); evaluate(`clients.matchAll({ type: 'window' }).then((all) => String(all.length))`) != "0"; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the worker has a page that was left")
		}
	}
	push(`{"v":1,"room":"lobby","seq":8,"from":"olga","text":"without","cause":"direct"}`, "without")
	push(`{"v":1,"room":"lobby","seq":9,"from":"olga","text":"closed","cause":"direct","unread":4}`, "badge 4")
	if got, want := evaluate(`did.join()`), "open,without,closed,badge 4"; got != want {
		t.Errorf("the worker did %s, want %s", got, want)
	}
}

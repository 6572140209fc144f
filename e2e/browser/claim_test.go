package browser

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"
)

// unclaimed starts a server without an owner, and returns the secret of its claim.
func unclaimed(t *testing.T) (s *server, claim string) {
	t.Helper()
	data := t.TempDir()
	s = startServer(t, data)
	for end := time.Now().Add(patience); claim == ""; time.Sleep(10 * time.Millisecond) {
		link, err := os.ReadFile(filepath.Join(data, "claim"))
		if err != nil && time.Now().After(end) {
			t.Fatal(err)
		}
		_, claim, _ = strings.Cut(strings.TrimSpace(string(link)), "#")
	}
	return s, claim
}

// keeps reports whether the address, the history or a storage of the browser has
// a text.
func (p *page) keeps(secret string) bool {
	p.t.Helper()
	return strings.Contains(p.text(`location.href + JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie + JSON.stringify(history.state) + document.body.innerText`), secret)
}

// From the link in the server's log to two people in a conversation.
func TestClaimAndInvite(t *testing.T) {
	t.Parallel()
	s, claim := unclaimed(t)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.open(s.url + "/claim#" + claim)
	p.heading("Set up this server")
	if p.keeps(claim) || p.text(`location.pathname + location.hash`) != "/claim" {
		t.Errorf("the page shows or keeps the claim: %s", p.text(`location.href`))
	}
	p.until(`document.activeElement?.id === 'username'`)
	p.picture("claim")
	p.write("olga")
	p.fill("password", "too short")
	p.press(kb.Enter)
	p.until(`document.querySelector('#password:invalid, #password-problem')`)
	p.fill("password", "password12")
	p.press(kb.Enter)
	p.until(`document.querySelector('#password-problem')`)
	p.picture("claim-weak")
	p.fill("password", password)
	p.press(kb.Enter)
	p.heading("Save your recovery codes")
	p.until(`document.querySelectorAll('.codes li').length >= 8`)
	p.picture("claim-codes")
	p.click(`.card input[type=checkbox]`)
	p.button("Continue")
	p.heading("Your server is ready")
	p.picture("claim-invite")
	invite, err := url.Parse(p.text(`document.querySelector('#link').value`))
	if err != nil || invite.Fragment == "" || invite.RawQuery != "" {
		t.Fatalf("the invite link is %v (%v)", invite, err)
	}
	p.button("Start chatting")
	p.online()
	p.say("Welcome!")
	p.stored("Welcome!")

	other := newPage(t, screen{width: 390, height: 780, mobile: true, dark: true})
	other.expectBreaks()
	other.open(s.url + "/invite#" + invite.Fragment)
	other.heading("olga invites you")
	if other.keeps(invite.Fragment) {
		t.Error("the page shows or keeps the invite")
	}
	other.picture("invite-phone")
	other.fill("username", "Olga")
	other.fill("password", password)
	other.press(kb.Enter)
	other.until(`document.querySelector('#username-problem')?.innerText.includes('taken')`)
	other.fill("username", "ben")
	other.press(kb.Enter)
	other.online()
	other.sees("Welcome!")
	other.picture("invited-phone")
	p.until(`[...document.querySelectorAll('.member-list .member')].map((e) => e.innerText).join() === 'ben,olga'`)

	// Both links have been used.
	for path, heading := range map[string]string{"/claim#" + claim: "This link is no longer valid", "/invite#" + invite.Fragment: "This link is no longer valid", "/claim": "This link is no longer valid"} {
		third := newPage(t, desktop)
		third.expectBreaks()
		third.open(s.url + path)
		third.heading(heading)
	}
}

// A browser may know an account of a server that was here before: a new one takes it as a
// visitor, and nothing of the account is left.
func TestServerMadeAnew(t *testing.T) {
	t.Parallel()
	s, _ := unclaimed(t)
	s.hold("ann")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.open(s.url)
	p.heading("Welcome to Kaban")
	p.text(`localStorage.setItem('kaban.username', '"olga"'), localStorage.setItem('kaban.account', 'true'), localStorage.setItem('kaban.rooms', '["lobby","plans"]'), localStorage.setItem('kaban.draft.lobby', 'half a thought'), ''`)
	p.text(unsent("olga", "plans", "never sent"))
	p.open(s.url + "/r/plans")
	p.heading("Welcome to Kaban")
	p.until(`document.querySelector('#name')?.value === 'olga'`)
	p.fill("name", "ann")
	p.press(kb.Enter)
	p.until(`document.querySelector('#name-problem')`)
	p.fill("name", "olga")
	p.press(kb.Enter)
	p.online()
	// The address names a room that this server does not have.
	p.until(`document.querySelector('.missing h2')?.innerText === 'There is no room called plans'`)
	p.button("Go to lobby")
	p.until(`[...document.querySelectorAll('.room-name')].map((e) => e.innerText).join() === 'lobby' && document.querySelector('#input')?.value === ''`)
	p.say("hello again")
	p.stored("hello again")
	for _, text := range []string{"half a thought", "never sent"} {
		if p.keeps(text) {
			t.Errorf("the browser still has %q", text)
		}
	}
}

// unsent is JavaScript that has the browser keep a message that was not sent.
func unsent(username, room, content string) string {
	return fmt.Sprintf(`localStorage.setItem('kaban.pending.5e02', JSON.stringify({room: %q, id: '5e02', username: %q, content: %q, time: '2026-11-24T02:35:37Z'})), ''`, room, username, content)
}

// A device asks with a code; the page says which one and lets the user decide.
func TestDeviceGrant(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	answer, err := http.PostForm(s.url+"/v1/device", url.Values{"name": {"kaban on a laptop"}})
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var grant struct {
		UserCode   string `json:"user_code"`
		DeviceCode string `json:"device_code"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&grant); err != nil || grant.UserCode == "" {
		t.Fatalf("the grant is %+v (%v)", grant, err)
	}
	p := newPage(t, desktop)
	p.expectBreaks()
	p.open(s.url + "/device#" + grant.UserCode)
	p.heading("Sign in to Kaban")
	p.fill("username", "ben")
	p.fill("password", password)
	p.press(kb.Enter)
	p.heading("Let “kaban on a laptop” in?")
	p.until(`document.querySelector('.facts').innerText.includes('127.0.0.1')`)
	p.picture("device")
	p.button("Approve")
	p.heading("The device is signed in")
	token, err := http.PostForm(s.url+"/v1/device/token", url.Values{"device_code": {grant.DeviceCode}})
	if err != nil {
		t.Fatal(err)
	}
	defer token.Body.Close()
	if token.StatusCode != http.StatusOK {
		t.Errorf("the device gets %s", token.Status)
	}
	p.open(s.url + "/device#BCDFGHJK")
	p.until(`document.querySelector('[role=alert]')?.innerText.includes('No device asks')`)
	p.picture("device-wrong")
}

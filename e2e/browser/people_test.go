package browser

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"kaban"
	"kaban/internal/account"
	"kaban/internal/people"
	"kaban/internal/store"
	"kaban/internal/store/sqlite"
)

// password is that of every account in these tests.
const password = "correct horse battery"

// owned starts a server with an owner, olga, the other people as members, and a
// setting of access.
func owned(t *testing.T, access string, others ...string) *server {
	t.Helper()
	return startServer(t, ownedData(t, access, others...))
}

// ownedData returns the data directory of such a server, which does not run.
func ownedData(t *testing.T, access string, others ...string) string {
	t.Helper()
	data := t.TempDir()
	prepare(t, data, func(accounts *account.Service) {
		if _, err := accounts.MakeOwner(t.Context(), "olga", password); err != nil {
			t.Fatal(err)
		}
		if err := accounts.Set(t.Context(), account.Operator(), "access", access); err != nil {
			t.Fatal(err)
		}
		for _, name := range others {
			person := account.NewPerson{NewAccount: account.NewAccount{Username: name, Password: password}, Role: kaban.RoleMember}
			if _, _, err := accounts.AddAccount(t.Context(), account.Operator(), person); err != nil {
				t.Fatal(err)
			}
		}
	})
	return data
}

// prepare changes the accounts in a data directory that no server uses.
func prepare(t *testing.T, data string, change func(*account.Service)) {
	t.Helper()
	kept, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	change(account.New(kept, account.Options{}))
	if err := kept.Close(); err != nil {
		t.Fatal(err)
	}
}

// button presses a button by its text or label.
func (p *page) button(text string) {
	p.t.Helper()
	const find = `[...document.querySelectorAll('button, a.secondary, [role=option]')].find((b) => (b.innerText.trim() === %[1]s || b.getAttribute('aria-label') === %[1]s) && !b.disabled)`
	p.until(`((b) => b && (b.click(), true))(`+find+`)`, text) // in one step: between two it may go
}

// fill types into a field, in place of what it has.
func (p *page) fill(id, text string) {
	p.t.Helper()
	p.until(`((e) => e && (e.focus(), e.select(), document.activeElement === e))(document.getElementById(%s))`, id)
	p.write(text)
}

// heading waits until the page has a main heading.
func (p *page) heading(text string) {
	p.t.Helper()
	p.until(`document.querySelector('h1')?.innerText.trim() === %s`, text)
}

// signIn opens the page and signs in.
func (p *page) signIn(url, username string) {
	p.t.Helper()
	p.open(url)
	p.heading("Sign in to Kaban")
	p.until(`document.activeElement?.id === 'username'`)
	p.write(username)
	p.press(kb.Tab)
	p.write(password)
	p.press(kb.Enter)
	p.online()
}

// fillSignIn signs in by the form that is shown.
func (p *page) fillSignIn(username, secret string) {
	p.t.Helper()
	p.fill("username", username)
	p.fill("password", secret)
	p.press(kb.Enter)
	p.online()
}

// pictures is the directory for pictures of what people see; there are none without it.
var pictures = flag.String("pictures", "", "write what the tests of accounts show into this directory")

// picture writes what the page shows into a file, for whoever works on it.
func (p *page) picture(name string) {
	p.t.Helper()
	if *pictures != "" {
		if err := os.WriteFile(filepath.Join(*pictures, name+".png"), result(p, name, chromedp.CaptureScreenshot()), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks() // the browser reports each 401
	p.open(s.url)
	p.heading("Sign in to Kaban")
	p.picture("sign-in")
	p.fill("username", "ben")
	p.fill("password", "a wrong password")
	p.press(kb.Enter)
	p.until(`document.querySelector('#password-problem')?.innerText.includes('do not match')`)
	p.until(`document.activeElement.id === 'password' && document.activeElement.getAttribute('aria-describedby') === 'password-problem'`)
	p.picture("sign-in-wrong")
	p.fill("password", password)
	p.press(kb.Enter)
	p.online()
	p.say("hello from ben")
	p.stored("hello from ben")
	p.picture("signed-in")
	if kept := p.text(`JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie`); strings.Contains(kept, "kaban_") || strings.Contains(kept, password) {
		t.Errorf("scripts can read a secret: %s", kept)
	}

	// A reload is signed in, and another tab too, at the same time.
	p.open(s.url)
	p.online()
	p.until(written, ".row[data-seq] .content", "hello from ben")
	other := p.tab()
	other.open(s.url)
	other.online()
	other.say("from the other tab")
	other.stored("from the other tab")
	p.until(written, ".row[data-seq] .content", "from the other tab")

	// Signing out in one ends both; the draft of the other is kept.
	p.fill("input", "not sent yet")
	p.pause(300)
	other.button("Settings")
	other.button("Sign out")
	other.heading("Sign in to Kaban")
	p.heading("You have been signed out")
	p.until(`document.querySelector('#username').value === 'ben' && document.activeElement.id === 'password'`)
	p.write(password)
	p.press(kb.Enter)
	p.online()
	p.until(`document.querySelector('#input').value === 'not sent yet'`)
}

// What an account has not sent outlasts its session, whoever uses the browser in between.
func TestSessionEndsAndAnotherComes(t *testing.T) {
	t.Parallel()
	s := owned(t, "open", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	signIn := func(username string) {
		p.button("Sign in")
		p.heading("Sign in to Kaban")
		p.fillSignIn(username, password)
	}
	endSession := func() {
		p.text(`fetch('/v1/session', {method: 'DELETE'}), ''`)
		p.heading("You have been signed out")
		p.button("Continue without an account")
		p.heading("Welcome to Kaban")
		p.until(`document.querySelector('#name')?.value === 'ben'`)
	}
	const draft = `document.querySelector('#input')?.value === %s`
	p.open(s.url)
	p.heading("Welcome to Kaban")
	signIn("ben")
	p.fill("input", "half a thought")
	p.until(`localStorage.getItem('kaban.draft.lobby') === 'half a thought'`)

	// The name of an account is no visitor's.
	endSession()
	p.fill("name", "ben")
	p.press(kb.Enter)
	p.until(`document.querySelector('#name-problem')?.innerText.includes('taken')`)
	p.button("Sign in")
	p.heading("You have been signed out")
	p.fillSignIn("ben", password)
	p.until(draft, "half a thought")

	// Nor is what the account wrote.
	endSession()
	p.text(unsent("ben", "lobby", "never sent"))
	p.open(s.url)
	p.heading("You have been signed out")
	p.button("Continue without an account")
	p.heading("Welcome to Kaban")
	p.fill("name", "zed")
	p.press(kb.Enter)
	p.online()
	p.until(draft, "")
	p.say("hello from zed")
	p.stored("hello from zed")
	if found := p.text(`document.body.innerText`); strings.Contains(found, "never sent") {
		t.Errorf("a visitor sees what an account has not sent: %s", found)
	}
	p.fill("input", "zed's own")
	p.until(`localStorage.getItem('kaban.draft.lobby') === "zed's own"`)

	// Nor another account's. That one leaves nothing of its own.
	p.button("Settings")
	signIn("olga")
	p.fill("input", "olga's own")
	p.until(`localStorage.getItem('kaban.draft.lobby') === "olga's own"`)
	p.button("Settings")
	p.button("Sign out")
	p.heading("Welcome to Kaban")
	if p.keeps("olga's own") {
		t.Error("the browser still has a draft of an account that has signed out")
	}
	signIn("ben")
	p.until(draft, "half a thought")
	p.stored("never sent")
}

// Among more people than the server looks at for one page of a search, the last one is
// found too.
func TestSearchAmongThousands(t *testing.T) {
	t.Parallel()
	data := ownedData(t, "invite", "zora")
	kept, err := sqlite.Open(t.Context(), data, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = kept.Update(t.Context(), func(tx store.Tx) error {
		for i := range 6000 {
			a := people.Account{ID: fmt.Sprintf("%026d", i), Username: fmt.Sprint("user-", i), Role: kaban.RoleMember, Status: people.StatusActive, Created: 1}
			if err := people.Accounts.Put(tx, &a); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, kept.Close()); err != nil {
		t.Fatal(err)
	}
	s := startServer(t, data)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "olga")
	p.button("New direct message")
	p.until(`document.activeElement?.role === 'combobox'`)
	p.write("zora")
	p.until(`document.querySelector('#people [role=option]')?.innerText.includes('zora')`)
	p.press(kb.Escape)
	p.press(kb.Escape)
	p.until(`!document.querySelector('dialog[open]')`)
	p.part("People")
	p.text(`document.querySelector('.part input[type=search]').focus(), ''`)
	p.write("zora")
	p.until(`[...document.querySelectorAll('.part .item')].map((e) => e.innerText).join().includes('zora') && document.querySelectorAll('.part .item').length === 1`)
}

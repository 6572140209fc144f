package browser

import (
	"bufio"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp/kb"

	"kaban/internal/account"
	"kaban/internal/childtest"
	"kaban/internal/web"
)

// named is the address of a server by a name: there are no passkeys at an IP address.
func (s *server) named() string { return strings.Replace(s.url, "127.0.0.1", "localhost", 1) }

// authenticator gives the browser of a page a security key that says yes to everything.
func (p *page) authenticator() webauthn.AuthenticatorID {
	p.t.Helper()
	command(p, webauthn.Enable, webauthn.EnableParams{})
	return command(p, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{
		Options: &webauthn.VirtualAuthenticatorOptions{
			Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
			HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
		},
	}).AuthenticatorID
}

// signOut signs out in the settings.
func (p *page) signOut() {
	p.t.Helper()
	p.part("This browser")
	p.button("Sign out")
	p.heading("Sign in to Kaban")
}

// A passkey is added, signs in without a name or a password, and is removed.
func TestPasskeys(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	key := p.authenticator()
	p.signIn(s.named(), "ben")
	p.part("Signing in")
	p.fill("passkey-name", "my laptop")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part .item')?.innerText.includes('my laptop')`)
	p.picture("passkey")
	p.signOut()

	p.button("Sign in with a passkey")
	p.online()
	p.until(`document.querySelector('.me-name').innerText === 'ben'`)
	p.say("without a password")
	p.stored("without a password")

	// The key has another one that the server does not know any more.
	p.part("Signing in")
	p.until(`document.querySelector('.part .item')?.innerText.includes('my laptop')`)
	p.button("Remove")
	p.button("Remove – sure?")
	p.until(`!document.querySelector('.part .item')`)
	p.signOut()
	p.button("Sign in with a passkey")
	p.until(`document.querySelector('.card [role=alert]')?.innerText.includes("This passkey does not work here")`)
	p.picture("passkey-unknown")
	// Nor does a browser without one get in, and it is told why.
	command(p, webauthn.RemoveVirtualAuthenticator, webauthn.RemoveVirtualAuthenticatorParams{AuthenticatorID: key})
	if p.truth(`document.querySelector('#input')`) {
		t.Error("the page is signed in")
	}
}

// At the address of a machine there are no passkeys, and none are offered.
func TestNoPasskeysAtAnAddress(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.open(s.url)
	p.heading("Sign in to Kaban")
	p.until(`[...document.querySelectorAll('button')].some((b) => b.innerText === 'Use a recovery code')`)
	if p.truth(`[...document.querySelectorAll('button')].some((b) => /passkey/i.test(b.innerText))`) {
		t.Error("a passkey is offered")
	}
	// Whoever misses them reads where they are.
	there := "To use a passkey, open this page at " + s.named() + "."
	p.until(`document.querySelector('.no-passkeys')?.innerText === %s`, there)
	p.picture("passkeys-elsewhere")
	p.fillSignIn("olga", password)
	p.part("Signing in")
	p.until(`document.querySelector('.part .no-passkeys')?.innerText === %s`, there)
	p.open(s.named())
	p.heading("Sign in to Kaban")
	p.until(`[...document.querySelectorAll('button')].some((b) => b.innerText === 'Sign in with a passkey')`)
	if p.truth(`document.querySelector('.no-passkeys')`) {
		t.Error("the hint is shown where there are passkeys")
	}
}

// A recovery code signs in once.
func TestRecoveryCode(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	p := newPage(t, desktop)
	p.expectBreaks()
	p.signIn(s.url, "ben")
	p.part("Signing in")
	p.button("Make new codes")
	p.until(`document.querySelectorAll('.codes li').length >= 8`)
	code := p.text(`document.querySelector('.codes li').innerText.trim()`)
	p.signOut()
	p.button("Use a recovery code")
	p.fillSignIn("ben", code)
	p.part("Signing in")
	p.until(`document.querySelector('.part').innerText.includes('9 of your recovery codes are left')`)
	p.signOut()
	p.button("Use a recovery code")
	p.fill("username", "ben")
	p.fill("password", code)
	p.press(kb.Enter)
	p.until(`document.querySelector('#password-problem')`)
	p.picture("recovery-used")
}

// startProvider starts the OpenID provider of package providertest for a server.
func startProvider(t *testing.T, s *server) (issuer string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "provider")
	build := childtest.Go("build", "-o", program, "./provider")
	build.Dir = filepath.FromSlash("../../internal/account/providertest")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, output)
	}
	cmd := exec.Command(program, "kaban", clientSecret, s.named()+web.CallbackPath)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		within(t, "ending the provider", func() { cmd.Wait() })
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the provider does not start: %v", err)
	}
	return strings.TrimSpace(line)
}

const clientSecret = "the secret of the client"

// atProvider signs in at the provider, if it asks.
func (p *page) atProvider(username string) {
	p.t.Helper()
	p.until(`document.querySelector('input[name=username]') && location.pathname === '/login/username'`)
	p.text(`document.querySelector('input[name=username]').value = ` + quote(username) + `, document.querySelector('input[name=password]').value = 'verysecure', document.querySelector('form').submit(), ''`)
}

// Single sign-on with a real provider: an identity is linked, signs in, and is refused
// where nobody has it.
func TestProvider(t *testing.T) {
	t.Parallel()
	s := owned(t, "invite", "ben")
	issuer := startProvider(t, s)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(clientSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	s.stop()
	prepare(t, s.data, func(accounts *account.Service) {
		for _, set := range [][2]string{
			{"oidc.client_secret_file", secret},
			{"oidc.client_id", "kaban"},
			{"oidc.name", "Example"},
			{"oidc.issuer", issuer},
			{"oidc.create", "false"},
		} {
			if err := accounts.Set(t.Context(), account.Operator(), set[0], set[1]); err != nil {
				t.Fatal(err)
			}
		}
	})
	s.start()

	// Nobody has the identity yet.
	p := newPage(t, desktop)
	p.expectBreaks()
	p.open(s.named())
	p.button("Sign in with Example")
	p.atProvider("test-user2")
	p.heading("Sign in to Kaban")
	p.until(`document.querySelector('.card')?.innerText.includes('You have no account here')`)
	if at := p.text(`location.href`); at != s.named()+"/sign-in" {
		t.Errorf("the address is %s", at)
	}
	p.picture("provider-refused")

	// Ben links it to his account.
	p.fillSignIn("ben", password)
	p.part("Signing in")
	p.button("Link an identity at Example")
	p.atProvider("test-user2")
	p.online()
	p.part("Signing in")
	p.until(`[...document.querySelectorAll('.part .item')].some((e) => e.innerText.includes('http://localhost:'))`)
	p.picture("provider-linked")
	p.signOut()
	p.button("Sign in with Example")
	p.atProvider("test-user2")
	p.online()
	p.until(`document.querySelector('.me-name').innerText === 'ben'`)

	// Another person cannot link the same identity, and stays signed in.
	other := newPage(t, desktop)
	other.expectBreaks()
	other.signIn(s.named(), "olga")
	other.part("Signing in")
	other.button("Link an identity at Example")
	other.atProvider("test-user2")
	other.online()
	other.until(`document.querySelector('.me-name').innerText === 'olga' && document.querySelector('.state.problem')?.innerText.includes('belongs to another account')`)
	other.picture("provider-taken")

	// A confirmation that fails at the provider is no failure of linking, and the page says
	// what to do. The link is that of the server.
	for fragment, want := range map[string]string{
		"error=auth_failed&about=confirming": "confirm in another way",
		"error=unavailable&about=confirming": "cannot be reached, so you were not confirmed",
		"error=auth_failed&about=unproven":   "Confirm with a passkey or your password",
	} {
		other.open(s.named() + "/sign-in?" + url.QueryEscape(want) + "#" + fragment)
		other.until(`document.querySelector('.me-name')?.innerText === 'olga' && document.querySelector('.state.problem')?.innerText.includes(` + quote(want) + `)`)
	}
}

// The first owner and an invited person come with a passkey and without a password.
func TestAccountsBeginWithAPasskey(t *testing.T) {
	t.Parallel()
	s, claim := unclaimed(t)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.authenticator()
	p.open(s.named() + "/claim#" + claim)
	p.heading("Set up this server")
	p.button("Use a passkey instead of a password")
	p.until(`document.querySelector('#username-problem')`)
	p.fill("username", "olga")
	p.picture("claim-passkey")
	p.button("Use a passkey instead of a password")
	p.heading("Save your recovery codes")
	p.click(`.card input[type=checkbox]`)
	p.button("Continue")
	p.heading("Your server is ready")
	invite := strings.Replace(p.text(`document.querySelector('#link').value`), "127.0.0.1", "localhost", 1)
	p.button("Start chatting")
	p.online()
	p.signOut()
	p.button("Sign in with a passkey")
	p.online()
	p.until(`document.querySelector('.me-name').innerText === 'olga'`)

	ben := newPage(t, screen{width: 390, height: 780, mobile: true})
	ben.expectBreaks()
	ben.authenticator()
	ben.open(invite)
	ben.heading("olga invites you")
	ben.fill("username", "olga")
	ben.button("Use a passkey instead of a password")
	ben.until(`document.querySelector('#username-problem')?.innerText !== undefined`)
	ben.picture("invited-passkey")
	ben.fill("username", "ben")
	ben.button("Use a passkey instead of a password")
	ben.online()
	ben.fill("input", "no password here")
	ben.click(".send")
	ben.stored("no password here")
}

// stale has the page take the sign-in for one of long ago, until the server has confirmed
// it.
func (p *page) stale() {
	p.t.Helper()
	p.text(`(() => {
		const real = window.fetch
		let confirmed = false
		window.fetch = async (path, options) => {
			if (/confirm$/.test(path) && options.method === 'POST') {
				const answer = await real(path, options)
				confirmed ||= answer.ok
				return answer
			}
			if (!confirmed && /account\/password$/.test(path)) return new Response('{"code":"forbidden","confirm":true}', { status: 403 })
			const answer = await real(path, options)
			if (confirmed || !/v1\/session$/.test(path)) return answer
			return new Response(JSON.stringify({ ...(await answer.json()), fresh: false }))
		}
		return ''
	})()`)
}

// What needs a fresh sign-in is confirmed with a passkey by an account that has no
// password, which can then choose one.
func TestConfirmWithAPasskey(t *testing.T) {
	t.Parallel()
	s, claim := unclaimed(t)
	p := newPage(t, desktop)
	p.expectBreaks()
	p.authenticator()
	p.open(s.named() + "/claim#" + claim)
	p.heading("Set up this server")
	p.fill("username", "olga")
	p.button("Use a passkey instead of a password")
	p.heading("Save your recovery codes")
	p.click(`.card input[type=checkbox]`)
	p.button("Continue")
	p.button("Start chatting")
	p.online()
	p.part("Signing in")
	p.stale()
	p.fill("password", password)
	p.button("Change the password")
	p.until(`document.querySelector('.part .confirm')`)
	if p.truth(`document.querySelector('#confirm')`) {
		t.Error("the page asks for a password that the account does not have")
	}
	p.picture("confirm-passkey")
	p.button("Confirm with your passkey")
	p.until(`document.querySelector('.part').innerText.includes('Saved')`)

	// Now that there are two ways, both are offered, and the password works as well.
	p.stale()
	p.fill("password", password+"2")
	p.button("Change the password")
	p.until(`document.querySelector('.part .confirm #confirm')`)
	p.until(`[...document.querySelectorAll('.part .confirm button')].some((b) => b.innerText === 'Confirm with your passkey')`)
	p.picture("confirm-both")
	p.fill("confirm", "not my password")
	p.press(kb.Enter)
	p.until(`document.querySelector('.part .confirm [role=alert]')`)
	p.fill("confirm", password)
	p.press(kb.Enter)
	p.until(`!document.querySelector('.part .confirm') && document.querySelector('.part').innerText.includes('Saved')`)
}

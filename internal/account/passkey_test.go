package account

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/descope/virtualwebauthn"

	"kaban"
	"kaban/internal/account/passkeytest"
	"kaban/internal/people"
	"kaban/internal/store"
)

func TestPasskeySignsIn(t *testing.T) {
	b := newKeyBench(t)
	ann, bob := b.account("ann", kaban.RoleMember), b.account("bob", kaban.RoleMember)
	phone, laptop, bobs := b.register(ann, "phone"), b.register(ann, ""), b.register(bob, "")
	b.clock.advance(time.Minute)
	for _, c := range []struct {
		account string
		cred    virtualwebauthn.Credential
		name    string
	}{{ann, phone, "phone"}, {ann, laptop, "Passkey"}, {bob, bobs, "Passkey"}, {ann, phone, "phone"}} {
		b.clock.advance(time.Second)
		got, key, err := b.signIn(c.account, c.cred)
		if err != nil || got != c.account || key.Name != c.name {
			t.Fatalf("signed in as %s with %q: %v, want %s with %q", got, key.Name, err, c.account, c.name)
		}
		if key.Used != b.clock.now().UnixMilli() || key.Created == key.Used {
			t.Errorf("the times of a used passkey are %d and %d", key.Created, key.Used)
		}
	}
	if keys := b.list(ann); len(keys) != 2 {
		t.Errorf("ann has the passkeys %+v", keys)
	}
}

func TestPasskeyOptions(t *testing.T) {
	b := newKeyBench(t)
	ann := b.account("ann", kaban.RoleMember)
	cred := b.register(ann, "")
	options, err := b.service.BeginPasskey(t.Context(), b.by(ann), b.keys, b.browser)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := virtualwebauthn.ParseAttestationOptions(string(options))
	if err != nil {
		t.Fatal(err)
	}
	if !cred.IsExcludedForAttestation(*opts) {
		t.Error("an authenticator that has a passkey already is asked for another one")
	}
	for _, want := range []string{`"residentKey":"required"`, `"userVerification":"required"`, `"id":"chat.example.org"`} {
		if !bytes.Contains(options, []byte(want)) {
			t.Errorf("the options %s do not contain %s", options, want)
		}
	}
	options = b.begin()
	if !bytes.Contains(options, []byte(`"userVerification":"required"`)) || bytes.Contains(options, []byte("allowCredentials")) {
		t.Errorf("the options of a sign-in are %s", options)
	}
}

// TestPasskeyRefusals signs in with one thing wrong each time. After every refusal the
// right sign-in works.
func TestPasskeyRefusals(t *testing.T) {
	type wrong struct {
		name  string
		want  error
		reply func(b *keyBench, ann, bob string, anns, bobs virtualwebauthn.Credential) []byte
	}
	for _, w := range []wrong{
		{"wrong origin", ErrPasskey, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			b.rp.Origin = "https://chat.example.org.evil.example"
			return b.got(ann, b.begin(), c)
		}},
		{"wrong relying party", ErrPasskey, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			b.rp.ID = "evil.example"
			return b.got(ann, b.begin(), c)
		}},
		{"wrong challenge", ErrCeremony, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			b.begin()
			return b.got(ann, []byte(`{"challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), c)
		}},
		{"challenge of a registration", ErrCeremony, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			options, err := b.service.BeginPasskey(b.t.Context(), b.by(ann), b.keys, b.browser)
			if err != nil {
				b.t.Fatal(err)
			}
			return b.got(ann, options, c)
		}},
		{"another browser", ErrCeremony, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			mine := b.browser
			b.browser = NewBrowser()
			options := b.begin()
			b.browser = mine
			return b.got(ann, options, c)
		}},
		{"expired", ErrCeremony, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			options := b.begin()
			b.clock.advance(ceremonyLife)
			return b.got(ann, options, c)
		}},
		{"clock set back", ErrCeremony, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			options := b.begin()
			b.clock.advance(-maxSkew - time.Second)
			return b.got(ann, options, c)
		}},
		{"other account's credential", ErrPasskey, func(b *keyBench, ann, _ string, _, bobs virtualwebauthn.Credential) []byte {
			return b.got(ann, b.begin(), bobs)
		}},
		{"no user handle", ErrPasskey, func(b *keyBench, _, _ string, c, _ virtualwebauthn.Credential) []byte {
			return b.got("", b.begin(), c)
		}},
		{"other key", ErrPasskey, func(b *keyBench, ann, _ string, c, bobs virtualwebauthn.Credential) []byte {
			c.Key = bobs.Key
			return b.got(ann, b.begin(), c)
		}},
		{"unknown credential", ErrPasskey, func(b *keyBench, ann, _ string, _, _ virtualwebauthn.Credential) []byte {
			return b.got(ann, b.begin(), passkeytest.NewCredential(t))
		}},
		{"user not verified", ErrPasskey, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			b.auth.Options.UserNotVerified = true
			return b.got(ann, b.begin(), c)
		}},
		{"user not present", ErrPasskey, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			b.auth.Options.UserNotPresent = true
			return b.got(ann, b.begin(), c)
		}},
		{"backup eligibility changed", ErrPasskey, func(b *keyBench, ann, _ string, c, _ virtualwebauthn.Credential) []byte {
			b.auth.Options.BackupEligible = true
			return b.got(ann, b.begin(), c)
		}},
		{"not JSON", ErrPasskey, func(*keyBench, string, string, virtualwebauthn.Credential, virtualwebauthn.Credential) []byte {
			return []byte("{")
		}},
		{"too long", ErrPasskey, func(*keyBench, string, string, virtualwebauthn.Credential, virtualwebauthn.Credential) []byte {
			return bytes.Repeat([]byte(" "), MaxResponse+1)
		}},
	} {
		t.Run(w.name, func(t *testing.T) {
			b := newKeyBench(t)
			ann, bob := b.account("ann", kaban.RoleMember), b.account("bob", kaban.RoleMember)
			anns, bobs := b.register(ann, ""), b.register(bob, "")
			auth, rp := b.auth, b.rp
			reply := w.reply(b, ann, bob, anns, bobs)
			got, _, err := b.finish(reply)
			if !errors.Is(err, w.want) || got != "" {
				t.Errorf("signed in as %q: %v, want %v", got, err, w.want)
			}
			b.auth, b.rp = auth, rp
			if got, _, err := b.signIn(ann, anns); err != nil || got != ann {
				t.Errorf("the right sign-in after it: %q, %v", got, err)
			}
		})
	}
}

func TestPasskeyIsUsedOnce(t *testing.T) {
	b := newKeyBench(t)
	ann := b.account("ann", kaban.RoleMember)
	cred := b.register(ann, "")
	response := b.got(ann, b.begin(), cred)
	var won atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch _, _, err := b.finish(response); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, ErrCeremony):
				t.Errorf("a replay: %v", err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("one response signed in %d times", won.Load())
	}

	options := b.begin()
	bad := b.got(ann, options, passkeytest.NewCredential(t))
	if _, _, err := b.finish(bad); !errors.Is(err, ErrPasskey) {
		t.Errorf("a wrong response: %v", err)
	}
	if _, _, err := b.finish(b.got(ann, options, cred)); !errors.Is(err, ErrCeremony) {
		t.Errorf("the challenge of a refused response: %v", err)
	}
}

func TestPasskeyCounter(t *testing.T) {
	b := newKeyBench(t)
	ann := b.account("ann", kaban.RoleMember)
	cred := b.register(ann, "")
	for _, c := range []struct {
		counter uint32
		copied  bool
	}{{7, false}, {8, false}, {8, true}, {9, true}} {
		cred.Counter = c.counter
		_, key, err := b.signIn(ann, cred)
		if err != nil || key.Copied != c.copied {
			t.Errorf("counter %d: copied is %v, %v; want %v", c.counter, key.Copied, err, c.copied)
		}
	}
	if keys := b.list(ann); !keys[0].Copied {
		t.Error("the warning is not kept")
	}
}

func TestPasskeyKeepsAllFlags(t *testing.T) {
	b := newKeyBench(t)
	b.auth.Options.BackupEligible = true
	ann := b.account("ann", kaban.RoleMember)
	cred := b.register(ann, "")
	b.auth.Options.BackupState = true
	if _, key, err := b.signIn(ann, cred); err != nil || !key.Synced {
		t.Errorf("a passkey that has been synced since: %+v, %v", key, err)
	}
	update(t, b.docs, func(tx store.Tx) error {
		c, err := people.Credentials.Get(tx, string(people.CredentialPasskey), passkeyID(cred.ID))
		if err != nil {
			return err
		}
		data, err := passkeyOf(&c)
		f := data.Credential.Flags
		if !f.UserPresent || !f.UserVerified || !f.BackupEligible || !f.BackupState {
			t.Errorf("the flags are %+v", f)
		}
		if len(data.Credential.Attestation.Object) == 0 || len(data.Credential.Authenticator.AAGUID) != 16 {
			t.Error("the attestation or the model is not kept")
		}
		return err
	})
}

func TestPasskeyOfAnAccountThatMayNot(t *testing.T) {
	b := newKeyBench(t)
	ann := b.account("ann", kaban.RoleMember)
	cred := b.register(ann, "")
	update(t, b.docs, func(tx store.Tx) error {
		return people.Accounts.Put(tx, &people.Account{ID: ann, Username: "ann", Role: kaban.RoleMember, Status: people.StatusSuspended})
	})
	if got, _, err := b.signIn(ann, cred); !errors.Is(err, ErrSuspended) || got != "" {
		t.Errorf("a suspended account: %q, %v", got, err)
	}
	if keys := b.list(ann); keys[0].Used != 0 {
		t.Error("a refused sign-in counts as a use")
	}
}

func TestPasskeyRemoved(t *testing.T) {
	b := newKeyBench(t)
	ann, bob := b.account("ann", kaban.RoleOwner), b.account("bob", kaban.RoleMember)
	phone, laptop := b.register(ann, ""), b.register(ann, "")
	remove := func(account string, cred virtualwebauthn.Credential) error {
		return b.service.RemovePasskey(t.Context(), b.by(account), b.keys, passkeyID(cred.ID))
	}
	if err := remove(bob, phone); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing somebody else's passkey: %v", err)
	}
	if err := remove(ann, phone); err != nil {
		t.Fatal(err)
	}
	wantRow(t, b.service, people.AuditPasskeyAdd, passkeyID(phone.ID))
	wantRow(t, b.service, people.AuditPasskeyRemove, passkeyID(phone.ID))
	if _, _, err := b.signIn(ann, phone); !errors.Is(err, ErrPasskey) {
		t.Errorf("a removed passkey: %v", err)
	}
	put := func(c people.Credential) {
		c.Account = ann
		update(t, b.docs, func(tx store.Tx) error { return people.Credentials.Put(tx, &c) })
	}
	put(people.Credential{Kind: people.CredentialRecovery, ID: "r"})
	put(people.Credential{Kind: people.CredentialEmail, ID: "e"})
	put(people.Credential{Kind: people.CredentialOIDC, ID: "o", Data: []byte(`{"issuer":"https://old.example"}`)})
	put(people.Credential{Kind: people.CredentialPasskey, ID: "p", Data: []byte(`{"rp":"old.example"}`)})
	if err := remove(ann, laptop); !errors.Is(err, ErrLastWay) {
		t.Errorf("removing the last way in: %v", err)
	}
	put(people.Credential{Kind: people.CredentialPassword, ID: ann})
	if err := remove(ann, laptop); err != nil {
		t.Errorf("removing a passkey beside a password: %v", err)
	}
}

func TestPasskeyRegistrationRefusals(t *testing.T) {
	b := newKeyBench(t)
	ann, bob := b.account("ann", kaban.RoleMember), b.account("bob", kaban.RoleMember)
	known := b.register(ann, "first")
	begin := func(account string) []byte {
		t.Helper()
		options, err := b.service.BeginPasskey(t.Context(), b.by(account), b.keys, b.browser)
		if err != nil {
			t.Fatal(err)
		}
		return options
	}
	finish := func(account, name string, response []byte) error {
		_, err := b.service.AddPasskey(t.Context(), b.by(account), b.keys, b.browser, name, response)
		return err
	}
	fresh := func() virtualwebauthn.Credential {
		return passkeytest.NewCredential(t)
	}
	if err := finish(bob, "", b.created(bob, begin(ann), fresh())); !errors.Is(err, ErrCeremony) {
		t.Errorf("finishing what somebody else began: %v", err)
	}
	if err := finish(bob, "", b.created(bob, begin(bob), known)); !errors.Is(err, ErrPasskeyKnown) {
		t.Errorf("taking somebody's passkey over: %v", err)
	}
	for _, name := range []string{"a\nb", strings.Repeat("x", maxPasskeyName+1), "\u202e", "a\xff"} {
		if err := finish(ann, name, b.created(ann, begin(ann), fresh())); !isValueError(err) {
			t.Errorf("the name %q: %v", name, err)
		}
	}
	if _, err := b.service.AddPasskey(t.Context(), b.by(ann), b.keys, NewBrowser(), "", b.created(ann, begin(ann), fresh())); !errors.Is(err, ErrCeremony) {
		t.Errorf("another browser: %v", err)
	}
	b.auth.Options.UserNotVerified = true
	if err := finish(ann, "", b.created(ann, begin(ann), fresh())); !errors.Is(err, ErrPasskey) {
		t.Errorf("a user that was not verified: %v", err)
	}
	b.auth.Options.UserNotVerified = false
	options := begin(ann)
	once := b.created(ann, options, fresh())
	if err := finish(ann, "", once); err != nil {
		t.Fatal(err)
	}
	if err := finish(ann, "", once); !errors.Is(err, ErrCeremony) {
		t.Errorf("a replay: %v", err)
	}
	options = begin(ann)
	b.rp.Origin = "https://other.example"
	if err := finish(ann, "", b.created(ann, options, fresh())); !errors.Is(err, ErrPasskey) {
		t.Errorf("another origin: %v", err)
	}
	if n := len(b.list(ann)); n != 2 {
		t.Errorf("ann has %d passkeys", n)
	}
}

func TestPasskeysHaveALimit(t *testing.T) {
	b := newKeyBench(t)
	ann := b.account("ann", kaban.RoleMember)
	early, err := b.service.BeginPasskey(t.Context(), b.by(ann), b.keys, b.browser)
	if err != nil {
		t.Fatal(err)
	}
	for range maxPasskeys {
		b.register(ann, "")
	}
	if _, err := b.service.BeginPasskey(t.Context(), b.by(ann), b.keys, b.browser); !errors.Is(err, ErrTooMany) {
		t.Errorf("beginning one too many: %v", err)
	}
	late := b.created(ann, early, passkeytest.NewCredential(t))
	if _, err := b.service.AddPasskey(t.Context(), b.by(ann), b.keys, b.browser, "", late); !errors.Is(err, ErrTooMany) {
		t.Errorf("finishing one too many: %v", err)
	}
	names := make(map[string]bool)
	for _, k := range b.list(ann) {
		names[k.Name] = true
	}
	if len(names) != maxPasskeys {
		t.Errorf("the names of the passkeys are %v", names)
	}
}

func TestPasskeyRename(t *testing.T) {
	b := newKeyBench(t)
	ann, bob := b.account("ann", kaban.RoleMember), b.account("bob", kaban.RoleMember)
	id := passkeyID(b.register(ann, "old").ID)
	rename := func(account, name string) error {
		return b.service.RenamePasskey(t.Context(), b.by(account), b.keys, id, name)
	}
	if err := rename(bob, "mine"); !errors.Is(err, ErrNotFound) {
		t.Errorf("renaming somebody else's: %v", err)
	}
	if err := rename(ann, " "); !isValueError(err) {
		t.Errorf("an empty name: %v", err)
	}
	if err := rename(ann, " new "); err != nil || b.list(ann)[0].Name != "new" {
		t.Errorf("%v, %+v", err, b.list(ann))
	}
	wantRow(t, b.service, people.AuditPasskeyRename, id)
}

func TestPasskeysAfterAChangeOfOrigin(t *testing.T) {
	b := newKeyBench(t)
	ann := b.account("ann", kaban.RoleMember)
	cred := b.register(ann, "")
	damaged := 0
	check := func() (err error) {
		update(t, b.docs, func(tx store.Tx) error { damaged, err = b.keys.CheckMoved(tx); return nil })
		return err
	}
	if err := check(); err != nil {
		t.Errorf("before the change: %v", err)
	}
	b.keys = b.at("https://new.example.org")
	options := b.begin()
	_, _, err := b.finish(b.got(ann, options, cred))
	if origin, ok := errors.AsType[*OriginError](err); !ok || origin.Got != testOrigin || origin.Want != "https://new.example.org" {
		t.Errorf("a page at the old address: %v", err)
	}
	b.rp.Origin, b.rp.ID = "https://new.example.org", "new.example.org"
	_, _, err = b.signIn(ann, cred)
	if origin, ok := errors.AsType[*OriginError](err); !ok || origin.Got != testHost {
		t.Errorf("an old passkey at the new address: %v", err)
	}
	if keys := b.list(ann); keys[0].Elsewhere != testHost {
		t.Errorf("the list says %+v", keys)
	}
	if moved, ok := errors.AsType[*MovedError](check()); !ok || moved.Count != 1 || moved.Was != testHost {
		t.Errorf("after the change: %+v", moved)
	}
	update(t, b.docs, func(tx store.Tx) error {
		kind := string(people.CredentialPasskey)
		return errors.Join(tx.Put(store.Key("credential", kind, "!"), []byte("{")), tx.Put(store.Key("credential", kind, "\""), []byte(`{"data":"x"}`)))
	})
	if moved, ok := errors.AsType[*MovedError](check()); !ok || moved.Count != 1 || damaged != 2 {
		t.Errorf("beside damaged ones: %+v, and %d are damaged", moved, damaged)
	}
	fresh := b.register(ann, "")
	if got, _, err := b.signIn(ann, fresh); err != nil || got != ann {
		t.Errorf("a new passkey at the new address: %v", err)
	}
}

func TestPasskeysAvailable(t *testing.T) {
	for _, c := range []struct {
		origins string
		party   string // none if passkeys are not available
		usable  int
	}{
		{"https://chat.example.org", "chat.example.org", 1},
		{"https://Chat.Example.org:8443", "chat.example.org", 1},
		{"http://localhost:8080", "localhost", 1},
		{"https://kaban.localhost", "kaban.localhost", 1},
		{"http://10.0.0.1 https://chat.example.org", "chat.example.org", 1},
		{"https://example.org https://chat.example.org https://other.org https://notexample.org", "example.org", 2},
		{"", "", 0},
		{"http://chat.example.org", "", 0},
		{"http://127.0.0.1:8080", "", 0},
		{"https://[::1]", "", 0},
		{"ftp://localhost", "", 0},
		{"https://user@chat.example.org", "", 0},
		{"chat.example.org", "", 0},
	} {
		party, usable, err := relyingParty(strings.Fields(c.origins))
		if party != c.party || len(usable) != c.usable {
			t.Errorf("%q: %q %q, want %q and %d", c.origins, party, usable, c.party, c.usable)
		}
		reason, refused := errors.AsType[*UnavailableError](err)
		if refused != (c.party == "") || refused && len(reason.Reason) < 20 {
			t.Errorf("%q: %v", c.origins, err)
		}
	}
}

func TestTicketsOfCeremoniesExpire(t *testing.T) {
	b := newKeyBench(t)
	for range 3 {
		b.begin()
	}
	b.clock.advance(ceremonyLife)
	b.begin()
	update(t, b.docs, func(tx store.Tx) error {
		left, _, err := people.Tickets.List(tx, nil, nil, 10)
		if len(left) != 1 {
			t.Errorf("%d tickets are left", len(left))
		}
		for _, ticket := range left {
			if strings.Contains(string(ticket.Data), b.browser) {
				t.Error("a ticket has the secret of a browser")
			}
			var c ceremony
			if err := json.Unmarshal(ticket.Data, &c); err != nil || !strings.Contains(string(c.Details), `"challenge":""`) {
				t.Errorf("a ticket keeps its challenge: %s %v", c.Details, err)
			}
		}
		return err
	})
	if _, err := b.service.BeginPasskeySignIn(t.Context(), b.keys, "short"); err == nil {
		t.Error("a ceremony began without a browser")
	}
}

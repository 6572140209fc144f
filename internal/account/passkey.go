package account

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"kaban/internal/people"
	"kaban/internal/store"
)

// Limits of passkeys.
const (
	// maxPasskeys is the maximum number of passkeys of an account.
	maxPasskeys = 20
	// maxPasskeyName is the maximum length of the name of a passkey, in code points.
	maxPasskeyName = 64
	// MaxResponse is the maximum length of what an authenticator returns, in bytes.
	MaxResponse = 64 << 10
)

// Errors of passkeys that callers distinguish with errors.Is.
var (
	// ErrPasskey means that a passkey does not prove an account. Its text is for logs;
	// a front end reports every refused sign-in with the same text.
	ErrPasskey = errors.New("the passkey is not accepted")
	// ErrPasskeyKnown means that the passkey is registered already.
	ErrPasskeyKnown = errors.New("this passkey is registered already")
)

// errPasskeyName refuses a name.
var errPasskeyName = &ValueError{"name", "it has 1 to 64 characters and no control characters"}

// Passkeys registers passkeys and signs in with them, as Web Authentication Level 3
// has it for discoverable credentials with user verification. Methods are safe for
// concurrent use.
type Passkeys struct {
	docs    store.Documents
	now     func() time.Time
	party   *webauthn.WebAuthn
	origins []string
}

// Passkey is a passkey as its owner sees it.
type Passkey struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Created int64  `json:"created"`        // milliseconds since 1970 UTC
	Used    int64  `json:"used,omitempty"` // the last sign-in
	Synced  bool   `json:"synced"`         // a password manager or a vendor keeps a copy
	// Copied is set if the counter of the authenticator went back once. Two
	// authenticators may have the same key.
	Copied bool `json:"copied,omitempty"`
	// Elsewhere is the address that the passkey works at, if that is another one.
	Elsewhere string `json:"elsewhere,omitempty"`
}

// passkeyData is the data of a credential that is a passkey.
type passkeyData struct {
	Party      string              `json:"rp"` // the relying party's id, a host
	Credential webauthn.Credential `json:"credential"`
}

// passkeyTicket is what a ceremony of a passkey remembers. It has no challenge, because
// the response shows it.
type passkeyTicket struct {
	Session webauthn.SessionData `json:"session"`
}

// NewPasskeys returns the passkeys of a server whose pages have the given origins. If
// passkeys cannot work there, the error is an *UnavailableError.
func NewPasskeys(docs store.Documents, origins []string, now func() time.Time) (*Passkeys, error) {
	party, usable, err := relyingParty(origins)
	if err != nil {
		return nil, err
	}
	required := true
	lib, err := webauthn.New(&webauthn.Config{
		RPID: party, RPDisplayName: "Kaban", RPOrigins: usable,
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &required,
			ResidentKey:        protocol.ResidentKeyRequirementRequired,
			UserVerification:   protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Timeout: ceremonyLife},
			Registration: webauthn.TimeoutConfig{Timeout: ceremonyLife},
		},
		// Extensions that nobody asked for are harmless, and some password managers
		// add them.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	if err != nil {
		return nil, fmt.Errorf("passkeys: %w", err)
	}
	return &Passkeys{docs: docs, now: now, party: lib, origins: usable}, nil
}

// holder is an account with its passkeys, as the library wants it.
type holder struct {
	account people.Account
	keys    []webauthn.Credential
}

func (h *holder) WebAuthnID() []byte { return []byte(h.account.ID) }

func (h *holder) WebAuthnName() string { return h.account.Username }

func (h *holder) WebAuthnDisplayName() string {
	if h.account.Name != "" {
		return h.account.Name
	}
	return h.account.Username
}

func (h *holder) WebAuthnCredentials() []webauthn.Credential { return h.keys }

// holderOf returns an account with its passkeys of this relying party.
func (p *Passkeys) holderOf(tx store.Tx, account string) (*holder, []people.Credential, error) {
	a, err := people.Accounts.Get(tx, account)
	if err != nil {
		return nil, nil, err
	}
	found, _, err := people.Credentials.Of(tx, account, people.CredentialPasskey, maxPasskeys)
	if err != nil {
		return nil, nil, err
	}
	h := &holder{account: a}
	for i := range found {
		data, err := passkeyOf(&found[i])
		if err != nil {
			return nil, nil, err
		}
		if data.Party == p.party.Config.RPID {
			h.keys = append(h.keys, data.Credential)
		}
	}
	return h, found, nil
}

func passkeyOf(c *people.Credential) (data passkeyData, err error) {
	if err := json.Unmarshal(c.Data, &data); err != nil {
		return data, fmt.Errorf("%w: a passkey: %w", store.ErrDamaged, err)
	}
	return data, nil
}

// passkeyID returns the id of a passkey's credential. Those of authenticators have up
// to 1,023 bytes, too many for a key of a document.
func passkeyID(raw []byte) string { return hashOf(string(raw)) }

// beginRegistration returns options for navigator.credentials.create, as JSON.
func (p *Passkeys) beginRegistration(ctx context.Context, account, browser string) (options json.RawMessage, err error) {
	err = p.docs.Update(ctx, func(tx store.Tx) error {
		h, found, err := p.holderOf(tx, account)
		if err != nil {
			return err
		}
		if len(found) >= maxPasskeys {
			return ErrTooMany
		}
		creation, session, err := p.party.BeginRegistration(h, webauthn.WithExclusions(webauthn.Credentials(h.keys).CredentialDescriptors()))
		if err != nil {
			return fmt.Errorf("begin the registration of a passkey: %w", err)
		}
		if options, err = json.Marshal(creation); err != nil {
			return fmt.Errorf("begin the registration of a passkey: %w", err)
		}
		return p.begin(tx, ticketRegister, browser, account, session)
	})
	return options, err
}

// begin keeps what the library remembers of a ceremony, except for the challenge.
func (p *Passkeys) begin(tx store.Tx, kind, browser, account string, session *webauthn.SessionData) error {
	challenge := session.Challenge
	session.Challenge = ""
	return beginCeremony(tx, kind, challenge, browser, account, p.now(), passkeyTicket{*session})
}

// created verifies a response of navigator.credentials.create for the account that
// began. Errors are ErrCeremony, ErrPasskey and *OriginError.
func (p *Passkeys) created(ctx context.Context, account, browser string, response []byte) (*webauthn.Credential, error) {
	parsed, err := parseCreation(response)
	if err != nil {
		return nil, err
	}
	session, owner, err := p.finish(ctx, ticketRegister, browser, &parsed.Response.CollectedClientData)
	if err != nil {
		return nil, err
	}
	if owner != account {
		return nil, ErrCeremony
	}
	key, err := p.party.CreateCredential(&holder{account: people.Account{ID: account}}, session, parsed)
	if err != nil {
		return nil, refusedPasskey(err)
	}
	return key, nil
}

// finish uses up the ticket of a challenge and returns what the library remembered.
func (p *Passkeys) finish(ctx context.Context, kind, browser string, client *protocol.CollectedClientData) (session webauthn.SessionData, account string, err error) {
	var ticket passkeyTicket
	account, err = finishCeremony(ctx, p.docs, kind, client.Challenge, browser, p.now(), &ticket)
	if err != nil {
		return session, "", err
	}
	if err := p.checkOrigin(client.Origin); err != nil {
		return session, "", err
	}
	ticket.Session.Challenge = client.Challenge
	return ticket.Session, account, nil
}

// add stores a new passkey of an account.
func (p *Passkeys) add(tx store.Tx, account, name string, key *webauthn.Credential) (*people.Credential, error) {
	found, _, err := people.Credentials.Of(tx, account, people.CredentialPasskey, maxPasskeys)
	if err != nil {
		return nil, err
	}
	if len(found) >= maxPasskeys {
		return nil, ErrTooMany
	}
	id := passkeyID(key.ID)
	switch _, err := people.Credentials.Get(tx, string(people.CredentialPasskey), id); {
	case err == nil:
		return nil, ErrPasskeyKnown
	case !errors.Is(err, people.ErrNotFound):
		return nil, err
	}
	if name = strings.TrimSpace(name); name == "" {
		name = unusedName(found)
	}
	if !validPasskeyName(name) {
		return nil, errPasskeyName
	}
	data, err := json.Marshal(passkeyData{Party: p.party.Config.RPID, Credential: *key})
	if err != nil {
		return nil, fmt.Errorf("encode a passkey: %w", err)
	}
	c := &people.Credential{
		Kind: people.CredentialPasskey, ID: id, Account: account, Name: name, Data: data,
		Created: p.now().UnixMilli(),
	}
	return c, people.Credentials.Put(tx, c)
}

func validPasskeyName(name string) bool {
	n := utf8.RuneCountInString(name)
	return utf8.ValidString(name) && n >= 1 && n <= maxPasskeyName &&
		!strings.ContainsFunc(name, func(r rune) bool { return !strconv.IsPrint(r) })
}

// unusedName returns a name that no passkey has.
func unusedName(found []people.Credential) string {
	taken := make(map[string]bool, len(found))
	for i := range found {
		taken[found[i].Name] = true
	}
	name := "Passkey"
	for n := 2; taken[name]; n++ {
		name = "Passkey " + strconv.Itoa(n)
	}
	return name
}

// beginSignIn returns options for navigator.credentials.get, as JSON. They name no
// account: the browser offers the passkeys that it has.
func (p *Passkeys) beginSignIn(ctx context.Context, browser string) (options json.RawMessage, err error) {
	err = p.docs.Update(ctx, func(tx store.Tx) error {
		assertion, session, err := p.party.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
		if err != nil {
			return fmt.Errorf("begin a sign-in with a passkey: %w", err)
		}
		if options, err = json.Marshal(assertion); err != nil {
			return fmt.Errorf("begin a sign-in with a passkey: %w", err)
		}
		return p.begin(tx, ticketSignIn, browser, "", session)
	})
	return options, err
}

// assertion is a response of navigator.credentials.get whose ceremony is valid, before
// its signature is verified.
type assertion struct {
	session webauthn.SessionData
	parsed  *protocol.ParsedCredentialAssertionData
}

// asserted returns the assertion in a response. Errors are ErrCeremony, ErrPasskey and
// *OriginError.
func (p *Passkeys) asserted(ctx context.Context, browser string, response []byte) (assertion, error) {
	if len(response) > MaxResponse {
		return assertion{}, fmt.Errorf("%w: a response of %d bytes", ErrPasskey, len(response))
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return assertion{}, refusedPasskey(err)
	}
	session, _, err := p.finish(ctx, ticketSignIn, browser, &parsed.Response.CollectedClientData)
	return assertion{session, parsed}, err
}

// use verifies the signature of a sign-in and records the use of its passkey.
func (p *Passkeys) use(tx store.Tx, as assertion) (*people.Account, Passkey, error) {
	c, err := people.Credentials.Get(tx, string(people.CredentialPasskey), passkeyID(as.parsed.RawID))
	switch {
	case errors.Is(err, people.ErrNotFound):
		return nil, Passkey{}, fmt.Errorf("%w: it is not registered, or was removed", ErrPasskey)
	case err != nil:
		return nil, Passkey{}, err
	}
	data, err := passkeyOf(&c)
	if err != nil {
		return nil, Passkey{}, err
	}
	if data.Party != p.party.Config.RPID {
		return nil, Passkey{}, &OriginError{Got: data.Party, Want: p.party.Config.RPID}
	}
	account, err := people.Accounts.Get(tx, c.Account)
	if err != nil {
		return nil, Passkey{}, err
	}
	h := &holder{account: account, keys: []webauthn.Credential{data.Credential}}
	// The library compares the user handle of the response with the account.
	_, used, err := p.party.ValidatePasskeyLogin(func([]byte, []byte) (webauthn.User, error) { return h, nil }, as.session, as.parsed)
	if err != nil {
		return nil, Passkey{}, refusedPasskey(err)
	}
	data.Credential = *used
	if c.Data, err = json.Marshal(data); err != nil {
		return nil, Passkey{}, fmt.Errorf("encode a passkey: %w", err)
	}
	c.Used = p.now().UnixMilli()
	if err := people.Credentials.Put(tx, &c); err != nil {
		return nil, Passkey{}, err
	}
	key, err := p.view(&c)
	return &account, key, err
}

// refusedPasskey returns an ErrPasskey with the reason that the library reports, without
// the data that it was computed from.
func refusedPasskey(err error) error {
	var reason *protocol.Error
	if errors.As(err, &reason) {
		return fmt.Errorf("%w: %.200q", ErrPasskey, reason.Details)
	}
	return ErrPasskey
}

// view returns a passkey as its owner sees it.
func (p *Passkeys) view(c *people.Credential) (Passkey, error) {
	data, err := passkeyOf(c)
	if err != nil {
		return Passkey{}, err
	}
	k := Passkey{
		ID: c.ID, Name: c.Name, Created: c.Created, Used: c.Used,
		Synced: data.Credential.Flags.BackupState,
		Copied: data.Credential.Authenticator.CloneWarning,
	}
	if data.Party != p.party.Config.RPID {
		k.Elsewhere = data.Party
	}
	return k, nil
}

// list returns the passkeys of an account.
func (p *Passkeys) list(tx store.Tx, account string) (keys []Passkey, err error) {
	found, _, err := people.Credentials.Of(tx, account, people.CredentialPasskey, maxPasskeys)
	if err != nil {
		return nil, err
	}
	for i := range found {
		key, err := p.view(&found[i])
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// own returns a passkey of an account. That of another account is ErrNotFound, as if
// it did not exist.
func (p *Passkeys) own(tx store.Tx, account, id string) (people.Credential, error) {
	c, err := found(people.Credentials.Get(tx, string(people.CredentialPasskey), id))
	if err == nil && c.Account != account {
		return people.Credential{}, ErrNotFound
	}
	return c, err
}

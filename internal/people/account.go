package people

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"kaban"
	"kaban/internal/store"
)

// Status is whether an account may be used.
type Status string

// The states of accounts.
const (
	StatusActive    Status = "active"
	StatusSuspended Status = "suspended"
	StatusUnclaimed Status = "unclaimed" // nobody has signed in yet
	StatusRemoved   Status = "removed"   // for good; the name stays taken
)

// Account is somebody that the server knows. All times in this package are in
// milliseconds since 1970 UTC; 0 is never.
type Account struct {
	ID       string     `json:"id"`       // opaque; 26 characters of base32
	Username string     `json:"username"` // as kaban.ParseUsername returns it
	Name     string     `json:"name,omitempty"`
	Role     kaban.Role `json:"role"`
	Status   Status     `json:"status"`
	Reason   string     `json:"reason,omitempty"` // of a suspension
	Bot      bool       `json:"bot,omitempty"`
	Owner    string     `json:"owner,omitempty"` // of a bot: an account
	Created  int64      `json:"created"`
	Creator  string     `json:"creator,omitempty"` // an account
	// Groups are the claims of single sign-on that the role and rooms came from.
	Groups []string `json:"groups,omitempty"`
	Notifications
	// PushHint is set if pushes to browsers say only that there is a new message.
	PushHint bool  `json:"push_hint,omitempty"`
	Away     *Away `json:"away,omitempty"`
}

// Notifications are what an account wants to be notified of. Its clients apply them.
type Notifications struct {
	Keywords []string `json:"keywords,omitempty"`
	Quiet    *Quiet   `json:"quiet,omitempty"`
	// Level is that of rooms for which the account has chosen none; 0 is NotifyMentions.
	Level kaban.NotifyLevel `json:"level,omitzero"`
}

// DefaultLevel is the level of rooms for which the account has chosen none.
func (n *Notifications) DefaultLevel() kaban.NotifyLevel {
	return cmp.Or(n.Level, kaban.NotifyMentions)
}

// Quiet is when an account is not to be disturbed: in some hours, until a moment, or both.
type Quiet struct {
	From  string   `json:"from,omitempty"` // "22:00", in the zone
	To    string   `json:"to,omitempty"`   // on the next day if it is not later than From
	Zone  string   `json:"zone,omitempty"` // by its IANA name
	Days  []string `json:"days,omitempty"` // "mon" to "sun", on which it begins; none is every day
	Until int64    `json:"until,omitempty"`
}

// Away is what an account says of itself. It never changes.
type Away struct {
	Away  bool   `json:"away,omitempty"`
	Text  string `json:"text,omitempty"`
	Until int64  `json:"until,omitempty"` // then it is over
}

// AwayAt returns what the account says of itself at a time; nothing once that has ended.
func (a *Account) AwayAt(now int64) Away {
	if a.Away == nil || a.Away.Until != 0 && a.Away.Until <= now {
		return Away{}
	}
	return *a.Away
}

// Identity returns the author that the account is.
func (a *Account) Identity() (kaban.Identity, error) {
	name, err := kaban.ParseUsername(a.Username)
	if err != nil {
		return kaban.Identity{}, err
	}
	if a.Bot {
		return kaban.Bot(a.ID, name), nil
	}
	return kaban.Account(a.ID, name), nil
}

// nameOf returns the folded readings of the username; the first one is its key.
func (a *Account) looks() []string {
	name, err := kaban.ParseUsername(a.Username)
	if err != nil {
		return []string{a.Username}
	}
	return name.Looks()
}

// Accounts has all accounts by id.
var Accounts = accounts{Table[Account]{
	name: "account",
	key:  func(a *Account) []string { return []string{a.ID} },
	indexes: []index[Account]{
		{"name", true, func(a *Account) [][]string { return [][]string{{a.looks()[0]}} }},
		{"look", false, func(a *Account) (keys [][]string) {
			for _, look := range a.looks() {
				keys = append(keys, []string{look})
			}
			return keys
		}},
		{"role", false, func(a *Account) [][]string { return [][]string{{a.Role.String(), string(a.Status)}} }},
		{"owner", false, func(a *Account) [][]string { return oneOf(a.Owner) }},
	},
}}

// oneOf returns the keys of a value in an index by one part; none if it is empty.
func oneOf(part string) [][]string {
	if part == "" {
		return nil
	}
	return [][]string{{part}}
}

type accounts struct{ Table[Account] }

// FindAll returns the accounts with some ids, in their order: the zero value where there is none, or one that is
// damaged. It asks the store once.
func (t *accounts) FindAll(tx store.Tx, ids []string) ([]Account, error) {
	return t.readable(tx, keysOf(ids))
}

// Named returns the account with a username, whatever its spelling.
func (t *accounts) Named(tx store.Tx, name kaban.Username) (Account, error) {
	return t.find(tx, "name", name.Key())
}

// Like returns accounts whose names look like a name, up to a limit.
func (t *accounts) Like(tx store.Tx, name kaban.Username, limit int) (found []Account, err error) {
	seen := make(map[string]bool)
	for _, look := range name.Looks() {
		some, _, err := t.listBy(tx, "look", []string{look}, nil, limit)
		if err != nil {
			return nil, err
		}
		for _, a := range some {
			if !seen[a.ID] && len(found) < limit {
				seen[a.ID] = true
				found = append(found, a)
			}
		}
	}
	return found, nil
}

// WithRole returns up to limit accounts with a role and a status.
func (t *accounts) WithRole(tx store.Tx, role kaban.Role, status Status, limit int) (found []Account, more bool, err error) {
	return t.listBy(tx, "role", []string{role.String(), string(status)}, nil, limit)
}

// HasOwner reports whether the server has an owner, perhaps a suspended one, or one whose account is damaged. It is
// claimed then, and makes nobody an owner by a link. If an index has an owner whose account is missing, and there is
// no other, it returns store.ErrDamaged: such a server is nobody's to claim.
func (t *accounts) HasOwner(tx store.Tx) (bool, error) {
	missing := false
	for _, status := range []Status{StatusActive, StatusSuspended} {
		owners, _, err := t.WithRole(tx, kaban.RoleOwner, status, 1)
		if errors.Is(err, errDecode) {
			return true, nil
		}
		if err != nil || len(owners) > 0 {
			return len(owners) > 0, err
		}
		entries, _, err := scan(tx, t.entry("role", []string{kaban.RoleOwner.String(), string(status)}), "", false, 1)
		if err != nil {
			return false, err
		}
		missing = missing || len(entries) > 0
	}
	if missing {
		return false, fmt.Errorf("%w: the account of an owner is missing", store.ErrDamaged)
	}
	return false, nil
}

// Removed calls visit for every account that was removed.
func (t *accounts) Removed(tx store.Tx, visit func(*Account) bool) (err error) {
	going := true
	for role := kaban.RoleGuest; role <= kaban.RoleOwner && going && err == nil; role++ {
		key := []string{role.String(), string(StatusRemoved)}
		err = all(func(after []string, limit int) ([]Account, bool, error) {
			return t.listBy(tx, "role", key, after, limit)
		}, func(a *Account) []string { return append(slices.Clone(key), store.Key(a.ID)) }, func(a *Account) bool {
			going = visit(a)
			return going
		})
	}
	return err
}

// Bots calls visit for every bot of an account.
func (t *accounts) Bots(tx store.Tx, owner string, visit func(*Account) bool) error {
	return all(func(after []string, limit int) ([]Account, bool, error) {
		return t.listBy(tx, "owner", []string{owner}, after, limit)
	}, func(a *Account) []string { return []string{owner, store.Key(a.ID)} }, visit)
}

// InOrder returns up to limit accounts, sorted by the key of their usernames, from
// behind a key.
func (t *accounts) InOrder(tx store.Tx, after string, limit int) (found []Account, more bool, err error) {
	var behind []string
	if after != "" {
		behind = []string{after}
	}
	return t.listBy(tx, "name", nil, behind, limit)
}

// CredentialKind is a way to prove an identity.
type CredentialKind string

// The kinds of credentials.
const (
	CredentialPassword CredentialKind = "password" // the id is the account
	CredentialPasskey  CredentialKind = "passkey"  // the id is the hash of the authenticator's
	CredentialRecovery CredentialKind = "recovery" // the id is the hash of the code
	CredentialOIDC     CredentialKind = "oidc"     // the id is the hash of store.Key(issuer, subject)
	// CredentialEmail finds an account for single sign-on where a setting says so, and
	// nobody signs in with it. The id is the hash of the folded address.
	CredentialEmail CredentialKind = "email"
)

// Credential is something that an account signs in with.
type Credential struct {
	Kind    CredentialKind  `json:"kind"`
	ID      string          `json:"id"` // unique in the kind
	Account string          `json:"account"`
	Name    string          `json:"name,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"` // belongs to the kind; never a secret in the clear
	Created int64           `json:"created"`
	Used    int64           `json:"used,omitempty"`
}

// ProviderIdentity is the data of a credential of kind CredentialOIDC.
type ProviderIdentity struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
	Claim   string `json:"claim"` // that the subject comes from
	// Made is set if the account was made by the provider.
	Made bool `json:"made,omitempty"`
	// Given is the role that a group gave to the account, and Before the one that it
	// had. Both are 0 if no group gave any.
	Given  kaban.Role `json:"given,omitempty"`
	Before kaban.Role `json:"before,omitempty"`
	// Email is the id of the account's credential of the kind email.
	Email string `json:"email,omitempty"`
}

// Identity returns the data of a credential of kind CredentialOIDC.
func (c *Credential) Identity() (who ProviderIdentity, err error) {
	if err := json.Unmarshal(c.Data, &who); err != nil {
		return who, fmt.Errorf("%w: an identity: %w", store.ErrDamaged, err)
	}
	return who, nil
}

// SetIdentity replaces the data of a credential of kind CredentialOIDC.
func (c *Credential) SetIdentity(who ProviderIdentity) (err error) {
	if c.Data, err = json.Marshal(who); err != nil {
		return fmt.Errorf("encode an identity: %w", err)
	}
	return nil
}

// Credentials has all credentials by kind and id.
var Credentials = credentials{Table[Credential]{
	name: "credential",
	key:  func(c *Credential) []string { return []string{string(c.Kind), c.ID} },
	indexes: []index[Credential]{
		{"account", false, func(c *Credential) [][]string { return [][]string{{c.Account, string(c.Kind)}} }},
	},
}}

type credentials struct{ Table[Credential] }

// Of returns all credentials of an account, up to a limit. An empty kind is all
// kinds.
func (t *credentials) Of(tx store.Tx, account string, kind CredentialKind, limit int) (found []Credential, more bool, err error) {
	prefix := []string{account}
	if kind != "" {
		prefix = append(prefix, string(kind))
	}
	return t.listBy(tx, "account", prefix, nil, limit)
}

// SecretKind is what a secret is for.
type SecretKind string

// The kinds of secrets.
const (
	SecretDevice SecretKind = "device" // one sign-in of a person
	SecretToken  SecretKind = "token"  // of a program
)

// Secret is what a connection or a request proves an account with. Only its hash
// is kept.
type Secret struct {
	Hash    string     `json:"hash"` // SHA-256, in hexadecimal
	ID      string     `json:"id"`   // names it to people
	Account string     `json:"account"`
	Kind    SecretKind `json:"kind"`
	Name    string     `json:"name"`
	Created int64      `json:"created"`
	Expires int64      `json:"expires,omitempty"`
	Used    int64      `json:"used,omitempty"`    // to the hour
	Address string     `json:"address,omitempty"` // of the last use
	// Fresh is when the person last proved themselves with more than this secret.
	Fresh int64 `json:"fresh,omitempty"`
	// Issuer is the OpenID provider that the sign-in depends on.
	Issuer   string   `json:"issuer,omitempty"`
	Rooms    []string `json:"rooms,omitempty"` // keys; the token works in no other room
	ReadOnly bool     `json:"read_only,omitempty"`
}

// Secrets has all secrets by hash.
var Secrets = secrets{Table[Secret]{
	name: "secret",
	key:  func(s *Secret) []string { return []string{s.Hash} },
	indexes: []index[Secret]{
		{"id", true, func(s *Secret) [][]string { return [][]string{{s.ID}} }},
		{"account", false, func(s *Secret) [][]string { return [][]string{{s.Account, string(s.Kind)}} }},
	},
}}

type secrets struct{ Table[Secret] }

// WithID returns the secret with an id.
func (t *secrets) WithID(tx store.Tx, id string) (Secret, error) { return t.find(tx, "id", id) }

// WithIDs returns the secrets with some ids, in their order: the zero value where there is none, or one that is
// damaged.
func (t *secrets) WithIDs(tx store.Tx, ids []string) ([]Secret, error) {
	return t.readableBy(tx, "id", keysOf(ids))
}

// keysOf returns keys of one part each.
func keysOf(parts []string) [][]string {
	keys := make([][]string, len(parts))
	for i := range parts {
		keys[i] = parts[i : i+1]
	}
	return keys
}

// Of returns up to limit secrets of an account. An empty kind is all kinds.
func (t *secrets) Of(tx store.Tx, account string, kind SecretKind, limit int) (found []Secret, more bool, err error) {
	prefix := []string{account}
	if kind != "" {
		prefix = append(prefix, string(kind))
	}
	return t.listBy(tx, "account", prefix, nil, limit)
}

// Ticket is something short-lived that is used once: a device that waits for its
// approval, a challenge, the state of a sign-in at a provider.
type Ticket struct {
	Hash    string          `json:"hash"` // SHA-256 of what its holder shows
	Kind    string          `json:"kind"`
	Account string          `json:"account,omitempty"`
	Code    string          `json:"code,omitempty"` // what a person types; unique in the kind
	Data    json.RawMessage `json:"data,omitempty"`
	Expires int64           `json:"expires"`
	Tries   int             `json:"tries,omitempty"`
}

// Tickets has all tickets by hash.
var Tickets = tickets{Table[Ticket]{
	name: "ticket",
	key:  func(t *Ticket) []string { return []string{t.Hash} },
	indexes: []index[Ticket]{
		{"code", true, func(t *Ticket) [][]string {
			if t.Code == "" {
				return nil
			}
			return [][]string{{t.Kind, t.Code}}
		}},
		{"expires", false, func(t *Ticket) [][]string { return [][]string{{stamp(t.Expires)}} }},
		{"account", false, func(t *Ticket) [][]string { return oneOf(t.Account) }},
	},
}}

type tickets struct{ Table[Ticket] }

// IsLocal reports whether the document with a key is of no use on another server: that of a
// ticket, which ends with a restart, too, of a clock, or what nodes have in common (Common), do, hold
// and tell each other.
func IsLocal(key string) bool {
	table, _, _ := strings.Cut(key, "/")
	table, _, _ = strings.Cut(table, ".")
	switch table {
	case Tickets.name, Clocks.name, Nodes.name, Jobs.name, Visits.name, NewsTable, cluster:
		return true
	}
	return false
}

// WithCode returns the ticket of a kind with a code.
func (t *tickets) WithCode(tx store.Tx, kind, code string) (Ticket, error) {
	return t.find(tx, "code", kind, code)
}

// For returns up to limit tickets that are bound to an account.
func (t *tickets) For(tx store.Tx, account string, limit int) (found []Ticket, more bool, err error) {
	return t.listBy(tx, "account", []string{account}, nil, limit)
}

// Expire removes up to limit tickets that have expired, and returns how many.
func (t *tickets) Expire(tx store.Tx, now int64, limit int) (int, error) {
	found, _, err := t.listBy(tx, "expires", nil, nil, limit)
	if err != nil {
		return 0, err
	}
	n := 0
	for i := range found {
		if found[i].Expires > now {
			break
		}
		if err := t.Delete(tx, found[i].Hash); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// stamp returns a time as text that sorts as the time does.
func stamp(ms int64) string {
	s := strconv.FormatInt(max(ms, 0), 10)
	return "0000000000000000"[min(len(s), 16):] + s
}

// Invite is a link that makes an account, or that lets somebody into one.
type Invite struct {
	Hash string `json:"hash"` // SHA-256 of the token in the link
	ID   string `json:"id"`   // names it to people
	// Account is the account that the link signs in to, once. Empty if it makes
	// one.
	Account string     `json:"account,omitempty"`
	Role    kaban.Role `json:"role,omitempty"`
	Rooms   []string   `json:"rooms,omitempty"` // names
	Uses    int        `json:"uses"`            // left
	Expires int64      `json:"expires"`
	Created int64      `json:"created"`
	Creator string     `json:"creator,omitempty"` // an account; empty is the operator
}

// Invites has all invites by hash.
var Invites = invites{Table[Invite]{
	name: "invite",
	key:  func(i *Invite) []string { return []string{i.Hash} },
	indexes: []index[Invite]{
		{"id", true, func(i *Invite) [][]string { return [][]string{{i.ID}} }},
		{"account", false, func(i *Invite) [][]string { return oneOf(i.Account) }},
		{"creator", false, func(i *Invite) [][]string {
			if i.Creator == "" {
				return nil
			}
			return [][]string{{i.Creator, i.Account}}
		}},
	},
}}

type invites struct{ Table[Invite] }

// WithID returns the invite with an id.
func (t *invites) WithID(tx store.Tx, id string) (Invite, error) { return t.find(tx, "id", id) }

// For returns up to limit links into an account.
func (t *invites) For(tx store.Tx, account string, limit int) (found []Invite, more bool, err error) {
	return t.listBy(tx, "account", []string{account}, nil, limit)
}

// By returns up to limit invites and links into accounts that an account has made, the
// invites first.
func (t *invites) By(tx store.Tx, creator string, limit int) (found []Invite, more bool, err error) {
	return t.listBy(tx, "creator", []string{creator}, nil, limit)
}

// InvitesBy is By without the links.
func (t *invites) InvitesBy(tx store.Tx, creator string, limit int) (found []Invite, more bool, err error) {
	return t.listBy(tx, "creator", []string{creator, ""}, nil, limit)
}

// Block is an account that another one does not want to hear from.
type Block struct {
	Account string `json:"account"`
	Blocked string `json:"blocked"`
	Since   int64  `json:"since"`
}

// Blocks has all blocks by both accounts.
var Blocks = Table[Block]{
	name: "block",
	key:  func(b *Block) []string { return []string{b.Account, b.Blocked} },
}

// Link attributes the entries of a visitor to an account.
type Link struct {
	Visitor string `json:"visitor"` // the id of the identity
	Account string `json:"account"`
	Since   int64  `json:"since"`
}

// Links has all links by visitor.
var Links = links{Table[Link]{
	name:    "link",
	key:     func(l *Link) []string { return []string{l.Visitor} },
	indexes: []index[Link]{{"account", false, func(l *Link) [][]string { return oneOf(l.Account) }}},
}}

type links struct{ Table[Link] }

// Of returns up to limit visitors that an account was.
func (t *links) Of(tx store.Tx, account string, limit int) (found []Link, more bool, err error) {
	return t.listBy(tx, "account", []string{account}, nil, limit)
}

package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"kaban"
	"kaban/internal/limit"
	"kaban/internal/people"
	"kaban/internal/store"

	"golang.org/x/crypto/argon2"
)

// Argon2id is the type of argon2.IDKey, with the memory in KiB.
type Argon2id func(password, salt []byte, passes, memory uint32, lanes uint8, length uint32) []byte

// Options configure a Service. The zero value is fine.
type Options struct {
	// Now returns the time of day, from which all stored times come. Default:
	// time.Now.
	Now func() time.Time
	// Elapsed returns the time since some moment, for limits within this process.
	// It must never go back. Default: the monotonic clock.
	Elapsed func() time.Duration
	// Log gets failures that concern no caller. Default: slog.Default.
	Log *slog.Logger
	// Argon2id computes a key like argon2.IDKey, where it holds up messages less. It may
	// be called as often at once as Hashes says. Default: argon2.IDKey.
	Argon2id Argon2id
	// Hashes is how many passwords are hashed at once, 19 MiB each. Default: one less
	// than GOMAXPROCS, so that messages are not held up by hashes in this process.
	Hashes int
	// SignIns slows down guessing, whatever the front end. Default: nothing does.
	SignIns *limit.SignIns
	// Exempt reports whether it does not for an address. Default: for none.
	Exempt func(netip.Addr) bool
	// OnRevoked is called after a transaction that made a secret useless, before
	// the call that caused it returns. An empty id stands for all secrets of the
	// account. It must not block or call the Service.
	OnRevoked func(account, secretID string)
	// OnChanged is called, under the same terms, after an account was made, after its
	// role, status or name changed, or the expiry of its devices, or the owner of a bot.
	// It may take as long as entries in the logs of rooms: there may be tasks for the
	// account (people.Tasks).
	OnChanged func(account string)
	// OnNotifications is called, under the same terms, after an account has set what it wants to
	// be notified of.
	OnNotifications func(account string)
	// OnSubscribed is called, under the same terms, after a browser of an account was
	// subscribed to pushes, and OnUnsubscribed after a subscription has ended; not after DropPush.
	OnSubscribed   func(account string)
	OnUnsubscribed func(account, subscription string)
	// OnSettings is called, under the same terms, after a setting changed.
	OnSettings func(key string)
}

// Service decides who somebody is. All methods are safe for concurrent use. Whatever
// changes something does it in one transaction, together with its row of the audit.
type Service struct {
	documents store.Documents
	options   Options
	hasher    *hasher
	failures  failures
	guesses   guesses
	polls     polls
	cursors   cursors // of Maintain
	leaps     leaps   // of Maintain
	signIns   signIns
	former    atomic.Pointer[formerHooks] // that were looked for last

	mu       sync.Mutex
	touching map[string]bool // hashes of secrets whose use is being stored
}

// New returns a Service on the documents of a store.
func New(documents store.Documents, options Options) *Service {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.Elapsed == nil {
		start := time.Now()
		options.Elapsed = func() time.Duration { return time.Since(start) }
	}
	if options.Log == nil {
		options.Log = slog.Default()
	}
	if options.Argon2id == nil {
		options.Argon2id = argon2.IDKey
	}
	return &Service{
		documents: documents,
		options:   options,
		hasher:    newHasher(options.Hashes, options.Argon2id),
		touching:  make(map[string]bool),
	}
}

// now returns the time that is stored: milliseconds since 1970 UTC.
func (s *Service) now() int64 { return s.options.Now().UnixMilli() }

// Actor is whoever does something. The zero value may do nothing.
type Actor struct {
	Principal Principal
	// Operator is set for a command in the data directory. It acts with the rights
	// of an owner.
	Operator bool
	Address  string // without a port; empty if there is none
}

// Operator returns the actor of commands in the data directory.
func Operator() Actor { return Actor{Operator: true} }

// As returns a principal as an actor.
func (p Principal) As(address string) Actor { return Actor{Principal: p, Address: address} }

// change is a transaction in progress. It collects what happens after its commit.
type change struct {
	store.Tx
	service *Service
	by      Actor
	now     int64
	rows    int // of the audit
	after   []func()
	altered []string // accounts that changed announces
}

// errUnchanged ends a transaction that has nothing to change, so it writes no row of the audit.
// update returns nil then, after the effects.
var errUnchanged = errors.New("nothing to change")

// update runs a function in a transaction. The function may run more than once. It
// must write a row of the audit, or return errUnchanged.
func (s *Service) update(ctx context.Context, by Actor, run func(*change) error) error {
	var done *change
	err := s.documents.Update(ctx, func(tx store.Tx) error {
		done = &change{Tx: tx, service: s, by: by, now: s.now()}
		if err := run(done); err != nil {
			return err
		}
		if done.rows == 0 {
			return errors.New("a change without a row of the audit")
		}
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return err
	}
	for _, effect := range done.after {
		effect()
	}
	return nil
}

// revoked announces, after the commit, that a secret is useless; an empty id is all
// secrets of the account.
func (c *change) revoked(account, secretID string) {
	if hook := c.service.options.OnRevoked; hook != nil {
		c.after = append(c.after, func() { hook(account, secretID) })
	}
}

// changed announces, after the commit and once, that an account is new or different.
func (c *change) changed(account string) {
	if hook := c.service.options.OnChanged; hook != nil && !slices.Contains(c.altered, account) {
		c.altered = append(c.altered, account)
		c.after = append(c.after, func() { hook(account) })
	}
}

// audit adds a row about what the actor did.
func (c *change) audit(action people.AuditAction, subject, detail string) error {
	row := people.Audit{
		Time: c.now, ID: newID(), Action: action.String(), Subject: subject, Detail: detail,
		Address: c.by.Address,
	}
	if a := &c.by.Principal.Account; !c.by.Operator && a.ID != "" {
		identity, err := a.Identity()
		if err != nil {
			return err
		}
		row.Actor, row.Name = identity.ID(), a.Username
	}
	c.rows++
	if err := people.Audits.Put(c.Tx, &row); err != nil {
		return fmt.Errorf("audit %s: %w", action, err)
	}
	return nil
}

// account returns an account, or ErrNotFound.
func (c *change) account(id string) (people.Account, error) {
	return found(people.Accounts.Get(c.Tx, id))
}

// Find returns the account with a name, whatever its status, or ErrNotFound. A bot has
// the role that it acts with. It asks nobody whether the caller may know.
func (s *Service) Find(ctx context.Context, username string) (a people.Account, err error) {
	name, err := kaban.ParseUsername(username)
	if err != nil {
		return a, NoAccount(username)
	}
	err = s.documents.View(ctx, func(tx store.Tx) (err error) {
		if a, err = people.Accounts.Named(tx, name); err == nil {
			a, err = withRole(tx, a)
		} else if errors.Is(err, people.ErrNotFound) {
			err = NoAccount(username)
		}
		return err
	})
	return a, err
}

// found turns the error of a table that has no such document into ErrNotFound.
func found[T any](v T, err error) (T, error) {
	if errors.Is(err, people.ErrNotFound) {
		var none T
		return none, ErrNotFound
	}
	return v, err
}

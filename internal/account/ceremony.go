package account

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"kaban/internal/people"
	"kaban/internal/store"
)

// A ceremony is a sign-in or a registration that takes two requests, with a browser,
// an authenticator or a provider in between. The first request leaves a ticket, and
// the second one uses it up, whether it succeeds or not.
const (
	// ceremonyLife is how long the second request may take.
	ceremonyLife = 5 * time.Minute
	// maxSkew is by how much clocks may differ: those of two machines, or that of one
	// machine before and after it was set.
	maxSkew = 2 * time.Minute
	// maxExpired is how many expired tickets are removed when a ceremony begins. It is
	// more than one, so the table shrinks.
	maxExpired = 100
	// minBrowser is the minimum length of the secret of a browser, in bytes.
	minBrowser = 16
	// maxShown is the maximum length of a challenge or a state, in bytes.
	maxShown = 512
)

// browserPrefix begins the secret that binds a ceremony to a browser.
const browserPrefix = "kaban_browser_"

// The kinds of tickets of ceremonies.
const (
	ticketRegister = "passkey.register"
	ticketNew      = "passkey.new"
	ticketSignIn   = "passkey.signin"
	ticketProvider = "oidc"
)

// ErrCeremony means that a sign-in or a registration cannot be finished: it was begun
// more than five minutes ago, in another browser, or never, or it was finished before.
// Only a new one helps.
var ErrCeremony = errors.New("the sign-in has expired or was begun elsewhere; begin again")

// ceremony is what a ticket remembers.
type ceremony struct {
	Browser string          `json:"browser"` // the hash of its secret
	Begun   int64           `json:"begun"`
	Details json.RawMessage `json:"details,omitempty"`
}

// NewBrowser returns a secret for a cookie that binds ceremonies to a browser. The
// cookie must be out of reach of scripts and of other sites' requests that change
// something (HttpOnly, SameSite=Lax), and lives as long as the browser runs.
func NewBrowser() string { return newSecret(browserPrefix) }

// beginCeremony adds a ticket. shown is what the second request shows, and account is
// the account that the ceremony is for, if it is known yet.
func beginCeremony(tx store.Tx, kind, shown, browser, account string, now time.Time, details any) error {
	if len(browser) < minBrowser {
		return fmt.Errorf("%s: the browser has no secret", kind)
	}
	text, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	data, err := json.Marshal(ceremony{Browser: hashOf(browser), Begun: now.UnixMilli(), Details: text})
	if err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	if _, err := people.Tickets.Expire(tx, now.UnixMilli(), maxExpired); err != nil {
		return err
	}
	return people.Tickets.Put(tx, &people.Ticket{
		Hash: hashOf(shown), Kind: kind, Account: account, Data: data,
		Expires: now.Add(ceremonyLife).UnixMilli(),
	})
}

// finishCeremony removes the ticket of a ceremony, fills details and returns the
// account. The removal is durable before anything is verified, so nothing can be tried
// twice. Without a valid ticket the error is ErrCeremony.
func finishCeremony(ctx context.Context, docs store.Documents, kind, shown, browser string, now time.Time, details any) (account string, err error) {
	if shown == "" || len(shown) > maxShown {
		return "", ErrCeremony
	}
	var ticket people.Ticket
	err = docs.Update(ctx, func(tx store.Tx) error {
		var err error
		if ticket, err = people.Tickets.Get(tx, hashOf(shown)); err != nil {
			return err
		}
		if ticket.Kind != kind {
			return people.ErrNotFound
		}
		return people.Tickets.Delete(tx, ticket.Hash)
	})
	switch {
	case errors.Is(err, people.ErrNotFound):
		return "", ErrCeremony
	case err != nil:
		return "", err
	}
	var c ceremony
	if err := json.Unmarshal(ticket.Data, &c); err != nil {
		return "", fmt.Errorf("%w: a ticket of %s: %w", store.ErrDamaged, kind, err)
	}
	begun := time.UnixMilli(c.Begun)
	switch {
	case now.UnixMilli() >= ticket.Expires,
		begun.After(now.Add(maxSkew)), // the clock was set back, so the ticket may be of any age
		subtle.ConstantTimeCompare([]byte(c.Browser), []byte(hashOf(browser))) != 1:
		return "", ErrCeremony
	}
	if err := json.Unmarshal(c.Details, details); err != nil {
		return "", fmt.Errorf("%w: a ticket of %s: %w", store.ErrDamaged, kind, err)
	}
	return ticket.Account, nil
}

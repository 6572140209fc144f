package account

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"kaban/internal/access"
	"kaban/internal/limit"
	"kaban/internal/people"
	"kaban/internal/store"
)

// grantKind is the kind of the tickets of devices that wait for their approval.
const grantKind = "grant"

// Parameters of the device grant; see RFC 8628.
const (
	GrantLifetime = 10 * time.Minute
	GrantInterval = 5 * time.Second // between two polls; a poll too early adds as much
	maxGrants     = 1000            // begun within GrantLifetime; more push out others
	maxGrantsFrom = 50              // of them from one address; IPv6 by /64
	maxGuesses    = 5               // wrong codes of an account within GrantLifetime
	maxGuessers   = 10_000          // accounts whose guesses are remembered
)

// codeLetters are the consonants of codes, which spell no words: RFC 8628, section
// 6.1. Eight of them are 2.5e10 codes.
const codeLetters = "BCDFGHJKLMNPQRSTVWXZ"

const codeLength = 8

// grantPrefix is that of the secret with which a device polls.
const grantPrefix = "kaban_grant_"

// grantData is the Data of such a ticket.
type grantData struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Begun   int64  `json:"begun"`
	State   string `json:"state,omitempty"` // empty is undecided
}

const (
	grantApproved = "approved"
	grantDenied   = "denied"
)

// Grant is a device grant that has begun.
type Grant struct {
	Secret   string        // with which the device polls
	Code     string        // for the person to type, as "BCDF-GHJK"
	Lifetime time.Duration // until it expires
	Interval time.Duration // between two polls
}

// polls remembers when devices polled. A restart forgets it, which is harmless.
type polls struct {
	mu      sync.Mutex
	devices map[string]poll // by the hash of the secret
}

type poll struct {
	address  limit.Key
	next     time.Duration // of Options.Elapsed: not before
	interval time.Duration
	expires  time.Duration
}

// guesses counts the wrong codes of accounts.
type guesses struct {
	mu       sync.Mutex
	accounts map[string]guess
}

type guess struct {
	wrong int
	until time.Duration // of Options.Elapsed: the count is void then
}

// BeginGrant starts the sign-in of a device that cannot ask for a password. Errors are
// ErrUnclaimed, and a *WaitError if too many began at its address. If too many began
// altogether, the oldest one of the most crowded address ends.
func (s *Service) BeginGrant(ctx context.Context, device Device) (Grant, error) {
	grant := Grant{Secret: newSecret(grantPrefix), Lifetime: GrantLifetime, Interval: GrantInterval}
	hash := hashOf(grant.Secret)
	evicted, err := s.polls.begin(hash, s.grantKey(device.Address), s.options.Elapsed())
	if err != nil {
		return Grant{}, fmt.Errorf("begin a sign-in: %w", err)
	}
	code := newCode()
	data := grantData{Name: deviceName(device.Name), Address: device.Address}
	err = s.documents.Update(ctx, func(tx store.Tx) error {
		if has, err := people.Accounts.HasOwner(tx); err != nil || !has {
			return errors.Join(err, ErrUnclaimed)
		}
		if evicted != "" {
			if err := people.Tickets.Delete(tx, evicted); err != nil {
				return err
			}
		}
		data.Begun = s.now()
		encoded, err := json.Marshal(data)
		if err != nil {
			return err
		}
		return people.Tickets.Put(tx, &people.Ticket{
			Hash: hash, Kind: grantKind, Code: code, Data: encoded, Expires: data.Begun + GrantLifetime.Milliseconds(),
		})
	})
	if err != nil { // two grants with one code are vanishingly rare: the device tries again
		return Grant{}, fmt.Errorf("begin a sign-in: %w", err)
	}
	grant.Code = code[:codeLength/2] + "-" + code[codeLength/2:]
	return grant, nil
}

// newCode returns a random code.
func newCode() string {
	code := make([]byte, 0, codeLength)
	for len(code) < codeLength {
		var random [16]byte
		rand.Read(random[:]) // never fails
		for _, b := range random {
			if limit := byte(256 / len(codeLetters) * len(codeLetters)); b < limit && len(code) < codeLength {
				code = append(code, codeLetters[int(b)%len(codeLetters)])
			}
		}
	}
	return string(code)
}

// parseCode returns the code that a person typed.
func parseCode(typed string) string {
	if len(typed) > 100 {
		return ""
	}
	return strings.Map(func(c rune) rune {
		if strings.ContainsRune(codeLetters, c) {
			return c
		}
		return -1
	}, strings.ToUpper(typed))
}

// grantKey returns the key of an address for maxGrantsFrom; 0 is of those without a
// limit.
func (s *Service) grantKey(address string) limit.Key {
	addr, err := netip.ParseAddr(address)
	if err != nil || s.options.Exempt != nil && s.options.Exempt(addr) {
		return 0
	}
	return limit.AddressKey(addr)
}

// begin registers a grant. It returns the one that ends for it, if any, or a *WaitError
// if there are too many from the address.
func (p *polls) begin(hash string, address limit.Key, now time.Duration) (evicted string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.devices == nil {
		p.devices = make(map[string]poll)
	}
	from := make(map[limit.Key]int)
	oldest := make(map[limit.Key]string)
	for h, d := range p.devices {
		if now >= d.expires {
			delete(p.devices, h)
			continue
		}
		if old, some := p.devices[oldest[d.address]]; !some || d.expires < old.expires {
			oldest[d.address] = h
		}
		from[d.address]++
	}
	if address != 0 && from[address] >= maxGrantsFrom {
		return "", &WaitError{p.devices[oldest[address]].expires - now}
	}
	if len(p.devices) >= maxGrants {
		crowd, since := 0, time.Duration(0)
		for a, h := range oldest {
			if d := p.devices[h]; from[a] > crowd || from[a] == crowd && d.expires < since {
				evicted, crowd, since = h, from[a], d.expires
			}
		}
		delete(p.devices, evicted)
	}
	p.devices[hash] = poll{address: address, interval: GrantInterval, expires: now + GrantLifetime}
	return evicted, nil
}

// early reports whether a device polls too early, which makes its interval longer.
func (p *polls) early(hash string, now time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d, known := p.devices[hash]
	if !known {
		return false
	}
	early := now < d.next
	if early {
		d.interval += GrantInterval
	}
	d.next = now + d.interval
	p.devices[hash] = d
	return early
}

func (p *polls) end(hash string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.devices, hash)
}

// GrantInfo is what the person sees before approving.
type GrantInfo struct {
	Name, Address string // of the device
	Begun         int64  // Unix milliseconds
}

// Grant returns the grant with a code that somebody signed in has typed. Errors are
// ErrNotFound and, after five wrong codes, a *WaitError.
func (s *Service) Grant(ctx context.Context, by Actor, code string) (info GrantInfo, err error) {
	if err := s.mayGuess(by); err != nil {
		return info, err
	}
	err = s.view(ctx, by, func(c *change) error {
		if err := c.may(access.ReadDevices); err != nil {
			return err
		}
		_, data, err := c.grant(code)
		info = GrantInfo{data.Name, data.Address, data.Begun}
		return err
	})
	s.guessed(by, err)
	return info, err
}

// grant returns the undecided grant with a code.
func (c *change) grant(code string) (people.Ticket, grantData, error) {
	t, err := found(people.Tickets.WithCode(c.Tx, grantKind, parseCode(code)))
	if err != nil {
		return t, grantData{}, err
	}
	data, err := decodeGrant(&t)
	if err == nil && (data.State != "" || c.ticketOver(&t, GrantLifetime)) {
		err = ErrNotFound
	}
	return t, data, err
}

func decodeGrant(t *people.Ticket) (data grantData, err error) {
	if err = json.Unmarshal(t.Data, &data); err != nil {
		err = fmt.Errorf("%w: a sign-in that waits: %w", store.ErrDamaged, err)
	}
	return data, err
}

// ticketOver reports whether a ticket has expired. One that would live longer than
// its kind is from a time before the clock was set back.
func (c *change) ticketOver(t *people.Ticket, lifetime time.Duration) bool {
	return c.now >= t.Expires || t.Expires-c.now > lifetime.Milliseconds()
}

// DecideGrant approves or denies the sign-in of a device. Approving makes it a device
// of the actor and needs a fresh sign-in. Errors are those of Grant, and ErrNotFresh.
func (s *Service) DecideGrant(ctx context.Context, by Actor, code string, approve bool) error {
	decision := access.TendCredentials
	if approve {
		decision = access.ChangeCredentials
	}
	if err := s.view(ctx, by, func(c *change) error { return c.mayOwn(decision) }); err != nil {
		return err
	}
	if err := s.mayGuess(by); err != nil {
		return err
	}
	err := s.update(ctx, by, func(c *change) error {
		if err := c.mayOwn(decision); err != nil {
			return err
		}
		t, data, err := c.grant(code)
		if err != nil {
			return err
		}
		action := people.AuditGrantDeny
		data.State = grantDenied
		if approve {
			action = people.AuditGrantApprove
			data.State, t.Account = grantApproved, c.by.Principal.Account.ID
		}
		if t.Data, err = json.Marshal(data); err != nil {
			return err
		}
		if err := people.Tickets.Put(c.Tx, &t); err != nil {
			return err
		}
		return c.audit(action, data.Name, data.Address)
	})
	s.guessed(by, err)
	return err
}

// PollGrant signs in a device once somebody has approved it; the secret is handed
// out once. Errors are ErrPending, ErrSlowDown, ErrDenied, ErrExpired and those of
// every sign-in.
func (s *Service) PollGrant(ctx context.Context, secret string) (Session, error) {
	if !looksLike(secret, grantPrefix) {
		return Session{}, ErrExpired
	}
	hash := hashOf(secret)
	if s.polls.early(hash, s.options.Elapsed()) {
		return Session{}, ErrSlowDown
	}
	var data grantData
	err := s.view(ctx, Actor{}, func(c *change) (err error) {
		_, data, err = c.decided(hash)
		return err
	})
	if err != nil {
		if errors.Is(err, ErrDenied) || errors.Is(err, ErrExpired) {
			s.polls.end(hash)
		}
		return Session{}, err
	}
	session, err := s.signInCounted(ctx, WayGrant, Device{Name: data.Name, Address: data.Address}, func(c *change) (proof, error) {
		t, _, err := c.decided(hash)
		if err != nil {
			return proof{}, err
		}
		a, err := people.Accounts.Get(c.Tx, t.Account)
		if err != nil {
			return proof{}, authFailed(err)
		}
		return proof{account: a}, people.Tickets.Delete(c.Tx, hash)
	})
	if err == nil {
		s.polls.end(hash)
	}
	return session, err
}

// decided returns a grant that has been approved.
func (c *change) decided(hash string) (people.Ticket, grantData, error) {
	t, err := people.Tickets.Get(c.Tx, hash)
	switch {
	case errors.Is(err, people.ErrNotFound):
		return t, grantData{}, ErrExpired
	case err != nil:
		return t, grantData{}, err
	case t.Kind != grantKind || c.ticketOver(&t, GrantLifetime):
		return t, grantData{}, ErrExpired
	}
	data, err := decodeGrant(&t)
	switch {
	case err != nil:
	case data.State == grantDenied:
		err = ErrDenied
	case data.State != grantApproved:
		err = ErrPending
	}
	return t, data, err
}

// mayGuess returns a *WaitError if an account has typed too many wrong codes. Until
// guessed, the code counts as wrong, so guesses at the same time count as well.
func (s *Service) mayGuess(by Actor) error {
	now := s.options.Elapsed()
	s.guesses.mu.Lock()
	defer s.guesses.mu.Unlock()
	accounts := s.guesses.accounts
	if accounts == nil {
		accounts = make(map[string]guess)
		s.guesses.accounts = accounts
	}
	if len(accounts) >= maxGuessers {
		for id, g := range accounts {
			if now >= g.until {
				delete(accounts, id)
			}
		}
	}
	g := accounts[by.Principal.Account.ID]
	switch {
	case now >= g.until:
		g = guess{until: now + GrantLifetime}
	case g.wrong >= maxGuesses:
		return &WaitError{g.until - now}
	}
	g.wrong++
	accounts[by.Principal.Account.ID] = g
	return nil
}

// guessed takes the count of mayGuess back unless the code was wrong.
func (s *Service) guessed(by Actor, err error) {
	if errors.Is(err, ErrNotFound) {
		return
	}
	s.guesses.mu.Lock()
	defer s.guesses.mu.Unlock()
	if g, known := s.guesses.accounts[by.Principal.Account.ID]; known && g.wrong > 0 {
		g.wrong--
		s.guesses.accounts[by.Principal.Account.ID] = g
	}
}

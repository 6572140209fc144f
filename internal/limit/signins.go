package limit

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"
)

// How attempts to sign in with something that can be guessed are slowed down.
const (
	// An account from one address: five in a row, then after 1 s, 2 s, 4 s up to a
	// minute. That is 1,440 a day.
	pairFree     = 5
	pairEvery    = time.Minute
	pairFirst    = time.Second
	maxPairDelay = time.Minute
	// An address: beyond the configured number a minute after 6 s, 12 s up to 5 min.
	// At that delay the number a minute has become the number in 5 minutes.
	maxAddressDelay = 5 * time.Minute
	// An account from anywhere, where it has not signed in from before: beyond 30 in
	// a row and one a minute each address is asked to come back, after 1 s up to
	// 10 s, and is then let in.
	accountFree     = 30
	accountEvery    = time.Minute
	accountFirst    = time.Second
	maxAccountDelay = 10 * time.Second
	// forgetStrike is how long it takes to forget that the delay has doubled once.
	forgetStrike = 5 * time.Minute
	// knownFor is how long it is remembered at least that an account has signed in
	// from an address.
	knownFor = 30 * 24 * time.Hour
	// maxPlaces is how many places of an account are remembered, those used last. So
	// nobody makes a server forget others' by signing in at many, and whoever steals
	// their secrets has no more guesses than these places give.
	maxPlaces = 16
)

// placeKeys are where an account has signed in, the latest first; 0 is none.
type placeKeys [maxPlaces]Key

// SignIns slows down guessing of secrets without locking the right person out.
// There are three delays:
//
//   - of an account from one address, which grows quickly,
//   - of an address, whatever the accounts, which stops trying one password on many,
//   - of an account from any address, which is weak: it postpones the first attempt
//     from an address by some seconds, and never refuses the second. Guessing from
//     many addresses is so made slower, and the right person gets in from another.
//
// The last two are not for an account at an address from which it has signed in
// before, with any secret. So guesses from elsewhere concern nobody in their usual
// places. A stranger behind the same address shares the first delay with them, unless
// they show by a secret that they are at a place of their own, such as a browser, a terminal
// or a device that is signed in: see BeginAt.
//
// A device's secret or a token cannot be guessed. A server looks it up first, and
// lets the right one in whatever the delays. It calls Remember for the right one,
// and Begin without an account for a wrong one.
//
// An account is identified by what the caller was given, the folded username,
// whether there is such an account or not: the answers for both must not differ.
type SignIns struct {
	pairs, accounts *backoff
	addresses       atomic.Pointer[backoff] // nil: not limited
	known           table[struct{}]
	places          table[placeKeys] // by account
	clock           func() time.Duration
}

// NewSignIns returns a SignIns that lets an address fail so many times a minute; 0
// is any number of times.
func NewSignIns(perMinute int, clock func() time.Duration) *SignIns {
	s := &SignIns{
		pairs:    newBackoff(growth{pairFree, pairEvery, pairFirst, maxPairDelay, forgetStrike}, clock),
		accounts: newBackoff(growth{accountFree, accountEvery, accountFirst, maxAccountDelay, forgetStrike}, clock),
		clock:    clock,
	}
	s.Set(perMinute)
	s.known.init(clock, knownFor)
	s.places.init(clock, knownFor)
	return s
}

// Set changes how many times a minute an address may fail; 0 is any number of times.
// The failures of all addresses are forgotten, unless it is the same number.
func (s *SignIns) Set(perMinute int) {
	old := s.addresses.Load()
	switch {
	case perMinute <= 0:
		s.addresses.Store(nil)
	case old == nil || old.free != perMinute:
		every := max(time.Minute/time.Duration(perMinute), 1)
		s.addresses.Store(newBackoff(growth{perMinute, every, every, max(maxAddressDelay, every), forgetStrike}, s.clock))
	}
}

// Attempt is one that was let in. It counts as failed until Succeed or Cancel, so
// that many at the same time do not slip through. Its methods may be called once.
// The zero Attempt is one that nobody counts.
type Attempt struct {
	of                     *SignIns
	addresses              *backoff // of its time; nil: not limited
	pair, address, account charge
	hadTicket, atPlace     bool
}

// Begin lets an attempt in, or returns how long to wait until the next. It must come
// before any work on the secret. The zero Addr is exempt. Without an account only
// the address counts.
func (s *SignIns) Begin(addr netip.Addr, account string) (a Attempt, wait time.Duration) {
	at, who := AddressKey(addr), NameKey(account)
	if at == 0 {
		return Attempt{}, 0
	}
	a.of = s
	if who != 0 {
		pair := pairKey(who, at)
		if s.knows(pair) {
			a.pair, wait = s.pairs.take(pair, 0)
			return a, wait
		}
		slow := s.accounts.slowness(who)
		if a.pair, wait = s.pairs.take(pair, slow); wait > 0 {
			return Attempt{}, wait
		}
		a.hadTicket = slow > 0
	}
	if a.addresses = s.addresses.Load(); a.addresses != nil {
		if a.address, wait = a.addresses.take(at, 0); wait > 0 {
			s.pairs.undo(a.pair, a.hadTicket)
			return Attempt{}, wait
		}
	}
	a.account = s.accounts.count(who)
	return a, 0
}

// BeginAt is Begin for a place that proves itself by a secret, such as the cookie of a
// browser, if the account has signed in there before. Only the guesses made there count:
// nobody else has the secret. Otherwise known is false, and Begin decides.
func (s *SignIns) BeginAt(place, account string) (a Attempt, wait time.Duration, known bool) {
	pair := placeKey(place, account)
	if pair == 0 || !s.knowsPlace(NameKey(account), pair) {
		return Attempt{}, 0, false
	}
	a.of, a.atPlace = s, true
	a.pair, wait = s.pairs.take(pair, 0)
	return a, wait, true
}

// RememberAt remembers that an account has signed in at a place, and forgets the one of
// its places used longest ago if there are too many.
func (s *SignIns) RememberAt(place, account string) {
	pair := placeKey(place, account)
	if pair == 0 {
		return
	}
	who := NameKey(account)
	shard := s.places.of(who)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.tickLocked()
	all := shard.atLocked(who)
	i := slices.Index(all[:], pair)
	if i < 0 {
		i = maxPlaces - 1
	}
	copy(all[1:i+1], all[:i])
	all[0] = pair
}

func (s *SignIns) knowsPlace(who, pair Key) bool {
	shard := s.places.of(who)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.tickLocked()
	for _, g := range []*generation[placeKeys]{&shard.young, &shard.older} {
		if all := g.find(who); all != nil {
			return slices.Contains(all[:], pair)
		}
	}
	return false
}

// placeKey returns the key of an account at a place that a secret proves; 0 if there is
// none.
func placeKey(place, account string) Key {
	at, who := NameKey(place), NameKey(account)
	if at == 0 || who == 0 {
		return 0
	}
	return pairKey(who, pairKey(at, at)) // not a key of an address
}

// Succeed ends an attempt with the right secret, and remembers the account at the
// address.
func (a *Attempt) Succeed() {
	if a.of == nil {
		return
	}
	if pair := a.pair.key; pair != 0 {
		a.of.pairs.reset(pair)
		if !a.atPlace {
			a.of.remember(pair)
		}
	}
	a.undoOthers()
}

// Cancel ends an attempt in which it was not found out whether the secret is right.
func (a *Attempt) Cancel() {
	if a.of == nil {
		return
	}
	a.of.pairs.undo(a.pair, a.hadTicket)
	a.undoOthers()
}

func (a *Attempt) undoOthers() {
	if a.addresses != nil {
		a.addresses.undo(a.address, false)
	}
	a.of.accounts.undo(a.account, false)
	*a = Attempt{}
}

// Remember remembers that an account has signed in from an address, with a secret
// that is not counted.
func (s *SignIns) Remember(addr netip.Addr, account string) {
	if at, who := AddressKey(addr), NameKey(account); at != 0 && who != 0 {
		s.remember(pairKey(who, at))
	}
}

func (s *SignIns) remember(pair Key) {
	shard := s.known.of(pair)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.tickLocked()
	shard.atLocked(pair)
}

func (s *SignIns) knows(pair Key) bool {
	shard := s.known.of(pair)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.tickLocked()
	return shard.hasLocked(pair)
}

package account

import (
	"errors"
	"net/netip"
	"strings"

	"kaban"
	"kaban/internal/limit"
	"kaban/internal/people"
)

// attempt is a sign-in with something that can be guessed.
type attempt struct{ limit.Attempt }

// begin lets an attempt begin, before any work on the secret. The error is a
// *WaitError. Names with and without an account are treated alike.
// place is a secret that only the right person may have there; see limit.SignIns.BeginAt.
func (s *Service) begin(username, address, place string) (attempt, error) {
	at, name := s.counted(address), guessedName(username)
	if s.options.SignIns == nil || !at.IsValid() {
		return attempt{}, nil
	}
	let, wait, known := s.options.SignIns.BeginAt(place, name)
	if !known {
		let, wait = s.options.SignIns.Begin(at, name)
	}
	if wait > 0 {
		return attempt{}, &WaitError{wait}
	}
	return attempt{let}, nil
}

// end counts the outcome of an attempt. What is neither right nor wrong, such as a
// server that is too busy, does not count.
func (a *attempt) end(err error) {
	switch {
	case err == nil, errors.Is(err, ErrSuspended):
		a.Succeed()
	case !errors.Is(err, ErrAuthFailed):
		a.Cancel()
	}
}

// remember notes that an account has signed in from an address, and at a place.
func (s *Service) remember(p *Principal, device Device) {
	if s.options.SignIns != nil {
		s.options.SignIns.Remember(s.counted(device.Address), guessedName(p.Account.Username))
		s.options.SignIns.RememberAt(device.Place, guessedName(p.Account.Username))
	}
}

// RememberPlace notes where an account is that has signed in with the secret of a device:
// see Device.Place. A program is nowhere that a person signs in.
func (s *Service) RememberPlace(p *Principal, place string) {
	if s.options.SignIns != nil && p.Kind == people.SecretDevice {
		s.options.SignIns.RememberAt(place, guessedName(p.Account.Username))
	}
}

// countWrong counts a secret that nobody has. Whoever sends it learns nothing by it,
// so it is not refused sooner, but the address has one guess less.
func (s *Service) countWrong(address string) {
	if s.options.SignIns != nil {
		s.options.SignIns.Begin(s.counted(address), "")
	}
}

// counted returns the address that limits count; the zero Addr is exempt.
func (s *Service) counted(address string) netip.Addr {
	addr, err := netip.ParseAddr(address)
	if err != nil || s.options.Exempt != nil && s.options.Exempt(addr) {
		return netip.Addr{}
	}
	return addr
}

// maxGuessedName bounds the part of a name that no account can have that counts.
const maxGuessedName = 256

// guessedName returns what guesses at the secrets of a name are counted by.
func guessedName(username string) string {
	if name, err := kaban.ParseUsername(username); err == nil {
		return name.Key()
	}
	return "?" + strings.ToLower(username[:min(len(username), maxGuessedName)])
}

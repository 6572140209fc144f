package account

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"kaban/internal/people"
	"kaban/internal/store"
)

// UnavailableError says why passkeys cannot work, and how they can.
type UnavailableError struct{ Reason string }

func (e *UnavailableError) Error() string { return "passkeys are not available: " + e.Reason }

// OriginError means that a passkey was made for another address than the server has
// now, or that the page is open at another one.
type OriginError struct {
	Got  string // where the page is open, or the host that the passkey was made for
	Want string // of this server
}

func (e *OriginError) Error() string {
	return fmt.Sprintf("passkeys of this server work at %s, not at %.200q; open the page there, or sign in in another way and add a new passkey", e.Want, e.Got)
}

// Unwrap makes every OriginError an ErrPasskey.
func (e *OriginError) Unwrap() error { return ErrPasskey }

// relyingParty returns the id of the relying party, which is the host of the first
// origin that permits passkeys, and all origins in its scope. Web Authentication wants
// a secure context and a domain: https, or http on localhost, and no IP address.
func relyingParty(origins []string) (party string, usable []string, err error) {
	reason := "the server has no --origin; set it to the address of the page, such as https://chat.example.org"
	for _, origin := range origins {
		host, canonical, problem := passkeyHost(origin)
		switch {
		case problem != "":
			if party == "" {
				reason = problem
			}
		case party == "":
			party, usable = host, []string{canonical}
		case host == party || strings.HasSuffix(host, "."+party):
			usable = append(usable, canonical)
		}
	}
	if party == "" {
		return "", nil, &UnavailableError{reason}
	}
	return party, usable, nil
}

// passkeyHost returns the host of an origin and the origin as browsers write it, or why
// it does not permit passkeys.
func passkeyHost(origin string) (host, canonical, problem string) {
	u, err := url.Parse(strings.ToLower(origin))
	if err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		return "", "", fmt.Sprintf("%.100q is no origin such as https://chat.example.org", origin)
	}
	host = u.Hostname()
	local := host == "localhost" || strings.HasSuffix(host, ".localhost")
	_, notIP := netip.ParseAddr(host)
	switch {
	case notIP == nil:
		return "", "", fmt.Sprintf("browsers allow no passkeys at an IP address such as %s; use a name, or http://localhost on this machine", host)
	case u.Scheme == "http" && !local:
		return "", "", fmt.Sprintf("browsers allow passkeys over https only, and the origin is %.100s", origin)
	}
	port := u.Port()
	if (u.Scheme == "https" && port == "443") || (u.Scheme == "http" && port == "80") {
		port = ""
	}
	canonical = u.Scheme + "://" + host
	if port != "" {
		canonical += ":" + port
	}
	return host, canonical, ""
}

// checkOrigin returns an *OriginError unless a page of an origin may use passkeys. The
// library decides the same again; its error does not explain it.
func (p *Passkeys) checkOrigin(origin string) error {
	for _, o := range p.origins {
		if o == origin {
			return nil
		}
	}
	return &OriginError{Got: origin, Want: p.origins[0]}
}

// MovedError reports passkeys that stopped working because the server's address has
// changed. It is a warning for the start of a server.
type MovedError struct {
	Party string // the host that the server has now
	Was   string // a host that a passkey was made for
	Count int    // of passkeys; at most maxMoved are counted
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("%d passkeys were made for %s and do not work at %s; start with the old --origin, or have their owners sign in in another way and add new ones", e.Count, e.Was, e.Party)
}

// maxMoved is the maximum number of passkeys that CheckMoved reads.
const maxMoved = 1000

// CheckMoved returns a *MovedError if there are passkeys for another host, and how many are damaged.
func (p *Passkeys) CheckMoved(tx store.Tx) (damaged int, err error) {
	moved := MovedError{Party: p.party.Config.RPID}
	err = people.Credentials.Some(tx, []string{string(people.CredentialPasskey)}, maxMoved, func(_ []string, c *people.Credential) {
		if c == nil {
			damaged++
		} else if data, err := passkeyOf(c); err != nil {
			damaged++
		} else if data.Party != moved.Party {
			moved.Count++
			moved.Was = data.Party
		}
	})
	if err == nil && moved.Count > 0 {
		err = &moved
	}
	return damaged, err
}

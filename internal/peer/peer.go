// Package peer finds out who is at the other end of a connection: which address,
// whether the way there is encrypted, and whether it is on this machine.
//
// A connection through a proxy comes from the proxy. Who is behind it, the proxy
// says in a preamble (the PROXY protocol) or in headers of HTTP. Anybody can say
// such things, so only peers in --proxy are believed; anybody else that says them is
// refused with a text that says what to set, because the alternatives are wrong:
// believing would let everybody choose an address, and ignoring would make everybody
// behind a forgotten proxy one address.
//
// The package opens nothing and reads nothing. All of its functions are pure and
// safe for concurrent use. They take a time that is linear in their input, of which
// they bound every part that they keep.
package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxProxies is the greatest number of networks in --proxy.
const maxProxies = 256

var (
	// ErrUntrusted says that a peer outside --proxy spoke for somebody else or came
	// where only proxies may.
	ErrUntrusted = errors.New("not a proxy of this server")
	// ErrMalformed says that a proxy said something that means nothing.
	ErrMalformed = errors.New("malformed")
)

// refusal is an error with a text for the operator and the peer, and a kind.
type refusal struct {
	text string
	kind error // ErrUntrusted, ErrMalformed
}

// Error implements error.
func (r *refusal) Error() string { return r.text }

// Is implements the interface of errors.Is.
func (r *refusal) Is(target error) bool { return target == r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{text: fmt.Sprintf(format, args...), kind: kind}
}

// Peer is who is at the other end of a connection.
type Peer struct {
	// Addr is the address of the client, as far as it is known; without a zone, and
	// IPv4-mapped IPv6 as IPv4.
	Addr netip.Addr
	// Encrypted reports whether nobody on the way from the client can read along.
	Encrypted bool
	// Loopback reports whether the client is on this machine, without a proxy in
	// between. Limits are not for it.
	Loopback bool
	// Local reports whether it also came to a listener that others cannot reach.
	Local bool
	// Direct reports whether the client is on this machine and in --proxy, but has
	// connected as no proxy does. Its secrets are taken; limits are for it.
	Direct bool
	// Proxy reports whether the address is in --proxy, so that its word about who is
	// behind it counts.
	Proxy bool
}

// Proxies are the networks of trusted proxies. The zero value has none.
type Proxies struct{ networks []netip.Prefix }

// ParseProxies parses the values of --proxy: networks such as 10.0.0.0/8, or single
// addresses.
func ParseProxies(texts []string) (Proxies, error) {
	if len(texts) > maxProxies {
		return Proxies{}, fmt.Errorf("--proxy has %d networks; the limit is %d", len(texts), maxProxies)
	}
	var p Proxies
	for _, text := range texts {
		network, err := parseNetwork(text)
		if err != nil {
			return Proxies{}, err
		}
		p.networks = append(p.networks, network)
	}
	return p, nil
}

func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("--proxy %.64q is no network such as 10.0.0.0/8 and no address without a zone", text)
	}
	if network.Addr().Is4In6() {
		if network.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("--proxy %s is no network of IPv4; write it as 10.0.0.0/8", text)
		}
		network = netip.PrefixFrom(network.Addr().Unmap(), network.Bits()-96)
	}
	if masked := network.Masked(); masked != network {
		return netip.Prefix{}, fmt.Errorf("--proxy %s is an address in a network; give the network %s or the address %s", text, masked, network.Addr())
	}
	return network, nil
}

// IsEmpty reports whether there are no proxies.
func (p Proxies) IsEmpty() bool { return len(p.networks) == 0 }

// Contains reports whether an address is one of a proxy.
func (p Proxies) Contains(addr netip.Addr) bool {
	addr = plain(addr)
	for _, network := range p.networks {
		if network.Contains(addr) {
			return true
		}
	}
	return false
}

// String returns the networks for a log.
func (p Proxies) String() string {
	texts := make([]string, len(p.networks))
	for i, network := range p.networks {
		texts[i] = network.String()
	}
	return strings.Join(texts, ",")
}

// plain returns an address as networks contain it.
func plain(addr netip.Addr) netip.Addr { return addr.Unmap().WithZone("") }

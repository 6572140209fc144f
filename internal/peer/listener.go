package peer

import (
	"fmt"
	"net/netip"
	"strings"
)

// Listener is a place to listen at.
type Listener struct {
	URL      string // as the operator gave it
	Loopback bool   // only this machine can connect; see LoopbackHost
	TLS      bool
	// Redirects: it is for HTTP and there is another one for https, so it only leads
	// there.
	Redirects bool
}

// LoopbackHost reports whether only this machine can connect to the host of a
// listener: localhost or an address of loopback. Other names may be anything.
func LoopbackHost(host string) bool {
	if strings.ToLower(host) == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Policy is what the operator has set for all listeners.
type Policy struct {
	Proxies  Proxies // --proxy
	Origin   bool    // --origin is set
	Insecure bool    // --insecure
}

// Rules say who may connect to a listener, and what a connection to it means.
type Rules struct {
	// Local: whoever connects is on this machine. Without proxies and an origin of
	// its own, a loopback listener is for this machine only; with one of them,
	// something may bring others to it.
	Local bool
	// OnlyProxies: other peers are refused, because nothing would be encrypted.
	OnlyProxies bool
	// Redirects: peers that are no proxies are only told where the encrypted listener
	// is, so they may be anybody.
	Redirects bool

	url    string
	tls    bool
	policy Policy
}

// Loopback returns the rules of a loopback listener without proxies.
func Loopback() Rules { return Rules{Local: true} }

// UnsafeError says that a listener would have passwords and messages go through a
// network in the clear, without the operator having asked for it.
type UnsafeError struct{ URL string }

// Error implements error.
func (e *UnsafeError) Error() string {
	return fmt.Sprintf("%s can be reached from other machines and is not encrypted; listen at 127.0.0.1, or listen with tls:// or https:// and a certificate, or give the address of a proxy that encrypts with --proxy CIDR, or give --insecure if passwords and messages may go through this network in the clear", e.URL)
}

// Decide returns the rules of a listener, or an *UnsafeError. It is the only place
// where listeners and policy meet.
func Decide(l Listener, p Policy) (Rules, error) {
	r := Rules{url: l.URL, tls: l.TLS, policy: p}
	switch {
	case l.Loopback:
		r.Local = p.Proxies.IsEmpty() && !p.Origin
	case l.Redirects:
		r.Redirects = true
	case l.TLS || p.Insecure:
	case p.Proxies.IsEmpty():
		return Rules{}, &UnsafeError{l.URL}
	default:
		r.OnlyProxies = true
	}
	return r, nil
}

// Accept returns who a connection comes from, before it has said anything. The
// error is ErrUntrusted if the peer may not connect.
func (r Rules) Accept(remote netip.Addr) (Peer, error) {
	remote = plain(remote)
	p := Peer{Addr: remote, Proxy: r.policy.Proxies.Contains(remote)}
	if r.OnlyProxies && !p.Proxy {
		return Peer{}, refuse(ErrUntrusted, "%s is not encrypted and takes connections only from --proxy %s, not from %s; connect through the proxy, or have the server started with --proxy %s or --insecure",
			r.url, r.policy.Proxies, remote, remote)
	}
	if p.Proxy {
		return p, nil // whether the client's way to it is encrypted, it has to say
	}
	p.Encrypted = r.tls
	p.Loopback = remote.IsLoopback()
	p.Local = r.Local && p.Loopback
	return p, nil
}

// TakesSecrets reports whether passwords and tokens may be accepted from a peer.
func (r Rules) TakesSecrets(p Peer) bool {
	return p.Encrypted || p.Loopback || p.Direct || r.policy.Insecure
}

// Preamble looks for a preamble of the PROXY protocol in the first bytes of a
// connection. It returns the peer and how many bytes the preamble has; 0 if there is
// none. If more bytes are needed to find out, the error is ErrNeedMore; that is
// never so for MaxPreamble bytes. Other errors are ErrUntrusted or ErrMalformed, and
// end the connection.
//
// Peers inside --proxy may leave the preamble out. So a proxy that copies bytes must
// send one: if it does not, whoever is behind it can. A peer on this machine without
// one is a program here, and not the proxy: its secrets are taken, as those of every
// connection that stays on this machine. It is not local, and limits still count it,
// because a proxy that leaves the preamble out would look the same.
func (r Rules) Preamble(p Peer, data []byte) (Peer, int, error) {
	if !p.Proxy {
		switch hasSignature, isPrefix := signature(data); {
		case hasSignature:
			return Peer{}, 0, refuse(ErrUntrusted, "%s sent a preamble of the PROXY protocol, but is no proxy of this server; if it should be, start the server with --proxy %s", p.Addr, p.Addr)
		case isPrefix:
			return p, 0, ErrNeedMore
		}
		return p, 0, nil
	}
	preamble, n, err := ParsePreamble(data)
	switch {
	case err != nil:
		return p, 0, err
	case n == 0:
		p.Direct = p.Addr.IsLoopback()
		return p, 0, nil
	case !preamble.Source.IsValid(): // the proxy itself, or it does not know
		p.Encrypted = preamble.TLS
		return p, n, nil
	}
	source := plain(preamble.Source)
	return Peer{Addr: source, Encrypted: preamble.TLS, Proxy: r.policy.Proxies.Contains(source)}, n, nil
}

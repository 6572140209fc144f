package guard

import (
	"net/netip"
	"slices"
)

// Class is what an address is for.
type Class uint8

// The classes of addresses. Only Public ones are connected to without being allowed.
const (
	Public        Class = iota
	Unspecified         // no address: the host itself, or its network
	Loopback            // the host itself
	Private             // networks of their operators
	LinkLocal           // the network at a link, and everything with a zone
	Shared              // between a provider of access and its customers
	Metadata            // services of clouds for their virtual machines, with credentials
	Multicast           //
	Broadcast           //
	Documentation       //
	Benchmarking        //
	Tunnel              // IPv4 within IPv6, or the way into another network
	Reserved            // protocols, past and future uses, and all that IANA has not allocated
	Denied              // by Options.Denied
)

// phrases are the classes in the texts of errors.
var phrases = [...]string{
	Public:        "a public address",
	Unspecified:   "an unspecified address",
	Loopback:      "a loopback address",
	Private:       "a private address",
	LinkLocal:     "a link-local address",
	Shared:        "a shared address of a provider",
	Metadata:      "a metadata address of a cloud",
	Multicast:     "a multicast address",
	Broadcast:     "a broadcast address",
	Documentation: "an address for documentation",
	Benchmarking:  "an address for benchmarks",
	Tunnel:        "an address of a tunnel",
	Reserved:      "a reserved address",
	Denied:        "a denied address",
}

// String returns a class with its article, such as "a loopback address".
func (c Class) String() string { return phrases[c] }

// block is a network and what it is for.
type block struct {
	prefix netip.Prefix
	class  Class
	source string
}

func parseBlock(prefix string, c Class, source string) block {
	return block{netip.MustParsePrefix(prefix), c, source}
}

// blocks are all networks that are not public. The first that contains an address counts.
// They are the rows of the IANA IPv4 and IPv6 Special-Purpose Address Registries
// (iana-ipv4-special-registry, iana-ipv6-special-registry; RFC 6890), of November 2026,
// including the rows for protocols that are globally reachable, which have no servers for
// us. Multicast and what is not allocated come from the IPv4 and IPv6 Address Space
// Registries.
var blocks = []block{
	// Services of clouds, inside of networks that are something else, or, with Azure, public.
	parseBlock("169.254.169.254/32", Metadata, "AWS, Azure, Google and others"),
	parseBlock("169.254.170.2/32", Metadata, "AWS, of containers"),
	parseBlock("169.254.170.23/32", Metadata, "AWS, of pods"),
	parseBlock("fd00:ec2::254/128", Metadata, "AWS"),
	parseBlock("fd00:ec2::23/128", Metadata, "AWS, of pods"),
	parseBlock("fd20:ce::254/128", Metadata, "Google"),
	parseBlock("100.100.100.200/32", Metadata, "Alibaba"),
	parseBlock("192.0.0.192/32", Metadata, "Oracle"),
	parseBlock("168.63.129.16/32", Metadata, "Azure"),

	parseBlock("0.0.0.0/8", Unspecified, "RFC 791"),
	parseBlock("10.0.0.0/8", Private, "RFC 1918"),
	parseBlock("100.64.0.0/10", Shared, "RFC 6598"),
	parseBlock("127.0.0.0/8", Loopback, "RFC 1122"),
	parseBlock("169.254.0.0/16", LinkLocal, "RFC 3927"),
	parseBlock("172.16.0.0/12", Private, "RFC 1918"),
	parseBlock("192.0.0.0/24", Reserved, "RFC 6890"),
	parseBlock("192.0.2.0/24", Documentation, "RFC 5737"),
	parseBlock("192.31.196.0/24", Reserved, "AS112, RFC 7535"),
	parseBlock("192.52.193.0/24", Tunnel, "AMT, RFC 7450"),
	parseBlock("192.88.99.0/24", Tunnel, "6to4, RFC 7526"),
	parseBlock("192.168.0.0/16", Private, "RFC 1918"),
	parseBlock("192.175.48.0/24", Reserved, "AS112, RFC 7534"),
	parseBlock("198.18.0.0/15", Benchmarking, "RFC 2544"),
	parseBlock("198.51.100.0/24", Documentation, "RFC 5737"),
	parseBlock("203.0.113.0/24", Documentation, "RFC 5737"),
	parseBlock("224.0.0.0/4", Multicast, "RFC 5771"),
	parseBlock("255.255.255.255/32", Broadcast, "RFC 919"),
	parseBlock("240.0.0.0/4", Reserved, "RFC 1112"),

	parseBlock("::/128", Unspecified, "RFC 4291"),
	parseBlock("::1/128", Loopback, "RFC 4291"),
	parseBlock("::/96", Tunnel, "IPv4-compatible, RFC 4291"),
	parseBlock("::ffff:0:0:0/96", Tunnel, "IPv4-translated, RFC 2765"),
	parseBlock("64:ff9b:1::/48", Tunnel, "NAT64, RFC 8215"),
	parseBlock("100::/64", Reserved, "discard, RFC 6666"),
	parseBlock("100:0:0:1::/64", Reserved, "dummy, RFC 9780"),
	parseBlock("2001::/32", Tunnel, "Teredo, RFC 4380"),
	parseBlock("2001:2::/48", Benchmarking, "RFC 5180"),
	parseBlock("2001:3::/32", Tunnel, "AMT, RFC 7450"),
	parseBlock("2001::/23", Reserved, "RFC 2928"),
	parseBlock("2001:db8::/32", Documentation, "RFC 3849"),
	parseBlock("2002::/16", Tunnel, "6to4, RFC 3056"),
	parseBlock("2620:4f:8000::/48", Reserved, "AS112, RFC 7534"),
	parseBlock("3fff::/20", Documentation, "RFC 9637"),
	parseBlock("5f00::/16", Reserved, "SRv6, RFC 9602"),
	parseBlock("fc00::/7", Private, "RFC 4193"),
	parseBlock("fe80::/10", LinkLocal, "RFC 4291"),
	parseBlock("fec0::/10", Private, "RFC 3879"),
	parseBlock("ff00::/8", Multicast, "RFC 4291"),
}

var (
	// nat64 has IPv4 addresses in its last four bytes, for hosts that have only IPv6: their
	// resolvers answer with it for the whole public Internet of IPv4 (RFC 6052, 2.1).
	nat64 = netip.MustParsePrefix("64:ff9b::/96")
	// allocated is all that IANA allocates as global unicast addresses of IPv6.
	allocated = netip.MustParsePrefix("2000::/3")
)

// Classify returns what an address is for, and the document that says so. The IPv4 address
// within an IPv4-mapped or NAT64 address counts. An address with a zone is LinkLocal,
// unless it is something worse.
func Classify(a netip.Addr) (c Class, source string) {
	zoned := a.Zone() != ""
	a = within(a)
	for i := range blocks {
		if blocks[i].prefix.Contains(a) {
			return blocks[i].class, blocks[i].source
		}
	}
	switch {
	case !a.IsValid(), a.Is6() && !allocated.Contains(a):
		return Reserved, "not allocated by IANA"
	case zoned:
		return LinkLocal, "it has a zone, RFC 4007"
	}
	return Public, ""
}

// plain returns an address as prefixes compare it: no prefix contains an address with a
// zone, or, of IPv4, one that is mapped to IPv6.
func plain(a netip.Addr) netip.Addr { return a.WithZone("").Unmap() }

// within returns the IPv4 address that an IPv4-mapped or NAT64 address leads to, and others as
// plain does.
func within(a netip.Addr) netip.Addr {
	a = plain(a)
	if nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return a
}

// lists are the operator's exceptions. They do not change.
type lists struct{ allowed, denied []netip.Prefix }

func newLists(allowed, denied []netip.Prefix) (l lists, err error) {
	if l.allowed, err = plainPrefixes("Allowed", allowed); err != nil {
		return lists{}, err
	}
	l.denied, err = plainPrefixes("Denied", denied)
	return l, err
}

// plainPrefixes returns prefixes as plain addresses are compared with them.
func plainPrefixes(option string, prefixes []netip.Prefix) ([]netip.Prefix, error) {
	const mapped = 96 // bits before the IPv4 address
	var all []netip.Prefix
	for _, p := range prefixes {
		switch {
		case !p.IsValid():
			return nil, &OptionError{option, "it contains a network that is not valid"}
		case p.Addr().Is4In6() && p.Bits() < mapped:
			return nil, &OptionError{option, p.String() + " is larger than all of IPv4; write it as IPv6 without an IPv4 address"}
		case p.Addr().Is4In6():
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped)
		}
		all = append(all, p.Masked())
	}
	return all, nil
}

// check returns a *BlockedError if an address must not be connected to.
func (l lists) check(a netip.Addr) error {
	contains := func(p netip.Prefix) bool { return p.Contains(plain(a)) }
	// A gateway of NAT64 leads to the address within, so a denied one is denied in both forms. An
	// allowed one is not: a network of that name may be another one.
	if leadsTo := within(a); slices.ContainsFunc(l.denied, func(p netip.Prefix) bool { return contains(p) || p.Contains(leadsTo) }) {
		return &BlockedError{Addr: a, Class: Denied}
	}
	class, source := Classify(a)
	if class == Public {
		return nil
	}
	if slices.ContainsFunc(l.allowed, func(p netip.Prefix) bool {
		return contains(p) && (class != Metadata || p.IsSingleIP())
	}) {
		return nil
	}
	return &BlockedError{Addr: a, Class: class, Source: source}
}

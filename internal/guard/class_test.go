package guard_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"kaban/internal/guard"

	"pgregory.net/rapid"
)

// registry are the rows of the IANA IPv4 and IPv6 Special-Purpose Address Registries, the
// multicast blocks, and what the registries of address space call reserved, each with its
// class. Larger blocks stand beside their parts, as in the registries.
var registry = []struct {
	prefix string
	class  guard.Class
}{
	{"0.0.0.0/8", guard.Unspecified},
	{"10.0.0.0/8", guard.Private},
	{"100.64.0.0/10", guard.Shared},
	{"127.0.0.0/8", guard.Loopback},
	{"169.254.0.0/16", guard.LinkLocal},
	{"172.16.0.0/12", guard.Private},
	{"192.0.0.0/24", guard.Reserved},
	{"192.0.0.0/29", guard.Reserved},
	{"192.0.0.8/32", guard.Reserved},
	{"192.0.0.9/32", guard.Reserved},
	{"192.0.0.10/32", guard.Reserved},
	{"192.0.0.170/31", guard.Reserved},
	{"192.0.2.0/24", guard.Documentation},
	{"192.31.196.0/24", guard.Reserved},
	{"192.52.193.0/24", guard.Tunnel},
	{"192.88.99.0/24", guard.Tunnel},
	{"192.88.99.2/32", guard.Tunnel},
	{"192.168.0.0/16", guard.Private},
	{"192.175.48.0/24", guard.Reserved},
	{"198.18.0.0/15", guard.Benchmarking},
	{"198.51.100.0/24", guard.Documentation},
	{"203.0.113.0/24", guard.Documentation},
	{"224.0.0.0/4", guard.Multicast},
	{"240.0.0.0/5", guard.Reserved},
	{"248.0.0.0/6", guard.Reserved},
	{"255.255.255.255/32", guard.Broadcast},

	{"::/128", guard.Unspecified},
	{"::1/128", guard.Loopback},
	{"::7f00:1/128", guard.Tunnel}, // ::127.0.0.1
	{"::ffff:0:7f00:1/128", guard.Tunnel},
	{"64:ff9b:1::/48", guard.Tunnel},
	{"100::/64", guard.Reserved},
	{"100:0:0:1::/64", guard.Reserved},
	{"2001::/32", guard.Tunnel},
	{"2001:1::1/128", guard.Reserved},
	{"2001:1::2/128", guard.Reserved},
	{"2001:1::3/128", guard.Reserved},
	{"2001:2::/48", guard.Benchmarking},
	{"2001:3::/32", guard.Tunnel},
	{"2001:4:112::/48", guard.Reserved},
	{"2001:10::/28", guard.Reserved},
	{"2001:20::/28", guard.Reserved},
	{"2001:30::/28", guard.Reserved},
	{"2001:100::/24", guard.Reserved},
	{"2001:db8::/32", guard.Documentation},
	{"2002::/16", guard.Tunnel},
	{"2620:4f:8000::/48", guard.Reserved},
	{"3fff::/20", guard.Documentation},
	{"5f00::/16", guard.Reserved},
	{"4000::/3", guard.Reserved},
	{"6000::/3", guard.Reserved},
	{"8000::/1", guard.Reserved}, // beside the following
	{"fc00::/7", guard.Private},
	{"fe80::/10", guard.LinkLocal},
	{"fec0::/10", guard.Private},
	{"ff00::/8", guard.Multicast},
}

// larger are the rows with other rows within.
var larger = map[string]bool{"8000::/1": true, "4000::/3": true}

// metadata are services of clouds, within blocks of other classes.
var metadata = []string{
	"169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254",
	"100.100.100.200", "192.0.0.192", "168.63.129.16",
}

// lastOf returns the last address of a network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	if p.Addr().Is4() {
		return netip.AddrFrom16(b).Unmap()
	}
	return netip.AddrFrom16(b)
}

// within draws an address of a network.
func within(t *rapid.T, p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		if rapid.Bool().Draw(t, "bit") {
			b[i/8] |= 0x80 >> (i % 8)
		}
	}
	a := netip.AddrFrom16(b)
	if p.Addr().Is4() {
		return a.Unmap()
	}
	return a
}

func newGuard(t testing.TB, o guard.Options) *guard.Guard {
	t.Helper()
	g, err := guard.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g
}

// wantBlocked checks that an address is blocked as one of a class.
func wantBlocked(t interface {
	Helper()
	Errorf(format string, args ...any)
}, g *guard.Guard, a netip.Addr, class guard.Class,
) {
	t.Helper()
	e, ok := errors.AsType[*guard.BlockedError](g.Check(a))
	if !ok || e.Class != class {
		t.Errorf("%s: %v, want %s", a, e, class)
	}
}

// The first and the last address of each row are blocked, in every form.
func TestEveryRowOfTheRegistries(t *testing.T) {
	g := newGuard(t, guard.Options{})
	for _, row := range registry {
		p := netip.MustParsePrefix(row.prefix)
		for _, a := range []netip.Addr{p.Addr(), lastOf(p)} {
			if larger[row.prefix] && a == lastOf(p) {
				continue
			}
			for _, form := range formsOf(a) {
				wantBlocked(t, g, form, row.class)
			}
		}
	}
	for _, s := range metadata {
		for _, form := range formsOf(netip.MustParseAddr(s)) {
			wantBlocked(t, g, form, guard.Metadata)
		}
	}
	wantBlocked(t, g, netip.Addr{}, guard.Reserved)
}

// formsOf returns an address in all forms in which it can be dialled.
func formsOf(a netip.Addr) []netip.Addr {
	if a.Is4() {
		mapped := netip.AddrFrom16(a.As16())
		b := mapped.As16()
		copy(b[:12], []byte{0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})
		return []netip.Addr{a, mapped, mapped.WithZone("eth0"), netip.AddrFrom16(b)}
	}
	return []netip.Addr{a, a.WithZone("eth0")}
}

// The neighbours of the blocks are public: the table blocks no more than it should.
func TestNeighboursArePublic(t *testing.T) {
	g := newGuard(t, guard.Options{})
	for _, s := range []string{
		"1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0",
		"169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.0.1.255", "192.0.3.0",
		"192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.88.98.255", "192.88.100.0",
		"192.167.255.255", "192.169.0.0", "192.175.47.255", "192.175.49.0", "198.17.255.255", "198.20.0.0",
		"198.51.99.255", "198.51.101.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "168.63.129.15", "168.63.129.17",
		"2000::", "2001:200::", "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::", "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::",
		"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		"::ffff:9.9.9.9", "64:ff9b::9.9.9.9",
	} {
		if err := g.Check(netip.MustParseAddr(s)); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

// Random addresses of each row are blocked, in every form.
func TestRandomAddressesOfEachClass(t *testing.T) {
	g := newGuard(t, guard.Options{})
	special := make(map[netip.Addr]bool)
	for _, s := range metadata {
		special[netip.MustParseAddr(s)] = true
	}
	rapid.Check(t, func(t *rapid.T) {
		row := rapid.SampledFrom(registry).Draw(t, "row")
		a := within(t, netip.MustParsePrefix(row.prefix))
		for _, form := range formsOf(a) {
			e, ok := errors.AsType[*guard.BlockedError](g.Check(form))
			if !ok || e.Class != row.class && !larger[row.prefix] && !special[a] {
				t.Errorf("%s: %v, want %s", form, e, row.class)
			}
		}
	})
}

// What the standard library knows to be no public unicast address is blocked, whatever the
// table has.
func TestNothingThatTheLibraryKnowsIsPublic(t *testing.T) {
	g := newGuard(t, guard.Options{})
	rapid.Check(t, func(t *rapid.T) {
		var a netip.Addr
		if rapid.Bool().Draw(t, "IPv4") {
			a = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, rapid.Uint32().Draw(t, "address"))))
		} else {
			b := binary.BigEndian.AppendUint64(nil, rapid.Uint64().Draw(t, "high"))
			a = netip.AddrFrom16([16]byte(binary.BigEndian.AppendUint64(b, rapid.Uint64().Draw(t, "low"))))
		}
		known := !a.IsGlobalUnicast() || a.IsPrivate() || a.IsLoopback() || a.IsMulticast() || a.IsLinkLocalUnicast()
		if known && g.Check(a) == nil {
			t.Errorf("%s is not blocked", a)
		}
	})
}

func prefixes(texts ...string) (all []netip.Prefix) {
	for _, s := range texts {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

func TestLists(t *testing.T) {
	g := newGuard(t, guard.Options{
		Allowed: prefixes("10.1.0.0/16", "fd00::/8", "::ffff:192.168.7.0/120", "fe80::/10", "169.254.0.0/16", "100.100.100.200/32", "10.9.9.9/8"),
		Denied:  prefixes("10.1.2.0/24", "9.9.9.0/24", "2600::/16"),
	})
	for address, want := range map[string]guard.Class{
		"10.1.0.1":             guard.Public,
		"::ffff:10.1.0.1":      guard.Public,
		"10.2.0.1":             guard.Public, // 10.9.9.9/8 is all of it
		"192.168.7.1":          guard.Public,
		"192.168.8.1":          guard.Private,
		"fe80::1%eth0":         guard.Public,
		"169.254.1.1":          guard.Public,
		"169.254.169.254":      guard.Metadata,
		"fd00:ec2::254":        guard.Metadata,
		"100.100.100.200":      guard.Public, // exactly this one
		"10.1.2.3":             guard.Denied,
		"::ffff:10.1.2.3":      guard.Denied,
		"9.9.9.9":              guard.Denied,
		"64:ff9b::9.9.9.9":     guard.Denied,
		"64:ff9b::9.9.8.9":     guard.Public,
		"2600::1":              guard.Denied,
		"64:ff9b::10.1.0.1":    guard.Private, // a network of that name is another one
		"2a00:1450::1%eth0":    guard.LinkLocal,
		"127.0.0.1":            guard.Loopback,
		"64:ff9b::a9fe:a9fe":   guard.Metadata,
		"::ffff:169.254.170.2": guard.Metadata,
	} {
		a := netip.MustParseAddr(address)
		if want == guard.Public {
			if err := g.Check(a); err != nil {
				t.Errorf("%s: %v", a, err)
			}
			continue
		}
		wantBlocked(t, g, a, want)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]guard.Options{
		"Allowed":      {Allowed: []netip.Prefix{{}}},
		"Denied":       {Denied: prefixes("::ffff:0.0.0.0/90")},
		"MaxBody":      {MaxBody: -1},
		"MaxHeader":    {MaxHeader: -1},
		"Conns":        {Conns: -1},
		"ConnsPerHost": {ConnsPerHost: -1},
		"Timeout":      {Timeout: -1},
		"DialTimeout":  {DialTimeout: -1},
		"FailAfter":    {FailAfter: guard.DefaultTimeout},
		"Proxy":        {Proxy: mustParse("ftp://proxy.example")},
	} {
		_, err := guard.New(o)
		if e, ok := errors.AsType[*guard.OptionError](err); !ok || e.Option != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	g := newGuard(t, guard.Options{})
	if err := g.Allow([]netip.Prefix{{}}); err == nil {
		t.Error("a network that is not valid is allowed")
	}
}

// The text of a blocked address says which, what it is and what to do.
func TestBlockedError(t *testing.T) {
	for _, test := range []struct {
		err  guard.BlockedError
		want string
	}{
		{
			guard.BlockedError{Host: "wiki.example", Addr: netip.MustParseAddr("10.1.2.3"), Class: guard.Private, Source: "RFC 1918"},
			`"wiki.example" has the address 10.1.2.3, a private address (RFC 1918), which the server does not connect to; if it should, allow the network 10.1.2.3/32`,
		},
		{
			guard.BlockedError{Host: "127.0.0.1", Addr: netip.MustParseAddr("::ffff:127.0.0.1"), Class: guard.Loopback, Source: "RFC 1122"},
			`::ffff:127.0.0.1 is a loopback address (RFC 1122), which the server does not connect to; if it should, allow the network 127.0.0.1/32`,
		},
		{
			guard.BlockedError{Addr: netip.MustParseAddr("9.9.9.9"), Class: guard.Denied},
			`9.9.9.9 is a denied address: it is in a network that the server must not connect to`,
		},
	} {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
	for c := guard.Public; c <= guard.Denied; c++ {
		if s := fmt.Sprint(c); !strings.HasPrefix(s, "a ") && !strings.HasPrefix(s, "an ") {
			t.Errorf("class %d is %q", c, s)
		}
	}
}

// Package tcp limits and inspects the send buffer of a TCP connection. A successful
// write only means that the system has accepted the data: megabytes may still be on
// their way to a slow peer. Front ends use this package to see whether a slow peer
// makes progress and to keep the buffer small.
//
// The functions do not fail. On systems without support, callers only have the
// results of their writes.
package tcp

import "net/netip"

// AddrOf returns the address in "host:port", without the mapping of IPv4 into IPv6. Any
// other text, such as the name of a pipe, gives the zero Addr.
func AddrOf(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// NetworkOf returns the network that limits count as one address: an IPv4 address,
// or an IPv6 /64, the smallest network of a customer. It returns the zero Prefix for
// loopback, where proxies connect from.
func NetworkOf(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() {
		return netip.Prefix{}
	}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	network, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

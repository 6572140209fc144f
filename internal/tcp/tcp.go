// Package tcp bounds and reads what the system keeps of a TCP connection. A write
// only says that the system has taken something: a slow peer may have megabytes
// still to come. Front ends use it to see whether a slow peer makes progress and
// to keep what is under way small.
//
// Nothing here fails: where a system cannot tell, callers know less and judge by
// what their writes return.
package tcp

import "net/netip"

// NetworkOf returns what counts as one address: of IPv6 a network of 64 bits, which
// is what one customer has at least. Loopback has none: proxies are there.
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

package peer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/netip"
	"strconv"
	"strings"
)

// MaxPreamble is the longest preamble in bytes. Version 2 allows for 64 KiB, but a
// proxy that does not send certificates of clients stays below 1 KiB.
const MaxPreamble = 4096

const (
	textStart   = "PROXY " // version 1
	binaryStart = "\r\n\r\n\x00\r\nQUIT\n"
	// maxTextLine is the longest line of version 1, its end included.
	maxTextLine = 107
	binaryHead  = len(binaryStart) + 4
)

// Fields of version 2.
const (
	commandLocal = 0x20
	commandProxy = 0x21

	familyUnspecified = 0x00
	familyTCP4        = 0x11
	familyTCP6        = 0x21
	familyUnixStream  = 0x31

	typeCRC32C   = 0x03
	typeTLS      = 0x20 // PP2_TYPE_SSL
	flagOverTLS  = 0x01 // PP2_CLIENT_SSL
	minTLSLength = 5
)

// ErrNeedMore says that the bytes so far are the beginning of a preamble, or could
// be.
var ErrNeedMore = errors.New("more bytes of the preamble are needed")

// Preamble is what a proxy says in the PROXY protocol before anything else.
type Preamble struct {
	// Source is the client. It is the zero Addr if the connection is the proxy's own,
	// or if the proxy does not know the client.
	Source netip.Addr
	// TLS reports whether the client connected to the proxy with TLS. Only version 2
	// can say so.
	TLS bool
}

// ParsePreamble parses a preamble of the PROXY protocol, version 1 or 2, at the
// start of data, and returns how many bytes it has; 0 if there is none, which is no
// error. It returns ErrNeedMore if more bytes can decide, which is never so for
// MaxPreamble bytes, and an error that is ErrMalformed for a preamble that breaks
// the rules. It follows haproxy's "The PROXY protocol", revision 2020/03/05, and is
// strict wherever a proxy has no reason to deviate.
func ParsePreamble(data []byte) (Preamble, int, error) {
	hasSignature, isPrefix := signature(data)
	switch {
	case isPrefix:
		return Preamble{}, 0, ErrNeedMore
	case !hasSignature:
		return Preamble{}, 0, nil
	case data[0] == textStart[0]:
		return parseText(data)
	}
	return parseBinary(data)
}

// signature reports whether data starts as a preamble does, or is itself the start
// of a signature.
func signature(data []byte) (hasSignature, isPrefix bool) {
	for _, start := range []string{textStart, binaryStart} {
		if len(data) >= len(start) && string(data[:len(start)]) == start {
			return true, false
		}
		if len(data) < len(start) && string(data) == start[:len(data)] {
			return false, true
		}
	}
	return false, false
}

func malformed(text string) error {
	return refuse(ErrMalformed, "the preamble of the PROXY protocol is malformed: %s", text)
}

// parseText parses version 1, a line of text.
func parseText(data []byte) (Preamble, int, error) {
	line := data[:min(len(data), maxTextLine)]
	end := bytes.IndexByte(line, '\n')
	switch {
	case end < 0 && len(line) == maxTextLine:
		return Preamble{}, 0, malformed("its line is longer than 107 bytes")
	case end < 0:
		return Preamble{}, 0, ErrNeedMore
	case line[end-1] != '\r':
		return Preamble{}, 0, malformed("its line does not end with CR LF")
	}
	fields := strings.Split(string(line[len(textStart):end-1]), " ")
	if fields[0] == "UNKNOWN" {
		return Preamble{}, end + 1, nil
	}
	if len(fields) != 5 || fields[0] != "TCP4" && fields[0] != "TCP6" {
		return Preamble{}, 0, malformed("it must be TCP4 or TCP6, two addresses and two ports, or UNKNOWN")
	}
	source, err := parseTextAddress(fields[0], fields[1], fields[3])
	if err != nil {
		return Preamble{}, 0, err
	}
	if _, err := parseTextAddress(fields[0], fields[2], fields[4]); err != nil {
		return Preamble{}, 0, err
	}
	return Preamble{Source: source}, end + 1, nil
}

func parseTextAddress(family, address, port string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Is4() != (family == "TCP4") || addr.Zone() != "" {
		return netip.Addr{}, malformed("an address is none of " + family)
	}
	if !isPort(port) {
		return netip.Addr{}, malformed("a port is not 0 to 65535")
	}
	return addr, nil
}

// isPort reports whether text is a decimal number from 0 to 65535 without a sign or
// leading zeros.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == text
}

// parseBinary parses version 2.
func parseBinary(data []byte) (Preamble, int, error) {
	if len(data) < binaryHead {
		return Preamble{}, 0, ErrNeedMore
	}
	command, family := data[len(binaryStart)], data[len(binaryStart)+1]
	size := binaryHead + int(binary.BigEndian.Uint16(data[binaryHead-2:]))
	switch {
	case command != commandLocal && command != commandProxy:
		return Preamble{}, 0, malformed("version or command is unknown")
	case size > MaxPreamble:
		return Preamble{}, 0, malformed("it is longer than 4096 bytes")
	case len(data) < size:
		return Preamble{}, 0, ErrNeedMore
	case command == commandLocal: // the rest is to be ignored
		return Preamble{}, size, nil
	}
	data = data[:size]
	body := data[binaryHead:]
	var p Preamble
	addresses := 0
	switch family {
	case familyUnspecified: // the rest is to be ignored
		return Preamble{}, size, nil
	case familyTCP4:
		addresses = 2*4 + 2*2
	case familyTCP6:
		addresses = 2*16 + 2*2
	case familyUnixStream:
		addresses = 2 * 108
	default:
		return Preamble{}, 0, malformed("it is for something other than TCP")
	}
	if len(body) < addresses {
		return Preamble{}, 0, malformed("it is too short for its addresses")
	}
	switch family {
	case familyTCP4:
		p.Source = netip.AddrFrom4([4]byte(body))
	case familyTCP6:
		p.Source = netip.AddrFrom16([16]byte(body))
	}
	var err error
	p.TLS, err = parseExtensions(data, body[addresses:])
	if err != nil {
		return Preamble{}, 0, err
	}
	return p, size, nil
}

// parseExtensions reads the fields of type, length and value at the end of a
// preamble.
func parseExtensions(preamble, rest []byte) (overTLS bool, err error) {
	var seen [256]bool
	for len(rest) > 0 {
		if len(rest) < 3 || len(rest)-3 < int(binary.BigEndian.Uint16(rest[1:])) {
			return false, malformed("an extension is cut off")
		}
		kind, value := rest[0], rest[3:3+int(binary.BigEndian.Uint16(rest[1:]))]
		rest = rest[3+len(value):]
		if kind != typeTLS && kind != typeCRC32C {
			continue
		}
		if seen[kind] {
			return false, malformed("an extension is repeated")
		}
		seen[kind] = true
		switch kind {
		case typeTLS:
			if len(value) < minTLSLength {
				return false, malformed("its TLS extension is too short")
			}
			overTLS = value[0]&flagOverTLS != 0
		case typeCRC32C:
			if len(value) != 4 || binary.BigEndian.Uint32(value) != checksum(preamble, len(preamble)-len(rest)-4) {
				return false, malformed("its checksum is wrong")
			}
		}
	}
	return overTLS, nil
}

// checksum returns the CRC32C of a preamble with 0 in place of the checksum.
func checksum(preamble []byte, at int) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := crc32.Update(0, table, preamble[:at])
	sum = crc32.Update(sum, table, make([]byte, 4))
	return crc32.Update(sum, table, preamble[at+4:])
}

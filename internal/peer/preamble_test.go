package peer

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

// frame returns a preamble of version 2.
func frame(command, family byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	head := append([]byte(binaryStart), command, family)
	return append(binary.BigEndian.AppendUint16(head, uint16(len(all))), all...)
}

func extension(kind byte, value ...byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value))), value...)
}

var (
	body4 = []byte{192, 0, 2, 1, 203, 0, 113, 9, 0, 80, 1, 187}
	body6 = append(append(address6("2001:db8::1"), address6("2001:db8::2")...), 0, 80, 1, 187)
)

func address6(text string) []byte {
	bytes := netip.MustParseAddr(text).As16()
	return bytes[:]
}

// withChecksum appends the checksum to a preamble of version 2, changed by wrong.
func withChecksum(preamble []byte, wrong uint32) []byte {
	preamble = append(bytes.Clone(preamble), extension(typeCRC32C, 0, 0, 0, 0)...)
	binary.BigEndian.PutUint16(preamble[binaryHead-2:], uint16(len(preamble)-binaryHead))
	sum := crc32.Checksum(preamble, crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(preamble[len(preamble)-4:], sum^wrong)
	return preamble
}

func TestParsePreamble(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	long := "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"
	for _, test := range []struct {
		name  string
		whole []byte // without what follows
		want  Preamble
	}{
		{"version 1, IPv4", []byte("PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n"), Preamble{Source: v4}},
		{"version 1, IPv6", []byte("PROXY TCP6 2001:db8::1 2001:db8::2 0 65535\r\n"), Preamble{Source: v6}},
		{"version 1, mapped", []byte("PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1 2\r\n"), Preamble{Source: netip.MustParseAddr("::ffff:192.0.2.1")}},
		{"version 1, longest", []byte(long), Preamble{Source: netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")}},
		{"version 1, unknown", []byte("PROXY UNKNOWN\r\n"), Preamble{}},
		{"version 1, unknown with more", []byte("PROXY UNKNOWN ffff::1 anything\r\n"), Preamble{}},
		{"version 1, unknown, longest", []byte("PROXY UNKNOWN " + strings.Repeat("x", 107-16) + "\r\n"), Preamble{}},
		{"version 2, IPv4", frame(0x21, 0x11, body4), Preamble{Source: v4}},
		{"version 2, IPv6", frame(0x21, 0x21, body6), Preamble{Source: v6}},
		{"version 2, local", frame(0x20, 0x00), Preamble{}},
		{"version 2, local with anything", frame(0x20, 0xff, []byte{1, 2, 3}), Preamble{}},
		{"version 2, unspecified", frame(0x21, 0x00, []byte{1, 2, 3}), Preamble{}},
		{"version 2, Unix", frame(0x21, 0x31, make([]byte, 216)), Preamble{}},
		{"version 2, TLS", frame(0x21, 0x11, body4, extension(0x20, 1, 0, 0, 0, 0)), Preamble{Source: v4, TLS: true}},
		{"version 2, TLS with a certificate", frame(0x21, 0x21, body6, extension(0x04), extension(0x20, append([]byte{7, 0, 0, 0, 0}, extension(0x21, []byte("TLSv1.3")...)...)...)), Preamble{Source: v6, TLS: true}},
		{"version 2, Unix over TLS", frame(0x21, 0x31, make([]byte, 216), extension(0x20, 1, 0, 0, 0, 0)), Preamble{TLS: true}},
		{"version 2, certificate of an earlier connection, no TLS", frame(0x21, 0x11, body4, extension(0x20, 6, 0, 0, 0, 0)), Preamble{Source: v4}},
		{"version 2, TLS as an unknown extension's value", frame(0x21, 0x11, body4, extension(0xe0, extension(0x20, 1, 0, 0, 0, 0)...)), Preamble{Source: v4}},
		{"version 2, checksum", withChecksum(frame(0x21, 0x11, body4, extension(0x20, 1, 0, 0, 0, 0)), 0), Preamble{Source: v4, TLS: true}},
		{"version 2, longest", frame(0x21, 0x11, body4, extension(0x04, make([]byte, MaxPreamble-binaryHead-12-3)...)), Preamble{Source: v4}},
		{"none", nil, Preamble{}},
	} {
		for _, after := range []string{"", `{"type":"hello"}` + "\n", "PROXY ", binaryStart} {
			if test.whole == nil && after != `{"type":"hello"}`+"\n" {
				continue
			}
			got, n, err := ParsePreamble(append(bytes.Clone(test.whole), after...))
			if err != nil || n != len(test.whole) || got != test.want {
				t.Errorf("%s, then %q: %+v, %d, %v; want %+v, %d", test.name, after, got, n, err, test.want, len(test.whole))
			}
		}
		for i := range test.whole {
			if _, n, err := ParsePreamble(test.whole[:i]); n != 0 || err != ErrNeedMore {
				t.Errorf("%s: the first %d bytes of %d give %d, %v; want ErrNeedMore", test.name, i, len(test.whole), n, err)
				break
			}
		}
	}
}

func TestNoPreamble(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "PUT /", "PRI * HTTP/2.0", "{", "\x16\x03\x01", "\r\n\r\nGET", "\r\n\r\n\x00\r\nQUIT\r", "proxy TCP4", "PROXY\tTCP4", "\n"} {
		if _, n, err := ParsePreamble([]byte(text)); n != 0 || err != nil {
			t.Errorf("%q gives %d, %v; want no preamble", text, n, err)
		}
	}
}

func TestMalformedPreamble(t *testing.T) {
	tooLong := frame(0x21, 0x11, body4, make([]byte, MaxPreamble))
	for _, test := range []struct{ name, data string }{
		{"LF without CR", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n"},
		{"only LF", "PROXY \n"},
		{"no family", "PROXY \r\n"},
		{"small letters", "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n"},
		{"two spaces", "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n"},
		{"space at the end", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n"},
		{"one port", "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n"},
		{"wrong family", "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"},
		{"other wrong family", "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"},
		{"zone", "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n"},
		{"leading zero of an address", "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n"},
		{"brackets", "PROXY TCP6 [2001:db8::1] [2001:db8::2] 1 2\r\n"},
		{"great port", "PROXY TCP4 192.0.2.1 192.0.2.2 65536 2\r\n"},
		{"bad port of the server", "PROXY TCP4 192.0.2.1 192.0.2.2 1 x\r\n"},
		{"negative port", "PROXY TCP4 192.0.2.1 192.0.2.2 -1 2\r\n"},
		{"leading zero of a port", "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n"},
		{"name", "PROXY TCP4 localhost 192.0.2.2 1 2\r\n"},
		{"NUL", "PROXY TCP4 192.0.2.1\x00 192.0.2.2 1 2\r\n"},
		{"CR inside", "PROXY TCP4 192.0.2.1\r192.0.2.2 1 2\r\n"},
		{"UDP", "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"},
		{"108 bytes", "PROXY UNKNOWN " + strings.Repeat("x", 107-15) + "\r\n"},
		{"no end", "PROXY UNKNOWN " + strings.Repeat("x", 64<<10)},
		{"version 1 in binary", string(frame(0x11, 0x11, body4))},
		{"version 3", string(frame(0x31, 0x11, body4))},
		{"unknown command", string(frame(0x22, 0x11, body4))},
		{"UDP in binary", string(frame(0x21, 0x12, body4))},
		{"unknown family", string(frame(0x21, 0x41, body4))},
		{"short for IPv4", string(frame(0x21, 0x11, body4[:11]))},
		{"short for IPv6", string(frame(0x21, 0x21, body6[:35]))},
		{"short for Unix", string(frame(0x21, 0x31, make([]byte, 215)))},
		{"too long", string(tooLong)},
		{"a byte too long", string(frame(0x21, 0x11, body4, extension(0x04, make([]byte, MaxPreamble-binaryHead-12-2)...)))},
		{"too long, only its head", string(tooLong[:binaryHead])},
		{"extension without length", string(frame(0x21, 0x11, body4, []byte{0x20, 0}))},
		{"extension cut off", string(frame(0x21, 0x11, body4, []byte{0x20, 0, 5, 1}))},
		{"short TLS", string(frame(0x21, 0x11, body4, extension(0x20, 1, 0, 0, 0)))},
		{"TLS twice", string(frame(0x21, 0x11, body4, extension(0x20, 0, 0, 0, 0, 0), extension(0x20, 1, 0, 0, 0, 0)))},
		{"wrong checksum", string(withChecksum(frame(0x21, 0x11, body4), 1))},
		{"short checksum", string(frame(0x21, 0x11, body4, extension(0x03, 0, 0)))},
	} {
		p, n, err := ParsePreamble([]byte(test.data))
		if p != (Preamble{}) || n != 0 || !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), "PROXY protocol") {
			t.Errorf("%s: %+v, %d, %v; want ErrMalformed", test.name, p, n, err)
		}
	}
}

// What another implementation writes is what this one reads.
func TestPreambleOfAnotherImplementation(t *testing.T) {
	for _, version := range []byte{1, 2} {
		for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
			source := netip.AddrPortFrom(netip.MustParseAddr(addr), 12345)
			header := proxyproto.HeaderProxyFromAddrs(version, net.TCPAddrFromAddrPort(source), net.TCPAddrFromAddrPort(source))
			want := Preamble{Source: source.Addr()}
			if version == 2 {
				want.TLS = true
				if err := header.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_SSL, Value: []byte{1, 0, 0, 0, 0}}}); err != nil {
					t.Fatal(err)
				}
			}
			text, err := header.Format()
			if err != nil {
				t.Fatal(err)
			}
			if got, n, err := ParsePreamble(text); got != want || n != len(text) || err != nil {
				t.Errorf("version %d, %s: %+v, %d, %v; want %+v, %d", version, addr, got, n, err, want, len(text))
			}
		}
	}
}

func FuzzParsePreamble(f *testing.F) {
	for _, seed := range [][]byte{
		[]byte("PROXY TCP4 192.0.2.1 203.0.113.9 56324 443\r\n{"),
		[]byte("PROXY TCP6 ::1 ::ffff:1.2.3.4 0 65535\r\n"),
		[]byte("PROXY UNKNOWN\r\n"), []byte("PROXY "), []byte("{\"type\":\"hello\"}\n"),
		frame(0x20, 0), frame(0x21, 0x11, body4), frame(0x21, 0x21, body6, extension(0x20, 1, 0, 0, 0, 0)),
		withChecksum(frame(0x21, 0x11, body4), 0), frame(0x21, 0x31, make([]byte, 216)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, n, err := ParsePreamble(data)
		switch {
		case n < 0 || n > len(data) || n > MaxPreamble || err != nil && n != 0:
			t.Fatalf("took %d bytes of %d, %v", n, len(data), err)
		case err == ErrNeedMore && len(data) >= MaxPreamble:
			t.Fatalf("%d bytes are not enough", len(data))
		case n == 0 && p != (Preamble{}):
			t.Fatalf("%+v without a preamble", p)
		}
		for i := range min(len(data), max(n, 1)) { // bytes that come one by one change nothing
			_, before, errBefore := ParsePreamble(data[:i])
			if n > 0 && errBefore != ErrNeedMore {
				t.Fatalf("%d bytes give %d, %v, but %d give %d", i, before, errBefore, len(data), n)
			}
		}
		if n == 0 || p.Source == (netip.Addr{}) {
			return
		}
		other, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			t.Fatalf("%q is accepted, but another implementation says %v", data[:n], err)
		}
		if source, ok := other.SourceAddr.(*net.TCPAddr); !ok || source.AddrPort().Addr().Unmap() != p.Source.Unmap() {
			t.Fatalf("%q is from %s here, from %v there", data[:n], p.Source, other.SourceAddr)
		}
	})
}

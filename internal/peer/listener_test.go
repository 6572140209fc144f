package peer

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestLoopbackHost(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.1.2.3": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true, "LocalHost": true,
		"0.0.0.0": false, "::": false, "": false, "192.0.2.1": false, "127.0.0.1.example.org": false, "localhost.example.org": false, "localho\u017ft": false, "127.1": false,
	} {
		if got := LoopbackHost(host); got != want {
			t.Errorf("LoopbackHost(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestParseProxies(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "192.0.2.1": "192.0.2.1/32", "2001:db8::/32": "2001:db8::/32", "::1": "::1/128",
		"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:10.0.0.1": "10.0.0.1/32", "0.0.0.0/0": "0.0.0.0/0", "127.0.0.1/32": "127.0.0.1/32",
	} {
		if p, err := ParseProxies([]string{text}); err != nil || p.String() != want {
			t.Errorf("ParseProxies(%q) = %s, %v; want %s", text, p, err, want)
		}
	}
	for text, hint := range map[string]string{
		"": "no network", "10.0.0.0/33": "no network", "10.0.0.1/8": "give the network 10.0.0.0/8 or the address 10.0.0.1",
		"10.0.0.0/08": "no network", "10/8": "no network", "localhost": "no network", "fe80::1%eth0": "without a zone", "fe80::%eth0/64": "no network",
		"10.0.0.0/8,10.0.0.0/8": "no network", " 10.0.0.1": "no network", "::ffff:0.0.0.0/90": "10.0.0.0/8", strings.Repeat("1", 1000): "no network", "1\n2": `1\n2`,
	} {
		if p, err := ParseProxies([]string{text}); err == nil || !strings.Contains(err.Error(), hint) || len(err.Error()) > 200 {
			t.Errorf("ParseProxies(%.20q) = %s, %v; want an error with %q", text, p, err, hint)
		}
	}
	many := make([]string, maxProxies+1)
	for i := range many {
		many[i] = "10.0.0.1"
	}
	if _, err := ParseProxies(many[1:]); err != nil {
		t.Error(err)
	}
	if _, err := ParseProxies(many); err == nil {
		t.Errorf("%d networks are accepted", len(many))
	}
	p, err := ParseProxies([]string{"10.0.0.0/8", "fe80::/10"})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "fe80::1%eth0": true, "11.0.0.1": false, "::10.1.2.3": false} {
		if got := p.Contains(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s contains %s: %v, want %v", p, text, got, want)
		}
	}
	if (Proxies{}).Contains(netip.MustParseAddr("10.0.0.1")) || p.Contains(netip.Addr{}) || !(Proxies{}).IsEmpty() || p.IsEmpty() {
		t.Error("the zero value has proxies, or the zero Addr is one")
	}
}

// Each listener under each policy, and who may connect to it. A peer is refused (-),
// or a list of what it is: local, loopback, proxy, encrypted; and whether it may
// send secrets.
func TestDecide(t *testing.T) {
	const table = `
loopback tls proxies origin insecure | from loopback          from 10.0.0.1         from 192.0.2.1
no       no  none    no     no       | unsafe
no       no  none    no     yes      | loopback,secrets       secrets               secrets
no       no  none    yes    no       | unsafe
no       no  none    yes    yes      | loopback,secrets       secrets               secrets
no       no  10/8    no     no       | -                      proxy                 -
no       no  10/8    no     yes      | loopback,secrets       proxy,secrets         secrets
no       no  10/8    yes    no       | -                      proxy                 -
no       no  10/8    yes    yes      | loopback,secrets       proxy,secrets         secrets
no       no  127/8   no     no       | proxy                  -                     -
no       no  127/8   no     yes      | proxy,secrets          secrets               secrets
no       no  127/8   yes    no       | proxy                  -                     -
no       no  127/8   yes    yes      | proxy,secrets          secrets               secrets
no       yes none    no     no       | loopback,encrypted,secrets encrypted,secrets encrypted,secrets
no       yes none    no     yes      | loopback,encrypted,secrets encrypted,secrets encrypted,secrets
no       yes none    yes    no       | loopback,encrypted,secrets encrypted,secrets encrypted,secrets
no       yes none    yes    yes      | loopback,encrypted,secrets encrypted,secrets encrypted,secrets
no       yes 10/8    no     no       | loopback,encrypted,secrets proxy             encrypted,secrets
no       yes 10/8    no     yes      | loopback,encrypted,secrets proxy,secrets     encrypted,secrets
no       yes 10/8    yes    no       | loopback,encrypted,secrets proxy             encrypted,secrets
no       yes 10/8    yes    yes      | loopback,encrypted,secrets proxy,secrets     encrypted,secrets
no       yes 127/8   no     no       | proxy                  encrypted,secrets     encrypted,secrets
no       yes 127/8   no     yes      | proxy,secrets          encrypted,secrets     encrypted,secrets
no       yes 127/8   yes    no       | proxy                  encrypted,secrets     encrypted,secrets
no       yes 127/8   yes    yes      | proxy,secrets          encrypted,secrets     encrypted,secrets
yes      no  none    no     no       | local,loopback,secrets .                     .
yes      no  none    no     yes      | local,loopback,secrets .                     .
yes      no  none    yes    no       | loopback,secrets       .                     .
yes      no  none    yes    yes      | loopback,secrets       .                     .
yes      no  10/8    no     no       | loopback,secrets       .                     .
yes      no  10/8    no     yes      | loopback,secrets       .                     .
yes      no  10/8    yes    no       | loopback,secrets       .                     .
yes      no  10/8    yes    yes      | loopback,secrets       .                     .
yes      no  127/8   no     no       | proxy                  .                     .
yes      no  127/8   no     yes      | proxy,secrets          .                     .
yes      no  127/8   yes    no       | proxy                  .                     .
yes      no  127/8   yes    yes      | proxy,secrets          .                     .
yes      yes none    no     no       | local,loopback,encrypted,secrets .           .
yes      yes none    no     yes      | local,loopback,encrypted,secrets .           .
yes      yes none    yes    no       | loopback,encrypted,secrets .                 .
yes      yes none    yes    yes      | loopback,encrypted,secrets .                 .
yes      yes 10/8    no     no       | loopback,encrypted,secrets .                 .
yes      yes 10/8    no     yes      | loopback,encrypted,secrets .                 .
yes      yes 10/8    yes    no       | loopback,encrypted,secrets .                 .
yes      yes 10/8    yes    yes      | loopback,encrypted,secrets .                 .
yes      yes 127/8   no     no       | proxy                  .                     .
yes      yes 127/8   no     yes      | proxy,secrets          .                     .
yes      yes 127/8   yes    no       | proxy                  .                     .
yes      yes 127/8   yes    yes      | proxy,secrets          .                     .
`
	networks := map[string][]string{"none": nil, "10/8": {"10.0.0.0/8"}, "127/8": {"127.0.0.0/8", "::1"}}
	rows := make(map[string]bool)
	for row := range strings.Lines(strings.TrimSpace(table)) {
		given, wants, _ := strings.Cut(row, "|")
		f := strings.Fields(given)
		if f[0] == "loopback" {
			continue
		}
		rows[given] = true
		l := Listener{URL: "http://host:6480", Loopback: f[0] == "yes", TLS: f[1] == "yes"}
		rules, err := Decide(l, Policy{Proxies: proxies(t, networks[f[2]]...), Origin: f[3] == "yes", Insecure: f[4] == "yes"})
		want := strings.Fields(wants)
		if want[0] == "unsafe" {
			unsafe, ok := errors.AsType[*UnsafeError](err)
			if !ok || unsafe.URL != l.URL {
				t.Errorf("%s: %v, want an UnsafeError", given, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", given, err)
			continue
		}
		for i, remotes := range [][]string{{"127.0.0.1", "::1", "::ffff:127.0.0.1"}, {"10.0.0.1", "::ffff:10.0.0.1"}, {"192.0.2.1", "2001:db8::1", "fe80::1%eth0"}} {
			for _, remote := range remotes {
				if want[i] == "." { // cannot come to a loopback listener
					continue
				}
				if got := describe(t, rules, netip.MustParseAddr(remote)); got != want[i] {
					t.Errorf("%s: from %s it is %s, want %s", given, remote, got, want[i])
				}
			}
		}
	}
	if want := 2 * 2 * 3 * 2 * 2; len(rows) != want {
		t.Errorf("the table has %d rows, want all %d", len(rows), want)
	}
}

func describe(t *testing.T, r Rules, remote netip.Addr) string {
	t.Helper()
	p, err := r.Accept(remote)
	if err != nil {
		if !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), fmt.Sprint("--proxy ", plain(remote))) || !strings.Contains(err.Error(), "--insecure") {
			t.Errorf("from %s: %v, want ErrUntrusted and what to set", remote, err)
		}
		return "-"
	}
	if p.Addr != plain(remote) {
		t.Errorf("from %s: the address is %s", remote, p.Addr)
	}
	var words []string
	for _, word := range []struct {
		text string
		is   bool
	}{{"local", p.Local}, {"loopback", p.Loopback}, {"proxy", p.Proxy}, {"encrypted", p.Encrypted}, {"secrets", r.TakesSecrets(p)}} {
		if word.is {
			words = append(words, word.text)
		}
	}
	return strings.Join(words, ",")
}

func TestUnsafeErrorSaysWhatToDo(t *testing.T) {
	text := (&UnsafeError{"tcp://0.0.0.0:6440"}).Error()
	for _, part := range []string{"tcp://0.0.0.0:6440", "127.0.0.1", "--proxy CIDR", "--insecure"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not mention %s", text, part)
		}
	}
}

func TestPreambleOfPeer(t *testing.T) {
	r, proxy := behind(t)
	client := func(addr string) Peer { return Peer{Addr: netip.MustParseAddr(addr)} }
	over := func(p Peer) Peer { p.Encrypted = true; return p }
	for _, test := range []struct {
		name, data string
		want       Peer
	}{
		{"none", "GET / HTTP/1.1\r\n", proxy},
		{"version 1", "PROXY TCP4 192.0.2.1 10.0.0.9 1 2\r\n", client("192.0.2.1")},
		{"mapped", "PROXY TCP6 ::ffff:192.0.2.1 fd00::1 1 2\r\n", client("192.0.2.1")},
		{"another proxy", "PROXY TCP4 10.0.0.5 10.0.0.9 1 2\r\n", Peer{Addr: netip.MustParseAddr("10.0.0.5"), Proxy: true}},
		{"loopback there is not loopback here", "PROXY TCP4 127.0.0.1 10.0.0.9 1 2\r\n", client("127.0.0.1")},
		{"unknown", "PROXY UNKNOWN\r\n", proxy},
		{"local", string(frame(0x20, 0)), proxy},
		{"TLS", string(frame(0x21, 0x11, body4, extension(0x20, 1, 0, 0, 0, 0))), over(client("192.0.2.1"))},
		{"TLS of an unknown client", string(frame(0x21, 0x31, make([]byte, 216), extension(0x20, 1, 0, 0, 0, 0))), over(proxy)},
	} {
		got, n, err := r.Preamble(proxy, []byte(test.data+"{"))
		if test.name == "none" {
			n += len(test.data)
		}
		if got != test.want || n != len(test.data) || err != nil {
			t.Errorf("%s: %+v, %d, %v; want %+v, %d", test.name, got, n, err, test.want, len(test.data))
		}
	}
	if _, _, err := r.Preamble(proxy, []byte("PROXY x\r\n")); !errors.Is(err, ErrMalformed) {
		t.Errorf("a malformed preamble: %v", err)
	}
	if _, _, err := r.Preamble(proxy, []byte("PROXY TCP4")); err != ErrNeedMore {
		t.Errorf("half a preamble: %v", err)
	}

	// A client behind PROXY has no say about others; a second proxy has.
	got, _, _ := r.Preamble(proxy, []byte("PROXY TCP4 192.0.2.1 10.0.0.9 1 2\r\n"))
	if _, err := r.Forwarded(got, headers{headerFor: {"1.1.1.1"}}); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a client behind PROXY forwards: %v", err)
	}
	got, _, _ = r.Preamble(proxy, []byte("PROXY TCP4 10.0.0.5 10.0.0.9 1 2\r\n"))
	if got, err := r.Forwarded(got, headers{headerFor: {"192.0.2.1"}, headerProto: {"https"}}); err != nil || got != over(client("192.0.2.1")) {
		t.Errorf("a proxy behind PROXY forwards: %+v, %v", got, err)
	}
	over5 := frame(0x21, 0x11, []byte{10, 0, 0, 5, 10, 0, 0, 9, 0, 1, 0, 2}, extension(0x20, 1, 0, 0, 0, 0))
	got, _, _ = r.Preamble(proxy, over5)
	if got, err := r.Forwarded(got, headers{headerProto: {"http"}}); err != nil || got.Encrypted {
		t.Errorf("the way to a proxy behind TLS is not encrypted, but %+v, %v", got, err)
	}
}

// Where the proxy is on this machine, programs here connect from its address. Without a
// preamble they may send secrets, but they are neither local nor free of limits, since a
// proxy without a preamble looks the same.
func TestProgramsBesideTheProxy(t *testing.T) {
	for _, test := range []struct {
		proxy, remote, data string
		direct, secrets     bool
	}{
		{"127.0.0.1", "127.0.0.1", "{", true, true},
		{"::1", "::1", "GET", true, true},
		{"127.0.0.0/8", "127.0.0.1", "PUT", true, true},
		{"127.0.0.1", "127.0.0.1", "PROXY UNKNOWN\r\n", false, false},
		{"127.0.0.1", "127.0.0.1", "PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", false, false},
		{"127.0.0.1", "127.0.0.1", "PROXY TCP4 192.0.2.1 127.0.0.1 1 2\r\n", false, false},
		{"127.0.0.1", "127.0.0.1", string(frame(0x20, 0)), false, false},
		{"10.0.0.0/8", "10.0.0.1", "{", false, false},
		{"10.0.0.0/8", "127.0.0.1", "{", false, true}, // loopback as ever
	} {
		proxies, err := ParseProxies([]string{test.proxy})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Decide(Listener{URL: "tcp://127.0.0.1:6440", Loopback: true}, Policy{Proxies: proxies})
		if err != nil {
			t.Fatal(err)
		}
		p, err := r.Accept(netip.MustParseAddr(test.remote))
		if err != nil || p.Direct {
			t.Fatalf("%+v: %+v, %v before it has said anything", test, p, err)
		}
		got, _, err := r.Preamble(p, []byte(test.data))
		if err != nil || got.Direct != test.direct || r.TakesSecrets(got) != test.secrets {
			t.Errorf("%+v: %+v, %v", test, got, err)
		}
		if got.Local || got.Loopback && test.direct {
			t.Errorf("%+v: %+v is local or free of limits", test, got)
		}
	}
}

func TestPreambleOfStranger(t *testing.T) {
	r, err := Decide(Listener{URL: "tcp://127.0.0.1:6440", Loopback: true}, Policy{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Accept(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"PROXY ", "PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", "PROXY nonsense", binaryStart, string(frame(0x20, 0))} {
		got, n, err := r.Preamble(p, []byte(data))
		if got != (Peer{}) || n != 0 || !errors.Is(err, ErrUntrusted) || !strings.Contains(err.Error(), "--proxy 127.0.0.1") {
			t.Errorf("%q: %+v, %d, %v; want ErrUntrusted and what to set", data, got, n, err)
		}
	}
	for _, data := range []string{"", "P", "PROXY", "\r", "\r\n\r\n"} {
		if got, n, err := r.Preamble(p, []byte(data)); got != p || n != 0 || err != ErrNeedMore {
			t.Errorf("%q: %+v, %d, %v; want ErrNeedMore", data, got, n, err)
		}
	}
	for _, data := range []string{"{", "PUT /", "\r\n{", "GET"} {
		if got, n, err := r.Preamble(p, []byte(data)); got != p || n != 0 || err != nil {
			t.Errorf("%q: %+v, %d, %v; want the peer as it was", data, got, n, err)
		}
	}
}

func FuzzParseProxies(f *testing.F) {
	for _, seed := range []string{"10.0.0.0/8", "::1", "::ffff:10.0.0.0/104", "fe80::1%x", "10.0.0.1/8", "/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseProxies([]string{text})
		if err != nil {
			return
		}
		again, err := ParseProxies([]string{p.String()})
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q is %s, which is %s, %v", text, p, again, err)
		}
		if first := p.networks[0].Addr(); !p.Contains(first) || first.Is4In6() {
			t.Fatalf("%s does not contain %s", p, first)
		}
	})
}

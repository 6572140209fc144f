package peer

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func proxies(t testing.TB, texts ...string) Proxies {
	t.Helper()
	p, err := ParseProxies(texts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// behind returns the rules of a listener behind proxies in 10.0.0.0/8 and
// fd00::/8, and a connection from one of them.
func behind(t testing.TB) (Rules, Peer) {
	t.Helper()
	r, err := Decide(Listener{URL: "http://0.0.0.0:6480"}, Policy{Proxies: proxies(t, "10.0.0.0/8", "fd00::/8")})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Accept(netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

type headers = map[string][]string

func TestForwarded(t *testing.T) {
	hops := func(n int) string { return strings.Repeat("10.1.1.1, ", n) }
	for _, test := range []struct {
		name      string
		headers   headers
		want      string // an address; "" for ErrMalformed
		encrypted bool
	}{
		{"nothing", headers{}, "10.0.0.1", false},
		{"one", headers{"X-Forwarded-For": {"192.0.2.1"}}, "192.0.2.1", false},
		{"with https", headers{"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}}, "192.0.2.1", true},
		{"only https", headers{"X-Forwarded-Proto": {"HTTPS"}}, "10.0.0.1", true},
		{"http", headers{"X-Forwarded-Proto": {"http"}}, "10.0.0.1", false},
		{"protocol of another kind", headers{"X-Forwarded-Proto": {"httpsx"}}, "10.0.0.1", false},
		{"protocol with a long s", headers{"X-Forwarded-Proto": {"http\u017f"}}, "10.0.0.1", false},
		{"no protocol", headers{"X-Forwarded-Proto": {""}}, "10.0.0.1", false},
		{"a made-up https before the proxy's http", headers{"X-Forwarded-Proto": {"https, http"}}, "10.0.0.1", false},
		{"the same in lines of their own", headers{"X-Forwarded-Proto": {"https", "http"}}, "10.0.0.1", false},
		{"https all the way", headers{"X-Forwarded-Proto": {"https,https"}}, "10.0.0.1", true},
		{"protocol of Forwarded", headers{"Forwarded": {"for=192.0.2.1;proto=https"}}, "192.0.2.1", false},
		{"other headers", headers{"X-Forwarded-Host": {"x"}, "X-Real-Ip": {"192.0.2.9"}}, "10.0.0.1", false},

		{"made-up first", headers{"X-Forwarded-For": {"1.1.1.1, 192.0.2.1"}}, "192.0.2.1", false},
		{"made-up loopback", headers{"X-Forwarded-For": {"127.0.0.1, 192.0.2.1"}}, "192.0.2.1", false},
		{"made-up proxy", headers{"X-Forwarded-For": {"10.0.0.2, 192.0.2.1"}}, "192.0.2.1", false},
		{"made-up line", headers{"X-Forwarded-For": {"1.1.1.1", "192.0.2.1"}}, "192.0.2.1", false},
		{"made-up garbage", headers{"X-Forwarded-For": {"<script>\x00\r\n%s,,, [, 192.0.2.1"}}, "192.0.2.1", false},
		{"made-up 64 KiB", headers{"X-Forwarded-For": {strings.Repeat("1.1.1.1,", 8<<10) + "192.0.2.1"}}, "192.0.2.1", false},
		{"made-up 1,000 lines", headers{"X-Forwarded-For": append(slices.Repeat([]string{"1.1.1.1"}, 1000), "192.0.2.1")}, "192.0.2.1", false},
		{"proxies in a row", headers{"X-Forwarded-For": {"1.1.1.1, 192.0.2.1, 10.0.0.3, fd00::1"}}, "192.0.2.1", false},
		{"proxies in lines", headers{"X-Forwarded-For": {"192.0.2.1", "10.0.0.3", "10.0.0.2"}}, "192.0.2.1", false},
		{"nothing but proxies", headers{"X-Forwarded-For": {"10.0.0.3, 10.0.0.2"}}, "10.0.0.3", false},
		{"32 hops", headers{"X-Forwarded-For": {"192.0.2.1, " + hops(31)}}, "192.0.2.1", false},
		{"33 hops", headers{"X-Forwarded-For": {"192.0.2.1, " + hops(32)}}, "", false},
		{"1,000 hops", headers{"X-Forwarded-For": {hops(1000)}}, "", false},

		{"port", headers{"X-Forwarded-For": {"192.0.2.1:0"}}, "192.0.2.1", false},
		{"port of IPv6", headers{"X-Forwarded-For": {"[2001:db8::1]:65535"}}, "2001:db8::1", false},
		{"brackets", headers{"X-Forwarded-For": {"[2001:db8::1]"}}, "2001:db8::1", false},
		{"no brackets", headers{"X-Forwarded-For": {"2001:db8::1"}}, "2001:db8::1", false},
		{"mapped", headers{"X-Forwarded-For": {"::ffff:192.0.2.1"}}, "192.0.2.1", false},
		{"mapped proxy", headers{"X-Forwarded-For": {"192.0.2.1, ::ffff:10.0.0.2"}}, "192.0.2.1", false},
		{"zone", headers{"X-Forwarded-For": {"fe80::1%eth0"}}, "fe80::1", false},
		{"empty elements", headers{"X-Forwarded-For": {",, 192.0.2.1 ,\t, "}}, "192.0.2.1", false},
		{"empty", headers{"X-Forwarded-For": {""}}, "10.0.0.1", false},
		{"empty lines", headers{"X-Forwarded-For": {"192.0.2.1", "", " , "}}, "192.0.2.1", false},
		{"unknown", headers{"X-Forwarded-For": {"192.0.2.1, Unknown"}}, "10.0.0.1", false},
		{"unknown behind a proxy", headers{"X-Forwarded-For": {"192.0.2.1, unknown, 10.0.0.2"}}, "10.0.0.2", false},
		{"concealed", headers{"X-Forwarded-For": {"_SEVKISEK"}}, "10.0.0.1", false},
		{"bad port", headers{"X-Forwarded-For": {"192.0.2.1:65536"}}, "", false},
		{"empty port", headers{"X-Forwarded-For": {"192.0.2.1:"}}, "", false},
		{"signed port", headers{"X-Forwarded-For": {"192.0.2.1:+1"}}, "", false},
		{"open bracket", headers{"X-Forwarded-For": {"[2001:db8::1"}}, "", false},
		{"text after a bracket", headers{"X-Forwarded-For": {"[2001:db8::1]x"}}, "", false},
		{"IPv4 in brackets", headers{"X-Forwarded-For": {"[192.0.2.1]"}}, "", false},
		{"quotes", headers{"X-Forwarded-For": {`"192.0.2.1"`}}, "", false},
		{"name", headers{"X-Forwarded-For": {"localhost"}}, "", false},
		{"leading zeros", headers{"X-Forwarded-For": {"192.0.02.1"}}, "", false},
		{"space inside", headers{"X-Forwarded-For": {"192.0.2.1 192.0.2.2"}}, "", false},
		{"NUL", headers{"X-Forwarded-For": {"192.0.2.1\x00"}}, "", false},
		{"CR LF", headers{"X-Forwarded-For": {"192.0.2.1\r\n"}}, "", false},
		{"garbage behind a proxy", headers{"X-Forwarded-For": {"x, 10.0.0.2"}}, "", false},

		{"Forwarded", headers{"Forwarded": {`for=192.0.2.1`}}, "192.0.2.1", false},
		{"Forwarded with all", headers{"Forwarded": {`By=10.0.0.1;FOR="[2001:db8::1]:4711";host="a,b;c";proto=http`}}, "2001:db8::1", false},
		{"Forwarded, escapes", headers{"Forwarded": {`for="\[2001:db8::1\]";x="\"\\"`}}, "2001:db8::1", false},
		{"Forwarded, made-up first", headers{"Forwarded": {`for=1.1.1.1, for=192.0.2.1`}}, "192.0.2.1", false},
		{"Forwarded, made-up line", headers{"Forwarded": {`for="`, `for=192.0.2.1`}}, "192.0.2.1", false},
		{"Forwarded, proxies", headers{"Forwarded": {`for=192.0.2.1,for="10.0.0.3:80"`, `for="[fd00::1]"`}}, "192.0.2.1", false},
		{"Forwarded, empty elements", headers{"Forwarded": {`, for=192.0.2.1;;, ,`}}, "192.0.2.1", false},
		{"Forwarded, unknown", headers{"Forwarded": {`for=1.1.1.1, for=unknown`}}, "10.0.0.1", false},
		{"Forwarded, concealed with a port", headers{"Forwarded": {`for=1.1.1.1, for="_gazonk:_p"`}}, "10.0.0.1", false},
		{"Forwarded without for", headers{"Forwarded": {`for=1.1.1.1, by=10.0.0.1`}}, "10.0.0.1", false},
		{"Forwarded, empty", headers{"Forwarded": {``}}, "10.0.0.1", false},
		{"Forwarded, the end quoted by the start", headers{"Forwarded": {`for=1.1.1.1;x=", for=192.0.2.1`}}, "", false},
		{"Forwarded, a quoted end quoted by the start", headers{"Forwarded": {`for=1.1.1.1;x=", for="[2001:db8::1]"`}}, "", false},
		{"Forwarded, a concealed end quoted by the start", headers{"Forwarded": {`for=1.1.1.1;x=", for="_a"`}}, "", false},
		{"Forwarded, for twice", headers{"Forwarded": {`for=1.1.1.1;for=192.0.2.1`}}, "", false},
		{"Forwarded, port without quotes", headers{"Forwarded": {`for=192.0.2.1:80`}}, "", false},
		{"Forwarded, brackets without quotes", headers{"Forwarded": {`for=[2001:db8::1]`}}, "", false},
		{"Forwarded, empty value", headers{"Forwarded": {`for=`}}, "", false},
		{"Forwarded, empty string", headers{"Forwarded": {`for=""`}}, "", false},
		{"Forwarded, no value", headers{"Forwarded": {`for`}}, "", false},
		{"Forwarded, spaces", headers{"Forwarded": {`for = 192.0.2.1`}}, "", false},
		{"Forwarded, text after a string", headers{"Forwarded": {`for="192.0.2.1"x`}}, "", false},
		{"Forwarded, NUL in a string", headers{"Forwarded": {"for=192.0.2.1;x=\"\x00\""}}, "", false},
		{"Forwarded, escaped LF", headers{"Forwarded": {"for=192.0.2.1;x=\"\\\n\""}}, "", false},
		{"Forwarded, escape at the end", headers{"Forwarded": {`for=192.0.2.1;x="\`}}, "", false},
		{"Forwarded, no address", headers{"Forwarded": {`for=localhost`}}, "", false},
		{"Forwarded, 16 KiB", headers{"Forwarded": {strings.Repeat("for=1.1.1.1,", 1364) + "for=192.0.2.1"}}, "192.0.2.1", false},
		{"Forwarded, 64 KiB", headers{"Forwarded": {strings.Repeat("for=1.1.1.1,", 5500) + "for=192.0.2.1"}}, "", false},
		{"Forwarded, 1,000 hops", headers{"Forwarded": {strings.Repeat("for=10.0.0.2,", 1000)}}, "", false},

		{"both, the same", headers{"X-Forwarded-For": {"1.1.1.1, 192.0.2.1"}, "Forwarded": {`for="192.0.2.1:80"`}}, "192.0.2.1", false},
		{"both, different", headers{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {`for=1.1.1.1`}}, "", false},
		{"both, one empty", headers{"X-Forwarded-For": {""}, "Forwarded": {`for=1.1.1.1`}}, "", false},
		{"both, other empty", headers{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {""}}, "", false},
		{"both, one malformed", headers{"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {`for`}}, "", false},
	} {
		r, p := behind(t)
		got, err := r.Forwarded(p, test.headers)
		if test.want == "" {
			if !errors.Is(err, ErrMalformed) || errors.Is(err, ErrUntrusted) || got != (Peer{}) {
				t.Errorf("%s: %+v, %v; want ErrMalformed", test.name, got, err)
			} else if len(err.Error()) > 250 || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("%s: the error is %q", test.name, err)
			}
			continue
		}
		want := Peer{Addr: netip.MustParseAddr(test.want), Encrypted: test.encrypted}
		want.Proxy = r.policy.Proxies.Contains(want.Addr)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", test.name, got, err, want)
		}
	}
}

func TestForwardedByStranger(t *testing.T) {
	for _, l := range []Listener{{URL: "https://0.0.0.0:6480", TLS: true}, {URL: "http://127.0.0.1:6480", Loopback: true}} {
		for _, policy := range []Policy{{}, {Proxies: proxies(t, "10.0.0.0/8")}} {
			r, err := Decide(l, policy)
			if err != nil {
				t.Fatal(err)
			}
			for _, remote := range []string{"192.0.2.7", "127.0.0.1", "::1"} {
				p, err := r.Accept(netip.MustParseAddr(remote))
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-Ip"} {
					got, err := r.Forwarded(p, headers{name: {""}})
					if !errors.Is(err, ErrUntrusted) || got != (Peer{}) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "--proxy "+remote) {
						t.Errorf("%s from %s with %s: %+v, %v; want ErrUntrusted and what to set", l.URL, remote, name, got, err)
					}
				}
				if got, err := r.Forwarded(p, headers{"Via": {"1.1 x"}}); err != nil || got != p {
					t.Errorf("%s from %s without a forwarding header: %+v, %v", l.URL, remote, got, err)
				}
			}
		}
	}
}

// Whatever a client puts before what its proxy adds, it is the client that the proxy
// sees, or the request is refused.
func TestClientCannotChooseAddress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, p := behindRapid(t)
		piece := rapid.OneOf(rapid.SampledFrom([]string{"for=", "1.1.1.1", "10.0.0.2", `"`, `\`, ",", ";", " ", "=", "[", "]", "::1", "for=10.0.0.2", "_x", "unknown", "proto=https"}), rapid.StringN(0, 5, 20))
		made := strings.Join(rapid.SliceOfN(piece, 0, 20).Draw(t, "made up"), "")
		client := rapid.SampledFrom([]string{"192.0.2.1", "2001:db8::1"}).Draw(t, "client")
		node := client
		if strings.Contains(client, ":") {
			node = `"[` + client + `]:80"`
		}
		onLine := rapid.Bool().Draw(t, "on the same line")
		add := func(value string) []string {
			if onLine {
				return []string{made + ", " + value}
			}
			return []string{made, value}
		}
		for _, h := range []headers{{headerFor: add(client)}, {headerForwarded: add("for=" + node)}} {
			if got, err := r.Forwarded(p, h); err == nil && got.Addr != netip.MustParseAddr(client) {
				t.Fatalf("%q is from %s, want %s", h, got.Addr, client)
			}
		}
		if got, err := r.Forwarded(p, headers{headerProto: add("http")}); err != nil || got.Encrypted {
			t.Fatalf("%q is encrypted", add("http"))
		}
	})
}

func behindRapid(t *rapid.T) (Rules, Peer) {
	all, err := ParseProxies([]string{"10.0.0.0/8", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decide(Listener{URL: "http://0.0.0.0:6480"}, Policy{Proxies: all})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Accept(netip.MustParseAddr("10.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	return r, p
}

func FuzzForwarded(f *testing.F) {
	for _, seed := range []string{
		"192.0.2.1", "1.1.1.1, 10.0.0.2", "[2001:db8::1]:80,unknown", `for="[2001:db8::1]:80";by=_x, for=10.0.0.2`,
		`for="\"";x=";,"`, "fe80::1%eth0", ",,;;==", "\x00\r\n", `for=1.1.1.1;x=", for="`,
	} {
		f.Add(seed, seed, "https")
	}
	f.Fuzz(func(t *testing.T, forwardedFor, forwarded, proto string) {
		r, p := behind(t)
		for _, h := range []headers{
			{headerFor: {forwardedFor}},
			{headerForwarded: {forwarded}},
			{headerFor: {forwardedFor}, headerForwarded: {forwarded}, headerProto: {proto}},
			{headerFor: {forwardedFor, forwarded}},
			{headerForwarded: {forwardedFor, forwarded}},
		} {
			got, err := r.Forwarded(p, h)
			switch {
			case err != nil && (got != Peer{} || !errors.Is(err, ErrMalformed) || len(err.Error()) > 500):
				t.Fatalf("%q: %+v, %v", h, got, err)
			case err == nil && (!got.Addr.IsValid() || got.Addr.Is4In6() || got.Addr.Zone() != "" || got.Loopback || got.Local):
				t.Fatalf("%q: %+v", h, got)
			case err == nil && got.Encrypted && strings.Trim(strings.ReplaceAll(strings.ToLower(proto), "https", ""), ", \t") != "":
				t.Fatalf("%q is encrypted", h)
			}
		}
	})
}

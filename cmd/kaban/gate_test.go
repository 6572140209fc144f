package main

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"kaban/internal/limit"
	"kaban/internal/peer"
)

// TestListenersAndFlags is the table of listeners and flags. What would send passwords
// through a network in the clear is refused, and says what to do.
func TestListenersAndFlags(t *testing.T) {
	for _, c := range []struct {
		listen   string
		proxy    []string
		insecure bool
		origin   []string
		refused  string // "": it is not
		local    bool
		proxies  bool // only they may connect
	}{
		{listen: "tcp://127.0.0.1:0", local: true},
		{listen: "http://localhost:0", local: true},
		{listen: "tcp://[::1]:0", local: true},
		{listen: "tcp://127.0.0.1:0", origin: []string{"https://chat.example.org"}},
		{listen: "tcp://127.0.0.1:0", proxy: []string{"10.0.0.0/8"}},
		{listen: "tcp://127.0.0.1:0", insecure: true, local: true},
		{listen: "tcp://0.0.0.0:0", refused: "--insecure"},
		{listen: "http://0.0.0.0:0", refused: "--proxy"},
		{listen: "tcp://[::]:0", refused: "127.0.0.1"},
		{listen: "tcp://:0", refused: "--insecure"},
		{listen: "tcp://chat.example.org:0", refused: "--insecure"},
		{listen: "tcp://0.0.0.0:0", insecure: true},
		{listen: "metrics://127.0.0.1:0", local: true},
		{listen: "metrics://0.0.0.0:0", refused: "--insecure"},
		{listen: "metrics://0.0.0.0:0", insecure: true},
		{listen: "metrics://0.0.0.0:0", proxy: []string{"10.0.0.0/8"}, proxies: true},
		{listen: "tcp://0.0.0.0:0", proxy: []string{"10.0.0.0/8"}, proxies: true},
		{listen: "tcp://0.0.0.0:0", proxy: []string{"10.0.0.0/8"}, insecure: true},
		{listen: "tcp://127.0.0.1:0", proxy: []string{"10.0.0.1/8"}, refused: "10.0.0.0/8"},
		{listen: "tcp://127.0.0.1:0", proxy: []string{"proxy.example.org"}, refused: "--proxy"},
	} {
		command := serveCommand{Listen: []string{c.listen}, Proxy: c.proxy, Insecure: c.insecure, Origin: c.origin}
		endpoints, err := parseListens("--listen", command.Listen)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := command.policy()
		if err == nil {
			err = command.decide(endpoints, policy)
		}
		if c.refused != "" {
			if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%+v: got %v, want exit code 2 and %q", c, err, c.refused)
			}
			continue
		}
		if err != nil || endpoints[0].rules.Local != c.local || endpoints[0].rules.OnlyProxies != c.proxies {
			t.Errorf("%+v: got %v %+v", c, err, endpoints[0].rules)
		}
	}
}

// TestListenersWithTLS is the table of addresses beside each other. An encrypted one is
// for anybody, and one of HTTP beside https only leads there, so it is as well.
func TestListenersWithTLS(t *testing.T) {
	const https = "https://0.0.0.0:0"
	for _, c := range []struct {
		listen    []string
		proxy     []string
		insecure  bool
		refused   string // "": it is not
		redirects bool   // the last address
	}{
		{listen: []string{https}},
		{listen: []string{"https://chat.example.org:0"}},
		{listen: []string{https, "http://0.0.0.0:0"}, redirects: true},
		{listen: []string{https, "http://0.0.0.0:0"}, proxy: []string{"10.0.0.0/8"}, redirects: true},
		{listen: []string{https, "http://0.0.0.0:0"}, insecure: true, redirects: true},
		{listen: []string{"https://127.0.0.1:0", "http://0.0.0.0:0"}, redirects: true},
		{listen: []string{https, "http://127.0.0.1:0"}},
		{listen: []string{https, "http://localhost:0"}},
		{listen: []string{https, "tcp://127.0.0.1:0"}},
		{listen: []string{https, "tcp://0.0.0.0:0"}, refused: "tcp://0.0.0.0:0 can be reached from other machines"},
		{listen: []string{"tcp://127.0.0.1:0", "http://0.0.0.0:0"}, refused: "https:// and a certificate"},
	} {
		command := serveCommand{Listen: c.listen, Proxy: c.proxy, Insecure: c.insecure}
		endpoints, err := parseListens("--listen", command.Listen)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := command.policy()
		if err != nil {
			t.Fatal(err)
		}
		err = command.decide(endpoints, policy)
		if c.refused != "" {
			if _, ok := errors.AsType[usageError](err); !ok || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%+v: got %v, want exit code 2 and %q", c, err, c.refused)
			}
			continue
		}
		last := endpoints[len(endpoints)-1].rules
		if err != nil || last.Redirects != c.redirects || last.OnlyProxies {
			t.Errorf("%+v: got %v %+v", c, err, last)
		}
	}
}

// The table [limits] sets what it names, and a mistake in it says where it is.
func TestLimitsOfAFile(t *testing.T) {
	load := func(text string) (limit.Config, error) {
		got, err := loadFile(writeFile(t, text))
		if err != nil {
			return limit.Config{}, err
		}
		return got.limits, got.problems
	}
	want := limit.Defaults()
	want.AddressConnections, want.AccountMessagesPerSecond = 7, 0
	for _, text := range []string{
		"insecure = true\n[limits]\naddress_connections = 7\naccount_messages_per_second = 0\n",
		"limits.address_connections = 7\nlimits.account_messages_per_second = 0\n",
	} {
		if got, err := load(text); err != nil || got != want {
			t.Errorf("got %+v %v, want %+v", got, err, want)
		}
	}
	for text, want := range map[string]string{
		"[limits]\naddress_connections = -1\n":      "line 2",
		"[limits]\n\naddress_conections = 1\n":      `line 3: unknown key "limits.address_conections", did you mean "limits.address_connections"?`,
		"[limits]\naddress_connections = 'many'\n":  "line 2",
		"[limit]\naddress_connections = 1\n":        "line 1: unknown key",
		"limits = 5\n":                              "line 1: unknown key",
		"[limits]\naddress_connections = 2000000\n": "1000000",
	} {
		if got, err := load(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v %v, want %q", text, got, err, want)
		}
	}
}

// Guesses from this machine are exempt, unless a proxy brings others from there.
func TestExempt(t *testing.T) {
	for _, c := range []struct {
		proxy, addr string
		want        bool
	}{{"10.0.0.0/8", "127.0.0.1", true}, {"127.0.0.0/8", "127.0.0.1", false}, {"127.0.0.1", "::1", true}, {"10.0.0.0/8", "10.0.0.1", false}} {
		proxies, err := peer.ParseProxies([]string{c.proxy})
		if err != nil {
			t.Fatal(err)
		}
		if got := exempt(peer.Policy{Proxies: proxies})(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}

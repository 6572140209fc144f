package conn

import (
	"net"
	"net/netip"
	"testing"

	"kaban/internal/idpool"
)

// addressed is a connection from somewhere.
type addressed struct {
	net.Conn
	remote net.Addr
}

func (a addressed) RemoteAddr() net.Addr { return a.remote }

func TestSources(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1000":                 "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1000":        "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:1000":    "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:1000":    "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1000":            "fe80::/64",
		"127.0.0.1:1000":                 "",
		"127.9.9.9:1000":                 "",
		"[::1]:1000":                     "",
		"[::ffff:127.0.0.1]:1000":        "",
		"[2001:db8:1:3:ffff:1:2:3]:1000": "2001:db8:1:3::/64",
	} {
		got := sourceOf(addressed{remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))})
		if (want == "") == got.IsValid() || want != "" && got.String() != want {
			t.Errorf("%s: got %s, want %q", remote, got, want)
		}
	}
	if got := sourceOf(addressed{remote: &net.UnixAddr{Name: "@"}}); got.IsValid() {
		t.Errorf("a Unix socket: got %s, want none", got)
	}
}

// One address has its own first make room, and nobody else's.
func TestNewcomersFromOneAddress(t *testing.T) {
	one, other := netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/64")
	n := newcomers{mostFromOne: 2}
	l, ids := &loop{poller: new(testPoller)}, idpool.New(8)
	h := make([]*Handler, 8)
	for i := range h {
		token, err := ids.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		h[i] = &Handler{loop: l, token: token}
	}
	for i, c := range []struct {
		source netip.Prefix
		want   *Handler
	}{{one, nil}, {other, nil}, {one, nil}, {one, h[0]}, {other, nil}, {one, h[2]}, {netip.Prefix{}, nil}, {netip.Prefix{}, nil}} {
		if got := n.enter(h[i], c.source, uint64(i), func() {}); got != c.want {
			t.Errorf("connection %d has the wrong one make room", i)
		}
	}
	n.leave(h[1])
	n.leave(h[1]) // again, as a handler may
	n.leave(h[0])
	if got := n.first(2); len(got) != 2 || got[0] != h[3] || got[1] != h[4] {
		t.Errorf("the first are not those that came first")
	}
	if got := n.first(10); len(got) != 3 || got[0] != h[5] {
		t.Errorf("%d are left, want 3", len(got))
	}
	for i := range n.shards {
		if s := &n.shards[i]; s.all.Len() != 0 || len(s.sources) != 0 {
			t.Errorf("%d connections and %d addresses are left of none", s.all.Len(), len(s.sources))
		}
	}
}

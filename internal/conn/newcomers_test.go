package conn

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"kaban/internal/idpool"
	"kaban/internal/tcp"
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
		got := tcp.NetworkOf(remoteOf(addressed{remote: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(remote))}))
		if (want == "") == got.IsValid() || want != "" && got.String() != want {
			t.Errorf("%s: got %s, want %q", remote, got, want)
		}
	}
	if got := remoteOf(addressed{remote: &net.UnixAddr{Name: "@"}}); got.IsValid() {
		t.Errorf("a Unix socket: got %s, want none", got)
	}
}

// crowd returns handlers that may become newcomers.
func crowd(t *testing.T, size int) []*Handler {
	t.Helper()
	l, ids := &loop{poller: new(testPoller)}, idpool.New(size)
	handlers := make([]*Handler, size)
	for i := range handlers {
		token, err := ids.Acquire()
		if err != nil {
			t.Fatal(err)
		}
		handlers[i] = &Handler{loop: l, token: token}
	}
	return handlers
}

func (n *newcomers) checkEmpty(t *testing.T) {
	t.Helper()
	for i := range n.shards {
		if s := &n.shards[i]; s.all.Len() != 0 || len(s.sources) != 0 {
			t.Errorf("%d connections and %d addresses are left of none", s.all.Len(), len(s.sources))
		}
	}
}

// One address has its own make room, and nobody else's.
func TestNewcomersFromOneAddress(t *testing.T) {
	one, other := netip.MustParsePrefix("192.0.2.7/32"), netip.MustParsePrefix("2001:db8::/64")
	n := newcomers{mostFromOne: 2}
	h := crowd(t, 8)
	in := make(map[*Handler]netip.Prefix)
	for i, c := range []struct {
		source netip.Prefix
		full   bool
	}{{one, false}, {other, false}, {one, false}, {one, true}, {other, false}, {one, true}, {netip.Prefix{}, false}, {netip.Prefix{}, false}} {
		got := n.enter(h[i], c.source, uint64(i), func() {})
		if (got != nil) != c.full || got != nil && in[got] != c.source {
			t.Errorf("connection %d has the wrong one make room", i)
		}
		delete(in, got)
		in[h[i]] = c.source
	}
	var left []*Handler
	for i := range h {
		if _, ok := in[h[i]]; ok {
			left = append(left, h[i])
		}
	}
	n.leave(left[2])
	n.leave(left[2]) // again, as a handler may
	if got := n.first(2); len(got) != 2 || got[0] != left[0] || got[1] != left[1] {
		t.Errorf("the first are not those that came first")
	}
	if got := n.first(10); len(got) != 3 || got[0] != left[3] {
		t.Errorf("%d are left, want 3", len(got))
	}
	n.checkEmpty(t)
}

// A flood from an address gives each connection from there the same chance, so
// that one with a hello to come is not always the first to go. The new one stays.
func TestARandomNewcomerMakesRoom(t *testing.T) {
	const most, rounds = 8, 2000
	one := netip.MustParsePrefix("192.0.2.7/32")
	n := newcomers{mostFromOne: most}
	h := crowd(t, most+1)
	in := make([]*Handler, 0, most)
	for i := range most {
		n.enter(h[i], one, uint64(i), func() {})
		in = append(in, h[i])
	}
	fresh := h[most]
	var ages [most]int // of those that make room: 0 is the one that came first
	for i := range rounds {
		gone := n.enter(fresh, one, uint64(most+i), func() {})
		at := slices.Index(in, gone)
		if at < 0 {
			t.Fatal("nobody from there makes room, or the new one does")
		}
		ages[at]++
		in = append(slices.Delete(in, at, at+1), fresh)
		fresh = gone
	}
	for age, count := range ages {
		if expected := rounds / most; count < expected/2 || count > 2*expected { // 8 standard deviations
			t.Errorf("the one that came at place %d made room %d times of %d", age, count, rounds)
		}
	}
	for _, handler := range in {
		n.leave(handler)
	}
	n.checkEmpty(t)
}

// A connection through a proxy counts for the address behind it, once that is known.
func TestNewcomersMove(t *testing.T) {
	client := netip.MustParsePrefix("192.0.2.7/32")
	n := newcomers{mostFromOne: 2}
	h := crowd(t, 4)
	for i := range h {
		n.enter(h[i], netip.Prefix{}, uint64(i), func() {})
	}
	for i := range 2 {
		if got := n.move(h[i], client); got != nil {
			t.Errorf("connection %d has one make room where there is room", i)
		}
	}
	if got := n.move(h[2], client); got != h[0] && got != h[1] {
		t.Error("a third connection from an address has nobody from there make room")
	}
	n.leave(h[3])
	if got := n.move(h[3], client); got != nil || h[3].place != nil {
		t.Error("a connection that is no newcomer any more becomes one")
	}
	if got := n.first(10); len(got) != 2 {
		t.Errorf("%d are left, want 2", len(got))
	}
	n.checkEmpty(t)
}

// A loop may accept a connection, read its hello and admit it before the connection has
// its place among the newcomers. It is none for good then, all the same.
func TestANewcomerIsAdmittedAtOnce(t *testing.T) {
	n := newcomers{mostFromOne: 10}
	one := netip.MustParsePrefix("192.0.2.7/32")
	for _, h := range crowd(t, 1000) {
		left := make(chan struct{})
		go func() {
			defer close(left)
			for h.loop.takesNothing() {
			}
			n.leave(h)
		}()
		n.enter(h, one, 1, func() {})
		<-left
		h.loop.posts.calls = nil
	}
	n.checkEmpty(t)
}

// takesNothing reports whether nothing was posted.
func (l *loop) takesNothing() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.posts.calls) == 0
}

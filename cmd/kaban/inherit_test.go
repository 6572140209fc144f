package main

import (
	"net"
	"strings"
	"testing"

	"kaban/internal/peer"
	"kaban/internal/systemd"
)

// fakeListener is a socket at an address.
type fakeListener struct {
	net.Listener
	addr   net.TCPAddr
	closed bool
}

func (l *fakeListener) Addr() net.Addr { return &l.addr }
func (l *fakeListener) Close() error   { l.closed = true; return nil }

// Sockets of the service manager are for the --listen with their address, or else with
// their name. One that nobody would serve is refused, and so is one that is open to more
// machines than its URL says.
func TestInheritedSockets(t *testing.T) {
	for _, c := range []struct {
		name    string
		listen  string // separated by spaces
		sockets string // NAME=IP:PORT
		want    string // the number of the socket for each --listen, or - for none
		refused string
	}{
		{"none", "tcp://127.0.0.1:1 http://127.0.0.1:2", "", "--", ""},
		{"by address", "tcp://127.0.0.1:1 http://127.0.0.1:2", "x=127.0.0.1:2 x=127.0.0.1:1", "10", ""},
		{"by name", "tcp://127.0.0.1:1 http://127.0.0.1:2", "http=127.0.0.1:7 tcp=127.0.0.1:8", "10", ""},
		{"the address wins", "tcp://127.0.0.1:1 tcp://127.0.0.1:2", "tcp=127.0.0.1:7 tcp=127.0.0.1:1", "10", ""},
		{"one of two", "tcp://127.0.0.1:1 http://127.0.0.1:2", "http=127.0.0.1:7", "-0", ""},
		{"two of a name", "tcp://127.0.0.1:1 tcp://127.0.0.1:2", "tcp=127.0.0.1:7 tcp=127.0.0.1:8", "01", ""},
		{"localhost", "tcp://localhost:1", "x=127.0.0.1:1", "0", ""},
		{"IPv6", "tcp://[::1]:1", "x=[::1]:1", "0", ""},
		{"left over", "tcp://127.0.0.1:1", "x=127.0.0.1:7", "", "127.0.0.1:7"},
		{"another port", "tcp://127.0.0.1:1", "x=127.0.0.1:2", "", "127.0.0.1:2"},
		{"too many of a name", "tcp://127.0.0.1:1", "tcp=127.0.0.1:7 tcp=127.0.0.1:8", "", "127.0.0.1:8"},
		{"not a local address", "tcp://localhost:1", "x=192.0.2.1:1", "", "192.0.2.1:1"},
		{"open to the network", "tcp://127.0.0.1:1", "tcp=[::]:1", "", "--insecure"},
		{"open, under its name", "tcp://127.0.0.1:1", "tcp=192.0.2.1:1", "", "--insecure"},
	} {
		endpoints, err := parseListens("--listen", strings.Fields(c.listen))
		if err != nil {
			t.Fatal(err)
		}
		var passed []systemd.Listener
		var fakes []*fakeListener
		for text := range strings.FieldsSeq(c.sockets) {
			name, at, _ := strings.Cut(text, "=")
			addr, err := net.ResolveTCPAddr("tcp", at)
			if err != nil {
				t.Fatal(err)
			}
			fakes = append(fakes, &fakeListener{addr: *addr})
			passed = append(passed, systemd.Listener{Listener: fakes[len(fakes)-1], Name: name})
		}
		err = new(serveCommand).take(passed, endpoints, peer.Policy{})
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: got %v, want %s", c.name, err, c.refused)
			}
			for i, f := range fakes {
				if !f.closed {
					t.Errorf("%s: socket %d stays open", c.name, i)
				}
			}
			continue
		}
		got := ""
		for _, e := range endpoints {
			place := "-"
			for i, f := range fakes {
				if e.listener == net.Listener(f) {
					place = string(rune('0' + i))
				}
			}
			got += place
		}
		if err != nil || got != c.want {
			t.Errorf("%s: got %s %v, want %s", c.name, got, err, c.want)
		}
	}
}

// Any address of a wildcard is meant by each of its spellings.
func TestWildcards(t *testing.T) {
	for _, listen := range []string{"tcp://:1", "tcp://0.0.0.0:1", "tcp://[::]:1"} {
		e, err := parseListen("--listen", listen)
		if err != nil {
			t.Fatal(err)
		}
		for text, want := range map[string]bool{"0.0.0.0:1": true, "[::]:1": true, "127.0.0.1:1": false, "0.0.0.0:2": false} {
			addr, err := net.ResolveTCPAddr("tcp", text)
			if err != nil {
				t.Fatal(err)
			}
			if got := e.isAt(addr); got != want {
				t.Errorf("%s is at %s: %t", listen, text, got)
			}
		}
	}
}

package server_test

import (
	"crypto/tls"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"kaban/internal/limit"
	peers "kaban/internal/peer"
	"kaban/internal/tlstest"
)

// The log has the address of a peer in one form, before a hello and after it, with IPv4 and
// IPv6: without a port and without brackets.
func TestRemoteInTheLog(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		for _, greeted := range []bool{false, true} {
			l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				t.Skip("this machine has no IPv6: ", err)
			}
			g := gate(t, limit.Config{}, peers.Policy{})
			rules, err := peers.Decide(peers.Listener{URL: "tls://localhost:1", Loopback: true, TLS: true}, peers.Policy{})
			if err != nil {
				t.Fatal(err)
			}
			below := g.belowTLS(l, rules)
			broken := "\x16\x03\x01\x00\x05wrong" // no hello of TLS
			if greeted {
				broken = "\x17\x03\x03\x00\x05wrong" // no record of this connection
				conn := tls.Client(below, tlstest.Client())
				p := &peer{t: t, conn: conn, decoder: json.NewDecoder(conn)}
				p.say(`{"type":"hello","version":1,"username":"ann"}`)
				p.expect("welcome")
			}
			if _, err := below.Write([]byte(broken)); err != nil {
				t.Fatal(err)
			}
			for rest := make([]byte, 512); err == nil; { // until the server has closed it
				_, err = below.Read(rest)
			}
			g.stop()
			if want := `msg="TLS failed" remote=` + host + " err="; !strings.Contains(g.log.String(), want) {
				t.Errorf("after a hello: %t: the log lacks %s: %s", greeted, want, g.log)
			}
		}
	}
}

package server_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"kaban/internal/limit"
	peers "kaban/internal/peer"
)

// One stranger uses up what an address may have: visitors from there wait. Visitors
// from elsewhere come in, and so do accounts from there.
func TestAStrangerKeepsNobodyOut(t *testing.T) {
	limits := limit.Defaults()
	g := gate(t, limits, peers.Policy{Insecure: true})
	tokens := g.open("ann")
	for i := range limits.AddressConnections {
		g.visit("192.0.2.1", fmt.Sprint("v", i)).expect("welcome")
	}
	g.visit("192.0.2.1", "late").limited()
	g.visit("2001:db8::1", "other").expect("welcome")
	ann := g.enter("192.0.2.1", tokens["ann"])
	ann.expect("welcome", "username", "ann")
	for range 2 * limits.AddressConnectionsPerMinute { // that fail count for the address
		p := g.from("192.0.2.3")
		p.say("nonsense")
		p.expect("error")
		p.conn.Close()
	}
	visits := 0
	eventually(t, "those that fail count", func() bool {
		visits++
		p := g.visit("192.0.2.3", "unlucky")
		f, err := p.next()
		p.conn.Close()
		return err == nil && f["code"] == "rate_limited"
	})
	if visits > limits.AddressConnectionsPerMinute/2 {
		t.Errorf("it took %d visits to use up what an address has after as many failures", visits)
	}
	g.enter("192.0.2.3", tokens["ann"]).expect("welcome")
	g.clock.Add(int64(10 * time.Minute))
	g.visit("192.0.2.3", "patient").expect("welcome")
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !isSo(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it never comes", what)
		}
	}
}

// A visitor that leaves gives its place to another.
func TestPlacesAreGivenBack(t *testing.T) {
	g := gate(t, limit.Config{AddressConnections: 1, AccountConnections: 1}, peers.Policy{Insecure: true})
	tokens := g.open("ann")
	for _, enter := range []func() *peer{
		func() *peer { return g.visit("192.0.2.1", "vic") },
		func() *peer { return g.enter("192.0.2.1", tokens["ann"]) },
	} {
		first := enter()
		first.expect("welcome")
		enter().limited()
		first.conn.Close()
		eventually(t, "a free place", func() bool {
			p := enter()
			f, err := p.next()
			p.conn.Close()
			return err == nil && f["type"] == "welcome"
		})
	}
}

// 500 people behind one address come back after a restart: within a minute, though
// none of them waits for another.
func TestPeopleBehindOneAddressComeBack(t *testing.T) {
	const people = 500
	g := gate(t, limit.Defaults(), peers.Policy{Insecure: true})
	names := make([]string, 5) // the limits count accounts alike, so a few stand for all
	for i := range names {
		names[i] = fmt.Sprint("person", i)
	}
	tokens := g.open(names...)
	for i := range people {
		p := g.enter("192.0.2.1", tokens[names[i%len(names)]])
		p.expect("welcome")
	}
}

// Beyond the rate of an account nothing is refused or lost: the server reads later.
func TestAFilterIsPaced(t *testing.T) {
	limits := limit.Defaults()
	limits.AccountMessagesPerSecond, limits.AccountMessagesBurst = 1000, 100
	g := gate(t, limits, peers.Policy{Insecure: true})
	tokens := g.open("ann", "bob")
	ann, bob := g.enter("192.0.2.1", tokens["ann"]), g.enter("192.0.2.2", tokens["bob"])
	for _, p := range []*peer{ann, bob} {
		p.expect("welcome")
		p.say(`{"type":"join","room":"lobby"}`)
		p.expect("joined")
	}
	const lines = 400
	go func() {
		for i := range lines {
			fmt.Fprintf(ann.conn, `{"type":"send","room":"lobby","id":"%d","content":"%d"}`+"\n", i, i)
		}
	}()
	for i := range 100 {
		ann.expect("ack", "id", i)
	}
	bob.pong(t)
	ann.silent(t)
	for i := 100; i < lines; i++ { // each waits for the clock
		g.clock.Add(int64(time.Millisecond))
		ann.expect("ack", "id", i)
	}
}

// silent checks that nothing comes while the clock stands still.
func (p *peer) silent(t *testing.T) {
	t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	var f frame
	if err := p.decoder.Decode(&f); err == nil {
		t.Fatalf("got %s", f)
	}
	p.decoder = json.NewDecoder(p.conn) // the old one has kept the error
}

// pong checks that a connection is read.
func (p *peer) pong(t *testing.T) {
	t.Helper()
	p.say(`{"type":"ping"}`)
	for {
		f, err := p.next()
		if err != nil {
			t.Fatal(err)
		}
		if f["type"] == "pong" {
			return
		}
	}
}

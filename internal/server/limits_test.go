package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"kaban/internal/store/teststore"

	"kaban/internal/account"
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

// 500 people behind one address come back at once after a restart, and none of them is
// asked to wait.
func TestPeopleBehindOneAddressComeBack(t *testing.T) {
	const people = 500
	s := teststore.New(t)
	g := gateOver(t, s, limit.Defaults(), peers.Policy{Insecure: true})
	names := make([]string, 5) // the limits count accounts alike, so a few stand for all
	for i := range names {
		names[i] = fmt.Sprint("person", i)
	}
	tokens := g.open(names...)
	for range 2 {
		var in sync.WaitGroup
		for i := range people {
			p := g.from("192.0.2.1")
			in.Go(func() {
				fmt.Fprintf(p.conn, `{"type":"hello","version":1,"token":%q}`+"\n", tokens[names[i%len(names)]])
				if f, err := p.next(); err != nil || f["type"] != "welcome" {
					t.Errorf("person %d got %v %v", i, f, err)
				}
			})
		}
		in.Wait()
		g.stop()
		g = gateOver(t, s, limit.Defaults(), peers.Policy{Insecure: true})
	}
}

// A stranger opens 1,000 connections (200 over TLS) and says nothing, or no hello that is accepted.
// Others get in at once: visitors from elsewhere, and accounts from the same address.
func TestAThousandConnectionsOfAStranger(t *testing.T) {
	crowd := crowdOf(1000)
	for name, says := range map[string]string{
		"nothing":        "",
		"half a hello":   `{"type":"hello",`,
		"a wrong secret": `{"type":"hello","version":1,"token":"kaban_wrong"}` + "\n",
		"a visitor":      `{"type":"hello","version":1,"username":"stranger"}` + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			g := gate(t, limit.Defaults(), peers.Policy{Insecure: true})
			tokens := g.open("ann")
			for range crowd {
				fmt.Fprint(g.from("192.0.2.1").conn, says)
			}
			g.enter("192.0.2.1", tokens["ann"]).expect("welcome")
			g.visit("192.0.2.2", "vic").expect("welcome")
			g.enter("2001:db8::1", tokens["ann"]).expect("welcome")
		})
	}
}

// Beyond the rate of an account nothing is refused or lost: the server reads later. That
// holds for what is sent to rooms that the account is not in, too: the store is asked
// about each such message, which may be a repeat.
func TestAFilterIsPaced(t *testing.T) {
	t.Parallel()
	for room, answer := range map[string]string{"lobby": "ack", "den": "error", "nowhere": "error"} {
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
		bob.must(`{"type":"create","room":"den","kind":"private"}`)
		const lines = 400
		go func() {
			for i := range lines {
				fmt.Fprintf(ann.conn, `{"type":"send","room":"%s","id":"%d","content":"%d"}`+"\n", room, i, i)
			}
		}()
		for i := range 100 {
			ann.expect(answer, "id", i)
		}
		bob.pong(t)
		ann.silent(t)
		for i := 100; i < lines; i++ { // each waits for the clock
			g.clock.Add(int64(time.Millisecond))
			ann.expect(answer, "id", i)
		}
	}
}

// At the rate that accounts have by default, more lines than an account may send at once
// are stored in their order, each acked when it is.
func TestAFilterAtTheDefaultRate(t *testing.T) {
	const lines = 600
	limits := limit.Defaults()
	g := gate(t, limits, peers.Policy{Insecure: true})
	ann := g.enter("192.0.2.1", g.open("ann")["ann"])
	ann.expect("welcome")
	ann.must(`{"type":"join","room":"lobby"}`)
	go func() {
		for i := range lines {
			fmt.Fprintf(ann.conn, `{"type":"send","room":"lobby","id":"%d","content":"%d"}`+"\n", i, i)
		}
	}()
	var last float64
	for i := range lines {
		if i > 0 && i%limits.AccountMessagesBurst == 0 {
			g.clock.Add(int64(limits.AccountMessagesBurst/limits.AccountMessagesPerSecond) * int64(time.Second))
		}
		seq, _ := ann.expect("ack", "id", i)["seq"].(float64)
		if i > 0 && seq != last+1 {
			t.Fatalf("message %d is entry %v, and the one before it %v", i, seq, last)
		}
		last = seq
	}
}

// A connection that is paused is ended, or made to leave a room, as any other: nothing
// waits for the pause.
func TestAPausedClientEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(g *gated, ann *peer){
		"drain": func(g *gated, ann *peer) {
			go g.manager.Shutdown(context.WithoutCancel(t.Context()))
			ann.expectEnd("draining")
		},
		"suspended": func(g *gated, ann *peer) {
			if err := g.accounts.Suspend(t.Context(), account.Operator(), "ann", ""); err != nil {
				t.Error(err)
			}
			ann.expectEnd("auth")
		},
		"removed": func(g *gated, ann *peer) {
			if err := g.accounts.Remove(t.Context(), account.Operator(), "ann"); err != nil {
				t.Error(err)
			}
			ann.expectEnd("auth")
		},
		"kick": func(g *gated, ann *peer) {
			olga := g.enter("192.0.2.2", g.signIn("olga"))
			olga.expect("welcome")
			olga.must(`{"type":"join","room":"lobby"}`)
			olga.say(`{"type":"kick","room":"lobby","id":"k","username":"ann"}`)
			for {
				if f := ann.nextBut("state"); f["type"] == "parted" {
					return
				} else if f["type"] == "ack" || f["type"] == "error" || f["type"] == "goodbye" {
					t.Fatalf("got %s", f)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			limits := limit.Defaults()
			limits.AccountMessagesPerSecond, limits.AccountMessagesBurst = 1, 2
			g := gate(t, limits, peers.Policy{Insecure: true})
			ann := g.enter("192.0.2.1", g.open("ann")["ann"])
			ann.expect("welcome")
			ann.must(`{"type":"join","room":"lobby"}`)
			for i := range 5 {
				ann.say(`{"type":"send","room":"lobby","id":"%d","content":"x"}`, i)
			}
			ann.expect("ack", "id", 0)
			ann.expect("ack", "id", 1)
			ann.silent(t)
			end(g, ann)
		})
	}
}

// silent checks that nothing comes while the clock stands still.
func (p *peer) silent(t *testing.T) {
	t.Helper()
	p.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	for {
		var f frame
		if err := p.decoder.Decode(&f); err != nil {
			break
		}
		if f["type"] != "presence" && f["type"] != "ping" { // these come when they like
			t.Fatalf("got %s", f)
		}
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

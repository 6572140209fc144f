package server_test

import (
	"testing"
	"time"

	"kaban/internal/account"
	"kaban/internal/chat"
	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/store/memory"
)

// A visitor has one connection on all nodes, and resumes its session on any of them.
func TestAVisitorOnTwoNodes(t *testing.T) {
	s := memory.New(0)
	nodes := nodetest.Meet(t, s, s)
	one := start(t, conn.Config{}, nodes[0], dispatch.Options{PresenceDelay: time.Hour})
	two := start(t, conn.Config{}, nodes[1], dispatch.Options{PresenceDelay: time.Hour})
	first := one.dial()
	first.say(`{"type":"hello","version":1,"username":"ann"}`)
	secret := first.expect("welcome")["session"].(string)
	other := two.dial()
	other.say(`{"type":"hello","version":1,"username":"ann"}`)
	other.expect("error", "code", "username_taken")
	two.attempt("ann", "WRONG", "").expect("error", "code", "username_taken")
	second := two.attempt("ann", secret, "")
	second.expect("welcome")
	first.expectEnd("replaced")
	second.alive()

	// What one says the other reads.
	bob := one.join("bob")
	second.say(`{"type":"join","room":"lobby"}`)
	second.expect("joined")
	second.say(`{"type":"send","room":"lobby","id":"1","content":"hello"}`)
	bob.expect("message", "content", "hello")
}

// Whatever ends the connections of an account on one node ends them on others. Visitors go
// when they may not come any more.
func TestEndsOnAnotherNode(t *testing.T) {
	s := memory.New(0)
	nodes := nodetest.Meet(t, s, s)
	one := newTownOn(t, chat.Options{}, nodes[0])
	two := &town{tokens: one.tokens}
	two.fixture = startAll(t, chat.Options{}, conn.Config{}, nodes[1], dispatch.Options{PresenceDelay: time.Hour}, func(a *account.Service) { two.accounts = a })
	operator := account.Operator()
	ann, bob, gus, olga := two.enter("ann"), two.enter("bob"), two.enter("gus"), two.enter("olga")
	if err := one.accounts.Set(t.Context(), operator, "access", "open"); err != nil {
		t.Fatal(err)
	}
	var mia *peer
	for ; mia == nil; time.Sleep(10 * time.Millisecond) { // until the other node knows
		p := two.dial()
		p.say(`{"type":"hello","version":1,"username":"mia"}`)
		if f, err := p.next(); err != nil {
			t.Fatal(err)
		} else if f["type"] == "welcome" {
			mia = p
		}
	}
	for _, c := range []struct {
		name string
		p    *peer
		end  func() error
	}{
		{"suspended", ann, func() error { return one.accounts.Suspend(t.Context(), operator, "ann", "a test") }},
		{"removed", gus, func() error { return one.accounts.Remove(t.Context(), operator, "gus") }},
		{"reset", bob, func() error {
			_, err := one.accounts.Reset(t.Context(), operator, "bob")
			return err
		}},
		{"no visitors any more", mia, func() error { return one.accounts.Set(t.Context(), operator, "access", "invite") }},
	} {
		if err := c.end(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		for { // entries and states may come before
			f, err := c.p.next()
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if f["type"] == "goodbye" {
				if f["reason"] != "auth" {
					t.Errorf("%s: %s", c.name, f)
				}
				break
			}
		}
	}
	olga.alive()
}

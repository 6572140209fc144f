package server_test

import (
	"fmt"
	"testing"

	"kaban/internal/account"
	"kaban/internal/limit"
	peers "kaban/internal/peer"
)

// A hello that the server cannot answer now is unavailable, with when to come back, however
// somebody would come in.
func TestHelloIsUnavailable(t *testing.T) {
	for name, hello := range map[string]string{
		"token":    `"token":%q`,
		"password": `"username":"ann","password":"` + password + `"`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t)
			if name == "token" {
				hello = fmt.Sprintf(hello, w.tokens["ann"])
			}
			p := w.dial()
			w.store.Close()
			p.say(`{"type":"hello","version":1,%s,"ref":"r"}`, hello)
			if f := p.expect("error", "code", "unavailable", "ref", "r"); fmt.Sprint(f["retry_after_ms"]) < "1" {
				t.Errorf("no time in %s", f)
			}
			if f := p.expectEnd("internal"); fmt.Sprint(f["reconnect_after_ms"]) < "1" {
				t.Errorf("no time in %s", f)
			}
		})
	}
}

// A visitor whose name a node cannot keep learns why its connection ends, and when to come back.
func TestVisitorsOfALostLease(t *testing.T) {
	f := serve(t)
	ann := f.join("ann")
	for _, node := range f.all {
		node.rooms.LeaseLost()
	}
	if got := ann.expect("error", "code", "unavailable"); fmt.Sprint(got["retry_after_ms"]) < "1" {
		t.Errorf("no time in %s", got)
	}
	if got := ann.expectEnd("internal"); fmt.Sprint(got["reconnect_after_ms"]) < "1" {
		t.Errorf("no time in %s", got)
	}
}

// A connection that takes no secrets ends when it is sent one, and the client need not try
// again. The secret is not looked at, and does not count as a guess.
func TestSecretsInTheClearEnd(t *testing.T) {
	onlyPlain(t)
	g := gate(t, limit.Defaults(), peers.Policy{})
	tokens := g.open("ann")
	for range 2 * limit.Defaults().AddressFailedPerMinute {
		for _, secret := range []string{
			fmt.Sprintf(`"token":%q`, tokens["ann"]),
			fmt.Sprintf(`"username":"ann","password":%q`, password),
			`"token":"kaban_wrong"`,
		} {
			p := g.from("192.0.2.1")
			p.say(`{"type":"hello","version":1,%s,"ref":"r"}`, secret)
			p.expect("error", "code", "tls_required", "ref", "r")
			if f := p.expectEnd("auth"); f["reconnect_after_ms"] != nil {
				t.Errorf("it is told to come back: %s", f)
			}
		}
	}
}

// A connection that waits because it has sent too much is revoked at once: the clock by
// which it would go on stands still.
func TestAPausedConnectionIsRevoked(t *testing.T) {
	limits := limit.Defaults()
	g := gate(t, limits, peers.Policy{Insecure: true})
	tokens := g.open("ann")
	p := g.enter("192.0.2.1", tokens["ann"])
	p.expect("welcome")
	p.say(`{"type":"join","room":"lobby"}`)
	p.expect("joined")
	const beyond = 50
	for i := range limits.AccountMessagesBurst + beyond {
		p.say(`{"type":"send","room":"lobby","id":"%d","content":"x"}`, i)
	}
	for i := range limits.AccountMessagesBurst {
		p.expect("ack", "id", i)
	}
	if err := g.accounts.Suspend(t.Context(), account.Operator(), "ann", ""); err != nil {
		t.Fatal(err)
	}
	for acks := 0; ; acks++ {
		f, err := p.next()
		if err != nil || acks > beyond/2 {
			t.Fatalf("%d more were stored: %v %v", acks, f, err)
		}
		if f["type"] == "goodbye" {
			if f["reason"] != "auth" {
				t.Errorf("got %s", f)
			}
			break
		}
	}
	p.expectEOF()
}

package server_test

import (
	"fmt"
	"testing"
	"time"
)

// attempt says hello with a secret; the test decides whether it is still there.
func (f *fixture) attempt(name, secret, more string) *peer {
	p := f.dial()
	p.send(fmt.Sprintf(`{"type":"hello","version":1,"username":%q,"resume":%q}`, name, secret) + "\n" + more)
	return p
}

// After a break a client has come back several times with the same secret, since
// no welcome reached it, and the server takes its attempts in any order and
// before it sees that most are dead. The client wins in the end.
func TestAttemptsOfOneClient(t *testing.T) {
	const dead = 3
	for place := range dead + 1 {
		for _, speaks := range []bool{false, true} {
			t.Run(fmt.Sprint(place, speaks), func(t *testing.T) {
				t.Parallel()
				f := serve(t)
				first := f.dial()
				first.say(`{"type":"hello","version":1,"username":"ann"}`)
				secret := first.expect("welcome")["session"].(string)
				first.alive()
				holder, newest := first, ""
				for k := range dead + 1 {
					if newest != "" && speaks {
						f.attempt("ann", secret, "").expect("error", "code", "username_taken")
						continue
					}
					p := f.attempt("ann", secret, "")
					welcome := p.expect("welcome")
					holder.expectEnd("replaced")
					holder = p
					if k == place {
						if newest = welcome["session"].(string); speaks {
							p.alive()
						}
					}
				}
				if place == dead || speaks {
					holder.alive()
				}
				again := f.attempt("ann", newest, "")
				again.expect("welcome")
				holder.expectEnd("replaced")
				again.alive()
				for _, old := range []string{secret, newest} {
					f.attempt("ann", old, "").expect("error", "code", "username_taken")
				}
			})
		}
	}
}

// Frames that came with the hello do not show that the client has read the welcome.
func TestWhatComesWithTheHelloProvesNothing(t *testing.T) {
	f := serve(t)
	first := f.dial()
	first.say(`{"type":"hello","version":1,"username":"ann"}`)
	secret := first.expect("welcome")["session"].(string)
	first.alive()
	dead := f.attempt("ann", secret, `{"type":"join","room":"lobby"}`+"\n"+`{"type":"ping"}`+"\n")
	dead.expect("welcome")
	dead.expect("joined")
	dead.expect("pong")
	f.attempt("ann", secret, "").expect("welcome")
	dead.expectEnd("replaced")
}

// An attempt that is dead already holds the name no longer than it takes to see
// that, also for a client without a secret.
func TestADeadAttemptGivesTheNameFree(t *testing.T) {
	f := serve(t)
	for range 20 {
		p := f.attempt("ann", "none", "")
		p.conn.Close()
	}
	for deadline := time.Now().Add(patience); ; {
		p := f.attempt("ann", "none", "")
		got, err := p.next()
		p.conn.Close()
		if err == nil && got["type"] == "welcome" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v, %v", got, err)
		}
	}
}

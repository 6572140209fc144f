package session

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"kaban"
)

type owner struct{ replaced, revoked, changed int }

func (o *owner) Replace() { o.replaced++ }
func (o *owner) Revoke()  { o.revoked++ }

func (o *owner) Changed(kaban.RoomName) { o.changed++ }

func named(t *testing.T, name string) kaban.Username {
	t.Helper()
	u, err := kaban.ParseUsername(name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// claim is Claim for a session of its own, which is nil after an error.
func (r *Registry) claim(owner Owner, id kaban.Identity, address netip.Addr, resume string) (*Session, error) {
	s := new(Session)
	if err := r.Claim(s, owner, id, address, resume); err != nil {
		return nil, err
	}
	return s, nil
}

// enter is Enter for a session of its own.
func (r *Registry) enter(owner Owner, id kaban.Identity, address netip.Addr, credential *Credential) *Session {
	s := new(Session)
	r.Enter(s, owner, id, address, credential)
	return s
}

// A name belongs to one connection, moves to one that presents the secret, and is
// free once the last holder releases it.
func TestANameBelongsToOne(t *testing.T) {
	var r Registry
	ann, look := named(t, "ann"), named(t, "\u0430nn") // the second in Cyrillic letters
	var first, second owner
	s, err := r.claim(&first, kaban.Visitor(ann), netip.Addr{}, "")
	if err != nil || len(s.Secret()) < 26 {
		t.Fatalf("got %+v, %v", s, err)
	}
	for _, resume := range []string{"", "wrong", s.Secret() + "x"} {
		if _, err := r.claim(&second, kaban.Visitor(look), netip.Addr{}, resume); !errors.Is(err, ErrTaken) {
			t.Errorf("%q: got %v, want ErrTaken", resume, err)
		}
	}
	if _, err := r.Speak(look); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
	if first.replaced > 0 {
		t.Error("the holder was replaced without a reason")
	}
	taken, err := r.claim(&second, kaban.Visitor(look), netip.Addr{}, s.Secret())
	if err != nil || first.replaced != 1 || taken.Secret() == s.Secret() {
		t.Errorf("got %+v, %v; replaced %d times", taken, err, first.replaced)
	}
	r.Release(s) // a replaced session cannot release the name
	if _, err := r.Speak(ann); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
	r.Release(taken)
	done, err := r.Speak(ann)
	if err != nil {
		t.Fatalf("the name is not free: %v", err)
	}
	done()
	if n := len(r.sessions) + len(r.speakers) + len(r.looks); n > 0 {
		t.Errorf("the registry still holds %d names", n)
	}
}

func TestReservedNames(t *testing.T) {
	var r Registry
	for _, name := range []string{"server", "SYSTEM", "kaban", "everyone", "all", "a11", "aII", "аӏӏ", "here", "hеre", "каban", "ЅYSTEM", "channeI", "channel"} {
		u := named(t, name)
		if _, err := r.claim(new(owner), kaban.Visitor(u), netip.Addr{}, ""); !errors.Is(err, ErrReserved) {
			t.Errorf("%s: got %v, want ErrReserved", name, err)
		}
		if _, err := r.Speak(u); !errors.Is(err, ErrReserved) {
			t.Errorf("%s: got %v, want ErrReserved", name, err)
		}
	}
}

// attempt is a connection of a client: one that it gave up, or the one that it
// uses.
type attempt struct {
	owner   owner
	session *Session
}

// A client that was away reconnected several times with the same secret and gave
// up all attempts but the last. The client gets its name in whatever order the
// server processes them, even if the server has not noticed the end of any.
func TestAClientWinsOverItsOwnAttempts(t *testing.T) {
	ann := kaban.Visitor(named(t, "ann"))
	const dead = 4
	for place := range dead + 1 { // of the live attempt among the dead ones
		for _, confirms := range []bool{false, true} {
			t.Run(fmt.Sprint(place, confirms), func(t *testing.T) {
				var r Registry
				first, err := r.claim(new(owner), ann, netip.Addr{}, "")
				if err != nil {
					t.Fatal(err)
				}
				r.Confirm(first)
				var live attempt
				for k := range dead + 1 {
					a := new(attempt)
					if k == place {
						a = &live
					}
					a.session, err = r.claim(&a.owner, ann, netip.Addr{}, first.Secret())
					switch {
					case k > place && confirms:
						if !errors.Is(err, ErrTaken) {
							t.Fatalf("attempt %d after the confirmation: got %v, want ErrTaken", k, err)
						}
					case err != nil:
						t.Fatalf("attempt %d: %v", k, err)
					}
					if k == place && confirms {
						r.Confirm(live.session)
					}
				}
				wantReplaced := 0
				if place < dead && !confirms {
					wantReplaced = 1
				}
				if live.owner.replaced != wantReplaced {
					t.Errorf("the live attempt was replaced %d times, want %d", live.owner.replaced, wantReplaced)
				}
				// In any case the client can resume with the last secret it
				// received.
				last, err := r.claim(new(owner), ann, netip.Addr{}, live.session.Secret())
				if err != nil {
					t.Fatalf("the client cannot take back its name: %v", err)
				}
				r.Confirm(last)
				for _, old := range []*Session{first, live.session} {
					if _, err := r.claim(new(owner), ann, netip.Addr{}, old.Secret()); !errors.Is(err, ErrTaken) {
						t.Errorf("an old secret is still valid after the new one was confirmed: %v", err)
					}
				}
			})
		}
	}
}

// The number of secrets per session is bounded, and a secret that is presented
// repeatedly stays valid.
func TestEarlierSecretsAreBounded(t *testing.T) {
	var r Registry
	ann := kaban.Visitor(named(t, "ann"))
	s, err := r.claim(new(owner), ann, netip.Addr{}, "")
	if err != nil {
		t.Fatal(err)
	}
	shown := s.Secret()
	for k := range 5 * maxEarlier {
		before := s
		if s, err = r.claim(new(owner), ann, netip.Addr{}, shown); err != nil {
			t.Fatalf("attempt %d: %v", k, err)
		}
		if n := len(s.hashes()) - 1; n > maxEarlier {
			t.Fatalf("%d secrets are kept, want at most %d", n, maxEarlier)
		}
		if s.find(before.Secret()) < 0 {
			t.Fatalf("attempt %d: the previous secret is no longer valid", k)
		}
	}
	middle, err := r.claim(new(owner), ann, netip.Addr{}, s.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if middle.find(shown) >= 0 {
		t.Error("a secret older than the presented one is still valid")
	}
}

// A name that looks like one in use is taken as well, in either order, and is free
// once the holder is gone.
func TestLookAlikesAreTaken(t *testing.T) {
	for _, pair := range [][2]string{{"alice", "aIice"}, {"Bob", "Вob"}, {"bob", "вob"}, {"Ian", "lan"}, {"nick", "νick"}} {
		for _, order := range [][2]string{pair, {pair[1], pair[0]}} {
			var r Registry
			first, second := named(t, order[0]), named(t, order[1])
			s, err := r.claim(new(owner), kaban.Visitor(first), netip.Addr{}, "")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.claim(new(owner), kaban.Visitor(second), netip.Addr{}, ""); !errors.Is(err, ErrTaken) {
				t.Errorf("%s while %s is held: got %v, want ErrTaken", second, first, err)
			}
			if _, err := r.Speak(second); !errors.Is(err, ErrTaken) {
				t.Errorf("%s speaks while %s is held: got %v, want ErrTaken", second, first, err)
			}
			r.Release(s)
			s, err = r.claim(new(owner), kaban.Visitor(second), netip.Addr{}, "")
			if err != nil {
				t.Errorf("%s after %s: %v", second, first, err)
				continue
			}
			r.Release(s)
			if len(r.looks) > 0 {
				t.Errorf("%v are still taken", r.looks)
			}
		}
	}
	var r Registry // i and l do not look alike in lower case
	for _, name := range []string{"ian", "lan"} {
		if _, err := r.claim(new(owner), kaban.Visitor(named(t, name)), netip.Addr{}, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// On return, a person may spell the name differently, unless that spelling
	// belongs to someone else.
	ian := r.sessions["ian"]
	if _, err := r.claim(new(owner), kaban.Visitor(named(t, "Ian")), netip.Addr{}, ian.Secret()); !errors.Is(err, ErrTaken) {
		t.Errorf("Ian while lan is held: got %v, want ErrTaken", err)
	}
	r.Release(r.sessions["lan"])
	if _, err := r.claim(new(owner), kaban.Visitor(named(t, "Ian")), netip.Addr{}, ian.Secret()); err != nil {
		t.Errorf("Ian alone: %v", err)
	}
	if _, err := r.claim(new(owner), kaban.Visitor(named(t, "lan")), netip.Addr{}, ""); !errors.Is(err, ErrTaken) {
		t.Errorf("lan while Ian is held: got %v, want ErrTaken", err)
	}
}

// While an author without a connection speaks, no connection can claim the name,
// but other authors can borrow it.
func TestSpeakingTakesTheName(t *testing.T) {
	var r Registry
	ann := named(t, "ann")
	first, err := r.Speak(ann)
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Speak(named(t, "ANN"))
	if err != nil {
		t.Fatalf("the same name again: %v", err)
	}
	for _, done := range []func(){first, second} {
		if _, err := r.claim(new(owner), kaban.Visitor(ann), netip.Addr{}, ""); !errors.Is(err, ErrTaken) {
			t.Errorf("a connection: got %v, want ErrTaken", err)
		}
		done()
	}
	if _, err := r.claim(new(owner), kaban.Visitor(ann), netip.Addr{}, ""); err != nil {
		t.Errorf("after both: %v", err)
	}
}

// The server may notice the end of the first connection before later attempts. The
// secret that they all present stays valid.
func TestAttemptsAfterTheNameWasFree(t *testing.T) {
	var r Registry
	ann := kaban.Visitor(named(t, "ann"))
	first, err := r.claim(new(owner), ann, netip.Addr{}, "")
	if err != nil {
		t.Fatal(err)
	}
	r.Release(first)
	for k := range 3 {
		if _, err := r.claim(new(owner), ann, netip.Addr{}, first.Secret()); err != nil {
			t.Fatalf("attempt %d: %v", k, err)
		}
	}
	for _, wrong := range []string{"", "wrong"} {
		if _, err := r.claim(new(owner), ann, netip.Addr{}, wrong); !errors.Is(err, ErrTaken) {
			t.Errorf("%q: got %v, want ErrTaken", wrong, err)
		}
	}
}

// An account may have many connections. They end with their credentials.
func TestConnectionsOfAccounts(t *testing.T) {
	var r Registry
	ann := kaban.Account("a1", named(t, "ann"))
	var phone, laptop, other owner
	first := r.enter(&phone, ann, netip.Addr{}, &Credential{ID: "phone"})
	second := r.enter(&laptop, ann, netip.Addr{}, &Credential{ID: "laptop"})
	r.enter(&other, kaban.Account("a2", named(t, "bob")), netip.Addr{}, &Credential{ID: "phone"})
	is := func(id string) func(*Credential) bool { return func(c *Credential) bool { return c.ID == id } }
	if n := r.Revoke(ann.ID(), is("phone")); n != 1 || phone.revoked != 1 || laptop.revoked+other.revoked != 0 {
		t.Errorf("%d revoked: %+v %+v %+v", n, phone, laptop, other)
	}
	if n := r.Tell(ann.ID(), kaban.RoomName{}); n != 2 || phone.changed != 1 || laptop.changed != 1 || other.changed != 0 {
		t.Errorf("%d told: %+v %+v %+v", n, phone, laptop, other)
	}
	r.Release(first)
	r.Release(first)
	if n := r.Revoke(ann.ID(), func(*Credential) bool { return true }); n != 1 || laptop.revoked != 1 {
		t.Errorf("%d revoked after one was released", n)
	}
	r.Release(second)
	if len(r.accounts) != 1 {
		t.Errorf("left: %v", r.accounts)
	}
}

func TestVisiting(t *testing.T) {
	var r Registry
	at := netip.MustParseAddr("192.0.2.7")
	s, err := r.claim(new(owner), kaban.Visitor(named(t, "Ann")), at, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := r.Visiting(named(t, "ann")); !ok || got != at {
		t.Errorf("ann is at %v, %v", got, ok)
	}
	r.Release(s)
	if _, ok := r.Visiting(named(t, "ann")); ok {
		t.Error("ann has gone")
	}
}

// Connections of an account share what is equal, and nothing else.
func TestSessionsOfAnAccountShare(t *testing.T) {
	credential := func(change func(*Credential)) *Credential {
		c := &Credential{ID: "token", Rooms: []string{"den"}, Expires: time.Now().Add(time.Hour).UnixMilli()}
		change(c)
		return c
	}
	for name, c := range map[string]struct {
		change func(*Credential)
		want   bool
	}{
		"the same":         {func(*Credential) {}, true},
		"another token":    {func(c *Credential) { c.ID = "other" }, false},
		"read-only":        {func(c *Credential) { c.ReadOnly = true }, false},
		"a device":         {func(c *Credential) { c.Device = true }, false},
		"fresh":            {func(c *Credential) { c.Fresh = true }, false},
		"expires later":    {func(c *Credential) { c.Expires++ }, false},
		"in another room":  {func(c *Credential) { c.Rooms = []string{"attic"} }, false},
		"in no room":       {func(c *Credential) { c.Rooms = []string{} }, false},
		"in every room":    {func(c *Credential) { c.Rooms = nil }, false},
		"in one room more": {func(c *Credential) { c.Rooms = append(c.Rooms, "attic") }, false},
	} {
		var r Registry
		ann := named(t, "ann")
		first := r.enter(new(owner), kaban.Account("a", ann), netip.Addr{}, credential(func(*Credential) {}))
		own := credential(c.change)
		second := r.enter(new(owner), kaban.Account("a", ann), netip.Addr{}, own)
		if shares := second.Credential == first.Credential; shares != c.want || !shares && second.Credential != own {
			t.Errorf("%s: shares the credential: %t, want %t", name, shares, c.want)
		}
		renamed := r.enter(new(owner), kaban.Account("a", named(t, "Bob")), netip.Addr{}, credential(c.change))
		if got := renamed.Name().String(); got != "Bob" {
			t.Errorf("%s: a session has the name %s, want Bob", name, got)
		}
		if n := r.Revoke(first.ID(), func(*Credential) bool { return true }); n != 3 {
			t.Errorf("%s: %d connections of the account, want 3", name, n)
		}
	}
	everywhere, nowhere := Credential{}, Credential{Rooms: []string{}}
	if everywhere.equals(&nowhere) || nowhere.equals(&everywhere) {
		t.Error("a credential for all rooms is taken for one for none")
	}
}

package access

import (
	"testing"

	"kaban"
)

// visit calls f with every combination of facts about somebody without an account
// and a public room of an open server.
func visit(f func(Facts)) {
	for bits := range 16 {
		exists, in := bits&4 != 0, bits&8 != 0
		if in && !exists {
			continue // nobody is in a room that does not exist
		}
		facts := Facts{
			Server:     Server{Claim: Claimed, Admission: Open},
			Who:        Identity{Active: true, Named: bits&1 != 0, Hook: bits&2 != 0, Reach: ReachServer, Writes: true},
			Membership: Membership{Standing: Good},
		}
		if exists {
			facts.Room = NewRoom(kaban.RoomPublic, 0, false)
		}
		if in {
			facts.Membership.Role = kaban.RoomRoleMember
		}
		f(facts)
	}
}

// An open server is for visitors what a server without accounts was.
func TestVisitorsOfAnOpenServer(t *testing.T) {
	rules := map[Action]func(Facts) Verdict{
		Know: exists,
		Read: exists,
		Create: func(f Facts) Verdict {
			if verdict := named(f); verdict != Allowed || exists(f) == NotFound {
				return verdict
			}
			return RoomTaken
		},
		Join: named,
		Send: func(f Facts) Verdict {
			if f.Membership.Role != 0 {
				return Allowed
			}
			return NotJoined
		},
		Post: func(f Facts) Verdict {
			if verdict := named(f); verdict != Allowed || f.Who.Hook {
				return verdict
			}
			return exists(f)
		},
	}
	for action, rule := range rules {
		visit(func(f Facts) {
			if got, want := Can(action, f), rule(f); got != want {
				t.Errorf("%s with %+v: %s, want %s", action, f, got, want)
			}
			// It is the same without an owner, on loopback.
			f.Server.Claim, f.Server.Local = Unclaimed, true
			if got, want := Can(action, f), rule(f); got != want {
				t.Errorf("%s unclaimed with %+v: %s, want %s", action, f, got, want)
			}
		})
	}
}

func exists(f Facts) Verdict {
	if f.Room != (Room{}) {
		return Allowed
	}
	return NotFound
}

func named(f Facts) Verdict {
	if f.Who.Named {
		return Allowed
	}
	return Forbidden
}

// An action that nobody has thought of is forbidden, whatever the facts.
func TestUnknownActionIsForbidden(t *testing.T) {
	for _, action := range []Action{0, Action(len(Actions()) + 1), 255} {
		visit(func(f Facts) {
			for _, admission := range []Admission{Closed, InviteOnly, Registration, Open} {
				for role := kaban.RoleVisitor; role <= kaban.RoleOwner; role++ {
					f.Server.Admission, f.Who.Role, f.Who.Operator = admission, role, true
					if got := Can(action, f); got != Forbidden {
						t.Errorf("action %d with %+v: %s", action, f, got)
					}
				}
			}
		})
	}
}

func TestTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, a := range Actions() {
		if s := a.String(); s == "" || s == Action(0).String() || seen[s] {
			t.Errorf("action %d: text %q is missing or not its own", a, s)
		} else {
			seen[s] = true
		}
	}
	for _, v := range Verdicts() {
		if v == InPersonOnly || v == Stale { // the protocol has no code of its own for it
			if v.String() != Forbidden.String() {
				t.Errorf("verdict %d: text %q", v, v)
			}
			continue
		}
		if s := v.String(); s == "" || s == Verdict(255).String() || seen[s] {
			t.Errorf("verdict %d: text %q is missing or not its own", v, s)
		} else {
			seen[s] = true
		}
	}
	for _, a := range []Admission{Closed, InviteOnly, Registration, Open} {
		if got, err := ParseAdmission(a.String()); got != a || err != nil {
			t.Errorf("ParseAdmission(%q) = %v, %v", a, got, err)
		}
	}
	for _, s := range []string{"", "OPEN", "unknown 9"} {
		if got, err := ParseAdmission(s); err == nil || got != Closed {
			t.Errorf("ParseAdmission(%q) = %v, %v", s, got, err)
		}
	}
}

func BenchmarkCan(b *testing.B) {
	f := Facts{
		Server:     Server{Claim: Claimed, Admission: InviteOnly, MembersCreate: true},
		Who:        Identity{Role: kaban.RoleMember, Active: true, Person: true, Reach: ReachServer, Writes: true},
		Room:       NewRoom(kaban.RoomPrivate, 0, true),
		Membership: Membership{Role: kaban.RoomRoleMember, Standing: Good},
		Target:     Target{Reachable: true},
	}
	visitor := f
	visitor.Server.Admission = Open
	visitor.Who.Role, visitor.Room = kaban.RoleVisitor, NewRoom(kaban.RoomPublic, 0, false)
	for _, c := range []struct {
		name   string
		action Action
		facts  Facts
	}{{"visitor sends", Send, visitor}, {"member sends", Send, f}, {"member reads", Read, f}, {"member kicks", Kick, f}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			facts := c.facts
			for b.Loop() {
				sink = Can(c.action, facts)
			}
		})
	}
}

var sink Verdict

func TestCanAllocatesNothing(t *testing.T) {
	for _, action := range Actions() {
		if n := testing.AllocsPerRun(10, func() { visit(func(f Facts) { sink = Can(action, f) }) }); n != 0 {
			t.Errorf("%s: %v allocations", action, n)
		}
	}
}

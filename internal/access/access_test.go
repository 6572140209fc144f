package access

import "testing"

// all calls visit with every combination of facts.
func all(visit func(Facts)) {
	for bits := range 16 {
		visit(Facts{Named: bits&1 != 0, Hook: bits&2 != 0, Exists: bits&4 != 0, Member: bits&8 != 0})
	}
}

func TestEveryDecision(t *testing.T) {
	rules := map[Action]func(Facts) Verdict{
		Know:   exists,
		Read:   exists,
		Create: named,
		Join:   named,
		Send: func(f Facts) Verdict {
			if f.Member {
				return Allowed
			}
			return NotJoined
		},
		Post: func(f Facts) Verdict {
			if verdict := named(f); verdict != Allowed || f.Hook {
				return verdict
			}
			return exists(f)
		},
	}
	for _, action := range Actions() {
		all(func(f Facts) {
			if got, want := Can(action, f), rules[action](f); got != want {
				t.Errorf("action %d with %+v: %d, want %d", action, f, got, want)
			}
		})
	}
}

func exists(f Facts) Verdict {
	if f.Exists {
		return Allowed
	}
	return NotFound
}

func named(f Facts) Verdict {
	if f.Named {
		return Allowed
	}
	return Forbidden
}

// An action that nobody has thought of is forbidden, whatever the facts.
func TestUnknownActionIsForbidden(t *testing.T) {
	for _, action := range []Action{0, Post + 1, 255} {
		all(func(f Facts) {
			if got := Can(action, f); got != Forbidden {
				t.Errorf("action %d with %+v: %d", action, f, got)
			}
		})
	}
}

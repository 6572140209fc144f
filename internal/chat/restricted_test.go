package chat

import (
	"testing"

	"kaban/internal/people"
)

// A ban that is over is none, and networks are not listed.
func TestRestrictedOf(t *testing.T) {
	for name, c := range map[string]struct {
		kept people.Restriction
		want Restricted
		ok   bool
	}{
		"a ban for good":           {people.Restriction{Subject: "visitor:pest", Ban: true, Since: 5, Reason: "spam"}, Restricted{Username: "pest", Visitor: true, Banned: true, Since: 5, Reason: "spam"}, true},
		"a ban for a time":         {people.Restriction{Subject: "visitor:pest", Ban: true, Until: 101}, Restricted{Username: "pest", Visitor: true, Banned: true, Until: 101}, true},
		"a ban that is over":       {people.Restriction{Subject: "visitor:pest", Ban: true, Until: 100}, Restricted{}, false},
		"one over, and still mute": {people.Restriction{Subject: "visitor:pest", Ban: true, Mute: true, Until: 100}, Restricted{Username: "pest", Visitor: true, Muted: true}, true},
		"a network":                {people.Restriction{Subject: people.AddressSubject("192.0.2.0/24"), Ban: true}, Restricted{}, false},
	} {
		got, ok, err := restrictedOf(nil, &c.kept, 100)
		if err != nil || ok != c.ok || ok && got != c.want {
			t.Errorf("%s: %+v, %t, %v; want %+v, %t", name, got, ok, err, c.want, c.ok)
		}
	}
}

package kaban_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/confusables"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
	"pgregory.net/rapid"

	"kaban"
)

// conflict reports whether two usernames have a reading in common.
func conflict(a, b kaban.Username) bool {
	others := b.Likenesses()
	return slices.ContainsFunc(a.Likenesses(), func(reading string) bool { return slices.Contains(others, reading) })
}

func username(t *testing.T, name string) kaban.Username {
	t.Helper()
	u, err := kaban.ParseUsername(name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return u
}

func TestLookAlikeNames(t *testing.T) {
	for _, test := range []struct {
		name, a, b string
		want       bool
	}{
		{"the same", "ann", "ann", true},
		{"case", "ann", "ANN", true},
		{"width", "ann", "ａｎｎ", true},
		{"sharp s", "straße", "STRASSE", true},
		{"final sigma", "σας", "ΣΑΣ", true},
		{"Cyrillic a", "alice", "\u0430lice", true},
		{"all Cyrillic", "scope", "\u0455\u0441\u043e\u0440\u0435", true},
		{"1 for l", "user1", "userl", true},
		{"0 for o", "team0", "teamo", true},
		{"0 for O", "TEAM0", "teamo", true},
		{"capital I for l", "alice", "aIice", true},
		{"and in a name with a capital", "Alice", "aIice", true},
		{"and the other way around", "aIice", "ALICE", true},
		{"capital I for both", "AIice", "alice", true},
		{"two of them", "bill", "biII", true},
		{"a small l in capitals", "alice", "ALlCE", true},
		{"Greek Iota", "alice", "a\u0399ice", true},
		{"Cyrillic I", "alice", "a\u0406ice", true},
		{"Cyrillic Ve", "Bob", "\u0412ob", true},
		{"Cyrillic Ve before a small b", "bob", "\u0412ob", true},
		{"small ve, which is a capital in capitals", "bob", "\u0432ob", true},
		{"Greek Eta", "henry", "\u0397enry", true},
		{"Greek eta in capitals", "henry", "\u03b7enry", true},
		{"Cyrillic em", "systemd", "syste\u043cd", true},
		{"Cyrillic capitals", "kate", "\u041a\u0410\u0422\u0415", true},
		{"small capitals", "Bob", "\u0299ob", true},

		{"other letters", "ann", "anna", false},
		{"rn and m", "rn", "m", false},
		{"signs", "b-1", "b.1", false},
		{"an accent", "jürgen", "jurgen", false},
		{"Chinese", "小明", "小红", false},
		{"i and l", "Ali", "all", false},
		{"i and l in capitals", "ALI", "all", false},
		{"i and l in capitals, both", "ALI", "ALL", false},
		{"a name in capitals", "NEIL", "Nell", false},
		{"i and l in the middle", "ail", "all", false},
		{"i and l at the front", "lan", "ian", false},
		{"Ian and Lan", "LAN", "ian", false},
		{"digits", "user2", "user3", false},
		{"1 and i", "user1", "user7", false},
		{"o and a", "bob", "bab", false},
		{"Cyrillic names", "\u0438\u0432\u0430\u043d", "\u0438\u0432\u043e\u043d", false},
		{"Cyrillic and Latin", "\u0431\u043e\u0431", "bob", false},
	} {
		a, b := username(t, test.a), username(t, test.b)
		if got := conflict(a, b); got != test.want {
			t.Errorf("%s: %q with %q and %q with %q: got %v, want %v", test.name, a, a.Likenesses(), b, b.Likenesses(), got, test.want)
		}
		if conflict(a, b) != conflict(b, a) {
			t.Errorf("%s: not the same both ways around", test.name)
		}
	}
}

// What conflicts by the rule as it is written: by key, or because the skeletons
// of two spellings are equal.
func ruled(a, b kaban.Username) bool {
	if a.Key() == b.Key() {
		return true
	}
	spellings := func(u kaban.Username) (all []string) {
		name := u.String()
		for _, spelling := range []string{name, cases.Fold().String(name), cases.Upper(language.Und).String(name), cases.Lower(language.Und).String(name)} {
			all = append(all, confusables.SkeletonTweaked(spelling))
		}
		return all
	}
	others := spellings(b)
	return slices.ContainsFunc(spellings(a), func(s string) bool { return slices.Contains(others, s) })
}

// checkLikeness holds two names against each other in all ways that must agree.
func checkLikeness(t interface {
	Helper()
	Errorf(format string, args ...any)
}, a, b kaban.Username,
) {
	t.Helper()
	if n := len(a.Likenesses()); n < 1 || n > 6 {
		t.Errorf("%q has %d readings", a, n)
	}
	if !conflict(a, a) || conflict(a, b) != conflict(b, a) {
		t.Errorf("%q and %q: not reflexive or not symmetric", a, b)
	}
	if ruled(a, b) && !conflict(a, b) {
		t.Errorf("%q and %q have a skeleton in common and no reading: %q, %q", a, b, a.Likenesses(), b.Likenesses())
	}
	for _, name := range []string{strings.ToUpper(a.String()), strings.ToLower(a.String()), a.String()} {
		u, err := kaban.ParseUsername(name)
		if err != nil { // another case may be longer than a name can be
			continue
		}
		if u.Key() == a.Key() && !conflict(u, a) {
			t.Errorf("%q is free beside %q", u, a)
		}
	}
}

func TestLikenesses(t *testing.T) {
	letters := []rune("aAbBeEhHiIlLoOkKmMnNtTsS01._-éßſς\u0412\u0432\u0430\u0410\u0415\u0435\u041d\u043d\u0399\u0406\u0456\u03b7\u0397\u043a\u041a\u043c\u0442\u026a\u0299小ש\u0301")
	name := rapid.StringOfN(rapid.OneOf(rapid.SampledFrom(letters), rapid.Rune()), 1, 6, -1)
	rapid.Check(t, func(t *rapid.T) {
		a, err := kaban.ParseUsername(name.Draw(t, "a"))
		if err != nil {
			return
		}
		// The other one is the first with some letters replaced, so that they
		// conflict often.
		other := []rune(a.String())
		for i := range other {
			if rapid.Bool().Draw(t, "replace") {
				other[i] = rapid.SampledFrom(letters).Draw(t, "letter")
			}
		}
		b, err := kaban.ParseUsername(string(other))
		if err != nil {
			return
		}
		checkLikeness(t, a, b)
	})
}

func FuzzLikenesses(f *testing.F) {
	for _, seed := range [][2]string{{"alice", "aIice"}, {"bob", "\u0412ob"}, {"straße", "STRASSE"}, {"小明", "小红"}, {"\u0130x", "ix"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, x, y string) {
		a, err := kaban.ParseUsername(x)
		if err != nil {
			return
		}
		b, err := kaban.ParseUsername(y)
		if err != nil {
			return
		}
		checkLikeness(t, a, b)
	})
}

func TestLookAlikeRooms(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"bob", "\u0432ob", true}, {"Bob", "\u0412ob", true}, {"team", "\u0442eam", true}, {"alpha", "\u0430lpha", true},
		{"ali", "all", false}, {"ops", "opt", false}, {"rn", "m", false},
	} {
		a, err := kaban.ParseRoomName(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := kaban.ParseRoomName(test.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Key() == b.Key() || a.Likeness() == b.Likeness(); got != test.want {
			t.Errorf("%q and %q: got %v, want %v", a, b, got, test.want)
		}
	}
}

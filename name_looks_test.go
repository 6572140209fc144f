package kaban_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ergochat/confusables"
	"pgregory.net/rapid"

	"kaban"
)

// lookAlike reports whether two sets of looks intersect.
func lookAlike(a, b []string) bool {
	return slices.ContainsFunc(a, func(look string) bool { return slices.Contains(b, look) })
}

func TestUsernamesThatLookAlike(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"alice", "aIice", true}, // capital i
		{"alice", "ALICE", true}, // case
		{"alice", "a1ice", true}, // one
		{"alice", "аlice", true}, // Cyrillic а
		{"alice", "аlісе", true}, // Cyrillic а, і, с, е
		{"alice", "АLІСЕ", true}, // the same in upper case
		{"alice", "ａｌｉｃｅ", true}, // full width
		{"Bob", "Вob", true},     // Cyrillic В
		{"bob", "вob", true},     // Cyrillic в, alike in upper case only
		{"bob", "воb", true},     // and о
		{"BOB", "вов", true},     // all Cyrillic
		{"tom", "тоm", true},     // Cyrillic т
		{"kim", "кim", true},     // Cyrillic к
		{"kim", "κim", true},     // Greek κ
		{"nick", "Νick", true},   // Greek Ν
		{"nick", "νick", true},   // Greek ν, an N in upper case
		{"vick", "νick", true},   // and a v in lower case
		{"mia", "Μіа", true},     // Greek Μ, Cyrillic і, а
		{"O0", "00", true},       // zero
		{"lan", "Ian", true},     // capital i
		{"paypal", "paypaI", true},
		{"all", "aII", true},
		{"alice", "AL1CE", true},
		{"admin", "ADM1N", true},
		{"alice", "aӏice", true}, // Cyrillic palochka next to an i
		{"alice", "аӏісе", true}, // all Cyrillic
		{"william", "wiӏӏiam", true},
		{"nina", "νiνa", true}, // two Greek letters with two readings each
		{"zoe", "ᴢoe", true},   // small capital

		{"bob", "ʙob", true},     // one that TR 39 distinguishes
		{"alice", "ALlCE", true}, // small L in capitals, for an i
		{"Neil", "NElL", true},
		{"nell", "NElL", true}, // or for an l
		{"alice", "AIice", true},
		{"user", "USERl", false},
		{"VNI", "VN1", true}, // shown in the same way

		{"ALI", "all", false}, // in capitals an i is an i
		{"NEIL", "Nell", false},
		{"NEIL", "neil", true},
		{"LAN", "ian", false},
		{"IAN", "lan", false},
		{"lan", "ian", false}, // lower case i and l do not look alike
		{"bill", "biil", false},
		{"v1", "vi", false},
		{"ben", "bén", false},
		{"anna", "anne", false},
		{"rn", "m", false},
		{"вова", "вера", false},
		{"максим", "макар", false},
		{"νίκος", "νικη", false},
		{"李", "王", false},
	} {
		a, err := kaban.ParseUsername(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := kaban.ParseUsername(test.b)
		if err != nil {
			t.Errorf("%s: %v", test.b, err)
			continue
		}
		if got := lookAlike(a.Looks(), b.Looks()); got != test.want {
			t.Errorf("%s %q and %s %q look alike: %t, want %t", a, a.Looks(), b, b.Looks(), got, test.want)
		}
	}
}

func TestRoomsThatLookAlike(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"lobby", "Iobby", true}, // as typed
		{"lobby", "LOBBY", true},
		{"ops", "орѕ", true},
		{"bob", "вob", true},
		{"team-1", "team-l", true},
		{"vi", "v1", false},
		{"lobby", "iobby", false}, // displayed differently
	} {
		a, err := kaban.ParseRoomName(test.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := kaban.ParseRoomName(test.b)
		if err != nil {
			t.Fatal(err)
		}
		if got := lookAlike(a.Looks(), b.Looks()); got != test.want {
			t.Errorf("%s %q and %s %q look alike: %t, want %t", a, a.Looks(), b, b.Looks(), got, test.want)
		}
	}
}

// For any characters: names that are displayed the same look alike, and so do names
// that differ only in case.
func TestSameSkeletonsLookAlike(t *testing.T) {
	letters := []rune("aAiIlL1oO0eEnNвВоОіІνΝκКμéßʙ小.-")
	rapid.Check(t, func(t *rapid.T) {
		a, err := kaban.ParseUsername(rapid.StringOfN(rapid.SampledFrom(letters), 1, 6, -1).Draw(t, "a"))
		if err != nil {
			return
		}
		for _, other := range []string{strings.ToUpper(a.String()), strings.ToLower(a.String())} {
			if b, err := kaban.ParseUsername(other); err == nil && b.Key() == a.Key() && !lookAlike(a.Looks(), b.Looks()) {
				t.Fatalf("%s %q and %s %q differ in case only", a, a.Looks(), b, b.Looks())
			}
		}
		// Replace letters of the first name with others that look like them.
		second := []rune(a.String())
		for i, c := range second {
			var same []rune
			for _, other := range letters {
				if confusables.SkeletonTweaked(string(other)) == confusables.SkeletonTweaked(string(c)) {
					same = append(same, other)
				}
			}
			if len(same) > 0 {
				second[i] = rapid.SampledFrom(same).Draw(t, "letter")
			}
		}
		b, err := kaban.ParseUsername(string(second))
		if err == nil && !lookAlike(a.Looks(), b.Looks()) {
			t.Fatalf("%s %q and %s %q are shown in the same way", a, a.Looks(), b, b.Looks())
		}
	})
}

// The looks of a name begin with its key and have no duplicates. Parsing the name
// again does not change them.
func TestLooksAreStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, err := kaban.ParseUsername(rapid.StringOfN(rapid.RuneFrom([]rune("aAbBiIlL1oO0вВоОіІνΝκКμｂéß.-")), 1, 10, -1).Draw(t, "name"))
		if err != nil {
			return
		}
		looks := u.Looks()
		if looks[0] != u.Key() {
			t.Fatalf("%s: the first of %q is not the key %q", u, looks, u.Key())
		}
		if sorted := slices.Sorted(slices.Values(looks)); len(slices.Compact(sorted)) != len(looks) {
			t.Fatalf("%s: %q has duplicates", u, looks)
		}
		again, err := kaban.ParseUsername(u.String())
		if err != nil || !slices.Equal(again.Looks(), looks) {
			t.Fatalf("%s has %q, parsed again %q, %v", u, looks, again.Looks(), err)
		}
	})
}

func BenchmarkUsernameLooks(b *testing.B) {
	for _, name := range []string{"alice", "Ivan", "владимир"} {
		u, err := kaban.ParseUsername(name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				u.Looks()
			}
		})
	}
}

package kaban_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"kaban"
)

// wrong returns err as a *MessageError and fails the test if it is not one.
func wrong(t testing.TB, err error) *kaban.MessageError {
	t.Helper()
	bad, ok := errors.AsType[*kaban.MessageError](err)
	if !ok {
		t.Fatalf("got %v, want a *MessageError", err)
	}
	if !errors.Is(err, bad.Kind) || bad.Error() == "" || strings.ContainsFunc(bad.Error(), unicode.IsControl) {
		t.Errorf("kind %v, text %q", bad.Kind, bad.Error())
	}
	return bad
}

func TestUsernames(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "ann", "ann"},
		{"case is kept", "Ann.B_C-9", "Ann.B_C-9"},
		{"longest", strings.Repeat("a", 32), strings.Repeat("a", 32)},
		{"longest, two bytes each", strings.Repeat("é", 32), strings.Repeat("é", 32)},
		{"composed", "Zoe\u0308", "Zoë"},
		{"full width", "ａｎｎ", "ann"},
		{"digits", "42", "42"},
		{"hebrew", "שלום", "שלום"},
		{"chinese", "小明", "小明"},
		{"devanagari with marks", "हिन्दी", "हिन्दी"},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := kaban.ParseUsername(test.in)
			if err != nil || u.String() != test.want || u.IsZero() {
				t.Errorf("got %q, %v; want %q", u, err, test.want)
			}
		})
	}
}

func TestBadUsernames(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     kaban.MessageErrorKind
		position int
		r        rune
	}{
		{"empty", "", kaban.EmptyUsername, -1, 0},
		{"too long", strings.Repeat("a", 33), kaban.TooLongUsername, -1, 0},
		{"too long in astral letters", strings.Repeat("𐐨", 33), kaban.TooLongUsername, -1, 0},
		{"space", "a b", kaban.InvalidCharsUsername, 1, ' '},
		{"slash", "ab/", kaban.InvalidCharsUsername, 2, '/'},
		{"control", "a\x07", kaban.InvalidCharsUsername, 1, 7},
		{"escape", "\x1b[2J", kaban.InvalidCharsUsername, 0, 0x1b},
		{"bidi override", "ab\u202ecd", kaban.InvalidCharsUsername, 2, 0x202e},
		{"zero width space", "a\u200bb", kaban.InvalidCharsUsername, 1, 0x200b},
		{"emoji", "a😀", kaban.InvalidCharsUsername, 1, '😀'},
		{"only a mark", "\u0301", kaban.InvalidCharsUsername, 0, 0x301},
		{"trailing dot", "ann.", kaban.InvalidCharsUsername, 3, '.'},
		{"only signs", "_-", kaban.InvalidCharsUsername, 1, '-'},
		{"not UTF-8", "ab\xff", kaban.InvalidCharsUsername, 2, utf8.RuneError},
	} {
		t.Run(test.name, func(t *testing.T) {
			u, err := kaban.ParseUsername(test.in)
			bad := wrong(t, err)
			if !u.IsZero() || bad.Kind != test.want || bad.Position != test.position || bad.Rune != test.r {
				t.Errorf("got %v at %d %U; want %v at %d %U", bad.Kind, bad.Position, bad.Rune, test.want, test.position, test.r)
			}
			if test.want == kaban.TooLongUsername && (bad.Limit != 32 || bad.Actual != 33) {
				t.Errorf("limit %d, actual %d", bad.Limit, bad.Actual)
			}
		})
	}
}

func TestSameNames(t *testing.T) {
	key := func(s string) string {
		u, err := kaban.ParseUsername(s)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		return u.Key()
	}
	for _, pair := range [][2]string{
		{"ann", "ANN"}, {"alice", "\u0430lice"}, {"ann", "ａｎｎ"}, {"straße", "STRASSE"}, {"scope", "ѕсоре"}, {"l1", "ll"},
	} {
		if key(pair[0]) != key(pair[1]) {
			t.Errorf("%q and %q are different names", pair[0], pair[1])
		}
	}
	seen := make(map[string]string)
	for _, name := range []string{"ann", "anna", "bob", "rn", "m", "b-1", "b.1", "b_1", "jürgen", "jurgen", "小明", "小红"} {
		if other := seen[key(name)]; other != "" {
			t.Errorf("%q and %q are the same name", name, other)
		}
		seen[key(name)] = name
	}
}

func TestRooms(t *testing.T) {
	if r, err := kaban.ParseRoomName("LOBBY"); err != nil || r.String() != kaban.Lobby || r.IsZero() || r.Key() == "" {
		t.Errorf("LOBBY: got %q, %v", r, err)
	}
	if r, err := kaban.ParseRoomName(strings.Repeat("é", 64)); err != nil || r.IsZero() {
		t.Errorf("64 characters: %v", err)
	}
	for in, want := range map[string]kaban.MessageErrorKind{"": kaban.EmptyRoom, strings.Repeat("a", 65): kaban.TooLongRoom, "a#b": kaban.InvalidCharsRoom} {
		if _, err := kaban.ParseRoomName(in); wrong(t, err).Kind != want {
			t.Errorf("%q: got %v, want %v", in, err, want)
		}
	}
}

func TestMessageIDs(t *testing.T) {
	for _, good := range []string{"a", "A-Za-z0-9._:-", strings.Repeat("x", 64)} {
		if id, err := kaban.ParseMessageID(good); err != nil || id.String() != good || id.IsZero() {
			t.Errorf("%q: got %q, %v", good, id, err)
		}
	}
	for _, bad := range []string{"", strings.Repeat("x", 65), "a b", "é", "a\x00"} {
		if id, err := kaban.ParseMessageID(bad); wrong(t, err).Kind != kaban.InvalidID || !id.IsZero() {
			t.Errorf("%q: got %q, %v", bad, id, err)
		}
	}
}

func TestContent(t *testing.T) {
	for _, good := range []string{"x", "a\n\tb", strings.Repeat("😀", 10), "e" + strings.Repeat("\u0301", 9), "\ufffd", " x "} {
		if err := kaban.CheckContent(good, 10); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, test := range []struct {
		in       string
		want     kaban.MessageErrorKind
		position int
	}{
		{"", kaban.EmptyContent, -1},
		{" \n\t\u3000\u00a0", kaban.EmptyContent, -1},
		{strings.Repeat("😀", 11), kaban.TooLongContent, -1},
		{"e" + strings.Repeat("\u0301", 10), kaban.TooLongContent, -1},
		{"ab\x00", kaban.InvalidCharsContent, 2},
		{"\x1b[2J", kaban.InvalidCharsContent, 0},
		{"é\r", kaban.InvalidCharsContent, 1},
		{"é\u0085", kaban.InvalidCharsContent, 1},
		{"\x7f", kaban.InvalidCharsContent, 0},
		{"ab\xff", kaban.InvalidCharsContent, 2},
		{"\xed\xa0\x80", kaban.InvalidCharsContent, 0},
	} {
		bad := wrong(t, kaban.CheckContent(test.in, 10))
		if bad.Kind != test.want || bad.Position != test.position {
			t.Errorf("%q: got %v at %d, want %v at %d", test.in, bad.Kind, bad.Position, test.want, test.position)
		}
		if test.want == kaban.TooLongContent && (bad.Limit != 10 || bad.Actual != 11) {
			t.Errorf("%q: limit %d, actual %d", test.in, bad.Limit, bad.Actual)
		}
	}
}

func TestMessages(t *testing.T) {
	ann, err := kaban.ParseUsername("ann")
	if err != nil {
		t.Fatal(err)
	}
	m, err := kaban.NewMessage(ann, "hello", 5)
	if err != nil || m.Username() != ann || m.Content() != "hello" {
		t.Errorf("got %+v, %v", m, err)
	}
	if _, err := kaban.NewMessage(kaban.Username{}, "hello", 5); wrong(t, err).Kind != kaban.EmptyUsername {
		t.Errorf("a message without an author: %v", err)
	}
	if m, err := kaban.NewMessage(ann, "hello!", 5); wrong(t, err).Kind != kaban.TooLongContent || m != (kaban.Message{}) {
		t.Errorf("too long: got %+v, %v", m, err)
	}
}

func TestKinds(t *testing.T) {
	texts := make(map[string]bool)
	for _, kind := range kaban.MessageErrorKinds() {
		if texts[kind.Error()] || strings.HasPrefix(kind.Error(), "message error") {
			t.Errorf("%d has no text of its own: %q", kind, kind)
		}
		texts[kind.Error()] = true
	}
	last := kaban.MessageErrorKinds()[len(texts)-1]
	if !strings.HasPrefix((last + 1).Error(), "message error") {
		t.Errorf("%v is not in MessageErrorKinds", last+1)
	}
}

// Enforcement is idempotent: parsing an accepted name again changes neither the
// name nor its key.
func TestNamesAreStable(t *testing.T) {
	runes := rapid.OneOf(rapid.RuneFrom([]rune("aAlI1oO0mrn._-éßſЕеａ小ש\u0301\u0308")), rapid.Rune())
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringOfN(runes, 0, 40, -1).Draw(t, "name")
		u, err := kaban.ParseUsername(in)
		if err != nil {
			if _, ok := errors.AsType[*kaban.MessageError](err); !ok {
				t.Fatalf("%q: %v", in, err)
			}
			return
		}
		again, err := kaban.ParseUsername(u.String())
		if err != nil || again != u {
			t.Fatalf("%q became %q, then %q, %v", in, u, again, err)
		}
		if n := utf8.RuneCountInString(u.String()); n < 1 || n > kaban.MaxUsername {
			t.Fatalf("%q has %d characters", u, n)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"ann", "Zoe\u0308", "\u202e", "a\u200db", "١٢٣", "ﷺ", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if u, err := kaban.ParseUsername(in); err != nil {
			wrong(t, err)
		} else if again, err := kaban.ParseUsername(u.String()); err != nil || again != u {
			t.Errorf("%q became %q, then %q, %v", in, u, again, err)
		}
		if r, err := kaban.ParseRoomName(in); err != nil {
			wrong(t, err)
		} else if again, err := kaban.ParseRoomName(r.String()); err != nil || again.String() != r.String() || again.Key() != r.Key() {
			t.Errorf("%q became %q, then %q, %v", in, r, again, err)
		}
	})
}

func FuzzContent(f *testing.F) {
	f.Add("hello\n")
	f.Add("\x1b\xff")
	f.Fuzz(func(t *testing.T, in string) {
		err := kaban.CheckContent(in, 100)
		if err != nil {
			wrong(t, err)
			return
		}
		if !utf8.ValidString(in) || utf8.RuneCountInString(in) > 100 || strings.TrimSpace(in) == "" || strings.ContainsRune(in, 0x1b) {
			t.Errorf("%q was accepted", in)
		}
	})
}

func TestParseIdentity(t *testing.T) {
	name := func(text string) kaban.Username {
		u, err := kaban.ParseUsername(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	alice, amelia := name("Alice"), name("amelia")
	for _, want := range []kaban.Identity{kaban.Visitor(alice), kaban.Account("17", alice), kaban.Account("visitor:x", amelia), kaban.Bot("17", alice), kaban.Hook("17", amelia)} {
		if got, err := kaban.ParseIdentity(want.ID(), want.Name()); err != nil || got != want {
			t.Errorf("ParseIdentity(%q) = %+v, %v; want %+v", want.ID(), got, err, want)
		}
	}
	if got, err := kaban.ParseIdentity("account:17", amelia); err != nil || got != kaban.Account("17", amelia) {
		t.Errorf("an account with another name: %+v, %v", got, err)
	}
	for _, id := range []string{"", "17", "visitor:", "visitor:amelia", "account:", "Account:17", "bot:", "hook:"} {
		if got, err := kaban.ParseIdentity(id, alice); err == nil || !got.IsZero() {
			t.Errorf("ParseIdentity(%q) of %s = %+v, %v; want an error", id, alice, got, err)
		}
	}
	if got, err := kaban.ParseIdentity("visitor:", kaban.Username{}); err == nil || !got.IsZero() {
		t.Errorf("nobody is %+v, %v; want an error", got, err)
	}
}

func TestAuthorOf(t *testing.T) {
	name, err := kaban.ParseUsername("account")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		author  kaban.Identity
		account string
		bot     bool
	}{
		{kaban.Visitor(name), "", false},
		{kaban.Account("17", name), "17", false},
		{kaban.Account("bot:17", name), "bot:17", false},
		{kaban.Bot("18", name), "18", true},
		{kaban.Hook("19", name), "", true},
		{kaban.Identity{}, "", false},
	} {
		if account, bot := kaban.AuthorOf(test.author.ID()); account != test.account || bot != test.bot {
			t.Errorf("AuthorOf(%q) = %q, %v; want %q, %v", test.author.ID(), account, bot, test.account, test.bot)
		}
	}
}

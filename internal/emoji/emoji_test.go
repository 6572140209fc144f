package emoji

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// every returns all emoji in normal form, with all skin tones.
func every(t testing.TB) []string {
	t.Helper()
	var list []string
	add := func(text string, ok bool) {
		if !ok {
			t.Fatalf("no skin tone after %q", list[len(list)-1])
		}
		list = append(list, text)
	}
	for _, e := range all().emoji {
		list = append(list, e.text)
		for _, x := range allTones {
			if e.same != "" {
				add(e.with(x))
			}
			for _, y := range allTones {
				if e.mixed != "" && x != y {
					add(e.with(x + y))
				}
			}
		}
	}
	return list
}

// TestList checks all of the list that is in the program.
func TestList(t *testing.T) {
	if !strings.Contains(list, "MIT License") || !strings.Contains(list, "Permission is hereby granted") {
		t.Error("the list is there without its license")
	}
	emoji := every(t)
	if got, want := len(all().emoji), 1914; got != want {
		t.Errorf("%d emoji without skin tones, want %d", got, want)
	}
	if got, want := len(emoji), 3944; got != want { // of RGI in Unicode 17, without the nine components
		t.Errorf("%d emoji, want %d", got, want)
	}
	seen := make(map[string]bool)
	longest := 0
	for _, e := range emoji {
		longest = max(longest, len(e))
		each := graphemes.FromString(e)
		if !each.Next() || each.End() != len(e) || !utf8.ValidString(e) {
			t.Errorf("%q is not one grapheme", e)
		}
		if seen[strip(e)] {
			t.Errorf("%q is there twice", e)
		}
		seen[strip(e)] = true
	}
	if longest != 35 || longest > MaxBytes {
		t.Errorf("the longest emoji has %d bytes", longest)
	}
	short := regexp.MustCompile(`^[a-z0-9_+-]+$`)
	names := make(map[string]bool)
	for _, n := range all().names {
		if !short.MatchString(n.name) || strings.Contains(n.name, toneSuffix) || names[n.name] {
			t.Errorf("the name %q of %s is not valid or not the only one", n.name, all().emoji[n.at].text)
		}
		names[n.name] = true
	}
	if len(names) < 4000 {
		t.Errorf("only %d names", len(names))
	}
}

// TestEveryForm checks that variation selectors make no difference anywhere, and that
// every emoji has a name.
func TestEveryForm(t *testing.T) {
	for _, e := range every(t) {
		var selected strings.Builder // a selector after each code point
		for _, r := range strip(e) {
			selected.WriteRune(r)
			selected.WriteRune(0xFE0F)
		}
		for _, form := range []string{e, strip(e), strip(e) + "\uFE0F", strip(e) + "\uFE0E", selected.String()} {
			if len(form) > MaxBytes {
				continue
			}
			if got, err := Normalize(form); got != e || err != nil {
				t.Errorf("%+q: got %+q and %v, want %+q", form, got, err, e)
			}
		}
		name, ok := Name(strip(e))
		got, found := ByName(":" + name + ":")
		if !ok || !found || got != e {
			t.Errorf("%s has the name %q, which is the name of %q", e, name, got)
		}
	}
}

func TestNormalize(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"👍", "👍"},
		{"👍\uFE0F", "👍"},
		{"❤", "❤\uFE0F"},
		{"❤\uFE0E", "❤\uFE0F"},
		{"👍🏽", "👍🏽"},
		{"☝🏽", "☝🏽"},
		{"☝\uFE0F🏽", "☝🏽"},
		{"1\u20E3", "1\uFE0F\u20E3"},
		{"#\uFE0F\u20E3", "#\uFE0F\u20E3"},
		{"🇩🇪", "🇩🇪"},
		{"🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"},
		{"🏳\u200D🌈", "🏳\uFE0F\u200D🌈"},
		{"🤝🏿", "🤝🏿"},
		{"🫱🏻\u200D🫲🏿", "🫱🏻\u200D🫲🏿"},
		{"👩🏻\u200D❤\u200D👨🏾", "👩🏻\u200D❤\uFE0F\u200D👨🏾"},
		{"©", "©\uFE0F"},
	} {
		if got, err := Normalize(test.text); got != test.want || err != nil {
			t.Errorf("%+q: got %+q and %v, want %+q", test.text, got, err, test.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", `"" is not an emoji: it is empty; send one such as 👍`},
		{"ok", `"ok" is not an emoji: it is not in the list of this server; send one such as 👍`},
		{"1", "not in the list"},
		{" 👍", "not in the list"},
		{"\xff", `"\xff" is not an emoji: it is not in the list`},
		{"🇩", "not in the list"},
		{"🇦🇦", "not in the list"},
		{"\u200D", `"\u200d" is not an emoji`},
		{"🫱\u200D🫲", "not in the list"},
		{"\u202Eok\x1b[2J", `"\u202eok\x1b[2J" is not`},
		{"🏽", "only part of one"},
		{"\uFE0F", "only part of one"},
		{"👍👍", "more than one"},
		{"👍 great", "more than one; send them one by one, without text"},
		{"😀🏽", "😀 has no skin tones; leave them out"},
		{"👍🏽🏽🏽", "these skin tones do not fit 👍"},
		{"🏽👍", "these skin tones do not fit 👍"},
		{"👍🏻🏽", "these skin tones do not fit 👍"},
		{"🫱🏻\u200D🫲🏻", "these skin tones do not fit 🤝"},
		{":+1:", `":+1:" is not an emoji: it is the name of 👍; send that`},
		{":nonsense:", "there is none of this name"},
		{strings.Repeat("👍", 20), "it has 80 bytes, the limit is 64"},
	} {
		got, err := Normalize(test.text)
		if _, ok := errors.AsType[*Error](err); !ok || got != "" {
			t.Errorf("%+q: got %q and %v, want an error", test.text, got, err)
			continue
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+q: got %q, want %q", test.text, err, test.want)
		}
	}
}

func TestByName(t *testing.T) {
	for _, test := range []struct{ name, want string }{
		{"thumbs_up", "👍"},
		{":thumbs_up:", "👍"},
		{"+1", "👍"},
		{"ThumbsUp", "👍"},
		{"heart", "❤\uFE0F"},
		{"smile", "😄"}, // as on GitHub
		{"flag_germany", "🇩🇪"},
		{"de", "🇩🇪"},
		{"male-technologist", "👨\u200D💻"}, // as in Slack
		{"thumbs_up_tone3", "👍🏽"},
		{"+1_tone1", "👍🏻"},
		{"handshake_tone1-5", "🫱🏻\u200D🫲🏿"},
		{"handshake_tone5", "🤝🏿"},
	} {
		if got, ok := ByName(test.name); got != test.want || !ok {
			t.Errorf("%q: got %q, want %q", test.name, got, test.want)
		}
	}
	for _, name := range []string{
		"", ":", "::", "nonsense", "thumbs_u", "thumbs_up ", "thumbs_up_tone", "thumbs_up_tone0", "thumbs_up_tone6", "thumbs_up_tone3_tone3",
		"thumbs_up_tone1-2", "smile_tone1", "handshake_tone1-1", "handshake_tone1-", "handshake_tone-1", "handshake_tone1-2-3", "_tone1", "👍",
	} {
		if got, ok := ByName(name); ok {
			t.Errorf("%q: got %q", name, got)
		}
	}
}

func TestName(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"👍", "thumbs_up"},
		{"❤", "red_heart"},
		{"👍🏽", "thumbs_up_tone3"},
		{"🫱🏻\u200D🫲🏿", "handshake_tone1-5"},
		{"👩🏾\u200D❤\uFE0F\u200D👨🏾", "couple_with_heart_woman_man_tone4"},
		{"x", ""},
	} {
		if got, ok := Name(test.text); got != test.want || ok != (test.want != "") {
			t.Errorf("%s: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestComplete(t *testing.T) {
	for _, test := range []struct {
		prefix string
		limit  int
		want   string
	}{
		{":thumbs", 5, "thumbsup 👍, thumbsdown 👎"},
		{"THUMBSU", 5, "thumbsup 👍"},
		{"tada", 5, "tada 🎉"},
		{"smile", 3, "smile 😄, smiley 😃, smile_cat 😸"},
		{"+", 5, "+1 👍"},
		{"thumbsup", 0, ""},
		{"thumbsup", -1, ""},
		{"", 5, ""},
		{":", 5, ""},
		{"nonsense", 5, ""},
		{"zzzzzz", 5, ""},
		{"~", 5, ""},
	} {
		var all []string
		for _, n := range Complete(test.prefix, test.limit) {
			all = append(all, n.Name+" "+n.Emoji)
		}
		if got := strings.Join(all, ", "); got != test.want {
			t.Errorf("%q: got %q, want %q", test.prefix, got, test.want)
		}
	}
	for c := 'a'; c <= 'z'; c++ { // the same without a sorted list
		want := make(map[string]string) // the shortest name, by emoji
		for _, n := range all().names {
			e := all().emoji[n.at].text
			if old := want[e]; strings.HasPrefix(n.name, string(c)) && (old == "" || len(n.name) < len(old) || len(n.name) == len(old) && n.name < old) {
				want[e] = n.name
			}
		}
		got := Complete(string(c), 1<<30)
		if !slices.IsSortedFunc(got, func(x, y Named) int { return len(x.Name) - len(y.Name) }) || len(got) != len(want) {
			t.Errorf("%c: %d of %d emoji, or in no order", c, len(got), len(want))
		}
		for _, n := range got {
			if want[n.Emoji] != n.Name {
				t.Errorf("%c: %s is %s, want %s", c, n.Emoji, n.Name, want[n.Emoji])
			}
		}
	}
}

func FuzzNormalize(f *testing.F) {
	for _, s := range []string{"👍", "👍🏽\uFE0F", "❤", ":+1:", "🫱🏻\u200D🫲🏿", "1\u20E3", "\xff\u202E", "👍👍", "", "handshake_tone1-2", strings.Repeat("a", 65)} {
		f.Add(s)
	}
	known := make(map[string]bool)
	for _, e := range every(f) {
		known[e] = true
	}
	f.Fuzz(func(t *testing.T, text string) {
		if found, ok := ByName(text); ok && !known[found] {
			t.Errorf("%q is the name of %q", text, found)
		}
		for _, n := range Complete(text, 10) {
			if e, ok := ByName(n.Name); !ok || e != n.Emoji || !strings.HasPrefix(n.Name, bare(text)) {
				t.Errorf("%q is completed to %q, the name of %q", text, n.Name, e)
			}
		}
		got, err := Normalize(text)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok || got != "" {
				t.Fatalf("got %q and %#v", got, err)
			}
			if s := err.Error(); !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }) {
				t.Errorf("unsafe to print: %q", s)
			}
			return
		}
		if again, err := Normalize(got); !known[got] || again != got || err != nil || strip(got) != strip(text) {
			t.Errorf("%+q becomes %+q, and that %+q (%v)", text, got, again, err)
		}
	})
}

// BenchmarkRead is the cost of the first use.
func BenchmarkRead(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		read(list)
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, text := range []string{"👍", "❤", "👩🏻\u200D❤\u200D👨🏾", "ok"} {
		b.Run(fmt.Sprintf("%+q", text), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, _ = Normalize(text)
			}
		})
	}
}

func BenchmarkComplete(b *testing.B) {
	for _, prefix := range []string{"s", "thumbs"} {
		b.Run(prefix, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Complete(prefix, 20)
			}
		})
	}
}

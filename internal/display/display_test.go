package display

import (
	"strings"
	"testing"
	"unicode"
)

func TestLine(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "hello, world", "hello, world"},
		{"empty", "", ""},
		{"newline", "a\nb", `a\nb`},
		{"tab", "a\tb", "a\tb"},
		{"escape", "\x1b[2J\x1b]0;title\a", "<U+001B>[2J<U+001B>]0;title<U+0007>"},
		{"C1", "\u009b31m", "<U+009B>31m"},
		{"carriage return", "real\rfake", "real<U+000D>fake"},
		{"nul and delete", "\x00\x7f", "<U+0000><U+007F>"},
		{"bidi override", "\u202egnp.exe", "<U+202E>gnp.exe"},
		{"bidi isolate", "\u2066a\u2069", "<U+2066>a<U+2069>"},
		{"zero width", "a\u200bb\ufeffc", "a<U+200B>b<U+FEFF>c"},
		{"line separator", "a\u2028b", "a<U+2028>b"},
		{"invisible letters", "a\u3164b", "a<U+3164>b"},
		{"invalid UTF-8", "a\xffb", "a\ufffdb"},
		{"noncharacter", "a\uffffb", "a<U+FFFF>b"},
		{"emoji with joiners", "👩‍👩‍👧 ❤️", "👩‍👩‍👧 ❤️"},
		{"flag of tags", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🏴󠁧󠁢󠁳󠁣󠁴󠁿"},
		{"persian", "می\u200cخواهم", "می\u200cخواهم"},
		{"hebrew and chinese", "שלום 你好", "שלום 你好"},
		{"a few marks", "e\u0301\u0302", "e\u0301\u0302"},
		{"many marks", "e" + strings.Repeat("\u0301", 5000) + "x", "e" + strings.Repeat("\u0301", 8) + "<4992 marks>x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Line(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b[31m\u202e\n")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Line(s) {
			if r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' {
				t.Errorf("%q came through in %q", r, Line(s))
			}
		}
	})
}

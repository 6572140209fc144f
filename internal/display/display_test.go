package display

import (
	"encoding/json"
	"errors"
	"reflect"
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
		{"marks with joiners between", "e" + strings.Repeat("\u0301\u200d", 100) + "x", "e" + strings.Repeat("\u0301<U+200D>", 4) + "<192 marks>x"},
		{"marks with selectors between", "e" + strings.Repeat("\u0301\ufe0f", 100), "e" + strings.Repeat("\u0301<U+FE0F>", 4) + "<192 marks>"},
		{"marks with blank letters between", "e" + strings.Repeat("\u0301\u3164", 100), "e" + strings.Repeat("\u0301<U+3164>", 4) + "<192 marks>"},
		{"marks alone", strings.Repeat("\u0301", 9), strings.Repeat("\u0301", 8) + "<1 marks>"},
		{"joiners alone", strings.Repeat("\u200d", 5000), strings.Repeat("<U+200D>", 8) + "<4992 marks>"},
		{"joiners between words", "a \u200db\u200c c\u200d", "a <U+200D>b<U+200C> c<U+200D>"},
		{"two joiners", "م\u200c\u200cخ", "م<U+200C><U+200C>خ"},
		{"two selectors", "❤\ufe0f\ufe0f", "❤\ufe0f<U+FE0F>"},
		{"a selector alone", "\ufe0f \ufe0f", "<U+FE0F> <U+FE0F>"},
		{"other selectors", "a\ufe00b\U000e0100", "a<U+FE00>b<U+E0100>"},
		{"tags behind a letter", "a\U000e0061\U000e007f", "a<U+E0061><U+E007F>"},
		{"other invisible ones", "a\u2060b\u00adc\u034fd\u180e", "a<U+2060>b<U+00AD>c<U+034F>d<U+180E>"},
		{"keycap, skin, heart on fire, shaking head", "1️⃣ 👩🏽\u200d💻 ❤\ufe0f\u200d🔥 🙂\u200d↔\ufe0f", "1️⃣ 👩🏽\u200d💻 ❤\ufe0f\u200d🔥 🙂\u200d↔\ufe0f"},
		{"conjunct of Sinhala", "ශ්\u200dරී", "ශ්\u200dරී"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Line(test.in); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", `{"content":"a"}` + "\n", `{"content":"a"}` + "\n"},
		{"letters and emoji", `{"content":"é你😀"}` + "\n", `{"content":"é你😀"}` + "\n"},
		{"C1 and delete", "\"\u009b31m\u007f\u0080\"", `"\u009b31m\u007f\u0080"`},
		{"bidi", "\"\u202e\u2066\u061c\"", `"\u202e\u2066\u061c"`},
		{"separators", "\"\u2028\u2029\"", `"\u2028\u2029"`},
		{"tags", "\"\U000e0061\"", `"\udb40\udc61"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := JSON(test.in)
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			var before, after any
			if err := errors.Join(json.Unmarshal([]byte(test.in), &before), json.Unmarshal([]byte(got), &after)); err != nil || !reflect.DeepEqual(before, after) {
				t.Errorf("the meaning is %v, want %v (%v)", after, before, err)
			}
		})
	}
}

func FuzzLine(f *testing.F) {
	f.Add("\x1b[31m\u202e\n")
	f.Add("e\u0301\u200d\u0301\ufe0f\u0301")
	f.Add("🏴󠁧󠁢󠁳󠁣󠁴󠁿 a\u200db\u3164")
	f.Fuzz(func(t *testing.T, s string) {
		marks, invisible := 0, 0
		for _, r := range Line(s) {
			if r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' {
				t.Errorf("%q came through in %q", r, Line(s))
			}
			if marks++; !isMark(r) {
				marks = 0
			}
			if isTag := r >= 0xe0020 && r <= 0xe007f; isTag || !unicode.In(r, unicode.Cf, unicode.Variation_Selector) {
				invisible = 0
			} else {
				invisible++
			}
			if marks > maxMarks {
				t.Errorf("%d marks in a row came through in %q", marks, Line(s))
			}
			if invisible > 2 { // a selector and a joiner
				t.Errorf("%d invisible characters in a row came through in %q", invisible, Line(s))
			}
		}
	})
}

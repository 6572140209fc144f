package search

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/words"
	"golang.org/x/text/unicode/norm"

	"kaban"
)

func TestTerms(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{" \n\t", ""},
		{"... -- !?", ""},
		{"Hello, World!", "hello world"},
		// What connects words in UAX #29 separates.
		{"foo_bar __init__", "foo bar init"},
		{"v1.2.3", "v1 2 3"},
		{"issue-123 #42", "issue 123 42"},
		{"can't can’t l’amour", "can t can t l amour"},
		{"col·lecció", "col leccio"},
		{"1,234.5", "1 234 5"},
		{"FooBar2", "foobar2"},
		// Addresses, code and markup.
		{"https://Example.com:80/a_b?x=1#y", "https example com 80 a b x 1 y"},
		{"ann.lee+x@example.org", "ann lee x example org"},
		{"**bold** `x := f(y)`", "bold x f y"},
		{"```go\nfunc main() {}\n```", "go func main"},
		{"C:\\temp\\a.txt", "c temp a txt"},
		// Case, accents and width.
		{"ÉTÉ été e\u0301te\u0301", "ete ete ete"},
		{"Straße STRASSE", "strasse strasse"},
		{"Ångström ÅNGSTRÖM", "angstrom angstrom"},
		{"Øresund Łódź đakovo ŧæœþð", "oresund lodz dakovo taeoethd"},
		{"İstanbul ISTANBUL ıstanbul", "istanbul istanbul istanbul"},
		{"ΣΊΣΥΦΟΣ σίσυφος", "σισυφοσ σισυφοσ"},
		{"Ёлка ЙОД", "елка иод"},
		{"Ｃａｆé ﬁne ² ㎏", "cafe fine 2 kg"},
		{"½ ①", "1 2 1"},
		{"soft\u00adhyphen zero\u200bwidth", "softhyphen zerowidth"},
		{"مُحَمَّد محـمد", "محمد محمد"},
		{"שָׁלוֹם", "שלום"},
		{"हिन्दी भाषा", "हिन्दी भाषा"},
		{"می\u200cخواهم", "میخواهم"},
		// Pairs.
		{"東京都", "東京 京都 都"},
		{"東京", "東京 京"},
		{"東", "東"},
		{"東 京", "東 京"},
		{"iPhone手机3号", "iphone 手机 机 3 号"},
		{"你好，世界！", "你好 好 世界 界"},
		{"カタカナ ｶﾞｷﾞ", "カタ タカ カナ ナ ガギ ギ"},
		{"か\u3099き", "がき き"},
		{"コンピューター", "コン ンピ ピュ ュー ータ ター ー"},
		{"서버가", "서버 버가 가"},
		{"서버가", "서버 버가 가"},
		{"ไทยดี", "ไท ทย ยดี ดี"},
		{"๑๒๓", "๑๒๓"},
		{"二〇二六年", "二〇 〇二 二六 六年 年"},
		// What is not found.
		{"🎉 👍🏽 x", "x"},
		{"\xff a\xffb", "a b"},
		{"\u0301a", "a"},
	} {
		if got := strings.Join(Terms(test.text), " "); got != test.want {
			t.Errorf("%q: got %q, want %q", test.text, got, test.want)
		}
	}
}

func TestTermsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 500) + strings.Repeat("字", 3)
	for _, term := range append(Terms(strings.Repeat("字ก"+strings.Repeat("\u0e31", 500), 3)), Terms(long)...) {
		if len(term) > MaxTerm || !utf8.ValidString(term) {
			t.Errorf("a term of %d bytes: %q", len(term), term)
		}
	}
	if got := Terms(long)[0]; got != strings.Repeat("e", MaxTerm) {
		t.Errorf("a long word is %q", got)
	}
	if got := len(Terms(strings.Repeat("a ", 3*MaxTerms))); got != MaxTerms {
		t.Errorf("many words are %d terms, want %d", got, MaxTerms)
	}
	if got := len(Terms(strings.Repeat("字", 3*MaxTerms))); got != MaxTerms {
		t.Errorf("a long run is %d terms, want %d", got, MaxTerms)
	}
	for _, worst := range []string{"字", "字 ", "a字", "a "} {
		text := strings.Repeat(worst, kaban.DefaultMaxContent)
		text = string([]rune(text)[:kaban.DefaultMaxContent])
		if got := len(Terms(text)); got >= MaxTerms {
			t.Errorf("contents of %q have %d terms or more", worst, got)
		}
	}
}

// TestShortcuts checks the shortcuts of folding with the tables of Unicode.
func TestShortcuts(t *testing.T) {
	w := folder{foldings: foldings()}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !utf8.ValidRune(r) {
			continue
		}
		s := string(r)
		if isStarter(r) && !norm.NFKC.PropertiesString(s).BoundaryBefore() {
			t.Errorf("%U combines with what precedes it", r)
		}
		w.out = w.out[:0]
		if w.add(s); string(w.out) != w.fold(s) {
			t.Errorf("%q (%U) becomes %q, but folds to %q", s, r, w.out, w.fold(s))
		}
	}
}

// TestPairs checks the list of scripts with the tables of UAX #29: whatever these do
// not join to words is indexed in pairs, so that it can be found.
func TestPairs(t *testing.T) {
	letters := 0
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if !unicode.IsLetter(r) || fold(string(r), false).text != string(r) {
			continue
		}
		letters++
		each := words.FromString(string(r) + string(r))
		joined := each.Next() && each.End() == 2*utf8.RuneLen(r)
		if got := classOf(r); !joined && got != dense || got != dense && got != letter {
			t.Errorf("%c (%U): joined %t, class %d", r, r, joined, got)
		}
	}
	if letters < 100_000 {
		t.Errorf("only %d letters", letters)
	}
}

// seeds have all that is special to this package.
var seeds = []string{
	"", "Hello, World! foo_bar v1.2.3", "東京都はカタカナ", "サーバーｶﾞ서버가ไทยดี 3号", "e\u0301\u0301\u3099か\u3099 \u200d",
	"मराठी क्षत्रिय", "👩‍👩‍👧 🇩🇪 👍🏽", "\xff\xc0\u0345\u1FB3", "ﷺ ㍿ ½", "a\u05b0b\u0651", "ᄀ\u1161\u11a8 ㄱ",
}

func FuzzTerms(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := fold(text, true)
		if again := fold(once.text, false); again.text != once.text {
			t.Errorf("%q folds to %q, and that to %q", text, once.text, again.text)
		}
		if once.from != nil && (len(once.from) != len(once.text) || len(once.to) != len(once.text)) {
			t.Fatalf("%q: %d bytes have %d origins", text, len(once.text), len(once.from))
		}
		terms := Terms(text)
		if len(terms) > MaxTerms {
			t.Errorf("%d terms", len(terms))
		}
		for _, term := range terms {
			if term == "" || len(term) > MaxTerm || strings.ContainsFunc(term, func(r rune) bool { return !unicode.In(r, unicode.L, unicode.M, unicode.N) }) {
				t.Errorf("%q has the term %q", text, term)
			}
		}
		if got := Terms(once.text); !slices.Equal(got, terms) {
			t.Errorf("%q has the terms %q, but folded %q", text, terms, got)
		}
		if !utf8.ValidString(text) {
			return
		}
		for _, form := range []norm.Form{norm.NFC, norm.NFD, norm.NFKC, norm.NFKD} {
			if got := Terms(form.String(text)); !slices.Equal(got, terms) {
				t.Errorf("%q has the terms %q, but normalized %q", text, terms, got)
			}
		}
	})
}

var benchTexts = []struct{ name, text string }{
	{"english", strings.Repeat("The deploy of v1.2.3 to prod-eu-1 failed: see https://ci.example.com/job/42 for the log. ", 3)},
	{"german", strings.Repeat("Die Größe der Dateien überschreitet das Limit, daher müssen ältere gelöscht werden. ", 3)},
	{"russian", strings.Repeat("Сервер перезапускается каждую ночь, поэтому утром всё работает быстрее. ", 3)},
	{"chinese", strings.Repeat("服务器每天晚上都会重新启动，所以早上运行得更快。数据库已经备份。", 5)},
	{"korean", strings.Repeat("서버가 매일 밤 다시 시작되기 때문에 아침에는 더 빠르게 작동합니다. ", 5)},
}

func BenchmarkTerms(b *testing.B) {
	for _, bench := range benchTexts {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				Terms(bench.text)
			}
		})
	}
}

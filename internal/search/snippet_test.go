package search

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// marked returns a snippet with its marks in brackets.
func marked(s Snippet) string {
	var b strings.Builder
	at := 0
	for _, m := range s.Marks {
		b.WriteString(s.Text[at:m.Start] + "[" + s.Text[m.Start:m.End] + "]")
		at = m.End
	}
	return b.String() + s.Text[at:]
}

func TestSnippet(t *testing.T) {
	long := strings.Repeat("lorem ipsum ", 20)
	for _, test := range []struct {
		query, content string
		limit          int
		want           string
	}{
		// Marks.
		{"deploy failed", "The Deploy FAILED, deployment too", 100, "The [Deploy] [FAILED], deployment too"},
		{"deploy*", "The deployment", 100, "The [deploy]ment"},
		{"foo_bar", "a foo_bar, a foo-bar", 100, "a [foo_bar], a [foo-bar]"},
		{`foo "foo bar" bar`, "foo bar", 100, "[foo bar]"},
		{"cafe", "un Cafe\u0301!", 100, "un [Cafe\u0301]!"},
		{"fi*", "ﬁne", 100, "[ﬁ]ne"},
		{"strasse", "die Straße", 100, "die [Straße]"},
		{"stras*", "die Straße", 100, "die [Straß]e"},
		{"1", "½", 100, "[½]"},
		{"京都", "東京都は", 100, "東[京都]は"},
		{"東京 京都", "東京都は", 100, "[東京都]は"},
		{"東京 都は", "東京都は", 100, "[東京都は]"},
		{"京", "東京都は", 100, "東[京]都は"},
		{"1", "x \u06001", 100, "x [\u06001]"}, // the sign and the digit are one grapheme
		{"ガ", "ｶﾞギ", 100, "[ｶﾞ]ギ"},
		{"서버", "서버가", 100, "[서버]가"},
		{"x -y", "x y", 100, "[x] y"},
		{"is:pinned", "x y", 100, "x y"},
		// Cuts.
		{"ipsum", "ipsum", 5, "[ipsum]"},
		{"needle", long + "the needle is here " + long, 40, "…ipsum the [needle] is here lorem ipsum…"},
		{"needle", "a needle " + long, 30, "a [needle] lorem ipsum lorem…"},
		{"needle", long + "a needle", 30, "…ipsum lorem ipsum a [needle]"},
		{"is:pinned", long, 20, "lorem ipsum lorem…"},
		{"absent", long, 20, "lorem ipsum lorem…"},
		{"one two", "one " + long + "one one one " + long + "two one " + long, 30, "…ipsum [two] [one] lorem ipsum…"},
		{"one", "one " + long + "one one one " + long, 30, "…[one] [one] [one] lorem ipsum…"},
		{"one two", "one one " + long + "two", 20, "[one] [one] lorem…"},
		{"needle", strings.Repeat("x", 50) + strings.Repeat(" ", 30) + "needle" + strings.Repeat(" ", 60) + "x", 40, "…[needle]…"},
		{"都", strings.Repeat("山", 30) + "都" + strings.Repeat("川", 30), 12, "…山山山[都]川川川川川川…"},
		{`"lorem ipsum lorem ipsum"`, long, 15, "[lorem ipsum l]…"},
		{"absent", strings.Repeat("x", 100), 10, strings.Repeat("x", 8) + "…"},
		// Graphemes.
		{"absent", strings.Repeat("👩‍👩‍👧", 5), 14, "👩‍👩‍👧👩‍👩‍👧…"},
		{"absent", strings.Repeat("e\u0301", 10), 8, strings.Repeat("e\u0301", 3) + "…"},
		{"absent", "x" + strings.Repeat("\u0301", 50) + "y", 10, "…"},
		// Small limits.
		{"needle", long + "needle " + long, 3, "…[n]…"},
		{"needle", long + "needle " + long, 2, "…"},
		{"needle", long + "needle " + long, 1, "…"},
		{"needle", "needle", 0, ""},
		{"needle", "needle", -1, ""},
		{"needle", "", 10, ""},
	} {
		if got := marked(parse(t, test.query).Snippet(test.content, test.limit)); got != test.want {
			t.Errorf("%q, %d: got %q, want %q", test.query, test.limit, got, test.want)
		}
	}
}

// cut returns the text without the ellipses, and whether it had them.
func cut(text string) (middle string, front, back bool) {
	middle, front = strings.CutPrefix(text, ellipsis)
	middle, back = strings.CutSuffix(middle, ellipsis)
	return middle, front, back
}

func isGraphemes(t *testing.T, content string) func(at int) bool {
	t.Helper()
	ends := []int{0}
	for each := graphemes.FromString(content); each.Next(); {
		ends = append(ends, each.End())
	}
	return func(at int) bool { _, ok := slices.BinarySearch(ends, at); return ok }
}

func FuzzSnippet(f *testing.F) {
	for i, s := range seeds {
		f.Add("foo_bar 東 ga*", s, i*3)
		f.Add("hello e", strings.Repeat(s, 20), 20)
	}
	f.Fuzz(func(t *testing.T, query, content string, limit int) {
		q, err := Parse(query, now(t))
		if err != nil {
			return
		}
		s := q.Snippet(content, limit)
		if n := utf8.RuneCountInString(s.Text); n > max(limit, 0) {
			t.Fatalf("%d code points, the limit is %d", n, limit)
		}
		last := 0
		for i, m := range s.Marks {
			if m.Start >= m.End || m.End > len(s.Text) || m.Start < last || i > 0 && m.Start == last {
				t.Fatalf("marks %v in %d bytes", s.Marks, len(s.Text))
			}
			last = m.End
		}
		if strings.Contains(content, ellipsis) || limit < 1 {
			return
		}
		text, front, back := cut(s.Text)
		isBoundary := isGraphemes(t, content)
		found := false
		for at := 0; at+len(text) <= len(content) && !found; at++ {
			if content[at:at+len(text)] != text || !front && at > 0 || !back && !(front && text == "") && at+len(text) < len(content) {
				continue
			}
			found = isBoundary(at) && isBoundary(at+len(text))
			offset := at - (len(s.Text) - len(text))
			if back {
				offset += len(ellipsis)
			}
			for _, m := range s.Marks {
				found = found && isBoundary(m.Start+offset) && isBoundary(m.End+offset)
			}
		}
		if !found {
			t.Fatalf("%q with %v is no part of %q", s.Text, s.Marks, content)
		}
		whole := q.Snippet(content, len(content)+1)
		if whole.Text != content {
			t.Fatalf("with room enough got %q", whole.Text)
		}
		if len(whole.Marks) > 0 && limit > 2 && len(s.Marks) == 0 && !strings.ContainsFunc(content, func(r rune) bool { return r > 0x7F }) {
			t.Fatalf("%q has marks %v, but its snippet %q none", content, whole.Marks, s.Text)
		}
		if hasText := slices.ContainsFunc(q.Texts, func(t Text) bool { return !t.Not }); hasText && q.Matches(content) && len(whole.Marks) == 0 {
			t.Fatalf("%q matches %q, but nothing is marked", query, content)
		}
	})
}

func BenchmarkSnippet(b *testing.B) {
	q := parse(b, `fast* 数据库 "prod eu" absent`)
	for _, bench := range benchTexts {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			b.ReportAllocs()
			for b.Loop() {
				q.Snippet(bench.text, 160)
			}
		})
	}
	b.Run("longest", func(b *testing.B) {
		text := strings.Repeat("fast x 数据库 ", 4000)
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			q.Snippet(text, 160)
		}
	})
}

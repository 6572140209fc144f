package search

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kaban"
)

// now is a Friday in Berlin, where the clocks have just been put back.
func now(t testing.TB) time.Time {
	t.Helper()
	return time.Date(2026, time.November, 27, 0, 30, 0, 0, zone(t, "Europe/Berlin"))
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func parse(t testing.TB, query string) *Query {
	t.Helper()
	q, err := Parse(query, now(t))
	if err != nil {
		t.Fatalf("%q: %v", query, err)
	}
	return q
}

// TestCanonical checks what queries mean by their canonical form, and that this form
// means the same.
func TestCanonical(t *testing.T) {
	for _, test := range []struct{ query, want string }{
		// Words and phrases.
		{"Deploy  failed\n", "deploy failed"},
		{`"Deploy  failed!"`, `"deploy failed"`},
		{`"deploy" deploy DEPLOY`, "deploy"},
		{"foo_bar v1.2.3", `"foo bar" "v1 2 3"`},
		{"Café Straße", "cafe strasse"},
		{"“smart” „quotes“ ＂wide＂", "smart quotes wide"},
		{`12" 5'10"`, `12 "5 10"`},
		{`"a"b`, "a b"},
		{`a"b c"`, `"a b" c`},
		{"https://example.com/a?b=1", `"https example com a b 1"`},
		{"`code` x", "code x"},
		{strings.Repeat("a", MaxQuery), strings.Repeat("a", MaxTerm)},
		// Prefixes.
		{"deploy* foo_ba* v1.22*", `deploy* "foo ba"* "v1 22"*`},
		{`"foo ba"*`, `"foo ba"*`},
		{"deploy＊", "deploy*"},
		{"deploy deploy*", "deploy deploy*"},
		{"東京* 都*", "東京 都"},
		{"deploy-*", "deploy"},
		// Runs of scripts that are indexed in pairs.
		{"東京都 ｶﾀｶﾅ 都", "東京都 カタカナ 都"},
		{"你好，世界", `"你好 世界"`},
		{"iPhone手机", `"iphone 手机"`},
		// Exclusions.
		{`a -b -"c d" -ee*`, `a -b -"c d" -ee*`},
		{"a －b −c", "a -b -c"},
		{"git --verbose -- x - y -> z", "git verbose x y z"},
		{"a -a", "a -a"},
		{"a -->b", "a b"},
		// Punctuation is ignored.
		{`a & b || "..." * -"" 🎉`, "a b"},
		// Operators.
		{"from:Ann FROM:@ann from:ben", "from:Ann from:ben"},
		{"-from:ann in:#Lobby in:dev -in:noise", "-from:ann in:lobby in:dev -in:noise"},
		{"in:@abcdefghijklmnopqrstuvwxyz", "in:@abcdefghijklmnopqrstuvwxyz"},
		{`from:"ann" in：lobby`, "from:ann in:lobby"},
		{"is:pinned mentions:me has:link has:File", "has:file has:link mentions:me is:pinned"},
		{"a -has:file -is:pinned has:file", "a has:file -has:file -is:pinned"},
		{"in:lobby x from:ann y", "x y from:ann in:lobby"},
		// What looks like an operator, but is none.
		{"error:timeout 12:30 std::string a:b :x x:", `"error timeout" "12 30" "std string" "a b" x`},
		{`"from:ann" "form:x"`, `"from ann" "form x"`},
		{"(from:ann)", `"from ann"`},
		// Dates.
		{"on:2026-01-31", "on:2026-01-31"},
		{"on:2026-02", "after:2026-01-31 before:2026-03-01"},
		{"after:2026-02", "after:2026-02-28"},
		{"before:2026-02", "before:2026-02-01"},
		{"after:2025 before:2027", "after:2025-12-31 before:2027-01-01"},
		{"after:2026-01-30 before:2026-02-01", "on:2026-01-31"},
		{"on:today", "on:2026-11-27"},
		{"on:Yesterday", "on:2026-11-26"},
		{"after:yesterday", "after:2026-11-26"},
		{"on:2024-02-29", "on:2024-02-29"},
		{"after:2026-01-01 after:2026-02-01 before:2026-04-01 before:2026-03-01", "after:2026-02-01 before:2026-03-01"},
		{"after:2026-02-01 after:2026-01-01 before:2026-03-01 before:2026-04-01", "after:2026-02-01 before:2026-03-01"},
		{"on:1970", "before:1971-01-01"},
		{"on:9998", "after:9997-12-31"},
		{"after:9998-12-31", "after:9998-12-31"},
	} {
		q := parse(t, test.query)
		if got := q.String(); got != test.want {
			t.Errorf("%q: got %q, want %q", test.query, got, test.want)
		}
		again := parse(t, q.String())
		if diff := cmp.Diff(q, again, compare); diff != "" {
			t.Errorf("%q is not what its canonical form %q is (-query +canonical):\n%s", test.query, q, diff)
		}
	}
}

var compare = cmp.Options{
	cmp.AllowUnexported(Query{}, Text{}, date{}),
	cmp.Comparer(func(x, y kaban.Username) bool { return x == y }),
	cmp.Comparer(func(x, y kaban.RoomName) bool { return x.String() == y.String() }),
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		query, part, want string
	}{
		{"", "", "character 1: there is nothing to look for"},
		{" ... 🎉", " ... 🎉", "character 1: there is nothing to look for"},
		{"-a", "-a", "character 1: the query only excludes"},
		{"-from:ann -has:file", "-from:ann -has:file", "only excludes"},
		{"é \"a b", "\"a b", "character 3: the phrase that begins here does not end"},
		{"é -“a", "“a", "character 4: the phrase"},
		{"a \xff", "\xff", "character 3: the query is not UTF-8"},
		{strings.Repeat("a", MaxQuery+1), strings.Repeat("a", MaxQuery+1), "character 1: the query has 1025 bytes, the limit is 1024"},
		{strings.Repeat("a\n", MaxParts) + "is:pinned", "is:pinned", "character 65: the query has more than 32 words and operators"},
		{strings.Repeat("is:pinned ", MaxParts) + "-a", "-a", "more than 32"},
		{"a *b", "*b", "character 3: a * can only end a word"},
		{"a b*c", "*c", "character 4: a * can only end a word"},
		{"**bold**", "**bold**", "in quotes"},
		{"bold**", "**", "can only end"},
		{"x a*", "a*", "character 3: a* finds too much: put at least 2 letters"},
		{"foo_b*", "foo_b*", "b* finds too much"},
		{"x from: ann", "from:", "character 3: from: needs its value right after the colon, as in from:ann"},
		{"in:", "in:", "as in in:lobby"},
		{"has:", "has:", "as in has:file or has:link"},
		{"After: lunch", "After:", "as in after:2026-01-31"},
		{"from:a/b", "from:a/b", "from: takes a username, as in from:ann: the username has a character that is not allowed"},
		{"from:" + strings.Repeat("a", 33), "from:" + strings.Repeat("a", 33), "the limit is 32"},
		{`from:"ann lee"`, `from:"ann`, "from: takes a username"},
		{`from:"`, `from:"`, "from: takes a username"},
		{"from:@", "from:@", "the username is empty"},
		{"in:@ann", "in:@ann", "in: takes the name of a room"},
		{"has:image", "has:image", `has: does not take "image": write has:file or has:link`},
		{"x is:new\x1b[2J", "is:new\x1b[2J", `is: does not take "new\x1b[2J": write is:pinned`},
		{"mentions:ann", "mentions:ann", "write mentions:me"},
		{"x form:ann", "form:ann", "character 3: there is no operator form: (is it from:?)"},
		{"mention:me", "mention:me", "is it mentions:?"},
		{"befor:2026", "befor:2026", "is it before:?"},
		{"afterr:2026", "afterr:2026", "is it after:?"},
		{"fron:ann", "fron:ann", "is it from:?"},
		{"on:soon", "on:soon", `"soon" is not a date: write 2026-01-31, 2026-01, 2026, today or yesterday`},
		{"on:2026-1-1", "on:2026-1-1", "is not a date"},
		{"on:2026-13-01", "on:2026-13-01", `"2026-13-01" is not in the calendar`},
		{"on:2026-02-29", "on:2026-02-29", "is not in the calendar"},
		{"on:1969", "on:1969", "is not a year from 1970 to 9998"},
		{"on:abcd", "on:abcd", "is not a date"},
		{"x -before:2026", "-before:2026", "dates cannot be excluded"},
		{"after:2026 before:2026", "before:2026", "no day is before 2026 and in the dates before it"},
		{"after:2026-01-31 before:2026-02-01", "before:2026-02-01", "no day is"},
		{"on:2026-01-31 on:2026-02-01", "on:2026-02-01", "no day is"},
	} {
		q, err := Parse(test.query, now(t))
		wrong, ok := errors.AsType[*Error](err)
		if !ok {
			t.Errorf("%q: got %v and %v, want an error", test.query, q, err)
			continue
		}
		if got := test.query[wrong.At:wrong.End]; got != test.part {
			t.Errorf("%q: the error is about %q, want %q", test.query, got, test.part)
		}
		if !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: got %q, want %q", test.query, err, test.want)
		}
	}
}

func TestDates(t *testing.T) {
	for _, test := range []struct{ zone, query, since, until string }{
		{"UTC", "on:2026-01-31", "2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"},
		{"Asia/Tokyo", "before:2026-01-31", "", "2026-01-31T00:00:00+09:00"},
		{"Asia/Tokyo", "after:2026-01-31", "2026-02-01T00:00:00+09:00", ""},
		{"Europe/Berlin", "on:2026-10", "2026-10-01T00:00:00+02:00", "2026-11-01T00:00:00+01:00"},
		{"America/Sao_Paulo", "on:2018-11-04", "2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}, // no midnight
		{"America/Havana", "on:2025-11-02", "2025-11-02T00:00:00-04:00", "2025-11-03T00:00:00-05:00"},    // two
		{"Asia/Amman", "on:2021-10-29", "2021-10-29T00:00:00+03:00", "2021-10-30T00:00:00+02:00"},
		{"Atlantic/Azores", "on:2025-10-26", "2025-10-26T00:00:00Z", "2025-10-27T00:00:00-01:00"},
		{"Pacific/Apia", "on:2011-12-30", "2011-12-31T00:00:00+14:00", "2011-12-31T00:00:00+14:00"}, // no such day
		{"Australia/Lord_Howe", "on:2026-10-04", "2026-10-04T00:00:00+10:30", "2026-10-05T00:00:00+11:00"},
	} {
		q, err := Parse(test.query, time.Date(2026, time.November, 27, 12, 0, 0, 0, zone(t, test.zone)))
		if err != nil {
			t.Errorf("%q: %v", test.query, err)
			continue
		}
		text := func(at time.Time) string {
			if at.IsZero() {
				return ""
			}
			return at.Format(time.RFC3339)
		}
		if since, until := text(q.Since), text(q.Until); since != test.since || until != test.until {
			t.Errorf("%s in %s: got %q to %q, want %q to %q", test.query, test.zone, since, until, test.since, test.until)
		}
	}
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		query, content string
		want           bool
	}{
		{"deploy", "The DEPLOY failed", true},
		{"deploy", "deployment", false},
		{"deploy*", "deployment", true},
		{"ploy", "deploy", false},
		{"bar", "foo_bar", true},
		{"foo_bar", "foo.bar", true},
		{"foo_bar", "bar foo", false},
		{"foo_ba*", "foo bars", true},
		{"fo*", "foo", true},
		{`"fo ba"*`, "foo bar", false},
		{"v1.2", "since v1.2.3", true},
		{"example.com", "see https://www.example.com/x", true},
		{"ann@example.com", "mailto:Ann@Example.com", true},
		{"cafe", "Cafe\u0301", true},
		{`"failed deploy"`, "deploy failed", false},
		{"failed deploy", "deploy failed", true},
		{"failed -deploy", "deploy failed", false},
		{"failed -deploy", "failed", true},
		{`failed -"to deploy"`, "failed deploy to", true},
		{"東京", "東京都", true},
		{"京都", "東京都", true},
		{"東都", "東京都", false},
		{"東", "東京都", true},
		{"京", "東京都", true},
		{"都", "東京都", true},
		{"都", "東京", false},
		{"京都は", "東京都は大きい", true},
		{`"都 x"`, "東京都 x", true},
		{`"東京 x"`, "東京都 x", false},
		{"iphone手", "iPhone手机", true},
		{"号", "3号", true},
		{"서버", "서버가 느리다", true},
		{"ทย", "ไทยดี", true},
		{"is:pinned", "anything", true},
	} {
		if got := parse(t, test.query).Matches(test.content); got != test.want {
			t.Errorf("%q in %q: got %t, want %t", test.query, test.content, got, test.want)
		}
	}
}

// TestEveryPartIsFound searches for each word of texts, and each part of each run.
func TestEveryPartIsFound(t *testing.T) {
	for _, bench := range benchTexts {
		runes := []rune(bench.text)
		for i := range runes {
			for n := 1; n <= 4 && i+n <= len(runes); n++ {
				part := string(runes[i : i+n])
				if all := tokens(fold(part, false).text); len(all) == 0 || all[0].kind == word || all[len(all)-1].kind == word {
					continue
				}
				if q := parse(t, `"`+part+`"`); !q.Matches(bench.text) {
					t.Errorf("%q is not found", part)
				}
			}
		}
		for _, part := range strings.Fields(bench.text) {
			if q := parse(t, part); !q.Matches(bench.text) {
				t.Errorf("%q is not found", part)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`deploy* "two words"* -not -"no no" from:ann -from:@ben in:#lobby -in:dev has:file has:link mentions:me is:pinned`,
		"before:2026-01-31 after:2025 on:today", "on:1970 on:9998", "form:x a*b *", "“東京都 ｶﾀｶﾅ” 서버 ไทย －x：y", "\xff\"", "- -- ->", "a\u0301:b",
	} {
		f.Add(s, "The deploy of 東京都 failed")
	}
	f.Fuzz(func(t *testing.T, query, content string) {
		q, err := Parse(query, now(t))
		if err != nil {
			e, ok := errors.AsType[*Error](err)
			if !ok || e.At < 0 || e.At > e.End || e.End > len(query) || e.Position < 0 || e.Position > e.At || q != nil {
				t.Fatalf("%q: got %v and %#v", query, q, err)
			}
			if s := err.Error(); !utf8.ValidString(s) || strings.ContainsAny(s, "\x1b\n\u202e") {
				t.Fatalf("%q: unsafe to print: %q", query, s)
			}
			return
		}
		canonical := q.String()
		again, err := Parse(canonical, now(t))
		if len(canonical) > MaxQuery {
			return // folding can expand
		}
		if err != nil {
			t.Fatalf("%q is canonically %q: %v", query, canonical, err)
		}
		if diff := cmp.Diff(q, again, compare); diff != "" {
			t.Fatalf("%q is not what its canonical form %q is:\n%s", query, canonical, diff)
		}
		if got, want := again.Matches(content), q.Matches(content); got != want {
			t.Fatalf("%q matches %q: %t, but its canonical form: %t", query, content, want, got)
		}
		for _, text := range q.Texts { // whatever is typed finds itself
			one := &Query{Texts: []Text{{Terms: text.Terms, Prefix: text.Prefix}}}
			if !one.Matches(query) {
				t.Fatalf("%q is not found in %q", text.Terms, query)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, query := range []string{"deploy", `"deploy failed" -test* from:ann in:lobby after:2026-01 has:link`, "服务器 数据库"} {
		b.Run(fmt.Sprint(len(query)), func(b *testing.B) {
			at := now(b)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(query, at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMatches(b *testing.B) {
	q := parse(b, `"prod eu" 数据库 -verbose works*`)
	for _, bench := range benchTexts {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.text)))
			for b.Loop() {
				q.Matches(bench.text)
			}
		})
	}
}

func TestUnknownOperators(t *testing.T) {
	for query, want := range map[string]string{
		"foo:bar tea": "foo", "-foo:bar x": "foo", "from:ann in:lobby": "", "https://example.org": "", `"foo:bar"`: "", "12:30 a:b Zürich:x": "a", "foo: x": "",
	} {
		if got := strings.Join(Unknown(query), " "); got != want {
			t.Errorf("%q has the unknown operators %q, want %q", query, got, want)
		}
	}
}

package markup_test

import (
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"kaban/internal/markup"
	"kaban/internal/markup/markuptest"
)

var update = flag.Bool("update", false, "write what the cases give into the table; read the diff")

func TestTable(t *testing.T) {
	all, err := markuptest.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Markup {
		got := markuptest.Spell(markup.Parse(c.Content()))
		if c.Times > 0 && got == c.Content() {
			got = "as typed"
		}
		if *update {
			c.Out = got
		} else if got != c.Out {
			t.Errorf("%s: %.200q:\ngot  %.300s\nwant %.300s", c.Name, c.Content(), got, c.Out)
		}
		checkWhole(t, c.Content())
	}
	for _, c := range all.Mentions {
		if got := markup.Mentions(c.In, c.Name); got != c.Want {
			t.Errorf("%q mentions %q: got %t, want %t", c.In, c.Name, got, c.Want)
		}
	}
	if *update {
		var text strings.Builder
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "\t")
		if err := encoder.Encode(all); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("markuptest/cases.json", []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWhole checks that every character of a content is in a span, that marks are
// delimiters, and that each visible line stays visible, except for fences, rules
// and the empty lines of quotes.
func checkWhole(t interface {
	Helper()
	Errorf(string, ...any)
}, content string,
) {
	t.Helper()
	var whole []string
	for _, l := range markup.Parse(content) {
		text, shown := "", ""
		for _, s := range l.Spans {
			text += s.Text
			delimiters := "*_~`"
			switch {
			case !s.Mark:
				shown += s.Text
				continue
			case l.Kind == markup.Block:
				delimiters = "` \t"
			case l.Kind == markup.Rule:
				delimiters = "|:- \t"
			case l.Kind == markup.Head, l.Kind == markup.Row:
				delimiters += "| \t"
			case l.Quote > 0:
				delimiters += "> \t"
			}
			if strings.Trim(s.Text, delimiters) != "" {
				t.Errorf("%.200q: %q is a mark", content, s.Text)
			}
			if s.Text == "" {
				t.Errorf("%.200q: an empty mark", content)
			}
		}
		if l.Kind == markup.Text && strings.TrimRight(text, " \t") != ">" && isBlank(shown) && !isBlank(text) {
			t.Errorf("%.200q: nothing of %q is visible", content, text)
		}
		whole = append(whole, text)
	}
	if got := strings.Join(whole, "\n"); got != content {
		t.Errorf("%.200q: the spans are %.200q", content, got)
	}
}

func TestNothingIsLost(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 30_000 {
		checkWhole(t, markuptest.Random(random))
	}
}

// A message looks as it does in Slack: only delimiters are lost.
func TestFromSlackLosesNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	rest := func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune("*~> \t\n`", r) {
				return -1
			}
			return r
		}, s)
	}
	for range 20_000 {
		content := markuptest.Random(random)
		translated := markup.FromSlack(content)
		if got, want := rest(translated), rest(content); got != want {
			t.Fatalf("%q: got %q", content, translated)
		}
	}
}

// isBlank reports whether nothing in a text is visible.
func isBlank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.In(r, unicode.White_Space, unicode.Cc, unicode.Cf) })
}

func FuzzParse(f *testing.F) {
	all, err := markuptest.Cases()
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range all.Markup {
		f.Add(c.Content())
	}
	f.Fuzz(func(t *testing.T, content string) {
		checkWhole(t, content)
		markup.Mentions(content, "ann")
		markup.FromSlack(content)
	})
}

// Sixteen times the input takes about sixteen times as long, not 256 times. A busy
// machine only makes a measurement worse, so the best of several counts.
func TestLinear(t *testing.T) {
	const size, attempts, tolerated = 8 << 10, 8, 100
	took := func(content string) time.Duration {
		best := time.Duration(math.MaxInt64)
		for range 3 {
			begin := time.Now()
			markup.Parse(content)
			markup.FromSlack(content)
			markup.Emphasise(content, content, content, markup.Code)
			best = min(best, time.Since(begin))
		}
		return best
	}
	for _, piece := range markuptest.Hard {
		content := strings.Repeat(piece, size/len(piece))
		best := math.Inf(1)
		for range attempts {
			if best = min(best, float64(took(strings.Repeat(content, 16)))/float64(took(content))); best < tolerated {
				break
			}
		}
		if best >= tolerated {
			t.Errorf("%q: sixteen times the input takes %.0f times as long", piece, best)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for name, content := range map[string]string{
		"plain":  "the build is green, and so is the grass",
		"markup": "**Alert** for @ann: `disk` at 93% on *db1*, see https://grafana.example/d/abc?x=1",
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				markup.Parse(content)
			}
		})
	}
}

func TestFindMentions(t *testing.T) {
	for content, want := range map[string]markup.Mentioned{
		"nobody":                      {},
		"hello @ann, @Bob and @ann":   {Names: []string{"ann", "Bob"}},
		"@ann_- says":                 {Names: []string{"ann", "ann_", "ann_-"}},
		"`@ann` mail@bob @@cat /@dan": {},
		"```\n@ann\n```\n> @bob\n> > @cat\nbut @dan": {Names: []string{"dan"}},
		"> @bob\n>\nthen @ann":                       {Names: []string{"ann"}},
		"**@here** and @ALL":                         {Everyone: true, Here: true},
		"@channel":                                   {Everyone: true},
		"| @ann | x |\n| --- | --- |\n| @bob | y |":  {Names: []string{"ann", "bob"}},
		"@a @b @c @d @e":                             {Names: []string{"a", "b", "c"}},
	} {
		if got := markup.FindMentions(content, 3); !reflect.DeepEqual(got, want) {
			t.Errorf("%q mentions %+v, want %+v", content, got, want)
		}
	}
}

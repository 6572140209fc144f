package markup

import (
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the cases give into the table; read the diff")

// table is what both implementations of the markup must pass; the page does in
// e2e/browser. spell says how "out" is written.
type table struct {
	Markup   []*markupCase `json:"markup"`
	Mentions []mentionCase `json:"mentions"`
}

type markupCase struct {
	Name  string `json:"name"`
	In    string `json:"in"`
	Times int    `json:"times,omitempty"` // how often "in" is repeated
	Out   string `json:"out"`
}

func (c *markupCase) content() string { return strings.Repeat(c.In, max(c.Times, 1)) }

type mentionCase struct {
	In   string `json:"in"`
	Name string `json:"name"`
	Want bool   `json:"want"`
}

const tableFile = "testdata/cases.json"

func readTable(t testing.TB) (all table) {
	t.Helper()
	text, err := os.ReadFile(tableFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// spell writes lines so that their structure can be read: ⟦**⟧ is a mark,
// ⟨b:text⟩ a text that is bold, ⟪quote 1⟫ the kind of a line.
func spell(lines []Line) string {
	var b strings.Builder
	for n, l := range lines {
		if n > 0 {
			b.WriteByte('\n')
		}
		if kind := [...]string{Block: "block", Head: "head", Rule: "rule", Row: "row"}[l.Kind]; kind != "" {
			b.WriteString("⟪" + kind + "⟫")
		}
		if l.Quote > 0 {
			b.WriteString("⟪quote " + string(rune('0'+l.Quote)) + "⟫")
		}
		for _, s := range l.Spans {
			flags := ""
			for bit, flag := range "biscaml" {
				if s.Style&(1<<bit) != 0 {
					flags += string(flag)
				}
			}
			switch {
			case s.Mark:
				b.WriteString("⟦" + s.Text + "⟧")
			case flags != "":
				b.WriteString("⟨" + flags + ":" + s.Text + "⟩")
			default:
				b.WriteString(s.Text)
			}
		}
	}
	return b.String()
}

func TestTable(t *testing.T) {
	all := readTable(t)
	for _, c := range all.Markup {
		got := spell(Parse(c.content()))
		if c.Times > 0 && got == c.content() {
			got = "as typed"
		}
		if *update {
			c.Out = got
		} else if got != c.Out {
			t.Errorf("%s: %.200q:\ngot  %.300s\nwant %.300s", c.Name, c.content(), got, c.Out)
		}
		checkWhole(t, c.content())
	}
	for _, c := range all.Mentions {
		if got := Mentions(c.In, c.Name); got != c.Want {
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
		if err := os.WriteFile(tableFile, []byte(text.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWhole wants every character of a content in a span, marks to be made of
// nothing but delimiters, and something visible to be left of each line that
// had something visible, but for fences, rules and the empty lines of quotes.
func checkWhole(t interface {
	Helper()
	Errorf(string, ...any)
}, content string,
) {
	t.Helper()
	var whole []string
	for _, l := range Parse(content) {
		text, shown := "", ""
		for _, s := range l.Spans {
			text += s.Text
			delimiters := "*_~`"
			switch {
			case !s.Mark:
				shown += s.Text
				continue
			case l.Kind == Block:
				delimiters = "` \t"
			case l.Kind == Rule:
				delimiters = "|:- \t"
			case l.Kind == Head, l.Kind == Row:
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
		if l.Kind == Text && !isLoneQuote(text) && isBlank(shown) && !isBlank(text) {
			t.Errorf("%.200q: nothing is left of %q", content, text)
		}
		whole = append(whole, text)
	}
	if got := strings.Join(whole, "\n"); got != content {
		t.Errorf("%.200q: the spans are %.200q", content, got)
	}
}

// pieces are what contents are made of in which markup may be found.
var pieces = []string{
	"a", "b1", "ä", "你", "é", "\u0301", "🎉", " ", "  ", "\t", "\n", "\n\n", "*", "**", "***", "_", "__", "~~", "~", "`", "``", "```", "````",
	"> ", ">", "|", "|a|b|\n|-|-|\n", "|a| \n", ":-:", "@", "@ann", "@all", "https://x.example/a_b", "http://", "mailto:a@b.example", "(", ")", "[", "]",
	".", ",", "-", "\\", "/", "\u200b", "\u202e", "\"", "'", "：", "。",
}

func TestNothingIsLost(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 30_000 {
		var content strings.Builder
		for range 1 + random.IntN(30) {
			content.WriteString(pieces[random.IntN(len(pieces))])
		}
		checkWhole(t, content.String())
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range readTable(f).Markup {
		f.Add(c.content())
	}
	f.Fuzz(func(t *testing.T, content string) {
		checkWhole(t, content)
		Mentions(content, "ann")
		FromSlack(content)
	})
}

// hard are texts that take parsers long which go back.
var hard = []string{
	"*", "_a", "*a ", "*a_b ", "**a*", "`", "a`b``", "```\n", "```a\n", "``` ``` ", "````\n```\n", "> ", ">", ">\n", "[", "[](", "@", "@a-", "@_", "_@",
	"|", "|a|\n|-|\n", "| |", "|-|\n", "https://", "https://x)", "http://(", "mailto:", "~~a ", "\\|", "~~*_", "a*_~~ ", "\u0301", "*\u0301", "h",
}

// Sixteen times as much takes about sixteen times as long, not 256 times.
func TestLinear(t *testing.T) {
	if testing.Short() {
		t.Skip("it measures")
	}
	const size = 8 << 10
	for _, piece := range hard {
		least := func(content string) time.Duration {
			best := time.Hour
			for range 5 {
				begin := time.Now()
				Parse(content)
				best = min(best, time.Since(begin))
			}
			return best
		}
		content := strings.Repeat(piece, size/len(piece))
		if short, long := least(content), least(strings.Repeat(content, 16)); long > 100*short+time.Millisecond {
			t.Errorf("%q: %v for %d bytes, %v for sixteen times as many", piece, short, len(content), long)
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
				Parse(content)
			}
		})
	}
}

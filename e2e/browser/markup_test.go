package browser

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/profiler"

	"kaban"
	"kaban/internal/childtest"
	"kaban/internal/markup"
	"kaban/internal/markup/markuptest"
)

// spellScript reads the structure of contents in a page: spell does the same as
// markuptest.Spell, and shownSpans reads it from the document.
//
//go:embed testdata/spell.js
var spellScript string

// countScript counts the characters that functions of the language read or copy.
//
//go:embed testdata/count.js
var countScript string

// scriptOf returns a source of the page's as a script that defines the global "source".
func scriptOf(t *testing.T, file string) string {
	t.Helper()
	build := childtest.Go("run", ".", "-script", file)
	build.Dir = filepath.FromSlash("../../internal/web/page/build")
	script, err := build.Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(script) + ";globalThis.source = source; ''\n//# sourceURL=" + file
}

// withSource opens a page with a source of the page's as the global "source".
func withSource(t *testing.T, file string) *page {
	t.Helper()
	script := scriptOf(t, file)
	p := newPage(t, desktop)
	p.text(script)
	return p
}

// reader opens a page with the page's own markup reader in it.
func reader(t *testing.T) *page {
	t.Helper()
	p := withSource(t, "src/markup.ts")
	p.text(spellScript + "; ''")
	return p
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestMarkupIsTheSame checks that page and terminal read markup alike: the table, and
// random contents.
func TestMarkupIsTheSame(t *testing.T) {
	t.Parallel()
	all, err := markuptest.Cases()
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, c := range all.Markup {
		contents = append(contents, c.Content())
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		contents = append(contents, markuptest.Random(random))
	}
	p := reader(t)
	got := value[[]string](p, asJSON(t, contents)+`.map((content) => spell(source.parse(content)))`)
	wrong := 0
	for i, content := range contents {
		want := markuptest.Spell(markup.Parse(content))
		if i < len(all.Markup) && all.Markup[i].Out != "as typed" {
			want = all.Markup[i].Out
		}
		if got[i] != want && wrong < 10 {
			t.Errorf("%.200q:\ngot  %.300s\nwant %.300s", content, got[i], want)
			wrong++
		}
	}
	mentioned := value[[]bool](p, asJSON(t, all.Mentions)+`.map((c) => source.mentions(c.in, c.name))`)
	for i, c := range all.Mentions {
		if mentioned[i] != c.Want {
			t.Errorf("%q mentions %q: got %t, want %t", c.In, c.Name, mentioned[i], c.Want)
		}
	}
}

// TestMarkupIsLinear checks that sixteen times as much takes sixteen times as many steps.
// Steps are the blocks of code that run, and the characters that functions of the language
// read or copy. Backtracking within a regular expression does not show.
func TestMarkupIsLinear(t *testing.T) {
	t.Parallel()
	const file = "src/markup.ts"
	script := scriptOf(t, file)
	p := newPage(t, desktop)
	// Before the source is compiled: its blocks have no counters otherwise.
	command(p, profiler.Enable, cdp.Empty{})
	command(p, profiler.StartPreciseCoverage, profiler.StartPreciseCoverageParams{CallCount: new(true), Detailed: new(true)})
	p.text(script)
	p.text(countScript + "; ''")
	steps := func(content string) float64 {
		t.Helper()
		command(p, profiler.TakePreciseCoverage, cdp.Empty{}) // begins again
		steps := p.number("charactersOf(" + quote(content) + ")")
		blocks := 0.0
		for _, ran := range command(p, profiler.TakePreciseCoverage, cdp.Empty{}).Result {
			if ran.URL != file {
				continue
			}
			for _, function := range ran.Functions {
				for _, block := range function.Ranges {
					blocks += float64(block.Count)
				}
			}
		}
		if blocks == 0 {
			t.Fatal("no steps were counted")
		}
		return steps + blocks
	}
	const size, times = 1 << 10, 16
	for _, piece := range markuptest.Hard {
		content := strings.Repeat(piece, size/len(piece))
		few, many := steps(content), steps(strings.Repeat(content, times))
		// The first reading does what is done only once.
		if few = max(few, steps(content)); many > 1.25*times*few {
			t.Errorf("%q: %v steps, and %v for sixteen times as many", piece, few, many)
		}
	}
}

// together matches the boundary of two lines of code, which are one text in the document.
var together = regexp.MustCompile(`(⟨c:[^⟨⟩]*)⟩⟨c:`)

// joined removes the newlines from a structure and joins lines of code.
func joined(structure string) string {
	structure = strings.ReplaceAll(structure, "\n", "")
	for together.MatchString(structure) {
		structure = together.ReplaceAllString(structure, "$1")
	}
	return structure
}

// shownOf returns the structure of a content as the document has it: without marks and
// newlines.
func shownOf(content string) string {
	var kept []markup.Line
	for _, l := range markup.Parse(content) {
		var spans []markup.Span
		for _, s := range l.Spans {
			if !s.Mark {
				spans = append(spans, s)
			}
		}
		kept = append(kept, markup.Line{Spans: spans})
	}
	return joined(markuptest.Spell(kept))
}

// TestMarkupIsShown checks the table on the screen: every character but the delimiters,
// in its order and in its style.
func TestMarkupIsShown(t *testing.T) {
	t.Parallel()
	all, err := markuptest.Cases()
	if err != nil {
		t.Fatal(err)
	}
	var contents []string
	for _, c := range all.Markup {
		if kaban.CheckContent(c.Content(), kaban.DefaultMaxContent) == nil {
			contents = append(contents, c.Content())
		}
	}
	s := startServer(t, "")
	s.say("ben", "lobby", contents...)
	p := newPage(t, desktop)
	p.join(s.url, "ann")
	p.until(`document.querySelectorAll('.row').length > 0`)
	p.text(spellScript + "; ''")
	for i, content := range contents {
		seq := i + 1
		p.until(fmt.Sprintf(`goTo(%d)`, seq))
		row := fmt.Sprintf(`document.querySelector('.row[data-seq="%d"] .content')`, seq)
		if got, want := joined(p.text("shownSpans("+row+")")), shownOf(content); got != want {
			t.Errorf("%.200q is shown:\ngot  %.300s\nwant %.300s", content, got, want)
		}
		if strings.Contains(content, "@all") || strings.Contains(content, "@ann,") {
			if !p.truth(row+`.closest('.mentioned')`) || !p.truth(row+`.querySelector('.mine')`) {
				t.Errorf("%.200q is not marked as a mention", content)
			}
		}
	}
	// Blanks and newlines are shown as typed.
	for content, want := range map[string]string{
		"  two,   three  ": "  two,   three  ",
		"a\n\n\nb":         "a\n\n\nb",
	} {
		s.say("ben", "lobby", content)
		p.until(`[...document.querySelectorAll('#messages .content')].at(-1).innerText === %s || document.querySelector('#messages').scrollBy(0, 9999)`, want)
	}
}

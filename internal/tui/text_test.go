package tui

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/charmbracelet/x/ansi"
	"pgregory.net/rapid"

	"kaban/client"
	"kaban/internal/markup"
	"kaban/internal/markup/markuptest"
	"kaban/wire"
)

var meters = map[string]meter{"wcwidth": {ansi.WcWidth}, "graphemes": {ansi.GraphemeWidth}}

func TestWrap(t *testing.T) {
	for _, test := range []struct {
		text   string
		width  int
		indent int
		want   string
	}{
		{"hello", 10, 0, "hello"},
		{"hello world", 8, 0, "hello |world"},
		{"hello world", 5, 0, "hello|world"},
		{"hello  world", 6, 0, "hello |world"},
		{"abcdefghij", 4, 0, "abcd|efgh|ij"},
		{"ab abcdefghij", 4, 0, "ab |abcd|efgh|ij"},
		{"  indented text", 9, 0, "  |indented |text"},
		{"你好世界", 4, 0, "你好|世界"},
		{"你好世界", 5, 0, "你好|世界"},
		{"a你b好", 3, 0, "a你|b好"},
		{"one two three", 9, 2, "one two |  three"},
		{"e\u0301e\u0301e\u0301", 2, 0, "e\u0301e\u0301|e\u0301"},
		{"你", 1, 0, "?"},
		{"", 5, 0, ""},
		{"abcd ", 4, 0, "abcd"},
		{"    ", 2, 0, "  "},
	} {
		for name, m := range meters {
			var got []string
			for _, l := range m.wrap(plain(test.text, look{}), test.width, test.indent) {
				got = append(got, l.text())
			}
			if joined := strings.Join(got, "|"); joined != test.want {
				t.Errorf("%s: %q in %d: got %q, want %q", name, test.text, test.width, joined, test.want)
			}
		}
	}
}

// A cluster that is wider than a line, as terminals see it that do not know clusters, is no "?".
func TestWrapSplitsWideClusters(t *testing.T) {
	var got []string
	for _, l := range meters["wcwidth"].wrap(plain("a🏽🏽", look{}), 4, 0) {
		got = append(got, l.text())
	}
	if joined := strings.Join(got, "|"); joined != "a🏽|🏽" {
		t.Errorf("got %q", joined)
	}
}

// Whatever is wrapped fits, and nothing but spaces at the breaks is lost.
func TestWrapFitsAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := meters[rapid.SampledFrom([]string{"wcwidth", "graphemes"}).Draw(rt, "meter")]
		text := m.clean(rapid.StringOf(rapid.RuneFrom([]rune("ab  你😀\u0301👩🏽\u200d❤\ufe0fé-"))).Draw(rt, "text"))
		width := rapid.IntRange(4, 20).Draw(rt, "width")
		var all strings.Builder
		for _, l := range m.wrap(plain(text, look{}), width, 0) {
			if got := m.lineWidth(l); got > width {
				rt.Fatalf("%q has %d columns, more than %d", l.text(), got, width)
			}
			all.WriteString(l.text())
		}
		squeeze := func(s string) string { return strings.ReplaceAll(s, " ", "") }
		if got, want := squeeze(all.String()), squeeze(text); got != want {
			rt.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestCut(t *testing.T) {
	for name, m := range meters {
		for _, test := range []struct {
			text  string
			width int
			want  string
		}{
			{"hello", 5, "hello"},
			{"hello", 4, "hel…"},
			{"hello", 1, "…"},
			{"hello", 0, ""},
			{"你好世界", 5, "你好…"},
			{"你好世界", 4, "你…"},
		} {
			if got := m.cut(test.text, test.width); got != test.want {
				t.Errorf("%s: %q to %d: got %q, want %q", name, test.text, test.width, got, test.want)
			}
		}
	}
}

// spell writes a line so that looks can be read: [bold:text].
func spell(l line) string {
	names := map[role]string{roleDim: "dim", roleCode: "code", roleLink: "link", roleMatch: "match"}
	var b strings.Builder
	for _, s := range l {
		var looks []string
		if name := names[s.look.role]; name != "" {
			looks = append(looks, name)
		}
		for _, a := range []struct {
			is   attributes
			name string
		}{{bold, "bold"}, {italic, "italic"}, {struck, "struck"}} {
			if s.look.attrs&a.is != 0 {
				looks = append(looks, a.name)
			}
		}
		text := s.text
		if s.link != "" {
			text += "→" + s.link
		}
		if len(looks) > 0 {
			text = "[" + strings.Join(looks, ",") + ":" + text + "]"
		}
		b.WriteString(text)
	}
	return b.String()
}

// What the table says is what people see: every character but the delimiters of
// emphasis, in the order in which it was written.
func TestMarkupIsShown(t *testing.T) {
	all, err := markuptest.Cases()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Markup {
		checkShown(t, c.Content())
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 5000 {
		checkShown(t, markuptest.Random(random))
	}
}

// checkShown compares what is shown of a content with what was written; a table
// has other blanks and dashes.
func checkShown(t *testing.T, content string) {
	t.Helper()
	m := meters["graphemes"]
	shown := drawn(content, look{}, m, 80)
	parsed := markup.Parse(content)
	if len(shown) != len(parsed) {
		t.Fatalf("%.200q: %d lines are shown, %d were written", content, len(shown), len(parsed))
	}
	for n, l := range parsed {
		written := ""
		for _, s := range l.Spans {
			if s.Mark && strings.Trim(s.Text, "*_~") == "" {
				continue
			}
			written += m.clean(s.Text)
		}
		got := shown[n].text()
		switch l.Kind {
		case markup.Head, markup.Row:
			got, written = strings.ReplaceAll(got, " ", ""), strings.ReplaceAll(written, " ", "")
		case markup.Rule:
			got, written = squeeze(got), squeeze(written)
		}
		if got != written {
			t.Errorf("%.200q: line %d is shown as\n%.200q, want\n%.200q", content, n+1, got, written)
		}
	}
}

// squeeze leaves one dash of many, and no blanks.
func squeeze(s string) string {
	s = strings.ReplaceAll(s, " ", "")
	for strings.Contains(s, "--") {
		s = strings.ReplaceAll(s, "--", "-")
	}
	return s
}

func TestDrawn(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"plain text", "plain text"},
		{"*a* and _b_", "[italic:a] and [italic:b]"},
		{"**a** ***both*** ~~gone~~", "[bold:a] [bold,italic:both] [struck:gone]"},
		{"`code *here*`", "[dim:`][code:code *here*][dim:`]"},
		{"> *quoted*", "[dim:> ][italic:quoted]"},
		{"see https://example.org/a_b_c?x=1.", "see [link:https://example.org/a_b_c?x=1→https://example.org/a_b_c?x=1]."},
		{"https://x.example/straße", "[link:https://x.example/straße→https://x.example/stra%C3%9Fe]"},
		{"[x](javascript:alert(1))", "[x](javascript:alert(1))"},
		{"hi @ben", "hi [bold:@ben]"},
		{"```go\n*a*\n\n```", "[dim:```][dim:go]\n[code:*a*]\n\n[dim:```]"},
		{
			"|name|n|\n|-|:-:|\n|*a*|1000|\n|日本|2|",
			"[dim:|] name [dim:|]  n   [dim:|]\n[dim:|------|:----:|]\n[dim:|] [italic:a]    [dim:|] 1000 [dim:|]\n[dim:|] 日本 [dim:|]  2   [dim:|]",
		},
		{"|" + strings.Repeat("x", 80) + "|\n|-|\n|*a*|", "[dim:|]" + strings.Repeat("x", 80) + "[dim:|]\n[dim:|-|]\n[dim:|][italic:a][dim:|]"},
	} {
		var got []string
		for _, l := range drawn(test.in, look{}, meters["graphemes"], 80) {
			got = append(got, spell(l))
		}
		if joined := strings.Join(got, "\n"); joined != test.want {
			t.Errorf("%q: got %q, want %q", test.in, joined, test.want)
		}
	}
}

func TestMarkedMatches(t *testing.T) {
	for _, test := range []struct{ in, query, want string }{
		{"Hello hello", "hello", "[match,bold:Hello] [match,bold:hello]"},
		{"a *bc* d", "bc d", "a [match,bold:bc][match,bold: d]"},
		{"aaa", "aa", "[match,bold:aaa]"},
		{"ÄÖ", "äö", "[match,bold:ÄÖ]"},
		{"nothing", "x", "nothing"},
	} {
		got := mark(drawn(test.in, look{}, meters["graphemes"], 80), test.query)
		if s := spell(got[0]); s != test.want {
			t.Errorf("%q in %q: got %q, want %q", test.query, test.in, s, test.want)
		}
	}
}

// FuzzBody wants that whatever comes in a message is laid out within its width
// and brings nothing to the terminal that is not the program's own.
func FuzzBody(f *testing.F) {
	for _, l := range hostile(f) {
		f.Add(l, 20)
	}
	f.Add("*a* [b](c) `d` ~~e~~ https://example.org/x ```\n```", 3)
	f.Fuzz(func(t *testing.T, content string, width int) {
		width = 1 + (width%200+200)%200
		for name, m := range meters {
			i := itemOf(client.Entry{Message: &wire.Message{Seq: 1, Username: "ben", Content: content}}, "ann")
			var b strings.Builder
			dark := newTheme(true)
			for _, l := range i.body(shape{width: width, meter: m, query: "a"}) {
				if got := m.lineWidth(l); got > width {
					t.Errorf("%s: %q has %d columns, more than %d", name, l.text(), got, width)
				}
				dark.write(&b, l)
				b.WriteByte('\n')
			}
			checkHarmless(t, b.String())
		}
	})
}

// checkHarmless wants a screen to have no control sequences but colours and
// links, and no character that is invisible or turns text around.
func checkHarmless(t *testing.T, screen string) {
	t.Helper()
	for rest := screen; ; {
		at := strings.IndexByte(rest, '\x1b')
		text := rest
		if at >= 0 {
			text = rest[:at]
		}
		for _, r := range text {
			if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == '\u200b' || r == '\ufeff' {
				t.Errorf("%U came through in %q", r, text)
			}
		}
		if at < 0 {
			return
		}
		rest = rest[at+1:]
		end := -1
		switch {
		case strings.HasPrefix(rest, "["):
			if end = strings.IndexFunc(rest, func(r rune) bool { return r != '[' && r != ';' && (r < '0' || r > '9') }); end >= 0 && rest[end] != 'm' {
				end = -1
			}
		case strings.HasPrefix(rest, "]8;;"):
			end = strings.IndexByte(rest, '\a')
			if uri := rest[4:max(end, 4)]; uri != "" && target(uri) == "" {
				t.Errorf("it links to %q", uri)
			}
		}
		if end < 0 {
			t.Fatalf("this escape sequence is not ours: %.40q", rest)
		}
		rest = rest[end+1:]
	}
}

// hostile returns the corpus of texts that try to do something to a terminal.
// Each line of the file is a Go string literal.
func hostile(t testing.TB) (all []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	for n, l := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if strings.HasPrefix(l, "#") || l == "" {
			continue
		}
		var s string
		if _, err := fmt.Sscanf(l, "%q", &s); err != nil {
			t.Fatalf("line %d: %v", n+1, err)
		}
		if count, pattern, ok := strings.Cut(s, "×"); ok { // 5000×text
			var times int
			fmt.Sscan(count, &times)
			s = strings.Repeat(pattern, times)
		}
		all = append(all, s)
	}
	if len(all) < 40 {
		t.Fatalf("the corpus has only %d texts", len(all))
	}
	return all
}

// The corpus as message, as name, as room and as what a server says.
func TestHostileTexts(t *testing.T) {
	var shown strings.Builder
	for _, text := range hostile(t) {
		d := newDesk(t, 100, 12)
		d.says("lobby", text, text)
		d.happens(presenceEvent{Room: "lobby", Members: 3, Joined: []string{text}})
		d.happens(stateEvent{link: offline, err: fmt.Errorf("%s", text), retryAt: noon})
		content, _, _ := d.render()
		checkHarmless(t, content)
		d.checkSize(content)
		fmt.Fprintf(&shown, "%s\n%s\n", ansi.Strip(strings.Split(content, "\n")[9]), ansi.Strip(strings.Split(content, "\n")[10]))

		r := d.addRoom(text)
		r.failed = text
		d.enter(r)
		d.happens(membersEvent{room: text, members: []wire.Member{{Username: text}}, asked: true}, failedEvent{room: text, err: fmt.Errorf("%s", text)},
			renamedEvent{name: text, err: fmt.Errorf("%s", text)}, roomsEvent{rooms: []wire.RoomInfo{{Room: text}}, asked: true})
		for _, keys := range [][]string{nil, {"ctrl+k"}, {"esc", "ctrl+f", "a"}, {"esc"}} {
			d.keys(keys...)
			content, _, _ = d.render()
			checkHarmless(t, content)
			d.checkSize(content)
			if title := d.title(); strings.ContainsFunc(title, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("the title of the window is %q", title)
			}
		}
	}
	golden(t, "hostile", trim(shown.String()))
}

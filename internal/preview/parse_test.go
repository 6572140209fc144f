package preview

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kaban/internal/guard"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/simplifiedchinese"
	xunicode "golang.org/x/text/encoding/unicode"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

func mustParse(t testing.TB, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestPages(t *testing.T) {
	pages, err := filepath.Glob("testdata/pages/*.html")
	if err != nil || len(pages) < 8 {
		t.Fatal(pages, err)
	}
	for _, path := range pages {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Parse(bytes.NewReader(page), "text/html", mustParse(t, "https://page.example/news/today?a=b#c"))
		got := fmt.Sprintf("URL         %q\nTitle       %q\nDescription %q\nSite        %q\nPicture     %q\nerror       %v\n",
			p.URL, p.Title, p.Description, p.Site, p.Picture, err)
		golden := strings.TrimSuffix(path, ".html") + ".golden"
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n%swant\n%s", path, got, want)
		}
	}
}

func encode(t *testing.T, e encoding.Encoding, s string) string {
	t.Helper()
	text, err := e.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The byte order mark counts before the header, that before the page, and the page before a
// guess. What is wrong or unknown is no error.
func TestCharsets(t *testing.T) {
	utf16 := xunicode.UTF16(xunicode.BigEndian, xunicode.UseBOM)
	for _, test := range []struct{ name, contentType, page, want string }{
		{"header", "text/html; charset=windows-1251", "<title>" + encode(t, charmap.Windows1251, "Привет") + "</title>", "Привет"},
		{"header in quotes", `text/html; charset="Shift_JIS"`, "<title>" + encode(t, japanese.ShiftJIS, "日本語") + "</title>", "日本語"},
		{"meta", "text/html", "<meta charset=euc-jp><title>" + encode(t, japanese.EUCJP, "日本語") + "</title>", "日本語"},
		{"old meta", "text/html", `<meta http-equiv="Content-Type" content="text/html; charset=gb2312"><title>` + encode(t, simplifiedchinese.GBK, "你好") + "</title>", "你好"},
		{"header before meta", "text/html; charset=utf-8", "<meta charset=windows-1251><title>Привет</title>", "Привет"},
		{"mark before header", "text/html; charset=windows-1251", "\ufeff<title>Привет</title>", "Привет"},
		{"UTF-16", "text/html; charset=utf-8", encode(t, utf16, "<title>Привет</title>"), "Привет"},
		{"guess UTF-8", "text/html", "<title>Grüße</title>", "Grüße"},
		{"guess Latin", "text/html", "<title>" + encode(t, charmap.Windows1252, "Grüße – “ja”") + "</title>", "Grüße – “ja”"},
		{"unknown in the header", "text/html; charset=klingon", "<meta charset=windows-1251><title>" + encode(t, charmap.Windows1251, "Привет") + "</title>", "Привет"},
		{"unknown in the page", "text/html", "<meta charset=klingon><title>Grüße</title>", "Grüße"},
		{"a lie", "text/html; charset=utf-8", "<title>" + encode(t, charmap.Windows1252, "Grüße") + "</title>", "Gr\ufffd\ufffde"},
		{"another lie", "text/html; charset=windows-1252", "<title>Grüße</title>", "GrÃ¼Ã\u0178e"},
		{"UTF-16 without any", "text/html; charset=utf-16le", "<title>Hi</title>", ""},
		{"a bad header", "text/html; charset", "<title>Grüße</title>", "Grüße"},
		{"UTF-7 is none", "text/html; charset=utf-7", "<title>+ADw-script+AD4-</title>", "+ADw-script+AD4-"},
	} {
		p, err := Parse(strings.NewReader(test.page), test.contentType, mustParse(t, "https://page.example/"))
		if p.Title != test.want || err != nil && !errors.Is(err, ErrNoTitle) {
			t.Errorf("%s: %q, %v, want %q", test.name, p.Title, err, test.want)
		}
	}
}

// endless repeats a text for ever.
type endless struct {
	text string
	read int
}

func (e *endless) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		c := copy(p[n:], e.text[e.read%len(e.text):])
		n += c
		e.read += c
	}
	return n, nil
}

// Of a page that never ends 1 MiB is read, and what was found by then counts.
func TestEndlessPages(t *testing.T) {
	base := mustParse(t, "https://page.example/")
	begin := func() io.Reader { return strings.NewReader("<title>Here</title>") }
	for name, text := range map[string]string{
		"text": "text ", "elements": "<div>", "metas": "<meta name=x content=y>", "one tag": "<meta ", "one attribute": `<meta content="`,
		"attributes": "a ", "comment": "<!--", "script": "<script>", "templates": "<template>", "entities": "&amp;", "nothing": "\x00", "end tags": "</p>",
	} {
		const most = 64 << 10
		source := &endless{text: text}
		p, err := parse(io.MultiReader(begin(), source), "text/html", base, most)
		if err != nil || p.Title != "Here" || source.read > most {
			t.Errorf("%s: %q, %v, after %d bytes", name, p.Title, err, source.read)
		}
	}
	source := &endless{text: "<script>" + strings.Repeat(" ", 1000)}
	if p, err := Parse(io.MultiReader(begin(), source), "text/html", base); err != nil || p.Title != "Here" || source.read > 1<<20 {
		t.Errorf("%q, %v, after %d bytes", p.Title, err, source.read)
	}
}

// failing fails the test if somebody reads it.
type failing struct{ t *testing.T }

func (f failing) Read([]byte) (int, error) {
	f.t.Error("read beyond the head")
	return 0, io.EOF
}

// Nothing is read behind the end of the head but what the buffers take.
func TestStopsAtTheEndOfTheHead(t *testing.T) {
	for _, end := range []string{"</head>", "<body>", "<BODY class=a>", "<frameset>", "</html>"} {
		page := "<head><title>Here</title>" + end + "<meta property=og:title content=There>" + strings.Repeat(" ", 64<<10)
		p, err := Parse(io.MultiReader(strings.NewReader(page), failing{t}), "text/html; charset=utf-8", mustParse(t, "https://page.example/"))
		if err != nil || p.Title != "Here" {
			t.Errorf("%s: %q, %v", end, p.Title, err)
		}
	}
}

// A connection that breaks within the head is an error, a body that is too long is not.
func TestBrokenPages(t *testing.T) {
	broken := errors.New("connection reset")
	for _, test := range []struct {
		rest io.Reader
		want error
	}{
		{errorReader{broken}, broken},
		{errorReader{io.ErrUnexpectedEOF}, io.ErrUnexpectedEOF},
		{errorReader{&guard.BodyError{Max: 5}}, nil},
	} {
		page := "<title>Here</title>" + strings.Repeat("<meta name=x>", 500)
		_, err := Parse(io.MultiReader(strings.NewReader(page), test.rest), "text/html", mustParse(t, "https://page.example/"))
		if !errors.Is(err, test.want) || err != nil && test.want == nil {
			t.Errorf("got %v, want %v", err, test.want)
		}
	}
	if _, err := Parse(strings.NewReader(""), "text/html", mustParse(t, "https://page.example/")); !errors.Is(err, ErrNoTitle) {
		t.Errorf("an empty page: %v", err)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// Hostile pages take bounded memory.
func TestHostilePages(t *testing.T) {
	const size = 500 << 10
	var distinct strings.Builder // the tokenizer has a map of the names
	for i := 0; distinct.Len() < size; i++ {
		distinct.WriteString(strconv.FormatInt(int64(i), 36) + " ")
	}
	for name, page := range map[string]string{
		"deep":           strings.Repeat("<div>", size/5),
		"long attribute": `<meta property="og:title" content="` + strings.Repeat("a", size) + `">`,
		"attributes":     "<meta " + strings.Repeat("a ", size/2) + ">",
		"distinct":       "<meta x" + distinct.String() + ">",
		"same name":      "<meta " + strings.Repeat("content=a ", size/10) + ">",
		"entities":       "<title>" + strings.Repeat("&lt;", size/4) + "</title>",
		"long comment":   "<!--" + strings.Repeat("-", size) + "-->",
		"long name":      "<" + strings.Repeat("a", size) + ">",
		"long script":    "<script>" + strings.Repeat("<", size) + "</script>",
		"metas":          strings.Repeat(`<meta property="og:image" content="a">`, size/38),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Parse(strings.NewReader("<title>Here</title>"+page), "text/html; charset=utf-8", mustParse(t, "https://page.example/"))
		runtime.ReadMemStats(&after)
		if err != nil || p.Title == "" {
			t.Errorf("%s: %v", name, err)
		}
		checkPreview(t, p)
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("%s: took %d KiB", name, used>>10)
		}
	}
}

// What is looked for stands behind large programs on many pages.
func TestLargeScriptInTheHead(t *testing.T) {
	page := "<head><script>" + strings.Repeat("var a = 1;\n", 20<<10) + "</script><title>Here</title></head>"
	if p, err := Parse(strings.NewReader(page), "text/html", mustParse(t, "https://page.example/")); err != nil || p.Title != "Here" {
		t.Errorf("got %q, %v", p.Title, err)
	}
}

func TestPictures(t *testing.T) {
	base := mustParse(t, "https://page.example/a/b")
	for reference, want := range map[string]string{
		"p.png":                               "https://page.example/a/p.png",
		"/p.png":                              "https://page.example/p.png",
		"//cdn.example/p.png":                 "https://cdn.example/p.png",
		"http://cdn.example:80/p.png#a":       "http://cdn.example/p.png",
		"https://CDN.example/p.png?a=b":       "https://cdn.example/p.png?a=b",
		" https://bücher.example/é.png ":      "https://xn--bcher-kva.example/%C3%A9.png",
		"ftp://cdn.example/p.png":             "",
		"javascript:alert(1)":                 "",
		"JaVaScRiPt:alert(1)":                 "",
		"data:image/png;base64,AAAA":          "",
		"file:///etc/passwd":                  "",
		"blob:https://page.example/1":         "",
		"https://user:pw@cdn.example/p.png":   "",
		"https://":                            "",
		"https://cdn.example/\u202ep.png?":    "https://cdn.example/%E2%80%AEp.png?",
		"https://cdn.example/?\u202e":         "",
		"https://cdn.example/\x00":            "",
		"https://cdn.example/%zz":             "",
		"https://cdn.example/" + long(MaxURL): "",
	} {
		if got := webURL(base, reference); got != want {
			t.Errorf("%.60q: %q, want %q", reference, got, want)
		}
	}
}

func long(n int) string { return strings.Repeat("a", n) }

func TestClean(t *testing.T) {
	for _, test := range []struct {
		name, in string
		most     int
		want     string
	}{
		{"plain", "hello", 10, "hello"},
		{"white space", " \t a\r\n\u00a0\u3000b\u2028c\u0085 ", 10, "a b c"},
		{"control", "a\x00b\x1b[31mc\u009bd\x7f", 20, "ab[31mcd"},
		{"bidi", "\u202ea\u2066b\u2069\u200ec\u061c", 10, "abc"},
		{"invisible", "a\u200bb\u2060c\ufeffd\u00ade\u034ff\u3164g\u2800h", 20, "abcdefgh"},
		{"tags and selectors", "a\U000e0061b\ufe00c\U000e0100d", 10, "abcd"},
		{"private and no characters", "a\ue000b\ufffec\ufdd0d", 10, "abcd"},
		{"joiners", "\u200da\u200d\u200db\u200c c\u200d", 10, "a\u200db c"},
		{"emoji", "👩‍💻 ❤️ 1️⃣", 20, "👩‍💻 ❤️ 1️⃣"},
		{"persian", "می\u200cخواهم", 20, "می\u200cخواهم"},
		{"marks", "e" + strings.Repeat("\u0301", 50) + "x", 20, "e" + strings.Repeat("\u0301", maxMarks) + "x"},
		{"marks with others between", "e" + strings.Repeat("\u0301\u200d\u200b", 50), 20, "e" + strings.Repeat("\u0301", maxMarks)},
		{"marks alone", "\u0301\u0301 a", 20, "a"},
		{"exact", "abcde", 5, "abcde"},
		{"cut", "abcdef", 5, "abcd…"},
		{"cut at a space", "abc def", 5, "abc…"},
		{"cut before an emoji", "ab👩‍💻c", 5, "ab…"},
		{"one long character", "👩" + strings.Repeat("\u200d👩", 10), 5, "👩\u200d👩…"},
		{"cut behind a joiner", "a" + strings.Repeat("\u200d👩", 10), 5, "a…"},
		{"nothing", " \u200b\u202e ", 5, ""},
		{"bad UTF-8", "a\xffb", 5, "a\ufffdb"},
	} {
		if got := clean(test.in, test.most); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// Cleaned texts have nothing unsafe and are clean.
func TestCleanIsSafe(t *testing.T) {
	alphabet := []rune("ab \n\t\x00\x1b\u0301\u200b\u200c\u200d\u202e\u2066\u2800\u3164\ufe0f\ufe00\U000e0061\U0001f469\ue000\ufffe日é")
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom(alphabet))).Draw(t, "text")
		most := rapid.IntRange(1, 40).Draw(t, "most")
		got := clean(s, most)
		checkText(t, "text", got, most)
		if again := clean(got, most); again != got {
			t.Errorf("%q becomes %q becomes %q", s, got, again)
		}
	})
}

// tester is a *testing.T or a *rapid.T.
type tester interface {
	Helper()
	Errorf(format string, args ...any)
}

func checkText(t tester, what, s string, most int) {
	t.Helper()
	switch {
	case !utf8.ValidString(s):
		t.Errorf("%s: %q is not UTF-8", what, s)
	case utf8.RuneCountInString(s) > most:
		t.Errorf("%s: %q is longer than %d code points", what, s, most)
	case strings.TrimSpace(s) != s || strings.Contains(s, "  "):
		t.Errorf("%s: %q has superfluous white space", what, s)
	}
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Bidi_Control) || isUnsafe(r) || unicode.IsSpace(r) && r != ' ' {
			t.Errorf("%s: %q has %U", what, s, r)
		}
	}
}

func checkPreview(t tester, p Preview) {
	t.Helper()
	checkText(t, "title", p.Title, MaxTitle)
	checkText(t, "description", p.Description, MaxDescription)
	checkText(t, "site", p.Site, MaxSite)
	for _, s := range []string{p.URL, p.Picture} {
		if s == "" {
			continue
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || len(s) > MaxURL {
			t.Errorf("the URL %q, %v", s, err)
		}
		checkText(t, "URL", s, MaxURL)
	}
}

func FuzzParse(f *testing.F) {
	pages, err := filepath.Glob("testdata/pages/*.html")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range pages {
		page, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(page, "text/html")
	}
	f.Add([]byte("\xfe\xff\x00<\x00t\x00i"), "text/html; charset=utf-16")
	f.Add([]byte("<meta charset=iso-2022-jp><title>\x1b$B"), "text/html")
	f.Add([]byte(`<base href="//[::1%25eth0]:0/"><title>a</title><meta name=og:image content="?%">`), "")
	base := mustParse(f, "https://page.example/a/b?c#d")
	f.Fuzz(func(t *testing.T, page []byte, contentType string) {
		p, err := Parse(bytes.NewReader(page), contentType, base)
		switch {
		case err == nil:
			checkPreview(t, p)
			if p.Title == "" || p.URL == "" {
				t.Errorf("a preview without title or URL: %+v", p)
			}
		case p != Preview{}:
			t.Errorf("%+v with %v", p, err)
		}
	})
}

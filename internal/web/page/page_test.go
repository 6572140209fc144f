package page

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban/internal/people"
	"kaban/wire"
)

// get sends a request to the handler, with pairs of header names and values.
func get(t *testing.T, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler().ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// refers matches files that the HTML has the browser load.
var refers = regexp.MustCompile(`(?:src|href)="([^"]+)"`)

// loaded returns the paths that a browser loads for the page, as the HTML names them.
func loaded(t *testing.T) []string {
	t.Helper()
	var paths []string
	for _, found := range refers.FindAllSubmatch(body(t, get(t, "GET", "/")), -1) {
		paths = append(paths, "/"+string(found[1]))
	}
	if len(paths) < 4 {
		t.Fatalf("the HTML refers only to %q", paths)
	}
	return paths
}

// opened counts the files that are opened.
type opened struct {
	fs.FS
	files atomic.Int64
}

func (o *opened) Open(name string) (fs.File, error) {
	o.files.Add(1)
	return o.FS.Open(name)
}

// Nothing is read before somebody asks for the page, and then once.
func TestReadWhenAskedFor(t *testing.T) {
	from := &opened{FS: dist}
	handler := newHandler(from)
	if n := from.files.Load(); n != 0 {
		t.Errorf("%d files were opened before a request", n)
	}
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	once := from.files.Load()
	handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/sw.js", nil))
	if twice := from.files.Load(); once == 0 || twice != once {
		t.Errorf("%d files were opened for the first request, %d more for the second", once, twice-once)
	}
}

func TestPaths(t *testing.T) {
	for _, test := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200},
		{"HEAD", "/", 200},
		{"GET", "/r/lobby", 200},
		{"GET", "/r/a%2Fb", 200},
		{"GET", "/claim", 200},
		{"GET", "/sign-in", 200},
		{"GET", "/invite", 200},
		{"HEAD", "/device", 200},
		{"GET", "/claim/", 404},
		{"GET", "/invite/x", 404},
		{"POST", "/sign-in", 405},
		{"GET", "/r/", 404},
		{"GET", "/r/a/b", 404},
		{"GET", "/sw.js", 200},
		{"GET", "/manifest.webmanifest", 200},
		{"GET", "/index.html", 404},
		{"GET", "/sw.js.br", 404},
		{"GET", "/assets/", 404},
		{"GET", "/assets/app.js", 404},
		{"GET", "/page.go", 404},
		{"GET", "/src/main.tsx", 404},
		{"GET", "/assets/%2e%2e/page.go", 404},
		{"GET", "/assets/..%2f..%2fpage.go", 404},
		{"GET", "/favicon.ico", 404},
		{"POST", "/", 405},
		{"PUT", "/sw.js", 405},
		{"DELETE", "/r/lobby", 405},
	} {
		if got := get(t, test.method, test.path).StatusCode; got != test.status {
			t.Errorf("%s %s gets %d, want %d", test.method, test.path, got, test.status)
		}
	}
	want := string(body(t, get(t, "GET", "/")))
	room := strings.NewReplacer(`src="../`, `src="`, `href="../`, `href="`).Replace(string(body(t, get(t, "GET", "/r/lobby"))))
	if diff := cmp.Diff(want, room); diff != "" {
		t.Errorf("a room's address gets another document: %s", diff)
	}
	if got := body(t, get(t, "HEAD", "/")); len(got) != 0 {
		t.Errorf("HEAD gets a body of %d bytes", len(got))
	}
}

// References between files resolve wherever a proxy has put the page.
func TestBelowAPath(t *testing.T) {
	below := http.StripPrefix("/some/where", Handler())
	ask := func(target string) (int, string) {
		w := httptest.NewRecorder()
		below.ServeHTTP(w, httptest.NewRequest("GET", target, nil))
		return w.Code, w.Body.String()
	}
	inHTML, inCSS, inManifest := refers, regexp.MustCompile(`url\("?([^")]+)"?\)`), regexp.MustCompile(`"(?:src|start_url|scope)": "([^"]+)"`)
	found := 0
	var follow func(target string)
	follow = func(target string) {
		status, text := ask(target)
		if status != 200 {
			t.Errorf("%s: got %d", target, status)
			return
		}
		references := map[string]*regexp.Regexp{".css": inCSS, ".webmanifest": inManifest}[path.Ext(target)]
		if references == nil && strings.Contains(text, "<!doctype html>") {
			references = inHTML
		}
		if references == nil {
			return
		}
		from, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		for _, reference := range references.FindAllStringSubmatch(text, -1) {
			if strings.HasPrefix(reference[1], "data:") {
				continue
			}
			to, err := from.Parse(reference[1])
			if err != nil {
				t.Fatal(err)
			}
			found++
			if to.Path != target && to.Path != "/some/where/" {
				follow(to.Path)
			}
		}
	}
	follow("/some/where/")
	follow("/some/where/r/lobby")
	if found < 12 {
		t.Errorf("only %d references were found", found)
	}
	if status, text := ask("/some/where/chat/"); status != 404 || !strings.Contains(text, "must take that path away") {
		t.Errorf("a path that was kept: got %d %q", status, text)
	}
}

func TestHeaders(t *testing.T) {
	for _, target := range append(loaded(t), "/", "/r/lobby", "/sw.js") {
		r := get(t, "GET", target)
		if r.StatusCode != 200 {
			t.Errorf("%s gets %d", target, r.StatusCode)
			continue
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Vary":                         "Accept-Encoding",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
		} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", target, name, got, want)
			}
		}
		policy := r.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "require-trusted-types-for 'script'", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy has no %s", target, want)
			}
		}
		if strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || strings.Contains(policy, "http") {
			t.Errorf("%s: the policy lets others in: %s", target, policy)
		}
		if !strings.Contains(r.Header.Get("Permissions-Policy"), "camera=()") {
			t.Errorf("%s: no Permissions-Policy", target)
		}
		want := cacheNever
		if strings.HasPrefix(target, "/assets/") {
			want = cacheForever
		}
		if got := r.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control is %q, want %q", target, got, want)
		}
	}
}

func TestNothingInline(t *testing.T) {
	html := string(body(t, get(t, "GET", "/")))
	for _, unwanted := range []string{"<style", " style=", " onload=", "javascript:", "http://", "https://"} {
		if strings.Contains(html, unwanted) {
			t.Errorf("the HTML has %q", unwanted)
		}
	}
	if n, withSource := strings.Count(html, "<script"), strings.Count(html, ` src="assets/`); n != 1 || withSource != 1 {
		t.Errorf("the HTML has %d scripts, %d of them with a source, want one", n, withSource)
	}
}

func TestEncodings(t *testing.T) {
	for _, target := range append(loaded(t), "/") {
		if path.Ext(target) == ".png" {
			continue
		}
		plain := body(t, get(t, "GET", target))
		for _, test := range []struct{ accept, want string }{
			{"", ""},
			{"identity", ""},
			{"gzip", "gzip"},
			{"gzip, deflate, br, zstd", "br"},
			{"br;q=0.5, gzip;q=1", "br"},
			{"br;q=0, gzip", "gzip"},
			{"BR", "br"},
			{"gzip;q=0", ""},
			{"brotli", ""},
			{"br;q=x", ""},
		} {
			r := get(t, "GET", target, "Accept-Encoding", test.accept)
			if got := r.Header.Get("Content-Encoding"); got != test.want {
				t.Errorf("%s with Accept-Encoding %q: Content-Encoding is %q, want %q", target, test.accept, got, test.want)
			}
		}
		unpacked, err := gzip.NewReader(get(t, "GET", target, "Accept-Encoding", "gzip").Body)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(unpacked); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%s: gzip gives other bytes (error: %v)", target, err)
		}
	}
}

func TestUnchanged(t *testing.T) {
	for _, encoding := range []string{"", "gzip", "br"} {
		tag := get(t, "GET", "/", "Accept-Encoding", encoding).Header.Get("ETag")
		if tag == "" {
			t.Fatal("no ETag")
		}
		for _, test := range []struct {
			sent   string
			status int
		}{{tag, 304}, {"W/" + tag, 304}, {`"other", ` + tag, 304}, {"*", 304}, {`"other"`, 200}, {tag[:8] + `"`, 200}} {
			r := get(t, "GET", "/", "Accept-Encoding", encoding, "If-None-Match", test.sent)
			if r.StatusCode != test.status {
				t.Errorf("If-None-Match %s gets %d, want %d", test.sent, r.StatusCode, test.status)
			}
			if got := body(t, r); r.StatusCode == 304 && len(got) > 0 {
				t.Errorf("304 has a body of %d bytes", len(got))
			}
		}
	}
}

// TestFont checks that the font is served with its license, and that only the style
// sheet refers to it: only a browser that needs it loads it.
func TestFont(t *testing.T) {
	var style string
	for _, target := range loaded(t) {
		if path.Ext(target) == ".css" {
			style = string(body(t, get(t, "GET", target)))
		}
		if path.Ext(target) == ".woff2" {
			t.Errorf("the HTML has everybody load %s", target)
		}
	}
	found := regexp.MustCompile(`url\(["']?\./([^"')]+\.woff2)`).FindAllStringSubmatch(style, -1)
	if len(found) != 1 {
		t.Fatalf("the style names %d fonts, want one", len(found))
	}
	r := get(t, "GET", "/assets/"+found[0][1])
	font := body(t, r)
	if got := r.Header.Get("Content-Type"); r.StatusCode != 200 || got != "font/woff2" || !bytes.HasPrefix(font, []byte("wOF2")) {
		t.Errorf("%s gets %d, %s", found[0][1], r.StatusCode, got)
	}
	if len(font) > 50_000 {
		t.Errorf("the font has %d bytes, want at most 50000", len(font))
	}
	if !strings.Contains(r.Header.Get("Content-Security-Policy"), "font-src 'self'") {
		t.Error("the policy does not let the font in")
	}
	if bytes.Contains(body(t, get(t, "GET", "/sw.js")), []byte(".woff2")) {
		t.Error("the service worker has everybody load the font")
	}
	if license := body(t, get(t, "GET", "/assets/inter-license.txt")); !bytes.Contains(license, []byte("SIL Open Font License")) {
		t.Error("the font is there without its license")
	}
}

// TestSmall keeps the files of a first visit in English below 99 kB, and what another
// language adds, or what only admins see, below 11 kB, with either compression.
func TestSmall(t *testing.T) {
	names, err := fs.Glob(dist, "dist/assets/texts.*.js")
	if err != nil || len(names) == 0 {
		t.Fatalf("there are no texts of another language (error: %v)", err)
	}
	panels, err := fs.Glob(dist, "dist/assets/adminpanels-*.js")
	if err != nil || len(panels) != 1 {
		t.Fatalf("got the files %q of what admins see (error: %v), want one", panels, err)
	}
	names = append(names, panels...)
	size := func(target, encoding string) int {
		return len(body(t, get(t, "GET", target, "Accept-Encoding", encoding)))
	}
	first := append(loaded(t), "/")
	worker := body(t, get(t, "GET", "/sw.js"))
	for _, encoding := range []string{"br", "gzip"} {
		total := 0
		for _, target := range first {
			total += size(target, encoding)
		}
		t.Logf("%s: %d bytes", encoding, total)
		if total >= 99_000 {
			t.Errorf("the page has %d bytes with %s, want less than 99000", total, encoding)
		}
		for _, name := range names {
			target := strings.TrimPrefix(name, "dist")
			if slices.Contains(first, target) || bytes.Contains(worker, []byte(path.Base(target))) {
				t.Errorf("everybody loads %s", target)
			}
			n := size(target, encoding)
			t.Logf("%s: %d bytes in %s", encoding, n, path.Base(target))
			if n >= 11_000 {
				t.Errorf("%s has %d bytes with %s, want less than 11000", target, n, encoding)
			}
		}
	}
}

// TestEmojiAreSmall keeps what opening the choice of emoji loads below 60 kB in each language, with
// either compression, and out of the first visit.
func TestEmojiAreSmall(t *testing.T) {
	list, err := fs.Glob(dist, "dist/assets/emoji-*.txt")
	if err != nil || len(list) != 1 {
		t.Fatalf("got the lists %q (error: %v), want one", list, err)
	}
	names, err := fs.Glob(dist, "dist/assets/emoji.*.txt")
	if err != nil || len(names) < 2 {
		t.Fatalf("got the names %q (error: %v), want those of each language", names, err)
	}
	first := loaded(t)
	for _, encoding := range []string{"br", "gzip"} {
		for _, name := range names {
			total := 0
			for _, file := range []string{list[0], name} {
				target := strings.TrimPrefix(file, "dist")
				if slices.Contains(first, target) {
					t.Errorf("everybody loads %s", target)
				}
				total += len(body(t, get(t, "GET", target, "Accept-Encoding", encoding)))
			}
			t.Logf("%s: %d bytes with %s", encoding, total, path.Base(name))
			if total >= 60_000 {
				t.Errorf("the emoji of %s have %d bytes with %s, want less than 60000", path.Base(name), total, encoding)
			}
		}
	}
}

// TestAuditActionsHaveWords finds actions of the audit that a language has no sentence for, and
// sentences that name something else than the English one.
func TestAuditActionsHaveWords(t *testing.T) {
	files, err := filepath.Glob("src/texts.admin.*.ts")
	if err != nil || len(files) < 2 {
		t.Fatalf("got the files %q (error: %v), want one for each language", files, err)
	}
	sentence := regexp.MustCompile(`(?m)^    '([a-z_]+\.[a-z_]+)': '(.+)',$`)
	placeholder := regexp.MustCompile(`\{\w+\}`)
	named := make(map[string][]string) // by action, sorted
	for _, file := range append([]string{"src/texts.admin.en.ts"}, files...) {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, found := range sentence.FindAllStringSubmatch(string(source), -1) {
			action, names := found[1], slices.Sorted(slices.Values(placeholder.FindAllString(found[2], -1)))
			got = append(got, action)
			if english, ok := named[action]; ok && !slices.Equal(names, english) {
				t.Errorf("%s: the sentence for %s has %q, want %q as in English", file, action, names, english)
			}
			named[action] = names
		}
		for _, action := range people.AuditActions {
			want = append(want, action.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s has other sentences than there are actions: %s", file, diff)
		}
	}
}

// TestPlurals finds texts with a number that have one form for all numbers ("1 days").
func TestPlurals(t *testing.T) {
	// These say the same of one and of many, or are only ever of many.
	oneForm := map[string]bool{"moreMembers": true, "keywordsFull": true, "resultsMany": true}
	files, err := filepath.Glob("src/texts.*.ts")
	if err != nil || len(files) < 6 {
		t.Fatalf("got the files %q (error: %v)", files, err)
	}
	text := regexp.MustCompile(`(?m)^ +(\w+): ['"\x60](.+)['"\x60],$`)
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		keys := make(map[string]bool)
		for _, found := range text.FindAllSubmatch(source, -1) {
			key := string(found[1])
			if !bytes.Contains(found[2], []byte("{count}")) {
				continue
			}
			keys[key] = true
			form := strings.HasSuffix(key, "_one") || strings.HasSuffix(key, "_other")
			if !form && !oneForm[key] {
				t.Errorf("%s: %s has no form for one: %s", file, key, found[2])
			}
		}
		for key := range keys {
			if base, ok := strings.CutSuffix(key, "_other"); ok && !keys[base+"_one"] {
				t.Errorf("%s has %s and not %s_one", file, key, base)
			}
		}
	}
}

// temporary matches the list of temporary codes in the page's source.
var temporary = regexp.MustCompile(`const temporaryCodes = new Set\(\[(.*)\]\)`)

// The page tries again what the server's table calls temporary, and nothing else.
func TestTemporaryCodes(t *testing.T) {
	source, err := os.ReadFile("src/protocol.ts")
	if err != nil {
		t.Fatal(err)
	}
	list := temporary.FindSubmatch(source)
	if list == nil {
		t.Fatal("protocol.ts has no list of temporary codes")
	}
	got := strings.Split(strings.ReplaceAll(string(list[1]), "'", ""), ", ")
	var want []string
	for _, code := range wire.Codes() {
		if code.Temporary() {
			want = append(want, string(code))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("temporary codes of the page (-server +page):\n%s", diff)
	}
}

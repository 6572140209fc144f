package files

import (
	"mime"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("x", 300)
	for sent, want := range map[string]string{
		"report.pdf":                         "report.pdf",
		"":                                   "file",
		".":                                  "file",
		"..":                                 "file",
		"/":                                  "file",
		"../../etc/passwd":                   "passwd",
		`C:\Users\ann\photo.JPG`:             "photo.JPG",
		`a/b\c/`:                             "c",
		"a/..":                               "file",
		".bashrc":                            "bashrc",
		"...hidden. . .":                     "hidden",
		"a.txt. ":                            "a.txt",
		" a b.txt":                           "a b.txt",
		"a\x00b\n\r\t\x7f.txt":               "ab.txt",
		"evil\u202etxt.exe":                  "eviltxt.exe",
		"a\u200b\u200d\ufeff\u00ad.txt":      "a.txt",
		"\u2066\u2069":                       "file",
		"\U000e0041\u3164\u2800\u034f\ufe0f": "file",
		"a\u00a0\u3000\u202fb":               "a   b",
		"u\u0308ber.txt":                     "über.txt",
		"\xff\xfe.txt":                       "_.txt",
		"a:b<c>d\"e|f?g*h.txt":               "a_b_c_d_e_f_g_h.txt",
		"CON":                                "_CON",
		"con.txt":                            "_con.txt",
		"nul .tar.gz":                        "_nul .tar.gz",
		"COM1":                               "_COM1",
		"lpt³.txt":                           "_lpt³.txt",
		"COM":                                "COM",
		"COM10":                              "COM10",
		"CONSOLE":                            "CONSOLE",
		"conout$":                            "_conout$",
		long + ".txt":                        long[:251] + ".txt",
		long:                                 long[:255],
		"x." + long:                          "x." + long[:253],
		strings.Repeat("é", 200) + ".c":      strings.Repeat("é", 126) + ".c",
		"abcd" + strings.Repeat("👩🏽", 40) + ".jpeg": "abcd" + strings.Repeat("👩🏽", 30) + ".jpeg",
		"q" + strings.Repeat("\u0323", 200):         "q" + strings.Repeat("\u0323", maxMarks),
		strings.Repeat(" ", 300) + "a":              "a",
		strings.Repeat("x", 250) + " .. .txt":       strings.Repeat("x", 250) + ".txt",
	} {
		if got := CleanName(sent); got != want {
			t.Errorf("%+q is %+q, want %+q", sent, got, want)
		}
	}
}

// checkName checks what must hold for a clean name, and for its header.
func checkName(t *testing.T, sent string) {
	name := CleanName(sent)
	switch {
	case name == "" || len(name) > MaxName || !utf8.ValidString(name) || !norm.NFC.IsNormalString(name):
		t.Errorf("%+q is %+q", sent, name)
	case strings.Trim(name, ". ") != name || strings.ContainsAny(name, `/\<>:"|?*`) || isDevice(name):
		t.Errorf("%+q is %+q", sent, name)
	case CleanName(name) != name:
		t.Errorf("%+q is %+q, and that is %+q", sent, name, CleanName(name))
	}
	for _, r := range name {
		if r != ' ' && !unicode.IsGraphic(r) && unicode.In(r, unicode.C, unicode.Z) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Cf, r) {
			t.Errorf("%+q is %+q, with %U", sent, name, r)
		}
	}
	for _, inline := range []bool{false, true} {
		header := Disposition(inline, sent)
		for _, c := range []byte(header) {
			if c < ' ' || c > '~' {
				t.Errorf("%+q has the header %q", sent, header)
			}
		}
		kind, params, err := mime.ParseMediaType(header)
		if err != nil || kind != map[bool]string{false: "attachment", true: "inline"}[inline] || params["filename"] != name || len(params) != 1 {
			t.Errorf("%+q has the header %q: %s, %v, %v, want %+q", sent, header, kind, params, err, name)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, seed := range []string{
		"a.txt", "../a", "\u202ea", "CON.txt", strings.Repeat("é", 300), "%41.txt", `a"b`, "a\u0338=\u0338", "\u037e", "q" + strings.Repeat("\u0323\u0307", 200),
		"<\u0338", "a\u034f\u0301", "\u1100\u1161\u11a8", "x." + strings.Repeat("y", 300), ". ./", "'()", "a;b=c", "\u2126.exe", "COM¹", "\U0001f468\u200d\U0001f469",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sent string) { checkName(t, sent) })
}

func TestDisposition(t *testing.T) {
	for name, want := range map[string]string{
		"a b.txt":      `attachment; filename="a b.txt"`,
		"über 100%.md": `attachment; filename="_ber 100_.md"; filename*=UTF-8''%C3%BCber%20100%25.md`,
		"\r\nX: y":     `attachment; filename="X_ y"`,
		"it's(1).txt":  `attachment; filename="it's(1).txt"`,
		"日本.txt":       `attachment; filename="__.txt"; filename*=UTF-8''%E6%97%A5%E6%9C%AC.txt`,
	} {
		if got := Disposition(false, name); got != want {
			t.Errorf("%q has %s, want %s", name, got, want)
		}
	}
}

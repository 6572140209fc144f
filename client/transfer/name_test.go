package transfer

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCleanName(t *testing.T) {
	for name, want := range map[string]string{
		"cat.png": "cat.png", "Notizen für später.txt": "Notizen für später.txt",
		"../../etc/passwd": "passwd", `..\..\boot.ini`: "boot.ini", "a/": "fallback", "": "fallback", "..": "fallback", ".": "fallback",
		".bashrc": "bashrc", "-rf": "-rf", "x\x1b[2Jy": "x[2Jy", "a\nb": "ab", "gpj.\u202etxt.exe": "gpj.txt.exe", "a\u2028b": "ab",
		"con": "_con", "NUL.txt": "_NUL.txt", "a:b": "a_b", "a.": "a", "\xff": "fallback",
	} {
		if got := CleanName(name, "fallback"); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	long := CleanName(strings.Repeat("ä", 200)+".tar", "x")
	if len(long) > maxCleanName || !strings.HasSuffix(long, "ä.tar") || !utf8.ValidString(long) {
		t.Errorf("a long name: %q", long)
	}
}

func FuzzCleanName(f *testing.F) {
	for _, name := range []string{"cat.png", "../x", ".", "con.", "\xff\xfe", strings.Repeat("ä", 300)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got := CleanName(name, "fallback")
		if got == "" || len(got) > maxCleanName || filepath.Base(got) != got || !filepath.IsLocal(got) || got[0] == '.' || strings.ContainsAny(got, "/\\\x00\n\x1b") {
			t.Errorf("%q: %q", name, got)
		}
		if again := CleanName(got, "fallback"); again != got {
			t.Errorf("%q: %q, and then %q", name, got, again)
		}
	})
}

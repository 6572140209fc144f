package tui

import (
	"runtime"
	"slices"
	"strings"
	"testing"
)

// Tab completes the path of /upload as splitPath reads it, into directories and one file after
// the other.
func TestPathsAreCompleted(t *testing.T) {
	d := sender(t)
	all := []string{"~/my \"own\" plan.pdf", "~/plan.pdf", "~/plans/", "~/plans/a b.png"}
	d.options.Paths = func(typed string) (found []string) {
		for _, path := range all {
			rest, ok := strings.CutPrefix(path, typed)
			if ok && rest != "" && !strings.Contains(strings.TrimSuffix(rest, "/"), "/") {
				found = append(found, path)
			}
		}
		return found
	}
	for _, c := range []struct{ typed, want string }{
		{"/upload ~/plan.", "/upload ~/plan.pdf "},
		{"/upload ~/plans", "/upload ~/plans/"},
		{"/upload \"~/plans/", "/upload \"~/plans/a b.png\" "},
		{"/upload ~/plan.pdf the pl", "/upload ~/plan.pdf the pl"},
		{"/upload ~/nothing", "/upload ~/nothing"},
	} {
		d.draft().set("")
		d.keys(c.typed, "tab")
		if got := d.draft().text; got != c.want {
			t.Errorf("%q becomes %q, want %q", c.typed, got, c.want)
		}
	}
	d.draft().set("")
	d.keys("/upload ~/pl", "tab")
	if got := d.draft().text; got != "/upload ~/plan.pdf " || d.hint != "plan.pdf  plans/" {
		t.Errorf("of two: %q, and the hint %q", got, d.hint)
	}
	d.keys("tab")
	if got := d.draft().text; got != "/upload ~/plans/" {
		t.Errorf("the other: %q", got)
	}
	if runtime.GOOS == "windows" {
		return
	}
	d.draft().set("")
	d.keys("/upload ~/plans", "tab", "tab")
	if got := d.draft().text; got != `/upload ~/plans/a\ b.png ` {
		t.Errorf("two times: %q", got)
	}
	d.draft().set("")
	d.keys("/upload ~/my", "tab")
	if got := d.draft().text; got != `/upload ~/my\ \"own\"\ plan.pdf ` {
		t.Errorf("a name with blanks and quotes: %q", got)
	}
	path, content, err := splitPath(strings.TrimPrefix(d.draft().text, "/upload "))
	if path != all[0] || content != "" || err != nil {
		t.Errorf("it is read as %q and %q, %v", path, content, err)
	}
}

// Whatever is written is read the same.
func TestWrittenPaths(t *testing.T) {
	paths := []string{"a", "a b", `a"b`, "a'b c", `c\d`, "'quoted'", "~/x y/z"}
	if runtime.GOOS == "windows" {
		paths = []string{"a", "a b", `c:\d e`, "~/x y/z"}
	}
	for _, path := range paths {
		for _, quote := range []byte{0, '"', '\''} {
			if quote != 0 && strings.IndexByte(path, quote) >= 0 {
				continue // nobody can type that
			}
			written := strings.TrimSuffix(writtenPath(path, quote, true), " ")
			if got, content, err := splitPath(written + " text"); got != path || content != "text" || err != nil {
				t.Errorf("%q as %q is read as %q and %q, %v", path, written, got, content, err)
			}
			begun := writtenPath(path, quote, false)
			if got, q, ok := begunPath(begun); !ok || got != path || quote != 0 && q != quote {
				t.Errorf("%q as %q is begun as %q, %q, %v", path, begun, got, q, ok)
			}
		}
	}
	if !slices.Contains(paths, "a b") {
		t.Fatal("no path has a blank")
	}
}

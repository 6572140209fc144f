package kaban

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// file returns a valid file.
func file(change func(*File)) File {
	f := File{ID: strings.Repeat("a2", 13), Name: "a cat.png", Size: 1 << 20, Type: "image/png", Width: 640, Height: 480, Alt: `a "cat" & <dog>`}
	if change != nil {
		change(&f)
	}
	return f
}

func TestFilesRoundTrip(t *testing.T) {
	other := File{ID: strings.Repeat("z", 26), Name: "x", Type: "text/plain"}
	for _, list := range [][]File{{file(nil)}, {other}, {file(nil), other}, {other, file(nil)}} {
		files, err := NewFiles(list...)
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseFiles(files.String())
		if err != nil || again != files || files.IsZero() || !slices.Equal(again.List(), list) {
			t.Errorf("%s is read as %s, %v", files, again, err)
		}
	}
	want := `[{"file":"a2a2a2a2a2a2a2a2a2a2a2a2a2","name":"a cat.png","size":1048576,"type":"image/png","width":640,"height":480,"alt":"a \"cat\" & <dog>"}]`
	if files, _ := NewFiles(file(nil)); files.String() != want {
		t.Errorf("the text is %s, want %s", files, want)
	}
	for _, none := range []func() (Files, error){func() (Files, error) { return NewFiles() }, func() (Files, error) { return ParseFiles("") }} {
		if files, err := none(); err != nil || !files.IsZero() || files.String() != "" || files.List() != nil {
			t.Errorf("no files are %q, %v", files, err)
		}
	}
}

// The longest files that are allowed fit, and one that is longer in anything does not.
func TestFilesHaveLimits(t *testing.T) {
	longest := make([]File, MaxFiles)
	for i := range longest {
		longest[i] = File{
			ID: strings.Repeat("a", 25) + string(rune('a'+i)), Name: strings.Repeat(`"`, MaxFileName), Size: 1<<63 - 1, Type: strings.Repeat(`"`, MaxFileType),
			Width: maxFileSide, Height: maxFileSide, Alt: strings.Repeat("\U0001f408", MaxFileAlt),
		}
	}
	files, err := NewFiles(longest...)
	if err != nil || len(files.String()) < MaxFilesText/2 {
		t.Fatalf("%d bytes, %v", len(files.String()), err)
	}
	if again, err := ParseFiles(files.String()); err != nil || again != files {
		t.Error("the longest files are read as others", err)
	}
	bad := [][]File{append(slices.Clone(longest), file(nil)), {file(nil), file(nil)}}
	for _, change := range []func(*File){
		func(f *File) { f.ID = "" },
		func(f *File) { f.ID += "a" },
		func(f *File) { f.ID = strings.Repeat("A", 26) },
		func(f *File) { f.ID = strings.Repeat("1", 26) },
		func(f *File) { f.ID = strings.Repeat("/", 26) },
		func(f *File) { f.Name = "" },
		func(f *File) { f.Name = strings.Repeat("x", MaxFileName+1) },
		func(f *File) { f.Name = "a\nb" },
		func(f *File) { f.Name = "a\u2028b" },
		func(f *File) { f.Name = "a\xffb" },
		func(f *File) { f.Size = -1 },
		func(f *File) { f.Type = "" },
		func(f *File) { f.Type = strings.Repeat("x", MaxFileType+1) },
		func(f *File) { f.Type = "text/\x00" },
		func(f *File) { f.Width = 0 },
		func(f *File) { f.Height = -1 },
		func(f *File) { f.Width = maxFileSide + 1 },
		func(f *File) { f.Alt = strings.Repeat("x", MaxFileAlt+1) },
		func(f *File) { f.Alt = "a\tb" },
	} {
		bad = append(bad, []File{file(change)})
	}
	for _, list := range bad {
		if files, err := NewFiles(list...); !errors.Is(err, ErrFiles) || !files.IsZero() {
			t.Errorf("%+v: %s, %v", list, files, err)
		}
	}
}

func TestParseFilesRefuses(t *testing.T) {
	good, _ := NewFiles(file(nil))
	for _, text := range []string{
		" ", "[]", "null", "{}", "x", good.String() + "x", good.String() + good.String(), strings.Replace(good.String(), `"size"`, `"sizes"`, 1),
		strings.Replace(good.String(), "a cat.png", "", 1), "[" + strings.Repeat(" ", MaxFilesText) + "]",
	} {
		if files, err := ParseFiles(text); !errors.Is(err, ErrFiles) || !files.IsZero() {
			t.Errorf("%.50q: %s, %v", text, files, err)
		}
	}
}

func TestStoredFiles(t *testing.T) {
	files, err := NewFiles(File{ID: strings.Repeat("a", FileIDLength), Name: "a <b>.png", Type: "image/png", Width: 3, Height: 4, Alt: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if got := StoredFiles(files.String()); got != files {
		t.Errorf("%q becomes %q", files, got)
	}
	for _, damaged := range []string{"", "{}", "[", `[{"file":1}`, "[\n]", `[]x`, "[" + strings.Repeat(" ", MaxFilesText) + "]"} {
		if got := StoredFiles(damaged); !got.IsZero() {
			t.Errorf("%.20q is taken for %q", damaged, got)
		}
	}
}

func BenchmarkParseFiles(b *testing.B) {
	benchmarkFiles(b, func(text string) { _, _ = ParseFiles(text) })
}

func BenchmarkStoredFiles(b *testing.B) { benchmarkFiles(b, func(text string) { StoredFiles(text) }) }

func benchmarkFiles(b *testing.B, read func(string)) {
	files, err := NewFiles(File{ID: strings.Repeat("a", FileIDLength), Name: "a.png", Type: "image/png", Width: 300, Height: 400, Alt: "a sleeping cat"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		read(files.String())
	}
}

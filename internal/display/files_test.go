package display

import (
	"math"
	"strings"
	"testing"

	"kaban"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 70_211: "68.6 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB", 100 << 20: "100.0 MiB",
		math.MaxInt64: "8.0 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestWithFiles(t *testing.T) {
	id := func(c string) string { return strings.Repeat(c, kaban.FileIDLength) }
	files, err := kaban.NewFiles(
		kaban.File{ID: id("a"), Name: "cat.png", Size: 70_211, Type: "image/png", Alt: "a cat"},
		kaban.File{ID: id("b"), Name: "gpj.\u202etxt.exe", Type: "text/plain; charset=utf-8"})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := WithFiles("look", files), "look [file: cat.png, 68.6 KiB, image/png: a cat] "; !strings.HasPrefix(got, want) || strings.Contains(got, "\u202e") || !strings.HasSuffix(got, ", text/plain]") {
		t.Errorf("got %q, want %q and the other one without control of the direction and the characters of its type", got, want)
	}
	if got := WithFiles("", files); !strings.HasPrefix(got, "[file: cat.png") {
		t.Errorf("without a text: %q", got)
	}
	if got := WithFiles("look", kaban.Files{}); got != "look" {
		t.Errorf("without files: %q", got)
	}
}

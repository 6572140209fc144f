package search

import (
	"testing"

	"kaban"
)

func TestTextOf(t *testing.T) {
	files, err := kaban.NewFiles(
		kaban.File{ID: "aaaaaaaaaaaaaaaaaaaaaaaaaa", Name: "Plan 2027.png", Type: "image/png", Alt: "a map of Berlin"},
		kaban.File{ID: "bbbbbbbbbbbbbbbbbbbbbbbbbb", Name: "notes.txt", Type: "text/plain"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ content, files, want string }{
		{"hi", "", "hi"},
		{"hi", "no list", "hi"},
		{"", files.String(), "\nPlan 2027.png\na map of Berlin\nnotes.txt\n"},
		{"hi", files.String(), "hi\nPlan 2027.png\na map of Berlin\nnotes.txt\n"},
	} {
		if got := TextOf(c.content, c.files); got != c.want {
			t.Errorf("%q with %.20q: %q, want %q", c.content, c.files, got, c.want)
		}
	}
}

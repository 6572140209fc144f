package tui

import (
	"strings"
	"testing"
	"time"

	"kaban"
	"kaban/client"
	"kaban/wire"
)

// Files of a message are lines of their own, found by the search, and gone once it is deleted.
func TestFilesOfMessages(t *testing.T) {
	files, err := kaban.NewFiles(kaban.File{ID: strings.Repeat("a", 26), Name: "gpj.\u202ecat.png", Size: 70_211, Type: "image/png", Alt: "a cat"})
	if err != nil {
		t.Fatal(err)
	}
	m := meters["graphemes"]
	shown := func(i *item) string {
		var lines []string
		for _, l := range i.body(shape{width: 80, meter: m}) {
			text := ""
			for _, s := range l {
				text += s.text
			}
			lines = append(lines, text)
		}
		return strings.Join(lines, "|")
	}
	const line = "[file: gpj.<U+202E>cat.png, 68.6 KiB, image/png: a cat]"
	for content, want := range map[string]string{"": line, "look": "look|" + line, "/me waves": "bob waves|" + line} {
		message := &wire.Message{Seq: 3, Username: "bob", Content: content, Files: files, Time: time.Unix(0, 0)}
		i := itemOf(client.Entry{Seq: 3, Message: message}, "ann")
		if got := shown(i); got != want {
			t.Errorf("%q: %q, want %q", content, got, want)
		}
		if !i.matches("cat.png") {
			t.Errorf("%q is not found by the name of its file", content)
		}
		overlay(message, &wire.Change{Type: wire.TypeDelete})
		i.become(message, "ann")
		if got := shown(i); got != "(deleted)" || !i.files.IsZero() {
			t.Errorf("%q, deleted: %q with %v", content, got, i.files)
		}
	}
}

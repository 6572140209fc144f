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

// The text of a message with files can be taken away; that of others cannot.
func TestTextsOfFilesAreTakenAway(t *testing.T) {
	files, err := kaban.NewFiles(fileOf("a", "cat.png"))
	if err != nil {
		t.Fatal(err)
	}
	d := sender(t)
	name := "lobby"
	for _, m := range []wire.Message{
		{Seq: 4, ID: "4", Username: "ann", Content: "alone", Time: time.Unix(0, 0)},
		{Seq: 5, ID: "5", Username: "ann", Content: "look", Files: files, Time: time.Unix(0, 0)},
	} {
		d.happens(entryEvent{room: name, entry: client.Entry{Seq: m.Seq, Message: &m}})
	}
	d.keys("/edit #4", "enter", "ctrl+u", "enter")
	if d.here().editing != 4 {
		t.Fatal("a message without files takes an empty text")
	}
	d.keys("esc", "/edit #5", "enter", "ctrl+u", "enter")
	if d.here().editing != 0 || len(d.here().altering) != 1 {
		t.Fatalf("a message with files does not take an empty text: %q", d.hint)
	}
	c := d.here().altering[0]
	if c.change.Content != "" || !c.change.NoText || c.change.Target != 5 {
		t.Fatalf("the edit is %+v", c)
	}
	d.happens(alteredEvent{room: name, number: c.number, receipt: client.Receipt{Seq: 6, ID: "6"}})
	if i := d.here().message(5); i.content != "" || i.files.IsZero() || !i.edited {
		t.Errorf("the message is %+v", i)
	}
	d.shows("[file: cat.png, 1000 B, image/png] (edited)")
}

// What is found, and what mentions the person, says which files a message has.
func TestFilesOfHits(t *testing.T) {
	files, err := kaban.NewFiles(fileOf("a", "cat.png"))
	if err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, 80, 16)
	d.joined("lobby", 60)
	d.keys("/search has:file", "enter")
	alone, with := hit("lobby", 41, "ben", ""), hit("lobby", 40, "ben", "look")
	alone.Files, with.Files = files, files
	d.finds(client.Hits{Hits: []wire.Hit{alone, with}})
	d.shows("ben: [file: cat.png, 1000 B, image/png]")
	d.shows("ben: look [file: cat.png, 1000 B,")
}

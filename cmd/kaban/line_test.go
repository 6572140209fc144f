package main

import (
	"testing"

	"kaban/wire"
)

// The lines of messages and of what changes them are stable: scripts read them.
func TestLines(t *testing.T) {
	edited := wire.Edited{Seq: 50}
	for _, test := range []struct {
		message wire.Message
		want    string
	}{
		{wire.Message{Username: "ben", Content: "tea\nis (re 1) ready"}, `ben:> tea\nis (re 1) ready`},
		{wire.Message{Username: "ben", Content: "yes", ReplyTo: 41}, "ben (re 41):> yes"},
		{wire.Message{Username: "ben", Content: "yes", Bot: true}, "ben:> yes"},
		{wire.Message{Username: "ben", Content: "yes", Edited: edited}, "ben (edited):> yes"},
		{wire.Message{Username: "ben", Content: "yes", ReplyTo: 41, Edited: edited}, "ben (re 41, edited):> yes"},
		{wire.Message{Username: "ben", Edited: edited, Deleted: true}, "ben (deleted):> "},
	} {
		if got := plainLine(&test.message); got != test.want+"\n" {
			t.Errorf("%+v: got %q, want %q", test.message, got, test.want)
		}
	}
	for _, test := range []struct {
		change wire.Change
		want   string
	}{
		{wire.Change{Type: wire.TypeEdit, Content: "a\nb"}, `* ben edited 41: a\nb`},
		{wire.Change{Type: wire.TypeEdit}, "* ben edited 41"},
		{wire.Change{Type: wire.TypeDelete}, "* ben deleted 41"},
		{wire.Change{Type: wire.TypeDelete, Reason: "off\u202e topic"}, "* ben deleted 41: off<U+202E> topic"},
		{wire.Change{Type: wire.TypeReact, Emoji: "👍", On: true}, "* ben reacted 👍 to 41"},
		{wire.Change{Type: wire.TypeReact, Emoji: "👍"}, "* ben took 👍 back from 41"},
		{wire.Change{Type: wire.TypePin, On: true}, "* ben pinned 41"},
		{wire.Change{Type: wire.TypePin}, "* ben unpinned 41"},
		{wire.Change{Type: wire.TypeTopic, Topic: "news"}, "* ben changed the topic: news"},
	} {
		if test.change.Username, test.change.Target = "ben", 41; changeLine(&test.change) != test.want+"\n" {
			t.Errorf("%+v: got %q, want %q", test.change, changeLine(&test.change), test.want)
		}
	}
	if got := changeLine(&wire.Change{Type: wire.TypeUnknown}); got != "" {
		t.Errorf("an unknown change is %q", got)
	}
}

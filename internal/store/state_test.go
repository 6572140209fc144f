package store

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"kaban"
)

// Readers apply different changes to the same message, each to its own copy.
func TestStatesAreNotShared(t *testing.T) {
	seq := uint64(1)
	react := func(author, emoji string, on bool) *Entry {
		seq++
		return &Entry{Seq: seq, Time: int64(seq), Kind: kaban.KindReact, Author: author, Target: 1, Content: kaban.Switch(on, emoji)}
	}
	// people returns those that have reacted, by emoji.
	people := func(e *Entry) (list []string) {
		for _, r := range e.State.Reactions {
			line := r.Emoji
			for _, p := range r.People {
				line += " " + p.Author
			}
			list = append(list, line)
		}
		return list
	}
	message := Entry{Seq: 1, Time: 1, Kind: kaban.KindMessage, Author: "ann", Content: "hello"}
	for _, author := range []string{"ann", "bob", "carol"} { // more than append makes room for at once
		message.Apply(react(author, "👍", true))
		message.Apply(react(author, "to "+author, true))
	}
	before := []string{"👍 ann bob carol", "to ann ann", "to bob bob", "to carol carol"}
	var copies [4]Entry
	for i := range copies {
		copies[i] = message
	}
	copies[0].Apply(react("dan", "👍", true))
	copies[1].Apply(react("eve", "👍", true))
	copies[2].Apply(react("ann", "👍", false))
	copies[3].Apply(react("ann", "to ann", false))
	copies[0].Apply(react("dan", "🎉", true))
	copies[1].Apply(react("eve", "❤️", true))
	for i, want := range [][]string{
		{"👍 ann bob carol dan", "to ann ann", "to bob bob", "to carol carol", "🎉 dan"},
		{"👍 ann bob carol eve", "to ann ann", "to bob bob", "to carol carol", "❤️ eve"},
		{"to ann ann", "👍 bob carol", "to bob bob", "to carol carol"},
		{"👍 ann bob carol", "to bob bob", "to carol carol"},
	} {
		if got := people(&copies[i]); !slices.Equal(got, want) {
			t.Errorf("copy %d has %q, want %q", i, got, want)
		}
	}
	if got := people(&message); !slices.Equal(got, before) {
		t.Errorf("the message has %q, it had %q", got, before)
	}
	folded := message
	f := Folder{Message: &folded}
	for _, change := range []*Entry{
		react("dan", "👍", true), react("ann", "👍", false), react("eve", "❤️", true), react("ann", "to ann", false), react("ann", "👍", true),
	} {
		f.Apply(change)
	}
	f.End()
	if got, want := people(&folded), []string{"👍 bob carol dan ann", "to bob bob", "to carol carol", "❤️ eve"}; !slices.Equal(got, want) {
		t.Errorf("folded, the message has %q, want %q", got, want)
	}
	if got := people(&message); !slices.Equal(got, before) {
		t.Errorf("the message has %q after folding, it had %q", got, before)
	}
}

// All people together may have MaxReactors reactions to a message.
func TestReactorsAreBounded(t *testing.T) {
	name, err := kaban.ParseUsername("ann")
	if err != nil {
		t.Fatal(err)
	}
	w := Write{Draft: kaban.Draft{Author: kaban.Visitor(name), Kind: kaban.KindReact, Target: 1, Body: kaban.Switch(true, "👍")}}
	message := Entry{Seq: 1, Kind: kaban.KindMessage, Author: "bob"}
	f := Folder{Message: &message}
	for i := range MaxReactors {
		if _, err := w.Fit(&message); err != nil {
			t.Fatalf("with %d reactions: %v", i, err)
		}
		f.Apply(&Entry{Seq: uint64(2 + i), Kind: kaban.KindReact, Author: fmt.Sprint("visitor:", i), Target: 1, Content: w.Body})
	}
	if _, err := w.Fit(&message); !errors.Is(err, ErrTooManyReactions) {
		t.Errorf("with %d reactions: %v", MaxReactors, err)
	}
	f.Apply(&Entry{Seq: MaxReactors + 2, Kind: kaban.KindReact, Author: "visitor:7", Target: 1, Content: kaban.Switch(false, "👍")})
	if _, err := w.Fit(&message); err != nil {
		t.Errorf("after one was taken back: %v", err)
	}
}

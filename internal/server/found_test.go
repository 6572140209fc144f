package server

import (
	"strings"
	"testing"

	"kaban"
	"kaban/internal/chat"
	"kaban/internal/search"
	"kaban/internal/store"
	"kaban/wire"
)

// A page of hits fits a line, whatever their files are called, and has one hit at least.
func TestHitsFitALine(t *testing.T) {
	var list []kaban.File
	for i := range kaban.MaxFiles {
		list = append(list, kaban.File{ID: strings.Repeat(string(rune('a'+i)), kaban.FileIDLength), Name: strings.Repeat("n", kaban.MaxFileName), Type: "image/png", Alt: strings.Repeat("😀", kaban.MaxFileAlt)})
	}
	long, err := kaban.NewFiles(list...)
	if err != nil {
		t.Fatal(err)
	}
	short, err := kaban.NewFiles(kaban.File{ID: list[0].ID, Name: "a.png", Type: "image/png"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		files        kaban.Files
		content      string
		hits, least  int
		more, isFull bool
	}{
		{kaban.Files{}, "hi", wire.MaxHits, wire.MaxHits, false, true},
		{short, "", wire.MaxHits, wire.MaxHits, false, true},
		{long, "", wire.MaxHits, 2, true, false},
		{long, "", 1, 1, false, true},
		{kaban.Files{}, strings.Repeat("😀", 200), wire.MaxHits, 30, true, false},
	} {
		found := chat.Hits{}
		for range c.hits {
			found.Hits = append(found.Hits, chat.Hit{
				Entry:   store.Entry{Seq: 1, Kind: kaban.KindMessage, Username: "ann", Author: "visitor:ann", ID: "x", Content: c.content, Files: c.files.String()},
				Snippet: search.Snippet{Text: c.content},
			})
		}
		e := foundEvent([]byte("ref"), &found)
		line := e.Append(nil)
		if len(line) > wire.MaxFrame || len(e.Hits) < c.least || (len(e.Hits) == c.hits) != c.isFull || e.More != c.more {
			t.Errorf("%d hits with %d bytes of files: %d in %d bytes, more %t", c.hits, len(c.files.String()), len(e.Hits), len(line), e.More)
		}
		if len(e.Hits) > 0 && e.Hits[0].Files != c.files {
			t.Errorf("the first has %s", e.Hits[0].Files)
		}
	}
}

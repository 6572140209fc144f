package frame

import (
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/chat"
	"kaban/wire"
)

// An entry of a kind that this version does not know still moves every cursor.
func TestUnknownKindsAreVoid(t *testing.T) {
	entries := []chat.Entry{
		{Seq: 1, Kind: kaban.KindMessage, ID: "a", Username: "ann", Content: "hello"},
		{Seq: 2, Kind: 200, ID: "b", Username: "ann", Target: 1, Content: "secret"},
		{Seq: 3, Kind: kaban.KindMessage, ID: "c", Username: "bob", Content: "bye"},
	}
	var lines []byte
	for i := range entries {
		lines = AppendEntry(lines, "lobby", &entries[i])
	}
	if strings.Contains(string(lines), "secret") {
		t.Errorf("a void frame says too much: %s", lines)
	}
	reader := wire.NewReader(strings.NewReader(string(lines)))
	defer reader.Close()
	for _, want := range []wire.Type{wire.TypeMessage, wire.TypeUnknown, wire.TypeMessage} {
		var e wire.Event
		if err := reader.ReadEvent(&e); err != nil || e.Type != want || !e.IsEntry() || e.Room != "lobby" {
			t.Errorf("got %+v, %v; want an entry of type %s", e, err, want)
		}
	}
	messages, others := Page(entries)
	if len(messages) != 2 || messages[1].Content != "bye" || !slices.Equal(others, []uint64{2}) {
		t.Errorf("a page has %+v and %v", messages, others)
	}
}

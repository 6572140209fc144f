package export

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"kaban"
	"kaban/internal/display"
	"kaban/internal/store"
)

// testRecords returns records of a room with every author and some kinds.
func testRecords(t *testing.T) []store.Record {
	t.Helper()
	room, err := kaban.ParseRoomName("lobby")
	if err != nil {
		t.Fatal(err)
	}
	name, err := kaban.ParseUsername("Ann")
	if err != nil {
		t.Fatal(err)
	}
	files, err := kaban.NewFiles(kaban.File{ID: strings.Repeat("a2", 13), Name: "<a> & b.png", Size: 7, Type: "image/png", Width: 1, Height: 2, Alt: "\u200b"})
	if err != nil {
		t.Fatal(err)
	}
	var records []store.Record
	for i, draft := range []kaban.Draft{
		{Author: kaban.Visitor(name), Kind: kaban.KindMessage, Body: "a message"},
		{Author: kaban.Account("17", name), Kind: kaban.KindMessage, Body: "by an account"},
		{Author: kaban.Visitor(name), Kind: kaban.KindMessage, Target: 1, Body: "that refers to <another> & \u2028\u200b"},
		{Author: kaban.Visitor(name), Kind: 200, Target: 2, Body: "of an unknown kind"},
		{Author: kaban.Account("17", name), Kind: 255},
		{Author: kaban.Visitor(name), Kind: kaban.KindMessage, Body: strings.Repeat("\u200b", kaban.MaxContentCeiling)},
		{Author: kaban.Visitor(name), Kind: kaban.KindMessage, Body: "with a file", Files: files},
		{Author: kaban.Account("17", name), Kind: kaban.KindMessage, Files: files},
	} {
		draft.Room = room
		if draft.ID, err = kaban.ParseMessageID(fmt.Sprint("id-", i)); err != nil {
			t.Fatal(err)
		}
		records = append(records, store.Record{Draft: draft, Seq: uint64(i + 1), Time: 1764000000123 + int64(i)})
	}
	return records
}

func TestRecordsAreLines(t *testing.T) {
	for i, want := range testRecords(t) {
		line, err := Append(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		if isFrame := bytes.HasPrefix(line, []byte(`{"type":"message"`)); isFrame != (i == 0 || i == 5) || bytes.Count(line, []byte("\n")) != 1 {
			t.Errorf("record %d: a frame %t: %s", i, isFrame, line)
		}
		for _, line := range []string{string(line), display.JSON(string(line))} { // which the command writes
			if got, err := parse([]byte(strings.TrimSuffix(line, "\n"))); err != nil || got.Document != nil || *got.Record != want {
				t.Errorf("record %d: got %.200v, %v; want %.200v", i, got.Record, err, want)
			}
		}
	}
}

func TestBadRecords(t *testing.T) {
	const good = `{"type":"entry","room":"lobby","seq":4,"kind":200,"id":"a","author":"visitor:ann","username":"Ann","target":2,"content":"x","time":"2026-11-24T02:35:37.101Z"}`
	if _, err := parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"entry"`, `"parted"`, "frame of type parted"},
		{`"entry"`, `"other"`, `"other"`},
		{`"seq":4`, `"seq":0`, "seq is 0"},
		{`"kind":200`, `"kind":256`, "kind"},
		{`"kind":200,`, ``, "kind is missing"},
		{`"kind":200`, `"kind":"x"`, "kind"},
		{`visitor:ann`, `visitor:bob`, "author"},
		{`"Ann"`, `"A nn"`, "username"},
		{`"lobby"`, `""`, "room"},
		{`"a"`, `"a b"`, "id"},
		{`02:35`, `99:35`, "time"},
		{`"content"`, `"files":[{}],"content"`, "files are of messages only"},
		{`"kind":200`, `"kind":1,"files":[{}]`, "no files"},
		{`"kind":200`, `"kind":1,"files":"x"`, "no files"},
		{`}`, ``, ""},
	} {
		if _, err := parse([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s instead of %s: %v, want an error with %q", c.new, c.old, err, c.want)
		}
	}
}

func TestFrontsAreLines(t *testing.T) {
	record := testRecords(t)[1]
	whole := store.Front{Room: record.Room, Seq: 1 << 40, Messages: 7, Written: []store.FrontAuthor{{Author: record.Author, Messages: 4}}}
	for _, want := range []store.Front{whole, {Room: record.Room, Seq: 3}} {
		line, err := AppendFront(nil, &want)
		if err != nil || bytes.Count(line, []byte("\n")) != 1 {
			t.Fatalf("%s, %v", line, err)
		}
		if got, err := parse(bytes.TrimSuffix(line, []byte("\n"))); err != nil || got.Record != nil || !reflect.DeepEqual(*got.Front, want) {
			t.Errorf("got %+v, %v; want %+v", got.Front, err, want)
		}
	}
	// The longest line fits.
	name, err := kaban.ParseUsername(strings.Repeat("\U00010348", kaban.MaxUsername))
	if err != nil {
		t.Fatal(err)
	}
	for len(whole.Written) < store.MaxFrontAuthors {
		whole.Written = append(whole.Written, store.FrontAuthor{Author: kaban.Visitor(name), Messages: 7})
	}
	line, err := AppendFront(nil, &whole)
	if err != nil {
		t.Fatal(err)
	}
	if line := display.JSON(string(line)); len(line) > maxLine {
		t.Errorf("a line of %d bytes is longer than %d", len(line), maxLine)
	}
}

func TestBadFronts(t *testing.T) {
	const good = `{"type":"front","room":"lobby","seq":9,"messages":7,"written":[{"author":"visitor:ann","username":"Ann","messages":4}]}`
	if _, err := parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"seq":9`, `"seq":0`, "seq is 0"},
		{`"seq":9`, `"seq":6`, "7 of 6 entries"},
		{`"messages":4`, `"messages":8`, "8 of 7 messages"},
		{`"messages":4`, `"messages":0`, "0 of 7 messages"},
		{`visitor:ann`, `visitor:bob`, "author"},
		{`"Ann"`, `"A nn"`, "username"},
		{`"lobby"`, `""`, "room"},
		{`"seq":9`, `"seq":9,"more":1`, "more"},
	} {
		if _, err := parse([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s instead of %s: %v, want an error with %q", c.new, c.old, err, c.want)
		}
	}
}

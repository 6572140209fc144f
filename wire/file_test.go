package wire

import (
	"fmt"
	"strings"
	"testing"

	"kaban"
)

// TestFilesOfASend says which lists of files a send may have.
func TestFilesOfASend(t *testing.T) {
	id := func(i int) string { return strings.Repeat(string(rune('a'+i)), kaban.FileIDLength) }
	var ten, eleven []string
	for i := range kaban.MaxFiles + 1 {
		eleven = append(eleven, `"`+id(i)+`"`)
	}
	ten = eleven[:kaban.MaxFiles]
	for more, want := range map[string]string{
		`"content":"x","files":[` + strings.Join(ten, ",") + `]`:    "",
		`"content":"x","files":[` + strings.Join(eleven, ",") + `]`: "bad_field files",
		`"content":"","files":["` + id(0) + `"]`:                    "",
		`"files":["` + id(0) + `"]`:                                 "",
		`"content":" ","files":["` + id(0) + `"]`:                   "empty_content content",
		`"content":"","files":[]`:                                   "empty_content content",
		`"files":[]`:                                                "missing_field content",
		`"content":"x","files":[]`:                                  "",
		`"content":"x","files":["` + id(0) + `","` + id(0) + `"]`:   "bad_field files",
		`"content":"x","files":["../etc/passwd"]`:                   "bad_field files",
		`"content":"x","files":[1]`:                                 "bad_field files",
		`"content":"x","files":[["` + id(0) + `"]]`:                 "bad_field files",
		`"content":"x","files":"` + id(0) + `"`:                     "bad_field files",
		`"content":"x","files":null`:                                "bad_field files",
	} {
		if got := faultOf(t, `{"type":"send","room":"lobby","id":"1",`+more+`}`); got != want {
			t.Errorf("%s: %q, want %q", more, got, want)
		}
	}
	if got := faultOf(t, `{"type":"edit","room":"lobby","id":"1","target":1,"content":"","files":["`+id(0)+`"]}`); got != "" {
		t.Errorf("an edit that takes the text of a message away: %q", got)
	}
	if got := faultOf(t, `{"type":"edit","room":"lobby","id":"1","target":1,"content":" "}`); got != "empty_content content" {
		t.Errorf("an edit to a blank text: %q", got)
	}
	if got := faultOf(t, `{"type":"edit","room":"lobby","id":"1","target":1}`); got != "missing_field content" {
		t.Errorf("an edit without a text: %q", got)
	}
}

// A file that makes no sense is left out: the message is an entry all the same.
func TestFilesThatMakeNoSense(t *testing.T) {
	good := `{"file":"` + catID + `","name":"cat.png","size":7,"type":"image/png","later":[{}]}`
	many := make([]string, kaban.MaxFiles+2)
	for i := range many {
		many[i] = strings.Replace(good, catID, strings.Repeat(string(rune('a'+i)), kaban.FileIDLength), 1)
	}
	for files, want := range map[string]int{
		`[` + good + `]`: 1, `[` + good + `,` + good + `]`: 1, `[` + strings.Join(many, ",") + `]`: kaban.MaxFiles, `[]`: 0, `7`: 0, `null`: 0, `{}`: 0,
		`[7,[],"x",null,` + good + `]`:                                                                                            1,
		`[` + strings.Replace(good, catID, "../../x", 1) + `]`:                                                                    0,
		`[` + strings.Replace(good, "cat.png", `a\u0000b`, 1) + `]`:                                                               0,
		`[` + strings.Replace(good, "cat.png", `a\u0000b`, 1) + `,{"file":"` + notesID + `","name":"x","size":0,"type":"y"}]`:     1,
		`[` + strings.Replace(good, `"size":7`, `"size":-7`, 1) + `]`:                                                             0,
		`[` + strings.Replace(good, `"size":7`, `"size":"7"`, 1) + `]`:                                                            0,
		`[` + strings.Replace(good, `"size":7`, `"width":7`, 1) + `]`:                                                             0,
		`[` + strings.Replace(good, `"type":`, `"TYPE":`, 1) + `,` + `{"file":"` + notesID + `","name":"x","size":0,"type":"y"}]`: 1,
	} {
		var e Event
		line := `{"type":"message","room":"lobby","seq":5,"id":"1","username":"bob","content":"hi","time":"2026-11-24T12:00:00.000Z","files":` + files + `}`
		r := NewReader(strings.NewReader(line + "\n"))
		r.SetLimit(MaxFrame)
		if err := r.ReadEvent(&e); err != nil || e.Seq != 5 || e.Content != "hi" {
			t.Errorf("%s: %+v, %v", files, e, err)
		}
		if list := e.Files.List(); len(list) != want {
			t.Errorf("%s: %v, want %d files", files, fmt.Sprint(list), want)
		}
	}
}

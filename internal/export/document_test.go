package export

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"kaban/internal/display"
	"kaban/internal/store"
)

// document returns a line as the command writes it, and what is read from that.
func document(t interface{ Fatal(...any) }, d store.Document) (line string, got store.Document) {
	written, err := AppendDocument(nil, &d)
	if err != nil {
		t.Fatal(err)
	}
	line = display.JSON(string(written))
	r, err := NewReader(strings.NewReader(line))
	if err != nil {
		t.Fatal(err)
	}
	read, err := r.Read()
	if err != nil || read.Record != nil {
		t.Fatal(line[:min(len(line), 200)], err)
	}
	return line, *read.Document
}

func TestDocumentsAreLines(t *testing.T) {
	for value, want := range map[string]string{
		"":                             `{"type":"document","key":"a/b","value":""}`,
		`{"name":"<Ann> & Žluťoučký"}`: `{"type":"document","key":"a/b","value":"{\"name\":\"<Ann> & Žluťoučký\"}"}`,
		"two\nlines":                   `{"type":"document","key":"a/b","base64":"dHdvCmxpbmVz"}`,
		"\xff\x00":                     `{"type":"document","key":"a/b","base64":"/wA="}`,
		"\u202e\u200b":                 `{"type":"document","key":"a/b","value":"\u202e\u200b"}`,
	} {
		line, got := document(t, store.Document{Key: "a/b", Value: []byte(value)})
		if line != want+"\n" || got.Key != "a/b" || string(got.Value) != value || got.Value == nil {
			t.Errorf("%q is the line %s and read as %+v; want %s", value, line, got, want)
		}
	}
	// The largest of every form.
	key := strings.Repeat("\x01", store.MaxKey)
	for _, part := range []string{"x", "\x00", "\x7f", "\"", "\\", "<", "\u0080", "\u200b", "\U000e0001", "\xff", "\n"} {
		value := []byte(strings.Repeat(part, store.MaxValue/len(part)))
		if line, got := document(t, store.Document{Key: key, Value: value}); got.Key != key || !bytes.Equal(got.Value, value) {
			t.Errorf("%d times %q: a line of %d bytes is read as %d", len(value), part, len(line), len(got.Value))
		}
	}
}

func TestEveryDocumentIsALine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := store.Document{
			Key:   strings.ReplaceAll(rapid.StringN(1, 30, -1).Draw(rt, "key"), "\x00", "x"),
			Value: rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 30), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) })).Draw(rt, "value"),
		}
		if line, got := document(rt, d); got.Key != d.Key || !bytes.Equal(got.Value, d.Value) || strings.Count(line, "\n") != 1 {
			rt.Errorf("%+v is read as %+v from %s", d, got, line)
		}
	})
}

func TestBadDocuments(t *testing.T) {
	const good = `{"type":"document","key":"a","value":"x"}`
	if _, err := parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"a"`, `""`, "key"},
		{`"a"`, `"a\u0000"`, "key"},
		{`"a"`, `"` + strings.Repeat("k", store.MaxKey+1) + `"`, "too big"},
		{`"x"`, `"` + strings.Repeat("x", store.MaxValue+1) + `"`, "too big"},
		{`"value":"x"`, `"value":null`, "either"},
		{`,"value":"x"`, ``, "either"},
		{`"value":"x"`, `"value":"x","base64":""`, "either"},
		{`"value":"x"`, `"base64":"*"`, "base64"},
		{`"value":"x"`, `"value":7`, "value"},
		{`"value"`, `"other"`, "other"},
		{`"key"`, `"value"`, ""},
	} {
		if _, err := parse([]byte(strings.Replace(good, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s instead of %s: %v, want an error with %q", c.new, c.old, err, c.want)
		}
	}
}

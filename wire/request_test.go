package wire

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kaban"
)

func mustUsername(t testing.TB, s string) kaban.Username {
	t.Helper()
	u, err := kaban.ParseUsername(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// readOne reads one request from a line.
func readOne(t testing.TB, line string) (Request, error) {
	t.Helper()
	r := NewReader(strings.NewReader(line + "\n"))
	r.SetAuthor(new(kaban.Visitor(mustUsername(t, "ann"))))
	var q Request
	err := r.ReadRequest(&q)
	return q, err
}

func TestBadRequests(t *testing.T) {
	send := func(fields string) string {
		return `{"type":"send","room":"lobby","id":"1","content":"x",` + fields + `}`
	}
	content := func(c string) string {
		return `{"type":"send","room":"lobby","id":"1","content":"` + c + `","ref":"r"}`
	}
	for _, test := range []struct {
		name, line string
		code       Code
		field      string
		ref        string
		max        int
		actual     int
	}{
		{"empty", ``, CodeBadJSON, "", "", 0, 0},
		{"spaces", `   `, CodeBadJSON, "", "", 0, 0},
		{"null", `null`, CodeBadFrame, "", "", 0, 0},
		{"number", `42`, CodeBadFrame, "", "", 0, 0},
		{"array", `[]`, CodeBadFrame, "", "", 0, 0},
		{"string", `"hello"`, CodeBadFrame, "", "", 0, 0},
		{"empty object", `{}`, CodeMissingField, "type", "", 0, 0},
		{"byte order mark", "\ufeff{}", CodeBadJSON, "", "", 0, 0},
		{"UTF-16", "\xff\xfe{\x00}\x00", CodeBadUTF8, "", "", 0, 0},
		{"two objects", `{"type":"ping"}{"type":"ping"}`, CodeBadJSON, "", "", 0, 0},
		{"trailing comma", `{"type":"ping",}`, CodeBadJSON, "", "", 0, 0},
		{"single quotes", `{'type':'ping'}`, CodeBadJSON, "", "", 0, 0},
		{"no colon", `{"type" "ping"}`, CodeBadJSON, "", "", 0, 0},
		{"no value", `{"type":}`, CodeBadJSON, "", "", 0, 0},
		{"cut", `{"type":"pi`, CodeBadJSON, "", "", 0, 0},
		{"cut in an escape", `{"type":"pi\`, CodeBadJSON, "", "", 0, 0},
		{"bad escape", `{"type":"\x"}`, CodeBadJSON, "", "", 0, 0},
		{"bad literal", `{"type":nul}`, CodeBadJSON, "", "", 0, 0},
		{"raw control character", "{\"type\":\"pi\tng\"}", CodeBadJSON, "", "", 0, 0},
		{"leading zero", `{"type":"ping","x":01}`, CodeBadJSON, "", "", 0, 0},
		{"lone minus", `{"type":"ping","x":-}`, CodeBadJSON, "", "", 0, 0},
		{"array without comma", `{"type":"ping","x":[1 2]}`, CodeBadJSON, "", "", 0, 0},
		{"name twice", `{"type":"ping","ref":"r","type":"ping"}`, CodeBadFrame, "", "r", 0, 0},
		{"name twice, escaped", `{"type":"ping","ty\u0070e":"ping"}`, CodeBadFrame, "", "", 0, 0},
		{"name twice, nested", `{"type":"ping","x":{"a":1,"a":2}}`, CodeBadFrame, "", "", 0, 0},
		{"wrong case", `{"TYPE":"ping"}`, CodeBadFrame, "type", "", 0, 0},
		{"long s", `{"type":"ping","ſeq":1}`, CodeBadFrame, "seq", "", 0, 0},
		{"overlong UTF-8", "{\"type\":\"\xc0\xaf\"}", CodeBadUTF8, "", "", 0, 0},
		{"surrogate bytes", "{\"type\":\"\xed\xa0\x80\"}", CodeBadUTF8, "", "", 0, 0},
		{"lone high surrogate", content(`\ud800`), CodeBadUTF8, "", "", 0, 0},
		{"lone low surrogate", content(`\udc00`), CodeBadUTF8, "", "", 0, 0},
		{"two high surrogates", content(`\ud800\ud800`), CodeBadUTF8, "", "", 0, 0},
		{"nesting 9", `{"type":"ping","x":` + strings.Repeat("[", 8) + strings.Repeat("]", 8) + `}`, CodeBadFrame, "", "", 0, 0},
		{"fraction", `{"type":"join","room":"lobby","after":1.5}`, CodeBadField, "after", "", 0, 0},
		{"exponent", `{"type":"join","room":"lobby","after":1e3}`, CodeBadField, "after", "", 0, 0},
		{"too great", `{"type":"join","room":"lobby","after":9007199254740992}`, CodeBadField, "after", "", 0, 0},
		{"far too great", `{"type":"join","room":"lobby","after":99999999999999999999999}`, CodeBadField, "after", "", 0, 0},
		{"negative", `{"type":"join","room":"lobby","after":-1}`, CodeBadField, "after", "", 0, 0},
		{"text for a number", `{"type":"join","room":"lobby","after":"1"}`, CodeBadField, "after", "", 0, 0},
		{"null for a text", `{"type":"join","room":null}`, CodeBadField, "room", "", 0, 0},
		{"type is a number", `{"type":1}`, CodeBadField, "type", "", 0, 0},
		{"ref too long", `{"type":"ping","ref":"` + strings.Repeat("r", 65) + `"}`, CodeBadField, "ref", "", 0, 0},
		{"ref is a number", `{"type":"ping","ref":1}`, CodeBadField, "ref", "", 0, 0},
		{"unknown type", `{"type":"shout","ref":"r"}`, CodeUnknownType, "type", "r", 0, 0},
		{"a server's type", `{"type":"welcome"}`, CodeUnknownType, "type", "", 0, 0},
		{"no version", `{"type":"hello","username":"ann"}`, CodeMissingField, "version", "", 0, 0},
		{"version 2", `{"type":"hello","version":2,"username":"ann"}`, CodeUnsupportedVersion, "version", "", 1, 2},
		{"no username", `{"type":"hello","version":1}`, CodeMissingField, "username", "", 0, 0},
		{"empty username", `{"type":"hello","version":1,"username":""}`, CodeEmptyUsername, "username", "", 0, 0},
		{"long username", `{"type":"hello","version":1,"username":"` + strings.Repeat("a", 33) + `"}`, CodeTooLongUsername, "username", "", 32, 33},
		{"bad username", `{"type":"hello","version":1,"username":"a b"}`, CodeInvalidCharsUsername, "username", "", 0, 0},
		{"empty resume", `{"type":"hello","version":1,"username":"ann","resume":""}`, CodeBadField, "resume", "", 128, 0},
		{"no room", `{"type":"join"}`, CodeMissingField, "room", "", 0, 0},
		{"bad room", `{"type":"join","room":"a b","ref":"r"}`, CodeBadRoom, "room", "r", 0, 0},
		{"long room", `{"type":"join","room":"` + strings.Repeat("a", 65) + `"}`, CodeBadRoom, "room", "", 64, 65},
		{"empty epoch", `{"type":"join","room":"lobby","epoch":""}`, CodeBadField, "epoch", "", 128, 0},
		{"no id", `{"type":"send","room":"lobby","content":"x"}`, CodeMissingField, "id", "", 0, 0},
		{"no content", `{"type":"send","room":"lobby","id":"1"}`, CodeMissingField, "content", "", 0, 0},
		{"bad id", `{"type":"send","room":"lobby","id":"a b","content":"x","ref":"r"}`, CodeBadID, "id", "r", 0, 0},
		{"long id", `{"type":"send","room":"lobby","id":"` + strings.Repeat("a", 65) + `","content":"x"}`, CodeBadID, "id", "", 64, 65},
		{"empty content", content(``), CodeEmptyContent, "content", "r", 0, 0},
		{"blank content", content(`\n \t`), CodeEmptyContent, "content", "r", 0, 0},
		{"NUL", content(`\u0000`), CodeInvalidCharsContent, "content", "r", 0, 0},
		{"ESC", content(`a\u001b[2J`), CodeInvalidCharsContent, "content", "r", 0, 0},
		{"long content", content(strings.Repeat("😀", 5001)), CodeTooLongContent, "content", "r", 5000, 5001},
		{"limit 0", `{"type":"history","room":"lobby","limit":0}`, CodeBadLimit, "limit", "", 500, 0},
		{"limit -1", `{"type":"history","room":"lobby","limit":-1}`, CodeBadLimit, "limit", "", 500, -1},
		{"limit 501", `{"type":"rooms","limit":501}`, CodeBadLimit, "limit", "", 500, 501},
		{"limit 10^9", `{"type":"members","room":"lobby","limit":1000000000}`, CodeBadLimit, "limit", "", 500, 1000000000},
		{"after and before", `{"type":"history","room":"lobby","after":1,"before":2}`, CodeBadField, "before", "", 0, 0},
		{"page after a number", `{"type":"rooms","after":1}`, CodeBadField, "after", "", 0, 0},
		{"syntax beats fault", `{"TYPE":"ping","x":`, CodeBadJSON, "", "", 0, 0},
		{"sixteen names and one twice", send(`"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1,"l":1,"m":1,"n":1,"a":1`), CodeBadFrame, "", "", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			q, err := readOne(t, test.line)
			bad, ok := errors.AsType[*ReaderError](err)
			if !ok {
				t.Fatalf("got %+v, %v; want %s", q, err, test.code)
			}
			if bad.Code != test.code || bad.Field != test.field || string(bad.Ref) != test.ref || bad.Max != test.max || bad.Actual != test.actual {
				t.Errorf("got code %s field %q ref %q max %d actual %d; want %s %q %q %d %d",
					bad.Code, bad.Field, bad.Ref, bad.Max, bad.Actual, test.code, test.field, test.ref, test.max, test.actual)
			}
			if CodeOf(err) != test.code || bad.Error() == "" || strings.ContainsAny(bad.Error(), "\n\x1b\x00") {
				t.Errorf("CodeOf is %s, the text is %q", CodeOf(err), bad.Error())
			}
		})
	}
}

func TestMessageErrorsArePassedOn(t *testing.T) {
	_, err := readOne(t, `{"type":"send","room":"lobby","id":"1","content":"abc\u0007"}`)
	bad, ok := errors.AsType[*kaban.MessageError](err)
	if !ok || !errors.Is(err, kaban.InvalidCharsContent) || bad.Position != 3 || bad.Rune != 7 {
		t.Errorf("got %#v", err)
	}
}

func TestGoodRequests(t *testing.T) {
	ann := mustUsername(t, "ann")
	room, _ := kaban.ParseRoomName("lobby")
	id, _ := kaban.ParseMessageID("a.1:-_")
	message := func(content string) kaban.Message {
		m, err := kaban.NewMessage(ann, content, kaban.MaxContentCeiling)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, test := range []struct {
		line string
		want Request
	}{
		{`{"type":"hello","version":1,"username":"ann"}`, Request{Type: TypeHello, Username: ann}},
		{`{"type":"hello","version":1,"username":"ann","resume":"s3cret"}`, Request{Type: TypeHello, Username: ann, Resume: "s3cret"}},
		{`{"type":"join","room":"lobby"}`, Request{Type: TypeJoin, Room: room}},
		{`{"type":"join","room":"lobby","epoch":"e","after":0}`, Request{Type: TypeJoin, Room: room, Epoch: "e", HasAfter: true}},
		{`{"type":"join","room":"lobby","after":9007199254740991}`, Request{Type: TypeJoin, Room: room, After: MaxNumber, HasAfter: true}},
		{`{"type":"send","room":"lobby","id":"a.1:-_","content":"x"}`, Request{Type: TypeSend, Room: room, ID: id, Message: message("x")}},
		{`{"type":"history","room":"lobby","before":7,"limit":500}`, Request{Type: TypeHistory, Room: room, Before: 7, HasBefore: true, Limit: 500}},
		{`{"type":"history","room":"lobby","after":7,"limit":1}`, Request{Type: TypeHistory, Room: room, After: 7, HasAfter: true, Limit: 1}},
		{`{"type":"part","room":"lobby"}`, Request{Type: TypePart, Room: room}},
		{`{"type":"rooms"}`, Request{Type: TypeRooms}},
		{`{"type":"rooms","after":"a","limit":2}`, Request{Type: TypeRooms, AfterName: "a", Limit: 2}},
		{`{"type":"members","room":"lobby","after":"ann","limit":2}`, Request{Type: TypeMembers, Room: room, AfterName: "ann", Limit: 2}},
		{`{"type":"ping"}`, Request{Type: TypePing}},
		{`{"type":"pong","ref":"` + strings.Repeat("r", 64) + `"}`, Request{Type: TypePong, Ref: []byte(strings.Repeat("r", 64))}},
		{`{"type":"ping","ref":""}`, Request{Type: TypePing, Ref: []byte{}}},
	} {
		got, err := readOne(t, test.line)
		if diff := cmp.Diff(test.want, got, comparers); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", test.line, err, diff)
		}
		if back := string(got.Append(nil)); back != test.line+"\n" {
			t.Errorf("%s comes back as %s", test.line, back)
		}
	}
	for _, line := range []string{ // different spellings of the same frame
		`{"ty\u0070e":"send","room":"lobby","id":"a.1:-_","content":"\u0078"}`,
		` { "content" : "x" , "id":"a.1:-_","room":"LOBBY", "type":"send","later":[{"deep":null},true,-1]} ` + "\r",
		`{"type":"send","room":"lobby","id":"a.1:-_","content":"x","x":` + strings.Repeat("[", 7) + strings.Repeat("]", 7) + `}`,
	} {
		if got, err := readOne(t, line); err != nil || got.Message != message("x") || got.ID != id || got.Room.String() != "lobby" {
			t.Errorf("%s: got %+v, %v", line, got, err)
		}
	}
	for escaped, want := range map[string]string{`\ud83d\ude00`: "😀", `a\nb\tc`: "a\nb\tc", `\"\\\/`: `"\/`, `é`: "é", `\ufffd`: "\ufffd"} {
		if got, err := readOne(t, `{"type":"send","room":"lobby","id":"1","content":"`+escaped+`"}`); err != nil || got.Message.Content() != want {
			t.Errorf("%s: got %q, %v; want %q", escaped, got.Message.Content(), err, want)
		}
	}
}

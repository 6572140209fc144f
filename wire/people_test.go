package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"kaban"
)

func TestEveryTypeIsGolden(t *testing.T) {
	events, requests := make(map[Type]bool), make(map[Type]bool)
	for i := range goldenEvents {
		events[goldenEvents[i].Type] = true
	}
	for _, q := range goldenRequests(t) {
		requests[q.Type] = true
	}
	for kind := range Type(len(typeNames)) {
		name := kind.String()
		switch {
		case name == "":
			t.Errorf("type %d has no name", kind)
		case kind != TypeUnknown && typeOf([]byte(name)) != kind:
			t.Errorf("%s is read as %s", name, typeOf([]byte(name)))
		case kind.IsRequest() && !requests[kind]:
			t.Errorf("no golden request is a %s", kind)
		case kind.isEvent() && !events[kind]:
			t.Errorf("no golden event is a %s", kind)
		case !kind.IsRequest() && !kind.isEvent() && kind != TypeUnknown:
			t.Errorf("%s is neither a request nor an event", kind)
		}
	}
}

func TestFieldsHaveNames(t *testing.T) {
	for want, name := range fieldNames {
		if got, ok := eventField([]byte(name)); !ok || got != field(want) {
			t.Errorf("%q is field %d of events, want %d", name, got, want)
		}
		if got, ok := requestField([]byte(name)); ok && got != field(want) {
			t.Errorf("%q is field %d of requests, want %d", name, got, want)
		}
	}
	if _, ok := eventField([]byte("later")); ok {
		t.Error("an unknown field is known")
	}
}

// Only what has a seq in a log moves a cursor, and everything that has one does.
func TestEntriesMoveCursors(t *testing.T) {
	for i := range goldenEvents {
		e := &goldenEvents[i]
		line := e.Append(nil)
		var got Event
		if err := NewReader(bytes.NewReader(line)).ReadEvent(&got); err != nil {
			t.Fatal(err)
		}
		hasBoth := strings.Contains(string(line), `,"seq":`) && got.Room != "" && got.Type != TypeHistory
		if got.IsEntry() != hasBoth || got.IsEntry() != (got.Seq > 0) {
			t.Errorf("%s is an entry: %v, with seq %d", line, got.IsEntry(), got.Seq)
		}
	}
}

// hostile are values that no name, id or text of one line may have.
var hostile = map[string]string{
	"CR": `a\rb`, "LF": `a\nb`, "CR LF": `a\r\nb`, "NUL": `a\u0000b`, "ESC": `a\u001b[2J`, "tab": `a\tb`, "DEL": `a\u007fb`,
	"C1": `a\u009bb`, "line separator": `a\u2028b`, "paragraph separator": `a\u2029b`,
}

// notStrings are values of other types.
var notStrings = []string{`1`, `true`, `null`, `["a"]`, `{"a":"b"}`, `-0`}

// Each field of each new request is refused for the same reasons, whichever request
// it is in.
func TestHostileFields(t *testing.T) {
	common := `"room":"lobby","id":"1",`
	lines := map[string]string{ // %s is the field
		"token":      `{"type":"hello","version":1,%s}`,
		"password":   `{"type":"hello","version":1,"username":"ann",%s}`,
		"place":      `{"type":"hello","version":1,"username":"ann",%s}`,
		"level":      `{"type":"notify","room":"lobby",%s}`,
		"seq":        `{"type":"read","room":"lobby",%s}`,
		"until_ms":   `{"type":"ban",` + common + `"username":"bob",%s}`,
		"role":       `{"type":"role",` + common + `"username":"bob",%s}`,
		"history":    `{"type":"set",` + common + `%s}`,
		"archived":   `{"type":"set",` + common + `%s}`,
		"kind":       `{"type":"create","room":"lobby",%s}`,
		"flags":      `{"type":"create","room":"lobby","kind":"public",%s}`,
		"topic":      `{"type":"topic",` + common + `%s}`,
		"reason":     `{"type":"kick",` + common + `"username":"bob",%s}`,
		"username":   `{"type":"mute",` + common + `%s}`,
		"id":         `{"type":"unmute","room":"lobby","username":"bob",%s}`,
		"room":       `{"type":"watch",%s}`,
		"epoch":      `{"type":"watch","room":"lobby",%s}`,
		"after":      `{"type":"watch","room":"lobby",%s}`,
		"target":     `{"type":"pin",` + common + `"on":true,%s}`,
		"base":       `{"type":"edit",` + common + `"target":1,"content":"x",%s}`,
		"reply_to":   `{"type":"send",` + common + `"content":"x",%s}`,
		"replies_to": `{"type":"history","room":"lobby",%s}`,
		"emoji":      `{"type":"react",` + common + `"target":1,"on":true,%s}`,
		"on":         `{"type":"react",` + common + `"target":1,"emoji":"x",%s}`,
		"content":    `{"type":"edit",` + common + `"target":1,%s}`,
	}
	refused := func(field, value string, codes ...Code) {
		t.Helper()
		line := fmt.Sprintf(lines[field], `"`+field+`":`+value)
		_, err := readOne(t, line)
		bad, ok := errors.AsType[*ReaderError](err)
		if !ok || !slices.Contains(codes, bad.Code) || bad.Field != field {
			t.Errorf("%s: got %v, want %v for %s", line, err, codes, field)
			return
		}
		if text := bad.Error(); text == "" || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' || c == 0x7f || c == 0x2028 || c == 0x2029 }) {
			t.Errorf("%s: the text is %q", line, text)
		}
	}
	texts := []string{"token", "password", "place", "level", "role", "history", "kind", "topic", "reason", "username", "id", "room", "epoch", "emoji", "content"}
	for _, field := range texts {
		for _, value := range notStrings {
			refused(field, value, CodeBadField)
		}
	}
	for _, field := range []string{"level", "role", "history", "kind", "topic", "reason", "username", "id", "room"} {
		for _, value := range hostile {
			refused(field, `"`+value+`"`, CodeBadField, CodeInvalidCharsUsername, CodeBadID, CodeBadRoom)
		}
	}
	for _, field := range []string{"level", "role", "history", "kind"} {
		for _, value := range []string{``, ` `, `OP`, `Private`, `public `, `direct`, `owner`, `аll`, `0`} {
			refused(field, `"`+value+`"`, CodeBadField)
		}
	}
	for _, field := range []string{"seq", "until_ms", "after", "target", "base", "reply_to", "replies_to"} {
		for _, value := range []string{`-1`, `"1"`, `null`, `true`, `[1]`, `{}`, `1.5`, `1e3`, `9007199254740992`} {
			refused(field, value, CodeBadField)
		}
	}
	for _, value := range []string{`1`, `"true"`, `null`, `[true]`} {
		refused("archived", value, CodeBadField)
		refused("on", value, CodeBadField)
	}
	for _, field := range []string{"target", "base", "reply_to", "replies_to"} {
		refused(field, `0`, CodeBadField)
	}
	refused("emoji", `""`, CodeBadEmoji)
	refused("content", `" "`, CodeEmptyContent)
	refused("content", `"\u0007"`, CodeInvalidCharsContent)
	for _, value := range []string{`"locked"`, `{"locked":true}`, `[1]`, `[null]`, `[["locked"]]`, `["Locked"]`, `["lосked"]`, `["loc\nked"]`, `[""]`, `["locked","locked"]`} {
		refused("flags", value, CodeBadField)
	}
	refused("until_ms", `0`, CodeBadField)
	refused("username", `""`, CodeEmptyUsername)
	refused("id", `""`, CodeBadID)
	refused("room", `""`, CodeBadRoom)
	refused("token", `""`, CodeBadField)
	refused("password", `""`, CodeBadField)
	refused("place", `""`, CodeBadField)
	refused("place", `"`+strings.Repeat("x", MinPlace-1)+`"`, CodeBadField)
	for _, room := range []string{`@`, `@lobby`, `@ABCDEFGHIJKLMNOPQRSTUVWXYZ`, `@abcdefghijklmnopqrstuvwxy1`, `@abcdefghijklmnopqrstuvwxyzz`, `＠abcdefghijklmnopqrstuvwxyz`, `@abcdefghijklm\nopqrstuvwxy`} {
		refused("room", `"`+room+`"`, CodeBadRoom)
	}
}

func TestLimitsOfRequests(t *testing.T) {
	long := func(n int) string { return strings.Repeat("é", n) }
	list := func(n int, element func(i int) string) string {
		elements := make([]string, n)
		for i := range elements {
			elements[i] = element(i)
		}
		return "[" + strings.Join(elements, ",") + "]"
	}
	name := func(i int) string { return fmt.Sprintf(`"user-%d"`, i) }
	for _, test := range []struct {
		name, format string // %s is the value
		value        func(n int) string
		limit        int
		field        string
		byBytes      bool
	}{
		{"token", `{"type":"hello","version":1,"token":"%s"}`, func(n int) string { return strings.Repeat("x", n) }, 256, "token", true},
		{"password", `{"type":"hello","version":1,"username":"ann","password":"%s"}`, func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }, 1024, "password", true},
		{"place", `{"type":"hello","version":1,"token":"x","place":"%s"}`, func(n int) string { return strings.Repeat("x", n) }, 128, "place", true},
		{"topic", `{"type":"topic","room":"lobby","id":"1","topic":"%s"}`, long, 512, "topic", false},
		{"topic of a new room", `{"type":"create","room":"lobby","kind":"public","topic":"%s"}`, long, 512, "topic", false},
		{"reason", `{"type":"kick","room":"lobby","id":"1","username":"bob","reason":"%s"}`, long, 256, "reason", false},
		{"reason of a deletion", `{"type":"delete","room":"lobby","id":"1","target":1,"reason":"%s"}`, long, 256, "reason", false},
		{"emoji", `{"type":"react","room":"lobby","id":"1","target":1,"emoji":"%s","on":true}`, func(n int) string { return strings.Repeat("é", n/2) + strings.Repeat("x", n%2) }, 64, "emoji", true},
		{"people", `{"type":"direct","usernames":%s}`, func(n int) string { return list(n, name) }, 8, "usernames", false},
	} {
		if _, err := readOne(t, fmt.Sprintf(test.format, test.value(test.limit))); err != nil {
			t.Errorf("%s at the limit: %v", test.name, err)
		}
		for _, n := range []int{test.limit + 1, 4 * test.limit} {
			_, err := readOne(t, fmt.Sprintf(test.format, test.value(n)))
			bad, ok := errors.AsType[*ReaderError](err)
			code := CodeBadField
			if test.field == "emoji" {
				code = CodeBadEmoji
			}
			if !ok || bad.Code != code || bad.Field != test.field || bad.Max != test.limit || bad.Actual != n {
				t.Errorf("%s with %d: got %+v", test.name, n, err)
			}
		}
	}
	for element, n := range map[string]int{`1`: 20_000, `"locked"`: 5_000, `[]`: 20_000} {
		flags := list(n, func(int) string { return element })
		if _, err := readOne(t, `{"type":"create","room":"lobby","kind":"public","flags":`+flags+`}`); CodeOf(err) != CodeBadField {
			t.Errorf("%d times the flag %s: %v", n, element, err)
		}
	}
	// However long the list, only the first names are parsed.
	many := list(5_000, name)
	line := `{"type":"direct","usernames":` + many + `}` + "\n"
	r := NewReader(&repeat{line: line})
	var q Request
	if n := testing.AllocsPerRun(10, func() { r.ReadRequest(&q) }); n > 100 {
		t.Errorf("5,000 names take %v allocations", n)
	}
}

func TestBadRequestsOfPeople(t *testing.T) {
	moderation := `"room":"lobby","id":"1",`
	for _, test := range []struct {
		line  string
		code  Code
		field string
	}{
		{`{"type":"hello","version":1}`, CodeMissingField, "username"},
		{`{"type":"hello","version":1,"password":"x"}`, CodeMissingField, "username"},
		{`{"type":"hello","version":1,"username":"ann","token":"x","password":"y"}`, CodeBadField, "password"},
		{`{"type":"hello","version":1,"username":"a b","token":"x"}`, CodeInvalidCharsUsername, "username"},
		{`{"type":"hello","version":1,"username":null,"token":"x"}`, CodeBadField, "username"},
		{`{"type":"hello","version":1,"Token":"x"}`, CodeBadFrame, "token"},
		{`{"type":"hello","version":1,"token":"x","token":"y"}`, CodeBadFrame, ""},
		{`{"type":"hello","version":2,"token":"x"}`, CodeUnsupportedVersion, "version"},
		{`{"type":"me","after":""}`, CodeBadField, "after"},
		{`{"type":"me","after":1}`, CodeBadField, "after"},
		{`{"type":"me","limit":501}`, CodeBadLimit, "limit"},
		{`{"type":"create","kind":"public"}`, CodeMissingField, "room"},
		{`{"type":"create","room":"lobby"}`, CodeMissingField, "kind"},
		{`{"type":"create","room":"@abcdefghijklmnopqrstuvwxyz","kind":"private"}`, CodeBadRoom, "room"},
		{`{"type":"create","room":"plans","kind":"direct"}`, CodeBadField, "kind"},
		{`{"type":"direct"}`, CodeMissingField, "usernames"},
		{`{"type":"direct","usernames":[]}`, CodeBadField, "usernames"},
		{`{"type":"direct","usernames":"bob"}`, CodeBadField, "usernames"},
		{`{"type":"direct","usernames":{"bob":1}}`, CodeBadField, "usernames"},
		{`{"type":"direct","usernames":["bob",1]}`, CodeBadField, "usernames"},
		{`{"type":"direct","usernames":["bob","bob"]}`, CodeBadField, "usernames"},
		{`{"type":"direct","usernames":["bob","BОB"]}`, CodeBadField, "usernames"}, // with a Cyrillic О
		{`{"type":"direct","usernames":[""]}`, CodeEmptyUsername, "usernames"},
		{`{"type":"direct","usernames":["bob\n"]}`, CodeInvalidCharsUsername, "usernames"},
		{`{"type":"direct","usernames":["` + strings.Repeat("a", 33) + `"]}`, CodeTooLongUsername, "usernames"},
		{`{"type":"kick","id":"1","username":"bob"}`, CodeMissingField, "room"},
		{`{"type":"kick","room":"lobby","username":"bob"}`, CodeMissingField, "id"},
		{`{"type":"kick",` + moderation + `"reason":"x"}`, CodeMissingField, "username"},
		{`{"type":"role",` + moderation + `"username":"bob"}`, CodeMissingField, "role"},
		{`{"type":"topic","room":"lobby","id":"1"}`, CodeMissingField, "topic"},
		{`{"type":"set","room":"lobby","id":"1"}`, CodeMissingField, "flags"},
		{`{"type":"set","room":"lobby","archived":true}`, CodeMissingField, "id"},
		{`{"type":"set","room":"lobby","id":"1","kind":"direct"}`, CodeBadField, "kind"},
		{`{"type":"set","room":"lobby","id":"1","flags":["archived"],"archived":false}`, CodeBadField, "archived"},
		{`{"type":"read","room":"lobby"}`, CodeMissingField, "seq"},
		{`{"type":"unread","room":"lobby"}`, CodeMissingField, "seq"},
		{`{"type":"notify","room":"lobby"}`, CodeMissingField, "level"},
		{`{"type":"watch"}`, CodeMissingField, "room"},
		{`{"type":"unwatch"}`, CodeMissingField, "room"},
		{`{"type":"typing"}`, CodeMissingField, "room"},
		{`{"type":"typing","room":1}`, CodeBadField, "room"},
		{`{"type":"edit",` + moderation + `"content":"x"}`, CodeMissingField, "target"},
		{`{"type":"edit",` + moderation + `"target":1}`, CodeMissingField, "content"},
		{`{"type":"edit","room":"lobby","target":1,"content":"x"}`, CodeMissingField, "id"},
		{`{"type":"edit","id":"1","target":1,"content":"x"}`, CodeMissingField, "room"},
		{`{"type":"delete",` + moderation + `"reason":"x"}`, CodeMissingField, "target"},
		{`{"type":"delete","id":"1","target":1}`, CodeMissingField, "room"},
		{`{"type":"delete",` + moderation + `"target":1,"reason":"a\nb"}`, CodeBadField, "reason"},
		{`{"type":"react",` + moderation + `"target":1,"on":true}`, CodeMissingField, "emoji"},
		{`{"type":"react",` + moderation + `"target":1,"emoji":"x"}`, CodeMissingField, "on"},
		{`{"type":"react",` + moderation + `"emoji":"x","on":true}`, CodeMissingField, "target"},
		{`{"type":"pin",` + moderation + `"target":1}`, CodeMissingField, "on"},
		{`{"type":"pin",` + moderation + `"on":true}`, CodeMissingField, "target"},
		{`{"type":"pin","room":"lobby","target":1,"on":true}`, CodeMissingField, "id"},
		{`{"type":"state","room":"lobby"}`, CodeUnknownType, "type"},
		{`{"type":"member","room":"lobby"}`, CodeUnknownType, "type"},
		{`{"type":"ok"}`, CodeUnknownType, "type"},
	} {
		_, err := readOne(t, test.line)
		if bad, ok := errors.AsType[*ReaderError](err); !ok || bad.Code != test.code || bad.Field != test.field {
			t.Errorf("%s: got %v, want %s for %q", test.line, err, test.code, test.field)
		}
	}
}

// A refusal says where a topic or a reason has a character that is not allowed.
func TestPositionInLines(t *testing.T) {
	for _, line := range []string{
		`{"type":"topic","room":"lobby","id":"1","topic":"é€\n"}`,
		`{"type":"kick","room":"lobby","id":"1","username":"bob","reason":"é€\u0007"}`,
	} {
		_, err := readOne(t, line)
		if bad, ok := errors.AsType[*ReaderError](err); !ok || bad.Position != 2 {
			t.Errorf("%s: got %+v, want position 2", line, err)
		}
	}
}

// The text of a refusal lists the words that are allowed, and quotes none from the
// line.
func TestRefusalsListTheWords(t *testing.T) {
	for format, words := range map[string][]string{
		`{"type":"create","room":"x","kind":"%s"}`:                         {"public", "private"},
		`{"type":"set","room":"x","id":"1","flags":["%s"]}`:                {"announce", "locked", "archived"},
		`{"type":"set","room":"x","id":"1","history":"%s"}`:                {"all", "joined"},
		`{"type":"role","room":"x","id":"1","username":"bob","role":"%s"}`: {"member", "speaker", "op"},
		`{"type":"notify","room":"x","level":"%s"}`:                        {"all", "mentions", "none"},
	} {
		_, err := readOne(t, fmt.Sprintf(format, "zebra"))
		text := fmt.Sprint(err)
		if !strings.HasSuffix(text, strings.Join(words, ", ")) || strings.Contains(text, "zebra") {
			t.Errorf("%s: %s", format, text)
		}
		for _, word := range words {
			q, err := readOne(t, fmt.Sprintf(format, word))
			if err != nil || !strings.Contains(string(q.Append(nil)), word) {
				t.Errorf("%s with %s: %s, %v", format, word, q.Append(nil), err)
			}
		}
	}
}

func TestArchivedIsAFlagToo(t *testing.T) {
	for fields, want := range map[string]Request{
		`"flags":["archived"]`:                          {HasFlags: true, Archived: true, HasArchived: true},
		`"flags":["archived","locked"],"archived":true`: {HasFlags: true, Flags: kaban.FlagLocked, Archived: true, HasArchived: true},
		`"flags":[]`:                            {HasFlags: true},
		`"archived":false`:                      {HasArchived: true},
		`"flags":["announce"],"archived":false`: {HasFlags: true, Flags: kaban.FlagAnnounce, HasArchived: true},
	} {
		got, err := readOne(t, `{"type":"set","room":"lobby","id":"1",`+fields+`}`)
		if err != nil || got.HasFlags != want.HasFlags || got.Flags != want.Flags || got.Archived != want.Archived || got.HasArchived != want.HasArchived {
			t.Errorf("%s: got %+v, %v", fields, got, err)
		}
	}
}

func TestBareHello(t *testing.T) {
	for line, want := range map[string]Code{
		`{"type":"hello","version":1}`:                                                 "",
		`{"type":"hello","version":1,"username":"ann"}`:                                "",
		`{"type":"hello","version":1,"password":"x"}`:                                  CodeMissingField,
		`{"type":"hello"}`:                                                             CodeMissingField,
		`{"type":"hello","version":1,"username":""}`:                                   CodeEmptyUsername,
		`{"type":"hello","version":1,"token":"` + strings.Repeat("é", 128) + `"}`:      "",
		`{"type":"hello","version":1,"token":"` + strings.Repeat("é", 128) + `x"}`:     CodeBadField,
		`{"type":"hello","version":1,"username":"ann","password":"a\u0000\r\n\u001b"}`: "",
	} {
		r := NewReader(strings.NewReader(line + "\n"))
		r.AllowBareHello()
		var q Request
		if err := r.ReadRequest(&q); CodeOf(err) != want {
			t.Errorf("%s: got %v, want %s", line, err, want)
		}
	}
}

// A cached room does not make its name valid for a new one.
func TestCreateAfterDirect(t *testing.T) {
	const direct = "@abcdefghijklmnopqrstuvwxyz"
	r := NewReader(strings.NewReader(`{"type":"join","room":"` + direct + `"}` + "\n" + `{"type":"create","room":"` + direct + `","kind":"public"}` + "\n" +
		`{"type":"send","room":"` + direct + `","id":"1","content":"x"}` + "\n"))
	var q Request
	if err := r.ReadRequest(&q); err != nil || !q.Room.IsDirect() {
		t.Errorf("join: %+v, %v", q, err)
	}
	if err := r.ReadRequest(&q); CodeOf(err) != CodeBadRoom {
		t.Errorf("create: %+v, %v", q, err)
	}
	if err := r.ReadRequest(&q); err != nil || q.Room.String() != direct {
		t.Errorf("send: %+v, %v", q, err)
	}
}

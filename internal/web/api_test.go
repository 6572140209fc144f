package web_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"kaban"
	"kaban/client"
	"kaban/internal/chat"
	"kaban/internal/store"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
)

// What is posted is stored once, read by all, and listed.
func TestPostAndRead(t *testing.T) {
	f := serve(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ann := f.dial("ann")
	room, err := ann.Join(ctx, "lobby", client.From{})
	if err != nil {
		t.Fatal(err)
	}
	first := f.say("lobby", "m-1", "bot", "hello, world €\n\ttwo lines").has(t, 201, "room", "lobby", "seq", 1, "duplicate", false)
	for m, err := range room.Messages(ctx) {
		if err != nil || m.Username != "bot" || m.Content != "hello, world €\n\ttwo lines" || m.Seq != 1 {
			t.Fatalf("ann got %+v, %v", m, err)
		}
		break
	}
	again := f.post("lobby", `{"id":"m-1","username":"bot","content":"hello, world €\n\ttwo lines","more":"is ignored"}`).
		has(t, 200, "seq", 1, "duplicate", true)
	if again.json["time"] != first.json["time"] {
		t.Errorf("the time is %v, then %v", first.json["time"], again.json["time"])
	}
	f.post("lobby", `{"id":"m-1","username":"bot","content":"other words"}`).has(t, 409, "code", "id_conflict")
	f.get("/v1/rooms/lobby").has(t, 200, "room", "lobby", "head", 1, "members", 1, "epoch", f.dispatcher.Epoch())
	f.get("/v1/rooms/LOBBY").has(t, 200, "room", "lobby")
	f.get("/v1/rooms").has(t, 200, "rooms", "[map[head:1 members:1 room:lobby]]", "more", false)
	f.get("/v1/rooms?after=lobby").has(t, 200, "rooms", "[]")
	f.get("/v1/rooms/lobby/members").has(t, 200, "usernames", "[ann]", "more", false, "room", "lobby")
	f.get("/v1/rooms/lobby/members?after=ann").has(t, 200, "usernames", "[]")
	if _, err := room.Send(ctx, "and back"); err != nil {
		t.Fatal(err)
	}
	page := f.get("/v1/rooms/lobby/messages").has(t, 200, "more", false, "room", "lobby", "epoch", f.dispatcher.Epoch())
	if n := len(page.json["messages"].([]any)); n != 2 {
		t.Errorf("got %d messages", n)
	}
}

// Pages go in both directions and say whether there is more.
func TestPages(t *testing.T) {
	f := serve(t)
	for i := range 7 {
		f.say("lobby", fmt.Sprint("m-", i+1), "bot", "x")
	}
	for query, want := range map[string]string{
		"":                  "[1 2 3 4 5 6 7] false",
		"?limit=3":          "[5 6 7] true",
		"?before=5&limit=3": "[2 3 4] true",
		"?before=3":         "[1 2] false",
		"?before=0":         "[] false",
		"?after=0&limit=3":  "[1 2 3] true",
		"?after=4":          "[5 6 7] false",
		"?after=7":          "[] false",
		"?after=99":         "[] false",
		"?limit=500":        "[1 2 3 4 5 6 7] false",
	} {
		page := f.get("/v1/rooms/lobby/messages"+query).has(t, 200)
		seqs := []any{}
		for _, m := range page.json["messages"].([]any) {
			seqs = append(seqs, m.(map[string]any)["seq"])
		}
		if got := fmt.Sprint(seqs, " ", page.json["more"]); got != want {
			t.Errorf("%q: got %s, want %s", query, got, want)
		}
	}
}

// Each bad request gets its code and costs nobody anything.
func TestBadRequests(t *testing.T) {
	f := serve(t)
	f.dial("ann")
	message := func(id, username, content string) string {
		return fmt.Sprintf(`{"id":%s,"username":%s,"content":%s}`, id, username, content)
	}
	for _, test := range []struct {
		name, method, path, body string
		status                   int
		code                     string
		fields                   []any
	}{
		{"no room", "GET", "/v1/rooms/nowhere", "", 404, "not_found", nil},
		{"no room to read", "GET", "/v1/rooms/nowhere/messages", "", 404, "not_found", nil},
		{"no room to list", "GET", "/v1/rooms/nowhere/members", "", 404, "not_found", nil},
		{"no room to follow", "GET", "/v1/rooms/nowhere/events", "", 404, "not_found", nil},
		{"no room to say something in", "POST", "/v1/rooms/nowhere/messages", message(`"1"`, `"bot"`, `"x"`), 404, "not_found", nil},
		{"a bad room", "GET", "/v1/rooms/a%20b", "", 400, "bad_room", []any{"field", "room"}},
		{"a bad room to follow", "GET", "/v1/rooms/a%20b/events", "", 400, "bad_room", []any{"field", "room"}},
		{"a long room", "GET", "/v1/rooms/" + strings.Repeat("a", 65), "", 400, "bad_room", []any{"max", 64, "actual", 65}},
		{"a room that is not UTF-8", "GET", "/v1/rooms/%ff", "", 400, "bad_room", nil},
		{"limit 0", "GET", "/v1/rooms/lobby/messages?limit=0", "", 400, "bad_limit", []any{"max", 500, "actual", 0}},
		{"limit 501", "GET", "/v1/rooms/lobby/messages?limit=501", "", 400, "bad_limit", []any{"max", 500, "actual", 501}},
		{"limit -1", "GET", "/v1/rooms/lobby/messages?limit=-1", "", 400, "bad_limit", []any{"max", 500}},
		{"limit 10^9", "GET", "/v1/rooms?limit=1000000000", "", 400, "bad_limit", []any{"max", 500}},
		{"limit x", "GET", "/v1/rooms/lobby/members?limit=x", "", 400, "bad_limit", []any{"max", 500}},
		{"limit 10^30", "GET", "/v1/rooms?limit=1000000000000000000000000000000", "", 400, "bad_limit", nil},
		{"after -1", "GET", "/v1/rooms/lobby/messages?after=-1", "", 400, "bad_field", []any{"field", "after"}},
		{"after 1.5", "GET", "/v1/rooms/lobby/messages?after=1.5", "", 400, "bad_field", []any{"field", "after"}},
		{"before 2^53", "GET", "/v1/rooms/lobby/messages?before=9007199254740992", "", 400, "bad_field", []any{"field", "before"}},
		{"both", "GET", "/v1/rooms/lobby/messages?before=1&after=1", "", 400, "bad_field", []any{"field", "before"}},
		{"a long name to go on from", "GET", "/v1/rooms?after=" + strings.Repeat("a", 257), "", 400, "bad_field", []any{"field", "after", "max", 256, "actual", 257}},
		{"follow from -1", "GET", "/v1/rooms/lobby/events?after=-1", "", 400, "bad_field", []any{"field", "after"}},

		{"nothing", "POST", "/v1/rooms/lobby/messages", "", 400, "bad_json", nil},
		{"no JSON", "POST", "/v1/rooms/lobby/messages", "hello", 400, "bad_json", nil},
		{"null", "POST", "/v1/rooms/lobby/messages", "null", 400, "bad_frame", nil},
		{"a list", "POST", "/v1/rooms/lobby/messages", "[]", 400, "bad_frame", nil},
		{"two objects", "POST", "/v1/rooms/lobby/messages", "{}{}", 400, "bad_json", nil},
		{"a name twice", "POST", "/v1/rooms/lobby/messages", `{"id":"1","id":"2","username":"bot","content":"x"}`, 400, "bad_frame", nil},
		{"a name in another case", "POST", "/v1/rooms/lobby/messages", `{"ID":"1","username":"bot","content":"x"}`, 400, "bad_frame", nil},
		{"no UTF-8", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, "\"\xff\""), 400, "bad_utf8", nil},
		{"half a surrogate pair", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `"\ud800"`), 400, "bad_utf8", nil},
		{"too deep", "POST", "/v1/rooms/lobby/messages", `{"x":[[[[[[[[[[[]]]]]]]]]]],"id":"1","username":"bot","content":"x"}`, 400, "bad_frame", nil},
		{"no id", "POST", "/v1/rooms/lobby/messages", `{"username":"bot","content":"x"}`, 400, "missing_field", []any{"field", "id"}},
		{"no content", "POST", "/v1/rooms/lobby/messages", `{"id":"1","username":"bot"}`, 400, "missing_field", []any{"field", "content"}},
		{"a number as content", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `5`), 400, "bad_field", []any{"field", "content"}},
		{"a bad id", "POST", "/v1/rooms/lobby/messages", message(`"a b"`, `"bot"`, `"x"`), 400, "bad_id", []any{"field", "id", "position", 1}},
		{"an empty name", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `""`, `"x"`), 400, "empty_username", nil},
		{"a long name", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"`+strings.Repeat("a", 33)+`"`, `"x"`), 400, "too_long_username", []any{"max", 32, "actual", 33}},
		{"a name with a zero-width space", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bo\u200bt"`, `"x"`), 400, "invalid_chars_username", []any{"position", 2}},
		{"a reserved name", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"SERVER"`, `"x"`), 409, "username_taken", nil},
		{"a name in use", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"ann"`, `"x"`), 409, "username_taken", nil},
		{"one that looks like it", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"\u0430nn"`, `"x"`), 409, "username_taken", nil},
		{"empty content", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `""`), 400, "empty_content", nil},
		{"white space", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `" \n "`), 400, "empty_content", nil},
		{"ESC", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `"\u001b[31m"`), 400, "invalid_chars_content", nil},
		{"5,001 emoji", "POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `"`+strings.Repeat("😀", 5001)+`"`), 400, "too_long_content", []any{"max", 5000, "actual", 5001}},
		{"more than a frame", "POST", "/v1/rooms/lobby/messages", strings.Repeat(" ", 65537), 413, "frame_too_long", []any{"max", 65536}},
		{"a megabyte", "POST", "/v1/rooms/lobby/messages", strings.Repeat("x", 1<<20), 413, "frame_too_long", nil},

		{"an unknown path", "GET", "/v1/users", "", 404, "", nil},
		{"a wrong method", "POST", "/v1/rooms", "", 405, "", nil},
		{"a wrong method", "DELETE", "/v1/rooms/lobby/messages", "", 405, "", nil},
		{"a made-up method", "BREW", "/v1/rooms", "", 405, "", nil},
		{"no handshake", "GET", "/v1/socket", "", 426, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			f.t = t
			var headers []string
			if test.method == "POST" {
				headers = []string{"Content-Type", "application/json; charset=utf-8"}
			}
			got := f.do(test.method, test.path, test.body, headers...).has(t, test.status, append(test.fields, "status", test.status)...)
			if code, _ := got.json["code"].(string); code != test.code {
				t.Errorf("got %s, want the code %q", got, test.code)
			}
			if got.header.Get("Content-Type") != "application/problem+json" || got.header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the headers are %v", got.header)
			}
			if got.status == 405 && got.header.Get("Allow") == "" {
				t.Error("it does not say what is allowed")
			}
		})
	}
	f.t = t
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "nonsense;;"} {
		f.do("POST", "/v1/rooms/lobby/messages", message(`"1"`, `"bot"`, `"x"`), "Content-Type", contentType).has(t, 415)
	}
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("the log has:\n%s", f.log)
	}
	f.get("/v1/rooms/lobby").has(t, 200, "head", 0)
	f.say("lobby", "fine", "bot", "all is well")
}

// faulty is a store that fails as it is told.
type faulty struct {
	store.Store
	err atomic.Pointer[error]
}

func (s *faulty) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if err := s.err.Load(); err != nil {
		return *err
	}
	return s.Store.Append(ctx, batch, results)
}

// What is the store's fault is said, and the same request works later.
func TestAFaultyStore(t *testing.T) {
	s := &faulty{Store: teststore.New(t)}
	f := start(t, web.Config{}, s)
	const body = `{"id":"1","username":"bot","content":"x"}`
	for _, test := range []struct {
		err    error
		status int
		code   string
	}{
		{store.ErrFull, 507, "storage_full"},
		{store.ErrClosed, 503, "unavailable"},
		{errors.New("a secret of the machine"), 500, "internal"},
	} {
		s.err.Store(&test.err)
		got := f.post("lobby", body).has(t, test.status, "code", test.code)
		if strings.Contains(got.body, "secret") {
			t.Errorf("it tells %s", got)
		}
		if (got.header.Get("Retry-After") != "") != (test.code != "internal") {
			t.Errorf("%s: Retry-After is %q", test.code, got.header.Get("Retry-After"))
		}
	}
	// Whoever reports the answer gives the operator what to look for.
	f.post("lobby", body)
	for _, id := range []string{"1", "2"} {
		if text := f.log.String(); !strings.Contains(text, `msg="a request failed" request=`+id+" err=") {
			t.Errorf("request %s is not in the log: %s", id, text)
		}
	}
	if got := f.post("lobby", body); !strings.Contains(got.body, "(request 3 in the server's log)") {
		t.Errorf("got %s", got)
	}
	s.err.Store(nil)
	f.post("lobby", body).has(t, http.StatusCreated, "seq", 1)
}

// Changes of a room are in its pages and streams as what they are, and in no stream as
// an event of another type.
func TestChangesInPages(t *testing.T) {
	s := teststore.New(t)
	var drafts []kaban.Draft
	for i, c := range []struct {
		kind kaban.Kind
		body string
	}{
		{kaban.KindRoom, `{"change":"created","kind":"public","flags":["locked"],"archived":false}`},
		{kaban.KindMessage, "hello"},
		{kaban.KindTopic, `{"topic":""}`},
		{kaban.KindMember, `{"subject":"bob","change":"banned","reason":"spam","until_ms":1700000000000}`},
		{kaban.KindMember, `{"subject":"bob","change":"role","role":"op"}`},
		{kaban.KindRoom, `{"change":"set","flags":[],"history":"joined"}`},
		{kaban.KindMember, `{"change":`},
	} {
		d := storetest.Draft(t, "lobby", "ann", fmt.Sprint("id-", i+1), "x")
		d.Kind, d.Body = c.kind, c.body
		drafts = append(drafts, d)
	}
	storetest.Append(t, s, drafts...)
	f := start(t, web.Config{}, s)
	body := regexp.MustCompile(`,"time":"[^"]*"`).ReplaceAllString(f.get("/v1/rooms/lobby/messages?after=0").body, "")
	body = regexp.MustCompile(`"epoch":"[^"]*",`).ReplaceAllString(body, "")
	const by = `"username":"ann"`
	want := `{"room":"lobby","messages":[` +
		`{"type":"room","seq":1,"id":"id-1",` + by + `,"change":"created","kind":"public","flags":["locked"],"archived":false},` +
		`{"type":"message","seq":2,"id":"id-2",` + by + `,"content":"hello"},` +
		`{"type":"topic","seq":3,"id":"id-3",` + by + `,"topic":""},` +
		`{"type":"member","seq":4,"id":"id-4",` + by + `,"subject":"bob","change":"banned","reason":"spam","until_ms":1700000000000},` +
		`{"type":"member","seq":5,"id":"id-5",` + by + `,"subject":"bob","change":"role","role":"op"},` +
		`{"type":"room","seq":6,"id":"id-6",` + by + `,"change":"set","flags":[],"history":"joined"},` +
		`{"type":"void","seq":7}` +
		`],"first":1,"last":7,"as_of":7,"more":false}`
	if strings.TrimSpace(body) != want {
		t.Errorf("the page is\n%s, want\n%s", body, want)
	}
	f.get("/v1/rooms/lobby/messages?after=2&limit=3").has(t, 200, "first", 3, "last", 5, "more", true)
	if got := f.get("/v1/rooms/lobby/messages?after=7"); strings.Contains(got.body, "first") || strings.Contains(got.body, "last") {
		t.Errorf("an empty page is %s", got.body)
	}
	events := f.follow("?after=0", "")
	for _, want := range []string{"joined", "room", "message", "topic", "member", "member", "room", "void"} {
		if event, err := events.next(); err != nil || event.name != want || event.data["type"] != want {
			t.Errorf("got the event %+v, %v; want %s", event, err, want)
		}
	}
}

// A limit on the content is the server's for all ways in.
func TestMaxContent(t *testing.T) {
	f := start(t, web.Config{}, nil, chat.Options{MaxContent: 10})
	f.post("lobby", `{"id":"1","username":"bot","content":"12345678901"}`).has(t, 400, "code", "too_long_content", "max", 10, "actual", 11)
	f.say("lobby", "2", "bot", "1234567890")
}

// Entries of other kinds than messages have a place in pages and in streams.
func TestUnknownKindsInPages(t *testing.T) {
	s := teststore.New(t)
	other := storetest.Draft(t, "lobby", "ann", "two", "x")
	other.Kind, other.Target, other.Body = 200, 1, "secret"
	storetest.Append(t, s, storetest.Draft(t, "lobby", "ann", "one", "first"), other, storetest.Draft(t, "lobby", "ann", "three", "last"))
	f := start(t, web.Config{}, s)
	got := f.get("/v1/rooms/lobby/messages?after=1&limit=1")
	if text := got.body; strings.Contains(text, "secret") || !strings.Contains(text, `"type":"void","seq":2`) || !strings.Contains(text, `"more":true`) {
		t.Errorf("the page is %s", text)
	}
	events := f.follow("?after=0", "")
	for _, want := range [][3]string{{"joined", "head", "3"}, {"message", "content", "first"}, {"void", "seq", "2"}, {"message", "content", "last"}} {
		event, err := events.next()
		if err != nil || event.name != want[0] || event.data["type"] != want[0] || fmt.Sprint(event.data[want[1]]) != want[2] {
			t.Errorf("got the event %+v, %v; want %s", event, err, want)
		}
	}
}

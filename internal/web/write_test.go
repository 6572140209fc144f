package web_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"kaban"
	"kaban/client"
	"kaban/internal/account"
	"kaban/internal/limit"
	"kaban/internal/peer"
	"kaban/internal/store/storetest"
	"kaban/internal/store/teststore"
	"kaban/internal/web"
	"kaban/wire"
)

// scribe writes in a room of the server.
type scribe struct {
	*fixture
	room    string
	headers []string
}

// write makes a request about a message of the room. The query, or the body, is what
// belongs to the method.
func (s scribe) write(method, path, what string) *answer {
	s.t.Helper()
	path = "/v1/rooms/" + s.room + "/messages" + path
	if method == "POST" || method == "PATCH" {
		return s.do(method, path, what, with(asJSON(), s.headers)...)
	}
	return s.do(method, path+"?"+what, "", s.headers...)
}

// workshop is a private room of mia, which is its op, and max, with the seqs 1 and 2.
func workshop(t *testing.T) (f *fixture, mia, max scribe, sessions [2]account.Session) {
	t.Helper()
	f, _ = claimed(t, "open")
	sessions = [2]account.Session{f.person("mia", kaban.RoleMember), f.person("max", kaban.RoleMember)}
	f.private("den", sessions[0], sessions[1])
	return f, scribe{f, "den", bearer(sessions[0])}, scribe{f, "den", bearer(sessions[1])}, sessions
}

const thumb = "/reactions/%F0%9F%91%8D"

// Each change of a message is stored once, answered as a message is, and in the streams of
// the room.
func TestChangesOfMessages(t *testing.T) {
	f, mia, max, sessions := workshop(t)
	stream := f.followIn("den", "", bearer(sessions[0])...)
	stream.expect("joined", "head", 2)
	for i, step := range []struct {
		by                 scribe
		method, path, what string
		status             int
		fields             []any
		event              string
		data               []any
	}{
		{max, "POST", "", `{"id":"m1","content":"helo"}`, 201, []any{"seq", 3}, "message", []any{"content", "helo"}},
		{mia, "POST", "", `{"id":"m2","content":"hi","reply_to":3}`, 201, []any{"seq", 4}, "message", []any{"reply_to", 3}},
		{mia, "POST", "", `{"id":"m2","content":"hi","reply_to":3}`, 200, []any{"seq", 4, "duplicate", true}, "", nil},
		{mia, "POST", "", `{"id":"m2","content":"hi"}`, 409, []any{"code", "id_conflict"}, "", nil},
		{mia, "POST", "", `{"id":"m2","content":"hi","reply_to":4}`, 409, []any{"code", "id_conflict"}, "", nil},
		{max, "PATCH", "/3", `{"id":"e1","content":"hello"}`, 201, []any{"room", "den", "id", "e1", "seq", 5, "duplicate", false}, "edit", []any{"target", 3, "content", "hello", "username", "max"}},
		{max, "PATCH", "/3", `{"id":"e1","content":"hello"}`, 200, []any{"seq", 5, "duplicate", true}, "", nil},
		{max, "PATCH", "/3", `{"id":"e1","content":"hullo"}`, 409, []any{"code", "id_conflict"}, "", nil},
		{max, "PATCH", "/3", `{"id":"e2","content":"hallo","base":3}`, 409, []any{"code", "edit_conflict"}, "", nil},
		{max, "PATCH", "/3", `{"id":"e2","content":"hallo","base":5,"username":"MAX"}`, 201, []any{"seq", 6}, "edit", []any{"content", "hallo"}},
		{mia, "PATCH", "/3", `{"id":"e3","content":"not hers"}`, 403, []any{"code", "forbidden"}, "", nil},
		{mia, "PUT", "/3" + thumb, "id=r1", 201, []any{"id", "r1", "seq", 7}, "react", []any{"target", 3, "emoji", "👍", "on", true}},
		{mia, "PUT", "/3" + thumb, "id=r1", 200, []any{"seq", 7, "duplicate", true}, "", nil},
		{mia, "PUT", "/3" + thumb, "id=r2", 200, []any{"seq", 7, "duplicate", true}, "", nil},
		{max, "DELETE", "/3" + thumb, "id=r1", 200, []any{"duplicate", true}, "", nil},
		{mia, "DELETE", "/3" + thumb, "id=r3", 201, []any{"seq", 8}, "react", []any{"target", 3, "emoji", "👍", "on", false}},
		{mia, "DELETE", "/3" + thumb, "id=r3", 200, []any{"seq", 8, "duplicate", true}, "", nil},
		{mia, "PUT", "/3/reactions/%E2%9D%A4", "id=r4", 201, []any{"seq", 9}, "react", []any{"emoji", "❤️"}}, // the normal form
		{mia, "PUT", "/3/reactions/%E2%9D%A4%EF%B8%8F", "id=r5", 200, []any{"seq", 9}, "", nil},
		{mia, "PUT", "/3/pin", "id=p1", 201, []any{"seq", 10}, "pin", []any{"target", 3, "on", true}},
		{max, "PUT", "/3/pin", "id=p2", 200, []any{"seq", 10, "duplicate", true}, "", nil},
		{mia, "DELETE", "/3/pin", "id=p3&username=mia", 201, []any{"seq", 11}, "pin", []any{"target", 3, "on", false}},
		{mia, "DELETE", "/3", "id=d1&reason=off+topic", 201, []any{"seq", 12}, "delete", []any{"target", 3, "reason", "off topic"}},
		{mia, "DELETE", "/3", "id=d1&reason=off+topic", 200, []any{"seq", 12, "duplicate", true}, "", nil},
		{max, "DELETE", "/3", "id=d2", 410, []any{"code", "gone"}, "", nil},
		{max, "PATCH", "/3", `{"id":"e4","content":"x"}`, 410, []any{"code", "gone"}, "", nil},
		{max, "PUT", "/3/pin", "id=p4", 410, []any{"code", "gone"}, "", nil},
		{max, "POST", "", `{"id":"m3","content":"x","reply_to":3}`, 410, []any{"code", "gone"}, "", nil},
		{max, "PATCH", "/3", `{"id":"e1","content":"hello"}`, 200, []any{"seq", 5, "duplicate", true}, "", nil}, // whatever has happened since
		{mia, "DELETE", "/4", "id=d3", 201, []any{"seq", 13}, "delete", []any{"target", 4, "reason", nil}},
	} {
		got := step.by.write(step.method, step.path, step.what)
		got.has(t, step.status, step.fields...)
		if step.event != "" {
			e := stream.expect(step.event, step.data...)
			if want := fmt.Sprint(f.dispatcher.Epoch(), ":", got.json["seq"]); e.id != want || e.data["type"] != step.event {
				t.Errorf("step %d: the event %v has the id %s, want %s", i, e.data, e.id, want)
			}
		}
	}
}

// The elements of a page are those of kaban/1's history: whole messages, with what has
// become of them as whoever asks sees it, and the changes of the room.
func TestFoldedMessages(t *testing.T) {
	f, mia, max, sessions := workshop(t)
	for i, step := range []struct {
		by                 scribe
		method, path, what string
	}{
		{max, "POST", "", `{"id":"3","content":"one"}`},
		{max, "POST", "", `{"id":"4","content":"two","reply_to":3}`},
		{mia, "POST", "", `{"id":"5","content":"three","reply_to":3}`},
		{max, "PATCH", "/3", `{"id":"6","content":"one, edited"}`},
		{mia, "PUT", "/3" + thumb, "id=7"},
		{max, "PUT", "/3" + thumb, "id=8"},
		{max, "PUT", "/4/reactions/" + url.PathEscape("🎉"), "id=9"},
		{mia, "PUT", "/3/pin", "id=10"},
		{mia, "DELETE", "/5", "id=11"},
	} {
		step.by.write(step.method, step.path, step.what).has(t, 201, "seq", i+3)
	}
	for _, session := range sessions {
		c, err := client.Dial(t.Context(), f.tcp, client.Options{Token: wire.Secret(session.Secret)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for _, test := range []struct {
			query string
			wire  client.HistoryQuery
			seqs  string // of the elements, and first, last and as_of
		}{
			{"", client.HistoryQuery{}, "[1 2 3 4 5] 1 11 11 false"},
			{"?after=3&limit=1", client.HistoryQuery{After: 3, HasAfter: true, Limit: 1}, "[4] 4 4 11 true"},
			{"?after=5", client.HistoryQuery{After: 5, HasAfter: true}, "[] 6 11 11 false"},
			{"?before=10&limit=1", client.HistoryQuery{Before: 10, HasBefore: true, Limit: 1}, "[5] 5 9 11 true"},
			{"?replies_to=3", client.HistoryQuery{RepliesTo: 3}, "[4 5] 1 11 11 false"},
			{"?replies_to=3&limit=1", client.HistoryQuery{RepliesTo: 3, Limit: 1}, "[5] 5 11 11 true"},
			{"?replies_to=4", client.HistoryQuery{RepliesTo: 4}, "[] 1 11 11 false"},
		} {
			got := f.get("/v1/rooms/den/messages"+test.query, bearer(session)...).has(t, 200)
			var page struct {
				Messages          []json.RawMessage
				First, Last, AsOf uint64
				More              bool
			}
			if err := json.Unmarshal([]byte(strings.ReplaceAll(got.body, `"as_of"`, `"asof"`)), &page); err != nil {
				t.Fatal(err)
			}
			want, err := c.History(t.Context(), "den", test.wire)
			if err != nil {
				t.Fatal(err)
			}
			var seqs []uint64
			for i, e := range want.Entries {
				seqs = append(seqs, e.Seq)
				if text := string(e.Append(nil)); i >= len(page.Messages) || string(page.Messages[i]) != text {
					t.Errorf("%s: the page is %s, and kaban/1 has %s", test.query, got, text)
				}
			}
			if len(page.Messages) != len(want.Entries) || page.First != want.First || page.Last != want.Last || page.AsOf != want.AsOf || page.More != want.More {
				t.Errorf("%s: the page is %s, and kaban/1 has %+v", test.query, got, want)
			}
			if text := fmt.Sprint(seqs, " ", page.First, " ", page.Last, " ", page.AsOf, " ", page.More); text != test.seqs {
				t.Errorf("%s: the page covers %s, want %s", test.query, text, test.seqs)
			}
		}
	}
	page := f.get("/v1/rooms/den/messages?after=2", bearer(sessions[0])...)
	body := regexp.MustCompile(`,"time":"[^"]*"|,"account":"[^"]*"`).ReplaceAllString(page.body, "")
	for _, want := range []string{
		`{"type":"message","seq":3,"id":"3","username":"max","content":"one, edited","edited":{"seq":6},"reactions":[{"emoji":"👍","count":2,"me":true,"usernames":["mia","max"]}],"replies":2,"pinned":true,"pinned_at":10}`,
		`{"type":"message","seq":4,"id":"4","username":"max","reply_to":3,"content":"two","reactions":[{"emoji":"🎉","count":1,"me":false,"usernames":["max"]}]}`,
		`{"type":"message","seq":5,"id":"5","username":"mia","reply_to":3,"deleted":true}`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the page is %s, want %s", body, want)
		}
	}
}

// A bad request changes nothing, and says what is bad.
func TestBadChanges(t *testing.T) {
	f, mia, max, sessions := workshop(t)
	max.write("POST", "", `{"id":"m1","content":"one"}`).has(t, 201, "seq", 3)
	visitors := fmt.Sprint("/", f.say("lobby", "m1", "bot", "by a visitor").json["seq"])
	lobby := scribe{f, "lobby", nil}
	stranger := scribe{f, "den", bearer(f.person("pia", kaban.RoleMember))}
	const longID = "id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	before := f.get("/v1/rooms/lobby").json["head"]
	for _, test := range []struct {
		by                 scribe
		method, path, what string
		status             int
		code               string
		fields             []any
	}{
		{max, "POST", "", `{"id":"x","content":"x","reply_to":0}`, 400, "bad_field", []any{"field", "reply_to"}},
		{max, "POST", "", `{"id":"x","content":"x","reply_to":-1}`, 400, "bad_field", []any{"field", "reply_to"}},
		{max, "POST", "", `{"id":"x","content":"x","reply_to":"3"}`, 400, "bad_field", []any{"field", "reply_to"}},
		{max, "POST", "", `{"id":"x","content":"x","reply_to":null}`, 400, "bad_field", []any{"field", "reply_to"}},
		{max, "POST", "", `{"id":"x","content":"x","reply_to":9007199254740992}`, 400, "bad_field", []any{"field", "reply_to"}},
		{max, "POST", "", `{"id":"x","content":"x","Reply_To":3}`, 400, "bad_frame", nil},
		{max, "POST", "", `{"id":"x","content":"x","reply_to":2}`, 404, "not_found", nil}, // no message
		{max, "POST", "", `{"id":"x","content":"x","reply_to":99}`, 404, "not_found", nil},

		{max, "PATCH", "/0", `{"id":"x","content":"x"}`, 400, "bad_field", []any{"field", "seq"}},
		{max, "PATCH", "/x", `{"id":"x","content":"x"}`, 400, "bad_field", []any{"field", "seq"}},
		{max, "PATCH", "/9007199254740992", `{"id":"x","content":"x"}`, 400, "bad_field", []any{"field", "seq"}},
		{max, "PATCH", "/2", `{"id":"x","content":"x"}`, 404, "not_found", nil},
		{max, "PATCH", "/99", `{"id":"x","content":"x"}`, 404, "not_found", nil},
		{max, "PATCH", "/3", ``, 400, "bad_json", nil},
		{max, "PATCH", "/3", `[]`, 400, "bad_frame", nil},
		{max, "PATCH", "/3", `{"content":"x"}`, 400, "missing_field", []any{"field", "id"}},
		{max, "PATCH", "/3", `{"id":"x"}`, 400, "missing_field", []any{"field", "content"}},
		{max, "PATCH", "/3", `{"id":"a b","content":"x"}`, 400, "bad_id", []any{"field", "id"}},
		{max, "PATCH", "/3", `{"id":"m1","content":"x"}`, 409, "id_conflict", nil}, // all kinds share the ids
		{max, "PATCH", "/3", `{"id":"x","content":" "}`, 400, "empty_content", []any{"field", "content"}},
		{max, "PATCH", "/3", `{"id":"x","content":"` + strings.Repeat("a", 5001) + `"}`, 400, "too_long_content", []any{"max", 5000, "actual", 5001}},
		{max, "PATCH", "/3", `{"id":"x","content":"\u001b[31m"}`, 400, "invalid_chars_content", nil},
		{max, "PATCH", "/3", `{"id":"x","content":"x","base":0}`, 400, "bad_field", []any{"field", "base"}},
		{max, "PATCH", "/3", `{"id":"x","content":"x","base":1.5}`, 400, "bad_field", []any{"field", "base"}},
		{max, "PATCH", "/3", `{"id":"x","content":"x","BASE":3}`, 400, "bad_frame", nil},
		{max, "PATCH", "/3", `{"id":"x","content":"x","base":4}`, 409, "edit_conflict", nil},
		{max, "PATCH", "/3", `{"id":"x","content":"x","username":"mia"}`, 403, "forbidden", []any{"field", "username"}},
		{max, "PATCH", "/3", strings.Repeat(" ", 65537), 413, "frame_too_long", nil},
		{stranger, "PATCH", "/3", `{"id":"x","content":"x"}`, 404, "not_found", nil},
		{lobby, "PATCH", visitors, `{"id":"x","content":"x"}`, 400, "missing_field", []any{"field", "username"}},
		{lobby, "PATCH", visitors, `{"id":"x","content":"x","username":"bot"}`, 400, "not_joined", nil}, // a name proves nothing
		{lobby, "PATCH", visitors, `{"id":"x","content":"x","username":"mia"}`, 400, "not_joined", nil},

		{max, "DELETE", "/3", "", 400, "missing_field", []any{"field", "id"}},
		{max, "DELETE", "/3", "id=", 400, "missing_field", []any{"field", "id"}},
		{max, "DELETE", "/3", "id=a%20b", 400, "bad_id", []any{"field", "id"}},
		{max, "DELETE", "/3", longID, 400, "bad_id", []any{"field", "id"}},
		{max, "DELETE", "/3", "id=x&reason=a%0Ab", 400, "bad_field", []any{"field", "reason", "position", 1}},
		{max, "DELETE", "/3", "id=x&reason=a%ffb", 400, "bad_utf8", []any{"field", "reason", "position", 1}},
		{max, "DELETE", "/3", "id=x&reason=" + strings.Repeat("a", 257), 400, "bad_field", []any{"field", "reason", "max", 256, "actual", 257}},
		{max, "DELETE", "/3", "id=x&username=a%20b", 400, "invalid_chars_username", []any{"field", "username"}},
		{max, "DELETE", "/3", "id=x&username=mia", 403, "forbidden", []any{"field", "username"}},
		{max, "DELETE", "/-3", "id=x", 400, "bad_field", []any{"field", "seq"}},
		{max, "DELETE", "/99", "id=x", 404, "not_found", nil},
		{mia, "DELETE", "/99", "id=x", 404, "not_found", nil},
		{stranger, "DELETE", "/3", "id=x", 404, "not_found", nil},
		{lobby, "DELETE", visitors, "id=x", 400, "missing_field", []any{"field", "username"}},
		{lobby, "DELETE", visitors, "id=x&username=other", 403, "forbidden", nil},
		{lobby, "DELETE", visitors, "id=x&username=mia", 409, "username_taken", nil},

		{max, "PUT", "/3/reactions/x", "id=x", 400, "bad_emoji", nil},
		{max, "PUT", "/3/reactions/:thumbs_up:", "id=x", 400, "bad_emoji", nil},
		{max, "PUT", "/3/reactions/%ff", "id=x", 400, "bad_emoji", nil},
		{max, "PUT", "/3/reactions/" + strings.Repeat("%F0%9F%91%8D", 17), "id=x", 400, "bad_emoji", nil},
		{max, "DELETE", "/3/reactions/x", "id=x", 400, "bad_emoji", nil},
		{max, "PUT", "/3" + thumb, "", 400, "missing_field", []any{"field", "id"}},
		{max, "PUT", "/99" + thumb, "id=x", 404, "not_found", nil},
		{max, "PUT", "/0" + thumb, "id=x", 400, "bad_field", []any{"field", "seq"}},
		{max, "PUT", "/3" + thumb, "id=m1", 409, "id_conflict", nil},
		{lobby, "PUT", visitors + thumb, "id=x&username=bot", 400, "not_joined", nil},
		{stranger, "PUT", "/3" + thumb, "id=x", 404, "not_found", nil},

		{max, "PUT", "/3/pin", "", 400, "missing_field", []any{"field", "id"}},
		{max, "PUT", "/2/pin", "id=x", 404, "not_found", nil},
		{max, "DELETE", "/1.5/pin", "id=x", 400, "bad_field", []any{"field", "seq"}},
		{stranger, "DELETE", "/3/pin", "id=x", 404, "not_found", nil},
		{lobby, "PUT", visitors + "/pin", "id=x&username=bot", 400, "not_joined", nil},

		{max, "GET", "", "replies_to=0", 400, "bad_field", []any{"field", "replies_to"}},
		{max, "GET", "", "replies_to=x", 400, "bad_field", []any{"field", "replies_to"}},
		{max, "GET", "", "replies_to=9007199254740992", 400, "bad_field", []any{"field", "replies_to"}},

		{max, "PUT", "/3", "id=x", 405, "", nil},
		{max, "GET", "/3", "", 405, "", nil},
		{max, "POST", "/3/pin", "{}", 405, "", nil},
		{max, "PUT", "/3/reactions/", "id=x", 404, "", nil},
	} {
		got := test.by.write(test.method, test.path, test.what)
		code, _ := got.json["code"].(string)
		if got.status != test.status || code != test.code {
			t.Errorf("%s %s %.60s: got %s, want %d %s", test.method, test.path, test.what, got, test.status, test.code)
			continue
		}
		got.has(t, test.status, test.fields...)
	}
	for _, contentType := range []string{"text/plain", "application/x-www-form-urlencoded", ""} {
		f.do("PATCH", "/v1/rooms/den/messages/3", `{"id":"x","content":"x"}`, with(max.headers, []string{"Content-Type", contentType})...).has(t, 415)
	}
	f.do("PUT", "/v1/rooms/a%20b/messages/3/pin?id=x", "", max.headers...).has(t, 400, "code", "bad_room", "field", "room")
	f.do("DELETE", "/v1/rooms/nil/messages/3?id=x", "", max.headers...).has(t, 404, "code", "not_found")
	f.get("/v1/rooms/den", max.headers...).has(t, 200, "head", 3)
	f.get("/v1/rooms/lobby").has(t, 200, "head", before)
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("the log has:\n%s", f.log)
	}
	// With a cookie it must come from a page of this server.
	f.do("DELETE", "/v1/rooms/den/messages/3?id=x", "", with(cookie(sessions[1]), origin("https://evil.example"))...).has(t, 403)
	f.do("DELETE", "/v1/rooms/den/messages/3?id=x", "", cookie(sessions[1])...).has(t, 403)
	f.do("DELETE", "/v1/rooms/den/messages/3?id=x", "", with(cookie(sessions[1]), origin(f.url))...).has(t, 201, "seq", 4)
}

// A visitor deletes what was written under its name.
func TestAVisitorDeletes(t *testing.T) {
	f := serve(t)
	f.say("lobby", "m1", "bot", "one")
	f.do("DELETE", "/v1/rooms/lobby/messages/1?id=d1&username=other", "").has(t, 403, "code", "forbidden")
	f.do("DELETE", "/v1/rooms/lobby/messages/1?id=d1&username=bot", "").has(t, 201, "seq", 2)
	f.dial("bot")
	f.do("DELETE", "/v1/rooms/lobby/messages/1?id=d1&username=bot", "").has(t, 409, "code", "username_taken")
}

// A message has so many reactions, of one and of all.
func TestTooManyReactions(t *testing.T) {
	f, mia, max, _ := workshop(t)
	mia.write("POST", "", `{"id":"m1","content":"one"}`).has(t, 201, "seq", 3)
	react := func(by scribe, n int) *answer {
		face := string(rune(0x1F600 + n))
		return by.write("PUT", "/3/reactions/"+url.PathEscape(face), fmt.Sprint("id=r", n))
	}
	for n := range 20 {
		react(mia, n).has(t, 201)
	}
	react(mia, 20).has(t, 409, "code", "too_many_reactions")
	react(mia, 19).has(t, 200, "duplicate", true)
	react(max, 20).has(t, 201)
	f.get("/v1/rooms/den", mia.headers...).has(t, 200, "head", 24)
}

// A change counts as a message does.
func TestChangesAreLimited(t *testing.T) {
	limits := limit.Config{AccountMessagesPerSecond: 1, AccountMessagesBurst: 4, CredentialMessagesPerSecond: 1, CredentialMessagesBurst: 4}
	f, url := gated(t, limits, peer.Listener{Loopback: true}, peer.Policy{Insecure: true}, "127.0.0.1")
	claim(t, f)
	by := []string{"X-Forwarded-For", "192.0.2.1", "Authorization", "Bearer " + f.person("mia", kaban.RoleMember).Secret, "Content-Type", "application/json"}
	for _, request := range []string{"PATCH /1", "DELETE /1", "PUT /1" + thumb, "DELETE /1/pin"} {
		method, path, _ := strings.Cut(request, " ")
		f.askAt(method, url+"/v1/rooms/lobby/messages"+path+"?id=x", `{"id":"x","content":"x"}`, by...).has(t, 404)
	}
	for _, request := range []string{"POST ", "PATCH /1", "DELETE /1", "PUT /1" + thumb, "DELETE /1" + thumb, "PUT /1/pin", "DELETE /1/pin"} {
		method, path, _ := strings.Cut(request, " ")
		got := f.askAt(method, url+"/v1/rooms/lobby/messages"+path+"?id=x", `{"id":"x","content":"x"}`, by...)
		if got.status != 429 || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, `"rate_limited"`) {
			t.Errorf("%s: got %s, want 429", request, got)
		}
	}
}

// A page is cut so that it fits into memory, whatever its messages have become, and goes on
// from there.
func TestPagesWithReactions(t *testing.T) {
	const messages, emoji, people = 40, 20, 5
	s := teststore.New(t)
	var drafts []kaban.Draft
	for n := range messages {
		drafts = append(drafts, storetest.Draft(t, "lobby", "ann", fmt.Sprint("m", n), "x"))
	}
	for n := range messages * emoji * people {
		d := storetest.Draft(t, "lobby", fmt.Sprint(strings.Repeat("界", 31), n%people), fmt.Sprint("r", n), "x")
		d.Kind, d.Target, d.Body = kaban.KindReact, uint64(n/people/emoji)+1, kaban.Switch(true, string(rune(0x1F600+n/people%emoji)))
		drafts = append(drafts, d)
	}
	storetest.Append(t, s, drafts...)
	f := start(t, web.Config{}, s)
	var seqs, want []string
	pages := 0
	for after := "0"; ; pages++ {
		page := f.get("/v1/rooms/lobby/messages?limit=500&after="+after).has(t, 200)
		if len(page.body) > 300<<10 {
			t.Fatalf("a page has %d bytes", len(page.body))
		}
		for _, m := range page.json["messages"].([]any) {
			seqs = append(seqs, fmt.Sprint(m.(map[string]any)["seq"]))
		}
		if page.json["more"] == false {
			break
		}
		after = fmt.Sprint(page.json["last"])
	}
	for n := range messages {
		want = append(want, fmt.Sprint(n+1))
	}
	if !slices.Equal(seqs, want) || pages == 0 {
		t.Errorf("%d pages have %v", pages+1, seqs)
	}
}

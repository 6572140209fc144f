package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"kaban/internal/conn"
	"kaban/internal/dispatch"
	"kaban/internal/nodetest"
	"kaban/internal/store"
	"kaban/internal/store/memory"
	"kaban/internal/store/teststore"
	"kaban/wire"
)

// faulty is a store that fails appends while err is set.
type faulty struct {
	store.Store
	err, view atomic.Pointer[error]
}

func (f *faulty) fail(err error) { f.err.Store(&err) }

func (f *faulty) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	if err := f.err.Load(); err != nil && *err != nil {
		return *err
	}
	return f.Store.Append(ctx, batch, results)
}

func (f *faulty) View(ctx context.Context, do func(store.Tx) error) error {
	if err := f.view.Load(); err != nil && *err != nil {
		return *err
	}
	return f.Store.View(ctx, do)
}

// codeCase provokes a code on a connection that is in the lobby.
type codeCase struct {
	code wire.Code
	line string
	// ends is the reason of the goodbye that follows; "" means that the
	// connection goes on.
	ends string
	// fresh: the line is the first thing that the connection says.
	fresh bool
	want  []any
	// before are requests of a room of the connection's own, from "type" on, that come
	// first. The line is such a request, too.
	before []string
}

func codeCases() []codeCase {
	const hello = `{"type":"hello","version":1,"username":%q,"ref":"r"}`
	send := func(id, content string) string {
		return fmt.Sprintf(`{"type":"send","room":"lobby","id":"%s","content":"%s","ref":"r"}`, id, content)
	}
	const message, reaction = `send","id":"m","content":"x"`, `react","id":"%d","target":1,"on":true,"emoji":"%c"`
	var many []string // different ones
	for i := range 20 {
		many = append(many, fmt.Sprintf(reaction, i, '\U0001F600'+rune(i)))
	}
	return []codeCase{
		{code: wire.CodeGone, before: []string{message, `delete","id":"d","target":1`}, line: `edit","id":"e","target":1,"content":"y"`, want: []any{"id", "e"}},
		{code: wire.CodeGone, before: []string{message, `delete","id":"d","target":1`}, line: `delete","id":"e","target":1`},
		{code: wire.CodeEditConflict, before: []string{message, `edit","id":"d","target":1,"content":"y"`}, line: `edit","id":"e","target":1,"content":"z","base":1`},
		{code: wire.CodeTooManyReactions, before: append([]string{message}, many...), line: fmt.Sprintf(reaction, 20, '\U0001F600'+rune(20))},
		{code: wire.CodeBadEmoji, before: []string{message}, line: `react","id":"e","target":1,"on":true,"emoji":"smile"`},
		{code: wire.CodeBadEmoji, line: `{"type":"react","room":"lobby","id":"e","target":1,"on":true,"emoji":""}`, want: []any{"field", "emoji"}},
		{code: wire.CodeNotFound, before: []string{message}, line: `react","id":"e","target":2,"on":true,"emoji":"😀"`},
		{code: wire.CodeNotFound, line: `{"type":"edit","room":"nowhere","id":"1","target":1,"content":"x"}`, want: []any{"room", "nowhere", "id", "1"}},
		{code: wire.CodeNotFound, before: []string{message}, line: `send","id":"e","content":"y","reply_to":2`},
		{code: wire.CodeBadField, line: `{"type":"edit","room":"lobby","id":"1","target":0,"content":"x"}`, want: []any{"field", "target"}},
		{code: wire.CodeEmptyContent, before: []string{message}, line: `edit","id":"e","target":1,"content":" "`},
		{code: wire.CodeBadJSON, line: `{"type":`},
		{code: wire.CodeBadJSON, line: ``},
		{code: wire.CodeBadJSON, line: `{"type":"ping"}{}`},
		{code: wire.CodeBadJSON, line: `GET / HTTP/1.1`, fresh: true, ends: "protocol"},
		{code: wire.CodeBadJSON, line: `SSH-2.0-OpenSSH_9.2`, fresh: true, ends: "protocol"},
		{code: wire.CodeBadFrame, line: `null`},
		{code: wire.CodeBadFrame, line: `{"type":"ping","TYPE":"ping"}`},
		{code: wire.CodeBadUTF8, line: "{\"type\":\"p\xff\"}"},
		{code: wire.CodeBadUTF8, line: `{"type":"send","room":"lobby","id":"1","content":"\ud800"}`},
		{code: wire.CodeFrameTooLong, line: strings.Repeat("x", wire.MaxFrame+1), ends: "protocol", want: []any{"max", 65536}},
		{code: wire.CodeFrameTooLong, line: strings.Repeat("x", wire.MaxHelloFrame+1), fresh: true, ends: "protocol", want: []any{"max", 4096}},
		{code: wire.CodeUnknownType, line: `{"type":"shout","ref":"r"}`, want: []any{"ref", "r"}},
		{code: wire.CodeMissingField, line: `{"type":"join"}`, want: []any{"field", "room"}},
		{code: wire.CodeBadField, line: `{"type":"join","room":1}`, want: []any{"field", "room"}},
		{code: wire.CodeUnsupportedVersion, line: `{"type":"hello","version":2,"username":"x"}`, fresh: true, ends: "protocol", want: []any{"max", 1, "actual", 2}},
		{code: wire.CodeHelloRequired, line: `{"type":"rooms","ref":"r"}`, fresh: true, ends: "protocol", want: []any{"ref", "r"}},
		{code: wire.CodeAlreadyGreeted, line: fmt.Sprintf(hello, "again")},
		{code: wire.CodeEmptyUsername, line: fmt.Sprintf(hello, ""), fresh: true, ends: "protocol"},
		{code: wire.CodeTooLongUsername, line: fmt.Sprintf(hello, strings.Repeat("a", 33)), fresh: true, ends: "protocol", want: []any{"max", 32, "actual", 33}},
		{code: wire.CodeInvalidCharsUsername, line: `{"type":"hello","version":1,"username":"a\u202eb"}`, fresh: true, ends: "protocol", want: []any{"position", 1}},
		{code: wire.CodeInvalidCharsUsername, line: `{"type":"hello","version":1,"username":"\u0301"}`, fresh: true, ends: "protocol"},
		{code: wire.CodeInvalidCharsUsername, line: `{"type":"hello","version":1,"username":"ann."}`, fresh: true, ends: "protocol"},
		{code: wire.CodeUsernameTaken, line: fmt.Sprintf(hello, "good"), fresh: true, ends: "auth", want: []any{"ref", "r"}},
		{code: wire.CodeUsernameTaken, line: fmt.Sprintf(hello, "GOOD"), fresh: true, ends: "auth"},
		{code: wire.CodeUsernameTaken, line: fmt.Sprintf(hello, "g\u043e\u043ed"), fresh: true, ends: "auth"},
		{code: wire.CodeUsernameTaken, line: fmt.Sprintf(hello, "SERVER"), fresh: true, ends: "auth"},
		{code: wire.CodeEmptyContent, line: send("1", ""), want: []any{"ref", "r"}},
		{code: wire.CodeEmptyContent, line: send("1", ` \n\t`)},
		{code: wire.CodeTooLongContent, line: send("1", strings.Repeat("é", 5001)), want: []any{"max", 5000, "actual", 5001}},
		{code: wire.CodeInvalidCharsContent, line: send("1", `a\u001b[31m`), want: []any{"position", 1}},
		{code: wire.CodeInvalidCharsContent, line: send("1", `\u0000`), want: []any{"position", 0}},
		{code: wire.CodeBadRoom, line: `{"type":"join","room":"no room"}`},
		{code: wire.CodeNotJoined, line: `{"type":"send","room":"elsewhere","id":"1","content":"x"}`, want: []any{"room", "elsewhere", "id", "1"}},
		{code: wire.CodeNotJoined, line: `{"type":"part","room":"elsewhere"}`},
		{code: wire.CodeNotFound, line: `{"type":"history","room":"nowhere"}`},
		{code: wire.CodeNotFound, line: `{"type":"members","room":"nowhere"}`},
		{code: wire.CodeBadID, line: send("a b", "x")},
		{code: wire.CodeIDConflict, line: send("taken", "other words"), want: []any{"ref", "r", "id", "taken"}},
		{code: wire.CodeBadLimit, line: `{"type":"history","room":"lobby","limit":0}`, want: []any{"max", 500, "actual", 0}},
		{code: wire.CodeBadLimit, line: `{"type":"history","room":"lobby","limit":1000000000}`, want: []any{"actual", 1000000000}},
		{code: wire.CodeBadQuery, line: `{"type":"search","query":"é -\"a b","ref":"r"}`, want: []any{"ref", "r", "field", "query", "position", 3}},
		{code: wire.CodeBadQuery, line: `{"type":"search","query":""}`},
		{code: wire.CodeResync, line: `{"type":"join","room":"other","epoch":"foreign","after":0,"ref":"r"}`, want: []any{"head", 0, "oldest", 1, "ref", "r"}},
		{code: wire.CodeResync, line: `{"type":"join","room":"other","after":5}`},
	}
}

func TestCodes(t *testing.T) {
	f := serve(t)
	good, other := f.join("good"), f.join("other")
	seen := make(map[wire.Code]bool)
	for i, test := range codeCases() {
		seen[test.code] = true
		t.Run(fmt.Sprint(i, " ", test.code), func(t *testing.T) {
			f.t = t
			if test.code == wire.CodeBadUTF8 && !utf8.ValidString(test.line) {
				onlyLines(t) // which is no text message at all
			}
			bad := f.dial()
			if !test.fresh {
				bad = f.join(fmt.Sprint("bad-", i))
				if test.code == wire.CodeIDConflict {
					bad.say(`{"type":"send","room":"lobby","id":"taken","content":"first words"}`)
					bad.expect("ack", "id", "taken")
					good.expect("message", "content", "first words")
					other.expect("message", "content", "first words")
				}
			}
			if test.before != nil {
				bad.say(`{"type":"join","room":"case-%d"}`, i)
				bad.expect("joined")
				about := func(request string) string { return fmt.Sprintf(`{"room":"case-%d","type":"%s}`, i, request) }
				for _, request := range test.before {
					bad.say("%s", about(request))
					bad.expect("ack")
				}
				test.line = about(test.line)
			}
			bad.say("%s", test.line)
			bad.expect("error", append([]any{"code", test.code}, test.want...)...)
			if test.ends != "" {
				bad.expectEnd(test.ends)
			} else {
				bad.alive()
			}
			bad.conn.Close()
			id := fmt.Sprint("still-", i)
			converse(good, other, id)
		})
	}
	f.t = t
	for _, code := range []wire.Code{wire.CodeStorageFull, wire.CodeUnavailable, wire.CodeInternal, wire.CodeServerFull, wire.CodeRateLimited} {
		seen[code] = true // below
	}
	for _, code := range []wire.Code{wire.CodeAuthFailed, wire.CodeAuthRequired, wire.CodeForbidden, wire.CodeSuspended, wire.CodeRoomTaken, wire.CodeLastOp} { // people_test.go
		seen[code] = true
	}
	for _, code := range []wire.Code{wire.CodeTLSRequired, wire.CodeLastOwner} { // no listener of the tests is on a network; the page and the command line administer accounts
		seen[code] = true // below
	}
	for _, code := range []wire.Code{wire.CodeTooLarge, wire.CodeQuotaExceeded, wire.CodeBadType} { // of uploads, which go over HTTP
		seen[code] = true
	}
	for _, code := range wire.Codes() {
		if !seen[code] {
			t.Errorf("nothing provokes %s", code)
		}
	}
}

func TestStoreFailures(t *testing.T) {
	s := &faulty{Store: teststore.New(t)}
	f := start(t, conn.Config{}, s, dispatch.Options{})
	ann, bob := f.join("ann"), f.join("bob")
	for i, test := range []struct {
		err  error
		code wire.Code
	}{{store.ErrFull, wire.CodeStorageFull}, {store.ErrUnavailable, wire.CodeUnavailable}, {store.ErrUnknown, wire.CodeUnavailable}, {store.ErrClosed, wire.CodeUnavailable}, {store.ErrBroken, wire.CodeUnavailable}, {errors.New("secret detail"), wire.CodeInternal}} {
		s.fail(test.err)
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"x","ref":"r"}`, i)
		got := ann.expect("error", "code", test.code, "ref", "r", "id", i, "room", "lobby")
		if strings.Contains(got.String(), "secret") {
			t.Errorf("%s tells the client of the inside", got)
		}
		s.fail(nil)
		converse(ann, bob, fmt.Sprint(i)) // the same id goes through now
	}
}

// A message whose files cannot be read for now stops those behind it, as one that cannot be stored.
func TestFilesThatCannotBeRead(t *testing.T) {
	s := &faulty{Store: teststore.New(t)}
	f := start(t, conn.Config{}, s, dispatch.Options{})
	ann := f.join("ann")
	const withFile = `{"type":"send","room":"lobby","id":"f","content":"x","files":["k7q2m4xw5nbt3jd6fhs2avrc5e"]}`
	const behind = `{"type":"send","room":"lobby","id":"m","content":"x"}`
	away, back := error(store.ErrUnavailable), error(nil)
	s.view.Store(&away)
	ann.say(withFile + "\n" + behind)
	ann.expect("error", "code", "unavailable", "id", "f", "room", "lobby")
	ann.expect("error", "code", "unavailable", "id", "m")
	s.view.Store(&back)
	ann.say(behind)
	ann.expect("error", "code", "unavailable", "id", "m")
	ann.say(withFile)
	ann.expect("error", "code", "not_found", "id", "f") // it is nobody's
	ann.say(behind)
	ann.expect("ack", "id", "m")
}

func TestServerFull(t *testing.T) {
	nodetest.One(t, "a node is full by itself")
	f := start(t, conn.Config{MaxClients: 1}, nil, dispatch.Options{MaxRooms: 2})
	ann := f.join("ann")
	full := f.dial()
	if got := full.expect("error", "code", "server_full", "max", 1); got["retry_after_ms"] == nil {
		t.Errorf("%s does not say when to come back", got)
	}
	full.expectEnd("internal")
	ann.say(`{"type":"join","room":"second"}`)
	ann.expect("joined")
	ann.say(`{"type":"join","room":"third"}`)
	ann.expect("error", "code", "server_full")
	ann.conn.Close()
	for f.clients() > 0 { // the name and the place become free, also for those that come and go
		f.dial().conn.Close()
		time.Sleep(time.Millisecond)
	}
}

func TestTooManyRoomsOnOneConnection(t *testing.T) {
	f := serve(t)
	ann := f.hello("ann")
	for i := range 1000 {
		ann.say(`{"type":"join","room":"room-%d"}`, 10000+i*7)
		ann.expect("joined")
	}
	ann.say(`{"type":"join","room":"one-more","ref":"r"}`)
	ann.expect("error", "code", "rate_limited", "ref", "r")
	ann.alive()
}

func TestTenBadFramesInARow(t *testing.T) {
	f := serve(t)
	ann := f.hello("ann")
	for range 2 { // a good one in between starts anew
		for range 9 {
			ann.say(`nonsense`)
			ann.expect("error", "code", "bad_json")
		}
		ann.alive()
	}
	for range 10 {
		ann.say(`nonsense`)
		ann.expect("error", "code", "bad_json")
	}
	ann.expectEnd("protocol")
}

func TestResync(t *testing.T) {
	f := start(t, conn.Config{}, memory.New(64<<10), dispatch.Options{})
	ann := f.join("ann")
	for i := range 100 {
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, i, strings.Repeat("x", 2000))
		ann.expect("ack", "seq", i+1)
	}
	bob := f.hello("bob")
	bob.say(`{"type":"join","room":"lobby","after":1,"ref":"r"}`)
	got := bob.expect("error", "code", "resync", "head", 100, "ref", "r", "room", "lobby")
	oldest := fmt.Sprint(got["oldest"])
	bob.say(`{"type":"history","room":"lobby","after":0,"limit":1}`)
	page := bob.expect("history")
	if first := fmt.Sprint(page["messages"].([]any)[0].(map[string]any)["seq"]); first != oldest {
		t.Errorf("oldest is %s, but history begins with %s", oldest, first)
	}
}

func TestDuplicatesGetTheFirstAck(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	ann.say(`{"type":"send","room":"lobby","id":"x","content":"once"}`)
	first := ann.expect("ack", "seq", 1, "duplicate", false)
	ann.say(`{"type":"send","room":"lobby","id":"x","content":"once"}`)
	ann.expect("ack", "seq", 1, "duplicate", true, "time", first["time"])
	bob.say(`{"type":"send","room":"lobby","id":"x","content":"once"}`) // ids are each user's own
	bob.expect("message", "seq", 1)
	bob.expect("ack", "seq", 2, "duplicate", false)
	ann.expect("message", "seq", 2)
}

func TestPages(t *testing.T) {
	f := serve(t)
	ann := f.join("ann")
	const n = 60
	for i := range n {
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"%s"}`, i, strings.Repeat("é", 2500))
		ann.expect("ack", "seq", i+1)
	}
	var seqs []string
	read := func(f frame) (first, last string, more bool) {
		var page []string
		for _, m := range f["messages"].([]any) {
			page = append(page, fmt.Sprint(m.(map[string]any)["seq"]))
		}
		if len(f.String()) > wire.MaxFrame {
			t.Errorf("a page has %d bytes", len(f.String()))
		}
		seqs = append(seqs, page...)
		return page[0], page[len(page)-1], f["more"].(bool)
	}
	var want []string
	for i := range n {
		want = append(want, fmt.Sprint(i+1))
	}
	last, more := "0", true
	for more {
		ann.say(`{"type":"history","room":"lobby","after":%s,"limit":500}`, last)
		_, last, more = read(ann.expect("history"))
	}
	if !slices.Equal(seqs, want) {
		t.Errorf("forward: got %v", seqs)
	}
	seqs, more = nil, true
	for before := "61"; more; {
		ann.say(`{"type":"history","room":"lobby","before":%s,"limit":500}`, before)
		before, _, more = read(ann.expect("history"))
	}
	slices.SortFunc(seqs, func(a, b string) int { return len(a)*100 + strings.Compare(a, b) - len(b)*100 })
	if !slices.Equal(seqs, want) {
		t.Errorf("backward: got %v", seqs)
	}
}

func TestStates(t *testing.T) {
	f := serve(t)
	ann := f.join("ann")
	ann.say(`{"type":"join","room":"LOBBY","ref":"2"}`)
	ann.expect("joined", "room", "lobby", "members", 1, "ref", "2")
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"x","ref":"same"}` + "\n" + `{"type":"send","room":"lobby","id":"2","content":"y","ref":"same"}`)
	ann.expect("ack", "id", "1", "ref", "same")
	ann.expect("ack", "id", "2", "ref", "same")
	ann.say(`{"type":"rooms"}`)
	ann.expect("rooms", "more", false)
	ann.say(`{"type":"part","room":"lobby"}`)
	ann.expect("parted", "room", "lobby")
	ann.say(`{"type":"part","room":"lobby"}`)
	ann.expect("error", "code", "not_joined")
	ann.say(`{"type":"join","room":"lobby","after":1}`)
	ann.expect("joined", "head", 2)
	ann.expect("message", "seq", 2)
	ann.say(`{"type":"join","room":"team","after":0}`)
	ann.expect("joined", "head", 0)
}

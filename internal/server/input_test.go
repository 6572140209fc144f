package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"kaban/wire"
)

// utf16Line is a line as an editor on Windows may write it.
func utf16Line(s string) string {
	b := []byte{0xff, 0xfe}
	for _, unit := range utf16.Encode([]rune(s)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}

// Each of these lines costs its sender one error; the connection and everybody
// else go on.
func TestOddLines(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	send := func(id, content string) string {
		return fmt.Sprintf(`{"type":"send","room":"lobby","id":"%s","content":"%s"}`, id, content)
	}
	for i, c := range []struct{ name, line, code string }{
		{"spaces only", "   \t ", "bad_json"},
		{"a byte order mark", "\ufeff" + `{"type":"ping"}`, "bad_json"},
		{"a byte order mark alone", "\ufeff", "bad_json"},
		{"a zero-width space in a room", `{"type":"join","room":"lob\u200bby"}`, "bad_room"},
		{"a joiner in a room", `{"type":"join","room":"lob\u200dby"}`, "bad_room"},
		{"a space behind a room", `{"type":"join","room":"lobby "}`, "bad_room"},
		{"a space before a room", `{"type":"join","room":" lobby"}`, "bad_room"},
		{"a dot behind a room", `{"type":"join","room":"lobby."}`, "bad_room"},
		{"a limit of -1", `{"type":"history","room":"lobby","limit":-1}`, "bad_limit"},
		{"a limit of 501", `{"type":"history","room":"lobby","limit":501}`, "bad_limit"},
		{"a limit of 0", `{"type":"history","room":"lobby","limit":0}`, "bad_limit"},
		{"a limit of members of 501", `{"type":"members","room":"lobby","limit":501}`, "bad_limit"},
		{"a huge limit", `{"type":"history","room":"lobby","limit":1000000000}`, "bad_limit"},
		{"content of spaces", send("s", " \\t\\n \u3000 "), "empty_content"},
		{"NUL", send("n", "\\u0000"), "invalid_chars_content"},
		{"a lone carriage return", send("r", "a\\rb"), "invalid_chars_content"},
		{"C1", send("c", "\\u009b31m"), "invalid_chars_content"},
		{"5,001 combining marks", send("m", strings.Repeat("\u0301", 5001)), "too_long_content"},
	} {
		ann.say("%s", c.line)
		if got, err := ann.next(); err != nil || got["type"] != "error" || got["code"] != c.code {
			t.Fatalf("%s: got %s, %v; want the code %s", c.name, got, err, c.code)
		}
		converse(ann, bob, fmt.Sprint("fine-", i))
	}
}

// UTF-16 is two or more bad lines, and the input behind them is read.
func TestUTF16(t *testing.T) {
	onlyLines(t)
	f := serve(t)
	ann := f.join("ann")
	ann.send(utf16Line(`{"type":"ping"}` + "\n"))
	ann.send("\n" + `{"type":"ping","ref":"behind"}` + "\n")
	for {
		got, err := ann.next()
		if err != nil {
			t.Fatal(err)
		}
		if got["type"] == "pong" {
			break
		}
		if code := got["code"]; code != "bad_json" && code != "bad_utf8" {
			t.Fatalf("got %s", got)
		}
	}
}

// 5,000 combining marks are a content, however they look, and arrive as they are.
func TestManyMarks(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	marks := "e" + strings.Repeat("\u0301", 4999)
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"%s"}`, marks)
	ann.expect("ack", "seq", 1)
	bob.expect("message", "content", marks)
}

func TestOddNames(t *testing.T) {
	f := serve(t)
	for _, name := range []string{"ann ", " ann", "an n", "ann\u200b", "a\u200dnn", "\u2060ann", "ann\ufeff", "ann.", "\u0301ann", "a\u202ann"} {
		p := f.dial()
		text, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		p.say(`{"type":"hello","version":1,"username":%s}`, text)
		if got, err := p.next(); err != nil || got["code"] != "invalid_chars_username" {
			t.Errorf("%q: got %s, %v", name, got, err)
			continue
		}
		p.expectEnd("protocol")
	}
}

// A line may have exactly as many bytes as the limit says.
func TestExactlyTheLimit(t *testing.T) {
	f := serve(t)
	ping := func(bytes int) string {
		const rest = `{"type":"ping","x":""}`
		return `{"type":"ping","x":"` + strings.Repeat("x", bytes-len(rest)) + `"}`
	}
	for _, end := range []string{"\n", "\r\n"} {
		ann := f.hello("ann" + fmt.Sprint(len(end)))
		ann.send(ping(wire.MaxFrame) + end)
		ann.expect("pong")
		ann.send(ping(wire.MaxFrame+1) + end)
		ann.expect("error", "code", "frame_too_long", "max", wire.MaxFrame)
		ann.expectEnd("protocol")
	}
	const hello = `{"type":"hello","version":1,"username":"bob","x":""}`
	fill := strings.Repeat("x", wire.MaxHelloFrame-len(hello))
	bob := f.dial()
	bob.say("%s", strings.Replace(hello, `""`, `"`+fill+`"`, 1))
	bob.expect("welcome")
	bob = f.dial()
	bob.say("%s", strings.Replace(hello, `""`, `"`+fill+`x"`, 1))
	bob.expect("error", "code", "frame_too_long", "max", wire.MaxHelloFrame)
	bob.expectEnd("protocol")
}

// Ten MiB without a newline are answered at the limit, and not at their end.
func TestTenMiBWithoutANewline(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	bad := f.hello("bad")
	bad.send(strings.Repeat("x", wire.MaxFrame+1))
	bad.expect("error", "code", "frame_too_long") // the rest has not been sent yet
	bad.expect("goodbye", "reason", "protocol")
	for range 160 { // the server swallows it, or has hung up
		if _, err := io.WriteString(bad.conn, strings.Repeat("x", 64<<10)); err != nil {
			if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			break
		}
	}
	converse(ann, bob, "fine")
}

// A line that comes byte by byte, with pauses, is a line; nobody else waits.
func TestAByteAtATimeWithPauses(t *testing.T) {
	f := serve(t)
	ann, bob, slow := f.join("ann"), f.join("bob"), f.hello("slow")
	for i, c := range []byte(`{"type":"ping","ref":"é"}` + "\n") {
		slow.send(string([]byte{c}))
		if i%4 == 0 {
			converse(ann, bob, fmt.Sprint(i)) // longer than any pause that matters
			ann, bob = bob, ann
		}
	}
	slow.expect("pong", "ref", "é")
}

// A client that reads a few bytes at a time gets whole frames, every one.
func TestAFewBytesAtATime(t *testing.T) {
	t.Parallel()
	f := serve(t)
	ann, slow := f.join("ann"), f.join("slow")
	const n = 50
	for i := range n {
		ann.say(`{"type":"send","room":"lobby","id":"%d","content":"hello"}`, i)
		ann.expect("ack", "id", i)
	}
	slow.decoder = json.NewDecoder(trickle{slow.conn})
	slow.decoder.UseNumber()
	for i := range n {
		slow.expect("message", "seq", i+1)
	}
}

// trickle reads little at a time, with pauses.
type trickle struct{ conn net.Conn }

func (r trickle) Read(p []byte) (int, error) {
	time.Sleep(100 * time.Microsecond)
	return r.conn.Read(p[:min(len(p), 11)])
}

// An id is of its author in one room. In another one it is free.
func TestSameIDInAnotherRoom(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	ann.say(`{"type":"join","room":"kitchen"}`)
	ann.expect("joined")
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"x"}`)
	ann.expect("ack", "seq", 1)
	bob.expect("message", "seq", 1)
	ann.say(`{"type":"send","room":"kitchen","id":"1","content":"x","ref":"r"}`)
	ann.expect("ack", "room", "kitchen", "seq", 1, "duplicate", false, "ref", "r")
	ann.say(`{"type":"send","room":"kitchen","id":"1","content":"y"}`)
	ann.expect("error", "code", "id_conflict")
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"y"}`)
	ann.expect("error", "code", "id_conflict")
	ann.say(`{"type":"send","room":"lobby","id":"1","content":"x"}`)
	ann.expect("ack", "seq", 1, "duplicate", true)
	bob.say(`{"type":"send","room":"lobby","id":"1","content":"mine"}`)
	bob.expect("ack", "seq", 2, "duplicate", false)
}

// Ten bad frames in a row end a connection; one that was a good frame with a bad
// content, or a good one, begins the row anew.
func TestBadFramesInARow(t *testing.T) {
	f := serve(t)
	ann := f.join("ann")
	for _, between := range []struct{ line, kind, code string }{
		{`{"type":"send","room":"lobby","id":"1","content":""}`, "error", "empty_content"},
		{`{"type":"join","room":"a b"}`, "error", "bad_room"},
		{`{"type":"history","room":"lobby","limit":501}`, "error", "bad_limit"},
		{`{"type":"ping"}`, "pong", ""},
	} {
		for range 9 {
			ann.say("bad")
			ann.expect("error", "code", "bad_json")
		}
		ann.say("%s", between.line)
		if got := ann.expect(between.kind); between.code != "" && got["code"] != between.code {
			t.Fatalf("got %s, want %s", got, between.code)
		}
	}
	for range 10 {
		ann.say("bad")
		ann.expect("error", "code", "bad_json")
	}
	ann.expectEnd("protocol")
}

// A connection that was replaced does not take the name with it when it ends.
func TestTheReplacedLeavesTheName(t *testing.T) {
	f := serve(t)
	old := f.dial()
	old.say(`{"type":"hello","version":1,"username":"ann"}`)
	session := old.expect("welcome")["session"]
	ann := f.dial()
	ann.say(`{"type":"hello","version":1,"username":"ann","resume":%q}`, session)
	ann.expect("welcome")
	old.expectEnd("replaced")
	old.conn.Close()
	for f.clients() > 1 {
		ann.alive()
	}
	thief := f.dial()
	thief.say(`{"type":"hello","version":1,"username":"ann"}`)
	thief.expect("error", "code", "username_taken")
	thief.expectEnd("auth")
	ann.alive()
}

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

// faultOf returns the code and the field of the fault in a request, "" if there is none.
func faultOf(t *testing.T, line string) string {
	t.Helper()
	r := NewReader(strings.NewReader(line + "\n"))
	r.SetLimit(MaxFrame)
	var q Request
	err := r.ReadRequest(&q)
	if err == nil {
		return ""
	}
	var bad *ReaderError
	if !errors.As(err, &bad) {
		t.Fatalf("%s: %v", line, err)
	}
	return fmt.Sprint(bad.Code, " ", bad.Field)
}

// A name that differs only in case from a field is an error for the fields of the first
// version in all types, and for later ones in those that have them. In others it is the
// name of something that the client has for itself.
func TestCaseOfFields(t *testing.T) {
	requests := map[Type]string{
		TypeHello: `"version":1,"username":"ann"`, TypeJoin: `"room":"lobby"`, TypeSend: `"room":"lobby","id":"1","content":"x"`,
		TypeHistory: `"room":"lobby"`, TypePart: `"room":"lobby"`, TypeRooms: ``, TypeMembers: `"room":"lobby"`, TypePing: ``, TypePong: ``,
		TypeMe: ``, TypeInbox: ``, TypeAway: `"away":true`, TypeCreate: `"room":"x","kind":"public"`, TypeDirect: `"usernames":["bob"]`, TypeTopic: `"room":"x","id":"1","topic":"y"`,
		TypeSet: `"room":"x","id":"1","history":"all"`, TypeRead: `"room":"x","seq":1`, TypeUnread: `"room":"x","seq":1`, TypeNotify: `"room":"x","level":"all"`,
		TypeBan: `"room":"x","id":"1","username":"bob"`, TypeRole: `"room":"x","id":"1","username":"bob","role":"op"`,
		TypeEdit: `"room":"x","id":"1","target":1,"content":"x"`, TypeDelete: `"room":"x","id":"1","target":1`,
		TypeReact: `"room":"x","id":"1","target":1,"emoji":"x","on":true`, TypePin: `"room":"x","id":"1","target":1,"on":true`,
		TypeSearch: `"query":"x"`,
	}
	later := map[Type][]string{
		TypeHello: {"token", "password", "place"}, TypeCreate: {"kind", "topic", "flags"}, TypeBan: {"until_ms"}, TypeRole: {"role"},
		TypeTopic: {"topic"}, TypeSet: {"kind", "flags", "history", "archived"}, TypeNotify: {"level"},
		TypeSend: {"reply_to", "files"}, TypeHistory: {"replies_to"}, TypeEdit: {"target", "base"}, TypeDelete: {"target"},
		TypeReact: {"target", "emoji", "on"}, TypePin: {"target", "on"}, TypeSearch: {"query", "zone"}, TypeAway: {"away", "text", "until_ms"},
	}
	for kind, fields := range requests {
		for f, name := range fieldNames {
			for _, written := range []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], strings.ReplaceAll(name, "k", "\u212a")} {
				if written == name || strings.Contains(fields, `"`+written+`"`) {
					continue
				}
				line := fmt.Sprintf(`{%q:"x","type":%q,%s}`, written, kind, fields)
				line = strings.ReplaceAll(line, ",}", "}")
				want := ""
				if field(f) < firstTyped || slices.Contains(later[kind], name) {
					want = "bad_frame " + name
				}
				if got := faultOf(t, line); got != want {
					t.Errorf("%s: %q, want %q", line, got, want)
				}
				// The first fault counts, wherever the type is.
				if got := faultOf(t, strings.Replace(line, `"x",`, `"x","REF":"y",`, 1)); !strings.HasPrefix(got, "bad_frame ") {
					t.Errorf("%s with REF: %q", line, got)
				}
			}
		}
	}
}

func TestCaseOfFieldsInEvents(t *testing.T) {
	for line, want := range map[string]string{
		`{"type":"pong","Name":1,"TOKEN":2,"Kind":3}`: "",
		`{"type":"pong","Room":1}`:                    "room",
		`{"type":"state","room":"x","Gone":true}`:     "gone",
		`{"type":"parted","room":"x","Gone":true}`:    "",
		`{"Account":"x","type":"message","room":"lobby","seq":1,"id":"1","username":"ann","content":"x","time":"2026-11-26T12:00:00.000Z"}`: "account",
		`{"Topic":"x","type":"message","room":"lobby","seq":1,"id":"1","username":"ann","content":"x","time":"2026-11-26T12:00:00.000Z"}`:   "",
	} {
		var e Event
		r := NewReader(strings.NewReader(line + "\n"))
		r.SetLimit(MaxFrame)
		err := r.ReadEvent(&e)
		var bad *ReaderError
		if got := ""; errors.As(err, &bad) {
			if got = bad.Field; got != want || bad.Code != CodeBadFrame {
				t.Errorf("%s: %v, want %q", line, bad, want)
			}
		} else if want != "" || err != nil {
			t.Errorf("%s: %v, want the case of %q", line, err, want)
		}
	}
}

// However many names look like a later field, a request without it is fine.
func TestManyNamesOfAnotherCase(t *testing.T) {
	var line bytes.Buffer
	line.WriteString(`{"type":"ping"`)
	for i := range 64 {
		fmt.Fprintf(&line, `,"k%d":1`, i)
	}
	for i := range 15 {
		name := []byte("kind")
		for b := range name {
			if i&(1<<b) == 0 {
				name[b] -= 'a' - 'A'
			}
		}
		fmt.Fprintf(&line, `,%q:1`, name)
	}
	line.WriteString(`}`)
	if got := faultOf(t, line.String()); got != "" {
		t.Errorf("got %q", got)
	}
}

// A body with several faults names the field that the first version named.
func TestThePostNamesTheFirstFault(t *testing.T) {
	values := map[string][]string{
		"id":       {"", `1`, `null`, `""`, `"a b"`, `"1"`},
		"username": {"", `1`, `null`, `""`, `"a b"`, `"ann"`},
		"content":  {"", `1`, `null`, `""`, `"\u0007"`, `"x"`},
	}
	for i, id := range values["id"] {
		for u, username := range values["username"] {
			for c, content := range values["content"] {
				body, want := "", ""
				for _, f := range []struct{ name, value string }{{"content", content}, {"username", username}, {"id", id}} {
					if f.value != "" {
						body += fmt.Sprintf(`,%q:%s`, f.name, f.value)
					}
				}
				body = "{" + strings.TrimPrefix(body, ",") + "}"
				switch { // first what is missing or of another type, then what it says
				case i < 3:
					want = "id"
				case u < 3:
					want = "username"
				case c < 3:
					want = "content"
				case i < 5:
					want = "id"
				case u < 5:
					want = "username"
				case c < 5:
					want = "content"
				}
				_, err := DecodePost([]byte(body), 10, kaban.Username{})
				var bad *ReaderError
				if got := ""; errors.As(err, &bad) || err == nil {
					if bad != nil {
						got = bad.Field
					}
					if got != want {
						t.Errorf("%s: %q, want %q", body, got, want)
					}
				}
			}
		}
	}
}

// An empty secret is a fault, and no visitor's hello.
func TestHelloWithAnEmptySecret(t *testing.T) {
	for _, f := range []string{"token", "password", "place"} {
		for _, v := range []string{`""`, `null`, `1`, `{}`} {
			line := fmt.Sprintf(`{"type":"hello","version":1,"username":"ann",%q:%s}`, f, v)
			if got := faultOf(t, line); got != "bad_field "+f {
				t.Errorf("%s: %q", line, got)
			}
		}
	}
}

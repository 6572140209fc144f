package wire

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"kaban"
)

func TestDecodePost(t *testing.T) {
	got, err := DecodePost([]byte("{\n \"content\": \"a\\nb €\",\r\n \"id\": \"m-1\", \"username\": \"Ann\", \"more\": [1, {}]\n}\n"), 10, kaban.Username{})
	if err != nil || got.ID.String() != "m-1" || got.Message.Username().String() != "Ann" || got.Message.Content() != "a\nb €" {
		t.Errorf("got %+v, %v", got, err)
	}
	const fine = `{"id":"1","username":"ann","content":"0123456789"}`
	if _, err := DecodePost([]byte(fine+strings.Repeat(" ", MaxFrame-len(fine))), 10, kaban.Username{}); err != nil {
		t.Errorf("exactly the limit: %v", err)
	}
	for _, test := range []struct {
		body            string
		code            Code
		field           string
		position        int
		maximum, actual int
	}{
		{fine + strings.Repeat(" ", MaxFrame-len(fine)+1), CodeFrameTooLong, "", -1, MaxFrame, 0},
		{"", CodeBadJSON, "", 0, 0, 0},
		{"[]", CodeBadFrame, "", 0, 0, 0},
		{`{"id":"1","content":"x"}`, CodeMissingField, "username", -1, 0, 0},
		{`{"id":1,"username":"ann","content":"x"}`, CodeBadField, "id", -1, 0, 0},
		{`{"id":"","username":"ann","content":"x"}`, CodeBadID, "id", -1, 0, 0},
		{`{"id":"1","username":"a b","content":"x"}`, CodeInvalidCharsUsername, "username", 1, 0, 0},
		{`{"id":"1","username":"ann","content":"01234567890"}`, CodeTooLongContent, "content", -1, 10, 11},
		{`{"id":"1","username":"ann","content":"a\u0007"}`, CodeInvalidCharsContent, "content", 1, 0, 0},
	} {
		_, err := DecodePost([]byte(test.body), 10, kaban.Username{})
		var bad *ReaderError
		if !errors.As(err, &bad) || bad.Code != test.code || bad.Field != test.field || bad.Position != test.position || bad.Max != test.maximum || bad.Actual != test.actual {
			t.Errorf("%.60q: got %+v, want %+v", test.body, bad, test)
		}
	}
}

// With a credential the username is optional.
func TestDecodePostOfSender(t *testing.T) {
	ann := mustUsername(t, "ann")
	for body, want := range map[string]string{
		`{"id":"1","content":"x"}`:                    "ann",
		`{"id":"1","content":"x","username":"Ann"}`:   "Ann",
		`{"id":"1","content":"x","username":"bob"}`:   "bob",
		`{"id":"1","content":"x","username":""}`:      string(CodeEmptyUsername),
		`{"id":"1","content":"x","username":null}`:    string(CodeBadField),
		`{"id":"1","content":"x","username":"a\nb"}`:  string(CodeInvalidCharsUsername),
		`{"id":"a b","content":"x","username":"bob"}`: string(CodeBadID),
		`{"content":"x"}`:                             string(CodeMissingField),
	} {
		p, err := DecodePost([]byte(body), 10, ann)
		if got := p.Message.Username().String() + string(CodeOf(err)); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

// A message may answer another one, and an edit may name the version that it replaces.
func TestDecodePostAboutAMessage(t *testing.T) {
	ann := mustUsername(t, "ann")
	decode := map[string]func([]byte, int, kaban.Username) (Post, error){"reply_to": DecodePost, "base": DecodeEdit}
	for name, decode := range decode {
		other := map[string]string{"reply_to": "base", "base": "reply_to"}[name]
		for value, want := range map[string]string{
			``:                                   "0 ",
			`,"NAME":1`:                          "1 ",
			`,"NAME":9007199254740991`:           "9007199254740991 ",
			`,"NAME":0`:                          "0 bad_field NAME",
			`,"NAME":-1`:                         "0 bad_field NAME",
			`,"NAME":1.5`:                        "0 bad_field NAME",
			`,"NAME":"1"`:                        "0 bad_field NAME",
			`,"NAME":null`:                       "0 bad_field NAME",
			`,"NAME":9007199254740992`:           "0 bad_field NAME",
			`,"NAME":1,"NAME":1`:                 "0 bad_frame ",
			`,"` + strings.ToUpper(name) + `":1`: "0 bad_frame NAME",
			`,"` + other + `":"ignored"`:         "0 ",
		} {
			fill := strings.NewReplacer("NAME", name)
			p, err := decode([]byte(`{"id":"1","content":"x"`+fill.Replace(value)+`}`), 10, ann)
			got := fmt.Sprint(p.ReplyTo+p.Base, " ")
			if bad, ok := errors.AsType[*ReaderError](err); ok {
				got += string(bad.Code) + " " + bad.Field
			}
			if got != fill.Replace(want) || name == "base" && p.ReplyTo != 0 {
				t.Errorf("%s%s: got %q, want %q", name, value, got, fill.Replace(want))
			}
		}
	}
}

// A message may have files, and then no text; an edit has none.
func TestDecodePostWithFiles(t *testing.T) {
	ann := mustUsername(t, "ann")
	a, b := strings.Repeat("a", kaban.FileIDLength), strings.Repeat("b", kaban.FileIDLength)
	for body, want := range map[string]string{
		`"content":"x","files":["` + a + `","` + b + `"]`:                   "ann x [" + a + " " + b + "] ",
		`"content":"","files":["` + a + `"]`:                                "ann  [" + a + "] ",
		`"files":["` + a + `"]`:                                             "ann  [" + a + "] ",
		`"content":"x","files":[]`:                                          "ann x [] ",
		`"content":"","files":[]`:                                           "  [] empty_content content",
		`"files":["` + a + `","` + a + `"]`:                                 "  [] bad_field files",
		`"files":["x"]`:                                                     "  [] bad_field files",
		`"files":"` + a + `"`:                                               "  [] bad_field files",
		`"Files":["` + a + `"],"content":"x"`:                               "  [] bad_frame files",
		`"content":"` + strings.Repeat("x", 11) + `","files":["` + a + `"]`: "  [] too_long_content content",
	} {
		p, err := DecodePost([]byte(`{"id":"1",`+body+`}`), 10, ann)
		got := fmt.Sprint(p.Author, " ", p.Message.Content(), " ", p.Files, " ")
		if bad, ok := errors.AsType[*ReaderError](err); ok {
			got += string(CodeOf(err)) + " " + bad.Field
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
	if p, err := DecodeEdit([]byte(`{"id":"1","content":"x","files":["`+a+`"]}`), 10, ann); err != nil || p.Files != nil {
		t.Errorf("an edit has %v, %v", p.Files, err)
	}
	if p, err := DecodeEdit([]byte(`{"id":"1","content":""}`), 10, ann); err != nil || p.Author != ann || p.Message.Content() != "" {
		t.Errorf("an edit that takes the text away: %+v, %v", p, err)
	}
}

func TestCheckReason(t *testing.T) {
	for reason, want := range map[string]string{
		"": "", "why": "", strings.Repeat("é", MaxReason): "",
		strings.Repeat("é", MaxReason+1): "bad_field -1 256 257", "a\nb": "bad_field 1 0 0", "é\u2028": "bad_field 1 0 0", "\x00": "bad_field 0 0 0",
		"ab\xff": "bad_utf8 2 0 0",
	} {
		got := ""
		if bad, ok := errors.AsType[*ReaderError](CheckReason(reason)); ok {
			got = fmt.Sprint(bad.Code, " ", bad.Position, " ", bad.Max, " ", bad.Actual)
			if bad.Field != "reason" || bad.Error() == "" {
				t.Errorf("%q: %+v", reason, bad)
			}
		}
		if got != want {
			t.Errorf("%.20q: got %q, want %q", reason, got, want)
		}
	}
}

// FuzzDecodePost checks that accepted posts obey the rules.
func FuzzDecodePost(f *testing.F) {
	f.Add([]byte(`{"id":"1","username":"ann","content":"x"}`))
	f.Add([]byte(`{"id":"1","username":"\u00e4nn","content":"\ud83d\ude00"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := DecodePost(body, 100, kaban.Username{})
		if err != nil {
			var bad *ReaderError
			if !errors.As(err, &bad) || bad.Code == "" {
				t.Fatalf("got %v, want a code", err)
			}
			return
		}
		hasText := len(p.Files) == 0 || p.Message.Content() != ""
		if err := kaban.CheckContent(p.Message.Content(), 100); hasText && (err != nil || p.Message.Username() != p.Author) || p.Author.IsZero() || p.ID.IsZero() {
			t.Errorf("%q passes as %+v: %v", body, p, err)
		}
		// But for what they are about, an edit is a message.
		edit, err := DecodeEdit(body, 100, kaban.Username{})
		if edit.Base, p.ReplyTo, p.Files = 0, 0, nil; err == nil && !reflect.DeepEqual(edit, p) {
			t.Errorf("%q is the edit %+v and the message %+v", body, edit, p)
		}
	})
}

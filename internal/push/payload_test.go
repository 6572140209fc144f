package push

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

func TestCut(t *testing.T) {
	family := "👨‍👩‍👧‍👦" // 7 code points
	for _, c := range []struct {
		name, text string
		limit      int
		want       string
	}{
		{"short", "hello", 5, "hello"},
		{"by one", "hello!", 5, "hell…"},
		{"no white space before the mark", "to be or not", 7, "to be…"},
		{"line ends", "one\n\ntwo", 6, "one…"},
		{"code points, not bytes", "äöüß", 4, "äöüß"},
		{"a whole grapheme", "ab" + family + "c", 10, "ab" + family + "c"},
		{"no half of a grapheme", "ab" + family + "c", 9, "ab…"},
		{"a grapheme that just fits", "ab" + family + "cd", 10, "ab" + family + "…"},
		{"flags", "🇩🇪🇫🇷🇯🇵", 4, "🇩🇪…"},
		{"a combining mark", "e\u0301e\u0301e\u0301", 4, "e\u0301…"},
		{"a grapheme that alone is too long", "a" + strings.Repeat("\u0301", 20), 5, "a\u0301\u0301\u0301…"},
		{"nothing", "", 5, ""},
		{"only a mark", "hello", 1, "…"},
		{"no room", "hello", 0, ""},
	} {
		if got := cut(c.text, c.limit); got != c.want {
			t.Errorf("%s: cut(%q, %d) = %q, want %q", c.name, c.text, c.limit, got, c.want)
		}
	}
}

func TestPayload(t *testing.T) {
	m := Message{Room: "lobby", Seq: 7, Time: 1_700_000_000_000, From: "alice", Text: "a < b & \"c\"", Cause: CauseMention, Unread: 3}
	got, err := m.encode(false)
	want := `{"v":1,"room":"lobby","seq":7,"time":1700000000000,"from":"alice","text":"a < b & \"c\"","cause":"mention","unread":3}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	got, err = m.encode(true)
	want = `{"v":1,"room":"lobby","seq":7,"time":1700000000000,"from":"alice","cause":"mention","unread":3}`
	if err != nil || string(got) != want {
		t.Errorf("without the text: got  %s, %v\nwant %s", got, err, want)
	}
	got, err = (&Message{}).encode(false)
	if err != nil || string(got) != `{"v":1}` {
		t.Errorf("nothing: got %s, %v", got, err)
	}
	for field, bad := range map[string]Message{
		"Room":  {Room: strings.Repeat("r", 65)},
		"room":  {Room: "\xff"},
		"Cause": {Cause: "because"},
	} {
		_, err := bad.encode(false)
		if e, ok := errors.AsType[*NoticeError](err); !ok || !strings.EqualFold(e.Field, field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// checkPayload checks what is true of every payload.
func checkPayload(t *testing.T, m Message) {
	t.Helper()
	for _, bare := range []bool{false, true} {
		content, err := m.encode(bare)
		if _, bad := errors.AsType[*NoticeError](err); bad && m.check() != nil {
			return
		}
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		var p payload
		if err := json.Unmarshal(content, &p); err != nil {
			t.Fatalf("%q: %v", content, err)
		}
		if most := map[bool]int{false: 1945, true: 921}[bare]; len(content) > most {
			t.Fatalf("%d bytes, bare: %v", len(content), bare)
		}
		if bare && p.Text != "" {
			t.Fatalf("a bare push has the text %q", p.Text)
		}
		if utf8.RuneCountInString(p.Text) > maxText || utf8.RuneCountInString(p.From) > maxName {
			t.Fatalf("%d code points of text, %d of the author", utf8.RuneCountInString(p.Text), utf8.RuneCountInString(p.From))
		}
		if bare || !utf8.ValidString(m.Text) || p.Text == m.Text {
			continue
		}
		begin, marked := strings.CutSuffix(p.Text, cutMark)
		if !marked || !strings.HasPrefix(m.Text, begin) {
			t.Fatalf("%q was cut to %q", m.Text, p.Text)
		}
	}
}

func TestPayloadsAreBounded(t *testing.T) {
	for _, piece := range []string{"a", "ä", "語", "😀", "\"", "\\", "<", "\u2028", "\x00", "\xff", "e\u0301", "👨‍👩‍👧‍👦", "🇩🇪", "\n", " "} {
		long := strings.Repeat(piece, 5000)
		room := strings.Repeat(piece, 64/utf8.RuneCountInString(piece))
		if !utf8.ValidString(room) {
			room = ""
		}
		checkPayload(t, Message{Room: room, Seq: 1<<53 - 1, Time: 1<<53 - 1, From: long, Text: long, Cause: CauseKeyword, Unread: 1<<53 - 1})
	}
}

func FuzzPayload(f *testing.F) {
	f.Add("lobby", "alice", "hello", uint64(1))
	f.Add("", "", "👨‍👩‍👧‍👦\u2028\xff", uint64(1<<53))
	f.Fuzz(func(t *testing.T, room, from, text string, seq uint64) {
		m := Message{Room: room, From: from, Text: text, Seq: seq, Cause: CauseDirect}
		checkPayload(t, m)
		short := cut(text, 10)
		if utf8.RuneCountInString(short) > 10 && text != short {
			t.Fatalf("%q has more than 10", short)
		}
		if begin, ok := strings.CutSuffix(short, cutMark); ok && short != text && !endsBetweenGraphemes(text, begin) {
			t.Fatalf("%q was cut to %q", text, short)
		}
	})
}

// endsBetweenGraphemes reports whether the beginning of a text ends between its graphemes, but for
// white space, or within the first one.
func endsBetweenGraphemes(text, begin string) bool {
	first := true
	for each := graphemes.FromString(text); each.Next(); first = false {
		if strings.TrimRight(text[:each.End()], " \t\n\v\f\r\u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000") == begin {
			return true
		}
		if first && strings.HasPrefix(each.Value(), begin) {
			return true
		}
	}
	return begin == ""
}

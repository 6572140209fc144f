package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"kaban/internal/store"
)

// looks are the fields that are only compared with what is there: whatever they are, nothing
// else comes of them.
var looks = []string{"epoch", "after", "query"}

// controls are the characters that begin another line, or end a text, somewhere.
var controls = []string{"\n", "\r", "\x00", "\r\n", "\x1b", "\u0085", "\u2028"}

// spoilt returns a frame once for each of its texts and each place in that, with something
// put in. Of the other fields it has those that the frame has.
func spoilt(f map[string]any, put string) (all []map[string]any) {
	each := func(text string, with func(string) map[string]any) {
		for _, at := range []int{0, 1, len(text)} {
			if at <= len(text) {
				all = append(all, with(text[:at]+put+text[at:]))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		changed := func(value any) map[string]any {
			c := maps.Clone(f)
			c[name] = value
			return c
		}
		switch value := f[name].(type) {
		case string:
			each(value, func(text string) map[string]any { return changed(text) })
		case []any:
			for i := range value {
				if text, ok := value[i].(string); ok {
					each(text, func(text string) map[string]any {
						list := slices.Clone(value)
						list[i] = text
						return changed(list)
					})
				}
			}
		}
	}
	return all
}

// A control character in any text of any frame is refused, or is in the content of a
// message, which may have lines. It comes to nobody's line, to no document, and to no line
// of the log.
func TestControlCharactersInEveryField(t *testing.T) {
	golden, err := os.Open("../../wire/testdata/requests.golden")
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	w := newTown(t)
	olga, bob := w.enter("olga"), w.enter("bob")
	others := []*peer{bob}
	for _, p := range []*peer{olga, bob} {
		p.say(`{"type":"join","room":"lobby"}`)
		p.expect("joined")
	}
	tried := 0
	for lines := bufio.NewScanner(golden); lines.Scan(); {
		var f map[string]any
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			t.Fatal(err)
		}
		if f["type"] != "ping" {
			delete(f, "ref") // it is any frame's, and comes back to its sender only
		}
		for _, put := range controls {
			for _, bad := range spoilt(f, put) {
				tried++
				if _, ok := bad["id"]; ok && bad["id"] == f["id"] {
					bad["id"] = fmt.Sprint("try-", tried)
				}
				text, err := json.Marshal(bad)
				if err != nil {
					t.Fatal(err)
				}
				if bad["type"] == "hello" {
					p := w.dial()
					p.say("%s", text)
					f := p.expect("error")
					checkFrame(t, string(text), f)
					p.expect("goodbye")
					p.expectEOF()
					continue
				}
				olga.say("%s", text)
				isLook := slices.ContainsFunc(looks, func(name string) bool { return bad[name] != f[name] })
				isContent := bad["content"] != f["content"] && (put == "\n" || put == "\u2028")
				checkAnswer(t, string(text), olga, tried, isLook || isContent)
			}
		}
	}
	if tried < 1000 {
		t.Errorf("only %d frames are tried", tried)
	}
	for _, p := range others {
		p.say(`{"type":"ping","ref":"at the end"}`)
		for {
			f, err := p.next()
			if err != nil {
				t.Fatal(err)
			}
			if f["ref"] == "at the end" {
				break
			}
			checkFrame(t, "what bob gets", f)
		}
	}
	checkDocuments(t, w.store)
	for line := range strings.Lines(w.log.String()) {
		if line = strings.TrimSuffix(line, "\n"); !strings.HasPrefix(line, "time=") || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("a line of the log is %q", line)
		}
	}
}

// checkAnswer reads up to the answer of a frame, which must be a refusal unless it may be
// taken.
func checkAnswer(t *testing.T, sent string, p *peer, n int, taken bool) {
	t.Helper()
	ref := fmt.Sprint("after-", n)
	p.say(`{"type":"ping","ref":%q}`, ref)
	refused := false
	for {
		f, err := p.next()
		if err != nil {
			t.Fatalf("%s: %v", sent, err)
		}
		if f["ref"] == ref {
			break
		}
		checkFrame(t, sent, f)
		switch f["type"] {
		case "error":
			refused = true
			if f["code"] == "internal" || f["text"] == "" {
				t.Errorf("%s is answered with %s", sent, f)
			}
		case "pong": // of a ping with such a ref
			refused = true
		}
	}
	if !refused && !taken {
		t.Errorf("%s is taken", sent)
	}
}

// checkFrame checks that a frame has no control characters but in contents, where it may
// have lines and tabs, and in the ref that its own sender has chosen.
func checkFrame(t *testing.T, what string, f map[string]any) {
	t.Helper()
	for name, value := range f {
		switch value := value.(type) {
		case string:
			ok := func(c rune) bool {
				return !unicode.IsControl(c) && c != '\u2028' || name == "content" && (c == '\n' || c == '\t' || c == '\u2028') || name == "ref"
			}
			if strings.ContainsFunc(value, func(c rune) bool { return !ok(c) }) {
				t.Errorf("%s: %s is %q", what, name, value)
			}
		case map[string]any:
			checkFrame(t, what, value)
		case []any:
			for _, one := range value {
				checkFrame(t, what, map[string]any{name: one})
			}
		}
	}
}

// checkDocuments checks that no text of any document, the audit among them, has one.
func checkDocuments(t *testing.T, s store.Store) {
	t.Helper()
	err := s.View(t.Context(), func(tx store.Tx) error {
		all, err := tx.Scan("", "\U0010ffff", 1<<20)
		if len(all) == 0 {
			t.Error("there are no documents")
		}
		for _, d := range all {
			var value map[string]any
			if json.Unmarshal(d.Value, &value) == nil {
				checkFrame(t, "document "+d.Key, value)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

package wire

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// protocol returns the page that describes the protocol.
func protocol(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile("../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

// isExcerpt reports whether an example shows only the beginning of a frame.
func isExcerpt(line string) bool { return strings.Contains(line, "…") }

// examples returns the frames in the page's blocks of code, by their sender.
func examples(t *testing.T) (fromClients, fromServers []string) {
	t.Helper()
	inCode := false
	for line := range strings.Lines(protocol(t)) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "```"):
			inCode = !inCode
		case !inCode || isExcerpt(line):
		case strings.HasPrefix(line, "> {"):
			fromClients = append(fromClients, line[2:])
		case strings.HasPrefix(line, "< {"):
			fromServers = append(fromServers, line[2:])
		}
	}
	return fromClients, fromServers
}

// sameJSON reports whether two objects are equal, in whatever order their fields are.
func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	for text, v := range map[string]*any{a: &x, b: &y} {
		if err := json.Unmarshal([]byte(text), v); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	return reflect.DeepEqual(x, y)
}

// Every example is a valid frame, and its fields are those that this package writes.
func TestExamples(t *testing.T) {
	seen := make(map[string]bool)
	fromClients, fromServers := examples(t)
	for _, line := range fromClients {
		q, err := readOne(t, line)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		seen["request "+q.Type.String()] = true
		if again := string(q.Append(nil)); !sameJSON(t, line, again) {
			t.Errorf("%s is written as %s", line, again)
		}
	}
	for _, line := range fromServers {
		var e Event
		if err := NewReader(strings.NewReader(line + "\n")).ReadEvent(&e); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		seen["event "+e.Type.String()] = true
		if e.Type == TypeUnknown {
			if !strings.HasPrefix(line, `{"type":"void",`) {
				t.Errorf("%s is an entry of an unknown kind", line)
			}
			continue
		}
		if again := string(e.Append(nil)); withoutVoidTimes(again) != withoutVoidTimes(line) {
			t.Errorf("the server writes %s, not %s", again, line)
		}
	}
	for kind := range Type(len(typeNames)) {
		if name := "request " + kind.String(); kind.IsRequest() && !seen[name] && !strings.Contains(protocol(t), `{"type":"`+kind.String()+`"`) && !kind.IsModeration() {
			t.Errorf("the page has no example of a %s", name)
		}
		if name := "event " + kind.String(); kind.isEvent() && !seen[name] && kind != TypePing {
			t.Errorf("the page has no example of an %s", name)
		}
	}
}

// voidTime matches the end of an element of a page for an entry that cannot be shown.
// Readers do not keep its time.
var voidTime = regexp.MustCompile(`(\{"type":"void","seq":\d+),"time":"[^"]*"\}`)

func withoutVoidTimes(line string) string {
	return voidTime.ReplaceAllString(strings.TrimSuffix(line, "\n"), "$1}")
}

// section returns the part of the page below a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(protocol(t), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("the page has no %q", heading)
	}
	level := strings.Repeat("#", strings.IndexByte(heading, ' '))
	if i := strings.Index(rest, "\n"+level+" "); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

// firstColumn returns the first cells of the tables in a text, without the quotes
// of code.
func firstColumn(text string) (cells []string) {
	for line := range strings.Lines(text) {
		if cell, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "`"); ok && strings.HasPrefix(line, "| `") {
			cells = append(cells, cell)
		}
	}
	return cells
}

func TestPageHasAllCodes(t *testing.T) {
	got := firstColumn(section(t, "## Errors"))
	var want []string
	for _, code := range Codes() {
		want = append(want, string(code))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has the codes\n%v, the table\n%v", got, want)
	}
	got, want = firstColumn(section(t, "## Goodbye")), nil
	for _, reason := range Reasons() {
		want = append(want, string(reason))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the page has the reasons\n%v, the table\n%v", got, want)
	}
	parted := section(t, "### `parted`")
	for _, removal := range declared(t, "Removal") {
		if !strings.Contains(parted, "`"+removal+"`") {
			t.Errorf("the page lacks the reason %s of a parted", removal)
		}
	}
}

func TestPageHasAllTypes(t *testing.T) {
	requests, events := section(t, "## What a client sends"), section(t, "## What a server sends")
	heads := func(text string) string {
		return strings.Join(regexp.MustCompile(`(?m)^### .*$`).FindAllString(text, -1), "\n")
	}
	for kind := range Type(len(typeNames)) {
		name := "`" + kind.String() + "`"
		if kind.IsRequest() && !strings.Contains(heads(requests), name) {
			t.Errorf("the page does not describe the request %s", kind)
		}
		if kind.isEvent() && !strings.Contains(heads(events), name) {
			t.Errorf("the page does not describe the event %s", kind)
		}
	}
	if !strings.Contains(heads(events), "`void`") {
		t.Error("the page does not describe void")
	}
}

// The words and limits of the page are those of the reader.
func TestPageHasAllWordsAndLimits(t *testing.T) {
	for heading, words := range map[string][]string{
		"### `create`": slices.Concat(kindWords, flagWords),
		"### `set`":    slices.Concat(flagWords, historyWords),
		"### `invite`, `kick`, `ban`, `unban`, `mute`, `unmute`, `role`": roleWords,
		"### `notify`": levelWords,
	} {
		text := section(t, heading)
		for _, word := range words {
			if !strings.Contains(text, "`"+word+"`") && !strings.Contains(text, `"`+word+`"`) {
				t.Errorf("%s lacks %s", heading, word)
			}
		}
	}
	limits := section(t, "## Limits")
	for _, row := range []string{
		fmt.Sprintf("| topic | `limits.topic`: %d code points |", MaxTopic),
		fmt.Sprintf("| reason | `limits.reason`: %d code points |", MaxReason),
		fmt.Sprintf("| `password` | 1 to %s bytes |", thousands(MaxPassword)),
		fmt.Sprintf("| `token` | 1 to %d bytes |", MaxToken),
		fmt.Sprintf("| `emoji` | 1 to %d bytes |", MaxEmoji),
		fmt.Sprintf("| `limit` | 1 to %d;", MaxLimit),
		fmt.Sprintf("| `ref` | %d bytes |", MaxRef),
		fmt.Sprintf("| nesting | %d levels |", MaxNesting),
		fmt.Sprintf("| line, either direction | %s bytes", thousands(MaxFrame)),
		fmt.Sprintf("| line before `welcome` | %s bytes |", thousands(MaxHelloFrame)),
	} {
		if !strings.Contains(limits, row) {
			t.Errorf("the table of limits lacks %q", row)
		}
	}
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// Every link within the page has a target.
func TestPageLinks(t *testing.T) {
	page := protocol(t)
	anchors := make(map[string]bool)
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		anchor := regexp.MustCompile("[^a-z0-9 _-]").ReplaceAllString(strings.ToLower(heading[1]), "")
		anchors[strings.ReplaceAll(anchor, " ", "-")] = true
	}
	for _, link := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(page, -1) {
		if !anchors[link[1]] {
			t.Errorf("a link to #%s leads nowhere", link[1])
		}
	}
}

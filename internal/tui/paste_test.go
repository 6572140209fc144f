package tui

import (
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// A paste whose end never comes does not keep the keyboard; one that stalls is
// not taken for keys.
func TestPasteGuard(t *testing.T) {
	const pause = "(a second)"
	for name, test := range map[string]struct {
		reads []string
		want  string // the output, | between reads
	}{
		"keys":                       {[]string{"a", "\x03", pause, "b", "\r"}, "a|\x03|b|\r"},
		"a paste":                    {[]string{pasteStart + "one\rtwo" + pasteEnd, "x"}, pasteStart + "one\rtwo" + pasteEnd + "|x"},
		"in pieces":                  {[]string{pasteStart[:3], pasteStart[3:] + "one\r", pause, "two\x1b", "[201", "~", pause, "x"}, pasteStart[:3] + "|" + pasteStart[3:] + "one\r|two\x1b|[201|~|x"},
		"without an end, Ctrl-C":     {[]string{pasteStart + "one", "\x03", "x"}, pasteStart + "one|" + pasteEnd + "\x03|x"},
		"Ctrl-C at once, twice":      {[]string{pasteStart, "\x03\x03"}, pasteStart + "|" + pasteEnd + "\x03\x03"},
		"Ctrl-C of Kitty":            {[]string{pasteStart + "one", "\x1b[99;5u"}, pasteStart + "one|" + pasteEnd + "\x1b[99;5u"},
		"Ctrl-C of xterm":            {[]string{pasteStart + "one", "\x1b[27;5;99~"}, pasteStart + "one|" + pasteEnd + "\x1b[27;5;99~"},
		"Ctrl-C within the text":     {[]string{pasteStart + "a\x03b\r", "c\x03", pasteEnd}, pasteStart + "a\x03b\r|c\x03|" + pasteEnd},
		"without an end, a key":      {[]string{pasteStart + "one", pause, "x", "y"}, pasteStart + "one|" + pasteEnd + "x|y"},
		"without an end, an arrow":   {[]string{pasteStart + "one", pause, "\x1b[A"}, pasteStart + "one|" + pasteEnd + "\x1b[A"},
		"without an end, an umlaut":  {[]string{pasteStart + "one", pause, "ü"}, pasteStart + "one|" + pasteEnd + "ü"},
		"without an end, at once":    {[]string{pasteStart + "one", "x"}, pasteStart + "one|x"},
		"stalled, then the rest":     {[]string{pasteStart + "one", pause, "\rtwo\r", pasteEnd}, pasteStart + "one|\rtwo\r|" + pasteEnd},
		"stalled before the end":     {[]string{pasteStart + "one", pause, pasteEnd, "x"}, pasteStart + "one|" + pasteEnd + "|x"},
		"half an end, then a key":    {[]string{pasteStart + "one\x1b[20", pause, "x", pause, "y"}, pasteStart + "one\x1b[20|" + pasteEnd + "x|y"},
		"a start in a paste":         {[]string{pasteStart + pasteStart + "a" + pasteEnd, pause, "x"}, pasteStart + pasteStart + "a" + pasteEnd + "|x"},
		"an end without a beginning": {[]string{pasteEnd, pause, "x"}, pasteEnd + "|x"},
	} {
		now := noon
		g := pasteGuard{now: func() time.Time { return now }}
		var got []string
		for _, read := range test.reads {
			if read == pause {
				now = now.Add(pasteSilence)
				continue
			}
			buffer := make([]byte, 64)
			n := copy(buffer[len(pasteEnd):], read)
			got = append(got, string(buffer[:g.take(buffer, n)]))
		}
		if got := strings.Join(got, "|"); got != test.want {
			t.Errorf("%s: got %q, want %q", name, got, test.want)
		}
	}
}

// However much is pasted, a bounded part of it is held.
func TestAHugePaste(t *testing.T) {
	g := pasteGuard{now: time.Now}
	passed := 0
	read := func(text string) {
		buffer := make([]byte, len(pasteEnd)+len(text))
		copy(buffer[len(pasteEnd):], text)
		passed += g.take(buffer, len(text))
	}
	read(pasteStart)
	for range 8 {
		read(strings.Repeat("x", maxPaste/4))
	}
	read(pasteEnd)
	if passed > maxPaste+64 || passed < maxPaste {
		t.Errorf("%d bytes are passed on, want %d", passed, maxPaste)
	}
	if g.pasting {
		t.Error("the end is not seen")
	}
	d := newDesk(t, 80, 12)
	d.keys("typed before ")
	d.send(tea.PasteMsg{Content: strings.Repeat("x", maxPaste)})
	d.typed("typed before ")
	d.shows("not pasted: it has 1048576 characters, and a message may have 5000")
}

package tui

import (
	"fmt"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// reports counts the reports of typing since the last call.
func (d *desk) reports() (n int) {
	for _, call := range d.back.calls {
		if strings.HasPrefix(call, "typing ") {
			if n++; call != "typing lobby" {
				d.t.Errorf("got %q", call)
			}
		}
	}
	d.back.calls = nil
	return n
}

// Each change of a message is reported, and nothing else.
func TestTypingIsReported(t *testing.T) {
	d := newDesk(t, 80, 12)
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"three letters", func() { d.keys("abc") }, 3},
		{"keys that change nothing", func() { d.keys("left", "f7", "f7", "right", "pgup", "esc") }, 0},
		{"a letter is deleted", func() { d.keys("backspace") }, 1},
		{"a paste", func() { d.send(tea.PasteMsg{Content: " and more"}) }, 1},
		{"sending it", func() { d.keys("enter") }, 0},
		{"a blank", func() { d.keys(" ", "backspace") }, 0},
		{"a command", func() { d.keys("/topic x", "ctrl+u") }, 0},
		{"a message with a slash", func() { d.keys("//", "x", "ctrl+u") }, 2},
		{"a line of the history", func() { d.keys("up") }, 0},
		{"a change of it", func() { d.keys("!", "ctrl+u") }, 1},
		{"a search", func() { d.keys("ctrl+f", "abc", "esc") }, 0},
		{"a switch of rooms", func() { d.keys("ctrl+k", "lob", "esc") }, 0},
		{"setting it off", func() { d.config.HideTyping = true; d.keys("abc") }, 0},
		{"setting it on", func() { d.config.HideTyping = false; d.keys("d") }, 1},
		{"outside the room", func() { d.happens(failedEvent{room: "lobby", err: errTooMuch}); d.keys("e") }, 0},
	} {
		d.reports()
		step.do()
		if got := d.reports(); got != step.want {
			t.Errorf("%s: %d reports, want %d", step.name, got, step.want)
		}
	}
}

// Those that are typing are shown in the status line, so that nothing moves.
func TestTypingIsShown(t *testing.T) {
	d := newDesk(t, 80, 12)
	d.joined("ops", 0)
	d.says("lobby", "ben", "hi")
	types := func(room string, names ...string) { d.happens(typingEvent{Room: room, Usernames: names}) }
	before := strings.Split(d.screen(), "\n")
	for _, test := range []struct {
		names []string
		want  string
	}{
		{[]string{"ben"}, "  ben is typing …"},
		{[]string{"ben", "cid"}, "  ben and cid are typing …"},
		{[]string{"ben", "cid", "dan"}, "  ben, cid and dan are typing …"},
		{[]string{"ben", "cid", "dan", "eve"}, "  several people are typing …"},
	} {
		types("lobby", test.names...)
		d.shows(test.want)
		for n, row := range strings.Split(d.screen(), "\n") {
			if row != before[n] && !strings.Contains(row, test.want) {
				t.Errorf("row %d was %q and is %q", n, before[n], row)
			}
		}
	}
	d.config.Ignore = []string{"Ben"}
	types("lobby", "ben", "cid")
	d.shows("  cid is typing …")
	d.config.Ignore = nil
	types("lobby")
	d.hides("typing")
	types("ops", "ben")
	d.hides("typing")
	types("nowhere", "ben")
	types("lobby", "e\x1b[31mvil", strings.Repeat("x", 1000))
	d.shows("vil is typing …")
	if screen, _, _ := d.render(); strings.Contains(screen, "\x1b[31mvil") {
		t.Error("a name controls the terminal")
	}
	d.happens(stateEvent{link: offline}, stateEvent{link: online})
	d.hides("typing …")
}

// A server that reports typing without end fills nothing.
func TestTypingIsBounded(t *testing.T) {
	s := newSession(Options{})
	defer s.Close()
	names := make([]string, 1000)
	for n := range names {
		names[n] = strings.Repeat("x", 30)
	}
	for n := range 5 * maxEvents {
		names[0] = fmt.Sprint(n)
		s.putTyping(typingEvent{Room: "lobby", Usernames: append([]string{}, names...)})
	}
	s.mu.Lock()
	if s.bytes > 2*maxEventBytes || len(s.events) > maxEvents {
		t.Errorf("%d events of %d bytes wait", len(s.events), s.bytes)
	}
	s.mu.Unlock()
	got := s.take()
	last, ok := got[len(got)-1].(typingEvent)
	if !ok || last.Usernames[0] != fmt.Sprint(5*maxEvents-1) || len(last.Usernames) != maxTypists {
		t.Errorf("the last is %+v", got[len(got)-1])
	}
}

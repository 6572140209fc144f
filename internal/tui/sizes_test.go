package tui

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kaban/client"
	"kaban/wire"
)

// unspaced drops what a line break may take the place of.
func unspaced(text string) string { return strings.Join(strings.Fields(text), "") }

// read scrolls through a room from its first line to its last and returns all of
// its text.
func (d *desk) read() string {
	d.t.Helper()
	var b strings.Builder
	width, height := d.conversationSize()
	d.move(d.active, -1<<30, width, height)
	for {
		k, at := d.topView(d.active, width, height)
		l := d.block(d.active, k, width)[at]
		b.WriteString(d.meter.cutLine(l, width).text() + " ")
		d.scroll(1)
		if now, line := d.topView(d.active, width, height); now == k && line == at {
			break
		}
	}
	for n, l := range d.conversation(d.active, width, height) { // what stands below the top line
		if n > 0 {
			b.WriteString(d.meter.cutLine(l, width).text() + " ")
		}
	}
	return b.String()
}

// Nothing of what somebody said is out of reach, however small the terminal, and
// the end of the newest message can be seen.
func TestEveryEndIsVisible(t *testing.T) {
	const name = "a-name-that-is-as-long-as-can-be"
	text := "the begin " + strings.Repeat("and a word or two ", 30) + strings.Repeat("x", 130) + " https://example.org/" + strings.Repeat("y", 90) + "\n\n* one\n* two\n```\n" + strings.Repeat("code ", 40) + "\n```\nTHE END"
	for _, size := range [][2]int{{120, 30}, {64, 12}, {51, 12}, {50, 12}, {49, 12}, {40, 24}, {40, 3}, {20, 24}, {20, 5}, {20, 2}, {8, 8}, {3, 6}, {2, 6}, {1, 12}, {1, 3}, {1, 2}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			d := newDesk(t, size[0], size[1])
			d.says("lobby", "ben", "an earlier message")
			d.says("lobby", name, text)
			if width, height := d.conversationSize(); height >= 3 && width >= 7 {
				d.shows("THE END")
			} else if end := unspaced(d.screen()); !strings.Contains(end, "D") {
				t.Errorf("the end is not on the screen:\n%s", d.screen())
			}
			d.keys("shift+up", "shift+up", "shift+down", "shift+down", "shift+down")
			if !d.active.following {
				t.Error("one cannot scroll back to the end")
			}
			got := unspaced(d.read())
			for _, want := range []string{"anearliermessage", unspaced(name), unspaced(strings.ReplaceAll(text, "```", ""))[:400], strings.Repeat("x", 130) + "https://example.org/" + strings.Repeat("y", 90), strings.Repeat("code", 40), "THEEND", "25November2026", "thebeginningoflobby"} {
				if got := strings.NewReplacer("─", "", "▌", "").Replace(got); !strings.Contains(got, want) {
					t.Errorf("%q cannot be read; there is %q", want, got)
				}
			}
		})
	}
}

// What the program says does not look like a part of a message, also without
// colours.
func TestNoticesAreMarked(t *testing.T) {
	for _, width := range []int{80, 49, 20, 12} {
		d := newDesk(t, width, 24)
		d.says("lobby", "ben", "hello")
		d.keys("/copy x", "enter")
		d.shows("-- ")
	}
}

// What the program has to say can be read to its end, too.
func TestEveryComplaintIsVisible(t *testing.T) {
	offline := func(d *desk) {
		d.happens(stateEvent{link: offline, err: errors.New("the server is somewhere else, and that is all it says about it")})
	}
	for _, test := range []struct {
		do   func(*desk)
		want string // on the screen
		room bool   // or else in the room
	}{
		{func(d *desk) { d.keys("/jion lobby", "enter") }, "there is no command /jion, did you mean /join?; // sends a line that begins with /", true},
		{func(d *desk) { d.keys("/date yesterday", "enter") }, `"yesterday" is not a date such as 2026-11-25 12:00`, true},
		{offline, "and that is all it says about it", false},
		{func(d *desk) {
			d.happens(stateEvent{link: ended, err: &client.Error{Code: wire.CodeUsernameTaken, Text: "somebody is connected under this name; choose another"}})
		}, "choose another; /reconnect", false},
		{func(d *desk) { d.back.lost = 2; offline(d); d.keys("ctrl+d") }, "2 messages are not sent yet. Quit anyway? (y/n)", false},
		{func(d *desk) { d.keys("ctrl+f", "nowhere") }, "not found in this room; Ctrl-F searches all rooms, Esc closes", false},
		{func(d *desk) {
			d.happens(failedEvent{room: "lobby", err: errors.New("there are too many rooms on this server as it is")})
		}, "you are not in lobby: there are too many rooms on this server as it is; /join lobby tries again", true},
	} {
		for _, size := range [][2]int{{80, 24}, {40, 24}, {40, 10}, {20, 12}, {20, 5}, {1, 24}, {1, 1}} {
			d := newDesk(t, size[0], size[1])
			test.do(d)
			if strings.Contains(unspaced(strings.ReplaceAll(d.screen(), "│", " ")), unspaced(test.want)) {
				continue
			}
			switch {
			case test.room && strings.Contains(unspaced(d.read()), unspaced(test.want)):
			case !test.room && (size[0] == 1 || size[1] < 10): // there is no space for it anywhere
			default:
				t.Errorf("%dx%d: %q cannot be read:\n%s", size[0], size[1], test.want, d.screen())
			}
		}
	}
}

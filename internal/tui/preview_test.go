package tui

import (
	"context"
	"errors"
	"testing"

	"kaban/wire"
)

// A key asks what the links of the selected message are about, and the answer stands in its room.
func TestPreviews(t *testing.T) {
	d := sender(t)
	d.happens(messageEvent{room: "lobby", message: wire.Message{Seq: 4, Username: "ben", Content: "no link", Time: noon}, head: 4},
		messageEvent{room: "lobby", message: wire.Message{Seq: 5, Username: "ben", Content: "https://a.example", Time: noon}, head: 5})
	d.keys("alt+s", "l")
	d.shows("previews of links take an account")
	d.options.Previews = func(context.Context, string, string, string, uint64) ([]string, error) { panic("not here") }
	d.keys("alt+s", "up", "l")
	d.shows("the message has no links")
	d.keys("alt+s", "l")
	if got := d.back.last("previews"); got != "previews chat.example:6440 lobby 5" {
		t.Errorf("got %q", got)
	}
	d.shows("asking what its links are about")
	d.keys("alt+s", "l")
	d.shows("the previews of another message are on their way")
	d.happens(previewsEvent{room: "lobby", lines: []string{"a.example: A page", "b.example: \x1b[31mred\u202e"}})
	d.shows("a.example: A page")
	d.shows("b.example: ")
	d.shows("<U+202E>")
	d.keys("alt+s", "l")
	d.happens(previewsEvent{room: "lobby"})
	d.shows("its links have no previews")
	d.keys("alt+s", "l")
	d.happens(previewsEvent{room: "lobby", err: errors.New("it is away")})
	d.shows("there are no previews: it is away")
}

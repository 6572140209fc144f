package server_test

import (
	"fmt"
	"strings"
	"testing"
)

// The refusal of one room too many names the room.
func TestOneRoomTooMany(t *testing.T) {
	f := serve(t)
	ann := f.hello("ann")
	const most = 1000
	for i := range most {
		ann.say(`{"type":"join","room":"room-%d"}`, i)
		ann.expect("joined")
	}
	for _, request := range []string{"join", "watch"} {
		ann.say(`{"type":%q,"room":"lobby","ref":"r"}`, request)
		ann.expect("error", "code", "rate_limited", "room", "lobby", "ref", "r")
	}
}

// A direct room that one may not know of is not one that the first to join makes.
func TestNoDirectRoom(t *testing.T) {
	f := serve(t)
	vic := f.hello("vic")
	for _, request := range []string{"join", "watch", "history", "members", "part"} {
		vic.say(`{"type":%q,"room":"@aaaaaaaaaaaaaaaaaaaaaaaaaa"}`, request)
		if request == "part" {
			vic.expect("error", "code", "not_joined")
			continue
		}
		if e := vic.expect("error", "code", "not_found"); strings.Contains(fmt.Sprint(e["message"]), "first to join") {
			t.Errorf("%s: %v", request, e)
		}
	}
}

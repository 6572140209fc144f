package server_test

import (
	"fmt"
	"strings"
	"testing"

	"kaban/internal/server"
)

// ask has a peer send a crowd of lines while it counts the frames that come, by
// type and errors by code, until there are enough.
func (p *peer) ask(lines []string, enough func(got map[string]int) bool) (got map[string]int) {
	p.t.Helper()
	sent := make(chan error, 1)
	go func() {
		var err error
		for _, line := range lines {
			if _, err = fmt.Fprintln(p.conn, line); err != nil {
				break
			}
		}
		sent <- err
	}()
	for got = make(map[string]int); !enough(got); {
		f, err := p.next()
		if err != nil {
			p.t.Fatalf("got %v, then %v", got, err)
		}
		kind := fmt.Sprint(f["type"])
		if kind == "error" {
			kind = fmt.Sprint(f["code"])
		}
		if got[kind]++; strings.HasPrefix(fmt.Sprint(f["retry_after_ms"]), "1") {
			got["come back in 1…"]++
		}
	}
	if err := <-sent; err != nil {
		p.t.Fatal(err)
	}
	return got
}

// countRooms pages through all rooms.
func (p *peer) countRooms() (n int) {
	p.t.Helper()
	for after, more := "", true; more; {
		p.say(`{"type":"rooms","limit":500%s}`, after)
		page := p.expect("rooms")
		rooms := page["rooms"].([]any)
		n += len(rooms)
		if more = page["more"] == true; more {
			after = fmt.Sprintf(`,"after":%q`, rooms[len(rooms)-1].(map[string]any)["room"])
		}
	}
	return n
}

// One connection makes as many rooms as it may be in, and is told when it may make
// another. Rooms that exist can still be joined, and other names make theirs.
func TestOneConnectionMakesRoomsForALimitedTime(t *testing.T) {
	f := serve(t)
	ann, bob := f.join("ann"), f.join("bob")
	const many = server.NameRooms + 500
	var lines []string
	for i := range many {
		lines = append(lines, fmt.Sprintf(`{"type":"join","room":"room-%d"}`, i),
			fmt.Sprintf(`{"type":"send","room":"room-%d","id":"%d","content":"x"}`, i, i),
			fmt.Sprintf(`{"type":"part","room":"room-%d"}`, i))
	}
	got := ann.ask(lines, func(got map[string]int) bool { return got["parted"]+got["rate_limited"] == many })
	if got["parted"] != server.NameRooms || got["come back in 1…"] != 500 { // 100 to 199 s
		t.Errorf("got %v, want %d rooms and 500 refused with a time to wait", got, server.NameRooms)
	}
	ann.ask(nil, func(more map[string]int) bool { return got["not_joined"]+more["not_joined"] == 2*500 })
	eventually(t, "all rooms are there, also at another node", func() bool { return bob.countRooms() > server.NameRooms })
	if n := bob.countRooms(); n != server.NameRooms+1 {
		t.Errorf("there are %d rooms, want %d and the lobby", n, server.NameRooms)
	}
	bob.say(`{"type":"join","room":"of-bob"}`)
	bob.expect("joined", "room", "of-bob")
	bob.say(`{"type":"send","room":"of-bob","id":"1","content":"x"}`) // so that the room is there at all nodes
	bob.expect("ack")
	ann.say(`{"type":"join","room":"of-bob"}`)
	ann.expect("joined", "room", "of-bob")
	ann.say(`{"type":"join","room":"room-7"}`)
	ann.expect("joined", "room", "room-7")
}

// Rooms in which nothing is said vanish with their last member and count for
// nobody, however many are made in turn.
func TestRoomsThatVanishDoNotCount(t *testing.T) {
	ann := serve(t).join("ann")
	const many = 2*server.NameRooms + 100
	var lines []string
	for i := range many {
		lines = append(lines, fmt.Sprintf(`{"type":"join","room":"room-%d"}`, i), fmt.Sprintf(`{"type":"part","room":"room-%d"}`, i))
	}
	got := ann.ask(lines, func(got map[string]int) bool { return got["parted"]+got["not_joined"] == many })
	if got["rate_limited"] > 0 {
		t.Errorf("%d rooms were refused", got["rate_limited"])
	}
	const kept = server.NameRooms - 1 // with the lobby, as many as a connection may be in
	lines = nil
	for i := range kept {
		lines = append(lines, fmt.Sprintf(`{"type":"join","room":"kept-%d"}`, i))
	}
	got = ann.ask(lines, func(got map[string]int) bool { return got["joined"]+got["rate_limited"] == kept })
	if got["rate_limited"] > 0 {
		t.Errorf("%d rooms were refused after those that vanished", got["rate_limited"])
	}
}

// A join that makes no room, because the cursor is of another epoch, counts for
// nothing.
func TestRefusedJoinsMakeNoRooms(t *testing.T) {
	ann := serve(t).join("ann")
	const many = server.NameRooms + 100
	var lines []string
	for i := range many {
		lines = append(lines, fmt.Sprintf(`{"type":"join","room":"room-%d","epoch":"another","after":1}`, i))
	}
	got := ann.ask(lines, func(got map[string]int) bool { return got["resync"]+got["rate_limited"] == many })
	if got["rate_limited"] > 0 {
		t.Errorf("%d joins were refused for their number", got["rate_limited"])
	}
}

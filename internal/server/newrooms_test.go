package server

import (
	"testing"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/store/memory"
)

// nameRooms is how many rooms one name may make in a row; see package chat.
const nameRooms = maxRooms

// One connection makes as many rooms as it may be in, and is told when it may make
// another. Rooms that exist can still be joined, and other names make theirs.
func TestOneConnectionMakesRoomsForALimitedTime(t *testing.T) {
	l := turnOver(t, memory.New(0), dispatch.Options{})
	ann, bob := l.enter("ann"), l.enter("bob")
	for i := range nameRooms + 500 {
		ann.say(`{"type":"join","room":"room-%d"}`, i)
		ann.say(`{"type":"send","room":"room-%d","id":"%d","content":"x"}`, i, i)
		ann.say(`{"type":"part","room":"room-%d"}`, i)
	}
	l.until("ann is answered", func() bool { return ann.got(`"type":"parted"`)+ann.got(`"code":"rate_limited"`) == nameRooms+500 })
	if refused := ann.got(`"retry_after_ms":1`); ann.got(`"type":"parted"`) != nameRooms || refused != 500 { // 100 to 199 s
		t.Errorf("%d rooms were made and %d refused with a time to wait", ann.got(`"type":"parted"`), refused)
	}
	if infos, _ := l.manager.chat.As(kaban.Identity{}, "").Rooms("", 10_000); len(infos) != nameRooms+1 {
		t.Errorf("there are %d rooms, want %d and the lobby", len(infos), nameRooms)
	}
	bob.say(`{"type":"join","room":"of-bob"}`)
	l.until("bob is in", func() bool { return bob.got(`"type":"joined","room":"of-bob"`) == 1 })
	ann.say(`{"type":"join","room":"of-bob"}`)
	ann.say(`{"type":"join","room":"room-7"}`)
	l.until("ann is in", func() bool {
		return ann.got(`"type":"joined","room":"of-bob"`) == 1 && ann.got(`"type":"joined","room":"room-7"`) == 2
	})
}

// Rooms in which nothing is said vanish with their last member and count for
// nobody, however many are made in turn.
func TestRoomsThatVanishDoNotCount(t *testing.T) {
	l := turnOver(t, memory.New(0), dispatch.Options{})
	ann := l.enter("ann")
	const many = 2*nameRooms + 100
	for i := range many {
		ann.say(`{"type":"join","room":"room-%d"}`, i)
		ann.say(`{"type":"part","room":"room-%d"}`, i)
	}
	l.until("ann is answered", func() bool { return ann.got(`"type":"parted"`)+ann.got(`"code":"not_joined"`) == many })
	if refused := ann.got(`"code":"rate_limited"`); refused > 0 {
		t.Errorf("%d rooms were refused", refused)
	}
	const kept = nameRooms - 1 // with the lobby, as many as a connection may be in
	for i := range kept {
		ann.say(`{"type":"join","room":"kept-%d"}`, i)
	}
	l.until("ann is in all", func() bool { return ann.got(`"type":"joined","room":"kept-`)+ann.got(`"code":"rate_limited"`) == kept })
	if refused := ann.got(`"code":"rate_limited"`); refused > 0 {
		t.Errorf("%d rooms were refused after those that vanished", refused)
	}
}

// A join that makes no room, because the cursor is of another epoch, counts for
// nothing.
func TestRefusedJoinsMakeNoRooms(t *testing.T) {
	l := turnOver(t, memory.New(0), dispatch.Options{})
	ann := l.enter("ann")
	const many = nameRooms + 100
	for i := range many {
		ann.say(`{"type":"join","room":"room-%d","epoch":"another","after":1}`, i)
	}
	l.until("ann is answered", func() bool { return ann.got(`"code":"resync"`)+ann.got(`"code":"rate_limited"`) == many })
	if refused := ann.got(`"code":"rate_limited"`); refused > 0 {
		t.Errorf("%d joins were refused for their number", refused)
	}
}

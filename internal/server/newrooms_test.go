package server

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/store/memory"

	"kaban/internal/dispatch"
)

func TestNewRoomsAreLimitedByNameAndAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := func(n *newRooms, name func(i int) string, remote func(i int) string) (count int) {
			for i := range 70_000 {
				if n.take(name(i), remote(i)) == 0 {
					count++
				}
			}
			return count
		}
		is := func(text string) func(int) string { return func(int) string { return text } }
		each := func(format string) func(int) string {
			return func(i int) string { return fmt.Sprintf(format, i%60_000) }
		}
		for what, c := range map[string]struct {
			name, remote func(int) string
			want         int
		}{
			"one name here":                     {is("ann"), is("127.0.0.1:1"), nameRooms},
			"one name, far away":                {is("ann"), is("192.0.2.1:1"), nameRooms},
			"many names at one address":         {each("%d"), is("192.0.2.1:1"), addressRooms},
			"the same as IPv6":                  {each("%d"), is("[::ffff:192.0.2.1]:1"), addressRooms},
			"many names in one network of IPv6": {each("%d"), each("[2001:db8::%x]:1"), addressRooms},
			"many names here":                   {each("%d"), each("127.0.0.1:%d"), machineRooms},
			"many names here, IPv6":             {each("%d"), is("[::1]:1"), machineRooms},
			"one name at many addresses":        {is("ann"), each("[2001:db8:0:%x::]:1"), nameRooms},
		} {
			n := limitNewRooms(stopwatch())
			if got := made(n, c.name, c.remote); got != c.want {
				t.Errorf("%s: %d rooms were made, want %d", what, got, c.want)
			}
			if len(n.names.whole) > maxQuotaKeys || len(n.addresses.whole) > maxQuotaKeys {
				t.Errorf("%s: %d names and %d addresses are remembered", what, len(n.names.whole), len(n.addresses.whole))
			}
		}
		n := limitNewRooms(stopwatch())
		made(n, is("ann"), is("192.0.2.1:1"))
		wait := n.take("ann", "192.0.2.1:1")
		if wait != nameRoomsEvery {
			t.Errorf("ann has to wait %s, want %s", wait, nameRoomsEvery)
		}
		time.Sleep(wait)
		if got := made(n, is("ann"), is("192.0.2.1:1")); got != 1 {
			t.Errorf("after that %d rooms were made, want 1", got)
		}
		time.Sleep(time.Hour)
		if got := made(n, is("ann"), is("192.0.2.1:1")); got != 20 {
			t.Errorf("after an hour %d rooms were made, want 20", got)
		}
	})
}

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
	if infos, _ := l.manager.dispatcher.Rooms("", 10_000); len(infos) != nameRooms+1 {
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

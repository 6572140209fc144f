package chat

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"kaban/internal/tcp"
)

func TestNewRoomsAreLimitedByNameAndAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := func(n *newRooms, name func(i int) string, remote func(i int) string) (count int) {
			for i := range 70_000 {
				if n.take(name(i), tcp.AddrOf(remote(i))) == 0 {
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
		wait := n.take("ann", tcp.AddrOf("192.0.2.1:1"))
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

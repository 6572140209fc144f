package chat

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"kaban"
	"kaban/internal/dispatch"
	"kaban/internal/limit"
	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
	"kaban/internal/tcp"
)

func TestNewRoomsAreLimitedByNameAndAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := func(n *newRooms, name func(i int) string, remote func(i int) string) (count int) {
			for i := range 70_000 {
				if n.take(maker{name: name(i), address: tcp.AddrOf(remote(i))}) == 0 {
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
			n := limitNewRooms(Options{Clock: stopwatch()})
			if got := made(n, c.name, c.remote); got != c.want {
				t.Errorf("%s: %d rooms were made, want %d", what, got, c.want)
			}
			if len(n.names.whole) > maxQuotaKeys || len(n.addresses.whole) > maxQuotaKeys {
				t.Errorf("%s: %d names and %d addresses are remembered", what, len(n.names.whole), len(n.addresses.whole))
			}
		}
		n := limitNewRooms(Options{Clock: stopwatch()})
		made(n, is("ann"), is("192.0.2.1:1"))
		wait := n.take(maker{name: "ann", address: tcp.AddrOf("192.0.2.1:1")})
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

// An account makes so many rooms an hour, whatever its address and however it makes
// them. Neither other accounts, nor visitors, nor its programs on this machine have
// fewer, and a room that is not made does not count.
func TestNewRoomsOfAnAccountAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		home, away := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
		options := Options{
			Clock:  stopwatch(),
			Rooms:  limit.NewLimiter("rooms", limit.Rate{Count: 4, Per: time.Hour}, stopwatch()),
			Exempt: func(a netip.Addr) bool { return a == home },
		}
		w := newTown(t, memory.New(0))
		d, err := dispatch.New(t.Context(), w.store, dispatch.Options{PresenceDelay: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		w.chat = chatOver(t, d, options)
		at := func(name string, address netip.Addr) User {
			return w.chat.With(kaban.Account("id-"+name, storetest.Username(t, name)), address, &Credential{ID: "device"})
		}
		made := 0
		create := func(u User) error {
			made++
			return u.Create(t.Context(), storetest.RoomName(t, fmt.Sprint("r", made)), NewRoom{Kind: kaban.RoomPublic})
		}
		join := func(u User) error {
			made++
			_, err := w.follow(u, fmt.Sprint("r", made), 0)
			return err
		}
		direct := func(u User) error {
			_, err := u.Direct(t.Context(), []kaban.Username{storetest.Username(t, "cat")})
			return err
		}
		again := func(u User) error { // the first room is there
			if err := u.Create(t.Context(), storetest.RoomName(t, "r1"), NewRoom{Kind: kaban.RoomPublic}); !errors.Is(err, ErrRoomTaken) {
				return err
			}
			return nil
		}
		ann := at("ann", away)
		for i, way := range []func(User) error{create, again, join, again, direct, direct, create} {
			if err := way(ann); err != nil {
				t.Fatalf("room %d: %v", i, err)
			}
		}
		for name, way := range map[string]func(User) error{"create": create, "join": join} {
			limited, ok := errors.AsType[*NewRoomsError](way(at("ann", netip.MustParseAddr("2001:db8::1"))))
			if !ok || limited.Wait != 15*time.Minute {
				t.Errorf("%s: got %v, want a wait of 15 minutes", name, limited)
			}
		}
		for who, u := range map[string]User{"bob": at("bob", away), "a visitor": w.visitor("ann", away), "ann here": at("ann", home), "a hand": w.user("ann")} {
			if err := create(u); err != nil {
				t.Errorf("%s: %v", who, err)
			}
		}
		time.Sleep(15 * time.Minute)
		if err := create(ann); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		if _, ok := errors.AsType[*NewRoomsError](create(ann)); !ok {
			t.Error("after the wait a second room is made")
		}
	})
}

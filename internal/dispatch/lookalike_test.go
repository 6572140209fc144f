package dispatch

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"kaban/internal/store/memory"
	"kaban/internal/store/storetest"
)

// A room that looks like another is not made. An existing room stays, and its looks
// count until it is forgotten.
func TestLookAlikeRooms(t *testing.T) {
	s := memory.New(0)
	d := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	ann := newReader(t)
	join(t, d, ann, "bob", "ann", Start{})
	cyrillic := join(t, d, ann, "\u0438\u0432\u043e", "ann", Start{})
	refused := func(name, want string) {
		t.Helper()
		for _, start := range []Start{{}, {Epoch: d.Epoch()}} { // one needs the store, one does not
			_, _, err := tryJoin(d, ann, plain, storetest.Username(t, "ann"), storetest.RoomName(t, name), start)
			if other, ok := errors.AsType[*LookalikeError](err); !ok || other.Room.String() != want {
				t.Errorf("%q: got %v, want a *LookalikeError with %s", name, err, want)
			}
		}
	}
	for name, want := range map[string]string{"\u0432ob": "bob", "\u0412ob": "bob", "Iobby": "lobby", "\u0299ob": "bob"} {
		refused(name, want)
	}
	for _, same := range []string{"b\u043eb", "BOB"} { // by key
		if got := join(t, d, ann, same, "ann", Start{}).Room().Name().String(); got != "bob" {
			t.Errorf("%q leads to %s", same, got)
		}
	}
	for _, other := range []string{"iobby", "bobby", "ivo"} {
		if got := join(t, d, ann, other, "ann", Start{}).Room().Name().String(); got != other {
			t.Errorf("%q leads to %s", other, got)
		}
	}

	// The other way round: the room with several looks is there first.
	eve := join(t, d, ann, "\u0432eta", "ann", Start{})
	refused("beta", eve.Room().Name().String())
	d.Leave(eve) // nothing was said in it
	d.Leave(join(t, d, ann, "beta", "ann", Start{}))
	d.Leave(cyrillic)
	if n := len(d.looks); n != 0 {
		t.Errorf("%d looks of forgotten rooms are kept", n)
	}

	// Of two that the store has, both can be joined.
	for i, name := range []string{"beta", "\u0432eta"} {
		storetest.Append(t, s, storetest.Draft(t, name, "bot", fmt.Sprint(i), "x"))
	}
	again := newDispatcher(t, s, Options{PresenceDelay: time.Hour})
	for _, name := range []string{"beta", "\u0432eta"} {
		if got := join(t, again, ann, name, "ann", Start{}).Room().Name().String(); got != name {
			t.Errorf("%q leads to %q", name, got)
		}
	}
}

package server

import (
	"testing"

	"kaban"
	"kaban/internal/chat"
)

// Connections that wait for the same state share a read, as long as it has not begun: one
// that has may miss what they have heard of.
func TestStateReadsAreShared(t *testing.T) {
	var reads stateReads
	den, lobby := stateKey{room: "den"}, stateKey{room: "lobby"}
	queue := func(key stateKey, want bool) {
		t.Helper()
		if got := reads.wait(key, stateWaiter{}); got != want {
			t.Errorf("a read of %s is queued: %t, want %t", key.room, got, want)
		}
	}
	begin := func(key stateKey, want int) {
		t.Helper()
		if got := len(reads.begin(key)); got != want {
			t.Errorf("%d wait for the read of %s, want %d", got, key.room, want)
		}
	}
	queue(den, true)
	queue(den, false)
	queue(lobby, true)
	queue(den, false)
	begin(den, 3)
	queue(den, true)
	begin(lobby, 1)
	begin(den, 1)
	if reads.waiting != nil {
		t.Errorf("%d reads are left", len(reads.waiting))
	}
}

// A connection shares reads with those that may know the same.
func TestStateKeys(t *testing.T) {
	room := func(name string) kaban.RoomName {
		r, err := kaban.ParseRoomName(name)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	session := func(account string, credential chat.Credential) *chat.Session {
		ann, err := kaban.ParseUsername("ann")
		if err != nil {
			t.Fatal(err)
		}
		s := &chat.Session{Credential: &credential}
		s.Identity = kaban.Account(account, ann)
		return s
	}
	first := stateKeyOf(session("a", chat.Credential{ID: "1"}), room("den"))
	for name, c := range map[string]struct {
		key  stateKey
		want bool
	}{
		"another token":       {stateKeyOf(session("a", chat.Credential{ID: "2"}), room("Den")), true},
		"another account":     {stateKeyOf(session("b", chat.Credential{ID: "1"}), room("den")), false},
		"another room":        {stateKeyOf(session("a", chat.Credential{ID: "1"}), room("lobby")), false},
		"a read-only token":   {stateKeyOf(session("a", chat.Credential{ID: "1", ReadOnly: true}), room("den")), false},
		"a device":            {stateKeyOf(session("a", chat.Credential{ID: "1", Device: true}), room("den")), false},
		"a token for a room":  {stateKeyOf(session("a", chat.Credential{ID: "1", Rooms: []string{"den"}}), room("den")), false},
		"a token for nothing": {stateKeyOf(session("a", chat.Credential{ID: "1", Rooms: []string{}}), room("den")), false},
	} {
		if got := c.key == first; got != c.want {
			t.Errorf("%s shares: %t, want %t", name, got, c.want)
		}
	}
	bound := chat.Credential{ID: "1", Rooms: []string{"den"}}
	one, other := stateKeyOf(session("a", bound), room("den")), stateKeyOf(session("a", bound), room("den"))
	if one == other {
		t.Error("connections share whose tokens are bound to rooms")
	}
}

// What a connection has to do with rooms is dropped when it is done, and not before.
func TestRoomsAreDropped(t *testing.T) {
	for name, c := range map[string]struct {
		rooms rooms
		want  bool
	}{
		"nothing":        {rooms{}, true},
		"leaving":        {rooms{leaving: "den"}, false},
		"telling":        {rooms{telling: true}, false},
		"news":           {rooms{dirty: make([]kaban.RoomName, 1)}, false},
		"a room is gone": {rooms{gone: map[string]struct{}{"den": {}}}, false},
		"none is gone":   {rooms{gone: map[string]struct{}{}}, true},
	} {
		client := client{session: new(chat.Session), greeted: true, rooms: &c.rooms}
		if client.dropRooms(); (client.rooms == nil) != c.want {
			t.Errorf("%s: dropped: %t, want %t", name, !c.want, c.want)
		}
		client.dropRooms() // again
		if client.rooms = &c.rooms; len(c.rooms.dirty) > 0 {
			continue
		}
		if client.tellStates(); (client.rooms == nil) != c.want {
			t.Errorf("%s: when all is told, dropped: %t, want %t", name, !c.want, c.want)
		}
	}
}

package store

import (
	"testing"

	"kaban"
)

func TestReleasedKeys(t *testing.T) {
	room, err := kaban.ParseRoomName("Lobby")
	if err != nil {
		t.Fatal(err)
	}
	from, to := ReleasedKeys()
	for _, seq := range []uint64{1, 17, 1<<40 - 1} {
		key := ReleasedKey(room, seq)
		if name, got, err := ParseReleased(key); name != room.Key() || got != seq || err != nil || key < from || key >= to {
			t.Errorf("%q, from %q to %q, is read as %q, %d, %v", key, from, to, name, got, err)
		}
	}
	for _, key := range []string{"", "released", "released/lobby", "released/lobby/x", "released/lobby/1/2", "release/lobby/1", "released/lobby/-1"} {
		if room, seq, err := ParseReleased(key); err == nil {
			t.Errorf("%q is read as %q, %d", key, room, seq)
		}
	}
}

package dispatch

import (
	"fmt"

	"kaban"
)

// LookalikeError says that a room is not made because people would take it for
// one that is there. Rooms that are there stay, whatever they look like.
type LookalikeError struct {
	Wanted kaban.RoomName
	Room   kaban.RoomName // the one that is there
}

func (e *LookalikeError) Error() string {
	return fmt.Sprintf("room %s looks like %s, which is another room; join that one, or choose another name", e.Wanted, e.Room)
}

// looksOfNew returns what a room looks like if it is not there yet, else nil. It
// takes a while for some names, so no lock is held meanwhile.
func (d *Dispatcher) looksOfNew(name kaban.RoomName) []string {
	if d.room(name) != nil {
		return nil
	}
	return name.Looks()
}

// lookalikeLocked returns a room that a new one with these looks would be taken
// for, nil if there is none.
func (d *Dispatcher) lookalikeLocked(looks []string) *Room {
	for _, look := range looks {
		if r := d.rooms[look]; r != nil { // the first look of a room is its key
			return r
		}
		if r := d.looks[look]; r != nil {
			return r
		}
	}
	return nil
}

// noteLooksLocked keeps what a room looks like beside its key, which few rooms
// have.
func (d *Dispatcher) noteLooksLocked(r *Room) {
	for _, look := range r.looks {
		if d.looks[look] == nil {
			d.looks[look] = r
		}
	}
}

func (d *Dispatcher) forgetLooksLocked(r *Room) {
	for _, look := range r.looks {
		if d.looks[look] == r {
			delete(d.looks, look)
		}
	}
}

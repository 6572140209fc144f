package dispatch

import (
	"fmt"

	"kaban"
)

// LookalikeError reports that a room is not made because people would mistake it
// for an existing one. Existing rooms stay, whatever they look like.
type LookalikeError struct {
	Wanted kaban.RoomName
	// Room is the existing one; the zero value if it is in no list, so that nobody
	// learns its name.
	Room kaban.RoomName
}

func (e *LookalikeError) Error() string {
	if e.Room.IsZero() {
		return fmt.Sprintf("room %s looks like another room; choose another name", e.Wanted)
	}
	return fmt.Sprintf("room %s looks like %s, which is another room; join that one, or choose another name", e.Wanted, e.Room)
}

// lookalike returns the error for a room that is not made because of another one.
func lookalike(wanted kaban.RoomName, other *Room) *LookalikeError {
	e := &LookalikeError{Wanted: wanted}
	if !other.unlisted {
		e.Room = other.name
	}
	return e
}

// looksOfNew returns the looks of a room's name, or nil if the room is known.
// Some names take a while, so no lock is held meanwhile.
func (d *Dispatcher) looksOfNew(name kaban.RoomName) []string {
	if d.Peek(name) != nil {
		return nil
	}
	return name.Looks()
}

// lookalikeLocked returns a room that a new one with these looks would be
// mistaken for, or nil.
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

// noteLooksLocked records the looks of a room other than its key, which few rooms
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

package tui

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"kaban"
	"kaban/client"
)

// place is an open room with the cursor up to which it was read.
type place struct {
	room   string
	cursor client.Cursor
	last   bool // the room that was open at last
}

// lastMark begins the line with the room that was open at last. No name of a room has it.
const lastMark = "> "

// places is the file with the places at a server, so that the next start opens the
// same rooms and knows what is unread.
type places struct{ path string }

// placesOf returns the places at a server under a username.
func placesOf(server, username string) places {
	safe := strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ':' || r < ' ' {
			return '_'
		}
		return r
	}, server+"-"+username)
	return places{inHome("XDG_STATE_HOME", ".local/state", "rooms-"+safe)}
}

// load returns the places in the order of the rooms. It skips unreadable lines: the
// file is a convenience.
func (p places) load() (all []place) {
	if p.path == "" {
		return nil
	}
	text, err := os.ReadFile(p.path)
	if err != nil || len(text) > 1<<20 {
		return nil
	}
	last := ""
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSuffix(l, "\n")
		if room, ok := strings.CutPrefix(l, lastMark); ok {
			last = room
			continue
		}
		name, at, _ := strings.Cut(l, " ")
		room, err := kaban.ParseAnyRoom(name)
		if err != nil || len(all) >= 100 {
			continue
		}
		cursor, err := client.ParseCursor(at)
		if err != nil {
			continue
		}
		all = append(all, place{room: room.String(), cursor: cursor})
	}
	for i := range all {
		all[i].last = all[i].room == last
	}
	return all
}

// save replaces the file, if the places have changed.
func (p places) save(all []place) error {
	if p.path == "" {
		return nil
	}
	var b strings.Builder
	for _, at := range all {
		fmt.Fprintf(&b, "%s %s\n", at.room, at.cursor)
		if at.last {
			fmt.Fprintf(&b, "%s%s\n", lastMark, at.room)
		}
	}
	if old, err := os.ReadFile(p.path); err == nil && string(old) == b.String() {
		return nil
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return writeFile(p.path, b.String())
}

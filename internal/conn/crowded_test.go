package conn_test

import (
	"testing"

	"kaban/internal/conn"
)

// A hello that has come is read before its connection has to make room.
func TestAHelloIsReadBeforeRoomIsMade(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	late, silent := l.connect(), l.connect()
	late.in = append(late.in, `{"type":"hello","version":1,"username":"ann"}`+"\n"...)
	late.h.MakeRoom()
	silent.h.MakeRoom()
	l.loop.Round()
	if late.gone || late.got(`"type":"welcome"`) != 1 {
		t.Errorf("a greeted client got %s", late.out)
	}
	if !silent.gone || silent.got(`"code":"server_full"`) != 1 || silent.got(`"type":"goodbye"`) != 1 {
		t.Errorf("a silent client got %s", silent.out)
	}
}

// A hello that is refused when its connection has to make room is answered.
func TestARefusedHelloIsAnsweredBeforeRoomIsMade(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	l.enter("ann")
	taken, broken := l.connect(), l.connect()
	taken.in = append(taken.in, `{"type":"hello","version":1,"username":"ann"}`+"\n"...)
	broken.in = append(broken.in, "GET / HTTP/1.1\n"...)
	taken.h.MakeRoom()
	broken.h.MakeRoom()
	if !taken.gone || taken.got(`"code":"username_taken"`) != 1 || taken.got(`"type":"goodbye","reason":"auth"`) != 1 {
		t.Errorf("a hello with a name that is taken got %q", taken.out)
	}
	if !broken.gone || broken.got(`"code":"bad_json"`) != 1 || broken.got(`"type":"goodbye","reason":"protocol"`) != 1 {
		t.Errorf("no hello got %q", broken.out)
	}
}

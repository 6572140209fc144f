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
		t.Errorf("who had said hello got %s", late.out)
	}
	if !silent.gone || silent.got(`"code":"server_full"`) != 1 || silent.got(`"type":"goodbye"`) != 1 {
		t.Errorf("who had said nothing got %s", silent.out)
	}
}

package conn_test

import (
	"testing"
	"time"

	"kaban/internal/conn"
)

// ping is a request with an answer.
const ping = `{"type":"ping"}` + "\n"

// A paused connection is not read, and is not silent however long that takes. Others
// of its loop go on, and it goes on itself when the time is over.
func TestAPausedConnectionWaits(t *testing.T) {
	const heartbeat = 2 * time.Second
	l := turnTimed(t, conn.Config{Heartbeat: heartbeat})
	slow, other := l.enter("slow"), l.enter("other")
	slow.h.Pause(time.Hour)
	slow.h.Pause(time.Minute) // the longest counts
	slow.in = append(slow.in, ping...)
	l.loop.Readable(slow.h)
	l.run(50*time.Minute, func() {
		if other.ends() {
			t.Fatal("another connection of the loop has ended")
		}
		other.in = append(other.in, ping...)
		l.loop.Readable(other.h)
	})
	if slow.ends() || slow.got(`"type":"ping"`) != 0 {
		t.Fatalf("a paused connection is pinged or ends: %s", slow.out)
	}
	if slow.got(`"type":"pong"`) != 0 || other.got(`"type":"pong"`) == 0 {
		t.Fatal("the paused connection is read, or the other is not")
	}
	l.run(11*time.Minute, func() {
		other.in = append(other.in, ping...)
		l.loop.Readable(other.h)
	})
	if slow.got(`"type":"pong"`) != 1 {
		t.Errorf("after its pause a connection got %s", slow.out)
	}
	l.run(10*heartbeat, nil)
	if !slow.ends() {
		t.Error("a connection that was paused is never given up")
	}
}

// A loop wakes for a pause that ends before its next sweep, and not before it.
func TestALoopSleepsUntilAPauseEnds(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	a, b := l.enter("a"), l.enter("b")
	l.loop.Round()
	sweep := l.loop.Rest()
	a.h.Pause(sweep / 2)
	b.h.Pause(sweep / 4)
	if got := l.loop.Rest(); got != sweep/4 {
		t.Errorf("the loop waits %s, want %s", got, sweep/4)
	}
	l.clock.move(sweep / 4)
	l.loop.Round()
	if got := l.loop.Rest(); got != sweep/4 {
		t.Errorf("after the first pause the loop waits %s, want %s", got, sweep/4)
	}
	a.h.Pause(10 * sweep)
	if got := l.loop.Rest(); got > sweep {
		t.Errorf("the loop waits %s and does not sweep", got)
	}
}

// A pause holds back requests that were read with the one that caused it, and a
// connection that ends meanwhile leaves nothing behind.
func TestAPausedConnectionEnds(t *testing.T) {
	l := turnTimed(t, conn.Config{})
	p := l.enter("p")
	p.h.Pause(time.Hour)
	p.h.End(conn.Replaced, 0)
	l.loop.Round()
	if p.got(`"type":"goodbye"`) != 1 {
		t.Errorf("a paused connection that ends got %s", p.out)
	}
	l.run(time.Minute, nil)
	if !p.h.IsClosed() || l.loop.Pauses() != 0 {
		t.Errorf("the connection is closed: %t; %d pauses are left", p.h.IsClosed(), l.loop.Pauses())
	}
	p.h.Pause(time.Hour)
	if l.loop.Pauses() != 0 {
		t.Error("a closed connection is paused")
	}
}

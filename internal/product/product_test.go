package product

import (
	"fmt"
	"testing"

	"kaban"
	"kaban/internal/access"
)

// fronts are the front ends. Of all but kaban/1 over TCP every rarity-th scenario is tried.
var fronts = []struct {
	name   string
	front  driver
	rarity int
}{
	{"kaban-1", lines{}, 5},
	{"websocket without a cookie", lines{overWebSocket: true}, 15},
	{"websocket with a cookie", lines{overWebSocket: true, cookie: true}, 10},
	{"API with a header", api{}, 5},
	{"API with a cookie", api{cookie: true}, 5},
}

// forFronts runs a test with each front end.
func forFronts(t *testing.T, test func(w *world, tried func() bool)) {
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t, f.front)
			test(w, sample(t, f.rarity))
			t.Logf("%d requests", w.count)
		})
	}
}

// TestAgrees tries everything from every place in a room.
func TestAgrees(t *testing.T) {
	forFronts(t, func(w *world, tried func() bool) {
		each(device, func(s *scenario) {
			if w.front.has(s) && tried() {
				w.tryAll(s)
			}
		})
	})
}

// TestCredentialsAgree is TestAgrees with tokens and with bots.
func TestCredentialsAgree(t *testing.T) {
	forFronts(t, func(w *world, tried func() bool) {
		for c := program; c < endOfCredentials; c++ {
			each(c, func(s *scenario) {
				if w.front.has(s) && tried() && tried() {
					w.tryAll(s)
				}
			})
		}
	})
}

func (w *world) tryAll(s *scenario) {
	w.t.Helper()
	room, ask, leave := w.stage(s, append([]string{"tina"}, targets...)...)
	defer leave()
	for _, step := range steps {
		w.check(s, room, ask, step)
	}
	w.checkChanges(s, room, ask) // by an account, without having joined
	w.checkSend(s, room, ask)
	w.checkChanges(s, room, ask)
	w.checkList(s, room, ask)
}

// TestAgreesAboutRooms tries what changes the room or one's place in it.
func TestAgreesAboutRooms(t *testing.T) {
	for _, f := range fronts {
		if !f.front.subscribes() {
			continue // the others have no such requests
		}
		t.Run(f.name, func(t *testing.T) {
			tried, w := sample(t, 3*f.rarity), newWorld(t, f.front)
			for c := device; c < endOfCredentials; c++ {
				for _, step := range last {
					each(c, func(s *scenario) {
						if w.front.has(s) && tried() && (c == device || tried()) {
							room, ask, leave := w.stage(s)
							w.check(s, room, ask, step)
							w.leaveRoom(s, room)
							leave()
						}
					})
				}
			}
			t.Logf("%d requests", w.count)
		})
	}
}

// leaveRoom has a connection that joined leave, since it can be in 100 rooms only.
func (w *world) leaveRoom(s *scenario, room string) {
	w.t.Helper()
	if p := w.peers[s.name()]; p != nil && s.role == kaban.RoleVisitor {
		p.ask(frame{"type": "part", "room": room})
	}
}

// check takes a step and compares the answer with the function.
func (w *world) check(s *scenario, room, ask string, step step) {
	w.t.Helper()
	f := s.facts()
	if step.facts != nil {
		step.facts(&f)
	}
	switch step.action {
	case access.Create, access.CreatePrivate, access.ChangeRetention:
		if s.kind == kaban.RoomDirect {
			return // which has no name for that
		}
	}
	request := step.request(asker{w, s.name()}, room)
	w.compare(s, ask, request, step.decides(&f), f)
}

// compare sends a request, if the front end has it, and compares the answer with the
// function. It returns the answer.
func (w *world) compare(s *scenario, ask string, request frame, action access.Action, f access.Facts) frame {
	w.t.Helper()
	what := fmt.Sprint(request["type"])
	action, ok := w.front.offers(what, action)
	if !ok {
		return nil
	}
	w.front.sees(s, &f, what)
	w.count++
	a := w.front.answer(w, ask, request)
	if got, want := a.code(), code(access.Can(action, f)); got != want {
		w.t.Errorf("%v: %s (%v) answers %q, want %q", s, what, action, got, want)
	}
	return a
}

var notJoined = access.NotJoined.String()

// checkSend subscribes in the way that the scenario has, and sends.
func (w *world) checkSend(s *scenario, room, ask string) {
	w.t.Helper()
	send := w.act("send", room, "", frame{"content": "hello"})
	reply := w.act("send", room, "", frame{"content": "hello", "reply_to": w.write(room, "opal")})
	if !w.front.subscribes() {
		w.compare(s, ask, frame{"type": "watch", "room": room}, access.Read, s.facts())
		w.compare(s, ask, send, access.Send, s.facts())
		w.compare(s, ask, reply, access.Send, s.facts())
		return
	}
	p, f := w.as(ask), s.facts()
	read := code(access.Can(access.Read, f))
	if s.rank != 0 {
		w.compare(s, ask, frame{"type": "join", "room": room}, access.Join, f)
	} else if got := p.ask(frame{"type": "watch", "room": room}); got != read {
		w.t.Errorf("%v: watch answers %q, want %q", s, got, read)
	}
	typing := frame{"type": "typing", "room": room}
	w.count += 3
	if s.rank == 0 || access.Can(access.Join, f) != access.Allowed {
		if got := p.ask(send); got != notJoined { // whatever the credential and the room
			w.t.Errorf("%v: send answers %q", s, got)
		}
		if got := p.ask(reply); got != notJoined {
			w.t.Errorf("%v: a reply answers %q", s, got)
		}
		if got := p.ask(typing); got != notJoined {
			w.t.Errorf("%v: typing answers %q", s, got)
		}
	} else {
		w.compare(s, ask, typing, access.Send, f) // whoever may send may type
		w.compare(s, ask, send, access.Send, f)
		w.compare(s, ask, reply, access.Send, f)
		w.compare(s, ask, typing, access.Send, f)
	}
	if s.rank == 0 && read == "" {
		p.must(frame{"type": "unwatch", "room": room})
	}
}

// checkList looks for the room in the list of rooms.
func (w *world) checkList(s *scenario, room, ask string) {
	w.t.Helper()
	f := s.facts()
	w.front.sees(s, &f, "rooms")
	want := s.kind != kaban.RoomDirect && access.Can(access.Know, f) == access.Allowed &&
		(s.kind == kaban.RoomPublic || f.Membership.Role != 0)
	w.count++
	a := w.front.answer(w, ask, frame{"type": "rooms", "after": before(room), "limit": 1})
	rooms, _ := a["rooms"].([]any)
	listed := false
	for _, r := range rooms {
		entry, _ := r.(map[string]any)
		listed = listed || entry["room"] == room
	}
	if listed != want {
		w.t.Errorf("%v: in the list of rooms: %t, want %t", s, listed, want)
	}
}

// before returns a text that sorts right before a name.
func before(name string) string {
	return name[:len(name)-1] + string(name[len(name)-1]-1) + "zzz"
}

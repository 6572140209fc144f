package torture

import (
	"fmt"
	"net/http"
	"time"

	"kaban/internal/store/journal/journaltest"
)

// erasures make accounts that write, and erase them. An erasing that was begun ends after a restart,
// counts what was written, and leaves nothing of it in the data directory, and in no row of a database.
type erasures struct {
	by, stays, other *staff
	files            *journaltest.Searcher
	n                int
	all              []*subject
}

// subject is an account to be erased.
type subject struct {
	username                   string
	messages, reactions, texts int // that it has written
	begun                      outcome
	done                       bool
}

const tomb = "tomb"

// mark begins every text of a subject.
func (s *subject) mark() string { return "mark-of-" + s.username + "-" }

func (e *erasures) prepare(w *world) {
	e.files = journaltest.NewSearcher(w.data)
	l, err := w.dial(e.stays.secret)
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.conn.Close()
	w.tell(l, map[string]any{"type": "create", "room": tomb, "kind": "private"})
	w.tell(l, map[string]any{"type": "invite", "room": tomb, "id": "first", "username": e.other.username})
	e.add(w)
}

// perLife is how many accounts write between two deaths, to be erased before the next.
const perLife = 2

// add makes accounts and has them write, on a server without faults.
func (e *erasures) add(w *world) {
	for range perLife {
		e.n++
		s := &subject{username: fmt.Sprint("erased-", e.n)}
		made := w.request(e.by.secret, http.MethodPost, "/v1/admin/users", map[string]string{"username": s.username, "name": s.mark() + "name", "role": "member", "password": "password of " + s.username})
		if made.outcome != acked || !e.write(w, s) {
			w.violation("erase: %s cannot write: %d %s", s.username, made.status, made.body)
			return
		}
		e.all = append(e.all, s)
	}
	e.files.Look(w.t)
	if w.database != nil {
		w.database.analyze(w.t)
	}
	if found := e.find(w, e.all[len(e.all)-1]); len(found) == 0 {
		w.violation("erase: what %s wrote is nowhere, so nobody sees that it goes", e.all[len(e.all)-1].username)
	}
}

// find returns the files and tables that have some of what a subject wrote.
func (e *erasures) find(w *world, s *subject) []string {
	found := e.files.Find(w.t, s.mark())
	if w.database != nil {
		found = append(found, w.database.find(w.t, s.mark())...)
	}
	return found
}

func (e *erasures) work(w *world) {
	for _, s := range e.all {
		if !s.done && s.begun == unknown && w.alive() {
			e.erase(w, s)
			for s.begun == acked && w.alive() && e.state(w, s).State != "done" {
				time.Sleep(time.Millisecond)
			}
		}
	}
}

// erased is how far an erasing is.
type erased struct {
	State                             string
	Messages, Reactions, Texts, Rooms int
}

// state asks for it. Without an answer it is empty.
func (e *erasures) state(w *world, s *subject) (report erased) {
	a := w.request(e.by.secret, http.MethodGet, "/v1/admin/users/"+s.username+"/erase", nil)
	if a.outcome == acked {
		decode(w, a, &report)
	}
	return report
}

// erase asks for the erasing.
func (e *erasures) erase(w *world, s *subject) {
	a := w.request(e.by.secret, http.MethodPost, "/v1/admin/users/"+s.username+"/erase", nil)
	if s.begun = a.outcome; a.outcome == refused {
		w.violation("erase: %s: %d %s", s.username, a.status, a.body)
	}
}

// write has a subject write messages, topics and reasons in a room, and react.
func (e *erasures) write(w *world, s *subject) bool {
	signed := w.signIn(s.username, "password of "+s.username)
	if signed.outcome != acked {
		return false
	}
	host, err := w.dial(e.stays.secret)
	if err != nil {
		return false
	}
	defer host.conn.Close()
	l, err := w.dial(signed.cookie)
	if err != nil {
		return false
	}
	defer l.conn.Close()
	n := 0
	say := func(by *line, frame map[string]any) (seq uint64, ok bool) {
		n++
		frame["room"], frame["id"] = tomb, fmt.Sprint(s.username, "-", n)
		answer, err := by.call(frame)
		o, _ := outcomeOf(answer, err)
		if w.count(o); o == refused {
			w.violation("erase: %v is answered with %v", frame, answer)
		}
		at, _ := answer["seq"].(float64)
		return uint64(at), o == acked
	}
	for _, frame := range []map[string]any{{"type": "invite"}, {"type": "role", "role": "op"}} {
		frame["username"] = s.username
		if _, ok := say(host, frame); !ok {
			return false
		}
	}
	for _, by := range []*line{host, l} {
		if _, err := by.call(map[string]any{"type": "join", "room": tomb}); err != nil {
			return false
		}
	}
	theirs, ok := say(host, map[string]any{"type": "send", "content": "of somebody else"})
	if !ok {
		return false
	}
	doomed, ok := say(host, map[string]any{"type": "send", "content": "of somebody else"})
	if !ok {
		return false
	}
	mine := uint64(0)
	for i := range 3 {
		if mine, ok = say(l, map[string]any{"type": "send", "content": fmt.Sprint(s.mark(), "message-", i)}); !ok {
			return false
		}
		s.messages++
	}
	for _, frame := range []map[string]any{
		{"type": "edit", "target": mine, "content": s.mark() + "edit"},
		{"type": "react", "target": theirs, "emoji": "👍", "on": true},
		{"type": "react", "target": theirs, "emoji": "👍", "on": false},
		{"type": "react", "target": theirs, "emoji": "🎉", "on": true},
		{"type": "topic", "topic": s.mark() + "topic"},
		{"type": "mute", "username": e.other.username, "reason": s.mark() + "mute"},
		{"type": "unmute", "username": e.other.username},
		{"type": "delete", "target": doomed, "reason": s.mark() + "excuse"},
	} {
		if _, ok := say(l, frame); !ok {
			return false
		}
	}
	s.reactions, s.texts = 1, 3
	return true
}

// check: an erasing that had no answer is asked for again only if it had not begun.
func (e *erasures) check(s *State, report reporter) {
	for _, one := range e.all {
		if erased := s.RowsOf("account.erase", one.username); erased > 1 || erased == 0 && (one.done || one.begun == acked) {
			report("erase: %d rows erase %s", erased, one.username)
		}
	}
}

// verify waits for all erasings that were asked for, and asks again for those that have not begun.
func (e *erasures) verify(w *world) {
	for _, s := range e.all {
		if s.done {
			continue
		}
		var report erased
		anew := false
		ended := w.until(func() bool {
			if report = e.state(w, s); report.State == "none" {
				if s.begun == acked && !anew {
					w.violation("erase: that of %s was acknowledged and has not begun", s.username)
				}
				anew = true
				e.erase(w, s)
			}
			return report.State == "done"
		})
		if !ended {
			w.violation("erase: that of %s does not end: %+v", s.username, report)
			return
		}
		s.done = true
		if w.erased++; !anew {
			w.resumed++
		}
		if want := (erased{"done", s.messages, s.reactions, s.texts, 1}); report != want {
			w.violation("erase: that of %s reports %+v, want %+v", s.username, report, want)
		}
		if found := e.find(w, s); len(found) > 0 {
			w.violation("erase: %s is erased, and %v have some of what it wrote", s.username, found)
		}
	}
	e.add(w)
}

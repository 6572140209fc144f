package torture

import (
	"fmt"
	"net/http"

	"kaban/internal/people"
)

// leavers makes accounts that are ops of a room with somebody else, and removes them.
type leavers struct {
	by, stays *staff
	n         int
	removed   map[string]bool // by username; false if that is not known
}

const ward = "ward"

func (l *leavers) prepare(w *world) {
	c, err := w.dial(l.stays.secret)
	if err != nil {
		w.t.Fatal(err)
	}
	defer c.conn.Close()
	l.removed = make(map[string]bool)
	w.tell(c, map[string]any{"type": "create", "room": ward, "kind": "private"})
}

func (l *leavers) work(w *world) {
	for w.alive() {
		l.n++
		name := fmt.Sprint("leaver-", l.n)
		made := w.request(l.by.secret, http.MethodPost, "/v1/admin/users", map[string]string{"username": name, "role": "member", "password": "password of " + name})
		if made.outcome != acked || !l.enter(w, name) {
			continue
		}
		l.removed[name] = false
		switch a := w.request(l.by.secret, http.MethodDelete, "/v1/admin/users/"+name, nil); a.outcome {
		case acked:
			l.removed[name] = true
		case refused:
			w.violation("remove: %s: %d %s", name, a.status, a.body)
		}
	}
}

// enter makes an account op of the room.
func (l *leavers) enter(w *world, name string) bool {
	c, err := w.dial(l.stays.secret)
	if err != nil {
		return false
	}
	defer c.conn.Close()
	for _, f := range []map[string]any{{"type": "invite"}, {"type": "role", "role": "op"}} {
		f["room"], f["id"], f["username"] = ward, fmt.Sprint(f["type"], "-", name), name
		answer, err := c.call(f)
		if err != nil {
			return false
		}
		if answer["type"] == "error" {
			w.violation("remove: %v is answered with %v", f, answer)
			return false
		}
	}
	return true
}

// check: whoever was removed is so. That it leaves the room is checked of all accounts.
func (l *leavers) check(s *State, report reporter) {
	for name, known := range l.removed {
		a := s.Accounts[name]
		if removed := a.Status == people.StatusRemoved; known && !removed {
			report("remove: %s is %s, and its removal was acknowledged", name, a.Status)
		} else if rows := s.RowsOf("account.remove", name); (rows == 1) != removed {
			report("remove: %s is %s, and %d rows remove it", name, a.Status, rows)
		}
	}
}

func (l *leavers) verify(w *world) {}

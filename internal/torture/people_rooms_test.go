package torture

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"kaban"
	"kaban/internal/people"
)

// tell sends a frame of the set-up, which must succeed.
func (w *world) tell(l *line, frame map[string]any) {
	w.t.Helper()
	a, err := l.call(frame)
	if o, _ := outcomeOf(a, err); o != acked {
		w.t.Fatalf("%v: %v %v", frame, a, err)
	}
}

// act is an entry that somebody asked for.
type act struct {
	by    *staff
	frame map[string]any
	outcome
	seq uint64
}

// try asks for an entry.
func (w *world) try(l *line, a *act) {
	answer, err := l.call(maps.Clone(a.frame))
	a.outcome, _ = outcomeOf(answer, err)
	if seq, ok := answer["seq"].(float64); ok && a.outcome == acked {
		a.seq = uint64(seq)
	}
}

// checkActs compares the log with the answers, and learns what became of the acts
// without one.
func checkActs(s *State, room string, acts []*act, report reporter) {
	type key struct{ author, id string }
	stored := make(map[key]uint64)
	for _, e := range s.Entries[room] {
		k := key{e.Author.Name().String(), e.ID.String()}
		if before := stored[k]; before != 0 {
			report("entry: %v is stored as %d and as %d", k, before, e.Seq)
		}
		stored[k] = e.Seq
	}
	for _, a := range acts {
		id, _ := a.frame["id"].(string)
		seq := stored[key{a.by.username, id}]
		switch {
		case a.outcome == acked && seq != a.seq:
			report("entry: %v was acknowledged as %d and is stored as %d", a.frame, a.seq, seq)
		case a.outcome == refused && seq != 0:
			report("entry: %v was refused and is stored as %d", a.frame, seq)
		case a.outcome == unknown && seq != 0:
			a.seq = seq // it is asked for again, and must get the same
		}
	}
}

// kicks kicks and invites somebody that goes on sending, and changes the role of
// somebody else.
type kicks struct {
	op, target, other, guest *staff

	mu   sync.Mutex
	n    int
	acts []*act
}

const ring = "ring"

func (k *kicks) prepare(w *world) {
	l, err := w.dial(k.op.secret)
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.conn.Close()
	w.tell(l, map[string]any{"type": "create", "room": ring, "kind": "private"})
	for i, p := range []*staff{k.target, k.other} {
		w.tell(l, map[string]any{"type": "invite", "room": ring, "id": fmt.Sprint("first-", i), "username": p.username})
	}
}

// next returns an act with an id of its own.
func (k *kicks) next(by *staff, frame map[string]any) *act {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	frame["room"], frame["id"] = ring, fmt.Sprint("act-", k.n)
	a := &act{by: by, frame: frame}
	k.acts = append(k.acts, a)
	return a
}

func (k *kicks) work(w *world) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { k.send(w) })
	group.Go(func() { k.intrude(w) })
	l, err := w.dial(k.op.secret)
	if err != nil {
		return
	}
	defer l.conn.Close()
	for n := 0; w.alive(); n++ {
		role := kaban.RoomRole(n%3) + kaban.RoomRoleMember
		for _, frame := range []map[string]any{
			{"type": "kick", "username": k.target.username},
			{"type": "invite", "username": k.target.username},
			{"type": "role", "username": k.other.username, "role": role.String()},
		} {
			a := k.next(k.op, frame)
			w.try(l, a)
			w.count(a.outcome)
			if a.outcome == unknown {
				return
			}
			time.Sleep(time.Millisecond) // for a send between them
		}
	}
}

// send sends as long as the target is a member.
func (k *kicks) send(w *world) {
	l, err := w.dial(k.target.secret)
	if err != nil {
		return
	}
	defer l.conn.Close()
	for w.alive() {
		joined, err := l.call(map[string]any{"type": "join", "room": ring})
		if err != nil {
			return
		}
		for o := acked; joined["type"] == "joined" && o == acked; {
			a := k.next(k.target, map[string]any{"type": "send", "content": "hello"})
			w.try(l, a)
			if o = a.outcome; o == unknown {
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// intrude has somebody moderate that is no member.
func (k *kicks) intrude(w *world) {
	l, err := w.dial(k.guest.secret)
	if err != nil {
		return
	}
	defer l.conn.Close()
	for w.alive() {
		a := k.next(k.guest, map[string]any{"type": "kick", "username": k.other.username})
		w.try(l, a)
		if w.count(a.outcome); a.outcome == acked {
			w.violation("kick: %v", a.frame)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (k *kicks) check(s *State, report reporter) {
	checkActs(s, ring, k.acts, report)
	for _, p := range []*staff{k.op, k.other} {
		if _, in := s.Members[ring][s.Accounts[p.username].ID]; !in {
			report("kick: %s is no member any more", p.username)
		}
	}
}

// verify asks for everything again that had no answer.
func (k *kicks) verify(w *world) {
	lines := make(map[*staff]*line)
	for _, a := range k.acts {
		if a.outcome != unknown {
			continue
		}
		l := lines[a.by]
		if l == nil {
			var err error
			if l, err = w.dial(a.by.secret); err != nil {
				return
			}
			defer l.conn.Close()
			lines[a.by] = l
		}
		before := a.seq
		if w.try(l, a); before != 0 && a.seq != before {
			w.violation("entry: %v is stored as %d, and asked for again it is %d", a.frame, before, a.seq)
		}
	}
	l := lines[k.op]
	if l == nil {
		var err error
		if l, err = w.dial(k.op.secret); err != nil {
			return
		}
		defer l.conn.Close()
	}
	w.try(l, k.next(k.op, map[string]any{"type": "invite", "username": k.target.username}))
}

// heirs suspends the last op of a room, which gets another one.
type heirs struct {
	by, op, heir *staff
	n            int
	rows         [2]int // that suspend and restore, as of the last check and the answers since
	open         bool
	suspended    bool
	acts         []*act
}

const duo = "duo"

func (h *heirs) prepare(w *world) {
	l, err := w.dial(h.op.secret)
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.conn.Close()
	w.tell(l, map[string]any{"type": "create", "room": duo, "kind": "private"})
	w.tell(l, map[string]any{"type": "invite", "room": duo, "id": "first", "username": h.heir.username})
}

func (h *heirs) work(w *world) {
	for w.alive() {
		if h.suspended {
			if !w.until(func() bool { return h.roleOf(w) == "op" }) || !h.administer(w, "restore", 1, nil) {
				return
			}
			h.suspended = false
		}
		if !h.demote(w) {
			return
		}
		h.n++
		if !h.administer(w, "suspend", 0, map[string]string{"reason": fmt.Sprint("reason ", h.n)}) {
			return
		}
		h.suspended = true
	}
}

func (h *heirs) administer(w *world, verb string, row int, body any) bool {
	a := w.request(h.by.secret, http.MethodPost, "/v1/admin/users/"+h.op.username+"/"+verb, body)
	switch a.outcome {
	case acked:
		h.rows[row]++
	case refused:
		w.violation("suspend: %s: %d %s", verb, a.status, a.body)
	default:
		h.open = true
	}
	return a.outcome == acked
}

// demote makes the op the last one again.
func (h *heirs) demote(w *world) bool {
	l, err := w.dial(h.op.secret)
	if err != nil {
		return false
	}
	defer l.conn.Close()
	h.n++
	a := &act{by: h.op, frame: map[string]any{"type": "role", "room": duo, "id": fmt.Sprint("act-", h.n), "username": h.heir.username, "role": "member"}}
	h.acts = append(h.acts, a)
	w.try(l, a)
	if w.count(a.outcome); a.outcome == refused {
		w.violation("suspend: %v is refused", a.frame)
	}
	return a.outcome == acked
}

// roleOf returns the role of the heir, as the server says.
func (h *heirs) roleOf(w *world) string {
	l, err := w.dial(h.heir.secret)
	if err != nil {
		return ""
	}
	defer l.conn.Close()
	answer, err := l.call(map[string]any{"type": "members", "room": duo})
	if err != nil {
		return ""
	}
	members, _ := answer["members"].([]any)
	for _, m := range members {
		if one, _ := m.(map[string]any); one["username"] == h.heir.username {
			role, _ := one["role"].(string)
			return role
		}
	}
	return ""
}

func (h *heirs) check(s *State, report reporter) {
	rows := [2]int{s.RowsOf("account.suspend", h.op.username), s.RowsOf("account.restore", h.op.username)}
	if more := rows[0] + rows[1] - h.rows[0] - h.rows[1]; more < 0 || more > 1 || more == 1 && !h.open {
		report("suspend: %v rows suspend and restore, and %v were acknowledged", rows, h.rows)
	}
	h.rows, h.open, h.suspended = rows, false, rows[0] > rows[1]
	if a := s.Accounts[h.op.username]; (a.Status == people.StatusSuspended) != h.suspended {
		report("suspend: %s is %s, and %v rows suspend and restore it", a.Username, a.Status, rows)
	}
	checkActs(s, duo, h.acts, report)
}

func (h *heirs) verify(w *world) {
	a := w.request(h.op.secret, http.MethodGet, "/v1/session", nil)
	if a.outcome != unknown && (a.code == "suspended") != h.suspended {
		w.violation("suspend: %s has %d %s (suspended: %t)", h.op.username, a.status, a.body, h.suspended)
	}
	if h.suspended { // a server that starts does what the last one left
		w.until(func() bool { return h.roleOf(w) == "op" })
	}
}

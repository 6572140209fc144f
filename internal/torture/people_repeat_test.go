package torture

import (
	"fmt"
	"maps"
)

// repeaters react and pin with changes that make no difference. Their ids are used: asked for again, after
// somebody has taken the reaction back and after a restart, they are answered as the first time.
type repeaters struct {
	by   *staff
	n    int
	same []*idle
}

// idle is a change that makes no difference.
type idle struct {
	frame map[string]any
	since uint64 // the entry that has made the difference
	outcome
}

const shelf = "shelf"

// maxRepeated is how many of them are asked for again after a restart.
const maxRepeated = 40

func (r *repeaters) prepare(w *world) {
	l, err := w.dial(r.by.secret)
	if err != nil {
		w.t.Fatal(err)
	}
	defer l.conn.Close()
	w.tell(l, map[string]any{"type": "create", "room": shelf, "kind": "private"})
}

// ask asks for a change with an id of its own, and returns its entry; 0 if there is no answer.
func (r *repeaters) ask(w *world, l *line, frame map[string]any) uint64 {
	r.n++
	frame["room"], frame["id"] = shelf, fmt.Sprint("once-", r.n)
	answer, err := l.call(maps.Clone(frame))
	o, _ := outcomeOf(answer, err)
	if w.count(o); o == refused {
		w.violation("repeat: %v is answered with %v", frame, answer)
	}
	seq, _ := answer["seq"].(float64)
	if o == acked && answer["duplicate"] == true {
		w.violation("repeat: %v makes a difference and is answered with %v", frame, answer)
	}
	return uint64(seq)
}

// again asks for a change that makes no difference.
func (r *repeaters) again(w *world, l *line, i *idle) {
	answer, err := l.call(maps.Clone(i.frame))
	o, _ := outcomeOf(answer, err)
	if w.count(o); o == unknown {
		return
	}
	i.outcome = o
	w.idle++
	if seq, _ := answer["seq"].(float64); o == refused || answer["duplicate"] != true || uint64(seq) != i.since {
		w.violation("repeat: %v makes no difference since %d and is answered with %v", i.frame, i.since, answer)
	}
}

func (r *repeaters) work(w *world) {
	l, err := w.dial(r.by.secret)
	if err != nil {
		return
	}
	defer l.conn.Close()
	if _, err := l.call(map[string]any{"type": "join", "room": shelf}); err != nil {
		return
	}
	for w.alive() {
		target := r.ask(w, l, map[string]any{"type": "send", "content": "hello"})
		for _, change := range []map[string]any{{"type": "react", "emoji": "👍"}, {"type": "pin"}} {
			if target == 0 {
				return
			}
			change["target"], change["on"] = target, true
			since := r.ask(w, l, maps.Clone(change))
			if since == 0 {
				return
			}
			for range 2 {
				r.n++
				i := &idle{frame: maps.Clone(change), since: since}
				i.frame["room"], i.frame["id"] = shelf, fmt.Sprint("same-", r.n)
				r.same = append(r.same, i)
				if r.again(w, l, i); i.outcome == unknown {
					return // nothing took it back, so it makes no difference later either
				}
			}
			change["on"] = false
			if r.ask(w, l, change) == 0 {
				return
			}
		}
	}
}

// check: none of them is an entry.
func (r *repeaters) check(s *State, report reporter) {
	ids := make(map[string]bool)
	for _, i := range r.same {
		id, _ := i.frame["id"].(string)
		ids[id] = true
	}
	for _, e := range s.Entries[shelf] {
		if ids[e.ID.String()] {
			report("repeat: %s made no difference and is entry %d", e.ID, e.Seq)
		}
	}
}

func (r *repeaters) verify(w *world) {
	l, err := w.dial(r.by.secret)
	if err != nil {
		return
	}
	defer l.conn.Close()
	for _, i := range r.same[max(0, len(r.same)-maxRepeated):] {
		r.again(w, l, i)
	}
}

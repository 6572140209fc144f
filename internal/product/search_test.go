package product

import (
	"fmt"
	"slices"
	"testing"

	"kaban/internal/access"
)

// TestSearchAgrees looks for a message from every place in its room: it is found by those that
// may read it, whether the search is of all rooms or names the room.
func TestSearchAgrees(t *testing.T) {
	forFronts(t, func(w *world, tried func() bool) {
		for c := device; c < endOfCredentials; c++ {
			each(c, func(s *scenario) {
				if w.front.has(s) && tried() {
					w.trySearch(s)
				}
			})
		}
	})
}

func (w *world) trySearch(s *scenario) {
	w.t.Helper()
	room, ask, leave := w.stage(s)
	defer leave()
	word := fmt.Sprint("needle", w.ids)
	hit := fmt.Sprint(room, " ", w.say(room, "opal", word))
	if err := w.index.Wait(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	f := s.facts()
	w.front.sees(s, &f, "search")
	var want []string
	if access.Can(access.Read, f) == access.Allowed {
		want = []string{hit}
	}
	check := func(what string, a frame) {
		w.t.Helper()
		if got := hits(a); a["partial"] == true || a["more"] == true || !slices.Equal(got, want) {
			w.t.Errorf("%v: a search of %s finds %q, want %q: %v", s, what, got, want, a)
		}
	}
	check("the room", w.compare(s, ask, frame{"type": "search", "query": word, "room": room}, access.Read, s.facts()))
	for _, query := range []string{word, word + " in:" + room} {
		w.count++
		a := w.front.answer(w, ask, frame{"type": "search", "query": query})
		if a.code() != "" {
			w.t.Errorf("%v: a search for %s answers %v", s, query, a)
		}
		check(query, a)
	}
}

// hits returns what was found, "ROOM SEQ" each.
func hits(a frame) (found []string) {
	all, _ := a["hits"].([]any)
	for _, one := range all {
		hit, _ := one.(map[string]any)
		found = append(found, fmt.Sprint(hit["room"], " ", hit["seq"]))
	}
	return found
}

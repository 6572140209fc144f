package browser

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"kaban"
	"kaban/internal/store"
)

// folding is a message and everything that becomes of it, as the server sends it.
type folding struct {
	Message frame   `json:"message"`
	Events  []frame `json:"events"`
	want    frame
}

// reactors are so few that a reaction names all of them.
var reactors = []string{"anna", "ben", "cid", "dora"}

// TestFoldingIsTheSame compares what the page makes of a message with what the server's
// folding makes of it, whether the page has it live, read from the store when all had
// happened, or from a page of history that is folded up to somewhere.
func TestFoldingIsTheSame(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var all []folding
	for range 2000 {
		all = append(all, randomFolding(random)...)
	}
	p := withSource(t, "src/fold.ts")
	got := value[[]json.RawMessage](p, fmt.Sprintf(`%s.map(({ message, events }) => events.reduce((m, e) => source.fold(m, e, 'anna'), message))`, asJSON(t, all)))
	if len(got) != len(all) {
		t.Fatalf("%d answers to %d questions", len(got), len(all))
	}
	// An edit whose text has been replaced since comes without one. The text before it stays
	// until the last edit comes.
	for _, i := range value[[]int](p, fmt.Sprintf(`%s.flatMap(({ message, events }, i) => events.some((e) => {
		message = source.fold(message, e, 'anna')
		return message.content === '' && !message.deleted
	}) ? [i] : [])`, asJSON(t, all))) {
		t.Errorf("a text is lost on the way from\n%s\nby\n%s", asJSON(t, all[i].Message), asJSON(t, all[i].Events))
		break
	}
	wrong := 0
	for i, f := range all {
		if folded, want := canonical(t, got[i]), canonical(t, []byte(asJSON(t, f.want))); !reflect.DeepEqual(folded, want) && wrong < 5 {
			wrong++
			t.Errorf("the page makes of\n%s\nwith\n%s\nthis:\n%v\nthe server:\n%v", asJSON(t, f.Message), asJSON(t, f.Events), folded, want)
		}
	}
}

// randomFolding returns a random life of one message, seen from three beginnings.
func randomFolding(random *rand.Rand) []folding {
	message := store.Entry{Seq: 1, Time: 1000, Kind: kaban.KindMessage, ID: "m", Author: "id of ben", Username: "ben", Content: "first"}
	states := []store.Entry{message}
	var changes []store.Entry
	for seq := uint64(2); seq < 2+random.Uint64N(20); seq++ {
		by := reactors[random.IntN(len(reactors))]
		w := store.Write{Draft: kaban.Draft{Target: 1}}
		switch n := random.IntN(40); {
		case n == 0:
			w.Kind = kaban.KindDelete
		case n < 8:
			w.Kind, w.Body = kaban.KindEdit, fmt.Sprint("text ", seq)
		case n < 14:
			w.Kind, w.Body = kaban.KindPin, kaban.Switch(random.IntN(2) == 0, "")
		case n < 18:
			w.Kind, w.Body = kaban.KindMessage, "an answer"
		default:
			w.Kind, w.Body = kaban.KindReact, kaban.Switch(random.IntN(3) > 0, []string{"👍", "🎉", "❤️"}[random.IntN(3)])
		}
		change := store.Entry{Seq: seq, Time: int64(1000 * seq), Kind: w.Kind, Author: "id of " + by, Username: by, Target: 1, Content: w.Body}
		last := states[len(states)-1]
		// Only what the store appends is an entry of the log.
		if !fits(&w, &change, &last) {
			continue
		}
		last.Apply(&change)
		states = append(states, last)
		changes = append(changes, change)
	}
	final := states[len(states)-1]
	at := random.IntN(len(states))
	return []folding{
		{asLive(&message), events(changes, 0), history(&final)},
		{asLive(&final), events(changes, final.Version()), history(&final)},
		{withAsOf(history(&states[at]), at, changes), events(changes, final.Version()), history(&final)},
	}
}

// fits reports whether the store appends a change of a message.
func fits(w *store.Write, change, message *store.Entry) bool {
	if message.IsDeleted() {
		return false
	}
	if w.Kind != kaban.KindReact && w.Kind != kaban.KindPin {
		return true
	}
	after := *message
	after.Apply(change)
	return !reflect.DeepEqual(after.State, message.State) && (w.Kind != kaban.KindPin || pinned(&after) != pinned(message))
}

func pinned(e *store.Entry) bool { return e.State != nil && e.State.Pinned != store.Change{} }

// withAsOf says up to which entry a message of a page of history is folded.
func withAsOf(message frame, at int, changes []store.Entry) frame {
	message["asOf"] = 1
	if at > 0 {
		message["asOf"] = changes[at-1].Seq
	}
	return message
}

func asLive(e *store.Entry) frame {
	f := frame{"seq": e.Seq, "id": e.ID, "username": e.Username, "content": e.Content, "time": clock(e.Time)}
	if s := e.State; s != nil {
		if s.Edited.Seq != 0 {
			f["edited"] = frame{"seq": s.Edited.Seq, "time": clock(s.Edited.Time)}
		}
		if e.IsDeleted() {
			f["deleted"] = true
		}
	}
	return f
}

// history returns a message as a page of history has it for anna.
func history(e *store.Entry) frame {
	f := asLive(e)
	if e.State == nil {
		return f
	}
	if pinned(e) {
		f["pinned"], f["pinned_at"] = true, e.State.Pinned.Seq
	}
	if e.State.Replies > 0 {
		f["replies"] = e.State.Replies
	}
	var reactions []frame
	for _, r := range e.State.Reactions {
		var names []string
		for _, person := range r.People {
			names = append(names, person.Username)
		}
		reactions = append(reactions, frame{"emoji": r.Emoji, "count": len(names), "me": slices.Contains(names, "anna"), "usernames": names})
	}
	if reactions != nil {
		f["reactions"] = reactions
	}
	return f
}

// events returns changes as a connection gets them. Edits before the version that is in
// the store have no content.
func events(changes []store.Entry, version uint64) []frame {
	all := []frame{}
	deleted := version > 0 && slices.ContainsFunc(changes, func(e store.Entry) bool { return e.Kind == kaban.KindDelete })
	for _, e := range changes {
		f := frame{"seq": e.Seq, "target": e.Target, "username": e.Username, "time": clock(e.Time)}
		on, what := kaban.ParseSwitch(e.Content)
		switch e.Kind {
		case kaban.KindMessage:
			f["type"] = "reply"
		case kaban.KindEdit:
			f["type"] = "edit"
			if e.Seq >= version && !deleted {
				f["content"] = e.Content
			}
		case kaban.KindDelete:
			f["type"] = "delete"
		case kaban.KindPin:
			f["type"], f["on"] = "pin", on
		case kaban.KindReact:
			f["type"], f["on"], f["emoji"] = "react", on, what
		}
		all = append(all, f)
	}
	return all
}

func clock(milliseconds int64) string {
	return time.UnixMilli(milliseconds).UTC().Format("2006-01-02T15:04:05.000Z")
}

// canonical decodes a message without what the page adds, and with its reactions in the
// order of their emoji: the page leaves them where they were when the first person takes
// one back.
func canonical(t *testing.T, text []byte) frame {
	t.Helper()
	var f frame
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	delete(f, "asOf")
	if reactions, ok := f["reactions"].([]any); ok {
		slices.SortFunc(reactions, func(a, b any) int {
			return cmp.Compare(a.(frame)["emoji"].(string), b.(frame)["emoji"].(string))
		})
	}
	return f
}

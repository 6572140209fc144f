package postgres

import (
	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/store"
)

// place is an entry of a room, by the key of its name.
type place struct {
	room string
	seq  uint64
}

// message is an entry that a transaction reads, changes or adds.
type message struct {
	store.Entry
	room     *lockedRoom
	isNew    bool
	changed  bool
	stated   bool              // a row of states has its state
	original []byte            // the sum of the text that was appended, if that is not the content
	before   map[reactor]int64 // the reactions in the database, with the entries that added them
	noops    int               // the changes that made no difference to it
	// mentions are whom it mentions, and told says that this has changed.
	mentions []store.Occurrence
	told     bool
}

// entry returns the entry of m, nil for nil.
func (m *message) entry() *store.Entry {
	if m == nil {
		return nil
	}
	return &m.Entry
}

// log is what a transaction knows of logs, and what it adds.
type log struct {
	ids      map[idKey]*used
	messages map[place]*message
	added    []*message
	noops    []*noop
	growth   map[*lockedRoom]uint64 // the heads before
}

// noop is a change that made no difference.
type noop struct {
	room *lockedRoom
	seq  int64 // below 0
	store.Entry
	answer store.Change
}

// target returns the kept entry that a write is about, nil if there is none.
func (t *transaction) target(r *lockedRoom, w *store.Write) *message {
	if r == nil || !w.HasTarget() || w.Target < r.oldest {
		return nil
	}
	return t.messages[place{r.key, w.Target}]
}

// noteNoop keeps the id of a draft that makes no difference to a message, as long as the message.
func (t *transaction) noteNoop(r *lockedRoom, message *message, d *kaban.Draft, known store.Change) {
	if message.noops >= store.MaxNoops {
		return
	}
	message.noops++
	r.noops++
	r.changed = true
	e := store.NewEntry(d, known.Seq, known.Time)
	t.noops = append(t.noops, &noop{r, -int64(r.noops), e, known})
	t.ids[keyOf(d)] = &used{Entry: e, noop: true}
}

// add adds the entry of a write to a room, and makes of its target what it says.
func (t *transaction) add(r *lockedRoom, w *store.Write, target *message) *message {
	d := &w.Draft
	r.called(d.Room)
	if t.growth == nil {
		t.growth = make(map[*lockedRoom]uint64)
	}
	if _, grows := t.growth[r]; !grows {
		t.growth[r] = r.head
	}
	r.head++
	m := &message{Entry: store.NewEntry(d, r.head, t.now), room: r, isNew: true}
	if d.Kind == kaban.KindMessage {
		r.messages++
		if w.Mentions != nil {
			m.tell(w.Mentions.Occur(nil, t.now))
		}
	}
	if target != nil {
		t.change(r, target, m, w)
	}
	if d.Kind == kaban.KindEdit { // the message has the text
		m.original, m.Content = t.sum(d.Body), ""
	}
	t.added = append(t.added, m)
	t.messages[place{r.key, m.Seq}] = m
	t.ids[keyOf(d)] = &used{Entry: m.Entry, original: m.original}
	return m
}

// change makes of a message what an entry about it says.
func (t *transaction) change(r *lockedRoom, target, by *message, w *store.Write) {
	target.changed = true
	switch by.Kind {
	case kaban.KindEdit:
		if target.original == nil {
			target.original = t.sum(target.Content)
		}
		if w.Mentions != nil || len(target.mentions) > 0 {
			target.tell(w.Mentions.Occur(target.mentions, t.now))
		}
	case kaban.KindDelete:
		if target.Files != "" {
			t.release(r, target.Seq)
		}
		target.tell(nil)
	}
	target.ApplyOwned(&by.Entry)
}

// tell replaces whom a message mentions.
func (m *message) tell(now []store.Occurrence) { m.mentions, m.told = now, true }

// release notes that the files of a message are gone. A document needs the lock of documents.
func (t *transaction) release(r *lockedRoom, seq uint64) {
	if !t.needs.documents {
		t.needs.documents, t.again = true, true
	}
	t.documents.Set(store.ReleasedKey(r.name, seq), []byte(store.ReleasedValue))
}

// targetsQuery reads messages with all that has become of them.
const targetsQuery = "SELECT k.n, " + entryColumns + ", e.original, " + stateColumns + ", " + reactionColumns + `,
		(SELECT count(*) FROM entries n WHERE n.room = e.room AND n.target = e.seq AND n.seq < 0)
	FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS k (room, seq, n)
	JOIN rooms r ON r.key = k.room JOIN entries e ON e.room = r.id AND e.seq = k.seq AND e.kind = 1` + statesJoin + reactionsJoin

const targetMentionsQuery = `SELECT k.n, m.account, m.cause, m.time, m.online
	FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS k (room, seq, n)
	JOIN rooms r ON r.key = k.room JOIN mentions m ON m.room = r.id AND m.seq = k.seq ORDER BY m.cause, m.account`

// queueTargets reads the messages that writes of a batch are about.
func (t *transaction) queueTargets(b *pgx.Batch, writes []store.Write) {
	t.messages = make(map[place]*message)
	var places []place
	var rooms []string
	var seqs []int64
	asked := make(map[place]bool)
	for i := range writes {
		w := &writes[i]
		at := place{w.Room.Key(), w.Target}
		if !w.HasTarget() || asked[at] || w.Target == 0 {
			continue
		}
		asked[at] = true
		places, rooms, seqs = append(places, at), append(rooms, at.room), append(seqs, int64(min(at.seq, maxSeq)))
	}
	if len(places) == 0 {
		return
	}
	b.Queue(targetsQuery, rooms, seqs).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			m := &message{before: make(map[reactor]int64)}
			var n int64
			var f entryRow
			if err := rows.Scan(append(append(append([]any{&n}, f.entry()...), &m.original), append(append(f.states(), f.reactions()...), &m.noops)...)...); err != nil {
				return err
			}
			at := places[n-1]
			m.Entry, m.room, m.stated = f.get(), t.rooms[at.room], f.edited != nil
			if m.State != nil {
				for i := range m.State.Reactions {
					for _, p := range m.State.Reactions[i].People {
						m.before[reactor{m.State.Reactions[i].Emoji, p.Author}] = int64(p.Seq)
					}
				}
			}
			t.messages[at] = m
		}
		return rows.Err()
	})
	b.Queue(targetMentionsQuery, rooms, seqs).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var n int64
			var o store.Occurrence
			if err := rows.Scan(&n, &o.Account, &o.Cause, &o.Time, &o.Online); err != nil {
				return err
			}
			if m := t.messages[places[n-1]]; m != nil {
				m.mentions = append(m.mentions, o)
			}
		}
		return rows.Err()
	})
}

// grown has rooms counted that have grown.
func (t *transaction) grown() {
	for r, before := range t.growth {
		t.counter.grown(r.id, int64(before), int64(r.head))
	}
}

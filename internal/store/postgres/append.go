package postgres

import (
	"bytes"
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// idKey is the id of an author in a room.
type idKey struct {
	room       string // the key of its name
	author, id string
}

func keyOf(d *kaban.Draft) idKey { return idKey{d.Room.Key(), d.Author.ID(), d.ID.String()} }

// used is an entry that has an id, or a change that made no difference.
type used struct {
	store.Entry        // of a change that made no difference: the seq and the time of the answer
	original    []byte // the sum of the text that was appended, if that is not the content
	noop        bool
	gone        bool // the message, or the target of the edit, was deleted before the transaction
	found       bool // in the database, and no write of the batch has it yet
}

// appendSlowly stores a batch in a transaction that decides. resumed says that an attempt before,
// with the same time, may have stored it.
func (s *Store) appendSlowly(ctx context.Context, p *patience, writes []store.Write, results []store.Result, now int64, resumed bool) error {
	n := new(needs)
	for i := range writes {
		w := &writes[i]
		n.lock(w.Room)
		n.documents = n.documents || w.Decide != nil
		if _, known := s.rooms.get(w.Room.Key()); !known && w.Refusal == nil && !w.HasTarget() && (!w.Checked || w.Revision == 0) {
			n.made = append(n.made, w.Room)
		}
	}
	return s.transactWithin(ctx, p, appending(results), n, transaction{now: now, resumed: resumed}, func(t *transaction, b *pgx.Batch) {
		t.queueIDs(b, writes)
		t.queueTargets(b, writes)
	}, func(t *transaction) error {
		clear(results)
		for i := range writes {
			var err error
			if results[i], err = t.append(&writes[i]); err != nil {
				return err
			}
			if t.again {
				return errAgain
			}
		}
		return nil
	})
}

// append decides about a write and adds its entry. An error concerns the whole batch.
func (t *transaction) append(w *store.Write) (store.Result, error) {
	d := &w.Draft
	r, err := t.room(d.Room)
	if err != nil {
		return store.Result{}, err
	}
	u := t.ids[keyOf(d)]
	if r == nil && u != nil || r != nil && r.late { // another node may have made the room, and used ids, since the locks were taken
		return t.beginAgain()
	}
	if u != nil {
		return t.repeated(r, u, d), nil
	}
	if w.Checked && w.Revision != r.revisionOrNone() {
		return store.Result{Err: store.ErrStale}, nil
	}
	if w.Refusal != nil {
		return store.Result{Err: w.Refusal}, nil
	}
	if err := unfit(d); err != nil {
		return store.Result{Err: err}, nil
	}
	target := t.target(r, w)
	known, refused, err := t.rule(w, target)
	switch {
	case err != nil:
		return store.Result{}, err
	case refused != nil:
		return store.Result{Err: refused}, nil
	case known != (store.Change{}):
		t.noteNoop(r, target, d, known)
		return store.Result{Seq: known.Seq, Time: known.Time, Duplicate: true}, nil
	}
	if r == nil {
		t.needs.made = append(t.needs.made, d.Room)
		return t.beginAgain()
	}
	e := t.add(r, w, target)
	return store.Result{Seq: e.Seq, Time: e.Time}, nil
}

// beginAgain has the transaction begin again. The rooms of its writes are then locked before it looks
// for their ids.
func (t *transaction) beginAgain() (store.Result, error) {
	t.again = true
	return store.Result{}, errAgain
}

// repeated returns the result of a draft whose id is used.
func (t *transaction) repeated(r *lockedRoom, u *used, d *kaban.Draft) store.Result {
	if !t.isSame(r, u, d) {
		return store.Result{Err: store.ErrIDConflict}
	}
	// An attempt of this very batch that has stored it, too, has its time. Of several writes with the
	// id the first one is its own.
	own := t.resumed && u.found && u.Time == t.now && !u.noop
	u.found = false
	return store.Result{Seq: u.Seq, Time: u.Time, Duplicate: !own}
}

// isSame reports whether a draft would become an entry; see store.Store.Append.
func (t *transaction) isSame(r *lockedRoom, u *used, d *kaban.Draft) bool {
	if u.Kind != d.Kind || u.Target != d.Target {
		return false
	}
	if u.noop {
		return u.Content == d.Body
	}
	content, files, original := u.Content, u.Files, u.original
	switch u.Kind {
	case kaban.KindMessage:
		if m := t.messages[place{r.key, u.Seq}]; m != nil {
			content, files, original = m.Content, m.Files, m.original
		}
		if t.isGone(r, u.Seq, u.gone) {
			return true
		}
	case kaban.KindEdit:
		if u.Target < r.oldest || t.isGone(r, u.Target, u.gone) {
			return true
		}
	}
	if files != d.Files.String() {
		return false
	}
	if original != nil {
		return t.isOf(original, d.Body)
	}
	return content == d.Body
}

// isGone reports whether a message is deleted. before says whether it was before the transaction.
func (t *transaction) isGone(r *lockedRoom, seq uint64, before bool) bool {
	if m := t.messages[place{r.key, seq}]; m != nil {
		return m.IsDeleted()
	}
	return before
}

// errKnown ends a decision about a write that changes nothing.
var errKnown = errors.New("a message is like that already")

// rule decides about a write. known is the entry since which a message is what the write would make
// of it, and refused the result.
func (t *transaction) rule(w *store.Write, target *message) (known store.Change, refused, failed error) {
	fit := func() error {
		if !w.HasTarget() {
			return nil
		}
		var err error
		if known, err = w.Fit(target.entry()); err == nil && known != (store.Change{}) {
			err = errKnown
		}
		return err
	}
	if w.Decide == nil {
		refused = fit()
	} else {
		refused, failed = t.decide(func(tx store.Tx) error {
			if err := w.Decide(tx); err != nil {
				return err
			}
			return fit()
		})
		failpoint.Point("append.decided")
	}
	if errors.Is(refused, errKnown) {
		refused = nil
	}
	return known, refused, failed
}

// idsQuery finds ids that are used. The rooms are found by their keys, because it is sent with the
// locks. The comparison of rows leaves the planner no other index: with few entries in most rooms it
// would rather read all of a room, also of one with a million.
const idsQuery = `SELECT k.n, e.seq, e.time, e.target, e.kind, e.content, e.files, e.original, e.answer, coalesce(s.deleted, 0) > 0
	FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS k (room, author, id, n) JOIN rooms r ON r.key = k.room
	CROSS JOIN LATERAL (
		SELECT * FROM entries e WHERE (e.id, e.room, e.author) >= (k.id, r.id, k.author) ORDER BY e.id, e.room, e.author LIMIT 1
	) e LEFT JOIN states s ON s.room = e.room AND s.seq = CASE e.kind WHEN 1 THEN e.seq ELSE e.target END
	WHERE e.room = r.id AND e.author = k.author AND e.id = k.id`

// queueIDs looks for the ids of a batch.
func (t *transaction) queueIDs(b *pgx.Batch, writes []store.Write) {
	var rooms, authors, ids []string
	for i := range writes {
		k := keyOf(&writes[i].Draft)
		rooms, authors, ids = append(rooms, k.room), append(authors, k.author), append(ids, k.id)
	}
	t.ids = make(map[idKey]*used)
	b.Queue(idsQuery, rooms, authors, ids).Query(func(rows pgx.Rows) error {
		var n, seq int64
		var answer *int64
		var one used
		_, err := pgx.ForEachRow(rows, []any{&n, &seq, &one.Time, &one.Target, &one.Kind, &one.Content, &one.Files, &one.original, &answer, &one.gone}, func() error {
			u := one
			u.found = true
			u.original = bytes.Clone(one.original)
			if answer != nil {
				seq, u.noop = *answer, true
			}
			u.Seq = uint64(seq)
			t.ids[keyOf(&writes[n-1].Draft)] = &u
			return nil
		})
		return err
	})
}

package sqlite

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"kaban"
	"kaban/internal/store"
)

// stateStmts read what has become of merged messages, on one connection.
type stateStmts struct {
	roomRow, row, state, reactions, original *sql.Stmt
}

const (
	rowColumns     = "e.time, e.kind, e.user, e.id, coalesce(e.username, u.name), e.target, e.content, e.files, e.sum FROM entries e JOIN users u ON u.id = e.user WHERE e.place "
	rowQuery       = "SELECT " + rowColumns + "= ?"
	rowsQuery      = "SELECT e.place, " + rowColumns
	stateQuery     = "SELECT place, edited, edited_time, deleted, deleted_time, pinned, pinned_time, replies, sum FROM states WHERE place "
	reactionsQuery = "SELECT place, emoji, first, people, sum FROM reactions WHERE place "
)

func (s *stateStmts) queries() map[**sql.Stmt]string {
	return map[**sql.Stmt]string{
		&s.roomRow:   "SELECT key, name, " + roomColumns + " FROM rooms WHERE id = ?",
		&s.row:       rowQuery,
		&s.state:     stateQuery + "= ?",
		&s.reactions: reactionsQuery + "= ? ORDER BY place, emoji, first",
		&s.original:  "SELECT hash, older, sum FROM originals WHERE place = ?",
	}
}

// scanner is a row of a result.
type scanner interface{ Scan(dest ...any) error }

// asDamage returns an error about what belongs to an entry as damage, unless it cannot be
// reached or there is none.
func asDamage(err error, what string, seq uint64) error {
	if err == nil || codeOf(err) != 0 && !isDamage(err) || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return damaged(fmt.Sprintf("%s %d", what, seq), err)
}

// checked is asDamage for a row that was scanned with err, whose checksum is got and must be
// want.
func checked(err error, got, want int64, what string, seq uint64) error {
	if err == nil && got != want {
		err = errSum
	}
	return asDamage(err, what, seq)
}

// readRoom returns the row of a room, as the connection sees it.
func (s *stateStmts) readRoom(ctx context.Context, sum *summer, r *room) (row roomRow, err error) {
	var key, name string
	var value int64
	err = s.roomRow.QueryRowContext(ctx, r.id).Scan(append([]any{&key, &name}, row.scan(&value)...)...)
	return row, checked(err, sum.room(r.id, key, name, row), value, "room", uint64(r.id))
}

// readRow returns the row of a merged entry, nil if there is none, and its user.
func (s *stateStmts) readRow(ctx context.Context, sum *summer, place int64) (e *store.Entry, user int64, err error) {
	e = &store.Entry{Seq: uint64(place & maxSeq)}
	var value int64
	err = s.row.QueryRowContext(ctx, place).Scan(&e.Time, &e.Kind, &user, &e.ID, &e.Username, &e.Target, &e.Content, (*orEmpty)(&e.Files), &value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, 0, nil
	}
	return e, user, checked(err, sum.entry(place, user, e), value, "entry", e.Seq)
}

// scanState reads a row of states.
func scanState(row scanner, sum *summer) (place int64, s *store.State, err error) {
	s = new(store.State)
	var value int64
	err = row.Scan(&place, &s.Edited.Seq, &s.Edited.Time, &s.Deleted.Seq, &s.Deleted.Time, &s.Pinned.Seq, &s.Pinned.Time, &s.Replies, &value)
	return place, s, checked(err, sum.state(place, s), value, "the state of message", uint64(place&maxSeq))
}

// readState returns the row of a message in states, nil if there is none.
func (s *stateStmts) readState(ctx context.Context, sum *summer, place int64) (*store.State, error) {
	_, state, err := scanState(s.state.QueryRowContext(ctx, place), sum)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return state, err
}

// states are what has become of some messages, by their places, as far as it can be read.
type states struct {
	of  map[int64]*store.State
	bad map[int64]error
}

func newStates() states {
	return states{make(map[int64]*store.State), make(map[int64]error)}
}

// note notes damage to what has become of a message. Any other error it returns.
func (s *states) note(place int64, err error) error {
	if !errors.Is(err, store.ErrDamaged) {
		return err
	}
	s.bad[place] = err
	return nil
}

// readStates adds the states that a query finds.
func (s *states) readStates(rows *sql.Rows, err error, sum *summer) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		place, state, err := scanState(rows, sum)
		if err := s.note(place, err); err != nil {
			return err
		}
		s.of[place] = state
	}
	return closeRows(rows)
}

// readReactions adds the reactions that a query finds, in the order of the table.
func (s *states) readReactions(ctx context.Context, rows *sql.Rows, err error, authors *authors) error {
	if err != nil {
		return err
	}
	defer rows.Close()
	var last int64
	for rows.Next() {
		r, err := scanReaction(rows, &authors.sum)
		if r.place != last {
			s.sort(last)
			last = r.place
		}
		if err == nil {
			err = s.add(ctx, authors, &r)
		}
		if err := s.note(r.place, err); err != nil {
			return err
		}
	}
	s.sort(last)
	return closeRows(rows)
}

// sign says in an entry whose it is, from the number of its author.
func (a *authors) sign(ctx context.Context, e *store.Entry, user int64) error {
	by, err := a.author(ctx, user)
	if err == nil && by.err != nil {
		err = damaged(fmt.Sprintf("the author of message %d", e.Seq), by.err)
	}
	if err == nil {
		e.Author = by.key
	}
	return err
}

// readMessage returns a merged message with its state and reactions; nil if the entry at the
// place is none.
func (s *stateStmts) readMessage(ctx context.Context, authors *authors, place int64) (*store.Entry, error) {
	e, user, err := s.readRow(ctx, &authors.sum, place)
	if err != nil || e == nil || e.Kind != kaban.KindMessage {
		return nil, err
	}
	if err := authors.sign(ctx, e, user); err != nil {
		return nil, err
	}
	states := newStates()
	state, err := s.readState(ctx, &authors.sum, place)
	if err != nil {
		return nil, err
	}
	if state != nil {
		states.of[place] = state
	}
	rows, err := s.reactions.QueryContext(ctx, place)
	if err = states.readReactions(ctx, rows, err, authors); err == nil {
		err = states.bad[place]
	}
	err = asDamage(err, "the reactions to message", e.Seq)
	e.State = states.of[place]
	return e, err
}

// fold applies those of some unmerged entries of a room that are behind a seq to the message
// that they are about. about are the seqs of those that are about any.
func fold(e *store.Entry, unmerged []unmergedEntry, about []aboutMessage, after uint64) {
	f := store.Folder{Message: e}
	for i := range about {
		if a := &about[i]; a.target == e.Seq && a.seq > after && a.seq > e.Seq {
			f.Apply(&unmerged[a.seq-unmerged[0].Seq].Entry)
		}
	}
	f.End()
}

// message returns a message of a room as everything that was appended makes it, and as those
// do that are being appended behind its tail; nil if there is none. The caller holds
// appending, and does not change it.
func (d *database) message(ctx context.Context, r *room, appended []unmergedEntry, seq uint64) (*store.Entry, error) {
	at := target{r.id, seq}
	if e := d.targets.get(at); e != nil {
		return e, nil
	}
	var e store.Entry
	after := uint64(0)
	switch {
	case seq <= r.cut || seq > r.next+uint64(len(appended)):
		return nil, nil
	case seq > r.next:
		e = appended[seq-r.next-1].Entry
	case r.isUnmerged(seq):
		e = r.tail[seq-r.tail[0].Seq].Entry
	default:
		found, head, err := d.finder.readMessage(ctx, r, seq)
		if err != nil || found == nil {
			return nil, err
		}
		e, after = *found, head
	}
	if e.Kind != kaban.KindMessage {
		return nil, nil
	}
	fold(&e, r.tail, r.tailAbout, after)
	for i := range appended {
		if change := &appended[i].Entry; change.Target == seq && store.HasTarget(change.Kind, seq) {
			e.Apply(change)
		}
	}
	d.targets.put(at, &e)
	return &e, nil
}

// isUnmerged reports whether an entry that was appended is in the tail. The caller holds
// appending.
func (r *room) isUnmerged(seq uint64) bool { return len(r.tail) > 0 && seq >= r.tail[0].Seq }

// readMessage returns a merged message and the head of the merged entries, of one moment.
func (f *finder) readMessage(ctx context.Context, r *room, seq uint64) (e *store.Entry, head uint64, err error) {
	if _, err := f.begin.ExecContext(ctx); err != nil {
		return nil, 0, err
	}
	defer func() { err = errors.Join(err, f.rollback(ctx)) }()
	row, err := f.readRoom(ctx, &f.sum, r)
	if err != nil {
		return nil, 0, err
	}
	head = row.head
	e, err = f.stateStmts.readMessage(ctx, f.authors, r.place(seq))
	return e, head, err
}

// fits decides about a write that has a target; see store.Write.Fit. refused is its result.
func (d *database) fits(ctx context.Context, w *store.Write, r *room, appended []unmergedEntry) (known store.Change, refused, _ error) {
	var message *store.Entry
	if r != nil {
		var err error
		if message, err = d.message(ctx, r, appended, w.Target); errors.Is(err, store.ErrDamaged) {
			return known, err, nil
		} else if err != nil {
			return known, nil, err
		}
	}
	known, refused = w.Fit(message)
	return known, refused, nil
}

// applied notes what an entry that was appended makes of the message that it is about. The
// caller holds appending.
func (d *database) applied(r *room, e *store.Entry) {
	if !store.HasTarget(e.Kind, e.Target) {
		return
	}
	d.targets.apply(target{r.id, e.Target}, e)
}

// Sizes in bytes of a hash of a content, and of its key. Another store that was moved here may have
// had longer keys.
const (
	hashSize = 16
	hashKey  = 16
)

// hashOf returns a key and the hash of a content with it.
func hashOf(content string) []byte {
	key := make([]byte, hashKey, hashKey+hashSize)
	rand.Read(key) // never fails
	return append(key, keyedHash(key, content)...)
}

func keyedHash(key []byte, content string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(content))
	return h.Sum(nil)[:hashSize]
}

// original is a row of originals.
type original struct {
	hash  []byte
	older uint64
}

// isOf reports whether a content is the one.
func (o *original) isOf(content string) bool {
	key := len(o.hash) - hashSize
	return key > 0 && hmac.Equal(o.hash[key:], keyedHash(o.hash[:key], content))
}

// readOriginal returns the row of an entry in originals, nil if there is none.
func (s *stateStmts) readOriginal(ctx context.Context, sum *summer, place int64) (*original, error) {
	o := new(original)
	var value int64
	err := s.original.QueryRowContext(ctx, place).Scan(&o.hash, &o.older, &value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return o, checked(err, sum.original(place, o), value, "the hash of entry", uint64(place&maxSeq))
}

// repeated returns the result for a draft with a key that is already stored. The caller
// holds appending.
func (d *database) repeated(ctx context.Context, e earlier, r *room, appended []unmergedEntry, draft *kaban.Draft) (store.Result, error) {
	if e.damage != nil {
		return store.Result{Err: e.damage}, nil
	}
	same, err := d.repeats(ctx, &e, r, appended, draft)
	switch {
	case errors.Is(err, store.ErrDamaged):
		return store.Result{Err: err}, nil
	case err != nil:
		return store.Result{}, err
	case !same:
		return store.Result{Err: store.ErrIDConflict}, nil
	}
	return store.Result{Seq: uint64(e.place & maxSeq), Time: e.Time, Duplicate: true}, nil
}

// repeats reports whether a draft is the same as the entry that has its id; see
// store.Store.Append.
func (d *database) repeats(ctx context.Context, e *earlier, r *room, appended []unmergedEntry, draft *kaban.Draft) (bool, error) {
	seq, about := uint64(e.place&maxSeq), e.Target
	switch {
	case e.Kind != draft.Kind || e.Target != draft.Target:
		return false, nil
	case e.Kind == kaban.KindMessage:
		about = seq
	case e.Kind != kaban.KindEdit:
		return e.IsOf(draft), nil
	}
	message, err := d.message(ctx, r, appended, about)
	switch {
	case err != nil:
		return false, err
	case message == nil || message.IsDeleted():
		return true, nil
	case seq > r.next || r.isUnmerged(seq):
		return e.IsOf(draft), nil
	}
	original, edited, err := d.finder.readOriginal(ctx, e.place)
	switch {
	case err != nil:
		return false, err
	case e.Files != draft.Files.String(): // they stay until the message is deleted
		return false, nil
	case original != nil:
		return original.isOf(draft.Body), nil
	case e.Kind == kaban.KindMessage && !edited:
		return e.IsOf(draft), nil
	}
	return true, nil // it came from an export, which does not have the text
}

// readOriginal returns the row of a merged entry in originals, nil if there is none, and
// whether it is a message whose text in the table is one of an edit.
func (f *finder) readOriginal(ctx context.Context, place int64) (o *original, edited bool, err error) {
	if _, err := f.begin.ExecContext(ctx); err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, f.rollback(ctx)) }()
	if o, err = f.stateStmts.readOriginal(ctx, &f.sum, place); err != nil {
		return nil, false, err
	}
	state, err := f.readState(ctx, &f.sum, place)
	return o, state != nil && state.Edited != (store.Change{}), err
}

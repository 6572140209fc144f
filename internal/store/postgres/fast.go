package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// fast is a batch of new entries as the arguments of the function append_entries.
type fast struct {
	rooms           []room // ascending by id
	revisions       []int64
	added, messages []int64

	places []numbered // of each write

	// One of each for every entry. Those of a room follow each other, so that its entries and their keys do in the
	// database: both an append and a read then take fewer pages.
	positions, numbers                                array // of the room, and in the room, from 1
	kinds, targets                                    array
	authors, usernames, entryIDs, contents, fileLists array
	isUsual                                           bool // all are messages without a target or files

	// One of each for every occurrence of a mention.
	mentioned                          array // the entry, from 1
	accounts, causes, writers, onlines array
}

// numbered is the place of an entry: in fast.rooms, and in the room, from 1.
type numbered struct {
	at     int
	number int64
}

// anyRevision is the revision of rooms on which no write relies.
const anyRevision = -1

// plan returns a batch as one of new entries, or nil if it needs more than that: decisions, or rooms
// that are not known to exist.
func (s *Store) plan(writes []store.Write) *fast {
	f := new(fast)
	places := make(map[string]int, 8) // in f.rooms, by key
	for i := range writes {
		w := &writes[i]
		if w.Decide != nil || w.Refusal != nil || w.HasTarget() || unfit(&w.Draft) != nil {
			return nil
		}
		if _, known := places[w.Room.Key()]; known {
			continue
		}
		r, known := s.rooms.get(w.Room.Key())
		if !known {
			return nil
		}
		places[w.Room.Key()] = len(f.rooms)
		f.rooms = append(f.rooms, r)
	}
	slices.SortFunc(f.rooms, func(a, b room) int { return int(a.id - b.id) })
	for i, r := range f.rooms {
		places[r.name.Key()] = i
		f.revisions = append(f.revisions, anyRevision)
	}
	f.added, f.messages = make([]int64, len(f.rooms)), make([]int64, len(f.rooms))
	f.grow(writes)
	if !f.addAll(writes, places) {
		return nil
	}
	return f
}

// addAll adds the entries. It reports false if two of them rely on different revisions of a room. If two have the
// same id, the database refuses all.
func (f *fast) addAll(writes []store.Write, places map[string]int) bool {
	ends := make([]int, len(f.rooms)) // of the writes of each room in order
	for i := range writes {
		w := &writes[i]
		at := places[w.Room.Key()]
		f.places[i].at = at
		ends[at]++
		if w.Checked {
			revision := int64(w.Revision)
			if before := f.revisions[at]; before != anyRevision && before != revision {
				return false
			}
			f.revisions[at] = revision
		}
	}
	for at := 1; at < len(ends); at++ {
		ends[at] += ends[at-1]
	}
	order := make([]int, len(writes))
	for i, p := range slices.Backward(f.places) {
		ends[p.at]--
		order[ends[p.at]] = i
	}
	for entry, i := range order {
		f.add(&writes[i], &f.places[i], entry+1)
	}
	if f.isUsual { // what is the same for all would cost the database a tenth more
		f.kinds.clear()
		f.targets.clear()
		f.fileLists.clear()
	}
	return true
}

// add adds an entry, which is this one of all from 1.
func (f *fast) add(w *store.Write, p *numbered, entry int) {
	d := &w.Draft
	f.added[p.at]++
	p.number = f.added[p.at]
	if d.Kind == kaban.KindMessage {
		f.messages[p.at]++
	}
	author, files := d.Author.ID(), d.Files.String()
	f.positions.int32(int32(p.at + 1))
	f.numbers.int64(p.number)
	f.kinds.int16(int16(d.Kind))
	f.targets.int64(int64(d.Target))
	f.authors.text(author)
	f.usernames.text(d.Author.Name().String())
	f.entryIDs.text(d.ID.String())
	f.contents.text(d.Body)
	f.fileLists.text(files)
	f.isUsual = f.isUsual && d.Kind == kaban.KindMessage && d.Target == 0 && files == ""
	for _, o := range w.Told().Occur(nil, 0) {
		by, _ := kaban.AuthorOf(author)
		f.mentioned.int32(int32(entry))
		f.accounts.text(o.Account)
		f.causes.int16(int16(o.Cause))
		f.writers.text(by)
		f.onlines.text(strings.Join(o.Online, " "))
	}
}

// grow makes room for some entries.
func (f *fast) grow(writes []store.Write) {
	n := len(writes)
	authors, usernames, ids, contents := n*lengthSize, n*lengthSize, n*lengthSize, n*lengthSize
	for i := range writes {
		d := &writes[i].Draft
		authors, usernames = authors+len(d.Author.ID()), usernames+len(d.Author.Name().String())
		ids, contents = ids+len(d.ID.String()), contents+len(d.Body)
	}
	f.isUsual, f.places = true, make([]numbered, n)
	f.positions, f.numbers = newArray(pgtype.Int4OID, n*(lengthSize+4)), newArray(pgtype.Int8OID, n*(lengthSize+8))
	f.kinds, f.targets = newArray(pgtype.Int2OID, n*(lengthSize+2)), newArray(pgtype.Int8OID, n*(lengthSize+8))
	f.authors, f.usernames = newArray(pgtype.TextOID, authors), newArray(pgtype.TextOID, usernames)
	f.entryIDs, f.contents = newArray(pgtype.TextOID, ids), newArray(pgtype.TextOID, contents)
	f.fileLists = newArray(pgtype.TextOID, n*lengthSize)
	f.mentioned, f.causes = newArray(pgtype.Int4OID, 0), newArray(pgtype.Int2OID, 0)
	f.accounts, f.writers, f.onlines = newArray(pgtype.TextOID, 0), newArray(pgtype.TextOID, 0), newArray(pgtype.TextOID, 0)
}

// arguments returns those of append_entries.
func (f *fast) arguments(look bool, now int64) [][]byte {
	ids, revisions := newArray(pgtype.Int8OID, len(f.rooms)*(lengthSize+8)), newArray(pgtype.Int8OID, len(f.rooms)*(lengthSize+8))
	added, messages := newArray(pgtype.Int8OID, len(f.rooms)*(lengthSize+8)), newArray(pgtype.Int8OID, len(f.rooms)*(lengthSize+8))
	for i, r := range f.rooms {
		ids.int64(r.id)
		revisions.int64(f.revisions[i])
		added.int64(f.added[i])
		messages.int64(f.messages[i])
	}
	looks := []byte{0}
	if look {
		looks[0] = 1
	}
	all := [][]byte{looks, binary.BigEndian.AppendUint64(nil, uint64(now))}
	for _, a := range []*array{
		&ids, &revisions, &added, &messages,
		&f.positions, &f.numbers, &f.kinds, &f.authors, &f.usernames, &f.entryIDs, &f.targets, &f.contents, &f.fileLists,
		&f.mentioned, &f.accounts, &f.causes, &f.writers, &f.onlines,
	} {
		all = append(all, a.encoded())
	}
	return all
}

// unfit returns why a draft cannot be stored, or nil: texts are UTF-8 without NUL here.
func unfit(d *kaban.Draft) error {
	if d.Kind == kaban.KindEdit && d.Body == kaban.NoText {
		return nil // no row has it
	}
	if !utf8.ValidString(d.Body) || strings.IndexByte(d.Body, 0) >= 0 {
		return fmt.Errorf("the body of the draft %s is no text", d.ID)
	}
	return nil
}

// appendName is the name of the prepared statement on each connection.
const appendName = "append_entries"

const appendQuery = "SELECT append_entries($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)"

// Answers of append_entries.
const (
	answerStored = 0 // followed by a position in the WAL, and the heads of the rooms before
	answerStale  = 1
	answerKnown  = 2
)

// call calls the function once. It returns the heads of the rooms before, or nil if nothing was stored
// because a revision is another one or an id is known. An errDoubtful says that it is unknown.
func (s *Store) call(ctx context.Context, f *fast, look bool, now int64) (heads []int64, err error) {
	c, err := s.writers.Acquire(ctx)
	if err != nil {
		return nil, unsent{err}
	}
	defer c.Release()
	failpoint.Point("append.before-commit") // the statement is a transaction of its own
	answer, err := f.run(ctx, c.Conn(), look, now)
	failpoint.Point("append.after-commit")
	if err != nil {
		return nil, kept(c.Conn(), err)
	}
	if answer[0] != answerStored {
		return nil, s.confirmed(c.Conn(), 0)
	}
	return answer[2:], s.confirmed(c.Conn(), answer[1])
}

// run runs the function on a connection and returns its answer.
func (f *fast) run(ctx context.Context, c *pgx.Conn, look bool, now int64) (answer []int64, err error) {
	statement, err := c.Prepare(ctx, appendName, appendQuery)
	if err != nil {
		return nil, err
	}
	binaries := []int16{pgx.BinaryFormatCode}
	result := c.PgConn().ExecStatement(ctx, statement, f.arguments(look, now), binaries, binaries).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	if len(result.Rows) != 1 {
		return nil, fmt.Errorf("append_entries has returned %d rows, not 1", len(result.Rows))
	}
	err = c.TypeMap().Scan(pgtype.Int8ArrayOID, pgx.BinaryFormatCode, result.Rows[0][0], &answer)
	return answer, err
}

// appendFast stores a batch with append_entries. It has stored nothing if it reports false: the
// batch needs decisions after all. lost says that an attempt before may have stored it.
func (s *Store) appendFast(p *patience, f *fast, results []store.Result, now int64) (done, lost bool, err error) {
	for {
		heads, err := s.call(p.ctx, f, lost, now)
		switch {
		case err == nil && heads != nil:
			s.number(f, heads, results, now)
			return true, false, nil
		case err == nil, codeOf(err) == codeUniqueViolation:
			return false, lost, nil
		case errors.Is(err, errDoubtful) || isLost(err):
			lost = true
		}
		if !isPassing(err) || !p.again(err) {
			return true, lost, s.givenUp(appending(results), lost, p.late(err))
		}
	}
}

// givenUp returns the error of a call that makes no other attempt. lost says that one of them may have
// succeeded, whatever has become of those after it.
func (s *Store) givenUp(operation string, lost bool, err error) error {
	if lost && s.broken.Load() == nil {
		return fmt.Errorf("%s: %w: %w", operation, store.ErrUnknown, err)
	}
	return s.failed(operation, err)
}

func appending(results []store.Result) string { return fmt.Sprintf("append %d entries", len(results)) }

// number fills the results of entries that are stored behind some heads.
func (s *Store) number(f *fast, heads []int64, results []store.Result, now int64) {
	for i, p := range f.places {
		results[i] = store.Result{Seq: uint64(heads[p.at] + p.number), Time: now}
	}
	for i, r := range f.rooms {
		s.counter.grown(r.id, heads[i], heads[i]+f.added[i])
	}
}

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, writes []store.Write, results []store.Result) error {
	if err := s.begun(ctx); err != nil {
		return err
	}
	defer s.leave()
	if len(writes) == 0 {
		return nil
	}
	p, end := s.patient(context.WithoutCancel(ctx))
	defer end()
	err := s.append(ctx, p, writes, results)
	s.full.note(err, s.now())
	return err
}

// append is Append within a patience.
func (s *Store) append(ctx context.Context, p *patience, writes []store.Write, results []store.Result) error {
	now := s.now().UnixMilli()
	clear(results)
	lost := false
	if f := s.plan(writes); f != nil {
		var done bool
		var err error
		if done, lost, err = s.appendFast(p, f, results, now); done {
			return err
		}
	}
	return s.appendSlowly(ctx, p, writes, results, now, lost)
}

// sumSize is the size of the sum of a text, in bytes.
const sumSize = 16

// sum returns the sum of a text that was appended. It says nothing about the text to those without
// the secret.
func (s *Store) sum(text string) []byte { return sumWith(s.secret, text) }

func sumWith(secret []byte, text string) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return h.Sum(nil)[:sumSize]
}

// isOf reports whether a text may be the one that a sum is of. A sum of another store has its secret
// before it, and an empty one may be of any text.
func (s *Store) isOf(sum []byte, text string) bool {
	secret := s.secret
	if n := len(sum) - sumSize; n > 0 {
		secret, sum = sum[:n], sum[n:]
	}
	return len(sum) == 0 || hmac.Equal(sum, sumWith(secret, text))
}

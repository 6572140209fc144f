package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"kaban"
	"kaban/internal/failpoint"
	"kaban/internal/store"
)

// fast is a batch of new entries as the arguments of the function append_entries.
type fast struct {
	rooms     []room // ascending by id
	ids       []int64
	revisions []int64
	added     []int64
	messages  []int64

	// One of each for every entry.
	positions                                         []int32 // of the room, from 1
	numbers                                           []int64 // in the room, from 1
	kinds                                             []int16
	authors, usernames, entryIDs, contents, fileLists []string
	targets                                           []int64

	// One of each for every occurrence of a mention.
	mentioned                  []int32 // the entry, from 1
	accounts, writers, onlines []string
	causes                     []int16
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
		f.ids, f.revisions = append(f.ids, r.id), append(f.revisions, anyRevision)
	}
	f.added, f.messages = make([]int64, len(f.rooms)), make([]int64, len(f.rooms))
	f.grow(len(writes))
	if !f.addAll(writes, places) {
		return nil
	}
	f.shorten()
	return f
}

// addAll adds the entries. It reports false if two of them have the same id, or rely on different
// revisions of a room.
func (f *fast) addAll(writes []store.Write, places map[string]int) bool {
	type key struct {
		room       int
		author, id string
	}
	seen := make(map[key]struct{}, len(writes))
	for i := range writes {
		w := &writes[i]
		at := places[w.Room.Key()]
		if w.Checked {
			revision := int64(w.Revision)
			if before := f.revisions[at]; before != anyRevision && before != revision {
				return false
			}
			f.revisions[at] = revision
		}
		k := key{at, w.Author.ID(), w.ID.String()}
		if _, twice := seen[k]; twice {
			return false
		}
		seen[k] = struct{}{}
		f.add(w, at)
	}
	return true
}

func (f *fast) add(w *store.Write, at int) {
	d := &w.Draft
	f.added[at]++
	if d.Kind == kaban.KindMessage {
		f.messages[at]++
	}
	f.positions, f.numbers = append(f.positions, int32(at+1)), append(f.numbers, f.added[at])
	f.kinds, f.targets = append(f.kinds, int16(d.Kind)), append(f.targets, int64(d.Target))
	f.authors, f.usernames = append(f.authors, d.Author.ID()), append(f.usernames, d.Author.Name().String())
	f.entryIDs, f.contents = append(f.entryIDs, d.ID.String()), append(f.contents, d.Body)
	f.fileLists = append(f.fileLists, d.Files.String())
	by, _ := kaban.AuthorOf(d.Author.ID())
	for _, o := range w.Told().Occur(nil, 0) {
		f.mentioned, f.accounts = append(f.mentioned, int32(len(f.positions))), append(f.accounts, o.Account)
		f.causes, f.writers = append(f.causes, int16(o.Cause)), append(f.writers, by)
		f.onlines = append(f.onlines, strings.Join(o.Online, " "))
	}
}

// grow makes room for some entries.
func (f *fast) grow(n int) {
	f.positions, f.numbers, f.kinds, f.targets = make([]int32, 0, n), make([]int64, 0, n), make([]int16, 0, n), make([]int64, 0, n)
	f.authors, f.usernames, f.entryIDs = make([]string, 0, n), make([]string, 0, n), make([]string, 0, n)
	f.contents, f.fileLists = make([]string, 0, n), make([]string, 0, n)
}

// shorten leaves out what is the same for all usual messages. It would cost the database a tenth more.
func (f *fast) shorten() {
	if !slices.ContainsFunc(f.kinds, func(k int16) bool { return k != int16(kaban.KindMessage) }) {
		f.kinds = f.kinds[:0]
	}
	if !slices.ContainsFunc(f.targets, func(t int64) bool { return t != 0 }) {
		f.targets = f.targets[:0]
	}
	if !slices.ContainsFunc(f.fileLists, func(l string) bool { return l != "" }) {
		f.fileLists = f.fileLists[:0]
	}
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
	var answer []int64
	failpoint.Point("append.before-commit") // the statement is a transaction of its own
	err = c.QueryRow(ctx, appendQuery, look, now, f.ids, f.revisions, f.added, f.messages,
		f.positions, f.numbers, f.kinds, f.authors, f.usernames, f.entryIDs, f.targets, f.contents, f.fileLists,
		f.mentioned, f.accounts, f.causes, f.writers, f.onlines).Scan(&answer)
	failpoint.Point("append.after-commit")
	if err != nil {
		return nil, kept(c.Conn(), err)
	}
	if answer[0] != answerStored {
		return nil, s.confirmed(c.Conn(), 0)
	}
	return answer[2:], s.confirmed(c.Conn(), answer[1])
}

// appendFast stores a batch with append_entries. It has stored nothing if it reports false: the
// batch needs decisions after all. lost says that an attempt before may have stored it.
func (s *Store) appendFast(p *patience, f *fast, results []store.Result, now int64) (done, lost bool, err error) {
	for {
		heads, err := s.call(p.ctx, f, lost, now)
		switch {
		case err == nil && heads != nil:
			s.numbered(f, heads, results, now)
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

// numbered fills the results of entries that are stored behind some heads.
func (s *Store) numbered(f *fast, heads []int64, results []store.Result, now int64) {
	for i := range results {
		results[i] = store.Result{Seq: uint64(heads[f.positions[i]-1] + f.numbers[i]), Time: now}
	}
	for i, id := range f.ids {
		s.counter.grown(id, heads[i], heads[i]+f.added[i])
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

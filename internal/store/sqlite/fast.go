package sqlite

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"kaban/internal/store"
)

// fast is what the batches that only the journal stores use, one after the other.
type fast struct {
	authors []user
	rooms   []*room // of the writes
	keys    []key   // that may be used already
	payload []byte
	grown   []*room // that have got entries
	entries int
}

// appendFast stores a batch in the journal alone. It has done nothing if it reports false:
// the batch needs a transaction of the database, because it has decisions, or rooms or
// authors that are new.
func (s *Store) appendFast(ctx context.Context, writes []store.Write, results []store.Result) (done bool, err error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	if err := s.usable(ctx); err != nil {
		return true, err
	}
	if len(writes) == 0 {
		return true, nil
	}
	if !s.begun.Load() || s.scarce.Load() {
		s.wakeMerger()
		return false, nil
	}
	f := &s.fast
	defer f.reset()
	clear(results)
	if done, err = s.plan(writes, results); !done || err != nil {
		return done, err
	}
	found, err := s.finder.lookUp(context.WithoutCancel(ctx), f.keys, f.authors)
	if err != nil {
		return true, s.failed("look ids up", err)
	}
	if err := s.prefetch(context.WithoutCancel(ctx), writes, f.rooms); err != nil {
		return true, s.failed("read what is there", err)
	}
	batch, now := s.unmerged.batch+1, s.now().UnixMilli()
	f.payload = appendFrameHead(f.payload, now)
	for i := range writes {
		if results[i].Err != nil {
			continue
		}
		results[i], err = s.add(&writes[i], f.rooms[i], f.authors[i], batch, now, found)
		if errors.Is(err, errKnown) { // its id is noted in the database
			s.takeBack(results)
			return false, nil
		}
		if err != nil {
			s.takeBack(results)
			return true, s.failed("read what is there", err)
		}
	}
	if f.entries == 0 {
		return true, nil
	}
	if err := s.journal.Append(uint64(batch), f.payload); err != nil {
		s.takeBack(results)
		err = s.failedJournal(fmt.Sprintf("append %d messages", len(writes)), err)
		if errors.Is(err, syscall.ENOSPC) { // the database may have room in its files
			s.scarce.Store(true)
			s.wakeMerger()
			return false, nil
		}
		return true, err
	}
	s.mu.Lock()
	for _, r := range f.grown {
		r.publish()
	}
	s.unmerged.batch = batch
	s.show()
	s.mu.Unlock()
	s.wakeMerger()
	s.noteErasing()
	return true, nil
}

// takeBack forgets the entries of a batch that was not stored. Without any, no message that appends
// remember was changed: a change that makes no difference is mostly alone in its batch.
func (s *Store) takeBack(results []store.Result) {
	for _, r := range s.fast.grown {
		s.unmerged.takeBack(r)
	}
	if s.fast.entries > 0 {
		s.targets.clear()
	}
	clear(results)
}

func (f *fast) reset() {
	clear(f.keys)
	f.authors, f.rooms, f.keys, f.grown, f.entries = f.authors[:0], f.rooms[:0], f.keys[:0], f.grown[:0], 0
	clear(f.payload) // a text that is erased must not be here
	if f.payload = f.payload[:0]; cap(f.payload) > unmergedBytes {
		f.payload = nil
	}
}

// plan finds the rooms and authors of a batch, and the ids that may be used already. It
// reports whether the batch needs nothing else.
func (s *Store) plan(writes []store.Write, results []store.Result) (possible bool, err error) {
	f := &s.fast
	for i := range writes {
		w := &writes[i]
		r := s.rooms[w.Room.Key()] // it changes only with appending held
		if w.Decide != nil || r == nil {
			return false, nil
		}
		author, found, err := s.findUser(context.Background(), w.Author)
		switch {
		case errors.Is(err, store.ErrDamaged):
			results[i].Err = err
		case err != nil:
			return true, s.failed("find an author", err)
		case !found && w.Refusal == nil:
			return false, nil
		case !found: // has used no id, and is not added now
			results[i].Err = w.Refusal
			if w.Checked && w.Revision != r.revision {
				results[i].Err = store.ErrStale
			}
		default:
			k := key{r.id, author.id, w.ID.String()}
			if isNew, err := s.finder.isNew(context.Background(), k); err != nil {
				return true, s.failed("find the newest id", err)
			} else if !isNew {
				f.keys = append(f.keys, k)
			}
		}
		f.rooms, f.authors = append(f.rooms, r), append(f.authors, author)
	}
	return true, nil
}

// add adds the entry of a write to its room, unless it is refused.
func (s *Store) add(w *store.Write, r *room, author user, batch, now int64, found map[key]earlier) (store.Result, error) {
	d, ctx := &w.Draft, context.Background()
	k := key{r.id, author.id, d.ID.String()}
	if e := s.unmerged.find(r, k); e != nil {
		return s.repeated(ctx, e.earlier(r), r, nil, d)
	}
	if e, ok := found[k]; ok {
		return s.repeated(ctx, e, r, nil, d)
	}
	if w.Checked && w.Revision != r.revision {
		return store.Result{Err: store.ErrStale}, nil
	}
	if w.Refusal != nil {
		return store.Result{Err: w.Refusal}, nil
	}
	if w.HasTarget() {
		known, refused, err := s.fits(ctx, w, r, nil)
		if known != (store.Change{}) && refused == nil && err == nil {
			return store.Result{}, errKnown
		}
		if refused != nil || err != nil {
			return store.Result{Err: refused}, err
		}
	}
	if r.next >= maxSeq {
		return store.Result{Err: fmt.Errorf("%w of entries in %s", errTooMany, r.name)}, nil
	}
	f := &s.fast
	if r.next == r.head {
		f.grown = append(f.grown, r)
	}
	one := [1]unmergedEntry{{Entry: store.NewEntry(d, r.next+1, now), batch: batch, user: author.id, mentions: w.Told()}}
	e := &one[0]
	e.ownName = e.Username != author.name
	f.payload = appendFrameEntry(f.payload, r.id, e)
	f.entries++
	s.unmerged.add(r, one[:])
	s.applied(r, &e.Entry)
	return store.Result{Seq: e.Seq, Time: now}, nil
}

// failedJournal classifies an error of the journal, like failed.
func (d *database) failedJournal(operation string, err error) error {
	if err == nil {
		return nil
	}
	if err = classifyJournal(err); errors.Is(err, store.ErrBroken) {
		return d.broke(operation, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// Package news tells the servers on one store of what others have changed in its documents:
// accounts, secrets, settings, rooms and memberships. What is appended to logs needs no news.
//
// The news are documents themselves, written in the transaction of the change. So there are none
// of what was not stored, none of what was stored is missing, and a node that dies after its
// commit has told everybody. They are numbered without a gap; the last Kept are kept. A reader
// that has missed some is told so, and looks at everything.
//
// A news has the keys of the documents that were changed, and no values: readers read them again.
package news

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"kaban/internal/people"
	"kaban/internal/store"
)

const (
	// Kept is how many news are kept, the newest. Each is a transaction.
	Kept = 4096
	// maxKeys and maxBytes bound the keys of a news. Of a transaction that has changed more, the
	// news says that it may have changed everything.
	maxKeys  = 4096
	maxBytes = 128 << 10
	// scan is how many news are read in one query: up to 4 MiB.
	scan = 32
	// maxPage bounds the texts that a page has before its last query.
	maxPage = 4 << 20
	// maxNumber is more than there will ever be.
	maxNumber = 1 << 62

	table      = people.NewsTable
	everything = "*" // in place of a key
	separator  = "\x00"
)

// News are what one transaction of another node has changed.
type News struct {
	Keys []string // of documents for which people.IsNews is true
}

// Page are news in their order.
type Page struct {
	News []News
	// More is set if there may be others behind these.
	More bool
	// Missed is set if some are not there any more, or are too long, or if a change through this store has ended
	// with store.ErrUnknown, or if one has a damaged key: everything may have changed.
	Missed bool
	// Damaged are keys that are damaged, each in one page. They are passed over.
	Damaged []string
}

// position is up to where the news were read: the number of the last one, 0 if there was none, and
// its text.
type position struct {
	number uint64
	text   string
}

// Store is a store that writes news of what is changed through it, and reads those of others. All
// methods are safe for concurrent use. Of the optional interfaces of package store it has Instant,
// Alarming and Parallel.
type Store struct {
	store.Store
	node     string
	onStored func()

	reading sync.Mutex // guards read and damaged
	read    position
	damaged map[string]bool // keys that were returned as such, and are there still
	unsure  atomic.Bool     // an own change may be stored without the knowledge of its caller
}

// Open returns a store over one that other nodes use as well. News from now on are returned by
// Next. It may wait for the store, and returns its errors.
func Open(ctx context.Context, s store.Store) (*Store, error) {
	n := &Store{Store: s, node: rand.Text()}
	err := s.View(ctx, func(tx store.Tx) (err error) {
		n.read, err = last(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find the last news: %w", err)
	}
	return n, nil
}

// Node returns the incarnation of this node: a random text that no other node has, and none had
// before.
func (s *Store) Node() string { return s.node }

// SetOnStored sets a function that is called after news were stored through this store. It must
// not block. It is set before the first change.
func (s *Store) SetOnStored(call func()) { s.onStored = call }

// last returns the position behind all news.
func last(tx store.Tx) (position, error) {
	from, to := store.KeysUnder(table)
	for {
		found, err := tx.ScanBack(from, to, 1)
		if err != nil || len(found) == 0 {
			return position{}, err
		}
		if number, ok := numberOf(found[0].Key); ok {
			return position{number, string(found[0].Value)}, nil
		}
		to = found[0].Key
	}
}

// keyOf returns the key of a news. Keys sort like numbers.
func keyOf(number uint64) string { return fmt.Sprintf("%s/%016x", table, number) }

// numberOf returns the number of a news. Only a damaged key has none.
func numberOf(key string) (number uint64, ok bool) {
	number, err := strconv.ParseUint(strings.TrimPrefix(key, table+"/"), 16, 64)
	return number, err == nil && number < maxNumber && keyOf(number) == key
}

// Next returns the next news of other nodes since the last call: all of them, or those that take up to 8 MiB.
// After an error the next call returns them again.
func (s *Store) Next(ctx context.Context) (Page, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	var r reading
	err := s.View(ctx, func(tx store.Tx) (err error) {
		r = reading{node: s.node, at: s.read, from: keyOf(s.read.number), page: Page{More: true}, damaged: make(map[string]bool)}
		for err == nil && r.page.More && r.bytes < maxPage {
			err = r.next(tx)
		}
		if err == nil && r.page.Missed {
			r.at, err = last(tx)
		}
		return err
	})
	if err != nil {
		return Page{}, fmt.Errorf("read the news: %w", err)
	}
	s.read = r.at
	for key := range r.damaged {
		if !s.damaged[key] {
			r.page.Damaged = append(r.page.Damaged, key)
		}
	}
	if r.page.More || r.page.Missed { // there may be others behind these
		maps.Copy(r.damaged, s.damaged)
	}
	s.damaged = r.damaged
	r.page.Missed = s.unsure.Swap(false) || len(r.page.Damaged) > 0 || r.page.Missed
	return r.page, nil
}

// reading is a page that is being read for a node.
type reading struct {
	node    string
	at      position
	from    string // the key from which on it is read
	begun   bool
	page    Page
	bytes   int // of the texts
	damaged map[string]bool
}

// next reads some news. It begins with the last one that was read before: if that is another one now,
// the store has lost its end.
func (r *reading) next(tx store.Tx) error {
	_, to := store.KeysUnder(table)
	found, err := tx.Scan(r.from, to, scan)
	if err != nil {
		return err
	}
	r.page.More = len(found) == scan
	if r.at.number > 0 && !r.begun {
		if len(found) == 0 || found[0].Key != keyOf(r.at.number) || string(found[0].Value) != r.at.text {
			r.miss()
			return nil
		}
		found = found[1:]
	}
	r.begun = true
	for _, d := range found {
		r.from = d.Key + "\x00"
		number, ok := numberOf(d.Key)
		if !ok {
			r.damaged[d.Key] = true
			continue
		}
		if number != r.at.number+1 {
			r.miss()
			return nil
		}
		r.at = position{number, string(d.Value)}
		r.bytes += len(d.Value)
		keys := strings.Split(r.at.text, separator)
		switch by := keys[0]; {
		case by == r.node:
		case len(keys) == 2 && keys[1] == everything:
			r.miss()
			return nil
		default:
			r.page.News = append(r.page.News, News{keys[1:]})
		}
	}
	return nil
}

// miss notes that some news were missed: then nothing is behind them.
func (r *reading) miss() { r.page.More, r.page.Missed = false, true }

// Update implements store.Documents.
func (s *Store) Update(ctx context.Context, run func(store.Tx) error) error {
	noted := false
	err := s.Store.Update(ctx, func(inner store.Tx) (err error) {
		noted, err = s.run(inner, run)
		return err
	})
	s.stored(noted, err)
	return err
}

// stored says that there are news, or may be.
func (s *Store) stored(noted bool, err error) {
	if noted && errors.Is(err, store.ErrUnknown) {
		s.unsure.Store(true)
	}
	if noted && s.onStored != nil && (err == nil || errors.Is(err, store.ErrUnknown)) {
		s.onStored()
	}
}

// run runs a function in a transaction and then writes the news of it.
func (s *Store) run(inner store.Tx, run func(store.Tx) error) (noted bool, err error) {
	t := tx{Tx: inner}
	if err := run(&t); err != nil {
		return false, err
	}
	keys := t.text()
	if keys == "" {
		return false, nil
	}
	before, err := last(inner)
	if err != nil {
		return false, err
	}
	number := before.number + 1
	if err := inner.Put(keyOf(number), []byte(s.node+separator+keys)); err != nil {
		return false, err
	}
	if number > Kept {
		err = inner.Delete(keyOf(number - Kept))
	}
	return true, err
}

// Append implements store.Store.
func (s *Store) Append(ctx context.Context, batch []store.Write, results []store.Result) error {
	noted, decides := false, false
	for i := range batch {
		decides = decides || batch[i].Decide != nil
	}
	if !decides {
		return s.Store.Append(ctx, batch, results)
	}
	own := make([]store.Write, len(batch))
	copy(own, batch)
	for i := range own {
		if decide := own[i].Decide; decide != nil {
			own[i].Decide = func(inner store.Tx) error {
				some, err := s.run(inner, decide)
				noted = noted || some
				return err
			}
		}
	}
	err := s.Store.Append(ctx, own, results)
	s.stored(noted, err)
	return err
}
